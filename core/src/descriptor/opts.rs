//! The options of a metric's registration.

use crate::label::{LABEL_VALUE_BYTES_MAX, OPERATOR_LABEL_VALUE_BYTES_MAX};

/// Default of [`Opts::series_max`]. Ten thousand series of a 20-bucket histogram are 230,000 lines a scrape, some 16 MB at
/// 70 bytes a line. That is about the longest page that VictoriaMetrics reads by default (`-promscrape.maxScrapeSize`);
/// Prometheus has no limit by default.
pub const SERIES_MAX_DEFAULT: usize = 10_000;

/// The options that all kinds of metrics share: name, help and rarely used settings.
///
/// A pair of name and help converts into it:
///
/// ```
/// use dynamo_metrics_core::{Opts, Registry};
///
/// let registry = Registry::new();
/// registry.counter(("requests_total", "Requests received."))?;
/// registry.gauge(Opts::new("queue_age_seconds", "Age of the oldest entry.").unit("seconds"))?;
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Opts {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) unit: Option<String>,
    pub(crate) const_labels: Vec<(String, String)>,
    pub(crate) series_max: usize,
    pub(crate) label_value_bytes_max: usize,
    pub(crate) nested: bool,
    pub(crate) utf8_names: bool,
    pub(crate) exemplars: bool,
    pub(crate) states: Vec<String>,
}

