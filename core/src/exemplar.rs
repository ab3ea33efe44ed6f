//! Exemplars: which trace an increment or an observation belonged to.
//!
//! A family that opted in ([`Opts::exemplars`](crate::Opts::exemplars)) keeps the newest one of each counter or bucket,
//! in a slot that is written and read whole, and for which nobody waits (`seqlock.rs`). The count is written before the
//! exemplar, and a scrape reads the exemplar before the count: an exemplar in a scrape stands for something counted.
//!
//! Identifiers are packed into words. They have no zero byte, so their length need not be stored.

use crate::clock::Millis;
use crate::error::ExemplarError;
use crate::label::{LABEL_VALUE_BYTES_MAX, cut};
use crate::seqlock::Seqlock;
use crate::series::{Series, SeriesRef};
use std::time::Duration;

/// Longest trace identifier: 16 bytes in hexadecimal digits (W3C Trace Context).
pub const TRACE_ID_BYTES_MAX: usize = 32;
/// Longest span identifier: 8 bytes in hexadecimal digits (W3C Trace Context).
pub const SPAN_ID_BYTES_MAX: usize = 16;

/// What an increment or observation was for: a trace, perhaps a span of it, perhaps a time.
///
/// Identifiers are restricted to `[A-Za-z0-9_-]`, because Prometheus and others do not undo escapes in exemplars;
/// with their label names they stay below the 128 characters that OpenMetrics allows.
///
/// ```
/// use dynamo_metrics_core::Exemplar;
/// use std::time::Duration;
///
/// let exemplar = Exemplar::new("4bf92f3577b34da6a3ce929d0e0e4736")?.span_id("00f067aa0ba902b7")?;
/// assert_ne!(exemplar, exemplar.at(Duration::from_millis(1_700_000_000_000)));
/// assert!(Exemplar::new("with \"quotes\"").unwrap_err().to_string().contains("trace_id"));
/// # Ok::<(), dynamo_metrics_core::ExemplarError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    trace: [u8; TRACE_ID_BYTES_MAX],
    span: [u8; SPAN_ID_BYTES_MAX],
    timestamp: Millis,
}

impl Exemplar {
    /// An exemplar of this trace. Cost: some nanoseconds, no allocation; keep it for all recordings of a request.
    ///
    /// # Errors
    /// An identifier that is empty, longer than [`TRACE_ID_BYTES_MAX`], or has other characters than `[A-Za-z0-9_-]`.
    pub fn new(trace_id: &str) -> Result<Self, ExemplarError> {
        let trace = packed("trace_id", trace_id)?;
        Ok(Self { trace, span: [0; SPAN_ID_BYTES_MAX], timestamp: Millis::UNKNOWN })
    }

    /// The same with a span.
    ///
    /// # Errors
    /// An identifier that is empty, longer than [`SPAN_ID_BYTES_MAX`], or has other characters than `[A-Za-z0-9_-]`.
    pub fn span_id(mut self, span_id: &str) -> Result<Self, ExemplarError> {
        self.span = packed("span_id", span_id)?;
        Ok(self)
    }

    /// The same with a time, since the Unix epoch, kept in whole milliseconds. Without it a registry's clock tells the
    /// time of each recording, if there is [one](crate::Registry::with_clock).
    #[must_use]
    pub fn at(mut self, since_epoch: Duration) -> Self {
        self.timestamp = Millis::new(since_epoch);
        self
    }
}

/// An exemplar as a scrape saw it.
///
/// ```
/// # use dynamo_metrics_core::{Exemplar, Opts, Registry, Snapshot};
/// # use std::time::Duration;
/// let registry = Registry::with_clock(|| Duration::from_secs(1_700_000_000));
/// let tokens = registry.counter(Opts::new("tokens_total", "").exemplars())?;
/// tokens.add_with_exemplar(12, &Exemplar::new("a1")?);
/// let mut snapshot = Snapshot::new();
/// snapshot.take(&registry);
/// let family = snapshot.families().find(|family| family.name() == "tokens_total").unwrap();
/// let seen = family.parts().next().unwrap().series(0).unwrap().exemplar(0).unwrap();
/// assert_eq!((seen.trace_id(), seen.span_id(), seen.value), ("a1", None, 12.0));
/// assert_eq!(seen.timestamp, Some(Duration::from_secs(1_700_000_000)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExemplarValue {
    trace: [u8; TRACE_ID_BYTES_MAX],
    span: [u8; SPAN_ID_BYTES_MAX],
    /// What was observed, or by how much a counter grew. Finite.
    pub value: f64,
    /// When, since the Unix epoch, in whole milliseconds.
    pub timestamp: Option<Duration>,
}

impl ExemplarValue {
    /// The trace: 1 to [`TRACE_ID_BYTES_MAX`] characters that need no escaping in any format.
    pub fn trace_id(&self) -> &str {
        unpacked(&self.trace)
    }

    /// The span, if one was given: 1 to [`SPAN_ID_BYTES_MAX`] characters that need no escaping in any format.
    pub fn span_id(&self) -> Option<&str> {
        Some(unpacked(&self.span)).filter(|span| !span.is_empty())
    }

    /// `None` when nothing was written there: a trace has at least one character.
    pub(crate) fn from_words(words: &Words) -> Option<Self> {
        let &[a, b, c, d, e, f, value, timestamp] = words;
        (a != 0).then(|| Self {
            trace: bytes([a, b, c, d]),
            span: bytes([e, f]),
            value: f64::from_bits(value),
            timestamp: Millis::from_bits(timestamp).get(),
        })
    }
}

