//! gzip for pages of metrics, which are lines that resemble each other, and resemble the same page of 15 s ago.
//!
//! ```text
//! wait_seconds_bucket{model="a",le="0.1"} 17 \n
//! wait_seconds_bucket{model="a",le="0.25"} 42 \n
//! copy of the line before       |literals  |value, literals
//! ```
//!
//! A compressor spends its time on the search for what to copy. The parts of the lines before their values are the same
//! in every scrape until a series is added or removed, so the search is done once: a [`Page`] keeps these **constant parts**,
//! and **hints**, where each line copied from which line. A line is followed if its constant part is the known one, which is
//! one comparison; from the first line that is not so, the rest of the page is searched and learned anew. **A hint never
//! decides what is written**: copies lie within constant parts, and those of this page were compared, so the stream inflates to
//! this page.
//!
//! The bits of a constant part are kept as well. Only distances are in them that can change, and they do so when a value in
//! between has more or fewer digits than it had.
//!
//! The Huffman codes of a page are made when it is learned. Any page can be written so, of any bytes, but only lines are
//! found again.
//!
//! In steady state nothing is allocated. Memory of a page that is kept: some 80 bytes a line, and its constant part.

mod bits;
mod codes;
mod hints;
mod packed;

use std::{fmt, io};

use bytes::BytesMut;

use self::bits::{Bits, Writer};
use self::codes::{Code, Codes, Counts, END};
use self::hints::{Constant, Hints, Search, Sink, WORD};
use self::packed::{Packed, Packer};

/// Pages that are remembered: a few formats, each for a path or filter of its own. They are told apart by their first line;
/// two that begin the same take each other's hints, and are searched again in each turn.
const PAGES_MAX: usize = 4;
/// Bytes of the first line that are looked at.
const KEY_BYTES_MAX: usize = 256;
/// A member without name and time, made by no system in particular (RFC 1952 section 2.3).
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// Positions in a page are kept in 32 bits.
const TEXT_BYTES_MAX: usize = u32::MAX as usize;

/// Compresses pages of lines again and again, by gzip: text 0.0.4, OpenMetrics, and any text whose lines resemble each other.
///
/// The server has one; keep another if a program [compresses pages](crate::metrics_response) itself. It remembers what the
/// lines of the last four pages had in common, so a page whose values alone have changed takes a third of the time that zlib-rs
/// takes at level 1, and has a sixth less bytes at least.
///
/// ```
/// use dynamo_metrics_server::{GzipLines, bytes::BytesMut};
/// use std::io::Read;
///
/// let mut gzip = GzipLines::new();
/// for scrape in 1..4 {
///     let line = |n| format!("steps_total{{model=\"m/{n}\"}} {scrape}\n");
///     let page: String = (0..1000).map(line).collect();
///     let mut body = BytesMut::new();
///     gzip.compress(page.as_bytes(), &mut body)?;
///     assert!(body.len() < page.len() / 4);
///     let mut text = String::new();
///     flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text)?;
///     assert_eq!(text, page);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct GzipLines {
    pages: Vec<Page>,
    search: Search,
    scrapes: u64,
}

impl fmt::Debug for GzipLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GzipLines").field("pages", &self.pages.len()).finish_non_exhaustive()
    }
}

impl GzipLines {
    /// A compressor that has seen no page.
    ///
    /// ```
    /// let mut member = dynamo_metrics_server::bytes::BytesMut::new();
    /// dynamo_metrics_server::GzipLines::new().compress(b"up 1\n", &mut member)?;
    /// assert_eq!(member[..3], [0x1f, 0x8b, 8], "RFC 1952 section 2.3.1");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether the text has a size that can be compressed here.
    pub(crate) fn takes(text: &[u8]) -> bool {
        text.len() <= TEXT_BYTES_MAX
    }

