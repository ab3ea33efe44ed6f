//! The metrics of all processes of a directory, added up.

use crate::mapping::Mapping;
use crate::mode::{Mode, Reading};
use crate::record::{self, Content, Kind, Record, SUM, Tag, gauge};
use crate::slot::{cells_of, file_name, number_of_file};
use std::collections::HashMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

/// The metrics of all processes of a directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// In the order in which processes made them.
    pub families: Vec<Family>,
    /// Files that were read: one for each process that ran at the same time as others.
    pub files: u32,
    /// Series that found no room, of all processes so far.
    pub refused: u64,
    /// Families that have the name of one of `families` and another kind, mode or buckets; they are not on the page.
    pub conflicts: Vec<String>,
}

/// A family of all processes.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name.
    pub name: String,
    /// The help that the first process gave.
    pub help: String,
    /// The unit, or an empty string.
    pub unit: String,
    /// The kind.
    pub kind: FamilyKind,
    /// Upper bounds of the buckets of a histogram, without that of the last bucket, which has none.
    pub bounds: Vec<f64>,
    /// The series.
    pub series: Vec<PageSeries>,
}

/// The kinds of metrics that processes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FamilyKind {
    /// A total that rises.
    Counter,
    /// A value that processes set.
    Gauge,
    /// Counts in buckets, and a sum.
    Histogram,
    /// A count and a sum.
    Summary,
}

/// One series of all processes.
#[derive(Clone, Debug, PartialEq)]
pub struct PageSeries {
    /// Names and values; `pid` is the last one where each process has a series of its own.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: Value,
    /// The newest exemplar of a counter, or of each bucket that has one.
    pub exemplars: Vec<Exemplar>,
}

/// The trace of one increment or observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// The bucket; 0 for a counter.
    pub bucket: usize,
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// The value that was added or observed.
    pub value: f64,
    /// Seconds since 1970.
    pub time: f64,
}

/// The value of a series.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram: observations of each bucket, not those of the buckets below, the last one without a bound; and the sum.
    Histogram(Vec<u64>, f64),
    /// Of a summary: the count and the sum.
    Summary(u64, f64),
}

impl Page {
    /// Reads the metrics of all processes of a directory.
    ///
    /// Cost: linear in the records of all files. Takes no lock that recordings, or processes that join, wait for.
    ///
    /// # Errors
    /// When the directory or a file of it cannot be opened or mapped.
    pub fn read(directory: impl AsRef<Path>) -> io::Result<Self> {
        let mut merge = Merge::default();
        let directory = directory.as_ref();
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            numbers.extend(entry?.file_name().to_str().and_then(number_of_file));
        }
        numbers.sort_unstable();
        for number in numbers {
            match File::open(directory.join(file_name(number))) {
                // Deleted meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                file => merge.add(&file?)?,
            }
        }
        Ok(merge.page())
    }
}

/// A page that is being read.
#[derive(Default)]
struct Merge {
    page: Page,
    by_name: HashMap<String, usize>,
    modes: Vec<Mode>,
    /// The names of labels that series of any family have.
    shapes: HashMap<Vec<String>, usize>,
    series: HashMap<(usize, usize, Vec<u8>), usize>,
    /// Of each series of a gauge, by family and place; the time of its value.
    times: HashMap<(usize, usize), f64>,
}

/// A family of one file.
struct Known {
    kind: Kind,
    /// Cells of a series.
    cells: usize,
    family: usize,
    shape: usize,
    names: Vec<String>,
}

/// The place of a series on the page, and the state of its record.
struct Placed {
    family: usize,
    series: usize,
    state: u64,
}

/// Returns the first word and the state of the series of an exemplar, and the exemplar.
fn exemplar(content: &Content, mapping: &Mapping) -> Option<(usize, u64, Exemplar)> {
    let cell = |at: usize| mapping.word(content.cells_at + at).map(|it| it.load(Ordering::Relaxed));
    let strings = record::unpack(&content.strings)?;
    let (pairs, []) = strings.as_chunks() else { return None };
    let labels = pairs.iter().map(|&[name, value]| (name.to_owned(), value.to_owned())).collect();
    let bucket = usize::try_from(cell(record::exemplar::BUCKET)?).ok()?;
    let value = f64::from_bits(cell(record::exemplar::VALUE)?);
    let time = f64::from_bits(cell(record::exemplar::TIME)?);
    let state = cell(record::exemplar::STATE)?;
    Some((content.family, state, Exemplar { bucket, labels, value, time }))
}

