//! Spans: the cells of one series.

use crate::shard::{CELLS_MAX, CellIndex, SpanStart};

/// A run of cells handed to one series, which knows how many there are. A million series keep it, so it is two numbers
/// of 28 bits in bytes, which need no alignment: two of them and a tag fit into 16 bytes, see `series.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The place, which a scrape reads, and above it the low 4 bits of the cell; little-endian.
    low: [u8; 4],
    /// The other 24 bits of the cell.
    high: [u8; 3],
}

const SPAN_NUMBER_BITS: u32 = 28;
const SPAN_NUMBER_MASK: u32 = (1 << SPAN_NUMBER_BITS) - 1;
// A registry's places are its extents' cells, so they are no more than there are cells.
const _: () = assert!(CELLS_MAX <= 1 << SPAN_NUMBER_BITS, "a span's numbers have 28 bits");

impl Span {
    pub(super) fn new(start: SpanStart, place: u32) -> Self {
        debug_assert!(place <= SPAN_NUMBER_MASK);
        let cell = start.cell().get();
        let low = (place & SPAN_NUMBER_MASK) | cell << SPAN_NUMBER_BITS;
        let [a, b, c, _] = (cell >> (u32::BITS - SPAN_NUMBER_BITS)).to_le_bytes();
        Self { low: low.to_le_bytes(), high: [a, b, c] }
    }

    /// The first cell, the same in every shard.
    // Inline, as the next one: each recording needs them, and most programs are built without link-time optimisation.
    #[inline]
    pub(crate) fn start(&self) -> SpanStart {
        let [a, b, c] = self.high;
        let high = u32::from_le_bytes([a, b, c, 0]) << (u32::BITS - SPAN_NUMBER_BITS);
        let low = u32::from_le_bytes(self.low) >> SPAN_NUMBER_BITS;
        match SpanStart::new(high | low) {
            Some(start) => start,
            None => unreachable!("made from a start"),
        }
    }

    /// The first cell of a span that has only one, or where no other is meant.
    #[inline]
    pub(crate) fn cell(&self) -> CellIndex {
        self.start().cell()
    }

    /// The first cell's place among the registry's cells of this rank, which is its place in a snapshot.
    #[inline]
    pub(crate) fn place(&self) -> u32 {
        u32::from_le_bytes(self.low) & SPAN_NUMBER_MASK
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_span_keeps_the_largest_numbers() {
        for (cell, place) in [(0, 0), (CELLS_MAX - 1, 0), (0, CELLS_MAX - 1), (0xabcdef, 0x123456)]
        {
            let span = Span::new(SpanStart::new(cell).unwrap(), place);
            assert_eq!((span.cell().get(), span.place()), (cell, place));
        }
    }
}
