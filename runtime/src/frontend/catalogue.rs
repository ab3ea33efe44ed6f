//! Every family of the frontend, and the handles of one model.
//!
//! The names, types, label names and bounds are those of Dynamo 0.9.0; `rejected_requests_total`,
//! `cancelled_requests_total` and `model_ready` are ours. A
//! model's handles are resolved once, when its first worker registers, and shared by all its requests, so that
//! no token and no request looks a label up. They stand at zero from then on, so that the first request of a
//! model is in its rates; only each outcome of `requests_total` waits for its first request.

use super::config::FrontendConfig;
use super::vocabulary::{HttpEndpoint, MigrationType, RejectionReason, RequestType, Status};
use crate::clock::Clock;
use crate::error::MetricsError;
use crate::model::{MODELS_MAX, ModelCard, RuntimeConfig};
use crate::names::{frontend_service as names, labels};
use dynamo_metrics_core::{
    Counter, EnumeratedFamily, Family, Gauge, Histogram, OPERATOR_LABEL_VALUE_BYTES_MAX, Opts,
    RegisterError, Registry, UpDownCounter,
};
use std::sync::{Arc, OnceLock};

/// Combinations of the labels of `requests_total` beside the model.
const OUTCOMES: usize = CALLS * Status::ALL.len();
/// Combinations of endpoint and request type.
const CALLS: usize = HttpEndpoint::ALL.len() * RequestType::ALL.len();
const MIGRATIONS: usize = MigrationType::ALL.len();

/// The families of one frontend, and its clock.
#[derive(Debug)]
pub(crate) struct Catalogue {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disconnected_clients: UpDownCounter,
    inflight: Family<UpDownCounter, 1>,
    queued: Family<UpDownCounter, 1>,
    input_tokens: Family<Histogram, 1>,
    cached_tokens: Family<Histogram, 1>,
    output_tokens: Family<Histogram, 1>,
    inter_token_latency: Family<Histogram, 1>,
    time_to_first_token: Family<Histogram, 1>,
    request_duration: Family<Histogram, 1>,
    output_tokens_total: Family<Counter, 1>,
    requests: Family<Counter, 4>,
    cancelled: Family<Counter, 3>,
    ready: Family<Gauge, 1>,
    migrations: Family<Counter, 2>,
    rejected: EnumeratedFamily<Counter, 2, (HttpEndpoint, RejectionReason)>,
    total_kv_blocks: Family<Gauge, 1>,
    max_num_seqs: Family<Gauge, 1>,
    max_num_batched_tokens: Family<Gauge, 1>,
    context_length: Family<Gauge, 1>,
    kv_cache_block_size: Family<Gauge, 1>,
    migration_limit: Family<Gauge, 1>,
    rejected_labels: Family<Counter, 1>,
    /// How many models get series though nobody serves them.
    pub(crate) unserved_models_max: usize,
}

