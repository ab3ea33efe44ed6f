//! Making metrics at one level: a prefix, the level's automatic labels, and the checks.
//!
//! Every level of the hierarchy and every specialized scope has one [`Metrics`]. Making a metric that is there
//! already gives the same metric, so two parts of a worker need not agree on who comes first; the same name at
//! two levels may have other labels and another help text.

use crate::callback::{Callbacks, Late};
use crate::error::MetricsError;
use crate::names::{labels, sanitize_metric_name};
use dynamo_metrics_core::{Opts, Registry};
use std::sync::Arc;

mod kinds;
mod opts;

pub use kinds::BOUNDS_DEFAULT;
pub use opts::MetricOpts;

/// Makes metrics at one level. Cheap to clone.
///
/// Names are put through [`sanitize_metric_name`] and get the level's prefix. Errors, for every method:
/// a name out of which nothing can be made, an empty help text, an invalid or repeated label name, one of the
/// hierarchy's own labels, or a collision with another metric.
///
/// ```
/// use dynamo_metrics::{DistributedRuntime, Snapshot};
///
/// let endpoint = DistributedRuntime::new()?.namespace("my-ns.v1")?.component("worker")?
///     .endpoint("generate")?;
/// let batch = endpoint.metrics().histogram(("batch_seconds", "Time to run a batch."), None)?;
/// batch.observe(0.02);
/// let errors = endpoint.metrics().counter_family(("oom_total", "Out of memory."), ["device"])?;
/// errors.with(["0"]).inc();
///
/// let mut snapshot = Snapshot::new();
/// snapshot.take(endpoint.metrics().registry());
/// let names: Vec<&str> = snapshot.families().map(|family| family.name()).collect();
/// assert_eq!(names, ["dynamo_component_batch_seconds", "dynamo_component_oom_total"]);
/// # Ok::<(), dynamo_metrics::MetricsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    /// Without the `_` that follows it.
    prefix: Arc<str>,
    callbacks: Arc<Callbacks>,
}

impl Metrics {
    pub(crate) fn new(registry: Registry, prefix: Arc<str>) -> Self {
        let callbacks = Arc::new(Callbacks::new(registry.clone()));
        Self { registry, prefix, callbacks }
    }

