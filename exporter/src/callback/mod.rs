//! Callbacks behind a guard: a scrape gets every value that is ready in time, and waits for no other.
//!
//! ```text
//! scrape -> round: run all of them  one after the other on one thread of the pool
//!        -> guard: the value        of this round; or the callback runs now, on another thread
//!        <- the value               within CALLBACK_TIMEOUT and the scrape's own deadline
//!        <- its last one, or none   if it is late; the run goes on, its value is for the next scrape
//! ```
//!
//! **A callback that hangs delays one scrape by [`CALLBACK_TIMEOUT`] and later scrapes not at all**, until it is
//! quick again; it holds one thread, and the other callbacks get another. The guards cost a wake-up of a thread and
//! one of the scrape's for each round; without a round, as when a snapshot is taken by hand, for each callback.

mod guard;
mod pool;
mod round;

use crate::names::{CALLBACK_LATE_TOTAL, FAMILY_LABEL};
use dynamo_metrics_core::{RegisterError, Registry};
use parking_lot::Mutex;
use pool::Pool;
use round::{Round, RunAhead};
use std::panic::resume_unwind;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

pub(crate) use guard::{Called, Guard};
pub use pool::CALLBACK_THREADS_MAX;

/// Longest time that a scrape waits for one callback or collector. Those that read a number from memory take microseconds; for
/// one that asks another process, its last value is better than a slow scrape.
pub const CALLBACK_TIMEOUT: Duration = Duration::from_millis(100);
/// Largest age of a late callback's last value that is still printed; the same as of an engine's last good copy.
pub const CALLBACK_VALUE_AGE_MAX: Duration = Duration::from_secs(60);

/// The guards of one exporter.
#[derive(Debug)]
pub(crate) struct Callbacks {
    /// The registry of the counter of late callbacks.
    registry: Registry,
    shared: Arc<Shared>,
    round: Arc<Round>,
}

#[derive(Debug)]
struct Shared {
    pool: Pool,
    scrape: Mutex<Scrape>,
}

/// The scrape in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Scrape {
    /// The end of its wait for callbacks, if it has one.
    deadline: Option<Instant>,
    /// The round that ran for it; 0 for none.
    round: u64,
}

impl Callbacks {
    pub(crate) fn new(registry: Registry) -> Self {
        let shared = Shared { pool: Pool::new(), scrape: Mutex::default() };
        Self { registry, shared: Arc::new(shared), round: Arc::default() }
    }

    /// Returns the function that a registry calls in a scrape for the value of `callback`. Where the callback is
    /// late, it counts that with the name of the `metric`; where the callback panicked, it panics with the same
    /// message, which the registry counts.
    pub(crate) fn sampled<T, F>(
        &self,
        metric: &str,
        callback: F,
    ) -> Result<impl Fn() -> Option<T> + Send + Sync + use<T, F>, RegisterError>
    where
        T: Clone + Send + 'static,
        F: Fn() -> T + Send + Sync + 'static,
    {
        let help = "Scrapes in which a callback was not ready, so that its metric has its last value or none.";
        let late = self.registry.counter_family((CALLBACK_LATE_TOTAL, help), [FAMILY_LABEL])?;
        let (guard, metric) = (self.guard(callback), metric.to_string());
        Ok(move || {
            let called = guard.call();
            if called.late {
                late.visit([&metric], |late| late.inc());
            }
            // The payload is a string, which the registry can drop without another panic.
            called.value.unwrap_or_else(|message| resume_unwind(Box::new(message)))
        })
    }

