//! The settings of a server. They are checked in `start`; nothing fails here.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
#[cfg(any(unix, feature = "auth"))]
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::auth::AuthSettings;
use crate::http::cors::CorsOrigins;
use crate::http::health::{Health, Unmonitored};
use crate::http::landing::LandingPage;
use crate::http::static_page::StaticPage;
use crate::limits::Limits;
#[cfg(unix)]
use crate::net::unix::UNIX_SOCKET_MODE;
use crate::scrape::compress::Compression;
use crate::scrape::exposition::Exposition;
use crate::scrape::gather::{Gatherer, StartGatherer};
use crate::telemetry::ServerTelemetry;

/// The entry to this crate: [`Server::builder`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Server;

impl Server {
    /// Returns a builder with every default: `127.0.0.1`, a port that the system chooses, `/metrics`,
    /// `/health`, `/live`, [`Limits::default`].
    ///
    /// ```
    /// use dynamo_metrics_server::{ContentType, ScrapeRequest, Server};
    /// use dynamo_metrics_server::bytes::BytesMut;
    ///
    /// let server = Server::builder()
    ///     .exposition(|_: &ScrapeRequest<'_>, body: &mut BytesMut| {
    ///         body.extend_from_slice(b"up 1\n");
    ///         Ok(ContentType::TEXT_0_0_4)
    ///     })
    ///     .spawn()?;
    /// assert!(server.local_addr().ip().is_loopback());
    /// # Ok::<(), dynamo_metrics_server::StartError>(())
    /// ```
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            // Metrics are not for public networks (Prometheus' security model), so the loopback
            // address is left only when asked.
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            address_source: None,
            #[cfg(unix)]
            unix_socket: None,
            #[cfg(unix)]
            unix_socket_mode: UNIX_SOCKET_MODE,
            metrics_path: "/metrics".into(),
            health_path: "/health".into(),
            live_path: "/live".into(),
            landing_page: None,
            pages: Vec::new(),
            cors_origins: CorsOrigins::default(),
            not_found_body: Bytes::new(),
            gatherer: None,
            health: Box::new(Unmonitored),
            compression: Compression::default(),
            limits: Limits::default(),
            telemetry: Arc::default(),
            auth: AuthSettings::default(),
        }
    }
}

/// The settings of a server that does not run yet. Setters only store; [`ServerBuilder::spawn`] checks.
#[must_use = "a builder does nothing until `spawn`"]
pub struct ServerBuilder {
    pub(crate) address: SocketAddr,
    pub(crate) address_source: Option<String>,
    #[cfg(unix)]
    pub(crate) unix_socket: Option<PathBuf>,
    #[cfg(unix)]
    pub(crate) unix_socket_mode: u32,
    pub(crate) metrics_path: String,
    pub(crate) health_path: String,
    pub(crate) live_path: String,
    pub(crate) landing_page: Option<LandingPage>,
    pub(crate) pages: Vec<StaticPage>,
    pub(crate) cors_origins: CorsOrigins,
    pub(crate) not_found_body: Bytes,
    pub(crate) gatherer: Option<StartGatherer>,
    pub(crate) health: Box<dyn Health>,
    pub(crate) compression: Compression,
    pub(crate) limits: Limits,
    pub(crate) telemetry: Arc<ServerTelemetry>,
    pub(crate) auth: AuthSettings,
}

impl ServerBuilder {
    /// Sets the address to listen on. With port 0 the system chooses one, which
    /// [`RunningServer::local_addr`](crate::RunningServer::local_addr) returns. `[::]` takes IPv4 connections too.
    /// Default: `127.0.0.1:0`.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Sets the name of the variable or flag that the address comes from, for errors. Default: none.
    ///
    /// ```
    /// # use dynamo_metrics_server::{ContentType, ScrapeRequest, Server, bytes::BytesMut};
    /// # let empty = |_: &ScrapeRequest<'_>, _: &mut BytesMut| Ok(ContentType::TEXT_0_0_4);
    /// let first = Server::builder().exposition(empty).spawn()?;
    /// let second = Server::builder()
    ///     .address(first.local_addr())
    ///     .address_source("DYN_SYSTEM_PORT")
    ///     .exposition(empty)
    ///     .spawn();
    /// let text = second.unwrap_err().to_string();
    /// assert!(text.contains("DYN_SYSTEM_PORT") && text.contains("the port is in use"));
    /// # Ok::<(), dynamo_metrics_server::StartError>(())
    /// ```
    pub fn address_source(mut self, name: impl Into<String>) -> Self {
        self.address_source = Some(name.into());
        self
    }