impl Opts {
    /// Returns the options of a metric with this name and help text, and defaults for the rest.
    ///
    /// ```
    /// # use dynamo_metrics_core::{Opts, Registry};
    /// # let registry = Registry::new();
    /// let opts = Opts::new("requests_total", "Requests received.");
    /// registry.counter(opts)?.inc();
    /// assert!(registry.occupies("requests_total"));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn new(name: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            unit: None,
            const_labels: Vec::new(),
            series_max: SERIES_MAX_DEFAULT,
            label_value_bytes_max: LABEL_VALUE_BYTES_MAX,
            nested: false,
            utf8_names: false,
            exemplars: false,
            states: Vec::new(),
        }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the help text.
    pub fn help(&self) -> &str {
        &self.help
    }

    /// Returns the constant labels, in the order in which they were added.
    pub fn const_labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.const_labels.iter().map(|(label, value)| (label.as_str(), value.as_str()))
    }

    /// Replaces the name, as by one with a prefix.
    ///
    /// ```
    /// # use dynamo_metrics_core::Opts;
    /// let opts = Opts::new("requests_total", "Requests received.");
    /// let name = format!("http_{}", opts.name());
    /// assert_eq!(opts.renamed(name).name(), "http_requests_total");
    /// ```
    #[must_use]
    pub fn renamed(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the unit, as defined by OpenMetrics. The name must end in it (before `_total` if it is a counter).
    ///
    /// ```
    /// # use dynamo_metrics_core::{Opts, Registry};
    /// # let registry = Registry::new();
    /// registry.counter(Opts::new("busy_seconds_total", "").unit("seconds"))?;
    /// assert!(registry.gauge(Opts::new("busy_ms", "").unit("seconds")).is_err());
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// Adds a label with one value for all series of the family. An empty value is the same as no label, as in
    /// Prometheus.
    ///
    /// ```
    /// use dynamo_metrics_core::{Opts, Registry};
    ///
    /// let registry = Registry::new();
    /// let shard = |n: &str| Opts::new("writes_total", "Writes.").const_label("shard", n);
    /// registry.counter(shard("0"))?.inc();
    /// registry.counter(shard("1"))?.add(2);
    /// assert_eq!(registry.counter(shard("0"))?.get(), 1);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    #[must_use]
    pub fn const_label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.const_labels.push((name.into(), value.into()));
        self
    }

    /// Sets the largest number of series of the family, at least 1; the default is [`SERIES_MAX_DEFAULT`]. Recordings
    /// with further label values go to one overflow series, whose label values are all `other`.
    ///
    /// ```
    /// # use dynamo_metrics_core::{Opts, Registry};
    /// # let registry = Registry::new();
    /// let requests = registry.counter_family(Opts::new("requests_total", "").series_max(2), ["model"])?;
    /// ["a", "b", "c", "d"].into_iter().for_each(|model| requests.with([model]).inc());
    /// assert_eq!(requests.with(["other"]).get(), 2);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    #[must_use]
    pub fn series_max(mut self, series_max: usize) -> Self {
        self.series_max = series_max.max(1);
        self
    }

    /// Sets the largest number of bytes of a label value, from 1 to
    /// [`OPERATOR_LABEL_VALUE_BYTES_MAX`](crate::limits::OPERATOR_LABEL_VALUE_BYTES_MAX); the default is [`LABEL_VALUE_BYTES_MAX`].
    /// Longer values are truncated on a character boundary, and `dynamo_metrics_cut_label_values_total` counts the lookup.
    /// Raise the limit for values that the operator chooses, because two of them may differ only at the end.
    ///
    /// ```
    /// # use dynamo_metrics_core::{Opts, Registry, limits::OPERATOR_LABEL_VALUE_BYTES_MAX};
    /// # let registry = Registry::new();
    /// let opts = Opts::new("requests_total", "").label_value_bytes_max(OPERATOR_LABEL_VALUE_BYTES_MAX);
    /// let requests = registry.counter_family(opts, ["model"])?;
    /// let path = "/models/".repeat(100);
    /// for checkpoint in ["a", "b"] {
    ///     requests.with([&format!("{path}{checkpoint}")]).inc();
    /// }
    /// assert_eq!(requests.len(), 2);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    #[must_use]
    pub fn label_value_bytes_max(mut self, bytes: usize) -> Self {
        self.label_value_bytes_max = bytes.clamp(1, OPERATOR_LABEL_VALUE_BYTES_MAX);
        self
    }

    /// Marks an [`UpDownCounter`](crate::UpDownCounter) that counts a part of what another one counts. It must rise
    /// after the other and fall before it; then no scrape shows it above the other.
    ///
    /// ```
    /// # use dynamo_metrics_core::{Opts, Registry};
    /// # let registry = Registry::new();
    /// let inflight = registry.up_down_counter(("inflight", "Requests in progress."))?;
    /// let queued = registry.up_down_counter(Opts::new("queued", "Of these, waiting.").nested())?;
    /// inflight.inc();
    /// queued.inc();
    /// queued.dec();
    /// inflight.dec();
    /// assert_eq!((queued.get(), inflight.get()), (0, 0));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    #[must_use]
    pub fn nested(mut self) -> Self {
        self.nested = true;
        self
    }

    /// Allows any non-empty UTF-8 text (without NUL) as the name of the metric and of its own labels, for example
    /// OpenTelemetry's `http.server.duration`. Scrapers that do not accept UTF-8 get [escaped](crate::Escaping) names, so a
    /// name that equals another one under any scheme is refused. Labels of scopes must match the legacy pattern.
    ///
    /// ```
    /// use dynamo_metrics_core::{Escaping, Opts, RegisterError, Registry};
    ///
    /// let registry = Registry::new();
    /// let opts = Opts::new("http.server.requests_total", "Requests.").utf8_names();
    /// registry.counter_family(opts, ["http.route"])?.with(["/v1/models"]).inc();
    /// // The escaped name is in use now.
    /// let error = registry.counter(("http_server_requests_total", "Requests.")).unwrap_err();
    /// assert!(matches!(error, RegisterError::EscapedClash { scheme: Escaping::Underscores, .. }));
    /// # Ok::<(), RegisterError>(())
    /// ```
    #[must_use]
    pub fn utf8_names(mut self) -> Self {
        self.utf8_names = true;
        self
    }

    /// Keeps the newest [`Exemplar`](crate::Exemplar) of each counter, or of each bucket of a histogram, in 72 bytes each.
    /// Without this option, exemplars are dropped.
    ///
    /// ```
    /// # use dynamo_metrics_core::{Opts, Registry};
    /// # let registry = Registry::new();
    /// use dynamo_metrics_core::Exemplar;
    ///
    /// let requests = registry.counter(Opts::new("requests_total", "").exemplars())?;
    /// requests.inc_with_exemplar(&Exemplar::new("4bf92f3577b34da6")?);
    /// assert_eq!(requests.get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn exemplars(mut self) -> Self {
        self.exemplars = true;
        self
    }
}

impl<N: Into<String>, H: Into<String>> From<(N, H)> for Opts {
    fn from((name, help): (N, H)) -> Self {
        Self::new(name, help)
    }
}
