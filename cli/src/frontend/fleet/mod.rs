//! The workers that a frontend knows: who serves which model, and who takes the next request.
//!
//! The router spreads by the workers' own figures. Those come a few times a second, so between two of them a
//! dispatch adds its own estimate to the worker's, or a burst would go to one worker.
//!
//! **One lock decides who serves what.** A request begins under it, so what it is counted as and who can take it
//! agree, however workers come and go.
//!
//! Each worker has a *presence*, a channel that nothing is ever sent on: streams hold its receivers, and learn from
//! its end that the worker is not worth waiting for. It outlives the worker's place in the fleet where the worker
//! may still finish what it began.

mod roster;

use crate::protocol::{DRAIN_MAX, Register, SILENCE_MAX, Stats};
use dynamo_metrics::{
    Component, FrontendHealth, FrontendMetrics, HttpEndpoint, Instance, KvRouter, MODELS_MAX,
    MetricsError, ModelCard, Registration, Request, RequestType, RuntimeConfig, Timestamp,
    Transport,
};
use roster::{Roster, Worker};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::watch;

/// All workers of a frontend.
#[derive(Debug)]
pub(crate) struct Fleet {
    roster: Mutex<Roster>,
    metrics: FrontendMetrics,
    health: Arc<FrontendHealth>,
    /// Kept for its statistics of the whole fleet.
    router: KvRouter,
}

/// The limits that a request to a model meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModelLimits {
    /// Tokens of a KV block.
    pub(crate) block_size: u64,
    /// Tokens of a prompt and its answer.
    pub(crate) context_length: u64,
}

/// Why no worker takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotServed {
    /// No worker ever served the model.
    Unknown,
    /// All workers of the model have left.
    Down,
}

/// A worker to send a request to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) instance_id: u64,
    pub(crate) url: String,
    pub(crate) migration_limit: u64,
    pub(crate) block_size: u64,
    presence: watch::Receiver<()>,
}

impl Target {
    /// Returns when the worker is not worth waiting for any more: it gave no sign of life, or had its time to
    /// finish.
    pub(crate) async fn gone(&mut self) {
        // Nothing is ever sent, so this waits for the sender's end.
        while self.presence.changed().await.is_ok() {}
    }
}

impl Fleet {
    /// A fleet without workers; its figures appear at `component`.
    pub(crate) fn new(
        component: &Component,
        metrics: FrontendMetrics,
        health: Arc<FrontendHealth>,
    ) -> Result<Self, MetricsError> {
        let router = KvRouter::new(component)?;
        Ok(Self { roster: Mutex::default(), metrics, health, router })
    }

    /// A request enters its handler, and the limits of its model, by the first worker that joined with it; or why no
    /// worker serves the model.
    pub(crate) fn begin(
        &self,
        endpoint: HttpEndpoint,
        request_type: RequestType,
        model: &str,
        now: Timestamp,
    ) -> (Request, Result<ModelLimits, NotServed>) {
        let roster = self.lock();
        let first = roster.serving(model).min_by_key(|worker| worker.joined);
        let limits = match first {
            Some(worker) => Ok(ModelLimits {
                block_size: worker.registration.kv_cache_block_size,
                context_length: worker.registration.context_length,
            }),
            None if self.metrics.models().has_lost_its_workers(model) => Err(NotServed::Down),
            None => Err(NotServed::Unknown),
        };
        (self.metrics.begin(endpoint, request_type, model, now), limits)
    }

