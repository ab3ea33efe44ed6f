//! Metrics of many processes on an exporter's page.

use dynamo_metrics_core::{Buckets, Registry};
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::negotiate;
use dynamo_metrics_exporter::bytes::BytesMut;
use dynamo_metrics_exporter::multiprocess::{Mode, Opts, Processes};
use dynamo_metrics_exporter::{Exporter, ScrapeDeadline};
use std::path::PathBuf;
use std::time::Duration;

struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn directory(name: &str) -> Directory {
    let name = format!("exporter-processes-{}-{name}", std::process::id());
    Directory(std::env::temp_dir().join(name))
}

/// The samples of the page, but for the exporter's own of errors.
fn page(exporter: &Exporter) -> Vec<String> {
    let text = crate::page(exporter);
    let is_ours = |line: &&str| !line.starts_with('#') && !line.contains("collector_errors");
    text.lines().filter(is_ours).map(str::to_owned).collect()
}

#[test]
fn every_kind_is_on_the_page_and_faults_are_counted() {
    let directory = directory("kinds");
    let exporter = Exporter::new(&Registry::new());
    exporter.processes("ranks", &directory.0).unwrap();
    assert!(page(&exporter).is_empty(), "no process has made the directory");

    let ranks = [(); 2].map(|()| Processes::join(&directory.0).unwrap());
    for (rank, processes) in (0..).zip(&ranks) {
        let opts = |name: &str| Opts::new(name, "Help.").label("model", "a\"b\n");
        processes.counter(&opts("steps")).unwrap().add(1.5);
        processes.gauge(&opts("queued"), Mode::LiveSum).unwrap().set(2.0);
        let buckets = Buckets::new([1.0]).unwrap();
        processes
            .histogram(&opts("wait_seconds"), &buckets)
            .unwrap()
            .observe(f64::from(rank) * 2.0);
        processes.summary(&opts("size_bytes")).unwrap().observe(4.0);
    }
    let found = page(&exporter);
    let label = r#"model="a\"b\n""#;
    for line in [
        format!("steps_total{{{label}}} 3"),
        format!("queued{{{label}}} 4"),
        format!(r#"wait_seconds_bucket{{{label},le="1"}} 1"#),
        format!(r#"wait_seconds_bucket{{{label},le="+Inf"}} 2"#),
        format!("wait_seconds_sum{{{label}}} 2"),
        format!("size_bytes_count{{{label}}} 2"),
    ] {
        assert!(found.contains(&line), "{line} in {found:#?}");
    }
    assert!(!found.iter().any(|line| line.contains("dynamo_metrics_multiprocess")), "{found:#?}");

    ranks[0].gauge(&Opts::new("steps", "Not a counter."), Mode::Sum).unwrap().set(1.0);
    let found = page(&exporter);
    assert!(found.contains(&"dynamo_metrics_multiprocess_conflicting_families 1".into()));
    assert!(found.contains(&format!("steps_total{{{label}}} 3")));
}

#[test]
fn the_newest_exemplars_of_all_processes_are_in_openmetrics() {
    let directory = directory("exemplars");
    let exporter = Exporter::new(&Registry::new());
    exporter.processes("ranks", &directory.0).unwrap();
    let ranks = [(); 2].map(|()| Processes::join(&directory.0).unwrap());
    let buckets = Buckets::new([1.0]).unwrap();
    for (rank, processes) in ranks.iter().enumerate() {
        let rank_name = rank.to_string();
        let trace = [("trace_id", rank_name.as_str())];
        let opts = |name: &str| Opts::new(name, "Help.").label("model", "a");
        processes.counter(&opts("steps")).unwrap().add_with_exemplar(2.0, &trace);
        let waits = processes.histogram(&opts("wait_seconds"), &buckets).unwrap();
        waits.observe_with_exemplar(rank as f64 * 2.0, &trace);
    }
    let mut body = BytesMut::new();
    let openmetrics = negotiate(Some("application/openmetrics-text"));
    let deadline = ScrapeDeadline::after(Duration::from_secs(10));
    exporter.exposition().write_as(openmetrics, &NameFilter::default(), deadline, &mut body);
    let text = std::str::from_utf8(&body).unwrap();
    for line in [
        "steps_total{model=\"a\"} 4 # {trace_id=\"1\"} 2 ",
        "wait_seconds_bucket{model=\"a\",le=\"1.0\"} 1 # {trace_id=\"0\"} 0 ",
        "wait_seconds_bucket{model=\"a\",le=\"+Inf\"} 2 # {trace_id=\"1\"} 2 ",
    ] {
        let found = text.lines().find_map(|found| found.strip_prefix(line));
        let time: f64 = found.unwrap_or_else(|| panic!("{line} in {text}")).parse().unwrap();
        assert!(time > 1.7e9, "{time}");
    }
    assert!(!crate::page(&exporter).contains("trace_id"), "text 0.0.4 has no exemplars");
}
