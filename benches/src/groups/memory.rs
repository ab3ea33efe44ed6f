//! Requested bytes of one series: 10,000 counters with 3 labels, 1,000 histograms with 12 bounds and 3 labels.
//!
//! Memory of the registry alone, by a counting allocator; an allocator's own overhead is not counted. Our cells
//! are not in the heap but in the shard of each writing thread, so they stand in a row of their own, and so does
//! what the encoder keeps once it has been scraped (labels rendered once, a snapshot), which others need not
//! keep, because they render at each scrape.

use crate::heap::{self, Usage};
use crate::ours::{self, NAME, Scraper};
use crate::peers::SCRAPERS;
use crate::report::{self, Row, rounded};
use crate::scrape::Scrape as _;
use crate::shape::{self, Shape};

/// Bytes of a cell.
const CELL: usize = 8;
/// Cells of a histogram beside its buckets: two halves of the sum.
const SUMS: usize = 2;

pub(super) fn run() -> (Vec<Row>, String) {
    let histogram_cells = 12 + 1 + SUMS;
    let (mut rows, mut tables) = (Vec::new(), String::new());
    for (metric, title, shape, cells) in [
        ("counter", "memory, a counter with 3 labels", shape::counters(10_000), 1),
        (
            "histogram",
            "memory, a histogram with 12 bounds",
            shape::histograms(1000),
            histogram_cells,
        ),
    ] {
        let measured = measure(metric, &shape, cells);
        tables += &report::memory(title, &measured);
        tables += "\n";
        rows.extend(measured);
    }
    (rows, tables)
}

fn measure(metric: &'static str, shape: &Shape, cells: usize) -> Vec<Row> {
    let (ours, kept) = alone(|| {
        // A thread leases its shard once, which belongs to no series.
        ours::counter().inc();
        let (registry, ours) = heap::measure(|| ours::registry(shape));
        let mut scraper = Scraper::new(registry);
        let ((), scraped) = heap::measure(|| scraper.scrape());
        // Every peer needs a buffer for the body.
        let bytes = ours.bytes + scraped.bytes - scraper.buffer() as i64;
        (ours, Usage { allocations: ours.allocations + scraped.allocations, bytes })
    });
    let pages = Usage { allocations: 0, bytes: (cells * CELL * shape.series()) as i64 };
    let peers =
        SCRAPERS[1..].iter().map(|(what, make)| (*what, alone(|| heap::measure(|| make(shape)).1)));
    [
        (NAME, ours),
        ("dynamo-metrics, shard of each writing thread", pages),
        ("dynamo-metrics, with what a scraper keeps", kept),
    ]
    .into_iter()
    .chain(peers)
    .map(|(what, usage)| {
        let series = shape.series() as f64;
        Row {
            group: "memory".into(),
            what: what.into(),
            threads: 1,
            ratio_median: rounded(Some(usage.bytes as f64 / ours.bytes as f64)),
            metric: Some(metric),
            bytes: rounded(Some(usage.bytes as f64 / series)),
            allocs: rounded(Some(usage.allocations as f64 / series)),
            ..Row::default()
        }
    })
    .collect()
}

/// Does `work` on a thread of its own, so that nothing stays in the caches of this one that the next could free.
fn alone<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
