//! Native buckets as formats write them: runs of buckets (*spans*) with short gaps filled, and the check that stands in
//! front of the socket.
//!
//! ```text
//! buckets      index -2: 3    index -1: 5    (0, 1: empty)    index 2: 9    (3 to 9: empty)    index 10: 1
//! filled       3  5  0  0  9                                                1
//! spans        offset -2, length 5                                          offset 7, length 1
//! ```
//!
//! **A body that passes [`is_sound`] cannot bring a server down.** Prometheus up to 3.11 ends when the spans' lengths do
//! not add up to the number of deltas, stores a sample that later aborts queries when the schema is out of range, and from
//! 2.50 on refuses a scrape whose buckets do not add up to the count or do not fit a signed word. So the spans and buckets to
//! be written are read back as a scraper reads them, and compared with the counts of the snapshot: an error in [`spans`] or
//! [`filled`] does not reach the body. A histogram that fails the check is written as a classic one, and counted.

use dynamo_metrics_core::snapshot::{NativeBucketCounts, NativeValue};

/// Empty buckets between two others that are written rather than skipped: two deltas are two bytes or a few more, a
/// span is four to eight.
const GAP_MAX: i32 = 2;

/// Schemas that scrapers take.
const SCHEMAS: std::ops::RangeInclusive<i8> = -4..=8;

/// Returns whether every scraper reads the value and keeps running.
pub(crate) fn is_sound(value: &NativeValue<'_>) -> bool {
    // Adding up without wrapping: what wraps is less than one of its buckets.
    let total = [value.positive, value.negative]
        .iter()
        .try_fold(value.zero_count, |total, side| total.checked_add(read_back(*side)?));
    SCHEMAS.contains(&value.schema) && total == Some(value.count) && value.zero_threshold >= 0.0
}

/// The sum of the buckets of one sign as a scraper reads them, if it equals that of the snapshot.
fn read_back(side: NativeBucketCounts<'_>) -> Option<u64> {
    let mut written = filled(side).map(|(_, count)| count);
    let (mut next, mut sum, mut first) = (0i32, 0u64, true);
    for Span { offset, length } in spans(side) {
        // Only the first span may begin below where the last one ended.
        if length == 0 || !first && offset < 0 {
            return None;
        }
        (next, first) = (next.checked_add(offset)?, false);
        for _ in 0..length {
            let count = written.next()?;
            // A bucket is a signed word at the other end, and so is the difference of two.
            if count != held(side, next) || i64::try_from(count).is_err() {
                return None;
            }
            sum = sum.checked_add(count)?;
            next = next.checked_add(1)?;
        }
    }
    let all = side.counts.iter().try_fold(side.overflow, |all, count| all.checked_add(*count));
    (written.next().is_none() && all == Some(sum)).then_some(sum)
}

/// The snapshot's count of the bucket of this index.
fn held(side: NativeBucketCounts<'_>, index: i32) -> u64 {
    let at = i64::from(index) - i64::from(side.first);
    let counted = usize::try_from(at).ok().and_then(|at| side.counts.get(at)).copied();
    match counted {
        None if index == side.overflow_index => side.overflow,
        counted => counted.unwrap_or(0),
    }
}

/// Index and count of every bucket that is written, ascending.
pub(crate) fn filled(side: NativeBucketCounts<'_>) -> impl Iterator<Item = (i32, u64)> {
    let mut populated = side.populated().peekable();
    let mut next: Option<i32> = None;
    std::iter::from_fn(move || {
        let &(index, count) = populated.peek()?;
        match next {
            Some(expected) if index > expected && index - expected <= GAP_MAX => {
                next = Some(expected + 1);
                // The rest of the gap is filled by the calls that follow: it only gets shorter.
                Some((expected, 0))
            }
            _ => {
                populated.next();
                next = index.checked_add(1);
                Some((index, count))
            }
        }
    })
}

/// A number of buckets in a row, and their distance from the end of the last span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) offset: i32,
    pub(crate) length: u32,
}

