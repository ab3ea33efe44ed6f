//! Info metrics, state sets and start timestamps: valid and invalid registrations, and their values in scrapes.

use dynamo_metrics_core::{
    Buckets, Kind, LabelEnum, Opts, RegisterError, Registry, Snapshot,
    limits::STATES_MAX,
    snapshot::{FamilySnapshot, SeriesSnapshot, Value},
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

fn family<'a>(snapshot: &'a Snapshot, name: &str) -> FamilySnapshot<'a> {
    snapshot.families().find(|family| family.name() == name).unwrap()
}

fn all<'a>(snapshot: &'a Snapshot, name: &str) -> Vec<SeriesSnapshot<'a>> {
    let parts = family(snapshot, name).parts();
    parts.flat_map(|part| (0..part.len()).map(move |at| part.series(at).unwrap())).collect()
}

fn take(registry: &Registry) -> Snapshot {
    let mut snapshot = Snapshot::new();
    snapshot.take(registry);
    snapshot
}

#[test]
fn info_is_a_series_of_value_one() {
    let registry = Registry::new();
    let labels = [("version", "0.9.0"), ("abi", "3")];
    registry.info(("build_info", "h"), &labels).unwrap();
    registry.info(("build_info", "h"), &labels).unwrap();
    registry.info(("build_info", "h"), &[("version", "0.9.1"), ("abi", "3")]).unwrap();
    let models = registry.info_family(("model_info", "h"), ["model"]).unwrap();
    models.with(["a"]);
    models.with(["b"]);
    assert!(models.remove(["a"]));
    let snapshot = take(&registry);
    let values = |name: &str| -> Vec<_> {
        all(&snapshot, name).iter().map(|series| series.value()).collect()
    };
    assert_eq!(values("build_info"), [Value::Info; 2], "equal labels are one series");
    assert_eq!(values("model_info"), [Value::Info]);
    assert_eq!(all(&snapshot, "model_info")[0].label_values().collect::<Vec<_>>(), ["b"]);
    assert_eq!(family(&snapshot, "build_info").exposed_type(), "gauge");
    let kind = family(&snapshot, "build_info").parts().next().unwrap().descriptor().kind();
    assert_eq!((kind, kind.open_metrics()), (Kind::Info, "info"));
}

#[test]
fn an_info_metric_has_the_suffix_no_unit_and_two_names() {
    let registry = Registry::new();
    for name in ["build", "_info", "buildinfo", "build_info_total"] {
        let error = registry.info((name, ""), &[]).unwrap_err();
        assert_eq!(error, RegisterError::InfoName { name: name.into() });
        assert!(error.to_string().contains("\"build_info\""), "{error}");
    }
    let unit = registry.info(Opts::new("build_info", "").unit("info"), &[]).unwrap_err();
    assert!(matches!(unit, RegisterError::Unsupported { what: "a unit", kind: "info", .. }));
    registry.info(("build_info", ""), &[("version", "1")]).unwrap();
    let stem = registry.gauge(("build", "")).unwrap_err();
    assert!(matches!(stem, RegisterError::SuffixClash { .. }), "{stem}");
    assert!(registry.occupies("build") && registry.occupies("build_info"));
    // Both print gauges in text 0.0.4, but not in OpenMetrics.
    let scope = registry.scope(&[("component", "a")]).unwrap();
    let other = scope.gauge(("build_info", "")).unwrap_err();
    assert!(matches!(other, RegisterError::Conflict { what: "type", .. }), "{other}");
    assert!(registry.unregister("build_info") && !registry.occupies("build"));
}

#[derive(Clone, Copy, Debug)]
enum Health {
    Starting,
    Ready,
    Failed,
}

impl LabelEnum for Health {
    const VALUES: &'static [&'static str] = &["starting", "ready", "failed"];

    fn index(self) -> usize {
        self as usize
    }
}

#[test]
fn states_are_bits_in_the_order_of_their_names() {
    let registry = Registry::new();
    let engines = registry.state_set_family(("health", "h"), ["engine"], Health::VALUES).unwrap();
    let engine = engines.with(["0"]);
    let states = || {
        let snapshot = take(&registry);
        let series = all(&snapshot, "health")[0];
        assert_eq!(series.descriptor().states().collect::<Vec<_>>(), Health::VALUES);
        assert_eq!(series.descriptor().kind().open_metrics(), "stateset");
        let Value::States(bits) = series.value() else { panic!("a state set") };
        bits
    };
    assert_eq!(states(), 0, "all off at first");
    engine.set("starting", true).unwrap();
    engine.set("failed", true).unwrap();
    assert_eq!((states(), engine.bits()), (0b101, 0b101));
    engine.set("starting", false).unwrap();
    assert_eq!(states(), 0b100);
    engine.only("ready").unwrap();
    assert_eq!(states(), 0b010);
    assert_eq!((engine.get("ready"), engine.get("failed")), (Ok(true), Ok(false)));
    for error in [
        engine.set("raedy", true).unwrap_err(),
        engine.only("raedy").unwrap_err(),
        engine.get("raedy").unwrap_err(),
    ] {
        assert_eq!((&*error.name, &*error.state), ("health", "raedy"));
        assert!(error.to_string().contains("starting, ready, failed"), "{error}");
    }
    assert_eq!(engine.bits(), 0b010, "an unknown state changes nothing");
}

