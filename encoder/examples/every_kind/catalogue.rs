//! A registry with every kind of metric, with names, labels and values that formats treat specially.

use dynamo_metrics_core::{
    Buckets, Counter, Exemplar, Family, FloatCounter, Gauge, Histogram, IntegerHistogram,
    NativeBuckets, NativeHistogram, Opts, Registry, Scale, StateSet, Summary, SummaryOpts,
    UpDownCounter,
};
use std::error::Error;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The trace of every exemplar.
pub(crate) const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Handles of every metric that [`record`](Self::record) moves.
pub(crate) struct Catalogue {
    registry: Registry,
    requests: Family<Counter, 2>,
    huge: Counter,
    busy: FloatCounter,
    odd: Family<Gauge, 1>,
    inflight: UpDownCounter,
    latency: Histogram,
    integer: Family<IntegerHistogram, 1>,
    native: Family<NativeHistogram, 1>,
    signed: NativeHistogram,
    sizes: Summary,
    state: StateSet,
    dotted: Family<Counter, 1>,
    scoped: Counter,
}

impl Catalogue {
    /// Registers everything; nothing is recorded yet.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let registry = Registry::with_clock(now);
        let exemplified = |name: &str, help: &str| Opts::new(name, help).exemplars();
        let worker = registry.scope(&[("namespace", "dynamo"), ("component", "worker")])?;
        // Never observed: an empty native histogram needs care to be taken for one.
        registry.native_histogram(("idle_seconds", "Nothing yet."), &NativeBuckets::new())?;
        registry.info(
            ("build_info", "What runs."),
            &[("version", "0.9.0"), ("note", "a \"quoted\\path\"\nin two lines")],
        )?;
        Ok(Self {
            requests: registry.counter_family(
                exemplified("requests_total", "Requests \\ answered,\nby model."),
                ["model", "status"],
            )?,
            huge: registry.counter(("huge_total", "Beyond 2^53."))?,
            busy: registry
                .float_counter(Opts::new("busy_seconds_total", "Time spent.").unit("seconds"))?,
            odd: registry.gauge_family(("odd_value", "Numbers at the edge."), ["which"])?,
            inflight: registry.up_down_counter(("inflight", "Requests under way."))?,
            latency: registry.histogram(
                exemplified("latency_seconds", "Time to answer.").unit("seconds"),
                &Buckets::new([0.001, 0.1, 1.0, 10.0, 1e6])?,
            )?,
            integer: registry.integer_histogram_family(
                exemplified("exact_seconds", "Time to answer, in nanoseconds.").unit("seconds"),
                ["model"],
                &Buckets::new([0.001, 0.1, 1.0, 10.0])?,
                Scale::Nano,
            )?,
            native: registry.native_histogram_family(
                exemplified("first_token_seconds", "Time to the first token.").unit("seconds"),
                ["model"],
                &NativeBuckets::new().schema(5).range(0.001, 1000.0).classic([0.125, 1.0, 8.0]),
            )?,
            signed: registry.native_histogram(
                ("drift", "Clock against clock."),
                &NativeBuckets::new().schema(2).range(0.0625, 64.0).signed(),
            )?,
            sizes: registry.summary(
                ("prompt_tokens", "Tokens of a prompt."),
                &SummaryOpts::new().quantiles([0.5, 0.9, 0.99, 1.0]),
            )?,
            state: registry
                .state_set(("engine_state", "What it does."), &["starting", "ready", "gone"])?,
            dotted: registry.counter_family(
                Opts::new("http.server.requests_total", "Named as OpenTelemetry does.")
                    .utf8_names(),
                ["http.route"],
            )?,
            scoped: worker.counter(("tokens_total", "Tokens of a component."))?,
            registry,
        })
    }

    /// The registry that is served.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Moves every metric. Equal rounds record equal numbers.
    pub(crate) fn record(&self, round: u64) {
        // Cannot fail: it is 32 hexadecimal digits.
        let Ok(exemplar) = Exemplar::new(TRACE_ID).map(|exemplar| exemplar.at(now())) else {
            return;
        };
        self.requests.with(["Qwen/Qwen3-0.6B", "success"]).add_with_exemplar(3, &exemplar);
        self.requests.with(["漢字 🦀 \"\\", "error"]).inc();
        self.requests.with(["", "error"]).add(round);
        self.huge.add((1 << 53) + 1);
        self.busy.add(0.1);
        for (which, value) in [
            ("tenths", 0.1 + 0.2),
            ("large", 1e300),
            ("smallest", 5e-324),
            ("endless", f64::INFINITY),
            ("negative zero", -0.0),
            ("none", f64::NAN),
            // The NaN by which Prometheus marks a series that is gone; here it is a value like any other.
            ("stale", f64::from_bits(0x7ff0_0000_0000_0002)),
            ("round", round as f64),
        ] {
            self.odd.with([which]).set(value);
        }
        self.inflight.add(2);
        self.inflight.sub(3);
        for at in 0..100 {
            let seconds = f64::from(at).mul_add(0.37, 0.0003);
            self.latency.observe(seconds);
            self.native.with(["Qwen/Qwen3-0.6B"]).observe(seconds);
            self.signed.observe(f64::from(at - 30) * 0.5);
            self.sizes.observe(f64::from(at * at));
        }
        // Together more digits than a float holds.
        self.integer.with(["Qwen/Qwen3-0.6B"]).observe_n(9_000_000_000_000_000_001, 1);
        self.integer.with(["Qwen/Qwen3-0.6B"]).observe_with_exemplar(50_000_000, &exemplar);
        self.latency.observe(f64::INFINITY);
        self.latency.observe_with_exemplar(0.05, &exemplar);
        self.native.with(["above"]).observe(1e9);
        self.native.with(["Qwen/Qwen3-0.6B"]).observe_with_exemplar(0.05, &exemplar);
        let states = ["starting", "ready", "gone"];
        let state = states[(round % 3) as usize];
        if self.state.only(state).is_err() {
            eprintln!("{state} is none of the states");
        }
        self.dotted.with(["/v1/models"]).inc();
        self.scoped.add(42);
    }
}

/// Time since the Unix epoch.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
