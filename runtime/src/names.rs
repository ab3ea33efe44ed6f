//! Names of metrics and labels, and the values that labels may have.
//!
//! The nouns are those of Dynamo's own list (`prometheus_names`), so that a query, a dashboard or a test which
//! spells them from there finds them here: `work_handler::REQUESTS_TOTAL`, `labels::NAMESPACE`. A metric's
//! name is its prefix, one `_` and its suffix; the modules below hold suffixes.
//!
//! The two functions at the end convert any text to a name that scrapers accept.

use thiserror::Error;

/// First parts of metric names.
pub mod name_prefix {
    /// Prefix of metrics made through the hierarchy, on workers' system ports.
    pub const COMPONENT: &str = "dynamo_component";
    /// Prefix of the HTTP frontend's metrics, unless `DYN_METRICS_PREFIX` says otherwise.
    pub const FRONTEND: &str = "dynamo_frontend";
    /// Prefix of the preprocessor's metrics, the one specialized component that Dynamo's documentation names.
    pub const PREPROCESSOR: &str = "dynamo_preprocessor";
}

/// Names of labels.
pub mod labels {
    /// Label of all metrics below a namespace, set by the hierarchy: the namespace.
    pub const NAMESPACE: &str = "dynamo_namespace";
    /// Label of all metrics below a component, set by the hierarchy: the component.
    pub const COMPONENT: &str = "dynamo_component";
    /// Label of all metrics of an endpoint, set by the hierarchy: the endpoint.
    pub const ENDPOINT: &str = "dynamo_endpoint";
    /// The labels that the hierarchy sets. No metric may have them as its own.
    pub const AUTOMATIC: [&str; 3] = [NAMESPACE, COMPONENT, ENDPOINT];
    /// Label: the model's name as its worker registered it.
    pub const MODEL: &str = "model";
    /// Label: the model's name, under the name that some engines use for it; for [`serve`](crate::Endpoint::serve).
    pub const MODEL_NAME: &str = "model_name";
    /// Label: a worker's instance number, decimal.
    pub const WORKER_ID: &str = "worker_id";
}

/// Names of components that Dynamo itself uses.
pub mod component_names {
    /// The KV router.
    pub const ROUTER: &str = "router";
}

/// Suffixes, labels and label values of the frontend.
pub mod frontend_service {
    /// Gauge: requests from the start of the handler to the end of the response.
    pub const INFLIGHT_REQUESTS: &str = "inflight_requests";
    /// Gauge: requests from the start of the handler to the first token.
    pub const QUEUED_REQUESTS: &str = "queued_requests";
    /// Gauge that only rises: clients that closed before they had their response.
    pub const DISCONNECTED_CLIENTS: &str = "disconnected_clients";
    /// Histogram, in tokens: length of a prompt.
    pub const INPUT_SEQUENCE_TOKENS: &str = "input_sequence_tokens";
    /// Histogram, in tokens: the part of a prompt that a prefix cache held.
    pub const CACHED_TOKENS: &str = "cached_tokens";
    /// Histogram, in seconds: time between two tokens.
    pub const INTER_TOKEN_LATENCY_SECONDS: &str = "inter_token_latency_seconds";
    /// Histogram, in tokens: length of a response.
    pub const OUTPUT_SEQUENCE_TOKENS: &str = "output_sequence_tokens";
    /// Counter: tokens of all responses, as they are produced.
    pub const OUTPUT_TOKENS_TOTAL: &str = "output_tokens_total";
    /// Histogram, in seconds: time from the start of the handler to the end of the response.
    pub const REQUEST_DURATION_SECONDS: &str = "request_duration_seconds";
    /// Counter: finished requests.
    pub const REQUESTS_TOTAL: &str = "requests_total";
    /// Histogram, in seconds: time from the start of the handler to the first token.
    pub const TIME_TO_FIRST_TOKEN_SECONDS: &str = "time_to_first_token_seconds";
    /// Counter: requests moved to another worker.
    pub const MODEL_MIGRATION_TOTAL: &str = "model_migration_total";
    /// Counter: requests that were turned away; see [`rejection_reason`].
    pub const REJECTED_REQUESTS_TOTAL: &str = "rejected_requests_total";
    /// Counter: requests whose client went away before the response was complete.
    pub const CANCELLED_REQUESTS_TOTAL: &str = "cancelled_requests_total";
    /// Gauge: 1 while a worker serves the model, else 0.
    pub const MODEL_READY: &str = "model_ready";
    /// Gauge: KV blocks of a worker.
    pub const MODEL_TOTAL_KV_BLOCKS: &str = "model_total_kv_blocks";
    /// Gauge: sequences that a worker takes at a time.
    pub const MODEL_MAX_NUM_SEQS: &str = "model_max_num_seqs";
    /// Gauge: tokens that a worker takes in a batch.
    pub const MODEL_MAX_NUM_BATCHED_TOKENS: &str = "model_max_num_batched_tokens";
    /// Gauge: tokens of the longest sequence.
    pub const MODEL_CONTEXT_LENGTH: &str = "model_context_length";
    /// Gauge: tokens of one KV block.
    pub const MODEL_KV_CACHE_BLOCK_SIZE: &str = "model_kv_cache_block_size";
    /// Gauge: largest number of migrations of a request.
    pub const MODEL_MIGRATION_LIMIT: &str = "model_migration_limit";