#[test]
fn states_of_an_enum_are_the_same_states() {
    #[derive(Clone, Copy)]
    struct Odd(usize);
    impl LabelEnum for Odd {
        const VALUES: &'static [&'static str] = Health::VALUES;

        fn index(self) -> usize {
            self.0
        }
    }
    let registry = Registry::new();
    let typed = registry.enum_state_set::<Health>(("health", "h")).unwrap();
    let by_name = registry.state_set(("health", "h"), Health::VALUES).unwrap();
    typed.clone().set(Health::Starting, true);
    typed.set(Health::Failed, true);
    assert_eq!((by_name.bits(), typed.bits()), (0b101, 0b101));
    typed.set(Health::Starting, false);
    assert!(typed.get(Health::Failed) && !typed.get(Health::Starting));
    typed.only(Health::Ready);
    assert!(by_name.typed::<Health>().unwrap().get(Health::Ready));
    let other = registry.state_set(("other", "h"), &["starting", "ready"]).unwrap();
    assert!(other.typed::<Health>().is_none());
    // An index beyond the values is not a state, and does not panic.
    let odd = by_name.typed::<Odd>().unwrap();
    for index in [3, 63, 64, usize::MAX] {
        odd.set(Odd(index), true);
        assert!(!odd.get(Odd(index)) && odd.bits() == 0b010);
    }
}

#[test]
fn states_that_cannot_be_printed_are_refused() {
    let registry = Registry::new();
    let names: Vec<String> = (0..=STATES_MAX).map(|at| format!("s{at}")).collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let long = "x".repeat(129);
    for (states, reason) in [
        (&[][..], "at least one"),
        (&names[..], "more than 64"),
        (&["a", ""], "empty"),
        (&["a", "b", "a"], "\"a\" is given twice"),
        (&[&*long], "more than 128 bytes"),
    ] {
        let error = registry.state_set(("health", ""), states).unwrap_err();
        assert!(matches!(error, RegisterError::States { .. }), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let all = registry.state_set(("all", ""), &names[..STATES_MAX]).unwrap();
    all.set("s63", true).unwrap();
    all.set("s0", true).unwrap();
    assert_eq!(all.bits(), 1 << 63 | 1);
    let conflict = registry.state_set(("all", ""), &names[1..STATES_MAX]).unwrap_err();
    assert!(matches!(conflict, RegisterError::Conflict { what: "list of states", .. }));
    let unit = registry.state_set(Opts::new("in_s", "").unit("s"), &["a"]).unwrap_err();
    assert!(matches!(unit, RegisterError::Unsupported { what: "a unit", .. }), "{unit}");
}

#[test]
fn the_name_of_a_state_set_is_the_label_of_its_states() {
    let registry = Registry::new();
    for name in ["vllm:health", "le", "__health"] {
        let error = registry.state_set((name, ""), &["a"]).unwrap_err();
        assert!(matches!(error, RegisterError::InvalidLabel { .. }), "{error}");
    }
    let utf8 = registry.state_set(Opts::new("engine.health", "").utf8_names(), &["a"]).unwrap_err();
    assert!(matches!(utf8, RegisterError::InvalidLabel { .. }), "{utf8}");
    let taken = RegisterError::StateLabel { name: "engine_health".into() };
    let opts = || Opts::new("engine_health", "");
    let own = registry.state_set_family(opts(), ["engine_health"], &["a"]).unwrap_err();
    assert_eq!(own, taken);
    let constant = opts().const_label("engine_health", "1");
    assert_eq!(registry.state_set(constant, &["a"]).unwrap_err(), taken);
    let scope = registry.scope(&[("engine_health", "1")]).unwrap();
    assert_eq!(scope.state_set(opts(), &["a"]).unwrap_err(), taken);
    // Both are the same label to a scraper that gets names with underscores.
    let utf8 = opts().utf8_names();
    assert_eq!(registry.state_set_family(utf8, ["engine.health"], &["a"]).unwrap_err(), taken);
    registry.state_set_family(opts(), ["engine"], &["a"]).unwrap();
}

#[test]
fn every_scrape_sees_a_whole_state_set() {
    let registry = Registry::new();
    let health = registry.enum_state_set::<Health>(("health", "")).unwrap();
    health.only(Health::Starting);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20_000 {
                health.only(Health::Ready);
                health.only(Health::Failed);
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut snapshot = Snapshot::new();
        while !done.load(Ordering::Relaxed) {
            snapshot.take(&registry);
            let Value::States(bits) = all(&snapshot, "health")[0].value() else { panic!() };
            assert_eq!(bits.count_ones(), 1, "{bits:b}");
        }
    });
    assert!(health.get(Health::Failed));
}

/// A registry whose clock shows the milliseconds of the counter.
fn with_time() -> (Registry, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(1000));
    let clock = Arc::clone(&time);
    let now = move || Duration::from_millis(clock.load(Ordering::Relaxed));
    (Registry::with_clock(now), time)
}

