//! Metrics of one level: its prefix, its automatic labels, and the checks of names, labels and help texts.
//!
//! Every level of the hierarchy and every specialized scope has one [`Metrics`]. A second registration of a metric
//! returns the same metric, so two parts of a worker may both register it; the same name at two levels may have
//! other labels and another help text.

use crate::error::MetricsError;
use crate::names::{labels, sanitize_metric_name};
use dynamo_metrics_core::{Opts, Registry};
use dynamo_metrics_exporter::{Collector, Exporter};
use std::sync::Arc;

mod kinds;

/// The metrics of one level. Cheap to clone.
///
/// Names are put through [`sanitize_metric_name`] and get the level's prefix. Errors, for every method: a name of
/// underscores alone, an empty help text, an invalid or repeated label name, one of the hierarchy's own labels, or a
/// collision with another metric.
///
/// ```
/// use dynamo_metrics::{Buckets, DistributedRuntime, Snapshot};
///
/// let endpoint = DistributedRuntime::new()?.namespace("my-ns.v1")?.component("worker")?
///     .endpoint("generate")?;
/// let opts = ("batch_seconds", "Time to run a batch.");
/// let batch = endpoint.metrics().histogram(opts, &Buckets::default())?;
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
    exporter: Exporter,
    /// Without the `_` that follows it.
    prefix: Arc<str>,
}

impl Metrics {
    pub(crate) fn new(exporter: Exporter, prefix: Arc<str>) -> Self {
        Self { exporter, prefix }
    }

    /// Returns the exporter of this level, which shares its callbacks, collectors and engines with the whole runtime's.
    pub fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// Returns a level below with one more label; this level where there is no value.
    pub(crate) fn below(&self, label: &str, value: Option<&str>) -> Result<Self, MetricsError> {
        let Some(value) = value else { return Ok(self.clone()) };
        let scope = self.registry().scope(&[(label, value)])?;
        Ok(Self { exporter: self.exporter.at(&scope), prefix: Arc::clone(&self.prefix) })
    }

    /// Returns the scope of the registry with the metrics of this level and all below.
    pub fn registry(&self) -> &Registry {
        self.exporter.registry()
    }