impl Catalogue {
    pub(crate) fn new(registry: &Registry, config: FrontendConfig) -> Result<Self, MetricsError> {
        let FrontendConfig { prefix, buckets, unserved_models_max, clock } = config;
        let unserved_models_max = unserved_models_max.min(MODELS_MAX);
        let model_series_max = model_series_max(unserved_models_max);
        let named = |name: &str, help: &str| Opts::new(format!("{prefix}_{name}"), help);
        // Names of models that workers serve are the operator's own: two long ones must not become one series.
        let per_model = |opts: Opts, each: usize| {
            opts.series_max(model_series_max * each)
                .label_value_bytes_max(OPERATOR_LABEL_VALUE_BYTES_MAX)
        };
        let opts = |name, help| per_model(named(name, help), 1);
        let model = [labels::MODEL];
        let histogram = |name, help, bounds: &super::BucketBounds| {
            histogram_family(registry, &prefix, name, opts(name, help), bounds)
        };
        // Of a request as a whole, so that a slow one leads to its trace.
        let traced = |name, help, bounds: &super::BucketBounds| {
            histogram_family(registry, &prefix, name, opts(name, help).exemplars(), bounds)
        };
        let gauge = |name, help| registry.gauge_family(opts(name, help), model);
        let disconnected_clients = registry.up_down_counter(named(
            names::DISCONNECTED_CLIENTS,
            "Clients that closed their connection before their response was complete.",
        ))?;
        Ok(Self {
            disconnected_clients,
            inflight: registry.up_down_counter_family(
                opts(
                    names::INFLIGHT_REQUESTS,
                    "Requests from the start of their handler to the end of their response.",
                ),
                model,
            )?,
            queued: registry.up_down_counter_family(
                opts(
                    names::QUEUED_REQUESTS,
                    "Requests from the start of their handler to their first token, prefill included.",
                )
                .nested(),
                model,
            )?,
            input_tokens: histogram(
                names::INPUT_SEQUENCE_TOKENS,
                "Tokens of the prompt, for each request that got a token.",
                &buckets.input_sequence,
            )?,
            cached_tokens: histogram(
                names::CACHED_TOKENS,
                "Tokens of the prompt that a prefix cache held, for each request that reports them.",
                &buckets.input_sequence,
            )?,
            output_tokens: histogram(
                names::OUTPUT_SEQUENCE_TOKENS,
                "Tokens of the response, for each finished request.",
                &buckets.output_sequence,
            )?,
            inter_token_latency: histogram(
                names::INTER_TOKEN_LATENCY_SECONDS,
                "Time from one token to the next, in seconds.",
                &buckets.inter_token_latency,
            )?,
            time_to_first_token: traced(
                names::TIME_TO_FIRST_TOKEN_SECONDS,
                "Time from the start of the handler to the first token, in seconds.",
                &buckets.time_to_first_token,
            )?,
            request_duration: traced(
                names::REQUEST_DURATION_SECONDS,
                "Time from the start of the handler to the end of the response, in seconds.",
                &buckets.request_duration,
            )?,
            output_tokens_total: registry.counter_family(
                opts(names::OUTPUT_TOKENS_TOTAL, "Tokens of responses, counted as they come."),
                model,
            )?,
            requests: registry.counter_family(
                per_model(
                    named(
                        names::REQUESTS_TOTAL,
                        "Finished requests; rejected ones are not among them.",
                    ),
                    OUTCOMES,
                ),
                [
                    labels::MODEL,
                    names::ENDPOINT_LABEL,
                    names::REQUEST_TYPE_LABEL,
                    names::STATUS_LABEL,
                ],
            )?,
            cancelled: registry.counter_family(
                per_model(
                    named(
                        names::CANCELLED_REQUESTS_TOTAL,
                        "Requests whose client went away before the response was complete; each is also in requests_total, as an error.",
                    ),
                    CALLS,
                ),
                [labels::MODEL, names::ENDPOINT_LABEL, names::REQUEST_TYPE_LABEL],
            )?,
            ready: gauge(
                names::MODEL_READY,
                "Whether a worker serves the model now (1), or all that did have left (0).",
            )?,
            migrations: registry.counter_family(
                per_model(
                    named(
                        names::MODEL_MIGRATION_TOTAL,
                        "Requests moved to another worker because their own was not available.",
                    ),
                    MIGRATIONS,
                ),
                [labels::MODEL, names::MIGRATION_TYPE_LABEL],
            )?,
            rejected: registry.counter_family(
                named(
                    names::REJECTED_REQUESTS_TOTAL,
                    "Requests that were turned away before they were worked on, by reason.",
                ),
                [names::ENDPOINT_LABEL, names::REASON_LABEL],
            )?
            .enumerated(),
            total_kv_blocks: gauge(
                names::MODEL_TOTAL_KV_BLOCKS,
                "KV cache blocks of a worker that serves the model.",
            )?,
            max_num_seqs: gauge(
                names::MODEL_MAX_NUM_SEQS,
                "Sequences that a worker which serves the model runs at a time.",
            )?,
            max_num_batched_tokens: gauge(
                names::MODEL_MAX_NUM_BATCHED_TOKENS,
                "Tokens that a worker which serves the model takes in one batch.",
            )?,
            context_length: gauge(
                names::MODEL_CONTEXT_LENGTH,
                "Tokens of the longest sequence that the model takes.",
            )?,
            kv_cache_block_size: gauge(
                names::MODEL_KV_CACHE_BLOCK_SIZE,
                "Tokens of one KV cache block of the model.",
            )?,
            migration_limit: gauge(
                names::MODEL_MIGRATION_LIMIT,
                "How often a request to the model may be moved to another worker.",
            )?,
            rejected_labels: registry.counter_family(
                (
                    names::REJECTED_LABEL_VALUES_TOTAL,
                    "Requests with a label value that gets no series of its own, by label.",
                ),
                [names::LABEL_LABEL],
            )?,
            unserved_models_max,
            clock,
        })
    }

    /// Counts models that are shown as `unknown_model`; shows nothing until it is asked for.
    pub(crate) fn rejected_models(&self) -> Counter {
        self.rejected_labels.with([labels::MODEL])
    }

