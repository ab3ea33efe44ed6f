//! Short-lived threads record while others scrape: no count is lost, none decreases, and every scrape is consistent.

use dynamo_metrics_core::{
    Buckets, Counter, Opts, Registry, Scale, Snapshot, shard_count,
    snapshot::{Sum, Value},
};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const LANES: u64 = 8;
const INCREMENTS_PER_LANE: u64 = 10_000_000;
/// Number of threads that each lane runs, one after the other.
const THREADS_PER_LANE: u64 = 100;
/// Series that all lanes create and remove.
const MODELS: [&str; 5] = ["a", "b", "c", "d", "e"];

#[test]
fn eighty_million_increments_under_churn_and_scrapes() {
    let registry = Registry::new();
    let counter = registry.counter(("stress_total", "")).unwrap();
    let histogram = registry
        .histogram(("stress_value", ""), &Buckets::new([1.0, 2.0, 3.0, 4.0]).unwrap())
        .unwrap();
    let bounds = Buckets::new([1.0, 2.0, 3.0, 4.0]).unwrap();
    let integers = registry.integer_histogram(("stress_integer", ""), &bounds, Scale::One).unwrap();
    let one = Buckets::new([1.0]).unwrap();
    let outer = registry.up_down_counter(("stress_outer", "")).unwrap();
    let inner = registry.up_down_counter(Opts::new("stress_inner", "").nested()).unwrap();
    let churning = registry.histogram_family(("stress_churning", ""), ["model"], &one).unwrap();
    let lasting = registry.counter_family(("stress_lasting_total", ""), ["model"]).unwrap();
    let done = AtomicBool::new(false);

    let (scrapes, observations) = thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut snapshot = Snapshot::new();
            let mut scrapes = 0u64;
            let (mut last_total, mut last_sum, mut last_counts) = (0, 0.0, [0; 5]);
            let mut last_units = 0;
            while !done.load(Ordering::Relaxed) {
                snapshot.take(&registry);
                scrapes += 1;
                let value = |name: &str| {
                    let family = snapshot.families().find(|family| family.name() == name).unwrap();
                    family.parts().next().unwrap().series(0).unwrap().value()
                };
                let Value::Unsigned(total) = value("stress_total") else { panic!() };
                assert!(total >= last_total, "{total} after {last_total}");
                last_total = total;
                let Value::Histogram { counts, sum } = value("stress_value") else { panic!() };
                let sum = sum.to_f64();
                assert!(sum >= last_sum, "{sum} after {last_sum}");
                for (last, &now) in last_counts.iter_mut().zip(counts) {
                    assert!(now >= *last);
                    *last = now;
                }
                // Value i belongs to bucket i - 1, so the sum follows from the counts.
                let covered: u64 = (1..).zip(counts).map(|(value, count)| value * count).sum();
                assert!(sum <= covered as f64, "the sum is ahead of the buckets");
                last_sum = sum;
                let (Value::Signed(outer), Value::Signed(inner)) =
                    (value("stress_outer"), value("stress_inner"))
                else {
                    panic!()
                };
                assert!(0 <= inner && inner <= outer, "0 <= {inner} <= {outer}");
                // Every observation of the removed series is 1, so cells that are not zero when they are reused would show.
                let family = snapshot.families().find(|f| f.name() == "stress_churning").unwrap();
                for (counts, sum) in family.parts().next().unwrap().histograms() {
                    assert_eq!(counts[1], 0, "another series' numbers");
                    assert!(sum.to_f64() <= counts[0] as f64, "{sum} of {counts:?}");
                }
                let Value::Histogram { counts, sum: Sum::Integer(sum) } = value("stress_integer")
                else {
                    panic!()
                };
                let covered: u64 = (1..).zip(counts).map(|(value, count)| value * count).sum();
                assert!(sum.units <= covered, "{sum} is ahead of {counts:?}");
                assert!(sum.units >= last_units, "{sum} after {last_units}");
                last_units = sum.units;
            }
            scrapes
        });
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| {
                let (counter, histogram, integers) = (&counter, &histogram, &integers);
                let (churning, lasting) = (&churning, &lasting);
                let (outer, inner) = (&outer, &inner);
                scope.spawn(move || {
                    let mut observations = 0;
                    for turn in 0..THREADS_PER_LANE {
                        outer.inc();
                        inner.inc();
                        observations += thread::scope(|scope| {
                            let worker = scope.spawn(|| {
                                let mut observations = 0u64;
                                for i in 0..INCREMENTS_PER_LANE / THREADS_PER_LANE {
                                    counter.inc();
                                    if i % 64 == 0 {
                                        histogram.observe(((lane + turn + i) % 5 + 1) as f64);
                                        integers.observe((lane + turn + i) % 5 + 1);
                                        observations += 1;
                                        let model = MODELS[(lane + turn + i / 64) as usize % 5];
                                        lasting.visit([model], Counter::inc);
                                        let late = churning.with([model]);
                                        if i % 4096 == 0 {
                                            churning.remove([model]);
                                        }
                                        // Recorded, once in 64 times into a series that was removed.
                                        late.observe(1.0);
                                    }
                                }
                                // Ends here a request that began on the thread of the lane.
                                inner.dec();
                                outer.dec();
                                observations
                            });
                            worker.join().unwrap()
                        });
                    }
                    observations
                })
            })
            .collect();
        let observations: u64 = lanes.into_iter().map(|lane| lane.join().unwrap()).sum();
        done.store(true, Ordering::Relaxed);
        (scraper.join().unwrap(), observations)
    });

    assert_eq!(counter.get(), LANES * INCREMENTS_PER_LANE, "lost or invented");
    assert_eq!(histogram.get().counts.iter().sum::<u64>(), observations);
    assert_eq!((outer.get(), inner.get()), (0, 0));
    let lasting: u64 = MODELS.iter().map(|model| lasting.with([model]).get()).sum();
    assert_eq!(lasting, observations);
    // At most 8 lanes, each with one worker at a time, and the main thread; not one shard for each of 800 threads.
    assert!(shard_count() <= 2 * LANES as usize + 1, "{} shards", shard_count());
    assert!(scrapes > 100, "only {scrapes} scrapes");
}

