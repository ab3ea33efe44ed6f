//! A minimal HTTP server for metrics: `GET` and `HEAD` of `/metrics`, `/health` and `/live`, and
//! nothing else.
//!
//! It runs on a thread of its own, so it embeds in any program, async or not, and a busy program
//! does not delay its scrapes any more than a scrape delays the program:
//!
//! ```
//! use dynamo_metrics_server::bytes::BytesMut;
//! use dynamo_metrics_server::{ContentType, ScrapeRequest, Server};
//! use std::time::Duration;
//!
//! let server = Server::builder()
//!     .address(([127, 0, 0, 1], 0).into())
//!     .address_source("DYN_SYSTEM_PORT")
//!     .not_found_body("Route not found")
//!     .exposition(|_: &ScrapeRequest<'_>, body: &mut BytesMut| {
//!         body.extend_from_slice(b"up 1\n");
//!         Ok(ContentType::TEXT_0_0_4)
//!     })
//!     .spawn()?;
//! assert_ne!(server.local_addr().port(), 0);
//!
//! let report = server.shutdown(Duration::from_secs(5));
//! assert_eq!(report.connections_cut, 0);
//! # Ok::<(), dynamo_metrics_server::StartError>(())
//! ```
//!
//! A program that has an HTTP server already mounts a [`MetricsService`] in it instead, or calls
//! [`metrics_response`] where nothing is async; see `examples/axum_mount.rs`. The limits on
//! connections are then the host's.
//!
//! # What it promises
//! * **A scrape never delays a probe.** The [`Exposition`] runs on the gather thread; the network
//!   thread only moves bytes. At most [`Limits::scrapes`] scrapes wait at one time, so a gather that
//!   hangs leaves connections for probes, and each scrape is answered 503 in the end.
//! * **One collection for all who wait.** Scrapes that ask for the same thing share a page, and
//!   all that wait share what an exposition collects for its pages ([`Exposition::expose_batch`]).
//!   None shares what began before it arrived: a scrape shows all that was recorded before it.
//! * **No copy, no steady allocation of bodies.** The exposition appends to a reused buffer, and
//!   that memory itself goes to the socket.
//! * **Nothing an exposition or a probe does ends the server.** Errors and panics cost one answer.
//!   (A program built with `panic = "abort"` cannot keep this.) A body that finds no memory is one
//!   too: [`try_reserve`].
//! * **Every wait on a client has a deadline**, every resource a cap, and each of them a counter:
//!   [`Limits`], [`Limit`], [`ServerTelemetry`].
//! * **A request is read in one way only.** What RFC 9112 leaves to the reader's leniency is refused
//!   with one answer, and the connection closes; so there is nothing to smuggle.
//!
//! # What it answers
//! | request | answer |
//! |---|---|
//! | `GET`, `HEAD` of a known path | the exposition's, the probe's, or the landing page |
//! | another method of a known path | 405, `Allow: GET, HEAD`, no body (RFC 9110 section 15.5.6) |
//! | any other path | 404 with the configured text; `/metrics/` is another path |
//! | an exposition that fails or panics | 500 (or 503) with a fixed text |
//! | more scrapes than may wait; a gather that takes too long | 503 with `Retry-After: 1` |
//! | a body: `Content-Length` above 0, `Transfer-Encoding: chunked` | 413, then close |
//! | two lengths, a length and a coding, another coding | 400, then close |
//! | no `Host` in 1.1, two of them, or none that is valid | 400, then close |
//! | bare LF or CR, a control byte, a folded line, a space before a colon | 400, then close |
//! | a target, a head, or a number of lines beyond the limit | 414, 431, 431, then close |
//! | `Expect` | 417, then close |
//! | another version than 1.0 and 1.1, the HTTP/2 preface | 505, then close |
//! | a TLS handshake where there is no TLS, and the other way round | close |
//! | no password or a wrong one, where the web configuration asks for one | 401, `WWW-Authenticate` |
//! | more than its `rate_limit`; more passwords than may wait for their check | 429; 503 |
//! | a connection beyond the cap | one that waits for its client gives way to it |
//!
//! HTTP/1.0 and 1.1 (RFC 9112), keep-alive, pipelining. Every response has a `Content-Length` and
//! `X-Content-Type-Options: nosniff`; none is chunked. A client that accepts gzip gets it from
//! [`Compression::BYTES_MIN`] bytes on, made once for all scrapes that share a gather.
//!
//! # Features
//! * `zstd` (off): adds `Compression::with_zstd`. It builds C code, and changes nothing by itself.
//!
//! * `tls` (off): lets [`ServerBuilder::web_config_file`] have a `tls_server_config`. It builds C code
//!   and assembly (ring). Without it such a file is an error.
//!
//! # Trade-offs
//! A half-closed client (one that sends its request and then shuts its sending side) is taken as
//! gone, which is how a scrape whose client gave up is told from one that is awaited. When all
//! connections are being answered, a further one is closed without a word: an answer would need a
//! slot. A compressed scrape waits for the encoder, some 0.6 ms a megabyte, and so do the scrapes
//! behind it; [`Compression::off`] gives that time back. A client that sends one of the leniencies
//! above is refused although others would serve it. Heads are parsed twice, by the judge and by
//! hyper, for a tenth of a microsecond a request. There is no HTTP/2.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod batch;
mod coding;
mod compress;
mod connection;
mod door;
mod error;
mod exposition;
mod gather;
mod head;
mod health;
mod intake;
mod landing;
mod limits;
mod listen;
mod memory;
mod mount;
mod pool;
mod reason;
mod refusal;
mod reserve;
mod respond;
mod running;
mod scraping;
mod serve;
mod server;
mod socket;
mod start;
mod stream;
mod table;
mod telemetry;
#[cfg(feature = "tls")]
mod tls_stream;
#[cfg(unix)]
mod unix;
mod web;

// The public interface is:
pub use crate::{
    batch::Batch,
    compress::Compression,
    error::StartError,
    exposition::{ContentType, ExposeError, Exposition, ScrapeRequest},
    health::{Health, HealthAnswer},
    landing::LandingPage,
    limits::Limits,
    memory::try_reserve,
    mount::MetricsService,
    reason::Limit,
    respond::metrics_response,
    running::{RunningServer, ShutdownReport},
    server::{Server, ServerBuilder},
    telemetry::ServerTelemetry,
};
// Their types are in our signatures.
pub use {bytes, http};