/// The spans of the buckets that [`filled`] writes.
pub(crate) fn spans(side: NativeBucketCounts<'_>) -> impl Iterator<Item = Span> {
    let mut indexes = filled(side).map(|(index, _)| index).peekable();
    let mut end = 0;
    std::iter::from_fn(move || {
        let start = indexes.next()?;
        let mut length = 1;
        while indexes.next_if(|&index| index - start == length as i32).is_some() {
            length += 1;
        }
        let span = Span { offset: start - end, length };
        end = start + length as i32;
        Some(span)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics_core::{NativeBuckets, Registry, Snapshot, snapshot::Value};

    /// A native histogram of powers of two after these observations.
    fn with_value(observed: &[f64], test: impl FnOnce(NativeValue<'_>)) {
        let registry = Registry::new();
        let buckets = NativeBuckets::new().schema(0).signed();
        let histogram = registry.native_histogram(("h", ""), &buckets).unwrap();
        observed.iter().for_each(|&v| histogram.observe(v));
        let mut snapshot = Snapshot::new();
        snapshot.take(&registry);
        let family = snapshot.families().find(|family| family.name() == "h").unwrap();
        match family.parts().next().unwrap().series(0).unwrap().value() {
            Value::Native(value) => test(value),
            other => panic!("{other:?}"),
        };
    }

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    #[test]
    fn neighbours_are_one_span_wherever_they_are() {
        with_value(&[0.25, 0.5, 1.0, 64.0, 128.0], |value| {
            assert_eq!(spans(value.positive).collect::<Vec<_>>(), [span(-2, 3), span(5, 2)]);
        });
    }

    #[test]
    fn short_gaps_are_filled_and_long_ones_begin_a_span() {
        // Buckets 0, 3 and 7: gaps of two and of three.
        with_value(&[1.0, 8.0, 8.0, 128.0], |value| {
            let side = value.positive;
            let filled: Vec<_> = filled(side).collect();
            assert_eq!(filled, [(0, 1), (1, 0), (2, 0), (3, 2), (7, 1)]);
            assert_eq!(spans(side).collect::<Vec<_>>(), [span(0, 4), span(3, 1)]);
            assert!(is_sound(&value));
        });
    }

    #[test]
    fn both_signs_and_what_is_above_the_range() {
        with_value(&[-4.0, f64::INFINITY, 0.0], |value| {
            assert_eq!(spans(value.negative).collect::<Vec<_>>(), [span(2, 1)]);
            let overflow = value.positive.overflow_index;
            assert_eq!(spans(value.positive).collect::<Vec<_>>(), [span(overflow, 1)]);
            assert_eq!((value.zero_count, value.count), (1, 3));
            assert!(is_sound(&value));
        });
    }

    #[test]
    fn a_value_that_ends_a_scraper_is_not_sound() {
        with_value(&[1.0, 2.0], |value| {
            let broken = |change: fn(&mut NativeValue<'_>)| {
                let mut value = value;
                change(&mut value);
                !is_sound(&value)
            };
            assert!(broken(|value| value.count += 1));
            assert!(broken(|value| value.zero_count += 1));
            assert!(broken(|value| value.schema = 9));
            assert!(broken(|value| value.schema = -5));
            assert!(broken(|value| value.zero_threshold = -1.0));
            assert!(broken(|value| value.zero_threshold = f64::NAN));
            assert!(broken(|value| value.positive.counts = &[1]));
            // Of these only one sum of all buckets wraps, or none.
            const HALF: u64 = 1 << 63;
            assert!(broken(|value| (value.positive.counts, value.count) = (&[HALF], HALF)));
            assert!(broken(|value| (value.positive.counts, value.count) = (&[u64::MAX], u64::MAX)));
            assert!(broken(|value| {
                value.positive.counts = &[HALF - 1, HALF - 1, HALF - 1];
                value.count = (HALF - 1).wrapping_mul(3);
            }));
            assert!(broken(|value| (value.zero_count, value.count) = (u64::MAX, 1)));
            assert!(broken(|value| {
                value.positive.overflow = 1;
                value.count += 1;
                value.positive.overflow_index = value.positive.first;
            }));
        });
    }

    #[test]
    fn the_largest_counts_that_a_signed_word_holds_are_sound() {
        with_value(&[1.0, 2.0], |mut value| {
            value.positive.counts = &[i64::MAX as u64, 1, i64::MAX as u64];
            value.count = u64::MAX;
            assert!(is_sound(&value));
            (value.positive.counts, value.zero_count) = (&[1], u64::MAX - 1);
            assert!(is_sound(&value));
        });
    }

    proptest::proptest! {
        #[test]
        fn spans_and_counts_always_agree(exponents in proptest::collection::vec(-40i32..40, 0..60)) {
            let observed: Vec<f64> = exponents.iter().map(|&e| 2f64.powi(e)).collect();
            with_value(&observed, |value| {
                assert!(is_sound(&value));
                // The spans, spelled out, are the indexes of what is written.
                let mut next = 0;
                let indexes: Vec<i32> = spans(value.positive).flat_map(|span| {
                    let start = next + span.offset;
                    next = start + span.length as i32;
                    start..next
                }).collect();
                assert_eq!(indexes, filled(value.positive).map(|(index, _)| index).collect::<Vec<_>>());
                let sum: u64 = filled(value.positive).map(|(_, count)| count).sum();
                assert_eq!(sum + value.zero_count, exponents.len() as u64);
            });
        }
    }
}
