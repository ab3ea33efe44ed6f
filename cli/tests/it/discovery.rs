//! `/sd` and `dynamo-metrics sd`: scrapers find the workers of a frontend by themselves.

use crate::common::{PATIENCE, Program, eventually, get, judge, open_bare, read};
use dynamo_metrics::{DistributedRuntime, KvStats};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn frontend(more: &[&str]) -> Program {
    let arguments = [&["frontend", "--http-port", "0"][..], more].concat();
    Program::start(&arguments, &[("DYN_SYSTEM_PORT", "-1")], &["frontend"])
}

fn worker(frontend: &Program, port: &str, more: &[&str]) -> Program {
    let url = format!("http://{}", frontend.address("frontend"));
    let arguments = [&["worker", "--frontend", &url][..], more].concat();
    Program::start(&arguments, &[("DYN_SYSTEM_PORT", port)], &["joined"])
}

/// The list, sorted by target.
fn listed(address: &str) -> Vec<Value> {
    let answer = get(address, "/sd");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    let mut list = answer.json().as_array().unwrap().clone();
    list.sort_by_key(|group| group["targets"][0].to_string());
    list
}

fn file(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn a_frontend_lists_the_system_addresses_of_its_workers() {
    let frontend = frontend(&[]);
    let address = frontend.address("frontend");
    assert_eq!(listed(address), [] as [Value; 0]);
    let _hidden = worker(&frontend, "-1", &["--instance-id", "1"]);
    let placed = ["--namespace", "ns", "--component", "decoder", "--model", "m"];
    let shown = [&placed[..], &["--instance-id", "2"]].concat();
    let _shown = worker(&frontend, "0", &shown);
    let away = [&placed[..], &["--instance-id", "3"], &["--advertise-system", "https://w-3:9090"]];
    let _away = worker(&frontend, "0", &away.concat());
    let [own, away] = &listed(address)[..] else { panic!("{:?}", listed(address)) };
    let target = own["targets"][0].as_str().unwrap();
    assert!(get(target, "/metrics").body.contains("dynamo_component_uptime_seconds "));
    let labels = serde_json::json!({"namespace": "ns", "component": "decoder", "model": "m",
        "instance": target, "__meta_dynamo_worker_id": "2"});
    assert_eq!(own["labels"], labels);
    assert_eq!(away["targets"][0], "w-3:9090");
    assert_eq!(away["labels"]["__scheme__"], "https");

    let page = file("sd.json");
    let url = format!("http://{address}");
    let status = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
        .args(["sd", "--frontend", &url, "--file", page.to_str().unwrap()])
        .status();
    assert!(status.unwrap().success());
    let written: Vec<Value> = serde_json::from_slice(&std::fs::read(&page).unwrap()).unwrap();
    assert_eq!(written.len(), 2);
    assert!(written.contains(own) && written.contains(away));
}

#[test]
fn one_process_lists_its_own_worker() {
    let program = Program::start(&["serve", "--http-port", "0"], &[], &["frontend", "worker"]);
    let list = listed(program.address("frontend"));
    assert_eq!(list[0]["targets"][0], program.address("worker"));
}

#[test]
fn the_list_needs_the_token_of_workers() {
    let frontend = frontend(&["--worker-token", "secret"]);
    let address = frontend.address("frontend");
    assert_eq!(read(open_bare(address, "GET", "/sd")).status, 401);
    let url = format!("http://{address}");
    let sd = |token: &str| {
        let arguments = ["sd", "--frontend", &url, "--worker-token", token];
        Command::new(env!("CARGO_BIN_EXE_dynamo-metrics")).args(arguments).output().unwrap()
    };
    let refused = sd("wrong");
    assert!(!refused.status.success());
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(message.contains("401") && message.contains("--worker-token"), "{message}");
    let given = sd("secret");
    assert!(given.status.success());
    assert_eq!(String::from_utf8(given.stdout).unwrap().trim(), "[]");
}

#[test]
fn the_file_follows_the_workers() {
    let frontend = frontend(&[]);
    let url = format!("http://{}", frontend.address("frontend"));
    let page = file("followed.json");
    let arguments = ["sd", "--frontend", &url, "--every", "0.1", "--file", page.to_str().unwrap()];
    let _following =
        Killed(Command::new(env!("CARGO_BIN_EXE_dynamo-metrics")).args(arguments).spawn().unwrap());
    let targets = |count: usize| {
        let started = Instant::now();
        loop {
            let text = std::fs::read_to_string(&page).unwrap_or_default();
            // Every text that is there is whole.
            let list =
                (!text.is_empty()).then(|| serde_json::from_str::<Vec<Value>>(&text).unwrap());
            if list.as_ref().is_some_and(|list| list.len() == count) {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "not {count} targets: {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    targets(0);
    let mut worker = worker(&frontend, "0", &[]);
    targets(1);
    worker.kill();
    targets(0);
}

/// A process that is killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Workers that are registered with a frontend and have a page each, all in this process: worker `n` is at 127.0.1.n.
struct Workers {
    port: u16,
    alive: Arc<Mutex<BTreeSet<u8>>>,
}

impl Workers {
    fn start(frontend: &str, alive: impl IntoIterator<Item = u8>) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let alive = Arc::new(Mutex::new(alive.into_iter().collect::<BTreeSet<u8>>()));
        let serving = Arc::clone(&alive);
        std::thread::spawn(move || serve_pages(&listener, &serving));
        let (joining, frontend) = (Arc::clone(&alive), frontend.to_owned());
        // A registration that is renewed is a sign of life. The thread ends with the frontend.
        std::thread::spawn(move || {
            loop {
                let alive: Vec<u8> = joining.lock().unwrap().iter().copied().collect();
                for id in alive {
                    let body = registration(id, port);
                    let Ok(mut stream) = TcpStream::connect(&frontend) else { return };
                    let head = "POST /internal/workers HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\
                                Content-Type: application/json";
                    let _ =
                        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    let _ = stream.read_to_end(&mut Vec::new());
                }
                std::thread::sleep(Duration::from_millis(250));
            }
        });
        Self { port, alive }
    }

    /// The addresses of those that are alive.
    fn addresses(&self) -> BTreeSet<String> {
        let alive = self.alive.lock().unwrap();
        alive.iter().map(|id| format!("127.0.1.{id}:{}", self.port)).collect()
    }
}

fn registration(id: u8, port: u16) -> String {
    format!(
        r#"{{"instance_id": {id}, "url": "http://127.0.1.{id}:1", "system_url": "http://127.0.1.{id}:{port}",
            "namespace": "n", "component": "c", "endpoint": "e", "models": ["m"], "context_length": 1,
            "kv_cache_block_size": 16, "migration_limit": 0, "total_kv_blocks": 1, "max_num_seqs": 1,
            "max_num_batched_tokens": 1,
            "stats": {{"active_blocks": 0, "total_blocks": 1, "usage": 0, "hit_rate": 0}}}}"#
    )
}

/// Answers each connection to the address of a worker that is alive with the page of a component.
fn serve_pages(listener: &TcpListener, alive: &Mutex<BTreeSet<u8>>) {
    let runtime = DistributedRuntime::new().unwrap();
    let component = runtime.namespace("n").unwrap().component("c").unwrap();
    let endpoint = component.endpoint("e").unwrap();
    let _handler = endpoint.serve(&[("model", "m")]).unwrap();
    component.kv_stats().unwrap().publish(&KvStats { total_blocks: 1, ..KvStats::default() });
    let exposition = runtime.exposition();
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let at = stream.local_addr().map(|address| address.ip());
        let Ok(IpAddr::V4(ip)) = at else { continue };
        let [.., id] = Ipv4Addr::octets(&ip);
        if !alive.lock().unwrap().contains(&id) {
            continue;
        }
        let _ = stream.set_read_timeout(Some(PATIENCE));
        let _ = stream.read(&mut [0; 4096]);
        let mut page = Default::default();
        exposition.write(&mut page);
        let head =
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain; version=0.0.4";
        let _ = write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n", page.len());
        let _ = stream.write_all(&page);
    }
}

