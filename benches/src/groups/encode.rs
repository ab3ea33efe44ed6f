//! Groups whose rows are one scrape, by sample line.

use super::Options;
use crate::floors;
use crate::peers::{OPENMETRICS, PROTOBUF, SCRAPERS, SHARDED, Scraper};
use crate::report::{self, Row};
use crate::scrape::{self, Target};
use crate::shape::{self, Shape};

/// A page to scrape and the encoders that write it.
pub(super) struct Registry {
    pub(super) group: &'static str,
    shape: fn() -> Shape,
    peers: &'static [(&'static str, Scraper)],
    /// The same page written by hand.
    floor: Option<(&'static str, Scraper)>,
    /// At most so many rounds.
    rounds_max: usize,
}

/// The page written by hand.
const FLOOR: (&str, Scraper) = ("floor: copy and digits", floors::scraper);

pub(super) const REGISTRIES: [Registry; 16] = [
    Registry {
        group: "encode-realistic",
        shape: shape::realistic,
        peers: &SCRAPERS,
        floor: Some(FLOOR),
        rounds_max: 99,
    },
    Registry {
        group: "encode-hist-1000x12",
        shape: || shape::histograms(1000),
        peers: &SCRAPERS,
        floor: Some(FLOOR),
        rounds_max: 99,
    },
    Registry {
        group: "encode-counters-10k",
        shape: || shape::counters(10_000),
        peers: &SCRAPERS,
        floor: Some(FLOOR),
        rounds_max: 99,
    },
    Registry {
        group: "encode-realistic-openmetrics",
        shape: shape::realistic,
        peers: &OPENMETRICS,
        floor: None,
        rounds_max: 99,
    },
    Registry {
        group: "encode-hist-1000x12-openmetrics",
        shape: || shape::histograms(1000),
        peers: &OPENMETRICS,
        floor: None,
        rounds_max: 99,
    },
    Registry {
        group: "encode-counters-10k-openmetrics",
        shape: || shape::counters(10_000),
        peers: &OPENMETRICS,
        floor: None,
        rounds_max: 99,
    },
    Registry {
        group: "encode-realistic-protobuf",
        shape: shape::realistic,
        peers: &PROTOBUF,
        floor: None,
        rounds_max: 99,
    },
    Registry {
        group: "encode-hist-1000x12-protobuf",
        shape: || shape::histograms(1000),
        peers: &PROTOBUF,
        floor: None,
        rounds_max: 99,
    },
    Registry {
        group: "encode-counters-10k-protobuf",
        shape: || shape::counters(10_000),
        peers: &PROTOBUF,
        floor: None,
        rounds_max: 99,
    },
    Registry {
        group: "encode-counters-100k",
        shape: || shape::counters(100_000),
        peers: SCRAPERS.split_at(7).0,
        floor: Some(FLOOR),
        rounds_max: 7,
    },
    // One scrape of the slowest takes seconds; the fastest peers and the one that Dynamo uses must do.
    Registry {
        group: "encode-counters-1m",
        shape: || shape::counters(1_000_000),
        peers: SCRAPERS.split_at(4).0,
        floor: Some(FLOOR),
        rounds_max: 3,
    },
    Registry {
        group: "encode-counters-100k-openmetrics",
        shape: || shape::counters(100_000),
        peers: &OPENMETRICS,
        floor: None,
        rounds_max: 7,
    },
    Registry {
        group: "encode-counters-100k-protobuf",
        shape: || shape::counters(100_000),
        peers: &PROTOBUF,
        floor: None,
        rounds_max: 7,
    },
    Registry {
        group: "encode-counters-1m-openmetrics",
        shape: || shape::counters(1_000_000),
        peers: OPENMETRICS.split_at(2).0,
        floor: None,
        rounds_max: 3,
    },
    Registry {
        group: "encode-counters-1m-protobuf",
        shape: || shape::counters(1_000_000),
        peers: PROTOBUF.split_at(2).0,
        floor: None,
        rounds_max: 3,
    },
    // The last, because from then on there are so many shards.
    Registry {
        group: "encode-realistic-16-shards",
        shape: shape::realistic,
        peers: &SHARDED,
        floor: None,
        rounds_max: 99,
    },
];

/// Measures the registry warm and cold, as wanted; `add` gets the rows and the table of each.
pub(super) fn run(
    registry: &Registry,
    warm: bool,
    cold: bool,
    options: Options,
    add: &mut impl FnMut((Vec<Row>, String)),
) {
    if !(warm || cold) {
        return;
    }
    let shape = (registry.shape)();
    let encoders = registry.peers.iter().chain(&registry.floor);
    let mut targets: Vec<Target> =
        encoders.map(|(what, make)| Target::new(*what, make(&shape))).collect();
    let lines = shape.lines();
    drop(shape);
    let rounds = options.plan.rounds.min(registry.rounds_max);
    if warm {
        let times = scrape::warm(&mut targets, lines, rounds);
        add(rows(registry.group, &mut targets, lines, &times));
    }
    if cold {
        let times = scrape::cold(&mut targets, lines, rounds);
        add(rows(&format!("{}-cold", registry.group), &mut targets, lines, &times));
    }
}

fn rows(
    group: &str,
    targets: &mut [Target],
    lines: usize,
    times: &[Vec<f64>],
) -> (Vec<Row>, String) {
    let mut rows: Vec<Row> = targets
        .iter_mut()
        .zip(times)
        .map(|(target, of)| Row {
            lines: Some(lines),
            bytes: Some(target.bytes() as f64),
            allocs: Some(target.allocations() as f64),
            ..Row::timed(group, target.what(), 1, of, &times[0])
        })
        .collect();
    report::compare_with_floors(&mut rows, times);
    let table = report::scrapes(&format!("{group} ({lines} sample lines)"), &rows);
    (rows, table)
}
