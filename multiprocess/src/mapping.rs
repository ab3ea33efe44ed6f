//! The memory of a shared file: 64-bit words, each read and written atomically and in no other way.
//!
//! ```text
//! mapping   [ words that the file has | address space, for words that it will have ]
//!                                     ^ `words`, raised after the file has grown
//! ```
//!
//! The invariant behind every access: **a file of the directory is never shortened**, so a word that it had once stays there, and
//! a mapping that handles point into is never unmapped.

#![allow(unsafe_code)]

use memmap2::{MmapOptions, MmapRaw};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};

/// Bytes of a word.
pub(crate) const WORD: usize = size_of::<u64>();

/// Address space that a process reserves for its own file; it costs no memory. A limit of address space (`RLIMIT_AS`) leaves less.
const FILE_BYTES_MAX: usize = 1 << 30;
/// The least address space that is tried for.
const FILE_BYTES_LEAST: usize = 1 << 24;

/// Bytes by which a file grows: with their zeros written, so that a full disk is an error here and not a signal later.
const GROWTH_BYTES: usize = 1 << 16;

/// A file in memory.
#[derive(Debug)]
pub(crate) struct Mapping {
    map: MmapRaw,
    /// Words of the file.
    words: AtomicUsize,
}

impl Mapping {
    /// Maps a file with room to grow. The mapping stays as long as the process, because handles point into it.
    pub(crate) fn leak(file: &File) -> io::Result<&'static Self> {
        let words = words_of(file)?;
        let mut reserved = FILE_BYTES_MAX;
        loop {
            match MmapOptions::new().len(reserved).map_raw(file) {
                Ok(map) => {
                    let words = words.min(map.len() / WORD).into();
                    return Ok(Box::leak(Box::new(Self { map, words })));
                }
                Err(error) if reserved <= FILE_BYTES_LEAST => return Err(error),
                Err(_) => reserved /= 4,
            }
        }
    }

    /// Maps a file of another process, as long as it is now, until the result is dropped.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let words = words_of(file)?;
        // A map of no bytes is an error.
        let map = MmapOptions::new().len((words * WORD).max(1)).map_raw_read_only(file)?;
        Ok(Self { map, words: words.into() })
    }

    /// Words that the file has.
    pub(crate) fn words(&self) -> usize {
        // Acquire pairs with the Release in `grow`.
        self.words.load(Ordering::Acquire)
    }

    /// Makes the file, which is the one that is mapped, at least `words` words long. One call at a time.
    pub(crate) fn grow(&self, file: &File, words: usize) -> io::Result<()> {
        let len = self.words() * WORD;
        let wanted = (words * WORD).next_multiple_of(GROWTH_BYTES);
        if wanted <= len {
            return Ok(());
        }
        if wanted > self.map.len() {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("a process can share {} bytes of metrics", self.map.len()),
            ));
        }
        let zeros = [0; GROWTH_BYTES];
        let mut at = len;
        while at < wanted {
            let part = GROWTH_BYTES.min(wanted - at);
            file.write_all_at(&zeros[..part], at as u64)?;
            at += part;
        }
        // Release pairs with the Acquire in `words`: a thread that sees the number may touch the words.
        self.words.store(wanted / WORD, Ordering::Release);
        Ok(())
    }

    /// The word at this place; `None` beyond the end of the file.
    #[inline]
    pub(crate) fn word(&self, at: usize) -> Option<&AtomicU64> {
        if at >= self.words() {
            return None;
        }
        // SAFETY: the file has this word (`words` is raised by `grow` alone, after the file has them), so it lies inside the map.
        let word = unsafe { self.map.as_ptr().add(at * WORD) }.cast::<AtomicU64>();
        // SAFETY: a map begins on a page, so the word is aligned; it is mapped as long as `self`, and what is in it, by whatever
        // process, is accessed through `AtomicU64` only.
        Some(unsafe { &*word })
    }

    /// The words from `at` on, for a handle; `None` where the file does not have them.
    pub(crate) fn cells(&'static self, at: usize, len: usize) -> Option<Cells> {
        let last = at.checked_add(len.checked_sub(1)?)?;
        self.word(last)?;
        Some(Cells { first: AtomicPtr::new(std::ptr::from_ref(self.word(at)?).cast_mut()), len })
    }
}

