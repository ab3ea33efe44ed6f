//! The workers of a router, sorted by load, and the sums of their statistics.
//!
//! The first of them is the one to take next, in O(1); a worker's change is O(log n). Shares are kept as integers, so that a
//! worker's removal subtracts exactly the amount that it added, however long the router runs.

use super::kv_stats::{KvStats, KvStatsMetrics};
use std::collections::{BTreeSet, HashMap};

/// Number of parts that a share from 0 to 1 is divided into. 2^30 parts are finer than any worker's number of blocks.
const PARTS: f64 = (1 << 30) as f64;

#[derive(Debug, Default)]
pub(super) struct Workers {
    pub(super) known: HashMap<u64, Worker>,
    /// Used parts, active blocks and number of each worker, the least first.
    by_load: BTreeSet<(u64, u64, u64)>,
    sums: Sums,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) load: Load,
    pub(super) metrics: Option<KvStatsMetrics>,
}

/// One worker's statistics in integers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    active: u64,
    total: u64,
    used_parts: u64,
    hit_parts: u64,
}

/// Sums over all workers. `u128`, which cannot overflow from [`WORKERS_MAX`](super::WORKERS_MAX) products of a `u64` and 2^30.
#[derive(Debug, Default)]
struct Sums {
    active: u128,
    total: u128,
    /// Used parts times the worker's blocks.
    used_blocks: u128,
    used_parts: u128,
    hit_parts: u128,
}

impl Workers {
    /// Adds a worker's load.
    pub(super) fn enter(&mut self, worker_id: u64, load: Load) {
        self.by_load.insert((load.used_parts, load.active, worker_id));
        self.sums.active += u128::from(load.active);
        self.sums.total += u128::from(load.total);
        self.sums.used_blocks += load.used_blocks();
        self.sums.used_parts += u128::from(load.used_parts);
        self.sums.hit_parts += u128::from(load.hit_parts);
    }

    /// Removes the load that a worker entered with.
    pub(super) fn leave(&mut self, worker_id: u64, load: Load) {
        self.by_load.remove(&(load.used_parts, load.active, worker_id));
        self.sums.active -= u128::from(load.active);
        self.sums.total -= u128::from(load.total);
        self.sums.used_blocks -= load.used_blocks();
        self.sums.used_parts -= u128::from(load.used_parts);
        self.sums.hit_parts -= u128::from(load.hit_parts);
    }

    /// Returns the worker with the least load.
    pub(super) fn first(&self) -> Option<u64> {
        self.by_load.first().map(|&(_, _, worker_id)| worker_id)
    }

    /// Returns the sums over all workers, and the mean of their shares.
    pub(super) fn aggregate(&self) -> KvStats {
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
    /// Returns the load of statistics whose shares lie between 0 and 1.
    pub(super) fn new(stats: &KvStats) -> Self {
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
