//! Processes that look for a file, and what they find in it.

use crate::directory::{Directory, number};
use dynamo_metrics_multiprocess::{Mode, Opts, Processes};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;

#[test]
fn a_handle_of_a_removed_series_records_into_no_file_that_another_process_takes() {
    let directory = Directory::new();
    let opts = |value: &str| Opts::new("n", "N.").label("a", value);
    let processes = Processes::join(&directory.0).unwrap();
    let held = processes.counter(&opts("1")).unwrap();
    processes.remove(&opts("1"));
    drop(processes);
    let next = Processes::join(&directory.0).unwrap();
    next.counter(&opts("2")).unwrap().inc();
    held.add(100.0);
    assert_eq!(number(&directory.page(), "n"), 1.0);
}

#[test]
fn a_gauge_that_is_no_number_takes_no_extreme_of_processes_that_ended() {
    for (mode, values, expected) in [
        (Mode::Max, [5.0, f64::NAN, 1.0], 5.0),
        (Mode::Min, [-5.0, f64::NAN, -1.0], -5.0),
        (Mode::Max, [f64::NAN, f64::NAN, 1.0], 1.0),
    ] {
        let directory = Directory::new();
        for value in values {
            let processes = Processes::join(&directory.0).unwrap();
            processes.gauge(&Opts::new("g", "G."), mode).unwrap().set(value);
        }
        assert_eq!(number(&directory.page(), "g"), expected, "{mode} of {values:?}");
    }
}

#[test]
fn a_running_process_with_the_number_of_one_that_ended_shows_its_own_gauge() {
    let set = |processes: &Processes, value| {
        processes.gauge(&Opts::new("g", "G."), Mode::All).unwrap().set(value);
    };
    for running in [0, 1] {
        let directory = Directory::new();
        // Both have the number of this process.
        let mut both = [(); 2].map(|()| Some(Processes::join(&directory.0).unwrap()));
        for processes in both.iter().flatten() {
            set(processes, 2.0);
        }
        both[1 - running] = None;
        set(both[running].as_ref().unwrap(), 3.0);
        assert_eq!(
            number(&directory.page(), "g"),
            3.0,
            "the file {running} is of the one that runs"
        );
    }
}

#[test]
fn what_is_no_file_is_left_alone() {
    let directory = Directory::new();
    std::fs::create_dir_all(directory.0.join("process-0.metrics")).unwrap();
    let processes = Processes::join(&directory.0).unwrap();
    processes.counter(&Opts::new("n", "N.")).unwrap().inc();
    let page = directory.page();
    assert_eq!((page.files, number(&page, "n")), (1, 1.0));
}

#[test]
fn a_socket_is_no_file_of_a_process() {
    let directory = Directory::new();
    std::fs::create_dir_all(&directory.0).unwrap();
    let _socket = UnixListener::bind(directory.0.join("process-0.metrics")).unwrap();
    let processes = Processes::join(&directory.0).unwrap();
    processes.counter(&Opts::new("n", "N.")).unwrap().inc();
    let page = directory.page();
    assert_eq!((page.files, number(&page, "n")), (1, 1.0));
}

#[test]
fn handles_stay_as_they_are_where_a_process_finds_no_room_to_join_again() {
    const WORDS: u64 = (1 << 30) / 8;
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let counters = ["1", "2", "3"]
        .map(|value| processes.counter(&Opts::new("n", "N.").label("a", value)).unwrap());
    counters.iter().for_each(|counter| counter.add(5.0));
    // A file with room for the family and one series behind a free record.
    let full = File::create_new(directory.0.join("process-1.metrics")).unwrap();
    full.set_len(WORDS * 8).unwrap();
    let used = WORDS - 16;
    let words = [(0, u64::from_ne_bytes(*b"DYNMETR1")), (1, used), (8, (used - 8) | 1 << 32)];
    for (at, word) in words {
        full.write_all_at(&u64::to_ne_bytes(word), at * 8).unwrap();
    }
    let error = processes.rejoin().unwrap_err().to_string();
    assert!(error.contains("bytes of metrics"), "{error}");
    assert_eq!(counters.each_ref().map(|counter| counter.get()), [5.0; 3]);
}

#[test]
fn the_file_of_a_process_whose_forks_go_on_is_free_when_it_ends() {
    let directory = Directory::new();
    let parent = Processes::join(&directory.0).unwrap();
    let first = parent.counter(&Opts::new("n", "N.")).unwrap();
    // As after `rejoin` in a fork: handles and the map are there still, the lock is not.
    drop(parent);
    let other = Processes::join(&directory.0).unwrap();
    other.counter(&Opts::new("n", "N.")).unwrap().inc();
    first.inc();
    let page = directory.page();
    assert_eq!((page.files, number(&page, "n")), (1, 2.0));
}
