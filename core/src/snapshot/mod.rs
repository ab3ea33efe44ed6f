//! Snapshots: the values of a registry at one scrape, read in one pass over the shards into reused memory.
//!
//! ```text
//! 1. bring the list of families and their series up to date   (allocates only for what is new); copy exemplars
//! 2. call the callbacks, catching panics
//! 3. for each rank, for each shard: total[place] += shard[cell]   (linear in cells x shards)
//! 4. copy gauges and state sets, compute native histograms and summaries
//! ```
//!
//! Step 1 comes before step 3 and holds references, so a cell that is read for one series cannot have been assigned to
//! another one meanwhile. Exemplars are copied before step 3 too, so the value of each is counted. A snapshot never waits
//! for a writer, and holds no lock while a callback runs.
//!
//! Scrapes are seconds apart and find the processor's caches cold. So an entry of a snapshot keeps together all that a scrape
//! reads of a part without new series, and one word of a family tells whether there are any.

mod native;
mod sum;
mod summary;
mod view;

pub use native::{NativeBucketCounts, NativeValue};
pub use sum::Sum;
pub use view::{FamilySnapshot, PartSnapshot, SeriesSnapshot};

use crate::arena::sum::add_bits;
use crate::arena::{Rank, Sums, retry_refused_growth};
use crate::descriptor::Kind;
use crate::family::{FamilyCore, SeriesList};
use crate::layout::Scale;
use crate::registry::Registry;
use crate::series::{Callback, Storage};
use crate::sync::{Ordering, Step, left_out};
use native::NativeScrape;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use summary::SummaryScrape;

/// The values of a registry at one scrape. Reuse it for the next scrape: if no series was added or removed,
/// [`take`](Self::take) allocates nothing.
///
/// ```
/// use dynamo_metrics_core::{Registry, Snapshot, snapshot::Value};
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
    /// The registry that `families` were listed from, and its generation.
    source: Option<(Registry, u64)>,
    /// The number of its descriptions that `families` have at least.
    descriptions: u64,
    /// Sorted by name.
    families: Vec<FamilyEntry>,
    /// The sums of the cells, by rank.
    sums: [Sums; Rank::ALL.len()],
}

#[derive(Debug)]
struct FamilyEntry {
    parts: Vec<PartEntry>,
}

#[derive(Debug)]
struct PartEntry {
    core: Arc<FamilyCore>,
    /// Copied from the family's metadata, because every scrape reads it.
    id: u64,
    kind: Kind,
    /// The unit of a histogram of integers.
    scale: Option<Scale>,
    /// The number of buckets of a histogram.
    buckets_len: u32,
    list: SeriesList,
    /// The result of the callback, as the bits of its type.
    computed: Option<u64>,
    derived: Derived,
}

/// Values that are copied or computed after the totals are read.
#[derive(Debug)]
enum Derived {
    None,
    /// The words of gauges or state sets, in the order of the series.
    Words(Vec<u64>),
    Native(Box<NativeScrape>),
    Summary(Box<SummaryScrape>),
}

/// The value of one series in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// The value of a counter.
    Unsigned(u64),
    /// The value of an up/down counter.
    Signed(i64),
    /// The value of a gauge or a float counter.
    Float(f64),
    /// The buckets and the sum of a histogram.
    Histogram {
        /// The number of observations in each bucket, not cumulative; the last is for `+Inf`.
        counts: &'a [u64],
        /// The sum of the finite observations.
        sum: Sum,
    },
    /// The value of an info metric, which is 1.
    Info,
    /// The states of a state set at one instant: a bit for each of [`Descriptor::states`](crate::Descriptor::states), the
    /// first the lowest.
    States(u64),
    /// The value of a native histogram.
    Native(NativeValue<'a>),
    /// The value of a summary.
    Summary {
        /// The number of observations since its creation.
        count: u64,
        /// The sum of the finite observations.
        sum: f64,
        /// One value for each of [`Descriptor::quantiles`](crate::Descriptor::quantiles), over the window; NaN without
        /// observations in it.
        quantiles: &'a [f64],
    },
    /// The missing value of a callback that panicked in this scrape, or returned `None`.
    Missing,
}

impl Snapshot {
    /// Returns an empty snapshot.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads every metric of the registry and of all scopes below, at the time of the registry's clock. Without a clock
    /// ([`Registry::with_clock`]), windows of summaries do not move and native histograms are not reset.
    ///
    /// Cost: linear in the number of cells times the number of shards, plus the callbacks.
    pub fn take(&mut self, registry: &Registry) {
        self.read(registry, registry.root.clock.as_ref().and_then(|clock| clock.now().get()));
    }

