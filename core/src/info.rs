//! Info: a series that says what something is by its labels, as a version. Its value is 1 and never changes.
//!
//! A scraper joins it to other series. OpenMetrics prints family `build` with the sample `build_info`; text format
//! 0.0.4 prints a gauge `build_info`. So a name that ends in `_info` is the one that gives the same sample in both.

use crate::descriptor::{Kind, Opts};
use crate::error::RegisterError;
use crate::family::{Family, Metric, sealed};
use crate::lookup::AnyHandle;
use crate::registry::Registry;
use crate::series::SeriesRef;

/// The end of every info metric's name.
pub(crate) const INFO_SUFFIX: &str = "_info";

/// A series of constant value 1. There is nothing to do with it: it is shown until it is removed from its
/// [`Family`], or its family from the registry.
#[derive(Clone, Debug)]
pub struct Info {
    series: SeriesRef,
}

impl Registry {
    /// An info metric with one series of these labels. Other values of the same labels make another series.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot, Value};
    ///
    /// let registry = Registry::new();
    /// registry.info(("build_info", "What is running."), &[("version", "0.9.0"), ("abi", "3")])?;
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "build_info").unwrap();
    /// let part = family.parts().next().unwrap();
    /// assert_eq!(part.descriptor().const_labels().next(), Some(("version", "0.9.0")));
    /// assert_eq!(part.series(0).unwrap().value(), Value::Info);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// A name that does not end in `_info`, a unit, or as for every registration; see [`RegisterError`].
    pub fn info(
        &self,
        opts: impl Into<Opts>,
        labels: &[(&str, &str)],
    ) -> Result<Info, RegisterError> {
        let with = |opts: Opts, &(name, value): &(&str, &str)| opts.const_label(name, value);
        let opts = labels.iter().fold(opts.into(), with);
        Ok(self.info_family(opts, [])?.with([]))
    }

    /// Info series told apart by label values; [`Family::with`] makes one, [`Family::remove`] ends it.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let models = registry.info_family(("model_info", "Models served."), ["model", "precision"])?;
    /// models.with(["qwen3-0.6b", "bf16"]);
    /// assert_eq!(models.len(), 1);
    /// assert!(models.remove(["qwen3-0.6b", "bf16"]));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// A name that does not end in `_info`, a unit, or as for every registration; see [`RegisterError`].
    pub fn info_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
    ) -> Result<Family<Info, N>, RegisterError> {
        let opts = opts.into();
        if opts.name.strip_suffix(INFO_SUFFIX).is_none_or(str::is_empty) {
            return Err(RegisterError::InfoName { name: opts.name });
        }
        self.family(opts, label_names, None)
    }
}

impl sealed::Sealed for Info {}
impl Metric for Info {
    const KIND: Kind = Kind::Info;

    fn into_any(self) -> AnyHandle {
        AnyHandle::Info(self)
    }

    #[inline]
    fn from_any(any: &AnyHandle) -> Option<&Self> {
        match any {
            AnyHandle::Info(handle) => Some(handle),
            _ => None,
        }
    }

    #[inline]
    fn series(&self) -> &SeriesRef {
        &self.series
    }

    fn bind(series: SeriesRef) -> Self {
        Self { series }
    }
}
