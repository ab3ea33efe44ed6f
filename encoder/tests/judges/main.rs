//! Independent parsers read the bodies of arbitrary registries: Go's expfmt (text and protobuf) and Python's
//! prometheus_client (text, and OpenMetrics strictly). Each must see the series and the values, to the
//! last digit, that the registry holds.
//!
//! Without a judge its test skips loudly, unless `DYNAMO_METRICS_JUDGES=required`, as in CI.

#[path = "../../examples/every_kind/catalogue.rs"]
mod catalogue;
mod generate;
#[path = "../it/decode/line.rs"]
mod line;
mod passthrough;

use bytes::BytesMut;
use dynamo_metrics_core::{Escaping, Registry};
use dynamo_metrics_encoder::Encoder;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_parser as strict;
use generate::{Metrics, Values};
use line::line;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Registries that each judge reads.
const REGISTRIES: u64 = 150;

fn encode(registry: &Registry, format: Format, escaping: Escaping) -> Vec<u8> {
    let mut body = BytesMut::new();
    let asked = Negotiated::new(format, escaping);
    let filter = NameFilter::default();
    Encoder::with_created_samples().encode_as(registry, asked, &filter, &mut body);
    body.to_vec()
}

/// The samples that our own strict parser reads in a text.
fn samples_of_text(text: &[u8]) -> Vec<String> {
    samples_of(strict::Format::Text, text)
}

fn samples_of(format: strict::Format, text: &[u8]) -> Vec<String> {
    let exposition = strict::parse_as(format, text)
        .unwrap_or_else(|problems| panic!("{}\n{}", problems[0], String::from_utf8_lossy(text)));
    let sample = |s: &strict::Sample| line(&s.name, s.labels.clone(), s.value);
    sorted(exposition.samples().map(sample).collect())
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn skipped(judge: &str) {
    let required = std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|value| value == "required");
    assert!(!required, "{judge} is required and not installed (bash ci/install.sh)");
    eprintln!("SKIPPED: {judge} is not installed (bash ci/install.sh installs it)");
}

fn run(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = pipes.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success(), "{command:?} on\n{}", String::from_utf8_lossy(input));
    output.stdout
}

/// Go's expfmt, built once.
fn expfmt() -> Option<PathBuf> {
    const SOURCES: &str = "/usr/share/gocode";
    if !Path::new(SOURCES).join("src/github.com/prometheus/common/expfmt").exists()
        || Command::new("go").arg("version").stdout(Stdio::null()).status().is_err()
    {
        skipped("Go with Debian's golang-github-prometheus-common-dev");
        return None;
    }
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("expfmt");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(project().join("ci/judges/expfmt.go"))
        .env("GO111MODULE", "off")
        .env("GOPATH", SOURCES)
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"))
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the judge in Go does not build");
    Some(program)
}

#[test]
fn gos_expfmt_reads_text_and_protobuf() {
    let Some(expfmt) = expfmt() else { return };
    for seed in 0..REGISTRIES {
        let registry = generate::registry(seed, Values::Any, Metrics::Common);
        let text = encode(&registry, Format::Text, Escaping::Underscores);
        // Go writes negative zero without its sign.
        let unsigned = |line: String| line.replace("} -0.0", "} 0.0");
        let expected: Vec<String> = samples_of_text(&text).into_iter().map(unsigned).collect();
        let expected = sorted(expected);
        let read = run(Command::new(&expfmt).arg("text"), &text);
        assert_eq!(samples_of_text(&read), expected, "text of registry {seed}");
        let body = encode(&registry, Format::Protobuf, Escaping::Underscores);
        let read = run(Command::new(&expfmt).arg("protobuf"), &body);
        assert_eq!(samples_of_text(&read), expected, "protobuf of registry {seed}");
    }
}

