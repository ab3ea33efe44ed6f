//! Which models workers serve, and what they say about them.
//!
//! Workers come and go under a model's name. The first one's card is shown until the last one has left; later
//! cards are ignored, since one name cannot have two values. **Only names that are registered here become
//! series**, so what clients send cannot make any; but for the first
//! [`unserved_models_max`](crate::FrontendConfig::unserved_models_max) of them, where that is set. A name that
//! was let in stays in, so what rises under it falls under it, and a request costs a read lock whatever it names.
//! All other names are one, `unknown_model`, and each request for them is counted in
//! `dynamo_metrics_rejected_label_values_total`.
//!
//! A model that all workers have left is remembered: `model_ready` is 0, requests for it are counted under its name, and its
//! request series go on where they were when it comes back. Only when [`MODELS_MAX`] names are known, the one that left first makes room, if no
//! request to it is still in progress.

use crate::frontend::{Catalogue, ModelMetrics};
use crate::names::frontend_service::UNKNOWN_MODEL;
use dynamo_metrics_core::{Counter, LABEL_VALUE_BYTES_MAX, OPERATOR_LABEL_VALUE_BYTES_MAX};
use parking_lot::RwLock;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

/// Models that one frontend shows. Each is about a hundred lines of every scrape.
pub const MODELS_MAX: usize = 1000;
/// Bytes of the name of a model that a worker serves. Longer names are refused and not cut, because two models must not become one
/// series. Names that only clients use are cut at [`LABEL_VALUE_BYTES_MAX`].
pub const MODEL_NAME_BYTES_MAX: usize = OPERATOR_LABEL_VALUE_BYTES_MAX;

/// What a worker says about the model when it registers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelCard {
    /// Tokens of the longest sequence.
    pub context_length: u64,
    /// Tokens of one KV cache block.
    pub kv_cache_block_size: u64,
    /// How often a request may be moved to another worker.
    pub migration_limit: u64,
}

/// What a worker says about itself when it registers. What it does not say has no series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// KV cache blocks.
    pub total_kv_blocks: Option<u64>,
    /// Sequences that it runs at a time.
    pub max_num_seqs: Option<u64>,
    /// Tokens that it takes in one batch.
    pub max_num_batched_tokens: Option<u64>,
}

/// What became of a worker's registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Registration {
    /// It is the model's first worker, or its only one and renews its card; its card is shown.
    First,
    /// The model has other workers; the card that is shown stays.
    Later,
    /// There are [`MODELS_MAX`] models with workers. Requests for this one go under `unknown_model`.
    BeyondLimit,
    /// The name has more than [`MODEL_NAME_BYTES_MAX`] bytes; the model is not served under it.
    NameTooLong,
}

/// The models of a frontend; see [`FrontendMetrics::models`](crate::FrontendMetrics::models).
///
/// ```
/// use dynamo_metrics::{
///     FrontendConfig, FrontendMetrics, ModelCard, Registration, Registry, RuntimeConfig,
/// };
///
/// let frontend = FrontendMetrics::new(&Registry::new(), FrontendConfig::default())?;
/// let models = frontend.models();
/// let card = ModelCard { context_length: 4096, kv_cache_block_size: 16, migration_limit: 0 };
/// let config = RuntimeConfig { max_num_seqs: Some(3), ..RuntimeConfig::default() };
/// assert_eq!(models.add("Qwen/Qwen3-0.6B", 1, &card, &config), Registration::First);
/// assert_eq!(models.add("Qwen/Qwen3-0.6B", 2, &card, &config), Registration::Later);
/// assert!(models.is_served("Qwen/Qwen3-0.6B") && !models.is_served("qwen/qwen3-0.6b"));
/// models.remove("Qwen/Qwen3-0.6B", 1);
/// models.remove("Qwen/Qwen3-0.6B", 2);
/// assert!(!models.is_served("Qwen/Qwen3-0.6B"));
/// # Ok::<(), dynamo_metrics::MetricsError>(())
/// ```
#[derive(Debug)]
pub struct Models {
    catalogue: Arc<Catalogue>,
    known: RwLock<Known>,
    /// Shown from the first request for a name that is not let in; and what counts those.
    unknown: OnceLock<(Arc<ModelMetrics>, Counter)>,
}

#[derive(Debug, Default)]
struct Known {
    /// By name; those that all workers have left included.
    models: HashMap<Box<str>, Model>,
    /// Let in without a worker, for as long as the frontend lives or until one comes. Never a name of `models`.
    unserved: HashMap<Box<str>, Arc<ModelMetrics>>,
    /// How often a model lost its last worker.
    departures: u64,
}

