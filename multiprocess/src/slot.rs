//! The file of one process: the process that has its lock writes the records; forked processes may write the cells, too.
//!
//! The kernel releases the lock when a process ends, however it ends. **The next process that joins takes the file over with its
//! counts in it** and finds its own series there, so there are as many files as there were processes at the same time, and no
//! count is ever moved.

use crate::mapping::{Cells, Mapping};
use crate::mode::Reading;
use crate::record::{self, Content, Kind, Tag, exemplar, gauge};
use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

/// The outcome of taking a file.
#[derive(Debug)]
pub(crate) enum Taken {
    Slot(Box<Slot>),
    /// Another process has its lock.
    Busy,
    /// The file is damaged, or has another format; it is not changed.
    Unusable,
}

/// A file that this process has.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Locked as long as it is open, which it is here and in processes that were forked and did not join again.
    file: File,
    mapping: &'static Mapping,
    /// First words of the families, by what tells them apart.
    families: HashMap<Box<[u8]>, usize>,
    /// Series that a process had before.
    inherited: Inherited,
    /// Records of exemplars, by the first word of their series.
    exemplars: HashMap<usize, Vec<ExemplarRecord>>,
    /// First words of records that are not in use, by length.
    free: HashMap<usize, Vec<usize>>,
}

/// The record of the newest exemplar of a bucket.
#[derive(Clone, Copy, Debug)]
struct ExemplarRecord {
    bucket: usize,
    at: usize,
    words: usize,
}

/// First words of series, and numbers of their cells, by family and values.
type Inherited = HashMap<(usize, Box<[u8]>), (usize, usize)>;

/// A family as a file has it.
#[derive(Clone, Debug)]
pub(crate) struct FamilyRecord {
    pub(crate) kind: Kind,
    /// Name, help, unit and names of labels.
    pub(crate) strings: Box<[u8]>,
    pub(crate) bounds: Box<[f64]>,
}

impl FamilyRecord {
    /// Returns what tells it apart from others.
    pub(crate) fn key(&self) -> Box<[u8]> {
        let bounds = self.bounds.iter().flat_map(|bound| bound.to_ne_bytes());
        self.kind.bytes().into_iter().chain(bounds).chain(self.strings.iter().copied()).collect()
    }

    /// Returns the number of cells of a series.
    pub(crate) fn cells(&self) -> usize {
        cells_of(self.kind, self.bounds.len())
    }
}

/// Returns the number of cells of a series of a family with so many bounds.
pub(crate) fn cells_of(kind: Kind, bounds: usize) -> usize {
    match kind {
        Kind::Counter => 1,
        Kind::Gauge(_) => gauge::CELLS,
        // The sum, the buckets, and the one without a bound.
        Kind::Histogram => bounds + 2,
        Kind::Summary => 2,
    }
}

const NAME: (&str, &str) = ("process-", ".metrics");

/// The name of the file of this number.
pub(crate) fn file_name(number: u32) -> String {
    format!("{}{number}{}", NAME.0, NAME.1)
}

/// The number of the file of this name, if it is the name of one. A copy with zeros before its number is none.
pub(crate) fn number_of_file(name: &str) -> Option<u32> {
    let number = name.strip_prefix(NAME.0)?.strip_suffix(NAME.1)?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}

