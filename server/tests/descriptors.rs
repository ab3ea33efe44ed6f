//! A process that has run out of descriptors: the listener pauses, costs nothing, and comes back.
//!
//! The shortage is made in a child process, whose limit is set by the shell that starts it.

#![cfg(target_os = "linux")] // The child reads its CPU time from /proc.

#[path = "it/common/mod.rs"]
mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Gate, get, up};
use dynamo_metrics_server::{Limit, Limits, Server};

const CHILD: &str = "DYNAMO_METRICS_SERVER_TEST_CHILD";
const DESCRIPTORS: usize = 64;
/// Scrapes that wait for their turn: several times the descriptors that may be left.
const CONNECTIONS: usize = 24;
/// The time that each of them waits for an answer before the next one comes.
const ANSWER: Duration = Duration::from_millis(100);

#[test]
fn a_listener_survives_the_lack_of_descriptors() {
    if std::env::var_os(CHILD).is_some() {
        return run_out_and_recover();
    }
    let (mut child, address, output) = child("a_listener_survives_the_lack_of_descriptors");
    // From this process, so that no near end needs a descriptor that the child's reserve may take first. A connection may be
    // evicted until its request is read, and not while its scrape is in progress. So each next one waits until the one before
    // is served: the answer to the first of its two requests comes when the second, a scrape, is there already. Those that
    // find no descriptor are never answered.
    let held: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = TcpStream::connect(address).expect("the kernel's queue has room");
            let scrape =
                "GET /live HTTP/1.1\r\nHost: t\r\n\r\nGET /metrics HTTP/1.1\r\nHost: t\r\n\r\n";
            client.write_all(scrape.as_bytes()).expect("it takes bytes");
            client.set_read_timeout(Some(ANSWER)).expect("a time limit");
            // An answer, or none; both are right.
            let _ = client.read(&mut [0; 1024]);
            client
        })
        .collect();
    let text: Vec<String> = output.map_while(Result::ok).collect();
    assert!(child.wait().expect("the child ends").success(), "{text:?}");
    assert!(text.iter().any(|line| line.contains("recovered")), "{text:?}");
    drop(held);
}

fn run_out_and_recover() {
    let mut limits = Limits::default();
    limits.connections = 1000;
    limits.connections_an_address = 1000; // The process's limit is hit first.
    let gate = Gate::default();
    let server =
        Server::builder().exposition(gate.clone()).limits(limits).spawn().expect("a server");
    let address = server.local_addr();
    let stat = File::open("/proc/self/stat").expect("the process's status"); // While one can.

    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
        assert!(files.len() < DESCRIPTORS, "the limit does not hold");
    }
    let telemetry = server.telemetry();
    println!("\naddress {address}"); // The parent connects now.
    common::eventually("accept fails", || telemetry.limit_hits(Limit::AcceptPause) > 0);
    common::eventually("the reserve is spent", || {
        telemetry.limit_hits(Limit::DescriptorReserve) >= Limits::DESCRIPTOR_RESERVE as u64
    });

    let (pauses_before, ticks_before) =
        (telemetry.limit_hits(Limit::AcceptPause), cpu_ticks(&stat));
    thread::sleep(Duration::from_secs(2));
    let pauses = telemetry.limit_hits(Limit::AcceptPause) - pauses_before;
    let ticks = cpu_ticks(&stat) - ticks_before;
    assert!(pauses < 20, "{pauses} pauses in two seconds");
    assert!(ticks <= 10, "{ticks} ticks in two seconds");

    gate.allow(usize::MAX);
    drop(files);
    let begin = Instant::now();
    assert_eq!(get(address, "/metrics").status, 200);
    let recovery = begin.elapsed();
    println!("recovered in {recovery:?}; {pauses} pauses and {ticks} ticks in two seconds");
}

/// Another part of the process, such as its other port, holds every descriptor but those of the reserve:
/// probes and scrapes are answered all the same, one after the other and a few at once.
#[test]
fn a_process_that_holds_all_descriptors_elsewhere_is_still_probed_and_scraped() {
    const NAME: &str = "a_process_that_holds_all_descriptors_elsewhere_is_still_probed_and_scraped";
    if std::env::var_os(CHILD).is_some() {
        let server = Server::builder().exposition(up).spawn().expect("a server");
        let mut files = Vec::new();
        while let Ok(file) = File::open("/dev/null") {
            files.push(file);
            assert!(files.len() < DESCRIPTORS, "the limit does not hold");
        }
        println!("\naddress {}", server.local_addr());
        std::io::stdin().read_to_end(&mut Vec::new()).expect("the parent's end");
        return;
    }
    let (mut child, address, _output) = child(NAME);
    for round in 0..20 {
        assert_eq!(get(address, "/health").status, 200, "round {round}");
        assert_eq!(get(address, "/metrics").status, 200, "round {round}");
    }
    // A client that keeps its connection takes a descriptor of the reserve, and is evicted when there is no other.
    let mut kept: Vec<Client> = Vec::new();
    for round in 0..10 {
        let mut client = Client::connect(address);
        assert_eq!(client.get("/metrics").status, 200, "round {round}");
        kept.push(client);
        assert_eq!(get(address, "/health").status, 200, "round {round}");
    }
    // The same for clients that say nothing.
    let silent: Vec<_> =
        (0..10).map(|_| TcpStream::connect(address).expect("it listens")).collect();
    assert_eq!(get(address, "/health").status, 200);
    drop((silent, child.stdin.take()));
    assert!(child.wait().expect("the child ends").success());
}

