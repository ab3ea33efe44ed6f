//! Scrapes for a program that has an HTTP server of its own, and an async one.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, Uri};

use crate::error::StartError;
use crate::gather::{GATHER_THREAD, GatherQueue, Gatherer};
use crate::scraping::Scraping;
use crate::server::ServerBuilder;
use crate::telemetry::ServerTelemetry;

/// Answers scrapes inside another HTTP server, with all that this crate's own server does behind
/// `/metrics`: one gather for all who wait, on a thread of its own, buffers that come back,
/// compression, the scraper's timeout, a limit on those who wait. Made by [`ServerBuilder::mount`].
///
/// Paths, methods, connections and their deadlines are the host's. Dropping it answers whoever still
/// waits with 503, and ends the thread after the gather in progress.
///
/// ```
/// use dynamo_metrics_server::bytes::BytesMut;
/// use dynamo_metrics_server::http::{HeaderMap, Uri};
/// use dynamo_metrics_server::{ContentType, ScrapeRequest, Server};
///
/// let service = Server::builder()
///     .exposition(|_: &ScrapeRequest<'_>, body: &mut BytesMut| {
///         body.extend_from_slice(b"up 1\n".repeat(1000).as_slice());
///         Ok(ContentType::TEXT_0_0_4)
///     })
///     .mount()?;
/// let mut headers = HeaderMap::new();
/// headers.insert("accept-encoding", "gzip".parse()?);
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// let response = runtime.block_on(service.respond(&headers, &Uri::from_static("/metrics")));
/// assert_eq!(response.status(), 200);
/// assert_eq!(response.headers()["content-encoding"], "gzip");
/// assert!(response.body().len() < 200);
/// assert_eq!(service.telemetry().gathers(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MetricsService {
    scraping: Scraping,
    telemetry: Arc<ServerTelemetry>,
    gathers: Arc<GatherQueue>,
}

impl MetricsService {
    /// The response to a scrape: what it shows was recorded before this call or later. Costs a gather,
    /// or a share of one. Dropped before it is done, it leaves its gather to the others.
    ///
    /// # Panics
    /// Outside of a tokio runtime with its timer enabled.
    pub async fn respond(&self, headers: &HeaderMap, uri: &Uri) -> Response<Bytes> {
        let response = self.scraping.respond(headers, uri).await;
        self.telemetry.response(response.status());
        response
    }

    /// What it counts; of connections it knows nothing.
    #[must_use]
    pub fn telemetry(&self) -> &Arc<ServerTelemetry> {
        &self.telemetry
    }
}

impl Drop for MetricsService {
    fn drop(&mut self) {
        // Nobody waits for a gather that may hang; the thread ends by itself.
        self.gathers.close();
    }
}

impl ServerBuilder {
    /// Starts only what answers scrapes, to be mounted in the program's own server. Of the settings
    /// count the exposition, [`compression`](Self::compression), [`telemetry`](Self::telemetry), and of
    /// the [`limits`](Self::limits) those on scrapes. Costs a thread.
    ///
    /// # Errors
    /// A [`StartError`] that names the setting at fault.
    pub fn mount(self) -> Result<MetricsService, StartError> {
        self.limits.validate()?;
        let exposition = self.exposition.ok_or(StartError::ExpositionMissing)?;
        let telemetry = self.telemetry;
        let gatherer =
            Gatherer::spawn(exposition, self.compression.clone(), Arc::clone(&telemetry))
                .map_err(|source| StartError::Thread { thread: GATHER_THREAD, source })?;
        let gathers = gatherer.queue();
        let scraping = Scraping::new(
            Arc::clone(&gathers),
            self.compression,
            &self.limits,
            Arc::clone(&telemetry),
        );
        Ok(MetricsService { scraping, telemetry, gathers })
    }
}