/// Words of a file, whole ones.
fn words_of(file: &File) -> io::Result<usize> {
    usize::try_from(file.metadata()?.len() / WORD as u64).map_err(io::Error::other)
}

/// The cells of one series. A process that was forked points them into a file of its own.
#[derive(Debug)]
pub(crate) struct Cells {
    /// The first of `len` words that stay mapped as long as the process (`Mapping::cells`).
    first: AtomicPtr<AtomicU64>,
    len: usize,
}

impl Cells {
    /// Cells that no file has, all zero: of a series that was removed, in a process that no longer has its file.
    pub(crate) fn nowhere(len: usize) -> Self {
        let cells: Vec<AtomicU64> = (0..len).map(|_| AtomicU64::new(0)).collect();
        Self { first: AtomicPtr::new(Box::leak(cells.into_boxed_slice()).as_mut_ptr()), len }
    }

    /// The number of cells.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The cell at this place.
    ///
    /// # Panics
    /// Where there is none.
    #[inline]
    pub(crate) fn cell(&self, at: usize) -> &'static AtomicU64 {
        assert!(at < self.len, "a series has {} cells", self.len);
        // Relaxed: only the one thread of a forked process changes it, before it starts others, and the drop of a member, of series
        // that were removed. The cells before stay mapped.
        let first = self.first.load(Ordering::Relaxed);
        // SAFETY: `first` has `len` words behind it (`Mapping::cells`, `nowhere`), and `at` is below `len`.
        let cell = unsafe { first.add(at) };
        // SAFETY: these words are never unmapped or freed, aligned, and accessed through `AtomicU64` only.
        unsafe { &*cell }
    }

    /// Points at the same number of other cells.
    pub(crate) fn move_to(&self, other: &Self) {
        assert_eq!(self.len, other.len, "cells of one series");
        self.first.store(other.first.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> (File, std::path::PathBuf) {
        let path = std::env::temp_dir().join(format!("mapping-{}-{name}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        (file.unwrap(), path)
    }

    #[test]
    fn words_are_those_of_the_file_and_no_more() {
        let (file, path) = file("words");
        let mapping = Mapping::leak(&file).unwrap();
        assert!(mapping.word(0).is_none() && mapping.cells(0, 1).is_none());
        mapping.grow(&file, 10).unwrap();
        assert_eq!(mapping.words() * WORD, GROWTH_BYTES);
        mapping.word(9).unwrap().store(7, Ordering::Relaxed);
        let other = Mapping::of(&file).unwrap();
        assert_eq!(other.word(9).unwrap().load(Ordering::Relaxed), 7);
        mapping.word(9).unwrap().store(8, Ordering::Relaxed);
        assert_eq!(other.word(9).unwrap().load(Ordering::Relaxed), 8);
        let end = mapping.words();
        assert!(mapping.word(end).is_none() && mapping.cells(end - 1, 2).is_none());
        assert!(mapping.cells(end - 2, 2).is_some() && mapping.cells(0, 0).is_none());
        assert!(mapping.cells(usize::MAX, 2).is_none());
        let refused = mapping.grow(&file, mapping.map.len() / WORD + 1).unwrap_err();
        assert!(refused.to_string().contains("bytes of metrics"), "{refused}");
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn cells_move_to_others() {
        let (one, other) = (Cells::nowhere(2), Cells::nowhere(2));
        one.cell(1).store(3, Ordering::Relaxed);
        one.move_to(&other);
        assert_eq!(one.cell(1).load(Ordering::Relaxed), 0);
    }
}