    /// Appends the text as one gzip member to `output`. In steady state nothing is allocated, if the output has room.
    ///
    /// ```
    /// use dynamo_metrics_server::{GzipLines, bytes::BytesMut};
    ///
    /// let (mut gzip, mut output) = (GzipLines::new(), BytesMut::from("# ours"));
    /// gzip.compress(b"", &mut output)?;
    /// assert!(output.starts_with(b"# ours\x1f\x8b"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// There is no memory, or the text is larger than 4 GiB. The output then has a part of a member, and is to be dropped with
    /// this compressor.
    pub fn compress(&mut self, text: &[u8], output: &mut BytesMut) -> io::Result<()> {
        if !Self::takes(text) {
            let problem = "a text of more than 4 GiB is not compressed by lines";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        let page = self.page(text);
        let Self { pages, search, .. } = self;
        let page = &mut pages[page];
        if page.hints.is_empty() {
            // Then the first scrape of a page has the length of the second, and `HEAD` that of `GET`.
            page.make_codes(text, search)?;
        }
        let mut writer = Writer::new(output);
        let mut bits = Bits::default();
        let start = HEADER.map(|byte| Code { bits: byte.into(), len: 8 });
        for code in start.into_iter().chain(page.codes.header()) {
            bits = writer.flush(bits.put(code))?;
        }
        let mut block = Block { writer, codes: &page.codes };
        let (bits, is_new) = page.hints.write(text, search, &mut block, bits)?;
        let mut writer = block.writer;
        let bits = writer.flush(bits.put(page.codes.end()))?;
        let mut trailer = [0; 8];
        trailer[..4].copy_from_slice(&crc32fast::hash(text).to_le_bytes());
        trailer[4..].copy_from_slice(&(text.len() as u32).to_le_bytes());
        writer.finish(bits, &trailer)?;
        if is_new {
            page.make_codes(text, search)?;
        }
        Ok(())
    }

    /// The place of the page with this beginning, which may be that of the page that was not asked for the longest.
    fn page(&mut self, text: &[u8]) -> usize {
        self.scrapes += 1;
        let start = &text[..text.len().min(KEY_BYTES_MAX)];
        let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let key = crc32fast::hash(line);
        let known = self.pages.iter().position(|page| page.key == key);
        let at = known.unwrap_or_else(|| {
            if self.pages.len() < PAGES_MAX {
                self.pages.push(Page::new(key));
                return self.pages.len() - 1;
            }
            let oldest = (0..PAGES_MAX).min_by_key(|at| self.pages[*at].used).unwrap_or(0);
            self.pages[oldest] = Page::new(key);
            oldest
        });
        self.pages[at].used = self.scrapes;
        at
    }
}

/// A page that was compressed before.
struct Page {
    /// Tells it from others.
    key: u32,
    /// The last scrape that asked for it.
    used: u64,
    codes: Codes,
    hints: Hints,
}

impl Page {
    fn new(key: u32) -> Self {
        Self { key, used: 0, codes: Codes::fixed(), hints: Hints::default() }
    }

    /// Makes the shortest codes for this text, which is searched if it has changed.
    fn make_codes(&mut self, text: &[u8], search: &mut Search) -> io::Result<()> {
        let mut counts = Counts::NONE;
        self.hints.write(text, search, &mut counts, ())?;
        counts.literals[END] = 1;
        counts.level_digits();
        let (fixed, shortest) = (Codes::fixed(), Codes::shortest(&counts));
        let is_shorter = shortest.cost(&counts) < fixed.cost(&counts);
        self.codes = if is_shorter { shortest } else { fixed };
        self.hints.forget_bits();
        Ok(())
    }
}

/// A block that is written.
struct Block<'a> {
    writer: Writer<'a>,
    codes: &'a Codes,
}

impl Sink for Block<'_> {
    type At = Bits;

    #[inline(always)]
    fn literals(&mut self, mut at: Bits, bytes: &[u8]) -> io::Result<Bits> {
        for four in bytes.chunks(4) {
            at = four.iter().fold(at, |at, byte| at.put(self.codes.literal(*byte)));
            at = self.writer.flush(at)?;
        }
        Ok(at)
    }

    #[inline(always)]
    fn short(&mut self, at: Bits, word: [u8; WORD], len: usize) -> io::Result<Bits> {
        // Without a branch on the length, which no processor predicts.
        let codes = self.codes;
        let code = |at: Bits, byte: usize| at.put(codes.literal_if(byte < len, word[byte]));
        let at = (0..WORD / 2).fold(at, code);
        let at = self.writer.flush(at)?;
        if len <= WORD / 2 {
            return Ok(at);
        }
        let at = (WORD / 2..WORD).fold(at, code);
        self.writer.flush(at)
    }

    #[inline(always)]
    fn copy(&mut self, at: Bits, len: usize, distance: usize) -> io::Result<Bits> {
        self.writer.flush(at.put(self.codes.copy(len)).put(self.codes.distance(distance)))
    }

    #[inline(always)]
    fn known(&mut self, at: Bits, bits: &Packed) -> io::Result<Option<Bits>> {
        if !bits.is_known {
            return Ok(None);
        }
        let ([first, second], [first_len, second_len]) = (bits.words, bits.lens);
        let mut at = self.writer.flush(at.put_word(first, first_len.into()))?;
        if second_len > 0 {
            at = self.writer.flush(at.put_word(second, second_len.into()))?;
        }
        Ok(Some(at))
    }

    fn constant(&mut self, at: Bits, part: &Constant<'_>) -> io::Result<(Bits, Packed)> {
        let mut packer = Packer::new(self.codes);
        part.write(&mut packer, ())?;
        let bits = packer.packed();
        match self.known(at, &bits)? {
            Some(at) => Ok((at, bits)),
            None => Ok((part.write(self, at)?, bits)),
        }
    }
}

/// A block of which only the symbols are counted.
impl Sink for Counts {
    type At = ();

    fn literals(&mut self, (): (), bytes: &[u8]) -> io::Result<()> {
        bytes.iter().for_each(|byte| self.literal(*byte));
        Ok(())
    }

    fn short(&mut self, at: (), word: [u8; WORD], len: usize) -> io::Result<()> {
        self.literals(at, &word[..len])
    }

    fn copy(&mut self, (): (), len: usize, distance: usize) -> io::Result<()> {
        self.count_copy(len, distance);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
