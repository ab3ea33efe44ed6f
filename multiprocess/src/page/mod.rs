//! The metrics of all processes of a directory, added up.

mod merge;
mod source;

use crate::slot::{file_name, number_of_file};
use merge::Merge;
use std::fs::File;
use std::io;
use std::path::Path;

/// The metrics of all processes of a directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The families, in the order in which their first series were made, as long as no room is used again.
    pub families: Vec<Family>,
    /// Files that were read: one for each process that ran at the same time as others.
    pub files: u32,
    /// Series that found no room, of all processes so far.
    pub refused: u64,
    /// Families that have the name of one of `families` and another kind, mode or buckets; they are not on the page. Of those with the
    /// same name, one that a running process uses is on it.
    pub conflicts: Vec<String>,
}

/// A family of all processes.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// The name. Counters `n` and `n_total` of several processes are one family, with the name that the first one gave: clients of
    /// Python name a counter without its suffix.
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
    /// Names and values; `pid` is the last one where each process has a series of its own and has not named a label so.
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
    /// The value of a counter or gauge.
    Number(f64),
    /// The value of a histogram: observations of each bucket, not those of the buckets below, the last one without a bound; and
    /// the sum.
    Histogram(Vec<u64>, f64),
    /// The value of a summary: the count and the sum.
    Summary(u64, f64),
}

impl Page {
    /// Reads the metrics of all processes of a directory.
    ///
    /// Cost: linear in the records of all files; three times that where families conflict. Takes no lock that recordings, or processes that join, wait for.
    ///
    /// # Errors
    /// When the directory or a file of it cannot be opened or mapped.
    pub fn read(directory: impl AsRef<Path>) -> io::Result<Self> {
        let directory = directory.as_ref();
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            numbers.extend(entry?.file_name().to_str().and_then(number_of_file));
        }
        numbers.sort_unstable();
        let read = |mut merge: Merge| -> io::Result<Merge> {
            for &number in &numbers {
                let path = directory.join(file_name(number));
                // The open of a pipe would wait for a process that writes it.
                if std::fs::metadata(&path).is_ok_and(|it| !it.is_file()) {
                    continue;
                }
                match File::open(path) {
                    // Deleted meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    file => merge.add(&file?)?,
                }
            }
            Ok(merge)
        };
        let mut merge = read(Merge::default())?;
        if merge.has_conflicts() {
            // Only then, because whether a process runs is seen from its lock, which takes two calls of the system for each file.
            let used = read(Merge::that_looks_for_users())?.used();
            merge = read(Merge::that_prefers(used))?;
        }
        Ok(merge.page())
    }
}
