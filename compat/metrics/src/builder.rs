//! The settings of a recorder.

use crate::distribution::{Distribution, Distributions, default_summary};
use crate::error::BuildError;
use crate::handle::Handle;
use crate::kinds::MetricKinds;
use crate::matcher::Matcher;
use crate::naming::label_name;
use crate::recorder::{Clock, DynamoRecorder, Inner};
use crate::resolve::Labels;
use crate::table::{SERIES_MAX_DEFAULT, Settings};
use dynamo_metrics_core::{Buckets, NativeBuckets, SummaryOpts};
use dynamo_metrics_exporter::ListenError;
use std::fmt;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Builds and installs a recorder.
///
/// ```
/// use dynamo_metrics_facade::{Buckets, Builder, Matcher, MetricKinds, NativeBuckets};
/// use std::time::Duration;
///
/// let recorder = Builder::new()
///     .buckets(&Buckets::default())
///     .buckets_for(Matcher::Full("tokens".into()), &Buckets::exponential(1.0, 2.0, 16)?)
///     .native_histograms_for(Matcher::Prefix("latency".into()), &NativeBuckets::new())
///     .global_label("zone", "us")
///     .recommended_naming(true)
///     .idle_timeout(MetricKinds::GAUGE, Some(Duration::from_secs(3600)))
///     .build()?;
/// metrics::with_local_recorder(&recorder, || {
///     metrics::describe_histogram!("wait", metrics::Unit::Seconds, "Time in the queue.");
///     metrics::histogram!("wait").record(0.2);
///     metrics::counter!("requests").increment(1);
/// });
/// let page = recorder.handle().render();
/// assert!(page.contains("wait_seconds_bucket{zone=\"us\",le=\"0.25\"} 1\n"));
/// assert!(page.contains("requests_total{zone=\"us\"} 1\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder builds nothing by itself"]
pub struct Builder {
    listen: Option<String>,
    settings: Settings,
    clock: Clock,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listen, settings, .. } = self;
        let mut text = f.debug_struct("Builder");
        text.field("listen", listen).field("settings", settings).finish_non_exhaustive()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// Returns the settings of a recorder without a listener, whose histograms are summaries, as those of
    /// `metrics-exporter-prometheus` are where no buckets are set.
    pub fn new() -> Self {
        let settings = Settings {
            globals: Labels::new(),
            units: false,
            totals: false,
            series_max: SERIES_MAX_DEFAULT,
            distributions: Distributions::default(),
            idle: None,
        };
        // A system clock before 1970 counts as 1970.
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { listen: None, settings, clock: Arc::new(clock) }
    }

    /// Serves `GET /metrics` at this address, host and port, on two threads of the recorder's. Port 0 takes a free port, which
    /// [`Handle::local_addr`] returns.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = Some(address.into());
        self
    }

    /// Gives all histograms these buckets, but for those that a matcher matches.
    pub fn buckets(mut self, buckets: &Buckets) -> Self {
        self.settings.distributions.others = Distribution::Buckets(buckets.clone());
        self
    }

    /// Gives the histograms that match these buckets, unless they are native.
    pub fn buckets_for(mut self, matcher: Matcher, buckets: &Buckets) -> Self {
        set(&mut self.settings.distributions.buckets, matcher.replaced(), buckets.clone());
        self
    }

    /// Makes all histograms native, but for those that a matcher matches. Formats without native histograms print them with
    /// [`NativeBuckets::classic`] buckets.
    pub fn native_histograms(mut self, buckets: &NativeBuckets) -> Self {
        self.settings.distributions.others = Distribution::Native(buckets.clone());
        self
    }

    /// Makes the histograms that match native, whatever other buckets they match.
    pub fn native_histograms_for(mut self, matcher: Matcher, buckets: &NativeBuckets) -> Self {
        set(&mut self.settings.distributions.natives, matcher.replaced(), buckets.clone());
        self
    }

    /// Returns the summary that histograms have without settings, for [`summaries`](Self::summaries) with a part of it changed: the quantiles
    /// 0, 0.5, 0.9, 0.95, 0.99, 0.999 and 1 of the last minute, to two digits, of values from 10^-6 to 10^8. That range is wider than
    /// the one of [`SummaryOpts::new`], which ends at 10^6.
    ///
    /// ```
    /// use dynamo_metrics_facade::Builder;
    ///
    /// let recorder = Builder::new().summaries(&Builder::default_summary().quantiles([0.5])).build()?;
    /// metrics::with_local_recorder(&recorder, || metrics::histogram!("size_bytes").record(5e7));
    /// assert!(recorder.handle().render().contains("size_bytes{quantile=\"0.5\"} 49938432\n"), "to 1 %");
    /// # Ok::<(), dynamo_metrics_facade::BuildError>(())
    /// ```
    pub fn default_summary() -> SummaryOpts {
        default_summary()
    }

    /// Makes all histograms summaries with these quantiles, window and range, but for those that a matcher matches. Without this, they are
    /// as [`default_summary`](Self::default_summary) says.
    pub fn summaries(mut self, summary: &SummaryOpts) -> Self {
        self.settings.distributions.others = Distribution::Summary(summary.clone());
        self
    }

    /// Adds a label to every metric of the facade. A label of a key replaces it there.
    pub fn global_label(mut self, name: impl AsRef<str>, value: impl Into<String>) -> Self {
        set(&mut self.settings.globals, label_name(name.as_ref()), value.into());
        self
    }

    /// Puts the unit of each metric that is described with one into its name, as `wait_seconds`, unless it is there. The description
    /// has to come before the first use.
    pub fn unit_suffixes(mut self, enabled: bool) -> Self {
        self.settings.units = enabled;
        self
    }

    /// Ends names of counters with `_total`, and puts units into names as [`unit_suffixes`](Self::unit_suffixes) does.
    pub fn recommended_naming(mut self, enabled: bool) -> Self {
        self.settings.totals = enabled;
        self.settings.units = enabled;
        self
    }

    /// Removes series of these kinds from the page that were not recorded for longer than the timeout. Pages find that: the time counts from
    /// the first page that shows a value. A series that comes back starts at zero, and handles that are kept record nothing that is shown:
    /// a program with a timeout looks its handles up by the macros.
    ///
    /// Costs a load of a shared flag at each recording of these kinds, and a look at each of their series at each page.
    pub fn idle_timeout(mut self, kinds: MetricKinds, timeout: Option<Duration>) -> Self {
        self.settings.idle = timeout.map(|timeout| (kinds, timeout));
        self
    }

    /// Sets the largest number of series of one name and one set of label names. Keys beyond share one series whose values are all `other`,
    /// and `dynamo_metrics_series_overflow_total` counts their lookups.
    pub fn series_max(mut self, series_max: usize) -> Self {
        self.settings.series_max = series_max;
        self
    }

    /// Sets the clock of idle series, windows of summaries and start times: the time since the Unix epoch. It must not use the facade, whose
    /// table may be locked while it runs.
    pub fn clock(mut self, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Returns the recorder, and starts its server if it has an address. It is in use once it is installed, alone or below layers of
    /// `metrics-util`.
    ///
    /// # Errors
    /// Invalid settings, or an address that cannot be listened on.
    pub fn build(mut self) -> Result<DynamoRecorder, BuildError> {
        self.settings.globals.sort_unstable();
        self.settings.distributions.buckets.sort_by(|a, b| a.0.cmp(&b.0));
        self.settings.distributions.natives.sort_by(|a, b| a.0.cmp(&b.0));
        let inner = Arc::new(Inner::new(self.settings, self.clock)?);
        let mut recorder = DynamoRecorder { inner, server: None };
        if let Some(address) = self.listen {
            let error = |reason: String| ListenError::Address { address: address.clone(), reason };
            let mut found = address.to_socket_addrs().map_err(|e| error(e.to_string()))?;
            let found = found.next().ok_or_else(|| error("the name has no address".into()))?;
            let server = recorder.handle().server().address(found).address_source(&address);
            recorder.server = Some(Arc::new(server.spawn()?.into()));
        }
        Ok(recorder)
    }

    /// Installs the recorder for the whole process and returns its handle.
    ///
    /// # Errors
    /// As [`build`](Self::build); a process that has a recorder.
    pub fn install(self) -> Result<Handle, BuildError> {
        let recorder = self.build()?;
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder)?;
        Ok(handle)
    }
}

/// Sets the value of a key, in place of an earlier one.
fn set<K: PartialEq, V>(list: &mut Vec<(K, V)>, key: K, value: V) {
    match list.iter_mut().find(|(there, _)| *there == key) {
        Some((_, there)) => *there = value,
        None => list.push((key, value)),
    }
}