    /// Counter: requests with a label value that gets no series of its own; a whole name.
    pub const REJECTED_LABEL_VALUES_TOTAL: &str = "dynamo_metrics_rejected_label_values_total";
    /// Label: the label whose value it was.
    pub const LABEL_LABEL: &str = "label";

    /// Label: the API that was called; see [`endpoint`].
    pub const ENDPOINT_LABEL: &str = "endpoint";
    /// Label: the form of the response, in one piece or streamed; see [`request_type`].
    pub const REQUEST_TYPE_LABEL: &str = "request_type";
    /// Label: the end of the request; see [`status`].
    pub const STATUS_LABEL: &str = "status";
    /// Label: the state of a request that was moved; see [`migration_type`].
    pub const MIGRATION_TYPE_LABEL: &str = "migration_type";
    /// Label: the reason for which a request was turned away; see [`rejection_reason`].
    pub const REASON_LABEL: &str = "reason";

    /// The model label of requests for a model that no worker serves and that was not let in.
    pub const UNKNOWN_MODEL: &str = "unknown_model";

    /// Values of [`ENDPOINT_LABEL`].
    pub mod endpoint {
        /// `/v1/completions`
        pub const COMPLETIONS: &str = "completions";
        /// `/v1/chat/completions`
        pub const CHAT_COMPLETIONS: &str = "chat_completions";
        /// `/v1/embeddings`
        pub const EMBEDDINGS: &str = "embeddings";
        /// `/v1/images`
        pub const IMAGES: &str = "images";
        /// `/v1/responses`
        pub const RESPONSES: &str = "responses";
        /// Tensors in, tensors out.
        pub const TENSOR: &str = "tensor";
    }

    /// Values of [`REQUEST_TYPE_LABEL`].
    pub mod request_type {
        /// A response in one piece.
        pub const UNARY: &str = "unary";
        /// A response in pieces.
        pub const STREAM: &str = "stream";
    }

    /// Values of [`STATUS_LABEL`].
    pub mod status {
        /// The response was complete.
        pub const SUCCESS: &str = "success";
        /// The response was not complete.
        pub const ERROR: &str = "error";
    }

    /// Values of [`MIGRATION_TYPE_LABEL`].
    pub mod migration_type {
        /// The stream could not be opened.
        pub const NEW_REQUEST: &str = "new_request";
        /// The open stream broke.
        pub const ONGOING_REQUEST: &str = "ongoing_request";
    }

    /// Values of [`REASON_LABEL`].
    pub mod rejection_reason {
        /// HTTP 400.
        pub const VALIDATION: &str = "validation";
        /// HTTP 404.
        pub const NOT_FOUND: &str = "not_found";
        /// HTTP 405.
        pub const METHOD_NOT_ALLOWED: &str = "method_not_allowed";
        /// HTTP 408.
        pub const TIMEOUT: &str = "timeout";
        /// HTTP 413.
        pub const TOO_LARGE: &str = "too_large";
        /// HTTP 415.
        pub const UNSUPPORTED_MEDIA_TYPE: &str = "unsupported_media_type";
        /// HTTP 429.
        pub const OVERLOAD: &str = "overload";
        /// HTTP 503.
        pub const UNAVAILABLE: &str = "unavailable";
    }
}

/// Suffixes and label values of an endpoint's work handler.
pub mod work_handler {
    /// Counter: requests that arrived.
    pub const REQUESTS_TOTAL: &str = "requests_total";
    /// Gauge: requests in progress.
    pub const INFLIGHT_REQUESTS: &str = "inflight_requests";
    /// Counter: bytes of requests as they arrived, header included.
    pub const REQUEST_BYTES_TOTAL: &str = "request_bytes_total";
    /// Counter: bytes of responses as they were serialized, end marker included.
    pub const RESPONSE_BYTES_TOTAL: &str = "response_bytes_total";
    /// Histogram, in seconds: time from arrival to the end of the response.
    pub const REQUEST_DURATION_SECONDS: &str = "request_duration_seconds";
    /// Counter: errors; a request may have several.
    pub const ERRORS_TOTAL: &str = "errors_total";
    /// Label: the step that failed; see [`error_types`].
    pub const ERROR_TYPE_LABEL: &str = "error_type";

