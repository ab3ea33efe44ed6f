//! One source's thread, and the copy of its text that scrapes are given.
//!
//! ```text
//! want    -> is a fetch in flight? join it : wake the thread, which is started by the first
//! collect -> waits until the fetch ends or it is time to answer; then the copy there is. Where there is one, or the
//!            source is known to be late, it is time after ENGINE_PATIENCE; else after the source's timeout
//! thread  -> reads the source into the spare buffer, swaps it with the copy
//! ```
//!
//! **Never two fetches at a time**: a source that hangs holds this one thread, and costs a scrape that knows it
//! nothing. There are two buffers, so that a copy can be merged while the next is read, and in steady state
//! neither is allocated again. The lock is held for a few instructions, never while anything foreign runs.

use super::cut::{ENGINE_SAMPLES_MAX, cut_samples};
use super::{EngineError, EngineSource};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How old the last good copy may be and still be served: four scrapes at Prometheus' usual 15 seconds, so that a
/// restart of the engine leaves no gap and an engine that is gone is soon seen to be.
pub const ENGINE_COPY_AGE_MAX: Duration = Duration::from_secs(60);
/// How long a scrape waits for a source of which it has a copy, or whose last fetch was late. A quick source is on the
/// page as it is now; what takes longer is there for the next scrape, and this one has the copy with its age. So only
/// the first scrape of a source may wait for its whole timeout.
pub const ENGINE_PATIENCE: Duration = Duration::from_millis(50);

/// Linux cuts thread names at 15 bytes.
const THREAD_NAME_BYTES_MAX: usize = 15;
/// A buffer above this is given back when less than a quarter of it was used: one huge text must not be paid for
/// until the process ends.
const BUFFER_KEPT_BYTES_MAX: usize = 1 << 20;

/// The scrapes' side of a source's thread. Dropping it ends the thread, when its source lets go of it.
#[derive(Debug)]
pub(super) struct Fetcher {
    shared: Arc<Shared>,
    /// [`ENGINE_PATIENCE`], but for tests.
    patience: Duration,
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
    /// When the fetch in flight began.
    in_flight: Option<Instant>,
    /// Fetches that ended.
    fetches: u64,
    /// Whether the last of them brought the copy.
    succeeded: bool,
    /// How long the last of them took.
    took: Duration,
    /// The last good copy.
    copy: Option<Copy>,
    /// What scrapes have not been told yet.
    news: News,
    /// The fetch in flight was told of as late; whatever its end is, it is the same failure.
    told: bool,
    /// The last fetch did not keep its timeout, so the next is not waited for.
    late: bool,
}

#[derive(Debug)]
struct Copy {
    text: Arc<Vec<u8>>,
    /// When its fetch began: it says nothing of anything later.
    began: Instant,
}

/// What went wrong since the last scrape.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Of the last fetch.
    pub(super) failure: Option<EngineError>,
    /// Samples beyond [`ENGINE_SAMPLES_MAX`].
    pub(super) cut: u64,
}

/// A fetch that a scrape waits for.
#[derive(Debug)]
pub(super) struct Ticket {
    /// When it was wanted.
    at: Instant,
    /// How many had ended before it.
    before: u64,
    /// Of the fetch before it, if nobody had waited for its end.
    pub(super) news: News,
}

