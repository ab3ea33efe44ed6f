//! The files of a directory, added up. A family is on the page from its first series on, so one of which all series were removed takes
//! the name from no other.
//!
//! Families of one name that differ in kind, mode or buckets cannot be added up. The first one that a running process uses has the
//! name, or the first one of all: a process that was started again with other buckets is on the page, though the one before it was first.
//!
//! A record may be where another one was, so **a series may be before its family**: it waits for the end of the file.

use super::source::Source;
use super::{Exemplar, Family, FamilyKind, Page, PageSeries, Value};
use crate::mapping::Mapping;
use crate::mode::{Mode, Reading};
use crate::record::{self, Content, Kind, Record, Tag};
use crate::slot::cells_of;
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;

const PID: &str = "pid";

/// A page that is being read.
#[derive(Default)]
pub(super) struct Merge {
    page: Page,
    /// Families that running processes use, by name, where families conflict; the others of these names are not on the page.
    used: HashMap<String, Used>,
    /// True while `used` is being made.
    looks_for_users: bool,
    by_name: HashMap<String, usize>,
    modes: Vec<Mode>,
    /// The names of labels that series of any family have, sorted.
    shapes: HashMap<Vec<String>, usize>,
    series: HashMap<(usize, usize, Vec<u8>), usize>,
    /// The time of the value of each series of a gauge, by family and place.
    times: HashMap<(usize, usize), f64>,
}

/// A family that a running process uses, by what families of one name must have in common.
pub(super) struct Used {
    kind: Kind,
    bounds: Vec<u64>,
}

/// A family of one file.
struct Known {
    /// The process that uses it, or 0.
    user: u64,
    kind: Kind,
    /// Cells of a series.
    cells: usize,
    /// Without series.
    family: Family,
    shape: usize,
    names: Vec<String>,
    /// Places of the names in their order, where they are in another one.
    order: Option<Vec<usize>>,
    /// The place on the page, once a series asked for it; `None` in there where its name is taken.
    place: Option<Option<usize>>,
}

/// The place of a series on the page, and the state of its record.
struct Placed {
    family: usize,
    series: usize,
    state: u64,
}

/// A record of a series with its state and its content.
type SeriesRecord<'f> = (Record<'f>, u64, Content);

impl Merge {
    /// Returns a page of which the families matter that running processes use, and not the values.
    pub(super) fn that_looks_for_users() -> Self {
        Self { looks_for_users: true, ..Self::default() }
    }

    /// Returns a page that prefers these families to others of their names.
    pub(super) fn that_prefers(used: HashMap<String, Used>) -> Self {
        Self { used, ..Self::default() }
    }

    pub(super) fn has_conflicts(&self) -> bool {
        !self.page.conflicts.is_empty()
    }

    /// Returns the families that running processes use.
    pub(super) fn used(self) -> HashMap<String, Used> {
        self.used
    }

    pub(super) fn add(&mut self, file: &File) -> io::Result<()> {
        if !file.metadata()?.is_file() {
            return Ok(());
        }
        let mapping = Mapping::of(file)?;
        let header = |at| mapping.word(at).map_or(0, |word| word.load(Ordering::Acquire));
        if header(record::MAGIC_AT) != record::MAGIC {
            return Ok(()); // being made, or not ours
        }
        self.page.files += 1;
        self.page.refused = self.page.refused.saturating_add(header(record::REFUSED_AT));
        let pid = header(record::PID_AT);
        let mut source = Source { file, mapping: &mapping, pid, runs: None };
        let mut known: HashMap<usize, Option<Known>> = HashMap::new();
        let mut placed: HashMap<usize, Placed> = HashMap::new();
        let mut waiting: Vec<SeriesRecord<'_>> = Vec::new();
        let mut exemplars = Vec::new();
        for record in record::records(&mapping) {
            let state = record.state();
            let Some(content) = record.read() else { continue };
            match record.tag {
                Tag::Family => {
                    _ = known.insert(record.at, self.family(&record, &content, &mapping))
                }
                Tag::Series => match known.get_mut(&content.family) {
                    Some(known) => {
                        let series = (record, state, content);
                        self.add_record(known.as_mut(), series, &mut source, &mut placed)?;
                    }
                    None => waiting.push((record, state, content)),
                },
                Tag::Exemplar => {
                    let found = exemplar(&content, &mapping);
                    exemplars.extend(found.filter(|_| record.is_still(state)));
                }
            }
        }
        for series in waiting {
            let known = known.get_mut(&series.2.family).and_then(Option::as_mut);
            self.add_record(known, series, &mut source, &mut placed)?;
        }
        for (series, state, exemplar) in exemplars {
            if let Some(place) = placed.get(&series).filter(|place| place.state == state) {
                self.add_exemplar(place, exemplar);
            }
        }
        Ok(())
    }

