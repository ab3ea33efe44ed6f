//! Native histograms in a snapshot: the baseline is subtracted, and buckets are merged until they fit.
//!
//! All work is done in place, in the totals that the scrape has just read. Every count comes from the same cells, so **the
//! count is always the sum of the buckets**, as receivers require. Sums are read before cells, so a sum is never ahead of
//! them. A reset keeps both as they were read: an observation between the two reads is counted before the reset and summed
//! after it. Reading the sum again would lose that observation from the sum instead; only waiting for writers avoids both.

use crate::arena::baseline::Baseline;
use crate::descriptor::Descriptor;
use crate::layout::{NativeLayout, SCHEMA_MIN, overflow_index};
use crate::series::{NativeState, SeriesRef, Storage};
use std::time::Duration;

/// A native histogram in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct NativeValue<'a> {
    /// The resolution, `-4..=8`: that of the registration or coarser.
    pub schema: i8,
    /// The largest magnitude in the zero bucket. After merging below schema 0 the lowest bucket may reach below it; values
    /// there are in the zero bucket.
    pub zero_threshold: f64,
    /// The number of observations in the zero bucket.
    pub zero_count: u64,
    /// The sum of the finite observations.
    pub sum: f64,
    /// The number of all observations: of the zero bucket and every bucket of both signs.
    pub count: u64,
    /// The buckets of positive values.
    pub positive: NativeBucketCounts<'a>,
    /// The buckets of negative values, by magnitude.
    pub negative: NativeBucketCounts<'a>,
    /// The same observations in classic buckets ([`Descriptor::buckets`](crate::Descriptor::buckets)), not cumulative; the
    /// last is for `+Inf`.
    pub classic: &'a [u64],
    /// The time of the last reset, since the epoch of the scrapes' clock; `None` before the first reset.
    pub start: Option<Duration>,
}

/// The buckets of one sign.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct NativeBucketCounts<'a> {
    /// The native index of `counts[0]`, at the value's schema; 0 when `counts` is empty.
    pub first: i32,
    /// The count of each bucket; neither the first nor the last is 0.
    pub counts: &'a [u64],
    /// The number of observations above the range, infinite ones included.
    pub overflow: u64,
    /// The native index of the overflow bucket: one above that of the largest finite number.
    pub overflow_index: i32,
}

impl<'a> NativeBucketCounts<'a> {
    /// Iterates over native index and count of every populated bucket, ascending, the overflow bucket included.
    pub fn populated(self) -> impl Iterator<Item = (i32, u64)> + use<'a> {
        let overflow = (self.overflow_index, self.overflow);
        let counts = (self.first..).zip(self.counts.iter().copied());
        counts.chain([overflow]).filter(|&(_, count)| count != 0)
    }
}

/// The native histograms of one part at one scrape, in reused memory.
#[derive(Debug, Default)]
pub(crate) struct NativeScrape {
    seen: Vec<u64>,
    views: Vec<View>,
    /// The counts of the classic buckets, in the order of the series.
    classic: Vec<u64>,
}

#[derive(Debug)]
struct View {
    schema: i8,
    zero_count: u64,
    sum: f64,
    count: u64,
    positive: Side,
    negative: Side,
    start: Option<Duration>,
    /// True if another scrape has reset the series since this one began, before it copied exemplars.
    overtaken: bool,
}

/// The place of the counts of one sign in the totals.
#[derive(Debug, Default)]
struct Side {
    first: i32,
    place: usize,
    len: usize,
    overflow: u64,
}

impl NativeScrape {
    /// Begins a scrape, before exemplars are copied and cells read.
    pub(crate) fn begin(&mut self, list: &[SeriesRef]) {
        self.seen.clear();
        self.seen.extend(list.iter().map(|series| baseline_of(series).generation()));
    }

    /// Ends a scrape, after the cells are read: turns totals into values.
    pub(crate) fn finish(
        &mut self,
        list: &[SeriesRef],
        words: &mut [u64],
        floats: &[u64],
        now: Option<Duration>,
    ) {
        self.views.clear();
        self.classic.clear();
        for (series, &seen) in list.iter().zip(&self.seen) {
            let layout = layout_of(&series.metadata.descriptor);
            let baseline = baseline_of(series);
            let (cells, sum) = baseline.totals(words, floats);
            let (sum, start, overtaken) = match layout.min_reset {
                None => (sum, None, false),
                Some(min_reset) => baseline.with(seen, cells, sum, |state, cells, sum| {
                    let due = now.filter(|&now| state.is_due(now, min_reset));
                    let left = state.subtract_from(cells, sum, layout.signed);
                    let shown = (left, state.start(), baseline.generation() != seen);
                    let width = layout.grid.width as usize;
                    let full = populated(cells, width, layout) > layout.max_buckets as usize;
                    let Some(now) = due.filter(|_| full) else { return (shown, false) };
                    state.reset(cells, sum, now);
                    // Their observations are cut off. An exemplar that is recorded at this very instant may go with them, or stay.
                    if let Some(exemplars) = series.exemplars() {
                        exemplars.clear();
                    }
                    (shown, true)
                }),
            };
            self.classic.extend(classic(cells, layout));
            let view = View::new(cells, baseline.cells.place() as usize, sum, start, layout);
            self.views.push(View { overtaken, ..view });
        }
    }