    /// Reads every metric as [`take`](Self::take) does, at time `now` since an epoch that all scrapers of the registry
    /// share, for example Unix'. The time moves the windows of summaries and allows resets of native histograms.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot, SummaryOpts, snapshot::Value};
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
        retry_refused_growth();
        for part in self.families.iter_mut().flat_map(|family| &mut family.parts) {
            part.core.sync(&mut part.list);
            part.compute();
            match &mut part.derived {
                Derived::None | Derived::Words(_) => {}
                Derived::Native(scrape) => scrape.begin(&part.list.series),
                Derived::Summary(scrape) => scrape.begin(&part.list.series),
            }
            part.list.copy_exemplars();
        }
        let pool = &registry.root.pool;
        for rank in Rank::ALL {
            let sums = &mut self.sums[rank as usize];
            match rank {
                Rank::Float => pool.sum_into(rank, sums, add_bits),
                _ => pool.sum_into(rank, sums, u64::wrapping_add),
            }
        }
        let [_, _, _, floats, words, ..] = &mut self.sums;
        let (words, floats) = (&mut words.totals[..], &floats.totals[..]);
        for part in self.families.iter_mut().flat_map(|family| &mut family.parts) {
            let list = &part.list.series;
            match &mut part.derived {
                Derived::None => {}
                Derived::Words(words) => {
                    words.clear();
                    words.extend(list.iter().map(|series| match series.storage() {
                        // Relaxed: no other memory depends on a gauge or state set.
                        Storage::Shared(cell) => cell.load(Ordering::Relaxed),
                        Storage::States(bits) => bits.load(Ordering::Relaxed),
                        _ => unreachable!("a gauge is one cell, a state set one word"),
                    }));
                }
                Derived::Native(scrape) => scrape.finish(list, words, floats, now),
                Derived::Summary(scrape) => scrape.finish(list, words, floats, now),
            }
        }
    }

    /// Iterates over all families, sorted by name.
    pub fn families(&self) -> impl ExactSizeIterator<Item = FamilySnapshot<'_>> {
        self.families.iter().map(|entry| FamilySnapshot { snapshot: self, entry })
    }

    /// Returns a number that grows when a family gets its help text after its registration ([`Registry::describe`]), for caches of
    /// rendered text.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// registry.counter(("requests_total", ""))?;
    /// registry.describe("requests_total", "Requests.");
    /// let mut snapshot = Snapshot::new();
    /// assert_eq!(snapshot.descriptions(), 0);
    /// snapshot.take(&registry);
    /// assert_eq!(snapshot.descriptions(), 1);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn descriptions(&self) -> u64 {
        self.descriptions
    }

    /// Returns whether a family of this snapshot, or of its registry now, prints samples of this name under any
    /// [escaping](crate::Escaping). It serves pages that append families of other sources: a name that was unregistered after
    /// the snapshot was taken is still on the page.
    ///
    /// Cost: that of [`Registry::occupies`], and a search in all families if any was added or removed since the snapshot was
    /// taken.
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
                // Families of one name print the same names.
                family.parts[0].core.metadata.descriptor.prints(sample_name)
            })
    }

    /// Lists the registry's families again if any was added or removed.
    pub(crate) fn list(&mut self, registry: &Registry) {
        // Read before listing: a family that is added in between is listed now or the next time.
        let generation = registry.generation();
        if let Some((source, seen)) = &self.source
            && source.is(registry)
            && *seen == generation
        {
            return;
        }
        // A description that is counted is in its families, and one that is not yet counted changes the generation again.
        self.descriptions = registry.descriptions();
        let mut cores = registry.families();
        // Parts of one name in the order of their registration.
        cores.sort_unstable_by(|a, b| place(a).cmp(&place(b)));
        let known = self.families.drain(..).flat_map(|family| family.parts);
        let mut known: HashMap<u64, PartEntry> = known.map(|part| (part.id, part)).collect();
        for core in cores {
            let part = known.remove(&core.metadata.id).unwrap_or_else(|| PartEntry::new(core));
            match self.families.last_mut() {
                Some(last) if last.parts[0].name() == part.name() => last.parts.push(part),
                _ => self.families.push(FamilyEntry { parts: vec![part] }),
            }
        }
        let late = left_out(Step::GenerationBeforeListing);
        let generation = if late { registry.generation() } else { generation };
        self.source = Some((registry.clone(), generation));
    }
}

/// Returns the place of a family in a snapshot: its name, and its registration.
fn place(core: &FamilyCore) -> (&str, u64) {
    (core.metadata.descriptor.name(), core.metadata.id)
}

impl PartEntry {
    fn new(core: Arc<FamilyCore>) -> Self {
        let kind = core.metadata.descriptor.kind();
        let derived = match kind {
            Kind::Gauge | Kind::StateSet => Derived::Words(Vec::new()),
            Kind::NativeHistogram => Derived::Native(Box::default()),
            Kind::Histogram if core.metadata.descriptor.native.is_some() => {
                Derived::Native(Box::default())
            }
            Kind::Summary => Derived::Summary(Box::default()),
            _ => Derived::None,
        };
        let (id, buckets_len) = (core.metadata.id, core.metadata.buckets_len());
        let (scale, list) = (core.metadata.descriptor.scale(), SeriesList::default());
        Self { core, id, kind, scale, buckets_len, list, computed: None, derived }
    }

    fn name(&self) -> &str {
        self.core.metadata.descriptor.name()
    }

    /// Calls the callback of a part that has one.
    fn compute(&mut self) {
        if !matches!(self.kind, Kind::CounterCallback | Kind::GaugeCallback) {
            return;
        }
        let Some(Storage::Callback(callback)) = self.list.series.first().map(|s| &s.storage) else {
            return;
        };
        // Unwind safe: nothing of the snapshot is borrowed here, and the callback owns the state that it may leave broken.
        let value = catch_unwind(AssertUnwindSafe(|| match &**callback {
            Callback::Counter(value) => value(),
            Callback::Gauge(value) => value().map(f64::to_bits),
        }));
        self.computed = *value.as_ref().unwrap_or(&None);
        if value.is_err()
            && let Some(reporter) = &self.core.metadata.reporter
        {
            reporter.panicked(self.core.metadata.descriptor.name());
        }
    }
}
