//! The Huffman codes of a deflate block (RFC 1951 section 3.2), made from how often each symbol is used.
//!
//! Every symbol has a code, used or not, so a code that was made for one page writes any other.

/// Symbols for literals, the end of the block, and lengths.
pub(super) const LITERALS: usize = 286;
/// Symbols for distances.
pub(super) const DISTANCES: usize = 30;
/// The stand-in for a byte that is not there.
const NO_LITERAL: usize = 256;
/// The symbol that ends a block.
pub(super) const END: usize = 256;
/// Symbols of lengths begin here.
const LENGTHS: usize = 257;
/// The shortest and the longest copy of one symbol, in bytes.
pub(super) const COPY_MIN: usize = 3;
pub(super) const COPY_MAX: usize = 258;
/// The longest code, in bits: four fit into the 57 bits that a [`Writer`](super::bits::Writer) takes at once, and the
/// format allows 15.
const BITS_MAX: u8 = 12;
/// Each length of a code is sent in this many bits.
const BITS_OF_LENGTH: u32 = 4;
/// The block's kind, the three numbers of lengths, and the lengths of the 19 codes that lengths are sent with.
const HEADER_START_BITS: usize = 3 + 5 + 5 + 4 + 19 * 3;
const HEADER_BITS: usize = HEADER_START_BITS + (LITERALS + DISTANCES) * BITS_OF_LENGTH as usize;
/// The order in which those 19 are sent.
const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// The shortest copy of each symbol of a length, and the bits that follow it.
const COPY_BASES: [u16; 29] = [
    3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
    163, 195, 227, 258,
];
const COPY_EXTRA_BITS: [u8; 29] =
    [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];

/// The number of times that each symbol is used.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) literals: [u32; LITERALS],
    pub(super) distances: [u32; DISTANCES],
}

/// Bits to be sent, the first one lowest, and their number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Code {
    pub(super) bits: u32,
    pub(super) len: u32,
}

/// The codes of a block.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    is_fixed: bool,
    literal_lens: [u8; LITERALS],
    distance_lens: [u8; DISTANCES],
    /// The code of each byte, and a code without bits for [`NO_LITERAL`].
    literals: [Code; 257],
    end: Code,
    /// The code of each length, with the bits that follow the symbol.
    copies: [Code; COPY_MAX + 1],
    distances: [Code; DISTANCES],
}

impl Counts {
    pub(super) const NONE: Self = Self { literals: [0; LITERALS], distances: [0; DISTANCES] };

    pub(super) fn literal(&mut self, byte: u8) {
        self.literals[usize::from(byte)] += 1;
    }

    pub(super) fn count_copy(&mut self, len: usize, distance: usize) {
        self.literals[LENGTHS + copy_symbol(len)] += 1;
        self.distances[distance_symbol(distance).0] += 1;
    }

    /// Counts the ten digits as equally frequent: a page that was just started is full of zeros, and its numbers grow.
    pub(super) fn level_digits(&mut self) {
        let digits = &mut self.literals[usize::from(b'0')..=usize::from(b'9')];
        let mean = digits.iter().sum::<u32>() / 10;
        digits.fill(mean);
    }
}

impl Codes {
    /// The codes that every decoder knows.
    pub(super) fn fixed() -> Self {
        // Two more symbols than are ever used belong to the code.
        let mut lens = [8; LITERALS + 2];
        lens[144..256].fill(9);
        lens[256..280].fill(7);
        let codes = canonical(&lens);
        let [literals @ .., _, _] = codes;
        let [literal_lens @ .., _, _] = lens;
        Self::of(true, literal_lens, [5; DISTANCES], literals)
    }

    /// The shortest codes for these counts.
    pub(super) fn shortest(counts: &Counts) -> Self {
        let literal_lens = code_lens(&counts.literals);
        Self::of(false, literal_lens, code_lens(&counts.distances), canonical(&literal_lens))
    }

