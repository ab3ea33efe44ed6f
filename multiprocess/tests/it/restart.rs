//! Processes that are started again with another kind, mode or buckets of a metric.

use crate::directory::{Directory, family, number};
use dynamo_metrics_multiprocess::{FamilyKind, Mode, Opts, Page, Processes, Value};

const BEFORE: [f64; 1] = [1.0];
const NOW: [f64; 2] = [2.0, 3.0];

fn opts() -> Opts {
    Opts::new("n", "N.")
}

/// Observes one value that is in the first bucket of all.
fn observe(processes: &Processes, bounds: &[f64]) {
    processes.histogram_of_bounds(&opts(), bounds).unwrap().observe_in(0, 0.5);
}

/// Returns the buckets of the histogram, and the observations in the first of them.
fn shown(page: &Page) -> (Vec<f64>, u64) {
    let family = family(page, "n").unwrap();
    let Value::Histogram(counts, _) = &family.series[0].value else { panic!("{page:?}") };
    (family.bounds.clone(), counts[0])
}

#[test]
fn buckets_of_a_process_that_runs_are_on_the_page_and_those_of_one_before_it_are_not() {
    let directory = Directory::new();
    observe(&Processes::join(&directory.0).unwrap(), &BEFORE);
    assert_eq!(shown(&directory.page()), (BEFORE.to_vec(), 1));
    let running = Processes::join(&directory.0).unwrap();
    observe(&running, &NOW);
    let page = directory.page();
    assert_eq!((page.files, shown(&page)), (1, (NOW.to_vec(), 1)));
    assert_eq!(page.conflicts, ["n"]);
    drop(running);
    // The counts of the first one were kept.
    let again = Processes::join(&directory.0).unwrap();
    observe(&again, &BEFORE);
    assert_eq!(shown(&directory.page()), (BEFORE.to_vec(), 2));
}

#[test]
fn another_mode_or_kind_is_that_of_the_process_that_runs() {
    let directory = Directory::new();
    let before = Processes::join(&directory.0).unwrap();
    before.gauge(&opts(), Mode::Max).unwrap().set(5.0);
    before.counter(&Opts::new("m_total", "M.")).unwrap().add(3.0);
    drop(before);
    let running = Processes::join(&directory.0).unwrap();
    running.gauge(&opts(), Mode::Min).unwrap().set(7.0);
    running.gauge(&Opts::new("m_total", "M."), Mode::Sum).unwrap().set(9.0);
    let page = directory.page();
    assert_eq!((number(&page, "n"), number(&page, "m_total")), (7.0, 9.0));
    assert_eq!(family(&page, "m_total").unwrap().kind, FamilyKind::Gauge);
    assert_eq!(page.conflicts.len(), 2);
}

#[test]
fn of_processes_that_run_the_first_one_decides() {
    let directory = Directory::new();
    let first = Processes::join(&directory.0).unwrap();
    let second = Processes::join(&directory.0).unwrap();
    let third = Processes::join(&directory.0).unwrap();
    observe(&first, &BEFORE);
    observe(&second, &NOW);
    observe(&third, &NOW);
    assert_eq!(shown(&directory.page()), (BEFORE.to_vec(), 1));
    drop(first);
    assert_eq!(shown(&directory.page()), (NOW.to_vec(), 2));
    drop((second, third));
    assert_eq!(shown(&directory.page()), (BEFORE.to_vec(), 1), "as none runs");
}

#[test]
fn of_one_process_the_family_that_was_first_decides() {
    let directory = Directory::new();
    let process = Processes::join(&directory.0).unwrap();
    observe(&process, &BEFORE);
    observe(&process, &NOW);
    assert_eq!(shown(&directory.page()), (BEFORE.to_vec(), 1));
}

#[test]
fn a_family_that_a_process_removed_takes_its_name_from_no_process_that_uses_another() {
    let directory = Directory::new();
    let first = Processes::join(&directory.0).unwrap();
    let second = Processes::join(&directory.0).unwrap();
    observe(&second, &BEFORE);
    let third = Processes::join(&directory.0).unwrap();
    observe(&third, &NOW);
    observe(&first, &[4.0]);
    first.remove(&opts());
    assert_eq!(shown(&directory.page()), (BEFORE.to_vec(), 1));
}
