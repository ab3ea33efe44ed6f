//! An exporter: a registry, the sources of further values, and a server or a service that scrapers read.

mod values;

use crate::callback::Callbacks;
use crate::deadline::ScrapeDeadlines;
use crate::engine::{Engine, EngineSource, GatheredEngines};
use crate::error::{ListenError, SourceError};
use crate::names::ENGINE_PREFIX_DEFAULT;
use crate::page::{MetricsExposition, Sources};
use dynamo_metrics_core::Registry;
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
