//! Engines and callbacks with every kind of fault, behind a real system server: the runtime's own metrics are on each page, in
//! time, and probes are not delayed.

use dynamo_metrics::engine::ENGINE_BODY_BYTES_MAX;
use dynamo_metrics::{
    DistributedRuntime, EngineSource, Environment, Filter, HealthChecks, RuntimeOptions,
};
use dynamo_metrics_parser as strict;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longer than any test.
const FOR_EVER: Duration = Duration::from_secs(3600);
/// The timeout of sources that must not fail in these tests, far longer than they last.
const LONG: Duration = Duration::from_secs(25);
/// The timeout of a source that hangs: shorter than the scraper's, or its failure would not be counted.
const SHORT: Duration = Duration::from_millis(500);
/// The timeout that the scraper sends.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);
/// Probes that are sent while scrapes are in progress.
const PROBES: usize = 200;

struct System {
    runtime: DistributedRuntime,
    address: SocketAddr,
    _server: dynamo_metrics_server::RunningServer,
}

impl System {
    fn start(health_checks: HealthChecks) -> Self {
        // The tests panic often on purpose, and the backtraces would take longer than the tests.
        std::panic::set_hook(Box::new(|panic| {
            let thread = std::thread::current();
            let name = thread.name().unwrap_or_default();
            if !name.starts_with("engine-") && !name.starts_with("metrics-") {
                eprintln!("{panic}");
            }
        }));
        let variable = |name: &str| match name {
            "DYN_SYSTEM_PORT" => Some("0".into()),
            "DYN_SYSTEM_HOST" => Some("127.0.0.1".into()),
            _ => None,
        };
        let (environment, _) = Environment::read(variable).unwrap();
        let options = RuntimeOptions { health_checks, ..(&environment.system).into() };
        let runtime = DistributedRuntime::with_options(options).unwrap();
        runtime.metrics().counter(("steps_total", "Steps.")).unwrap().add(42);
        let server = runtime.start_system_server(&environment.system).unwrap().unwrap();
        Self { runtime, address: server.local_addr(), _server: server }
    }

    fn scrape(&self) -> String {
        scrape(self.address)
    }

    /// Scrapes until `holds`: a value that is late for one scrape is ready for the next.
    fn scrape_until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            let page = self.scrape();
            if holds(&page) {
                return page;
            }
            assert!(start.elapsed() < LONG, "{what}: {page}");
        }
    }

    fn add(&self, source: EngineSource) {
        self.runtime.add_engine_source(source).unwrap();
    }

    /// Adds every kind of faulty source, and one without a fault.
    fn add_all(&self, hangs: &str) {
        let hang = || {
            std::thread::sleep(FOR_EVER);
            Ok("")
        };
        self.add(EngineSource::new(hangs, Filter::all(), hang).timeout(SHORT));
        self.add(EngineSource::new("panics", Filter::all(), || -> Result<String, String> {
            panic!("on purpose")
        }));
        let bomb = || -> Result<String, String> { std::panic::panic_any(Bomb) };
        self.add(EngineSource::new("bomb", Filter::all(), bomb));
        let lies = "# TYPE dynamo_component_steps_total counter\ndynamo_component_steps_total 0\n\
                    # TYPE dynamo_component_uptime_seconds histogram\nx{y=\"\u{0}\" z\n# EOF\nw 1";
        self.add(EngineSource::new("lies", Filter::all(), move || Ok(lies)));
        self.add(EngineSource::new("not_utf8", Filter::all(), || Ok(b"v{w=\"\xff\xfe\"} 1\n")));
        let within = |timeout, name: &str, url: &str| {
            EngineSource::url(name, Filter::all(), url, timeout).unwrap()
        };
        let url = |name: &str, url: &str| within(LONG, name, url);
        self.add(within(SHORT, "silent", &serve(|_| std::thread::sleep(FOR_EVER))));
        self.add(url("endless", &serve(endless)));
        let short = b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nx 1\n";
        self.add(url("short", &serve(|stream| drop(stream.write_all(short)))));
        self.add(within(SHORT, "drips", &serve(drip)));
        let big = || Ok("x".repeat(ENGINE_BODY_BYTES_MAX + 1));
        self.add(EngineSource::new("big", Filter::all(), big));
        let well = "# TYPE vllm:running gauge\nvllm:running 3\n";
        self.add(EngineSource::new("well", Filter::all(), move || Ok(well)));
    }
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         X-Prometheus-Scrape-Timeout-Seconds: {}\r\n\r\n",
        SCRAPE_TIMEOUT.as_secs_f64(),
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.into(), body.into())
}

