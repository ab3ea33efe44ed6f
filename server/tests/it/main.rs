//! The server over real sockets. Suites that need a process of their own are beside this folder.

mod answers;
mod common;
mod compression;
#[cfg(feature = "auth")]
mod directory;
mod lifecycle;
mod limits;
mod listeners;
mod mount;
#[cfg(feature = "tls")]
mod pki;
mod scrapes;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_life;
#[cfg(feature = "auth")]
mod web;
mod wire;
