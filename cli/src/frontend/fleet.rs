//! The workers that a frontend knows: who serves which model, and who takes the next request.
//!
//! The router spreads by the workers' own figures. Those come a few times a second, so between two of them a
//! dispatch adds its own estimate to the worker's, or a burst would go to one worker.

use crate::protocol::{Register, SILENCE_MAX, Stats};
use dynamo_metrics::{
    Component, FrontendHealth, FrontendMetrics, Instance, KvRouter, KvStats, MetricsError,
    ModelCard, Registration, RuntimeConfig, Transport,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// All workers of a frontend.
#[derive(Debug)]
pub(crate) struct Fleet {
    workers: Mutex<HashMap<u64, Worker>>,
    metrics: FrontendMetrics,
    health: Arc<FrontendHealth>,
    /// Kept for its statistics of the whole fleet.
    router: KvRouter,
}

#[derive(Debug)]
struct Worker {
    registration: Register,
    stats: Stats,
    /// Blocks of requests that were sent since the figures came.
    estimated_blocks: u64,
    last_sign: Instant,
}

/// A worker to send a request to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) instance_id: u64,
    pub(crate) url: String,
    pub(crate) migration_limit: u64,
}

impl Fleet {
    /// A fleet without workers; its figures appear at `component`.
    pub(crate) fn new(
        component: &Component,
        metrics: FrontendMetrics,
        health: Arc<FrontendHealth>,
    ) -> Result<Self, MetricsError> {
        let router = KvRouter::new(component)?;
        Ok(Self { workers: Mutex::default(), metrics, health, router })
    }

