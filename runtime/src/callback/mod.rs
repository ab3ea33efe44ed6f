//! Callbacks behind a guard: a scrape has every value that is there in time, and waits for none that is not.
//!
//! ```text
//! scrape -> round: run them all!   one after the other on one thread of the pool
//!        -> guard: the value?      of this round; or it is run now, on another thread
//!        <- the value              within CALLBACK_TIMEOUT and the scrape's own patience
//!        <- its last one, or none  if it is late; the run goes on, its value is for the next scrape
//! ```
//!
//! **A callback that hangs costs one scrape [`CALLBACK_TIMEOUT`] and those after it nothing**, until it is quick
//! again; it holds one thread, and the others get another. The price of the guards is a wake-up of a thread and
//! one of the scrape's for each round; without a round, as when a snapshot is taken by hand, for each callback.

mod guard;
mod pool;
mod round;

use crate::error::MetricsError;
use crate::names::distributed_runtime::{CALLBACK_LATE_TOTAL, FAMILY_LABEL};
use dynamo_metrics_core::{Counter, Family, Registry};
use parking_lot::Mutex;
use pool::Pool;
use round::{Ahead, Round};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

pub(crate) use guard::Guard;
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
    round: Arc<Round>,
}

#[derive(Debug)]
struct Shared {
    pool: Pool,
    scrape: Mutex<Scrape>,
}

/// The scrape that is going on.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Scrape {
    /// Until when it waits, if it says so.
    patience: Option<Instant>,
    /// The round that was run for it; 0 for none.
    round: u64,
}

/// Counts scrapes for which the callbacks of one family were late.
#[derive(Debug)]
pub(crate) struct Late {
    family: Family<Counter, 1>,
    name: String,
}

impl Callbacks {
    pub(crate) fn new(registry: Registry) -> Self {
        let shared = Shared { pool: Pool::new(), scrape: Mutex::default() };
        Self { registry, shared: Arc::new(shared), round: Arc::default() }
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
        let guard = Arc::new(Guard::new(Box::new(value), late, Arc::clone(&self.shared)));
        let ahead: Weak<Guard<T>> = Arc::downgrade(&guard);
        self.round.add(ahead as Weak<dyn Ahead>);
        guard
    }

    /// Begins a scrape: runs the callbacks, and waits for them no longer than until `patience`. While what is
    /// returned lives, their values are of this scrape, and those that are missing are not waited for longer
    /// either. Where scrapes overlap, the last to begin has its say and the first to end takes it back; each
    /// callback has its own limit anyway.
    pub(crate) fn begin(&self, patience: Instant) -> Begun<'_> {
        // None but the limit meanwhile, so that nobody takes what belongs to another round.
        *self.shared.scrape.lock() = Scrape { patience: Some(patience), round: 0 };
        let until = patience.min(Instant::now() + CALLBACK_TIMEOUT);
        let round = self.round.run_all(&self.shared.pool, until);
        self.shared.scrape.lock().round = round;
        Begun(&self.shared)
    }
}

/// A scrape that has begun.
#[derive(Debug)]
#[must_use = "the scrape ends when this is dropped"]
pub(crate) struct Begun<'a>(&'a Shared);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        *self.0.scrape.lock() = Scrape::default();
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
        let begun = callbacks.begin(Instant::now());
        let start = Instant::now();
        assert_eq!(guard.call(), None);
        assert!(start.elapsed() < CALLBACK_TIMEOUT);
        drop(begun);
        assert_eq!(*callbacks.shared.scrape.lock(), Scrape::default());
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
        guard.hang_since(Instant::now() - CALLBACK_VALUE_AGE_MAX - Duration::from_millis(1));
        assert_eq!(guard.call(), None);
    }

    #[test]
    fn a_round_runs_each_callback_once_and_serves_one_scrape() {
        let runtime = runtime();
        let calls = Arc::new(AtomicU64::new(0));
        for number in 0..10 {
            let counted = Arc::clone(&calls);
            // Relaxed: the guard's lock orders it.
            let count = move || counted.fetch_add(1, Ordering::Relaxed) + 1;
            let name = format!("calls_{number}_total");
            runtime.metrics().counter_callback((name, "Calls."), count).unwrap();
        }
        let callbacks = runtime.metrics().callbacks();
        for scrape in 1..=100 {
            let begun = callbacks.begin(Instant::now() + SOON);
            let page = Page::of(&runtime);
            drop(begun);
            assert_eq!(calls.load(Ordering::Relaxed), scrape * 10);
            if page.0.families().all(|family| family.name() != CALLBACK_LATE_TOTAL) {
                let last = page.value("dynamo_component_calls_9_total");
                assert_eq!(last, Some((scrape * 10) as f64));
            }
        }
        // What a round brought is not for who comes after its scrape.
        drop(callbacks.begin(Instant::now() + SOON));
        Page::of(&runtime);
        assert_eq!(calls.load(Ordering::Relaxed), 1020);
    }

    #[test]
    fn a_round_that_hangs_costs_the_others_only_the_round() {
        let runtime = runtime();
        let (_go, wait) = channel::<f64>();
        let wait = Mutex::new(wait);
        let metrics = runtime.metrics();
        let hangs = move || wait.lock().recv().unwrap_or(-1.0);
        metrics.gauge_callback(("a_hangs", "Waits for a word."), hangs).unwrap();
        metrics.gauge_callback(("b_is_well", "Quick."), || 2.0).unwrap();
        for scrape in 1..=5 {
            let begun = metrics.callbacks().begin(Instant::now() + SOON);
            let page = Page::of(&runtime);
            drop(begun);
            assert_eq!(page.late("dynamo_component_a_hangs"), Some(scrape));
            if page.late("dynamo_component_b_is_well").is_none() {
                assert_eq!(page.value("dynamo_component_b_is_well"), Some(2.0));
            }
        }
    }
}
