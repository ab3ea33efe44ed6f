//! Series of which a part of the program lets go while another one has them.

use crate::directory::{Directory, family, number};
use dynamo_metrics_multiprocess::{Mode, Opts, Processes};

#[test]
fn a_series_that_another_handle_has_stays_until_that_one_is_removed() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let opts = Opts::new("n", "N.");
    let first = processes.counter(&opts).unwrap();
    let second = processes.counter(&opts).unwrap();
    first.inc();
    assert!(!first.remove());
    second.inc();
    assert_eq!(number(&directory.page(), "n"), 2.0);
    drop(first);
    assert!(second.remove());
    assert!(family(&directory.page(), "n").is_none());
    second.inc();
    assert!(!second.remove(), "it is removed already");
    // One that is made later is another series.
    let later = processes.counter(&opts).unwrap();
    later.inc();
    assert!(!second.remove());
    assert_eq!(number(&directory.page(), "n"), 1.0);
    assert!(processes.remove(&opts), "all handles or not, this one always removes");
    assert!(!later.remove());
}

#[test]
fn each_kind_is_removed_by_its_handle_and_its_room_is_used_again() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let opts = |name: &str, n: u32| Opts::new(name, "N.").label("n", n.to_string());
    for n in 1000..6000 {
        assert!(processes.gauge(&opts("g", n), Mode::Sum).unwrap().remove());
        assert!(processes.histogram_of_bounds(&opts("h", n), &[1.0]).unwrap().remove());
        assert!(processes.summary(&opts("s", n)).unwrap().remove());
        assert!(processes.counter(&opts("c", n)).unwrap().remove());
    }
    assert!(directory.page().families.is_empty());
    assert_eq!(directory.size(), (1, 1 << 16));
}

#[test]
fn a_family_of_the_same_name_with_another_help_is_not_removed() {
    let directory = Directory::new();
    let processes = Processes::join(&directory.0).unwrap();
    let first = processes.counter(&Opts::new("n", "One.")).unwrap();
    let second = processes.counter(&Opts::new("n", "Another.")).unwrap();
    second.inc();
    assert!(first.remove());
    assert_eq!(number(&directory.page(), "n"), 1.0);
}
