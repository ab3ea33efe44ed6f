//! A batch: all scrapes that wait when a collection begins, and one page for each variant that they ask for.
//!
//! The long part of a gather is its waits (engines, callbacks), and these are the same for every scrape. So an exposition
//! is handed all scrapes that wait at once: it collects once, and writes a page for each *variant*. Thirty spellings of
//! one request cost one page; thirty different pages cost one collection.
//!
//! Variants are at most the scrapes that wait ([`Limits::scrapes`](crate::Limits::scrapes)), however many there could be:
//! formats and escapings are few, and filters as many as there are queries.

use std::fmt;
use std::ops::Range;
use std::time::Instant;

use bytes::BytesMut;

use crate::scrape::batch_worker::BatchWorker;
use crate::scrape::deadline::ScrapeDeadline;
use crate::scrape::outcome::{ContentType, ExposeError};
use crate::telemetry::ServerTelemetry;

/// The scrapes that one collection serves, for [`Exposition::expose_batch`](crate::Exposition::expose_batch).
///
/// ```
/// use dynamo_metrics_server::bytes::BytesMut;
/// use dynamo_metrics_server::{
///     Batch, ContentType, ExposeError, Exposition, ScrapeDeadline, ScrapeRequest, Server,
/// };
///
/// /// Takes long to collect, and is quick to write.
/// struct Slow;
///
/// impl Slow {
///     fn collect(&self, _until: ScrapeDeadline) -> u64 {
///         1
///     }
///     fn write(value: u64, body: &mut BytesMut) -> Result<ContentType, ExposeError> {
///         body.extend_from_slice(format!("collected {value}\n").as_bytes());
///         Ok(ContentType::TEXT_0_0_4)
///     }
/// }
///
/// impl Exposition for Slow {
///     type Variant = (); // There is one page only.
///     fn variant(&self, _: ScrapeRequest<'static>) -> Result<(), ExposeError> {
///         Ok(())
///     }
///     fn expose(
///         &self,
///         _: &(),
///         deadline: ScrapeDeadline,
///         body: &mut BytesMut,
///     ) -> Result<ContentType, ExposeError> {
///         Self::write(self.collect(deadline), body)
///     }
///     fn expose_batch(&self, batch: &mut Batch<'_, ()>) {
///         let value = self.collect(batch.deadline()); // Once, for all of them.
///         batch.for_each(|(), body| Self::write(value, body));
///     }
/// }
///
/// let service = Server::builder().exposition(Slow).mount()?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// let uri = "/metrics?any".parse()?;
/// let response = runtime.block_on(service.respond(&Default::default(), &uri));
/// assert_eq!(&response.body()[..], b"collected 1\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Batch<'a, V> {
    worker: &'a mut BatchWorker<V>,
    telemetry: &'a ServerTelemetry,
    deadline: ScrapeDeadline,
    /// The first variant that has no page yet.
    next: usize,
    /// The start of the work on that one.
    since: Instant,
}

impl<'a, V> Batch<'a, V> {
    /// The batch of a worker, whose collection began at `since`.
    pub(crate) fn new(
        worker: &'a mut BatchWorker<V>,
        telemetry: &'a ServerTelemetry,
        deadline: ScrapeDeadline,
        since: Instant,
    ) -> Self {
        Self { worker, telemetry, deadline, next: 0, since }
    }

    /// Returns the variants that have no page yet.
    pub(crate) fn unwritten(&self) -> Range<usize> {
        self.next..self.worker.variants.len()
    }

    /// Returns the deadline of the collection: the latest of all scrapes, beginning with the collection. A scrape with an
    /// earlier one is answered 503 in its own time, so it makes no other page incomplete.
    #[must_use]
    pub fn deadline(&self) -> ScrapeDeadline {
        self.deadline
    }

    /// Writes the page of each variant that a scrape still waits for. A panic of `expose` costs the page that it was at.
    /// Collect before the call, not in `expose`.
    pub fn for_each(
        &mut self,
        mut expose: impl FnMut(&V, &mut BytesMut) -> Result<ContentType, ExposeError>,
    ) {
        while self.next < self.worker.variants.len() {
            let index = self.next;
            let waiters = self.worker.waiters_of(index);
            if waiters > 0 {
                let outcome = self.worker.page(index, self.telemetry, &mut expose);
                if let Err(failure) = outcome {
                    failure.count(self.telemetry);
                }
                self.telemetry.gather(self.since.elapsed(), waiters);
                self.worker.hand_out(index, &outcome, self.telemetry);
                // `outcome` ends here, before the next lease: a clone kept any longer would keep the buffer's memory
                // from coming back.
            }
            self.since = Instant::now();
            self.next = index + 1;
        }
    }
}

impl<V> fmt::Debug for Batch<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
