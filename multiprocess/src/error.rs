//! Errors of a process that shares metrics.

use std::io;
use std::path::PathBuf;

/// The reasons for which a process cannot share metrics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The directory, or a file of it, cannot be used.
    #[error("cannot share metrics in {}: {source}; the directory must be writable, best on /dev/shm", directory.display())]
    Join {
        /// The directory.
        directory: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The file cannot grow: the file system is full, or the process has as many metrics as it can share.
    #[error(
        "metric {name}: no room for a series in the file of this process: {source}; free space, or use fewer series"
    )]
    Series {
        /// The metric.
        name: String,
        /// The reason.
        source: io::Error,
    },
    /// The process was forked and has not joined again, so it must not write what its parent writes.
    #[error(
        "metric {name}: this process was forked from {parent}, which has the file; call `Processes::rejoin` in the fork first"
    )]
    Forked {
        /// The metric.
        name: String,
        /// The process that has the file.
        parent: u32,
    },
    /// A metric without a name.
    #[error("the name of a metric is empty")]
    Nameless,
    /// Strings that are longer than a record may have.
    #[error(
        "metric {name}: its name, help and labels have {bytes} bytes; at most {max} can be shared"
    )]
    TooLong {
        /// The metric.
        name: String,
        /// Bytes of its strings.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}
