//! Judges that nobody here wrote read what the encoder writes of arbitrary registries: Go's expfmt (text and protobuf)
//! and Python's prometheus_client (text, and OpenMetrics strictly). Each must see the series and the values, to the
//! last digit, that the registry holds.
//!
//! Without a judge its test skips loudly, unless `DYNAMO_METRICS_JUDGES=required`, as in CI.

mod generate;
#[path = "../decode/line.rs"]
mod line;

use bytes::BytesMut;
use dynamo_metrics_core::{Escaping, Registry};
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::{Encoder, strict};
use line::line;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Registries that each judge reads.
const REGISTRIES: u64 = 150;

fn encode(registry: &Registry, format: Format) -> Vec<u8> {
    let mut body = BytesMut::new();
    let asked = Negotiated::new(format, Escaping::Underscores);
    let filter = NameFilter::default();
    Encoder::with_created_samples().encode_as(registry, asked, &filter, &mut body);
    body.to_vec()
}

/// What our own strict parser reads in a text.
fn samples_of_text(text: &[u8]) -> Vec<String> {
    let exposition = strict::parse(text)
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
        let registry = generate::registry(seed, generate::Values::Any);
        let text = encode(&registry, Format::Text);
        // Go writes negative zero without its sign.
        let unsigned = |line: String| line.replace("} -0.0", "} 0.0");
        let expected: Vec<String> = samples_of_text(&text).into_iter().map(unsigned).collect();
        let expected = sorted(expected);
        let read = run(Command::new(&expfmt).arg("text"), &text);
        assert_eq!(samples_of_text(&read), expected, "text of registry {seed}");
        let read = run(Command::new(&expfmt).arg("protobuf"), &encode(&registry, Format::Protobuf));
        assert_eq!(samples_of_text(&read), expected, "protobuf of registry {seed}");
    }
}

/// With values that both spell alike: we write whole numbers as digits where Go takes an exponent from 10^6 on.
#[test]
fn gos_expfmt_writes_the_same_bytes() {
    let Some(expfmt) = expfmt() else { return };
    for seed in 0..REGISTRIES {
        let text = encode(&generate::registry(seed, generate::Values::Small), Format::Text);
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
    let mut input = Vec::new();
    let mut expected = Vec::new();
    for seed in 0..REGISTRIES {
        let registry = generate::registry(seed, generate::Values::Any);
        let text = encode(&registry, Format::Text);
        for (format, body) in
            [("text", text.clone()), ("openmetrics", encode(&registry, Format::OpenMetrics))]
        {
            writeln!(input, "{format} {}", body.len()).unwrap();
            input.extend_from_slice(&body);
            expected.push((format, seed, samples_of_text(&text), body));
        }
    }
    let output = run(Command::new(python).arg(project().join("ci/judges/parsers.py")), &input);
    let output = String::from_utf8(output).unwrap();
    assert_eq!(output.lines().count(), expected.len());
    let mut exemplars = 0;
    for (answer, (format, seed, expected, body)) in output.lines().zip(expected) {
        let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
        let Some(samples) = answer.as_array() else {
            panic!("{format} of registry {seed}: {answer}\n{}", String::from_utf8_lossy(&body));
        };
        exemplars += samples.iter().filter(|sample| !sample[3].is_null()).count();
        let line_of = |sample: &serde_json::Value| {
            let labels = sample[1].as_object().unwrap().iter();
            let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().into()));
            let value = sample[2].as_str().unwrap().parse().unwrap();
            line(sample[0].as_str().unwrap(), labels.collect(), value)
        };
        let read = samples.iter().filter(|s| !s[0].as_str().unwrap().ends_with("_created"));
        assert_eq!(sorted(read.map(line_of).collect()), expected, "{format} of registry {seed}");
    }
    assert!(exemplars > 0, "some registries have exemplars");
}
