//! Smaller bodies for clients that ask for them, made on the gather thread.
//!
//! One encoder a coding, kept from scrape to scrape, and output buffers that come back like those
//! of the text: in steady state nothing is allocated. All scrapes that share a gather share its
//! compressed body too, so a crowd of scrapers costs one compression.
//!
//! Text is compressed by [`GzipLines`], which knows lines; protobuf, and texts of more than 4 GiB, by zlib-rs at level 1.
//! Measured on a page of 189 KB (`benches/src/bin/compression.rs`, table in `docs/performance-appendix.md`): by lines it becomes 14
//! times smaller in a third of the time in which level 1 makes it 12 times smaller.

use std::io;

use bytes::{Bytes, BytesMut};
use flate2::{Compress, FlushCompress, Status};

use crate::scrape::buffers::BufferPool;
use crate::scrape::encoding::Coding;
use crate::scrape::fence::{Panicked, fenced};
use crate::scrape::gzip::GzipLines;
use crate::scrape::memory::grow;
use crate::scrape::outcome::ContentType;
use crate::telemetry::ServerTelemetry;

/// The compressions that are offered to clients that accept them.
///
/// ```
/// use dynamo_metrics_server::Compression;
///
/// let default = Compression::default();
/// assert_eq!(default.bytes_min(), Compression::BYTES_MIN);
/// assert_ne!(default, Compression::off());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    gzip: bool,
    #[cfg(feature = "zstd")]
    zstd: bool,
    bytes_min: usize,
}

impl Compression {
    /// With its head, a body of this size fills one packet, smaller or not: compressing it would
    /// cost some 2 us and save nothing.
    pub const BYTES_MIN: usize = 1400;
    /// Level of gzip, chosen by measurement, see above: higher levels save little, and a worker needs the processor for its
    /// tokens.
    pub const GZIP_LEVEL: u32 = 1;
    /// Level of zstd, chosen by measurement: a quarter less bytes than gzip at its level 1, for a quarter more time.
    #[cfg(feature = "zstd")]
    pub const ZSTD_LEVEL: i32 = 1;

    /// Offers none: bodies are always sent as they are.
    ///
    /// ```
    /// use dynamo_metrics_server::Compression;
    ///
    /// assert_eq!(Compression::off(), Compression::off().with_bytes_min(Compression::BYTES_MIN));
    /// ```
    #[must_use]
    pub fn off() -> Self {
        Self { gzip: false, ..Self::default() }
    }

    /// Offers zstd too, which wins where a client likes it as much as gzip. Prometheus asks for it
    /// only behind a flag, from 3.15 on. It is written in C, hence the feature `zstd`.
    ///
    /// ```
    /// use dynamo_metrics_server::Compression;
    ///
    /// assert_ne!(Compression::default().with_zstd(), Compression::default());
    /// ```
    #[cfg(feature = "zstd")]
    #[must_use]
    pub fn with_zstd(mut self) -> Self {
        self.zstd = true;
        self
    }

    /// Sets the size in bytes below which bodies are sent as they are, unless a client refuses that.
    /// Default: [`Compression::BYTES_MIN`].
    ///
    /// ```
    /// use dynamo_metrics_server::Compression;
    ///
    /// let all = Compression::default().with_bytes_min(0);
    /// assert_eq!(all.bytes_min(), 0);
    /// ```
    #[must_use]
    pub fn with_bytes_min(mut self, bytes: usize) -> Self {
        self.bytes_min = bytes;
        self
    }

    /// Returns the size in bytes from which on bodies are compressed.
    #[must_use]
    pub fn bytes_min(&self) -> usize {
        self.bytes_min
    }

    pub(crate) fn offers_gzip(&self) -> bool {
        self.gzip
    }

    #[cfg(feature = "zstd")]
    pub(crate) fn offers_zstd(&self) -> bool {
        self.zstd
    }

    /// Returns whether the answer depends on `Accept-Encoding` at all.
    pub(crate) fn offers_any(&self) -> bool {
        #[cfg(feature = "zstd")]
        if self.zstd {
            return true;
        }
        self.gzip
    }
}

impl Default for Compression {
    /// gzip for bodies from [`Compression::BYTES_MIN`] on.
    fn default() -> Self {
        Self {
            gzip: true,
            #[cfg(feature = "zstd")]
            zstd: false,
            bytes_min: Self::BYTES_MIN,
        }
    }
}

/// The encoders and their output, one set for the gather thread.
#[derive(Default)]
pub(crate) struct Compressor {
    /// The compressor of pages that are not text.
    gzip: Option<Box<Compress>>,
    gzip_lines: GzipLines,
    gzip_bodies: BufferPool,
    #[cfg(feature = "zstd")]
    zstd: Option<zstd::stream::raw::Encoder<'static>>,
    #[cfg(feature = "zstd")]
    zstd_bodies: BufferPool,
}

// The whole window of gzip: lines of one family are far apart.
const WINDOW_BITS: u8 = 15;
// More than an encoder takes when it is made, which panics when it finds no memory: so that is tried
// first, for a panic's own message takes memory too.
const STATE_BYTES: usize = 512 * 1024;
// Output grows in such steps, each zeroed before it is written to: half of a common page's result.
const STEP_BYTES: usize = 8 * 1024;

