//! Text that is rendered once: everything of an exposition but the numbers.
//!
//! When a family or series first appears in a scrape, its names and labels are escaped and laid out here; every
//! scrape after that copies. What a series' lines begin with is kept once a series, and what they end with once a
//! family, not whole lines: nine times smaller for a 12-bucket histogram, and faster when the scrape finds the
//! caches cold, as it does in life.
//!
//! ```text
//! one line a series:   text = `name{a="x",b="y"} `                                          then the value
//! several:             text = `name_bucket{a="x",b="y",`    tail = `le="0.5"} `             then a count
//!                      totals = `name_sum{`, then the labels inside text, then `} `         then the sum
//! ```

use crate::cursor::{Cursor, Text, Texts};
use crate::dialect::Dialect;
use crate::escape::write_label_value;
use bytes::BytesMut;
use dynamo_metrics_core::{FamilySnapshot, Kind, PartSnapshot, SeriesSnapshot, Snapshot};

/// The layouts of all families of one registry in one dialect, in the order of its snapshot.
#[derive(Debug)]
pub(crate) struct Layout {
    dialect: Dialect,
    pub(crate) families: Vec<FamilyLayout>,
}

/// Text of one family.
#[derive(Debug)]
pub(crate) struct FamilyLayout {
    /// The lines that describe it.
    pub(crate) header: BytesMut,
    pub(crate) parts: Vec<PartLayout>,
}

/// Text of the series of one part.
#[derive(Debug)]
pub(crate) struct PartLayout {
    id: u64,
    removals: u64,
    /// What each series' lines begin with: up to the value, or up to what tells its lines apart.
    pub(crate) texts: Texts,
    /// Where series have several lines.
    pub(crate) compound: Option<Compound>,
    /// `name{` or `name_bucket{`: what each text begins with.
    open: String,
    /// `name `: the whole text of a series without labels.
    bare: String,
}

/// Text that all series of a histogram or the like share.
#[derive(Debug)]
pub(crate) struct Compound {
    /// `le="0.5"} ` for each bound and for `+Inf`.
    pub(crate) tails: Texts,
    /// For [`SUM`] and [`COUNT`]: what stands before the labels, and the whole if there are none.
    totals: Texts,
    open_len: usize,
}

/// Longest number that is printed: `-1.7976931348623157e+308`.
const NUMBER_BYTES_MAX: usize = 24;

impl Default for Layout {
    fn default() -> Self {
        Self::new(Dialect { openmetrics: false })
    }
}

impl Layout {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, families: Vec::new() }
    }

    /// Renders what is new since the last scrape. Allocates nothing when nothing is.
    pub(crate) fn sync(&mut self, snapshot: &Snapshot) {
        let same = self.families.len() == snapshot.families().len()
            && self
                .families
                .iter()
                .zip(snapshot.families())
                .all(|(known, family)| known.is_of(family));
        if !same {
            self.relist(snapshot);
        }
        for (known, family) in self.families.iter_mut().zip(snapshot.families()) {
            for (part, of) in known.parts.iter_mut().zip(family.parts()) {
                part.sync(self.dialect, of);
            }
        }
    }

    fn relist(&mut self, snapshot: &Snapshot) {
        let mut known: Vec<PartLayout> =
            self.families.drain(..).flat_map(|family| family.parts).collect();
        for family in snapshot.families() {
            let parts = family
                .parts()
                .map(|part| match known.iter().position(|layout| layout.id == part.id()) {
                    Some(at) => known.swap_remove(at),
                    None => PartLayout::new(self.dialect, part),
                })
                .collect();
            self.families.push(FamilyLayout { header: self.dialect.header(family), parts });
        }
    }

    /// At most so many bytes does a scrape print.
    pub(crate) fn bytes_max(&self) -> usize {
        let of = |family: &FamilyLayout| {
            family.header.len() + family.parts.iter().map(PartLayout::bytes_max).sum::<usize>()
        };
        self.families.iter().map(of).sum()
    }
}

impl FamilyLayout {
    fn is_of(&self, family: FamilySnapshot<'_>) -> bool {
        self.parts.len() == family.parts().len()
            && self.parts.iter().zip(family.parts()).all(|(layout, part)| layout.id == part.id())
    }
}

impl PartLayout {
    fn new(dialect: Dialect, part: PartSnapshot<'_>) -> Self {
        let descriptor = part.descriptor();
        let compound = (descriptor.kind() == Kind::Histogram).then(|| Compound::new(dialect, part));
        let sample = match compound {
            Some(_) => format!("{}_bucket", dialect.family_name(descriptor)),
            None => dialect.sample_name(descriptor),
        };
        let (open, bare) = (dialect.open(&sample), dialect.bare(&sample));
        Self { id: part.id(), removals: 0, texts: Texts::default(), compound, open, bare }
    }

    fn sync(&mut self, dialect: Dialect, part: PartSnapshot<'_>) {
        if self.removals != part.removals() {
            self.removals = part.removals();
            self.texts.clear();
        }
        for at in self.texts.len()..part.len() {
            let Some(series) = part.series(at) else { break };
            self.render(dialect, part, series);
        }
    }

    fn render(&mut self, dialect: Dialect, part: PartSnapshot<'_>, series: SeriesSnapshot<'_>) {
        let descriptor = part.descriptor();
        let own = descriptor.label_names().zip(series.label_values());
        // A label with an empty value is the same as no label; consumers drop it anyway.
        let labels = descriptor.const_labels().chain(own).filter(|(_, value)| !value.is_empty());
        let Self { texts, compound, open, bare, .. } = self;
        texts.push(|text| {
            let start = text.len();
            text.extend_from_slice(open.as_bytes());
            let none = text.len();
            for (name, value) in labels {
                dialect.write_label_name(text, name);
                text.extend_from_slice(b"=\"");
                write_label_value(text, value);
                text.extend_from_slice(b"\",");
            }
            if compound.is_some() {
                return;
            }
            if text.len() == none {
                text.truncate(start);
                text.extend_from_slice(bare.as_bytes());
            } else {
                text.pop();
                text.extend_from_slice(b"} ");
            }
        });
    }

    /// At most so many bytes does the part print.
    fn bytes_max(&self) -> usize {
        let (texts, series) = (self.texts.bytes_len(), self.texts.len());
        let line = NUMBER_BYTES_MAX + "} \n".len();
        match &self.compound {
            None => texts + series * line,
            Some(compound) => {
                let lines = compound.tails.len() + 2;
                let shared = compound.tails.bytes_len() + compound.totals.bytes_len();
                texts * lines + series * (shared + lines * line)
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
        let open_len = dialect.open(&format!("{name}_bucket")).len();
        Self { tails, totals, open_len }
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

/// For [`Compound::write_total`].
pub(crate) const SUM: usize = 0;
/// For [`Compound::write_total`].
pub(crate) const COUNT: usize = 1;
