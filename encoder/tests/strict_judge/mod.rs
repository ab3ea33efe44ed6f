//! Python's parsers as judges of many bodies in one process, and mutations of good bodies.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use dynamo_metrics_encoder::strict::Exposition;

/// Bodies that a test makes; `DYNAMO_METRICS_MUTATIONS` asks for more.
const MUTATIONS: usize = 4000;

/// The samples of a body: name, labels, value, timestamp and exemplar, each as text.
pub(crate) type Verdict = Vec<(String, String)>;

/// Reads bodies of 8 hexadecimal digits of length and UTF-8; answers one line of JSON for each.
const SCRIPT: &str = r#"
import importlib, json, math, sys
parser = importlib.import_module(sys.argv[1])
def number(v):
    return 'NaN' if math.isnan(v) else repr(float(v))
def time(t):
    return '' if t is None else str(t.sec * 10**9 + t.nsec) if hasattr(t, 'sec') else str(round(t * 1000) * 10**6)
def pairs(labels):
    return ','.join(k + '=' + v for k, v in sorted(labels.items()))
def row(s):
    e = s.exemplar
    tail = '' if e is None else '#' + pairs(e.labels) + '#' + number(e.value) + '#' + time(e.timestamp)
    return [s.name, pairs(s.labels) + '|' + number(s.value) + '|' + time(s.timestamp) + tail]
data = sys.stdin.buffer
while head := data.read(8):
    body = data.read(int(head, 16)).decode()
    try:
        rows = [row(s) for f in parser.text_string_to_metric_families(body) for s in f.samples]
    except Exception:
        rows = None
    print(json.dumps(rows))
"#;

/// What the parser of this Python module reads in each body, `None` where it refuses. Without Python the test
/// is skipped loudly, or fails where the judges are required.
pub(crate) fn judge(module: &str, bodies: &[String]) -> Option<Vec<Option<Verdict>>> {
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python");
    if !python.exists() {
        let required =
            std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|value| value == "required");
        assert!(!required, "prometheus_client is required; run bash ci/install.sh");
        eprintln!("SKIPPED: no Python in .venv (bash ci/install.sh installs it)");
        return None;
    }
    let mut child = Command::new(python)
        .args(["-c", SCRIPT, module])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut pipe = child.stdin.take().expect("a pipe");
    let input: Vec<u8> =
        bodies.iter().flat_map(|body| format!("{:08x}{body}", body.len()).into_bytes()).collect();
    // Written beside the reading: both pipes are short.
    let writer = std::thread::spawn(move || pipe.write_all(&input));
    let output = child.wait_with_output().expect("python ends");
    writer.join().expect("no panic").expect("python reads it all");
    let lines = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    let verdicts: Vec<_> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(verdicts.len(), bodies.len(), "python gave up");
    Some(verdicts)
}

/// What we read, in the judge's form.
pub(crate) fn ours(exposition: &Exposition) -> Verdict {
    let number = |value: f64| match value {
        _ if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "inf".to_owned(),
        f64::NEG_INFINITY => "-inf".to_owned(),
        // Integers lose the sign of zero in Python.
        _ => python_float(value),
    };
    let time = |at: Option<i128>| at.map(|at| at.to_string()).unwrap_or_default();
    let pairs = |labels: &[(String, String)]| {
        let mut labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        labels.sort();
        labels.join(",")
    };
    let row = |sample: &dynamo_metrics_encoder::strict::Sample| {
        let exemplar = sample.exemplar.as_ref().map(|exemplar| {
            let at = time(exemplar.timestamp_nanos());
            format!("#{}#{}#{at}", pairs(&exemplar.labels), number(exemplar.value))
        });
        let at = time(sample.timestamp_nanos());
        let tail = exemplar.unwrap_or_default();
        (
            sample.name.clone(),
            format!("{}|{}|{at}{tail}", pairs(&sample.labels), number(sample.value)),
        )
    };
    exposition.samples().map(row).collect()
}

/// A float as Python's `repr` has it, for the values that the bodies here have.
fn python_float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("an exponent");
    let exponent: i32 = exponent.parse().expect("a number");
    if value == 0.0 {
        return "0.0".to_owned();
    }
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Bodies with `# EOF`, each one or two bodies of the corpus with up to three changes. The seed is fixed.
pub(crate) fn mutate(corpus: &[&str]) -> Vec<String> {
    let count = std::env::var("DYNAMO_METRICS_MUTATIONS").ok().and_then(|n| n.parse().ok());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    (0..count.unwrap_or(MUTATIONS))
        .map(|_| {
            let mut lines: Vec<String> = Vec::new();
            for _ in 0..=random.below(2) {
                lines.extend(random.pick(corpus).lines().map(str::to_owned));
            }
            lines.push("# EOF".to_owned());
            for _ in 0..=random.below(3) {
                change(&mut lines, &mut random);
            }
            lines.iter().map(|line| format!("{line}\n")).collect()
        })
        .collect()
}

/// Words that replace each other within a line.
const WORDS: &[&[&str]] = &[
    &["_total", "_created", "_bucket", "_sum", "_count", "_gsum", "_gcount", "_info", ""],
    &[
        "counter",
        "gauge",
        "histogram",
        "summary",
        "info",
        "stateset",
        "gaugehistogram",
        "unknown",
        "untyped",
    ],
    &[
        "1",
        "2",
        "0",
        "-1",
        "1.0",
        "1.5",
        "NaN",
        "+Inf",
        "1e+06",
        "+5",
        "0x10",
        "18446744073709551615",
        "1.8446744073709552e19",
    ],
    &["TYPE", "HELP", "UNIT", "EOF"],
    &[" ", "  ", "\t", ""],
    &["\"", "\\\"", "\\\\", "é", "\\t"],
    &["{", "}", ",", "=", " # {", ":", "__"],
    &["le", "quantile", "x", "e", "t"],
];

fn change(lines: &mut Vec<String>, random: &mut Random) {
    let (a, b) = (random.below(lines.len()), random.below(lines.len()));
    match random.below(9) {
        0 if lines.len() > 1 => drop(lines.remove(a)),
        1 => lines.insert(b, lines[a].clone()),
        2 => lines.swap(a, b),
        _ => {
            let words = random.pick(WORDS);
            let (old, new) = (*random.pick(words), *random.pick(words));
            let places: Vec<usize> = lines[a].match_indices(old).map(|(at, _)| at).collect();
            if !places.is_empty() {
                let at = *random.pick(&places);
                lines[a].replace_range(at..at + old.len(), new);
            }
        }
    }
}

/// xorshift64: a fixed sequence, so that a failure comes again.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }
}
