//! The roster of a fleet: its workers with their figures, and those that are leaving.

use crate::discovery::TargetGroup;
use crate::protocol::{Register, SILENCE_MAX, Stats};
use dynamo_metrics::KvStats;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// All workers, and those that have left and still answer.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pub(super) workers: HashMap<u64, Worker>,
    /// Workers that are no longer asked and may still answer. Only those with streams, which bounds them.
    pub(super) leaving: Vec<Leaving>,
    /// Number of workers that ever joined.
    pub(super) joined: u64,
}

/// A worker of the fleet, its last figures, and what was sent to it since.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) registration: Register,
    /// Its system port, as scrapers are told of it.
    pub(super) target: Option<Arc<TargetGroup>>,
    /// Its place in the order of joining.
    pub(super) joined: u64,
    pub(super) presence: watch::Sender<()>,
    pub(super) stats: Stats,
    /// Blocks of requests that were sent since the figures came.
    pub(super) estimated_blocks: u64,
    pub(super) last_sign: Instant,
}

/// A worker that is no longer asked and may finish what it has begun.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) instance_id: u64,
    pub(super) url: String,
    pub(super) presence: watch::Sender<()>,
    pub(super) until: Instant,
}

impl Roster {
    pub(super) fn serving(&self, model: &str) -> impl Iterator<Item = &Worker> {
        self.workers.values().filter(move |worker| worker.serves(model))
    }

    /// Lets the streams of a worker that is in the fleet no more go on for a while.
    pub(super) fn let_finish(&mut self, worker: Worker, at_most: Duration) {
        let Worker { registration: Register { instance_id, url, .. }, presence, .. } = worker;
        let leaving = Leaving { instance_id, url, presence, until: Instant::now() + at_most };
        if leaving.has_streams() {
            self.leaving.push(leaving);
        }
    }

    /// Takes the presence of a worker that was removed and has come back.
    pub(super) fn come_back(&mut self, instance_id: u64, url: &str) -> Option<watch::Sender<()>> {
        let is_it = |leaving: &Leaving| leaving.instance_id == instance_id && leaving.url == url;
        let at = self.leaving.iter().position(is_it)?;
        Some(self.leaving.swap_remove(at).presence)
    }
}

impl Leaving {
    pub(super) fn has_streams(&self) -> bool {
        self.presence.receiver_count() > 0
    }
}

impl Worker {
    pub(super) fn serves(&self, model: &str) -> bool {
        self.registration.models.iter().any(|name| name == model)
    }

    pub(super) fn is_silent(&self) -> bool {
        self.last_sign.elapsed() > SILENCE_MAX
    }

    /// Counts a request of so many tokens until the worker reports its figures. A client may ask for any number of tokens, so no
    /// sequence counts for more than the model's longest.
    pub(super) fn charge(&mut self, tokens: u64) {
        let Register { context_length, kv_cache_block_size, .. } = self.registration;
        let blocks = tokens.min(context_length) / kv_cache_block_size.max(1);
        self.estimated_blocks = self.estimated_blocks.saturating_add(blocks).saturating_add(1);
    }

    /// Saturates: the figures come over the network.
    pub(super) fn active_blocks(&self) -> u64 {
        self.stats.active_blocks.saturating_add(self.estimated_blocks)
    }

    /// Returns its figures plus the requests sent since, at most all its blocks: further requests wait.
    pub(super) fn estimate(&self) -> KvStats {
        let figures = KvStats::from(self.stats);
        let active_blocks = match figures.total_blocks {
            0 => self.active_blocks(),
            total => self.active_blocks().min(total),
        };
        let usage = active_blocks as f64 / figures.total_blocks.max(1) as f64;
        KvStats { active_blocks, gpu_cache_usage: usage, ..figures }
    }
}
