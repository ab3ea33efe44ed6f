//! The program as a process, and a client that speaks just enough HTTP to use it.

// Each test binary uses its own part of this.
#![allow(dead_code)]

use dynamo_metrics_parser::{self as strict, Exposition};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest wait for anything that must come: only a program that never answers takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The program, running; killed when dropped.
pub(crate) struct Program {
    child: Child,
    /// Addresses it printed, by the word before them.
    addresses: Vec<(String, String)>,
}

impl Program {
    /// Starts the program on free ports and waits until it has printed an address for each of `words`.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)], words: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_dynamo-metrics"))
            .args(arguments)
            .env_remove("DYN_HTTP_PORT")
            .env("DYN_SYSTEM_PORT", "0")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut addresses = Vec::new();
        while words.iter().any(|word| addresses.iter().all(|(known, _)| known != word)) {
            let line = lines.next().expect("the program ended too early").unwrap();
            let mut parts = line.split_whitespace();
            if let (Some(word), Some(url)) = (parts.next(), parts.next())
                && let Some(address) = url.strip_prefix("http://")
            {
                let address = address.split('/').next().unwrap();
                addresses.push((word.into(), address.into()));
            }
        }
        // The rest is read and dropped: a full pipe would stop the program.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, addresses }
    }

    /// Host and port that the program printed after `word`.
    pub(crate) fn address(&self, word: &str) -> &str {
        &self.addresses.iter().find(|(known, _)| known == word).unwrap().1
    }

    /// Kills the process at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks the process to stop, if it runs, and waits until it has.
    pub(crate) fn terminate(&mut self) -> std::process::ExitStatus {
        if let Some(status) = self.child.try_wait().unwrap() {
            return status;
        }
        self.signal("-TERM");
        self.child.wait().unwrap()
    }

    /// Sends a signal. The process was not waited for yet, so its number is still its own.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer in one piece.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends a request and returns the connection, to read from or to drop.
pub(crate) fn open(
    address: &str,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

/// A request without a body.
pub(crate) fn open_bare(address: &str, method: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
        .unwrap();
    stream
}

/// Reads an answer to its end, chunked or not.
pub(crate) fn read(stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let mut reader = BufReader::new(stream);
    reader.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {text:?}"));
    let status = head[9..12].parse().unwrap();
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Answer { status, head: head.to_owned(), body }
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
        if size == 0 {
            break;
        }
    }
    whole
}

pub(crate) fn get(address: &str, path: &str) -> Answer {
    read(open_bare(address, "GET", path))
}

pub(crate) fn post(address: &str, path: &str, body: &str) -> Answer {
    read(open(address, "POST", path, "application/json", body))
}

/// One scrape, strictly parsed.
pub(crate) fn scrape(address: &str) -> Exposition {
    let answer = get(address, "/metrics");
    assert_eq!(answer.status, 200, "{}", answer.body);
    strict::parse(answer.body.as_bytes()).unwrap_or_else(|e| panic!("{}\n{}", e[0], answer.body))
}

/// How to run the test of this thread alone.
pub(crate) fn alone() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (file, _hash) = name.rsplit_once('-').unwrap_or((&name, ""));
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    format!("alone: cargo test -p dynamo-metrics-cli --test {file} -- --exact {test}")
}

/// Scrapes until `holds`, and panics with the last values when it does not in time.
pub(crate) fn eventually(
    address: &str,
    what: &str,
    holds: impl Fn(&Exposition) -> bool,
) -> Exposition {
    let started = Instant::now();
    loop {
        let exposition = scrape(address);
        if holds(&exposition) {
            return exposition;
        }
        let waited = started.elapsed();
        assert!(waited < PATIENCE, "not within {waited:?}: {what}\n{exposition:#?}\n{}", alone());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A judge that is not part of Rust, as `promtool`. Without it the test skips loudly, unless the environment
/// says that it must be there, as in CI.
pub(crate) fn judge(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|p| p.exists());
    if found.is_none() {
        let required =
            std::env::var("DYNAMO_METRICS_JUDGES").is_ok_and(|value| value == "required");
        assert!(!required, "{program} is required and not installed");
        eprintln!("SKIPPED: {program} is not installed (bash ci/test.sh installs it)");
    }
    found
}

/// The folder of reference data, which the project does not ship; without it tests skip loudly.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("DYNAMO_METRICS_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let file = root.join(path);
    if file.exists() {
        return Some(file);
    }
    eprintln!("SKIPPED: {} is not there (set DYNAMO_METRICS_SHARED)", file.display());
    None
}
