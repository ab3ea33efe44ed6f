//! `DYN_METRICS_NATIVE_HISTOGRAMS`: quantiles of a real Prometheus against the exact ones of a replay.

use crate::common::{PATIENCE, get, judge};
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The promise: a quantile is off by no more than this share.
const ERROR_MAX: f64 = 0.1;

/// A process that is killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A trace of 3,000 requests whose lengths spread over four orders of magnitude.
fn trace() -> PathBuf {
    let mut random = 1u64;
    let mut next = |bits: u32| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let exponent = (random >> 40) as f64 / f64::from(1 << 24) * f64::from(bits);
        exponent.exp2() as u64 + 1
    };
    let mut rows = String::from("TIMESTAMP,ContextTokens,GeneratedTokens\n");
    for request in 0..3000 {
        rows += &format!("{:.1},{},{}\n", f64::from(request) / 5.0, next(14), next(9));
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("native.csv");
    std::fs::write(&path, rows).unwrap();
    path
}

fn replay(environment: (&str, &str)) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"));
    command.arg("replay").arg(trace());
    command.env("DYN_SYSTEM_PORT", "-1").env(environment.0, environment.1);
    command
}

#[test]
fn text_is_the_same_with_native_histograms() {
    let text = |native: &str| {
        let environment = ("DYN_METRICS_NATIVE_HISTOGRAMS", native);
        let output = replay(environment).args(["--exposition", "-"]).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let (classic, native) = (text("false"), text("true"));
    assert!(classic.contains("dynamo_frontend_time_to_first_token_seconds_bucket{"));
    assert_eq!(classic.lines().count(), native.lines().count());
    for (classic, native) in classic.lines().zip(native.lines()) {
        let [(name, value), other] = [classic, native].map(|line| line.rsplit_once(' ').unwrap());
        assert_eq!(name, other.0);
        if name.contains("_sum{") {
            // The terms are the same, and are added up in another order.
            let [sum, other] = [value, other.1].map(|sum| sum.parse::<f64>().unwrap());
            assert!((sum - other).abs() <= 1e-9 * sum, "{classic}, {native}");
        } else if name != "dynamo_metrics_cells" {
            assert_eq!(classic, native);
        }
    }
}

/// The replay's own quantiles, by the name of the row.
type Table = Vec<(String, Vec<f64>)>;

/// Starts a replay that serves its page when it is done; returns its address and its table.
fn served() -> (Killed, String, Table) {
    let mut command = replay(("DYN_METRICS_NATIVE_HISTOGRAMS", "true"));
    command.args(["--serve", "--http-port", "0"]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (mut address, mut table) = (String::new(), Table::new());
    for line in lines.map(Result::unwrap) {
        if let Some(url) = line.strip_prefix("frontend http://") {
            address = url.split('/').next().unwrap().into();
        }
        for row in ["time to first token", "inter-token latency", "request duration"] {
            if let Some(numbers) = line.strip_prefix(row) {
                let numbers = numbers.split_whitespace().map(|number| number.parse().unwrap());
                table.push((row.replace([' ', '-'], "_"), numbers.collect()));
            }
        }
        if line.starts_with("serving") {
            break;
        }
    }
    assert_eq!(table.len(), 3);
    (Killed(child), address, table)
}

/// The median and the 99th percentile of the dashboard's panel, over the whole replay instead of the last seconds, which add nothing.
fn dashboard_quantiles() -> Vec<(&'static str, String)> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/grafana/dashboards/overview.json");
    let board: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let panel = panels.iter().find(|panel| panel["title"] == "Time to first token").unwrap();
    let asked = panel["targets"].as_array().unwrap().iter().map(|target| {
        let asked = target["expr"].as_str().unwrap().replace("[$__rate_interval]", "");
        asked.replace("rate(", "(").replace("$job", ".*").replace("$model", ".*")
    });
    let asked: Vec<String> = asked.collect();
    let of = |quantile: &str| {
        let start = format!("histogram_quantile({quantile}, ");
        asked.iter().find(|asked| asked.starts_with(&start)).unwrap()
    };
    ["0.5", "0.99"].map(|quantile| (quantile, of(quantile).clone())).into()
}

/// An expression as it stands in a URL.
fn percent_encoded(expression: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    expression.bytes().map(encode).collect()
}

fn check_quantiles(name: &str, prometheus: &Path, address: &str, table: &Table) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("native-{name}"));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs: [{{job_name: dynamo, static_configs: [{{targets: ['{address}']}}]}}]\n"
    );
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let at = format!("127.0.0.1:{port}");
    let mut command = Command::new(prometheus);
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address={at}"))
        .arg("--enable-feature=native-histograms")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let _server = Killed(command.spawn().unwrap());
    let query = |expression: &str| -> Option<f64> {
        // Until it listens no connection succeeds, and until it is ready it answers otherwise.
        TcpStream::connect(&at).ok()?;
        let answer = get(&at, &format!("/api/v1/query?query={}", percent_encoded(expression)));
        if answer.status != 200 {
            return None;
        }
        answer.json()["data"]["result"][0]["value"][1].as_str()?.parse().ok()
    };
    let wait = |expression: &str| {
        let started = Instant::now();
        loop {
            if let Some(value) = query(expression) {
                return value;
            }
            assert!(started.elapsed() < PATIENCE, "{name} has nothing for {expression}");
            std::thread::sleep(Duration::from_millis(250));
        }
    };
    for (quantile, expression) in dashboard_quantiles() {
        let exact = table.iter().find(|(row, _)| row == "time_to_first_token").unwrap();
        let exact = exact.1[["0.5", "0.9", "0.99"].iter().position(|q| *q == quantile).unwrap()];
        let value = wait(&expression);
        assert!((value / exact - 1.0).abs() <= ERROR_MAX, "{name}: {expression}: {value}, {exact}");
    }
    for (row, exact) in table {
        let family = format!("dynamo_frontend_{row}_seconds");
        for (quantile, exact) in ["0.5", "0.9", "0.99"].into_iter().zip(exact) {
            let value = wait(&format!("histogram_quantile({quantile},{family})"));
            let error = value / exact - 1.0;
            println!(
                "{name}: {row} p{quantile}: {value:.4} for {exact:.4}, {:+.1} %",
                error * 100.0
            );
            assert!(error.abs() <= ERROR_MAX, "{name}: {family} {quantile}: {value} for {exact}");
        }
    }
}

#[test]
fn quantiles_of_native_buckets_are_within_ten_percent() {
    let newer = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.judges/sid/usr/bin/prometheus");
    let required = std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|value| value == "required");
    assert!(newer.exists() || !required, "{} is required and not there", newer.display());
    if !newer.exists() {
        eprintln!("SKIPPED: {} is not there (bash ci/judges/unpack.sh)", newer.display());
    }
    let (_replay, address, table) = served();
    let judges = [("prometheus", judge("prometheus")), ("prometheus-3", Some(newer))];
    for (name, program) in judges {
        if let Some(program) = program.filter(|program| program.exists()) {
            check_quantiles(name, &program, &address, &table);
        }
    }
}
