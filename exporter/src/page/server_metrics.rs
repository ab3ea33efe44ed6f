//! The metrics about a server, from its telemetry.

use dynamo_metrics_core::{Opts, RegisterError, Registry};
use dynamo_metrics_server::{Limit, ServerTelemetry};
use std::sync::Arc;

/// Registers the metrics about a server as `dynamo_metrics_server_*`, with the label `server`: connections, responses, limits
/// that were hit, compression and the web configuration.
///
/// Limits that were hit and errors are printed from the first on, and traffic only if [`Registry::print_details`] asks for it, so
/// that a server costs its scrapers one series, `dynamo_metrics_server_config_last_reload_successful`.
///
/// ```
/// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut, register_telemetry};
///
/// let registry = Registry::new();
/// let exporter = Exporter::new(&registry);
/// let server = exporter.listen("127.0.0.1:0")?;
/// register_telemetry(&registry, "metrics", server.telemetry())?;
/// registry.print_details(true);
/// let mut page = BytesMut::new();
/// exporter.exposition().write(&mut page);
/// let connections = "dynamo_metrics_server_connections_total{server=\"metrics\"} 0\n";
/// assert!(std::str::from_utf8(&page)?.contains(connections));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The registry has the metrics of a server of this name already.
pub fn register_telemetry(
    registry: &Registry,
    server: &str,
    telemetry: &Arc<ServerTelemetry>,
) -> Result<(), RegisterError> {
    register_mounted_telemetry(registry, server, telemetry)?;
    let opts = |name: &str, help: &str| opts(server, name, help);
    let detail = |name, help, value: fn(&ServerTelemetry) -> u64| {
        let telemetry = Arc::clone(telemetry);
        registry.detail_counter_callback(opts(name, help), move || value(&telemetry))
    };
    detail("connections_total", "Connections accepted.", ServerTelemetry::connections_accepted)?;
    // From the first on, as limits that were hit.
    let rare = |name, help, value: fn(&ServerTelemetry) -> u64| {
        let telemetry = Arc::clone(telemetry);
        registry.rare_counter_callback(opts(name, help), move || value(&telemetry))
    };
    detail("password_checks_total", "bcrypt computations.", ServerTelemetry::password_checks)?;
    detail(
        "config_reloads_total",
        "Changes of the web configuration that were taken.",
        ServerTelemetry::config_reloads,
    )?;
    rare(
        "config_reload_errors_total",
        "Changes of the web configuration that were not taken.",
        ServerTelemetry::config_reload_errors,
    )?;
    let current = Arc::clone(telemetry);
    registry.gauge_callback(
        opts(
            "config_last_reload_successful",
            "Whether the web configuration is that of its files.",
        ),
        move || f64::from(u8::from(current.config_is_current())),
    )?;
    let open = Arc::clone(telemetry);
    registry
        .detail_gauge_callback(opts("open_connections", "Connections open now."), move || {
            open.connections_open() as f64
        })?;
    for &limit in Limit::ALL.iter().filter(|limit| !OF_SCRAPES.contains(limit)) {
        limit_hits(registry, server, telemetry, limit)?;
    }
    Ok(())
}

/// Registers the metrics about a [`MetricsService`](dynamo_metrics_server::MetricsService) in the same families, without those
/// of connections and passwords, which the host's server handles.
///
/// ```
/// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut, register_mounted_telemetry};
///
/// let registry = Registry::new();
/// let exporter = Exporter::new(&registry);
/// let service = exporter.mount()?;
/// register_mounted_telemetry(&registry, "frontend", service.telemetry())?;
/// registry.print_details(true);
/// let mut page = BytesMut::new();
/// exporter.exposition().write(&mut page);
/// let gathers = "dynamo_metrics_server_gathers_total{server=\"frontend\"} 0\n";
/// assert!(std::str::from_utf8(&page)?.contains(gathers));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The registry has the metrics of a server of this name already.
pub fn register_mounted_telemetry(
    registry: &Registry,
    server: &str,
    telemetry: &Arc<ServerTelemetry>,
) -> Result<(), RegisterError> {
    let opts = |name: &str, help: &str| opts(server, name, help);
    let detail = |name, help, value: fn(&ServerTelemetry) -> u64| {
        let telemetry = Arc::clone(telemetry);
        registry.detail_counter_callback(opts(name, help), move || value(&telemetry))
    };
    let rare = |name, help, value: fn(&ServerTelemetry) -> u64| {
        let telemetry = Arc::clone(telemetry);
        registry.rare_counter_callback(opts(name, help), move || value(&telemetry))
    };
    detail(
        "batches_total",
        "Collections, each shared by all scrapes that waited for it.",
        ServerTelemetry::batches,
    )?;
    detail("gathers_total", "Expositions written.", ServerTelemetry::gathers)?;
    detail(
        "shared_scrapes_total",
        "Scrapes answered with an exposition that another one was waiting for.",
        ServerTelemetry::scrapes_shared,
    )?;
    rare("gather_errors_total", "Expositions that failed.", ServerTelemetry::gather_errors)?;
    rare("gather_panics_total", "Expositions that panicked.", ServerTelemetry::gather_panics)?;
    detail("compressions_total", "Bodies compressed.", ServerTelemetry::compressions)?;
    detail("compressed_bytes_total", "Bytes of compressed bodies, as sent.", |telemetry| {
        telemetry.compression_bytes().1
    })?;
    detail(
        "uncompressed_bytes_total",
        "Bytes of compressed bodies, before they were.",
        |telemetry| telemetry.compression_bytes().0,
    )?;
    for class in [2u16, 3, 4, 5] {
        let telemetry = Arc::clone(telemetry);
        registry.detail_counter_callback(
            opts("responses_total", "Responses by class of status.")
                .const_label("class", format!("{class}xx")),
            move || telemetry.responses(class),
        )?;
    }
    for &limit in OF_SCRAPES {
        limit_hits(registry, server, telemetry, limit)?;
    }
    Ok(())
}

/// The limits of a mounted service.
const OF_SCRAPES: &[Limit] = &[Limit::Scrapes, Limit::ScrapeDeadline];

fn opts(server: &str, name: &str, help: &str) -> Opts {
    Opts::new(format!("dynamo_metrics_server_{name}"), help).const_label("server", server)
}

fn limit_hits(
    registry: &Registry,
    server: &str,
    telemetry: &Arc<ServerTelemetry>,
    limit: Limit,
) -> Result<(), RegisterError> {
    let telemetry = Arc::clone(telemetry);
    let opts = opts(server, "limit_hits_total", "How often a limit was met.");
    registry.rare_counter_callback(opts.const_label("limit", limit.as_str()), move || {
        telemetry.limit_hits(limit)
    })?;
    Ok(())
}
