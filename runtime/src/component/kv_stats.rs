//! KV cache statistics of a component, which a worker publishes after each pass of its model.
//!
//! The names of the two shares have `percent` and `rate`, but their values run **from 0 to 1**, as in Dynamo. Publishing
//! is four stores; a scrape between them may see old and new values side by side.
//!
//! **One page has one source of them.** A router publishes the same gauges for its whole fleet. On a page with a worker's
//! own, a sum over the name would count each block twice, so the router's are only on pages without a worker
//! (`hierarchy/kv_page.rs`).

use crate::error::MetricsError;
use crate::hierarchy::Component;
use crate::names::kvstats;
use dynamo_metrics_core::Gauge;

/// The state of a worker's KV cache.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KvStats {
    /// Blocks in use.
    pub active_blocks: u64,
    /// All blocks.
    pub total_blocks: u64,
    /// Used share of the cache, 0 to 1.
    pub gpu_cache_usage: f64,
    /// Share of prompt blocks that were found in the cache, 0 to 1.
    pub gpu_prefix_cache_hit_rate: f64,
}

impl KvStats {
    /// Returns the statistics with each share limited to 0 to 1, and 0 for NaN.
    #[must_use]
    pub fn clamped(self) -> Self {
        let clamp = |share: f64| if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        Self {
            gpu_cache_usage: clamp(self.gpu_cache_usage),
            gpu_prefix_cache_hit_rate: clamp(self.gpu_prefix_cache_hit_rate),
            ..self
        }
    }
}

/// The `dynamo_component_kvstats_*` gauges of one component. Cheap to clone.
#[derive(Clone, Debug)]
pub struct KvStatsMetrics {
    pub(super) active_blocks: Gauge,
    pub(super) total_blocks: Gauge,
    pub(super) gpu_cache_usage: Gauge,
    pub(super) gpu_prefix_cache_hit_rate: Gauge,
}

impl Component {
    /// Returns the component's KV cache statistics, zero until published.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, KvStats};
    ///
    /// let worker = DistributedRuntime::new()?.namespace("default")?.component("backend")?;
    /// let stats = worker.kv_stats()?;
    /// stats.publish(&KvStats {
    ///     active_blocks: 512,
    ///     total_blocks: 1024,
    ///     gpu_cache_usage: 0.5,
    ///     gpu_prefix_cache_hit_rate: 0.25,
    /// });
    /// assert_eq!(stats.published().active_blocks, 512);
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// The operating system refuses address space for the cells.
    pub fn kv_stats(&self) -> Result<KvStatsMetrics, MetricsError> {
        self.runtime().kv_page().add_worker();
        self.kv_gauges()
    }

    /// Returns the gauges of a whole fleet, for a router; `None` where the page has a worker's.
    pub(super) fn fleet_kv_stats(&self) -> Result<Option<KvStatsMetrics>, MetricsError> {
        self.runtime().kv_page().add_fleet(self.metrics(), || self.kv_gauges())
    }

    fn kv_gauges(&self) -> Result<KvStatsMetrics, MetricsError> {
        let gauge = |name, help| self.metrics().gauge((name, help));
        Ok(KvStatsMetrics {
            active_blocks: gauge(kvstats::ACTIVE_BLOCKS, "KV cache blocks in use.")?,
            total_blocks: gauge(kvstats::TOTAL_BLOCKS, "KV cache blocks that there are.")?,
            gpu_cache_usage: gauge(
                kvstats::GPU_CACHE_USAGE_PERCENT,
                "Used share of the GPU's KV cache, from 0 to 1.",
            )?,
            gpu_prefix_cache_hit_rate: gauge(
                kvstats::GPU_PREFIX_CACHE_HIT_RATE,
                "Share of prompt blocks found in the GPU's prefix cache, from 0 to 1.",
            )?,
        })
    }
}

impl KvStatsMetrics {
    /// Sets the gauges to these statistics; shares are limited to 0 to 1.
    pub fn publish(&self, stats: &KvStats) {
        let stats = stats.clamped();
        self.active_blocks.set(stats.active_blocks as f64);
        self.total_blocks.set(stats.total_blocks as f64);
        self.gpu_cache_usage.set(stats.gpu_cache_usage);
        self.gpu_prefix_cache_hit_rate.set(stats.gpu_prefix_cache_hit_rate);
    }

    /// Returns the present values of the gauges.
    pub fn published(&self) -> KvStats {
        KvStats {
            active_blocks: self.active_blocks.get() as u64,
            total_blocks: self.total_blocks.get() as u64,
            gpu_cache_usage: self.gpu_cache_usage.get(),
            gpu_prefix_cache_hit_rate: self.gpu_prefix_cache_hit_rate.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DistributedRuntime, Snapshot};

    #[test]
    fn gauges_stand_at_component_level() {
        let runtime = DistributedRuntime::new().unwrap();
        let component = runtime.namespace("ns").unwrap().component("backend").unwrap();
        component.kv_stats().unwrap();
        let mut snapshot = Snapshot::new();
        snapshot.take(component.metrics().registry());
        let names: Vec<&str> = snapshot.families().map(|family| family.name()).collect();
        let expected = [
            "dynamo_component_kvstats_active_blocks",
            "dynamo_component_kvstats_gpu_cache_usage_percent",
            "dynamo_component_kvstats_gpu_prefix_cache_hit_rate",
            "dynamo_component_kvstats_total_blocks",
        ];
        assert_eq!(names, expected);
        for family in snapshot.families() {
            let part = family.parts().next().unwrap();
            let labels: Vec<&str> = part.descriptor().const_labels().map(|l| l.0).collect();
            assert_eq!(labels, ["dynamo_namespace", "dynamo_component"]);
        }
    }

    #[test]
    fn shares_stay_between_nothing_and_all() {
        for (given, shown) in [(0.5, 0.5), (-1.0, 0.0), (97.0, 1.0), (f64::NAN, 0.0)] {
            let stats = KvStats {
                gpu_cache_usage: given,
                gpu_prefix_cache_hit_rate: given,
                ..KvStats::default()
            };
            assert_eq!(stats.clamped().gpu_cache_usage, shown);
            assert_eq!(stats.clamped().gpu_prefix_cache_hit_rate, shown);
        }
    }
}
