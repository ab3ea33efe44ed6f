//! The table at the end of a replay.

use hdrhistogram::Histogram;
use std::fmt;
use std::time::Duration;

/// Significant figures of the latencies in the table, and the longest that is told from a longer one: a day.
const FIGURES: u8 = 3;
const LATENCY_NS_MAX: u64 = 86_400_000_000_000;

/// Latencies of one kind, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_max(LATENCY_NS_MAX, FIGURES);
        Self(histogram.unwrap_or_else(|_| unreachable!("a day and {FIGURES} figures are legal")))
    }

    #[inline]
    pub(crate) fn record_n(&mut self, latency_ns: u64, n: u64) {
        self.0.saturating_record_n(latency_ns, n);
    }
}

/// The result of a replay; prints as a table.
#[derive(Debug)]
pub struct Summary {
    pub(crate) trace: String,
    /// Assumptions about the trace, a sentence each.
    pub(crate) assumed: Vec<String>,
    pub(crate) requests: u64,
    pub(crate) input_tokens: u64,
    pub(crate) cached_tokens: u64,
    /// Prompt blocks that were found in a cache, and how many tokens one holds.
    pub(crate) reused_blocks: u64,
    pub(crate) block_size: u64,
    pub(crate) output_tokens: u64,
    pub(crate) first_token: Latencies,
    pub(crate) inter_token: Latencies,
    pub(crate) duration: Latencies,
    /// Time that passed in the trace.
    pub(crate) replayed: Duration,
    pub(crate) wall: Duration,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "trace             {}", self.trace)?;
        for sentence in &self.assumed {
            writeln!(f, "  assumed         {sentence}")?;
        }
        writeln!(f, "requests          {}", self.requests)?;
        writeln!(f, "input tokens      {}", self.input_tokens)?;
        writeln!(f, "  of them cached  {}", self.cached_tokens)?;
        if self.reused_blocks > 0 {
            let tokens = self.reused_blocks * self.block_size;
            writeln!(f, "  reused blocks   {} (room for {tokens} tokens)", self.reused_blocks)?;
        }
        writeln!(f, "output tokens     {}", self.output_tokens)?;
        writeln!(f)?;
        writeln!(f, "seconds                 p50        p90        p99      p99.9")?;
        let rows = [
            ("time to first token", &self.first_token),
            ("inter-token latency", &self.inter_token),
            ("request duration", &self.duration),
        ];
        for (name, Latencies(latencies)) in rows {
            write!(f, "{name:<19}")?;
            for quantile in [0.5, 0.9, 0.99, 0.999] {
                write!(f, " {:>10.4}", latencies.value_at_quantile(quantile) as f64 / 1e9)?;
            }
            writeln!(f)?;
        }
        writeln!(f)?;
        let wall = self.wall.as_secs_f64();
        writeln!(f, "replayed          {:.1} s", self.replayed.as_secs_f64())?;
        writeln!(f, "wall time         {wall:.3} s")?;
        write!(f, "tokens a second   {:.0} through the metrics", self.output_tokens as f64 / wall)
    }
}
