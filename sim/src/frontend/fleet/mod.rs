//! The workers that a frontend knows, and the models that each serves.
//!
//! ```text
//! roster       the workers with their figures
//! membership   how workers come and go
//! choice       the worker for the next request
//! ```
//!
//! **One lock holds which worker serves which model.** A request begins under it, so its metrics and its workers agree, whenever
//! workers come and go.

mod choice;
mod membership;
mod roster;

use crate::discovery::TargetGroup;
use dynamo_metrics::{
    FrontendHealth, FrontendMetrics, HttpEndpoint, KvRouter, Request, RequestType, Timestamp,
};
use roster::Roster;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use choice::Target;

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

/// The reason for which no worker takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotServed {
    /// No worker ever served the model.
    Unknown,
    /// All workers of the model have left.
    Down,
}

impl Fleet {
    /// A fleet without workers, whose figures are those of `router`.
    pub(crate) fn new(
        router: KvRouter,
        metrics: FrontendMetrics,
        health: Arc<FrontendHealth>,
    ) -> Self {
        Self { roster: Mutex::default(), metrics, health, router }
    }

    /// Begins a request, and returns the limits of its model, which are those of the worker that joined first; or the reason for
    /// which no worker serves the model.
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

    /// Returns whether a worker serves the model.
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

    /// Targets of the workers that have a system port, in the order of their numbers. The lock is held for as long as it takes to
    /// copy a pointer a worker.
    pub(crate) fn targets(&self) -> Vec<Arc<TargetGroup>> {
        let roster = self.lock();
        let targets = roster.workers.iter();
        let mut targets: Vec<_> =
            targets.filter_map(|(&id, worker)| Some((id, worker.target.clone()?))).collect();
        drop(roster);
        targets.sort_unstable_by_key(|&(id, _)| id);
        targets.into_iter().map(|(_, target)| target).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Roster> {
        // The roster is consistent between any two statements, so a panic elsewhere does not break it.
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Register, Stats};
    use dynamo_metrics::{DistributedRuntime, FrontendConfig, Registry, Snapshot, Value};
    use std::sync::atomic::{AtomicBool, Ordering};

    pub(super) fn fleet() -> (Registry, Fleet) {
        let runtime = DistributedRuntime::new().expect("a runtime");
        let registry = runtime.registry().clone();
        let metrics = FrontendMetrics::new(&registry, FrontendConfig::default()).expect("metrics");
        let router = runtime.namespace("ns").and_then(|ns| ns.component("router")).expect("router");
        let router = KvRouter::new(&router).expect("a router");
        (registry, Fleet::new(router, metrics, Arc::new(FrontendHealth::new())))
    }

    pub(super) fn registration(instance_id: u64, models: &[&str]) -> Register {
        Register {
            instance_id,
            url: format!("http://127.0.0.1:{instance_id}"),
            system_url: None,
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
    pub(super) fn sum(registry: &Registry, name: &str, label: &str) -> f64 {
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
                        let (mut served, mut asked) = (0u64, 0);
                        // Until it was served, however late the others get a processor.
                        while asked < 20_000 || served == 0 {
                            asked += 1;
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
        assert_eq!(sum(&registry, requests, "unknown_model"), 0.0);
        assert_eq!(sum(&registry, requests, "m"), served as f64);
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
}
