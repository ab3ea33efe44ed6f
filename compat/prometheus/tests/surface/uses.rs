// Included by `surface.rs` once for each crate, which is `library`.

use library::core::*;
use library::local::*;
use library::proto;
use library::*;
use std::cell::Cell;
use std::collections::HashMap as Map;
use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::LocalKey;

pub fn macros() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let owned = String::from("x");
    let labels: Map<&str, &str> = library::labels! {"a" => "b", "c" => &owned,};
    let strings = library::labels! {owned.clone() => "b".to_string()};
    let none: Map<String, String> = library::labels! {};
    let metric = "metric";
    let _ = library::opts!(metric, "b", labels, labels.clone(), library::labels! {"q" => "r"});
    // The macros bring this name into scope.
    let _ = library::opts!("a", "b", HashMap::from([("a", "b")]));
    let _: Map<&str, Map<i32, i32>> = library::labels! {"a" => HashMap::new()};
    let _ = library::histogram_opts!("a", "b", linear_buckets(1., 1., 3)?,);
    let _ = library::histogram_opts!("a", "b", Vec::new(), strings.clone());
    let _ = library::histogram_opts!("a", "b", Vec::new(), none,);
    let (r, shared) = (Registry::new(), Arc::new(Registry::new()));
    let (names, borrowed) = (vec!["a", "b"], &r);
    macro_rules! all {
        ($one:ident, $vec:ident, $one_in:ident, $vec_in:ident, $type:ty, $vec_type:ty) => {
            let name = |n: i32| format!("{}_{n}", stringify!($one));
            let opts = |n: i32| library::opts!(name(n), "h").into();
            let _: $type = library::$one!(name(1), "h")?;
            let _: Result<$type> = library::$one!(name(2), String::from("h"),);
            let _: Result<$type> = library::$one!(opts(3));
            let _: Result<$type> = library::$one!(opts(4),);
            let _: Result<$type> = library::$one_in!(name(1), "h", r);
            let _: Result<$type> = library::$one_in!(name(2), "h", &r,);
            let _: Result<$type> = library::$one_in!(opts(3), shared);
            let _: Result<$type> = library::$one_in!(opts(4), default_registry(),);
            let _: Result<$vec_type> = library::$vec!(name(5), "h", &["a", "b"]);
            let _: Result<$vec_type> = library::$vec!(name(6), "h", &names,);
            let _: Result<$vec_type> = library::$vec!(opts(7), names.as_slice());
            let _: Result<$vec_type> = library::$vec!(opts(8), &["a"],);
            let _: Result<$vec_type> = library::$vec_in!(name(5), "h", &["a"], r);
            let _: Result<$vec_type> = library::$vec_in!(name(6), "h", &["a"], borrowed,);
            let _: Result<$vec_type> = library::$vec_in!(opts(7), &["a"], shared.clone());
            let _: Result<$vec_type> = library::$vec_in!(opts(8), &["a"], shared.as_ref(),);
        };
    }
    all!(
        register_counter,
        register_counter_vec,
        register_counter_with_registry,
        register_counter_vec_with_registry,
        Counter,
        CounterVec
    );
    all!(
        register_int_counter,
        register_int_counter_vec,
        register_int_counter_with_registry,
        register_int_counter_vec_with_registry,
        IntCounter,
        IntCounterVec
    );
    all!(
        register_gauge,
        register_gauge_vec,
        register_gauge_with_registry,
        register_gauge_vec_with_registry,
        Gauge,
        GaugeVec
    );
    all!(
        register_int_gauge,
        register_int_gauge_vec,
        register_int_gauge_with_registry,
        register_int_gauge_vec_with_registry,
        IntGauge,
        IntGaugeVec
    );
    all!(
        register_histogram,
        register_histogram_vec,
        register_histogram_with_registry,
        register_histogram_vec_with_registry,
        Histogram,
        HistogramVec
    );
    let buckets = || vec![1.0];
    let _ = library::register_histogram!("h1", "h", buckets());
    let _ = library::register_histogram!("h2", "h", vec![1.],);
    let _ = library::register_histogram_with_registry!("h2", "h", buckets(), r);
    let _ = library::register_histogram_with_registry!("h3", "h", vec![1.], r,);
    let _ = library::register_histogram_vec!("h4", "h", &["a"], buckets());
    let _ = library::register_histogram_vec!("h5", "h", &["a"], vec![1.],);
    let _ = library::register_histogram_vec_with_registry!("h4", "h", &["a"], buckets(), r);
    let _ = library::register_histogram_vec_with_registry!("h5", "h", &["a"], vec![1.], r,);
    // Anything that registers may be in place of a registry.
    struct Mine;
    impl Mine {
        fn register(&self, _: Box<dyn Collector>) -> Result<()> {
            Ok(())
        }
    }
    let _: Result<Counter> = library::register_counter_with_registry!("a", "b", Mine);
    Ok(())
}

