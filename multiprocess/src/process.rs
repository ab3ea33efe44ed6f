//! A process among those that share a directory: its file, and the series that it has there.

use crate::error::Error;
use crate::mapping::Cells;
use crate::member::{Member, Series, State};
use crate::metrics::{Counter, Gauge, Histogram, Summary};
use crate::mode::Mode;
use crate::page::Page;
use crate::record::{self, Kind};
use crate::slot::{FamilyRecord, Slot, Taken, file_name};
use dynamo_metrics_core::Buckets;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;

/// Processes that share a directory at the same time. Each page reads the files of all of them.
pub const PROCESSES_MAX: u32 = 4096;

/// Bytes of a family's name, help, unit and names of labels together, and of a series' values.
pub const STRINGS_BYTES_MAX: usize = 1 << 16;

/// Looks at all files before one is made. A reader that looks whether a process runs has the lock of its file for a moment, and so
/// has a program that was started, until it is loaded, that of the process that started it.
const LOOKS: u32 = 4;
const LOOK_PAUSE: Duration = Duration::from_micros(500);

/// The name, the help and the labels of a series.
///
/// ```
/// use dynamo_metrics_multiprocess::Opts;
///
/// let opts = Opts::new("requests_total", "Requests.").label("model", "qwen").unit("requests");
/// assert_eq!(opts.name(), "requests_total");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opts {
    name: String,
    help: String,
    unit: String,
    label_names: Vec<String>,
    label_values: Vec<String>,
}

impl Opts {
    /// A series without labels. Names are checked where the page is written.
    pub fn new(name: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            unit: String::new(),
            label_names: Vec::new(),
            label_values: Vec::new(),
        }
    }

    /// Adds a label; one of a name that is there already takes its place. Series of one family may have different labels.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        match self.label_names.iter().position(|other| *other == name) {
            Some(at) => self.label_values[at] = value,
            None => {
                self.label_names.push(name);
                self.label_values.push(value);
            }
        }
        self
    }

    /// Sets the unit, which OpenMetrics has.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = unit.into();
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn check(&self) -> Result<(), Error> {
        let bytes = |strings: &[String]| strings.iter().map(|it| it.len() + 4).sum::<usize>();
        let family = self.name.len() + self.help.len() + self.unit.len() + bytes(&self.label_names);
        let longest = family.max(bytes(&self.label_values));
        if self.name.is_empty() {
            return Err(Error::Nameless);
        }
        if longest > STRINGS_BYTES_MAX {
            let (name, max) = (self.name.clone(), STRINGS_BYTES_MAX);
            return Err(Error::TooLong { name, bytes: longest, max });
        }
        Ok(())
    }
}

/// This process among those that share a directory.
///
/// A recording is an atomic addition to memory of a file, so it is in the page of every process at once, and the end of this
/// process, however it comes, loses none. Cost of a recording: an atomic read-modify-write.
///
/// Clones are the same process. The last one that is dropped gives the file to the next process that joins; handles stay valid.
///
/// ```
/// use dynamo_metrics_multiprocess::{Mode, Opts, Processes, Value};
///
/// let directory = std::env::temp_dir().join(format!("doc-processes-{}", std::process::id()));
/// let processes = Processes::join(&directory)?;
/// let requests = processes.counter(&Opts::new("requests_total", "Requests.").label("model", "qwen"))?;
/// requests.add(2.0);
/// processes.gauge(&Opts::new("queued", "Requests that wait."), Mode::LiveSum)?.set(3.0);
///
/// // Any process reads the page of all.
/// let page = processes.read()?;
/// let values: Vec<_> = page.families.iter().map(|family| &family.series[0].value).collect();
/// assert_eq!(values, [&Value::Number(2.0), &Value::Number(3.0)]);
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Processes(Arc<Member>);

impl Processes {
    /// Joins the processes of a directory, which is made if there is none. Takes over the file of a process that ended, with its
    /// counts, or makes one. Best on a file system in memory (`/dev/shm`): on a disk, pages are written back now and then.
    ///
    /// # Errors
    /// When the directory or the file cannot be made or mapped, and when [`PROCESSES_MAX`] processes run there.
    pub fn join(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let given = directory.as_ref();
        // A program that changes its present directory later, and its forks, stay with the same one.
        let directory = std::path::absolute(given)
            .map_err(|source| Error::Join { directory: given.into(), source })?;
        let failed = |source| Error::Join { directory: directory.clone(), source };
        std::fs::create_dir_all(&directory).map_err(failed)?;
        let slot = take_slot(&directory).map_err(failed)?;
        let state = State {
            slot,
            pid: std::process::id(),
            generation: 0,
            families: Vec::new(),
            by_key: HashMap::new(),
            series: HashMap::new(),
            removed: Vec::new(),
        };
        Ok(Self(Arc::new(Member { directory, state: Mutex::new(state) })))
    }

