//! Text that is rendered once: everything of an exposition but the numbers.
//!
//! When a family or series first appears in a scrape, its names and labels are escaped and laid out here; every
//! scrape after that copies. Labels are kept once a series and `le` texts once a family, not once a line: nine
//! times smaller for a 12-bucket histogram than whole lines, and faster when the scrape finds the caches cold,
//! as it does in life (measured on the prototype: 15-20 %).
//!
//! ```text
//! counter, gauge:  series text = `name{a="x",b="y"} `                   then the value
//! histogram:       series text = `a="x",b="y",`
//!                  line        = `name_bucket{` + series text + `le="0.5"} ` + count
//! ```

use crate::escape::{write_help, write_label_value};
use crate::number::write_f64;
use bytes::BytesMut;
use dynamo_metrics_core::{FamilySnapshot, Kind, PartSnapshot, SeriesSnapshot, Snapshot};

/// The layouts of all families of one registry, in the order of its snapshot.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) families: Vec<FamilyLayout>,
}

/// Text of one family.
#[derive(Debug)]
pub(crate) struct FamilyLayout {
    /// The lines `# HELP` and `# TYPE`.
    pub(crate) header: BytesMut,
    pub(crate) parts: Vec<PartLayout>,
}

/// Text of the series of one part.
#[derive(Debug)]
pub(crate) struct PartLayout {
    id: u64,
    removals: u64,
    /// The texts of all series, one after the other.
    text: BytesMut,
    /// Where each series' text ends.
    ends: Vec<usize>,
    /// What a histogram's lines need besides.
    pub(crate) histogram: Option<HistogramLayout>,
}

/// Text that all series of a histogram share.
#[derive(Debug)]
pub(crate) struct HistogramLayout {
    /// `name_bucket{`
    pub(crate) bucket: Box<[u8]>,
    /// `name_sum`
    pub(crate) sum: Box<[u8]>,
    /// `name_count`
    pub(crate) count: Box<[u8]>,
    /// `le="0.5"} ` for each bound and for `+Inf`.
    pub(crate) les: Vec<Box<[u8]>>,
    /// Bytes of all of the above that one series prints.
    bytes: usize,
}

impl Layout {
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
                part.sync(of);
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
                    None => PartLayout::new(part),
                })
                .collect();
            self.families.push(FamilyLayout { header: header(family), parts });
        }
    }
}

impl FamilyLayout {
    fn is_of(&self, family: FamilySnapshot<'_>) -> bool {
        self.parts.len() == family.parts().len()
            && self.parts.iter().zip(family.parts()).all(|(layout, part)| layout.id == part.id())
    }
}

impl PartLayout {
    fn new(part: PartSnapshot<'_>) -> Self {
        let histogram =
            (part.descriptor().kind() == Kind::Histogram).then(|| HistogramLayout::new(part));
        Self { id: part.id(), removals: 0, text: BytesMut::new(), ends: Vec::new(), histogram }
    }

    fn sync(&mut self, part: PartSnapshot<'_>) {
        if self.removals != part.removals() {
            self.removals = part.removals();
            self.text.clear();
            self.ends.clear();
        }
        for at in self.ends.len()..part.len() {
            let Some(series) = part.series(at) else { break };
            self.render(part, series);
            self.ends.push(self.text.len());
        }
    }

    fn render(&mut self, part: PartSnapshot<'_>, series: SeriesSnapshot<'_>) {
        let descriptor = part.descriptor();
        let own = descriptor.label_names().zip(series.label_values());
        // A label with an empty value is the same as no label; consumers drop it anyway.
        let labels = descriptor.const_labels().chain(own).filter(|(_, value)| !value.is_empty());
        if self.histogram.is_none() {
            self.text.extend_from_slice(descriptor.name().as_bytes());
        }
        let mut any = false;
        for (name, value) in labels {
            match (any, &self.histogram) {
                (false, None) => self.text.extend_from_slice(b"{"),
                (true, None) => self.text.extend_from_slice(b","),
                (_, Some(_)) => {}
            }
            any = true;
            self.text.extend_from_slice(name.as_bytes());
            self.text.extend_from_slice(b"=\"");
            write_label_value(&mut self.text, value);
            self.text.extend_from_slice(b"\"");
            if self.histogram.is_some() {
                self.text.extend_from_slice(b",");
            }
        }
        if self.histogram.is_none() {
            self.text.extend_from_slice(if any { b"} " } else { b" " });
        }
    }

    /// The text of every series, in order.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }

    /// At most so many bytes will the part print, if no number takes more than `number` bytes.
    pub(crate) fn bytes_max(&self, number: usize) -> usize {
        match &self.histogram {
            None => self.text.len() + self.ends.len() * (number + 1),
            Some(histogram) => {
                let lines = histogram.les.len() + 2;
                self.text.len() * lines + self.ends.len() * (histogram.bytes + lines * (number + 1))
            }
        }
    }
}

impl HistogramLayout {
    fn new(part: PartSnapshot<'_>) -> Self {
        let name = part.descriptor().name();
        let bounds = part.descriptor().buckets().map_or(&[][..], |buckets| buckets.bounds());
        let les: Vec<Box<[u8]>> = bounds
            .iter()
            .chain([&f64::INFINITY])
            .map(|&bound| {
                let mut text = BytesMut::from(&b"le=\""[..]);
                write_f64(&mut text, bound);
                text.extend_from_slice(b"\"} ");
                text[..].into()
            })
            .collect();
        let text = |suffix: &str| format!("{name}{suffix}").into_bytes().into_boxed_slice();
        let (bucket, sum, count) = (text("_bucket{"), text("_sum"), text("_count"));
        // Each of the two last lines may need braces and a blank besides.
        let bytes = les.iter().map(|le| bucket.len() + le.len()).sum::<usize>()
            + sum.len()
            + count.len()
            + 2 * "{} ".len();
        Self { bucket, sum, count, les, bytes }
    }
}

fn header(family: FamilySnapshot<'_>) -> BytesMut {
    let mut text = BytesMut::new();
    // A carriage return cannot be escaped, and at the end of a line it makes the line end in CR LF, which fails
    // a whole scrape. Blanks at the ends do not survive parsers.
    let help = family.help().replace('\r', " ");
    let help = help.trim();
    if !help.is_empty() {
        text.extend_from_slice(b"# HELP ");
        text.extend_from_slice(family.name().as_bytes());
        text.extend_from_slice(b" ");
        write_help(&mut text, help);
        text.extend_from_slice(b"\n");
    }
    text.extend_from_slice(b"# TYPE ");
    text.extend_from_slice(family.name().as_bytes());
    text.extend_from_slice(b" ");
    text.extend_from_slice(family.exposed_type().as_bytes());
    text.extend_from_slice(b"\n");
    text
}
