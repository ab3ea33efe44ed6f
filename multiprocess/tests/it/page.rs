//! Pages of one process and of many, of files that are no such files, and of series that come and go.

use crate::directory::{Directory, family, number};
use dynamo_metrics_core::Buckets;
use dynamo_metrics_multiprocess::{Error, FamilyKind, Mode, Opts, Page, Processes, Value};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

#[test]
fn a_page_has_what_was_recorded_with_its_labels() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let opts = Opts::new("requests", "Requests.").unit("requests");
    processes.counter(&opts.clone().label("model", "a").label("k", "")).unwrap().add(2.5);
    processes.counter(&opts.clone().label("model", "b\n\"ü").label("k", "x")).unwrap().inc();
    processes.counter(&opts.clone().label("other", "c")).unwrap().inc();
    let histogram =
        processes.histogram(&Opts::new("h", "H."), &Buckets::new([1.0, 2.0]).unwrap()).unwrap();
    [0.5, 1.0, 1.5, 9.0, -1.0].into_iter().for_each(|v| histogram.observe(v));
    let summary = processes.summary(&Opts::new("s", "S.")).unwrap();
    [2.0, 4.0].into_iter().for_each(|v| summary.observe(v));
    let page = processes.read().unwrap();
    let requests = family(&page, "requests").unwrap();
    assert_eq!((&*requests.help, &*requests.unit), ("Requests.", "requests"));
    assert_eq!(requests.kind, FamilyKind::Counter);
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let series: Vec<_> = requests.series.iter().map(|it| (it.labels.clone(), &it.value)).collect();
    assert_eq!(
        series,
        [
            (vec![label("model", "a"), label("k", "")], &Value::Number(2.5)),
            (vec![label("model", "b\n\"ü"), label("k", "x")], &Value::Number(1.0)),
            (vec![label("other", "c")], &Value::Number(1.0)),
        ]
    );
    let h = family(&page, "h").unwrap();
    assert_eq!(h.bounds, [1.0, 2.0]);
    assert_eq!(h.series[0].value, Value::Histogram(vec![3, 1, 1], 11.0));
    assert_eq!(family(&page, "s").unwrap().series[0].value, Value::Summary(2, 6.0));
    assert_eq!((page.files, page.refused), (1, 0));
}

#[test]
fn a_relative_directory_is_the_one_of_the_present_directory_at_the_join() {
    let directory = Directory::new();
    let up = std::env::current_dir().unwrap().iter().skip(1).map(|_| "..").collect::<PathBuf>();
    let processes = Processes::join(up.join(directory.0.strip_prefix("/").unwrap())).unwrap();
    assert!(processes.directory().is_absolute(), "{}", processes.directory().display());
    processes.counter(&Opts::new("n", "N.")).unwrap().inc();
    assert_eq!(number(&directory.page(), "n"), 1.0);
}

#[test]
fn a_second_process_adds_to_the_first_and_one_of_another_kind_is_named() {
    let directory = Directory::new();
    let (one, other) =
        (Processes::join(&directory.0).unwrap(), Processes::join(&directory.0).unwrap());
    let opts = Opts::new("n", "N.");
    one.counter(&opts).unwrap().add(1.0);
    other.counter(&Opts::new("n", "Another help.")).unwrap().add(2.0);
    other.counter(&opts.clone().label("a", "b")).unwrap().add(4.0);
    assert_eq!(number(&directory.page(), "n"), 3.0);
    other.gauge(&opts, Mode::Sum).unwrap().set(9.0);
    other.histogram_of_bounds(&Opts::new("h", ""), &[1.0, f64::NAN]).unwrap();
    one.histogram_of_bounds(&Opts::new("h", ""), &[2.0]).unwrap();
    let page = directory.page();
    assert_eq!(number(&page, "n"), 3.0);
    assert_eq!(family(&page, "n").unwrap().series.len(), 2);
    let mut conflicts = page.conflicts.clone();
    conflicts.sort();
    assert_eq!(conflicts, ["h", "n"]);
}

