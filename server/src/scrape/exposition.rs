//! The source of the bytes of `/metrics`: one trait.
//!
//! The server knows no metric. It hands an [`Exposition`] the part of the request that may change the answer, which the
//! exposition makes a variant of its page, then an empty buffer for each variant, and sends the buffer's contents. An
//! exposition that fails or panics costs the answers to its scrapes and nothing else.

use bytes::BytesMut;

use crate::scrape::batch::Batch;
use crate::scrape::deadline::ScrapeDeadline;
use crate::scrape::fence::{Panicked, fenced};
use crate::scrape::outcome::{ContentType, ExposeError, GatherFailure};
use crate::scrape::request::ScrapeRequest;

/// A source of metrics in some exposition format.
///
/// Implemented for closures that write one page from a [`ScrapeRequest`] (their arguments need their types spelled out,
/// as in the example). A source that is shared is given to a server as a closure that calls it.
///
/// ```
/// use dynamo_metrics_server::bytes::BytesMut;
/// use dynamo_metrics_server::{ContentType, ScrapeRequest, metrics_response};
///
/// let one = |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
///     body.extend_from_slice(b"up 1\n");
///     Ok(ContentType::TEXT_0_0_4)
/// };
/// let response = metrics_response(&one, &ScrapeRequest::default());
/// assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
/// assert_eq!(&response.body()[..], b"up 1\n");
/// ```
pub trait Exposition: Send + Sync + 'static {
    /// The part of a request that the page depends on, such as the negotiated format: scrapes with equal variants share
    /// a page.
    type Variant: PartialEq;

    /// Returns the variant of the page that a request asks for. The deadline of the request plays no part.
    ///
    /// The server calls it once for each scrape, on its gather thread.
    ///
    /// # Errors
    /// The answer to a request that no page answers.
    fn variant(&self, request: ScrapeRequest<'static>) -> Result<Self::Variant, ExposeError>;

    /// Appends one page to `body`, which is empty and keeps the capacity of earlier scrapes, and returns its media type.
    ///
    /// The server calls it on its gather thread, one call at a time; [`metrics_response`] calls it on the caller's
    /// thread. It may block until the deadline, although every scrape behind it waits.
    ///
    /// # Errors
    /// The answer to the scraper in place of a page; the contents of `body` are dropped. A panic is answered like an
    /// error.
    ///
    /// [`metrics_response`]: crate::metrics_response
    fn expose(
        &self,
        variant: &Self::Variant,
        deadline: ScrapeDeadline,
        body: &mut BytesMut,
    ) -> Result<ContentType, ExposeError>;

    /// Writes the pages of all scrapes that wait. An exposition that has to wait for something does so here, once, before
    /// it calls [`Batch::for_each`]; then no scrape waits longer because others ask for other pages. By default each page
    /// is [exposed](Self::expose) by itself.
    ///
    /// Called on the gather thread, one call at a time.
    fn expose_batch(&self, batch: &mut Batch<'_, Self::Variant>) {
        let deadline = batch.deadline();
        batch.for_each(|variant, body| self.expose(variant, deadline, body));
    }
}

/// Its variants are whole requests, so other spellings of `Accept` or of the query are other variants.
impl<F> Exposition for F
where
    F: Fn(&ScrapeRequest<'_>, &mut BytesMut) -> Result<ContentType, ExposeError>
        + Send
        + Sync
        + 'static,
{
    type Variant = ScrapeRequest<'static>;

    fn variant(&self, request: ScrapeRequest<'static>) -> Result<Self::Variant, ExposeError> {
        Ok(request)
    }

    fn expose(
        &self,
        request: &ScrapeRequest<'static>,
        deadline: ScrapeDeadline,
        body: &mut BytesMut,
    ) -> Result<ContentType, ExposeError> {
        self(&request.with_deadline(deadline), body)
    }
}

/// Calls an exposition behind a fence and logs its errors.
pub(crate) fn expose_fenced<T>(
    call: impl FnOnce() -> Result<T, ExposeError>,
) -> Result<T, GatherFailure> {
    let failure = match fenced(call) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => {
            let failure = GatherFailure::from(&error);
            // Any client can ask for a page that there is not, and must not fill the log with it.
            if failure.is_refusal() {
                tracing::debug!(%error, "the exposition refused a scrape");
            } else {
                tracing::error!(%error, "the exposition failed; the scrape is answered with an error");
            }
            failure
        }
        Err(Panicked) => {
            tracing::error!("the exposition panicked; the scrape is answered 500");
            GatherFailure::PANICKED
        }
    };
    Err(failure)
}
