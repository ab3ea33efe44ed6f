//! Names, types, label names and bucket bounds against what a real Dynamo 0.9.0 answered.
//!
//! The answers lie in the project's shared folder: `$DYNAMO_METRICS_SHARED`, or `shared` beside the workspace.
//! Without them these tests say so and pass.

use dynamo_metrics::{
    DistributedRuntime, ErrorType, FrontendConfig, FrontendMetrics, HttpEndpoint, MigrationType,
    ModelCard, Registry, RequestType, RuntimeConfig, Snapshot, Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The comparable properties of one family.
#[derive(Debug, Default, PartialEq)]
struct Family {
    exposed_type: String,
    /// The label names of any series, without `le`.
    label_names: BTreeSet<String>,
    /// The bounds as text, `+Inf` last; empty for other types.
    bounds: Vec<String>,
}

type Catalogue = BTreeMap<String, Family>;

fn reference(file: &str) -> Option<Catalogue> {
    let shared = std::env::var_os("DYNAMO_METRICS_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let path = shared.join("reference/dynamo-0.9.0").join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(parse(&text)),
        Err(error) => {
            eprintln!("SKIPPED: no reference to compare with at {}: {error}", path.display());
            None
        }
    }
}

/// Reads a reference file, which is known to be well formed.
fn parse(text: &str) -> Catalogue {
    let mut catalogue = Catalogue::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (family, exposed_type) = declared.split_once(' ').unwrap();
            name = family.into();
            catalogue.entry(name.clone()).or_default().exposed_type = exposed_type.into();
            continue;
        }
        let family = catalogue.get_mut(&name).unwrap();
        for (label, value) in labels(line) {
            if label != "le" {
                family.label_names.insert(label);
            } else if !family.bounds.contains(&value) {
                family.bounds.push(value);
            }
        }
    }
    catalogue
}

fn labels(line: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = line.split_once('{') else { return Vec::new() };
    let mut labels = Vec::new();
    let mut rest = rest;
    while let Some((label, after)) = rest.split_once("=\"") {
        let mut end = 0;
        while !after[end..].starts_with('"') {
            end += if after[end..].starts_with('\\') {
                2
            } else {
                after[end..].chars().next().unwrap().len_utf8()
            };
        }
        labels.push((label.trim_start_matches(',').into(), after[..end].into()));
        rest = &after[end + 1..];
        if rest.starts_with('}') {
            break;
        }
    }
    labels
}

fn ours(registry: &Registry) -> Catalogue {
    let mut snapshot = Snapshot::new();
    snapshot.take(registry);
    let mut catalogue = Catalogue::new();
    for shown in snapshot.families() {
        // A family without a series prints nothing.
        for part in shown.parts().filter(|part| !part.is_empty()) {
            let family = catalogue.entry(shown.name().into()).or_default();
            let descriptor = part.descriptor();
            family.exposed_type = shown.exposed_type().into();
            let constant = descriptor.const_labels().map(|label| label.0);
            family.label_names.extend(constant.chain(descriptor.label_names()).map(String::from));
            if let Some(buckets) = descriptor.buckets() {
                family.bounds = buckets.bounds().iter().map(f64::to_string).collect();
                family.bounds.push("+Inf".into());
            }
        }
    }
    catalogue
}

#[test]
fn the_frontend_is_that_of_dynamo_0_9_0() {
    let Some(theirs) = reference("frontend-after-migration.txt") else { return };
    assert_eq!(theirs.len(), 18, "the reference is complete");
    let registry = Registry::new();
    let frontend = FrontendMetrics::new(&registry, FrontendConfig::default()).unwrap();
    assert_eq!(ours(&registry).len(), 1, "disconnected_clients alone");
    let card = ModelCard { context_length: 4096, kv_cache_block_size: 16, migration_limit: 3 };
    let config = RuntimeConfig {
        total_kv_blocks: Some(16384),
        max_num_seqs: Some(3),
        max_num_batched_tokens: Some(2048),
    };
    frontend.models().add("tiny-mock", 1, &card, &config);
    let at = Timestamp::from_nanos;
    let mut request =
        frontend.begin(HttpEndpoint::ChatCompletions, RequestType::Stream, "tiny-mock", at(0));
    request.input_tokens(24);
    request.cached_tokens(16);
    request.tokens(1, at(1));
    request.migration(MigrationType::OngoingRequest);
    request.tokens(1, at(2));
    request.succeed(at(3));

    let ours = ours(&registry);
    for (name, family) in &theirs {
        assert_eq!(ours.get(name), Some(family), "{name}");
    }
    let more: Vec<&String> = ours.keys().filter(|name| !theirs.contains_key(*name)).collect();
    assert_eq!(
        more,
        ["dynamo_frontend_cancelled_requests_total", "dynamo_frontend_model_ready"],
        "what upstream does not have before a rejection"
    );
}

#[test]
fn a_component_is_that_of_dynamo_0_9_0() {
    let Some(theirs) = reference("component-after-traffic.txt") else { return };
    assert_eq!(theirs.len(), 7, "the reference is complete");
    let runtime = DistributedRuntime::new().unwrap();
    let backend = runtime.namespace("dynamo").unwrap().component("backend").unwrap();
    let handler = backend.endpoint("generate").unwrap().serve(&[]).unwrap();
    let request = handler.begin(1146, runtime.now());
    request.error(ErrorType::PublishResponse);
    request.finish(runtime.now());
    let mut ours = ours(runtime.registry());
    assert!(ours.remove("dynamo_metrics_build_info").is_some());
    // The metrics of the library itself have their own table in docs/metrics.md, see `self_metrics.rs`.
    ours.retain(|name, _| !name.starts_with("dynamo_metrics_"));
    assert_eq!(ours, theirs);
}

#[test]
fn names_of_the_document_that_the_reference_lacks() {
    let runtime = DistributedRuntime::new().unwrap();
    runtime.namespace("dynamo").unwrap().component("backend").unwrap().kv_stats().unwrap();
    let ours = ours(runtime.registry());
    for name in
        ["active_blocks", "total_blocks", "gpu_cache_usage_percent", "gpu_prefix_cache_hit_rate"]
    {
        let family = &ours[&format!("dynamo_component_kvstats_{name}")];
        assert_eq!(family.exposed_type, "gauge");
        assert!(family.label_names.iter().eq(["dynamo_component", "dynamo_namespace"]));
    }
}