impl Slot {
    /// Takes the file at `path`; if there is none, makes it or returns the error `NotFound`.
    pub(crate) fn take(path: &Path, make: bool) -> io::Result<Taken> {
        // A pipe, a socket or a device; a directory has an error of its own.
        if std::fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir()) {
            return Ok(Taken::Unusable);
        }
        let file =
            File::options().read(true).write(true).create(make).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(Taken::Busy),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Opened once more, because a map keeps what it was made from open, and with it the lock, in forked processes, too.
        let mapping = Mapping::leak(&File::options().read(true).write(true).open(path)?)?;
        let mut slot = Self {
            file,
            mapping,
            families: HashMap::new(),
            inherited: HashMap::new(),
            exemplars: HashMap::new(),
            free: HashMap::new(),
        };
        match slot.header(record::MAGIC_AT) {
            // A process that made a file and was killed left no magic number.
            None | Some(0) => slot.begin()?,
            Some(record::MAGIC) if slot.inherit() => {}
            Some(_) => return Ok(Taken::Unusable),
        }
        slot.set_header(record::PID_AT, std::process::id().into());
        Ok(Taken::Slot(Box::new(slot)))
    }

    fn header(&self, at: usize) -> Option<u64> {
        self.mapping.word(at).map(|word| word.load(Ordering::Relaxed))
    }

    fn set_header(&self, at: usize, value: u64) {
        if let Some(word) = self.mapping.word(at) {
            // Release pairs with the Acquire in `records`: what is below `used` is complete.
            word.store(value, Ordering::Release);
        }
    }

    fn begin(&self) -> io::Result<()> {
        self.mapping.grow(&self.file, record::HEADER_WORDS)?;
        self.set_header(record::USED_AT, record::HEADER_WORDS as u64);
        self.set_header(record::MAGIC_AT, record::MAGIC);
        Ok(())
    }

    /// Finds what the file has, and makes its gauges those of a process that ended. False where the file is damaged.
    fn inherit(&mut self) -> bool {
        let mapping = self.mapping;
        let end =
            record::records(mapping).last().map_or(record::HEADER_WORDS, |it| it.at + it.words);
        // A record behind one that makes no sense would never be read.
        if self.header(record::USED_AT) != Some(end as u64) {
            return false;
        }
        for record in record::records(mapping) {
            let Some(content) = record.read() else {
                self.free.entry(record.words).or_default().push(record.at);
                continue;
            };
            match record.tag {
                Tag::Family => {
                    let bits = (0..content.cells).filter_map(|at| {
                        mapping.word(content.cells_at + at).map(|it| it.load(Ordering::Relaxed))
                    });
                    let bounds = bits.map(f64::from_bits).collect();
                    let strings = content.strings.into();
                    let family = FamilyRecord { kind: record.kind, strings, bounds };
                    self.families.insert(family.key(), record.at);
                    // That this process has the number of the one before does not make it use the family.
                    record::claim(mapping, record.at, 0);
                }
                Tag::Series => {
                    end_gauge(mapping, record.kind, &content);
                    let key = (content.family, content.strings.into());
                    self.inherited.insert(key, (record.at, content.cells));
                }
                Tag::Exemplar => {
                    let bucket = mapping.word(content.cells_at + exemplar::BUCKET);
                    let bucket = bucket.map_or(0, |it| it.load(Ordering::Relaxed)) as usize;
                    let one = ExemplarRecord { bucket, at: record.at, words: record.words };
                    self.exemplars.entry(content.family).or_default().push(one);
                }
            }
        }
        true
    }

    /// Returns the first word of a family, which is written if it is not there yet, and from now on is one that this process uses.
    pub(crate) fn family(&mut self, family: &FamilyRecord) -> io::Result<usize> {
        let key = family.key();
        let pid = std::process::id();
        if let Some(&at) = self.families.get(&key) {
            record::claim(self.mapping, at, pid);
            return Ok(at);
        }
        let bounds = family.bounds.iter().map(|bound| bound.to_bits());
        let (at, _) =
            self.add((Tag::Family, family.kind), pid as usize, &family.strings, bounds)?;
        self.families.insert(key, at);
        Ok(at)
    }

    /// Returns the first word and the cells of a series: of one that a process before this one had, or of a new one.
    pub(crate) fn series(
        &mut self,
        family: usize,
        of: &FamilyRecord,
        values: &[u8],
    ) -> io::Result<(usize, Cells)> {
        let len = of.cells();
        let inherited = self.inherited.remove(&(family, values.into()));
        if let Some((at, cells)) = inherited.filter(|&(_, cells)| cells == len) {
            let first = at + record::words_before_cells(values.len());
            if let Some(cells) = self.mapping.cells(first, cells) {
                set_gauge(of.kind, &cells);
                return Ok((at, cells));
            }
        }
        let zeros = std::iter::repeat_n(0, len);
        let (at, first) = self.add((Tag::Series, of.kind), family, values, zeros)?;
        let cells = self.mapping.cells(first, len).ok_or_else(short)?;
        set_gauge(of.kind, &cells);
        Ok((at, cells))
    }

    /// Writes the newest exemplar of a bucket of the series at `series`. `strings` has names and values of labels in turn.
    pub(crate) fn exemplify(
        &mut self,
        series: usize,
        (kind, bucket): (Kind, usize),
        strings: &[u8],
        reading: Reading,
    ) -> io::Result<()> {
        let state = record::state(self.mapping, series).ok_or_else(short)?.load(Ordering::Relaxed);
        let mut cells = [0; exemplar::CELLS];
        cells[exemplar::BUCKET] = bucket as u64;
        cells[exemplar::VALUE] = reading.value.to_bits();
        cells[exemplar::TIME] = reading.time.to_bits();
        cells[exemplar::STATE] = state;
        // The record of the one before is free first, so that the new one takes it if it is as long.
        let all = self.exemplars.entry(series).or_default();
        if let Some(place) = all.iter().position(|one| one.bucket == bucket) {
            let one = all.swap_remove(place);
            self.give_up(one);
        }
        let (at, _) = self.add((Tag::Exemplar, kind), series, strings, cells.into_iter())?;
        let words = record::words_for(strings.len(), exemplar::CELLS);
        self.exemplars.entry(series).or_default().push(ExemplarRecord { bucket, at, words });
        Ok(())
    }

    fn give_up(&mut self, one: ExemplarRecord) {
        record::end_use(self.mapping, one.at);
        self.free.entry(one.words).or_default().push(one.at);
    }

    /// Takes the record of a series out of use, and those of its exemplars. Its cells stay as they are until [`recycle`](Self::recycle).
    pub(crate) fn hide(&mut self, at: usize) {
        record::end_use(self.mapping, at);
        for one in self.exemplars.remove(&at).unwrap_or_default() {
            self.give_up(one);
        }
    }

    /// Lets another series have a record. No handle may have its cells.
    pub(crate) fn recycle(&mut self, at: usize, bytes: usize, cells: usize) {
        self.free.entry(record::words_for(bytes, cells)).or_default().push(at);
    }

    /// Counts a series that found no room.
    pub(crate) fn count_refused(&self) {
        if let Some(refused) = self.mapping.word(record::REFUSED_AT) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn add(
        &mut self,
        of: (Tag, Kind),
        family: usize,
        strings: &[u8],
        cells: impl ExactSizeIterator<Item = u64>,
    ) -> io::Result<(usize, usize)> {
        let words = record::words_for(strings.len(), cells.len());
        let reused = self.free.get_mut(&words).and_then(Vec::pop);
        let at = match reused {
            Some(at) => at,
            None => {
                let used = self.header(record::USED_AT).unwrap_or(0) as usize;
                let at = used.max(record::HEADER_WORDS);
                self.mapping.grow(&self.file, at + words)?;
                // A process that was killed before it raised `used` may have left something here.
                if let Some(state) = record::state(self.mapping, at) {
                    state.store(0, Ordering::Relaxed);
                }
                at
            }
        };
        let first =
            record::write(self.mapping, at, words, of, family, strings, cells).ok_or_else(short)?;
        record::begin_use(self.mapping, at);
        if reused.is_none() {
            self.set_header(record::USED_AT, (at + words) as u64);
        }
        Ok((at, first))
    }
}

