//! One page: a registry's metrics, then those of the engines behind it, valid as a whole.
//!
//! ```text
//! registry --Encoder--> families of ours, sorted
//! engines  --fetch-------> text --Foreign::merge--> their families, filtered and repaired
//! ```
//!
//! Scrapes that wait at the same time share what engines and callbacks say, whatever page each of them asks for;
//! those that negotiate the same format and name the same families share the page too, however they spell it.
//!
//! An engine cannot spoil the page: a family of its that has a name of ours is left out, what cannot be read is
//! left out, and both are counted by source. An engine that fails or panics costs only its own families.

use crate::engine::GatheredEngines;
use crate::hierarchy::DistributedRuntime;
use crate::names::distributed_runtime::UNSOUND_NATIVE_HISTOGRAMS_TOTAL;
use crate::patience::Patience;
use dynamo_metrics_core::Registry;
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::foreign::{Foreign, Source};
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Negotiated, negotiate};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{Batch, ContentType, ExposeError, Exposition, ScrapeRequest};
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
    /// Memory that scrapes reuse. Locked while a page is written; the server asks for one at a time.
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    encoder: Encoder,
    foreign: Foreign,
    engines: GatheredEngines,
    /// Of the encoder's [`unsound_natives`](Encoder::unsound_natives), how many the registry has counted.
    unsound_counted: u64,
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

    /// The exposition with an encoder of the caller's choice: one that prints start times in OpenMetrics, as
    /// `requests_created`, or one that spells bounds as OpenMetrics does in every text.
    ///
    /// ```
    /// use dynamo_metrics::{DistributedRuntime, Environment, MetricsExposition};
    /// use dynamo_metrics_encoder::Encoder;
    ///
    /// let port = |name: &str| (name == "DYN_SYSTEM_PORT").then(|| "0".into());
    /// let (environment, _warnings) = Environment::read(port)?;
    /// let runtime = DistributedRuntime::new()?;
    /// let exposition =
    ///     MetricsExposition::of_runtime(&runtime).encoded_by(Encoder::with_created_samples());
    /// let builder = runtime.system_server_builder(&environment.system)?.expect("a port was given");
    /// let server = builder.exposition(exposition).spawn()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn encoded_by(self, encoder: Encoder) -> Self {
        {
            let mut memory = self.inner.memory.lock();
            memory.unsound_counted = encoder.unsound_natives();
            memory.encoder = encoder;
        }
        self
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
        self.collected(scrape_timeout, |engines| self.print(engines, asked, filter, body));
        ContentType::from_static(asked.content_type())
    }

    /// Lets the page or pages be written when engines and callbacks have said what they say in time.
    fn collected(&self, scrape_timeout: Option<Duration>, write: impl FnOnce(&GatheredEngines)) {
        // Engines first: what they count about themselves is on this page already. And not under the lock,
        // which others may wait for.
        let patience = Patience::new(scrape_timeout);
        let mut engines = std::mem::take(&mut self.inner.memory.lock().engines);
        if let Some(runtime) = &self.inner.runtime {
            runtime.gather_engines(scrape_timeout, &mut engines);
        }
        let callbacks = self.inner.runtime.as_ref().map(|runtime| runtime.metrics().callbacks());
        let _begun = callbacks.map(|callbacks| callbacks.begin(patience.callbacks));
        write(&engines);
        engines.clear();
        self.inner.memory.lock().engines = engines;
    }

    fn print(
        &self,
        engines: &GatheredEngines,
        asked: Negotiated,
        filter: &NameFilter,
        body: &mut BytesMut,
    ) {
        let Memory { encoder, foreign, unsound_counted, .. } = &mut *self.inner.memory.lock();
        encoder.encode_with(&self.inner.registry, asked, filter, body, |ours, body| {
            if engines.is_empty() {
                return;
            }
            let sources = engines.iter().map(|(engine, text)| {
                Source::new(engine.filter(), text).labelled(engine.added_labels())
            });
            // Of the snapshot that was written, and not of the registry now: a name that was given up in between is on this page.
            let reserved = |name: &str| ours.occupies(name);
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
        let unsound = encoder.unsound_natives() - *unsound_counted;
        *unsound_counted += unsound;
        if unsound > 0 {
            self.count_unsound(unsound);
        }
    }

    /// Made when there is something to count, and on the page of the next scrape.
    #[cold]
    fn count_unsound(&self, natives: u64) {
        let name = UNSOUND_NATIVE_HISTOGRAMS_TOTAL;
        let help = "Native histograms that were written as classic ones, since scrapers would refuse them.";
        if let Ok(counter) = self.inner.registry.counter((name, help)) {
            counter.add(natives);
        }
    }
}

impl Exposition for MetricsExposition {
    fn expose(
        &self,
        request: &ScrapeRequest<'_>,
        body: &mut BytesMut,
    ) -> Result<ContentType, ExposeError> {
        let (asked, filter) = asked(request)?;
        Ok(self.write_as(asked, &filter, request.timeout(), body))
    }

    fn expose_batch(&self, batch: &mut Batch<'_>) {
        self.collected(batch.timeout(), |engines| {
            batch.for_each(|request, body| {
                let (asked, filter) = asked(request)?;
                self.print(engines, asked, &filter, body);
                Ok(ContentType::from_static(asked.content_type()))
            });
        });
    }

    /// The media type, which says format and escaping, and the names: of both there are as many as scrapers can
    /// ask for, but a batch has no more than it has scrapes. Parameters that nobody knows are not in it.
    fn variant(&self, request: &ScrapeRequest<'_>, key: &mut Vec<u8>) {
        let Ok((asked, filter)) = asked(request) else { return }; // All that are refused are one.
        key.extend_from_slice(asked.content_type().as_bytes());
        for name in filter.names().into_iter().flatten() {
            key.extend_from_slice(&name.len().to_le_bytes());
            key.extend_from_slice(name);
        }
    }
}

fn asked(request: &ScrapeRequest<'_>) -> Result<(Negotiated, NameFilter), ExposeError> {
    let filter = NameFilter::from_query(request.query().unwrap_or_default())
        .map_err(|error| ExposeError::refused("Too many names are asked for").with_cause(error))?;
    Ok((negotiate(request.accept()), filter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineSource, Filter};
    use dynamo_metrics_server::Server;
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn native_histograms_that_scrapers_would_refuse_are_counted_on_the_next_page() {
        let registry = Registry::new();
        let buckets = dynamo_metrics_core::NativeBuckets::new();
        let wait = registry.native_histogram(("wait_seconds", ""), &buckets).unwrap();
        wait.observe_n(0.5, u64::MAX);
        let exposition = MetricsExposition::of_registry(&registry);
        let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
        let mut body = BytesMut::new();
        exposition.write_as(negotiate(Some(protobuf)), &NameFilter::default(), None, &mut body);
        body.clear();
        exposition.write(&mut body);
        let body = std::str::from_utf8(&body).unwrap();
        assert!(body.contains("\ndynamo_metrics_unsound_native_histograms_total 1\n"), "{body}");
        assert!(body.contains("\nwait_seconds_count 18446744073709551615\n"), "{body}");
    }

    #[test]
    fn a_family_that_is_unregistered_during_a_scrape_is_on_its_page_once() {
        let runtime = DistributedRuntime::new().unwrap();
        let registry = runtime.registry().clone();
        registry.counter(("jobs_total", "Jobs.")).unwrap().add(3);
        let text = "# TYPE jobs_total counter\njobs_total 7\n# TYPE other gauge\nother 1\n";
        let source = EngineSource::new("engine", Filter::all(), move || Ok(text));
        runtime.add_engine_source(source.timeout(PATIENCE)).unwrap();
        // Runs between the listing of the families and the merging of the engine's text.
        let unregister = registry.clone();
        registry
            .gauge_callback(("unregisters", ""), move || {
                f64::from(u8::from(unregister.unregister("jobs_total")))
            })
            .unwrap();
        let exposition = MetricsExposition::of_runtime(&runtime);
        let page = || {
            let mut body = BytesMut::new();
            exposition.write(&mut body);
            String::from_utf8(body.to_vec()).unwrap()
        };
        let first = page();
        assert_eq!(first.matches("# TYPE jobs_total").count(), 1, "{first}");
        assert!(first.contains("\njobs_total 3\n") && !first.contains("jobs_total 7"), "{first}");
        assert!(first.contains("\nunregisters 1\n") && first.contains("\nother 1"), "{first}");
        let second = page();
        assert!(second.contains("\njobs_total 7\n"), "the name is the engine's now: {second}");
    }

    #[test]
    fn variants_are_what_the_page_depends_on_and_nothing_else() {
        let exposition = MetricsExposition::of_registry(&Registry::new());
        let key = |accept: Option<&str>, query: &str| {
            let mut key = Vec::new();
            exposition.variant(&ScrapeRequest::new(accept, Some(query), None), &mut key);
            key
        };
        let text = Some("text/plain;version=0.0.4");
        let same = [
            key(text, ""),
            key(text, "x=1"),
            key(text, "x=2&y"),
            key(None, ""),
            key(Some("text/plain; version=0.0.4;q=0.7, a/b;q=0.9"), "name[]="),
        ];
        assert!(same.iter().all(|key| *key == same[0] && !key.is_empty()), "{same:?}");
        assert_eq!(key(text, "name[]=b&name[]=a"), key(None, "z&name%5B%5D=a&name[]=%62"));
        let differ = [
            key(text, ""),
            key(Some("text/plain;version=1.0.0"), ""), // Another media type is announced.
            key(Some("application/openmetrics-text;version=1.0.0"), ""),
            key(Some("application/openmetrics-text;version=1.0.0;escaping=dots"), ""),
            key(text, "name[]=a"),
            key(text, "name[]=ab"),
            key(text, "name[]=a&name[]=b"),
            key(text, &"name[]=x&".repeat(2000)),
        ];
        for (index, one) in differ.iter().enumerate() {
            assert!(!differ[..index].contains(one), "{index}");
        }
        assert_eq!(key(text, &"name[]=x&".repeat(2000)), key(None, &"name[]=y&".repeat(2000)));
    }

    #[test]
    fn scrapes_that_wait_together_cost_one_fetch_whatever_they_ask_for() {
        let runtime = DistributedRuntime::new().unwrap();
        let (go, wait) = channel::<()>();
        let wait = Mutex::new(wait);
        let fetches = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&fetches);
        let source = EngineSource::new("slow", Filter::all(), move || {
            // Relaxed: a count that the test reads after the answers.
            counted.fetch_add(1, Ordering::Relaxed);
            wait.lock().recv_timeout(PATIENCE).map_err(|_| "the test is over")?;
            Ok("x 1\n")
        });
        runtime.add_engine_source(source.timeout(PATIENCE)).unwrap();
        let exposition = MetricsExposition::of_runtime(&runtime);
        let server = Server::builder().exposition(exposition).spawn().unwrap();
        let send = |head: String| {
            let mut stream = TcpStream::connect(server.local_addr()).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        };
        let answer = |mut stream: TcpStream| {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        };
        let accepts = ["text/plain", "*/*", "application/openmetrics-text", "text/plain;q=0.5"];
        let scrapes: Vec<_> = (0..30)
            .map(|n| {
                let accept = accepts[n % accepts.len()];
                send(format!("GET /metrics?name[]=x&n={n} HTTP/1.0\r\nAccept: {accept}\r\n\r\n"))
            })
            .collect();
        // When they are answered, all that was sent before them has been read.
        for _ in 0..4 {
            assert!(answer(send("GET /live HTTP/1.0\r\n\r\n".into())).contains("200 OK"));
        }
        go.send(()).unwrap();
        go.send(()).unwrap();
        for scrape in scrapes {
            let answer = answer(scrape);
            assert!(answer.contains("200 OK") && answer.contains("\nx 1"), "{answer}");
        }
        let fetches = fetches.load(Ordering::Relaxed);
        assert!((1..=2).contains(&fetches), "{fetches} fetches");
        assert!(server.telemetry().gathers() <= 4, "{} pages", server.telemetry().gathers());
    }
}
