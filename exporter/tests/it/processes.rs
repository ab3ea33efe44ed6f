//! Metrics of many processes on an exporter's page.

use dynamo_metrics_core::{Buckets, Registry};
use dynamo_metrics_exporter::Exporter;
use dynamo_metrics_exporter::multiprocess::{Mode, Opts, Processes};
use std::path::PathBuf;

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
