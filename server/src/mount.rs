//! Scrapes for a program that has an HTTP server of its own, and an async one.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, Uri};

use crate::error::StartError;
use crate::scrape::gather::{GATHER_THREAD, GatherQueue};
use crate::scrape::service::ScrapeService;
use crate::server::ServerBuilder;
use crate::telemetry::ServerTelemetry;

/// Answers scrapes inside another HTTP server, as this crate's own server does behind `/metrics`: one collection for all
/// scrapes that wait, on a thread of its own, reused buffers, compression, the scraper's timeout, a limit on the scrapes
/// that wait. Made by [`ServerBuilder::mount`].
///
/// Paths, methods, connections and their deadlines are those of the host. Dropping it answers the scrapes that wait with
/// 503, and ends the thread after the collection in progress.
///
/// ```
/// use dynamo_metrics_server::bytes::BytesMut;
/// use dynamo_metrics_server::http::{HeaderMap, Uri};
/// use dynamo_metrics_server::{ContentType, ScrapeRequest, Server};
///
/// let service = Server::builder()
///     .exposition(|_: &ScrapeRequest<'_>, body: &mut BytesMut| {
///         body.extend_from_slice(b"requests_total{code=\"200\"} 1\n".repeat(1000).as_slice());
///         Ok(ContentType::TEXT_0_0_4)
///     })
///     .mount()?;
/// let mut headers = HeaderMap::new();
/// headers.insert("accept-encoding", "gzip".parse()?);
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// let response = runtime.block_on(service.respond(&headers, &Uri::from_static("/metrics")));
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["content-encoding"], "gzip");
/// assert!(response.body().len() < 30_000 / 8);
/// assert_eq!(service.telemetry().gathers(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MetricsService {
    scrapes: ScrapeService,
    telemetry: Arc<ServerTelemetry>,
    gathers: Arc<GatherQueue>,
}

impl MetricsService {
    /// Returns the response to a scrape, with all that was recorded before this call. Costs a collection, or a share of
    /// one. A future that is dropped leaves its share to the other scrapes.
    ///
    /// # Panics
    /// If it is polled outside of a tokio runtime with its timer enabled.
    pub async fn respond(&self, headers: &HeaderMap, uri: &Uri) -> Response<Bytes> {
        let response = self.scrapes.respond(headers, uri).await;
        self.telemetry.response(response.status());
        response
    }

    /// Returns its counters; those of connections stay 0.
    #[must_use]
    pub fn telemetry(&self) -> &Arc<ServerTelemetry> {
        &self.telemetry
    }
}

impl Drop for MetricsService {
    fn drop(&mut self) {
        // An exposition that may hang is not waited for; the thread ends by itself.
        self.gathers.close();
    }
}

impl ServerBuilder {
    /// Starts the gather thread alone, for scrapes inside the program's own server. It uses the exposition,
    /// [`compression`](Self::compression), [`telemetry`](Self::telemetry), and of the [`limits`](Self::limits) those on
    /// scrapes; the other settings have no effect. Costs a thread.
    ///
    /// # Errors
    /// A [`StartError`] that names the setting at fault.
    pub fn mount(self) -> Result<MetricsService, StartError> {
        self.limits.validate()?;
        let start_gatherer = self.gatherer.ok_or(StartError::ExpositionMissing)?;
        let telemetry = self.telemetry;
        let gatherer = start_gatherer(self.compression.clone(), Arc::clone(&telemetry))
            .map_err(|source| StartError::Thread { thread: GATHER_THREAD, source })?;
        let gathers = gatherer.queue();
        let scrapes = ScrapeService::new(
            Arc::clone(&gathers),
            self.compression,
            &self.limits,
            Arc::clone(&telemetry),
        );
        Ok(MetricsService { scrapes, telemetry, gathers })
    }
}
