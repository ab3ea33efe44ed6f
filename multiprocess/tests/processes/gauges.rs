//! The modes of gauges, with processes that run and processes that ended.

use crate::child::Process;
use crate::directory::{Directory, family};
use dynamo_metrics_multiprocess::{Mode, Page, Value};

fn start(directory: &Directory, value: f64) -> Process {
    let mut process = Process::start("gauges", &directory.0);
    assert_eq!(process.line().as_deref(), Some("joined"));
    process.tell(&value.to_string());
    assert_eq!(process.line().as_deref(), Some("set"));
    process
}

/// The values of a mode's gauge; with the `pid` where it has one.
fn values(page: &Page, mode: Mode) -> Vec<(Option<u32>, f64)> {
    let series = family(page, mode.name()).map_or(&[][..], |family| &family.series);
    let mut values: Vec<_> = series
        .iter()
        .map(|series| {
            let Value::Number(value) = series.value else { panic!("{series:?}") };
            let pid = series.labels.iter().find(|(name, _)| name == "pid");
            (pid.map(|(_, pid)| pid.parse().unwrap()), value)
        })
        .collect();
    values.sort_by(|one, other| one.partial_cmp(other).unwrap());
    values
}

fn one(page: &Page, mode: Mode) -> Option<f64> {
    let values = values(page, mode);
    assert!(values.len() <= 1 && values.iter().all(|(pid, _)| pid.is_none()), "{values:?}");
    values.first().map(|&(_, value)| value)
}

#[test]
fn modes_join_the_values_of_processes() {
    let directory = Directory::new();
    let mut two = start(&directory, 2.0);
    let mut five = start(&directory, 5.0);
    let one_page = directory.page();
    let get = |mode| one(&one_page, mode).unwrap();
    assert_eq!([get(Mode::Min), get(Mode::Max), get(Mode::Sum)], [2.0, 5.0, 7.0]);
    assert_eq!([get(Mode::LiveMin), get(Mode::LiveMax), get(Mode::LiveSum)], [2.0, 5.0, 7.0]);
    assert_eq!([get(Mode::MostRecent), get(Mode::LiveMostRecent)], [5.0, 5.0]);
    let mut each = vec![(Some(two.pid()), 2.0), (Some(five.pid()), 5.0)];
    each.sort_by(|one, other| one.partial_cmp(other).unwrap());
    assert_eq!(values(&one_page, Mode::All), each);
    assert_eq!(values(&one_page, Mode::LiveAll), each);

    // The newest value is of a process that ends now.
    five.kill();
    let page = directory.page();
    let get = |mode| one(&page, mode).unwrap();
    assert_eq!([get(Mode::Min), get(Mode::Max), get(Mode::Sum)], [2.0, 5.0, 7.0]);
    assert_eq!([get(Mode::LiveMin), get(Mode::LiveMax), get(Mode::LiveSum)], [2.0, 2.0, 2.0]);
    assert_eq!([get(Mode::MostRecent), get(Mode::LiveMostRecent)], [5.0, 2.0]);
    assert_eq!(values(&page, Mode::All), each);
    assert_eq!(values(&page, Mode::LiveAll), [(Some(two.pid()), 2.0)]);

    // Another one takes its place: what it left stays, but for the series with its number.
    let three = start(&directory, 3.0);
    let page = directory.page();
    assert_eq!(page.files, 2);
    let get = |mode| one(&page, mode).unwrap();
    assert_eq!([get(Mode::Min), get(Mode::Max), get(Mode::Sum)], [2.0, 5.0, 10.0]);
    assert_eq!([get(Mode::LiveMin), get(Mode::LiveMax), get(Mode::LiveSum)], [2.0, 3.0, 5.0]);
    assert_eq!([get(Mode::MostRecent), get(Mode::LiveMostRecent)], [3.0, 3.0]);
    let mut each = vec![(Some(two.pid()), 2.0), (Some(three.pid()), 3.0)];
    each.sort_by(|one, other| one.partial_cmp(other).unwrap());
    assert_eq!(values(&page, Mode::All), each);

    two.kill();
    drop(three);
    let page = directory.page();
    for mode in Mode::ALL.into_iter().filter(|mode| mode.is_live()) {
        assert!(family(&page, mode.name()).is_none(), "{mode} of processes that ended");
    }
    assert_eq!(one(&page, Mode::Sum), Some(10.0));
}

#[test]
fn what_many_processes_left_becomes_one_value() {
    let directory = Directory::new();
    for value in 1..=9 {
        start(&directory, value.into()).kill();
    }
    let page = directory.page();
    assert_eq!(page.files, 1);
    let get = |mode| one(&page, mode).unwrap();
    assert_eq!([get(Mode::Min), get(Mode::Max), get(Mode::Sum)], [1.0, 9.0, 45.0]);
    assert_eq!(get(Mode::MostRecent), 9.0);
    assert_eq!(values(&page, Mode::All).len(), 1);
}
