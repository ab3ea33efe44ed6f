//! What is rendered once: everything of an exposition but the numbers.
//!
//! When a family or series first appears in a scrape, its names and labels are escaped and laid out here; every
//! scrape after that copies. What a series prints is kept once a series and what a family's series share once a
//! family, not whole lines: nine times smaller for a 12-bucket histogram, and faster when the scrape finds the
//! caches cold, as it does in life. A format says in its [`Form`] what there is to render.

use crate::cursor::{Texts, touch};
use dynamo_metrics_core::{Escaping, FamilySnapshot, PartSnapshot, SeriesSnapshot, Snapshot};

/// What one format renders for a part, besides the text of each series.
pub(crate) trait Form: Sized {
    /// Which of the format's spellings is wanted.
    type Dialect: Copy;

    /// How names are escaped in it.
    fn escaping(dialect: Self::Dialect) -> Escaping;

    /// What all series of a part share.
    fn new(dialect: Self::Dialect, part: PartSnapshot<'_>) -> Self;

    /// Appends the text of one series of the part.
    fn render(
        &self,
        dialect: Self::Dialect,
        part: PartSnapshot<'_>,
        series: SeriesSnapshot<'_>,
        text: &mut Vec<u8>,
    );

    /// What describes a family.
    fn header(dialect: Self::Dialect, family: FamilySnapshot<'_>) -> Vec<u8>;

    /// At most so many bytes does a part print whose series have these texts.
    fn bytes_max(&self, texts: &Texts) -> usize;

    /// Reads the beginnings of what every series of a part copies; returns whatever.
    fn touch(&self) -> usize;
}

/// The layouts of all families of one registry, in the order of its snapshot.
#[derive(Debug)]
pub(crate) struct Layout<F: Form> {
    dialect: F::Dialect,
    pub(crate) families: Vec<FamilyLayout<F>>,
}

/// Text of one family.
#[derive(Debug)]
pub(crate) struct FamilyLayout<F> {
    /// The family's name, escaped.
    pub(crate) name: String,
    pub(crate) header: Vec<u8>,
    pub(crate) parts: Vec<PartLayout<F>>,
}

/// Text of the series of one part.
#[derive(Debug)]
pub(crate) struct PartLayout<F> {
    id: u64,
    removals: u64,
    pub(crate) texts: Texts,
    pub(crate) form: F,
}

impl<F: Form> Layout<F> {
    pub(crate) fn new(dialect: F::Dialect) -> Self {
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
        let mut known: Vec<PartLayout<F>> =
            self.families.drain(..).flat_map(|family| family.parts).collect();
        for family in snapshot.families() {
            let parts = family
                .parts()
                .map(|part| match known.iter().position(|layout| layout.id == part.id()) {
                    Some(at) => known.swap_remove(at),
                    None => PartLayout::new(self.dialect, part),
                })
                .collect();
            self.families.push(FamilyLayout {
                name: F::escaping(self.dialect).metric_name(family.name()).into(),
                header: F::header(self.dialect, family),
                parts,
            });
        }
    }

    /// Reads the beginnings of all texts. When a scrape finds the caches cold, these misses are under way together;
    /// later each would come after thousands of instructions that write the family before.
    pub(crate) fn touch(&self) {
        let part = |part: &PartLayout<F>| part.texts.touch().wrapping_add(part.form.touch());
        let family = |family: &FamilyLayout<F>| {
            family.parts.iter().map(part).fold(touch(&family.header), usize::wrapping_add)
        };
        std::hint::black_box(self.families.iter().map(family).fold(0, usize::wrapping_add));
    }

    /// At most so many bytes does a scrape print.
    pub(crate) fn bytes_max(&self) -> usize {
        let of_part = |part: &PartLayout<F>| part.form.bytes_max(&part.texts);
        let of = |family: &FamilyLayout<F>| {
            family.header.len() + family.parts.iter().map(of_part).sum::<usize>()
        };
        self.families.iter().map(of).sum()
    }
}

impl<F> FamilyLayout<F> {
    fn is_of(&self, family: FamilySnapshot<'_>) -> bool {
        self.parts.len() == family.parts().len()
            && self.parts.iter().zip(family.parts()).all(|(layout, part)| layout.id == part.id())
    }
}

impl<F: Form> PartLayout<F> {
    fn new(dialect: F::Dialect, part: PartSnapshot<'_>) -> Self {
        let form = F::new(dialect, part);
        Self { id: part.id(), removals: 0, texts: Texts::default(), form }
    }

    fn sync(&mut self, dialect: F::Dialect, part: PartSnapshot<'_>) {
        if self.removals != part.removals() {
            self.removals = part.removals();
            self.texts.clear();
        }
        for at in self.texts.len()..part.len() {
            let Some(series) = part.series(at) else { break };
            self.texts.push(|text| self.form.render(dialect, part, series, text));
        }
    }
}

/// The labels that a series prints: the family's constant ones, then its own. A label with an empty value is the
/// same as no label, and consumers drop it anyway.
pub(crate) fn labels(series: SeriesSnapshot<'_>) -> impl Iterator<Item = (&str, &str)> {
    let descriptor = series.descriptor();
    let own = descriptor.label_names().zip(series.label_values());
    descriptor.const_labels().chain(own).filter(|(_, value)| !value.is_empty())
}

/// A help text as it is shown. A carriage return cannot be escaped, and at the end of a line it makes the line end
/// in CR LF, which fails a whole scrape. Blanks at the ends do not survive parsers.
pub(crate) fn help(family: FamilySnapshot<'_>) -> String {
    family.help().replace('\r', " ").trim().into()
}
