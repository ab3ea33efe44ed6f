//! The models that workers serve, and their cards.
//!
//! Several workers may serve one model. The first worker's card is shown until the last worker has left; later cards are
//! ignored, since a gauge cannot have two values. **Only names that workers register become series**, so clients cannot
//! create any; except for the first [`unserved_models_max`](crate::FrontendConfig::unserved_models_max) names, where that is
//! set. A name that has series keeps them, so that a gauge falls under the name under which it rose. A request costs a read
//! lock. All other names are counted as `unknown_model`, and each request for them in
//! `dynamo_metrics_rejected_label_values_total`.
//!
//! A model that all workers have left is remembered: `model_ready` is 0, requests for it are counted under its name, and its
//! series continue when a worker comes back. Where [`MODELS_MAX`] names are known, the model that its workers left first
//! is removed, unless a request for it is in progress.

use super::catalogue::Catalogue;
use super::model_metrics::ModelMetrics;
use crate::names::frontend_service::UNKNOWN_MODEL;
use dynamo_metrics_core::{
    Counter,
    limits::{LABEL_VALUE_BYTES_MAX, OPERATOR_LABEL_VALUE_BYTES_MAX},
};
use parking_lot::RwLock;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

/// Largest number of models that one frontend shows. Where as many have workers, the registration of one more is
/// [refused](Registration::BeyondLimit). Each is about a hundred lines of every scrape.
pub const MODELS_MAX: usize = 1000;
/// Largest number of bytes of the name of a model that a worker serves. Longer names are refused and not cut, because two
/// models must not become one series. Names that only clients use are cut at [`LABEL_VALUE_BYTES_MAX`].
pub const MODEL_NAME_BYTES_MAX: usize = OPERATOR_LABEL_VALUE_BYTES_MAX;

/// The limits of a model, from a worker's registration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelCard {
    /// Tokens of the longest sequence. 0, the default, where it is not known; the gauge then shows 0.
    pub context_length: u64,
    /// Tokens of one KV cache block. 0, the default, where it is not known; the gauge then shows 0.
    pub kv_cache_block_size: u64,
    /// Largest number of times that a request may be moved to another worker; 0, the default, where requests are not moved.
    pub migration_limit: u64,
}

/// The limits of a worker, from its registration. A value that is `None` has no series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeConfig {
    /// KV cache blocks.
    pub total_kv_blocks: Option<u64>,
    /// Sequences that it runs at a time.
    pub max_num_seqs: Option<u64>,
    /// Tokens that it takes in one batch.
    pub max_num_batched_tokens: Option<u64>,
}

/// The result of a worker's registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Registration {
    /// The worker is the model's first, or its only one and registers again; its card is shown.
    First,
    /// The model has other workers; the card that is shown stays.
    Later,
    /// The frontend has [`MODELS_MAX`] models with workers; requests for this one are counted as `unknown_model`.
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
    /// The handles of `unknown_model` and the counter of its requests, from the first of them on.
    unknown: OnceLock<(Arc<ModelMetrics>, Counter)>,
}

#[derive(Debug, Default)]
struct Known {
    /// The models by name, with those that all workers have left.
    models: HashMap<Box<str>, Model>,
    /// Models without a worker that have series, until a worker comes. Never a name of `models`.
    unserved: HashMap<Box<str>, Arc<ModelMetrics>>,
    /// Number of times that a model lost its last worker.
    departures: u64,
}

#[derive(Debug)]
struct Model {
    metrics: Arc<ModelMetrics>,
    /// Numbers of the workers that serve it. Not bounded here: the operator starts them.
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

    /// Registers a worker: `instance_id` is its number in the fleet, `model` the value of its label, the same in every
    /// metric.
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
            // A worker that restarts with other settings and its old number need not leave first.
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
        // Under the lock, so that the cards of two workers are shown in the order of their registrations.
        self.catalogue.show(model, card, config);
        Registration::First
    }

    /// Removes a worker; returns whether it was registered. The last one's removal removes the model's card.
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

    /// Returns whether a worker serves the model of exactly this name.
    pub fn is_served(&self, model: &str) -> bool {
        self.known.read().models.get(model).is_some_and(Model::is_served)
    }

    /// Returns whether workers served the model of exactly this name, and all of them have left. Such a model is remembered
    /// until [`MODELS_MAX`] others are known: a request for it is for a service that is down, not for an unknown name.
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

    /// Returns the names of all models with a worker, sorted.
    pub fn served(&self) -> Vec<String> {
        let known = self.known.read();
        let served = known.models.iter().filter(|(_, model)| model.is_served());
        let mut names: Vec<String> = served.map(|(name, _)| name.to_string()).collect();
        names.sort();
        names
    }

    /// Returns the handles of a model, or those of `unknown_model`.
    pub(crate) fn resolve(&self, model: &str) -> Arc<ModelMetrics> {
        let max = self.catalogue.unserved_models_max;
        let known = self.known.read();
        if let Some(there) = known.get(model) {
            return there;
        }
        // No worker has registered the name: it is a client's.
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

    /// Creates series for a model without a worker, if the limit allows it.
    #[cold]
    fn let_in(&self, model: &str, max: usize) -> Option<Arc<ModelMetrics>> {
        let mut known = self.known.write();
        // Another thread may have been quicker.
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

    /// Removes the model that its workers left first; returns whether there was one.
    fn make_room(&self, known: &mut Known) -> bool {
        // A request that holds the handles may still create a series. No other thread can get the handles while
        // this lock is held for writing, so a count of one stays one.
        let idle = |model: &Model| !model.is_served() && Arc::strong_count(&model.metrics) == 1;
        let gone = known.models.iter().filter(|(_, model)| idle(model));
        let Some(name) = gone.min_by_key(|(_, model)| model.departed).map(|(name, _)| name.clone())
        else {
            return false;
        };
        known.models.remove(&name);
        self.catalogue.remove(&name);
        true
    }
}

impl Known {
    /// Returns the handles of a model that has or had a worker.
    fn get(&self, model: &str) -> Option<Arc<ModelMetrics>> {
        self.models.get(model).map(|there| Arc::clone(&there.metrics))
    }
}

/// Cuts a client's name to the length of a label value.
fn cut(model: &str) -> &str {
    &model[..model.floor_char_boundary(LABEL_VALUE_BYTES_MAX)]
}

impl Model {
    fn is_served(&self) -> bool {
        !self.instances.is_empty()
    }
}

#[cfg(test)]
mod tests;
