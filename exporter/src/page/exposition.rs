//! One page: the registry's metrics, then those of collectors and engines, valid as a whole.
//!
//! ```text
//! registry ----Encoder--------------> families of the registry, sorted
//! collectors, engines --> texts ----> Passthrough::merge: their families, filtered and repaired
//! ```
//!
//! Scrapes that wait at the same time share one run of the callbacks, collectors and engines, whatever page each of them
//! asks for; those that negotiate the same format and name the same families share the page too.
//!
//! A text cannot spoil the page: a family whose name the registry has is left out, as is a line that cannot be read, and
//! both are counted by source. An engine or a collector that fails or panics costs only its own families.

use super::Sources;
use crate::collector::{Collections, CollectorErrors};
use crate::deadline::{SCRAPE_TIMEOUT_DEFAULT, ScrapeDeadlines};
use crate::engine::{Engine, GatheredEngines};
use crate::names::UNSOUND_NATIVE_HISTOGRAMS_TOTAL;
use dynamo_metrics_core::Registry;
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Negotiated, negotiate};
use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Report, Source};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{
    Batch, ContentType, ExposeError, Exposition, ScrapeDeadline, ScrapeRequest,
};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// The exposition of an exporter: its registry, callbacks, collectors and engines. It keeps the encoder's memory from scrape
/// to scrape, so make one and keep it. Cheap to clone; clones share the memory.
///
/// ```
/// use dynamo_metrics_exporter::{EngineSource, Exporter, Filter, Registry, bytes::BytesMut};
///
/// let registry = Registry::new();
/// registry.counter(("steps_total", "Steps."))?.inc();
/// let exporter = Exporter::new(&registry);
/// let text = "# TYPE vllm:running gauge\r\nvllm:running 3.0\r\n# EOF";
/// exporter.engine(EngineSource::new("vllm", Filter::vllm(), move || Ok(text)))?;
///
/// let exposition = exporter.exposition();
/// let mut body = BytesMut::new();
/// exposition.write(&mut body);
/// let body = std::str::from_utf8(&body)?;
/// assert!(body.contains("steps_total 1\n"));
/// assert!(body.ends_with("# TYPE vllm:running gauge\nvllm:running 3.0\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MetricsExposition {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    registry: Registry,
    sources: Arc<Sources>,
    /// The texts' memory, which is taken for the time of a collection.
    texts: Mutex<Texts>,
    /// Locked while the pages of one collection are written; the server asks for one collection at a time.
    printer: Mutex<Printer>,
}

/// The texts of one collection.
#[derive(Debug, Default)]
struct Texts {
    engines: GatheredEngines,
    collections: Collections,
}

/// The memory that pages are written with.
struct Printer {
    encoder: Encoder,
    passthrough: Passthrough,
    /// The filter of collections.
    all: Filter,
    /// The part of the encoder's [`unsound_natives`](Encoder::unsound_natives) that the registry has counted.
    unsound_counted: u64,
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer").finish_non_exhaustive()
    }
}

impl MetricsExposition {
    /// Creates the exposition of a registry without callbacks, collectors and engines of an exporter.
    pub fn of_registry(registry: &Registry) -> Self {
        Self::new(registry.clone(), Arc::new(Sources::new(registry)))
    }

    pub(crate) fn new(registry: Registry, sources: Arc<Sources>) -> Self {
        let printer = Printer {
            encoder: Encoder::default(),
            passthrough: Passthrough::default(),
            all: Filter::all(),
            unsound_counted: 0,
        };
        let (texts, printer) = (Mutex::default(), Mutex::new(printer));
        Self { inner: Arc::new(Inner { registry, sources, texts, printer }) }
    }

    /// Replaces the encoder: by one that prints start times in OpenMetrics, as `requests_created`, or one that spells
    /// bounds as OpenMetrics does in every text.
    ///
    /// ```
    /// use dynamo_metrics_encoder::Encoder;
    /// use dynamo_metrics_exporter::{Exporter, Registry};
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// let exposition = exporter.exposition().encoded_by(Encoder::with_created_samples());
    /// let server = exporter.server().exposition(exposition).spawn()?;
    /// assert_ne!(server.local_addr().port(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn encoded_by(self, encoder: Encoder) -> Self {
        {
            let mut printer = self.inner.printer.lock();
            printer.unsound_counted = encoder.unsound_natives();
            printer.encoder = encoder;
        }
        self
    }

    /// Appends the page to `body`, with the time of a scraper that sends no timeout; see [`write_within`](Self::write_within).
    pub fn write(&self, body: &mut BytesMut) {
        self.write_within(ScrapeDeadline::after(SCRAPE_TIMEOUT_DEFAULT), body);
    }

    /// Appends the page to `body`, in time for a scraper that gives up at the deadline. Engines, collectors and callbacks
    /// that are not ready by then are missing on the page, or have their last values. Without engines and
    /// collectors it allocates nothing in steady state.
    ///
    /// ```
    /// # use dynamo_metrics_exporter::{EngineSource, Exporter, Filter, Registry, bytes::BytesMut};
    /// use dynamo_metrics_exporter::ScrapeDeadline;
    /// use std::time::{Duration, Instant};
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// let hangs = || {
    ///     std::thread::sleep(Duration::from_secs(3600));
    ///     Ok("")
    /// };
    /// let source = EngineSource::new("hangs", Filter::all(), hangs).timeout(Duration::from_secs(9));
    /// exporter.engine(source)?;
    /// let (mut body, start) = (BytesMut::new(), Instant::now());
    /// let deadline = ScrapeDeadline::after(Duration::from_secs(1));
    /// exporter.exposition().write_within(deadline, &mut body);
    /// assert!(start.elapsed() < Duration::from_secs(9));
    /// assert!(std::str::from_utf8(&body)?.contains("dynamo_engine_metrics_up{source=\"hangs\"} 0\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_within(&self, deadline: ScrapeDeadline, body: &mut BytesMut) {
        self.write_as(Negotiated::default(), &NameFilter::default(), deadline, body);
    }

    /// Appends the page in the negotiated format, with the families that the filter admits; returns its media type. Otherwise
    /// the same as [`write_within`](Self::write_within).
    pub fn write_as(
        &self,
        format: Negotiated,
        filter: &NameFilter,
        deadline: ScrapeDeadline,
        body: &mut BytesMut,
    ) -> ContentType {
        self.collect(deadline, |pages| pages.print(format, filter, body));
        ContentType::from_static(format.content_type())
    }

    /// Runs engines, callbacks and collectors, then lets `write` print the pages.
    fn collect(&self, deadline: ScrapeDeadline, write: impl FnOnce(&mut Pages<'_>)) {
        let Inner { registry, sources, texts, printer } = &*self.inner;
        let deadlines = ScrapeDeadlines::of(deadline);
        // Taken, so that no lock is held during the wait. Engines first: the page has the metrics about this read.
        let mut collected = std::mem::take(&mut *texts.lock());
        sources.engines.gather(deadlines.engines, &mut collected.engines);
        let begun = sources.callbacks.begin(deadlines.callbacks);
        sources.collectors.collect(&mut collected.collections);
        write(&mut Pages { registry, texts: &collected, printer: &mut printer.lock() });
        drop(begun);
        collected.engines.clear();
        collected.collections.clear();
        *texts.lock() = collected;
    }
}

