//! Registration of info metrics.

use super::Registry;
use crate::descriptor::{INFO_SUFFIX, Opts};
use crate::error::RegisterError;
use crate::family::Family;
use crate::kinds::Info;

impl Registry {
    /// Registers an info metric with one series of these labels. Other values of the same labels make another series.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot, snapshot::Value};
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

    /// Registers a family of info series, one for each set of label values. [`Family::with`] creates a series,
    /// [`Family::remove`] removes it.
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
