//! The web configuration: TLS, basic authentication, headers and a rate limit, in the form of
//! Prometheus' exporter-toolkit (`--web.config.file`).
//!
//! ```text
//! sources, yaml, section     a file, as a tree that knows its lines, with no key unknown
//! config, users, rate, tls   from the tree to what is in force
//! client_auth                which certificates clients must show
//! reload                     exchanges what is in force when the files change
//! guard, verified, passwords judge each request by it
//! ```
//!
//! A server without such a file pays nothing for it but a test of a `None` a request.

#[cfg(feature = "tls")]
mod client_auth;
mod config;
mod guard;
mod passwords;
mod problem;
mod rate;
mod reload;
mod section;
mod sources;
#[cfg(feature = "tls")]
mod tls;
mod users;
mod verified;
mod yaml;

pub(crate) use guard::{Denial, Guard};
pub(crate) use passwords::{PASSWORD_THREAD, PasswordChecker, WAITING_MAX};
#[cfg(feature = "tls")]
pub(crate) use reload::Current;
pub(crate) use reload::{CONFIG_THREAD, Loaded, Watch};
