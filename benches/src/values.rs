//! Numbers that are recorded: pseudo-random, the same in every run and for every library.
//!
//! Latencies are log-normal, as latencies are, so that neither the branch predictor nor a lucky bucket helps a
//! linear scan. A loop takes [`LEN`] of them in turn: enough that no predictor learns the sequence, few enough
//! that they stay in the first-level cache beside what is measured.

use crate::shape::{ENDPOINTS, MODELS};
use dynamo_metrics_core::Buckets;
use std::sync::Arc;

/// Values in one table: a power of two, so that a loop wraps with a mask.
pub const LEN: usize = 2048;

/// One table.
pub type Table<T> = [T; LEN];

/// The tables of all groups, made once.
#[derive(Clone, Debug)]
pub struct Data {
    /// Latencies in seconds, log-normal around 50 ms.
    pub latencies: Arc<Table<f64>>,
    /// The same in whole microseconds, for crates that take only integers.
    pub latencies_micros: Arc<Table<u64>>,
    /// Times between two tokens in seconds, log-normal around 20 ms.
    pub tokens: Arc<Table<f64>>,
    /// The same in whole microseconds.
    pub tokens_micros: Arc<Table<u64>>,
    /// Models and endpoints: 16 pairs in random order.
    pub pairs: Arc<Table<(&'static str, &'static str)>>,
}

impl Data {
    /// The same tables in every run.
    pub fn new() -> Self {
        let latencies = table(log_normal(0.05, 1.2, 1));
        let tokens = table(log_normal(0.02, 0.6, 2));
        let micros = |seconds: &Table<f64>| Arc::new(seconds.map(|value| (value * 1e6) as u64));
        let pairs: Vec<_> = MODELS
            .iter()
            .flat_map(|model| ENDPOINTS[..4].iter().map(move |endpoint| (*model, *endpoint)))
            .collect();
        Self {
            latencies_micros: micros(&latencies),
            latencies: Arc::new(latencies),
            tokens_micros: micros(&tokens),
            tokens: Arc::new(tokens),
            pairs: Arc::new(shuffled(&pairs)),
        }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self::new()
    }
}

/// A sequence of well-mixed 64-bit numbers (SplitMix64).
pub fn random(seed: u64) -> impl Iterator<Item = u64> {
    (1u64..).map(move |step| mix(seed.wrapping_add(step.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
}

/// Log-normal values: half of them below `median`, two thirds within a factor of e^`sigma` of it.
pub fn log_normal(median: f64, sigma: f64, seed: u64) -> impl Iterator<Item = f64> {
    // Box and Muller: two uniform numbers make a normal one.
    let mut uniform = random(seed).map(|bits| ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64);
    std::iter::from_fn(move || {
        let (a, b) = (uniform.next()?, uniform.next()?);
        let normal = (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos();
        Some(median * (sigma * normal).exp())
    })
}

/// A number of 1 to 9 digits, every number of digits as likely as another: what counters hold.
pub fn count(of: u64) -> u64 {
    let bits = mix(of.wrapping_add(1));
    let size = 10u64.pow((bits % 9) as u32);
    size + (bits >> 8) % (9 * size)
}

/// `choices` in random order, each about as often as another.
pub fn shuffled<T: Copy>(choices: &[T]) -> Table<T> {
    table(random(3).map(|bits| choices[(bits >> 32) as usize % choices.len()]))
}

/// The bounds that histograms are measured with.
///
/// # Panics
/// For another `count` than 11 (what most crates have as default), 20 (a list of Dynamo's) or 64.
pub fn bounds(count: usize) -> Vec<f64> {
    let bounds = match count {
        11 => Buckets::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
        20 => Buckets::dynamo(0.001, 80.0, 20),
        64 => Buckets::exponential(0.001, 1.2, 64),
        _ => panic!("no list of {count} bounds"),
    };
    bounds.map(|bounds| bounds.bounds().to_vec()).unwrap_or_default()
}

/// Bounds of Dynamo's inter-token latency.
pub fn token_bounds() -> Vec<f64> {
    let bounds = Buckets::dynamo(0.001, 2.0, 13);
    bounds.map(|bounds| bounds.bounds().to_vec()).unwrap_or_default()
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn table<T: Copy>(mut values: impl Iterator<Item = T>) -> Table<T> {
    std::array::from_fn(|_| values.next().expect("the sequences are endless"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_have_the_lengths_that_name_them() {
        for count in [11, 20, 64] {
            assert_eq!(bounds(count).len(), count);
        }
        assert_eq!(token_bounds().len(), 13);
    }

    #[test]
    fn latencies_are_spread_around_their_median() {
        let latencies = Data::new().latencies;
        let below = latencies.iter().filter(|&&value| value < 0.05).count();
        assert!((LEN * 45 / 100..LEN * 55 / 100).contains(&below), "{below} of {LEN}");
        assert!(latencies.iter().all(|value| value.is_finite() && *value > 0.0));
    }

    #[test]
    fn counts_have_every_number_of_digits() {
        let mut digits = [0; 10];
        (0..9000).for_each(|of| digits[count(of).to_string().len()] += 1);
        assert!(digits[1..].iter().all(|&n| n > 800), "{digits:?}");
    }
}
