//! The part of an exposition that is rendered once: everything but the numbers.
//!
//! When a family or series first appears in a scrape, its names and labels are escaped and laid out here; every
//! scrape after that copies. Text of a series is kept once a series, and text that the series of a family share once a
//! family, not whole lines: nine times smaller for a 12-bucket histogram, and faster when the scrape finds the
//! caches cold, as it usually does. A format says in its [`Form`] what there is to render.

use crate::cursor::{Texts, touch};
use crate::name_filter::NameFilter;
use crate::native::is_sound;
use dynamo_metrics_core::{
    Escaping, Snapshot,
    snapshot::{FamilySnapshot, NativeValue, PartSnapshot, SeriesSnapshot, Value},
};
use std::collections::HashMap;

/// The texts and sizes that one format renders for a part, besides the text of each series.
pub(crate) trait Form: Sized {
    /// Bytes of a family beside its header and its parts.
    const HEADER_EXTRA_BYTES: usize;

    /// The choice between the format's spellings.
    type Dialect: Copy;

    /// Returns the escaping of names in the dialect.
    fn escaping(dialect: Self::Dialect) -> Escaping;

    /// Renders the texts that all series of a part share.
    fn new(dialect: Self::Dialect, part: PartSnapshot<'_>) -> Self;

    /// Appends the text of one series of the part.
    fn render(
        &self,
        dialect: Self::Dialect,
        part: PartSnapshot<'_>,
        series: SeriesSnapshot<'_>,
        text: &mut Vec<u8>,
    );

    /// Renders the lines or fields that describe a family.
    fn header(dialect: Self::Dialect, family: FamilySnapshot<'_>) -> Vec<u8>;

    /// Most bytes that a part prints whose series have these texts, but for its [`natives`](Self::natives).
    fn bytes_max(&self, texts: &Texts, part: PartSnapshot<'_>) -> usize;

    /// Returns whether the part's series are shown as native histograms.
    fn natives(&self) -> bool;

    /// Most bytes that one native histogram prints; exactly so many where a message stands behind its length.
    fn native_bytes(&self, value: &NativeValue<'_>, series: SeriesSnapshot<'_>) -> usize;

    /// Most bytes that a native histogram prints that is written as a classic one.
    fn classic_bytes_max(&self) -> usize;

    /// Reads the beginnings of the texts that every series of a part copies, so that they are near. The result has no meaning.
    fn touch(&self) -> usize;
}

/// The layouts of all families of one registry, in the order of its snapshot.
#[derive(Debug)]
pub(crate) struct Layout<F: Form> {
    dialect: F::Dialect,
    /// [`Snapshot::descriptions`] when the headers were rendered.
    descriptions: u64,
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
    /// [`Form::native_bytes`] of each series in this scrape; 0 for one that would end some scrapers.
    pub(crate) natives: Vec<u32>,
}

/// The size of a body before it is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    /// Most bytes that the body has.
    pub(crate) bytes: usize,
    /// Native histograms that are written as classic ones, because they are not [sound](is_sound).
    pub(crate) unsound: u64,
}

impl<F: Form> Layout<F> {
    pub(crate) fn new(dialect: F::Dialect) -> Self {
        Self { dialect, descriptions: 0, families: Vec::new() }
    }

    /// Renders what is new since the last scrape. Allocates nothing when nothing is.
    pub(crate) fn sync(&mut self, snapshot: &Snapshot) {
        let same = self.descriptions == snapshot.descriptions()
            && self.families.len() == snapshot.families().len()
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
        self.descriptions = snapshot.descriptions();
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

    /// Returns the size of this scrape's body. A buffer of that size is reserved and kept; so the snapshot is asked for the number
    /// of native buckets and exemplars there are, mostly far fewer than there may be.
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

    /// Returns whether a filter that does not admit everything admits this family, by its registered name or by the one that is
    /// shown: scrapers know the latter, people the former.
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
            let Some(series) = part.series(at) else { continue };
            let beside = || series.native_beside();
            let value = if let Value::Native(value) = value { Some(value) } else { beside() };
            let Some(value) = value else { continue };
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
        let Self { texts, form, .. } = self;
        let render = |at, text: &mut Vec<u8>| {
            if let Some(series) = part.series(at) {
                form.render(dialect, part, series, text);
            }
        };
        if self.removals != part.removals() {
            match part.kept(self.removals, texts.len()) {
                Some((kept, replaced)) => {
                    texts.truncate(kept);
                    replaced.for_each(|at| texts.replace(at, |text| render(at, text)));
                }
                None => texts.truncate(0),
            }
            self.removals = part.removals();
        }
        for at in texts.len()..part.len() {
            texts.push(|text| render(at, text));
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

/// Returns the number of exemplars that the series of a part have.
pub(crate) fn exemplars(part: PartSnapshot<'_>) -> usize {
    let slots = part.descriptor().exemplar_slots();
    if slots == 0 {
        return 0;
    }
    let series = (0..part.len()).filter_map(|at| part.series(at));
    series.map(|series| (0..slots).filter(|&at| series.exemplar(at).is_some()).count()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics_core::{Opts, Registry};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A form that renders the first label value, and counts how often.
    struct Counting;

    impl Form for Counting {
        const HEADER_EXTRA_BYTES: usize = 0;

        type Dialect = &'static AtomicUsize;

        fn escaping(_: Self::Dialect) -> Escaping {
            Escaping::AllowUtf8
        }

        fn new(_: Self::Dialect, _: PartSnapshot<'_>) -> Self {
            Self
        }

        fn render(
            &self,
            rendered: Self::Dialect,
            _: PartSnapshot<'_>,
            series: SeriesSnapshot<'_>,
            text: &mut Vec<u8>,
        ) {
            rendered.fetch_add(1, Ordering::Relaxed);
            series.label_values().for_each(|value| text.extend_from_slice(value.as_bytes()));
        }

        fn header(_: Self::Dialect, _: FamilySnapshot<'_>) -> Vec<u8> {
            Vec::new()
        }

        fn bytes_max(&self, texts: &Texts, _: PartSnapshot<'_>) -> usize {
            texts.bytes_len()
        }

        fn natives(&self) -> bool {
            false
        }

        fn native_bytes(&self, _: &NativeValue<'_>, _: SeriesSnapshot<'_>) -> usize {
            0
        }

        fn classic_bytes_max(&self) -> usize {
            0
        }

        fn touch(&self) -> usize {
            0
        }
    }

    /// The texts of the family, and how many were rendered for this scrape.
    fn scrape(
        layout: &mut Layout<Counting>,
        snapshot: &mut Snapshot,
        registry: &Registry,
    ) -> (Vec<String>, usize) {
        let before = layout.dialect.load(Ordering::Relaxed);
        snapshot.take(registry);
        layout.sync(snapshot);
        let family = layout.families.iter().find(|family| family.name == "x_total").unwrap();
        let texts = family.parts[0].texts.iter();
        let texts = texts.map(|text| String::from_utf8(text.as_bytes().to_vec()).unwrap());
        (texts.collect(), layout.dialect.load(Ordering::Relaxed) - before)
    }

    #[test]
    fn a_scrape_after_a_removal_renders_what_has_changed_and_nothing_else() {
        const SERIES: usize = 10_000;
        let registry = Registry::new();
        let opts = Opts::new("x_total", "").series_max(2 * SERIES);
        let family = registry.counter_family(opts, ["model"]).unwrap();
        let name = |at: usize| format!("model-{at}");
        (0..SERIES).for_each(|at| family.with([&name(at)]).inc());
        let rendered: &'static AtomicUsize = Box::leak(Box::default());
        let (mut layout, mut snapshot) = (Layout::new(rendered), Snapshot::new());
        assert_eq!(scrape(&mut layout, &mut snapshot, &registry).1, SERIES);
        assert_eq!(scrape(&mut layout, &mut snapshot, &registry).1, 0);
        // Another snapshot and layout see the same list: the one that was brought up to date is what a new one is.
        let check = |layout: &mut Layout<Counting>, snapshot: &mut Snapshot, rendered_max| {
            let (texts, rendered) = scrape(layout, snapshot, &registry);
            assert!(rendered <= rendered_max, "{rendered} of at most {rendered_max}");
            let (mut fresh, mut first) = (Layout::new(layout.dialect), Snapshot::new());
            assert_eq!(texts, scrape(&mut fresh, &mut first, &registry).0);
        };
        assert!(family.remove([&name(17)]));
        check(&mut layout, &mut snapshot, 1);
        (100..200).for_each(|at| assert!(family.remove([&name(at)])));
        (0..10).for_each(|at| family.with([&format!("new-{at}")]).inc());
        check(&mut layout, &mut snapshot, 110);
        // A scrape in between that this layout did not see, as one for another format.
        assert!(family.remove([&name(300)]));
        snapshot.take(&registry);
        assert!(family.remove([&name(301)]));
        check(&mut layout, &mut snapshot, 2);
        assert_eq!(family.remove_matching(&[("model", &name(302))]), 1);
        check(&mut layout, &mut snapshot, 1);
        family.clear();
        check(&mut layout, &mut snapshot, 0);
        family.with(["after"]).inc();
        check(&mut layout, &mut snapshot, 1);
    }
}