    /// Returns a family of a file, which is not on the page yet.
    fn family(
        &mut self,
        record: &Record<'_>,
        content: &Content,
        mapping: &Mapping,
    ) -> Option<Known> {
        let strings = record::unpack(&content.strings)?;
        let [name, help, unit, names @ ..] = strings.as_slice() else { return None };
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let bound = |at| Some(f64::from_bits(mapping.word(at)?.load(Ordering::Relaxed)));
        let cells = content.cells_at..content.cells_at + content.cells;
        let bounds = cells.map(bound).collect::<Option<Vec<f64>>>()?;
        let kind = match record.kind {
            Kind::Counter => FamilyKind::Counter,
            Kind::Gauge(_) => FamilyKind::Gauge,
            Kind::Histogram => FamilyKind::Histogram,
            Kind::Summary => FamilyKind::Summary,
        };
        let mut order: Vec<usize> = (0..names.len()).collect();
        order.sort_by_key(|&at| &names[at]);
        let sorted: Vec<String> = order.iter().map(|&at| names[at].clone()).collect();
        let order = Some(order).filter(|_| sorted != names);
        let shapes = self.shapes.len();
        let shape = *self.shapes.entry(sorted).or_insert(shapes);
        let (name, help, unit) = ((*name).into(), (*help).into(), (*unit).into());
        let family = Family { name, help, unit, kind, bounds, series: Vec::new() };
        let cells = cells_of(record.kind, content.cells);
        let user = content.family as u64;
        Some(Known { user, kind: record.kind, cells, family, shape, names, order, place: None })
    }

    /// Adds a record of a series.
    fn add_record(
        &mut self,
        known: Option<&mut Known>,
        (record, state, content): SeriesRecord<'_>,
        source: &mut Source<'_>,
        placed: &mut HashMap<usize, Placed>,
    ) -> io::Result<()> {
        let Some(known) = known else { return Ok(()) };
        // Of a damaged file.
        if (known.kind, known.cells) != (record.kind, content.cells) {
            return Ok(());
        }
        let value = source.value(record.kind, &content)?;
        // Not of the series that has the record now.
        let Some(value) = value.filter(|_| record.is_still(state)) else { return Ok(()) };
        let Some(family) = self.place(known, source)? else { return Ok(()) };
        if let Some(series) = self.add_series(known, family, &content.strings, value, source)? {
            placed.insert(record.at, Placed { family, series, state });
        }
        Ok(())
    }

    /// Returns the family of the page that one of a file is a part of; `None` where its name is taken.
    fn place(&mut self, known: &mut Known, source: &mut Source<'_>) -> io::Result<Option<usize>> {
        if let Some(place) = known.place {
            return Ok(place);
        }
        if self.looks_for_users && known.user != 0 && known.user == source.pid && source.runs()? {
            self.add_user(known);
        }
        let place = self.find_place(known);
        known.place = Some(place);
        Ok(place)
    }

    /// Keeps the first family of its name that a process uses.
    fn add_user(&mut self, known: &Known) {
        let used = || Used { kind: known.kind, bounds: bits(&known.family.bounds) };
        self.used.entry(known.family.name.clone()).or_insert_with(used);
    }

    /// Returns whether a running process uses another family of this name.
    fn is_unused(&self, known: &Known) -> bool {
        let same =
            |used: &Used| used.kind == known.kind && used.bounds == bits(&known.family.bounds);
        !self.looks_for_users && !self.used.get(&known.family.name).is_none_or(same)
    }

    fn find_place(&mut self, known: &Known) -> Option<usize> {
        let (family, mode) = match known.kind {
            Kind::Gauge(mode) => (&known.family, mode),
            _ => (&known.family, Mode::default()),
        };
        if self.is_unused(known) {
            return self.conflict(&family.name);
        }
        let Some(at) = self.named(family) else {
            self.page.families.push(family.clone());
            self.modes.push(mode);
            self.by_name.insert(family.name.clone(), self.modes.len() - 1);
            return Some(self.modes.len() - 1);
        };
        let other = &self.page.families[at];
        let same = (other.kind, self.modes[at]) == (family.kind, mode);
        if same && bits(&other.bounds) == bits(&family.bounds) {
            return Some(at);
        }
        self.conflict(&family.name)
    }

    /// Notes that a family is not on the page.
    fn conflict(&mut self, name: &str) -> Option<usize> {
        if !self.page.conflicts.iter().any(|other| other == name) {
            self.page.conflicts.push(name.to_owned());
        }
        None
    }

