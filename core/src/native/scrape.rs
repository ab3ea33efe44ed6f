//! What a scrape shows of a native histogram: buckets merged until they fit, the past cut off after a reset.
//!
//! Everything happens in the totals that the scrape has just read, in place, so that it needs no memory of its own.
//! Every count that is shown comes from the same cells, so **the count is always the sum of the buckets**, which
//! receivers insist on. Sums are read before cells, so a sum is never ahead of them. A reset keeps both as they were
//! read: what was recorded in between is counted before the reset and summed after it. Reading the sum once more would lose
//! that part of it instead, and neither order does without the other's fault short of waiting for writers.

use super::buckets::NativeLayout;
use super::grid::{SCHEMA_MIN, overflow_index};
use crate::cut::Cut;
use crate::descriptor::Descriptor;
use crate::series::{Numbers, SeriesRef};
use std::time::Duration;

/// A native histogram as one scrape saw it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct NativeValue<'a> {
    /// Resolution, `-4..=8`: that of the registration or coarser.
    pub schema: i8,
    /// Greatest magnitude in the zero bucket. Where buckets were merged below schema 0 the lowest one may reach
    /// below it; what is there is in the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// Sum of the finite observations.
    pub sum: f64,
    /// All observations: the zero bucket and every bucket of both signs.
    pub count: u64,
    /// Buckets of positive values.
    pub positive: NativeBucketCounts<'a>,
    /// Buckets of negative values, by magnitude.
    pub negative: NativeBucketCounts<'a>,
    /// The same observations in classic buckets ([`Descriptor::buckets`](crate::Descriptor::buckets)), not cumulated,
    /// the last for `+Inf`.
    pub classic: &'a [u64],
    /// When counting began anew, as time since the epoch of the scrapes' clock; `None` before the first reset.
    pub start: Option<Duration>,
}

/// Buckets of one sign.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct NativeBucketCounts<'a> {
    /// Native index of `counts[0]`, at the value's schema. 0 when `counts` is empty.
    pub first: i32,
    /// One count a bucket; neither the first nor the last is 0.
    pub counts: &'a [u64],
    /// Observations above the range, infinite ones included.
    pub overflow: u64,
    /// Native index of the overflow's bucket: one above that of the largest finite number.
    pub overflow_index: i32,
}

impl<'a> NativeBucketCounts<'a> {
    /// Native index and count of every bucket that is not empty, ascending, the overflow's included.
    pub fn populated(self) -> impl Iterator<Item = (i32, u64)> + use<'a> {
        let overflow = (self.overflow_index, self.overflow);
        let counts = (self.first..).zip(self.counts.iter().copied());
        counts.chain([overflow]).filter(|&(_, count)| count != 0)
    }
}

/// What scrapes remember of a series that may be reset.
#[derive(Debug, Default)]
pub(crate) struct NativeState {
    /// Totals at the last reset; empty before the first.
    cells: Box<[u64]>,
    sum: f64,
    start: Option<Duration>,
    /// Since when the next reset is waited for.
    since: Option<Duration>,
}

/// One part's native histograms at one scrape; memory is reused.
#[derive(Debug, Default)]
pub(crate) struct NativeScrape {
    seen: Vec<u64>,
    views: Vec<View>,
    /// Counts of the classic buckets, series after series.
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
}

/// Where the counts of one sign are among the totals.
#[derive(Debug, Default)]
struct Side {
    first: i32,
    place: usize,
    len: usize,
    overflow: u64,
}

impl NativeScrape {
    /// To be called before the cells are read.
    pub(crate) fn begin(&mut self, list: &[SeriesRef]) {
        self.seen.clear();
        self.seen.extend(list.iter().map(|series| cut_of(series).generation()));
    }