/// A file that is being read.
struct Source<'f> {
    file: &'f File,
    mapping: &'f Mapping,
    pid: u64,
    /// Whether its process runs, once that was asked.
    runs: Option<bool>,
}

impl Merge {
    fn add(&mut self, file: &File) -> io::Result<()> {
        let mapping = Mapping::of(file)?;
        let header = |at| mapping.word(at).map_or(0, |word| word.load(Ordering::Acquire));
        if header(record::MAGIC_AT) != record::MAGIC {
            return Ok(()); // being made, or not ours
        }
        self.page.files += 1;
        self.page.refused += header(record::REFUSED_AT);
        let pid = header(record::PID_AT);
        let mut source = Source { file, mapping: &mapping, pid, runs: None };
        let mut known: HashMap<usize, Option<Known>> = HashMap::new();
        let mut placed: HashMap<usize, Placed> = HashMap::new();
        let mut exemplars = Vec::new();
        for record in record::records(&mapping) {
            let state = record.state();
            let Some(content) = record.read() else { continue };
            match record.tag {
                Tag::Family => {
                    _ = known.insert(record.at, self.family(&record, &content, &mapping))
                }
                Tag::Series => {
                    let Some(Some(known)) = known.get(&content.family) else { continue };
                    // Of a damaged file.
                    if (known.kind, known.cells) != (record.kind, content.cells) {
                        continue;
                    }
                    let value = source.value(record.kind, &content)?;
                    // Not of the series that has the record now.
                    if !record.is_still(state) {
                        continue;
                    }
                    let place = self.add_series(known, &content.strings, value, source.pid);
                    if let Some(series) = place {
                        let placed_now = Placed { family: known.family, series, state };
                        placed.insert(record.at, placed_now);
                    }
                }
                Tag::Exemplar => {
                    let found = exemplar(&content, &mapping);
                    exemplars.extend(found.filter(|_| record.is_still(state)));
                }
            }
        }
        for (series, state, exemplar) in exemplars {
            if let Some(place) = placed.get(&series).filter(|place| place.state == state) {
                self.add_exemplar(place, exemplar);
            }
        }
        Ok(())
    }

    /// Returns the family of the page that one of a file is a part of; `None` where its name is taken.
    fn family(
        &mut self,
        record: &Record<'_>,
        content: &Content,
        mapping: &Mapping,
    ) -> Option<Known> {
        let strings = record::unpack(&content.strings)?;
        let [name, help, unit, names @ ..] = strings.as_slice() else { return None };
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let bound = |at| Some(f64::from_bits(mapping.word(at)?.load(Ordering::Relaxed)));
        let cells = content.cells_at..content.cells_at + content.cells;
        let bounds = cells.map(bound).collect::<Option<Vec<f64>>>()?;
        let (kind, mode) = match record.kind {
            Kind::Counter => (FamilyKind::Counter, Mode::default()),
            Kind::Gauge(mode) => (FamilyKind::Gauge, mode),
            Kind::Histogram => (FamilyKind::Histogram, Mode::default()),
            Kind::Summary => (FamilyKind::Summary, Mode::default()),
        };
        let family = match self.by_name.get(*name) {
            Some(&at) => {
                let other = &self.page.families[at];
                let bits =
                    |bounds: &[f64]| bounds.iter().map(|it| it.to_bits()).collect::<Vec<_>>();
                let same = (other.kind, self.modes[at]) == (kind, mode);
                if !same || bits(&other.bounds) != bits(&bounds) {
                    if !self.page.conflicts.iter().any(|other| other == name) {
                        self.page.conflicts.push((*name).into());
                    }
                    return None;
                }
                at
            }
            None => {
                let (name, help, unit) = ((*name).into(), (*help).into(), (*unit).into());
                let series = Vec::new();
                self.page.families.push(Family { name, help, unit, kind, bounds, series });
                self.modes.push(mode);
                let at = self.modes.len() - 1;
                self.by_name.insert(self.page.families[at].name.clone(), at);
                at
            }
        };
        let shapes = self.shapes.len();
        let shape = *self.shapes.entry(names.clone()).or_insert(shapes);
        let cells = cells_of(record.kind, content.cells);
        Some(Known { kind: record.kind, cells, family, shape, names })
    }

