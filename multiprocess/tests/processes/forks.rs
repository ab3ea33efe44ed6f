//! Forked processes.

use crate::child::{Process, say};
use crate::directory::{Directory, family, number};
use dynamo_metrics_multiprocess::{Error, Mode, Opts, Processes, Value};
use dynamo_metrics_test_support::Forked;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);
const COUNTS: u32 = 10_000;

/// A process that forks others, of which the first two join again; all count.
pub(crate) fn fork(processes: &Processes) {
    let counter = processes.counter(&Opts::new("n", "N.")).unwrap();
    let gauge = processes.gauge(&Opts::new("g", "G."), Mode::Sum).unwrap();
    let gone = processes.counter(&Opts::new("gone", "G.")).unwrap();
    processes.remove(&Opts::new("gone", "G."));
    counter.inc();
    gauge.set(1.0);
    let work = |n: u8| {
        if n < 2 {
            processes.rejoin().unwrap();
            gauge.set(10.0);
            gone.inc();
        }
        let own = processes.counter(&Opts::new("own", "O.").label("n", n.to_string()));
        match own {
            Ok(own) => own.inc(),
            Err(Error::Forked { .. }) => {
                assert!(n >= 2 && !processes.remove(&Opts::new("n", "N.")))
            }
            Err(other) => panic!("{other}"),
        }
        (0..COUNTS).for_each(|_| counter.inc());
        0
    };
    let children: Vec<_> = (0..4).map(|n| Forked::start(LIMIT, || work(n))).collect();
    (0..COUNTS).for_each(|_| counter.inc());
    say(children.into_iter().filter_map(Forked::result).map(u32::from).sum::<u32>());
}

#[test]
fn a_fork_that_joins_again_has_gauges_of_its_own_and_one_that_does_not_loses_nothing() {
    let directory = Directory::new();
    let mut parent = Process::start("fork", &directory.0);
    assert_eq!(parent.line().as_deref(), Some("0"));
    parent.kill();
    let page = directory.page();
    assert_eq!(number(&page, "n"), f64::from(5 * COUNTS + 1));
    assert_eq!(number(&page, "g"), 21.0);
    assert!(family(&page, "gone").is_none());
    let own = family(&page, "own").unwrap();
    assert_eq!(own.series.len(), 2);
    assert!(own.series.iter().all(|series| series.value == Value::Number(1.0)));
    assert!(page.files <= 3, "{} files", page.files);
}
