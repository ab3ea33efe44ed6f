//! One pass over the shards, into memory that is reused.
//!
//! ```text
//! 1. bring the list of families and their series up to date   (allocates only for what is new)
//! 2. call the callbacks, each behind a fence against panics
//! 3. for each rank, for each shard: total[place] += shard[cell]   (linear in cells x shards)
//! ```
//!
//! Step 1 comes before step 3 and holds references, so no cell that is read for a series can have been given to
//! another one meanwhile. No writer is ever waited for, and no lock is held while a callback runs.

use crate::arena::{Rank, Sums};
use crate::descriptor::{Descriptor, Kind};
use crate::family::{FamilyCore, SeriesList};
use crate::histogram::finite;
use crate::registry::Registry;
use crate::series::{Callback, Numbers, SUMS, up_down_ranks};
use crate::sync::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The values of a registry at one scrape. Keep it and take the next scrape into it: in steady state, with no
/// series added or removed, [`take`](Self::take) allocates nothing.
///
/// ```
/// use dynamo_metrics_core::{Registry, Snapshot, Value};
///
/// let registry = Registry::new();
/// registry.counter(("requests_total", "Requests."))?.add(3);
/// let mut snapshot = Snapshot::new();
/// snapshot.take(&registry);
/// let family = snapshot.families().find(|family| family.name() == "requests_total").unwrap();
/// let series = family.parts().next().unwrap().series(0).unwrap();
/// assert_eq!(series.value(), Value::Unsigned(3));
/// # Ok::<(), dynamo_metrics_core::RegisterError>(())
/// ```
#[derive(Debug, Default)]
pub struct Snapshot {
    /// The registry and its generation that `families` were listed from.
    source: Option<(Registry, u64)>,
    /// Sorted by name.
    families: Vec<FamilyEntry>,
    /// By rank.
    sums: [Sums; Rank::ALL.len()],
}

#[derive(Debug)]
struct FamilyEntry {
    parts: Vec<PartEntry>,
}

#[derive(Debug)]
struct PartEntry {
    core: Arc<FamilyCore>,
    list: SeriesList,
    /// What the callback returned, as the bits of its type.
    computed: Option<u64>,
}

/// One value as a scrape saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Of a counter.
    Unsigned(u64),
    /// Of an up/down counter.
    Signed(i64),
    /// Of a gauge or a float counter.
    Float(f64),
    /// Of a histogram: observations in each bucket, not cumulated and the last for `+Inf`, and their sum.
    Histogram {
        /// One count a bucket.
        counts: &'a [u64],
        /// Sum of the finite observations.
        sum: f64,
    },
    /// A callback that panicked in this scrape, or had nothing to say.
    Missing,
}

impl Snapshot {
    /// An empty snapshot.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads every metric of the registry, scopes below included.
    pub fn take(&mut self, registry: &Registry) {
        self.list(registry);
        for part in self.families.iter_mut().flat_map(|family| &mut family.parts) {
            part.core.sync(&mut part.list);
            part.compute();
        }
        let pool = &registry.node.root.pool;
        for rank in Rank::ALL {
            let sums = &mut self.sums[rank as usize];
            match rank {
                Rank::Float => pool.sum_into(rank, sums, |a, b| {
                    finite(f64::from_bits(a) + finite(f64::from_bits(b))).to_bits()
                }),
                _ => pool.sum_into(rank, sums, u64::wrapping_add),
            }
        }
    }

    /// Every family, sorted by name.
    pub fn families(&self) -> impl ExactSizeIterator<Item = FamilySnapshot<'_>> {
        self.families.iter().map(|entry| FamilySnapshot { snapshot: self, entry })
    }

    /// Lists the registry's families again if any came or went.
    fn list(&mut self, registry: &Registry) {
        // Read before listing: a family that comes in between is listed now or the next time, never missed.
        let generation = registry.generation();
        if let Some((source, seen)) = &self.source
            && Arc::ptr_eq(&source.node, &registry.node)
            && *seen == generation
        {
            return;
        }
        let mut cores = Vec::new();
        registry.families(&mut cores);
        // Stable: parts of one name stay in the order of their levels.
        cores.sort_by(|a, b| a.shape.descriptor.name().cmp(b.shape.descriptor.name()));
        let mut known: Vec<PartEntry> = self.families.drain(..).flat_map(|f| f.parts).collect();
        for core in cores {
            let part = match known.iter().position(|part| Arc::ptr_eq(&part.core, &core)) {
                Some(at) => known.swap_remove(at),
                None => PartEntry { core, list: SeriesList::default(), computed: None },
            };
            match self.families.last_mut() {
                Some(last) if last.parts[0].name() == part.name() => last.parts.push(part),
                _ => self.families.push(FamilyEntry { parts: vec![part] }),
            }
        }
        self.source = Some((registry.clone(), generation));
    }
}

impl PartEntry {
    fn name(&self) -> &str {
        self.core.shape.descriptor.name()
    }

    /// Calls the callback, if it is one.
    fn compute(&mut self) {
        let Some(Numbers::Callback(callback)) = self.list.series.first().map(|s| &s.numbers) else {
            return;
        };
        // What a callback left behind when it panicked is its own business: nothing of ours is borrowed here.
        let value = catch_unwind(AssertUnwindSafe(|| match &**callback {
            Callback::Counter(value) => value(),
            Callback::Gauge(value) => value().map(f64::to_bits),
        }));
        self.computed = *value.as_ref().unwrap_or(&None);
        if value.is_err()
            && let Some(telemetry) = &self.core.shape.telemetry
        {
            telemetry.panicked.with([self.core.shape.descriptor.name()]).inc();
        }
    }
}

