//! A scraper as a process, and what it stored: Prometheus, or VictoriaMetrics, which answers the same queries.

use crate::held::{bound, native_line};
use crate::line::line;
use serde_json::Value;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Long enough for a machine that is busy with other tests; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// Series that a scraper stores about a target beside the samples.
const ITS_OWN: [&str; 7] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    // Only VictoriaMetrics has these.
    "scrape_response_size_bytes",
    "scrape_timeout_seconds",
];

/// One of `scrape_configs`.
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) registry: usize,
    /// Of Prometheus since 2.49, as it spells it.
    pub(crate) protocol: Option<&'static str>,
    /// The page prints text without being asked: for scrapers that ask for OpenMetrics only.
    pub(crate) forced_text: bool,
}

/// Killed when dropped.
pub(crate) struct Scraper {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Scraper {
    /// Starts Prometheus; `name` is that of its folder.
    pub(crate) fn prometheus(
        program: &Path,
        name: &str,
        native: bool,
        target: &str,
        jobs: &[&Job],
    ) -> Self {
        let features =
            if native { "native-histograms,exemplar-storage" } else { "exemplar-storage" };
        Self::start(program, name, target, jobs, |config, data, address| {
            vec![
                format!("--config.file={config}"),
                format!("--storage.tsdb.path={data}"),
                format!("--web.listen-address={address}"),
                format!("--enable-feature={features}"),
                // Not in its manual: the time until a target of a fresh configuration is scraped, otherwise 5 seconds.
                "--scrape.discovery-reload-interval=100ms".into(),
            ]
        })
    }

    pub(crate) fn victoria_metrics(program: &Path, target: &str, jobs: &[&Job]) -> Self {
        Self::start(program, "victoria-metrics", target, jobs, |config, data, address| {
            vec![
                format!("-promscrape.config={config}"),
                format!("-storageDataPath={data}"),
                format!("-httpListenAddr={address}"),
                // It hides what is younger than 30 seconds otherwise.
                "-search.latencyOffset=0s".into(),
                "-memory.allowedBytes=200MB".into(),
            ]
        })
    }