impl Compressor {
    /// The body in this coding; `None` for identity, and when the encoder fails or finds no memory,
    /// which is logged: the text is always there to be sent instead.
    pub(crate) fn compress(
        &mut self,
        coding: Coding,
        content_type: ContentType,
        body: &[u8],
        telemetry: &ServerTelemetry,
    ) -> Option<Bytes> {
        if coding == Coding::Identity {
            return None;
        }
        // Encoders that find no memory may panic.
        let compressed = fenced(|| self.try_compress(coding, content_type, body, telemetry));
        let problem = match compressed {
            Ok(Ok(body)) => return Some(body),
            Ok(Err(error)) => error.to_string(),
            Err(Panicked) => "it panicked".into(),
        };
        tracing::error!(%problem, ?coding, "compression failed; the text is sent as it is");
        // The encoders are in no known state.
        *self = Self::default();
        None
    }

    fn try_compress(
        &mut self,
        coding: Coding,
        content_type: ContentType,
        body: &[u8],
        telemetry: &ServerTelemetry,
    ) -> io::Result<Bytes> {
        let pool = match coding {
            Coding::Identity | Coding::Gzip => &mut self.gzip_bodies,
            #[cfg(feature = "zstd")]
            Coding::Zstd => &mut self.zstd_bodies,
        };
        let slot = pool.lease(telemetry).ok_or(io::ErrorKind::OutOfMemory)?;
        match coding {
            Coding::Identity | Coding::Gzip
                if content_type.is_lines() && GzipLines::takes(body) =>
            {
                self.gzip_lines.compress(body, &mut slot.buffer)?;
            }
            Coding::Identity | Coding::Gzip => {
                if self.gzip.is_none() {
                    Vec::<u8>::new()
                        .try_reserve_exact(STATE_BYTES)
                        .map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
                }
                let gzip = self.gzip.get_or_insert_with(|| {
                    let level = flate2::Compression::new(Compression::GZIP_LEVEL);
                    Box::new(Compress::new_gzip(level, WINDOW_BITS))
                });
                compress_gzip(gzip, body, &mut slot.buffer)?;
            }
            #[cfg(feature = "zstd")]
            Coding::Zstd => compress_zstd(&mut self.zstd, body, &mut slot.buffer)?,
        }
        Ok(slot.freeze())
    }
}

fn compress_gzip(gzip: &mut Compress, body: &[u8], output: &mut BytesMut) -> io::Result<()> {
    gzip.reset();
    loop {
        let (taken, written) = (consumed(gzip.total_in()), consumed(gzip.total_out()));
        grow(output, written + STEP_BYTES)?;
        let status =
            gzip.compress(&body[taken..], &mut output[written..], FlushCompress::Finish)?;
        if status == Status::StreamEnd {
            output.truncate(consumed(gzip.total_out()));
            return Ok(());
        }
    }
}

/// Bytes of one body, which fit into memory and so into a `usize`.
fn consumed(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(feature = "zstd")]
fn compress_zstd(
    kept: &mut Option<zstd::stream::raw::Encoder<'static>>,
    body: &[u8],
    output: &mut BytesMut,
) -> io::Result<()> {
    use zstd::stream::raw::{Encoder, InBuffer, Operation, OutBuffer};
    let zstd = match kept {
        Some(zstd) => zstd,
        None => kept.insert(Encoder::new(Compression::ZSTD_LEVEL)?),
    };
    zstd.reinit()?;
    let mut input = InBuffer::around(body);
    let mut written = 0;
    loop {
        grow(output, written + STEP_BYTES)?;
        let mut step = OutBuffer::around(&mut output[written..]);
        let is_taken = input.pos() == body.len();
        let left = match is_taken {
            false => zstd.run(&mut input, &mut step)?,
            true => zstd.finish(&mut step, true)?,
        };
        written += step.pos();
        if is_taken && left == 0 {
            output.truncate(written);
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn page(lines: u32) -> Vec<u8> {
        (0..lines)
            .flat_map(|n| format!("series{{n=\"{n}\"}} {}\n", n ^ 0x5555).into_bytes())
            .collect()
    }

    #[test]
    fn gzip_of_any_size_is_read_back_by_another_decoder() {
        let telemetry = ServerTelemetry::default();
        let mut compressor = Compressor::default();
        let protobuf = ContentType::from_static("application/vnd.google.protobuf");
        for lines in [0, 1, 100, 1000, 100_000, 10] {
            let text = page(lines);
            for content_type in [ContentType::TEXT, protobuf] {
                let small = compressor.compress(Coding::Gzip, content_type, &text, &telemetry);
                let (small, mut back) = (small.expect("gzip"), Vec::new());
                flate2::read::GzDecoder::new(&small[..]).read_to_end(&mut back).expect("whole");
                assert!(back == text, "{lines}");
            }
        }
        assert_eq!(telemetry.buffers_allocated(), 1);
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_of_any_size_is_read_back() {
        let telemetry = ServerTelemetry::default();
        let mut compressor = Compressor::default();
        for lines in [0, 1, 100, 1000, 100_000, 10] {
            let text = page(lines);
            let small = compressor
                .compress(Coding::Zstd, ContentType::TEXT, &text, &telemetry)
                .expect("zstd");
            assert!(zstd::decode_all(&small[..]).expect("whole") == text, "{lines}");
        }
        assert_eq!(telemetry.buffers_allocated(), 1);
    }
}
