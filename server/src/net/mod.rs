//! Connections: listening sockets, the accept loop, and the table of all that is open.
//!
//! ```text
//! listener, unix, tls    sockets that listen, and the streams that they accept
//! accept, descriptors    the loop that goes on accepting when descriptors run out
//! table, connection      how many connections are open, and how long each may wait for its client
//! ```

pub(crate) mod accept;
pub(crate) mod connection;
pub(crate) mod descriptors;
pub(crate) mod listener;
pub(crate) mod stream;
pub(crate) mod table;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(unix)]
pub(crate) mod unix;
