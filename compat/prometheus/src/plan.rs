//! The part of a family that is the same from one gathering to the next: its series in the order of their labels, the places of
//! their numbers, and their text as far as it has no numbers.
//!
//! A family keeps its plan until it gets or loses a series (`vec.rs`), a registry those of families that it merges or renames
//! (`registry.rs`). So a gathering reads numbers into one list, and the text is the page of the encoding before with these numbers:
//!
//! ```text
//! counter, gauge     the value, as the bits of a float
//! histogram          cumulative counts, +Inf last; the sum as the bits of a float; the count again          as its lines in the text
//! ```
//!
//! Counters in the shards are read through their cells, shard by shard, unless one of the family was ever reset. A plan keeps its
//! series, so their cells have no other owner.

use crate::encoder::{push_escaped, push_head};
use crate::family::Family;
use crate::page::Page;
use crate::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamilyMessage, MetricType,
};
use crate::series::{AnySeries, Series};
use dynamo_metrics_core::DetachedCell;
use parking_lot::Mutex;
use std::cmp::Ordering;
use std::fmt;
use std::panic::RefUnwindSafe;
use std::sync::Arc;

/// Numbers of a histogram beside those of its finite bounds: `+Inf`, sum and count.
const HISTOGRAM_WORDS: usize = 3;

/// Returns how many numbers a series has.
fn words(series: &dyn Series) -> usize {
    series.bounds().map_or(1, |bounds| bounds.upper.len() + HISTOGRAM_WORDS)
}

/// The series of a family.
pub(crate) type AllSeries = Arc<[AnySeries]>;

/// The fixed part of a family.
#[doc(hidden)]
pub struct Plan {
    name: String,
    help: String,
    kind: MetricType,
    /// Behind the labels of each series.
    appended: Vec<LabelPair>,
    series: AllSeries,
    /// If all series are counters in the shards.
    cells: Option<Arc<[DetachedCell]>>,
    /// The different families of the series.
    families: Vec<Arc<Family>>,
    words: usize,
    /// Made by the first encoding.
    page: Mutex<Option<Arc<Page>>>,
}

/// A panic leaves no page half made: nothing of a program runs while it is locked.
impl RefUnwindSafe for Plan {}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Plan {
    /// Returns the plan of a family with these series, in whatever order.
    pub(crate) fn new(family: &Family, kind: MetricType, mut series: Vec<AnySeries>) -> Self {
        // Stable, as the order of series with equal labels is that in which they were collected.
        series.sort_by(|a, b| order(&**a, &**b));
        let cells = series.iter().map(|series| series.cell()).collect::<Option<Vec<_>>>();
        let mut families: Vec<_> = series.iter().map(|series| series.family()).collect();
        families.sort_by_key(|family| Arc::as_ptr(family));
        families.dedup_by(|a, b| Arc::ptr_eq(a, b));
        let families = families.into_iter().cloned().collect();
        Self {
            name: family.desc.fq_name.clone(),
            help: family.desc.help.clone(),
            kind,
            appended: Vec::new(),
            words: series.iter().map(|series| words(&**series)).sum(),
            series: series.into(),
            cells: cells.map(Arc::from),
            families,
            page: Mutex::default(),
        }
    }

    /// Returns the plan of all series of the plans, with name and help text of the first.
    pub(crate) fn merged(plans: &[Arc<Self>]) -> Option<Self> {
        let (first, _) = plans.split_first()?;
        let family = first.families.first()?;
        let series = plans.iter().flat_map(|plan| plan.series.iter().cloned()).collect();
        Some(Self::new(family, first.kind, series))
    }

