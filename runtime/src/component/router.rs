//! The KV router's statistics: those of every worker, their aggregate, and the worker to take next.
//!
//! Each worker's gauges have its `worker_id`; the aggregate has the names of workers' own gauges and the router's component
//! as label, but is not on a page with a worker's own, where a sum over the name would count blocks twice.

use super::kv_stats::{KvStats, KvStatsMetrics};
use super::workers::{Load, Worker, Workers};
use crate::error::MetricsError;
use crate::hierarchy::Component;
use crate::names::{kvrouter, labels};
use dynamo_metrics_core::{Family, Gauge, Opts};
use parking_lot::Mutex;

/// Largest number of workers of one router; [`publish`](KvRouter::publish) refuses one more. Each is four series and an entry;
/// a fleet of this size has several routers.
pub const WORKERS_MAX: usize = 10_000;

/// The statistics of all workers of a router, and the choice between them.
///
/// ```
/// use dynamo_metrics::{DistributedRuntime, KvRouter, KvStats};
///
/// let component = DistributedRuntime::new()?.namespace("default")?.component("router")?;
/// let router = KvRouter::new(&component)?;
/// let stats = |active_blocks| KvStats {
///     active_blocks,
///     total_blocks: 100,
///     gpu_cache_usage: active_blocks as f64 / 100.0,
///     gpu_prefix_cache_hit_rate: 0.5,
/// };
/// router.publish(7, &stats(40));
/// router.publish(9, &stats(20));
/// assert_eq!(router.pick(), Some(9));
/// assert_eq!(router.aggregate().active_blocks, 60);
/// router.remove(9);
/// assert_eq!(router.pick(), Some(7));
/// # Ok::<(), dynamo_metrics::MetricsError>(())
/// ```
#[derive(Debug)]
pub struct KvRouter {
    workers: Mutex<Workers>,
    /// The sum over all workers; `None` where the page has workers' own statistics.
    fleet: Option<KvStatsMetrics>,
    /// The series of each worker; `None` where only the sum is published.
    each: Option<[Family<Gauge, 1>; 4]>,
}

impl KvRouter {
    /// Creates a router without workers, whose metrics are those of `component`.
    ///
    /// # Errors
    /// The operating system refuses address space for the cells.
    pub fn new(component: &Component) -> Result<Self, MetricsError> {
        Ok(Self {
            each: Some(worker_families(component)?),
            ..Self::without_worker_series(component)?
        })
    }

    /// Creates a router that publishes the sum over its workers and no series of each: its number of series does not depend
    /// on the number of workers, which publish their own statistics on their own pages.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, KvRouter, KvStats, names::kvrouter};
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// let router = runtime.namespace("default")?.component("router")?;
    /// let router = KvRouter::without_worker_series(&router)?;
    /// router.publish(7, &KvStats { active_blocks: 40, total_blocks: 100, ..KvStats::default() });
    /// assert_eq!((router.pick(), router.aggregate().active_blocks), (Some(7), 40));
    /// assert!(!runtime.registry().occupies("dynamo_component_router_worker_active_blocks"));
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// See [`new`](Self::new).
    pub fn without_worker_series(component: &Component) -> Result<Self, MetricsError> {
        Ok(Self { workers: Mutex::default(), fleet: component.fleet_kv_stats()?, each: None })
    }

    /// Sets the statistics of a worker; returns whether the router takes the worker: a new one beyond [`WORKERS_MAX`] is
    /// refused, and never picked.
    pub fn publish(&self, worker_id: u64, stats: &KvStats) -> bool {
        let stats = stats.clamped();
        let load = Load::new(&stats);
        let mut workers = self.workers.lock();
        if let Some(known) = workers.known.get_mut(&worker_id) {
            let before = std::mem::replace(&mut known.load, load);
            if let Some(metrics) = &known.metrics {
                metrics.publish(&stats);
            }
            workers.leave(worker_id, before);
        } else if workers.known.len() < WORKERS_MAX {
            let metrics = self.metrics_of(worker_id);
            if let Some(metrics) = &metrics {
                metrics.publish(&stats);
            }
            workers.known.insert(worker_id, Worker { load, metrics });
        } else {
            return false;
        }
        workers.enter(worker_id, load);
        self.publish_fleet(&workers);
        true
    }

