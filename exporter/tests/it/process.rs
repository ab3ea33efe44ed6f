//! The metrics of the process, on a page.

use crate::{SOON, page};
use dynamo_metrics_exporter::{Exporter, Registry};
use std::time::Instant;

#[test]
fn the_usual_metrics_of_the_process_are_on_the_page_once() {
    let exporter = Exporter::new(&Registry::new());
    exporter.process_metrics().unwrap();
    assert!(exporter.process_metrics().is_err(), "they are there already");
    let deadline = Instant::now() + SOON;
    let value = |page: &str, name: &str| -> f64 {
        let line = page.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("no {name} in {page}"))
            .split_once(' ')
            .unwrap()
            .1
            .parse()
            .unwrap()
    };
    let first = loop {
        let page = page(&exporter);
        if value(&page, "process_threads") >= 1.0 {
            break page;
        }
        assert!(Instant::now() < deadline, "{page}");
    };
    for (name, at_least) in [
        ("process_cpu_seconds_total", 0.0),
        ("process_open_fds", 1.0),
        ("process_max_fds", 1.0),
        ("process_resident_memory_bytes", 4096.0),
        ("process_virtual_memory_bytes", 4096.0),
        ("process_start_time_seconds", 1e9),
    ] {
        assert!(value(&first, name) >= at_least, "{name} in {first}");
        assert_eq!(first.matches(&format!("# TYPE {name} ")).count(), 1, "{name}");
    }
    let second = page(&exporter);
    let cpu = "process_cpu_seconds_total";
    assert!(value(&second, cpu) >= value(&first, cpu));
}
