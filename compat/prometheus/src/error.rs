//! Errors.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry has this collector already.
    #[error("Duplicate metrics collector registration attempted")]
    AlreadyReg,
    /// There are more or fewer label values than labels.
    #[error("Inconsistent label cardinality, expect {expect} label values, but got {got}")]
    InconsistentCardinality {
        /// The number of labels.
        expect: usize,
        /// The number of values.
        got: usize,
    },
    /// Any other error, described by its text.
    #[error("Error: {0}")]
    Msg(String),
    /// A write failed.
    #[error("Io error: {0}")]
    Io(#[from] std::io::Error),
    /// A protobuf message could not be written.
    #[cfg(feature = "protobuf")]
    #[error("Protobuf error: {0}")]
    Protobuf(#[from] protobuf::Error),
}

/// The result of a fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;