    /// Gives a forked process a file of its own, and points all handles there. To be called in the child, before it starts threads.
    ///
    /// A child that does not call it records into its parent's file: counts stay exact, and gauges are those of the parent. It can create
    /// and remove no series.
    ///
    /// # Errors
    /// As [`join`](Self::join), and when the process was forked while another thread made a series. Then the handles stay as
    /// they are.
    pub fn rejoin(&self) -> Result<(), Error> {
        let directory = &self.0.directory;
        let failed = |source| Error::Join { directory: directory.clone(), source };
        let mut guard = match self.0.state.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let why = "the process was forked while another thread made a series";
                return Err(failed(io::Error::new(io::ErrorKind::WouldBlock, why)));
            }
        };
        let state = &mut *guard;
        let mut slot = take_slot(directory).map_err(failed)?;
        // All of them first: an error must leave none in a file that the next process takes.
        let mut moves = Vec::with_capacity(state.series.len());
        for (key, series) in &state.series {
            let of = &state.families[key.0];
            let family = slot.family(of).map_err(failed)?;
            moves.push((series, slot.series(family, of, &key.1).map_err(failed)?));
        }
        for (series, (at, cells)) in moves {
            series.cells.move_to(&cells);
            series.at.store(at, Ordering::Relaxed);
            series.generation.store(state.generation + 1, Ordering::Relaxed);
        }
        for removed in state.removed.drain(..).filter_map(|it| it.upgrade()) {
            removed.cells.move_to(&Cells::nowhere(removed.cells.len()));
        }
        // Closes the parent's file here; the parent has its lock still.
        state.slot = slot;
        state.pid = std::process::id();
        state.generation += 1;
        Ok(())
    }

    /// Returns the directory, as an absolute path.
    pub fn directory(&self) -> &Path {
        &self.0.directory
    }

    /// Reads the metrics of all processes of the directory.
    ///
    /// # Errors
    /// When the directory cannot be read. A file that is no file of metrics is left out.
    pub fn read(&self) -> io::Result<Page> {
        Page::read(&self.0.directory)
    }

    /// Returns the counter of this name and these labels; a second call returns a handle of the same one.
    ///
    /// # Errors
    /// When the name is empty, strings are longer than [`STRINGS_BYTES_MAX`], or the file cannot grow. The same holds for the other
    /// kinds.
    pub fn counter(&self, opts: &Opts) -> Result<Counter, Error> {
        self.series(opts, Kind::Counter, &[]).map(Counter::new)
    }

    /// Returns the gauge of this name and these labels, whose values in all processes become one as `mode` says.
    ///
    /// # Errors
    /// As [`counter`](Self::counter).
    pub fn gauge(&self, opts: &Opts, mode: Mode) -> Result<Gauge, Error> {
        Ok(Gauge::new(self.series(opts, Kind::Gauge(mode), &[])?, mode))
    }

    /// Returns the histogram of this name, these labels and these buckets.
    ///
    /// # Errors
    /// As [`counter`](Self::counter).
    pub fn histogram(&self, opts: &Opts, buckets: &Buckets) -> Result<Histogram, Error> {
        let series = self.series(opts, Kind::Histogram, buckets.bounds())?;
        Ok(Histogram::new(series, Some(buckets.clone())))
    }

    /// Returns a histogram of which the caller finds the buckets: [`Histogram::observe_in`]. `bounds` ascend and are on the page as
    /// they are; behind them is the bucket without a bound.
    ///
    /// # Errors
    /// As [`counter`](Self::counter).
    pub fn histogram_of_bounds(&self, opts: &Opts, bounds: &[f64]) -> Result<Histogram, Error> {
        Ok(Histogram::new(self.series(opts, Kind::Histogram, bounds)?, None))
    }

    /// Returns the summary of this name and these labels: a count and a sum.
    ///
    /// # Errors
    /// As [`counter`](Self::counter).
    pub fn summary(&self, opts: &Opts) -> Result<Summary, Error> {
        self.series(opts, Kind::Summary, &[]).map(Summary::new)
    }

    /// Removes this process's share of a series; those of others stay. Recordings by handles that are left are on no page. The room
    /// is used again when the last handle is dropped. Returns whether there was one. A part of a program that may not be the only one
    /// with a series calls [`Counter::remove`] and its like.
    pub fn remove(&self, opts: &Opts) -> bool {
        let values = values(opts);
        // Declared before the lock, so that it is dropped after it in any case: the drop of a series takes the lock.
        let gone: Vec<_>;
        let mut state = self.0.lock();
        if state.pid != std::process::id() {
            return false; // forked, and not joined again
        }
        let State { series, families, .. } = &mut *state;
        let of = families.iter().enumerate().filter(|(_, family)| is_of(family, opts));
        gone = of.filter_map(|(family, _)| series.remove(&(family, values.clone()))).collect();
        state.hide(&gone);
        !gone.is_empty()
    }

    fn series(&self, opts: &Opts, kind: Kind, bounds: &[f64]) -> Result<Arc<Series>, Error> {
        opts.check()?;
        let family = FamilyRecord { kind, strings: strings(opts), bounds: bounds.into() };
        let family_key = family.key();
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let number = match state.by_key.get(&family_key) {
            Some(&number) => number,
            None => {
                state.families.push(family);
                state.by_key.insert(family_key, state.families.len() - 1);
                state.families.len() - 1
            }
        };
        let key = (number, values(opts));
        if let Some(series) = state.series.get(&key) {
            return Ok(Arc::clone(series));
        }
        if state.pid != std::process::id() {
            return Err(Error::Forked { name: opts.name.clone(), parent: state.pid });
        }
        let of = &state.families[number];
        let made = state.slot.family(of).and_then(|family| state.slot.series(family, of, &key.1));
        let (at, cells) = made.map_err(|source| {
            state.slot.count_refused();
            Error::Series { name: opts.name.clone(), source }
        })?;
        let series = Arc::new(Series {
            member: Arc::downgrade(&self.0),
            cells,
            key: key.clone(),
            at: at.into(),
            generation: state.generation.into(),
            is_removed: AtomicBool::new(false),
        });
        state.series.insert(key, Arc::clone(&series));
        Ok(series)
    }
}

