//! Groups whose rows are one operation of recording.

use super::Options;
use crate::floors;
use crate::measure::{self, Case, Plan};
use crate::ours::{self, NAME};
use crate::peers::{
    contatori, dynamo_metrics, fast_counter, fast_telemetry, fastmetrics, hdrhistogram, measured,
    metrics, metriken, opentelemetry, prometheus, prometheus_client,
};
use crate::report::{self, Row};
use crate::values::{Data, bounds, token_bounds};
use std::hint::black_box;
use std::sync::Arc;

pub(super) const GROUPS: [&str; 8] = [
    "counter",
    "updown",
    "histogram-11",
    "histogram-20",
    "histogram-64",
    "bucket-lookup",
    "family",
    "token",
];

/// Number of times that the metrics of a group are made anew, each time at other places of the heap.
const PLACEMENTS: usize = 5;

pub(super) fn run(group: &str, options: Options) -> (Vec<Row>, String) {
    let threads: &[usize] = match group {
        "bucket-lookup" => return bucket_lookup(options),
        "counter" | "histogram-11" => &[1, 2, 4, 8],
        _ => &[1, 2],
    };
    let rows = time(group, || cases(group), threads, options);
    let table = report::operations(group, &rows);
    (rows, table)
}

/// Rows of these cases on each number of threads, compared with the case named as ours.
pub(super) fn time(
    group: &str,
    cases: impl Fn() -> Vec<Case>,
    threads: &[usize],
    options: Options,
) -> Vec<Row> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let placements = options.plan.rounds.min(PLACEMENTS);
    // Kept until the end, so that the next are made elsewhere.
    let made: Vec<Vec<Case>> = (0..placements).map(|_| cases()).collect();
    let mut rows = Vec::new();
    for &threads in threads {
        // Slices are longer with more threads than cores, see `measure`; more rounds would not tell more.
        let rounds = options.plan.rounds.div_ceil(placements);
        let rounds = if threads > cores { 1 } else { rounds };
        let plan = Plan { rounds, ..options.plan };
        let mut whats: Vec<&str> = Vec::new();
        let mut times: Vec<Vec<f64>> = Vec::new();
        for cases in &made {
            let cases: Vec<&Case> = cases.iter().filter(|case| case.runs_on(threads)).collect();
            whats = cases.iter().map(|case| case.what()).collect();
            times.resize(cases.len(), Vec::new());
            for (all, more) in times.iter_mut().zip(measure::run(&cases, threads, plan)) {
                all.extend(more);
            }
        }
        let ours = whats.iter().position(|what| *what == NAME).map_or(&[][..], |at| &times[at]);
        let timed = |(what, of): (&&str, &Vec<f64>)| Row::timed(group, what, threads, of, ours);
        let mut here: Vec<Row> = whats.iter().zip(&times).map(timed).collect();
        report::compare_with_floors(&mut here, &times);
        rows.extend(here);
    }
    rows
}

fn cases(group: &str) -> Vec<Case> {
    let data = Data::new();
    match group {
        "counter" => counter(),
        "updown" => updown(),
        "histogram-11" => histogram(&data, 11),
        "histogram-20" => histogram(&data, 20),
        "histogram-64" => histogram(&data, 64),
        "family" => family(&data),
        "token" => token(&data),
        other => panic!("no group {other}"),
    }
}

fn counter() -> Vec<Case> {
    [
        dynamo_metrics::counter(),
        contatori::counter(),
        fast_counter::counter(),
        fast_telemetry::counter(),
        fastmetrics::counter(),
        measured::counter(),
        metrics::counter(),
        metriken::counter(),
        opentelemetry::counter(),
        prometheus::counter(),
        prometheus_client::counter(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn updown() -> Vec<Case> {
    [
        dynamo_metrics::updown(),
        contatori::updown(),
        fast_counter::updown(),
        fast_telemetry::updown(),
        fastmetrics::updown(),
        measured::updown(),
        metrics::updown(),
        metriken::updown(),
        opentelemetry::updown(),
        prometheus::updown(),
        prometheus_client::updown(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn histogram(data: &Data, count: usize) -> Vec<Case> {
    let bounds = bounds(count);
    let mut cases: Vec<Case> = [
        vec![loop_and_value(data)],
        floors::histogram(data, &bounds),
        dynamo_metrics::histogram(data, &bounds),
        fast_telemetry::histogram(data, &bounds),
        fastmetrics::histogram(data, &bounds),
        measured::histogram(data, &bounds),
        metrics::histogram(data, &bounds),
        opentelemetry::histogram(data, &bounds),
        prometheus::histogram(data, &bounds),
        prometheus_client::histogram(data, &bounds),
    ]
    .into_iter()
    .flatten()
    .collect();
    if count == 11 {
        // These have buckets of their own, whatever the bounds.
        cases.extend(hdrhistogram::histogram(data));
        cases.extend(metriken::histogram(data));
    }
    cases
}

fn family(data: &Data) -> Vec<Case> {
    [
        dynamo_metrics::family(data),
        fast_telemetry::family(data),
        fastmetrics::family(data),
        measured::family(data),
        metrics::family(data),
        opentelemetry::family(data),
        prometheus::family(data),
        prometheus_client::family(data),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn token(data: &Data) -> Vec<Case> {
    [
        vec![floors::token(data, &token_bounds())],
        dynamo_metrics::token(data),
        fast_telemetry::token(data),
        fastmetrics::token(data),
        measured::token(data),
        metrics::token(data),
        opentelemetry::token(data),
        prometheus::token(data),
        prometheus_client::token(data),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn bucket_lookup(options: Options) -> (Vec<Row>, String) {
    let (mut rows, mut tables) = (Vec::new(), String::new());
    for count in [11, 20, 64] {
        let mut timed = time("bucket-lookup", || lookups(&Data::new(), count), &[1], options);
        timed.iter_mut().for_each(|row| row.bounds = Some(count));
        tables += &report::operations(&format!("bucket-lookup, {count} bounds"), &timed);
        tables += "\n";
        rows.extend(timed);
    }
    (rows, tables)
}

/// Time of each way to find a value's bucket.
fn lookups(data: &Data, count: usize) -> Vec<Case> {
    let bounds: Arc<[f64]> = bounds(count).into();
    let buckets = Arc::new(ours::buckets(&bounds));
    let (scanned, searched) = (Arc::clone(&bounds), bounds);
    vec![
        loop_and_value(data),
        Case::over(NAME, &data.latencies, move || {
            let buckets = Arc::clone(&buckets);
            move |value| _ = black_box(buckets.index(value))
        }),
        Case::over("linear scan", &data.latencies, move || {
            let bounds = Arc::clone(&scanned);
            move |value| _ = black_box(bounds.iter().position(|&bound| value <= bound))
        }),
        Case::over("binary search", &data.latencies, move || {
            let bounds = Arc::clone(&searched);
            move |value| _ = black_box(bounds.partition_point(|&bound| bound < value))
        }),
    ]
}

/// The loop and the value alone, without the operation.
fn loop_and_value(data: &Data) -> Case {
    Case::over("(loop and value)", &data.latencies, || |value| _ = black_box(value))
}