    pub(crate) fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }

    /// A level below with one more label. Without a value there is no label, and it is this level.
    pub(crate) fn below(&self, label: &str, value: Option<&str>) -> Result<Self, MetricsError> {
        let Some(value) = value else { return Ok(self.clone()) };
        let registry = self.registry.scope(&[(label, value)])?;
        let callbacks = Arc::clone(&self.callbacks);
        Ok(Self { registry, prefix: Arc::clone(&self.prefix), callbacks })
    }

    /// The part of the registry that this level and everything below is in: what to snapshot or expose.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What names begin with, without the `_` that follows.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A counter that `value` computes at every scrape; it must not fall.
    ///
    /// It is called on a thread of the runtime's, and **costs only its own sample**: a panic in it is counted in
    /// `dynamo_metrics_callback_panics_total`; a scrape waits for it no longer than
    /// [`CALLBACK_TIMEOUT`](crate::CALLBACK_TIMEOUT), not at all if it was too slow the last time, and then has
    /// its last value, which `dynamo_metrics_callback_late_total` counts.
    ///
    /// # Errors
    /// See [`Metrics`]; and there is one callback for a name and set of constant labels.
    pub fn counter_callback(
        &self,
        opts: impl Into<MetricOpts>,
        value: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        let (opts, late) = self.late(opts.into())?;
        let guarded = self.callbacks.guard(late, value);
        Ok(self.registry.optional_counter_callback(opts, move || guarded.call())?)
    }

    /// A gauge that `value` computes at every scrape, guarded as a
    /// [`counter_callback`](Self::counter_callback) is.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, MetricsExposition};
    /// use dynamo_metrics_server::bytes::BytesMut;
    /// use std::time::Duration;
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// runtime.metrics().gauge_callback(("free_bytes", "Free memory."), || 4096.0)?;
    /// runtime.metrics().gauge_callback(("stuck", "Never comes back."), || {
    ///     std::thread::sleep(Duration::from_secs(3600));
    ///     0.0
    /// })?;
    /// let mut body = BytesMut::new();
    /// MetricsExposition::of_runtime(&runtime).write(&mut body);
    /// let page = std::str::from_utf8(&body)?;
    /// assert!(page.contains("dynamo_component_free_bytes 4096\n"));
    /// assert!(page.contains("callback_late_total{family=\"dynamo_component_stuck\"} 1\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Metrics`]; and there is one callback for a name and set of constant labels.
    pub fn gauge_callback(
        &self,
        opts: impl Into<MetricOpts>,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        let (opts, late) = self.late(opts.into())?;
        let guarded = self.callbacks.guard(late, value);
        Ok(self.registry.optional_gauge_callback(opts, move || guarded.call())?)
    }

    /// A gauge callback of this crate's own, which takes no time: it is called by the scrape itself.
    pub(crate) fn prompt_gauge_callback(
        &self,
        opts: impl Into<MetricOpts>,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        Ok(self.registry.gauge_callback(self.opts(opts.into(), &[])?, value)?)
    }

    /// The checked options of a callback, and what counts its being late.
    fn late(&self, opts: MetricOpts) -> Result<(Opts, Late), MetricsError> {
        let name = self.full_name(&opts.name)?;
        Ok((self.opts(opts, &[])?, self.callbacks.late(name)?))
    }

    fn full_name(&self, name: &str) -> Result<String, MetricsError> {
        Ok(format!("{}_{}", self.prefix, sanitize_metric_name(name)?))
    }

    fn opts(&self, opts: MetricOpts, label_names: &[&str]) -> Result<Opts, MetricsError> {
        let MetricOpts {
            name,
            help,
            unit,
            const_labels,
            series_max,
            label_value_bytes_max,
            nested,
            exemplars,
        } = opts;
        let name = self.full_name(&name)?;
        if help.trim().is_empty() {
            return Err(MetricsError::EmptyHelp { name });
        }
        let own = const_labels.iter().map(|(label, _)| label.as_str());
        if let Some(label) =
            own.chain(label_names.iter().copied()).find(|label| labels::AUTOMATIC.contains(label))
        {
            return Err(MetricsError::ReservedLabel { label: label.into(), name });
        }
        let mut made = Opts::new(name, help)
            .series_max(series_max)
            .label_value_bytes_max(label_value_bytes_max);
        if let Some(unit) = unit {
            made = made.unit(unit);
        }
        if nested {
            made = made.nested();
        }
        if exemplars {
            made = made.exemplars();
        }
        Ok(const_labels
            .into_iter()
            .fold(made, |made, (label, value)| made.const_label(label, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics_core::{Buckets, NativeBuckets, RegisterError, Snapshot, SummaryOpts};

    fn metrics() -> Metrics {
        Metrics::new(Registry::new(), "dynamo_component".into())
    }

    #[test]
    fn what_upstream_refuses_is_refused_and_nothing_panics() {
        let metrics = metrics();
        let labelled = |label: &str| MetricOpts::new("x_total", "X.").const_label(label, "v");
        for label in labels::AUTOMATIC {
            let error = metrics.counter(labelled(label)).unwrap_err();
            assert!(matches!(error, MetricsError::ReservedLabel { .. }), "{error}");
            let error = metrics.gauge_family(("x", "X."), [label]).unwrap_err();
            assert!(matches!(error, MetricsError::ReservedLabel { .. }), "{error}");
        }
        for error in [
            metrics.counter(labelled("a").const_label("a", "w")).unwrap_err(),
            metrics.counter_family(labelled("a"), ["a"]).unwrap_err(),
            metrics.counter(labelled("a-b")).unwrap_err(),
            metrics.histogram_family(("x", "X."), ["le"], None).unwrap_err(),
            metrics.gauge_family(("x", "X."), ["a", "a"]).unwrap_err(),
        ] {
            assert!(matches!(error, MetricsError::Register(_)), "{error}");
        }
        assert!(matches!(metrics.gauge(("x", " ")), Err(MetricsError::EmptyHelp { .. })));
        assert!(matches!(metrics.gauge(("___", "X.")), Err(MetricsError::Name(_))));
    }

    #[test]
    fn making_a_metric_twice_gives_the_same_one() {
        let metrics = metrics();
        let family = || metrics.counter_family(("x_total", "X."), ["a"]);
        family().unwrap().with(["1"]).inc();
        family().unwrap().with(["1"]).inc();
        assert_eq!(family().unwrap().with(["1"]).get(), 2);
        let error = metrics.counter(("x_total", "Other help.")).unwrap_err();
        assert!(matches!(error, MetricsError::Register(RegisterError::Conflict { .. })), "{error}");
    }

    #[test]
    fn all_kinds_reach_the_registry_under_their_prefix() {
        let metrics = metrics();
        metrics.counter(("a_total", "A.")).unwrap();
        metrics.float_counter(("b_total", "B.")).unwrap();
        metrics.gauge(MetricOpts::new("c_bytes", "C.").unit("bytes")).unwrap();
        metrics.up_down_counter(MetricOpts::new("d", "D.").nested()).unwrap();
        metrics.histogram(("e", "E."), Some(&Buckets::linear(1.0, 1.0, 3).unwrap())).unwrap();
        metrics.gauge_callback(("f", "F."), || 1.0).unwrap();
        metrics.counter_callback(("g_total", "G."), || 1).unwrap();
        metrics.native_histogram(("h", "H."), &NativeBuckets::new().factor(2.0)).unwrap();
        metrics.summary(("i", "I."), &SummaryOpts::new()).unwrap();
        metrics.info(("j_info", "J."), &[("version", "1")]).unwrap();
        metrics.state_set(("k", "K."), &["on", "off"]).unwrap();
        let mut snapshot = Snapshot::new();
        snapshot.take(metrics.registry());
        let seen: Vec<(&str, &str)> = snapshot
            .families()
            .filter_map(|f| Some((f.name().strip_prefix("dynamo_component_")?, f.exposed_type())))
            .collect();
        let expected = [
            ("a_total", "counter"),
            ("b_total", "counter"),
            ("c_bytes", "gauge"),
            ("d", "gauge"),
            ("e", "histogram"),
            ("f", "gauge"),
            ("g_total", "counter"),
            ("h", "histogram"),
            ("i", "summary"),
            ("j_info", "gauge"),
            ("k", "gauge"),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn identifiers_that_differ_at_the_end_only_are_told_apart_or_refused() {
        use dynamo_metrics_core::OPERATOR_LABEL_VALUE_BYTES_MAX;
        for stem in [128, 256, OPERATOR_LABEL_VALUE_BYTES_MAX - 2] {
            let metrics = metrics();
            let name = |end: &str| format!("{}{end}", "n".repeat(stem));
            for (value, end) in (1..).zip(["a", "b"]) {
                let level = metrics.below("dynamo_namespace", Some(&name(end))).unwrap();
                level.counter(("level_total", "A level.")).unwrap().add(value);
                let opts = MetricOpts::new("model_total", "X.").const_label("model", name(end));
                metrics.counter(opts).unwrap().add(value);
            }
            for (value, end) in (1..).zip(["a", "b"]) {
                let level = metrics.below("dynamo_namespace", Some(&name(end))).unwrap();
                assert_eq!(level.counter(("level_total", "A level.")).unwrap().get(), value);
                let opts = MetricOpts::new("model_total", "X.").const_label("model", name(end));
                assert_eq!(metrics.counter(opts).unwrap().get(), value);
            }
        }
        let long = "n".repeat(OPERATOR_LABEL_VALUE_BYTES_MAX + 1);
        let error = metrics().below("dynamo_namespace", Some(&long)).unwrap_err().to_string();
        assert!(error.contains("dynamo_namespace") && error.contains("4097 bytes"), "{error}");
        let opts = MetricOpts::new("x", "X.").const_label("model", &long);
        assert!(metrics().gauge(opts).unwrap_err().to_string().contains("4097 bytes"));
    }
}
