//! What is rendered once: everything of an exposition but the numbers.
//!
//! When a family or series first appears in a scrape, its names and labels are escaped and laid out here; every
//! scrape after that copies. What a series prints is kept once a series and what a family's series share once a
//! family, not whole lines: nine times smaller for a 12-bucket histogram, and faster when the scrape finds the
//! caches cold, as it does in life. A format says in its [`Form`] what there is to render.

use crate::cursor::{Texts, touch};
use crate::name_filter::NameFilter;
use crate::native::is_sound;
use dynamo_metrics_core::{
    Escaping, FamilySnapshot, NativeValue, PartSnapshot, SeriesSnapshot, Snapshot, Value,
};
use std::collections::HashMap;

/// What one format renders for a part, besides the text of each series.
pub(crate) trait Form: Sized {
    /// Bytes of a family beside its header and its parts.
    const HEADER_EXTRA_BYTES: usize;

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

    /// At most so many bytes does a part print whose series have these texts, but for its [`natives`](Self::natives).
    fn bytes_max(&self, texts: &Texts, part: PartSnapshot<'_>) -> usize;

    /// Whether the part's series are shown as native histograms.
    fn natives(&self) -> bool;

    /// At most so many bytes does one of them print: exactly so many, where a message stands behind its length.
    fn native_bytes(&self, value: &NativeValue<'_>, series: SeriesSnapshot<'_>) -> usize;

    /// At most so many bytes does one of them print that cannot be shown as such.
    fn classic_bytes_max(&self) -> usize;

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
    /// [`Form::native_bytes`] of each series in this scrape; 0 for one that scrapers would not survive.
    pub(crate) natives: Vec<u32>,
}

/// What a scrape is about to print.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    /// At most so many bytes.
    pub(crate) bytes: usize,
    /// Native histograms that are written as classic ones, because they are not [sound](is_sound).
    pub(crate) unsound: u64,
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
        let parts = self.families.drain(..).flat_map(|family| family.parts);
        let mut known: HashMap<u64, PartLayout<F>> = parts.map(|part| (part.id, part)).collect();
        for family in snapshot.families() {
            let parts = family
                .parts()
                .map(|part| match known.remove(&part.id()) {
                    Some(layout) => layout,
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

    /// What this scrape is about to print. A buffer is as large as it says, and kept; so it asks the snapshot how many
    /// native buckets and exemplars there are, of which there are mostly far fewer than there may be.
    pub(crate) fn room(&mut self, snapshot: &Snapshot, filter: &NameFilter) -> Room {
        let mut room = Room::default();
        for (layout, family) in self.families.iter_mut().zip(snapshot.families()) {
            if !filter.admits_all() && !layout.is_shown(family, filter) {
                continue;
            }
            room.bytes += layout.header.len() + F::HEADER_EXTRA_BYTES;
            for (layout, part) in layout.parts.iter_mut().zip(family.parts()) {
                layout.add_room(part, &mut room);
            }
        }
        room
    }
}

impl<F> FamilyLayout<F> {
    fn is_of(&self, family: FamilySnapshot<'_>) -> bool {
        self.parts.len() == family.parts().len()
            && self.parts.iter().zip(family.parts()).all(|(layout, part)| layout.id == part.id())
    }

    /// Whether a filter that does not admit everything admits this family: scrapers know the names that they were
    /// shown, people those that were registered.
    pub(crate) fn is_shown(&self, family: FamilySnapshot<'_>, filter: &NameFilter) -> bool {
        let kind = family.exposed_type();
        filter.admits(family.name(), kind) || filter.admits(&self.name, kind)
    }
}

impl<F: Form> PartLayout<F> {
    fn new(dialect: F::Dialect, part: PartSnapshot<'_>) -> Self {
        let form = F::new(dialect, part);
        Self { id: part.id(), removals: 0, texts: Texts::default(), form, natives: Vec::new() }
    }

    fn add_room(&mut self, part: PartSnapshot<'_>, room: &mut Room) {
        room.bytes += self.form.bytes_max(&self.texts, part);
        if !self.form.natives() {
            return;
        }
        self.natives.clear();
        for (at, value) in part.values().enumerate() {
            let (Value::Native(value), Some(series)) = (value, part.series(at)) else { continue };
            // A message of 4 GiB is none either.
            let bytes = is_sound(&value)
                .then(|| u32::try_from(self.form.native_bytes(&value, series)).ok())
                .flatten();
            self.natives.push(bytes.unwrap_or(0));
            match bytes {
                Some(bytes) => room.bytes += bytes as usize,
                None => {
                    room.bytes += self.form.classic_bytes_max();
                    room.unsound += 1;
                }
            }
        }
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

/// How many exemplars the series of a part have.
pub(crate) fn exemplars(part: PartSnapshot<'_>) -> usize {
    let slots = part.descriptor().exemplar_slots();
    if slots == 0 {
        return 0;
    }
    let series = (0..part.len()).filter_map(|at| part.series(at));
    series.map(|series| (0..slots).filter(|&at| series.exemplar(at).is_some()).count()).sum()
}
