//! Each row of the migration table in docs/swap.md: both sides build, and give pages of the same meaning. A test finds the code of each row
//! in this file.

use dynamo_metrics_facade::{
    Buckets, Builder, DynamoRecorder, Matcher, MetricKinds, NativeBuckets,
};
use metrics::{Key, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    Matcher as TheirMatcher, NativeHistogramConfig, PrometheusBuilder, PrometheusRecorder,
};
use metrics_util::MetricKindMask;
use std::error::Error;
use std::num::NonZeroU32;
use std::time::Duration;

static METADATA: Metadata<'static> = Metadata::new("migration", Level::INFO, None);

type Outcome = Result<(), Box<dyn Error>>;

fn play(recorder: &impl Recorder) {
    let key = Key::from_parts("http.requests", vec![Label::new("code", "200")]);
    recorder.register_counter(&key, &METADATA).increment(3);
    recorder.describe_gauge("used".into(), Some(Unit::Bytes), "Used memory.".into());
    recorder.register_gauge(&Key::from_name("used"), &METADATA).set(1.5);
    let wait = recorder.register_histogram(&Key::from_name("wait_seconds"), &METADATA);
    [0.05, 0.5, 5.0].into_iter().for_each(|v| wait.record(v));
    recorder.register_histogram(&Key::from_name("size_bytes"), &METADATA).record(5e7);
}

/// The lines of a page without quantiles, which differ in their digits.
fn lines(page: &str) -> Vec<&str> {
    let is_shown = |line: &&str| !line.is_empty() && !line.contains("quantile=\"0.");
    let mut lines: Vec<&str> = page.lines().filter(is_shown).collect();
    lines.sort_unstable();
    lines
}

fn same(ours: DynamoRecorder, theirs: PrometheusRecorder) {
    play(&ours);
    play(&theirs);
    let (ours, theirs) = (ours.handle().render(), theirs.handle().render());
    let their_lines = lines(&theirs).into_iter().filter(|line| !line.contains("quantile"));
    let our_lines = lines(&ours).into_iter().filter(|line| !line.contains("quantile"));
    assert_eq!(our_lines.collect::<Vec<_>>(), their_lines.collect::<Vec<_>>());
    for (our, their) in largest(&ours).into_iter().zip(largest(&theirs)) {
        assert!((our - their).abs() <= 0.01 * their, "{our} {their}");
    }
}

/// The largest value of each summary, which is the same by every definition of quantiles.
fn largest(page: &str) -> Vec<f64> {
    let mut lines = lines(page);
    lines.retain(|line| line.contains("quantile=\"1\""));
    lines.into_iter().map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect()
}

#[test]
fn builders_and_handles() -> Outcome {
    same(Builder::new().build()?, PrometheusBuilder::new().build_recorder());
    let theirs = PrometheusBuilder::new().build_recorder();
    let handle = theirs.handle();
    handle.run_upkeep();
    assert_eq!(handle.render(), "");
    let ours = Builder::new().build()?;
    let handle = ours.handle();
    assert_eq!(handle.render(), "");
    Ok(())
}

#[test]
fn buckets() -> Outcome {
    let theirs = PrometheusBuilder::new();
    let theirs = theirs.set_buckets(&[0.1, 1.0])?;
    let ours = Builder::new();
    let ours = ours.buckets(&Buckets::new([0.1, 1.0])?);
    same(ours.build()?, theirs.build_recorder());
    Ok(())
}

#[test]
fn buckets_by_name() -> Outcome {
    let matcher = TheirMatcher::Suffix("_seconds".into());
    let theirs = PrometheusBuilder::new();
    let theirs = theirs.set_buckets_for_metric(matcher, &[0.1, 1.0])?;
    let matcher = Matcher::Suffix("_seconds".into());
    let ours = Builder::new();
    let ours = ours.buckets_for(matcher, &Buckets::new([0.1, 1.0])?);
    same(ours.build()?, theirs.build_recorder());
    Ok(())
}

#[test]
fn native_histograms() -> Outcome {
    let matcher = TheirMatcher::Full("wait_seconds".into());
    let theirs = PrometheusBuilder::new();
    let config = NativeHistogramConfig::new(1.1, 160, 1e-9)?;
    let theirs = theirs.set_native_histogram_for_metric(matcher, config);
    let matcher = Matcher::Full("wait_seconds".into());
    let ours = Builder::new();
    let native = NativeBuckets::new().factor(1.1).max_buckets(160);
    let ours = ours.native_histograms_for(matcher, &native);
    let (ours, theirs) = (ours.build()?, theirs.build_recorder());
    play(&ours);
    play(&theirs);
    assert!(ours.handle().render().contains("wait_seconds_count 3\n"), "classic in text");
    assert!(!theirs.handle().render().contains("wait_seconds"), "in protobuf only");
    Ok(())
}