    /// Returns the plan of the same series under another name, with further labels.
    pub(crate) fn renamed(&self, name: String, appended: &[LabelPair]) -> Self {
        Self {
            name,
            help: self.help.clone(),
            kind: self.kind,
            appended: appended.to_vec(),
            series: Arc::clone(&self.series),
            cells: self.cells.clone(),
            families: self.families.clone(),
            words: self.words,
            page: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn help(&self) -> &str {
        &self.help
    }

    pub(crate) fn kind(&self) -> MetricType {
        self.kind
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Returns how many numbers a reading has.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// Reads all series into `numbers`, which are zero and as many as [`words`](Self::words).
    pub(crate) fn read(&self, numbers: &mut [u64]) {
        match &self.cells {
            Some(cells) if !self.families.iter().any(|family| family.was_reset()) => {
                DetachedCell::add_totals(cells, numbers);
                for number in numbers {
                    *number = (*number as f64).to_bits();
                }
            }
            _ => {
                let mut rest = numbers;
                for series in &*self.series {
                    let Some((own, others)) = rest.split_at_mut_checked(words(&**series)) else {
                        unreachable!("there are as many numbers as the series have together")
                    };
                    series.read(own);
                    rest = others;
                }
            }
        }
    }

    /// Returns the message with these numbers.
    pub(crate) fn message(&self, numbers: &[u64]) -> MetricFamilyMessage {
        let mut rest = numbers;
        let metrics = self.series.iter().map(|series| {
            let (own, others) = rest.split_at_checked(words(&**series)).unwrap_or((&[], &[]));
            rest = others;
            let mut metric =
                Metric::from_label(series.family().labels(series.values(), &self.appended));
            set_value(&mut metric, self.kind, &**series, own);
            metric
        });
        let metrics = metrics.collect();
        let mut family = MetricFamilyMessage::default();
        family.set_name(self.name.clone());
        family.set_help(self.help.clone());
        family.set_field_type(self.kind);
        family.set_metric(metrics);
        family
    }

    /// Returns the text with these numbers. It is not changed any more: further calls copy it, if it is still held.
    pub(crate) fn page(&self, numbers: &[u64]) -> Arc<Page> {
        let mut kept = self.page.lock();
        let page = kept.get_or_insert_with(|| Arc::new(self.render(numbers)));
        if !page.has(numbers) {
            Arc::make_mut(page).set(numbers);
        }
        Arc::clone(page)
    }

    fn render(&self, numbers: &[u64]) -> Page {
        let mut head = String::new();
        push_head(&mut head, &self.name, &self.help, self.kind);
        let mut page = Page::new(head);
        let mut numbers = numbers.iter().copied();
        let mut number = || numbers.next().unwrap_or_default();
        let mut labels = String::new();
        for series in &*self.series {
            labels.clear();
            self.push_labels(&mut labels, &**series);
            if let Some(bounds) = series.bounds() {
                let comma = if labels.is_empty() { "" } else { "," };
                for le in bounds.labels() {
                    push(page.prefix(), &[&self.name, "_bucket{", &labels, comma, le, "} "]);
                    page.push(number(), false);
                }
                for (suffix, float) in [("_sum", true), ("_count", false)] {
                    push(page.prefix(), &[&self.name, suffix]);
                    push_braces(page.prefix(), &labels);
                    page.push(number(), float);
                }
            } else {
                push(page.prefix(), &[&self.name]);
                push_braces(page.prefix(), &labels);
                page.push(number(), true);
            }
        }
        page.finish();
        page
    }

    /// Appends the labels of a series without braces.
    fn push_labels(&self, text: &mut String, series: &dyn Series) {
        let own = series.family().printed(series.values());
        let appended = self.appended.iter().map(|pair| (pair.name(), pair.value()));
        for (name, value) in own.chain(appended) {
            let comma = if text.is_empty() { "" } else { "," };
            push(text, &[comma, name, "=\""]);
            push_escaped(text, value, true);
            text.push('"');
        }
    }
}

/// Appends labels in braces, if there are any, and the blank before the value.
fn push_braces(text: &mut String, labels: &str) {
    if !labels.is_empty() {
        push(text, &["{", labels, "}"]);
    }
    text.push(' ');
}

fn push(text: &mut String, parts: &[&str]) {
    parts.iter().for_each(|part| text.push_str(part));
}

fn set_value(metric: &mut Metric, kind: MetricType, series: &dyn Series, numbers: &[u64]) {
    match (kind, series.bounds(), numbers) {
        (MetricType::HISTOGRAM, Some(bounds), [counts @ .., sum, count]) => {
            let buckets = bounds.upper.iter().zip(counts).map(|(&bound, &count)| {
                let mut bucket = Bucket::default();
                bucket.set_cumulative_count(count);
                bucket.set_upper_bound(bound);
                bucket
            });
            let mut histogram = Histogram::default();
            histogram.set_bucket(buckets.collect());
            histogram.set_sample_sum(f64::from_bits(*sum));
            histogram.set_sample_count(*count);
            metric.set_histogram(histogram);
        }
        (MetricType::GAUGE, _, &[.., value]) => {
            let mut gauge = Gauge::default();
            gauge.set_value(f64::from_bits(value));
            metric.set_gauge(gauge);
        }
        (_, _, &[.., value]) => {
            let mut counter = Counter::default();
            counter.set_value(f64::from_bits(value));
            metric.set_counter(counter);
        }
        (_, _, []) => {}
    }
}

/// Orders series by the number of their labels, then by the values.
fn order(a: &dyn Series, b: &dyn Series) -> Ordering {
    let (left, right) = (a.family(), b.family());
    let values = || {
        let left = left.printed(a.values()).map(|(_, value)| value);
        left.cmp(right.printed(b.values()).map(|(_, value)| value))
    };
    left.label_count().cmp(&right.label_count()).then_with(values)
}

/// Returns the message of a series of this type, as it is now.
pub(crate) fn metric(kind: MetricType, series: &dyn Series) -> Metric {
    let mut numbers = vec![0; words(series)];
    series.read(&mut numbers);
    let mut metric = Metric::from_label(series.family().labels(series.values(), &[]));
    set_value(&mut metric, kind, series, &numbers);
    metric
}
