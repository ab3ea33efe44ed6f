//! The options of a metric at its registration.

use crate::label::{LABEL_VALUE_BYTES_MAX, OPERATOR_LABEL_VALUE_BYTES_MAX};

/// Series that one family may have unless [`Opts::series_max`] says otherwise. Ten thousand series of a
/// 20-bucket histogram are 230,000 lines a scrape, about what a Prometheus of default limits still takes.
pub const SERIES_MAX_DEFAULT: usize = 10_000;

/// What is common to all registrations: name, help and the rarely needed rest.
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
    /// A metric of this name and help text.
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

    /// The unit in OpenMetrics' sense. It must be the end of the name; of a counter's, before `_total`.
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

    /// A label with one value for all series of the family. With an empty value it is no label at all, as Prometheus
    /// has it.
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

    /// How many series the family may have; beyond it observations fold into one series whose label values are
    /// all `other`. [`SERIES_MAX_DEFAULT`] unless set; at least 1.
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

    /// How many bytes of a label value the family keeps, from 1 to
    /// [`OPERATOR_LABEL_VALUE_BYTES_MAX`](crate::OPERATOR_LABEL_VALUE_BYTES_MAX); [`LABEL_VALUE_BYTES_MAX`] unless set. Longer values
    /// are cut on a character boundary, and `dynamo_metrics_cut_label_values_total` counts the lookup. Raise it for values that the
    /// operator chose, of which two may differ at the end only.
    ///
    /// ```
    /// # use dynamo_metrics_core::{OPERATOR_LABEL_VALUE_BYTES_MAX, Opts, Registry};
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

    /// For an [`UpDownCounter`](crate::UpDownCounter) that counts a part of what another one counts: it rises
    /// after and falls before the one around it. Then it exceeds the other in no scrape.
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

    /// Allows any non-empty UTF-8 text (without NUL) as the name of the metric and of its own labels, as
    /// OpenTelemetry's `http.server.duration`. Scrapers that do not ask for UTF-8 get names that are
    /// [escaped](crate::Escaping), so a name that meets another one under any scheme is refused. Labels of scopes keep
    /// to the legacy pattern.
    ///
    /// ```
    /// use dynamo_metrics_core::{Escaping, Opts, RegisterError, Registry};
    ///
    /// let registry = Registry::new();
    /// let opts = Opts::new("http.server.requests_total", "Requests.").utf8_names();
    /// registry.counter_family(opts, ["http.route"])?.with(["/v1/models"]).inc();
    /// // What scrapers that do not ask for UTF-8 see is taken now.
    /// let error = registry.counter(("http_server_requests_total", "Requests.")).unwrap_err();
    /// assert!(matches!(error, RegisterError::EscapedClash { scheme: Escaping::Underscores, .. }));
    /// # Ok::<(), RegisterError>(())
    /// ```
    #[must_use]
    pub fn utf8_names(mut self) -> Self {
        self.utf8_names = true;
        self
    }

    /// For a counter or histogram that keeps the newest [`Exemplar`](crate::Exemplar): one a counter, one a bucket.
    /// Each takes 72 bytes of the series. Without this, exemplars given to a metric are dropped.
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
