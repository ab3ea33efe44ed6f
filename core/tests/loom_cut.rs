//! Models of two scrapers of one series, one of which cuts off the past.
//!
//! The code is the crate's own (`arena/baseline.rs`). The twins leave one [`Step`] out and must fail. The scrape that might be
//! wrong is spawned last, see `loom_shards.rs`.
#![cfg(loom)]

use dynamo_metrics_core::__private::model::{Distribution, Step, leave_out};
use std::sync::Arc;

/// A thread records, one scrape cuts, another one shows what is left.
fn two_scrapers() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let distribution = Arc::new(Distribution::new());
        let with = |work: fn(&Distribution) -> Option<u64>| {
            let distribution = Arc::clone(&distribution);
            loom::thread::spawn(move || work(&distribution).expect("less than was cut off"))
        };
        let recording = with(|distribution| {
            distribution.observe();
            Some(1)
        });
        let cutting = with(|distribution| distribution.scrape(true));
        let showing = with(|distribution| distribution.scrape(false));
        recording.join().unwrap();
        let (before, shown) = (cutting.join().unwrap(), showing.join().unwrap());
        assert!(shown <= 1 && before <= 1);
        let left = distribution.scrape(false).expect("less than was cut off");
        assert_eq!(before + left, 1, "each recording is shown once");
    });
}

#[test]
fn no_scrape_shows_less_than_nothing() {
    two_scrapers();
}

/// The twin: what was read before the other scrape's cut is less than what that one has cut off.
#[test]
#[should_panic(expected = "less than was cut off")]
fn a_scrape_that_does_not_read_again_shows_less_than_nothing() {
    leave_out(Step::ReadAgain);
    two_scrapers();
}

/// The twin: sees that the other one has cut, and cells from before.
#[test]
#[should_panic(expected = "less than was cut off")]
fn a_generation_noted_relaxed_comes_with_older_cells() {
    leave_out(Step::AcquireLoads);
    two_scrapers();
}

/// The twin: the other half.
#[test]
#[should_panic(expected = "less than was cut off")]
fn a_generation_grown_relaxed_comes_with_older_cells() {
    leave_out(Step::ReleaseStores);
    two_scrapers();
}