    /// Values of [`ERROR_TYPE_LABEL`].
    pub mod error_types {
        /// The request's bytes are not a request.
        pub const DESERIALIZATION: &str = "deserialization";
        /// The message around the request is not valid.
        pub const INVALID_MESSAGE: &str = "invalid_message";
        /// The stream for the response could not be opened.
        pub const RESPONSE_STREAM: &str = "response_stream";
        /// The engine refused or failed.
        pub const GENERATE: &str = "generate";
        /// A part of the response could not be sent; also when the client left.
        pub const PUBLISH_RESPONSE: &str = "publish_response";
        /// The end of the response could not be sent.
        pub const PUBLISH_FINAL: &str = "publish_final";
    }
}

/// Suffixes of the runtime itself.
pub mod distributed_runtime {
    /// Gauge, in seconds: time since the runtime was made.
    pub const UPTIME_SECONDS: &str = "uptime_seconds";
    /// Counter: reads of an engine's page that failed.
    pub const ENGINE_ERRORS_TOTAL: &str = "engine_errors_total";
    /// Counter: parts of an engine's text that were left out of the page.
    pub const ENGINE_WITHHELD_TOTAL: &str = "engine_withheld_total";
    /// Gauge: 1 if the last read of an engine succeeded in time, else 0; a whole name.
    pub const ENGINE_UP: &str = "dynamo_engine_metrics_up";
    /// Gauge, in seconds: age of an engine's families on the page; a whole name.
    pub const ENGINE_AGE_SECONDS: &str = "dynamo_engine_metrics_age_seconds";
    /// Gauge, in seconds: duration of the last read of an engine's metrics; a whole name.
    pub const ENGINE_FETCH_SECONDS: &str = "dynamo_engine_metrics_fetch_duration_seconds";
    /// Counter: callbacks that were not ready for a scrape; a whole name.
    pub const CALLBACK_LATE_TOTAL: &str = "dynamo_metrics_callback_late_total";
    /// Counter: native histograms that were written as classic ones, since scrapers would refuse them; a whole name.
    pub const UNSOUND_NATIVE_HISTOGRAMS_TOTAL: &str =
        "dynamo_metrics_unsound_native_histograms_total";
    /// Gauge, always 1: the version of this library, as a label; a whole name.
    pub const BUILD_INFO: &str = "dynamo_metrics_build_info";
    /// Label: the version.
    pub const VERSION_LABEL: &str = "version";
    /// Label: the metric that a callback computes.
    pub const FAMILY_LABEL: &str = "family";
    /// Label of an engine's own samples: the source that they are from, where several engines are of one kind.
    pub const ENGINE_SOURCE_LABEL: &str = "engine_source";
    /// Label: the source's name.
    pub const SOURCE_LABEL: &str = "source";
    /// Label: the reason of an error.
    pub const REASON_LABEL: &str = "reason";
}

/// Suffixes of KV cache statistics.
pub mod kvstats {
    /// Gauge: blocks in use.
    pub const ACTIVE_BLOCKS: &str = "kvstats_active_blocks";
    /// Gauge: all blocks.
    pub const TOTAL_BLOCKS: &str = "kvstats_total_blocks";
    /// Gauge, 0 to 1: used share of the cache.
    pub const GPU_CACHE_USAGE_PERCENT: &str = "kvstats_gpu_cache_usage_percent";
    /// Gauge, 0 to 1: share of prompt blocks that were found in the cache.
    pub const GPU_PREFIX_CACHE_HIT_RATE: &str = "kvstats_gpu_prefix_cache_hit_rate";
}

/// Suffixes of what the KV router knows about each worker.
pub mod kvrouter {
    /// Gauge: blocks in use.
    pub const WORKER_ACTIVE_BLOCKS: &str = "router_worker_active_blocks";
    /// Gauge: all blocks.
    pub const WORKER_TOTAL_BLOCKS: &str = "router_worker_total_blocks";
    /// Gauge, 0 to 1: used share of the cache.
    pub const WORKER_GPU_CACHE_USAGE_PERCENT: &str = "router_worker_gpu_cache_usage_percent";
    /// Gauge, 0 to 1: share of prompt blocks that were found in the cache.
    pub const WORKER_GPU_PREFIX_CACHE_HIT_RATE: &str = "router_worker_gpu_prefix_cache_hit_rate";
}