    /// Listens on a Unix domain socket too, beside TCP. Its file is made with the mode of
    /// [`ServerBuilder::unix_socket_mode`] and removed when the server ends. A file that a dead
    /// server left there is replaced; any other file there is an error of `spawn`. Default: none.
    ///
    /// ```
    /// # use dynamo_metrics_server::{ContentType, ScrapeRequest, Server, bytes::BytesMut};
    /// # let empty = |_: &ScrapeRequest<'_>, _: &mut BytesMut| Ok(ContentType::TEXT_0_0_4);
    /// use std::io::{Read, Write};
    /// use std::os::unix::net::UnixStream;
    ///
    /// let path = std::env::temp_dir().join(format!("metrics-{}.sock", std::process::id()));
    /// let server = Server::builder().unix_socket(&path).exposition(empty).spawn()?;
    /// let mut client = UnixStream::connect(&path)?;
    /// client.write_all(b"GET /live HTTP/1.0\r\n\r\n")?;
    /// let mut response = String::new();
    /// client.read_to_string(&mut response)?;
    /// assert!(response.starts_with("HTTP/1.0 200 OK"));
    /// drop(server);
    /// assert!(!path.exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(unix)]
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.unix_socket = Some(path.into());
        self
    }

    /// Sets the mode of the Unix socket's file; users that may write to it may scrape. The process's umask plays no part.
    /// Default: `0o600`, the server's user alone.
    #[cfg(unix)]
    pub fn unix_socket_mode(mut self, mode: u32) -> Self {
        self.unix_socket_mode = mode;
        self
    }

    /// Sets the path of the exposition. It begins with `/`, has neither `?` nor `#`, and is compared byte by byte:
    /// percent-encode the bytes that a URI requires to be encoded. Default: `/metrics`.
    pub fn metrics_path(mut self, path: impl Into<String>) -> Self {
        self.metrics_path = path.into();
        self
    }

    /// Sets the path of [`Health::health`]. Default: `/health`.
    pub fn health_path(mut self, path: impl Into<String>) -> Self {
        self.health_path = path.into();
        self
    }

    /// Sets the path of [`Health::live`]. Default: `/live`.
    pub fn live_path(mut self, path: impl Into<String>) -> Self {
        self.live_path = path.into();
        self
    }

    /// Answers `/` with a small HTML page that links to the other paths. Default: none; `/` is then answered as any
    /// unknown path, as by Dynamo's servers.
    ///
    /// ```
    /// # use dynamo_metrics_server::{ContentType, ScrapeRequest, Server, bytes::BytesMut};
    /// # let empty = |_: &ScrapeRequest<'_>, _: &mut BytesMut| Ok(ContentType::TEXT_0_0_4);
    /// use dynamo_metrics_server::LandingPage;
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// let page = LandingPage::new("my exporter", "1.2.3");
    /// let server = Server::builder().landing_page(page).exposition(empty).spawn()?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    /// let mut response = String::new();
    /// client.read_to_string(&mut response)?;
    /// assert!(response.contains("<a href=\"/metrics\">/metrics</a>"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn landing_page(mut self, page: LandingPage) -> Self {
        self.landing_page = Some(page);
        self
    }

    /// Adds a page that never changes; may be called again for others. Default: none.
    ///
    /// ```
    /// # use dynamo_metrics_server::{ContentType, ScrapeRequest, Server, StaticPage, bytes::BytesMut};
    /// # let empty = |_: &ScrapeRequest<'_>, _: &mut BytesMut| Ok(ContentType::TEXT_0_0_4);
    /// use dynamo_metrics_server::http::HeaderValue;
    /// use std::io::{Read, Write};
    ///
    /// let page = StaticPage::new("/help", HeaderValue::from_static("text/plain"), "Ask the operator.");
    /// let server = Server::builder().page(page).exposition(empty).spawn()?;
    /// let mut client = std::net::TcpStream::connect(server.local_addr())?;
    /// client.write_all(b"GET /help HTTP/1.0\r\n\r\n")?;
    /// let mut response = String::new();
    /// client.read_to_string(&mut response)?;
    /// assert!(response.ends_with("Ask the operator."));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn page(mut self, page: StaticPage) -> Self {
        self.pages.push(page);
        self
    }

    /// Lets pages of these origins read the responses in a browser, as a dashboard that lives elsewhere does. Default: none.
    ///
    /// ```
    /// # use dynamo_metrics_server::{ContentType, ScrapeRequest, Server, bytes::BytesMut};
    /// # let empty = |_: &ScrapeRequest<'_>, _: &mut BytesMut| Ok(ContentType::TEXT_0_0_4);
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// let origins = "https://grafana.example".parse()?;
    /// let server = Server::builder().cors_origins(origins).exposition(empty).spawn()?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// client.write_all(b"GET /metrics HTTP/1.0\r\nOrigin: https://grafana.example\r\n\r\n")?;
    /// let mut response = String::new();
    /// client.read_to_string(&mut response)?;
    /// assert!(response.contains("access-control-allow-origin: https://grafana.example\r\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cors_origins(mut self, origins: CorsOrigins) -> Self {
        self.cors_origins = origins;
        self
    }

    /// Sets the body of the 404 of an unknown path, sent as `text/plain; charset=utf-8`. Default: empty, as Dynamo's
    /// frontend has it; its component says `Route not found`.
    pub fn not_found_body(mut self, body: impl Into<Bytes>) -> Self {
        self.not_found_body = body.into();
        self
    }

    /// Sets the source of the metrics; required.
    pub fn exposition(mut self, exposition: impl Exposition) -> Self {
        self.gatherer = Some(Box::new(move |compression, telemetry| {
            Gatherer::spawn(exposition, compression, telemetry)
        }));
        self
    }

    /// Sets the answers of the two probes. Default: 200 with `{"status":"healthy"}` and `{"status":"live"}`.
    pub fn health(mut self, health: impl Health) -> Self {
        self.health = Box::new(health);
        self
    }

    /// Sets the compressions that are offered. Default: [`Compression::default`].
    ///
    /// ```
    /// # use dynamo_metrics_server::{ContentType, ScrapeRequest, Server, bytes::BytesMut};
    /// # let page = |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
    /// #     body.extend_from_slice("up 1\n".repeat(1000).as_bytes());
    /// #     Ok(ContentType::TEXT_0_0_4)
    /// # };
    /// use dynamo_metrics_server::Compression;
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// let server = Server::builder().compression(Compression::off()).exposition(page).spawn()?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// client.write_all(b"GET /metrics HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")?;
    /// let mut response = String::new();
    /// client.read_to_string(&mut response)?;
    /// assert!(response.contains("content-length: 5000"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets the bounds. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the counters to count in, such as those that are on the page already. Default: new ones.
    pub fn telemetry(mut self, telemetry: Arc<ServerTelemetry>) -> Self {
        self.telemetry = telemetry;
        self
    }
}

