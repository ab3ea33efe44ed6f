//! The work on batches, one after the other, on the gather thread, in memory that is used again.
//!
//! The scrapes that wait are sorted by the variants that they ask for; then each variant's page is written and handed out
//! to its scrapes, as text and in each coding that they ask for.

use std::time::Instant;

use bytes::BytesMut;
use tokio::sync::oneshot;

use crate::scrape::batch::Batch;
use crate::scrape::buffers::BufferPool;
use crate::scrape::compress::{Compression, Compressor};
use crate::scrape::deadline::ScrapeDeadline;
use crate::scrape::encoding::{Coding, Wanted};
use crate::scrape::exposition::{Exposition, expose_fenced};
use crate::scrape::fence::fenced;
use crate::scrape::outcome::{ContentType, ExposeError, GatherFailure, GatherOutcome, Gathered};
use crate::scrape::request::ScrapeRequest;
use crate::telemetry::ServerTelemetry;

/// One scrape that waits.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) request: ScrapeRequest<'static>,
    pub(crate) wanted: Wanted,
    /// The instant at which its scraper gives up.
    pub(crate) ends: Instant,
    pub(crate) sender: oneshot::Sender<GatherOutcome>,
}

/// A scrape of a batch.
#[derive(Debug)]
struct Sorted {
    variant: usize,
    wanted: Wanted,
    sender: oneshot::Sender<GatherOutcome>,
}

/// Serves one batch after the other on the gather thread, in memory that is used again.
pub(crate) struct BatchWorker<V> {
    /// The scrapes of the next batch.
    pub(crate) waiters: Vec<Waiter>,
    sorted: Vec<Sorted>,
    pub(crate) variants: Vec<V>,
    pool: BufferPool,
    compression: Compression,
    compressor: Compressor,
}

// A few scrapers in their formats; the room that a crowd of others needed is freed after its batch.
const VARIANTS_KEPT: usize = 8;

impl<V: PartialEq> BatchWorker<V> {
    pub(crate) fn new(compression: Compression) -> Self {
        Self {
            waiters: Vec::new(),
            sorted: Vec::new(),
            variants: Vec::new(),
            pool: BufferPool::default(),
            compression,
            compressor: Compressor::default(),
        }
    }

    /// Answers all scrapes that wait.
    pub(crate) fn serve<E>(&mut self, exposition: &E, telemetry: &ServerTelemetry)
    where
        E: Exposition<Variant = V>,
    {
        let begin = Instant::now();
        let latest = self.waiters.iter().map(|waiter| waiter.ends).max().unwrap_or(begin);
        self.sort(exposition, telemetry);
        telemetry.batch();
        let deadline = ScrapeDeadline::of_collection(latest);
        let mut batch = Batch::new(self, telemetry, deadline, begin);
        let done = fenced(|| exposition.expose_batch(&mut batch));
        let unwritten = batch.unwritten();
        if done.is_err() && !unwritten.is_empty() {
            tracing::error!("the exposition panicked; its scrapes are answered 500");
        }
        // It panicked outside of a page, or left some out.
        for index in unwritten {
            GatherFailure::PANICKED.count(telemetry);
            telemetry.gather(begin.elapsed(), 1);
            self.hand_out(index, &Err(GatherFailure::PANICKED), telemetry);
        }
        self.variants.clear();
        self.variants.shrink_to(VARIANTS_KEPT);
    }

    /// Sorts the scrapes by the variants that they ask for; one that the exposition refuses is answered at once.
    fn sort<E>(&mut self, exposition: &E, telemetry: &ServerTelemetry)
    where
        E: Exposition<Variant = V>,
    {
        for Waiter { request, wanted, sender, .. } in self.waiters.drain(..) {
            match expose_fenced(|| exposition.variant(request)) {
                Ok(variant) => {
                    let known = self.variants.iter().position(|known| *known == variant);
                    let index = known.unwrap_or_else(|| {
                        self.variants.push(variant);
                        self.variants.len() - 1
                    });
                    self.sorted.push(Sorted { variant: index, wanted, sender });
                }
                Err(failure) => {
                    failure.count(telemetry);
                    drop(sender.send(Err(failure))); // Its scraper may have gone.
                }
            }
        }
    }
}

