//! Every page has each series once and one type for each name, for all registrations in all scopes.

use dynamo_metrics_core::{Buckets, Family, Gauge, Kind, Opts, Registry, Snapshot};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Returns the labels of every series of family `x` as a scraper sees them: an empty value is no label.
fn printed(registry: &Registry) -> Vec<BTreeMap<String, String>> {
    let mut snapshot = Snapshot::new();
    snapshot.take(registry);
    let parts = snapshot.families().filter(|family| family.name() == "x").flat_map(|f| f.parts());
    let series = parts.flat_map(|part| (0..part.len()).filter_map(move |at| part.series(at)));
    series
        .map(|series| {
            let own = series.descriptor().label_names().zip(series.label_values());
            let labels = series.descriptor().const_labels().chain(own);
            let told = labels.filter(|(_, value)| !value.is_empty());
            told.map(|(label, value)| (label.to_owned(), value.to_owned())).collect()
        })
        .collect()
}

/// Returns every combination of `""`, `"1"` and `"2"`.
fn fill<const N: usize>(family: &Family<Gauge, N>) {
    for number in 0..3usize.pow(N as u32) {
        let digit = |place: usize| ["", "1", "2"][number / 3usize.pow(place as u32) % 3];
        family.with(std::array::from_fn(digit));
    }
}

#[derive(Clone, Debug)]
struct Asked {
    scope: Vec<(&'static str, &'static str)>,
    constant: Vec<(&'static str, &'static str)>,
    varying: Vec<&'static str>,
}

fn any_registration() -> impl Strategy<Value = Asked> {
    let label = || prop::sample::select(vec!["a", "b", "c"]);
    let pairs =
        |max| prop::collection::vec((label(), prop::sample::select(vec!["", "1", "2"])), 0..=max);
    (pairs(2), pairs(1), prop::collection::vec(label(), 0..=2))
        .prop_map(|(scope, constant, varying)| Asked { scope, constant, varying })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_accepted_prints_no_series_twice(asked in prop::collection::vec(any_registration(), 1..6)) {
        let registry = Registry::new();
        for Asked { scope, constant, varying } in &asked {
            let Ok(level) = registry.scope(scope) else { continue };
            let opts = constant.iter().fold(Opts::new("x", ""), |opts, &(label, value)| {
                opts.const_label(label, value)
            });
            match varying[..] {
                [] => level.gauge_family(opts, []).iter().for_each(fill),
                [a] => level.gauge_family(opts, [a]).iter().for_each(fill),
                [a, b] => level.gauge_family(opts, [a, b]).iter().for_each(fill),
                _ => unreachable!("at most two"),
            }
        }
        let all = printed(&registry);
        let distinct: BTreeSet<_> = all.iter().collect();
        prop_assert_eq!(distinct.len(), all.len(), "{:?}", all);
    }
}

/// A name moves from a type in one scope to another type in another scope and back, while another thread scrapes. Scopes
/// with a metric each, which lie between the two, make a listing slow enough for changes in the middle of it.
#[test]
fn a_name_that_moves_between_scopes_has_one_type_on_every_page() {
    const TURNS: u64 = 20_000;
    let registry = Registry::new();
    let first = registry.scope(&[("at", "first")]).unwrap();
    for at in 0..2000 {
        let between = registry.scope(&[("at", &format!("first-{at}"))]).unwrap();
        between.gauge(("between", "")).unwrap();
    }
    let last = registry.scope(&[("at", "last")]).unwrap();
    let buckets = Buckets::new([1.0]).unwrap();
    let (done, turns, registry) = (AtomicBool::new(false), AtomicU64::new(0), &registry);
    thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                first.counter(("x_total", "")).unwrap();
                first.histogram(("y", ""), &buckets).unwrap();
                assert!(first.unregister("x_total") && first.unregister("y"));
                last.gauge(("x_total", "")).unwrap();
                last.gauge(("y_count", "")).unwrap();
                assert!(last.unregister("x_total") && last.unregister("y_count"));
                turns.fetch_add(1, Ordering::Relaxed);
            }
        });
        // The other thread ends with this one, also when this one panics.
        let _done = Done(&done);
        let mut snapshot = Snapshot::new();
        while turns.load(Ordering::Relaxed) < TURNS {
            snapshot.take(registry);
            let named = |name: &str| {
                let family = snapshot.families().find(|family| family.name() == name)?;
                let kinds: Vec<Kind> = family.parts().map(|part| part.kind()).collect();
                assert_eq!(kinds.len(), 1, "{name}: {kinds:?}");
                Some(kinds[0])
            };
            named("x_total");
            let (histogram, gauge) = (named("y"), named("y_count"));
            assert!(histogram.is_none() || gauge.is_none(), "{histogram:?} and {gauge:?}");
        }
    });
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
