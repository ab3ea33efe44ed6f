//! The way of one scrape from its head to its response: a place among those that wait, a deadline, a gather.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, VARY};
use http::{HeaderMap, Response, StatusCode, Uri};

use crate::limits::Limits;
use crate::reason::Limit;
use crate::scrape::compress::Compression;
use crate::scrape::deadline::ScrapeDeadline;
use crate::scrape::encoding::Wanted;
use crate::scrape::gather::GatherQueue;
use crate::scrape::outcome::{GatherFailure, GatherOutcome};
use crate::scrape::request::ScrapeRequest;
use crate::scrape::response::scrape_response;
use crate::telemetry::ServerTelemetry;

/// Answers scrapes whose heads were read by this crate's server, or by a program's own.
#[derive(Debug)]
pub(crate) struct ScrapeService {
    compression: Compression,
    gathers: Arc<GatherQueue>,
    telemetry: Arc<ServerTelemetry>,
    places: Places,
    /// The longest wait for a page.
    deadline_max: Duration,
}

impl ScrapeService {
    pub(crate) fn new(
        gathers: Arc<GatherQueue>,
        compression: Compression,
        limits: &Limits,
        telemetry: Arc<ServerTelemetry>,
    ) -> Self {
        let deadline_max = limits.scrape_deadline;
        Self { compression, gathers, telemetry, places: Places::new(limits), deadline_max }
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
            return Err(GatherFailure::unavailable("Too many scrapes in progress"));
        };
        let deadline = within(request.deadline(), self.deadline_max);
        let gather = self.gathers.submit(request, wanted, deadline);
        match tokio::time::timeout_at(deadline.answer_by().into(), gather).await {
            Ok(Ok(outcome)) => outcome,
            // The queue closed under it, which happens at shutdown only.
            Ok(Err(_closed)) => Err(GatherFailure::unavailable("Shutting down")),
            Err(_elapsed) => {
                self.telemetry.limit_hit(Limit::ScrapeDeadline);
                Err(GatherFailure::unavailable("Gathering metrics takes too long"))
            }
        }
    }
}

/// A scraper's deadline within the server's bounds; the most for a scraper that sends none.
fn within(deadline: Option<ScrapeDeadline>, max: Duration) -> ScrapeDeadline {
    match deadline {
        Some(deadline) => deadline.at_least(Limits::SCRAPE_TIMEOUT_MIN).at_most(max),
        None => ScrapeDeadline::after(max),
    }
}

/// The places of scrapes that wait. A scrape whose client goes away leaves at once: its future is dropped, and with it its
/// place and its share of the gather.
#[derive(Debug)]
struct Places {
    /// Relaxed: a count, which publishes nothing.
    waiting: AtomicUsize,
    max: usize,
}

impl Places {
    fn new(limits: &Limits) -> Self {
        Self { waiting: AtomicUsize::new(0), max: limits.scrapes_in_force() }
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

/// The headers of requests that a cache between us and a client must tell apart.
const VARY_BY: HeaderValue = HeaderValue::from_static("Accept, Accept-Encoding");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrapers_deadline_is_within_the_bounds_of_the_server() {
        let max = Duration::from_secs(30);
        let time = |timeout: Option<Duration>| {
            let deadline = within(timeout.map(ScrapeDeadline::after), max);
            deadline.ends() - deadline.begins()
        };
        assert_eq!(time(None), max);
        assert_eq!(time(Some(Duration::from_secs(10))), Duration::from_secs(10));
        assert_eq!(time(Some(Duration::from_secs(1000))), max);
        assert_eq!(time(Some(Duration::from_millis(1))), Limits::SCRAPE_TIMEOUT_MIN);
        let least = within(Some(ScrapeDeadline::after(max)), Duration::from_millis(1));
        assert_eq!(least.ends() - least.begins(), Duration::from_millis(1));
    }

    #[test]
    fn a_place_is_given_back_when_it_is_left() {
        let limits = Limits { scrapes: 2, ..Limits::default() };
        let places = Places::new(&limits);
        let first = places.enter();
        let second = places.enter();
        assert!(first.is_some() && second.is_some() && places.enter().is_none());
        assert!(places.enter().is_none(), "a scrape that found no place holds none");
        drop(first);
        assert!(places.enter().is_some());
    }
}