    pub(crate) fn reject(&self, endpoint: HttpEndpoint, reason: RejectionReason) {
        self.rejected.visit((endpoint, reason), Counter::inc);
    }

    /// Shows a model that a worker serves, and its card; what the worker does not say has no series.
    pub(crate) fn show(&self, model: &str, card: &ModelCard, config: &RuntimeConfig) {
        self.ready.with([model]).set(1.0);
        for (family, value) in [
            (&self.total_kv_blocks, config.total_kv_blocks),
            (&self.max_num_seqs, config.max_num_seqs),
            (&self.max_num_batched_tokens, config.max_num_batched_tokens),
            (&self.context_length, Some(card.context_length)),
            (&self.kv_cache_block_size, Some(card.kv_cache_block_size)),
            (&self.migration_limit, Some(card.migration_limit)),
        ] {
            match value {
                Some(value) => family.with([model]).set(value as f64),
                None => {
                    family.remove([model]);
                }
            }
        }
    }

    /// Shows that no worker serves the model any more, and takes its card back.
    pub(crate) fn hide(&self, model: &str) {
        self.ready.with([model]).set(0.0);
        for family in [
            &self.total_kv_blocks,
            &self.max_num_seqs,
            &self.max_num_batched_tokens,
            &self.context_length,
            &self.kv_cache_block_size,
            &self.migration_limit,
        ] {
            family.remove([model]);
        }
    }

    /// Removes every series of a model that nobody serves any more.
    pub(crate) fn forget(&self, model: &str) {
        for gauges in [&self.inflight, &self.queued] {
            gauges.remove([model]);
        }
        for histograms in [
            &self.input_tokens,
            &self.cached_tokens,
            &self.output_tokens,
            &self.inter_token_latency,
            &self.time_to_first_token,
            &self.request_duration,
        ] {
            histograms.remove([model]);
        }
        self.ready.remove([model]);
        self.output_tokens_total.remove([model]);
        self.cancelled.remove_matching(&[(labels::MODEL, model)]);
        self.requests.remove_matching(&[(labels::MODEL, model)]);
        self.migrations.remove_matching(&[(labels::MODEL, model)]);
    }
}

fn histogram_family(
    registry: &Registry,
    prefix: &str,
    name: &str,
    opts: Opts,
    bounds: &super::BucketBounds,
) -> Result<Family<Histogram, 1>, RegisterError> {
    let named = |source| RegisterError::Buckets { name: format!("{prefix}_{name}"), source };
    let bounds = bounds.buckets().map_err(named)?;
    registry.histogram_family(opts, [labels::MODEL], &bounds)
}

/// Series of a family with one for each model: all that are served, those that are let in without, and one for
/// all others.
const fn model_series_max(unserved_models_max: usize) -> usize {
    MODELS_MAX + unserved_models_max + 1
}

/// The handles of one model.
#[derive(Debug)]
pub(crate) struct ModelMetrics {
    pub(crate) catalogue: Arc<Catalogue>,
    label: Box<str>,
    pub(crate) inflight: UpDownCounter,
    pub(crate) queued: UpDownCounter,
    flow: OnceLock<Flow>,
    cached_tokens: OnceLock<Histogram>,
    requests: [OnceLock<Counter>; OUTCOMES],
    cancelled: [OnceLock<Counter>; CALLS],
    migrations: [OnceLock<Counter>; MIGRATIONS],
}

/// What every request that is worked on moves.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) input_tokens: Histogram,
    pub(crate) output_tokens: Histogram,
    pub(crate) output_tokens_total: Counter,
    pub(crate) inter_token_latency: Histogram,
    pub(crate) time_to_first_token: Histogram,
    pub(crate) request_duration: Histogram,
}

impl ModelMetrics {
    /// Only the two gauges; the rest comes with [`flow`](Self::flow).
    pub(crate) fn new(catalogue: &Arc<Catalogue>, label: &str) -> Self {
        Self {
            inflight: catalogue.inflight.with([label]),
            queued: catalogue.queued.with([label]),
            catalogue: Arc::clone(catalogue),
            label: label.into(),
            flow: OnceLock::new(),
            cached_tokens: OnceLock::new(),
            requests: [const { OnceLock::new() }; OUTCOMES],
            cancelled: [const { OnceLock::new() }; CALLS],
            migrations: [const { OnceLock::new() }; MIGRATIONS],
        }
    }