    /// Returns the family of this name, or the counter whose name differs in the suffix only.
    fn named(&self, family: &Family) -> Option<usize> {
        let counters = || {
            let other = match family.name.strip_suffix("_total") {
                Some(name) => self.by_name.get(name),
                None => self.by_name.get(&format!("{}_total", family.name)),
            };
            let is_counter = |at: &&usize| self.page.families[**at].kind == FamilyKind::Counter;
            other.filter(|_| family.kind == FamilyKind::Counter).filter(is_counter)
        };
        self.by_name.get(&family.name).or_else(counters).copied()
    }

    /// Adds the value of a series; returns its place in the family.
    fn add_series(
        &mut self,
        known: &Known,
        family: usize,
        values: &[u8],
        (value, time): (Value, f64),
        source: &mut Source<'_>,
    ) -> io::Result<Option<usize>> {
        let ordered = match &known.order {
            Some(order) => in_order(order, values),
            None => Some(values.to_vec()),
        };
        let Some(mut key) = ordered else { return Ok(None) };
        let each = matches!(known.kind, Kind::Gauge(mode) if mode.is_each());
        // No page may have a name twice.
        let each = each && !known.names.iter().any(|name| name == PID);
        if each {
            key.extend_from_slice(&source.pid.to_le_bytes());
        }
        let all = &mut self.page.families[family].series;
        let key = (family, known.shape, key);
        let Some(&at) = self.series.get(&key) else {
            let Some(values) = record::unpack(values) else { return Ok(None) };
            let names = known.names.iter().cloned();
            let mut labels: Vec<_> = names.zip(values.into_iter().map(str::to_owned)).collect();
            if each {
                labels.push((PID.into(), source.pid.to_string()));
            }
            all.push(PageSeries { labels, value, exemplars: Vec::new() });
            self.times.insert((family, all.len() - 1), time);
            self.series.insert(key, all.len() - 1);
            return Ok(Some(all.len() - 1));
        };
        // Of a process that ended, whose number another one has now, which may be the one that runs.
        if each && !source.runs()? {
            return Ok(Some(at));
        }
        match (&mut all[at].value, value) {
            (Value::Number(all), Value::Number(value)) => match known.kind {
                Kind::Gauge(mode) => {
                    let times = self.times.entry((family, at)).or_default();
                    let before = Reading { value: *all, time: *times };
                    let merged = mode.merge(before, Reading { value, time });
                    (*all, *times) = (merged.value, merged.time);
                }
                _ => *all += value,
            },
            (Value::Histogram(counts, sum), Value::Histogram(others, other)) => {
                for (count, other) in counts.iter_mut().zip(others) {
                    *count = count.wrapping_add(other);
                }
                *sum += other;
            }
            (Value::Summary(count, sum), Value::Summary(others, other)) => {
                *count = count.wrapping_add(others);
                *sum += other;
            }
            _ => {}
        }
        Ok(Some(at))
    }

    /// Keeps the newest exemplar of each bucket.
    fn add_exemplar(&mut self, place: &Placed, exemplar: Exemplar) {
        let all = &mut self.page.families[place.family].series[place.series].exemplars;
        match all.iter_mut().find(|other| other.bucket == exemplar.bucket) {
            Some(other) if other.time <= exemplar.time => *other = exemplar,
            Some(_) => {}
            None => all.push(exemplar),
        }
    }

    pub(super) fn page(mut self) -> Page {
        // Of a family without series, those of a damaged file, there is nothing to say.
        self.page.families.retain(|family| !family.series.is_empty());
        self.page
    }
}

fn bits(bounds: &[f64]) -> Vec<u64> {
    bounds.iter().map(|bound| bound.to_bits()).collect()
}

/// Returns values in the order of the names of their labels.
fn in_order(order: &[usize], values: &[u8]) -> Option<Vec<u8>> {
    let values = record::unpack(values)?;
    let mut key = Vec::new();
    record::pack(&mut key, order.iter().filter_map(|&at| values.get(at).copied()));
    Some(key)
}

/// Returns the first word and the state of the series of an exemplar, and the exemplar.
fn exemplar(content: &Content, mapping: &Mapping) -> Option<(usize, u64, Exemplar)> {
    let cell = |at: usize| mapping.word(content.cells_at + at).map(|it| it.load(Ordering::Relaxed));
    let strings = record::unpack(&content.strings)?;
    let (pairs, []) = strings.as_chunks() else { return None };
    let labels = pairs.iter().map(|&[name, value]| (name.to_owned(), value.to_owned())).collect();
    let bucket = usize::try_from(cell(record::exemplar::BUCKET)?).ok()?;
    let value = f64::from_bits(cell(record::exemplar::VALUE)?);
    let time = f64::from_bits(cell(record::exemplar::TIME)?);
    let state = cell(record::exemplar::STATE)?;
    Some((content.family, state, Exemplar { bucket, labels, value, time }))
}