/// A program's own type of that name is not in the macros' way.
mod taken {
    use super::library;
    struct HashMap;
    fn uses() {
        let _ = library::opts!("a", "b");
        let _: std::collections::HashMap<&str, &str> = library::labels! {"a" => "b"};
    }
}

// Code that is generic over numbers and builders.

fn counters<P: Atomic>(opts: Opts) -> Result<GenericCounter<P>> {
    let vec = GenericCounterVec::<P>::new(opts, &["a"])?;
    let counter: GenericCounter<P> = vec.with_label_values(&["x"]);
    counter.inc_by(P::T::from_i64(3));
    let _: f64 = counter.get().into_f64();
    let mut local: GenericLocalCounterVec<P> = vec.local();
    local.with_label_values(&["x"]).inc();
    local.clone().flush();
    Ok(counter)
}

fn gauges<P: Atomic>(opts: Opts) -> Result<GenericGaugeVec<P>> {
    let vec = GenericGaugeVec::<P>::new(opts, &["a"])?;
    let gauge: GenericGauge<P> = vec.with_label_values(&["x"]);
    gauge.set(P::T::from_i64(1));
    gauge.add(gauge.get());
    Ok(vec)
}

fn any_vec<T: MetricVecBuilder>(vec: &MetricVec<T>) -> Result<T::M> {
    vec.reset();
    vec.get_metric_with_label_values::<String>(&[])
}

fn boxed<T: MetricVecBuilder + 'static>(vec: MetricVec<T>) -> Box<dyn Collector> {
    Box::new(vec)
}

fn of_counters<T: MetricVecBuilder<M = IntCounter, P = Opts>>(vec: &MetricVec<T>) {
    vec.with_label_values(&["a"]).inc();
}

/// A number of the program's own, with a lifetime.
struct Own<'a>(Mutex<f64>, &'a str);

impl Atomic for Own<'_> {
    type T = f64;

    fn new(v: f64) -> Self {
        Self(v.into(), "")
    }
    fn set(&self, v: f64) {
        *self.0.lock().unwrap() = v;
    }
    fn get(&self) -> f64 {
        *self.0.lock().unwrap()
    }
    fn inc_by(&self, delta: f64) {
        *self.0.lock().unwrap() += delta;
    }
    fn dec_by(&self, delta: f64) {
        *self.0.lock().unwrap() -= delta;
    }
}

fn own_numbers<'a>(_: &'a str, opts: Opts) -> Result<()> {
    counters::<Own<'a>>(opts.clone())?;
    gauges::<Own<'a>>(opts)?.with_label_values(&["x"]).dec();
    Ok(())
}

#[derive(Clone)]
struct OwnMetric(Gauge);

impl Metric for OwnMetric {
    fn metric(&self) -> proto::Metric {
        self.0.metric()
    }
}

#[derive(Clone)]
struct OwnBuilder<'a>(&'a str);

impl MetricVecBuilder for OwnBuilder<'_> {
    type M = OwnMetric;
    type P = OwnDescriber;

    fn build<V: AsRef<str>>(&self, _: &OwnDescriber, values: &[V]) -> Result<OwnMetric> {
        Ok(OwnMetric(Gauge::new(self.0, values[0].as_ref())?))
    }
}

