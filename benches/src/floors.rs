//! Floors: the same work written by hand, as plainly as possible and without any feature, in the same run as the rest.
//!
//! A processor decides what a store that a load waits for costs, so a figure means something only beside such a row. A floor
//! knows one histogram, made beforehand; it has no label, no registry and no other thread, rejects no value, and cannot be
//! scraped while it records.
//!
//! ```text
//! floor: lookup, bucket, sum            table lookup, one cell, one f64 sum, of a thread-local block
//! floor: lookup, bucket, integer sum    the same of integers
//! floor: token                          a counter besides
//! floor: copy and digits                copies what is before a number, writes the number, ends the line
//! ```

use crate::measure::Case;
use crate::scrape::Scrape;
use crate::shape::{Family, Kind, Shape};
use crate::values::{Data, Table};
use std::cell::Cell;
use std::sync::Arc;

/// Cells of the block, a power of two: an index needs a mask instead of a check.
const CELLS: usize = 256;
/// Keys of a lookup table, a power of two as well. The bounds of the benches need fewer.
const KEYS: usize = 1024;
const COUNTER: usize = CELLS - 1;
const SUM: usize = CELLS - 2;

thread_local! {
    static BLOCK: [Cell<u64>; CELLS] = const { [const { Cell::new(0) }; CELLS] };
}

/// The bits of a bound, and the bucket that it ends, for each value of a float's first bits.
#[derive(Debug)]
struct Lookup {
    keys: [(u64, u64); KEYS],
    first: u64,
    last: u64,
}

/// Bits that are not part of a key: what is left tells every two bounds of the benches apart.
const SHIFT: u32 = f64::MANTISSA_DIGITS - 1 - 4;

impl Lookup {
    fn new(bounds: &[f64]) -> Arc<Self> {
        let bits: Vec<u64> = bounds.iter().map(|bound| bound.to_bits()).collect();
        let least = bits.iter().copied().find(|&bits| bits > 0).unwrap_or(1 << SHIFT);
        let first = (least >> SHIFT) - 1;
        let last = (bits.last().copied().unwrap_or(least) >> SHIFT) + 1 - first;
        assert!(last < KEYS as u64, "the bounds of the benches span less");
        let keys = std::array::from_fn(|key| {
            let begin = if key == 0 { 0 } else { (first + key as u64) << SHIFT };
            let bucket = bits.partition_point(|&bound| bound < begin);
            (bits.get(bucket).copied().unwrap_or(u64::MAX), bucket as u64)
        });
        Arc::new(Self { keys, first, last })
    }

    #[inline(always)]
    fn bucket(&self, bits: u64) -> usize {
        let key = (bits >> SHIFT).max(self.first) - self.first;
        let (bound, bucket) = self.keys[key.min(self.last) as usize % KEYS];
        bucket as usize + usize::from(bits > bound)
    }
}

#[inline(always)]
fn add(block: &[Cell<u64>; CELLS], cell: usize, n: u64) {
    let cell = &block[cell % CELLS];
    cell.set(cell.get().wrapping_add(n));
}

/// The floors of a histogram with these bounds.
pub(crate) fn histogram(data: &Data, bounds: &[f64]) -> Vec<Case> {
    let (floats, integers) = (Lookup::new(bounds), Lookup::new(&nanos_of(bounds)));
    vec![
        Case::over("floor: lookup, bucket, sum", &data.latencies, move || {
            let lookup = Arc::clone(&floats);
            move |value| {
                BLOCK.with(|block| {
                    add(block, lookup.bucket(value.to_bits()), 1);
                    let sum = &block[SUM];
                    sum.set((f64::from_bits(sum.get()) + value).to_bits());
                });
            }
        }),
        Case::over("floor: lookup, bucket, integer sum", &nanos(&data.latencies), move || {
            let lookup = Arc::clone(&integers);
            move |nanos| {
                BLOCK.with(|block| {
                    add(block, lookup.bucket(float_bits(nanos)), 1);
                    add(block, SUM, nanos);
                });
            }
        }),
    ]
}

/// The floor of a token: its counter, and the time since the one before in nanoseconds.
pub(crate) fn token(data: &Data, bounds: &[f64]) -> Case {
    let lookup = Lookup::new(&nanos_of(bounds));
    Case::over("floor: token", &nanos(&data.tokens), move || {
        let lookup = Arc::clone(&lookup);
        move |nanos| {
            BLOCK.with(|block| {
                add(block, COUNTER, 1);
                add(block, lookup.bucket(float_bits(nanos)), 1);
                add(block, SUM, nanos);
            });
        }
    })
}

/// Seconds as whole nanoseconds.
pub(crate) fn nanos(seconds: &Table<f64>) -> Arc<Table<u64>> {
    Arc::new(seconds.map(|value| (value * 1e9).round() as u64))
}

fn nanos_of(bounds: &[f64]) -> Vec<f64> {
    bounds.iter().map(|bound| (bound * 1e9).round()).collect()
}

/// The bits of an integer below 2^52 as a float, without a conversion.
#[inline(always)]
fn float_bits(integer: u64) -> u64 {
    const TWO_TO_THE_52: f64 = 4_503_599_627_370_496.0;
    (f64::from_bits(TWO_TO_THE_52.to_bits() | integer) - TWO_TO_THE_52).to_bits()
}

