//! What a text format renders once a family and once a series.
//!
//! ```text
//! one line a series:   text = `name{a="x",b="y"} `                                          then the value
//! several:             text = `name_bucket{a="x",b="y",`    tail = `le="0.5"} `             then a count
//!                      totals = `name_sum{`, then the labels inside text, then `} `         then the sum
//! ```

use super::dialect::Dialect;
use crate::cursor::{Cursor, Text, Texts};
use crate::layout::{Form, labels};
use dynamo_metrics_core::{Escaping, FamilySnapshot, Kind, PartSnapshot, SeriesSnapshot};

/// What all series of a part share.
#[derive(Debug)]
pub(crate) struct TextForm {
    /// `name{` or `name_bucket{`: what each text begins with.
    open: String,
    /// `name `: the whole text of a series without labels.
    bare: String,
    /// Where series have several lines.
    pub(crate) compound: Option<Compound>,
}

/// What all series of a histogram or the like share.
#[derive(Debug)]
pub(crate) struct Compound {
    /// `le="0.5"} ` for each bound and for `+Inf`.
    pub(crate) tails: Texts,
    /// For [`SUM`] and [`COUNT`]: what stands before the labels, and the whole if there are none.
    totals: Texts,
    /// Whether there are such lines: OpenMetrics forbids them beside a negative bound, since a sum of values of both
    /// signs may fall.
    pub(crate) has_totals: bool,
    open_len: usize,
}

/// Longest number that is printed: `-1.7976931348623157e+308`.
const NUMBER_BYTES_MAX: usize = 24;

/// For [`Compound::write_total`].
pub(crate) const SUM: usize = 0;
/// For [`Compound::write_total`].
pub(crate) const COUNT: usize = 1;

impl Form for TextForm {
    type Dialect = Dialect;

    fn escaping(dialect: Dialect) -> Escaping {
        dialect.escaping
    }

    fn new(dialect: Dialect, part: PartSnapshot<'_>) -> Self {
        let descriptor = part.descriptor();
        let compound = (descriptor.kind() == Kind::Histogram).then(|| Compound::new(dialect, part));
        let sample = match compound {
            Some(_) => dialect.family_name(descriptor) + "_bucket",
            None => dialect.sample_name(descriptor),
        };
        Self { open: dialect.open(&sample), bare: dialect.bare(&sample), compound }
    }

    fn render(&self, dialect: Dialect, series: SeriesSnapshot<'_>, text: &mut Vec<u8>) {
        let start = text.len();
        text.extend_from_slice(self.open.as_bytes());
        let none = text.len();
        for (label, value) in labels(series) {
            dialect.write_label(text, label, value);
        }
        if self.compound.is_some() {
            return;
        }
        if text.len() == none {
            text.truncate(start);
            text.extend_from_slice(self.bare.as_bytes());
        } else {
            text.pop();
            text.extend_from_slice(b"} ");
        }
    }

    fn header(dialect: Dialect, family: FamilySnapshot<'_>) -> Vec<u8> {
        dialect.header(family)
    }

    fn bytes_max(&self, texts: &Texts) -> usize {
        let (bytes, series) = (texts.bytes_len(), texts.len());
        let line = NUMBER_BYTES_MAX + "} \n".len();
        match &self.compound {
            None => bytes + series * line,
            Some(compound) => {
                let lines = compound.tails.len() + 2;
                let shared = compound.tails.bytes_len() + compound.totals.bytes_len();
                bytes * lines + series * (shared + lines * line)
            }
        }
    }
}

impl Compound {
    fn new(dialect: Dialect, part: PartSnapshot<'_>) -> Self {
        let name = dialect.family_name(part.descriptor());
        let bounds = part.descriptor().buckets().map_or(&[][..], |buckets| buckets.bounds());
        let mut tails = Texts::default();
        for &bound in bounds.iter().chain([&f64::INFINITY]) {
            tails.push(|text| {
                text.extend_from_slice(b"le=\"");
                dialect.write_bound(text, bound);
                text.extend_from_slice(b"\"} ");
            });
        }
        let mut totals = Texts::default();
        for suffix in ["_sum", "_count"] {
            let sample = format!("{name}{suffix}");
            for text in [dialect.open(&sample), dialect.bare(&sample)] {
                totals.push(|out| out.extend_from_slice(text.as_bytes()));
            }
        }
        let has_totals = !dialect.openmetrics || bounds.first().is_none_or(|&bound| bound >= 0.0);
        let open_len = dialect.open(&format!("{name}_bucket")).len();
        Self { tails, totals, has_totals, open_len }
    }

    /// Appends `name_sum{labels} ` or `name_count{labels} ` for the series with this text.
    #[inline]
    pub(crate) fn write_total<'a>(
        &self,
        cursor: Cursor<'a>,
        total: usize,
        text: Text<'_>,
    ) -> Cursor<'a> {
        if text.len() == self.open_len {
            return cursor.copy(self.totals.get(2 * total + 1));
        }
        // The labels end with the comma that `le` follows.
        let labels = text.part(self.open_len..text.len() - 1);
        cursor.copy(self.totals.get(2 * total)).copy(labels).bytes(b"} ")
    }
}