#[derive(Clone)]
struct OwnDescriber;

impl Describer for OwnDescriber {
    fn describe(&self) -> Result<Desc> {
        Desc::new("a".into(), "b".into(), vec!["l".into()], Map::new())
    }
}

fn own_vec(name: &str) -> Result<OwnMetric> {
    let vec = MetricVec::create(proto::MetricType::GAUGE, OwnBuilder(name), OwnDescriber)?;
    let _ = (format!("{vec:?}"), vec.desc().len());
    vec.get_metric_with_label_values(&["x"])
}

struct OwnCollector(IntGaugeVec, Vec<Desc>);

impl Collector for OwnCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.1.iter().chain(self.0.desc()).collect()
    }
    fn collect(&self) -> Vec<proto::MetricFamily> {
        let mut families = self.0.collect();
        families[0].set_name("q".into());
        families
    }
}

trait Extension {}
impl Extension for HistogramTimer {}
impl Extension for LocalHistogramTimer {}
impl Extension for proto::MetricFamily {}
impl Extension for Histogram {}
impl Extension for HistogramVec {}
impl<P: Atomic> Extension for GenericCounter<P> {}
impl<P: Atomic> Extension for GenericGauge<P> {}
impl<P: Atomic> Extension for GenericCounterVec<P> {}
impl<P: Atomic> Extension for GenericGaugeVec<P> {}

fn objects(r: &Registry) -> Result<()> {
    let own = OwnCollector(IntGaugeVec::new(Opts::new("a", "b"), &[])?, Vec::new());
    let pulled = PullingGauge::new("p", "q", Box::new(|| 1.0))?;
    let all: Vec<Box<dyn Collector>> = vec![Box::new(own), Box::new(pulled)];
    all.into_iter().try_for_each(|collector| r.register(collector))?;
    let local: Vec<Box<dyn LocalMetric>> = vec![
        Box::new(Counter::new("a", "b")?.local()),
        Box::new(Histogram::with_opts(HistogramOpts::new("a", "b"))?.local()),
    ];
    local.iter().for_each(|metric| metric.flush());
    let _: fn(Box<dyn Collector>) -> Result<()> = library::register;
    let _: fn(&Registry) -> Vec<proto::MetricFamily> = Registry::gather;
    let _: fn(&Gauge, f64) = Gauge::set;
    let _: Vec<HistogramOpts> = [Opts::new("a", "b")].map(HistogramOpts::from).into();
    Ok(())
}

fn values(vec: &CounterVec, histograms: &HistogramVec) -> Result<()> {
    let (owned, boxed, shared): (String, Box<str>, Arc<str>) = ("x".into(), "x".into(), "x".into());
    vec.with_label_values(&["a"]);
    vec.with_label_values(&[&owned]);
    vec.with_label_values(&[&boxed]);
    vec.with_label_values(&[shared]);
    vec.with_label_values::<&str>(&[]);
    vec.with_label_values(&Vec::from([owned]));
    vec.with_label_values(&[&&"a"]);
    let labels: Map<&str, String> = Map::new();
    vec.with(&labels);
    vec.remove(&labels)?;
    let mut local: LocalHistogramVec = histograms.local();
    let histogram: &LocalHistogram = local.with_label_values(&["a"]);
    let timer: LocalHistogramTimer = histogram.start_timer();
    let _: f64 = timer.stop_and_discard();
    let Opts { name, .. } = Opts::new("a", "b");
    let opts =
        HistogramOpts { common_opts: Opts::new(name, "h"), buckets: DEFAULT_BUCKETS.to_vec() };
    let Desc { fq_name, help, const_label_pairs, variable_labels, id, dim_hash } =
        opts.describe()?;
    let _ = Desc { fq_name, help, const_label_pairs, variable_labels, id, dim_hash };
    const ENCODER: TextEncoder = TextEncoder;
    let mut page = Vec::new();
    let mut writer: &mut dyn std::io::Write = &mut page;
    ENCODER.encode(&gather(), &mut writer)
}

