//! Encoders of families.

#[cfg(feature = "protobuf")]
mod protobuf;
mod text;

#[cfg(feature = "protobuf")]
pub use self::protobuf::{PROTOBUF_FORMAT, ProtobufEncoder};
pub use text::{TEXT_FORMAT, TextEncoder};
pub(crate) use text::{push_escaped, push_head, push_number};

use crate::error::{Error, Result};
use crate::proto::MetricFamily;
use std::io::Write;

/// An exposition format.
pub trait Encoder {
    /// Writes the families. Names are written as they are, valid or not.
    ///
    /// # Errors
    /// A family without a name or without metrics, and errors of the writer; the families before are written.
    fn encode<W: Write>(&self, mfs: &[MetricFamily], writer: &mut W) -> Result<()>;

    /// Returns the content type.
    fn format_type(&self) -> &str;
}

/// Returns an error for a family that no format can write.
fn check(family: &MetricFamily) -> Result<()> {
    if family.is_empty() {
        Err(Error::Msg(format!("MetricFamily has no metrics: {family:?}")))
    } else if family.name().is_empty() {
        Err(Error::Msg(format!("MetricFamily has no name: {family:?}")))
    } else {
        Ok(())
    }
}
