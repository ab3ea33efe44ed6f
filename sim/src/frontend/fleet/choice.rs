//! The choice of the worker that takes the next request.
//!
//! The router spreads by the workers' own figures. Those come a few times a second, so between two of them a
//! dispatch adds its own estimate to the worker's, or a burst would go to one worker.
//!
//! Each worker has a *presence*, a channel that nothing is ever sent on: streams hold its receivers, and learn from
//! its end that the worker is not worth waiting for.

use super::Fleet;
use tokio::sync::watch;

/// A worker to send a request to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) instance_id: u64,
    pub(crate) url: String,
    pub(crate) migration_limit: u64,
    pub(crate) block_size: u64,
    pub(super) presence: watch::Receiver<()>,
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
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fleet, registration, sum};
    use crate::protocol::{Register, Stats};

    #[test]
    fn a_request_is_charged_with_no_more_blocks_than_there_are() {
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
