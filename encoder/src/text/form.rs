//! The texts that a text format renders once a family and once a series.
//!
//! ```text
//! one line a series:   text = `name{a="x",b="y"} `                                          then the value
//! several:             text = `name_bucket{a="x",b="y",`    tail = `le="0.5"} `             then a count
//!                      names = `name_sum{`, then the labels inside text, then `} `          then the sum
//! ```

use super::dialect::Dialect;
use super::extras::EXEMPLAR_BYTES_MAX;
use crate::cursor::{Cursor, Tails, Text, Texts, Totals};
use crate::layout::{Form, exemplars, labels};
use dynamo_metrics_core::{
    Descriptor, Escaping, Kind,
    snapshot::{FamilySnapshot, NativeValue, PartSnapshot, SeriesSnapshot},
};

/// The texts that all series of a part share.
#[derive(Debug)]
pub(crate) struct TextForm {
    /// `name{` or `name_bucket{`: what each text begins with.
    open: String,
    /// `name `: the whole text of a series without labels that has one line.
    bare: String,
    /// True if a series has one line, whose text needs no tail.
    one_line: bool,
    /// True if that line may hold a composite value, a start time and several exemplars, as in OpenMetrics 2.
    #[cfg(feature = "openmetrics2")]
    pub(crate) composite: bool,
    /// Bytes of names and numbers that the line of a series has beside its text and its buckets.
    line_bytes_max: usize,
    /// True if a series is shown as a native histogram.
    natives: bool,
    /// `le="0.5"} ` for each bound and for `+Inf`, or a quantile's or state's. In OpenMetrics 2, where a histogram is
    /// one line, `0.5:`.
    pub(crate) tails: Texts,
    /// The same, if all are short.
    pub(crate) short_tails: Option<Tails>,
    /// The names of the lines beside those with a tail: each with an open brace for labels, and each with a blank for a series
    /// without labels.
    names: Texts,
    /// The lines for the sum and the count, if there are such lines.
    pub(crate) totals: Option<[Name; 2]>,
    /// The same, if their names are told from that of the buckets by a suffix.
    pub(crate) suffixed_totals: Option<Totals>,
    /// The line for the start time, if there is one.
    pub(crate) created: Option<Name>,
    /// Exemplars that a series may print.
    pub(crate) exemplars: usize,
}

/// The place of the first of a name's two texts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name(usize);

/// A number and the end of its line.
const LINE_BYTES_MAX: usize = NUMBER_BYTES_MAX + "} \n".len();
/// A start time in the line of its value.
const START_BYTES_MAX: usize = " st@".len() + NUMBER_BYTES_MAX;
/// Names, count and sum of a composite value.
const COMPOSITE_BYTES_MAX: usize = "{count:,sum:,quantile:[]}".len() + 2 * NUMBER_BYTES_MAX;
/// Names and numbers of a native value but for its buckets.
#[cfg(feature = "openmetrics2")]
const NATIVE_BYTES_MAX: usize = ",schema:,zero_threshold:,zero_count:".len()
    + 3 * NUMBER_BYTES_MAX
    + ",negative_spans:[],negative_buckets:[],positive_spans:[],positive_buckets:[]".len();

/// Longest number that is printed: `-1.7976931348623157e+308`.
pub(crate) const NUMBER_BYTES_MAX: usize = 24;

impl Form for TextForm {
    const HEADER_EXTRA_BYTES: usize = 0;

    type Dialect = Dialect;

    fn escaping(dialect: Dialect) -> Escaping {
        dialect.escaping
    }

    fn new(dialect: Dialect, part: PartSnapshot<'_>) -> Self {
        let descriptor = part.descriptor();
        let family = dialect.family_name(descriptor);
        let mut names = Texts::default();
        let mut name = |suffix: &str| {
            let (sample, name) = (format!("{family}{suffix}"), Name(names.len()));
            for text in [dialect.open(&sample), dialect.bare(&sample)] {
                names.push(|out| out.extend_from_slice(text.as_bytes()));
            }
            name
        };
        let tails = tails(dialect, &family, descriptor);
        let composite = dialect.is_composite();
        let (sample, has_totals, one_line) = match descriptor.kind() {
            Kind::Histogram | Kind::NativeHistogram | Kind::Summary if composite => {
                (family.clone(), false, true)
            }
            Kind::Histogram | Kind::NativeHistogram => {
                (format!("{family}_bucket"), has_totals(dialect, descriptor), false)
            }
            Kind::Summary => (family.clone(), true, false),
            Kind::StateSet => (family.clone(), false, false),
            _ => (dialect.sample_name(descriptor), false, true),
        };
        let totals = has_totals.then(|| [name("_sum"), name("_count")]);
        let created =
            (dialect.created && descriptor.kind().accumulates()).then(|| name("_created"));
        let open = dialect.open(&sample);
        Self {
            suffixed_totals: totals.and_then(|_| Totals::new(&open)),
            open,
            bare: dialect.bare(&sample),
            one_line,
            #[cfg(feature = "openmetrics2")]
            composite,
            line_bytes_max: line_bytes_max(dialect, descriptor),
            natives: composite && descriptor.kind() == Kind::NativeHistogram,
            short_tails: Tails::new(&tails),
            tails,
            names,
            totals,
            created,
            exemplars: if dialect.is_openmetrics() { descriptor.exemplar_slots() } else { 0 },
        }
    }