    /// A worker joins, or renews its registration. Says why when it is not taken.
    pub(crate) fn join(&self, mut registration: Register) -> Result<(), &'static str> {
        let id = registration.instance_id;
        if registration.models.len() > MODELS_MAX {
            return Err("a worker serves more models than the frontend can hold");
        }
        if registration.models.iter().any(String::is_empty) {
            return Err("a model has no name");
        }
        let mut roster = self.lock();
        // Both would be taken for one, and each one's sign of life for the other's.
        if roster
            .workers
            .get(&id)
            .is_some_and(|other| other.registration.url != registration.url && !other.is_silent())
        {
            return Err("another worker has this number; give it another --instance-id");
        }
        if !self.router.publish(id, &registration.stats.into()) {
            return Err("the frontend knows as many workers as it can hold");
        }
        let before = roster.workers.remove(&id);
        if let Some(before) = &before {
            for model in before.registration.models.iter() {
                if !registration.models.contains(model) {
                    self.metrics.models().remove(model, id);
                }
            }
            if place(&before.registration) != place(&registration) {
                self.health.remove(id);
            }
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
        registration.models.retain(|model| {
            let taken = self.metrics.models().add(model, id, &card, &config);
            match taken {
                Registration::BeyondLimit => {
                    tracing::warn!(%model, "not served: the frontend knows as many models as it can hold");
                    false
                }
                Registration::NameTooLong => {
                    tracing::warn!(bytes = model.len(), "not served: the model's name is too long");
                    false
                }
                _ => true,
            }
        });
        self.health.add(Instance {
            namespace: registration.namespace.clone(),
            component: registration.component.clone(),
            endpoint: registration.endpoint.clone(),
            instance_id: id,
            transport: Transport::Http(registration.url.clone()),
        });
        let (joined, presence) = match before {
            Some(before) if before.registration.url == registration.url => {
                (before.joined, before.presence)
            }
            // Another process under the number; what the former one was working on moves.
            _ => {
                roster.joined += 1;
                (roster.joined, roster.come_back(id, &registration.url).unwrap_or_default())
            }
        };
        let stats = registration.stats;
        let (estimated_blocks, last_sign) = (0, Instant::now());
        let worker = Worker { registration, joined, presence, stats, estimated_blocks, last_sign };
        roster.workers.insert(id, worker);
        Ok(())
    }

    /// A worker told its figures; false when it is not known and must register.
    pub(crate) fn heard(&self, id: u64, stats: Stats) -> bool {
        let mut roster = self.lock();
        let Some(worker) = roster.workers.get_mut(&id) else { return false };
        worker.stats = stats;
        worker.estimated_blocks = 0;
        worker.last_sign = Instant::now();
        self.router.publish(id, &stats.into());
        true
    }

    /// A worker leaves. It may finish the answers that it has begun.
    pub(crate) fn leave(&self, id: u64) -> bool {
        let mut roster = self.lock();
        let Some(worker) = roster.workers.remove(&id) else { return false };
        self.forget(&worker);
        roster.let_finish(worker, DRAIN_MAX + SILENCE_MAX);
        true
    }

    /// A worker broke off or could not be reached. If it lives, it registers again; meanwhile other streams from it
    /// may go on.
    pub(crate) fn lost(&self, target: &Target) {
        let mut roster = self.lock();
        let id = target.instance_id;
        // Another process may have its number by now.
        if roster.workers.get(&id).is_some_and(|worker| worker.registration.url == target.url)
            && let Some(worker) = roster.workers.remove(&id)
        {
            self.forget(&worker);
            roster.let_finish(worker, SILENCE_MAX);
        }
    }

    /// Forgets workers that gave no sign of life, and tells their streams.
    pub(crate) fn sweep(&self) {
        let mut roster = self.lock();
        let silent: Vec<u64> = roster
            .workers
            .iter()
            .filter(|(_, worker)| worker.is_silent())
            .map(|(&id, _)| id)
            .collect();
        for worker in silent.iter().filter_map(|id| roster.workers.remove(id)) {
            tracing::warn!(worker = worker.registration.instance_id, "silent, taken for dead");
            self.forget(&worker);
        }
        let now = Instant::now();
        roster.leaving.retain(|leaving| leaving.until > now && leaving.has_streams());
    }

    /// The worker of `model` with the least load that is not among `full`; it is charged with the request.
    pub(crate) fn pick(&self, model: &str, tokens: u64, full: &[u64]) -> Option<Target> {
        let mut roster = self.lock();
        let able = |id: &u64| {
            !full.contains(id) && roster.workers.get(id).is_some_and(|worker| worker.serves(model))
        };
        // Nearly always the router's first choice serves the model; else the least loaded one that does.
        let id = self.router.pick().filter(able).or_else(|| {
            let able = roster.workers.iter().filter(|(id, _)| able(id));
            able.min_by_key(|&(&id, worker)| (worker.active_blocks(), id)).map(|(&id, _)| id)
        })?;
        let worker = roster.workers.get_mut(&id)?;
        worker.charge(tokens);
        self.router.publish(id, &worker.estimate());
        Some(Target {
            instance_id: id,
            url: worker.registration.url.clone(),
            migration_limit: worker.registration.migration_limit,
            block_size: worker.registration.kv_cache_block_size,
            presence: worker.presence.subscribe(),
        })
    }

