//! Metrics of the memory that metrics take, against the table in `docs/metrics.md`.

use dynamo_metrics::{DistributedRuntime, FamilySnapshot, Snapshot, Value};

/// Name and type of the rows below the heading.
fn documented() -> Vec<(String, String)> {
    let page = include_str!("../../docs/metrics.md");
    let (_, section) = page.split_once("\n## The library itself").expect("a section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let mut cells = row.split('|').map(|cell| cell.trim().trim_end_matches('`'));
        (cells.next().unwrap().into(), cells.next().unwrap().into())
    })
    .collect()
}

fn is_of_the_process(family: &FamilySnapshot<'_>) -> bool {
    let name = family.name();
    name.starts_with("dynamo_metrics_")
        && name != "dynamo_metrics_build_info"
        && family.parts().any(|part| !part.is_empty())
}

fn number(family: &FamilySnapshot<'_>) -> f64 {
    match family.parts().next().unwrap().series(0).unwrap().value() {
        Value::Float(value) => value,
        Value::Unsigned(value) => value as f64,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_page_names_each_metric_of_the_process_and_no_other() {
    let runtime = DistributedRuntime::new().unwrap();
    runtime.registry().print_details(true);
    let mut snapshot = Snapshot::new();
    snapshot.take(runtime.registry());
    let families = snapshot.families().filter(is_of_the_process);
    let shown: Vec<(String, String)> =
        families.map(|family| (family.name().into(), family.exposed_type().into())).collect();
    let mut documented = documented();
    documented.sort();
    assert_eq!(documented, shown, "docs/metrics.md, and what a system page shows");
}

#[test]
fn each_metric_of_the_process_moves_with_what_it_counts() {
    let runtime = DistributedRuntime::new().unwrap();
    runtime.registry().print_details(true);
    let mut snapshot = Snapshot::new();
    let mut numbers = || {
        snapshot.take(runtime.registry());
        let of = |name: &str| {
            number(&snapshot.families().find(|family| family.name() == name).expect(name))
        };
        [
            of("dynamo_metrics_cells"),
            of("dynamo_metrics_cells_limit"),
            of("dynamo_metrics_shards"),
            of("dynamo_metrics_fallback_recordings_total"),
        ]
    };
    let [cells, limit, shards, fallback] = numbers();
    assert!(cells > 0.0 && cells < limit && fallback == 0.0, "{cells} of {limit}");

    // More than an extent that another test's registry gave back.
    let series = 5000;
    let family = runtime.registry().counter_family(("mine_total", ""), ["model"]).unwrap();
    let handles: Vec<_> = (0..series).map(|model| family.with([&model.to_string()])).collect();
    let counter = handles[0].clone();
    std::thread::spawn(move || {
        use std::cell::RefCell;
        struct Late(dynamo_metrics::Counter);
        impl Drop for Late {
            fn drop(&mut self) {
                self.0.inc();
            }
        }
        thread_local!(static LATE: RefCell<Option<Late>> = const { RefCell::new(None) });
        // Ends after the thread's shard was given back, which is registered by the recording below.
        LATE.with(|late| *late.borrow_mut() = Some(Late(counter.clone())));
        counter.inc();
    })
    .join()
    .unwrap();
    let [more_cells, same_limit, more_shards, more_fallback] = numbers();
    assert!(more_cells > cells && more_cells >= f64::from(series), "{cells}, then {more_cells}");
    assert!(same_limit == limit && more_shards >= shards.max(1.0), "{more_shards}");
    assert_eq!((handles[0].get(), more_fallback), (2, 1.0), "the late one has no shard");
}
