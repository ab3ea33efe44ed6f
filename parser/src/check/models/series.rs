//! One series on several lines: Prometheus keeps the first, and a later one only if both have timestamps and its own is later.
//!
//! A line without a timestamp has the time of the scrape. From version 3 on (in fact 2.52) Prometheus leaves it out after any
//! other line of the series; before, it was stored if the lines before it had earlier timestamps, as they do in practice.
//! Times that differ by less than a millisecond, which is one for Prometheus, are told apart: their order is right.

use std::collections::HashMap;

use crate::exposition::series_key;
use crate::fault::Fault;

/// The times of each series so far, in the unit of the format; `None` for the time of the scrape.
#[derive(Default)]
pub(super) struct Times(HashMap<Vec<u8>, Option<f64>>);

impl Times {
    /// Notes a line, and returns the fault if Prometheus 3, or 2 if `three` is false, does not store it.
    pub(super) fn note(
        &mut self,
        name: &str,
        labels: &[(String, String)],
        time: Option<f64>,
        three: bool,
    ) -> Option<Fault> {
        let key = series_key(name, labels.iter());
        let is_stored = match (self.0.get(&key).copied(), time) {
            (None, _) => true,
            (Some(Some(before)), Some(time)) => time > before,
            (Some(Some(_)), None) => !three,
            (Some(None), _) => false,
        };
        if !is_stored {
            return Some(Fault::SeriesTwice { name: name.to_owned() });
        }
        self.0.insert(key, time);
        None
    }
}
