//! The runtime's catalogues and pages from outside.

mod catalogue;
mod environment_docs;
mod lifecycle;
mod misbehaviour;
mod page;
mod system_server;
