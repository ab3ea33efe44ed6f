//! Pages of files that disagree: on names, on the order of labels, and on where a family is.

use crate::directory::{Directory, family, number};
use dynamo_metrics_multiprocess::{Mode, Opts, Processes, Value};
use std::os::unix::fs::FileExt;

#[test]
fn a_series_in_a_place_before_that_of_its_family_is_on_the_page() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let old = Opts::new("old", "Old.").label("a", "b");
    processes.counter(&old).unwrap().inc();
    processes.remove(&old);
    // The series has the room of the old one; the family, which is longer, is behind it.
    let help = "A help that is longer than the one of the family before.";
    let new = Opts::new("new", help).label("a", "b");
    processes.counter(&new).unwrap().add_with_exemplar(1.0, &[("trace_id", "x")]);
    let page = directory.page();
    assert_eq!(number(&page, "new"), 1.0);
    assert_eq!(family(&page, "new").unwrap().series[0].exemplars.len(), 1);
}

#[test]
fn a_family_without_series_takes_its_name_from_no_other() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let opts = Opts::new("n", "N.");
    processes.histogram_of_bounds(&opts, &[1.0]).unwrap();
    processes.remove(&opts);
    processes.histogram_of_bounds(&opts, &[2.0]).unwrap().observe_in(0, 1.5);
    let page = directory.page();
    assert!(page.conflicts.is_empty(), "{page:?}");
    assert_eq!(page.families[0].bounds, [2.0]);
}

#[test]
fn a_copy_of_a_file_under_another_name_is_not_counted() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    processes.counter(&Opts::new("n", "N.")).unwrap().inc();
    for name in ["process-00.metrics", "process-+0.metrics", "process-0.metrics.old"] {
        std::fs::copy(directory.0.join("process-0.metrics"), directory.0.join(name)).unwrap();
    }
    let page = directory.page();
    assert_eq!((page.files, number(&page, "n")), (1, 1.0));
}

#[test]
fn numbers_of_damaged_files_overflow_nowhere() {
    let directory = Directory::new();
    let all = [(); 2].map(|()| Processes::join(&directory.0).unwrap());
    let opts = Opts::new("n", "N.");
    for processes in &all {
        processes.counter(&opts).unwrap().inc();
    }
    let file = |number: u32| {
        let path = directory.0.join(format!("process-{number}.metrics"));
        std::fs::File::options().write(true).open(path).unwrap()
    };
    for number in 0..2 {
        // The series that were refused.
        file(number).write_all_at(&u64::MAX.to_ne_bytes(), 24).unwrap();
    }
    assert_eq!(directory.page().refused, u64::MAX);
    // The states of records among them.
    for word in 8..100 {
        file(0).write_all_at(&u64::MAX.to_ne_bytes(), word * 8).unwrap();
    }
    assert!(all[0].remove(&opts));
}

#[test]
fn a_label_of_the_program_named_pid_stays() {
    let directory = Directory::new();
    let all = [(); 2].map(|()| Processes::join(&directory.0).unwrap());
    let opts = Opts::new("g", "G.").label("pid", "7");
    for processes in &all {
        processes.gauge(&opts, Mode::All).unwrap().set(1.0);
    }
    let page = directory.page();
    let [series] = page.families[0].series.as_slice() else { panic!("{page:?}") };
    assert_eq!(series.labels, [("pid".to_owned(), "7".to_owned())]);
}

#[test]
fn a_counter_is_one_with_and_without_its_suffix() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    for name in ["a_total", "a", "b", "b_total"] {
        processes.counter(&Opts::new(name, "N.")).unwrap().inc();
    }
    // The names of gauges are what they are.
    processes.gauge(&Opts::new("c", "C."), Mode::Sum).unwrap();
    processes.counter(&Opts::new("c_total", "C.")).unwrap();
    let page = directory.page();
    assert_eq!((number(&page, "a_total"), number(&page, "b")), (2.0, 2.0));
    assert_eq!((page.families.len(), page.conflicts.len()), (4, 0));
}

#[test]
fn the_order_of_labels_makes_no_other_series() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let opts = Opts::new("n", "N.");
    processes.counter(&opts.clone().label("b", "2").label("a", "1")).unwrap().inc();
    processes.counter(&opts.clone().label("a", "1").label("b", "2")).unwrap().inc();
    processes.counter(&opts.clone().label("a", "2").label("b", "1")).unwrap().inc();
    let page = directory.page();
    let values: Vec<_> = page.families[0].series.iter().map(|series| &series.value).collect();
    assert_eq!(values, [&Value::Number(2.0), &Value::Number(1.0)]);
}

#[test]
fn a_label_name_that_is_given_twice_has_the_last_value() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let opts = |first: &str| Opts::new("n", "N.").label("x", first).label("y", "1").label("x", "2");
    for first in ["1", "3"] {
        processes.counter(&opts(first)).unwrap().inc();
    }
    let page = directory.page();
    let [series] = page.families[0].series.as_slice() else { panic!("{page:?}") };
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(series.labels, [label("x", "2"), label("y", "1")]);
    assert_eq!(series.value, Value::Number(2.0));
}
