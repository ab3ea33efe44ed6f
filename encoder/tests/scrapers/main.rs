//! Independent scrapers scrape a live page in every format: Prometheus 2.42, 2.53 and 3.5, VictoriaMetrics,
//! and promtool. Each must have stored the series and the values, to the last digit, that the registry holds.
//!
//! `ci/judges/unpack.sh` fetches what Debian's stable release has not. Without a judge its test skips loudly, unless
//! `DYNAMO_METRICS_JUDGES=required`, as in CI. All together take half a minute.

#[path = "../../examples/every_kind/catalogue.rs"]
mod catalogue;
mod engine;
#[path = "../judges/generate.rs"]
mod generate;
mod held;
#[path = "../it/decode/line.rs"]
mod line;
mod page;
mod scraper;

use bytes::BytesMut;
use catalogue::{Catalogue, TRACE_ID};
use dynamo_metrics_core::{Escaping, Registry};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use generate::{Metrics, Values};
use page::Page;
use scraper::{Job, Scraper};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Registries of the differential run; each is scraped in three formats.
const REGISTRIES: u64 = 10;

/// Formats as `scrape_protocols` has them, of Prometheus since 2.49.
const TEXT_0: Option<&str> = Some("PrometheusText0.0.4");
const TEXT_1: Option<&str> = Some("PrometheusText1.0.0");
const OPENMETRICS: Option<&str> = Some("OpenMetricsText1.0.0");
const PROTOBUF: Option<&str> = Some("PrometheusProto");

/// A judge in the system's folders, or unpacked in `.judges/<suite>`.
fn judge(suite: Option<&str>, program: &str) -> Option<PathBuf> {
    let found = match suite {
        Some(suite) => {
            let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
            Some(project.join(".judges").join(suite).join("usr/bin").join(program))
        }
        None => std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|folder| folder.join(program))
            .find(|path| path.exists()),
    };
    let found = found.filter(|path| path.exists());
    if found.is_none() {
        let judge = format!("{program} of {}", suite.unwrap_or("this system"));
        let required =
            std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|value| value == "required");
        assert!(!required, "{judge} is required and not installed (bash ci/install.sh)");
        eprintln!("SKIPPED: {judge} is not installed (bash ci/install.sh installs it)");
    }
    found
}

fn job(name: &str, protocol: Option<&'static str>) -> Job {
    Job { name: name.into(), registry: 0, protocol, forced_text: false }
}

/// One Prometheus and what it can do.
struct Version {
    program: PathBuf,
    /// Of its folder.
    name: &'static str,
    /// Native histograms are switched on, and with them protobuf.
    native: bool,
    /// It reads the exemplars of native histograms. 2.42 looks for them in classic buckets, which we do not send along.
    native_exemplars: bool,
    /// The format that each job must have negotiated.
    expected: Vec<(Job, Format, Escaping)>,
}

/// Waits until a job has stored what the registry holds, and no other series.
fn compare(scraper: &mut Scraper, page: &Page, job: &str, registry: &Registry) -> Negotiated {
    scraper.eventually(&format!("the samples of {job}"), |scraper| {
        let stored = scraper.samples(job)?;
        let asked = page.asked(job).ok_or("never scraped")?;
        let held = held::samples(registry, asked);
        if stored == held { Ok(()) } else { Err(difference(&stored, &held)) }
    });
    let asked = page.asked(job).unwrap();
    let held = held::series(&held::samples(registry, asked));
    assert_eq!(scraper.series(job).unwrap(), held, "series of {job}");
    asked
}

fn difference(stored: &[String], held: &[String]) -> String {
    let only = |of: &[String], other: &[String]| -> Vec<String> {
        of.iter().filter(|line| !other.contains(line)).take(5).cloned().collect()
    };
    format!("stored only {:#?}\nheld only {:#?}", only(stored, held), only(held, stored))
}

