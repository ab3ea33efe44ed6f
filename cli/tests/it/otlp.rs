//! Pushes over OTLP/HTTP: what the variables do, and what a real receiver stores.

use crate::common::{PATIENCE, Program, get, post};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A request: the lines of its head, and its body.
type Pushed = (Vec<String>, Vec<u8>);

/// A receiver that takes everything, but for as many first requests as are to hang.
fn receiver(hang: usize) -> (String, mpsc::Receiver<Pushed>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (send, pushed) = mpsc::channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for (at, stream) in listener.incoming().map(Result::unwrap).enumerate() {
            let mut reader = BufReader::new(stream);
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) <= 2 {
                    break;
                }
                head.push(line.trim().to_owned());
            }
            let length = head.iter().find_map(|line| {
                line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok()
            });
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).unwrap();
            if send.send((head, body)).is_err() {
                return;
            }
            if at < hang {
                open.push(reader);
                continue;
            }
            let _ = reader
                .get_mut()
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, pushed)
}

fn worker(environment: &[(&str, &str)]) -> Program {
    Program::start(&["worker", "--frontend", "http://127.0.0.1:1"], environment, &["requests"])
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn variables_of_a_push_decide_it() {
    let soon = ("OTEL_METRIC_EXPORT_INTERVAL", "100");
    // One for all signals, which a path is appended to, and one for metrics, which comes first.
    let (all, pushed) = receiver(0);
    let _worker = worker(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &all),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=seven%20"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_RESOURCE_ATTRIBUTES", "zone=eu-1"),
        ("OTEL_SERVICE_NAME", "mine"),
        soon,
    ]);
    let (head, body) = pushed.recv_timeout(PATIENCE).unwrap();
    assert_eq!(head[0], "POST /v1/metrics HTTP/1.1");
    assert!(head.iter().any(|line| line.eq_ignore_ascii_case("x-tenant: seven")), "{head:?}");
    for text in ["zone", "eu-1", "mine", "dynamo_component_uptime_seconds"] {
        assert!(has(&body, text), "{text}");
    }
    let (own, pushed) = receiver(0);
    let _worker = worker(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &format!("{own}/own")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=7"),
        ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "x-tenant=8"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "none"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf"),
        soon,
    ]);
    let (head, body) = pushed.recv_timeout(PATIENCE).unwrap();
    assert_eq!(head[0], "POST /own HTTP/1.1");
    let line = |text: &str| head.iter().any(|line| line.eq_ignore_ascii_case(text));
    assert!(line("x-tenant: 8") && line("content-encoding: gzip"), "{head:?}");
    assert_eq!(body[..2], [0x1f, 0x8b]);
    // A receiver that never answers is given up after the timeout, and asked again.
    for (name, other) in [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", ("OTEL_SERVICE_NAME", "a")),
        ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", ("OTEL_EXPORTER_OTLP_TIMEOUT", "3600000")),
    ] {
        let (hangs, pushed) = receiver(1);
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*hangs);
        let _worker = worker(&[endpoint, (name, "200"), other, soon]);
        (0..2).for_each(|_| drop(pushed.recv_timeout(PATIENCE).unwrap()));
    }
    // The last push comes when the program ends; disabled there is none.
    for (disabled, pushes) in [("true", false), ("false", true)] {
        let (all, pushed) = receiver(0);
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*all);
        let mut worker = worker(&[endpoint, ("OTEL_SDK_DISABLED", disabled)]);
        assert!(worker.terminate().success());
        assert_eq!(pushed.try_recv().is_ok(), pushes, "{disabled}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
        .arg("worker")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && message.contains("OTEL_EXPORTER_OTLP_PROTOCOL"),
        "{message}"
    );
}

/// A process that is killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A free port, as good as certainly still free a moment later.
fn free() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Values by name and labels, without the labels of the target or the resource.
fn series(victoria: &str, selector: &str) -> Option<BTreeMap<String, f64>> {
    TcpStream::connect(victoria).ok()?;
    let answer = get(victoria, &format!("/api/v1/query?nocache=1&query=%7B{selector}%7D"));
    let body: Value = serde_json::from_str(&answer.body).ok()?;
    let result = body["data"]["result"].as_array()?;
    let series = result.iter().filter_map(|series| {
        let labels = series["metric"].as_object()?.iter();
        let labels = labels.filter(|(name, _)| {
            !["job", "instance"].contains(&name.as_str()) && !name.starts_with("service")
        });
        let labels = labels.map(|(name, value)| {
            let value = value.as_str().unwrap();
            let number = value.parse::<f64>().ok().filter(|_| name == "le");
            format!("{name}={}", number.map_or(value.to_owned(), |bound| format!("{bound:?}")))
        });
        let value = series["value"][1].as_str()?.parse().ok()?;
        Some((labels.collect::<Vec<_>>().join(","), value))
    });
    Some(series.collect())
}

