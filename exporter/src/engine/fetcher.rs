//! The thread of one source, and the copy of its text that scrapes use.
//!
//! ```text
//! want    -> joins the fetch in progress, or wakes the thread, which the first call starts
//! collect -> waits for the end of the fetch, then returns the last good copy. The wait ends after ENGINE_REFRESH_WAIT
//!            where there is a copy or the last fetch was late; else after the source's timeout
//! thread  -> reads the source into the spare buffer and swaps it with the copy
//! ```
//!
//! **Never two fetches at a time**: a source that hangs holds this one thread, and delays only the first scrape.
//! There are two buffers, so that a copy can be merged while the next is read, and in steady state
//! neither is allocated again. The lock is held for a few instructions, and no lock is held while the source's closure runs.

use super::sample_limit::{ENGINE_SAMPLES_MAX, cut_samples};
use super::{EngineError, EngineSource};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Largest age of an engine's last good copy that is still served: four scrapes at Prometheus' usual 15 seconds, so that a
/// restart of the engine leaves no gap and the end of an engine shows within a minute.
pub const ENGINE_COPY_AGE_MAX: Duration = Duration::from_secs(60);
/// Longest time that a scrape waits for a source that has a good copy, or whose last fetch was late. The page has the present
/// text of a quick source; the text of a slower one is for the next scrape, and this one has the copy with its age. So only the
/// first scrape of a source may wait for its whole timeout.
pub const ENGINE_REFRESH_WAIT: Duration = Duration::from_millis(50);

/// Linux cuts thread names at 15 bytes.
const THREAD_NAME_BYTES_MAX: usize = 15;
/// A buffer above this is freed when less than a quarter of it was used, so that one huge text does not hold its memory
/// until the process ends.
const BUFFER_KEPT_BYTES_MAX: usize = 1 << 20;

/// The scrapes' side of a source's thread. Dropping it ends the thread, at the end of a read in progress.
#[derive(Debug)]
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    /// [`ENGINE_REFRESH_WAIT`]; longer in tests.
    refresh_wait: Duration,
}

#[derive(Debug)]
struct Shared {
    source: EngineSource,
    state: Mutex<State>,
    wanted: Condvar,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct State {
    thread: bool,
    closed: bool,
    /// The begin of the fetch in flight.
    in_flight: Option<Instant>,
    /// Number of fetches that ended.
    fetches: u64,
    /// True if the last of them brought the copy.
    succeeded: bool,
    /// Duration of the last of them.
    took: Duration,
    /// The last good copy.
    copy: Option<Copy>,
    /// Events since the last scrape.
    news: News,
    /// The fetch in flight was reported as late; its end, whatever it is, is not reported again.
    reported: bool,
    /// The last fetch exceeded its timeout, so scrapes do not wait for the next one.
    late: bool,
}

#[derive(Debug)]
struct Copy {
    text: Arc<Vec<u8>>,
    /// The begin of its fetch: the text may lack everything later.
    began: Instant,
}

/// The failures since the last scrape.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Failure of the last fetch.
    pub(super) failure: Option<EngineError>,
    /// Number of samples beyond [`ENGINE_SAMPLES_MAX`].
    pub(super) samples_cut: u64,
}

/// A fetch that a scrape waits for.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The instant of the request.
    at: Instant,
    /// Number of fetches that had ended before it.
    before: u64,
    /// Failures of an earlier fetch, of which no scrape saw the end.
    pub(super) news: News,
}

/// The state of a source at the end of a scrape's wait.
#[derive(Debug)]
pub(super) struct Collected {
    /// The last good copy and its age, unless that was above [`ENGINE_COPY_AGE_MAX`] when the scrape began.
    pub(super) copy: Option<(Arc<Vec<u8>>, Duration)>,
    /// True if the last fetch that ended brought the copy, in time, and no fetch is overdue.
    pub(super) up: bool,
    /// Duration of the last fetch that ended.
    pub(super) took: Duration,
    pub(super) news: News,
}

impl Fetcher {
    pub(super) fn new(source: EngineSource) -> Self {
        let shared = Shared {
            source,
            state: Mutex::default(),
            wanted: Condvar::new(),
            ended: Condvar::new(),
        };
        Self { shared: Arc::new(shared), refresh_wait: ENGINE_REFRESH_WAIT }
    }

    pub(super) fn source(&self) -> &EngineSource {
        &self.shared.source
    }

    /// Starts a fetch unless one is in flight, and does not wait for it.
    pub(super) fn want(&self) -> Ticket {
        let at = Instant::now();
        let mut state = self.shared.state.lock();
        let ticket = Ticket { at, before: state.fetches, news: std::mem::take(&mut state.news) };
        if state.in_flight.is_none() {
            state.in_flight = Some(at);
            state.reported = false;
            if state.thread {
                self.shared.wanted.notify_one();
            } else {
                self.start_thread(&mut state);
            }
        }
        ticket
    }