/// A scraper that finds its targets at a frontend.
struct Scraper {
    name: &'static str,
    address: String,
    _process: Killed,
}

impl Scraper {
    /// Starts Prometheus or VictoriaMetrics with no target but the frontend's list, asked every second as `deploy/` has it.
    fn start(name: &'static str, program: &Path, frontend: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("discovery-{name}"));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let refresh = "http_sd_configs: [{url: 'http://FRONTEND/sd', refresh_interval: 1s}]";
        let victoria = name == "victoria-metrics";
        // VictoriaMetrics has the interval of all lists on its command line.
        let refresh =
            if victoria { refresh.replace(", refresh_interval: 1s", "") } else { refresh.into() };
        let config = format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
             scrape_configs: [{{job_name: dynamo-worker, honor_labels: true, {}}}]\n",
            refresh.replace("FRONTEND", frontend)
        );
        let file = folder.join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        // A free port, as good as certainly still free a moment later.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let (file, data) = (file.display(), folder.join("data"));
        let arguments = if victoria {
            vec![
                format!("-promscrape.config={file}"),
                format!("-storageDataPath={}", data.display()),
                format!("-httpListenAddr={address}"),
                "-promscrape.httpSDCheckInterval=1s".into(),
            ]
        } else {
            vec![
                format!("--config.file={file}"),
                format!("--storage.tsdb.path={}", data.display()),
                format!("--web.listen-address={address}"),
            ]
        };
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        Self { name, address, _process: Killed(command.spawn().unwrap()) }
    }

    /// The targets that are up, by their label `instance`.
    fn up(&self) -> Option<BTreeSet<String>> {
        // Until it listens no connection succeeds; until it is ready, the answer is another one.
        TcpStream::connect(&self.address).ok()?;
        let answer = get(&self.address, "/api/v1/targets?state=active");
        let list: Value = serde_json::from_str(&answer.body).ok()?;
        let active = list["data"]["activeTargets"].as_array()?.clone();
        active
            .iter()
            .map(|target| {
                assert_eq!(target["labels"]["model"], "m", "{target}");
                (target["health"] == "up").then(|| target["labels"]["instance"].as_str())?
            })
            .map(|instance| instance.map(Into::into))
            .collect()
    }

    /// Waits until the targets are these, all of them up, and says after how long they were.
    fn follow(&self, what: &str, addresses: &BTreeSet<String>) {
        let started = Instant::now();
        while self.up().as_ref() != Some(addresses) {
            let waited = started.elapsed();
            assert!(
                waited < PATIENCE,
                "{}: {what}: not within {waited:?}: {:?}",
                self.name,
                self.up()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        println!("{}: {what}: {:.1} s", self.name, started.elapsed().as_secs_f64());
    }
}

/// The judge of this path below `.judges/`, which `ci/judges/unpack.sh` puts there.
fn unpacked(path: &str) -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.judges").join(path);
    if program.exists() {
        return Some(program);
    }
    let required = std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|value| value == "required");
    assert!(!required, "{} is required and not there", program.display());
    eprintln!("SKIPPED: {} is not there (bash ci/judges/unpack.sh)", program.display());
    None
}

