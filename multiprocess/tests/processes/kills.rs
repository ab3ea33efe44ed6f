//! Processes that are killed while they record, and started again.

use crate::child::Process;
use crate::directory::{Directory, family, number};
use dynamo_metrics_multiprocess::{Page, Value};

const PROCESSES: usize = 8;

/// Restarts of the test: 60, or as many as `RESTARTS` says; 1,000 take a minute.
fn restarts() -> usize {
    std::env::var("RESTARTS").map_or(60, |it| it.parse().expect("RESTARTS is a number"))
}

/// The counts of a page, which must fit together: `second` follows `first` by at most one for each process so far.
fn check(page: &Page, before: &mut [f64; 4], started: usize) {
    let (count, sum) = match family(page, "h").map(|family| &family.series[0].value) {
        Some(Value::Histogram(counts, sum)) => (counts.iter().sum::<u64>() as f64, *sum),
        None => (0.0, 0.0),
        other => panic!("h is {other:?}"),
    };
    let now = [number(page, "first"), number(page, "second"), count, sum];
    for (before, now) in before.iter_mut().zip(now) {
        assert!(now >= *before, "{now} after {before}");
        *before = now;
    }
    assert!(page.conflicts.is_empty() && page.refused == 0);
    assert!(page.files as usize <= PROCESSES, "{} files", page.files);
    assert!(now[3] <= now[2] / 2.0 + started as f64, "the sum is ahead of the buckets: {now:?}");
}

#[test]
fn a_killed_process_loses_nothing_and_its_file_goes_to_the_next() {
    let directory = Directory::new();
    let mut before = [0.0; 4];
    let mut said = 0u64;
    let mut running: Vec<Process> = Vec::new();
    let mut bytes = 0;
    for started in 1..=restarts() {
        if running.len() == PROCESSES {
            let mut oldest = running.remove(0);
            oldest.kill();
            // The lines that it printed before it was killed.
            let last = std::iter::from_fn(|| oldest.line()).filter_map(|it| it.parse::<u64>().ok());
            // The first thousand was counted when it started.
            said += last.last().map_or(0, |last| last - 1_000);
        }
        let mut process = Process::start("count", &directory.0);
        assert_eq!(process.line().as_deref(), Some("1000"), "it counts");
        said += 1000;
        running.push(process);
        check(&directory.page(), &mut before, started);
        if started == PROCESSES {
            bytes = directory.size().1;
        }
    }
    for mut process in running {
        process.kill();
    }
    let page = directory.page();
    check(&page, &mut before, restarts());
    let (first, second) = (number(&page, "first"), number(&page, "second"));
    assert!(first >= said as f64, "{first} of {said} that processes said");
    assert!((0.0..=restarts() as f64).contains(&(first - second)), "{first} and {second}");
    println!("{first} increments by {} processes, {PROCESSES} at a time", restarts());
    assert_eq!(directory.size(), (PROCESSES, bytes), "files do not grow");
    let again = directory.page();
    assert_eq!(again, page, "nothing changes while no process runs");
}