    fn of(
        is_fixed: bool,
        literal_lens: [u8; LITERALS],
        distance_lens: [u8; DISTANCES],
        all: [Code; LITERALS],
    ) -> Self {
        let mut copies = [Code::default(); COPY_MAX + 1];
        for (len, copy) in copies.iter_mut().enumerate().skip(COPY_MIN) {
            let symbol = copy_symbol(len);
            let code = all[LENGTHS + symbol];
            let extra = len as u32 - u32::from(COPY_BASES[symbol]);
            *copy = Code {
                bits: code.bits | extra << code.len,
                len: code.len + u32::from(COPY_EXTRA_BITS[symbol]),
            };
        }
        let mut literals = [Code::default(); 257];
        literals[..256].copy_from_slice(&all[..256]);
        let distances = canonical(&distance_lens);
        Self { is_fixed, literal_lens, distance_lens, literals, end: all[END], copies, distances }
    }

    /// Bits that a block with these counts takes.
    pub(super) fn cost(&self, counts: &Counts) -> u64 {
        let bits = |counts: &[u32], lens: &[u8]| -> u64 {
            counts.iter().zip(lens).map(|(n, len)| u64::from(*n) * u64::from(*len)).sum()
        };
        let header = if self.is_fixed { 3 } else { HEADER_BITS as u64 };
        header
            + bits(&counts.literals, &self.literal_lens)
            + bits(&counts.distances, &self.distance_lens)
    }

    /// The first bits of the last block of a stream.
    pub(super) fn header(&self) -> impl Iterator<Item = Code> + '_ {
        // Nothing is appended for a code without bits.
        let start = if self.is_fixed {
            [(0b011, 3), (0, 0), (0, 0), (0, 0)]
        } else {
            // All lengths of codes are sent with codes of one length, which are then the lengths themselves.
            [(0b101, 3), (29, 5), (29, 5), (15, 4)]
        };
        let start = start.into_iter().map(|(bits, len)| Code { bits, len });
        let is_dynamic = !self.is_fixed;
        let of_lens = ORDER
            .iter()
            .filter(move |_| is_dynamic)
            .map(|symbol| Code { bits: if *symbol < 16 { BITS_OF_LENGTH } else { 0 }, len: 3 });
        let lens = self.literal_lens.iter().chain(&self.distance_lens);
        let lens = lens.filter(move |_| is_dynamic).map(|len| Code {
            bits: u32::from(*len).reverse_bits() >> (u32::BITS - BITS_OF_LENGTH),
            len: BITS_OF_LENGTH,
        });
        start.chain(of_lens).chain(lens)
    }

    #[inline(always)]
    pub(super) fn literal(&self, byte: u8) -> Code {
        self.literals[usize::from(byte)]
    }

    /// The code of a byte, or one without bits, without a branch.
    #[inline(always)]
    pub(super) fn literal_if(&self, is_there: bool, byte: u8) -> Code {
        let index = if is_there { usize::from(byte) } else { NO_LITERAL };
        self.literals[index]
    }

    pub(super) fn end(&self) -> Code {
        self.end
    }

    /// The bits for a copy of 3 to 258 bytes.
    #[inline(always)]
    pub(super) fn copy(&self, len: usize) -> Code {
        self.copies[len]
    }

    /// The bits for a distance of 1 to 32,768 bytes.
    #[inline(always)]
    pub(super) fn distance(&self, distance: usize) -> Code {
        let (symbol, extra, extra_len) = distance_symbol(distance);
        let code = self.distances[symbol];
        Code { bits: code.bits | extra << code.len, len: code.len + extra_len }
    }
}

fn copy_symbol(len: usize) -> usize {
    COPY_BASES.partition_point(|base| usize::from(*base) <= len).saturating_sub(1)
}

/// The symbol of a distance, and the bits that follow it with their number.
#[inline(always)]
fn distance_symbol(distance: usize) -> (usize, u32, u32) {
    let from_zero = distance as u32 - 1;
    if from_zero < 4 {
        return (from_zero as usize, 0, 0);
    }
    let extra_len = from_zero.ilog2() - 1;
    let symbol = 2 * extra_len + (from_zero >> extra_len);
    (symbol as usize, from_zero & ((1 << extra_len) - 1), extra_len)
}