    /// To be called when they are: turns totals into what is shown.
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
            let layout = layout_of(&series.shape.descriptor);
            let cut = cut_of(series);
            let (cells, sum) = cut.totals(words, floats);
            let (sum, start) = match layout.min_reset {
                None => (sum, None),
                Some(min_reset) => cut.with(seen, cells, sum, |state, cells, sum| {
                    // A clock that was set back must not put resets off until it has caught up.
                    let due = now.filter(|&now| {
                        let since = state.since.map_or(now, |since| since.min(now));
                        state.since = Some(since);
                        now - since >= min_reset
                    });
                    let shown = (state.subtract_from(cells, sum, layout.signed), state.start);
                    let width = layout.grid.width as usize;
                    let full = populated(cells, width, layout) > layout.max_buckets as usize;
                    let Some(now) = due.filter(|_| full) else { return (shown, false) };
                    state.reset(cells, sum, now);
                    (shown, true)
                }),
            };
            self.classic.extend(classic(cells, layout));
            self.views.push(View::new(cells, cut.cells.place() as usize, sum, start, layout));
        }
    }

    /// Whether a reset left nothing in this classic bucket of the series at `at`.
    pub(crate) fn is_empty_since_reset(&self, at: usize, bucket: usize) -> bool {
        let buckets = self.classic.len() / self.views.len().max(1);
        self.views.get(at).is_some_and(|view| view.start.is_some())
            && self.classic.get(at * buckets + bucket) == Some(&0)
    }

    /// The value of the series at `at`.
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
        let classic = layout.cuts.len() + 1;
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

impl NativeState {
    /// Takes the totals of the last reset away; returns what is left of the sum.
    fn subtract_from(&self, cells: &mut [u64], sum: f64, signed: bool) -> f64 {
        for (cell, before) in cells.iter_mut().zip(&self.cells) {
            *cell = cell.wrapping_sub(*before);
        }
        let left = sum - self.sum;
        // Positive values cannot sum to less than nothing, but the rounding of a large total could.
        if signed { left } else { left.max(0.0) }
    }

    /// Makes the totals the new zero: `cells` lack those of the last reset, `sum` does not.
    fn reset(&mut self, cells: &[u64], sum: f64, now: Duration) {
        if self.cells.is_empty() {
            self.cells = cells.into();
        } else {
            for (before, cell) in self.cells.iter_mut().zip(cells) {
                *before = before.wrapping_add(*cell);
            }
        }
        self.sum = sum;
        self.start = Some(now);
        self.since = Some(now);
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
        // Of each side what the steps so far have left: half of it each time, so all steps cost what one does.
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
        Self { schema, zero_count: cells[0], sum, count, positive, negative, start }
    }
}

/// Merges pairs of buckets. `edge` is the index below that of `window[0]`.
fn halve(window: &mut [u64], edge: i32) {
    for at in 0..window.len() {
        let count = std::mem::take(&mut window[at]);
        // Not above `at`: what is there has been taken already.
        let merged = &mut window[halved(at, edge)];
        *merged = merged.wrapping_add(count);
    }
}

/// Where the bucket at `at` goes: index `i` becomes `ceil(i / 2)`.
fn halved(at: usize, edge: i32) -> usize {
    let index = edge + 1 + at as i32;
    (((index + 1) >> 1) - (edge >> 1) - 1) as usize
}

/// Buckets that are not empty, but for the zero bucket, in windows of this width.
fn populated(cells: &[u64], width: usize, layout: &NativeLayout) -> usize {
    let sides = cells[1..].chunks_exact(layout.side());
    let shown = sides.flat_map(|side| side[..width].iter().chain(side.last()));
    shown.filter(|&&count| count != 0).count()
}

/// The counts of the classic buckets. Negative values are below every classic bound.
fn classic<'a>(cells: &'a [u64], layout: &'a NativeLayout) -> impl Iterator<Item = u64> + use<'a> {
    // As the encoder cumulates them: counts that do not fit together stay at the end of the range.
    let total = |cells: &[u64]| cells.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
    let (positive, negative) = cells.split_at(layout.side() + 1);
    let starts = std::iter::once(0).chain(layout.cuts.iter().map(|&cut| cut as usize + 1));
    let ends = layout.cuts.iter().map(|&cut| cut as usize + 1).chain([positive.len()]);
    let below = std::iter::once(total(negative)).chain(std::iter::repeat(0));
    starts
        .zip(ends)
        .zip(below)
        .map(move |((start, end), below)| total(&positive[start..end]).saturating_add(below))
}

fn cut_of(series: &SeriesRef) -> &Cut<NativeState> {
    match series.numbers() {
        Numbers::Native(cut) => cut,
        _ => unreachable!("a native histogram's series"),
    }
}

fn layout_of(descriptor: &Descriptor) -> &NativeLayout {
    match &descriptor.native {
        Some(layout) => layout,
        None => unreachable!("a native histogram has a layout"),
    }
}
