//! The families of the frontend.
//!
//! The names, types, label names and bounds are those of Dynamo 0.9.0; `rejected_requests_total`,
//! `cancelled_requests_total` and `model_ready` are ours.

use super::card::CardGauges;
use super::config::{FrontendBuckets, FrontendConfig};
use super::distribution::{Distributions, Values};
use super::families::Families;
use super::model_metrics::{CALLS, MIGRATIONS, OUTCOMES};
use super::models::{MODELS_MAX, ModelCard, RuntimeConfig};
use super::vocabulary::{HttpEndpoint, RejectionReason};
use crate::clock::Clock;
use crate::error::MetricsError;
use crate::names::{frontend_service as names, labels};
use dynamo_metrics_core::{
    Counter, EnumeratedFamily, Family, FloatCounter, RegisterError, Registry, Scale, UpDownCounter,
};
use std::sync::Arc;

/// Ranges of native buckets, where a frontend has them: 0.12 ms to 68 minutes, and 1 to a million tokens; times and numbers
/// beyond are in the outermost buckets. 26 and 20 powers of two are 208 and 160 buckets.
const SECONDS: Values = Values { scale: Scale::Nano, native: (0.000_123, 4096.0) };
const TOKENS: Values = Values { scale: Scale::One, native: (1.0, 1_048_576.0) };

/// The families of one frontend, and its clock.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) disconnected_clients: UpDownCounter,
    pub(super) inflight: Family<UpDownCounter, 1>,
    pub(super) queued: Family<UpDownCounter, 1>,
    pub(super) histograms: Histograms,
    pub(super) counters: Counters,
    cards: CardGauges,
    rejected: EnumeratedFamily<Counter, 2, (HttpEndpoint, RejectionReason)>,
    rejected_labels: Family<Counter, 1>,
    /// Number of models that get series though no worker serves them.
    pub(super) unserved_models_max: usize,
}

/// The histograms of each model.
#[derive(Debug)]
pub(super) struct Histograms {
    pub(super) input_tokens: Distributions,
    pub(super) cached_tokens: Distributions,
    pub(super) output_tokens: Distributions,
    pub(super) inter_token_latency: Distributions,
    pub(super) time_to_first_token: Distributions,
    pub(super) request_duration: Distributions,
}

impl Histograms {
    fn new(families: &Families<'_>, buckets: &FrontendBuckets) -> Result<Self, RegisterError> {
        Ok(Self {
            input_tokens: families.histogram(
                names::INPUT_SEQUENCE_TOKENS,
                "Tokens of the prompt, for each request that got a token.",
                &buckets.input_sequence,
                TOKENS,
            )?,
            cached_tokens: families.histogram(
                names::CACHED_TOKENS,
                "Tokens of the prompt that a prefix cache held, for each request that reports them.",
                &buckets.input_sequence,
                TOKENS,
            )?,
            output_tokens: families.histogram(
                names::OUTPUT_SEQUENCE_TOKENS,
                "Tokens of the response, for each finished request.",
                &buckets.output_sequence,
                TOKENS,
            )?,
            inter_token_latency: families.histogram(
                names::INTER_TOKEN_LATENCY_SECONDS,
                "Time from one token to the next, in seconds.",
                &buckets.inter_token_latency,
                SECONDS,
            )?,
            time_to_first_token: families.traced_histogram(
                names::TIME_TO_FIRST_TOKEN_SECONDS,
                "Time from the start of the handler to the first token, in seconds.",
                &buckets.time_to_first_token,
                SECONDS,
            )?,
            request_duration: families.traced_histogram(
                names::REQUEST_DURATION_SECONDS,
                "Time from the start of the handler to the end of the response, in seconds.",
                &buckets.request_duration,
                SECONDS,
            )?,
        })
    }

    fn remove(&self, model: &str) {
        for family in [
            &self.input_tokens,
            &self.cached_tokens,
            &self.output_tokens,
            &self.inter_token_latency,
            &self.time_to_first_token,
            &self.request_duration,
        ] {
            family.remove([model]);
        }
    }
}

/// The counters of each model.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) output_tokens: Family<Counter, 1>,
    pub(super) requests: Family<Counter, 4>,
    pub(super) cancelled: Family<FloatCounter, 3>,
    pub(super) migrations: Family<Counter, 2>,
}

impl Counters {
    fn new(families: &Families<'_>) -> Result<Self, RegisterError> {
        Ok(Self {
            output_tokens: families.counter(
                names::OUTPUT_TOKENS_TOTAL,
                "Tokens of responses, counted as they come.",
                1,
                [labels::MODEL],
            )?,
            requests: families.counter(
                names::REQUESTS_TOTAL,
                "Finished requests; rejected ones are not among them.",
                OUTCOMES,
                [
                    labels::MODEL,
                    names::ENDPOINT_LABEL,
                    names::REQUEST_TYPE_LABEL,
                    names::STATUS_LABEL,
                ],
            )?,
            cancelled: families.part_counter(
                names::CANCELLED_REQUESTS_TOTAL,
                "Requests whose client went away before the response was complete; each is also in requests_total, as an error.",
                CALLS,
                [labels::MODEL, names::ENDPOINT_LABEL, names::REQUEST_TYPE_LABEL],
            )?,
            migrations: families.counter(
                names::MODEL_MIGRATION_TOTAL,
                "Requests moved to another worker because their own was not available.",
                MIGRATIONS,
                [labels::MODEL, names::MIGRATION_TYPE_LABEL],
            )?,
        })
    }

