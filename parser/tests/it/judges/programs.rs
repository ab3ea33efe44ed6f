//! The judges as processes: Python gets all bodies at once, promtool each in a process of its own.

use dynamo_metrics_parser::{Exposition, Family, Kind, Sample};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Which of Python's parsers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Asked {
    Text,
    OpenMetrics,
}

/// The answer of a judge about a body.
#[derive(Debug)]
pub(crate) enum Answer {
    Read(Vec<Read>),
    Refused(String),
}

/// A sample as a judge read it. Numbers as text that is the same for the same bits, `NaN` for all of those.
#[derive(Clone, Debug, PartialEq, PartialOrd)]
pub(crate) struct Read {
    name: String,
    labels: BTreeMap<String, String>,
    value: String,
    time: Option<String>,
    exemplar: Option<(BTreeMap<String, String>, String, Option<String>)>,
}

/// The samples of the strict parser in Python's terms. Its text parser knows neither exemplars nor what is below a millisecond, and
/// appends `_total` to the names of counters that lack it.
pub(crate) fn samples(exposition: &Exposition, asked: Asked) -> Vec<Read> {
    let read = |family: &Family, sample: &Sample| Read {
        name: match asked == Asked::Text && family.kind == Kind::Counter {
            true => {
                sample.name.strip_suffix("_total").unwrap_or(&sample.name).to_owned() + "_total"
            }
            false => sample.name.clone(),
        },
        labels: sample.labels.iter().cloned().collect(),
        value: spell(sample.value),
        time: match asked {
            Asked::OpenMetrics => sample.timestamp_nanos().map(spell_nanos),
            Asked::Text => sample.timestamp.map(spell_millis),
        },
        exemplar: sample.exemplar.as_ref().map(|exemplar| {
            let labels = exemplar.labels.iter().cloned().collect();
            (labels, spell(exemplar.value), exemplar.timestamp_nanos().map(spell_nanos))
        }),
    };
    let families = exposition.families.iter();
    sorted(families.flat_map(|f| f.samples.iter().map(move |sample| read(f, sample))).collect())
}

/// Families may come in another order.
fn sorted(mut samples: Vec<Read>) -> Vec<Read> {
    samples.sort_by(|a, b| a.partial_cmp(b).expect("texts have an order"));
    samples
}

/// Python reads `-0` as a whole number, which has no sign at zero.
fn spell(value: f64) -> String {
    if value.is_nan() { "NaN".to_owned() } else { format!("{:?}", value + 0.0) }
}

fn spell_nanos(nanos: i128) -> String {
    format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000)
}

/// Seconds as an f64, rounded once.
fn spell_millis(ms: i64) -> String {
    spell(format!("{}.{:03}", ms / 1000, ms % 1000).parse().expect("a decimal number"))
}

/// Returns Python's answer about each body; `None`, loudly, where it is not installed.
pub(crate) fn python(asked: Asked, bodies: &[Vec<u8>]) -> Option<Vec<Answer>> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let python = project.join(".venv/bin/python");
    if !python.exists() {
        skipped("Python's prometheus_client in .venv");
        return None;
    }
    let format = if asked == Asked::Text { "text" } else { "openmetrics" };
    let mut input = Vec::new();
    for body in bodies {
        writeln!(input, "{format} {}", body.len()).expect("a Vec takes all");
        input.extend_from_slice(body);
    }
    let output = run(Command::new(python).arg(project.join("ci/judges/parsers.py")), input);
    let output = String::from_utf8(output).expect("JSON is UTF-8");
    let answers: Vec<Answer> = output.lines().map(|line| answer(line, asked)).collect();
    assert_eq!(answers.len(), bodies.len(), "an answer for each body");
    Some(answers)
}

fn answer(line: &str, asked: Asked) -> Answer {
    let answer: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
    let Some(samples) = answer.as_array() else {
        return Answer::Refused(answer["error"].as_str().unwrap_or_default().to_owned());
    };
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let number =
        |value: &serde_json::Value| text(value).map(|v| spell(v.parse().expect("a float")));
    let labels = |value: &serde_json::Value| -> BTreeMap<String, String> {
        let labels = value.as_object().into_iter().flatten();
        labels.map(|(name, value)| (name.clone(), text(value).unwrap_or_default())).collect()
    };
    let read = |sample: &serde_json::Value| Read {
        name: text(&sample[0]).expect("a name"),
        labels: labels(&sample[1]),
        value: number(&sample[2]).unwrap_or_default(),
        time: if asked == Asked::Text { number(&sample[4]) } else { text(&sample[4]) },
        exemplar: number(&sample[5]).map(|value| (labels(&sample[3]), value, text(&sample[6]))),
    };
    Answer::Read(sorted(samples.iter().map(read).collect()))
}

/// Returns the reason why Go's expfmt refuses each text, if it does; `None`, loudly, where Go or its library is not installed.
pub(crate) fn expfmt(bodies: &[Vec<u8>]) -> Option<Vec<Option<String>>> {
    const SOURCES: &str = "/usr/share/gocode";
    if !Path::new(SOURCES).join("src/github.com/prometheus/common/expfmt").exists()
        || Command::new("go").arg("version").stdout(Stdio::null()).status().is_err()
    {
        skipped("Go with Debian's golang-github-prometheus-common-dev");
        return None;
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("expfmt-verdicts");
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&program)
        .arg(project.join("ci/judges/expfmt.go"))
        .env("GO111MODULE", "off")
        .env("GOPATH", SOURCES)
        .env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go"))
        .status();
    assert!(built.is_ok_and(|status| status.success()), "the judge in Go does not build");
    let mut input = Vec::new();
    for body in bodies {
        writeln!(input, "{}", body.len()).expect("a Vec takes all");
        input.extend_from_slice(body);
    }
    let output = run(Command::new(program).arg("verdicts"), input);
    let output = String::from_utf8(output).expect("its lines are quoted");
    let verdicts = output.lines().map(|line| (line != "ok").then(|| line.to_owned())).collect();
    Some(verdicts)
}

/// A newer judge in `.judges`, which ci/judges/unpack.sh fills; `None`, loudly, where it is not.
pub(crate) fn unpacked(suite: &str, program: &str) -> Option<PathBuf> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let path = project.join(".judges").join(suite).join("usr/bin").join(program);
    if path.exists() {
        return Some(path);
    }
    skipped(&format!("{program} of Debian {suite} in .judges"));
    None
}

/// A program on the path; `None`, loudly, where it is not installed.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|p| p.exists());
    if found.is_none() {
        skipped(program);
    }
    found
}

/// Returns the reason why promtool cannot parse a body; lint does not count.
pub(crate) fn refusal_of_promtool(promtool: &Path, body: &[u8]) -> Option<String> {
    let mut command = Command::new(promtool);
    command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts");
    // It may end before it has read all.
    let _ = child.stdin.take().expect("a pipe").write_all(body);
    let output = child.wait_with_output().expect("promtool ends");
    (output.status.code() == Some(1)).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn run(command: &mut Command, input: Vec<u8>) -> Vec<u8> {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = pipes.spawn().expect("the judge starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("the judge ends");
    writer.join().expect("no panic").expect("the judge reads all");
    assert!(output.status.success(), "{command:?} failed");
    output.stdout
}

fn skipped(judge: &str) {
    let required = std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|value| value == "required");
    assert!(!required, "{judge} is required and not installed (bash ci/install.sh)");
    eprintln!("SKIPPED: {judge} is not installed (bash ci/install.sh installs it)");
}
