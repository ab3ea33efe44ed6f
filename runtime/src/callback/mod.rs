//! Callbacks behind a guard: a scrape has every value that is there in time, and waits for none that is not.
//!
//! ```text
//! scrape -> guard: run!            at most one run of a callback at a time, on the pool's threads
//!        <- the value              within CALLBACK_TIMEOUT and the scrape's own patience
//!        <- its last one, or none  if it is late; the run goes on, its value is for the next scrape
//! ```
//!
//! **A callback that hangs costs one scrape [`CALLBACK_TIMEOUT`] and those after it nothing**, until it is quick
//! again; it holds one thread, and the next callback gets another. So the price of a guard is a wake-up of that
//! thread and one of the scrape's, some microseconds, for each callback.

mod pool;

use crate::error::MetricsError;
use crate::fence::fenced;
use crate::names::distributed_runtime::{CALLBACK_LATE_TOTAL, FAMILY_LABEL};
use dynamo_metrics_core::{Counter, Family, Registry};
use parking_lot::{Condvar, Mutex};
use pool::{Job, Pool};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use pool::CALLBACK_THREADS_MAX;

/// How long a scrape waits for one callback. Those that read a number from memory take microseconds; one that
/// asks another process is better off with its last value than every scrape with its slowness.
pub const CALLBACK_TIMEOUT: Duration = Duration::from_millis(100);
/// How old the last value of a late callback may be and still be printed: as of an engine's copy.
pub const CALLBACK_VALUE_AGE_MAX: Duration = crate::engine::ENGINE_COPY_AGE_MAX;

/// The guards of one runtime, or of one specialized scope.
#[derive(Debug)]
pub(crate) struct Callbacks {
    /// Where lateness is counted.
    registry: Registry,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: Pool,
    /// Until when the scrape that is going on waits.
    patience: Mutex<Option<Instant>>,
}

/// Counts scrapes for which the callbacks of one family were late.
#[derive(Debug)]
pub(crate) struct Late {
    family: Family<Counter, 1>,
    name: String,
}

impl Callbacks {
    pub(crate) fn new(registry: Registry) -> Self {
        let shared = Shared { pool: Pool::new(), patience: Mutex::new(None) };
        Self { registry, shared: Arc::new(shared) }
    }

    /// The counter of a metric's lateness; it shows nothing until that happens.
    pub(crate) fn late(&self, name: String) -> Result<Late, MetricsError> {
        let help = "Scrapes in which a callback was not ready, so that its metric has its last value or none.";
        let family = self.registry.counter_family((CALLBACK_LATE_TOTAL, help), [FAMILY_LABEL])?;
        Ok(Late { family, name })
    }

    pub(crate) fn guard<T: Copy + Send + 'static>(
        &self,
        late: Late,
        value: impl Fn() -> T + Send + Sync + 'static,
    ) -> Arc<Guard<T>> {
        Arc::new(Guard {
            value: Box::new(value),
            late,
            run: Mutex::new(Run { running: None, runs: 0, last: Last::Nothing, slow: false }),
            ended: Condvar::new(),
            shared: Arc::clone(&self.shared),
        })
    }

    /// While what is returned lives, no callback is waited for after `instant`. Where scrapes overlap, the last to
    /// begin has its say and the first to end takes it back; each callback has its own limit anyway.
    pub(crate) fn wait_until(&self, instant: Instant) -> Waiting<'_> {
        *self.shared.patience.lock() = Some(instant);
        Waiting(&self.shared)
    }
}

/// A scrape that has a limit of its own.
#[must_use = "the limit ends when this is dropped"]
pub(crate) struct Waiting<'a>(&'a Shared);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.0.patience.lock() = None;
    }
}

