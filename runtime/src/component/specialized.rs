//! Specialized components: metrics with the component's own noun as prefix instead of `dynamo_component_`.
//!
//! Dynamo's documentation reserves `dynamo_preprocessor_*` for this and leaves the contents open. A
//! [`SpecializedScope`] makes metrics with any such noun; [`PreprocessorMetrics`] has those of the frontend's
//! preprocessor.

use crate::error::MetricsError;
use crate::metrics::Metrics;
use crate::names::{preprocessor, sanitize_metric_name};
use dynamo_metrics_core::{Buckets, Counter, Histogram, RegisterError, Registry};
use dynamo_metrics_exporter::Exporter;
use std::time::Duration;

/// Bounds of `dynamo_preprocessor_tokenize_seconds`: tokenizers take 0.1 ms for a line and a second for a book.
const TOKENIZE_BOUNDS: [f64; 9] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0];

/// The metrics named `dynamo_<noun>_*` of one level.
///
/// ```
/// use dynamo_metrics::{DistributedRuntime, SpecializedScope};
///
/// let component = DistributedRuntime::new()?.namespace("default")?.component("planner")?;
/// let scope = SpecializedScope::new(component.metrics(), "planner")?;
/// let replicas = scope.metrics().gauge(("prefill_workers", "Prefill workers wanted."))?;
/// replicas.set(3.0);
/// assert_eq!(scope.metrics().prefix(), "dynamo_planner");
/// # Ok::<(), dynamo_metrics::MetricsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SpecializedScope {
    metrics: Metrics,
}

impl SpecializedScope {
    /// Creates the scope of `noun` at a level: with the automatic labels of a component's level, or with none at the
    /// runtime's. A character of the noun that scrapers refuse becomes `_`.
    ///
    /// # Errors
    /// The noun consists of underscores and such characters alone.
    pub fn new(level: &Metrics, noun: &str) -> Result<Self, MetricsError> {
        Self::in_exporter(level.exporter().clone(), noun)
    }

    fn in_exporter(exporter: Exporter, noun: &str) -> Result<Self, MetricsError> {
        let prefix = format!("dynamo_{}", sanitize_metric_name(noun)?);
        Ok(Self { metrics: Metrics::new(exporter, prefix.into()) })
    }

    /// Returns the metrics of the scope.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

/// The preprocessor's metrics of the prompts that it turns into tokens. Cheap to clone.
///
/// ```
/// use dynamo_metrics::{PreprocessorMetrics, Registry};
/// use std::time::Duration;
///
/// let preprocessor = PreprocessorMetrics::new(&Registry::new())?;
/// preprocessor.tokenized("Hello".len() as u64, Duration::from_micros(80));
/// assert_eq!(preprocessor.prompt_bytes(), 5);
/// # Ok::<(), dynamo_metrics::MetricsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PreprocessorMetrics {
    tokenize: Histogram,
    prompt_bytes: Counter,
}

impl PreprocessorMetrics {
    /// Registers the preprocessor's metrics.
    ///
    /// # Errors
    /// The registry has another metric of one of their names.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let scope = SpecializedScope::in_exporter(Exporter::new(registry), "preprocessor")?;
        let buckets = Buckets::new(TOKENIZE_BOUNDS).map_err(|source| RegisterError::Buckets {
            name: preprocessor::TOKENIZE_SECONDS.into(),
            source,
        })?;
        let tokenize = scope.metrics().histogram(
            (preprocessor::TOKENIZE_SECONDS, "Time to turn a prompt into tokens, in seconds."),
            &buckets,
        )?;
        let prompt_bytes = scope.metrics().counter((
            preprocessor::PROMPT_BYTES_TOTAL,
            "Bytes of prompts that were turned into tokens.",
        ))?;
        Ok(Self { tokenize, prompt_bytes })
    }

    /// Records a prompt of `prompt_bytes` bytes that became tokens in `elapsed`.
    pub fn tokenized(&self, prompt_bytes: u64, elapsed: Duration) {
        self.prompt_bytes.add(prompt_bytes);
        self.tokenize.observe(elapsed.as_secs_f64());
    }

    /// Returns the bytes of all prompts. For tests and displays: it reads every shard.
    pub fn prompt_bytes(&self) -> u64 {
        self.prompt_bytes.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DistributedRuntime, Snapshot};

    #[test]
    fn names_carry_the_noun_and_series_the_automatic_labels() {
        let runtime = DistributedRuntime::new().unwrap();
        let component = runtime.namespace("ns").unwrap().component("front").unwrap();
        let preprocessor = PreprocessorMetrics::new(component.metrics().registry()).unwrap();
        preprocessor.tokenized(1000, Duration::from_micros(100));
        assert_eq!(preprocessor.tokenize.get().counts[0], 1, "a bound belongs to its own bucket");
        let mut snapshot = Snapshot::new();
        snapshot.take(component.metrics().registry());
        let names: Vec<&str> = snapshot.families().map(|family| family.name()).collect();
        let expected =
            ["dynamo_preprocessor_prompt_bytes_total", "dynamo_preprocessor_tokenize_seconds"];
        assert_eq!(names, expected);
        let part = snapshot.families().next().unwrap().parts().next().unwrap();
        assert_eq!(part.descriptor().const_labels().count(), 2);
    }

    #[test]
    fn a_noun_is_made_a_name_or_refused() {
        let level = Metrics::new(Exporter::new(&Registry::new()), "dynamo_component".into());
        let scope = SpecializedScope::new(&level, "kv-indexer").unwrap();
        assert_eq!(scope.metrics().prefix(), "dynamo_kv_indexer");
        assert!(SpecializedScope::new(&level, "").is_err());
    }
}
