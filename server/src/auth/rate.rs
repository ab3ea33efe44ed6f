//! `rate_limit`: a token bucket, and the durations of Go in which its interval is written.
//!
//! A bucket holds `burst` tokens and gains one an `interval`; a request takes one, or is answered
//! 429. It is kept as one instant, the time at which the bucket would be full again (the generic
//! cell rate algorithm, ITU-T I.371), so nothing is lost to rounding.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// One request an interval on average, and at most `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// 1 ns to a day.
    pub(crate) interval: Duration,
    /// 1 to a million.
    pub(crate) burst: u32,
}

/// The state of a [`Rate`]; begins full.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    rate: Cell<Option<Rate>>,
    full_at: Cell<Option<Instant>>,
}

impl Bucket {
    /// Takes a token, if there is one. Another rate than before begins with a full bucket.
    pub(crate) fn take(&self, rate: Rate, now: Instant) -> bool {
        if self.rate.replace(Some(rate)) != Some(rate) {
            self.full_at.set(None);
        }
        let full_at = self.full_at.get().map_or(now, |at| at.max(now)) + rate.interval;
        let taken = full_at.duration_since(now) <= rate.interval.saturating_mul(rate.burst);
        if taken {
            self.full_at.set(Some(full_at));
        }
        taken
    }
}

/// A duration as Go writes it: `1s`, `100ms`, `1m30s`, `1.5h`, or `0`. `None` when it is none, or
/// negative, or beyond 584 years.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut total_ns = 0.0_f64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(digits);
        if !number.contains(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_end);
        let unit_ns = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total_ns += number.parse::<f64>().ok()? * unit_ns;
        rest = tail;
    }
    let valid = !text.is_empty() && total_ns < u64::MAX as f64;
    valid.then(|| Duration::from_nanos(total_ns.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_one_an_interval() {
        let rate = Rate { interval: Duration::from_secs(1), burst: 3 };
        let (bucket, now) = (Bucket::default(), Instant::now());
        let taken = |after_ms| bucket.take(rate, now + Duration::from_millis(after_ms));
        let at = [0, 0, 0, 0, 999, 1000, 1000, 5000, 5000, 5000, 5000];
        let got = at.map(taken);
        let expected = [true, true, true, false, false, true, false, true, true, true, false];
        assert_eq!(got, expected);
        let other = Rate { burst: 1, ..rate };
        assert!(bucket.take(other, now), "a new rate begins full");
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, ns) in [
            ("0", 0),
            ("0s", 0),
            ("1s", 1_000_000_000),
            ("100ms", 100_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("2us", 2000),
            (".5ms", 500_000),
        ] {
            assert_eq!(go_duration(text), Some(Duration::from_nanos(ns)), "{text}");
        }
        for text in ["", "1", "s", "-1s", "1 s", "1d", "1s2", "1..2s", ".s", "9e9h", "9999999999h"]
        {
            assert_eq!(go_duration(text), None, "{text}");
        }
    }
}