    /// Adds the value of a series; returns its place in the family.
    fn add_series(
        &mut self,
        known: &Known,
        values: &[u8],
        value: Option<(Value, f64)>,
        pid: u64,
    ) -> Option<usize> {
        let (value, time) = value?;
        let mut key = values.to_vec();
        let each = matches!(known.kind, Kind::Gauge(mode) if mode.is_each());
        if each {
            key.extend_from_slice(&pid.to_le_bytes());
        }
        let all = &mut self.page.families[known.family].series;
        let key = (known.family, known.shape, key);
        let Some(&at) = self.series.get(&key) else {
            let values = record::unpack(values)?;
            let names = known.names.iter().cloned();
            let mut labels: Vec<_> = names.zip(values.into_iter().map(str::to_owned)).collect();
            if each {
                labels.push(("pid".into(), pid.to_string()));
            }
            all.push(PageSeries { labels, value, exemplars: Vec::new() });
            self.times.insert((known.family, all.len() - 1), time);
            self.series.insert(key, all.len() - 1);
            return Some(all.len() - 1);
        };
        match (&mut all[at].value, value) {
            (Value::Number(all), Value::Number(value)) => match known.kind {
                Kind::Gauge(mode) => {
                    let times = self.times.entry((known.family, at)).or_default();
                    let before = Reading { value: *all, time: *times };
                    let merged = mode.merge(before, Reading { value, time });
                    (*all, *times) = (merged.value, merged.time);
                }
                _ => *all += value,
            },
            (Value::Histogram(counts, sum), Value::Histogram(others, other)) => {
                for (count, other) in counts.iter_mut().zip(others) {
                    *count = count.wrapping_add(other);
                }
                *sum += other;
            }
            (Value::Summary(count, sum), Value::Summary(others, other)) => {
                *count = count.wrapping_add(others);
                *sum += other;
            }
            _ => {}
        }
        Some(at)
    }

    /// Keeps the newest exemplar of each bucket.
    fn add_exemplar(&mut self, place: &Placed, exemplar: Exemplar) {
        let all = &mut self.page.families[place.family].series[place.series].exemplars;
        match all.iter_mut().find(|other| other.bucket == exemplar.bucket) {
            Some(other) if other.time <= exemplar.time => *other = exemplar,
            Some(_) => {}
            None => all.push(exemplar),
        }
    }

    fn page(mut self) -> Page {
        // Of a family without series there is nothing to say.
        self.page.families.retain(|family| !family.series.is_empty());
        self.page
    }
}

impl Source<'_> {
    /// Returns the value of a series and, of a gauge, when it was set. `None` where it has none that counts.
    fn value(&mut self, kind: Kind, content: &Content) -> io::Result<Option<(Value, f64)>> {
        let cell = |at: usize| {
            // Acquire pairs with the Release of a sum: the counts that are read after it have its observations.
            self.mapping.word(content.cells_at + at).map_or(0, |word| word.load(Ordering::Acquire))
        };
        let float = |at| f64::from_bits(cell(at));
        let value = match kind {
            Kind::Counter => Value::Number(float(0)),
            Kind::Histogram => {
                let sum = float(SUM);
                Value::Histogram((1..content.cells).map(cell).collect(), sum)
            }
            Kind::Summary => {
                let sum = float(SUM);
                Value::Summary(cell(1), sum)
            }
            Kind::Gauge(mode) => {
                let present = Reading { value: float(gauge::VALUE), time: float(gauge::TIME) };
                let past =
                    Reading { value: float(gauge::PAST_VALUE), time: float(gauge::PAST_TIME) };
                let (is_set, past_is_set) =
                    (cell(gauge::IS_SET) != 0, cell(gauge::PAST_IS_SET) != 0);
                let counts = is_set && (!mode.is_live() || self.runs()?);
                let merged = match (counts, past_is_set) {
                    (true, true) => mode.merge(past, present),
                    (true, false) => present,
                    (false, true) => past,
                    (false, false) => return Ok(None),
                };
                return Ok(Some((Value::Number(merged.value), merged.time)));
            }
        };
        Ok(Some((value, 0.0)))
    }

    /// Whether the process runs, by the lock that it has.
    fn runs(&mut self) -> io::Result<bool> {
        if let Some(runs) = self.runs {
            return Ok(runs);
        }
        let runs = match self.file.try_lock_shared() {
            Ok(()) => {
                self.file.unlock()?;
                false
            }
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(error)) => return Err(error),
        };
        self.runs = Some(runs);
        Ok(runs)
    }
}