/// Everything that is asked of one Prometheus, in two rounds with recording between them.
fn judged_by(version: Version) {
    let Version { program, name, native, native_exemplars, expected } = version;
    let catalogue = Catalogue::new().unwrap();
    let page = Page::serve(vec![catalogue.registry().clone()]);
    catalogue.record(1);
    let jobs: Vec<&Job> = expected.iter().map(|(job, ..)| job).collect();
    let mut prometheus = Scraper::prometheus(&program, name, native, &page.address(), &jobs);
    for round in 2..4 {
        for (job, format, escaping) in &expected {
            let asked = compare(&mut prometheus, &page, &job.name, catalogue.registry());
            assert_eq!(
                (asked.format, asked.escaping),
                (*format, *escaping),
                "{name}, {}",
                job.name
            );
        }
        catalogue.record(round);
    }
    for (Job { name: job, .. }, format, _) in &expected {
        if *format == Format::Text {
            continue; // which has no exemplars
        }
        let mut exemplified = vec![("requests_total", 3.0), ("latency_seconds_bucket", 0.05)];
        if *format == Format::OpenMetrics {
            exemplified.push(("first_token_seconds_bucket", 0.05));
        } else if native_exemplars {
            exemplified.push(("first_token_seconds", 0.05));
        }
        for (series, value) in exemplified {
            let selector = format!("{series}{{job=\"{job}\"}}");
            let seen = prometheus.eventually(&selector, |it| it.exemplar(&selector));
            assert_eq!(seen.0, value, "{selector}");
            assert_eq!(seen.1["trace_id"], TRACE_ID, "{selector}");
        }
        if *format == Format::Protobuf {
            // Of 101 observations in a round 100 are 0.0003 + 0.37 n, and one is 0.05: the 51st is the median. A
            // bucket at schema 5 is 2.2 % wide.
            let selector =
                format!("first_token_seconds{{job=\"{job}\",model=\"Qwen/Qwen3-0.6B\"}}");
            let median = prometheus.number(&format!("histogram_quantile(0.5,{selector})")).unwrap();
            let truth = 49.0 * 0.37 + 0.0003;
            assert!((median / truth - 1.0).abs() < 0.022, "{median}, not {truth}");
        }
    }
    assert_eq!(prometheus.complaints().unwrap(), [""; 0], "{name}");
}

#[test]
fn prometheus_2_42_stores_text_and_openmetrics() {
    let Some(program) = judge(None, "prometheus") else { return };
    // It cannot be told which format to ask for, but by the feature that needs protobuf.
    let text = Job { forced_text: true, ..job("text", None) };
    judged_by(Version {
        program,
        name: "2.42",
        native: false,
        native_exemplars: false,
        expected: vec![
            (text, Format::Text, Escaping::Underscores),
            (job("openmetrics", None), Format::OpenMetrics, Escaping::Underscores),
        ],
    });
}

#[test]
fn prometheus_2_42_stores_protobuf() {
    let Some(program) = judge(None, "prometheus") else { return };
    judged_by(Version {
        program,
        name: "2.42-native",
        native: true,
        native_exemplars: false,
        expected: vec![(job("protobuf", None), Format::Protobuf, Escaping::Underscores)],
    });
}

#[test]
fn prometheus_2_53_stores_every_format() {
    let Some(program) = judge(Some("trixie"), "prometheus") else { return };
    judged_by(Version {
        program,
        name: "2.53",
        native: true,
        native_exemplars: true,
        expected: vec![
            (job("text", TEXT_0), Format::Text, Escaping::Underscores),
            (job("openmetrics", OPENMETRICS), Format::OpenMetrics, Escaping::Underscores),
            (job("protobuf", PROTOBUF), Format::Protobuf, Escaping::Underscores),
        ],
    });
}

#[test]
fn prometheus_3_stores_every_format() {
    let Some(program) = judge(Some("sid"), "prometheus") else { return };
    judged_by(Version {
        program,
        name: "3",
        native: true,
        native_exemplars: true,
        expected: vec![
            (job("text0", TEXT_0), Format::Text, Escaping::Underscores),
            (job("text1", TEXT_1), Format::Text, Escaping::AllowUtf8),
            (job("openmetrics", OPENMETRICS), Format::OpenMetrics, Escaping::AllowUtf8),
            (job("protobuf", PROTOBUF), Format::Protobuf, Escaping::Underscores),
        ],
    });
}

