//! The KV router's view: every worker's cache statistics, their aggregate, and the worker to take next.
//!
//! Each worker shows under its `worker_id`, and the aggregate under the names that workers themselves use, with the router's
//! component as label; but not on a page that has a worker's own, where a sum over the name would count blocks twice. Workers are kept sorted by load: picking one is O(1), publishing
//! O(log n). Shares are kept as integers, so that what a worker added to a sum is exactly what leaves with it,
//! however long the router runs.

use crate::error::MetricsError;
use crate::hierarchy::Component;
use crate::kvstats::{KvStats, KvStatsMetrics};
use crate::metrics::MetricOpts;
use crate::names::{kvrouter, labels};
use dynamo_metrics_core::{Family, Gauge};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};

/// Workers that one router takes. Each is four series and an entry; a fleet of this size has several routers.
pub const WORKERS_MAX: usize = 10_000;
/// Parts that a share from 0 to 1 is kept in. 2^30 parts are finer than any worker's block count.
const PARTS: f64 = (1 << 30) as f64;

/// Statistics of all workers that a router knows, and the choice between them.
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
    /// `None` where the page has workers' own statistics, which these are the sum of.
    fleet: Option<KvStatsMetrics>,
    active_blocks: Family<Gauge, 1>,
    total_blocks: Family<Gauge, 1>,
    gpu_cache_usage: Family<Gauge, 1>,
    gpu_prefix_cache_hit_rate: Family<Gauge, 1>,
}

#[derive(Debug, Default)]
struct Workers {
    known: HashMap<u64, Worker>,
    /// Used parts, active blocks, worker: the least comes first.
    by_load: BTreeSet<(u64, u64, u64)>,
    sums: Sums,
}

#[derive(Debug)]
struct Worker {
    load: Load,
    metrics: KvStatsMetrics,
}

/// One worker's statistics in integers.
#[derive(Clone, Copy, Debug)]
struct Load {
    active: u64,
    total: u64,
    used_parts: u64,
    hit_parts: u64,
}

/// Sums over all workers. `u128`, which cannot overflow from [`WORKERS_MAX`] products of a `u64` and 2^30.
#[derive(Debug, Default)]
struct Sums {
    active: u128,
    total: u128,
    /// Used parts times the worker's blocks.
    used_blocks: u128,
    used_parts: u128,
    hit_parts: u128,
}

impl KvRouter {
    /// A router that knows no worker yet, whose metrics are made at `component`.
    ///
    /// # Errors
    /// The operating system refuses address space for the cells.
    pub fn new(component: &Component) -> Result<Self, MetricsError> {
        let family = |name, help| {
            let opts = MetricOpts::new(name, help).series_max(WORKERS_MAX);
            component.metrics().gauge_family(opts, [labels::WORKER_ID])
        };
        Ok(Self {
            workers: Mutex::new(Workers::default()),
            fleet: component.fleet_kv_stats()?,
            active_blocks: family(
                kvrouter::WORKER_ACTIVE_BLOCKS,
                "KV cache blocks in use, by the worker that the router heard it from.",
            )?,
            total_blocks: family(
                kvrouter::WORKER_TOTAL_BLOCKS,
                "KV cache blocks that there are, by the worker that the router heard it from.",
            )?,
            gpu_cache_usage: family(
                kvrouter::WORKER_GPU_CACHE_USAGE_PERCENT,
                "Used share of a worker's KV cache, from 0 to 1.",
            )?,
            gpu_prefix_cache_hit_rate: family(
                kvrouter::WORKER_GPU_PREFIX_CACHE_HIT_RATE,
                "Share of prompt blocks found in a worker's prefix cache, from 0 to 1.",
            )?,
        })
    }

