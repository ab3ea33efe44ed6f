//! Registration of histograms of integers, native histograms and summaries.

use super::Registry;
use crate::descriptor::{Kind, Opts};
use crate::error::RegisterError;
use crate::family::Family;
use crate::kinds::{DualHistogram, IntegerHistogram, NativeHistogram, Summary};
use crate::layout::{Buckets, IntegerLayout, NativeBuckets, Scale, SummaryOpts};
use std::sync::Arc;

impl Registry {
    /// Registers a histogram of integers without labels of its own. Values are recorded in units of `scale`; the bounds are in
    /// the unit itself, as the exposition is.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// use dynamo_metrics_core::{Buckets, Scale};
    ///
    /// let buckets = Buckets::new([0.1, 1.0])?;
    /// let wait = registry.integer_histogram(("wait_seconds", "Time."), &buckets, Scale::Nano)?;
    /// wait.observe(500_000_000);
    /// assert_eq!((&*wait.get().counts, wait.get().sum.to_f64()), (&[0, 1, 0][..], 0.5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`]; [`RegisterError::Buckets`] for bounds that are negative or less than a unit apart.
    pub fn integer_histogram(
        &self,
        opts: impl Into<Opts>,
        buckets: &Buckets,
        scale: Scale,
    ) -> Result<IntegerHistogram, RegisterError> {
        Ok(self.integer_histogram_family(opts, [], buckets, scale)?.with([]))
    }

    /// Registers a family of histograms of integers, one for each set of label values.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// use dynamo_metrics_core::{Buckets, Scale};
    ///
    /// let (opts, buckets) = (("prompt_tokens", "Tokens."), Buckets::new([100.0, 1000.0])?);
    /// let tokens = registry.integer_histogram_family(opts, ["model"], &buckets, Scale::One)?;
    /// tokens.with(["qwen3-0.6b"]).observe(512);
    /// assert_eq!(tokens.with(["qwen3-0.6b"]).get().counts, [0, 1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`integer_histogram`](Self::integer_histogram).
    pub fn integer_histogram_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        buckets: &Buckets,
        scale: Scale,
    ) -> Result<Family<IntegerHistogram, N>, RegisterError> {
        let opts = opts.into();
        let layout = IntegerLayout::new(buckets, scale)
            .map_err(|source| RegisterError::Buckets { name: opts.name.clone(), source })?;
        let classic = Some(Arc::new(buckets.clone()));
        let mut asked = self.descriptor(opts, Kind::Histogram, &label_names, classic)?;
        asked.integer = Some(Arc::new(layout));
        self.family_of(asked)
    }

    /// Registers a native histogram without labels of its own. Formats without native histograms print it as a classic
    /// one, see [`NativeBuckets::classic`].
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// use dynamo_metrics_core::NativeBuckets;
    ///
    /// let latency = registry.native_histogram(("latency_seconds", "Time."), &NativeBuckets::new())?;
    /// latency.observe(0.02);
    /// latency.observe_n(0.5, 2);
    /// assert_eq!((latency.get().positive.len(), latency.get().sum), (2, 1.02));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`]; [`RegisterError::Native`] for invalid buckets.
    pub fn native_histogram(
        &self,
        opts: impl Into<Opts>,
        buckets: &NativeBuckets,
    ) -> Result<NativeHistogram, RegisterError> {
        Ok(self.native_histogram_family(opts, [], buckets)?.with([]))
    }

    /// Registers a family of native histograms, one for each set of label values.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// use dynamo_metrics_core::NativeBuckets;
    ///
    /// let opts = ("latency_seconds", "Time.");
    /// let latency = registry.native_histogram_family(opts, ["model"], &NativeBuckets::new())?;
    /// latency.with(["qwen3-0.6b"]).observe(0.02);
    /// assert_eq!(latency.with(["qwen3-0.6b"]).get().sum, 0.02);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`native_histogram`](Self::native_histogram).
    pub fn native_histogram_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        buckets: &NativeBuckets,
    ) -> Result<Family<NativeHistogram, N>, RegisterError> {
        let opts = opts.into();
        let (layout, classic) = buckets
            .layout()
            .map_err(|source| RegisterError::Native { name: opts.name.clone(), source })?;
        let classic = Some(Arc::new(classic));
        let mut asked = self.descriptor(opts, Kind::NativeHistogram, &label_names, classic)?;
        asked.native = Some(Arc::new(layout));
        self.family_of(asked)
    }

    /// Registers a family of histograms with classic and native buckets, one for each set of label values. Their classic bounds
    /// are any, unlike those of [`native_histogram_family`](Self::native_histogram_family), which are bounds of the native grid;
    /// [`NativeBuckets::classic`] and [`NativeBuckets::min_reset`] have no effect here, and negative values have native buckets
    /// where a classic bound is negative.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// use dynamo_metrics_core::{Buckets, NativeBuckets};
    ///
    /// let (opts, bounds) = (("latency_seconds", "Time."), Buckets::new([0.0022, 0.47])?);
    /// let native = NativeBuckets::new();
    /// let latency = registry.dual_histogram_family(opts, ["model"], &bounds, &native)?;
    /// latency.with(["qwen3-0.6b"]).observe(0.02);
    /// assert_eq!(latency.with(["qwen3-0.6b"]).get().0.counts, [0, 1, 0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`native_histogram`](Self::native_histogram).
    pub fn dual_histogram_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        buckets: &Buckets,
        native: &NativeBuckets,
    ) -> Result<Family<DualHistogram, N>, RegisterError> {
        let opts = opts.into();
        let native = native.beside(buckets.is_signed());
        let (layout, _) = native
            .layout()
            .map_err(|source| RegisterError::Native { name: opts.name.clone(), source })?;
        let classic = Some(Arc::new(buckets.clone()));
        let mut asked = self.descriptor(opts, Kind::Histogram, &label_names, classic)?;
        asked.native = Some(Arc::new(layout));
        self.family_of(asked)
    }

    /// Registers a summary without labels of its own.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// use dynamo_metrics_core::SummaryOpts;
    ///
    /// let wait = registry.summary(("wait_seconds", "Time in the queue."), &SummaryOpts::new())?;
    /// wait.observe(0.5);
    /// assert_eq!((wait.get().count, wait.get().sum), (1, 0.5));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`RegisterError`]; [`RegisterError::Summary`] for invalid options.
    pub fn summary(
        &self,
        opts: impl Into<Opts>,
        summary: &SummaryOpts,
    ) -> Result<Summary, RegisterError> {
        Ok(self.summary_family(opts, [], summary)?.with([]))
    }

    /// Registers a family of summaries, one for each set of label values.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// use dynamo_metrics_core::SummaryOpts;
    ///
    /// let wait = registry.summary_family(("wait_seconds", "Time."), ["model"], &SummaryOpts::new())?;
    /// wait.with(["qwen3-0.6b"]).observe(0.5);
    /// assert_eq!(wait.with(["qwen3-0.6b"]).get().count, 1);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`summary`](Self::summary).
    pub fn summary_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        summary: &SummaryOpts,
    ) -> Result<Family<Summary, N>, RegisterError> {
        let opts = opts.into();
        let layout = summary
            .layout()
            .map_err(|source| RegisterError::Summary { name: opts.name.clone(), source })?;
        let mut asked = self.descriptor(opts, Kind::Summary, &label_names, None)?;
        asked.summary = Some(Arc::new(layout));
        self.family_of(asked)
    }
}
