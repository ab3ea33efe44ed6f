//! Prometheus as a judge: it scrapes every page from a server of this test, each as a target of its own, and says of each
//! target whether the scrape succeeded.

use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long Prometheus may take to start and to scrape every page once; it takes some 5 seconds.
const SCRAPES_WITHIN: Duration = Duration::from_secs(120);

/// How long it may take to scrape every page a second time.
const SECOND_SCRAPES: Duration = Duration::from_secs(4);

/// Returns the reason why each page is refused, if it is.
pub(crate) fn refusals(
    prometheus: &Path,
    content_type: &'static str,
    pages: &[Vec<u8>],
) -> Vec<Option<String>> {
    let (_server, address) = start(prometheus, content_type, pages);
    scraped(&address, pages.len())
}

/// Returns the values that are stored of each page after some scrapes.
pub(crate) fn stored(
    prometheus: &Path,
    content_type: &'static str,
    pages: &[Vec<u8>],
) -> Vec<BTreeSet<u32>> {
    let (_server, address) = start(prometheus, content_type, pages);
    let refusals = scraped(&address, pages.len());
    assert!(refusals.iter().all(Option::is_none), "{refusals:?}");
    std::thread::sleep(SECOND_SCRAPES);
    // Without the samples that Prometheus adds.
    let query = "/api/v1/query?query=%7Bpage!=%22%22,__name__!~%22up|scrape_.*%22%7D[1h]";
    let answer = get(&address, query).expect("Prometheus answers");
    let mut stored = vec![BTreeSet::new(); pages.len()];
    for series in answer["data"]["result"].as_array().expect("a list of series") {
        let page: usize =
            series["metric"]["page"].as_str().expect("a label").parse().expect("a number");
        for sample in series["values"].as_array().expect("a list of samples") {
            stored[page].insert(sample[1].as_str().expect("a text").parse().expect("a number"));
        }
    }
    stored
}

/// Starts a server of the pages and a Prometheus, and returns the address of the latter.
fn start(prometheus: &Path, content_type: &'static str, pages: &[Vec<u8>]) -> (Server, String) {
    let target = serve(Arc::new(pages.to_vec()), content_type);
    let folder = tempdir();
    std::fs::write(folder.join("prometheus.yml"), configuration(&target, pages.len()))
        .expect("the folder is ours");
    let address = free_address();
    let server = Server(
        Command::new(prometheus)
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Prometheus starts"),
    );
    (server, address)
}

/// Waits until every page was scraped, and returns the reason why each is refused, if it is.
fn scraped(address: &str, pages: usize) -> Vec<Option<String>> {
    let deadline = Instant::now() + SCRAPES_WITHIN;
    loop {
        if let Some(refusals) = answers(address, pages) {
            return refusals;
        }
        assert!(Instant::now() < deadline, "Prometheus has not scraped every page");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A process that ends with its owner.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn tempdir() -> std::path::PathBuf {
    let name = format!("scrape-{}-{:?}", std::process::id(), std::thread::current().id());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("Cargo's folder can be written");
    folder
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

fn configuration(target: &str, pages: usize) -> String {
    let mut text =
        "global: {scrape_interval: 2s, scrape_timeout: 2s}\nscrape_configs:\n- job_name: pages\n  \
                    honor_labels: true\n  static_configs:\n"
            .to_owned();
    for page in 0..pages {
        text += &format!(
            "  - {{targets: ['{target}'], labels: {{__metrics_path__: '/{page}', page: '{page}'}}}}\n"
        );
    }
    text
}

/// A server whose page `/N` is the Nth; it ends with the test's process.
fn serve(pages: Arc<Vec<Vec<u8>>>, content_type: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let pages = Arc::clone(&pages);
            std::thread::spawn(move || answer(stream, &pages, content_type));
        }
    });
    address
}

fn answer(mut stream: TcpStream, pages: &[Vec<u8>], content_type: &str) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let page: usize = head.split(' ').nth(1)?.trim_start_matches('/').parse().ok()?;
    let body = pages.get(page)?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}

/// Returns the result of each target's scrape, once Prometheus has scraped all.
fn answers(address: &str, pages: usize) -> Option<Vec<Option<String>>> {
    let answer = get(address, "/api/v1/targets?state=active")?;
    let mut refusals = HashMap::new();
    for target in answer["data"]["activeTargets"].as_array()? {
        let page: usize = target["labels"]["page"].as_str()?.parse().ok()?;
        let refusal = match target["health"].as_str()? {
            "up" => None,
            "down" => Some(target["lastError"].as_str()?.to_owned()),
            _ => return None,
        };
        refusals.insert(page, refusal);
    }
    (0..pages).map(|page| refusals.remove(&page)).collect()
}

/// Returns what Prometheus answers, if it does.
fn get(address: &str, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(SCRAPES_WITHIN)).ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}
