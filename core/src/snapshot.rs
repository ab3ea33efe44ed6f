//! One pass over the shards, into memory that is reused.
//!
//! ```text
//! 1. bring the list of families and their series up to date   (allocates only for what is new); copy exemplars
//! 2. call the callbacks, each behind a fence against panics
//! 3. for each rank, for each shard: total[place] += shard[cell]   (linear in cells x shards)
//! 4. copy gauges and state sets, work out native histograms and summaries
//! ```
//!
//! Step 1 comes before step 3 and holds references, so no cell that is read for a series can have been given to
//! another one meanwhile; and so does the copy of exemplars, so that none is seen whose value is not counted. No
//! writer is ever waited for, and no lock is held while a callback runs.
//!
//! A scrape comes every few seconds and finds nothing in the caches, so what it looks at in a part where nothing is new
//! is kept together in the part's entry, and a family says in one word that nothing is.

use crate::arena::{Rank, Sums};
use crate::descriptor::{Descriptor, Kind};
use crate::exemplar::ExemplarValue;
use crate::family::{FamilyCore, SeriesList};
use crate::histogram::finite;
use crate::native::{NativeScrape, NativeValue};
use crate::registry::Registry;
use crate::series::{Callback, Numbers, SUMS, up_down_ranks};
use crate::summary::SummaryScrape;
use crate::sync::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

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
    /// Of the family's shape, here because they are read in every scrape.
    id: u64,
    kind: Kind,
    /// Words of a histogram.
    buckets_len: u32,
    list: SeriesList,
    /// What the callback returned, as the bits of its type.
    computed: Option<u64>,
    derived: Derived,
}

/// What is copied or worked out when the totals are there, for the kinds that need it.
#[derive(Debug)]
enum Derived {
    None,
    /// What a gauge or state set held, series after series.
    Words(Vec<u64>),
    Native(Box<NativeScrape>),
    Summary(Box<SummaryScrape>),
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
    /// Of an info metric: it prints as 1.
    Info,
    /// Of a state set: a bit for each of [`Descriptor::states`], the first the lowest. One whole set, as one thread
    /// left it.
    States(u64),
    /// Of a native histogram.
    Native(NativeValue<'a>),
    /// Of a summary.
    Summary {
        /// Observations since the beginning.
        count: u64,
        /// Sum of the finite ones.
        sum: f64,
        /// One for each of [`Descriptor::quantiles`], over the window; NaN when nothing was observed in it.
        quantiles: &'a [f64],
    },
    /// A callback that panicked in this scrape, or had nothing to say.
    Missing,
}

impl Snapshot {
    /// An empty snapshot.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads every metric of the registry, scopes below included, at the time of the registry's clock. Without one
    /// ([`Registry::with_clock`]), windows of summaries do not move and native histograms are not reset.
    pub fn take(&mut self, registry: &Registry) {
        self.read(registry, registry.node.root.clock.as_ref().and_then(|clock| clock.now().get()));
    }

    /// [`take`](Self::take) at a time: `now` since an epoch that all scrapers of the registry share, as Unix'. It moves
    /// the windows of summaries and lets native histograms be reset.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot, SummaryOpts, Value};
    /// use std::time::Duration;
    ///
    /// let registry = Registry::new();
    /// let wait = registry.summary(("wait_seconds", ""), &SummaryOpts::new().quantiles([0.5]))?;
    /// let mut snapshot = Snapshot::new();
    /// let mut median = |minute: u64| {
    ///     snapshot.take_at(&registry, Duration::from_secs(60 * minute));
    ///     let family = snapshot.families().find(|family| family.name() == "wait_seconds").unwrap();
    ///     match family.parts().next().unwrap().series(0).unwrap().value() {
    ///         Value::Summary { quantiles, .. } => quantiles[0],
    ///         other => panic!("{other:?}"),
    ///     }
    /// };
    /// assert!(median(0).is_nan());
    /// wait.observe(1.0);
    /// assert!((median(5) - 1.0).abs() <= 0.01);
    /// assert!(median(30).is_nan(), "ten minutes are the window");
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn take_at(&mut self, registry: &Registry, now: Duration) {
        self.read(registry, Some(now));
    }

