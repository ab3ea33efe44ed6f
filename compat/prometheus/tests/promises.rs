//! The promises that the `prometheus` crate does not keep, and those of recordings from many threads.

use prometheus::core::{Collector, Desc, Metric};
use prometheus::local::{LocalHistogram, LocalIntCounter};
use prometheus::proto::MetricFamily;
use prometheus::{
    Counter, Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, Opts, Registry, TextEncoder,
};
use std::cell::RefCell;
use std::io::{self, IoSlice, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Label values that only together are equal.
const COLLIDING: [[&str; 2]; 3] =
    [["llama3", "8b/chat"], ["llama38b", "/chat"], ["", "llama38b/chat"]];

#[test]
fn series_whose_values_only_together_are_equal_are_apart() {
    let opts = Opts::new("requests_total", "Requests.");
    let requests = IntCounterVec::new(opts, &["model", "endpoint"]).unwrap();
    for (n, values) in (1..).zip(COLLIDING) {
        requests.with_label_values(&values).inc_by(n);
    }
    let page = TextEncoder::new().encode_to_string(&{
        let registry = Registry::new();
        registry.register(Box::new(requests.clone())).unwrap();
        registry.gather()
    });
    let page = page.unwrap();
    for line in [
        "requests_total{endpoint=\"8b/chat\",model=\"llama3\"} 1",
        "requests_total{endpoint=\"/chat\",model=\"llama38b\"} 2",
        "requests_total{endpoint=\"llama38b/chat\",model=\"\"} 3",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
    requests.remove_label_values(&COLLIDING[0]).unwrap();
    assert_eq!(requests.with_label_values(&COLLIDING[1]).get(), 2);
    let mut local = requests.local();
    local.with_label_values(&COLLIDING[1]).inc();
    local.with_label_values(&COLLIDING[2]).inc_by(5);
    local.flush();
    assert_eq!(requests.with_label_values(&COLLIDING[1]).get(), 3);
    assert_eq!(requests.with_label_values(&COLLIDING[2]).get(), 8);
}

#[test]
fn gauges_of_two_workers_are_apart() {
    let blocks = GaugeVec::new(Opts::new("blocks", "Blocks."), &["worker", "rank"]).unwrap();
    blocks.with_label_values(&["1", "12"]).set(7.0);
    blocks.with_label_values(&["11", "2"]).set(9.0);
    blocks.remove_label_values(&["1", "12"]).unwrap();
    assert_eq!(blocks.with_label_values(&["11", "2"]).get(), 9.0);
    assert_eq!(blocks.collect()[0].get_metric().len(), 1);
}

#[test]
fn no_recording_of_any_thread_is_lost() {
    let words = IntCounter::new("words", "Words.").unwrap();
    let floats = Counter::new("floats", "Floats.").unwrap();
    let level = Gauge::new("level", "Level.").unwrap();
    let opts = HistogramOpts::new("h", "Histogram.").buckets(vec![1.0]);
    let histogram = Histogram::with_opts(opts).unwrap();
    // Threads one after another and beside each other: shards are adopted.
    for _ in 0..3 {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..1_000 {
                        words.inc();
                        floats.inc_by(0.5);
                        level.add(1.0);
                        histogram.observe(f64::from(n % 3));
                    }
                });
            }
        });
    }
    assert_eq!((words.get(), floats.get(), level.get()), (12_000, 6_000.0, 12_000.0));
    assert_eq!((histogram.get_sample_count(), histogram.get_sample_sum()), (12_000, 11_988.0));
    let metric = histogram.metric();
    assert_eq!(metric.get_histogram().get_bucket()[0].cumulative_count(), 12 * 667);
}

#[test]
fn a_counter_that_is_reset_counts_on_from_zero_in_all_threads() {
    let counter = IntCounter::new("c", "Counter.").unwrap();
    counter.inc_by(5);
    thread::scope(|scope| _ = scope.spawn(|| counter.inc_by(6)));
    counter.reset();
    assert_eq!(counter.get(), 0);
    thread::scope(|scope| _ = scope.spawn(|| counter.inc_by(2)));
    counter.inc();
    assert_eq!(counter.get(), 3);
}

#[test]
fn a_counter_that_is_reset_may_wrap() {
    let counter = IntCounter::new("c", "Counter.").unwrap();
    counter.inc_by(u64::MAX - 1);
    counter.reset();
    counter.inc_by(5);
    assert_eq!(counter.get(), 5);
}

