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

mod view;

pub use view::{FamilySnapshot, PartSnapshot, SeriesSnapshot};

use crate::arena::{Rank, Sums};
use crate::descriptor::Kind;
use crate::family::{FamilyCore, SeriesList};
use crate::native::{NativeScrape, NativeValue};
use crate::registry::Registry;
use crate::series::{Callback, Numbers};
use crate::sum::add_bits;
use crate::summary::SummaryScrape;
use crate::sync::Ordering;
use std::collections::HashMap;
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
    /// Of a state set: a bit for each of [`Descriptor::states`](crate::Descriptor::states), the first the lowest. One whole set, as one thread
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
        /// One for each of [`Descriptor::quantiles`](crate::Descriptor::quantiles), over the window; NaN when nothing was observed in it.
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
                Rank::Float => pool.sum_into(rank, sums, add_bits),
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

    /// Whether a family of this snapshot, or of its registry now, prints samples of this name under any
    /// [escaping](crate::Escaping). For foreign families behind those of the snapshot: a name that was unregistered after the
    /// snapshot was taken is still on its page.
    ///
    /// Cost: that of [`Registry::occupies`]; a search through all families if any came or went since the snapshot was taken.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// registry.counter(("requests_total", ""))?;
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// registry.unregister("requests_total");
    /// assert!(snapshot.occupies("requests_total") && !registry.occupies("requests_total"));
    /// assert!(!snapshot.occupies("errors_total"));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn occupies(&self, sample_name: &str) -> bool {
        let Some((registry, generation)) = &self.source else { return false };
        // In this order: a removal changes the generation before it frees the name.
        if registry.occupies(sample_name) {
            return true;
        }
        *generation != registry.generation()
            && self.families.iter().any(|family| {
                family.parts.iter().any(|part| part.core.shape.descriptor.prints(sample_name))
            })
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
        let mut cores = registry.families();
        // Stable: parts of one name stay in the order of their levels.
        cores.sort_by(|a, b| a.shape.descriptor.name().cmp(b.shape.descriptor.name()));
        let known = self.families.drain(..).flat_map(|family| family.parts);
        let mut known: HashMap<u64, PartEntry> = known.map(|part| (part.id, part)).collect();
        for core in cores {
            let part = known.remove(&core.shape.id).unwrap_or_else(|| PartEntry::new(core));
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