#[derive(Debug)]
struct Model {
    metrics: Arc<ModelMetrics>,
    /// Numbers of the workers that serve it. Not bounded here: they are the operator's own.
    instances: HashSet<u64>,
    /// The worker whose card is shown.
    shown: u64,
    /// The departure by which it lost its last worker.
    departed: u64,
}

impl Models {
    pub(crate) fn new(catalogue: Arc<Catalogue>) -> Self {
        Self { catalogue, known: RwLock::default(), unknown: OnceLock::new() }
    }

    /// A worker registered: `instance_id` is its number in the fleet, `model` the name that its label will
    /// have, in the same spelling everywhere.
    pub fn add(
        &self,
        model: &str,
        instance_id: u64,
        card: &ModelCard,
        config: &RuntimeConfig,
    ) -> Registration {
        if model.len() > MODEL_NAME_BYTES_MAX {
            return Registration::NameTooLong;
        }
        let mut known = self.known.write();
        if let Some(there) = known.models.get_mut(model) {
            let first = there.instances.is_empty();
            there.instances.insert(instance_id);
            // A worker that was started anew with other settings and its old number need not leave first.
            let renewed = there.shown == instance_id && there.instances.len() == 1;
            if !first && !renewed {
                return Registration::Later;
            }
            there.shown = instance_id;
        } else {
            if known.models.len() >= MODELS_MAX && !self.make_room(&mut known) {
                return Registration::BeyondLimit;
            }
            let let_in = known.unserved.remove(model);
            let metrics =
                let_in.unwrap_or_else(|| Arc::new(ModelMetrics::new(&self.catalogue, model)));
            metrics.show_zeros();
            let instances = HashSet::from([instance_id]);
            let model_of = Model { metrics, instances, shown: instance_id, departed: 0 };
            known.models.insert(model.into(), model_of);
        }
        // Under the lock, so that cards of two workers that come and go at once are shown in their order.
        self.catalogue.show(model, card, config);
        Registration::First
    }

    /// A worker left; says whether it had been there. With the last one the model's card goes.
    pub fn remove(&self, model: &str, instance_id: u64) -> bool {
        let mut known = self.known.write();
        let Known { models, departures, .. } = &mut *known;
        let Some(there) = models.get_mut(model) else { return false };
        if !there.instances.remove(&instance_id) {
            return false;
        }
        if there.instances.is_empty() {
            *departures += 1;
            there.departed = *departures;
            self.catalogue.hide(model);
        }
        true
    }

    /// Whether a worker serves the model of exactly this name.
    pub fn is_served(&self, model: &str) -> bool {
        self.known.read().models.get(model).is_some_and(Model::is_served)
    }

    /// Whether workers served the model of exactly this name, and all of them have left. Such a model is remembered until
    /// [`MODELS_MAX`] others are known: its requests are for a service that is down, and not for a name that never was.
    ///
    /// ```
    /// # use dynamo_metrics::{FrontendConfig, FrontendMetrics, ModelCard, Registry, RuntimeConfig};
    /// # let frontend = FrontendMetrics::new(&Registry::new(), FrontendConfig::default())?;
    /// # let models = frontend.models();
    /// models.add("m", 1, &ModelCard::default(), &RuntimeConfig::default());
    /// assert!(!models.has_lost_its_workers("m"));
    /// models.remove("m", 1);
    /// assert!(models.has_lost_its_workers("m") && !models.has_lost_its_workers("typo"));
    /// # Ok::<(), dynamo_metrics::MetricsError>(())
    /// ```
    pub fn has_lost_its_workers(&self, model: &str) -> bool {
        self.known.read().models.get(model).is_some_and(|model| !model.is_served())
    }

    /// Names of all models that are served, sorted.
    pub fn served(&self) -> Vec<String> {
        let known = self.known.read();
        let served = known.models.iter().filter(|(_, model)| model.is_served());
        let mut names: Vec<String> = served.map(|(name, _)| name.to_string()).collect();
        names.sort();
        names
    }

    /// The handles of a model, or of all that are not let in.
    pub(crate) fn resolve(&self, model: &str) -> Arc<ModelMetrics> {
        let max = self.catalogue.unserved_models_max;
        let known = self.known.read();
        if let Some(there) = known.get(model) {
            return there;
        }
        // Here the name is a client's and nobody else's.
        let (whole, model) = (model, cut(model));
        if let Some(there) = known.unserved.get(model) {
            let there = Arc::clone(there);
            drop(known);
            if model.len() < whole.len() {
                self.catalogue.rejected_models().inc();
            }
            return there;
        }
        let room = known.unserved.len() < max;
        drop(known);
        // An empty label value is no label, and `unknown_model` is not one model.
        if room
            && !model.is_empty()
            && model != UNKNOWN_MODEL
            && let Some(let_in) = self.let_in(model, max)
        {
            if model.len() < whole.len() {
                self.catalogue.rejected_models().inc();
            }
            return let_in;
        }
        let (unknown, rejected) = self.unknown.get_or_init(|| {
            let unknown = ModelMetrics::new(&self.catalogue, UNKNOWN_MODEL);
            (Arc::new(unknown), self.catalogue.rejected_models())
        });
        rejected.inc();
        Arc::clone(unknown)
    }