/// Arbitrary registries, in three formats at once, scraped again and again while they are recorded into.
#[test]
fn prometheus_3_stores_the_same_of_every_format() {
    let Some(program) = judge(Some("sid"), "prometheus") else { return };
    let formats = [("text", TEXT_0), ("openmetrics", OPENMETRICS), ("protobuf", PROTOBUF)];
    let registries: Vec<Registry> = (0..REGISTRIES)
        .map(|seed| generate::registry(seed, Values::Any, Metrics::Common))
        .collect();
    let page = Page::serve(registries.clone());
    let jobs: Vec<Job> = (0..registries.len())
        .flat_map(|registry| {
            formats.map(|(format, protocol)| Job {
                registry,
                ..job(&format!("{format}-{registry}"), protocol)
            })
        })
        .collect();
    let mut prometheus = Scraper::prometheus(
        &program,
        "3-differential",
        true,
        &page.address(),
        &jobs.iter().collect::<Vec<_>>(),
    );
    for _ in 0..3 {
        for job in &jobs {
            compare(&mut prometheus, &page, &job.name, &registries[job.registry]);
        }
        for (seed, registry) in (0..).zip(&registries) {
            generate::record(registry, seed, Values::Any, Metrics::Common);
        }
    }
    assert_eq!(prometheus.complaints().unwrap(), [""; 0]);
}

/// VictoriaMetrics keeps numbers as decimal ones: the last digit of a value is not to be had, nor are NaN, the sign of
/// zero and what is below the normal numbers.
#[test]
fn victoria_metrics_stores_text() {
    let Some(program) = judge(Some("sid"), "victoria-metrics") else { return };
    let catalogue = Catalogue::new().unwrap();
    let page = Page::serve(vec![catalogue.registry().clone()]);
    catalogue.record(1);
    let mut scraper = Scraper::victoria_metrics(&program, &page.address(), &[&job("text", None)]);
    for round in 2..4 {
        scraper.eventually("the samples of VictoriaMetrics", |scraper| {
            let stored = scraper.samples("text")?;
            let asked = page.asked("text").ok_or("never scraped")?;
            assert_eq!((asked.format, asked.escaping), (Format::Text, Escaping::Underscores));
            let mut held = held::samples(catalogue.registry(), asked);
            held.retain(|line| !line.ends_with(" NaN"));
            let close = |(stored, held): (&String, &String)| {
                let [stored, held] = [stored, held].map(|line| line.rsplit_once(' ').unwrap());
                let [is, should] = [stored.1, held.1].map(|value| value.parse::<f64>().unwrap());
                stored.0 == held.0
                    && (is == should
                        || (is - should).abs() <= should.abs() * 1e-15 + f64::MIN_POSITIVE)
            };
            if stored.len() == held.len() && stored.iter().zip(&held).all(close) {
                Ok(())
            } else {
                Err(difference(&stored, &held))
            }
        });
        catalogue.record(round);
    }
}

#[test]
fn promtool_reads_text() {
    let judges = [judge(None, "promtool"), judge(Some("sid"), "promtool")];
    let catalogue = Catalogue::new().unwrap();
    catalogue.record(1);
    let generated = (0..REGISTRIES).flat_map(|seed| {
        [Values::Any, Values::Small].map(|values| generate::registry(seed, values, Metrics::Common))
    });
    let registries: Vec<Registry> =
        std::iter::once(catalogue.registry().clone()).chain(generated).collect();
    for promtool in judges.iter().flatten() {
        for registry in &registries {
            let mut body = BytesMut::new();
            Encoder::new().encode(registry, &mut body);
            let mut child = Command::new(promtool)
                .args(["check", "metrics"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            child.stdin.take().unwrap().write_all(&body).unwrap();
            let output = child.wait_with_output().unwrap();
            // 3 is for names and help texts that are not to its taste.
            assert!(
                matches!(output.status.code(), Some(0 | 3)),
                "{promtool:?}: {}\n{}",
                String::from_utf8_lossy(&output.stderr),
                String::from_utf8_lossy(&body)
            );
        }
    }
}
