#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

// Floors: a module uses those below it, never those above (`ci/floors.sh`).
//
// server, mount, running, start    the settings, and what is made of them
// http                             HTTP/1.1 over one connection: validation, routes, responses
// scrape                           from a request for metrics to its page
// auth                             the web configuration: TLS, passwords, rate limit
// net                              listeners, connections and their deadlines
// response                         responses as the server writes them
// telemetry, limits, reason, error counters, bounds, their names, errors of the start
mod auth;
mod error;
pub mod http;
mod limits;
mod mount;
mod net;
mod reason;
mod response;
mod running;
mod scrape;
mod server;
mod start;
mod telemetry;

// The public interface is:
pub use crate::{
    error::StartError,
    http::{
        cors::{CorsOriginError, CorsOrigins},
        health::{Health, HealthAnswer},
        landing::LandingPage,
        static_page::StaticPage,
    },
    limits::Limits,
    mount::MetricsService,
    reason::Limit,
    running::{RunningServer, ShutdownReport},
    scrape::{
        batch::Batch,
        compress::Compression,
        deadline::ScrapeDeadline,
        exposition::Exposition,
        gzip::GzipLines,
        memory::try_reserve,
        outcome::{ContentType, ExposeError},
        request::ScrapeRequest,
        response::metrics_response,
    },
    server::{Server, ServerBuilder},
    telemetry::ServerTelemetry,
};
// Its types are in our signatures.
pub use bytes;