    /// Returns the begin of all names, without the `_` that follows.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Registers a counter whose value `value` returns at each scrape; see [`Exporter::counter_callback`].
    ///
    /// # Errors
    /// See [`Metrics`]; and there is one callback for a name and set of constant labels.
    pub fn counter_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        Ok(self.exporter.counter_callback(self.opts(opts.into(), &[])?, value)?)
    }

    /// Registers a gauge whose value `value` returns at each scrape; see [`Exporter::gauge_callback`].
    ///
    /// ```
    /// use dynamo_metrics::DistributedRuntime;
    /// use dynamo_metrics_server::bytes::BytesMut;
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// runtime.metrics().gauge_callback(("free_bytes", "Free memory."), || 4096.0)?;
    /// let mut body = BytesMut::new();
    /// runtime.exposition().write(&mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("dynamo_component_free_bytes 4096\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Metrics`]; and there is one callback for a name and set of constant labels.
    pub fn gauge_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        Ok(self.exporter.gauge_callback(self.opts(opts.into(), &[])?, value)?)
    }

    /// Registers a family of gauges whose series `values` returns at each page; see
    /// [`Exporter::gauge_callback_family`].
    ///
    /// ```
    /// use dynamo_metrics::DistributedRuntime;
    /// use dynamo_metrics_server::bytes::BytesMut;
    ///
    /// let worker = DistributedRuntime::new()?.namespace("prod")?.component("worker")?;
    /// let opts = ("queue_depth", "Entries, by queue.");
    /// worker.metrics().gauge_callback_family(opts, ["queue"], || [(["decode"], 5.0)])?;
    /// let mut body = BytesMut::new();
    /// worker.runtime().exposition().write(&mut body);
    /// let labels = r#"dynamo_namespace="prod",dynamo_component="worker",queue="decode""#;
    /// let line = format!("dynamo_component_queue_depth{{{labels}}} 5\n");
    /// assert!(std::str::from_utf8(&body)?.contains(&line));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`Metrics`]; and there is one callback for a name and set of constant labels.
    pub fn gauge_callback_family<const N: usize, L, I>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        values: impl Fn() -> I + Send + Sync + 'static,
    ) -> Result<(), MetricsError>
    where
        L: Into<String>,
        I: IntoIterator<Item = ([L; N], f64)>,
    {
        let opts = self.opts(opts.into(), &label_names)?;
        Ok(self.exporter.gauge_callback_family(opts, label_names, values)?)
    }

    /// Registers a family of counters whose series `values` returns at each page; see
    /// [`Exporter::counter_callback_family`].
    ///
    /// # Errors
    /// See [`Metrics`]; and there is one callback for a name and set of constant labels.
    pub fn counter_callback_family<const N: usize, L, I>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        values: impl Fn() -> I + Send + Sync + 'static,
    ) -> Result<(), MetricsError>
    where
        L: Into<String>,
        I: IntoIterator<Item = ([L; N], u64)>,
    {
        let opts = self.opts(opts.into(), &label_names)?;
        Ok(self.exporter.counter_callback_family(opts, label_names, values)?)
    }

    /// Registers a collector of this level; see [`Exporter::collector`]. The names of its families are its own: they get
    /// the level's labels, but neither the prefix nor the checks of this type.
    ///
    /// # Errors
    /// The runtime has a collector of this name, or too many collectors.
    pub fn collector(&self, name: &str, collector: impl Collector) -> Result<(), MetricsError> {
        Ok(self.exporter.collector(name, collector)?)
    }

    /// Registers a gauge callback that takes no time, so that the scrape calls it without a guard.
    pub(crate) fn prompt_gauge_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        Ok(self.registry().gauge_callback(self.opts(opts.into(), &[])?, value)?)
    }

    /// Checks the options of a metric at this level, and gives it its full name.
    fn opts(&self, opts: Opts, label_names: &[&str]) -> Result<Opts, MetricsError> {
        let name = format!("{}_{}", self.prefix, sanitize_metric_name(opts.name())?);
        if opts.help().trim().is_empty() {
            return Err(MetricsError::EmptyHelp { name });
        }
        let own = opts.const_labels().map(|(label, _)| label);
        let mut labels = own.chain(label_names.iter().copied());
        if let Some(label) = labels.find(|label| labels::AUTOMATIC.contains(label)) {
            return Err(MetricsError::ReservedLabel { label: label.into(), name });
        }
        drop(labels);
        Ok(opts.renamed(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics_core::{Buckets, NativeBuckets, RegisterError, Snapshot, SummaryOpts};

    fn metrics() -> Metrics {
        Metrics::new(Exporter::new(&Registry::new()), "dynamo_component".into())
    }

    #[test]
    fn metrics_that_dynamo_refuses_are_refused_without_a_panic() {
        let metrics = metrics();
        let labelled = |label: &str| Opts::new("x_total", "X.").const_label(label, "v");
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
            metrics.histogram_family(("x", "X."), ["le"], &Buckets::default()).unwrap_err(),
            metrics.gauge_family(("x", "X."), ["a", "a"]).unwrap_err(),
        ] {
            assert!(matches!(error, MetricsError::Register(_)), "{error}");
        }
        assert!(matches!(metrics.gauge(("x", " ")), Err(MetricsError::EmptyHelp { .. })));
        assert!(matches!(metrics.gauge(("___", "X.")), Err(MetricsError::Name(_))));
    }

    #[test]
    fn a_second_registration_returns_the_same_metric() {
        let metrics = metrics();
        let family = || metrics.counter_family(("x_total", "X."), ["a"]);
        family().unwrap().with(["1"]).inc();
        family().unwrap().with(["1"]).inc();
        assert_eq!(family().unwrap().with(["1"]).get(), 2);
        let error = metrics.counter(("x_total", "Other help.")).unwrap_err();
        assert!(matches!(error, MetricsError::Register(RegisterError::Conflict { .. })), "{error}");
    }

    #[test]
    fn all_kinds_are_registered_with_the_prefix() {
        let metrics = metrics();
        metrics.counter(("a_total", "A.")).unwrap();
        metrics.float_counter(("b_total", "B.")).unwrap();
        metrics.gauge(Opts::new("c_bytes", "C.").unit("bytes")).unwrap();
        metrics.up_down_counter(Opts::new("d", "D.").nested()).unwrap();
        metrics.histogram(("e", "E."), &Buckets::default()).unwrap();
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
    fn long_names_that_differ_at_the_end_stay_different_or_are_refused() {
        use dynamo_metrics_core::limits::OPERATOR_LABEL_VALUE_BYTES_MAX;
        for stem in [128, 256, OPERATOR_LABEL_VALUE_BYTES_MAX - 2] {
            let metrics = metrics();
            let name = |end: &str| format!("{}{end}", "n".repeat(stem));
            for (value, end) in (1..).zip(["a", "b"]) {
                let level = metrics.below("dynamo_namespace", Some(&name(end))).unwrap();
                level.counter(("level_total", "A level.")).unwrap().add(value);
                let opts = Opts::new("model_total", "X.").const_label("model", name(end));
                metrics.counter(opts).unwrap().add(value);
            }
            for (value, end) in (1..).zip(["a", "b"]) {
                let level = metrics.below("dynamo_namespace", Some(&name(end))).unwrap();
                assert_eq!(level.counter(("level_total", "A level.")).unwrap().get(), value);
                let opts = Opts::new("model_total", "X.").const_label("model", name(end));
                assert_eq!(metrics.counter(opts).unwrap().get(), value);
            }
        }
        let long = "n".repeat(OPERATOR_LABEL_VALUE_BYTES_MAX + 1);
        let error = metrics().below("dynamo_namespace", Some(&long)).unwrap_err().to_string();
        assert!(error.contains("dynamo_namespace") && error.contains("4097 bytes"), "{error}");
        let opts = Opts::new("x", "X.").const_label("model", &long);
        assert!(metrics().gauge(opts).unwrap_err().to_string().contains("4097 bytes"));
    }
}
