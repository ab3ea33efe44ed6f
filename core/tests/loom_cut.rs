//! Models of two scrapers of one series, one of which cuts off the past.
//!
//! A copy of `cut.rs` over real shards; `loom_series.rs` says why. The twins break one rule each and must fail. The scrape
//! that might be wrong is spawned last, see `loom_shards.rs`.
#![cfg(loom)]

use dynamo_metrics_core::__private::{CellIndex, Shards, add};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

/// How a scrape finds out that another one has cut.
#[derive(Clone, Copy)]
struct Rules {
    /// Of the load in `Cut::generation`.
    noted: Ordering,
    /// Of the store in `Cut::with`.
    grown: Ordering,
    /// Whether the cells are read again.
    again: bool,
}

const RULES: Rules = Rules { noted: Ordering::Acquire, grown: Ordering::Release, again: true };

/// `Cut`; the state is the count at the last cut.
struct Cut {
    shards: Shards,
    generation: AtomicU64,
    state: Mutex<u64>,
}

impl Cut {
    fn total(&self) -> u64 {
        let cell = CellIndex::new(0).unwrap();
        self.shards.iter().map(|shard| shard.read(cell)).sum()
    }

    /// `Cut::generation`, the reading of the totals, and `Cut::with`: what the scrape shows.
    fn scrape(&self, rules: Rules, cuts: bool) -> u64 {
        let seen = self.generation.load(rules.noted);
        let mut total = self.total();
        let mut state = self.state.lock().unwrap();
        let generation = self.generation.load(Ordering::Relaxed);
        if generation != seen && rules.again {
            total = self.total();
        }
        let shown = total.checked_sub(*state).expect("less than was cut off");
        if cuts {
            *state = total;
            self.generation.store(generation + 1, rules.grown);
        }
        shown
    }
}

/// A thread records, one scrape cuts, another one shows what is left.
fn two_scrapers(rules: Rules) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let cut = Arc::new(Cut {
            shards: Shards::new(),
            generation: AtomicU64::new(0),
            state: Mutex::new(0),
        });
        let shard = cut.shards.lease().unwrap();
        let recording = thread::spawn(move || add(shard, CellIndex::new(0).unwrap(), 1));
        let cutting = {
            let cut = Arc::clone(&cut);
            thread::spawn(move || cut.scrape(rules, true))
        };
        let showing = {
            let cut = Arc::clone(&cut);
            thread::spawn(move || cut.scrape(rules, false))
        };
        recording.join().unwrap();
        let (before, shown) = (cutting.join().unwrap(), showing.join().unwrap());
        assert!(shown <= 1 && before <= 1);
        assert_eq!(before + cut.scrape(rules, false), 1, "each recording is shown once");
    });
}

#[test]
fn no_scrape_shows_less_than_nothing() {
    two_scrapers(RULES);
}

/// The twin: what was read before the other scrape's cut is less than what that one has cut off.
#[test]
#[should_panic(expected = "less than was cut off")]
fn a_scrape_that_does_not_read_again_shows_less_than_nothing() {
    two_scrapers(Rules { again: false, ..RULES });
}

/// The twin: sees that the other one has cut, and cells from before.
#[test]
#[should_panic(expected = "less than was cut off")]
fn a_generation_noted_relaxed_comes_with_older_cells() {
    two_scrapers(Rules { noted: Ordering::Relaxed, ..RULES });
}

/// The twin: the other half.
#[test]
#[should_panic(expected = "less than was cut off")]
fn a_generation_grown_relaxed_comes_with_older_cells() {
    two_scrapers(Rules { grown: Ordering::Relaxed, ..RULES });
}
