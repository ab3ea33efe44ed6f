//! Models of what a family and a registry tell those who do not take their locks: the key under which threads remember a family's
//! series, the number by which a snapshot knows that a family has nothing new, and the one by which it knows that of a registry.
//!
//! The code is the crate's own. The twins leave one [`Step`] out, or take it in the wrong place, and must fail.
#![cfg(loom)]

use dynamo_metrics_core::__private::model::{Scrape, Step, families, forget, leave_out, make};
use dynamo_metrics_core::{Registry, Snapshot};
use loom::thread;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.max_branches = 100_000;
    builder.check(model);
}

/// A series is removed while another thread looks it up. After the removal no thread may find it in what it remembers, where it
/// would be found for ever.
fn a_removal_beside_a_lookup() {
    check(|| {
        let registry = Registry::new();
        let family = registry.counter_family(("events_total", ""), ["name"]).expect("cells");
        drop(make(&family, "a"));
        let removing = {
            let family = family.clone();
            thread::spawn(move || assert!(family.remove(["a"]) || family.get(["a"]).is_none()))
        };
        let looking = {
            let family = family.clone();
            thread::spawn(move || {
                drop(family.with(["a"]));
                removing.join().unwrap();
                family.with(["a"]).inc();
                let counted = family.get(["a"]).map(|series| series.get());
                forget();
                counted
            })
        };
        let counted = looking.join().unwrap();
        assert_eq!(counted, Some(1), "remembered although removed");
    });
}

#[test]
fn what_was_removed_is_remembered_under_no_new_key() {
    a_removal_beside_a_lookup();
}

/// The twin.
#[test]
#[should_panic(expected = "remembered although removed")]
fn a_key_read_after_the_search_remembers_what_was_removed() {
    leave_out(Step::KeyBeforeSearch);
    a_removal_beside_a_lookup();
}

/// The twin.
#[test]
#[should_panic(expected = "remembered although removed")]
fn a_removal_that_keeps_the_key_leaves_what_was_removed_remembered() {
    leave_out(Step::NewKey);
    a_removal_beside_a_lookup();
}

/// Two series are made while a scrape lists; whatever it saw, the next one lists both.
fn new_series_beside_scrapes() {
    check(|| {
        let registry = Registry::new();
        let family = registry.counter_family(("events_total", ""), ["name"]).expect("cells");
        let making = ["a", "b"].map(|name| {
            let family = family.clone();
            thread::spawn(move || drop(make(&family, name)))
        });
        let scraping = {
            let family = family.clone();
            thread::spawn(move || {
                let mut scrape = Scrape::default();
                scrape.list(&family);
                scrape
            })
        };
        for making in making {
            making.join().unwrap();
        }
        let mut scrape = scraping.join().unwrap();
        scrape.list(&family);
        assert_eq!(scrape.counts().len(), 2, "a series is missing for ever");
    });
}

#[test]
fn a_series_made_during_a_scrape_is_in_the_next_one() {
    new_series_beside_scrapes();
}

/// The twin.
#[test]
#[should_panic(expected = "a series is missing")]
fn a_number_read_after_the_listing_misses_a_series() {
    leave_out(Step::NumberBeforeListing);
    new_series_beside_scrapes();
}

/// The twin.
#[test]
#[should_panic(expected = "a series is missing")]
fn a_series_that_is_not_announced_is_missed() {
    leave_out(Step::Announce);
    new_series_beside_scrapes();
}

/// Two families are registered while a snapshot lists; whatever it saw, the next listing has both.
fn registrations_beside_a_listing() {
    check(|| {
        let registry = Registry::new();
        let before = families(&mut Snapshot::new(), &registry);
        let registering = ["a_total", "b_total"].map(|name| {
            let registry = registry.clone();
            thread::spawn(move || {
                registry.counter((name, "")).expect("cells");
                forget();
            })
        });
        let listing = {
            let registry = registry.clone();
            thread::spawn(move || {
                let mut snapshot = Snapshot::new();
                families(&mut snapshot, &registry);
                snapshot
            })
        };
        for registering in registering {
            registering.join().unwrap();
        }
        let mut snapshot = listing.join().unwrap();
        assert_eq!(families(&mut snapshot, &registry), before + 2, "a family is missing for ever");
    });
}

#[test]
fn a_family_registered_during_a_listing_is_in_the_next_one() {
    registrations_beside_a_listing();
}

/// The twin.
#[test]
#[should_panic(expected = "a family is missing")]
fn a_generation_read_after_the_listing_misses_a_family() {
    leave_out(Step::GenerationBeforeListing);
    registrations_beside_a_listing();
}