/// Suffixes of the preprocessor.
pub mod preprocessor {
    /// Histogram, in seconds: time to turn a prompt into tokens.
    pub const TOKENIZE_SECONDS: &str = "tokenize_seconds";
    /// Counter: bytes of prompts that were turned into tokens.
    pub const PROMPT_BYTES_TOTAL: &str = "prompt_bytes_total";
}

/// The error for a text without a character that names may have.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{input:?} cannot be made a {what}: nothing but underscores is left of it; use letters and digits"
)]
pub struct NameError {
    /// The text.
    pub input: String,
    /// The kind of name.
    pub what: &'static str,
}

/// Converts a text to a metric name, or a part of one, as Dynamo does: a character outside of `[A-Za-z0-9_:]`
/// becomes `_`, and a text that does not begin with a letter or `_` gets a `_` in front.
///
/// ```
/// use dynamo_metrics::names::sanitize_metric_name;
///
/// assert_eq!(sanitize_metric_name("queue-depth.max")?, "queue_depth_max");
/// assert_eq!(sanitize_metric_name("9lives")?, "_9lives");
/// assert!(sanitize_metric_name("--").is_err());
/// # Ok::<(), dynamo_metrics::names::NameError>(())
/// ```
///
/// # Errors
/// The text is empty, or the name would consist of underscores alone.
pub fn sanitize_metric_name(input: &str) -> Result<String, NameError> {
    sanitize(input, "metric name", |c| c == ':')
}

/// Converts a text to a label name, as Dynamo does. The hierarchy converts its names with it to the *values* of the
/// automatic labels, so a component `py-worker` has the value `py_worker`.
///
/// A character outside of `[A-Za-z0-9_]` becomes `_`; a text that begins neither with a letter nor with `_` gets a `_` in
/// front; two or more underscores at the begin are dropped, since Prometheus reserves `__`, and one is put back where a
/// digit follows.
///
/// ```
/// use dynamo_metrics::names::sanitize_label;
///
/// assert_eq!(sanitize_label("my-ns.v1")?, "my_ns_v1");
/// assert_eq!(sanitize_label("@@123")?, "_123");
/// assert!(sanitize_label("").is_err());
/// # Ok::<(), dynamo_metrics::names::NameError>(())
/// ```
///
/// # Errors
/// The text is empty, or the name would consist of underscores alone.
pub fn sanitize_label(input: &str) -> Result<String, NameError> {
    let name = sanitize(input, "label", |_| false)?;
    let stem = name.trim_start_matches('_');
    Ok(match name.len() - stem.len() {
        0 | 1 => name,
        _ if stem.starts_with(|c: char| c.is_ascii_alphabetic()) => stem.into(),
        _ => format!("_{stem}"),
    })
}

fn sanitize(
    input: &str,
    what: &'static str,
    also: impl Fn(char) -> bool,
) -> Result<String, NameError> {
    let keep = |c: char| c.is_ascii_alphanumeric() || c == '_' || also(c);
    let name: String = input.chars().map(|c| if keep(c) { c } else { '_' }).collect();
    if name.chars().all(|c| c == '_') {
        return Err(NameError { input: input.into(), what });
    }
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    Ok(if starts_well { name } else { format!("_{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_out_as_dynamo_shows_them() {
        for (input, label) in [
            ("my-ns.v1", "my_ns_v1"),
            ("back-end", "back_end"),
            ("gen.erate", "gen_erate"),
            ("@@123", "_123"),
            ("__x", "x"),
            ("___x", "x"),
            ("__1", "_1"),
            ("_x", "_x"),
            ("1a", "_1a"),
            ("a__b", "a__b"),
            ("a:b", "a_b"),
            ("münchen", "m_nchen"),
            ("Planner", "Planner"),
        ] {
            assert_eq!(sanitize_label(input).as_deref(), Ok(label), "{input}");
        }
    }

    #[test]
    fn metric_names_keep_colons_but_not_in_front() {
        for (input, name) in [
            ("requests_total", "requests_total"),
            ("vllm:running", "vllm:running"),
            (":x", "_:x"),
            ("9x", "_9x"),
            ("a b/c", "a_b_c"),
            ("__x", "__x"),
            ("ü1", "_1"),
        ] {
            assert_eq!(sanitize_metric_name(input).as_deref(), Ok(name), "{input}");
        }
    }

    #[test]
    fn what_leaves_nothing_is_an_error_and_no_panic() {
        for input in ["", "_", "____", "@@@", "--", "ü"] {
            let error = sanitize_label(input).unwrap_err();
            assert_eq!(error, NameError { input: input.into(), what: "label" });
            assert!(sanitize_metric_name(input).is_err(), "{input}");
        }
    }
}