    /// Lets in a model that nobody serves, if there is still room.
    #[cold]
    fn let_in(&self, model: &str, max: usize) -> Option<Arc<ModelMetrics>> {
        let mut known = self.known.write();
        // Somebody else may have been quicker.
        if let Some(there) = known.get(model).or_else(|| known.unserved.get(model).cloned()) {
            return Some(there);
        }
        if known.unserved.len() >= max {
            return None;
        }
        let metrics = Arc::new(ModelMetrics::new(&self.catalogue, model));
        known.unserved.insert(model.into(), Arc::clone(&metrics));
        Some(metrics)
    }

    /// Forgets the model that left first; says whether there was one.
    fn make_room(&self, known: &mut Known) -> bool {
        // While a request holds the handles, it may yet make a series. Nobody else can get hold of them while
        // this lock is held for writing, so a count of one stays one.
        let idle = |model: &Model| !model.is_served() && Arc::strong_count(&model.metrics) == 1;
        let gone = known.models.iter().filter(|(_, model)| idle(model));
        let Some(name) = gone.min_by_key(|(_, model)| model.departed).map(|(name, _)| name.clone())
        else {
            return false;
        };
        known.models.remove(&name);
        self.catalogue.forget(&name);
        true
    }
}

impl Known {
    /// The handles of a model that is served, or was.
    fn get(&self, model: &str) -> Option<Arc<ModelMetrics>> {
        self.models.get(model).map(|there| Arc::clone(&there.metrics))
    }
}

/// The part of a client's name that is kept.
fn cut(model: &str) -> &str {
    &model[..model.floor_char_boundary(LABEL_VALUE_BYTES_MAX)]
}

impl Model {
    fn is_served(&self) -> bool {
        !self.instances.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        FrontendConfig, FrontendMetrics, HttpEndpoint, Registry, RequestType, Snapshot, Timestamp,
        Value,
    };

    const CARD: ModelCard =
        ModelCard { context_length: 4096, kv_cache_block_size: 16, migration_limit: 3 };

    fn frontend() -> (Registry, FrontendMetrics) {
        let registry = Registry::new();
        let frontend = FrontendMetrics::new(&registry, FrontendConfig::default()).unwrap();
        (registry, frontend)
    }

    /// `(suffix, model, value)` of every gauge whose name begins with `model_`.
    fn cards(registry: &Registry) -> Vec<(String, String, f64)> {
        let mut snapshot = Snapshot::new();
        snapshot.take(registry);
        let mut cards = Vec::new();
        for family in snapshot.families() {
            let Some(name) = family.name().strip_prefix("dynamo_frontend_model_") else { continue };
            if matches!(name, "migration_total" | "ready") {
                continue;
            }
            for part in family.parts() {
                for series in (0..part.len()).filter_map(|at| part.series(at)) {
                    let model = series.label_values().next().unwrap_or_default();
                    let Value::Float(value) = series.value() else { panic!("{name} is a gauge") };
                    cards.push((name.into(), model.into(), value));
                }
            }
        }
        cards
    }

    fn request(frontend: &FrontendMetrics, model: &str) {
        let at = Timestamp::from_nanos;
        frontend
            .begin(HttpEndpoint::Completions, RequestType::Unary, model, at(0))
            .succeed(at(1_000_000));
    }

    /// The models of `requests_total`, sorted, with their sums.
    fn requests(registry: &Registry) -> Vec<(String, u64)> {
        let mut snapshot = Snapshot::new();
        snapshot.take(registry);
        let family =
            snapshot.families().find(|f| f.name() == "dynamo_frontend_requests_total").unwrap();
        let part = family.parts().next().unwrap();
        let mut requests: Vec<(String, u64)> = (0..part.len())
            .filter_map(|at| part.series(at))
            .map(|series| {
                let Value::Unsigned(value) = series.value() else { panic!("a counter") };
                (series.label_values().next().unwrap().to_string(), value)
            })
            .collect();
        requests.sort();
        requests
    }