    /// Waits for the fetch until `deadline`, the end of the source's timeout, or the end of the wait for a new copy. A
    /// `deadline` before the end of the source's timeout is no failure of the source: only a fetch that exceeds the
    /// timeout is late.
    pub(super) fn collect(&self, ticket: &Ticket, deadline: Instant) -> Collected {
        let timeout = self.source().read_timeout();
        let mut state = self.shared.state.lock();
        let due = match state.in_flight {
            Some(_) if state.reported => ticket.at,
            Some(began) => began + timeout,
            None => deadline,
        };
        let until = if state.late || state.copy(ticket.at, ticket.at).is_some() {
            // Counted from the request, since a scrape waits for all sources together.
            due.min(ticket.at + self.refresh_wait).min(deadline)
        } else {
            due.min(deadline)
        };
        let in_flight = |state: &mut State| state.fetches == ticket.before;
        self.shared.ended.wait_while_until(&mut state, in_flight, until);
        let now = Instant::now();
        if let Some(began) = state.in_flight
            && state.fetches == ticket.before
            && !state.reported
            && now >= began + timeout
        {
            state.reported = true;
            state.late = true;
            state.news.failure = Some(EngineError::Timeout { timeout });
        }
        // Old enough or not as when the wait was decided: a scrape that did not wait for the new copy has the old one.
        let copy = state.copy(ticket.at, now);
        let news = std::mem::take(&mut state.news);
        let up = state.succeeded && !state.late && copy.is_some();
        Collected { up, copy, took: state.took, news }
    }

    fn start_thread(&self, state: &mut State) {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(thread_name(self.source().name()));
        match thread.spawn(move || shared.run()) {
            // Not joined: a source that hangs would never end.
            Ok(_) => state.thread = true,
            Err(error) => {
                state.in_flight = None;
                state.fetches += 1;
                state.succeeded = false;
                state.news.failure = Some(EngineError::Thread { reason: error.to_string() });
            }
        }
    }
}

impl State {
    /// Returns the last good copy and its age now, unless it was too old when it was asked for.
    fn copy(&self, asked: Instant, now: Instant) -> Option<(Arc<Vec<u8>>, Duration)> {
        let copy = self.copy.as_ref()?;
        let age = |at: Instant| at.saturating_duration_since(copy.began);
        (age(asked) <= ENGINE_COPY_AGE_MAX).then(|| (Arc::clone(&copy.text), age(now)))
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.wanted.notify_one();
    }
}

impl Shared {
    /// The thread's function: fetches whenever a scrape wants it.
    fn run(&self) {
        let mut spare: Arc<Vec<u8>> = Arc::default();
        while let Some(began) = self.next() {
            if Arc::strong_count(&spare) > 1 {
                // A scrape still uses it, where two scrapes overlap.
                spare = Arc::default();
            }
            let buffer = Arc::make_mut(&mut spare);
            free_if_large(buffer, buffer.len());
            let result = self.source.read_into(buffer);
            if result.is_err() {
                // The text is not used, and an endless one has filled the buffer to its limit.
                free_if_large(buffer, 0);
            }
            let cut = if result.is_ok() { cut_samples(buffer, ENGINE_SAMPLES_MAX) } else { 0 };
            let mut state = self.state.lock();
            state.took = began.elapsed();
            state.late = state.took > self.source.read_timeout()
                || matches!(result, Err(EngineError::Timeout { .. }));
            state.succeeded = result.is_ok();
            state.news.samples_cut += cut;
            match result {
                Ok(()) => {
                    let copy = Copy { text: spare, began };
                    spare = state.copy.replace(copy).map(|old| old.text).unwrap_or_default();
                }
                Err(error) if !state.reported => state.news.failure = Some(error),
                Err(_) => {}
            }
            state.in_flight = None;
            state.fetches += 1;
            drop(state);
            self.ended.notify_all();
        }
    }

    /// Waits until a fetch is wanted and returns the instant of the request; `None` when the fetcher is dropped.
    fn next(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        self.wanted.wait_while(&mut state, |state| state.in_flight.is_none() && !state.closed);
        if state.closed { None } else { state.in_flight }
    }
}

/// Frees a buffer that is much larger than the bytes `used` of it.
fn free_if_large(buffer: &mut Vec<u8>, used: usize) {
    if buffer.capacity() > BUFFER_KEPT_BYTES_MAX && used < buffer.capacity() / 4 {
        *buffer = Vec::new();
    }
}

fn thread_name(source: &str) -> String {
    // A NUL in a thread's name would be a panic.
    let plain = source.chars().filter(char::is_ascii_graphic);
    "engine-".chars().chain(plain).take(THREAD_NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests;