/// Whether a series moves while no request comes.
fn moves(series: &str) -> bool {
    ["uptime", "process_", "dynamo_metrics_shards", "otlp_pushes"]
        .iter()
        .any(|part| series.contains(part))
}

/// Series that can be compared, values of those that move set to 0.
fn comparable(series: BTreeMap<String, f64>, native: bool) -> BTreeMap<String, f64> {
    let series = series.into_iter().filter(|(name, _)| {
        // Added to a scrape by the scraper.
        let added = name.contains("__name__=up") || name.contains("__name__=scrape_");
        // VictoriaMetrics stores exponential histograms as buckets of its own form.
        let bucket = native && name.contains("dynamo_frontend_") && name.contains("_bucket");
        !added && !bucket
    });
    series.map(|(name, value)| if moves(&name) { (name, 0.0) } else { (name, value) }).collect()
}

#[test]
fn a_receiver_stores_the_series_of_a_scrape() {
    let program =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../.judges/sid/usr/bin/victoria-metrics");
    let required = std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|value| value == "required");
    assert!(program.exists() || !required, "{} is required and not there", program.display());
    if !program.exists() {
        return eprintln!("SKIPPED: {} is not there (bash ci/judges/unpack.sh)", program.display());
    }
    for native in [false, true] {
        let victoria = free();
        let endpoint = format!("http://{victoria}/opentelemetry");
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000"),
            ("DYN_METRICS_NATIVE_HISTOGRAMS", if native { "true" } else { "false" }),
        ];
        let serve = ["serve", "--http-port", "0", "--token-time-ms", "1"];
        let serve = Program::start(&serve, &environment, &["frontend", "worker"]);
        let (frontend, worker) = (serve.address("frontend"), serve.address("worker"));
        for tokens in 1..=20 {
            let body = format!(
                r#"{{"model": "Qwen/Qwen3-0.6B", "prompt": "Hello", "max_tokens": {tokens}}}"#
            );
            assert_eq!(post(frontend, "/v1/completions", &body).status, 200);
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("otlp-{native}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let job = |name: &str, address: &str| {
            format!(
                "  - {{job_name: scraped-{name}, static_configs: [{{targets: ['{address}']}}]}}\n"
            )
        };
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{}{}",
            job("frontend", frontend),
            job("worker", worker)
        );
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let mut command = Command::new(&program);
        command
            .arg(format!("-promscrape.config={}", folder.join("prometheus.yml").display()))
            .arg(format!("-storageDataPath={}", folder.join("data").display()))
            .arg(format!("-httpListenAddr={victoria}"))
            .args(["-opentelemetry.usePrometheusNaming", "-search.latencyOffset=0s"])
            .arg("-opentelemetry.promoteScopeMetadata=false")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let _victoria = Killed(command.spawn().unwrap());
        for role in ["frontend", "worker"] {
            let started = Instant::now();
            loop {
                let [scraped, pushed] =
                    ["job=%22scraped-", "service_name=%22dynamo-"].map(|from| {
                        let series = series(&victoria, &format!("{from}{role}%22"));
                        comparable(series.unwrap_or_default(), native)
                    });
                let counts = pushed.keys().filter(|name| name.contains("requests_total")).count();
                if counts > 0 && scraped == pushed {
                    println!("{role}, native histograms {native}: {} series", pushed.len());
                    break;
                }
                let only = |one: &BTreeMap<String, f64>, other: &BTreeMap<String, f64>| {
                    let apart = one.iter().filter(|(name, value)| other.get(*name) != Some(*value));
                    apart.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>()
                };
                assert!(
                    started.elapsed() < PATIENCE,
                    "{role}: scraped {:#?}, pushed {:#?}",
                    only(&scraped, &pushed),
                    only(&pushed, &scraped)
                );
                std::thread::sleep(Duration::from_millis(250));
            }
        }
        // Buckets of both kinds hold the same observations.
        let quantile = "histogram_quantile(0.5,sum(dynamo_frontend_request_duration_seconds_bucket%7Bservice_name!=%22%22%7D)by(le,vmrange))";
        let answer = get(&victoria, &format!("/api/v1/query?nocache=1&query={quantile}")).json();
        let value = answer["data"]["result"][0]["value"][1].as_str().unwrap().parse::<f64>();
        assert!(value.is_ok_and(|seconds| seconds > 0.0 && seconds < 60.0), "{answer}");
    }
}
