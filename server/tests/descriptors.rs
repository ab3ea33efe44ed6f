//! A process that has run out of descriptors: the listener pauses, costs nothing, and comes back.
//!
//! The shortage is made in a child process, whose limit is set by the shell that starts it.

#![cfg(target_os = "linux")] // The child reads its CPU time from /proc.

mod common;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{get, up};
use dynamo_metrics_server::{Limit, Limits, Server};

const CHILD: &str = "DYNAMO_METRICS_SERVER_TEST_CHILD";
const DESCRIPTORS: usize = 64;

#[test]
fn a_listener_survives_the_lack_of_descriptors() {
    if std::env::var_os(CHILD).is_some() {
        return run_out_and_recover();
    }
    let program = std::env::current_exe().expect("this test's program");
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {DESCRIPTORS} && exec \"$0\" --exact \"$1\" --nocapture"))
        .arg(program)
        .arg("a_listener_survives_the_lack_of_descriptors")
        .env(CHILD, "1")
        .output()
        .expect("a shell");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("recovered"), "{text}");
}

fn run_out_and_recover() {
    let mut limits = Limits::default();
    limits.connections = 1000; // The process's limit is hit first.
    limits.head_deadline = Duration::from_secs(60);
    let server = Server::builder().exposition(up).limits(limits).spawn().expect("a server");
    let address = server.local_addr();
    let stat = File::open("/proc/self/stat").expect("the process's status"); // While one can.

    // Files take all descriptors. Then each file that is given back becomes the near end of a
    // connection, for the far end of which there is none.
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
        assert!(files.len() < DESCRIPTORS, "the limit does not hold");
    }
    let telemetry = server.telemetry();
    let mut held = Vec::new();
    for _ in 0..10 {
        drop(files.pop());
        held.extend(TcpStream::connect(address));
    }
    common::eventually("accept fails", || telemetry.limit_hits(Limit::AcceptPause) > 0);
    common::eventually("the reserve is spent", || {
        telemetry.limit_hits(Limit::DescriptorReserve) > 0
    });
    // Whom the reserve was spent on learns at once that it is not served.
    let first = held.first().expect("a connection");
    first.set_read_timeout(Some(common::PATIENCE)).expect("a time limit");
    assert!(matches!((&*first).read(&mut [0]), Ok(0) | Err(_)), "it is closed");

    let (pauses_before, ticks_before) =
        (telemetry.limit_hits(Limit::AcceptPause), cpu_ticks(&stat));
    thread::sleep(Duration::from_secs(2));
    let pauses = telemetry.limit_hits(Limit::AcceptPause) - pauses_before;
    let ticks = cpu_ticks(&stat) - ticks_before;
    assert!(pauses < 20, "{pauses} pauses in two seconds");
    assert!(ticks <= 10, "{ticks} ticks in two seconds");

    drop((held, files));
    let begin = Instant::now();
    assert_eq!(get(address, "/metrics").status, 200);
    let recovery = begin.elapsed();
    assert!(recovery < Duration::from_secs(3), "{recovery:?}");
    println!("recovered in {recovery:?}; {pauses} pauses and {ticks} ticks in two seconds");
}

/// Connections that say nothing take every descriptor that the process may have: a scrape is served in
/// place of one of them.
#[test]
fn silent_connections_that_take_all_descriptors_keep_nobody_out() {
    if std::env::var_os(CHILD).is_some() {
        let mut limits = Limits::default();
        limits.connections = 1000; // The process's limit is hit first.
        limits.head_deadline = Duration::from_secs(60);
        let server = Server::builder().exposition(up).limits(limits).spawn().expect("a server");
        println!("\naddress {}", server.local_addr());
        std::io::stdin().read_to_end(&mut Vec::new()).expect("the parent's end");
        let telemetry = server.telemetry();
        println!("{} gave way", telemetry.limit_hits(Limit::GaveWay));
        return;
    }
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -n {DESCRIPTORS} && exec \"$0\" --exact \"$1\" --nocapture"))
        .arg(std::env::current_exe().expect("this test's program"))
        .arg("silent_connections_that_take_all_descriptors_keep_nobody_out")
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let address = output.find_map(|line| line.ok()?.strip_prefix("address ")?.parse().ok());
    let address: SocketAddr = address.expect("the child's address");
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
/// makes every fifth call fail.
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
                eprintln!("skipped: strace cannot be run: {missing}");
                return;
            }
        };
        let trace = String::from_utf8_lossy(&output.stderr);
        if trace.contains("ptrace") && !output.status.success() {
            eprintln!("skipped: this system does not let strace trace: {trace}");
            return;
        }
        assert!(output.status.success(), "{error}: {trace}");
        assert!(trace.matches("INJECTED").count() >= 4, "{error}: {trace}");
    }
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