    fn publish_fleet(&self, workers: &Workers) {
        if let Some(fleet) = &self.fleet {
            fleet.publish(&workers.aggregate());
        }
    }

    /// Removes a worker and its series; returns whether the router knew it.
    pub fn remove(&self, worker_id: u64) -> bool {
        let mut workers = self.workers.lock();
        let Some(worker) = workers.known.remove(&worker_id) else { return false };
        workers.leave(worker_id, worker.load);
        self.publish_fleet(&workers);
        let id = worker_id.to_string();
        for family in self.each.iter().flatten() {
            family.remove([&id]);
        }
        true
    }

    /// Returns the worker to take next: of those with the least used share those with the fewest active blocks, and of
    /// these the one with the lowest number. `None` while no worker is known.
    pub fn pick(&self) -> Option<u64> {
        self.workers.lock().first()
    }

    /// Returns the blocks of all workers together, their used share, and the mean of their hit rates.
    pub fn aggregate(&self) -> KvStats {
        self.workers.lock().aggregate()
    }

    /// Returns the number of workers.
    pub fn workers(&self) -> usize {
        self.workers.lock().known.len()
    }

    fn metrics_of(&self, worker_id: u64) -> Option<KvStatsMetrics> {
        let id = worker_id.to_string();
        let families = self.each.as_ref()?;
        let [active_blocks, total_blocks, gpu_cache_usage, gpu_prefix_cache_hit_rate] =
            families.each_ref().map(|family| family.with([&id]));
        Some(KvStatsMetrics {
            active_blocks,
            total_blocks,
            gpu_cache_usage,
            gpu_prefix_cache_hit_rate,
        })
    }
}