    #[test]
    fn the_first_card_is_shown_until_the_last_worker_leaves() {
        let (registry, frontend) = frontend();
        let models = frontend.models();
        let first = RuntimeConfig { max_num_seqs: Some(3), ..RuntimeConfig::default() };
        let later = RuntimeConfig { max_num_seqs: Some(9), total_kv_blocks: Some(9), ..first };
        assert_eq!(models.add("Org/M", 1, &CARD, &first), Registration::First);
        assert_eq!(models.add("Org/M", 2, &ModelCard::default(), &later), Registration::Later);
        assert_eq!(models.add("Org/M", 1, &ModelCard::default(), &later), Registration::Later);
        let shown = |registry| {
            cards(registry).into_iter().map(|(name, model, value)| {
                assert_eq!(model, "Org/M", "the case is kept");
                (name, value)
            })
        };
        let expected = [
            ("context_length".to_string(), 4096.0),
            ("kv_cache_block_size".into(), 16.0),
            ("max_num_seqs".into(), 3.0),
            ("migration_limit".into(), 3.0),
        ];
        assert!(shown(&registry).eq(expected.clone()));
        assert!(models.remove("Org/M", 1));
        assert!(shown(&registry).eq(expected));
        assert!(!models.remove("Org/M", 7) && !models.remove("other", 2));
        assert!(models.remove("Org/M", 2));
        assert_eq!(cards(&registry), []);
        assert_eq!(models.add("Org/M", 3, &CARD, &later), Registration::First);
        assert_eq!(cards(&registry).len(), 5);
        assert_eq!(models.served(), ["Org/M"]);
    }

    #[test]
    fn the_only_worker_renews_its_card_without_leaving() {
        let (registry, frontend) = frontend();
        let models = frontend.models();
        let seqs = |n| RuntimeConfig { max_num_seqs: n, ..RuntimeConfig::default() };
        let shown = || {
            let cards = cards(&registry);
            cards.iter().find(|card| card.0 == "max_num_seqs").map(|card| card.2)
        };
        models.add("m", 1, &CARD, &seqs(Some(3)));
        assert_eq!(models.add("m", 1, &CARD, &seqs(Some(5))), Registration::First);
        assert_eq!(shown(), Some(5.0));
        assert_eq!(models.add("m", 1, &CARD, &seqs(None)), Registration::First);
        assert_eq!(shown(), None, "what it no longer says");
        models.add("m", 1, &CARD, &seqs(Some(6)));
        models.add("m", 2, &CARD, &seqs(Some(7)));
        models.remove("m", 1);
        assert_eq!(models.add("m", 2, &CARD, &seqs(Some(7))), Registration::Later);
        assert_eq!(shown(), Some(6.0), "the first card stays until the last worker has left");
    }

    #[test]
    fn a_model_that_comes_back_goes_on_counting() {
        let (registry, frontend) = frontend();
        let models = frontend.models();
        for instance in 0..3 {
            models.add("m", instance, &CARD, &RuntimeConfig::default());
            request(&frontend, "m");
            models.remove("m", instance);
            request(&frontend, "m");
        }
        assert_eq!(requests(&registry), [("m".into(), 6)]);
    }

    #[test]
    fn beyond_the_limit_the_model_that_left_first_makes_room() {
        let (registry, frontend) = frontend();
        let models = frontend.models();
        let add = |model: &str| models.add(model, 1, &CARD, &RuntimeConfig::default());
        for number in 0..MODELS_MAX {
            assert_eq!(add(&format!("m{number}")), Registration::First);
        }
        assert_eq!(add("late"), Registration::BeyondLimit);
        request(&frontend, "late");
        request(&frontend, "m5");
        request(&frontend, "m7");
        let open =
            frontend.begin(HttpEndpoint::Tensor, RequestType::Unary, "m7", Timestamp::default());
        models.remove("m7", 1);
        assert_eq!(add("late"), Registration::BeyondLimit, "m7 has a request in progress");
        models.remove("m5", 1);
        models.remove("m6", 1);
        assert_eq!(add("late"), Registration::First);
        open.succeed(Timestamp::default());
        request(&frontend, "late");
        // m5 is gone, which left before m6.
        let left =
            [("late".into(), 1), ("m7".into(), 1), ("m7".into(), 1), ("unknown_model".into(), 1)];
        assert_eq!(requests(&registry), left);
        let mut snapshot = Snapshot::new();
        snapshot.take(&registry);
        let series = |family: &str| {
            let family = snapshot.families().find(|f| f.name() == family);
            family.map_or(0, |f| f.parts().map(|part| part.len()).sum())
        };
        assert_eq!(series("dynamo_frontend_inflight_requests"), MODELS_MAX + 1);
        assert_eq!(series("dynamo_metrics_series_overflow_total"), 0, "the cap is never met");
    }
}