    /// Whether a worker serves the model.
    pub(crate) fn serves(&self, model: &str) -> bool {
        self.lock().serving(model).next().is_some()
    }

    /// Names of the models that are served, whole and sorted.
    pub(crate) fn models(&self) -> Vec<String> {
        let roster = self.lock();
        let names: BTreeSet<&String> =
            roster.workers.values().flat_map(|worker| &worker.registration.models).collect();
        names.into_iter().cloned().collect()
    }

    fn forget(&self, worker: &Worker) {
        let id = worker.registration.instance_id;
        for model in &worker.registration.models {
            self.metrics.models().remove(model, id);
        }
        self.health.remove(id);
        self.router.remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, Roster> {
        // The roster is whole between any two statements, so a panic elsewhere does not spoil it.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a worker stands in the hierarchy.
fn place(registration: &Register) -> (&str, &str, &str) {
    (&registration.namespace, &registration.component, &registration.endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics::{DistributedRuntime, FrontendConfig, Registry, Snapshot, Value};
    use std::sync::atomic::{AtomicBool, Ordering};

    fn fleet() -> (Registry, Fleet) {
        let runtime = DistributedRuntime::new().expect("a runtime");
        let registry = runtime.registry().clone();
        let metrics = FrontendMetrics::new(&registry, FrontendConfig::default()).expect("metrics");
        let router = runtime.namespace("ns").and_then(|ns| ns.component("router")).expect("router");
        let fleet = Fleet::new(&router, metrics, Arc::new(FrontendHealth::new()));
        (registry, fleet.expect("a fleet"))
    }

    fn registration(instance_id: u64, models: &[&str]) -> Register {
        Register {
            instance_id,
            url: format!("http://127.0.0.1:{instance_id}"),
            namespace: "ns".into(),
            component: "backend".into(),
            endpoint: "generate".into(),
            models: models.iter().map(|&model| model.into()).collect(),
            context_length: 4096,
            kv_cache_block_size: 16,
            migration_limit: 3,
            total_kv_blocks: Some(1024),
            max_num_seqs: None,
            max_num_batched_tokens: None,
            stats: Stats { total_blocks: 1024, ..Stats::default() },
        }
    }

    /// The request, and the block size of its model.
    fn begin(fleet: &Fleet, model: &str) -> (Request, Result<u64, NotServed>) {
        let at = Timestamp::from_nanos(0);
        let (request, limits) =
            fleet.begin(HttpEndpoint::Completions, RequestType::Unary, model, at);
        (request, limits.map(|limits| limits.block_size))
    }

    /// The sum of a family over its series with this first label value.
    fn sum(registry: &Registry, name: &str, label: &str) -> f64 {
        let mut snapshot = Snapshot::new();
        snapshot.take(registry);
        let mut sum = 0.0;
        for part in snapshot.families().filter(|f| f.name() == name).flat_map(|f| f.parts()) {
            for series in (0..part.len()).filter_map(|at| part.series(at)) {
                if series.label_values().next().unwrap_or_default() == label {
                    sum += match series.value() {
                        Value::Unsigned(value) => value as f64,
                        Value::Float(value) => value,
                        other => panic!("{other:?}"),
                    };
                }
            }
        }
        sum
    }

    #[test]
    fn a_request_that_is_served_is_never_counted_under_unknown_model() {
        let (registry, fleet) = fleet();
        let (done, fleet) = (AtomicBool::new(false), &fleet);
        let served = std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut round = 0u64;
                    while !done.load(Ordering::Relaxed) {
                        round += 1;
                        fleet.join(registration(1, &["m", "other"])).expect("room");
                        if round.is_multiple_of(3) {
                            fleet.leave(1);
                        }
                    }
                });
            }
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut served = 0u64;
                        for _ in 0..20_000 {
                            match begin(fleet, "m") {
                                (request, Err(_)) => {
                                    request.reject(dynamo_metrics::RejectionReason::NotFound);
                                }
                                (request, Ok(_)) => {
                                    request.succeed(Timestamp::from_nanos(1));
                                    served += 1;
                                }
                            }
                        }
                        served
                    })
                })
                .collect();
            let served: u64 =
                clients.into_iter().map(|client| client.join().expect("no panic")).sum();
            done.store(true, Ordering::Relaxed);
            served
        });
        let requests = "dynamo_frontend_requests_total";
        assert!(served > 0, "the worker was there at times");
        assert_eq!(sum(&registry, requests, "unknown_model"), 0.0);
        assert_eq!(sum(&registry, requests, "m"), served as f64);
    }

    #[test]
    fn a_renewal_changes_what_is_served_and_interrupts_nothing() {
        let (_registry, fleet) = fleet();
        fleet.join(registration(1, &["a", "b"])).expect("room");
        let target = fleet.pick("a", 1, &[]).expect("a worker");
        fleet.join(registration(1, &["b", "c"])).expect("room");
        assert_eq!(fleet.models(), ["b", "c"]);
        assert!(!fleet.metrics.models().is_served("a") && fleet.metrics.models().is_served("c"));
        assert!(target.presence.has_changed().is_ok(), "the same process");
        let other = Register { url: "http://127.0.0.1:99".into(), ..registration(1, &["b"]) };
        assert!(fleet.join(other.clone()).unwrap_err().contains("--instance-id"));
        let long_ago = Instant::now().checked_sub(SILENCE_MAX * 2).expect("a machine that is up");
        fleet.lock().workers.get_mut(&1).expect("it is there").last_sign = long_ago;
        fleet.join(other).expect("the former one is dead");
        assert!(target.presence.has_changed().is_err(), "another process has its number");
        assert!(fleet.join(registration(2, &["b", ""])).is_err());
    }

    #[test]
    fn served_names_are_told_apart_whole_however_long() {
        for stem in [128, 200, dynamo_metrics::MODEL_NAME_BYTES_MAX - 2] {
            let (registry, fleet) = fleet();
            let [first, second] = ["1", "2"].map(|end| "m".repeat(stem) + end);
            fleet.join(registration(1, &[&first, &second])).expect("room");
            assert_eq!(fleet.models(), [first.clone(), second.clone()]);
            assert_eq!(begin(&fleet, &"m".repeat(stem)).1, Err(NotServed::Unknown));
            for (model, requests) in [(&first, 2), (&second, 3)] {
                for _ in 0..requests {
                    let (request, block_size) = begin(&fleet, model);
                    assert_eq!(block_size, Ok(16));
                    request.succeed(Timestamp::from_nanos(1));
                }
            }
            let total = |model: &str| sum(&registry, "dynamo_frontend_requests_total", model);
            assert_eq!((total(&first), total(&second)), (2.0, 3.0));
            assert_eq!(sum(&registry, "dynamo_frontend_model_context_length", &second), 4096.0);
            fleet.join(registration(1, &[&second])).expect("room");
            assert!(fleet.metrics.models().is_served(&second));
            assert_eq!(begin(&fleet, &first).1, Err(NotServed::Down));
        }
    }

    #[test]
    fn a_model_whose_workers_have_left_is_down_and_not_unknown() {
        let (registry, fleet) = fleet();
        let ready = |model: &str| sum(&registry, "dynamo_frontend_model_ready", model);
        fleet.join(registration(1, &["m"])).expect("room");
        fleet.join(registration(2, &["m"])).expect("room");
        assert_eq!((ready("m"), fleet.health.readiness().status), (1.0, 200));
        assert!(fleet.leave(1));
        assert_eq!((begin(&fleet, "m").1, ready("m")), (Ok(16), 1.0));
        let target = fleet.pick("m", 1, &[]).expect("a worker");
        fleet.lost(&target);
        assert_eq!((begin(&fleet, "m").1, ready("m")), (Err(NotServed::Down), 0.0));
        assert_eq!(begin(&fleet, "typo").1, Err(NotServed::Unknown));
        let (health, ready_now) = (fleet.health.health(), fleet.health.readiness());
        assert_eq!((health.status, ready_now.status), (200, 503));
        assert!(health.body.contains(r#""status":"healthy","endpoints":[],"instances":[]"#));
        assert!(ready_now.body.contains(r#""status":"notready""#), "{}", ready_now.body);
        fleet.join(registration(3, &["m"])).expect("room");
        assert_eq!((begin(&fleet, "m").1, ready("m")), (Ok(16), 1.0));
        assert_eq!(fleet.health.readiness().status, 200);
    }

    #[test]
    fn what_a_client_asks_for_cannot_make_more_blocks_than_there_are() {
        let (registry, fleet) = fleet();
        fleet.join(registration(1, &["m"])).expect("room");
        let active = || sum(&registry, "dynamo_component_router_worker_active_blocks", "1");
        fleet.pick("m", 100, &[]).expect("a worker");
        assert_eq!(active(), 7.0);
        for _ in 0..10 {
            fleet.pick("m", u64::MAX, &[]).expect("a worker");
        }
        assert_eq!(active(), 1024.0);
        let stats = Stats { active_blocks: u64::MAX, total_blocks: 0, ..Stats::default() };
        assert!(fleet.heard(1, stats));
        assert!(fleet.pick("m", u64::MAX, &[]).is_some());
    }

    #[test]
    fn the_block_size_is_that_of_the_first_worker_that_joined() {
        let (_registry, fleet) = fleet();
        for id in 0..20 {
            let kv_cache_block_size = 16 + id;
            let other = Register { kv_cache_block_size, ..registration(100 - id, &["m"]) };
            fleet.join(other).expect("room");
            assert_eq!(begin(&fleet, "m").1, Ok(16));
        }
        fleet.leave(100);
        assert_eq!(begin(&fleet, "m").1, Ok(17));
        fleet.join(registration(99, &["m"])).expect("room");
        assert_eq!(begin(&fleet, "m").1, Ok(16), "a renewal keeps its place");
    }

    #[test]
    fn full_workers_are_passed_over() {
        let (_registry, fleet) = fleet();
        for id in [1, 2] {
            fleet.join(registration(id, &["m"])).expect("room");
        }
        let picked = |full: &[u64]| fleet.pick("m", 1, full).map(|target| target.instance_id);
        assert_eq!(picked(&[1]), Some(2));
        assert_eq!(picked(&[2]), Some(1));
        assert_eq!(picked(&[1, 2]), None);
    }

    #[test]
    fn a_worker_that_leaves_may_finish_and_one_that_is_lost_may_come_back() {
        let (_registry, fleet) = fleet();
        fleet.join(registration(1, &["m"])).expect("room");
        let target = fleet.pick("m", 1, &[]).expect("a worker");
        assert!(fleet.leave(1) && !fleet.leave(1));
        assert!(!fleet.serves("m"));
        fleet.sweep();
        assert!(target.presence.has_changed().is_ok(), "it has its time");
        fleet.join(registration(1, &["m"])).expect("room");
        fleet.lost(&target);
        assert!(!fleet.serves("m"));
        fleet.join(registration(1, &["m"])).expect("room");
        assert!(target.presence.has_changed().is_ok(), "other streams went on");
        fleet.leave(1);
        assert_eq!(fleet.lock().leaving.len(), 1);
        drop(target);
        fleet.sweep();
        assert_eq!(fleet.lock().leaving.len(), 0, "only those with streams are kept");
    }

    #[test]
    fn figures_at_the_end_of_their_range_overflow_nothing() {
        let (_registry, fleet) = fleet();
        let largest = Stats { active_blocks: u64::MAX, total_blocks: u64::MAX, ..Stats::default() };
        let registration = Register {
            context_length: u64::MAX,
            kv_cache_block_size: 0,
            migration_limit: u64::MAX,
            total_kv_blocks: Some(u64::MAX),
            max_num_seqs: Some(u64::MAX),
            max_num_batched_tokens: Some(u64::MAX),
            stats: largest,
            ..registration(7, &["m"])
        };
        fleet.join(registration).expect("room");
        for _ in 0..3 {
            let picked = fleet.pick("m", u64::MAX, &[]);
            assert_eq!(picked.map(|target| target.instance_id), Some(7));
        }
        assert!(fleet.heard(7, largest));
        assert!(fleet.pick("m", 1, &[]).is_some());
    }
}