#[test]
fn the_same_metric_is_one_series_and_threads_lose_nothing() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let counter = processes.counter(&Opts::new("n", "N.")).unwrap();
                (0..50_000).for_each(|_| counter.inc());
            });
        }
    });
    assert_eq!(number(&directory.page(), "n"), 200_000.0);
}

#[test]
fn series_that_are_removed_leave_their_room_to_others() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let opts = |n: u32| Opts::new("n", "N.").label("user", format!("{n:08}"));
    let held = processes.counter(&opts(0)).unwrap();
    for n in 1..=100_000 {
        processes.counter(&opts(n)).unwrap().inc();
        assert!(processes.remove(&opts(n)));
    }
    assert!(directory.size().1 <= 1 << 16, "{} bytes", directory.size().1);
    held.inc();
    let page = directory.page();
    assert_eq!(family(&page, "n").unwrap().series.len(), 1, "only the one that was not removed");
    assert!(processes.remove(&opts(0)) && !processes.remove(&opts(0)));
    held.inc();
    processes.counter(&opts(1)).unwrap().add(7.0);
    held.inc();
    let page = directory.page();
    let [series] = family(&page, "n").unwrap().series.as_slice() else { panic!("{page:?}") };
    assert_eq!(series.value, Value::Number(7.0), "a handle that is left has cells of its own");
}

#[test]
fn the_newest_exemplar_of_each_bucket_is_on_the_page() {
    let directory = Directory::new();
    let (one, other) =
        (Processes::join(&directory.0).unwrap(), Processes::join(&directory.0).unwrap());
    let (opts, buckets) = (Opts::new("h", "H."), Buckets::new([1.0, 2.0]).unwrap());
    let histogram = one.histogram(&opts, &buckets).unwrap();
    histogram.observe_with_exemplar(0.5, &[("trace_id", "old")]);
    histogram.observe_with_exemplar(9.0, &[("trace_id", "a"), ("span_id", "b")]);
    histogram.observe_with_exemplar(f64::NAN, &[("trace_id", "none")]);
    histogram.observe_with_exemplar(9.0, &[("trace_id", &"x".repeat(1000))]);
    let elsewhere = other.histogram(&opts, &buckets).unwrap();
    elsewhere.observe_with_exemplar(0.25, &[("trace_id", "new and longer than the one before")]);
    let page = directory.page();
    let mut exemplars = family(&page, "h").unwrap().series[0].exemplars.clone();
    exemplars.sort_by_key(|exemplar| exemplar.bucket);
    let found: Vec<_> =
        exemplars.iter().map(|it| (it.bucket, it.value, &*it.labels[0].1)).collect();
    assert_eq!(found, [(0, 0.25, "new and longer than the one before"), (2, 9.0, "a")]);
    assert!(exemplars.iter().all(|it| it.time > 1e9));

    // They go with their series, and leave their room to others.
    assert!(one.remove(&opts) && other.remove(&opts));
    drop((histogram, elsewhere));
    let counter = one.counter(&Opts::new("n", "N.")).unwrap();
    for n in 0..10_000 {
        counter.add_with_exemplar(1.0, &[("trace_id", &format!("{n:032}"))]);
        one.histogram(&opts, &buckets).unwrap().observe_with_exemplar(0.5, &[("n", "x")]);
        one.remove(&opts);
    }
    let page = directory.page();
    assert!(family(&page, "h").is_none());
    let [last] = family(&page, "n").unwrap().series[0].exemplars.as_slice() else { panic!() };
    assert_eq!(last.labels, [("trace_id".to_owned(), format!("{:032}", 9_999))]);
    assert_eq!(directory.size().1, 2 << 16);

    // The next process keeps them.
    drop((one, other));
    let next = Processes::join(&directory.0).unwrap();
    next.counter(&Opts::new("n", "N.")).unwrap().add_with_exemplar(1.0, &[("trace_id", "next")]);
    let page = directory.page();
    assert_eq!(family(&page, "n").unwrap().series[0].exemplars[0].labels[0].1, "next");
}

