//! Bounds and quantiles as Prometheus 3 stores them: the label `le` below a histogram's TYPE line and `quantile` below a summary's
//! are numbers, spelled as in OpenMetrics.
//!
//! Prometheus decides **by the last TYPE line that it has read**, whatever the name of the sample. So each sample remembers that
//! line's type, and what the page that is written would make of the label must be the same: where it would change another
//! spelling, the family gives its type up; where it would not, the label is respelled here.

use dynamo_metrics_parser::{Kind, go_float};

/// Returns the label that holds a number below a TYPE line of this type.
pub(super) fn label(below: Kind) -> Option<&'static [u8]> {
    match below {
        Kind::Histogram => Some(b"le"),
        Kind::Summary => Some(b"quantile"),
        _ => None,
    }
}

/// Returns the number of a label, as Go reads it; `None` for a text that Prometheus leaves as it is.
pub(super) fn read(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok().and_then(go_float::parse)
}
