//! The bytes of all sources during one merge, and the index by which records find each other.
//!
//! Everything that is remembered of a text is a [`Span`] of 8 bytes into one reused buffer; nothing
//! owns a string. Text that must be spelled anew is appended to the same buffer, so a span never
//! tells where it came from and never needs to.
//!
//! Lookup is by a keyed 64-bit hash ([`Seed`], [`Index`]) and then by comparing bytes, since a hash
//! may collide and engines' label values may come from their clients. Records of equal hash are
//! chained through a field of their own, so that the index stores plain integers only.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// No record: ends chains and lists, stands for absent ones.
pub(super) const NONE: u32 = u32::MAX;

/// A range of bytes in an [`Arena`]. The empty one also stands for "absent".
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The same so many bytes further on, modulo 2^32.
    pub(super) fn moved(self, by: u32) -> Span {
        Span { start: self.start.wrapping_add(by), end: self.end.wrapping_add(by) }
    }
}

/// One growing buffer. Its owner sees to it that it never outgrows `u32`, see `TEXT_BYTES_MAX`.
#[derive(Default)]
pub(super) struct Arena {
    bytes: Vec<u8>,
}

impl Arena {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets everything from `len` on; no span into it may be used again.
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    pub(super) fn get(&self, span: Span) -> &[u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }

    /// The bytes of a span that is known to hold a name, hence UTF-8, as it is spelled in quotes.
    pub(super) fn name(&self, span: Span) -> &str {
        std::str::from_utf8(self.get(span)).unwrap_or_default()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.since(start)
    }

    /// Appends `prefix`, what `span` holds, and `suffix`, as one span.
    pub(super) fn join(&mut self, prefix: &[u8], span: Span, suffix: &[u8]) -> Span {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(prefix);
        self.bytes.extend_from_within(span.start as usize..span.end as usize);
        self.bytes.extend_from_slice(suffix);
        self.since(start)
    }

    /// The text of a span with each backslash that starts none of the escapes in `known` doubled:
    /// what Prometheus makes of it when it keeps both characters. The span itself if none does.
    pub(super) fn respell(&mut self, span: Span, known: &[u8]) -> Span {
        let start = self.bytes.len();
        let (mut at, end) = (span.start as usize, span.end as usize);
        let mut copied = at;
        while at < end {
            if self.bytes[at] != b'\\' {
                at += 1;
            } else if at + 1 < end && known.contains(&self.bytes[at + 1]) {
                at += 2;
            } else {
                self.bytes.extend_from_within(copied..=at);
                self.bytes.push(b'\\');
                at += 1;
                copied = at;
            }
        }
        if start == self.bytes.len() {
            return span;
        }
        self.bytes.extend_from_within(copied..end);
        self.since(start)
    }

    fn since(&self, start: usize) -> Span {
        Span { start: start as u32, end: self.bytes.len() as u32 }
    }
}

/// Returns the name that is spelled so in quotes.
pub(super) fn unescaped(name: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', name.as_bytes()).is_none() {
        return Cow::Borrowed(name);
    }
    let mut plain = Vec::with_capacity(name.len());
    unescape(name.as_bytes(), &mut plain);
    Cow::Owned(String::from_utf8(plain).unwrap_or_default())
}

/// Appends what an escaped text stands for; a backslash that starts no escape stands for itself.
pub(super) fn unescape(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = text.iter().position(|&byte| byte == b'\\') {
        out.extend_from_slice(&text[..at]);
        let (byte, read) = match text.get(at + 1) {
            Some(b'\\') => (b'\\', 2),
            Some(b'n') => (b'\n', 2),
            Some(b'"') => (b'"', 2),
            _ => (b'\\', 1),
        };
        out.push(byte);
        text = &text[at + read..];
    }
    out.extend_from_slice(text);
}

/// The key of all hashes of one merger, drawn at random: an engine cannot aim for collisions.
pub(super) struct Seed {
    start: u64,
    factor: u64,
}

impl Default for Seed {
    fn default() -> Self {
        let random = RandomState::new();
        // Odd, so that multiplying by it loses nothing.
        Seed { start: random.hash_one(0), factor: random.hash_one(1) | 1 }
    }
}

impl Seed {
    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        self.extend(self.start, bytes)
    }

    /// The hash of what `state` is the hash of, followed by `bytes`. Eight bytes a step: multiply to
    /// 128 bits and fold the halves onto each other, which lets every input bit reach every output
    /// bit. std's SipHash would cost about three times as much, and this is the hot loop of a merge.
    pub(super) fn extend(&self, state: u64, bytes: &[u8]) -> u64 {
        let mut state = state ^ bytes.len() as u64;
        let mut words = bytes.chunks_exact(8);
        for word in words.by_ref() {
            let mut eight = [0; 8];
            eight.copy_from_slice(word);
            state = self.fold(state ^ u64::from_le_bytes(eight));
        }
        let rest = words.remainder();
        let mut eight = [0; 8];
        eight[..rest.len()].copy_from_slice(rest);
        self.fold(state ^ u64::from_le_bytes(eight))
    }

    pub(super) fn fold(&self, state: u64) -> u64 {
        let product = u128::from(state ^ self.start) * u128::from(self.factor);
        (product as u64) ^ ((product >> 64) as u64)
    }
}

/// From a hash to the first record that has it; the records themselves hold the rest of the chain.
#[derive(Default)]
pub(super) struct Index {
    heads: HashMap<u64, u32, BuildHasherDefault<Identity>>,
}

impl Index {
    /// Keeps the memory.
    pub(super) fn clear(&mut self) {
        self.heads.clear();
    }

    /// The newest record of this hash, or [`NONE`].
    pub(super) fn head(&self, hash: u64) -> u32 {
        self.heads.get(&hash).copied().unwrap_or(NONE)
    }

    /// Makes `record` the newest and returns the one that must come next in its chain, or [`NONE`].
    pub(super) fn insert(&mut self, hash: u64, record: u32) -> u32 {
        self.heads.insert(hash, record).unwrap_or(NONE)
    }
}

/// The keys are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Only u64 keys are used; any other would still be hashed, if poorly.
        self.0 = bytes.iter().fold(self.0, |hash, &byte| hash.rotate_left(8) ^ u64::from(byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn respelling() {
        let table = [
            ("plain", "plain"),
            (r"\\", r"\\"),
            (r"\n\\", r"\n\\"),
            (r"\t", r"\\t"),
            (r"a\tb\dc", r"a\\tb\\dc"),
            (r"\\t", r"\\t"),
            (r"\\\t", r"\\\\t"),
            (r"end\", r"end\\"),
            ("\\\"", "\\\\\""),
        ];
        for (raw, respelled) in table {
            let mut arena = Arena::default();
            let span = arena.push(raw.as_bytes());
            let span = arena.respell(span, b"\\n");
            assert_eq!(arena.get(span), respelled.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn equal_bytes_hash_alike_and_neighbours_do_not() {
        let seed = Seed::default();
        let texts: Vec<String> = (0..2000).map(|i| "x".repeat(i % 40) + &i.to_string()).collect();
        let mut hashes: Vec<u64> = texts.iter().map(|text| seed.hash(text.as_bytes())).collect();
        assert_eq!(seed.hash(texts[7].as_bytes()), hashes[7]);
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), texts.len());
        assert_ne!(seed.hash(b"a\0"), seed.hash(b"a"));
        // Two mergers do not agree, or crafted collisions would be possible.
        assert_ne!(seed.hash(b"a"), Seed::default().hash(b"a"));
    }
}