fn created(registry: &Registry, name: &str) -> Vec<(String, Option<u64>)> {
    let snapshot = take(registry);
    let row = |series: &SeriesSnapshot<'_>| {
        let label = series.label_values().next().unwrap_or_default();
        (label.to_string(), series.created().map(|time| time.as_millis() as u64))
    };
    all(&snapshot, name).iter().map(row).collect()
}

#[test]
fn kinds_that_accumulate_have_a_start_time() {
    let (registry, time) = with_time();
    let buckets = Buckets::new([1.0]).unwrap();
    registry.counter(("c_total", "")).unwrap();
    time.store(2000, Ordering::Relaxed);
    registry.float_counter(("f_total", "")).unwrap();
    registry.histogram(("h", ""), &buckets).unwrap();
    registry.scope(&[("a", "b")]).unwrap().counter(("s_total", "")).unwrap();
    registry.gauge(("g", "")).unwrap();
    registry.up_down_counter(("u", "")).unwrap();
    registry.counter_callback(("cb_total", ""), || 1).unwrap();
    registry.info(("i_info", ""), &[]).unwrap();
    registry.state_set(("st", ""), &["a"]).unwrap();
    time.store(3000, Ordering::Relaxed);
    registry.counter(("c_total", "")).unwrap().inc();
    for (name, expected) in [
        ("c_total", Some(1000)),
        ("f_total", Some(2000)),
        ("h", Some(2000)),
        ("s_total", Some(2000)),
        ("g", None),
        ("u", None),
        ("cb_total", None),
        ("i_info", None),
        ("st", None),
    ] {
        assert_eq!(created(&registry, name), [(String::new(), expected)], "{name}");
    }
    let without = Registry::new();
    without.counter(("c_total", "")).unwrap();
    assert_eq!(created(&without, "c_total"), [(String::new(), None)]);
}

#[test]
fn start_times_stay_with_their_series_until_it_is_removed() {
    let (registry, time) = with_time();
    let opts = Opts::new("x_total", "").series_max(4);
    let family = registry.counter_family(opts, ["model"]).unwrap();
    let mut snapshot = Snapshot::new();
    let at = |ms: u64| time.store(ms, Ordering::Relaxed);
    let mut rows = |expected: &[(&str, u64)]| {
        // Into the same snapshot, which is brought up to date each time.
        snapshot.take(&registry);
        let series = all(&snapshot, "x_total");
        let rows: Vec<_> = series
            .iter()
            .map(|series| {
                let label = series.label_values().next().unwrap();
                (label, series.created().unwrap().as_millis() as u64)
            })
            .collect();
        assert_eq!(rows, expected);
    };
    for (ms, model) in [(10, "a"), (20, "b"), (30, "c")] {
        at(ms);
        family.with([model]);
    }
    rows(&[("a", 10), ("b", 20), ("c", 30)]);
    assert!(family.remove(["a"]));
    rows(&[("c", 30), ("b", 20)]);
    at(40);
    family.with(["a"]);
    family.with(["c"]);
    rows(&[("c", 30), ("b", 20), ("a", 40)]);
    // Beyond the limit, the overflow series starts at its first use.
    family.with(["d"]);
    at(50);
    family.with(["e"]);
    rows(&[("c", 30), ("b", 20), ("a", 40), ("d", 40), ("other", 50)]);
    at(60);
    assert_eq!(family.remove_matching(&[("model", "b")]), 1);
    assert!(family.remove(["other"]));
    family.with(["other"]);
    rows(&[("c", 30), ("d", 40), ("a", 40), ("other", 60)]);
    family.clear();
    rows(&[]);
}

#[test]
fn a_clock_may_panic_or_use_the_registry() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let registry = Registry::with_clock(|| panic!("on purpose"));
    registry.counter(("x_total", "")).unwrap().inc();
    std::panic::set_hook(hook);
    assert_eq!(created(&registry, "x_total"), [(String::new(), None)]);

    // The clock may use the registry, because no lock is held while it runs.
    let slot = Arc::new(std::sync::OnceLock::<dynamo_metrics_core::Family<_, 1>>::new());
    let clock = {
        let slot = Arc::clone(&slot);
        move || {
            let family: Option<&dynamo_metrics_core::Family<dynamo_metrics_core::Counter, 1>> =
                slot.get();
            family.map_or(Duration::ZERO, |family| Duration::from_millis(family.len() as u64))
        }
    };
    let registry = Registry::with_clock(clock);
    let family = registry.counter_family(("x_total", ""), ["model"]).unwrap();
    slot.set(family.clone()).unwrap();
    family.with(["a"]);
    family.with(["b"]);
    let expected = [("a".into(), Some(0)), ("b".into(), Some(1))];
    assert_eq!(created(&registry, "x_total"), expected);
}