/// The pages of one collection.
struct Pages<'a> {
    registry: &'a Registry,
    texts: &'a Texts,
    printer: &'a mut Printer,
}

impl Pages<'_> {
    fn print(&mut self, format: Negotiated, filter: &NameFilter, body: &mut BytesMut) {
        let Texts { engines, collections } = self.texts;
        let Printer { encoder, passthrough, all, .. } = self.printer;
        encoder.encode_with(self.registry, format, filter, body, |ours, body| {
            if engines.is_empty() && collections.is_empty() {
                return;
            }
            let collected =
                collections.iter().map(|(text, labels, _)| Source::new(all, text).labelled(labels));
            let passed_on = engines.iter().map(|(engine, text)| {
                Source::new(engine.filter(), text).labelled(engine.added_labels())
            });
            // The names of the snapshot that was written: a name that was unregistered since then is on this page.
            let reserved = |name: &str| ours.occupies(name);
            let sources = collected.chain(passed_on);
            passthrough.merge(sources, &reserved, format, filter, body);
            let collected = collections.iter().map(|(_, _, errors)| Origin::Collector(errors));
            let origins = collected.chain(engines.iter().map(|(engine, _)| Origin::Engine(engine)));
            origins.zip(passthrough.reports()).for_each(|(origin, report)| origin.count(report));
        });
        self.count_unsound();
    }

    /// Counts new unsound histograms. The counter is made when there is one, and is on the page of the next scrape.
    fn count_unsound(&mut self) {
        let Printer { encoder, unsound_counted, .. } = self.printer;
        let natives = encoder.unsound_natives() - *unsound_counted;
        if natives == 0 {
            return;
        }
        *unsound_counted += natives;
        let name = UNSOUND_NATIVE_HISTOGRAMS_TOTAL;
        let help = "Native histograms that were written as classic ones, since scrapers would refuse them.";
        if let Ok(counter) = self.registry.counter((name, help)) {
            counter.add(natives);
        }
    }
}

/// The source of a text.
enum Origin<'a> {
    Collector(&'a CollectorErrors),
    Engine(&'a Engine),
}

impl Origin<'_> {
    /// Counts the parts of the text that were left out.
    fn count(&self, report: &Report) {
        for (reason, count) in [
            ("clash", report.clashes),
            ("duplicate", report.duplicates),
            ("quarantined", report.quarantined),
            ("unreadable", report.dropped_lines),
        ] {
            match self {
                Self::Collector(errors) => errors.count(reason, count),
                Self::Engine(engine) => engine.count_withheld(reason, count),
            }
        }
    }
}

impl Exposition for MetricsExposition {
    /// Format and escaping, and the names that are asked for: so a batch has few variants, however its scrapers spell
    /// their requests.
    type Variant = (Negotiated, NameFilter);

    fn variant(&self, request: ScrapeRequest<'static>) -> Result<Self::Variant, ExposeError> {
        let filter =
            NameFilter::from_query(request.query().unwrap_or_default()).map_err(|error| {
                ExposeError::refused("Too many names are asked for").with_cause(error)
            })?;
        Ok((negotiate(request.accept()), filter))
    }

    fn expose(
        &self,
        (format, filter): &Self::Variant,
        deadline: ScrapeDeadline,
        body: &mut BytesMut,
    ) -> Result<ContentType, ExposeError> {
        Ok(self.write_as(*format, filter, deadline, body))
    }

    fn expose_batch(&self, batch: &mut Batch<'_, Self::Variant>) {
        self.collect(batch.deadline(), |pages| {
            batch.for_each(|(format, filter), body| {
                pages.print(*format, filter, body);
                Ok(ContentType::from_static(format.content_type()))
            });
        });
    }
}

#[cfg(test)]
mod tests;
