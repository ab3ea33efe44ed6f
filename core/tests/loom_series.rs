//! Models of series that come and go: when cells may be reused, and in which order a scrape lists and reads.
//!
//! The code is the crate's own: family, pool, shards and the list of a snapshot. The twins leave one [`Step`] out, record in a
//! cell whose handle is gone, or scrape in the wrong order, and must fail. The scrape is spawned last, see `loom_shards.rs`.
#![cfg(loom)]

use dynamo_metrics_core::__private::model::{Scrape, Step, bare, leave_out, make};
use dynamo_metrics_core::{Counter, Family, Registry};
use loom::thread;

type Series = Family<Counter, 1>;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 100_000;
    builder.check(model);
}

/// A registry with one family, and the family.
fn family() -> (Registry, Series) {
    let registry = Registry::new();
    let family = registry.counter_family(("events_total", ""), ["name"]).expect("cells");
    (registry, family)
}

// ---- Removal and reuse of cells -------------------------------------------------------------------------------

/// The series that is removed, and the one that is made at once.
const OLD: &str = "old";
const NEW: &str = "new";
/// Amounts that one recording of each adds, so that their counts cannot be mistaken.
const ADDED_OLD: u64 = 1;
const ADDED_NEW: u64 = 10;

/// Returns a closure that records in a series and keeps its handle.
fn handle(counter: Counter) -> Box<dyn Fn(u64) + Send> {
    Box::new(move |n| counter.add(n))
}

/// The twin: returns a closure that records in the cell of a series, whose handle is dropped.
fn cell_alone(counter: Counter) -> Box<dyn Fn(u64) + Send> {
    Box::new(bare(&counter))
}

/// A series is removed while a thread still records in it; a new one is made at once, which may or may not get its cell; a scrape
/// runs besides.
fn a_late_writer(late: fn(Counter) -> Box<dyn Fn(u64) + Send>, scrape: fn(&Series, &Registry)) {
    check(move || {
        let (registry, family) = family();
        let record = late(make(&family, OLD));
        let recording = thread::spawn(move || record(ADDED_OLD));
        let replacing = {
            let family = family.clone();
            thread::spawn(move || {
                assert!(family.remove([OLD]));
                make(&family, NEW).add(ADDED_NEW);
            })
        };
        let scraping = {
            let (family, registry) = (family.clone(), registry.clone());
            thread::spawn(move || scrape(&family, &registry))
        };
        for thread in [recording, replacing, scraping] {
            thread.join().unwrap();
        }
        let count = make(&family, NEW).get();
        assert_eq!(count, ADDED_NEW, "the new series has its own count, exactly");
    });
}

fn expect_own(scrape: &Scrape) {
    for (name, total) in scrape.counts() {
        let added = if name == OLD { ADDED_OLD } else { ADDED_NEW };
        let total = total.expect("a series without a total");
        assert!(total == 0 || total == added, "{total} in a series of {added}s");
    }
}

/// As `Snapshot::take` does: lists, which holds references, and reads afterwards.
fn list_then_read(family: &Series, registry: &Registry) {
    let mut scrape = Scrape::default();
    scrape.list(family);
    scrape.sum(registry);
    expect_own(&scrape);
}

/// The twin: reads all cells, and lists afterwards.
fn read_then_list(family: &Series, registry: &Registry) {
    let mut scrape = Scrape::default();
    scrape.sum(registry);
    scrape.list(family);
    expect_own(&scrape);
}

/// No late recording reaches the next owner of a cell, and no scrape shows one series' count as another's.
#[test]
fn cells_are_reused_after_the_last_handle_only() {
    a_late_writer(handle, list_then_read);
}

/// The twin: a thread that writes the cell of a series without a handle to it reaches the next owner.
#[test]
#[should_panic(expected = "the new series has its own count")]
fn a_recording_without_a_handle_reaches_the_next_owner() {
    a_late_writer(cell_alone, |_, _| {});
}

/// The twin: cells that are handed out as they are have the count of their last owner.
#[test]
#[should_panic(expected = "the new series has its own count")]
fn cells_that_are_not_zeroed_keep_their_count() {
    leave_out(Step::Zero);
    a_late_writer(handle, |_, _| {});
}

/// The twin: a scrape that reads before it lists shows the old series' count under the new one's labels, or finds no total.
#[test]
#[should_panic(expected = "in a series of")]
fn a_scrape_that_reads_before_it_lists_mixes_series_up() {
    a_late_writer(handle, read_then_list);
}

// ---- A new series beside a scrape -----------------------------------------------------------------------------

/// A series that is listed has its cell in the totals, because the cell is handed out before the series is listed. A snapshot
/// looks its total up by that place.
fn a_new_series_beside_a_scrape(scrape: fn(&Series, &Registry)) {
    check(move || {
        let (registry, family) = family();
        let making = {
            let family = family.clone();
            thread::spawn(move || drop(make(&family, NEW)))
        };
        // Kept here to the end: loom does not see the counts of references.
        let scraping = {
            let (family, registry) = (family.clone(), registry.clone());
            thread::spawn(move || scrape(&family, &registry))
        };
        making.join().unwrap();
        scraping.join().unwrap();
    });
}

#[test]
fn a_listed_series_has_its_total() {
    a_new_series_beside_a_scrape(list_then_read);
}

/// The twin: totals that were taken before the listing lack the new series.
#[test]
#[should_panic(expected = "a series without a total")]
fn totals_taken_before_the_listing_lack_a_series() {
    a_new_series_beside_a_scrape(read_then_list);
}
