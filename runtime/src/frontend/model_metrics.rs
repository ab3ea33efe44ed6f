//! The handles of one model.

use super::catalogue::Catalogue;
use super::distribution::Distribution;
use super::vocabulary::{HttpEndpoint, MigrationType, RequestType, Status};
use dynamo_metrics_core::{Counter, FloatCounter, UpDownCounter};
use std::sync::{Arc, OnceLock};

/// Combinations of the labels of `requests_total` beside the model.
pub(super) const OUTCOMES: usize = CALLS * Status::ALL.len();
/// Combinations of endpoint and request type.
pub(super) const CALLS: usize = HttpEndpoint::ALL.len() * RequestType::ALL.len();
/// Number of migration types.
pub(super) const MIGRATIONS: usize = MigrationType::ALL.len();

/// The handles of one model.
///
/// They are resolved once, when the model's first worker registers, and shared by all its requests, so that no token and
/// no request looks a label up. The series are at zero from then on, so that the first request of a model is in its
/// rates; only each outcome of `requests_total` waits for its first request.
#[derive(Debug)]
pub(crate) struct ModelMetrics {
    pub(super) catalogue: Arc<Catalogue>,
    label: Box<str>,
    pub(super) inflight: UpDownCounter,
    pub(super) queued: UpDownCounter,
    flow: OnceLock<Flow>,
    cached_tokens: OnceLock<Distribution>,
    requests: [OnceLock<Counter>; OUTCOMES],
    /// Parts of `requests`, incremented after them.
    cancelled: [OnceLock<FloatCounter>; CALLS],
    migrations: [OnceLock<Counter>; MIGRATIONS],
}

/// The metrics of every request that is not rejected.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) input_tokens: Distribution,
    pub(super) output_tokens: Distribution,
    pub(super) output_tokens_total: Counter,
    pub(super) inter_token_latency: Distribution,
    pub(super) time_to_first_token: Distribution,
    pub(super) request_duration: Distribution,
}

impl ModelMetrics {
    /// Creates the series of the two gauges; [`flow`](Self::flow) creates others.
    pub(super) fn new(catalogue: &Arc<Catalogue>, label: &str) -> Self {
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
    pub(super) fn flow(&self) -> &Flow {
        self.flow.get_or_init(|| {
            let catalogue = &self.catalogue;
            let label = [&*self.label];
            Flow {
                input_tokens: catalogue.histograms.input_tokens.with(label),
                output_tokens: catalogue.histograms.output_tokens.with(label),
                output_tokens_total: catalogue.counters.output_tokens.with(label),
                inter_token_latency: catalogue.histograms.inter_token_latency.with(label),
                time_to_first_token: catalogue.histograms.time_to_first_token.with(label),
                request_duration: catalogue.histograms.request_duration.with(label),
            }
        })
    }

    /// Creates every series whose labels are known before the first request, so that `rate()` sees the first
    /// event and a dashboard has a line from the start.
    pub(super) fn show_zeros(&self) {
        self.flow();
        self.cached_tokens();
        MigrationType::ALL.iter().for_each(|&kind| {
            self.migrations(kind);
        });
    }

    pub(super) fn cached_tokens(&self) -> &Distribution {
        self.cached_tokens
            .get_or_init(|| self.catalogue.histograms.cached_tokens.with([&self.label]))
    }

    pub(super) fn requests(
        &self,
        endpoint: HttpEndpoint,
        request_type: RequestType,
        status: Status,
    ) -> &Counter {
        let outcome = (endpoint as usize * RequestType::ALL.len() + request_type as usize)
            * Status::ALL.len()
            + status as usize;
        self.requests[outcome].get_or_init(|| {
            // Created at zero with the first outcome, so that `rate()` sees the first cancelled request.
            self.cancelled(endpoint, request_type);
            self.catalogue.counters.requests.with([
                &self.label,
                endpoint.as_str(),
                request_type.as_str(),
                status.as_str(),
            ])
        })
    }

    pub(super) fn cancelled(
        &self,
        endpoint: HttpEndpoint,
        request_type: RequestType,
    ) -> &FloatCounter {
        let call = endpoint as usize * RequestType::ALL.len() + request_type as usize;
        self.cancelled[call].get_or_init(|| {
            let values = [&*self.label, endpoint.as_str(), request_type.as_str()];
            self.catalogue.counters.cancelled.with(values)
        })
    }

    pub(super) fn migrations(&self, migration_type: MigrationType) -> &Counter {
        self.migrations[migration_type as usize].get_or_init(|| {
            self.catalogue.counters.migrations.with([&self.label, migration_type.as_str()])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::FrontendConfig;
    use super::*;
    use dynamo_metrics_core::Registry;

    #[test]
    fn each_outcome_has_its_own_series() {
        let registry = Registry::new();
        let catalogue = Arc::new(Catalogue::new(&registry, FrontendConfig::default()).unwrap());
        let model = ModelMetrics::new(&catalogue, "m");
        for endpoint in HttpEndpoint::ALL {
            for request_type in RequestType::ALL {
                for status in Status::ALL {
                    model.requests(endpoint, request_type, status).inc();
                    let labels = ["m", endpoint.as_str(), request_type.as_str(), status.as_str()];
                    assert_eq!(
                        catalogue.counters.requests.get(labels).unwrap().get(),
                        1,
                        "{labels:?}"
                    );
                }
            }
        }
        assert_eq!(catalogue.counters.requests.len(), OUTCOMES);
    }
}