    fn read(&mut self, registry: &Registry, now: Option<Duration>) {
        self.list(registry);
        for part in self.families.iter_mut().flat_map(|family| &mut family.parts) {
            part.core.sync(&mut part.list);
            part.compute();
            match &mut part.derived {
                Derived::None | Derived::Words(_) => {}
                Derived::Native(scrape) => scrape.begin(&part.list.series),
                Derived::Summary(scrape) => scrape.begin(&part.list.series),
            }
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
        let [_, _, floats, words, ..] = &mut self.sums;
        let (words, floats) = (&mut words.totals[..], &floats.totals[..]);
        for part in self.families.iter_mut().flat_map(|family| &mut family.parts) {
            let list = &part.list.series;
            match &mut part.derived {
                Derived::None => {}
                Derived::Words(words) => {
                    words.clear();
                    words.extend(list.iter().map(|series| match series.numbers() {
                        // Relaxed: a gauge or state set orders nothing.
                        Numbers::Shared(cell) => cell.load(Ordering::Relaxed),
                        Numbers::States(bits) => bits.load(Ordering::Relaxed),
                        _ => unreachable!("a gauge is one cell, a state set one word"),
                    }));
                }
                Derived::Native(scrape) => scrape.finish(list, words, floats, now),
                Derived::Summary(scrape) => scrape.finish(list, words, floats, now),
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
                None => PartEntry::new(core),
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
    fn new(core: Arc<FamilyCore>) -> Self {
        let kind = core.shape.descriptor.kind();
        let derived = match kind {
            Kind::Gauge | Kind::StateSet => Derived::Words(Vec::new()),
            Kind::NativeHistogram => Derived::Native(Box::default()),
            Kind::Summary => Derived::Summary(Box::default()),
            _ => Derived::None,
        };
        let (id, buckets_len) = (core.shape.id, core.shape.buckets_len());
        Self { core, id, kind, buckets_len, list: SeriesList::default(), computed: None, derived }
    }

    fn name(&self) -> &str {
        self.core.shape.descriptor.name()
    }

    /// Calls the callback, if it is one.
    fn compute(&mut self) {
        if !matches!(self.kind, Kind::CounterCallback | Kind::GaugeCallback) {
            return;
        }
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

    /// `counter`, `gauge`, `histogram` or `summary`.
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

    /// [`Descriptor::kind`], without a look at the descriptor.
    ///
    /// ```
    /// use dynamo_metrics_core::{Kind, Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// registry.gauge(("temperature", ""))?;
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "temperature").unwrap();
    /// assert_eq!(family.parts().next().unwrap().kind(), Kind::Gauge);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    #[inline]
    pub fn kind(&self) -> Kind {
        self.entry.kind
    }

    /// Identifies the part among all that the process ever had, for caches of rendered text.
    #[inline]
    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// Grows whenever a series is removed. While it stands still, series are only appended.
    pub fn removals(&self) -> u64 {
        self.entry.list.removals
    }

    /// Whether series know when they were made; see [`SeriesSnapshot::created`].
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot};
    /// use std::time::Duration;
    ///
    /// let registry = Registry::with_clock(|| Duration::from_secs(1_700_000_000));
    /// registry.counter(("requests_total", ""))?;
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "requests_total").unwrap();
    /// assert!(family.parts().next().unwrap().has_created());
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn has_created(&self) -> bool {
        !self.entry.list.created.is_empty()
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
        self.places_if(self.kind() == Kind::Counter)
            .iter()
            .map(|&[place, _]| totals[place as usize])
    }

    /// The value of every series of a [`Kind::Gauge`] or [`Kind::FloatCounter`], in order of creation; empty for other
    /// kinds. Cheaper than [`values`](Self::values), as [`counts`](Self::counts) is.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// registry.gauge(("temperature", ""))?.set(36.6);
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "temperature").unwrap();
    /// assert_eq!(family.parts().next().unwrap().floats().collect::<Vec<_>>(), [36.6]);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    #[inline]
    pub fn floats(&self) -> impl Iterator<Item = f64> + use<'a> {
        let totals = &self.snapshot.sums[Rank::Float as usize].totals;
        let gauges = match &self.entry.derived {
            Derived::Words(words) if self.kind() == Kind::Gauge => Some(&words[..]),
            _ => None,
        };
        let places = self.places_if(gauges.is_some() || self.kind() == Kind::FloatCounter);
        let bits = places.iter().enumerate().map(move |(at, &[place, _])| match gauges {
            Some(words) => words[at],
            None => totals[place as usize],
        });
        bits.map(f64::from_bits)
    }