impl<V> BatchWorker<V> {
    /// The number of scrapes that still wait for a variant; those that are gone are left out.
    pub(crate) fn waiters_of(&mut self, variant: usize) -> usize {
        self.sorted.retain(|waiter| waiter.variant != variant || !waiter.sender.is_closed());
        self.sorted.iter().filter(|waiter| waiter.variant == variant).count()
    }

    pub(crate) fn page(
        &mut self,
        variant: usize,
        telemetry: &ServerTelemetry,
        expose: &mut impl FnMut(&V, &mut BytesMut) -> Result<ContentType, ExposeError>,
    ) -> GatherOutcome {
        let slot = self.pool.lease(telemetry).ok_or(GatherFailure::OUT_OF_MEMORY)?;
        let (variant, buffer) = (&self.variants[variant], &mut slot.buffer);
        match expose_fenced(|| expose(variant, buffer)) {
            Ok(content_type) => {
                Ok(Gathered { content_type, coding: Coding::Identity, body: slot.freeze() })
            }
            Err(failure) => {
                slot.discard();
                Err(failure)
            }
        }
    }

    /// Sends each scrape of a variant its body: first the text as it is, which is there; then each compression that a
    /// scrape waits for, made once.
    pub(crate) fn hand_out(
        &mut self,
        variant: usize,
        outcome: &GatherOutcome,
        telemetry: &ServerTelemetry,
    ) {
        // A scrape that is gone needs no answer, nor an encoder.
        self.waiters_of(variant);
        let Self { sorted, compression, compressor, .. } = self;
        let is_small =
            outcome.as_ref().map_or(true, |gathered| gathered.body.len() < compression.bytes_min());
        for waiter in sorted.iter_mut().filter(|waiter| waiter.variant == variant) {
            if outcome.is_err() || (is_small && !waiter.wanted.always) {
                waiter.wanted = Wanted::IDENTITY;
            }
        }
        for &coding in Coding::ALL {
            let mut coded = None;
            let wants =
                |waiter: &mut Sorted| waiter.variant == variant && waiter.wanted.coding == coding;
            for waiter in sorted.extract_if(.., wants) {
                let coded = coded.get_or_insert_with(|| match outcome {
                    Ok(gathered) => Ok(compressed(gathered, coding, compressor, telemetry)),
                    Err(failure) => Err(*failure),
                });
                drop(waiter.sender.send(coded.clone()));
            }
        }
    }
}

