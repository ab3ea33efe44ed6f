//! Pushes pages to an OpenTelemetry receiver, where the environment names one (`OTEL_EXPORTER_OTLP_ENDPOINT`).

use dynamo_metrics::{Exporter, OtlpPusher, OtlpSettings};
use dynamo_metrics_sim::Failure;

/// Pushes this page until the returned value is dropped; `None` where no receiver is named. Unless the environment says
/// otherwise the service is `dynamo-ROLE`, and its instance this process.
pub(crate) fn start(exporter: &Exporter, role: &str) -> Result<Option<OtlpPusher>, Failure> {
    let variable = |name: &str| Some(std::env::var_os(name)?.to_string_lossy().into_owned());
    let Some(settings) = OtlpSettings::read(variable)? else { return Ok(None) };
    let settings = settings
        .attribute_or("service.name", format!("dynamo-{role}"))
        .attribute_or("service.instance.id", instance());
    Ok(Some(exporter.push_otlp(settings)?))
}

/// The machine and the process: names of machines are alike in containers, and process numbers too, but rarely both.
fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", host.trim(), std::process::id())
}
