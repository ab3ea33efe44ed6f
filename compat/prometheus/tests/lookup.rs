//! Lookups by label values through the caches of threads find the series that the table has.

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts,
};
use std::sync::Barrier;
use std::thread;

fn counters() -> IntCounterVec {
    IntCounterVec::new(Opts::new("requests_total", "Requests."), &["model", "endpoint"]).unwrap()
}

#[test]
fn a_removed_series_is_not_found_by_a_thread_that_looked_it_up_before() {
    let vec = counters();
    let (looked_up, removed) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3 {
                (0..5).for_each(|_| vec.with_label_values(&["m", "e"]).inc());
                let before = vec.with_label_values(&["m", "e"]);
                looked_up.wait();
                removed.wait();
                assert_eq!(vec.with_label_values(&["m", "e"]).get(), 0);
                // A handle from before records and is seen no more.
                before.inc();
                assert_eq!((before.get(), vec.with_label_values(&["m", "e"]).get()), (6, 0));
            }
        });
        for round in 0..3 {
            looked_up.wait();
            match round {
                0 => vec.remove_label_values(&["m", "e"]).unwrap(),
                1 => vec.reset(),
                _ => vec.remove(&[("model", "m"), ("endpoint", "e")].into()).unwrap(),
            }
            removed.wait();
        }
    });
}

#[test]
fn strings_that_change_at_their_address_find_their_own_series() {
    let vec = counters();
    let mut model = String::from("qwen3-0.6b");
    let text = "chat_completions_chat";
    for round in 1..=3 {
        for digit in ["0", "1", "2"] {
            model.replace_range(6..7, digit);
            vec.with_label_values(&[&model, "chat"]).inc();
            assert_eq!(vec.with_label_values(&[&model.clone(), "chat"]).get(), round);
        }
        for end in 1..text.len() {
            vec.with_label_values(&[&text[..end], &text[end..]]).inc();
            vec.with_label_values(&[&text[..end], &text[..end]]).inc_by(2);
        }
        for end in 1..text.len() {
            assert_eq!(vec.with_label_values(&[&text[..end], &text[end..]]).get(), round);
            assert_eq!(vec.with_label_values(&[&text[..end], &text[..end]]).get(), 2 * round);
        }
    }
}

#[test]
fn families_of_each_type_and_of_the_same_strings_are_told_apart() {
    let (a, b) = (counters(), counters());
    let gauges = IntGaugeVec::new(Opts::new("level", "Level."), &["model", "endpoint"]).unwrap();
    let opts = HistogramOpts::new("seconds", "Seconds.");
    let histograms = HistogramVec::new(opts, &["model", "endpoint"]).unwrap();
    for round in 1..=4 {
        a.with_label_values(&["m", "e"]).inc();
        b.with_label_values(&["m", "e"]).inc_by(10);
        gauges.with_label_values(&["m", "e"]).sub(1);
        histograms.with_label_values(&["m", "e"]).observe(0.5);
        assert_eq!(a.with_label_values(&["m", "e"]).get(), round);
        assert_eq!(b.with_label_values(&["m", "e"]).get(), 10 * round);
        assert_eq!(gauges.with_label_values(&["m", "e"]).get(), -(round as i64));
        assert_eq!(histograms.with_label_values(&["m", "e"]).get_sample_count(), round);
    }
}

#[test]
fn handles_that_are_held_copied_and_sent_to_other_threads_stay_their_series() {
    let vec = counters();
    let models: Vec<String> = (0..400).map(|n| format!("model-{n}")).collect();
    let look_up = || -> Vec<IntCounter> {
        models.iter().map(|model| vec.with_label_values(&[model.as_str(), "e"])).collect()
    };
    // More than a cache has; each series is handed out several times before one comes back.
    let held = [look_up(), look_up(), look_up()];
    thread::scope(|scope| {
        for handles in held {
            scope.spawn(|| {
                let own = look_up();
                handles.iter().chain(&own).for_each(IntCounter::inc);
                handles.into_iter().for_each(|handle| handle.clone().inc());
            });
        }
    });
    assert!(look_up().iter().all(|counter| counter.get() == 9));
}

#[test]
fn families_that_come_and_go_leave_no_more_than_a_cache_of_series() {
    // Cells that were used come back at zero; without returns the process would run out of them.
    for round in 0..300 {
        let vec = counters();
        for n in 0..1_000 {
            let counter = vec.with_label_values(&[n.to_string().as_str(), "e"]);
            assert_eq!(counter.get(), 0, "{round}");
            counter.inc();
        }
    }
}

#[test]
fn a_handle_outlives_its_family() {
    let opts = HistogramOpts::new("seconds", "Seconds.");
    let vec = HistogramVec::new(opts, &["n"]).unwrap();
    vec.with_label_values(&["1"]).observe(1.0);
    let kept: Histogram = vec.with_label_values(&["1"]);
    drop(vec);
    kept.observe(2.0);
    assert_eq!(kept.get_sample_sum(), 3.0);
    let other = HistogramVec::new(HistogramOpts::new("seconds", "Seconds."), &["n"]).unwrap();
    assert_eq!(other.with_label_values(&["1"]).get_sample_count(), 0);
}