#[test]
fn a_panicking_thread_keeps_its_counts() {
    let registry = Registry::new();
    let counter = registry.counter(("panics_total", "")).unwrap();
    for _ in 0..100 {
        let counter = counter.clone();
        let result = thread::spawn(move || {
            counter.inc();
            std::panic::resume_unwind(Box::new("on purpose"));
        })
        .join();
        assert!(result.is_err());
    }
    assert_eq!(counter.get(), 100);
}

#[test]
fn recording_in_the_destructor_of_another_thread_local_is_not_lost() {
    use dynamo_metrics_core::{Family, Histogram, LocalCounter, LocalHistogram, UpDownCounter};
    use std::cell::RefCell;

    #[derive(Clone)]
    struct Late {
        counter: Counter,
        values: Histogram,
        open: UpDownCounter,
        family: Family<Counter, 1>,
    }
    impl Late {
        fn record(&self) {
            self.counter.inc();
            self.values.observe_n(0.5, 3);
            self.open.add(3);
            self.open.dec();
            self.family.visit(["late"], Counter::inc);
        }
    }
    impl Drop for Late {
        fn drop(&mut self) {
            self.record();
        }
    }
    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
        static LOCAL: RefCell<Option<(LocalCounter, LocalHistogram)>> = const { RefCell::new(None) };
    }
    let registry = Registry::new();
    let buckets = Buckets::new([1.0]).unwrap();
    let counter = registry.counter(("late_total", "")).unwrap();
    let values = registry.histogram(("late_values", ""), &buckets).unwrap();
    let open = registry.up_down_counter(("late_open", "")).unwrap();
    let family = registry.counter_family(("late_by_model_total", ""), ["model"]).unwrap();
    // Both orders of registration, which decide the order of destruction.
    for record_first in [false, true] {
        let late = Late {
            counter: counter.clone(),
            values: values.clone(),
            open: open.clone(),
            family: family.clone(),
        };
        thread::spawn(move || {
            let here = std::mem::ManuallyDrop::new(late.clone());
            if record_first {
                here.record();
            }
            LATE.with(|place| *place.borrow_mut() = Some(late));
            let local = here.counter.local().zip(here.values.local());
            LOCAL.with(|place| *place.borrow_mut() = local);
            LOCAL.with(|place| {
                let place = place.borrow();
                let (counter, values) = place.as_ref().unwrap();
                counter.inc();
                values.observe(0.5);
            });
            if !record_first {
                here.record();
            }
        })
        .join()
        .unwrap();
    }
    // Recordings of each thread: in its life, after its end, and through the local handles.
    assert_eq!(counter.get(), 6);
    assert_eq!((values.get().counts, values.get().sum), (vec![14, 0], 7.0));
    assert_eq!(open.get(), 8);
    assert_eq!(family.with(["late"]).get(), 4);
}
