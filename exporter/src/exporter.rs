//! An exporter: a registry, the sources of further values, and a server or a service that scrapers read.

use crate::callback::Callbacks;
use crate::collector::{Collector, LabelledCallback};
use crate::deadline::ScrapeDeadlines;
use crate::engine::{Engine, EngineSource, GatheredEngines};
use crate::error::{ListenError, SourceError};
use crate::names::ENGINE_PREFIX_DEFAULT;
use crate::page::{MetricsExposition, Sources};
use dynamo_metrics_core::{Counter, Gauge, Opts, Registry};
use dynamo_metrics_server::{
    MetricsService, RunningServer, ScrapeDeadline, Server, ServerBuilder, StartError,
};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

/// Exports the metrics of a registry. Cheap to clone; clones share callbacks, collectors and engines.
///
/// ```
/// use dynamo_metrics_exporter::{Exporter, Registry};
/// use std::io::{Read, Write};
///
/// let registry = Registry::new();
/// registry.counter(("requests_total", "Requests served."))?.inc();
/// let server = Exporter::new(&registry).listen("127.0.0.1:0")?;
///
/// let mut client = std::net::TcpStream::connect(server.local_addr())?;
/// client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.contains("requests_total 1\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Exporter {
    registry: Registry,
    sources: Arc<Sources>,
    engine_prefix: Arc<str>,
}

impl Exporter {
    /// Creates an exporter of a registry, or of a scope of one. Its page has the metrics of that scope and all below.
    pub fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            sources: Arc::new(Sources::new(registry)),
            engine_prefix: ENGINE_PREFIX_DEFAULT.into(),
        }
    }

    /// Sets the prefix of the counters of engines' errors, which are `<prefix>_engine_errors_total` and
    /// `<prefix>_engine_withheld_total`; `dynamo_metrics` unless set. It must be the beginning of a valid metric name; with any
    /// other prefix [`engine`](Self::engine) fails.
    #[must_use]
    pub fn engine_prefix(mut self, prefix: &str) -> Self {
        self.engine_prefix = prefix.into();
        self
    }

    /// Returns an exporter of another scope that shares callbacks, collectors and engines with this one. Sources that are
    /// registered through it get the labels of the scope, and are on the page of each exporter that shares them.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut};
    ///
    /// let registry = Registry::new();
    /// let exporter = Exporter::new(&registry);
    /// let gpu = exporter.at(&registry.scope(&[("gpu", "0")])?);
    /// gpu.gauge_callback(("temperature_celsius", "Temperature."), || 61.5)?;
    /// let mut body = BytesMut::new();
    /// exporter.exposition().write(&mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("temperature_celsius{gpu=\"0\"} 61.5\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn at(&self, scope: &Registry) -> Self {
        Self { registry: scope.clone(), ..self.clone() }
    }

    /// Returns the registry, or the scope, that is exported.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn callbacks(&self) -> &Callbacks {
        &self.sources.callbacks
    }
}

/// Serving the page.
impl Exporter {
    /// Starts a server for `GET /metrics`, `/health` and `/live` at `address`, host and port, on threads of its own. Port 0
    /// takes a free port, which [`RunningServer::local_addr`] returns. The server stops when the returned value is dropped,
    /// or with [`RunningServer::shutdown`] after the requests in progress.
    ///
    /// Costs two threads. For limits, TLS, a landing page or a Unix socket see [`server`](Self::server).
    ///
    /// # Errors
    /// The text is not an address, or the address cannot be listened on; the error has both and a remedy.
    pub fn listen(&self, address: &str) -> Result<RunningServer, ListenError> {
        Ok(self.server().address(resolve(address)?).address_source(address).spawn()?)
    }

