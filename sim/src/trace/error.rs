//! The errors of reading a trace: each names the file, and as a rule the line, the reason and the expectation.

use super::{csv, json};
use std::io;

/// The reason why a trace could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file cannot be opened, or reading it failed half-way.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// The file as the caller named it.
        file: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// There is no request in it.
    #[error("{file}: holds no request")]
    Empty {
        /// The file as the caller named it.
        file: String,
    },
    /// The first line belongs to no known form.
    #[error(
        "{file}: unknown trace format, it starts with `{first_line}`; supported are CSV of Azure \
         (header `{}`) and BurstGPT (header `{}`), and JSON of Mooncake and Bailian (objects with {}), plain or by gzip",
        csv::AZURE_HEADER,
        csv::BURST_HEADER,
        json::KEYS
    )]
    UnknownFormat {
        /// The file as the caller named it.
        file: String,
        /// The beginning of the file.
        first_line: String,
    },
    /// A compression or container that is not read.
    #[error("{file}: is {form}; unpack it first")]
    Packed {
        /// The file as the caller named it.
        file: String,
        /// The form of compression or archive.
        form: &'static str,
    },
    /// One line is not what the form says.
    #[error("{file}:{line}: {fault}")]
    Line {
        /// The file as the caller named it.
        file: String,
        /// The line, counted from 1; in an array the place of the object.
        line: usize,
        /// The reason and the expectation.
        fault: Fault,
    },
}

/// The fault of a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; expected {expected}")]
pub struct Fault {
    reason: String,
    expected: String,
}

impl Fault {
    pub(super) fn new(reason: impl Into<String>, expected: impl Into<String>) -> Fault {
        Fault { reason: reason.into(), expected: expected.into() }
    }
}
