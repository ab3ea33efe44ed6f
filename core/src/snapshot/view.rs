//! What a scrape saw: families, their parts, and the series of a part.
//!
//! Views into a [`Snapshot`], which is not moved or copied: a value is looked up by its place among the totals.

use super::{Derived, FamilyEntry, PartEntry, Snapshot, Value};
use crate::arena::Rank;
use crate::descriptor::{Descriptor, Kind};
use crate::exemplar::ExemplarValue;
use crate::series::up_down_ranks;
use crate::sum::{SUMS, of_totals};
use std::time::Duration;

/// One family of a [`Snapshot`]: everything that is printed under one name.
#[derive(Clone, Copy, Debug)]
pub struct FamilySnapshot<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) entry: &'a FamilyEntry,
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
        // Each cell's total is finite; both together may not be.
        (counts, of_totals(sums.iter().copied()))
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
    /// [accumulate](Kind::accumulates), of a [`Registry::with_clock`](crate::Registry::with_clock); `None` for everything else.
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
