//! Exemplars: the trace that an increment or an observation belongs to.
//!
//! A family that opted in ([`Opts::exemplars`](crate::Opts::exemplars)) keeps the newest exemplar of each counter or bucket,
//! in a slot that is written and read whole, without waiting (`seqlock.rs`). The count is written before the exemplar, and
//! a scrape reads the exemplar before the count, so the value of an exemplar is always counted.
//!
//! Identifiers are packed into words. They contain no zero byte, so their length need not be stored.

use super::{Seqlock, SeriesRef};
use crate::clock::Millis;
use crate::error::ExemplarError;
use crate::label::{LABEL_VALUE_BYTES_MAX, truncate};
use std::time::Duration;

/// Largest number of bytes of a trace identifier: 16 bytes in hexadecimal digits (W3C Trace Context).
pub const TRACE_ID_BYTES_MAX: usize = 32;
/// Largest number of bytes of a span identifier: 8 bytes in hexadecimal digits (W3C Trace Context).
pub const SPAN_ID_BYTES_MAX: usize = 16;

/// The trace that an increment or observation belongs to, with an optional span and time.
///
/// Identifiers are restricted to `[A-Za-z0-9_-]`, because Prometheus and others do not unescape exemplars. With their
/// label names they have less than the 128 characters that OpenMetrics allows.
///
/// ```
/// use dynamo_metrics_core::Exemplar;
/// use std::time::Duration;
///
/// let exemplar = Exemplar::new("4bf92f3577b34da6a3ce929d0e0e4736")?.span_id("00f067aa0ba902b7")?;
/// assert_ne!(exemplar, exemplar.at(Duration::from_millis(1_700_000_000_000)));
/// assert!(Exemplar::new("with \"quotes\"").unwrap_err().to_string().contains("trace_id"));
/// # Ok::<(), dynamo_metrics_core::error::ExemplarError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exemplar {
    trace: [u8; TRACE_ID_BYTES_MAX],
    span: [u8; SPAN_ID_BYTES_MAX],
    pub(super) timestamp: Millis,
}

impl Exemplar {
    /// Returns an exemplar of this trace. Cost: some nanoseconds, no allocation. Reuse it for all recordings of a request.
    ///
    /// # Errors
    /// An identifier that is empty, longer than [`TRACE_ID_BYTES_MAX`], or has other characters than `[A-Za-z0-9_-]`.
    pub fn new(trace_id: &str) -> Result<Self, ExemplarError> {
        let trace = packed("trace_id", trace_id)?;
        Ok(Self { trace, span: [0; SPAN_ID_BYTES_MAX], timestamp: Millis::UNKNOWN })
    }

    /// Adds a span.
    ///
    /// # Errors
    /// An identifier that is empty, longer than [`SPAN_ID_BYTES_MAX`], or has other characters than `[A-Za-z0-9_-]`.
    pub fn span_id(mut self, span_id: &str) -> Result<Self, ExemplarError> {
        self.span = packed("span_id", span_id)?;
        Ok(self)
    }

    /// Adds a time since the Unix epoch, kept in whole milliseconds. Without it, the registry's
    /// [clock](crate::Registry::with_clock) is read at each recording, if there is one.
    #[must_use]
    pub fn at(mut self, since_epoch: Duration) -> Self {
        self.timestamp = Millis::new(since_epoch);
        self
    }
}

/// An exemplar in a snapshot.
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
    /// The observed value, or the increment of a counter. Finite.
    pub value: f64,
    /// The time since the Unix epoch, in whole milliseconds.
    pub timestamp: Option<Duration>,
}

impl ExemplarValue {
    /// Returns the trace: 1 to [`TRACE_ID_BYTES_MAX`] characters that need no escaping in any format.
    pub fn trace_id(&self) -> &str {
        unpacked(&self.trace)
    }

    /// Returns the span, if one was given: 1 to [`SPAN_ID_BYTES_MAX`] characters that need no escaping in any format.
    pub fn span_id(&self) -> Option<&str> {
        Some(unpacked(&self.span)).filter(|span| !span.is_empty())
    }

    /// Returns the exemplar in a slot; `None` when the slot is empty, which has no first character of a trace.
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

/// A packed exemplar: four words of trace, two of span, value, time.
pub(crate) type Words = [u64; 8];

/// The slots of one series.
#[derive(Debug)]
pub(crate) struct Exemplars(Box<[Seqlock<8>]>);

impl Exemplars {
    pub(crate) fn new(slots: usize) -> Self {
        Self((0..slots).map(|_| Seqlock::new()).collect())
    }

    /// Writes an exemplar into a slot, unless another thread is writing it. A slot that does not exist is ignored.
    pub(super) fn write(&self, slot: usize, value: f64, exemplar: &Exemplar, timestamp: Millis) {
        let [a, b, c, d] = words(&exemplar.trace);
        let [e, f] = words(&exemplar.span);
        let words = [a, b, c, d, e, f, value.to_bits(), timestamp.to_bits()];
        if let Some(slot) = self.0.get(slot) {
            // Losing a race is the same as being overwritten right afterwards.
            let _ = slot.write(&words);
        }
    }

    /// Empties the slots, but for one that another thread is writing right now.
    pub(crate) fn clear(&self) {
        self.0.iter().for_each(|slot| _ = slot.write(&Words::default()));
    }
}

/// Copies the exemplars of all series of a family, slot after slot; an empty slot is zeros. Allocates only when there are
/// more slots than before.
pub(crate) fn copy(series: &[SeriesRef], into: &mut Vec<Words>) {
    into.clear();
    for exemplars in series.iter().map_while(|series| series.exemplars()) {
        into.extend(exemplars.0.iter().map(|slot| slot.read().unwrap_or_default()));
    }
}

/// Returns the identifier with zeros after it.
fn packed<const BYTES: usize>(what: &'static str, id: &str) -> Result<[u8; BYTES], ExemplarError> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if id.is_empty() || id.len() > BYTES || !id.bytes().all(valid) {
        return Err(ExemplarError {
            what,
            id: truncate(id, LABEL_VALUE_BYTES_MAX).into(),
            max: BYTES,
        });
    }
    let mut packed = [0; BYTES];
    packed[..id.len()].copy_from_slice(id.as_bytes());
    Ok(packed)
}

fn unpacked(packed: &[u8]) -> &str {
    let end = packed.iter().position(|&byte| byte == 0).unwrap_or(packed.len());
    // Always UTF-8: only ASCII is packed, and a slot is read whole.
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
    fn packing_keeps_identifiers_as_they_are() {
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
    fn identifiers_that_need_escaping_or_are_too_long_are_refused() {
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
    fn a_slot_has_the_documented_size() {
        assert_eq!(size_of::<Seqlock<8>>(), 72);
    }
}
