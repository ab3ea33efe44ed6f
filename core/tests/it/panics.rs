//! Panics of the caller, between two recordings or in a closure of `visit`: recordings before and after the panic count, and
//! scrapes continue.

use dynamo_metrics_core::{Buckets, Counter, Registry, Snapshot, snapshot::Value};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

/// The points at which one turn may panic.
const POINTS: u64 = 8;
const TURNS: u64 = 1000;

/// Panics if this is the point of the turn. Without the panic hook, which would print a thousand messages.
fn point(turn: u64, at: u64) {
    if turn % POINTS == at {
        resume_unwind(Box::new(()));
    }
}

/// Returns the number of turns that pass a point.
fn beyond(at: u64) -> u64 {
    (0..TURNS).filter(|turn| turn % POINTS > at).count() as u64
}

#[test]
fn panics_between_recordings_and_in_visits_lose_nothing() {
    let registry = Registry::new();
    let counter = registry.counter(("turns_total", "")).unwrap();
    let open = registry.up_down_counter(("open", "")).unwrap();
    let values = registry.histogram(("values", ""), &Buckets::new([1.0]).unwrap()).unwrap();
    let family = registry.counter_family(("visits_total", ""), ["model"]).unwrap();
    let capped = registry.counter_family(("nested_total", ""), ["model"]).unwrap();
    let turn = |turn: u64| {
        point(turn, 0);
        counter.inc();
        point(turn, 1);
        open.inc();
        point(turn, 2);
        values.observe(0.5);
        point(turn, 3);
        // The first visits create the series, later ones find it in the thread's cache.
        let model = ["a", "b", "c"][turn as usize % 3];
        family.visit([model], |visits| {
            point(turn, 4);
            visits.inc();
            point(turn, 5);
            capped.visit([model], |nested: &Counter| {
                nested.inc();
                point(turn, 6);
            });
        });
        open.dec();
        point(turn, 7);
        unreachable!("every turn ends at a point");
    };
    let turns = |turns: &mut dyn Iterator<Item = u64>| {
        turns.for_each(|at| assert!(catch_unwind(AssertUnwindSafe(|| turn(at))).is_err()));
    };
    // Half of the turns run on a thread that its last panic ends.
    turns(&mut (0..TURNS / 2));
    thread::scope(|scope| {
        let dies = scope.spawn(|| {
            turns(&mut (TURNS / 2..TURNS - 1));
            turn(TURNS - 1);
        });
        assert!(dies.join().is_err());
    });

    let mut snapshot = Snapshot::new();
    snapshot.take(&registry);
    let value = |name: &str| {
        let family = snapshot.families().find(|family| family.name() == name).unwrap();
        let part = family.parts().next().unwrap();
        match part.series(0).unwrap().value() {
            Value::Unsigned(_) => part.counts().sum(),
            Value::Signed(value) => value.cast_unsigned(),
            Value::Histogram { counts, sum } => {
                assert_eq!(sum, counts[0] as f64 * 0.5);
                counts[0]
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(value("turns_total"), beyond(0));
    assert_eq!(value("open"), beyond(1) - beyond(6));
    assert_eq!(value("values"), beyond(2));
    assert_eq!(value("visits_total"), beyond(4));
    assert_eq!(value("nested_total"), beyond(5));
    // A series that was in use at a panic can still be used, removed and created again.
    assert!(family.remove(["a"]) && family.remove(["b"]) && family.remove(["c"]));
    family.visit(["a"], Counter::inc);
    assert_eq!(family.with(["a"]).get(), 1);
}