/// Returns the families of each worker's active blocks, all blocks, used share and hit rate.
fn worker_families(component: &Component) -> Result<[Family<Gauge, 1>; 4], MetricsError> {
    let family = |name, help| {
        let opts = Opts::new(name, help).series_max(WORKERS_MAX);
        component.metrics().gauge_family(opts, [labels::WORKER_ID])
    };
    Ok([
        family(
            kvrouter::WORKER_ACTIVE_BLOCKS,
            "KV cache blocks in use, by the worker that the router heard it from.",
        )?,
        family(
            kvrouter::WORKER_TOTAL_BLOCKS,
            "KV cache blocks that there are, by the worker that the router heard it from.",
        )?,
        family(
            kvrouter::WORKER_GPU_CACHE_USAGE_PERCENT,
            "Used share of a worker's KV cache, from 0 to 1.",
        )?,
        family(
            kvrouter::WORKER_GPU_PREFIX_CACHE_HIT_RATE,
            "Share of prompt blocks found in a worker's prefix cache, from 0 to 1.",
        )?,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DistributedRuntime, Snapshot, Value};

    fn router() -> (Component, KvRouter) {
        let runtime = DistributedRuntime::new().unwrap();
        let component = runtime.namespace("ns").unwrap().component("router").unwrap();
        let router = KvRouter::new(&component).unwrap();
        (component, router)
    }

    fn stats(active_blocks: u64, total_blocks: u64, usage: f64, hits: f64) -> KvStats {
        let (gpu_cache_usage, gpu_prefix_cache_hit_rate) = (usage, hits);
        KvStats { active_blocks, total_blocks, gpu_cache_usage, gpu_prefix_cache_hit_rate }
    }

    /// Lines of the families that have series: name, worker_id, value.
    fn shown(component: &Component) -> Vec<(String, String, f64)> {
        let mut snapshot = Snapshot::new();
        snapshot.take(component.metrics().registry());
        let mut shown = Vec::new();
        for family in snapshot.families() {
            for part in family.parts() {
                for series in (0..part.len()).filter_map(|at| part.series(at)) {
                    let Value::Float(value) = series.value() else { panic!("a gauge") };
                    let worker = series.label_values().next().unwrap_or_default().to_string();
                    let name = family.name().trim_start_matches("dynamo_component_").to_string();
                    shown.push((name, worker, value));
                }
            }
        }
        shown
    }

    #[test]
    fn a_page_has_the_parts_or_their_sum() {
        let blocks = |runtime: &DistributedRuntime| {
            let mut snapshot = Snapshot::new();
            snapshot.take(runtime.registry());
            let mut sum = 0.0;
            for family in snapshot.families() {
                if family.name() != "dynamo_component_kvstats_total_blocks" {
                    continue;
                }
                for series in family.parts().filter_map(|part| part.series(0)) {
                    let Value::Float(value) = series.value() else { panic!("a gauge") };
                    sum += value;
                }
            }
            sum
        };
        let stats = KvStats { total_blocks: 100, ..KvStats::default() };
        for router_comes_first in [true, false] {
            let runtime = DistributedRuntime::new().unwrap();
            let namespace = runtime.namespace("ns").unwrap();
            let [router, backend] =
                ["router", "backend"].map(|name| namespace.component(name).unwrap());
            let early = router_comes_first.then(|| KvRouter::new(&router).unwrap());
            if let Some(router) = &early {
                router.publish(1, &stats);
                assert_eq!(blocks(&runtime), 100.0, "the fleet's, on a page without workers");
            }
            backend.kv_stats().unwrap().publish(&stats);
            let router = early.unwrap_or_else(|| KvRouter::new(&router).unwrap());
            router.publish(1, &stats);
            assert_eq!(blocks(&runtime), 100.0, "the worker's");
            assert_eq!(router.aggregate().total_blocks, 100);
            router.remove(1);
            assert_eq!(blocks(&runtime), 100.0);
        }
    }

    #[test]
    fn workers_show_each_and_together_and_leave_nothing_behind() {
        let (component, router) = router();
        router.publish(1, &stats(10, 100, 0.1, 0.5));
        router.publish(2, &stats(30, 300, 0.5, 1.0));
        router.publish(2, &stats(90, 300, 0.3, 1.0));
        let lines = shown(&component);
        let value = |name: &str, worker: &str| {
            lines.iter().find(|line| line.0 == name && line.1 == worker).map(|line| line.2)
        };
        assert_eq!(value("kvstats_active_blocks", ""), Some(100.0));
        assert_eq!(value("kvstats_total_blocks", ""), Some(400.0));
        let usage = value("kvstats_gpu_cache_usage_percent", "").unwrap();
        assert!((usage - 0.25).abs() < 1e-8, "{usage}: 10 and 90 of 400 blocks");
        assert_eq!(value("kvstats_gpu_prefix_cache_hit_rate", ""), Some(0.75));
        assert_eq!(value("router_worker_active_blocks", "2"), Some(90.0));
        assert_eq!(value("router_worker_total_blocks", "1"), Some(100.0));
        assert_eq!(value("router_worker_gpu_cache_usage_percent", "2"), Some(0.3));
        assert_eq!(value("router_worker_gpu_prefix_cache_hit_rate", "1"), Some(0.5));

        assert!(router.remove(1) && router.remove(2) && !router.remove(2));
        let left = shown(&component);
        assert_eq!(left.len(), 4, "only the aggregate: {left:?}");
        assert!(left.iter().all(|line| line.2 == 0.0), "sums are exact: {left:?}");
        assert_eq!(router.pick(), None);
    }

    #[test]
    fn the_pick_is_by_usage_then_blocks_then_number() {
        let (_component, router) = router();
        router.publish(5, &stats(9, 100, 0.2, 0.0));
        router.publish(4, &stats(8, 100, 0.2, 0.0));
        router.publish(3, &stats(8, 100, 0.2, 0.0));
        router.publish(2, &stats(1, 100, 0.3, 0.0));
        assert_eq!(router.pick(), Some(3));
        router.publish(3, &stats(50, 100, 0.5, 0.0));
        assert_eq!(router.pick(), Some(4));
        router.remove(4);
        assert_eq!(router.pick(), Some(5));
        assert_eq!(router.workers(), 3);
    }

    #[test]
    fn extreme_statistics_do_not_overflow() {
        let (_component, router) = router();
        for worker in 0..3 {
            router.publish(worker, &stats(u64::MAX, u64::MAX, f64::INFINITY, f64::NAN));
        }
        let aggregate = router.aggregate();
        assert_eq!(aggregate.total_blocks, u64::MAX);
        assert_eq!((aggregate.gpu_cache_usage, aggregate.gpu_prefix_cache_hit_rate), (1.0, 0.0));
        router.publish(9, &stats(0, 0, 0.5, 0.5));
        (0..3).for_each(|worker| assert!(router.remove(worker)));
        assert_eq!(router.aggregate().gpu_cache_usage, 0.5, "no blocks known: the mean");
    }
}
