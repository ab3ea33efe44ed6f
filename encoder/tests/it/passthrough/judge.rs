//! Merged OpenMetrics, judged by Python's strict parser, which Datadog's agent uses: any text, however
//! broken, must come out valid. All bodies go to one process.

use dynamo_metrics_test_support::pages;

use std::io::Write;
use std::process::{Command, Stdio};

use super::support::{merge_as, vllm_text};
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_encoder::passthrough::{Filter, Labels, Source};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// Bodies of random text that are judged.
const RANDOM_BODIES: usize = 3000;

/// Reads bodies, each behind its length in eight digits, and prints the number of samples of all.
const JUDGE: &str = r"
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
samples = 0
while head := sys.stdin.buffer.read(8):
    body = sys.stdin.buffer.read(int(head)).decode()
    try:
        samples += sum(len(family.samples) for family in parse(body))
    except Exception as error:
        sys.exit(f'{type(error).__name__}: {error}\n{body}')
print(samples)
";

/// A Python that has `prometheus_client`. Without it the test skips loudly, unless the environment says that it
/// must be there, as in CI.
fn python() -> Option<Command> {
    let has_client = Command::new("python3").args(["-c", "import prometheus_client"]).output();
    if has_client.is_ok_and(|output| output.status.success()) {
        let mut command = Command::new("python3");
        command.args(["-c", JUDGE]);
        return Some(command);
    }
    let required = std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|value| value == "required");
    assert!(!required, "python3 with prometheus_client is required and not installed");
    eprintln!("SKIPPED: no python3 with prometheus_client (bash ci/test.sh installs it)");
    None
}

#[test]
fn python_reads_every_merged_body() {
    let Some(mut python) = python() else { return };
    let mut runner = TestRunner::deterministic();
    let (all, names) = (Filter::all(), ["a", "b_total", "a_created", "a_sum"]);
    let labels = Labels::new([("x", "1"), ("worker", "w")]).unwrap();
    let sources = prop::collection::vec(pages::any_text(), 1..3);
    let mut cases: Vec<Vec<Vec<u8>>> = vec![vec![vllm_text(2).into_bytes()]];
    let utf8 = "# TYPE \"a.b_total\" counter\n{\"a.b_total\",\"x.y\"=\"1\",z=\"2\"} 5 # {t=\"1\"} 1\n{\"größe\"} 1\n\
                # HELP \"h.s\" \\\"q\\\"\n# TYPE \"h.s\" histogram\n{\"h.s_bucket\",le=\"1\"} 1\n\
                {\"h.s_bucket\",le=\"+Inf\"} 1\n{\"h.s_count\"} 1\n{\"h.s_sum\"} 1\n{\"h.s_created\"} 5\n";
    cases.extend((0..12).map(|_| vec![utf8.into()]));
    cases.extend(pages::reference().into_iter().map(|(_, body)| vec![body]));
    let random = (0..RANDOM_BODIES).map(|_| sources.new_tree(&mut runner).unwrap().current());
    cases.extend(random);
    let (mut bodies, mut series) = (Vec::new(), 0);
    for (number, texts) in cases.iter().enumerate() {
        let labels = if number % 3 == 0 { &labels } else { Labels::none() };
        let escaping = Escaping::ALL[number % 4];
        let sources: Vec<_> =
            texts.iter().map(|text| Source::new(&all, text).labelled(labels)).collect();
        let asked = Negotiated::new(Format::OpenMetrics, escaping);
        let reserved = if number % 2 == 0 { &[][..] } else { &names[number % names.len()..] };
        let (mut body, report) = merge_as(asked, &sources, reserved);
        body.extend_from_slice(b"# EOF\n");
        write!(bodies, "{:08}", body.len()).unwrap();
        bodies.extend(body);
        series += report.series;
    }
    assert!(series > RANDOM_BODIES as u64, "the texts are not all broken: {series}");
    let mut judge = python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    judge = judge.env("PYTHONUTF8", "1");
    let mut judge = judge.spawn().unwrap();
    let mut stdin = judge.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(&bodies));
    let verdict = judge.wait_with_output().unwrap();
    assert!(verdict.status.success(), "{}", String::from_utf8_lossy(&verdict.stderr));
    writer.join().unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&verdict.stdout).trim(), series.to_string());
}