    #[inline]
    pub(crate) fn flow(&self) -> &Flow {
        self.flow.get_or_init(|| {
            let catalogue = &self.catalogue;
            let label = [&*self.label];
            Flow {
                input_tokens: catalogue.input_tokens.with(label),
                output_tokens: catalogue.output_tokens.with(label),
                output_tokens_total: catalogue.output_tokens_total.with(label),
                inter_token_latency: catalogue.inter_token_latency.with(label),
                time_to_first_token: catalogue.time_to_first_token.with(label),
                request_duration: catalogue.request_duration.with(label),
            }
        })
    }

    /// Makes every series whose labels are known before the first request, so that `rate()` sees the first
    /// event and a dashboard has a line from the start.
    pub(crate) fn show_zeros(&self) {
        self.flow();
        self.cached_tokens();
        MigrationType::ALL.iter().for_each(|&kind| {
            self.migrations(kind);
        });
    }

    pub(crate) fn cached_tokens(&self) -> &Histogram {
        self.cached_tokens.get_or_init(|| self.catalogue.cached_tokens.with([&self.label]))
    }

    pub(crate) fn requests(
        &self,
        endpoint: HttpEndpoint,
        request_type: RequestType,
        status: Status,
    ) -> &Counter {
        let outcome = (endpoint as usize * RequestType::ALL.len() + request_type as usize)
            * Status::ALL.len()
            + status as usize;
        self.requests[outcome].get_or_init(|| {
            // At zero from the first outcome on, so that `rate()` sees the first one, and one can be subtracted from the other.
            self.cancelled(endpoint, request_type);
            self.catalogue.requests.with([
                &self.label,
                endpoint.as_str(),
                request_type.as_str(),
                status.as_str(),
            ])
        })
    }

    pub(crate) fn cancelled(&self, endpoint: HttpEndpoint, request_type: RequestType) -> &Counter {
        let call = endpoint as usize * RequestType::ALL.len() + request_type as usize;
        self.cancelled[call].get_or_init(|| {
            let values = [&*self.label, endpoint.as_str(), request_type.as_str()];
            self.catalogue.cancelled.with(values)
        })
    }

    pub(crate) fn migrations(&self, migration_type: MigrationType) -> &Counter {
        self.migrations[migration_type as usize]
            .get_or_init(|| self.catalogue.migrations.with([&self.label, migration_type.as_str()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics_core::Snapshot;

    #[test]
    fn queued_is_nested_in_inflight() {
        // No scrape can be made to come at the wrong instant, so ask the registry.
        let registry = Registry::new();
        Catalogue::new(&registry, FrontendConfig::default()).unwrap();
        let mut snapshot = Snapshot::new();
        snapshot.take(&registry);
        let again = |name: &str, nested: bool| {
            let family = snapshot.families().find(|family| family.name() == name).unwrap();
            let opts = Opts::new(name, family.help())
                .series_max(model_series_max(0))
                .label_value_bytes_max(OPERATOR_LABEL_VALUE_BYTES_MAX);
            let opts = if nested { opts.nested() } else { opts };
            registry.up_down_counter_family(opts, [labels::MODEL]).is_ok()
        };
        assert!(again("dynamo_frontend_queued_requests", true));
        assert!(!again("dynamo_frontend_queued_requests", false));
        assert!(again("dynamo_frontend_inflight_requests", false));
    }

    #[test]
    fn a_prefix_or_bounds_that_cannot_be_are_refused() {
        let refused = |config| Catalogue::new(&Registry::new(), config).unwrap_err();
        let error = refused(FrontendConfig { prefix: "my llm".into(), ..Default::default() });
        assert!(matches!(error, MetricsError::Register(RegisterError::InvalidName { .. })));
        let mut config = FrontendConfig::default();
        config.buckets.input_sequence = super::super::BucketBounds::Listed(vec![2.0, 1.0]);
        let error = refused(config);
        assert!(matches!(error, MetricsError::Register(RegisterError::Buckets { .. })), "{error}");
        assert!(error.to_string().contains("dynamo_frontend_input_sequence_tokens"), "{error}");
    }

    #[test]
    fn each_outcome_has_a_handle_of_its_own() {
        let registry = Registry::new();
        let catalogue = Arc::new(Catalogue::new(&registry, FrontendConfig::default()).unwrap());
        let model = ModelMetrics::new(&catalogue, "m");
        for endpoint in HttpEndpoint::ALL {
            for request_type in RequestType::ALL {
                for status in Status::ALL {
                    model.requests(endpoint, request_type, status).inc();
                    let labels = ["m", endpoint.as_str(), request_type.as_str(), status.as_str()];
                    assert_eq!(catalogue.requests.get(labels).unwrap().get(), 1, "{labels:?}");
                }
            }
        }
        assert_eq!(catalogue.requests.len(), OUTCOMES);
    }
}
