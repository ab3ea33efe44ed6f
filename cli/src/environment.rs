//! The environment of the process.

use dynamo_metrics::{DistributedRuntime, Environment, HealthStatus};
use dynamo_metrics_sim::Failure;

/// The variables that the program reads beside those of the library, and their use.
#[cfg(test)]
pub(crate) const PROGRAM_VARIABLES: &[(&str, &str)] = &[
    ("DYN_NAMESPACE", "the namespace, where --namespace is not given"),
    ("DYN_METRICS_WORKER_TOKEN", "the token, where --worker-token is not given"),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "the OpenTelemetry receiver (OTLP/HTTP) that pages are pushed to; /v1/metrics is appended",
    ),
    (
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "the same for metrics alone, which comes first; nothing is appended",
    ),
    ("OTEL_EXPORTER_OTLP_HEADERS", "headers of each push, as name=value,name=value"),
    ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "the same for metrics alone, which comes first"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "longest time of a push, in milliseconds"),
    ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "the same for metrics alone, which comes first"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip or none"),
    ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "the same for metrics alone, which comes first"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf; no other is spoken"),
    ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "the same for metrics alone, which comes first"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "milliseconds from one push to the next"),
    ("OTEL_RESOURCE_ATTRIBUTES", "attributes of the pushed resource, as name=value,name=value"),
    ("OTEL_SERVICE_NAME", "its service.name, which Prometheus takes for job"),
    ("OTEL_SDK_DISABLED", "true turns pushes off"),
    ("DYN_LOG", "the filter of the log"),
    ("NO_COLOR", "turns escape sequences off"),
    ("TERM", "`dumb` turns escape sequences off"),
];

/// Reads the environment, printing its warnings.
pub(crate) fn read() -> Result<Environment, Failure> {
    let (environment, warnings) = Environment::from_process()?;
    for warning in warnings {
        eprintln!("dynamo-metrics: warning: {warning}");
    }
    Ok(environment)
}

/// Returns whether a variable is set. An empty value counts as unset, and so does one of spaces.
pub(crate) fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.to_string_lossy().trim().is_empty())
}

/// Marks the process as ready, unless the environment sets its status: `notready` keeps it out of rotation until an
/// endpoint has a say, as in Dynamo.
pub(crate) fn set_ready(runtime: &DistributedRuntime) {
    if !is_set("DYN_SYSTEM_STARTING_HEALTH_STATUS") {
        runtime.health().set_system(HealthStatus::Ready);
    }
}