/// The canonical codes of these lengths: by length, then by symbol. The first bit that is sent is the lowest.
fn canonical<const N: usize>(lens: &[u8; N]) -> [Code; N] {
    let mut codes = [Code::default(); N];
    let mut next = 0u32;
    for len in 1..=u32::from(lens.iter().copied().max().unwrap_or(0)) {
        for (code, _) in codes.iter_mut().zip(lens).filter(|(_, of)| u32::from(**of) == len) {
            *code = Code { bits: next.reverse_bits() >> (u32::BITS - len), len };
            next += 1;
        }
        next <<= 1;
    }
    codes
}

/// The lengths of the shortest codes, of which none is longer than [`BITS_MAX`]: Huffman's, over counts that are halved
/// until it is so.
fn code_lens<const N: usize>(counts: &[u32; N]) -> [u8; N] {
    let mut weights = counts.map(|count| 4 * u64::from(count) + 1);
    loop {
        let lens = huffman(&weights);
        if lens.iter().all(|len| *len <= BITS_MAX) {
            return lens;
        }
        weights = weights.map(|weight| weight / 2 + 1);
    }
}

/// Joins the two lightest trees until one is left. Symbols are sorted once; joined trees come in order by themselves.
fn huffman<const N: usize>(weights: &[u64; N]) -> [u8; N] {
    let mut order: [usize; N] = std::array::from_fn(|symbol| symbol);
    order.sort_unstable_by_key(|symbol| weights[*symbol]);
    // The tree that joins each symbol, in their order, and each tree.
    let (mut symbol_parents, mut tree_parents) = ([0; N], [0; N]);
    let mut tree_weights = [0; N];
    let (mut symbol, mut tree) = (0, 0);
    for joined in 0..N - 1 {
        for _ in 0..2 {
            let is_symbol =
                symbol < N && (tree == joined || weights[order[symbol]] <= tree_weights[tree]);
            if is_symbol {
                tree_weights[joined] += weights[order[symbol]];
                symbol_parents[symbol] = joined;
                symbol += 1;
            } else {
                tree_weights[joined] += tree_weights[tree];
                tree_parents[tree] = joined;
                tree += 1;
            }
        }
    }
    let mut depths = [0u8; N];
    for tree in (0..N - 2).rev() {
        depths[tree] = depths[tree_parents[tree]].saturating_add(1);
    }
    let mut lens = [0; N];
    for (at, symbol) in order.into_iter().enumerate() {
        lens[symbol] = depths[symbol_parents[at]].saturating_add(1);
    }
    lens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_complete_and_short_whatever_the_counts() {
        let mut state = 1u32;
        for round in 0..200u32 {
            let mut counts = Counts::NONE;
            for count in counts.literals.iter_mut().chain(&mut counts.distances) {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *count = (state >> 8).checked_shr(round % 32).unwrap_or(0);
            }
            let codes = Codes::shortest(&counts);
            for lens in [&codes.literal_lens[..], &codes.distance_lens[..]] {
                assert!(lens.iter().all(|len| (1..=BITS_MAX).contains(len)), "{round}");
                let used: u32 = lens.iter().map(|len| 1 << (BITS_MAX - len)).sum();
                assert_eq!(used, 1 << BITS_MAX, "{round}: a decoder refuses a code with gaps");
            }
        }
    }

    #[test]
    fn a_frequent_symbol_has_a_short_code() {
        let mut counts = Counts::NONE;
        counts.literals[usize::from(b'\n')] = 1000;
        counts.literals[usize::from(b'x')] = 500;
        let codes = Codes::shortest(&counts);
        assert_eq!((codes.literal(b'\n').len, codes.literal(b'x').len), (1, 2));
        assert!(codes.cost(&counts) < Codes::fixed().cost(&counts) / 2);
    }

    #[test]
    fn symbols_are_those_of_the_format() {
        let lens = [(3, 0), (10, 7), (11, 8), (12, 8), (13, 9), (257, 27), (258, 28)];
        for (len, symbol) in lens {
            assert_eq!(copy_symbol(len), symbol, "{len}");
        }
        let distances = [
            (1, (0, 0, 0)),
            (4, (3, 0, 0)),
            (5, (4, 0, 1)),
            (6, (4, 1, 1)),
            (7, (5, 0, 1)),
            (24577, (29, 0, 13)),
            (32768, (29, 8191, 13)),
        ];
        for (distance, symbol) in distances {
            assert_eq!(distance_symbol(distance), symbol);
        }
    }
}