    /// Returns a builder of a server with this page, at `127.0.0.1` and a free port unless it is told another address.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Exporter, Limits, Registry};
    ///
    /// let mut limits = Limits::default();
    /// limits.connections = 64;
    /// let server = Exporter::new(&Registry::new()).server().limits(limits).spawn()?;
    /// assert!(server.local_addr().ip().is_loopback());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn server(&self) -> ServerBuilder {
        Server::builder().exposition(self.exposition())
    }

    /// Returns a service for the route `/metrics` of the program's own server, of hyper, axum or another framework: it
    /// answers a request's headers and URI. Costs a thread.
    ///
    /// ```
    /// use dynamo_metrics_exporter::http::{HeaderMap, Uri};
    /// use dynamo_metrics_exporter::{Exporter, Registry};
    ///
    /// let registry = Registry::new();
    /// registry.counter(("requests_total", "Requests served."))?.inc();
    /// let service = Exporter::new(&registry).mount()?;
    ///
    /// // In an async handler, with the headers and the URI of the request:
    /// let (headers, uri) = (HeaderMap::new(), Uri::from_static("/metrics?name[]=requests_total"));
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    /// # let response = runtime.block_on(async {
    /// let response = service.respond(&headers, &uri).await;
    /// # response
    /// # });
    /// assert!(response.body().ends_with(b"requests_total 1\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// A thread could not be started.
    pub fn mount(&self) -> Result<MetricsService, StartError> {
        self.server().mount()
    }

    /// Returns the page without a server, for a [`Server`] of the program's own settings or for tests.
    pub fn exposition(&self) -> MetricsExposition {
        MetricsExposition::new(self.registry.clone(), Arc::clone(&self.sources))
    }
}