/// Takes the first file that no process has, or makes one.
fn take_slot(directory: &Path) -> io::Result<Slot> {
    let mut refused = BTreeMap::new();
    for _ in 1..LOOKS {
        match look_for_slot(directory, false, &mut refused) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Ok(Some(slot)) => return Ok(slot),
            Ok(None) => std::thread::sleep(LOOK_PAUSE),
            Err(error) => return Err(error),
        }
    }
    if let Some(slot) = look_for_slot(directory, true, &mut refused)? {
        return Ok(slot);
    }
    let why = format!("{PROCESSES_MAX} processes share it already");
    let busy = || io::Error::new(io::ErrorKind::QuotaExceeded, why);
    Err(refused.into_values().flatten().next().unwrap_or_else(busy))
}

/// Takes the first file that no process has. Where it comes to one that is not there, makes it, or returns `None` if processes have
/// some of those before it, and the error `NotFound` if they have none. `refused` are files that are left alone, with the errors.
fn look_for_slot(
    directory: &Path,
    make: bool,
    refused: &mut BTreeMap<u32, Option<io::Error>>,
) -> io::Result<Option<Slot>> {
    let mut is_busy = false;
    for number in 0..PROCESSES_MAX {
        if refused.contains_key(&number) {
            continue;
        }
        match Slot::take(&directory.join(file_name(number)), make) {
            Ok(Taken::Slot(slot)) => return Ok(Some(*slot)),
            Ok(Taken::Busy) => is_busy = true,
            Ok(Taken::Unusable) => _ = refused.insert(number, None),
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_busy => return Ok(None),
            // The file of another user, or no file: the next one may be free.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory
                ) =>
            {
                refused.insert(number, Some(error));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn strings(opts: &Opts) -> Box<[u8]> {
    let mut bytes = Vec::new();
    let names = opts.label_names.iter().map(String::as_str);
    record::pack(&mut bytes, [&*opts.name, &*opts.help, &*opts.unit].into_iter().chain(names));
    bytes.into()
}

fn values(opts: &Opts) -> Box<[u8]> {
    let mut bytes = Vec::new();
    record::pack(&mut bytes, opts.label_values.iter().map(String::as_str));
    bytes.into()
}

/// Returns whether a family has this name and these names of labels, whatever its kind and help.
fn is_of(family: &FamilyRecord, opts: &Opts) -> bool {
    record::unpack(&family.strings).is_some_and(|strings| {
        strings.first() == Some(&opts.name())
            && strings.get(3..).is_some_and(|names| opts.label_names.iter().eq(names))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_file_that_a_reader_has_for_a_moment_is_looked_at_again_before_one_is_made() {
        let directory = std::env::temp_dir().join(format!("process-tests-{}", std::process::id()));
        drop(Processes::join(&directory).unwrap());
        let reader = File::open(directory.join(file_name(0))).unwrap();
        reader.lock_shared().unwrap();
        let look = |make| look_for_slot(&directory, make, &mut BTreeMap::new()).unwrap();
        assert!(look(false).is_none());
        assert!(!directory.join(file_name(1)).exists());
        reader.unlock().unwrap();
        assert!(look(false).is_some());
        reader.lock_shared().unwrap();
        assert!(look(true).is_some(), "another one is made in the end");
        assert!(directory.join(file_name(1)).exists());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