/// What there is when it is time to answer.
#[derive(Debug)]
pub(super) struct Collected {
    /// The last good copy and its age, unless that is above [`ENGINE_COPY_AGE_MAX`].
    pub(super) copy: Option<(Arc<Vec<u8>>, Duration)>,
    /// Whether the last fetch that ended brought it, in time, and none is overdue.
    pub(super) up: bool,
    /// How long the last fetch that ended took.
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
        Self { shared: Arc::new(shared), patience: ENGINE_PATIENCE }
    }

    pub(super) fn source(&self) -> &EngineSource {
        &self.shared.source
    }

    /// Asks for a fetch, without waiting; one in flight is as good.
    pub(super) fn want(&self) -> Ticket {
        let at = Instant::now();
        let mut state = self.shared.state.lock();
        let ticket = Ticket { at, before: state.fetches, news: std::mem::take(&mut state.news) };
        if state.in_flight.is_none() {
            state.in_flight = Some(at);
            state.told = false;
            if state.thread {
                self.shared.wanted.notify_one();
            } else {
                self.start_thread(&mut state);
            }
        }
        ticket
    }

    /// Waits for the fetch until `deadline`, the end of its own timeout, or of the patience with it. A scraper that
    /// leaves earlier says nothing of the source: only a fetch that does not keep its own timeout is late.
    pub(super) fn collect(&self, ticket: &Ticket, deadline: Instant) -> Collected {
        let timeout = self.source().waits_up_to();
        let mut state = self.shared.state.lock();
        let due = match state.in_flight {
            Some(_) if state.told => ticket.at,
            Some(began) => began + timeout,
            None => deadline,
        };
        let until = if state.late || state.copy(ticket.at).is_some() {
            // From when all were asked: many are waited for together.
            due.min(ticket.at + self.patience).min(deadline)
        } else {
            due.min(deadline)
        };
        let in_flight = |state: &mut State| state.fetches == ticket.before;
        self.shared.ended.wait_while_until(&mut state, in_flight, until);
        let now = Instant::now();
        if let Some(began) = state.in_flight
            && state.fetches == ticket.before
            && !state.told
            && now >= began + timeout
        {
            state.told = true;
            state.late = true;
            state.news.failure = Some(EngineError::Timeout { timeout });
        }
        let copy = state.copy(now);
        let news = std::mem::take(&mut state.news);
        let up = state.succeeded && !state.late && copy.is_some();
        Collected { up, copy, took: state.took, news }
    }

    fn start_thread(&self, state: &mut State) {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name(thread_name(self.source().name()));
        match thread.spawn(move || shared.run()) {
            // It ends by itself; nobody could wait for a source that hangs.
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
    /// The last good copy and its age, unless it is too old.
    fn copy(&self, now: Instant) -> Option<(Arc<Vec<u8>>, Duration)> {
        let copy = self.copy.as_ref()?;
        let age = now.saturating_duration_since(copy.began);
        (age <= ENGINE_COPY_AGE_MAX).then(|| (Arc::clone(&copy.text), age))
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.wanted.notify_one();
    }
}

impl Shared {
    /// The thread: fetches whenever that is wanted.
    fn run(&self) {
        let mut spare: Arc<Vec<u8>> = Arc::default();
        while let Some(began) = self.next() {
            if Arc::strong_count(&spare) > 1 {
                // A scrape has not finished with it, which takes two that overlap.
                spare = Arc::default();
            }
            let buffer = Arc::make_mut(&mut spare);
            give_back(buffer, buffer.len());
            let result = self.source.read_into(buffer);
            if result.is_err() {
                // What came of it is worth nothing, and an endless text fills all that it may have.
                give_back(buffer, 0);
            }
            let cut = if result.is_ok() { cut_samples(buffer, ENGINE_SAMPLES_MAX) } else { 0 };
            let mut state = self.state.lock();
            state.took = began.elapsed();
            state.late = state.took > self.source.waits_up_to()
                || matches!(result, Err(EngineError::Timeout { .. }));
            state.succeeded = result.is_ok();
            state.news.cut += cut;
            match result {
                Ok(()) => {
                    let copy = Copy { text: spare, began };
                    spare = state.copy.replace(copy).map(|old| old.text).unwrap_or_default();
                }
                Err(error) if !state.told => state.news.failure = Some(error),
                Err(_) => {}
            }
            state.in_flight = None;
            state.fetches += 1;
            drop(state);
            self.ended.notify_all();
        }
    }

    /// Waits until a fetch is wanted and says when that was; `None` when the fetcher is gone.
    fn next(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        self.wanted.wait_while(&mut state, |state| state.in_flight.is_none() && !state.closed);
        if state.closed { None } else { state.in_flight }
    }
}

/// Frees a buffer that is large for the bytes that were `used` of it.
fn give_back(buffer: &mut Vec<u8>, used: usize) {
    if buffer.capacity() > BUFFER_KEPT_BYTES_MAX && used < buffer.capacity() / 4 {
        *buffer = Vec::new();
    }
}

fn thread_name(source: &str) -> String {
    // A NUL in it would be a panic.
    let plain = source.chars().filter(char::is_ascii_graphic);
    "engine-".chars().chain(plain).take(THREAD_NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics_encoder::foreign::Filter;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc::{Sender, channel};

    const SOON: Duration = Duration::from_secs(20);

    fn fetcher(read: impl Fn() -> Result<String, String> + Send + Sync + 'static) -> Fetcher {
        patient(EngineSource::new("x", Filter::all(), read).timeout(SOON))
    }

    /// Waits for whatever is not hanging, however busy the machine is.
    fn patient(source: EngineSource) -> Fetcher {
        let mut fetcher = Fetcher::new(source);
        fetcher.patience = SOON;
        fetcher
    }

    fn scrape(fetcher: &Fetcher) -> Collected {
        fetcher.collect(&fetcher.want(), Instant::now() + SOON)
    }

    fn text(collected: &Collected) -> Option<&[u8]> {
        collected.copy.as_ref().map(|(text, _)| text.as_slice())
    }

    /// A source that waits for a word of the test before it answers with a number of its own.
    fn told() -> (Fetcher, Sender<()>, Arc<AtomicUsize>) {
        let (go, wait) = channel();
        let wait = Mutex::new(wait);
        let began = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&began);
        let fetcher = fetcher(move || {
            // Relaxed: a count that the test reads after the fetch's end.
            let number = counted.fetch_add(1, Ordering::Relaxed);
            wait.lock().recv().map_err(|_| "the test is over")?;
            Ok(format!("x {number}\n"))
        });
        (fetcher, go, began)
    }

    #[test]
    fn a_quick_source_is_read_for_each_scrape_into_the_same_two_buffers() {
        let source = EngineSource::writing("x", Filter::all(), |text| {
            text.extend_from_slice(b"x 1\n");
            Ok(())
        });
        let fetcher = patient(source.timeout(SOON));
        let mut addresses = Vec::new();
        for _ in 0..10 {
            let collected = scrape(&fetcher);
            assert!(collected.up && collected.news.failure.is_none());
            assert_eq!(text(&collected), Some(&b"x 1\n"[..]));
            addresses.push(text(&collected).map(<[u8]>::as_ptr));
        }
        addresses.sort();
        addresses.dedup();
        assert_eq!(addresses.len(), 2);
    }

    /// As if the fetch in flight had begun so long ago.
    fn age_the_fetch(fetcher: &Fetcher, age: Duration) {
        fetcher.shared.state.lock().in_flight = Instant::now().checked_sub(age);
    }

    fn until_it_ends(fetcher: &Fetcher) {
        let deadline = Instant::now() + SOON;
        while fetcher.shared.state.lock().in_flight.is_some() && Instant::now() < deadline {
            thread::yield_now();
        }
    }

    #[test]
    fn a_source_that_hangs_has_one_fetch_in_flight_whatever_the_scrapes() {
        let (fetcher, go, began) = told();
        go.send(()).unwrap();
        assert_eq!(text(&scrape(&fetcher)), Some(&b"x 0\n"[..]));
        let ticket = fetcher.want();
        age_the_fetch(&fetcher, SOON);
        let late = fetcher.collect(&ticket, Instant::now());
        assert_eq!((late.up, text(&late)), (false, Some(&b"x 0\n"[..])), "the copy");
        assert_eq!(late.news.failure, Some(EngineError::Timeout { timeout: SOON }));
        let start = Instant::now();
        for _ in 0..1000 {
            let again = scrape(&fetcher);
            assert!(!again.up && again.news.failure.is_none(), "told once");
        }
        assert!(start.elapsed() < SOON, "nobody waits for what is known to hang");
        // It wakes up: the next scrape has what it says, then it is as any other.
        go.send(()).unwrap();
        until_it_ends(&fetcher);
        assert_eq!(
            began.load(Ordering::Relaxed),
            2,
            "one for the first, one for all that came after"
        );
        go.send(()).unwrap();
        let collected = scrape(&fetcher);
        assert!(text(&collected) >= Some(&b"x 1\n"[..]));
        assert!(collected.news.failure.is_none());
    }

    #[test]
    fn a_scraper_without_patience_says_nothing_of_the_source() {
        let (fetcher, go, _) = told();
        let hurried = |fetcher: &Fetcher| fetcher.collect(&fetcher.want(), Instant::now());
        let nothing = hurried(&fetcher);
        assert!(!nothing.up && nothing.copy.is_none(), "there is nothing yet");
        assert_eq!(nothing.news.failure, None);
        go.send(()).unwrap();
        until_it_ends(&fetcher);
        let copy = hurried(&fetcher);
        assert_eq!((copy.up, text(&copy)), (true, Some(&b"x 0\n"[..])));
        assert_eq!(copy.news.failure, None);
        let again = hurried(&fetcher);
        assert!(again.up && again.news.failure.is_none(), "also while it is read");
        assert!(!fetcher.shared.state.lock().late);
        go.send(()).unwrap();
    }

    #[test]
    fn only_the_first_scrape_waits_for_a_source_and_those_after_it_have_the_copy() {
        let (mut fetcher, go, began) = told();
        fetcher.patience = Duration::from_millis(1);
        go.send(()).unwrap();
        let first = scrape(&fetcher);
        assert_eq!((first.up, text(&first)), (true, Some(&b"x 0\n"[..])), "it was waited for");
        // The next fetch hangs; nobody waits as long as it may take.
        let start = Instant::now();
        let second = scrape(&fetcher);
        let (copy, age) = second.copy.as_ref().unwrap();
        assert!(start.elapsed() < SOON / 2, "{:?}", start.elapsed());
        assert_eq!((second.up, copy.as_slice()), (true, &b"x 0\n"[..]));
        assert!(*age >= fetcher.patience, "{age:?}");
        assert_eq!(second.news.failure, None, "it may take longer");
        assert_eq!(began.load(Ordering::Relaxed), 2);
        // It comes, for the next scrape.
        go.send(()).unwrap();
        until_it_ends(&fetcher);
        assert_eq!(text(&scrape(&fetcher)), Some(&b"x 1\n"[..]));
    }

    #[test]
    fn a_copy_is_served_until_it_is_too_old() {
        let fails = Arc::new(AtomicBool::new(false));
        let failing = Arc::clone(&fails);
        let fetcher = fetcher(move || {
            if failing.load(Ordering::Relaxed) { Err("down".into()) } else { Ok("x 1\n".into()) }
        });
        assert!(scrape(&fetcher).up);
        fails.store(true, Ordering::Relaxed);
        let collected = scrape(&fetcher);
        let failed = EngineError::Failed { message: "down".into() };
        assert_eq!(collected.news.failure, Some(failed));
        assert_eq!((collected.up, text(&collected)), (false, Some(&b"x 1\n"[..])));
        let old = Instant::now() - ENGINE_COPY_AGE_MAX - Duration::from_millis(1);
        fetcher.shared.state.lock().copy.as_mut().unwrap().began = old;
        assert!(text(&scrape(&fetcher)).is_none());
        fails.store(false, Ordering::Relaxed);
        assert!(scrape(&fetcher).up);
    }

    #[test]
    fn a_failure_that_nobody_waited_for_is_told_to_the_next_scrape() {
        let fetcher = fetcher(|| Err("down".into()));
        fetcher.want();
        let deadline = Instant::now() + SOON;
        while fetcher.shared.state.lock().fetches == 0 && Instant::now() < deadline {
            thread::yield_now();
        }
        let failed = Some(EngineError::Failed { message: "down".into() });
        assert_eq!(fetcher.want().news.failure, failed);
    }

    #[test]
    fn dropping_ends_the_thread_and_waits_for_nobody() {
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        let quick = fetcher(move || {
            let _held = &held;
            Ok(String::new())
        });
        scrape(&quick);
        drop(quick);
        let deadline = Instant::now() + SOON;
        while Arc::strong_count(&alive) > 1 && Instant::now() < deadline {
            thread::yield_now();
        }
        assert_eq!(Arc::strong_count(&alive), 1, "the thread let go of the source");
        let (hanging, _go, _) = told();
        hanging.want();
        let start = Instant::now();
        drop(hanging);
        assert!(start.elapsed() < SOON);
    }

    #[test]
    fn a_large_buffer_is_kept_only_while_it_is_used() {
        let mut buffer = vec![b'x'; BUFFER_KEPT_BYTES_MAX + 1];
        let used = buffer.len();
        give_back(&mut buffer, used);
        assert_eq!(buffer.len(), used);
        give_back(&mut buffer, 0);
        assert_eq!(buffer.capacity(), 0, "its text was none");
        let mut small = vec![b'x'; 1000];
        give_back(&mut small, 0);
        assert!(small.capacity() >= 1000);
    }

    #[test]
    fn thread_names_are_short_and_plain() {
        assert_eq!(thread_name("vllm"), "engine-vllm");
        assert_eq!(thread_name("a\0 \u{e9}b and many more"), "engine-abandman");
    }
}