/// One family of a [`Snapshot`]: everything that is printed under one name.
#[derive(Clone, Copy, Debug)]
pub struct FamilySnapshot<'a> {
    snapshot: &'a Snapshot,
    entry: &'a FamilyEntry,
}

impl<'a> FamilySnapshot<'a> {
    /// The family's name.
    pub fn name(&self) -> &'a str {
        self.entry.parts[0].name()
    }

    /// The help text, unescaped: the first level's, where levels differ.
    pub fn help(&self) -> &'a str {
        self.entry.parts[0].core.shape.descriptor.help()
    }

    /// `counter`, `gauge` or `histogram`.
    pub fn exposed_type(&self) -> &'static str {
        self.entry.parts[0].core.shape.descriptor.kind().exposed()
    }

    /// The parts, one for each level and set of constant labels under this name.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = PartSnapshot<'a>> + use<'a> {
        let snapshot = self.snapshot;
        self.entry.parts.iter().map(move |entry| PartSnapshot { snapshot, entry })
    }
}

/// The series of one family at one level.
#[derive(Clone, Copy, Debug)]
pub struct PartSnapshot<'a> {
    snapshot: &'a Snapshot,
    entry: &'a PartEntry,
}

impl<'a> PartSnapshot<'a> {
    /// What the part is.
    pub fn descriptor(&self) -> &'a Descriptor {
        &self.entry.core.shape.descriptor
    }

    /// Identifies the part among all that the process ever had, for caches of rendered text.
    pub fn id(&self) -> u64 {
        self.entry.core.shape.id
    }

    /// Grows whenever a series is removed. While it stands still, series are only appended.
    pub fn removals(&self) -> u64 {
        self.entry.list.removals
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.entry.list.series.len()
    }

    /// Whether there is no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The series at `at`, in order of creation.
    pub fn series(&self, at: usize) -> Option<SeriesSnapshot<'a>> {
        (at < self.len()).then_some(SeriesSnapshot { part: *self, at })
    }

    /// The value of every series of a [`Kind::Counter`], in order of creation; empty for other kinds. Cheaper than
    /// [`values`](Self::values) by what it costs to look which kind a value is.
    #[inline]
    pub fn counts(&self) -> impl Iterator<Item = u64> + use<'a> {
        let totals = &self.snapshot.sums[Rank::Word as usize].totals;
        let list = &self.entry.list.places[..];
        let is_it = self.descriptor().kind == Kind::Counter;
        let places = if is_it { list } else { &[] };
        places.iter().map(|&[place, _]| totals[place as usize])
    }

    /// The value of every series, in order of creation.
    #[inline]
    pub fn values(&self) -> impl ExactSizeIterator<Item = Value<'a>> + use<'a> {
        let part = *self;
        let places = self.entry.list.places.iter().enumerate();
        places.map(move |(at, &places)| part.value(at, places))
    }

    #[inline(always)]
    fn value(&self, at: usize, [first, second]: [u32; 2]) -> Value<'a> {
        let totals = |rank: Rank| &self.snapshot.sums[rank as usize].totals;
        let total = |rank: Rank, place: u32| totals(rank)[place as usize];
        let shape = &self.entry.core.shape;
        match shape.descriptor.kind {
            Kind::Counter => Value::Unsigned(total(Rank::Word, first)),
            Kind::FloatCounter => Value::Float(f64::from_bits(total(Rank::Float, first))),
            Kind::UpDownCounter => {
                let (rise, fall) = up_down_ranks(shape.descriptor.nested);
                let value = total(rise, first).wrapping_sub(total(fall, second));
                Value::Signed(value.cast_signed())
            }
            Kind::Histogram => {
                let counts = &totals(Rank::Word)[first as usize..][..shape.buckets_len() as usize];
                let sums = &totals(Rank::Float)[second as usize..][..SUMS as usize];
                Value::Histogram { counts, sum: sums.iter().map(|&sum| f64::from_bits(sum)).sum() }
            }
            Kind::Gauge => match &self.entry.list.series[at].numbers {
                // Relaxed: a gauge orders nothing.
                Numbers::Shared(cell) => Value::Float(f64::from_bits(cell.load(Ordering::Relaxed))),
                _ => unreachable!("a gauge is one shared cell"),
            },
            Kind::CounterCallback => self.entry.computed.map_or(Value::Missing, Value::Unsigned),
            Kind::GaugeCallback => self
                .entry
                .computed
                .map_or(Value::Missing, |bits| Value::Float(f64::from_bits(bits))),
        }
    }
}

/// One series of a [`Snapshot`].
#[derive(Clone, Copy, Debug)]
pub struct SeriesSnapshot<'a> {
    part: PartSnapshot<'a>,
    at: usize,
}

impl<'a> SeriesSnapshot<'a> {
    /// Label values in the order of [`Descriptor::label_names`], unescaped.
    pub fn label_values(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.part.entry.list.series[self.at].values().iter()
    }

    /// What the series' family is.
    pub fn descriptor(&self) -> &'a Descriptor {
        self.part.descriptor()
    }

    /// The value.
    pub fn value(&self) -> Value<'a> {
        self.part.value(self.at, self.part.entry.list.places[self.at])
    }
}
