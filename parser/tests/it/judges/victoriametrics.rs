//! The checker's errors against VictoriaMetrics, over mutated lines: a sample is missing in what it stored exactly if an error says
//! that it is left out.

use super::programs::unpacked;
use super::{fail_if_any, mutate, report, seeds};
use dynamo_metrics_parser::{By, Consumer, Effect, Format, judge};
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Lines that are imported, a request each.
const LINES: usize = 1_000;
/// How long VictoriaMetrics may take to start.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// How long stored samples may take to be found.
const STORES_WITHIN: Duration = Duration::from_secs(30);

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &Path) -> (Server, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("vm-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&data);
    let child = Command::new(program)
        .arg(format!("-httpListenAddr={address}"))
        .arg(format!("-storageDataPath={}", data.display()))
        .args(["-retentionPeriod=100y", "-loggerLevel=FATAL"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("VictoriaMetrics starts");
    let server = Server(child);
    let deadline = Instant::now() + STARTS_WITHIN;
    while request(&address, "GET", "/health", b"").is_none_or(|answer| !answer.contains("OK")) {
        assert!(Instant::now() < deadline, "VictoriaMetrics has not started");
        std::thread::sleep(Duration::from_millis(100));
    }
    (server, address)
}

fn request(address: &str, method: &str, target: &str, body: &[u8]) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let head =
        format!("{method} {target} HTTP/1.0\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

/// The lines of mutated pages that are samples, each once. NaN is left out: VictoriaMetrics reads it and stores nothing.
fn lines() -> Vec<Vec<u8>> {
    let mut seen = HashSet::new();
    let pages = seeds().flat_map(|seed| [mutate::text(seed), mutate::openmetrics(seed)]);
    let lines = pages
        .flat_map(|page| page.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>());
    lines
        .filter(|line| {
            let text = String::from_utf8_lossy(line).to_ascii_lowercase();
            let text = text.trim_matches([' ', '\t']);
            !text.is_empty() && !text.starts_with('#') && !text.contains("nan")
        })
        .filter(|line| !is_known(&String::from_utf8_lossy(line)))
        .filter(|line| seen.insert(line.clone()))
        .take(LINES)
        .collect()
}

/// Lines that are read, and stored in another way or not at all.
fn is_known(line: &str) -> bool {
    // An exemplar of a sample without labels is taken for the sample's labels and value.
    let open = line.find('{');
    let exemplar =
        line.find('#').is_some_and(|hash| open.is_none_or(|open| open == 0 || open > hash));
    // Times outside of the retention.
    let time = line.trim_matches([' ', '\t']).rsplit([' ', '\t']).next().unwrap_or_default();
    let is_far = time.parse::<f64>().is_ok_and(|time| !(0.0..=1e14).contains(&time));
    exemplar || is_far
}

fn is_dropped(line: &[u8]) -> bool {
    let drops = (Effect::Dropped, Consumer::VictoriaMetrics);
    let page = [line, b"\n"].concat();
    let findings = judge(Format::TextUtf8, &page).findings;
    findings.iter().any(|finding| matches!(&finding.by, By::Consumers(by) if by.contains(&drops)))
}

#[test]
fn victoriametrics_leaves_out_exactly_the_lines_with_its_errors() {
    let Some(program) = unpacked("sid", "victoria-metrics") else { return };
    let (_server, address) = start(&program);
    let lines = lines();
    for (at, line) in lines.iter().enumerate() {
        let target = format!("/api/v1/import/prometheus?extra_label=page={at}");
        let answer = request(&address, "POST", &target, &[line, &b"\n"[..]].concat());
        assert!(answer.is_some(), "VictoriaMetrics does not answer");
    }
    let expected = lines.iter().filter(|line| !is_dropped(line)).count();
    let deadline = Instant::now() + STORES_WITHIN;
    let mut stored: HashSet<usize> = HashSet::new();
    while stored.len() < expected && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(500));
        request(&address, "GET", "/internal/force_flush", b"");
        let target = "/api/v1/export?match[]=%7Bpage!=%22%22%7D";
        let answer = request(&address, "GET", target, b"").unwrap_or_default();
        let series = answer.lines().filter_map(|line| serde_json::from_str(line).ok());
        stored = series
            .filter_map(|series: serde_json::Value| series["metric"]["page"].as_str()?.parse().ok())
            .collect();
    }
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if is_dropped(line) == stored.contains(&at) {
            let what = format!("said {}, stored {}", is_dropped(line), stored.contains(&at));
            found.push(report(at as u64, line, &what));
        }
    }
    println!("{} of {} lines stored", stored.len(), lines.len());
    fail_if_any(&found);
    assert!(!stored.is_empty() && stored.len() < lines.len(), "the lines are all alike");
}