    fn start(
        program: &Path,
        name: &str,
        target: &str,
        jobs: &[&Job],
        arguments: impl Fn(&str, &str, &str) -> Vec<String>,
    ) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scrapers").join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let mut config = "scrape_configs:\n".to_owned();
        for Job { name, registry, protocol, forced_text } in jobs {
            let text = if *forced_text { ", text: [yes]" } else { "" };
            let protocols =
                protocol.map(|it| format!(", scrape_protocols: ['{it}']")).unwrap_or_default();
            writeln!(
                config,
                "- {{job_name: {name}, scrape_interval: 1s, scrape_timeout: 1s{protocols}, \
                 params: {{registry: ['{registry}'], job: ['{name}']{text}}}, \
                 static_configs: [{{targets: ['{target}']}}]}}"
            )
            .unwrap();
        }
        let file = folder.join("scrape.yml");
        std::fs::write(&file, config).unwrap();
        // A free port, as good as certainly still free a moment later.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let log = folder.join("log");
        let output = std::fs::File::create(&log).unwrap();
        let [file, data] = [file, folder.join("data")].map(|path| path.display().to_string());
        let child = Command::new(program)
            .args(arguments(&file, &data, &address))
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, address, log }
    }

    /// Asks until the answer is there and as it should be; panics with what was last said when it never is.
    pub(crate) fn eventually<T>(
        &mut self,
        what: &str,
        mut ask: impl FnMut(&Self) -> Result<T, String>,
    ) -> T {
        let started = Instant::now();
        loop {
            let status = self.child.try_wait().unwrap();
            assert!(status.is_none(), "{what}: the scraper died, {status:?}; see {:?}", self.log);
            let problem = match ask(self) {
                Ok(answer) => return answer,
                Err(problem) => problem,
            };
            let waited = started.elapsed();
            assert!(
                waited < PATIENCE,
                "{what} not within {waited:?}: {problem}\nsee {:?}\n{}",
                self.log,
                self.body("/api/v1/targets?state=active").unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The newest value of every series of a job, as lines, sorted. Fails unless the job's target is up.
    pub(crate) fn samples(&self, job: &str) -> Result<Vec<String>, String> {
        let answer = self.query(&format!("{{job=\"{job}\"}}"))?;
        let (own, theirs): (Vec<&Value>, Vec<&Value>) = answer
            .as_array()
            .ok_or("no result")?
            .iter()
            .partition(|result| ITS_OWN.iter().any(|own| result["metric"]["__name__"] == *own));
        let up = own.iter().find(|result| result["metric"]["__name__"] == "up");
        let up = up.map(|result| &result["value"][1]);
        if up.is_none_or(|up| up != "1") {
            return Err(format!("up is {up:?}"));
        }
        let mut lines: Vec<String> = theirs.into_iter().map(sample).collect();
        lines.sort();
        Ok(lines)
    }

    /// Every series of a job of which there is a sample, as lines without a value, sorted.
    pub(crate) fn series(&self, job: &str) -> Result<Vec<String>, String> {
        let matches = percent(&format!("{{job=\"{job}\"}}"));
        let answer = self.json(&format!("/api/v1/series?match[]={matches}"))?;
        let all = answer.as_array().ok_or("no series")?.iter();
        let mut lines: Vec<String> = all
            .filter(|metric| ITS_OWN.iter().all(|own| metric["__name__"] != *own))
            .map(|metric| line_of(metric, 0.0).rsplit_once(' ').unwrap().0.to_owned())
            .collect();
        lines.sort();
        Ok(lines)
    }

    /// The one number that an expression comes to.
    pub(crate) fn number(&self, expression: &str) -> Result<f64, String> {
        let answer = self.query(expression)?;
        let value = answer[0]["value"][1].as_str().ok_or_else(|| answer.to_string())?;
        value.parse().map_err(|_| value.to_owned())
    }

    /// Value and labels of the newest exemplar of a selector.
    pub(crate) fn exemplar(&self, selector: &str) -> Result<(f64, Value), String> {
        let selector = percent(selector);
        let path = format!("/api/v1/query_exemplars?query={selector}&start=1&end=9999999999");
        let answer = self.json(&path)?;
        let all = answer.as_array().into_iter().flatten();
        let newest = all.filter_map(|series| series["exemplars"].as_array()?.last()).next_back();
        let newest = newest.ok_or_else(|| format!("no exemplar: {answer}"))?;
        let value = newest["value"].as_str().and_then(|value| value.parse().ok());
        Ok((value.ok_or("no value")?, newest["labels"].clone()))
    }

    /// Prometheus' counters about its own scraping: each that is not zero and counts what should not happen.
    pub(crate) fn complaints(&self) -> Result<Vec<String>, String> {
        let page = self.body("/metrics")?;
        let is_one = |line: &&str| {
            ["prometheus_target_scrapes_", "prometheus_target_scrape_pool"]
                .iter()
                .any(|prefix| line.starts_with(prefix))
                && ["_failed_total", "_limit_total", "_of_order_total", "_of_bounds_total"]
                    .iter()
                    .chain(&["_duplicate_timestamp_total", "_cache_flush_forced_total"])
                    .any(|suffix| line.split([' ', '{']).next().unwrap().ends_with(suffix))
        };
        let counters: Vec<&str> = page.lines().filter(is_one).collect();
        if counters.len() < 5 {
            return Err(format!("only {counters:?}"));
        }
        let bad = counters.into_iter().filter(|line| !line.ends_with(" 0"));
        Ok(bad.map(str::to_owned).collect())
    }

    fn query(&self, expression: &str) -> Result<Value, String> {
        // VictoriaMetrics would answer from its cache.
        let path = format!("/api/v1/query?nocache=1&query={}", percent(expression));
        Ok(self.json(&path)?["result"].take())
    }

    fn json(&self, path: &str) -> Result<Value, String> {
        let body = self.body(path)?;
        let mut answer: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(body) }
    }

    /// HTTP 1.0, so that the body is not in chunks and ends with the connection.
    fn body(&self, path: &str) -> Result<String, String> {
        let ask = || {
            let mut stream = TcpStream::connect(&self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address)?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().map_err(|e: std::io::Error| e.to_string())?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no head")?;
        Ok(body.to_owned())
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One result of a query.
fn sample(result: &Value) -> String {
    let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
    if let Some(value) = result["value"].as_array() {
        return line_of(&result["metric"], number(&value[1]));
    }
    let native = &result["histogram"][1];
    // A bucket is which of its bounds it includes, the bounds, and a count.
    let buckets = native["buckets"].as_array().into_iter().flatten().map(|bucket| {
        let (low, high) = (number(&bucket[1]), number(&bucket[2]));
        let name = match (low < 0.0, high > 0.0) {
            (true, true) => "zero".to_owned(),
            (true, false) => bound("-", (-low).log2()),
            _ => bound("", high.log2()),
        };
        (name, number(&bucket[3]) as u64)
    });
    let zero = line_of(&result["metric"], 0.0);
    native_line(
        zero.rsplit_once(' ').unwrap().0,
        number(&native["count"]) as u64,
        number(&native["sum"]),
        buckets.collect(),
    )
}

fn line_of(metric: &Value, value: f64) -> String {
    let labels = metric.as_object().unwrap().iter();
    let labels = labels.filter(|(name, _)| !["__name__", "instance", "job"].contains(&&***name));
    let labels = labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()));
    line(metric["__name__"].as_str().unwrap(), labels.collect(), value)
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
        encoded
    })
}
