//! Callbacks that return several labelled values.

use crate::{SOON, page};
use dynamo_metrics_exporter::{Exporter, RegisterError, Registry, SourceError};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// The values that a callback returns, which the test changes.
#[derive(Clone)]
struct Source<V>(Arc<Mutex<Series<V>>>);

/// Label values and values.
type Series<V> = Vec<([&'static str; 1], V)>;

impl<V: Copy + Send + 'static> Source<V> {
    fn new(values: &[([&'static str; 1], V)]) -> Self {
        Self(Arc::new(Mutex::new(values.to_vec())))
    }

    fn set(&self, values: &[([&'static str; 1], V)]) {
        *self.0.lock().unwrap() = values.to_vec();
    }

    fn callback(&self) -> impl Fn() -> Series<V> + Send + Sync + use<V> {
        let values = Arc::clone(&self.0);
        move || values.lock().unwrap().clone()
    }
}

/// Takes pages until the sorted samples of `family` are `expected`: a run that is late is on a later page.
fn samples_become(exporter: &Exporter, family: &str, expected: &[&str]) {
    let deadline = Instant::now() + SOON;
    loop {
        let page = page(exporter);
        let mut samples: Vec<&str> = page.lines().filter(|line| line.starts_with(family)).collect();
        samples.sort();
        if samples == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{samples:?} never became {expected:?}");
    }
}

#[test]
fn gauges_are_those_of_the_last_result() {
    let exporter = Exporter::new(&Registry::new());
    let source = Source::new(&[(["a"], 1.5), (["b"], 2.0)]);
    let opts = ("depth", "Depth, by queue.");
    exporter.gauge_callback_family(opts, ["queue"], source.callback()).unwrap();
    samples_become(&exporter, "depth", &["depth{queue=\"a\"} 1.5", "depth{queue=\"b\"} 2"]);
    source.set(&[(["b"], 3.0), (["c"], 4.0)]);
    samples_become(&exporter, "depth", &["depth{queue=\"b\"} 3", "depth{queue=\"c\"} 4"]);
    source.set(&[]);
    samples_become(&exporter, "depth", &[]);
}

#[test]
fn counters_follow_their_source_also_where_it_restarts() {
    let exporter = Exporter::new(&Registry::new());
    let source = Source::new(&[(["sda"], u64::MAX)]);
    let opts = ("reads_total", "Reads, by disk.");
    exporter.counter_callback_family(opts, ["disk"], source.callback()).unwrap();
    let line = format!("reads_total{{disk=\"sda\"}} {}", u64::MAX);
    samples_become(&exporter, "reads_total", &[&line]);
    samples_become(&exporter, "reads_total", &[&line]);
    source.set(&[(["sda"], 5)]);
    samples_become(&exporter, "reads_total", &["reads_total{disk=\"sda\"} 5"]);
    source.set(&[(["sda"], 9), (["sdb"], 0)]);
    let both = ["reads_total{disk=\"sda\"} 9", "reads_total{disk=\"sdb\"} 0"];
    samples_become(&exporter, "reads_total", &both);
}

#[test]
fn a_panic_removes_the_series_and_is_counted() {
    let exporter = Exporter::new(&Registry::new());
    let source = Source::new(&[(["a"], 1.0)]);
    let values = source.callback();
    let callback = move || {
        let values = values();
        if values.is_empty() {
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        values
    };
    exporter.gauge_callback_family(("depth", "Depth."), ["queue"], callback).unwrap();
    samples_become(&exporter, "depth", &["depth{queue=\"a\"} 1"]);
    source.set(&[]);
    samples_become(&exporter, "depth", &[]);
    let counted = "collector_errors_total{collector=\"depth\",reason=\"panicked\"}";
    assert!(page(&exporter).contains(counted), "{}", page(&exporter));
}

#[test]
fn a_family_has_one_callback_for_each_scope() {
    let exporter = Exporter::new(&Registry::new());
    let register = |exporter: &Exporter| {
        let opts = ("depth", "Depth.");
        exporter.gauge_callback_family(opts, ["queue"], || [(["a"], 1.0)])
    };
    let scope = |zone: &str| exporter.at(&exporter.registry().scope(&[("zone", zone)]).unwrap());
    register(&scope("eu")).unwrap();
    register(&scope("us")).unwrap();
    let error = register(&scope("eu")).unwrap_err();
    let duplicate = |error: &SourceError| {
        matches!(error, SourceError::Register(RegisterError::DuplicateCallback { .. }))
    };
    assert!(duplicate(&error), "{error}");
    let invalid = exporter.gauge_callback_family(("x", "X."), ["a-b"], || [(["a"], 1.0)]);
    assert!(invalid.unwrap_err().to_string().contains("a-b"));
}
