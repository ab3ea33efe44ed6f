//! Views of a snapshot: families, their parts, and the series of a part.
//!
//! Views borrow the [`Snapshot`] and copy nothing: a value is found by its place in the totals.

use super::{Derived, FamilyEntry, NativeValue, PartEntry, Snapshot, Sum, Value};
use crate::arena::Rank;
use crate::arena::sum::{SUMS, of_totals};
use crate::descriptor::{Descriptor, Kind};
use crate::layout::IntegerSum;
use crate::series::ExemplarValue;
use crate::series::up_down_ranks;
use std::time::Duration;

/// One family of a [`Snapshot`]: all series with one name.
#[derive(Clone, Copy, Debug)]
pub struct FamilySnapshot<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) entry: &'a FamilyEntry,
}

impl<'a> FamilySnapshot<'a> {
    /// Returns the name of the family.
    pub fn name(&self) -> &'a str {
        self.entry.parts[0].name()
    }

    /// Returns the help text, unescaped; if parts differ, that of the part that was registered first among those that have one.
    pub fn help(&self) -> &'a str {
        let helps = self.entry.parts.iter().map(|part| part.core.metadata.help());
        helps.into_iter().find(|help| !help.is_empty()).unwrap_or_default()
    }

    /// Returns the type in text format 0.0.4: `counter`, `gauge`, `histogram` or `summary`.
    pub fn exposed_type(&self) -> &'static str {
        self.entry.parts[0].core.metadata.descriptor.kind().exposed()
    }

    /// Iterates over the parts, one for each scope and set of constant labels, in the order of their registration.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = PartSnapshot<'a>> + use<'a> {
        let snapshot = self.snapshot;
        self.entry.parts.iter().map(move |entry| PartSnapshot { snapshot, entry })
    }
}

/// The series of one family in one scope.
#[derive(Clone, Copy, Debug)]
pub struct PartSnapshot<'a> {
    snapshot: &'a Snapshot,
    entry: &'a PartEntry,
}