    /// Guards a callback and lets rounds run it, until the guard is dropped.
    pub(crate) fn guard<T: Clone + Send + 'static>(
        &self,
        callback: impl Fn() -> T + Send + Sync + 'static,
    ) -> Arc<Guard<T>> {
        let guard = Arc::new(Guard::new(Box::new(callback), Arc::clone(&self.shared)));
        let ahead: Weak<Guard<T>> = Arc::downgrade(&guard);
        self.round.add(ahead as Weak<dyn RunAhead>);
        guard
    }

    /// Begins a scrape: runs the callbacks, and waits for them no longer than until `deadline`. Until the returned
    /// value is dropped, guards return the values of this scrape, and wait no longer than `deadline` for a missing one.
    /// Where scrapes overlap, the deadline of the last to begin holds until the first of them ends; each
    /// callback has its own limit anyway.
    pub(crate) fn begin(&self, deadline: Instant) -> Begun<'_> {
        // Without a round for now, so that no call takes a value of another scrape's round.
        *self.shared.scrape.lock() = Scrape { deadline: Some(deadline), round: 0 };
        let until = deadline.min(Instant::now() + CALLBACK_TIMEOUT);
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
    use crate::Exporter;
    use dynamo_metrics_core::{Snapshot, snapshot::Value};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;

    const SOON: Duration = Duration::from_secs(20);

    struct Page(Snapshot);

    impl Page {
        fn of(exporter: &Exporter) -> Self {
            let mut snapshot = Snapshot::new();
            snapshot.take(exporter.registry());
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

    fn exporter() -> Exporter {
        Exporter::new(&Registry::new())
    }

    #[test]
    fn a_quick_callback_is_called_once_a_scrape_and_its_value_is_of_that_scrape() {
        let exporter = exporter();
        let calls = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&calls);
        // Relaxed: the guard's lock orders it.
        let count = move || counted.fetch_add(1, Ordering::Relaxed) + 1;
        exporter.counter_callback(("calls_total", "Calls."), count).unwrap();
        for scrape in 1..=100 {
            let page = Page::of(&exporter);
            if page.late("calls_total").is_none() {
                let calls = Some(f64::from(scrape));
                assert_eq!(page.value("calls_total"), calls);
            }
        }
        assert_eq!(calls.load(Ordering::Relaxed), 100);
    }

    #[test]
    fn a_callback_that_hangs_costs_only_its_own_value_and_recovers() {
        let exporter = exporter();
        let (go, wait) = channel();
        let wait = Mutex::new(wait);
        let hanging = move || wait.lock().recv().unwrap_or(-1.0);
        exporter.gauge_callback(("a_hangs", "Waits for a message."), hanging).unwrap();
        exporter.gauge_callback(("b_is_quick", "Quick."), || 2.0).unwrap();
        const HANGS: &str = "a_hangs";
        let start = Instant::now();
        for scrape in 1..=200 {
            let page = Page::of(&exporter);
            assert_eq!(page.value(HANGS), None);
            assert_eq!(page.late(HANGS), Some(scrape));
            if page.late("b_is_quick").is_none() {
                assert_eq!(page.value("b_is_quick"), Some(2.0));
            }
        }
        let waited = start.elapsed();
        assert!(waited < 100 * CALLBACK_TIMEOUT, "200 scrapes took {waited:?}: they waited");
        go.send(7.0).unwrap();
        let deadline = Instant::now() + SOON;
        while Page::of(&exporter).value(HANGS) != Some(7.0) {
            assert!(Instant::now() < deadline);
        }
        // Late again, it keeps its last value.
        assert_eq!(Page::of(&exporter).value(HANGS), Some(7.0));
        drop(go);
        while Page::of(&exporter).value(HANGS) != Some(-1.0) {
            assert!(Instant::now() < deadline);
        }
    }

    #[test]
    fn a_callback_is_not_waited_for_beyond_the_scrapes_deadline() {
        let exporter = exporter();
        let callbacks = exporter.callbacks();
        let (_go, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let guard = callbacks.guard(move || wait.lock().recv().is_ok());
        let begun = callbacks.begin(Instant::now());
        assert_eq!(guard.call(), Called { late: true, value: Ok(None) });
        drop(begun);
        assert_eq!(*callbacks.shared.scrape.lock(), Scrape::default());
    }

    #[test]
    fn a_panic_costs_its_sample_and_is_counted() {
        let exporter = exporter();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        exporter.gauge_callback(("bad", "Bad."), || panic!("on purpose")).unwrap();
        let mut page = Page::of(&exporter);
        let deadline = Instant::now() + SOON;
        while page.value("dynamo_metrics_callback_panics_total").is_none() {
            assert!(Instant::now() < deadline);
            page = Page::of(&exporter);
        }
        std::panic::set_hook(hook);
        assert_eq!(page.value("bad"), None);
    }

    #[test]
    fn a_value_that_is_too_old_is_left_out() {
        let exporter = exporter();
        let callbacks = exporter.callbacks();
        let guard = callbacks.guard(|| 1u64);
        let deadline = Instant::now() + SOON;
        while guard.call().value != Ok(Some(1)) {
            assert!(Instant::now() < deadline);
        }
        guard.hang_since(Instant::now() - CALLBACK_VALUE_AGE_MAX - Duration::from_millis(1));
        assert_eq!(guard.call(), Called { late: true, value: Ok(None) });
    }

    #[test]
    fn a_round_runs_each_callback_once_and_serves_one_scrape() {
        let exporter = exporter();
        let calls = Arc::new(AtomicU64::new(0));
        for number in 0..10 {
            let counted = Arc::clone(&calls);
            // Relaxed: the guard's lock orders it.
            let count = move || counted.fetch_add(1, Ordering::Relaxed) + 1;
            let name = format!("calls_{number}_total");
            exporter.counter_callback((name, "Calls."), count).unwrap();
        }
        let callbacks = exporter.callbacks();
        for scrape in 1..=100 {
            let begun = callbacks.begin(Instant::now() + SOON);
            let page = Page::of(&exporter);
            drop(begun);
            assert_eq!(calls.load(Ordering::Relaxed), scrape * 10);
            if page.0.families().all(|family| family.name() != CALLBACK_LATE_TOTAL) {
                let last = page.value("calls_9_total");
                assert_eq!(last, Some((scrape * 10) as f64));
            }
        }
        // The values of a round are for its own scrape only.
        drop(callbacks.begin(Instant::now() + SOON));
        Page::of(&exporter);
        assert_eq!(calls.load(Ordering::Relaxed), 1020);
    }

    #[test]
    fn after_a_round_that_hangs_the_other_callbacks_run_by_themselves() {
        let exporter = exporter();
        let (_go, wait) = channel::<f64>();
        let wait = Mutex::new(wait);
        let hangs = move || wait.lock().recv().unwrap_or(-1.0);
        exporter.gauge_callback(("a_hangs", "Waits for a message."), hangs).unwrap();
        exporter.gauge_callback(("b_is_quick", "Quick."), || 2.0).unwrap();
        for scrape in 1..=5 {
            let begun = exporter.callbacks().begin(Instant::now() + SOON);
            let page = Page::of(&exporter);
            drop(begun);
            assert_eq!(page.late("a_hangs"), Some(scrape));
            if page.late("b_is_quick").is_none() {
                assert_eq!(page.value("b_is_quick"), Some(2.0));
            }
        }
    }
}