#[test]
fn a_page_never_gives_a_series_the_value_of_another() {
    const ROUNDS: u32 = 20_000;
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let opts = |n: u32| Opts::new("n", "N.").label("n", format!("{n:08}"));
    processes.counter(&opts(0)).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            // Always in the same records, of which the strings change.
            for n in 1..=ROUNDS {
                processes.counter(&opts(n)).unwrap().add(n.into());
                processes.remove(&opts(n));
            }
        });
        while !writer.is_finished() {
            let page = directory.page();
            for series in &family(&page, "n").unwrap().series {
                let n: f64 = series.labels[0].1.parse().unwrap();
                let Value::Number(value) = series.value else { panic!("{series:?}") };
                assert!(value == n || value == 0.0, "{series:?}");
            }
        }
    });
}

#[test]
fn a_process_that_comes_back_finds_its_series() {
    let directory = Directory::new();
    let opts = Opts::new("n", "N.").label("a", "b");
    for n in 1..=5 {
        let processes = Processes::join(&directory.0).unwrap();
        processes.counter(&opts).unwrap().inc();
        let gone = Opts::new("gone", "G.").label("n", n.to_string());
        processes.counter(&gone).unwrap().inc();
        processes.remove(&gone);
        drop(processes);
        let page = directory.page();
        assert_eq!((page.files, page.families.len()), (1, 1));
        assert_eq!(number(&page, "n"), f64::from(n));
    }
    assert_eq!(directory.size().1, 1 << 16);
}

#[test]
fn strings_beyond_the_limit_and_directories_that_are_none_are_refused() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let long = processes.counter(&Opts::new("n", "x".repeat(1 << 17)));
    assert!(matches!(long, Err(Error::TooLong { .. })), "{long:?}");
    assert!(matches!(processes.counter(&Opts::new("", "")), Err(Error::Nameless)));
    let file = directory.0.join("file");
    std::fs::write(&file, "").unwrap();
    let error = Processes::join(file.join("below")).unwrap_err().to_string();
    assert!(error.contains("below") && error.contains("/dev/shm"), "{error}");
    assert!(Page::read(directory.0.join("none")).is_err());
}

#[test]
fn a_file_that_is_none_of_ours_is_left_alone() {
    let directory = Directory::new();
    std::fs::create_dir_all(&directory.0).unwrap();
    let first = directory.0.join("process-0.metrics");
    std::fs::write(&first, "somebody else's notes, longer than a header of such a file").unwrap();
    let processes = Processes::join(&directory.0).unwrap();
    processes.counter(&Opts::new("n", "N.")).unwrap().inc();
    assert_eq!(number(&directory.page(), "n"), 1.0);
    assert!(std::fs::read_to_string(first).unwrap().starts_with("somebody else's"));
}

#[test]
fn a_damaged_file_ends_no_process() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    for n in 0..20 {
        let opts = |name: &str| Opts::new(name, "N.").label("n", n.to_string());
        processes.counter(&opts("c")).unwrap().inc();
        processes.gauge(&opts("g"), Mode::Max).unwrap().set(1.0);
        processes.histogram_of_bounds(&opts("h"), &[1.0]).unwrap().observe_in(0, 1.0);
    }
    drop(processes);
    let path = directory.0.join("process-0.metrics");
    let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    // Each word of the header and of the first records, and then any place.
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let words =
        (0..60).flat_map(|word| [0, 1, 5, 1 << 40, u64::MAX].map(|value| (word * 8, value)));
    let anywhere = (0..300).map(|_| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((random >> 33) % 8_000, [random << 7, random >> 40][(random >> 20) as usize % 2])
    });
    for (place, value) in words.chain(anywhere) {
        file.write_all_at(&u64::to_ne_bytes(value), place).unwrap();
        let before = directory.page();
        let joined = Processes::join(&directory.0).unwrap();
        joined.counter(&Opts::new("new", "N.")).unwrap().inc();
        let page = directory.page();
        // A word that names another family may add what is not its own.
        assert!(number(&page, "new") >= 1.0, "word {place} is {value}: {page:?}");
        assert!(page.families.len() > before.families.len());
        drop(joined);
        std::fs::remove_file(directory.0.join("process-1.metrics")).ok();
        file.write_all_at(&good, 0).unwrap();
    }
}