    /// A worker published its statistics. Says whether the router took them: a new worker beyond
    /// [`WORKERS_MAX`] is not taken, and never picked.
    pub fn publish(&self, worker_id: u64, stats: &KvStats) -> bool {
        let stats = stats.clamped();
        let load = Load::new(&stats);
        let mut workers = self.workers.lock();
        if let Some(known) = workers.known.get_mut(&worker_id) {
            let before = std::mem::replace(&mut known.load, load);
            known.metrics.publish(&stats);
            workers.leave(worker_id, before);
        } else if workers.known.len() < WORKERS_MAX {
            let metrics = self.metrics_of(worker_id);
            metrics.publish(&stats);
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

    /// The worker left: its series go, and it is no longer picked. Says whether it was known.
    pub fn remove(&self, worker_id: u64) -> bool {
        let mut workers = self.workers.lock();
        let Some(worker) = workers.known.remove(&worker_id) else { return false };
        workers.leave(worker_id, worker.load);
        self.publish_fleet(&workers);
        let id = worker_id.to_string();
        for family in self.families() {
            family.remove([&id]);
        }
        true
    }

    /// The worker to take next: the one with the least used share, of those with the fewest active blocks, of
    /// those with the lowest number. `None` while no worker is known.
    pub fn pick(&self) -> Option<u64> {
        self.workers.lock().by_load.first().map(|&(_, _, worker_id)| worker_id)
    }

    /// Blocks of all workers together, their used share, and the mean of their hit rates.
    pub fn aggregate(&self) -> KvStats {
        self.workers.lock().aggregate()
    }

    /// How many workers are known.
    pub fn workers(&self) -> usize {
        self.workers.lock().known.len()
    }

    fn metrics_of(&self, worker_id: u64) -> KvStatsMetrics {
        let id = worker_id.to_string();
        let [active_blocks, total_blocks, gpu_cache_usage, gpu_prefix_cache_hit_rate] =
            self.families().map(|family| family.with([&id]));
        KvStatsMetrics { active_blocks, total_blocks, gpu_cache_usage, gpu_prefix_cache_hit_rate }
    }

    fn families(&self) -> [&Family<Gauge, 1>; 4] {
        [
            &self.active_blocks,
            &self.total_blocks,
            &self.gpu_cache_usage,
            &self.gpu_prefix_cache_hit_rate,
        ]
    }
}

impl Workers {
    fn enter(&mut self, worker_id: u64, load: Load) {
        self.by_load.insert((load.used_parts, load.active, worker_id));
        self.sums.active += u128::from(load.active);
        self.sums.total += u128::from(load.total);
        self.sums.used_blocks += load.used_blocks();
        self.sums.used_parts += u128::from(load.used_parts);
        self.sums.hit_parts += u128::from(load.hit_parts);
    }

    fn leave(&mut self, worker_id: u64, load: Load) {
        self.by_load.remove(&(load.used_parts, load.active, worker_id));
        self.sums.active -= u128::from(load.active);
        self.sums.total -= u128::from(load.total);
        self.sums.used_blocks -= load.used_blocks();
        self.sums.used_parts -= u128::from(load.used_parts);
        self.sums.hit_parts -= u128::from(load.hit_parts);
    }

    fn aggregate(&self) -> KvStats {
        let sums = &self.sums;
        let share = |parts: u128, of: u128| match of {
            0 => 0.0,
            of => parts as f64 / (PARTS * of as f64),
        };
        let workers = self.by_load.len() as u128;
        // A share of all blocks: a large worker's cache counts for more than a small one's. The mean over
        // workers where none says how many blocks it has.
        let gpu_cache_usage = match sums.total {
            0 => share(sums.used_parts, workers),
            total => share(sums.used_blocks, total),
        };
        KvStats {
            active_blocks: u64::try_from(sums.active).unwrap_or(u64::MAX),
            total_blocks: u64::try_from(sums.total).unwrap_or(u64::MAX),
            gpu_cache_usage,
            gpu_prefix_cache_hit_rate: share(sums.hit_parts, workers),
        }
    }
}

impl Load {
    /// Of statistics whose shares lie between 0 and 1.
    fn new(stats: &KvStats) -> Self {
        let parts = |share: f64| (share * PARTS).round() as u64;
        Self {
            active: stats.active_blocks,
            total: stats.total_blocks,
            used_parts: parts(stats.gpu_cache_usage),
            hit_parts: parts(stats.gpu_prefix_cache_hit_rate),
        }
    }

    fn used_blocks(self) -> u128 {
        u128::from(self.used_parts) * u128::from(self.total)
    }
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