/// An exemplar as a slot and a snapshot keep it: four words of trace, two of span, value, time.
pub(crate) type Words = [u64; 8];

/// The slots of one series.
#[derive(Debug)]
pub(crate) struct Exemplars(Box<[Seqlock<8>]>);

impl Exemplars {
    pub(crate) fn new(slots: usize) -> Self {
        Self((0..slots).map(|_| Seqlock::new()).collect())
    }

    /// Puts an exemplar into a slot, unless another thread is doing that right now. A slot that is not there takes
    /// nothing.
    fn write(&self, slot: usize, value: f64, exemplar: &Exemplar, timestamp: Millis) {
        let [a, b, c, d] = words(&exemplar.trace);
        let [e, f] = words(&exemplar.span);
        let words = [a, b, c, d, e, f, value.to_bits(), timestamp.to_bits()];
        if let Some(slot) = self.0.get(slot) {
            // One that is lost to a race is no worse than one that is overwritten right after.
            let _ = slot.write(&words);
        }
    }
}

impl Series {
    /// Keeps an exemplar, if the family opted in. To be called after the value is recorded.
    #[inline]
    pub(crate) fn exemplify(&self, slot: usize, value: f64, exemplar: &Exemplar) {
        let Some(exemplars) = self.exemplars() else { return };
        let timestamp = match (exemplar.timestamp, &self.shape.clock) {
            // Before the slot is claimed, since the clock is the caller's code.
            (Millis::UNKNOWN, Some(clock)) => clock.now(),
            (timestamp, _) => timestamp,
        };
        exemplars.write(slot, value, exemplar, timestamp);
    }
}

/// A scrape's copy of the exemplars of all series of a family, slot after slot; zeros where there is none. Allocates
/// only when there are more than before.
pub(crate) fn copy(series: &[SeriesRef], into: &mut Vec<Words>) {
    into.clear();
    for exemplars in series.iter().map_while(|series| series.exemplars()) {
        into.extend(exemplars.0.iter().map(|slot| slot.read().unwrap_or_default()));
    }
}

/// The identifier, with zeros behind it.
fn packed<const BYTES: usize>(what: &'static str, id: &str) -> Result<[u8; BYTES], ExemplarError> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if id.is_empty() || id.len() > BYTES || !id.bytes().all(valid) {
        return Err(ExemplarError { what, id: cut(id, LABEL_VALUE_BYTES_MAX).into(), max: BYTES });
    }
    let mut packed = [0; BYTES];
    packed[..id.len()].copy_from_slice(id.as_bytes());
    Ok(packed)
}

fn unpacked(packed: &[u8]) -> &str {
    let end = packed.iter().position(|&byte| byte == 0).unwrap_or(packed.len());
    // Never empty for want of UTF-8: only ASCII was packed, and a slot is read whole.
    std::str::from_utf8(&packed[..end]).unwrap_or_default()
}

fn words<const BYTES: usize, const WORDS: usize>(bytes: &[u8; BYTES]) -> [u64; WORDS] {
    const { assert!(BYTES == 8 * WORDS) };
    let (chunks, _) = bytes.as_chunks::<8>();
    std::array::from_fn(|at| u64::from_le_bytes(chunks[at]))
}

fn bytes<const WORDS: usize, const BYTES: usize>(words: [u64; WORDS]) -> [u8; BYTES] {
    const { assert!(BYTES == 8 * WORDS) };
    let mut bytes = [0; BYTES];
    let (chunks, _) = bytes.as_chunks_mut::<8>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    bytes
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn identifiers_come_out_as_they_went_in() {
        let (trace, span) = ("0123456789abcdefABCDEF_-wxyzWXYZ", "abcdefgh01234567");
        for (trace, span) in [(trace, Some(span)), ("x", Some("y")), ("12345678", None)] {
            let mut exemplar = Exemplar::new(trace).unwrap();
            if let Some(span) = span {
                exemplar = exemplar.span_id(span).unwrap();
            }
            let slots = Exemplars::new(1);
            slots.write(0, 0.5, &exemplar, Millis::UNKNOWN);
            let seen = ExemplarValue::from_words(&slots.0[0].read().unwrap()).unwrap();
            assert_eq!((seen.trace_id(), seen.span_id()), (trace, span));
            assert_eq!((seen.value, seen.timestamp), (0.5, None));
        }
        assert_eq!(ExemplarValue::from_words(&Words::default()), None);
    }

    #[test]
    fn what_needs_escaping_or_is_too_long_is_refused() {
        let good = Exemplar::new("t").unwrap();
        for bad in ["", "a b", "a\"", "é", "a\n", "a\0", "a.b", &"x".repeat(33)] {
            let error = Exemplar::new(bad).unwrap_err();
            assert_eq!((error.what, error.max, &*error.id), ("trace_id", 32, bad));
            assert_eq!(good.span_id(bad).unwrap_err().what, "span_id");
        }
        assert!(good.span_id(&"x".repeat(17)).is_err());
        assert_eq!(Exemplar::new(&"x".repeat(1000)).unwrap_err().id.len(), 128, "bounded");
    }

    #[test]
    fn a_slot_is_as_small_as_documented() {
        assert_eq!(size_of::<Seqlock<8>>(), 72);
    }
}
