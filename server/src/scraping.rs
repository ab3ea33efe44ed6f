//! One scrape, from its head to its response: a place among those that wait, a gather, a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HeaderValue, VARY};
use http::{HeaderMap, Response, StatusCode, Uri};

use crate::coding::Wanted;
use crate::compress::Compression;
use crate::exposition::{GatherFailure, ScrapeRequest};
use crate::gather::{GatherOutcome, GatherQueue};
use crate::limits::Limits;
use crate::reason::Limit;
use crate::respond::scrape_response;
use crate::telemetry::ServerTelemetry;

/// Answers scrapes, whoever read their heads: this crate's server, or a program's own.
#[derive(Debug)]
pub(crate) struct Scraping {
    compression: Compression,
    gathers: Arc<GatherQueue>,
    telemetry: Arc<ServerTelemetry>,
    places: Places,
}

impl Scraping {
    pub(crate) fn new(
        gathers: Arc<GatherQueue>,
        compression: Compression,
        limits: &Limits,
        telemetry: Arc<ServerTelemetry>,
    ) -> Self {
        Self { compression, gathers, telemetry, places: Places::new(limits) }
    }

    pub(crate) async fn respond(&self, headers: &HeaderMap, uri: &Uri) -> Response<Bytes> {
        let wanted = Wanted::from_headers(headers, &self.compression);
        let scrape = self.scrape(&ScrapeRequest::from_head(headers, uri), wanted).await;
        let mut response = scrape_response(scrape);
        if self.compression.offers_any() && response.status() == StatusCode::OK {
            response.headers_mut().insert(VARY, VARY_BY);
        }
        response
    }

    async fn scrape(&self, request: &ScrapeRequest<'_>, wanted: Wanted) -> GatherOutcome {
        let Some(_place) = self.places.enter() else {
            self.telemetry.limit_hit(Limit::Scrapes);
            return Err(unavailable("Too many scrapes in progress"));
        };
        let deadline = self.places.deadline;
        let timeout =
            request.timeout().map(|timeout| timeout.max(Limits::SCRAPE_TIMEOUT_MIN).min(deadline));
        let gives_up = timeout.map(|timeout| Instant::now() + timeout);
        let gather = self.gathers.submit(request, wanted, gives_up);
        let wait = timeout.map_or(deadline, answer_within);
        match tokio::time::timeout(wait, gather).await {
            Ok(Ok(outcome)) => outcome,
            // The queue closed under it, which happens at shutdown only.
            Ok(Err(_closed)) => Err(unavailable("Shutting down")),
            Err(_elapsed) => {
                self.telemetry.limit_hit(Limit::ScrapeDeadline);
                Err(unavailable("Gathering metrics takes too long"))
            }
        }
    }
}

/// How many scrapes wait, and how long they may. A scrape whose client goes away leaves at once:
/// its future is dropped, and with it its place and its claim on the gather.
#[derive(Debug)]
struct Places {
    /// Relaxed: a count, which publishes nothing.
    waiting: AtomicUsize,
    max: usize,
    deadline: Duration,
}

impl Places {
    fn new(limits: &Limits) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            max: limits.scrapes_in_force(),
            deadline: limits.scrape_deadline,
        }
    }

    fn enter(&self) -> Option<Place<'_>> {
        let place = Place(&self.waiting);
        // One that finds no place gives its own back by being dropped.
        (self.waiting.fetch_add(1, Ordering::Relaxed) < self.max).then_some(place)
    }
}

struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The answer must arrive before the scraper gives up: so much is left for the way back, but never
/// more than a tenth of the time. It is less than what an exposition leaves that wants to answer with
/// what it has (half a second, as exporters do), whose page would else be overtaken by our 503.
const WAY_BACK: Duration = Duration::from_millis(200);

fn answer_within(timeout: Duration) -> Duration {
    timeout - (timeout / 10).min(WAY_BACK)
}

/// What a cache between us and a client must tell apart.
const VARY_BY: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

fn unavailable(answer: &'static str) -> GatherFailure {
    GatherFailure { status: StatusCode::SERVICE_UNAVAILABLE, answer, panicked: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_is_left_out_of_the_scrapers_time() {
        for (timeout_ms, within_ms) in [(10, 9), (1000, 900), (10_000, 9800), (60_000, 59_800)] {
            let within = answer_within(Duration::from_millis(timeout_ms));
            assert_eq!(within, Duration::from_millis(within_ms));
        }
    }

    #[test]
    fn a_place_is_given_back_when_it_is_left() {
        let limits = Limits { scrapes: 2, ..Limits::default() };
        let places = Places::new(&limits);
        let first = places.enter();
        let second = places.enter();
        assert!(first.is_some() && second.is_some() && places.enter().is_none());
        assert!(places.enter().is_none(), "who found no place holds none");
        drop(first);
        assert!(places.enter().is_some());
    }
}