impl ServerBuilder {
    /// Sets a file in the form of Prometheus' exporter-toolkit (`--web.config.file`), with TLS (feature `tls`), basic
    /// authentication, headers and a rate limit. Default: none; the port is plain and open.
    ///
    /// It is read by `spawn`, and again within two seconds whenever it or a file that it names has changed. A changed
    /// file that is invalid is logged and counted, and the old one stays in force. A change never takes TLS or
    /// authentication away: that needs a restart. Costs two threads.
    ///
    /// ```
    /// # use dynamo_metrics_server::{ContentType, ScrapeRequest, Server, bytes::BytesMut};
    /// # let empty = |_: &ScrapeRequest<'_>, _: &mut BytesMut| Ok(ContentType::TEXT_0_0_4);
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// let file = std::env::temp_dir().join(format!("web-{}.yml", std::process::id()));
    /// # let hash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
    /// std::fs::write(&file, format!("basic_auth_users:\n  prometheus: {hash}\n"))?;
    /// let server = Server::builder().web_config_file(&file).exposition(empty).spawn()?;
    /// let mut client = TcpStream::connect(server.local_addr())?;
    /// client.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    /// let mut response = String::new();
    /// client.read_to_string(&mut response)?;
    /// assert!(response.starts_with("HTTP/1.0 401 Unauthorized"));
    /// # std::fs::remove_file(&file)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "auth")]
    pub fn web_config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.auth.file = Some(file.into());
        self
    }

    /// Lets `/health` and `/live` pass without a password and outside of the rate limit; TLS and its client certificates
    /// stay. Kubernetes' probes can send a password only in a header of the manifest. Default: false; every path is
    /// behind them, as with the exporter-toolkit.
    #[cfg(feature = "auth")]
    pub fn probes_without_auth(mut self, pass: bool) -> Self {
        self.auth.probes_pass = pass;
        self
    }
}

impl fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder")
            .field("address", &self.address)
            .field("address_source", &self.address_source)
            .field("metrics_path", &self.metrics_path)
            .field("health_path", &self.health_path)
            .field("live_path", &self.live_path)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