/// With values that both spell alike: we write whole numbers as digits where Go takes an exponent from 10^6 on.
#[test]
fn gos_expfmt_writes_the_same_bytes() {
    let Some(expfmt) = expfmt() else { return };
    for seed in 0..REGISTRIES {
        let registry = generate::registry(seed, Values::Small, Metrics::Common);
        let text = encode(&registry, Format::Text, Escaping::Underscores);
        let again = run(Command::new(&expfmt).arg("text"), &text);
        assert_eq!(
            String::from_utf8_lossy(&again).lines().collect::<Vec<_>>(),
            String::from_utf8_lossy(&text).lines().collect::<Vec<_>>(),
            "registry {seed}"
        );
    }
}

#[test]
fn pythons_parsers_read_text_and_openmetrics() {
    let python = project().join(".venv/bin/python");
    if !python.exists() {
        return skipped("Python's prometheus_client in .venv");
    }
    let (mut input, mut expected) = (Vec::new(), Vec::new());
    let mut natives = 0;
    let every_kind = catalogue::Catalogue::new().unwrap();
    (0..3).for_each(|round| every_kind.record(round));
    let registries = (0..REGISTRIES).map(|seed| {
        (format!("registry {seed}"), generate::registry(seed, Values::Any, Metrics::All))
    });
    let catalogue = ("the catalogue".to_owned(), every_kind.registry().clone());
    for (of, registry) in registries.chain([catalogue]) {
        for escaping in Escaping::ALL {
            let utf8 = escaping == Escaping::AllowUtf8;
            let of = format!("{of}, {escaping:?}");
            let text = encode(&registry, Format::Text, escaping);
            let of_text = samples_of(
                if utf8 { strict::Format::TextUtf8 } else { strict::Format::Text },
                &text,
            );
            let openmetrics = encode(&registry, Format::OpenMetrics, escaping);
            let format =
                if utf8 { strict::Format::OpenMetricsUtf8 } else { strict::Format::OpenMetrics };
            let mut of_openmetrics = samples_of(format, &openmetrics);
            of_openmetrics.retain(|line| !line.contains("_created{"));
            // It has all that text has but for the sum and count of what may be negative.
            let missing: Vec<_> =
                of_text.iter().filter(|line| of_openmetrics.binary_search(line).is_err()).collect();
            assert_eq!(of_text.len() - missing.len(), of_openmetrics.len(), "{of}");
            assert!(missing.iter().all(|l| l.contains("_sum{") || l.contains("_count{")), "{of}");
            natives += missing.len();
            for (format, body, samples) in
                [("text", text, of_text), ("openmetrics", openmetrics, of_openmetrics)]
            {
                writeln!(input, "{format} {}", body.len()).unwrap();
                input.extend_from_slice(&body);
                expected.push((format, of.clone(), samples, body));
            }
        }
    }
    assert!(natives > 0, "some registries have histograms of negative values");
    let output = run(Command::new(python).arg(project().join("ci/judges/parsers.py")), &input);
    let output = String::from_utf8(output).unwrap();
    assert_eq!(output.lines().count(), expected.len());
    let mut exemplars = 0;
    for (answer, (format, of, expected, body)) in output.lines().zip(expected) {
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        let Some(samples) = answer.as_array() else {
            panic!("{format} of {of}: {answer}\n{}", String::from_utf8_lossy(&body));
        };
        exemplars += samples.iter().filter(|sample| !sample[3].is_null()).count();
        let line_of = |sample: &serde_json::Value| {
            let labels = sample[1].as_object().unwrap().iter();
            let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().into()));
            let value = sample[2].as_str().unwrap().parse().unwrap();
            line(sample[0].as_str().unwrap(), labels.collect(), value)
        };
        let read = samples.iter().filter(|s| !s[0].as_str().unwrap().ends_with("_created"));
        assert_eq!(sorted(read.map(line_of).collect()), expected, "{format} of {of}");
    }
    assert!(exemplars > 0, "some registries have exemplars");
}