/// Values that are read at each scrape.
impl Exporter {
    /// Registers a counter whose value `value` returns. It must not fall: scrapers take a value that falls for a restart.
    ///
    /// `value` runs once a collection: scrapes that wait at the same time share one.
    ///
    /// The callback runs on a thread of the exporter's. **A fault costs only its own sample**: a panic is counted in
    /// `dynamo_metrics_callback_panics_total`; a scrape waits for it no longer than
    /// [`CALLBACK_TIMEOUT`](crate::CALLBACK_TIMEOUT), not at all where it was too slow the last time, and then has
    /// its last value, which `dynamo_metrics_callback_late_total` counts.
    ///
    /// # Errors
    /// An invalid name or label, a collision, or a second callback of one name and set of constant labels.
    pub fn counter_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), SourceError> {
        let opts = opts.into();
        let value = self.callbacks().sampled(opts.name(), value)?;
        Ok(self.registry.optional_counter_callback(opts, value)?)
    }

    /// Registers a gauge whose value `value` returns at each scrape, guarded as a
    /// [`counter_callback`](Self::counter_callback) is.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut};
    /// use std::time::Duration;
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// exporter.gauge_callback(("free_bytes", "Free memory."), || 4096.0)?;
    /// exporter.gauge_callback(("stuck", "Never returns."), || {
    ///     std::thread::sleep(Duration::from_secs(3600));
    ///     0.0
    /// })?;
    /// let (exposition, mut body) = (exporter.exposition(), BytesMut::new());
    /// exposition.write(&mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("\nfree_bytes 4096\n"));
    /// body.clear();
    /// exposition.write(&mut body); // the page after a late callback counts it
    /// assert!(std::str::from_utf8(&body)?.contains("callback_late_total{family=\"stuck\"} "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`counter_callback`](Self::counter_callback).
    pub fn gauge_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<(), SourceError> {
        let opts = opts.into();
        let value = self.callbacks().sampled(opts.name(), value)?;
        Ok(self.registry.optional_gauge_callback(opts, value)?)
    }

    /// Registers a family of gauges whose series `values` returns at each page: label values, in the order of
    /// `label_names`, and the value. A series that is missing in a result is removed from the page.
    ///
    /// Guarded as a [`collector`](Self::collector) of the family's name is. A snapshot that is taken by hand has the values
    /// of the last page.
    ///
    /// The family has at most [`SERIES_MAX_DEFAULT`](dynamo_metrics_core::limits::SERIES_MAX_DEFAULT) series unless `opts` set
    /// another limit; further label values share the overflow series, whose values are all `other`. Label values are cut as
    /// [`Opts::label_value_bytes_max`] has it. If a result has the same label values twice, the later value is shown.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut};
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// let opts = ("queue_depth", "Entries, by queue.");
    /// exporter.gauge_callback_family(opts, ["queue"], || [(["prefill"], 3.0), (["decode"], 5.0)])?;
    /// let mut body = BytesMut::new();
    /// exporter.exposition().write(&mut body);
    /// let page = std::str::from_utf8(&body)?;
    /// assert!(page.contains("queue_depth{queue=\"prefill\"} 3\n"));
    /// assert!(page.contains("queue_depth{queue=\"decode\"} 5\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`counter_callback`](Self::counter_callback).
    pub fn gauge_callback_family<const N: usize, L, I>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        values: impl Fn() -> I + Send + Sync + 'static,
    ) -> Result<(), SourceError>
    where
        L: Into<String>,
        I: IntoIterator<Item = ([L; N], f64)>,
    {
        let opts = opts.into();
        let (key, sources) = (self.key(&opts), (&self.registry, self.callbacks()));
        let callback = LabelledCallback::<Gauge, N>::new(sources, opts, label_names, values)?;
        Ok(self.sources.collectors.add_update(key, callback)?)
    }

    /// Registers a family of counters whose series `values` returns at each page, as
    /// [`gauge_callback_family`](Self::gauge_callback_family) does. A value that falls is a restart of its counter.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut};
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// let opts = ("reads_total", "Reads, by disk.");
    /// exporter.counter_callback_family(opts, ["disk"], || vec![(["sda"], 3)])?;
    /// let mut body = BytesMut::new();
    /// exporter.exposition().write(&mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("reads_total{disk=\"sda\"} 3\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`counter_callback`](Self::counter_callback).
    pub fn counter_callback_family<const N: usize, L, I>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        values: impl Fn() -> I + Send + Sync + 'static,
    ) -> Result<(), SourceError>
    where
        L: Into<String>,
        I: IntoIterator<Item = ([L; N], u64)>,
    {
        let opts = opts.into();
        let (key, sources) = (self.key(&opts), (&self.registry, self.callbacks()));
        let callback = LabelledCallback::<Counter, N>::new(sources, opts, label_names, values)?;
        Ok(self.sources.collectors.add_update(key, callback)?)
    }

    /// Registers a collector, whose families are on each page after those of the registry, with the labels of the scope.
    /// Its name is the label `collector` of the metric about its errors.
    ///
    /// # Errors
    /// The exporter has a collector of this name, or [`COLLECTORS_MAX`](crate::COLLECTORS_MAX) of them.
    pub fn collector(&self, name: &str, collector: impl Collector) -> Result<(), SourceError> {
        let collectors = &self.sources.collectors;
        collectors.add(name, collector, self.callbacks(), &self.registry)
    }

    /// Removes the collector of this name; returns whether there was one.
    pub fn remove_collector(&self, name: &str) -> bool {
        self.sources.collectors.remove(name)
    }

    /// Registers the usual metrics of the process: `process_cpu_seconds_total`, `process_open_fds`, `process_max_fds`,
    /// `process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_start_time_seconds` and `process_threads`.
    /// They are read from `/proc` at each page.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut};
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// exporter.process_metrics()?;
    /// let mut body = BytesMut::new();
    /// exporter.exposition().write(&mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("\nprocess_open_fds "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The exporter has them already, or the registry has another metric of one of these names.
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub fn process_metrics(&self) -> Result<(), SourceError> {
        let metrics = crate::collector::ProcessMetrics::new(self.callbacks(), &self.registry)?;
        Ok(self.sources.collectors.add_update("process".into(), metrics)?)
    }

    /// Registers a collector, of this name, of the metrics that all processes of a directory share; see
    /// [`multiprocess`](crate::multiprocess). A directory that is missing at a scrape is no error: it has no metrics. One that
    /// cannot be read is counted in `dynamo_metrics_collector_errors_total`.
    ///
    /// ```
    /// use dynamo_metrics_exporter::multiprocess::{Opts, Processes};
    /// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut};
    ///
    /// let directory = std::env::temp_dir().join(format!("doc-exporter-{}", std::process::id()));
    /// let processes = Processes::join(&directory)?;
    /// processes.counter(&Opts::new("steps_total", "Steps of all ranks."))?.inc();
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// exporter.processes("ranks", &directory)?;
    /// let mut body = BytesMut::new();
    /// exporter.exposition().write(&mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("\nsteps_total 1\n"));
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`collector`](Self::collector).
    #[cfg(all(feature = "multiprocess", unix))]
    pub fn processes(
        &self,
        name: &str,
        directory: impl Into<std::path::PathBuf>,
    ) -> Result<(), SourceError> {
        self.collector(name, crate::collector::ProcessesCollector(directory.into()))
    }

    /// The identity of a metric: its name, the labels of the scope and its constant labels.
    fn key(&self, opts: &Opts) -> String {
        let labels: Vec<_> = self.registry.labels().chain(opts.const_labels()).collect();
        format!("{}{labels:?}", opts.name())
    }
}