/// A callback, its last value, and whether it is running.
pub(crate) struct Guard<T> {
    value: Box<dyn Fn() -> T + Send + Sync>,
    late: Late,
    run: Mutex<Run<T>>,
    ended: Condvar,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Run<T> {
    /// Since when, if it is.
    running: Option<Instant>,
    /// Runs that ended.
    runs: u64,
    last: Last<T>,
    /// The last run took too long, or this one does already: nobody waits for it.
    slow: bool,
}

#[derive(Debug)]
enum Last<T> {
    Nothing,
    /// And when its run began.
    Value(T, Instant),
    /// What it said, if it was text.
    Panic(String),
}

impl<T: Copy + Send + 'static> Guard<T> {
    /// What the scrape prints: the value, if it is there in time.
    ///
    /// # Panics
    /// If the callback did: the registry's fence counts it.
    pub(crate) fn call(self: &Arc<Self>) -> Option<T> {
        let now = Instant::now();
        let mut run = self.run.lock();
        let before = run.runs;
        if run.running.is_none() {
            run.running = Some(now);
            if !self.shared.pool.submit(Arc::clone(self) as Arc<dyn Job>) {
                run.running = None;
            }
        }
        let timeout = if run.slow { Duration::ZERO } else { CALLBACK_TIMEOUT };
        let own = now + timeout;
        let until = self.shared.patience.lock().map_or(own, |scrape| scrape.min(own));
        let waits = |run: &mut Run<T>| run.runs == before && run.running.is_some();
        self.ended.wait_while_until(&mut run, waits, until);
        if run.runs == before {
            run.slow = true;
            self.late.family.visit([&self.late.name], |late| late.inc());
        }
        match std::mem::replace(&mut run.last, Last::Nothing) {
            // As if it had panicked here, with a payload that is harmless.
            Last::Panic(message) => {
                drop(run);
                resume_unwind(Box::new(message))
            }
            Last::Value(value, began) if began.elapsed() <= CALLBACK_VALUE_AGE_MAX => {
                run.last = Last::Value(value, began);
                Some(value)
            }
            _ => None,
        }
    }
}