    /// Returns whether a reset has cut off, or may have cut off, the observation that the exemplar of this classic bucket
    /// belongs to.
    pub(crate) fn hides_exemplar(&self, at: usize, bucket: usize) -> bool {
        let buckets = self.classic.len() / self.views.len().max(1);
        let Some(view) = self.views.get(at) else { return false };
        let is_empty = self.classic.get(at * buckets + bucket) == Some(&0);
        view.overtaken || view.start.is_some() && is_empty
    }

    /// Returns the value of the series at `at`.
    pub(crate) fn value<'a>(
        &'a self,
        at: usize,
        descriptor: &Descriptor,
        words: &'a [u64],
    ) -> NativeValue<'a> {
        let layout = layout_of(descriptor);
        let view = &self.views[at];
        let side = |side: &Side| NativeBucketCounts {
            first: side.first,
            counts: &words[side.place..][..side.len],
            overflow: side.overflow,
            overflow_index: overflow_index(view.schema),
        };
        let classic = layout.classic_ends.len() + 1;
        NativeValue {
            schema: view.schema,
            zero_threshold: layout.grid.bound(0),
            zero_count: view.zero_count,
            sum: view.sum,
            count: view.count,
            positive: side(&view.positive),
            negative: side(&view.negative),
            classic: &self.classic[at * classic..][..classic],
            start: view.start,
        }
    }
}

impl View {
    fn new(
        cells: &mut [u64],
        place: usize,
        sum: f64,
        start: Option<Duration>,
        layout: &NativeLayout,
    ) -> Self {
        let count = cells.iter().fold(0, |count: u64, cell| count.wrapping_add(*cell));
        let mut schema = layout.grid.schema;
        let mut edge = layout.grid.edge_index();
        // The width that previous steps left, half of it each time, so all steps together cost no more than two.
        let mut width = layout.grid.width as usize;
        while schema > SCHEMA_MIN && populated(cells, width, layout) > layout.max_buckets as usize {
            for side in cells[1..].chunks_exact_mut(layout.side()) {
                halve(&mut side[..width], edge);
            }
            width = halved(width - 1, edge) + 1;
            schema -= 1;
            edge >>= 1;
        }
        let mut sides = cells[1..].chunks_exact(layout.side()).enumerate().map(|(at, side)| {
            let (overflow, window) =
                side.split_last().map_or((0, side), |(last, rest)| (*last, rest));
            let begin = window.iter().position(|&count| count != 0);
            let end = window.iter().rposition(|&count| count != 0);
            match begin.zip(end) {
                Some((begin, end)) => Side {
                    first: edge + 1 + begin as i32,
                    place: place + 1 + at * layout.side() + begin,
                    len: end + 1 - begin,
                    overflow,
                },
                None => Side { overflow, ..Side::default() },
            }
        });
        let positive = sides.next().unwrap_or_default();
        let negative = sides.next().unwrap_or_default();
        let (zero_count, overtaken) = (cells[0], false);
        Self { schema, zero_count, sum, count, positive, negative, start, overtaken }
    }
}

/// Merges pairs of buckets. `edge` is the native index below that of `window[0]`.
fn halve(window: &mut [u64], edge: i32) {
    for at in 0..window.len() {
        let count = std::mem::take(&mut window[at]);
        // The target is not above `at`, and its count has been moved already.
        let merged = &mut window[halved(at, edge)];
        *merged = merged.wrapping_add(count);
    }
}

/// Returns the place that the bucket at `at` is merged into: native index `i` becomes `ceil(i / 2)`.
fn halved(at: usize, edge: i32) -> usize {
    let index = edge + 1 + at as i32;
    (((index + 1) >> 1) - (edge >> 1) - 1) as usize
}

/// Returns the number of populated buckets in windows of this width, without the zero bucket.
fn populated(cells: &[u64], width: usize, layout: &NativeLayout) -> usize {
    let sides = cells[1..].chunks_exact(layout.side());
    let shown = sides.flat_map(|side| side[..width].iter().chain(side.last()));
    shown.filter(|&&count| count != 0).count()
}

/// Iterates over the counts of the classic buckets. Negative values are below every classic bound.
fn classic<'a>(cells: &'a [u64], layout: &'a NativeLayout) -> impl Iterator<Item = u64> + use<'a> {
    // Saturates, as the encoder does when it cumulates counts.
    let total = |cells: &[u64]| cells.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
    let (positive, negative) = cells.split_at(layout.side() + 1);
    let starts = std::iter::once(0).chain(layout.classic_ends.iter().map(|&cut| cut as usize + 1));
    let ends = layout.classic_ends.iter().map(|&cut| cut as usize + 1).chain([positive.len()]);
    let below = std::iter::once(total(negative)).chain(std::iter::repeat(0));
    starts
        .zip(ends)
        .zip(below)
        .map(move |((start, end), below)| total(&positive[start..end]).saturating_add(below))
}

fn baseline_of(series: &SeriesRef) -> &Baseline<NativeState> {
    match series.storage() {
        Storage::Native(baseline) => baseline,
        Storage::Dual(dual) => &dual.native,
        _ => unreachable!("a native histogram's series"),
    }
}

fn layout_of(descriptor: &Descriptor) -> &NativeLayout {
    match &descriptor.native {
        Some(layout) => layout,
        None => unreachable!("a native histogram has a layout"),
    }
}