#[test]
fn scrapers_follow_40_workers_without_a_static_target() {
    let frontend = frontend(&[]);
    let address = frontend.address("frontend");
    let workers = Workers::start(address, 1..=40);
    eventually(address, "every worker", |_| listed(address).len() == 40);
    let scrapers: Vec<Scraper> = [
        ("prometheus", judge("prometheus")),
        ("prometheus-3", unpacked("sid/usr/bin/prometheus")),
        ("victoria-metrics", unpacked("sid/usr/bin/victoria-metrics")),
    ]
    .into_iter()
    .filter_map(|(name, program)| Some(Scraper::start(name, &program?, address)))
    .collect();
    let all_follow = |what: &str| {
        std::thread::scope(|scope| {
            for scraper in &scrapers {
                scope.spawn(|| scraper.follow(what, &workers.addresses()));
            }
        });
    };
    all_follow("40 workers");
    {
        let mut alive = workers.alive.lock().unwrap();
        alive.remove(&7);
        alive.insert(41);
    }
    all_follow("one is killed, one joins");
    // Its series say that it is gone.
    for scraper in scrapers.iter().filter(|scraper| scraper.name != "victoria-metrics") {
        let started = Instant::now();
        loop {
            let count = get(&scraper.address, "/api/v1/query?query=count(up)").json();
            if count["data"]["result"][0]["value"][1] == "40" {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "{}: {count}", scraper.name);
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}
