//! Code that the published `prometheus` crate accepts is accepted here: the same file is compiled with both crates.

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