/// Starts a test of this file once more in a process with few descriptors, which prints its address.
fn child(test: &str) -> (Child, SocketAddr, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {DESCRIPTORS} && exec \"$0\" --exact \"$1\" --nocapture"))
        .arg(std::env::current_exe().expect("this test's program"))
        .arg(test)
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let address = output.find_map(|line| line.ok()?.strip_prefix("address ")?.parse().ok());
    (child, address.expect("the child's address"), output)
}

/// Connections that say nothing take every descriptor that the process may have: a scrape is served in
/// place of one of them.
#[test]
fn silent_connections_that_take_all_descriptors_keep_nobody_out() {
    if std::env::var_os(CHILD).is_some() {
        let mut limits = Limits::default();
        limits.connections = 1000;
        limits.connections_an_address = 1000; // The process's limit is hit first.
        limits.head_deadline = Duration::from_secs(60);
        let server = Server::builder().exposition(up).limits(limits).spawn().expect("a server");
        println!("\naddress {}", server.local_addr());
        std::io::stdin().read_to_end(&mut Vec::new()).expect("the parent's end");
        let telemetry = server.telemetry();
        println!("{} gave way", telemetry.limit_hits(Limit::Evicted));
        return;
    }
    let (mut child, address, mut output) =
        child("silent_connections_that_take_all_descriptors_keep_nobody_out");
    let mut silent = Vec::new();
    for round in 0..4 {
        silent.extend((0..DESCRIPTORS).map(|_| TcpStream::connect(address).expect("it listens")));
        assert_eq!(get(address, "/metrics").status, 200, "round {round}");
    }
    drop(child.stdin.take());
    let gave_way =
        output.find_map(|line| line.ok()?.strip_suffix(" gave way")?.parse::<u64>().ok());
    assert!(child.wait().expect("the child ends").success());
    // All but those that there were descriptors for, and few for nothing.
    let held = silent.len() as u64;
    let gave_way = gave_way.expect("the child's count");
    assert!((held - DESCRIPTORS as u64..=held + 4).contains(&gave_way), "{gave_way} of {held}");
}

/// Errors of `accept` that concern one attempt must not cost a client that could be served. strace
/// makes every fifth call fail; without it the test skips, unless `DYNAMO_METRICS_JUDGES=required`.
#[test]
fn a_failing_accept_costs_no_client() {
    if std::env::var_os(CHILD).is_some() {
        return serve_scrapes();
    }
    for error in ["ECONNABORTED", "EINTR", "ENOMEM"] {
        let program = std::env::current_exe().expect("this test's program");
        let child = Command::new("strace")
            .args(["-f", "-qq", "-e", "trace=accept4", "-e"])
            .arg(format!("inject=accept4:error={error}:when=2+5"))
            .arg(program)
            .args(["--exact", "a_failing_accept_costs_no_client", "--nocapture"])
            .env(CHILD, error)
            .output();
        let output = match child {
            Ok(output) => output,
            Err(missing) => {
                return skipped(&format!("strace cannot be run: {missing}"));
            }
        };
        let trace = String::from_utf8_lossy(&output.stderr);
        if trace.contains("ptrace") && !output.status.success() {
            return skipped(&format!("this system does not let strace trace: {trace}"));
        }
        assert!(output.status.success(), "{error}: {trace}");
        assert!(trace.matches("INJECTED").count() >= 4, "{error}: {trace}");
    }
}

fn skipped(why: &str) {
    let required = std::env::var_os("DYNAMO_METRICS_JUDGES").is_some_and(|it| it == "required");
    assert!(!required, "DYNAMO_METRICS_JUDGES=required, but {why}");
    eprintln!("skipped: {why}");
}

fn serve_scrapes() {
    let server = Server::builder().exposition(up).spawn().expect("a server");
    for _ in 0..20 {
        assert_eq!(get(server.local_addr(), "/metrics").status, 200);
    }
    assert_eq!(server.telemetry().limit_hits(Limit::DescriptorReserve), 0);
}

/// User and system time of this process in ticks of 10 ms, from its open `/proc/self/stat`.
fn cpu_ticks(stat: &File) -> u64 {
    let mut text = [0; 1024];
    let count = stat.read_at(&mut text, 0).expect("a file that is open");
    let text = String::from_utf8_lossy(&text[..count]);
    // The second field is the program's name in parentheses, and may hold anything.
    let (_, fields) = text.rsplit_once(") ").expect("a process status");
    let fields: Vec<&str> = fields.split(' ').collect();
    [fields[11], fields[12]].map(|ticks| ticks.parse::<u64>().expect("a number")).iter().sum()
}