/// Pages of other exporters.
impl Exporter {
    /// Registers an engine, whose page is merged into this one.
    ///
    /// # Errors
    /// The exporter has an engine of this name, or [`ENGINES_MAX`](crate::engine::ENGINES_MAX) of them; the name is longer than
    /// [`OPERATOR_LABEL_VALUE_BYTES_MAX`](dynamo_metrics_core::limits::OPERATOR_LABEL_VALUE_BYTES_MAX) bytes; the labels that
    /// the source asks for cannot be added; or the registry refuses the metrics about the engine, as for an invalid
    /// [`engine_prefix`](Self::engine_prefix).
    pub fn engine(&self, source: EngineSource) -> Result<Arc<Engine>, SourceError> {
        self.sources.engines.add(source, &self.registry, &self.engine_prefix)
    }

    /// Removes the engine of this name, in whatever scope it was registered; returns the number of engines removed.
    pub fn remove_engine(&self, name: &str) -> usize {
        self.sources.engines.remove(name)
    }

    /// Returns all engines, in the order of registration.
    pub fn engines(&self) -> Vec<Arc<Engine>> {
        self.sources.engines.list()
    }

    /// Reads every engine, all at once, and waits for them: the first time up to each engine's timeout, then
    /// [a moment](crate::engine::ENGINE_REFRESH_WAIT), and in any case in time for the scrape's deadline. The texts are in `gathered`, whose memory is reused.
    ///
    /// ```
    /// use dynamo_metrics_exporter::engine::GatheredEngines;
    /// use dynamo_metrics_exporter::{EngineSource, Exporter, Filter, Registry, ScrapeDeadline};
    /// use std::time::Duration;
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// exporter.engine(EngineSource::new("vllm", Filter::vllm(), || Ok("vllm:running 3\n")))?;
    /// let mut gathered = GatheredEngines::default();
    /// exporter.gather_engines(ScrapeDeadline::after(Duration::from_secs(10)), &mut gathered);
    /// let (engine, text) = gathered.iter().next().expect("it answered");
    /// assert_eq!((engine.name(), text), ("vllm", &b"vllm:running 3\n"[..]));
    /// # Ok::<(), dynamo_metrics_exporter::SourceError>(())
    /// ```
    pub fn gather_engines(&self, deadline: ScrapeDeadline, gathered: &mut GatheredEngines) {
        self.sources.engines.gather(ScrapeDeadlines::of(deadline).engines, gathered);
    }
}

fn resolve(address: &str) -> Result<SocketAddr, ListenError> {
    let error = |reason: String| ListenError::Address { address: address.into(), reason };
    let mut addresses = address.to_socket_addrs().map_err(|e| error(e.to_string()))?;
    addresses.next().ok_or_else(|| error("the name has no address".into()))
}
