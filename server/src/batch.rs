//! All scrapes that wait when a gather begins: one collection for them, then one page a variant.
//!
//! What takes long in a gather is what it waits for (engines, callbacks), and that is the same for
//! every scrape. So an exposition is handed all that wait at once: it collects once, and writes a
//! page for each *variant*, which is what tells their answers apart. Who asks for the same page in
//! thirty spellings costs one page; who asks for thirty pages costs one collection.
//!
//! Variants are at most the scrapes that wait ([`Limits::scrapes`](crate::Limits::scrapes)), however
//! many there could be: formats and escapings are few, and filters as many as there are queries.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::sync::oneshot;

use crate::coding::{Coding, Wanted};
use crate::compress::{Compression, Compressor};
use crate::exposition::{
    ContentType, ExposeError, Exposition, GatherFailure, ScrapeRequest, expose_fenced, fenced,
};
use crate::gather::{GatherOutcome, Gathered};
use crate::pool::BufferPool;
use crate::telemetry::ServerTelemetry;

/// The scrapes that one collection serves, see [`Exposition::expose_batch`].
///
/// ```
/// use dynamo_metrics_server::bytes::BytesMut;
/// use dynamo_metrics_server::{Batch, ContentType, ExposeError, Exposition, ScrapeRequest, Server};
///
/// /// Takes long to collect, and is quick to write.
/// struct Slow;
///
/// impl Slow {
///     fn collect(&self) -> u64 {
///         1
///     }
///     fn write(value: u64, body: &mut BytesMut) -> Result<ContentType, ExposeError> {
///         body.extend_from_slice(format!("collected {value}\n").as_bytes());
///         Ok(ContentType::TEXT_0_0_4)
///     }
/// }
///
/// impl Exposition for Slow {
///     fn expose(&self, _: &ScrapeRequest<'_>, body: &mut BytesMut) -> Result<ContentType, ExposeError> {
///         Self::write(self.collect(), body)
///     }
///     fn expose_batch(&self, batch: &mut Batch<'_>) {
///         let value = self.collect(); // Once, whatever is asked for.
///         batch.for_each(|_request, body| Self::write(value, body));
///     }
///     fn variant(&self, _: &ScrapeRequest<'_>, _key: &mut Vec<u8>) {} // There is one page only.
/// }
///
/// let service = Server::builder().exposition(Slow).mount()?;
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// let uri = "/metrics?any".parse()?;
/// let response = runtime.block_on(service.respond(&Default::default(), &uri));
/// assert_eq!(&response.body()[..], b"collected 1\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Batch<'a> {
    desk: &'a mut Desk,
    telemetry: &'a ServerTelemetry,
    /// When the most patient scraper gives up, if all said so.
    deadline: Option<Instant>,
    /// The first variant that has no page yet.
    next: usize,
    /// When the work on that one began.
    since: Instant,
}

impl Batch<'_> {
    /// What is left of the patience of the most patient scrape: how long a collection may take at most.
    /// Absent when one of them did not say. Who has less is answered 503 in its own time, so nobody's hurry
    /// makes another one's page a part.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Writes the page of each variant that somebody still waits for. A request stands for all of its
    /// variant; its timeout is what is left of the batch's. A panic of `expose` costs the page that it was at.
    /// What is collected must be collected before.
    pub fn for_each(
        &mut self,
        mut expose: impl FnMut(&ScrapeRequest<'_>, &mut BytesMut) -> Result<ContentType, ExposeError>,
    ) {
        while self.next < self.desk.variants.used {
            let (variant, timeout) = (self.next, self.timeout());
            let Desk { waiters, pool, .. } = &mut *self.desk;
            let of_variant = |waiter: &&Waiter| waiter.variant == variant;
            waiters.retain(|waiter| waiter.variant != variant || !waiter.sender.is_closed());
            let count = waiters.iter().filter(of_variant).count();
            if let Some(first) = waiters.iter().find(of_variant) {
                let request = first.asked.request(timeout);
                let outcome = match pool.lease(self.telemetry) {
                    None => Err(GatherFailure::OUT_OF_MEMORY),
                    Some(slot) => match expose_fenced(&mut expose, &request, &mut slot.buffer) {
                        Ok(content_type) => {
                            let (coding, body) = (Coding::Identity, slot.freeze());
                            Ok(Gathered { content_type, coding, body })
                        }
                        Err(failure) => {
                            slot.discard();
                            Err(failure)
                        }
                    },
                };
                if let Err(failure) = outcome {
                    self.telemetry.gather_failed(failure);
                }
                self.telemetry.gather(self.since.elapsed(), count);
                self.desk.hand_out(variant, &outcome, self.telemetry);
                // `outcome` ends here, before the next lease: a clone kept any longer would keep the
                // buffer's memory from coming back.
            }
            self.since = Instant::now();
            self.next = variant + 1;
        }
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("timeout", &self.timeout()).finish_non_exhaustive()
    }
}

/// What of a request an exposition may see, kept until its turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    accept: Option<Box<str>>,
    query: Option<Box<str>>,
}

