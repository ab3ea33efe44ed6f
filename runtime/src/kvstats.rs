//! KV cache statistics of a component: what a worker publishes after each pass of its model.
//!
//! The two shares are called percent and rate but run **from 0 to 1**, as their names in Dynamo's documentation
//! have always meant. Publishing is four stores; a scrape that comes in between may see old and new side by
//! side.
//!
//! **One page, one truth.** A router publishes the same gauges for its whole fleet. Where the page has a worker's own, a sum over the
//! name would count each block twice, so the router's are on pages without any worker only ([`KvPage`]).

use crate::error::MetricsError;
use crate::hierarchy::Component;
use crate::metrics::Metrics;
use crate::names::kvstats;
use dynamo_metrics_core::Gauge;
use parking_lot::Mutex;

/// The state of a worker's KV cache.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KvStats {
    /// Blocks in use.
    pub active_blocks: u64,
    /// Blocks that there are.
    pub total_blocks: u64,
    /// Used share of the cache, 0 to 1.
    pub gpu_cache_usage: f64,
    /// Share of prompt blocks that were found in the cache, 0 to 1.
    pub gpu_prefix_cache_hit_rate: f64,
}

impl KvStats {
    /// The same with each share cut to 0 to 1, and 0 for NaN.
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
    pub(crate) active_blocks: Gauge,
    pub(crate) total_blocks: Gauge,
    pub(crate) gpu_cache_usage: Gauge,
    pub(crate) gpu_prefix_cache_hit_rate: Gauge,
}

impl Component {
    /// The component's KV cache statistics, zero until published.
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

    /// The gauges of a whole fleet, for a router; `None` where the page has a worker's.
    pub(crate) fn fleet_kv_stats(&self) -> Result<Option<KvStatsMetrics>, MetricsError> {
        let mut page = self.runtime().kv_page().state.lock();
        if page.has_workers {
            return Ok(None);
        }
        let gauges = self.kv_gauges()?;
        page.fleets.push(self.metrics().clone());
        Ok(Some(gauges))
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

/// Chooses the KV cache statistics of a runtime's page: workers', or else fleets'.
#[derive(Debug, Default)]
pub(crate) struct KvPage {
    state: Mutex<KvPageState>,
}

#[derive(Debug, Default)]
struct KvPageState {
    has_workers: bool,
    /// Where routers have made the gauges of their fleets.
    fleets: Vec<Metrics>,
}

impl KvPage {
    /// A worker's statistics come: those of fleets go, whichever came first.
    fn add_worker(&self) {
        let mut state = self.state.lock();
        state.has_workers = true;
        for fleet in state.fleets.drain(..) {
            for name in [
                kvstats::ACTIVE_BLOCKS,
                kvstats::TOTAL_BLOCKS,
                kvstats::GPU_CACHE_USAGE_PERCENT,
                kvstats::GPU_PREFIX_CACHE_HIT_RATE,
            ] {
                fleet.registry().unregister(&format!("{}_{name}", fleet.prefix()));
            }
        }
    }
}

impl KvStatsMetrics {
    /// Shows these statistics from now on; shares are cut to 0 to 1.
    pub fn publish(&self, stats: &KvStats) {
        let stats = stats.clamped();
        self.active_blocks.set(stats.active_blocks as f64);
        self.total_blocks.set(stats.total_blocks as f64);
        self.gpu_cache_usage.set(stats.gpu_cache_usage);
        self.gpu_prefix_cache_hit_rate.set(stats.gpu_prefix_cache_hit_rate);
    }

    /// What is shown now.
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
