//! HTTP/1.1 over one connection, and the types of the [`http`] crate, which are in the signatures of
//! this one.

pub(crate) mod cors;
pub(crate) mod health;
pub(crate) mod io;
pub(crate) mod landing;
pub(crate) mod rejection;
pub(crate) mod request_buffer;
pub(crate) mod respond;
pub(crate) mod serve;
pub(crate) mod static_page;
pub(crate) mod target;
pub(crate) mod validator;

pub use ::http::*;