#[test]
fn a_counter_does_not_fall_while_threads_count_and_end() {
    let counter = IntCounter::new("c", "Counter.").unwrap();
    let end = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !end.load(Ordering::Relaxed) {
                    thread::scope(|scope| _ = scope.spawn(|| counter.inc()));
                }
            });
        }
        let mut before = 0;
        for _ in 0..2_000 {
            let now = counter.get();
            assert!(now >= before, "{now} after {before}");
            before = now;
        }
        end.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_metric_can_be_in_several_registries() {
    let counter = IntCounter::new("c", "Counter.").unwrap();
    let registries = [Registry::new(), Registry::new_custom(Some("p".into()), None).unwrap()];
    for registry in &registries {
        registry.register(Box::new(counter.clone())).unwrap();
    }
    counter.inc();
    let pages =
        registries.map(|registry| TextEncoder::new().encode_to_string(&registry.gather()).unwrap());
    assert!(pages[0].ends_with("\nc 1\n") && pages[1].ends_with("\np_c 1\n"), "{pages:?}");
}

#[test]
fn dropped_metrics_give_their_cells_back() {
    // Each finds cells that were used, at zero.
    let vec = IntCounterVec::new(Opts::new("c", "Counter."), &["n"]).unwrap();
    for n in 0..20_000u32 {
        let value = n.to_string();
        let counter = vec.with_label_values(&[&value]);
        assert_eq!(counter.get(), 0);
        counter.inc();
        vec.remove_label_values(&[&value]).unwrap();
    }
}

/// A collector of a program that hands on what others collect, and counts how often it is asked.
struct Delegating {
    asked: IntCounter,
    requests: IntCounterVec,
}

impl Delegating {
    fn new(zone: &str) -> Self {
        let opts = |name: &str| Opts::new(name, "Help.").const_label("zone", zone);
        let asked = IntCounter::with_opts(opts("asked_total")).unwrap();
        Self { asked, requests: IntCounterVec::new(opts("requests_total"), &["model"]).unwrap() }
    }
}

impl Collector for Delegating {
    fn desc(&self) -> Vec<&Desc> {
        [self.asked.desc(), self.requests.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.asked.inc();
        let families = [self.asked.collect(), self.requests.collect()].concat();
        // Counted after it was collected.
        self.requests.with_label_values(&["late"]).inc();
        families
    }
}

fn text(registry: &Registry) -> String {
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap()
}

#[test]
fn collectors_of_programs_show_values_of_the_time_of_their_collection() {
    let labels = [("a".to_owned(), "b".to_owned())].into();
    let registry = Registry::new_custom(Some("app".into()), Some(labels)).unwrap();
    let one = Delegating::new("1");
    one.requests.with_label_values(&["x"]).inc_by(7);
    registry.register(Box::new(one)).unwrap();
    let help = |name| format!("# HELP app_{name} Help.\n# TYPE app_{name} counter\n");
    let (asked, requests) = (help("asked_total"), help("requests_total"));
    let first = format!(
        "{asked}app_asked_total{{zone=\"1\",a=\"b\"}} 1\n\
         {requests}app_requests_total{{model=\"x\",zone=\"1\",a=\"b\"}} 7\n"
    );
    assert_eq!(text(&registry), first);
    // A second one with the same families, and a counter that joins one of them.
    registry.register(Box::new(Delegating::new("2"))).unwrap();
    let opts = Opts::new("asked_total", "Help.").const_label("zone", "3");
    registry.register(Box::new(IntCounter::with_opts(opts).unwrap())).unwrap();
    let second = format!(
        "{asked}app_asked_total{{zone=\"1\",a=\"b\"}} 2\napp_asked_total{{zone=\"2\",a=\"b\"}} 1\n\
         app_asked_total{{zone=\"3\",a=\"b\"}} 0\n\
         {requests}app_requests_total{{model=\"late\",zone=\"1\",a=\"b\"}} 1\n\
         app_requests_total{{model=\"x\",zone=\"1\",a=\"b\"}} 7\n"
    );
    assert_eq!(text(&registry), second);
}

#[test]
fn families_that_several_collectors_have_follow_changes_of_each() {
    let registry = Registry::new();
    let zones = ["1", "2"].map(|zone| {
        let opts = Opts::new("requests_total", "Help.").const_label("zone", zone);
        let vec = IntCounterVec::new(opts, &["model"]).unwrap();
        registry.register(Box::new(vec.clone())).unwrap();
        vec
    });
    let lines = |registry: &Registry| {
        let lines: Vec<String> = text(registry).lines().skip(2).map(str::to_owned).collect();
        lines
    };
    zones[1].with_label_values(&["b"]).inc();
    assert_eq!(lines(&registry), ["requests_total{model=\"b\",zone=\"2\"} 1"]);
    zones[0].with_label_values(&["c"]).inc_by(10);
    zones[0].with_label_values(&["a"]).inc_by(2);
    let all = [
        "requests_total{model=\"a\",zone=\"1\"} 2",
        "requests_total{model=\"b\",zone=\"2\"} 1",
        "requests_total{model=\"c\",zone=\"1\"} 10",
    ];
    assert_eq!(lines(&registry), all);
    zones[0].with_label_values(&["a"]).reset();
    zones[1].reset();
    let rest =
        ["requests_total{model=\"a\",zone=\"1\"} 0", "requests_total{model=\"c\",zone=\"1\"} 10"];
    assert_eq!(lines(&registry), rest);
    registry.unregister(Box::new(zones[0].clone())).unwrap();
    assert_eq!(lines(&registry), [""; 0]);
}

#[test]
fn a_writer_that_fails_or_encodes_meanwhile_harms_no_other() {
    struct Within<'a>(&'a Registry, usize);
    impl std::io::Write for Within<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1 += text(self.0).len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::WriteZero.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let registry = Registry::new();
    let vec = IntCounterVec::new(Opts::new("c", "Help."), &["n"]).unwrap();
    registry.register(Box::new(vec.clone())).unwrap();
    (0..1_000).for_each(|n| vec.with_label_values(&[n.to_string()]).inc());
    let length = text(&registry).len();
    let mut within = Within(&registry, 0);
    TextEncoder::new().encode(&registry.gather(), &mut within).unwrap();
    assert!(within.1 >= length && within.1.is_multiple_of(length));
    TextEncoder::new().encode(&registry.gather(), &mut Full).unwrap_err();
    assert_eq!(text(&registry).len(), length);
}

