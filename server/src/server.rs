//! The settings of a server. Nothing is checked here and nothing fails: see `start`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use crate::compress::Compression;
use crate::exposition::Exposition;
use crate::health::{Health, Unmonitored};
use crate::landing::LandingPage;
use crate::limits::Limits;
use crate::telemetry::ServerTelemetry;
#[cfg(unix)]
use crate::unix::UNIX_SOCKET_MODE;

/// Where a server begins: [`Server::builder`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Server;

impl Server {
    /// A builder with every default: `127.0.0.1`, a port that the system chooses, `/metrics`,
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
            not_found_body: Bytes::new(),
            exposition: None,
            health: Box::new(Unmonitored),
            compression: Compression::default(),
            limits: Limits::default(),
            telemetry: Arc::default(),
            web_config_file: None,
            probes_without_auth: false,
        }
    }
}

/// A server that does not run yet. Setters only store; [`ServerBuilder::spawn`] checks.
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
    pub(crate) not_found_body: Bytes,
    pub(crate) exposition: Option<Box<dyn Exposition>>,
    pub(crate) health: Box<dyn Health>,
    pub(crate) compression: Compression,
    pub(crate) limits: Limits,
    pub(crate) telemetry: Arc<ServerTelemetry>,
    pub(crate) web_config_file: Option<PathBuf>,
    pub(crate) probes_without_auth: bool,
}

impl ServerBuilder {
    /// Where to listen; port 0 lets the system choose one, which
    /// [`RunningServer::local_addr`](crate::RunningServer::local_addr)
    /// tells. Default: `127.0.0.1:0`. `[::]` takes IPv4 connections too.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// The variable or flag that the address comes from, named in errors.
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
    /// server left there is replaced; anything else that is there is an error of `spawn`.
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

    /// The mode of the Unix socket's file; whoever may write to it may scrape. Default: `0o600`,
    /// the server's user alone; the process's umask plays no part.
    #[cfg(unix)]
    pub fn unix_socket_mode(mut self, mode: u32) -> Self {
        self.unix_socket_mode = mode;
        self
    }

    /// The path of the exposition. Default: `/metrics`. It begins with `/`, has neither `?` nor
    /// `#`, and is compared byte by byte: percent-encode what a URI requires to be encoded.
    pub fn metrics_path(mut self, path: impl Into<String>) -> Self {
        self.metrics_path = path.into();
        self
    }

    /// The path of [`Health::health`]. Default: `/health`.
    pub fn health_path(mut self, path: impl Into<String>) -> Self {
        self.health_path = path.into();
        self
    }

    /// The path of [`Health::live`]. Default: `/live`.
    pub fn live_path(mut self, path: impl Into<String>) -> Self {
        self.live_path = path.into();
        self
    }

    /// Answers `/` with a small HTML page that links to the other paths. Default: none, and `/` is
    /// answered as any other path, as Dynamo's servers have it.
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

    /// What any other path answers with its 404, as `text/plain; charset=utf-8`. Default: empty, as
    /// Dynamo's frontend has it; its component says `Route not found`.
    pub fn not_found_body(mut self, body: impl Into<Bytes>) -> Self {
        self.not_found_body = body.into();
        self
    }

    /// The source of the metrics; required.
    pub fn exposition(mut self, exposition: impl Exposition) -> Self {
        self.exposition = Some(Box::new(exposition));
        self
    }

    /// What the two probes answer. Default: 200 `{"status":"healthy"}` and `{"status":"live"}`.
    pub fn health(mut self, health: impl Health) -> Self {
        self.health = Box::new(health);
        self
    }

    /// Which compressions are offered. Default: [`Compression::default`].
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

    /// The bounds. Default: [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The counters to count in. Default: the server's own.
    pub fn telemetry(mut self, telemetry: Arc<ServerTelemetry>) -> Self {
        self.telemetry = telemetry;
        self
    }
}

impl ServerBuilder {
    /// A file in the form of Prometheus' exporter-toolkit (`--web.config.file`), with TLS (feature
    /// `tls`), basic authentication, headers and a rate limit. Default: none, plain and open.
    ///
    /// It is read by `spawn`, and again within two seconds whenever it or a file that it names has
    /// changed; one that cannot be taken then is logged and counted, and the old one holds. A
    /// change never takes TLS or authentication away: that needs a restart. Costs two threads.
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
    pub fn web_config_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.web_config_file = Some(file.into());
        self
    }

    /// Lets `/health` and `/live` pass without a password and outside of the rate limit; TLS and
    /// its client certificates stay. Default: false, everything is behind them, as with the
    /// exporter-toolkit. Kubernetes' probes can send a password only in a header of the manifest.
    pub fn probes_without_auth(mut self, pass: bool) -> Self {
        self.probes_without_auth = pass;
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