    /// A worker joins, or renews its registration. Says why when it is not taken.
    pub(crate) fn join(&self, registration: Register) -> Result<(), &'static str> {
        let id = registration.instance_id;
        let mut workers = self.lock();
        if let Some(before) = workers.remove(&id) {
            self.forget(&before);
        }
        if !self.router.publish(id, &registration.stats.into()) {
            return Err("the frontend knows as many workers as it can hold");
        }
        let card = ModelCard {
            context_length: registration.context_length,
            kv_cache_block_size: registration.kv_cache_block_size,
            migration_limit: registration.migration_limit,
        };
        let config = RuntimeConfig {
            total_kv_blocks: registration.total_kv_blocks,
            max_num_seqs: registration.max_num_seqs,
            max_num_batched_tokens: registration.max_num_batched_tokens,
        };
        for model in &registration.models {
            if self.metrics.models().add(model, id, &card, &config) == Registration::BeyondLimit {
                tracing::warn!(%model, "not served: the frontend knows as many models as it can hold");
            }
        }
        self.health.add(Instance {
            namespace: registration.namespace.clone(),
            component: registration.component.clone(),
            endpoint: registration.endpoint.clone(),
            instance_id: id,
            transport: Transport::Http(registration.url.clone()),
        });
        let stats = registration.stats;
        let worker = Worker { registration, stats, estimated_blocks: 0, last_sign: Instant::now() };
        workers.insert(id, worker);
        Ok(())
    }

    /// A worker told its figures; false when it is not known and must register.
    pub(crate) fn heard(&self, id: u64, stats: Stats) -> bool {
        let mut workers = self.lock();
        let Some(worker) = workers.get_mut(&id) else { return false };
        worker.stats = stats;
        worker.estimated_blocks = 0;
        worker.last_sign = Instant::now();
        self.router.publish(id, &stats.into());
        true
    }

    /// A worker left, or turned out to be gone.
    pub(crate) fn leave(&self, id: u64) -> bool {
        match self.lock().remove(&id) {
            Some(worker) => {
                self.forget(&worker);
                true
            }
            None => false,
        }
    }

    /// Forgets workers that gave no sign of life.
    pub(crate) fn sweep(&self) {
        let mut workers = self.lock();
        let silent: Vec<u64> = workers
            .iter()
            .filter(|(_, worker)| worker.last_sign.elapsed() > SILENCE_MAX)
            .map(|(&id, _)| id)
            .collect();
        for worker in silent.iter().filter_map(|id| workers.remove(id)) {
            tracing::warn!(worker = worker.registration.instance_id, "silent, taken for dead");
            self.forget(&worker);
        }
    }

    /// The worker of `model` with the least load, which is charged with the request.
    pub(crate) fn pick(&self, model: &str, tokens: u64) -> Option<Target> {
        let mut workers = self.lock();
        let serves = |id: u64| {
            workers.get(&id).is_some_and(|w| w.registration.models.iter().any(|name| name == model))
        };
        // Nearly always the router's first choice serves the model; else the least loaded one that does.
        let id = self.router.pick().filter(|&id| serves(id)).or_else(|| {
            let able = workers.iter().filter(|&(&id, _)| serves(id));
            able.min_by_key(|&(&id, worker)| (worker.active_blocks(), id)).map(|(&id, _)| id)
        })?;
        let worker = workers.get_mut(&id)?;
        let blocks = tokens / worker.registration.kv_cache_block_size.max(1);
        worker.estimated_blocks = worker.estimated_blocks.saturating_add(blocks).saturating_add(1);
        self.router.publish(id, &worker.estimate());
        Some(Target {
            instance_id: id,
            url: worker.registration.url.clone(),
            migration_limit: worker.registration.migration_limit,
        })
    }

    /// Tokens of a KV block of `model`, by the first worker that serves it.
    pub(crate) fn block_size(&self, model: &str) -> Option<u64> {
        let workers = self.lock();
        let mut registrations = workers.values().map(|worker| &worker.registration);
        let serving = registrations.find(|worker| worker.models.iter().any(|name| name == model));
        serving.map(|worker| worker.kv_cache_block_size)
    }

    /// Names of the models that are served.
    pub(crate) fn models(&self) -> Vec<String> {
        self.metrics.models().served()
    }

    fn forget(&self, worker: &Worker) {
        let id = worker.registration.instance_id;
        for model in &worker.registration.models {
            self.metrics.models().remove(model, id);
        }
        self.health.remove(id);
        self.router.remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Worker>> {
        // The map is whole between any two statements, so a panic elsewhere does not spoil it.
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Worker {
    /// Saturates: the figures come over the network.
    fn active_blocks(&self) -> u64 {
        self.stats.active_blocks.saturating_add(self.estimated_blocks)
    }

    /// Its figures with what was sent since.
    fn estimate(&self) -> KvStats {
        let usage = self.active_blocks() as f64 / self.stats.total_blocks.max(1) as f64;
        let figures = KvStats::from(self.stats);
        KvStats { active_blocks: self.active_blocks(), gpu_cache_usage: usage, ..figures }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics::{DistributedRuntime, FrontendConfig};

    #[test]
    fn figures_at_the_end_of_their_range_overflow_nothing() {
        let runtime = DistributedRuntime::new().unwrap();
        let component = runtime.namespace("ns").unwrap().component("router").unwrap();
        let metrics = FrontendMetrics::new(runtime.registry(), FrontendConfig::default()).unwrap();
        let fleet = Fleet::new(&component, metrics, Arc::default()).unwrap();
        let largest = Stats { active_blocks: u64::MAX, total_blocks: u64::MAX, ..Stats::default() };
        let registration = Register {
            instance_id: 7,
            url: "http://127.0.0.1:1".into(),
            namespace: "ns".into(),
            component: "backend".into(),
            endpoint: "generate".into(),
            models: vec!["m".into()],
            context_length: u64::MAX,
            kv_cache_block_size: 0,
            migration_limit: u64::MAX,
            total_kv_blocks: Some(u64::MAX),
            max_num_seqs: Some(u64::MAX),
            max_num_batched_tokens: Some(u64::MAX),
            stats: largest,
        };
        fleet.join(registration).unwrap();
        for _ in 0..3 {
            assert_eq!(fleet.pick("m", u64::MAX).map(|target| target.instance_id), Some(7));
        }
        assert!(fleet.heard(7, largest));
        assert!(fleet.pick("m", 1).is_some());
    }
}
