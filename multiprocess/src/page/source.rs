//! The values of one file: of gauges, what its process set and what processes before it set.

use super::Value;
use crate::mapping::Mapping;
use crate::mode::Reading;
use crate::record::{Content, Kind, SUM, gauge};
use std::fs::{File, TryLockError};
use std::io;
use std::sync::atomic::Ordering;

/// A file that is being read.
pub(super) struct Source<'f> {
    pub(super) file: &'f File,
    pub(super) mapping: &'f Mapping,
    pub(super) pid: u64,
    /// True if its process runs; `None` until that was asked.
    pub(super) runs: Option<bool>,
}

impl Source<'_> {
    /// Returns the value of a series and, of a gauge, when it was set. `None` where it has none that counts.
    pub(super) fn value(
        &mut self,
        kind: Kind,
        content: &Content,
    ) -> io::Result<Option<(Value, f64)>> {
        let cell = |at: usize| {
            // Acquire pairs with the Release of a sum: the counts that are read after it have its observations.
            self.mapping.word(content.cells_at + at).map_or(0, |word| word.load(Ordering::Acquire))
        };
        let float = |at| f64::from_bits(cell(at));
        let value = match kind {
            Kind::Counter => Value::Number(float(0)),
            Kind::Histogram => {
                let sum = float(SUM);
                Value::Histogram((1..content.cells).map(cell).collect(), sum)
            }
            Kind::Summary => {
                let sum = float(SUM);
                Value::Summary(cell(1), sum)
            }
            Kind::Gauge(mode) => {
                let present = Reading { value: float(gauge::VALUE), time: float(gauge::TIME) };
                let past =
                    Reading { value: float(gauge::PAST_VALUE), time: float(gauge::PAST_TIME) };
                let (is_set, past_is_set) =
                    (cell(gauge::IS_SET) != 0, cell(gauge::PAST_IS_SET) != 0);
                let counts = is_set && (!mode.is_live() || self.runs()?);
                let merged = match (counts, past_is_set) {
                    (true, true) => mode.merge(past, present),
                    (true, false) => present,
                    (false, true) => past,
                    (false, false) => return Ok(None),
                };
                return Ok(Some((Value::Number(merged.value), merged.time)));
            }
        };
        Ok(Some((value, 0.0)))
    }

    /// Returns whether the process runs, by the lock that it has.
    pub(super) fn runs(&mut self) -> io::Result<bool> {
        if let Some(runs) = self.runs {
            return Ok(runs);
        }
        let runs = match self.file.try_lock_shared() {
            Ok(()) => {
                self.file.unlock()?;
                false
            }
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(error)) => return Err(error),
        };
        self.runs = Some(runs);
        Ok(runs)
    }
}
