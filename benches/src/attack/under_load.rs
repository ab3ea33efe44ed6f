//! A server in a process of its own, seen from outside: started, asked, weighed by `/proc`, and ended.
//!
//! The process is this program again, with a subcommand. It ends when the pipe to its standard input closes, so
//! none is left behind when the attacker is interrupted.

use super::Outcome;
use super::client::{self, Answer};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Scrapes before any measurement, so that buffers have their size and code is loaded.
const WARM_UP: usize = 20;
/// Ticks a second of `/proc/PID/stat`: `USER_HZ` is 100 on every Linux (man 5 proc).
const TICKS_A_SECOND: f64 = 100.0;

/// The limits under which the process is started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Confines {
    /// Descriptors that it may have.
    pub(crate) descriptors: Option<u64>,
    /// The processor that it may use.
    pub(crate) cpu: Option<usize>,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct UnderLoad {
    pub(crate) address: SocketAddr,
    child: Child,
}

impl UnderLoad {
    pub(crate) fn start(name: &str, confines: Confines) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", name]);
        for (option, value) in [
            ("--descriptors", confines.descriptors.map(|limit| limit.to_string())),
            ("--cpu", confines.cpu.map(|cpu| cpu.to_string())),
        ] {
            if let Some(value) = value {
                command.args([option, &value]);
            }
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse().map_err(|_| format!("no address but {line:?}"))?;
        let under_load = Self { address, child };
        let begin = Instant::now();
        // One that binds its own socket prints the address before it listens.
        while TcpStream::connect(address).is_err() && begin.elapsed() < Duration::from_secs(5) {
            thread::sleep(Duration::from_millis(5));
        }
        for _ in 0..WARM_UP {
            let answer = under_load.scrape(Duration::from_secs(5))?;
            if answer.status != 200 {
                return Err(format!("a scrape in peace is answered {}", answer.status).into());
            }
        }
        Ok(under_load)
    }

    /// One scrape over a connection of its own.
    pub(crate) fn scrape(&self, within: Duration) -> Outcome<Answer> {
        client::scrape(self.address, within)
    }

    /// Returns the time of a scrape in ms, or `None` if it fails.
    pub(crate) fn try_scrape(&self, within: Duration) -> Option<f64> {
        let begin = Instant::now();
        let answer = self.scrape(within).ok()?;
        (answer.status == 200).then(|| begin.elapsed().as_secs_f64() * 1e3)
    }

    /// Memory that is resident now, in KiB.
    pub(crate) fn memory_kib(&self) -> Outcome<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse()?)
    }

    /// Seconds of processor time so far, its own and the kernel's for it.
    pub(crate) fn cpu_seconds(&self) -> Outcome<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(") ").ok_or("no process status")?;
        // utime and stime are fields 14 and 15 of the line, and the name was the second.
        let mut ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
        let mut next = || ticks.next().ok_or("no times");
        Ok((next()?? + next()??) / TICKS_A_SECOND)
    }

    /// Descriptors that are open.
    pub(crate) fn descriptors(&self) -> Outcome<f64> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count() as f64)
    }
}

impl Drop for UnderLoad {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It ends by itself; a server that hangs must not hang us.
        let begin = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begin.elapsed() > Duration::from_secs(1) {
                drop(self.child.kill());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}