/// The same body in another coding, or the body itself when the encoder fails.
fn compressed(
    gathered: &Gathered,
    coding: Coding,
    compressor: &mut Compressor,
    telemetry: &ServerTelemetry,
) -> Gathered {
    let begin = Instant::now();
    let Gathered { content_type, body: text, .. } = gathered;
    let Some(body) = compressor.compress(coding, *content_type, text, telemetry) else {
        return gathered.clone();
    };
    telemetry.compressed(begin.elapsed(), text.len(), body.len());
    Gathered { content_type: *content_type, coding, body }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Limit;
    use std::time::Duration;

    /// Writes the variant `c` never, others as they are; refuses the query `d`, and panics about `e`.
    struct Pages;

    impl Exposition for Pages {
        type Variant = String;

        fn variant(&self, request: ScrapeRequest<'static>) -> Result<String, ExposeError> {
            match request.query().unwrap_or_default() {
                "d" => Err(ExposeError::refused("no such page")),
                "e" => panic!("a variant that panics"),
                query => Ok(query.into()),
            }
        }

        fn expose(
            &self,
            variant: &String,
            _: ScrapeDeadline,
            body: &mut BytesMut,
        ) -> Result<ContentType, ExposeError> {
            assert_ne!(variant, "c", "a page that panics");
            body.extend_from_slice(variant.as_bytes());
            Ok(ContentType::TEXT)
        }
    }

    fn waiter(query: &str, ends: Instant) -> (Waiter, oneshot::Receiver<GatherOutcome>) {
        let (sender, receiver) = oneshot::channel();
        let request = ScrapeRequest::new(None, Some(query), None).to_waiting();
        (Waiter { request, wanted: Wanted::IDENTITY, ends, sender }, receiver)
    }

    #[test]
    fn a_batch_is_one_collection_and_a_page_for_each_variant() {
        let telemetry = ServerTelemetry::default();
        let mut worker = BatchWorker::new(Compression::off());
        let mut receivers = Vec::new();
        for query in ["a", "b", "a", "c", "b", "d", "e"] {
            let (waiter, receiver) = waiter(query, Instant::now());
            worker.waiters.push(waiter);
            receivers.push(receiver);
        }
        worker.serve(&Pages, &telemetry);
        let answers: Vec<_> = receivers
            .iter_mut()
            .map(|receiver| receiver.try_recv().expect("an answer"))
            .map(|answer| answer.map(|got| got.body).map_err(|failure| failure.status.as_u16()))
            .collect();
        let text = |body: &'static str| Ok(body.into());
        let expected = [text("a"), text("b"), text("a"), Err(500), text("b"), Err(400), Err(500)];
        assert_eq!(answers, expected);
        assert_eq!((telemetry.batches(), telemetry.gathers()), (1, 3));
        assert_eq!((telemetry.scrapes_shared(), telemetry.gather_panics()), (2, 2));
        assert_eq!(telemetry.limit_hits(Limit::ScrapeRefused), 1);
    }

    #[test]
    fn pages_that_an_exposition_leaves_out_are_answered() {
        struct Lazy;
        impl Exposition for Lazy {
            type Variant = ();
            fn variant(&self, _: ScrapeRequest<'static>) -> Result<(), ExposeError> {
                Ok(())
            }
            fn expose(
                &self,
                _: &(),
                _: ScrapeDeadline,
                _: &mut BytesMut,
            ) -> Result<ContentType, ExposeError> {
                Ok(ContentType::TEXT)
            }
            fn expose_batch(&self, _: &mut Batch<'_, ()>) {}
        }
        let telemetry = ServerTelemetry::default();
        let mut worker = BatchWorker::new(Compression::off());
        let (one, mut receiver) = waiter("a", Instant::now());
        worker.waiters.push(one);
        worker.serve(&Lazy, &telemetry);
        let failed = receiver.try_recv().expect("an answer").map(|_| ());
        assert_eq!(failed, Err(GatherFailure::PANICKED));
    }

    #[test]
    fn the_latest_deadline_is_that_of_the_collection() {
        struct Ends(std::sync::Mutex<Vec<Instant>>);
        impl Exposition for Ends {
            type Variant = ();
            fn variant(&self, _: ScrapeRequest<'static>) -> Result<(), ExposeError> {
                Ok(())
            }
            fn expose(
                &self,
                _: &(),
                deadline: ScrapeDeadline,
                _: &mut BytesMut,
            ) -> Result<ContentType, ExposeError> {
                self.0.lock().expect("no panic").push(deadline.ends());
                Ok(ContentType::TEXT)
            }
        }
        let mut worker = BatchWorker::new(Compression::off());
        let now = Instant::now();
        let latest = now + Duration::from_secs(5000);
        let ends = [now + Duration::from_secs(1000), latest, now];
        let receivers = ends.map(|ends| {
            let (waiter, receiver) = waiter("", ends);
            worker.waiters.push(waiter);
            receiver
        });
        let exposition = Ends(std::sync::Mutex::default());
        worker.serve(&exposition, &ServerTelemetry::default());
        assert_eq!(*exposition.0.lock().expect("no panic"), [latest], "one page, for all of them");
        drop(receivers);
    }

    #[test]
    fn variants_of_a_crowd_are_not_kept() {
        let mut worker = BatchWorker::new(Compression::off());
        let now = Instant::now();
        let (waiters, receivers): (Vec<_>, Vec<_>) =
            (0..100).map(|n: u32| waiter(&n.to_string(), now)).unzip();
        worker.waiters = waiters;
        let telemetry = ServerTelemetry::default();
        worker.serve(&Pages, &telemetry);
        assert_eq!(telemetry.gathers(), 100);
        assert!(worker.variants.capacity() <= VARIANTS_KEPT, "{}", worker.variants.capacity());
        drop(receivers);
    }
}
