//! The membership of workers: they join, report their figures, leave, are lost, or fall silent.
//!
//! A worker's presence outlives its place in the fleet where the worker may still finish what it began.

use super::Fleet;
use super::choice::Target;
use super::roster::Worker;
use crate::discovery::TargetGroup;
use crate::protocol::{DRAIN_MAX, Register, SILENCE_MAX, Stats};
use dynamo_metrics::{Instance, MODELS_MAX, ModelCard, Registration, RuntimeConfig, Transport};
use std::sync::Arc;
use std::time::Instant;

impl Fleet {
    /// Adds a worker, or renews its registration. The error is the reason of a refusal.
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
        let target = TargetGroup::of(&registration).map(Arc::new);
        let worker =
            Worker { registration, target, joined, presence, stats, estimated_blocks, last_sign };
        roster.workers.insert(id, worker);
        Ok(())
    }

    /// Takes a worker's report; false when the worker is not known and must register.
    pub(crate) fn heard(&self, id: u64, stats: Stats) -> bool {
        let mut roster = self.lock();
        let Some(worker) = roster.workers.get_mut(&id) else { return false };
        worker.stats = stats;
        worker.estimated_blocks = 0;
        worker.last_sign = Instant::now();
        self.router.publish(id, &stats.into());
        true
    }

    /// Removes a worker that leaves. It may finish the answers that it has begun.
    pub(crate) fn leave(&self, id: u64) -> bool {
        let mut roster = self.lock();
        let Some(worker) = roster.workers.remove(&id) else { return false };
        self.forget(&worker);
        roster.let_finish(worker, DRAIN_MAX + SILENCE_MAX);
        true
    }

    /// Removes a worker that broke off or could not be reached. If it lives, it registers again; meanwhile its other streams may go
    /// on.
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

    fn forget(&self, worker: &Worker) {
        let id = worker.registration.instance_id;
        for model in &worker.registration.models {
            self.metrics.models().remove(model, id);
        }
        self.health.remove(id);
        self.router.remove(id);
    }
}

/// Returns the place of a worker in the hierarchy.
fn place(registration: &Register) -> (&str, &str, &str) {
    (&registration.namespace, &registration.component, &registration.endpoint)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{fleet, registration};
    use super::*;

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
}
