//! Processes of the tests: this program again, which runs one of the functions below and no test.

use dynamo_metrics_multiprocess::{Mode, Opts, Processes};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const TASK: &str = "MULTIPROCESS_TASK";
const DIRECTORY: &str = "MULTIPROCESS_DIRECTORY";

/// A process that runs a task; killed in the end.
pub(crate) struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    pub(crate) fn start(task: &str, directory: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::task", "--nocapture", "--include-ignored"])
            // One thread in all, so that it may fork.
            .arg("--test-threads=1")
            .env(TASK, task)
            .env(DIRECTORY, directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    /// The next line that begins with `: `, without that.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            // The test harness writes the name of its test before it, on the same line.
            if let Some((_, line)) = line.split_once(": ") {
                return Some(line.trim_end().into());
            }
            line.clear();
        }
        None
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kills it and returns once it has ended.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn say(line: impl std::fmt::Display) {
    println!(": {line}");
    std::io::stdout().flush().unwrap();
}

/// The beginning of a process that a test started.
#[test]
#[ignore = "is no test"]
fn task() {
    let Ok(task) = std::env::var(TASK) else { return };
    let processes = Processes::join(std::env::var(DIRECTORY).unwrap()).unwrap();
    match &*task {
        "count" => count(&processes),
        "gauges" => gauges(&processes),
        "fork" => crate::forks::fork(&processes),
        other => panic!("no task {other}"),
    }
}

/// Counts up two counters in turn until it is killed; says how far it is now and then.
fn count(processes: &Processes) {
    let counter = |name| processes.counter(&Opts::new(name, "C.")).unwrap();
    let (first, second) = (counter("first"), counter("second"));
    let buckets = dynamo_metrics_core::Buckets::new([0.5]).unwrap();
    let histogram = processes.histogram(&Opts::new("h", "H."), &buckets).unwrap();
    for n in 1..=u64::MAX {
        first.inc();
        second.inc();
        histogram.observe((n % 2) as f64);
        if n.is_multiple_of(1_000) {
            say(n);
        }
    }
}

/// Sets a gauge of each mode to what it is told, and says that it did.
fn gauges(processes: &Processes) {
    let gauge = |mode: Mode| processes.gauge(&Opts::new(mode.name(), "G."), mode).unwrap();
    let gauges = Mode::ALL.map(gauge);
    say("joined");
    for line in std::io::stdin().lines() {
        let value = line.unwrap().parse().unwrap();
        gauges.iter().for_each(|gauge| gauge.set(value));
        say("set");
    }
}