#[test]
fn quantiles() -> Outcome {
    let theirs = PrometheusBuilder::new();
    let theirs = theirs.set_quantiles(&[0.5, 1.0])?;
    let (duration, count) = (Duration::from_secs(20), NonZeroU32::new(3).ok_or("zero")?);
    let theirs = theirs.set_bucket_duration(duration)?.set_bucket_count(count);
    let ours = Builder::new();
    let summary = Builder::default_summary().quantiles([0.5, 1.0]);
    let summary = summary.window(duration * 3).slices(3);
    let ours = ours.summaries(&summary);
    let ours = ours.build()?;
    play(&ours);
    let page = ours.handle().render();
    assert_eq!(page.matches("quantile=").count(), 4, "{page}");
    same(Builder::new().summaries(&summary).build()?, theirs.build_recorder());
    Ok(())
}

#[test]
fn labels_and_names() -> Outcome {
    let theirs = PrometheusBuilder::new();
    let theirs = theirs.add_global_label("zone", "us");
    let theirs = theirs.with_recommended_naming(true);
    let ours = Builder::new();
    let ours = ours.global_label("zone", "us");
    let ours = ours.recommended_naming(true);
    same(ours.build()?, theirs.build_recorder());
    Ok(())
}

#[test]
#[allow(deprecated)]
fn units() -> Outcome {
    let theirs = PrometheusBuilder::new();
    let theirs = theirs.set_enable_unit_suffix(true);
    let ours = Builder::new();
    let ours = ours.unit_suffixes(true);
    same(ours.build()?, theirs.build_recorder());
    Ok(())
}

#[test]
fn idle_series() -> Outcome {
    let timeout = Duration::from_secs(3600);
    let theirs = PrometheusBuilder::new();
    let theirs = theirs.idle_timeout(MetricKindMask::ALL, Some(timeout));
    let theirs = theirs.upkeep_timeout(timeout);
    let ours = Builder::new();
    let ours = ours.idle_timeout(MetricKinds::ALL, Some(timeout));
    same(ours.build()?, theirs.build_recorder());
    Ok(())
}

#[test]
fn servers() -> Outcome {
    let ours = Builder::new();
    let ours = ours.listen("127.0.0.1:0");
    let handle = ours.install()?;
    assert!(handle.local_addr().is_some());
    let second = dynamo_metrics_facade::install().unwrap_err();
    assert!(second.to_string().contains("already"), "{second}");
    let path = std::env::temp_dir().join(format!("facade-{}.sock", std::process::id()));
    let server = handle.server().unix_socket(&path).spawn()?;
    drop(server);
    Ok(())
}

/// Code that `metrics-exporter-prometheus` has behind features that are off here, or that installs a second recorder.
const THEIRS_ONLY_TOLD: [&str; 5] = [
    ".with_http_listener(address).install()?",
    ".install_recorder()?",
    ".with_http_uds_listener(path)",
    ".add_allowed_address(\"10.0.0.0/8\")?",
    ".with_push_gateway(...)?",
];

/// Returns the code in the cells of each row of the table, without blanks.
fn rows(document: &str) -> Vec<Vec<String>> {
    let table = document.split("### From metrics-exporter-prometheus").nth(1).unwrap_or_default();
    let rows = table.lines().skip_while(|line| !line.starts_with('|')).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|row| row.split('`').skip(1).step_by(2).map(String::from).collect())
        .collect()
}

#[test]
fn each_row_of_the_table_is_in_this_file() {
    let compact = |text: &str| text.split_whitespace().collect::<String>();
    let source = include_str!("migration.rs");
    let (tests, _) = source.split_once("const THEIRS_ONLY_TOLD").unwrap_or_default();
    let tests = compact(tests).replace("TheirMatcher", "Matcher");
    let rows = rows(include_str!("../../../docs/swap.md"));
    assert!(rows.len() >= 12, "{rows:?}");
    for code in rows.iter().flatten() {
        let is_there = tests.contains(&compact(code)) || THEIRS_ONLY_TOLD.contains(&&**code);
        assert!(is_there, "{code}");
    }
}