impl Asked {
    pub(crate) fn of(request: &ScrapeRequest<'_>) -> Self {
        Self { accept: request.accept().map(Into::into), query: request.query().map(Into::into) }
    }

    fn request(&self, timeout: Option<Duration>) -> ScrapeRequest<'_> {
        ScrapeRequest::new(self.accept.as_deref(), self.query.as_deref(), timeout)
    }
}

/// One scrape that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) asked: Asked,
    pub(crate) wanted: Wanted,
    /// When its scraper gives up, if it said so.
    pub(crate) deadline: Option<Instant>,
    pub(crate) sender: oneshot::Sender<GatherOutcome>,
    variant: usize,
}

impl Waiter {
    pub(crate) fn new(
        asked: Asked,
        wanted: Wanted,
        deadline: Option<Instant>,
        sender: oneshot::Sender<GatherOutcome>,
    ) -> Self {
        Self { asked, wanted, deadline, sender, variant: 0 }
    }
}

/// Where the gather thread works: the scrapes of a batch, and memory that is used again.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) waiters: Vec<Waiter>,
    variants: Variants,
    pool: BufferPool,
    compression: Compression,
    compressor: Compressor,
}

impl Desk {
    pub(crate) fn new(compression: Compression) -> Self {
        Self { compression, ..Self::default() }
    }

    /// Answers all that wait at the desk.
    pub(crate) fn serve(&mut self, exposition: &dyn Exposition, telemetry: &ServerTelemetry) {
        let begin = Instant::now();
        self.variants.sort_out(exposition, &mut self.waiters);
        let deadline = patience(&self.waiters);
        telemetry.batch();
        let mut batch = Batch { desk: self, telemetry, deadline, next: 0, since: begin };
        let done = fenced(|| exposition.expose_batch(&mut batch));
        if batch.next < batch.desk.variants.used {
            // It panicked outside of a page, or left some out.
            if done.is_err() {
                tracing::error!("the exposition panicked; its scrapes are answered 500");
            }
            for variant in batch.next..batch.desk.variants.used {
                telemetry.gather_failed(GatherFailure::PANICKED);
                telemetry.gather(begin.elapsed(), 1);
                batch.desk.hand_out(variant, &Err(GatherFailure::PANICKED), telemetry);
            }
        }
        self.waiters.clear();
        self.variants.forget_the_odd();
    }

    /// Sends each waiter of a variant what it wants: first the text as it is, which is there; then
    /// each compression that somebody waits for, made once.
    fn hand_out(&mut self, variant: usize, outcome: &GatherOutcome, telemetry: &ServerTelemetry) {
        let Self { waiters, compression, compressor, .. } = self;
        // A waiter that is gone needs no answer, nor an encoder.
        waiters.retain(|waiter| waiter.variant != variant || !waiter.sender.is_closed());
        let is_small =
            outcome.as_ref().map_or(true, |gathered| gathered.body.len() < compression.bytes_min());
        for waiter in waiters.iter_mut().filter(|waiter| waiter.variant == variant) {
            if outcome.is_err() || (is_small && !waiter.wanted.always) {
                waiter.wanted = Wanted::IDENTITY;
            }
        }
        for &coding in Coding::ALL {
            let mut coded = None;
            let wants =
                |waiter: &mut Waiter| waiter.variant == variant && waiter.wanted.coding == coding;
            for waiter in waiters.extract_if(.., wants) {
                let coded = coded.get_or_insert_with(|| match outcome {
                    Ok(gathered) => Ok(compressed(gathered, coding, compressor, telemetry)),
                    Err(failure) => Err(*failure),
                });
                drop(waiter.sender.send(coded.clone()));
            }
        }
    }
}

/// The end of the longest patience of all; `None` if one of them did not say.
fn patience(waiters: &[Waiter]) -> Option<Instant> {
    let deadlines = waiters.iter().map(|waiter| waiter.deadline);
    deadlines.reduce(|one, other| Some(one?.max(other?))).flatten()
}

/// The keys of a batch's variants, in memory that is used again.
#[derive(Debug, Default)]
struct Variants {
    keys: Vec<Vec<u8>>,
    /// How many of them are of this batch.
    used: usize,
}

// A few scrapers in their formats; what a crowd of odd ones needed is freed behind them.
const VARIANTS_KEPT: usize = 8;

impl Variants {
    /// Numbers the waiters by what they ask for.
    fn sort_out(&mut self, exposition: &dyn Exposition, waiters: &mut [Waiter]) {
        self.used = 0;
        for waiter in waiters {
            if self.used == self.keys.len() {
                self.keys.push(Vec::new());
            }
            let (known, rest) = self.keys.split_at_mut(self.used);
            let Some(key) = rest.first_mut() else { continue };
            let request = waiter.asked.request(None);
            key.clear();
            if fenced(|| exposition.variant(&request, key)).is_err() {
                // It stands for itself alone; if its page panics too, that is answered there.
                key.clear();
                request.write_key(key);
            }
            waiter.variant = known.iter().position(|other| other == key).unwrap_or(self.used);
            self.used = self.used.max(waiter.variant + 1);
        }
    }