/// Returns a page, which is valid and has the runtime's own metrics.
fn scrape(address: SocketAddr) -> String {
    let (head, body) = get(address, "/metrics");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}\n{body}");
    strict::parse(body.as_bytes()).unwrap_or_else(|errors| panic!("{}\n{body}", errors[0]));
    assert!(body.contains("dynamo_component_steps_total 42\n"), "{body}");
    body
}

/// A payload that panics again when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in a destructor, on purpose");
    }
}

/// A server on a thread that ends with the process.
fn serve(answer: impl Fn(&mut TcpStream) + Send + Sync + Copy + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/metrics", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                // Unread bytes at the close of the stream would reset the connection.
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
                    head.push(byte[0]);
                }
                answer(&mut stream);
            });
        }
    });
    url
}

fn endless(stream: &mut TcpStream) {
    let head = b"HTTP/1.1 200 OK\r\n\r\n";
    let lines = "endless_total 1\n".repeat(1000);
    let _ = stream.write_all(head);
    while stream.write_all(lines.as_bytes()).is_ok() {}
}

fn drip(stream: &mut TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    while stream.write_all(b"d").is_ok() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn up(page: &str, source: &str) -> bool {
    page.contains(&format!("dynamo_engine_metrics_up{{source=\"{source}\"}} 1\n"))
}

fn errors(page: &str, source: &str, reason: &str) -> Option<u64> {
    let series =
        format!("dynamo_component_engine_errors_total{{source=\"{source}\",reason=\"{reason}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&series))?;
    line.parse().ok()
}

fn threads(name: &str) -> usize {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else { return 0 };
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|task| task.trim_end() == name).count()
}

#[test]
fn a_scrape_has_all_of_its_own_metrics_with_every_faulty_engine() {
    let system = System::start(HealthChecks::default());
    system.add_all("hangs");
    let start = Instant::now();
    let page = system.scrape();
    let first = start.elapsed();
    assert!(first < LONG, "{first:?}: the scraper's timeout was {SCRAPE_TIMEOUT:?}");
    assert!(page.contains("vllm:running 3\n") && up(&page, "well"));
    assert!(page.contains("\nw 1\n"), "the lies cost only themselves");
    assert!(!page.contains("endless_total"));
    for source in ["hangs", "panics", "bomb", "silent", "short", "drips", "big"] {
        assert!(!up(&page, source), "{source}");
    }
    for (source, reason) in [
        ("panics", "panicked"),
        ("bomb", "panicked"),
        ("short", "connection"),
        ("big", "too_large"),
        ("hangs", "timeout"),
        ("silent", "timeout"),
    ] {
        assert_eq!(errors(&page, source, reason), Some(1), "{source}\n{page}");
    }
    // Sources that were late are not waited for again.
    let mut took: Vec<Duration> = (0..10)
        .map(|_| {
            let start = Instant::now();
            system.scrape();
            start.elapsed()
        })
        .collect();
    took.sort_unstable();
    println!("the first scrape took {first:?}, the median of those after it {:?}", took[5]);
    assert!(took[5] < SCRAPE_TIMEOUT / 2, "{took:?}");
    assert!(threads("engine-hangs") <= 1, "whatever the scrapes");
    let page = system.scrape();
    let withheld = "engine_withheld_total{source=\"lies\",reason=\"clash\"}";
    assert!(page.contains(withheld), "{page}");
    assert_eq!(errors(&page, "hangs", "timeout"), Some(1), "one fetch, so one error");
    let start = Instant::now();
    drop(system);
    assert!(start.elapsed() < LONG, "stopping waits for no engine");
}

#[test]
fn probes_are_quick_with_faulty_engines_callbacks_and_canaries() {
    let checks = HealthChecks {
        enabled: true,
        wait_time: Duration::from_millis(1),
        request_timeout: Duration::from_millis(1),
    };
    let system = System::start(checks);
    system.add_all("hangs_too");
    let component = system.runtime.namespace("ns").unwrap().component("backend").unwrap();
    let endpoint = component.endpoint("generate").unwrap();
    let work = endpoint.serve(&[]).unwrap();
    let hang = || std::thread::sleep(FOR_EVER);
    let _canary = endpoint
        .canary(&work, move || {
            hang();
            Ok(())
        })
        .unwrap();
    let metrics = endpoint.metrics();
    metrics
        .gauge_callback(("stuck", "Never comes back."), move || {
            hang();
            0.0
        })
        .unwrap();
    metrics.gauge_callback(("bad", "Panics."), || panic!("on purpose")).unwrap();
    let address = system.address;
    // Relaxed: a flag and a count, which publish nothing else.
    let (over, scrapes) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut took = Vec::new();
    let mut without_a_scrapes_end = 0;
    std::thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let one = || {
                let page = scrape(address);
                scrapes.fetch_add(1, Ordering::Relaxed);
                page
            };
            let page = (0..5).fold(String::new(), |_, _| one());
            while !over.load(Ordering::Relaxed) {
                one();
            }
            page
        });
        for path in ["/health", "/live"].into_iter().cycle().take(PROBES) {
            let (before, start) = (scrapes.load(Ordering::Relaxed), Instant::now());
            let (head, body) = get(address, path);
            took.push(start.elapsed());
            without_a_scrapes_end += usize::from(scrapes.load(Ordering::Relaxed) == before);
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
            assert!(body.contains("\"generate\":\"notready\""), "{body}");
        }
        over.store(true, Ordering::Relaxed);
        let page = scraper.join().unwrap();
        let late = "callback_late_total{family=\"dynamo_component_stuck\"} 5\n";
        assert!(page.contains(late), "{page}");
        assert!(page.contains("callback_panics_total{family=\"dynamo_component_bad\"}"), "{page}");
    });
    took.sort_unstable();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    println!("{} probes: median {median:?}, worst {worst:?}", took.len());
    // A probe that waited for the scrape in progress would end after it, however fast or slow the machine is.
    let probes = without_a_scrapes_end;
    assert!(probes > PROBES / 10, "only {probes} of {PROBES} ended before the scrape in progress");
}

#[test]
fn an_engine_that_recovers_is_up_again() {
    let system = System::start(HealthChecks::default());
    static DOWN: AtomicBool = AtomicBool::new(false);
    // Relaxed: the answer's bytes order it.
    let engine = serve(|stream| {
        if DOWN.load(Ordering::Relaxed) {
            return;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nvllm:running 3\n");
    });
    system.add(EngineSource::url("vllm", Filter::vllm(), &engine, LONG).unwrap());
    system.scrape_until("it is up", |page| up(page, "vllm"));
    DOWN.store(true, Ordering::Relaxed);
    let page = system.scrape_until("it is down", |page| !up(page, "vllm"));
    assert!(page.contains("vllm:running 3\n"), "the last good copy");
    let age = "dynamo_engine_metrics_age_seconds{source=\"vllm\"} ";
    assert!(page.lines().any(|line| line.starts_with(age)), "{page}");
    DOWN.store(false, Ordering::Relaxed);
    system.scrape_until("it is up again", |page| up(page, "vllm"));
    assert_eq!(system.runtime.remove_engine_source("vllm"), 1);
    assert!(!system.scrape().contains("dynamo_engine_metrics_up{"));
}
