//! Collectors: families on the page, and faults that cost only themselves.

use crate::{SOON, page};
use dynamo_metrics_exporter::{
    COLLECTORS_MAX, Collected, Exporter, Registry, ScrapeDeadline, SourceError, bytes::BytesMut,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn exporter() -> Exporter {
    let registry = Registry::new();
    registry.counter(("own_total", "Of the registry.")).unwrap().add(3);
    Exporter::new(&registry)
}

/// Takes pages until one `holds`; a run that is late is on a later page.
fn page_with(exporter: &Exporter, part: &str) -> String {
    let deadline = Instant::now() + SOON;
    loop {
        let page = page(exporter);
        if page.contains(part) {
            return page;
        }
        assert!(Instant::now() < deadline, "no {part:?} in {page}");
    }
}

#[test]
fn families_of_all_types_are_on_the_page_with_the_labels_of_the_scope() {
    let exporter = exporter();
    let zone = exporter.at(&exporter.registry().scope(&[("zone", "eu")]).unwrap());
    zone.collector("disks", |families: &mut Collected| {
        families.counter("reads_total", "Reads.").sample(&[("disk", "sda")], u64::MAX);
        families.gauge("free", "Free space.").sample(&[], -0.5);
        let mut waits = families.histogram("wait_seconds", "Waits.");
        waits.sample(&[("disk", "sda")], &[0.5, 1.0], &[1, 2, 3], 9.5);
        Ok(())
    })
    .unwrap();
    let page = page_with(&exporter, "reads_total");
    for line in [
        "own_total 3",
        "reads_total{disk=\"sda\",zone=\"eu\"} 18446744073709551615",
        "free{zone=\"eu\"} -0.5",
        "wait_seconds_bucket{disk=\"sda\",le=\"1\",zone=\"eu\"} 3",
        "wait_seconds_count{disk=\"sda\",zone=\"eu\"} 6",
    ] {
        assert!(page.contains(&format!("\n{line}\n")), "no {line:?} in {page}");
    }
    assert!(!page.contains("collector_errors_total{"), "{page}");
}

#[test]
fn a_collector_runs_at_most_once_a_page() {
    let exporter = exporter();
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let collector = move |families: &mut Collected| {
        // Relaxed: the guard's lock orders it.
        let run = counted.fetch_add(1, Ordering::Relaxed) + 1;
        families.gauge("run", "Number of the run.").sample(&[], run as u64);
        Ok(())
    };
    exporter.collector("runs", collector).unwrap();
    (0..50).for_each(|_| _ = page(&exporter));
    assert!(runs.load(Ordering::Relaxed) <= 50);
    page_with(&exporter, "\nrun ");
}

#[test]
fn errors_panics_and_refused_samples_are_counted_and_cost_only_their_own_families() {
    let exporter = exporter();
    exporter
        .collector("fails", |families: &mut Collected| {
            families.gauge("half", "Of a failed collection.").sample(&[], 1.0);
            Err("no such device".into())
        })
        .unwrap();
    exporter
        .collector("panics", |_: &mut Collected| std::panic::resume_unwind(Box::new("x")))
        .unwrap();
    exporter
        .collector("refused", |families: &mut Collected| {
            families.gauge("not a name", "").sample(&[], 1.0);
            families.gauge("good", "").sample(&[], 1.0);
            Ok(())
        })
        .unwrap();
    exporter
        .collector("clashes", |families: &mut Collected| {
            families.counter("own_total", "Of a collector.").sample(&[], 99u64);
            Ok(())
        })
        .unwrap();
    for (collector, reason) in
        [("fails", "failed"), ("panics", "panicked"), ("refused", "refused"), ("clashes", "clash")]
    {
        let counted =
            format!("collector_errors_total{{collector=\"{collector}\",reason=\"{reason}\"}}");
        let page = page_with(&exporter, &counted);
        assert!(page.contains("\nown_total 3\n") && !page.contains("\nhalf "), "{page}");
    }
    page_with(&exporter, "\ngood 1\n");
}

#[test]
fn a_collector_that_hangs_delays_no_page_beyond_its_deadline_and_recovers() {
    let exporter = exporter();
    let (go, wait) = channel::<u64>();
    let wait = Mutex::new(wait);
    exporter
        .collector("hangs", move |families: &mut Collected| {
            let value = wait.lock().unwrap().recv()?;
            families.gauge("value", "From the test.").sample(&[], value);
            Ok(())
        })
        .unwrap();
    exporter
        .collector("quick", |families: &mut Collected| {
            families.gauge("quick", "Quick.").sample(&[], 1.0);
            Ok(())
        })
        .unwrap();
    let late = "collector_errors_total{collector=\"hangs\",reason=\"late\"}";
    let page = page_with(&exporter, late);
    assert!(page.contains("\nown_total 3\n") && !page.contains("\nvalue "), "{page}");
    page_with(&exporter, "\nquick 1\n");
    let start = Instant::now();
    let mut body = BytesMut::new();
    exporter.exposition().write_within(ScrapeDeadline::after(Duration::from_millis(1)), &mut body);
    assert!(start.elapsed() < SOON / 2, "{:?}", start.elapsed());
    go.send(7).unwrap();
    page_with(&exporter, "\nvalue 7\n");
}

#[test]
fn names_are_unique_numbers_are_limited_and_collectors_can_be_removed() {
    let exporter = exporter();
    let nothing = |_: &mut Collected| Ok(());
    for number in 0..COLLECTORS_MAX {
        exporter.collector(&number.to_string(), nothing).unwrap();
    }
    let error = exporter.collector("x", nothing).unwrap_err();
    assert_eq!(error, SourceError::CollectorLimit { name: "x".into(), max: COLLECTORS_MAX });
    assert!(exporter.remove_collector("0") && !exporter.remove_collector("0"));
    let error = exporter.collector("1", nothing).unwrap_err();
    assert_eq!(error, SourceError::CollectorName { name: "1".into() });
    exporter.collector("x", nothing).unwrap();
}