    fn forget_the_odd(&mut self) {
        self.keys.truncate(VARIANTS_KEPT);
        self.used = 0;
    }
}

/// The same body in another coding, or the body itself when the encoder cannot.
fn compressed(
    gathered: &Gathered,
    coding: Coding,
    compressor: &mut Compressor,
    telemetry: &ServerTelemetry,
) -> Gathered {
    let begin = Instant::now();
    let Some(body) = compressor.compress(coding, &gathered.body, telemetry) else {
        return gathered.clone();
    };
    telemetry.compressed(begin.elapsed(), gathered.body.len(), body.len());
    Gathered { content_type: gathered.content_type, coding, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one page, and one for those who ask for `b`; it panics about `c`.
    struct Two;

    impl Exposition for Two {
        fn expose(
            &self,
            request: &ScrapeRequest<'_>,
            body: &mut BytesMut,
        ) -> Result<ContentType, ExposeError> {
            assert_ne!(request.query(), Some("c"), "a page that panics");
            body.extend_from_slice(if request.query() == Some("b") { b"b" } else { b"a" });
            Ok(ContentType::TEXT)
        }

        fn variant(&self, request: &ScrapeRequest<'_>, key: &mut Vec<u8>) {
            assert_ne!(request.query(), Some("c"), "a variant that panics");
            key.push(u8::from(request.query() == Some("b")));
        }
    }

    fn waiter(
        accept: &str,
        query: &str,
        deadline: Option<Instant>,
    ) -> (Waiter, oneshot::Receiver<GatherOutcome>) {
        let (sender, receiver) = oneshot::channel();
        let request = ScrapeRequest::new(Some(accept), Some(query), None);
        (Waiter::new(Asked::of(&request), Wanted::IDENTITY, deadline, sender), receiver)
    }

    #[test]
    fn a_batch_is_one_collection_and_a_page_for_each_variant() {
        let telemetry = ServerTelemetry::default();
        let mut desk = Desk::new(Compression::off());
        let mut receivers = Vec::new();
        for (accept, query) in [("1", "x"), ("2", "b"), ("3", "y"), ("4", "c"), ("5", "b")] {
            let (waiter, receiver) = waiter(accept, query, None);
            desk.waiters.push(waiter);
            receivers.push(receiver);
        }
        desk.serve(&Two, &telemetry);
        let bodies: Vec<_> = receivers
            .iter_mut()
            .map(|receiver| receiver.try_recv().expect("an answer").map(|got| got.body))
            .collect();
        let failed = bodies[3].clone().expect_err("it panicked");
        assert_eq!(failed, GatherFailure::PANICKED);
        for (index, body) in [(0, "a"), (1, "b"), (2, "a"), (4, "b")] {
            assert_eq!(bodies[index].as_deref(), Ok(body.as_bytes()), "{index}");
        }
        assert_eq!((telemetry.batches(), telemetry.gathers()), (1, 3));
        assert_eq!((telemetry.scrapes_shared(), telemetry.gather_panics()), (2, 1));
    }

    #[test]
    fn pages_that_an_exposition_leaves_out_are_answered() {
        struct Lazy;
        impl Exposition for Lazy {
            fn expose(
                &self,
                _: &ScrapeRequest<'_>,
                _: &mut BytesMut,
            ) -> Result<ContentType, ExposeError> {
                Ok(ContentType::TEXT)
            }
            fn expose_batch(&self, _: &mut Batch<'_>) {}
        }
        let telemetry = ServerTelemetry::default();
        let mut desk = Desk::new(Compression::off());
        let (one, mut receiver) = waiter("a", "b", None);
        desk.waiters.push(one);
        desk.serve(&Lazy, &telemetry);
        let failed = receiver.try_recv().expect("an answer").map(|_| ());
        assert_eq!(failed, Err(GatherFailure::PANICKED));
    }

    #[test]
    fn the_most_patient_decides() {
        let now = Instant::now();
        let after = |ms| now + Duration::from_millis(ms);
        let patience_of = |deadlines: &[Option<Instant>]| {
            let waiters: Vec<_> =
                deadlines.iter().map(|&deadline| waiter("", "", deadline).0).collect();
            patience(&waiters)
        };
        let soon = Some(after(10));
        assert_eq!(patience_of(&[soon]), soon);
        let both = [soon, Some(after(5000)), soon];
        assert_eq!(patience_of(&both), Some(after(5000)));
        assert_eq!(patience_of(&[soon, None]), None);
        assert_eq!(patience_of(&[]), None);
    }

    #[test]
    fn keys_of_a_crowd_are_not_kept() {
        let mut variants = Variants::default();
        let page = |_: &ScrapeRequest<'_>, _: &mut BytesMut| Ok(ContentType::TEXT);
        let mut waiters: Vec<_> = (0..100).map(|n| waiter("", &n.to_string(), None).0).collect();
        variants.sort_out(&page, &mut waiters);
        assert_eq!(variants.used, 100);
        variants.forget_the_odd();
        assert_eq!(variants.keys.len(), VARIANTS_KEPT);
    }
}