/// A writer that takes some bytes at a time, of one slice or of several, and is interrupted before each.
#[derive(Default)]
struct Reluctant {
    taken: Vec<u8>,
    interrupted: bool,
    full_at: Option<usize>,
}

impl Write for Reluctant {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let room = self.full_at.map_or(usize::MAX, |full| full - self.taken.len()).min(1_777);
        let bytes: Vec<u8> =
            slices.iter().flat_map(|slice| slice.iter().copied()).take(room).collect();
        self.taken.extend_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_takes_less_than_it_is_given_gets_the_whole_page() {
    let registry = Registry::new();
    // Pages of many lines and of one, in turn.
    for (at, series) in [300, 1, 1, 400, 300, 2, 500].into_iter().enumerate() {
        let vec = IntCounterVec::new(Opts::new(format!("family_{at}"), "help"), &["n"]).unwrap();
        (0..series).for_each(|n| vec.with_label_values(&[n.to_string()]).inc());
        registry.register(Box::new(vec)).unwrap();
    }
    let families = registry.gather();
    let page = TextEncoder::new().encode_to_string(&families).unwrap();
    let mut writer = Reluctant::default();
    TextEncoder::new().encode(&families, &mut writer).unwrap();
    assert!(page.len() > 20_000 && writer.taken == page.as_bytes());

    let mut full = Reluctant { full_at: Some(10_000), ..Reluctant::default() };
    let error = TextEncoder::new().encode(&families, &mut full).unwrap_err();
    let kind = io::ErrorKind::WriteZero;
    assert!(matches!(&error, prometheus::Error::Io(error) if error.kind() == kind), "{error}");
    assert_eq!(full.taken, page.as_bytes()[..10_000]);
}

/// Records when a thread ends.
struct Last(IntCounter, Histogram, IntCounterVec, HistogramVec, LocalHistogram, LocalIntCounter);

impl Drop for Last {
    fn drop(&mut self) {
        self.0.inc();
        self.1.observe(1.0);
        self.2.with_label_values(&["a"]).inc();
        self.3.with_label_values(&["a"]).observe(1.0);
        self.2.with_label_values(&["new"]).inc();
        self.4.observe(2.0);
        self.5.inc();
        self.5.flush();
        self.0.reset();
        self.0.inc_by(self.0.get() + 1);
    }
}

thread_local! {
    static BEFORE: RefCell<Option<Last>> = const { RefCell::new(None) };
    static AFTER: RefCell<Option<Last>> = const { RefCell::new(None) };
}

#[test]
fn recordings_of_destructors_of_thread_locals_are_counted() {
    let opts = || HistogramOpts::new("h", "h");
    let (c, h) = (IntCounter::new("c", "h").unwrap(), Histogram::with_opts(opts()).unwrap());
    let v = IntCounterVec::new(Opts::new("c", "h"), &["l"]).unwrap();
    let hv = HistogramVec::new(opts(), &["l"]).unwrap();
    let f = IntCounter::new("f", "h").unwrap();
    for _ in 0..20 {
        let (c, h, v, hv, f) = (c.clone(), h.clone(), v.clone(), hv.clone(), f.clone());
        thread::spawn(move || {
            let last =
                || Some(Last(c.clone(), h.clone(), v.clone(), hv.clone(), h.local(), f.local()));
            BEFORE.set(last());
            c.inc();
            h.observe(1.0);
            v.with_label_values(&["a"]).inc();
            hv.with_label_values(&["a"]).observe(1.0);
            AFTER.set(last());
        })
        .join()
        .unwrap();
    }
    assert_eq!(f.get(), 40);
    assert_eq!((h.get_sample_count(), h.get_sample_sum()), (100, 140.0));
    assert_eq!((v.with_label_values(&["a"]).get(), v.with_label_values(&["new"]).get()), (60, 40));
    assert_eq!(hv.with_label_values(&["a"]).get_sample_count(), 60);
    assert_eq!(c.get(), 1);
}