    fn render(
        &self,
        dialect: Dialect,
        _: PartSnapshot<'_>,
        series: SeriesSnapshot<'_>,
        text: &mut Vec<u8>,
    ) {
        let start = text.len();
        text.extend_from_slice(self.open.as_bytes());
        let none = text.len();
        for (label, value) in labels(series) {
            dialect.write_label(text, label, value);
        }
        if !self.one_line {
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

    fn bytes_max(&self, texts: &Texts, part: PartSnapshot<'_>) -> usize {
        let (bytes, series) = (texts.bytes_len(), texts.len());
        let names = self.names.len() / 2;
        let lines = names + if self.one_line { 1 } else { self.tails.len().max(1) };
        if self.natives {
            return bytes * lines;
        }
        let of_exemplars =
            if self.exemplars > 0 { exemplars(part) * EXEMPLAR_BYTES_MAX } else { 0 };
        bytes * lines + series * self.classic_bytes_max() + of_exemplars
    }

    fn natives(&self) -> bool {
        self.natives
    }

    #[cfg(feature = "openmetrics2")]
    fn native_bytes(&self, value: &NativeValue<'_>, series: SeriesSnapshot<'_>) -> usize {
        let exemplars = (0..self.exemplars).filter(|&at| series.exemplar(at).is_some()).count();
        let buckets = super::openmetrics2::buckets_bytes(value);
        NATIVE_BYTES_MAX + self.line_bytes_max + buckets + exemplars * EXEMPLAR_BYTES_MAX
    }

    #[cfg(not(feature = "openmetrics2"))]
    fn native_bytes(&self, _: &NativeValue<'_>, _: SeriesSnapshot<'_>) -> usize {
        0
    }

    /// Most bytes of any series but for its text and its exemplars.
    fn classic_bytes_max(&self) -> usize {
        let numbers = self.tails.len().max(1) + self.names.len() / 2;
        let shared = self.tails.bytes_len() + self.names.bytes_len();
        let exemplars = if self.natives { self.exemplars * EXEMPLAR_BYTES_MAX } else { 0 };
        shared + numbers * LINE_BYTES_MAX + self.line_bytes_max + exemplars
    }

    fn touch(&self) -> usize {
        let tails = self.short_tails.as_ref().map_or_else(|| self.tails.touch(), Tails::touch);
        tails.wrapping_add(self.names.touch())
    }
}

impl TextForm {
    /// Appends `name_sum{labels} ` or the like, for the series with this text.
    #[inline(always)]
    pub(crate) fn write_sample<'a>(
        &self,
        cursor: Cursor<'a>,
        Name(name): Name,
        text: Text<'_>,
    ) -> Cursor<'a> {
        let open = self.open.len();
        if self.one_line {
            // Ends with `} ` already, if it has labels.
            return if text.len() > self.bare.len() {
                cursor.copy(self.names.get(name)).copy(text.part(open..text.len()))
            } else {
                cursor.copy(self.names.get(name + 1))
            };
        }
        if text.len() == open {
            return cursor.copy(self.names.get(name + 1));
        }
        // The labels end with the comma that `le` follows.
        cursor.copy(self.names.get(name)).copy(text.part(open..text.len() - 1)).bytes(b"} ")
    }
}

/// The parts of a series' lines that differ from line to line.
fn tails(dialect: Dialect, family: &str, descriptor: &Descriptor) -> Texts {
    let mut tails = Texts::default();
    if let Some(buckets) = descriptor.buckets() {
        for &bound in buckets.bounds().iter().chain([&f64::INFINITY]) {
            tails.push(|text| write_level(dialect, text, "le", bound));
        }
    }
    for &quantile in descriptor.quantiles().unwrap_or_default() {
        tails.push(|text| write_level(dialect, text, "quantile", quantile));
    }
    for state in descriptor.states() {
        tails.push(|text| {
            dialect.write_pair(text, family, state);
            text.extend_from_slice(b"} ");
        });
    }
    tails
}

/// `le="0.5"} `, or `0.5:` where a histogram is one line.
fn write_level(dialect: Dialect, text: &mut Vec<u8>, label: &str, level: f64) {
    if dialect.is_composite() {
        dialect.write_bound(text, level);
        text.extend_from_slice(b":");
    } else {
        text.extend_from_slice(label.as_bytes());
        text.extend_from_slice(b"=\"");
        dialect.write_bound(text, level);
        text.extend_from_slice(b"\"} ");
    }
}

fn line_bytes_max(dialect: Dialect, descriptor: &Descriptor) -> usize {
    if !dialect.is_composite() {
        return 0;
    }
    let kind = descriptor.kind();
    let composite = matches!(kind, Kind::Histogram | Kind::NativeHistogram | Kind::Summary);
    let of_start = if kind.accumulates() { START_BYTES_MAX } else { 0 };
    of_start + if composite { COMPOSITE_BYTES_MAX } else { 0 }
}

/// OpenMetrics forbids sum and count beside a negative bound, since a sum of values of both signs may fall; and a
/// negative sum beside other bounds, as a signed native histogram has in its classic form.
fn has_totals(dialect: Dialect, descriptor: &Descriptor) -> bool {
    let first = descriptor.buckets().and_then(|buckets| buckets.bounds().first().copied());
    let negative = descriptor.is_signed() || first.is_some_and(|bound| bound < 0.0);
    !(dialect.is_openmetrics() && negative)
}
