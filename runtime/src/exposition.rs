//! One page: a registry's metrics, then those of the engines behind it, valid as a whole.
//!
//! ```text
//! registry --Encoder--> families of ours, sorted
//! engines  --fetch-------> text --Foreign::merge--> their families, filtered and repaired
//! ```
//!
//! An engine cannot spoil the page: a family of its that has a name of ours is left out, what cannot be read is
//! left out, and both are counted by source. An engine that fails or panics costs only its own families.

use crate::engine::GatheredEngines;
use crate::hierarchy::DistributedRuntime;
use crate::patience::Patience;
use dynamo_metrics_core::Registry;
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::foreign::{Foreign, Source};
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Negotiated, negotiate};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{ContentType, ExposeError, Exposition, ScrapeRequest};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// The exposition of a registry and, for a runtime, of its engines. It keeps the encoder's memory from scrape
/// to scrape, so make one and keep it.
///
/// ```
/// use dynamo_metrics::{DistributedRuntime, Filter, EngineSource, MetricsExposition};
/// use dynamo_metrics_server::bytes::BytesMut;
///
/// let runtime = DistributedRuntime::new()?;
/// runtime.metrics().counter(("steps_total", "Steps."))?.inc();
/// let text = "# TYPE vllm:running gauge\r\nvllm:running 3.0\r\n# EOF";
/// runtime.add_engine_source(EngineSource::new("vllm", Filter::vllm(), move || Ok(text)))?;
///
/// let exposition = MetricsExposition::of_runtime(&runtime);
/// let mut body = BytesMut::new();
/// exposition.write(&mut body);
/// let body = std::str::from_utf8(&body)?;
/// assert!(body.contains("dynamo_component_steps_total 1\n"));
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
    runtime: Option<DistributedRuntime>,
    /// Memory that scrapes reuse. Locked for the length of a scrape; the server asks one at a time.
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    encoder: Encoder,
    foreign: Foreign,
    engines: GatheredEngines,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl MetricsExposition {
    /// A registry alone.
    pub fn of_registry(registry: &Registry) -> Self {
        Self::new(registry.clone(), None)
    }

    /// A runtime: its whole hierarchy, and its engines.
    pub fn of_runtime(runtime: &DistributedRuntime) -> Self {
        Self::new(runtime.registry().clone(), Some(runtime.clone()))
    }

    fn new(registry: Registry, runtime: Option<DistributedRuntime>) -> Self {
        Self { inner: Arc::new(Inner { registry, runtime, memory: Mutex::default() }) }
    }

    /// Appends the page to `body`, for a reader of unknown patience; see
    /// [`write_within`](Self::write_within).
    pub fn write(&self, body: &mut BytesMut) {
        self.write_within(None, body);
    }

    /// Appends the page to `body`, in time for a scraper that gives up after `scrape_timeout`. Engines and
    /// callbacks that are not ready by then cost what they have to say, and nothing else of the page. Without
    /// engines it allocates nothing in steady state.
    ///
    /// ```
    /// # use dynamo_metrics::{DistributedRuntime, EngineSource, Filter, MetricsExposition};
    /// # use dynamo_metrics_server::bytes::BytesMut;
    /// use std::time::{Duration, Instant};
    ///
    /// let runtime = DistributedRuntime::new()?;
    /// let hangs = || {
    ///     std::thread::sleep(Duration::from_secs(3600));
    ///     Ok("")
    /// };
    /// let source = EngineSource::new("hangs", Filter::all(), hangs).timeout(Duration::from_secs(9));
    /// runtime.add_engine_source(source)?;
    /// let (mut body, start) = (BytesMut::new(), Instant::now());
    /// MetricsExposition::of_runtime(&runtime).write_within(Some(Duration::from_secs(1)), &mut body);
    /// assert!(start.elapsed() < Duration::from_secs(9));
    /// assert!(std::str::from_utf8(&body)?.contains("dynamo_engine_metrics_up{source=\"hangs\"} 0\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_within(&self, scrape_timeout: Option<Duration>, body: &mut BytesMut) {
        self.write_as(Negotiated::default(), &NameFilter::default(), scrape_timeout, body);
    }

    /// [`write_within`](Self::write_within) in the format that a scraper asked for, as far as its filter admits
    /// families; returns the page's media type.
    pub fn write_as(
        &self,
        asked: Negotiated,
        filter: &NameFilter,
        scrape_timeout: Option<Duration>,
        body: &mut BytesMut,
    ) -> ContentType {
        // Engines first: what they count about themselves is on this page already. And not under the lock,
        // which others may wait for.
        let patience = Patience::new(scrape_timeout);
        let mut engines = std::mem::take(&mut self.inner.memory.lock().engines);
        if let Some(runtime) = &self.inner.runtime {
            runtime.gather_engines(scrape_timeout, &mut engines);
        }
        let mut memory = self.inner.memory.lock();
        let callbacks = self.inner.runtime.as_ref().map(|runtime| runtime.metrics().callbacks());
        let _begun = callbacks.map(|callbacks| callbacks.begin(patience.callbacks));
        self.print(&mut memory, &engines, asked, filter, body);
        engines.clear();
        memory.engines = engines;
        ContentType::from_static(asked.content_type())
    }

    fn print(
        &self,
        memory: &mut Memory,
        engines: &GatheredEngines,
        asked: Negotiated,
        filter: &NameFilter,
        body: &mut BytesMut,
    ) {
        let Memory { encoder, foreign, .. } = memory;
        encoder.encode_with(&self.inner.registry, asked, filter, body, |body| {
            if engines.is_empty() {
                return;
            }
            let sources = engines.iter().map(|(engine, text)| {
                Source::new(engine.filter(), text).labelled(engine.added_labels())
            });
            let reserved = |name: &str| self.inner.registry.occupies(name);
            foreign.merge(sources, &reserved, asked, filter, body);
            for ((engine, _), report) in engines.iter().zip(foreign.reports()) {
                let counts = [
                    ("clash", report.clashes),
                    ("duplicate", report.duplicates),
                    ("quarantined", report.quarantined),
                    ("unreadable", report.dropped_lines),
                ];
                for (reason, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                    engine.count_withheld(reason, count);
                }
            }
        });
    }
}

impl Exposition for MetricsExposition {
    fn expose(
        &self,
        request: &ScrapeRequest<'_>,
        body: &mut BytesMut,
    ) -> Result<ContentType, ExposeError> {
        let filter =
            NameFilter::from_query(request.query().unwrap_or_default()).map_err(|error| {
                ExposeError::refused("Too many names are asked for").with_cause(error)
            })?;
        Ok(self.write_as(negotiate(request.accept()), &filter, request.timeout(), body))
    }
}
