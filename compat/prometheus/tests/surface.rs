//! Code that the published `prometheus` crate accepts is accepted here: the same file is compiled with both crates.
//!
//! With the feature `protobuf`, as the published crate has it in these tests anyway.

#![cfg(feature = "protobuf")]

#[allow(dead_code, deprecated, unused)]
mod ours {
    use prometheus as library;
    include!("surface/uses.rs");
}

#[allow(dead_code, deprecated, unused)]
mod upstream {
    use prometheus_upstream as library;
    include!("surface/uses.rs");
}

#[test]
fn code_that_the_published_crate_accepts_runs() {
    ours::macros().unwrap();
    upstream::macros().unwrap();
    assert_eq!(ours::errors(), upstream::errors());
}

/// Cargo refuses a program that asks for a feature that there is not. Those of optional dependencies have their names.
#[test]
fn all_features_of_the_published_crate_exist() {
    let manifest = include_str!("../Cargo.toml");
    let (_, rest) = manifest.split_once("[features]\n").unwrap();
    let (features, _) = rest.split_once("\n[").unwrap();
    let features: Vec<_> = features.lines().filter_map(|line| line.split_once(" = ")).collect();
    for name in [
        "default",
        "gen",
        "libc",
        "nightly",
        "process",
        "procfs",
        "protobuf",
        "protobuf-codegen",
        "push",
        "reqwest",
    ] {
        assert!(features.iter().any(|(found, _)| *found == name), "{name}");
    }
}

#[test]
fn fields_of_a_family_have_the_forms_of_the_documentation() {
    use prometheus::proto::{Metric, MetricFamily, MetricFamilyMessage};
    let message = MetricFamilyMessage { name: Some("a".to_owned()), ..Default::default() };
    let mut family: MetricFamily = message.into();
    family.metric.push(Metric::default());
    let taken = family.clone().take_metric().len();
    let MetricFamilyMessage { name, metric, .. } = family.clone().into();
    assert_eq!((taken, name.as_deref(), metric.len()), (1, Some("a"), 1));
    let family = &mut *family;
    let name = &family.name;
    family.metric.clear();
    assert_eq!(name.as_deref(), Some("a"));
}