impl<T: Copy + Send + 'static> Job for Guard<T> {
    fn run(&self) {
        let began = Instant::now();
        let last = match fenced(&self.value) {
            Ok(value) => Last::Value(value, began),
            Err(message) => Last::Panic(message),
        };
        let mut run = self.run.lock();
        run.last = last;
        run.slow = began.elapsed() > CALLBACK_TIMEOUT;
        run.running = None;
        run.runs += 1;
        drop(run);
        self.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DistributedRuntime;
    use dynamo_metrics_core::{Snapshot, Value};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;

    const SOON: Duration = Duration::from_secs(20);

    struct Page(Snapshot);

    impl Page {
        fn of(runtime: &DistributedRuntime) -> Self {
            let mut snapshot = Snapshot::new();
            snapshot.take(runtime.registry());
            Self(snapshot)
        }

        fn value(&self, name: &str) -> Option<f64> {
            let family = self.0.families().find(|family| family.name() == name)?;
            let value = family.parts().next()?.series(0)?.value();
            match value {
                Value::Unsigned(value) => Some(value as f64),
                Value::Float(value) => Some(value),
                _ => None,
            }
        }

        fn late(&self, name: &str) -> Option<u64> {
            let mut families = self.0.families();
            let family = families.find(|family| family.name() == CALLBACK_LATE_TOTAL)?;
            let part = family.parts().next()?;
            let mut series = (0..part.len()).filter_map(|at| part.series(at));
            let series = series.find(|series| series.label_values().next() == Some(name))?;
            let Value::Unsigned(late) = series.value() else { panic!("it is a counter") };
            Some(late)
        }
    }

    fn runtime() -> DistributedRuntime {
        DistributedRuntime::new().unwrap()
    }

    #[test]
    fn a_quick_callback_is_called_once_a_scrape_and_its_value_is_of_that_scrape() {
        let runtime = runtime();
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        // Relaxed: the guard's lock orders it.
        let count = move || counted.fetch_add(1, Ordering::Relaxed) + 1;
        runtime.metrics().counter_callback(("calls_total", "Calls."), count).unwrap();
        for scrape in 1..=100 {
            let page = Page::of(&runtime);
            if page.late("dynamo_component_calls_total").is_none() {
                let calls = Some(f64::from(scrape));
                assert_eq!(page.value("dynamo_component_calls_total"), calls);
            }
        }
        assert_eq!(calls.load(Ordering::Relaxed), 100);
    }

    #[test]
    fn one_that_hangs_costs_only_itself_and_comes_back() {
        let runtime = runtime();
        let (go, wait) = channel();
        let wait = Mutex::new(wait);
        let hanging = move || wait.lock().recv().unwrap_or(-1.0);
        let metrics = runtime.metrics();
        metrics.gauge_callback(("a_hangs", "Waits for a word."), hanging).unwrap();
        metrics.gauge_callback(("b_is_well", "Quick."), || 2.0).unwrap();
        const HANGS: &str = "dynamo_component_a_hangs";
        let start = Instant::now();
        for scrape in 1..=200 {
            let page = Page::of(&runtime);
            assert_eq!(page.value(HANGS), None);
            assert_eq!(page.late(HANGS), Some(scrape));
            if page.late("dynamo_component_b_is_well").is_none() {
                assert_eq!(page.value("dynamo_component_b_is_well"), Some(2.0));
            }
        }
        let waited = start.elapsed();
        assert!(waited < 100 * CALLBACK_TIMEOUT, "200 scrapes took {waited:?}: they waited");
        go.send(7.0).unwrap();
        let deadline = Instant::now() + SOON;
        while Page::of(&runtime).value(HANGS) != Some(7.0) {
            assert!(Instant::now() < deadline);
        }
        // Late again, it has the value that it had.
        assert_eq!(Page::of(&runtime).value(HANGS), Some(7.0));
        drop(go);
        while Page::of(&runtime).value(HANGS) != Some(-1.0) {
            assert!(Instant::now() < deadline);
        }
    }

    #[test]
    fn the_scrapes_own_patience_is_kept() {
        let runtime = runtime();
        let callbacks = runtime.metrics().callbacks();
        let (_go, wait) = channel::<()>();
        let late = callbacks.late("x".into()).unwrap();
        let wait = Mutex::new(wait);
        let guard = callbacks.guard(late, move || wait.lock().recv().is_ok());
        let waiting = callbacks.wait_until(Instant::now());
        let start = Instant::now();
        assert_eq!(guard.call(), None);
        assert!(start.elapsed() < CALLBACK_TIMEOUT);
        drop(waiting);
        assert_eq!(*callbacks.shared.patience.lock(), None);
    }

    #[test]
    fn a_panic_costs_its_sample_and_is_counted_whoever_waited() {
        let runtime = runtime();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        runtime.metrics().gauge_callback(("bad", "Bad."), || panic!("on purpose")).unwrap();
        let mut page = Page::of(&runtime);
        let deadline = Instant::now() + SOON;
        while page.value("dynamo_metrics_callback_panics_total").is_none() {
            assert!(Instant::now() < deadline);
            page = Page::of(&runtime);
        }
        std::panic::set_hook(hook);
        assert_eq!(page.value("dynamo_component_bad"), None);
    }

    #[test]
    fn a_value_that_is_too_old_is_left_out() {
        let runtime = runtime();
        let callbacks = runtime.metrics().callbacks();
        let guard = callbacks.guard(callbacks.late("x".into()).unwrap(), || 1u64);
        let deadline = Instant::now() + SOON;
        while guard.call().is_none() {
            assert!(Instant::now() < deadline);
        }
        let mut run = guard.run.lock();
        let old = Instant::now() - CALLBACK_VALUE_AGE_MAX - Duration::from_millis(1);
        run.last = Last::Value(1, old);
        // As one that hangs.
        (run.running, run.slow) = (Some(old), true);
        drop(run);
        assert_eq!(guard.call(), None);
    }
}