/// Writes the page of a shape.
pub(crate) fn scraper(shape: &Shape) -> Box<dyn Scrape> {
    let mut page = Page::default();
    for family in &shape.families {
        page.family(family);
    }
    page.body = vec![0; page.lines.len() * (ROOM + 24) + page.text_bytes];
    Box::new(page)
}

/// A line is copied in blocks of known size, since a call of `memcpy` costs more than most lines.
const BLOCK_BYTES: usize = 32;
/// The longest text of a line of the benches.
const ROOM: usize = 256;

/// A page as texts and the numbers between them.
#[derive(Debug, Default)]
struct Page {
    lines: Vec<Line>,
    /// Every text, one after the other; readable beyond the last by [`ROOM`].
    texts: Vec<u8>,
    numbers: Vec<u64>,
    text_bytes: usize,
    body: Vec<u8>,
    written: usize,
}

/// A text, and whether a number and the end of a line follow.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: u32,
    len: u32,
    sample: bool,
}

impl Page {
    fn text(&mut self, text: &str, number: Option<u64>) {
        assert!(text.len() <= ROOM);
        self.texts.truncate(self.texts.len().saturating_sub(ROOM));
        let line =
            Line { at: self.texts.len() as u32, len: text.len() as u32, sample: number.is_some() };
        self.texts.extend_from_slice(text.as_bytes());
        self.texts.resize(self.texts.len() + ROOM, 0);
        self.lines.push(line);
        self.numbers.extend(number);
        self.text_bytes += text.len();
    }

    fn family(&mut self, family: &Family) {
        let name = &family.name;
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram { .. } => "histogram",
        };
        self.text(&format!("# HELP {name} {}\n# TYPE {name} {kind}\n", family.help), None);
        for (at, values) in family.series.iter().enumerate() {
            let labels: Vec<String> = family
                .labels
                .iter()
                .zip(values)
                .map(|(label, value)| format!("{label}=\"{value}\""))
                .collect();
            let labels = labels.join(",");
            match &family.kind {
                Kind::Histogram { bounds, .. } => {
                    let observed: Vec<f64> = family.observations(at).collect();
                    for bound in bounds.iter().copied().chain([f64::INFINITY]) {
                        let below = observed.iter().filter(|&&value| value <= bound).count();
                        let bound = bound.to_string().replace("inf", "+Inf");
                        let text = format!("{name}_bucket{{{labels},le=\"{bound}\"}} ");
                        self.text(&text, Some(below as u64));
                    }
                    // Whole, since digits of a fraction are not what a floor is about.
                    let sum = observed.iter().sum::<f64>() as u64;
                    self.text(&format!("{name}_sum{{{labels}}} "), Some(sum));
                    self.text(&format!("{name}_count{{{labels}}} "), Some(observed.len() as u64));
                }
                _ if labels.is_empty() => self.text(&format!("{name} "), Some(family.count(at))),
                _ => self.text(&format!("{name}{{{labels}}} "), Some(family.count(at))),
            }
        }
    }
}

impl Scrape for Page {
    fn scrape(&mut self) {
        let (mut at, mut numbers) = (0, self.numbers.iter());
        let mut digits = itoa::Buffer::new();
        for line in &self.lines {
            let (text, len) = (&self.texts[line.at as usize..], line.len as usize);
            for block in 0..len.div_ceil(BLOCK_BYTES) {
                let from = &text[block * BLOCK_BYTES..][..BLOCK_BYTES];
                self.body[at + block * BLOCK_BYTES..][..BLOCK_BYTES].copy_from_slice(from);
            }
            at += len;
            if line.sample
                && let Some(&number) = numbers.next()
            {
                let digits = digits.format(number).as_bytes();
                self.body[at..][..digits.len()].copy_from_slice(digits);
                at += digits.len() + 1;
                self.body[at - 1] = b'\n';
            }
        }
        self.written = at;
    }

    fn body(&self) -> &[u8] {
        &self.body[..self.written]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape;
    use crate::values::bounds;

    #[test]
    fn a_floor_finds_the_bucket() {
        for count in [11, 20, 64] {
            let bounds = bounds(count);
            let (floats, integers) = (Lookup::new(&bounds), Lookup::new(&nanos_of(&bounds)));
            for &value in Data::new().latencies.iter().chain(&bounds) {
                let value = (value * 1e9).round() / 1e9;
                let expected = bounds.partition_point(|&bound| bound < value);
                assert_eq!(floats.bucket(value.to_bits()), expected, "{value}");
                let nanos = (value * 1e9).round();
                let expected = nanos_of(&bounds).partition_point(|&bound| bound < nanos);
                assert_eq!(integers.bucket(float_bits(nanos as u64)), expected, "{nanos}");
            }
        }
    }

    #[test]
    fn a_floor_writes_every_line_of_the_page() {
        for shape in [shape::realistic(), shape::histograms(20), shape::counters(200)] {
            let mut page = scraper(&shape);
            page.scrape();
            let text = std::str::from_utf8(page.body()).unwrap();
            let samples = text.lines().filter(|line| !line.starts_with('#')).count();
            assert_eq!(samples, shape.lines());
            dynamo_metrics_parser::parse(page.body()).unwrap();
        }
    }
}
