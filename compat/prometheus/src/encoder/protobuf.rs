//! The protobuf format: messages, each behind its length.

use super::{Encoder, check};
use crate::error::Result;
use crate::proto::MetricFamily;
use protobuf::Message;
use std::io::Write;

/// The content type of the protobuf format.
pub const PROTOBUF_FORMAT: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

/// The encoder of the protobuf format.
#[derive(Debug, Default)]
pub struct ProtobufEncoder;

impl ProtobufEncoder {
    /// Returns an encoder.
    pub fn new() -> Self {
        Self
    }
}

impl Encoder for ProtobufEncoder {
    fn encode<W: Write>(&self, metric_families: &[MetricFamily], writer: &mut W) -> Result<()> {
        for family in metric_families {
            check(family)?;
            family.write_length_delimited_to_writer(writer)?;
        }
        Ok(())
    }

    fn format_type(&self) -> &str {
        PROTOBUF_FORMAT
    }
}
