//! One page: a registry's metrics, then those of the engines behind it, valid as a whole.
//!
//! ```text
//! registry --Encoder--> families of ours, sorted
//! engines  --fetch-------> text --Foreign::merge--> their families, filtered and repaired
//! ```
//!
//! An engine cannot spoil the page: a family of its that has a name of ours is left out, what cannot be read is
//! left out, and both are counted by source. An engine that fails or panics costs only its own families.

use crate::engine::Engine;
use crate::hierarchy::DistributedRuntime;
use dynamo_metrics_core::Registry;
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::foreign::{Foreign, Source};
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::Negotiated;
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{ContentType, ExposeError, Exposition, ScrapeRequest};
use parking_lot::Mutex;
use std::sync::Arc;

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

    /// Appends the page to `body`. Blocks for as long as the engines take to answer; without engines it
    /// allocates nothing in steady state.
    pub fn write(&self, body: &mut BytesMut) {
        // Engines first, and before the lock: what they count about themselves is on this page already.
        let engines = self.inner.runtime.as_ref().map(DistributedRuntime::engine_sources);
        let texts: Vec<(Arc<Engine>, Vec<u8>)> = engines
            .into_iter()
            .flatten()
            .filter_map(|engine| match engine.fetch() {
                Ok(text) => Some((engine, text)),
                Err(error) => {
                    tracing::warn!(engine = engine.name(), %error, "engine left out of this scrape");
                    None
                }
            })
            .collect();
        let mut memory = self.inner.memory.lock();
        let Memory { encoder, foreign } = &mut *memory;
        encoder.encode(&self.inner.registry, body);
        if texts.is_empty() {
            return;
        }
        let sources = texts.iter().map(|(engine, text)| Source::new(engine.filter(), text));
        let reserved = |name: &str| self.inner.registry.occupies(name);
        let (asked, names) = (Negotiated::default(), NameFilter::default());
        foreign.merge(sources, &reserved, asked, &names, body);
        for ((engine, _), report) in texts.iter().zip(foreign.reports()) {
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
    }
}

impl Exposition for MetricsExposition {
    fn expose(
        &self,
        _request: &ScrapeRequest<'_>,
        body: &mut BytesMut,
    ) -> Result<ContentType, ExposeError> {
        self.write(body);
        Ok(ContentType::TEXT_0_0_4)
    }
}