    fn remove(&self, model: &str) {
        self.output_tokens.remove([model]);
        self.cancelled.remove_matching(&[(labels::MODEL, model)]);
        self.requests.remove_matching(&[(labels::MODEL, model)]);
        self.migrations.remove_matching(&[(labels::MODEL, model)]);
    }
}

impl Catalogue {
    pub(super) fn new(registry: &Registry, config: FrontendConfig) -> Result<Self, MetricsError> {
        let FrontendConfig { prefix, buckets, native_histograms, unserved_models_max, clock } =
            config;
        let unserved_models_max = unserved_models_max.min(MODELS_MAX);
        let families = Families::new(registry, &prefix, unserved_models_max, native_histograms);
        Ok(Self {
            clock,
            disconnected_clients: registry.up_down_counter(families.named(
                names::DISCONNECTED_CLIENTS,
                "Clients that closed their connection before their response was complete.",
            ))?,
            inflight: families.up_down_counter(
                names::INFLIGHT_REQUESTS,
                "Requests from the start of their handler to the end of their response.",
            )?,
            queued: families.nested(
                names::QUEUED_REQUESTS,
                "Requests from the start of their handler to their first token, prefill included.",
            )?,
            histograms: Histograms::new(&families, &buckets)?,
            counters: Counters::new(&families)?,
            cards: CardGauges::new(&families)?,
            rejected: rejected(&families)?.enumerated(),
            rejected_labels: registry.counter_family(
                (
                    names::REJECTED_LABEL_VALUES_TOTAL,
                    "Requests with a label value that gets no series of its own, by label.",
                ),
                [names::LABEL_LABEL],
            )?,
            unserved_models_max,
        })
    }

    /// Returns the counter of requests for models that are shown as `unknown_model`, which has a series from the first
    /// call on.
    pub(super) fn rejected_models(&self) -> Counter {
        self.rejected_labels.with([labels::MODEL])
    }

    pub(super) fn reject(&self, endpoint: HttpEndpoint, reason: RejectionReason) {
        self.rejected.visit((endpoint, reason), Counter::inc);
    }

    /// Shows a model that a worker serves, and its card.
    pub(super) fn show(&self, model: &str, card: &ModelCard, config: &RuntimeConfig) {
        self.cards.show(model, card, config);
    }

    /// Shows that no worker serves the model any more.
    pub(super) fn hide(&self, model: &str) {
        self.cards.hide(model);
    }

    /// Removes every series of a model that no worker serves any more.
    pub(super) fn remove(&self, model: &str) {
        self.inflight.remove([model]);
        self.queued.remove([model]);
        self.histograms.remove(model);
        self.counters.remove(model);
        self.cards.remove(model);
    }
}

fn rejected(families: &Families<'_>) -> Result<Family<Counter, 2>, RegisterError> {
    let opts = families.named(
        names::REJECTED_REQUESTS_TOTAL,
        "Requests that were turned away before they were worked on, by reason.",
    );
    families.registry.counter_family(opts, [names::ENDPOINT_LABEL, names::REASON_LABEL])
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics_core::{Kind, Snapshot};

    #[test]
    fn parts_are_read_before_their_wholes() {
        // Asked of the registry, since a test cannot choose the instant of a scrape between two recordings.
        let registry = Registry::new();
        Catalogue::new(&registry, FrontendConfig::default()).unwrap();
        let mut snapshot = Snapshot::new();
        snapshot.take(&registry);
        let families = Families::new(&registry, "dynamo_frontend", 0, false);
        let help = |name: &str| {
            let name = format!("dynamo_frontend_{name}");
            snapshot.families().find(|family| family.name() == name).unwrap().help()
        };
        let (inflight, queued) = (names::INFLIGHT_REQUESTS, names::QUEUED_REQUESTS);
        assert!(families.nested(queued, help(queued)).is_ok());
        assert!(families.up_down_counter(queued, help(queued)).is_err());
        assert!(families.up_down_counter(inflight, help(inflight)).is_ok());
        let cancelled =
            snapshot.families().find(|it| it.name() == "dynamo_frontend_cancelled_requests_total");
        let kind = cancelled.unwrap().parts().next().unwrap().descriptor().kind();
        assert_eq!(kind, Kind::FloatCounter, "read before requests_total, whose part it is");
    }

    #[test]
    fn an_invalid_prefix_or_bounds_are_refused() {
        let refused = |config| Catalogue::new(&Registry::new(), config).unwrap_err();
        let error = refused(FrontendConfig { prefix: "my llm".into(), ..Default::default() });
        assert!(matches!(error, MetricsError::Register(RegisterError::InvalidName { .. })));
        let mut config = FrontendConfig::default();
        config.buckets.input_sequence = super::super::config::BucketBounds::Listed(vec![2.0, 1.0]);
        let error = refused(config);
        assert!(matches!(error, MetricsError::Register(RegisterError::Buckets { .. })), "{error}");
        assert!(error.to_string().contains("dynamo_frontend_input_sequence_tokens"), "{error}");
    }
}