fn short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than its records")
}

/// Makes what a process set a value of the past, or forgets it where only processes that run count.
fn end_gauge(mapping: &Mapping, kind: Kind, content: &Content) {
    let Kind::Gauge(mode) = kind else { return };
    let cell = |at: usize| mapping.word(content.cells_at + at);
    let get = |at| cell(at).map_or(0, |cell| cell.load(Ordering::Relaxed));
    let set = |at, value| _ = cell(at).map(|cell| cell.store(value, Ordering::Relaxed));
    if content.cells < gauge::CELLS || get(gauge::IS_SET) == 0 {
        return;
    }
    if !mode.is_live() && !mode.is_each() {
        let reading = |value, time| Reading {
            value: f64::from_bits(get(value)),
            time: f64::from_bits(get(time)),
        };
        let mut past = reading(gauge::VALUE, gauge::TIME);
        if get(gauge::PAST_IS_SET) != 0 {
            past = mode.merge(reading(gauge::PAST_VALUE, gauge::PAST_TIME), past);
        }
        set(gauge::PAST_VALUE, past.value.to_bits());
        set(gauge::PAST_TIME, past.time.to_bits());
        set(gauge::PAST_IS_SET, 1);
    }
    set(gauge::IS_SET, 0);
}

/// Makes a gauge one that this process has: 0 until it sets it.
fn set_gauge(kind: Kind, cells: &Cells) {
    if matches!(kind, Kind::Gauge(_)) {
        for (at, value) in [(gauge::VALUE, 0), (gauge::TIME, 0), (gauge::IS_SET, 1)] {
            cells.cell(at).store(value, Ordering::Relaxed);
        }
    }
}
