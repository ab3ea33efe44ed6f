//! Scrapes: from a request for metrics to the response with its page.
//!
//! ```text
//! exposition, request, outcome  the trait of a source of metrics, its request and what comes of it
//! service, deadline, response   the way of a scrape: a place, a deadline, a gather, a response
//! gather, batch, batch_worker   the thread that calls the exposition once for all scrapes that wait
//! encoding, compress, gzip      content codings
//! buffers, memory               bodies that are sent without a copy, in memory that may be short
//! fence                         calls of code that may panic
//! ```

pub(crate) mod batch;
pub(crate) mod batch_worker;
pub(crate) mod buffers;
pub(crate) mod compress;
pub(crate) mod deadline;
pub(crate) mod encoding;
pub(crate) mod exposition;
pub(crate) mod fence;
pub(crate) mod gather;
pub(crate) mod gzip;
pub(crate) mod memory;
pub(crate) mod outcome;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod service;