pub fn errors() -> Vec<String> {
    let io = std::io::Error::other("x");
    let cardinality = Error::InconsistentCardinality { expect: 1, got: 2 };
    let all = [Error::AlreadyReg, cardinality, Error::Msg("m".into()), io.into()];
    let text = |error: Error| match error {
        Error::AlreadyReg => format!("{error} {error:?}"),
        Error::InconsistentCardinality { expect, got } => format!("{error} {expect} {got}"),
        Error::Msg(text) => text,
        Error::Io(ref io) => format!("{error} {io}"),
        Error::Protobuf(error) => error.to_string(),
    };
    all.map(text).into()
}

// Metrics and families pass through `catch_unwind`.

fn unwinds<T: UnwindSafe + RefUnwindSafe>(_: &T) {}

fn caught(histogram: Histogram, counter: IntCounter, families: Vec<proto::MetricFamily>) {
    unwinds(&histogram.start_timer());
    unwinds(&families[0]);
    let _ = catch_unwind(|| histogram.observe(1.0));
    let local = histogram.local();
    let _ = catch_unwind(move || local.observe(1.0));
    let _ = catch_unwind(|| counter.inc());
    let _ = catch_unwind(move || counter.inc());
    let _ = catch_unwind(|| TextEncoder::new().encode_to_string(&families));
}

// Code as prometheus-static-metric generates it.

struct Root {
    counter: LocalIntCounter,
    histogram: LocalHistogram,
    flushed: Cell<u64>,
}

thread_local! {
    static ROOT: Root = panic!();
}

impl LocalMetric for Root {
    fn flush(&self) {
        self.counter.flush();
        self.histogram.flush();
    }
}

impl MayFlush for Root {
    fn may_flush(&self) {
        self.try_flush(&self.flushed, 1_000);
    }
}

struct Delegator;

impl CounterDelegator<Root, LocalIntCounter> for Delegator {
    fn get_root_metric(&self) -> &'static LocalKey<Root> {
        &ROOT
    }
    fn get_local<'a>(&self, root: &'a Root) -> &'a LocalIntCounter {
        &root.counter
    }
}

impl HistogramDelegator<Root> for Delegator {
    fn get_root_metric(&self) -> &'static LocalKey<Root> {
        &ROOT
    }
    fn get_local<'a>(&self, root: &'a Root) -> &'a LocalHistogram {
        &root.histogram
    }
}

static COUNTER: OnceLock<AFLocalCounter<Root, LocalIntCounter, Delegator>> = OnceLock::new();
static HISTOGRAM: OnceLock<AFLocalHistogram<Root, Delegator>> = OnceLock::new();

// Families as messages.

fn messages(mut family: proto::MetricFamily) -> Result<()> {
    use protobuf::{EnumOrUnknown, Message, MessageDyn, MessageField, MessageFull};
    let bytes = family.write_to_bytes()?;
    let mut other = proto::MetricFamily::parse_from_bytes(&bytes)?;
    std::mem::swap(&mut family, &mut other);
    family.metric.push(proto::Metric {
        label: vec![proto::LabelPair { name: Some("a".into()), ..Default::default() }],
        counter: MessageField::some(proto::Counter::default()),
        ..Default::default()
    });
    family.metric[0].set_counter(proto::Counter::new());
    family.name = Some("x".into());
    family.type_ = Some(EnumOrUnknown::new(proto::MetricType::GAUGE));
    family.type_ = proto::MetricType::GAUGE.into();
    let kind = family.type_();
    family.set_type(kind);
    let _ = (family.has_name(), family.take_help(), family.mut_name().len(), family.compute_size());
    let _ = (proto::MetricFamily::descriptor(), proto::MetricFamily::default_instance());
    let dynamic: &dyn MessageDyn = &family;
    let _ = dynamic.descriptor_dyn().full_name().to_owned();
    for metric in family.get_metric() {
        let _ = metric.get_counter().value() + metric.gauge.as_ref().map_or(0.0, |g| g.value());
        metric.get_histogram().get_bucket().iter().for_each(|b| _ = b.upper_bound());
    }
    Ok(())
}
