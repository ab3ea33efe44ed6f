//! The web configuration: TLS, basic authentication, headers and a rate limit, in the form of Prometheus'
//! exporter-toolkit (`--web.config.file`). Built with the feature `auth`.
//!
//! ```text
//! sources, yaml, section     a file, as a tree that knows its lines, with no key unknown
//! config, users, rate, tls   from the tree to the configuration in force
//! client_auth                the certificates that clients must show
//! reload                     exchanges the configuration in force when the files change
//! guard, verified, passwords check each request against it
//! protection                 starts all of it
//! absent                     stands in for all of it in a crate without the feature
//! ```
//!
//! A server without such a file pays nothing for it but a test of a `None` a request.

#[cfg(not(feature = "auth"))]
mod absent;
#[cfg(feature = "tls")]
mod client_auth;
#[cfg(feature = "auth")]
mod config;
#[cfg(feature = "auth")]
mod guard;
#[cfg(feature = "auth")]
mod passwords;
#[cfg(feature = "auth")]
mod problem;
#[cfg(feature = "auth")]
mod protection;
#[cfg(feature = "auth")]
mod rate;
#[cfg(feature = "auth")]
mod reload;
#[cfg(feature = "auth")]
mod section;
#[cfg(feature = "auth")]
mod sources;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "auth")]
mod users;
#[cfg(feature = "auth")]
mod verified;
#[cfg(feature = "auth")]
mod yaml;

#[cfg(not(feature = "auth"))]
pub(crate) use absent::{AuthSettings, Guard, Loaded, Watch};
#[cfg(feature = "tls")]
pub(crate) use reload::Current;
#[cfg(feature = "auth")]
pub(crate) use {
    guard::Guard,
    protection::AuthSettings,
    reload::{Loaded, Watch},
};
