//! Nanoseconds of one sample line in a whole scrape, warm and cold.
//!
//! Each crate encodes into memory of its own that it keeps, as a server would. *Warm*: one scrape untimed, then
//! several timed. *Cold*: [`STREAMED_BYTES`] are read and written before each timed scrape, which leaves nothing
//! of the registry in any cache, as it is in life when a scrape comes every ten seconds.

use crate::heap;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Several times the largest last-level cache that is likely.
pub const STREAMED_BYTES: usize = 96 << 20;

/// Timed scrapes of one turn take about so long.
const TURN: Duration = Duration::from_millis(1);
/// From so many lines on the registry does not fit into the caches anyway, and the untimed scrape is left out.
const UNTIMED_LINES_MAX: usize = 100_000;

/// A registry, and what encodes it.
pub trait Scrape {
    /// Encodes once, over what was encoded before.
    fn scrape(&mut self);

    /// The last encoded page.
    fn body(&self) -> &[u8];
}

/// A page to scrape, and the name under which it is reported.
pub struct Target {
    what: String,
    scrape: Box<dyn Scrape>,
}

impl Target {
    /// A target that has been scraped three times, so that its memory has grown as far as it will.
    pub fn new(what: impl Into<String>, mut scrape: Box<dyn Scrape>) -> Self {
        (0..3).for_each(|_| scrape.scrape());
        Self { what: what.into(), scrape }
    }

    /// The name of the measured operation.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Bytes of the last scrape.
    pub fn bytes(&self) -> usize {
        self.scrape.body().len()
    }

    /// Sample lines of the last scrape.
    pub fn lines(&self) -> usize {
        let body = self.scrape.body();
        body.split(|&byte| byte == b'\n').filter(|line| !matches!(line, [] | [b'#', ..])).count()
    }

    /// Allocations of one more scrape, in steady state.
    pub fn allocations(&mut self) -> u64 {
        heap::measure(|| self.scrape.scrape()).1.allocations
    }

    fn time(&mut self, times: u32) -> f64 {
        let start = Instant::now();
        for _ in 0..times {
            self.scrape.scrape();
            black_box(self.scrape.body());
        }
        start.elapsed().as_nanos() as f64 / f64::from(times)
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("what", &self.what).finish_non_exhaustive()
    }
}

/// Nanoseconds of one of `lines` lines: for each target, for each round, with warm caches.
pub fn warm(targets: &mut [Target], lines: usize, rounds: usize) -> Vec<Vec<f64>> {
    let times: Vec<u32> = targets
        .iter_mut()
        .map(|target| (TURN.as_nanos() as f64 / target.time(1)).clamp(1.0, 64.0) as u32)
        .collect();
    interleaved(targets, lines, rounds, |at, target| {
        if lines < UNTIMED_LINES_MAX {
            target.time(1);
        }
        target.time(times[at])
    })
}

/// Nanoseconds of one of `lines` lines: for each target, for each round, with cold caches.
pub fn cold(targets: &mut [Target], lines: usize, rounds: usize) -> Vec<Vec<f64>> {
    let mut other = vec![1u64; STREAMED_BYTES / size_of::<u64>()];
    interleaved(targets, lines, rounds, |_, target| {
        other.iter_mut().for_each(|word| *word = word.wrapping_mul(3));
        black_box(&mut other);
        target.time(1)
    })
}

fn interleaved(
    targets: &mut [Target],
    lines: usize,
    rounds: usize,
    mut time: impl FnMut(usize, &mut Target) -> f64,
) -> Vec<Vec<f64>> {
    let mut all: Vec<Vec<f64>> = targets.iter().map(|_| Vec::with_capacity(rounds)).collect();
    for _ in 0..rounds {
        for (at, target) in targets.iter_mut().enumerate() {
            all[at].push(time(at, target) / lines as f64);
        }
    }
    all
}