    /// The counts of the buckets and the sum of every series of a [`Kind::Histogram`], in order of creation, as in
    /// [`Value::Histogram`]; empty for other kinds. Cheaper than [`values`](Self::values), as
    /// [`counts`](Self::counts) is.
    ///
    /// ```
    /// use dynamo_metrics_core::{Buckets, Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// registry.histogram(("wait_seconds", ""), &Buckets::new([1.0])?)?.observe(2.5);
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "wait_seconds").unwrap();
    /// let histograms: Vec<_> = family.parts().next().unwrap().histograms().collect();
    /// assert_eq!(histograms, [(&[0, 1][..], 2.5)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn histograms(&self) -> impl Iterator<Item = (&'a [u64], f64)> + use<'a> {
        let part = *self;
        let places = self.places_if(self.kind() == Kind::Histogram);
        places.iter().map(move |&places| part.histogram(places))
    }

    #[inline]
    fn places_if(&self, wanted: bool) -> &'a [[u32; 2]] {
        if wanted { &self.entry.list.places } else { &[] }
    }

    #[inline(always)]
    fn histogram(&self, [first, second]: [u32; 2]) -> (&'a [u64], f64) {
        let totals = |rank: Rank| &self.snapshot.sums[rank as usize].totals;
        let counts = &totals(Rank::Word)[first as usize..][..self.entry.buckets_len as usize];
        let sums = &totals(Rank::Float)[second as usize..][..SUMS as usize];
        (counts, sums.iter().map(|&sum| f64::from_bits(sum)).sum())
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
        match self.entry.kind {
            Kind::Counter => Value::Unsigned(total(Rank::Word, first)),
            Kind::FloatCounter => Value::Float(f64::from_bits(total(Rank::Float, first))),
            Kind::UpDownCounter => {
                let (rise, fall) = up_down_ranks(self.descriptor().nested);
                let value = total(rise, first).wrapping_sub(total(fall, second));
                Value::Signed(value.cast_signed())
            }
            Kind::Histogram => {
                let (counts, sum) = self.histogram([first, second]);
                Value::Histogram { counts, sum }
            }
            Kind::Gauge | Kind::StateSet | Kind::NativeHistogram | Kind::Summary => {
                self.derived(at)
            }
            Kind::Info => Value::Info,
            Kind::CounterCallback => self.entry.computed.map_or(Value::Missing, Value::Unsigned),
            Kind::GaugeCallback => self
                .entry
                .computed
                .map_or(Value::Missing, |bits| Value::Float(f64::from_bits(bits))),
        }
    }
}

impl<'a> PartSnapshot<'a> {
    fn derived(&self, at: usize) -> Value<'a> {
        match &self.entry.derived {
            Derived::Words(words) if self.kind() == Kind::Gauge => {
                Value::Float(f64::from_bits(words[at]))
            }
            Derived::Words(words) => Value::States(words[at]),
            Derived::Native(scrape) => {
                let words = &self.snapshot.sums[Rank::Word as usize].totals;
                Value::Native(scrape.value(at, &self.entry.core.shape.descriptor, words))
            }
            Derived::Summary(scrape) => {
                let (count, sum, quantiles) = scrape.value(at);
                Value::Summary { count, sum, quantiles }
            }
            Derived::None => unreachable!("made with the part"),
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

    /// When the series was made, since the Unix epoch, in whole milliseconds. For kinds that
    /// [accumulate](Kind::accumulates), of a [`Registry::with_clock`]; `None` for everything else.
    pub fn created(&self) -> Option<Duration> {
        self.part.entry.list.created.get(self.at)?.get()
    }

    /// The newest exemplar of a counter (slot 0), or of a histogram's bucket, in the order of its counts. Copied by
    /// [`Snapshot::take`], so that it is the same however often an encoder asks, and its value is in the counts.
    pub fn exemplar(&self, slot: usize) -> Option<ExemplarValue> {
        let slots = self.part.descriptor().exemplar_slots();
        let words =
            self.part.entry.list.exemplars.get(self.at * slots..)?.get(..slots)?.get(slot)?;
        let exemplar = ExemplarValue::from_words(words)?;
        // What it stands for may have been cut off by a reset.
        let gone = match &self.part.entry.derived {
            Derived::Native(scrape) => scrape.is_empty_since_reset(self.at, slot),
            _ => false,
        };
        (!gone).then_some(exemplar)
    }

    /// The value.
    pub fn value(&self) -> Value<'a> {
        self.part.value(self.at, self.part.entry.list.places[self.at])
    }
}
