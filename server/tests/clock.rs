//! The wall clock steps, forward and back by hours: no deadline moves, no connection is closed for it.
//!
//! The clock is that of a child process alone, by libfaketime (Debian's package `faketime`), which leaves the
//! monotonic clock as it is, as a step does in life.

#![cfg(target_os = "linux")]

#[path = "it/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime};

use common::{Client, Gate, get};
use dynamo_metrics_server::{Limit, Limits, Server};

const CHILD: &str = "DYNAMO_METRICS_SERVER_TEST_CHILD";
const TEST: &str = "a_step_of_the_wall_clock_moves_no_deadline";

#[test]
fn a_step_of_the_wall_clock_moves_no_deadline() {
    if let Some(offset) = std::env::var_os(CHILD) {
        return serve_through_steps(Path::new(&offset));
    }
    let Some(library) = libfaketime() else {
        let required = std::env::var_os("DYNAMO_METRICS_JUDGES").is_some_and(|it| it == "required");
        assert!(!required, "libfaketime is not installed: bash ci/install.sh");
        eprintln!("skipped: libfaketime is not installed");
        return;
    };
    let offset = std::env::temp_dir().join(format!("dynamo-metrics-clock-{}", std::process::id()));
    std::fs::write(&offset, "+0").expect("a file in the temporary folder");
    let output = Command::new(std::env::current_exe().expect("this test's program"))
        .args(["--exact", TEST, "--nocapture"])
        .env(CHILD, &offset)
        .env("LD_PRELOAD", library)
        .env("FAKETIME_TIMESTAMP_FILE", &offset)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .output();
    drop(std::fs::remove_file(&offset));
    let output = output.expect("this test's program again");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("served through 2 steps"), "{text}");
}

fn serve_through_steps(offset: &Path) {
    let gate = Gate::default();
    let mut limits = Limits::default();
    limits.head_deadline = Duration::from_secs(3); // Time for a head, even on a busy machine.
    let server =
        Server::builder().exposition(gate.clone()).limits(limits).spawn().expect("a server");
    let mut kept = Client::connect(server.local_addr());
    for (number, step) in ["+5h", "-5h"].into_iter().enumerate() {
        // A scrape in progress, an idle connection and a silent one live through the step.
        assert_eq!(kept.get("/live").status, 200);
        let mut scraper = Client::connect(server.local_addr());
        scraper.send(
            "GET /metrics HTTP/1.1\r\nHost: t\r\nX-Prometheus-Scrape-Timeout-Seconds: 60\r\n\r\n",
        );
        gate.wait_for(number + 1);
        let mut silent = Client::connect(server.local_addr());
        let before = SystemTime::now();
        std::fs::write(offset, step).expect("the file of the clock");
        let moved = match SystemTime::now().duration_since(before) {
            Ok(forward) => forward,
            Err(back) => back.duration(),
        };
        assert!(moved > Duration::from_secs(4 * 3600), "the clock did not step: {moved:?}");
        thread::sleep(Duration::from_millis(50));
        gate.allow(number + 1);
        assert_eq!(scraper.reply().status, 200);
        assert_eq!(kept.get("/live").status, 200);
        // Its deadline comes, neither at once nor in five hours.
        assert!(silent.is_closed_without_a_byte());
        assert_eq!(server.telemetry().limit_hits(Limit::HeadDeadline), number as u64 + 1);
    }
    assert_eq!(get(server.local_addr(), "/health").status, 200);
    for &limit in Limit::ALL {
        let expected = if limit == Limit::HeadDeadline { 2 } else { 0 };
        assert_eq!(server.telemetry().limit_hits(limit), expected, "{limit:?}");
    }
    println!("served through 2 steps");
}

/// The library for programs with threads, where Debian and Fedora have it.
fn libfaketime() -> Option<PathBuf> {
    let folders =
        ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    folders
        .iter()
        .map(|folder| Path::new(folder).join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists())
}