impl<'a> PartSnapshot<'a> {
    /// Returns the descriptor.
    pub fn descriptor(&self) -> &'a Descriptor {
        &self.entry.core.metadata.descriptor
    }

    /// Returns [`Descriptor::kind`], without reading the descriptor.
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

    /// Returns a number that is unique among all parts of the process, for caches of rendered text.
    #[inline]
    pub fn id(&self) -> u64 {
        self.entry.id
    }

    /// Returns the number of removals so far.
    pub fn removals(&self) -> u64 {
        self.entry.list.removals.count()
    }

    /// Compares with a cache of `known` series, filled when [`removals`](Self::removals) was `seen`: returns the number of first
    /// places to keep, and those of them that hold another series now. `None` if the cache has to be filled anew.
    ///
    /// ```
    /// use dynamo_metrics_core::{Registry, Snapshot};
    ///
    /// let registry = Registry::new();
    /// let family = registry.counter_family(("requests_total", ""), ["model"])?;
    /// ["a", "b", "c"].into_iter().for_each(|model| family.with([model]).inc());
    /// family.remove(["a"]);
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let part = snapshot.families().find(|f| f.name() == "requests_total").unwrap().parts().next().unwrap();
    /// let (kept, replaced) = part.kept(0, 3).unwrap();
    /// assert_eq!((kept, replaced.collect::<Vec<_>>()), (2, vec![0]));
    /// assert_eq!(part.series(0).unwrap().label_values().next(), Some("c"), "the last one took the place");
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn kept(
        &self,
        seen: u64,
        known: usize,
    ) -> Option<(usize, impl Iterator<Item = usize> + use<'a>)> {
        self.entry.list.removals.kept(seen, known)
    }

    /// Returns whether series have a time of creation; see [`SeriesSnapshot::created`].
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

    /// Returns the number of series.
    pub fn len(&self) -> usize {
        self.entry.list.series.len()
    }

    /// Returns whether the part has no series.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the series at index `at`, in order of creation.
    pub fn series(&self, at: usize) -> Option<SeriesSnapshot<'a>> {
        (at < self.len()).then_some(SeriesSnapshot { part: *self, at })
    }

    /// Iterates over the values of a [`Kind::Counter`], in the order of its series; empty for other kinds. Cheaper than
    /// [`values`](Self::values), which checks the kind for each value.
    #[inline]
    pub fn counts(&self) -> impl Iterator<Item = u64> + use<'a> {
        let totals = &self.snapshot.sums[Rank::Word as usize].totals;
        self.places_if(self.kind() == Kind::Counter)
            .iter()
            .map(|&[place, _]| totals[place as usize])
    }

    /// Iterates over the values of a [`Kind::Gauge`] or [`Kind::FloatCounter`], in the order of its series; empty for other
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

    /// Iterates over the bucket counts and sums of a [`Kind::Histogram`], in the order of its series, as in
    /// [`Value::Histogram`]; empty for other kinds. Cheaper than [`values`](Self::values), as [`counts`](Self::counts) is.
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
    /// assert_eq!(histograms, [(&[0, 1][..], 2.5.into())]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn histograms(&self) -> impl Iterator<Item = (&'a [u64], Sum)> + use<'a> {
        let part = *self;
        let places = self.places_if(self.kind() == Kind::Histogram);
        places.iter().map(move |&places| part.histogram(places))
    }

    #[inline]
    fn places_if(&self, wanted: bool) -> &'a [[u32; 2]] {
        if wanted { &self.entry.list.places } else { &[] }
    }

    #[inline(always)]
    fn histogram(&self, [first, second]: [u32; 2]) -> (&'a [u64], Sum) {
        let totals = |rank: Rank| &self.snapshot.sums[rank as usize].totals;
        let counts = &totals(Rank::Word)[first as usize..][..self.entry.buckets_len as usize];
        if let Some(scale) = self.entry.scale {
            let units = totals(Rank::IntegerSum)[second as usize];
            return (counts, Sum::Integer(IntegerSum { units, scale }));
        }
        let sums = &totals(Rank::Float)[second as usize..][..SUMS as usize];
        // The total of each cell is finite, but their sum may not be.
        (counts, Sum::Float(of_totals(sums.iter().copied())))
    }

    /// Iterates over the values of all series, in order of creation.
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
                Value::Native(scrape.value(at, &self.entry.core.metadata.descriptor, words))
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
    /// Iterates over the label values in the order of [`Descriptor::label_names`], unescaped.
    pub fn label_values(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.part.entry.list.series[self.at].values().iter()
    }

    /// Returns the descriptor of the series' family.
    pub fn descriptor(&self) -> &'a Descriptor {
        self.part.descriptor()
    }

    /// Returns the time of the series' creation, since the Unix epoch, in whole milliseconds. `None` for kinds that do not
    /// [accumulate](Kind::accumulates), and without a clock ([`Registry::with_clock`](crate::Registry::with_clock)).
    pub fn created(&self) -> Option<Duration> {
        self.part.entry.list.created.get(self.at)?.get()
    }

    /// Returns the newest exemplar of a counter (slot 0) or of a histogram's bucket (the bucket's index). It was copied by
    /// [`Snapshot::take`], so every call returns the same, and its value is in the counts.
    pub fn exemplar(&self, slot: usize) -> Option<ExemplarValue> {
        let slots = self.part.descriptor().exemplar_slots();
        let words =
            self.part.entry.list.exemplars.get(self.at * slots..)?.get(..slots)?.get(slot)?;
        let exemplar = ExemplarValue::from_words(words)?;
        // The observation may lie before a reset.
        let gone = match &self.part.entry.derived {
            Derived::Native(scrape) => scrape.hides_exemplar(self.at, slot),
            _ => false,
        };
        (!gone).then_some(exemplar)
    }

    /// Returns the native buckets of a histogram that has classic ones as its [`value`](Self::value)
    /// ([`DualHistogram`](crate::DualHistogram)); `None` for others. Their count may differ from that of the classic buckets by
    /// observations in progress.
    ///
    /// ```
    /// use dynamo_metrics_core::{Buckets, NativeBuckets, Registry, Snapshot};
    ///
    /// let (registry, bounds) = (Registry::new(), Buckets::new([0.3])?);
    /// let native = NativeBuckets::new().schema(0);
    /// let wait = registry.dual_histogram_family(("wait_seconds", ""), [], &bounds, &native)?;
    /// wait.with([]).observe(0.25);
    /// let mut snapshot = Snapshot::new();
    /// snapshot.take(&registry);
    /// let family = snapshot.families().find(|family| family.name() == "wait_seconds").unwrap();
    /// let native = family.parts().next().unwrap().series(0).unwrap().native_beside().unwrap();
    /// assert_eq!(native.positive.populated().collect::<Vec<_>>(), [(-2, 1)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn native_beside(&self) -> Option<NativeValue<'a>> {
        match &self.part.entry.derived {
            Derived::Native(scrape) if self.part.kind() == Kind::Histogram => {
                let words = &self.part.snapshot.sums[Rank::Word as usize].totals;
                Some(scrape.value(self.at, self.part.descriptor(), words))
            }
            _ => None,
        }
    }

    /// Returns the value.
    pub fn value(&self) -> Value<'a> {
        self.part.value(self.at, self.part.entry.list.places[self.at])
    }
}
