//! What a program says of a metric when it makes it.

use dynamo_metrics_core::{LABEL_VALUE_BYTES_MAX, SERIES_MAX_DEFAULT};

/// What a metric is: name and help, and the rarely needed rest. A pair of name and help converts into it.
///
/// ```
/// use dynamo_metrics::{DistributedRuntime, MetricOpts};
///
/// let worker = DistributedRuntime::new()?.namespace("prod")?.component("worker")?;
/// worker.metrics().counter(("evictions_total", "Blocks evicted."))?;
/// let loads = worker.metrics().counter(
///     MetricOpts::new("loads_total", "Models loaded.").const_label("model", "qwen3-0.6b"),
/// )?;
/// assert_eq!(loads.get(), 0);
/// # Ok::<(), dynamo_metrics::MetricsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct MetricOpts {
    pub(super) name: String,
    pub(super) help: String,
    pub(super) unit: Option<String>,
    pub(super) const_labels: Vec<(String, String)>,
    pub(super) series_max: usize,
    pub(super) label_value_bytes_max: usize,
    pub(super) nested: bool,
    pub(super) exemplars: bool,
}

impl MetricOpts {
    /// A metric of this name, without the level's prefix, and this help text.
    pub fn new(name: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            help: help.into(),
            unit: None,
            const_labels: Vec::new(),
            series_max: SERIES_MAX_DEFAULT,
            label_value_bytes_max: LABEL_VALUE_BYTES_MAX,
            nested: false,
            exemplars: false,
        }
    }

    /// A label with one value for the whole metric, of at most
    /// [`OPERATOR_LABEL_VALUE_BYTES_MAX`](dynamo_metrics_core::OPERATOR_LABEL_VALUE_BYTES_MAX) bytes; a longer one is refused when the
    /// metric is made.
    #[must_use]
    pub fn const_label(mut self, name: impl Into<String>, value: impl AsRef<str>) -> Self {
        self.const_labels.push((name.into(), value.as_ref().into()));
        self
    }

    /// The unit in OpenMetrics' sense: the end of the name, before `_total`.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Self {
        self.unit = Some(unit.into());
        self
    }

    /// How many series a family may have; [`SERIES_MAX_DEFAULT`] unless set. Beyond it observations fold into
    /// one series whose label values are all `other`.
    #[must_use]
    pub fn series_max(mut self, series_max: usize) -> Self {
        self.series_max = series_max;
        self
    }

    /// How many bytes of a label value a family keeps; [`LABEL_VALUE_BYTES_MAX`] unless set. See
    /// [`Opts::label_value_bytes_max`](dynamo_metrics_core::Opts::label_value_bytes_max).
    #[must_use]
    pub fn label_value_bytes_max(mut self, bytes: usize) -> Self {
        self.label_value_bytes_max = bytes;
        self
    }

    /// For an up/down counter of a part of what another one counts: it rises after and falls before the one
    /// around it, and then exceeds it in no scrape.
    #[must_use]
    pub fn nested(mut self) -> Self {
        self.nested = true;
        self
    }

    /// Keeps the newest exemplar of a counter, or of each bucket of a histogram, for recordings that are given one as
    /// `observe_with_exemplar`; see [`Exemplar`](crate::Exemplar). OpenMetrics and protobuf show them.
    #[must_use]
    pub fn exemplars(mut self) -> Self {
        self.exemplars = true;
        self
    }
}

impl<N: Into<String>, H: Into<String>> From<(N, H)> for MetricOpts {
    fn from((name, help): (N, H)) -> Self {
        Self::new(name, help)
    }
}
