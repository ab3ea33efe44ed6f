//! What a text format renders once a family and once a series.
//!
//! ```text
//! one line a series:   text = `name{a="x",b="y"} `                                          then the value
//! several:             text = `name_bucket{a="x",b="y",`    tail = `le="0.5"} `             then a count
//!                      names = `name_sum{`, then the labels inside text, then `} `          then the sum
//! ```

use super::dialect::Dialect;
use super::extras::EXEMPLAR_BYTES_MAX;
use crate::cursor::{Cursor, Text, Texts};
use crate::layout::{Form, labels};
use dynamo_metrics_core::{
    Descriptor, Escaping, FamilySnapshot, Kind, PartSnapshot, SeriesSnapshot,
};

/// What all series of a part share.
#[derive(Debug)]
pub(crate) struct TextForm {
    /// `name{` or `name_bucket{`: what each text begins with.
    open: String,
    /// `name `: the whole text of a series without labels that has one line.
    bare: String,
    /// `le="0.5"} ` for each bound and for `+Inf`, or a state's; empty where a series has one line.
    pub(crate) tails: Texts,
    /// Names of the lines for the sum and the count, if there are such lines.
    pub(crate) totals: Option<[Names; 2]>,
    /// Name of the line for the start time, if there is one.
    pub(crate) created: Option<Names>,
    /// Exemplars that a series may print.
    pub(crate) exemplars: usize,
}

/// A sample's name as it stands before labels, and as it stands before the value if there are none.
#[derive(Debug)]
pub(crate) struct Names(Texts);

/// Longest number that is printed: `-1.7976931348623157e+308`.
pub(crate) const NUMBER_BYTES_MAX: usize = 24;

impl Form for TextForm {
    type Dialect = Dialect;

    fn escaping(dialect: Dialect) -> Escaping {
        dialect.escaping
    }

    fn new(dialect: Dialect, part: PartSnapshot<'_>) -> Self {
        let descriptor = part.descriptor();
        let family = dialect.family_name(descriptor);
        let names = |suffix: &str| Names::new(dialect, &format!("{family}{suffix}"));
        let tails = tails(dialect, &family, descriptor);
        let (sample, has_totals) = match descriptor.kind() {
            Kind::Histogram => (format!("{family}_bucket"), has_totals(dialect, descriptor)),
            _ => (dialect.sample_name(descriptor), false),
        };
        Self {
            open: dialect.open(&sample),
            bare: dialect.bare(&sample),
            tails,
            totals: has_totals.then(|| [names("_sum"), names("_count")]),
            created: (dialect.created && descriptor.kind().accumulates())
                .then(|| names("_created")),
            exemplars: if dialect.openmetrics { descriptor.exemplar_slots() } else { 0 },
        }
    }

    fn render(&self, dialect: Dialect, series: SeriesSnapshot<'_>, text: &mut Vec<u8>) {
        let start = text.len();
        text.extend_from_slice(self.open.as_bytes());
        let none = text.len();
        for (label, value) in labels(series) {
            dialect.write_label(text, label, value);
        }
        if !self.has_one_line() {
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
        let names = self.totals.iter().flatten().chain(&self.created);
        let more_lines = names.clone().count();
        let lines = self.tails.len().max(1) + more_lines;
        let shared = self.tails.bytes_len() + names.map(|names| names.0.bytes_len()).sum::<usize>();
        let line = NUMBER_BYTES_MAX + "} \n".len();
        let exemplars = self.exemplars * EXEMPLAR_BYTES_MAX;
        bytes * lines + series * (shared + lines * line + exemplars)
    }
}

impl TextForm {
    pub(crate) fn has_one_line(&self) -> bool {
        self.tails.len() == 0
    }

    /// Appends `name_sum{labels} ` or the like, for the series with this text.
    #[inline]
    pub(crate) fn write_sample<'a>(
        &self,
        cursor: Cursor<'a>,
        Names(names): &Names,
        text: Text<'_>,
    ) -> Cursor<'a> {
        let open = self.open.len();
        if self.has_one_line() {
            // Ends with `} ` already, if it has labels.
            return if text.len() > self.bare.len() {
                cursor.copy(names.get(0)).copy(text.part(open..text.len()))
            } else {
                cursor.copy(names.get(1))
            };
        }
        if text.len() == open {
            return cursor.copy(names.get(1));
        }
        // The labels end with the comma that `le` follows.
        cursor.copy(names.get(0)).copy(text.part(open..text.len() - 1)).bytes(b"} ")
    }
}

impl Names {
    fn new(dialect: Dialect, sample: &str) -> Self {
        let mut texts = Texts::default();
        for text in [dialect.open(sample), dialect.bare(sample)] {
            texts.push(|out| out.extend_from_slice(text.as_bytes()));
        }
        Self(texts)
    }
}

/// What tells the lines of one series apart.
fn tails(dialect: Dialect, family: &str, descriptor: &Descriptor) -> Texts {
    let mut tails = Texts::default();
    if let Some(buckets) = descriptor.buckets() {
        for &bound in buckets.bounds().iter().chain([&f64::INFINITY]) {
            tails.push(|text| {
                text.extend_from_slice(b"le=\"");
                dialect.write_bound(text, bound);
                text.extend_from_slice(b"\"} ");
            });
        }
    }
    for state in descriptor.states() {
        tails.push(|text| {
            dialect.write_pair(text, family, state);
            text.extend_from_slice(b"} ");
        });
    }
    tails
}

/// OpenMetrics forbids sum and count beside a negative bound, since a sum of values of both signs may fall.
fn has_totals(dialect: Dialect, descriptor: &Descriptor) -> bool {
    let first = descriptor.buckets().and_then(|buckets| buckets.bounds().first().copied());
    !dialect.openmetrics || first.is_none_or(|bound| bound >= 0.0)
}
