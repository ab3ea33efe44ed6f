//! `sd`: a frontend's workers as targets in a file, for scrapers that read files and not `http_sd_config`.

use crate::output::print_stdout;
use crate::shutdown;
use crate::worker::parse_url;
use clap::Args;
use dynamo_metrics_sim::Failure;
use dynamo_metrics_sim::discovery;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Least number of seconds between two questions.
const EVERY_MIN: f64 = 0.1;

/// Options of `sd`.
#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub(crate) struct Options {
    /// The frontend whose workers are listed.
    #[arg(long, default_value = "http://127.0.0.1:8000", value_parser = parse_url)]
    frontend: String,
    /// The token that the frontend asks of workers.
    #[arg(long, value_name = "TOKEN", env = "DYN_METRICS_WORKER_TOKEN", hide_env_values = true)]
    worker_token: Option<String>,
    /// The file to write, in the form of Prometheus' `file_sd_config`; standard output unless given. It is replaced as a
    /// whole, so that a scraper never reads a part of it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Goes on until it is asked to stop: asks every so many seconds, and writes the file when something has changed. While the
    /// frontend does not answer, the file stays as it is.
    #[arg(long, value_name = "SECONDS", value_parser = parse_every, requires = "file")]
    every: Option<Duration>,
}

/// Writes the list once, or again and again until the process is asked to stop.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio.block_on(async {
        let Some(every) = options.every else { return write(options, &list(options).await?) };
        tokio::select! {
            () = follow(options, every) => {}
            () = shutdown::requested() => {}
        }
        Ok(())
    })
}

async fn follow(options: &Options, every: Duration) {
    let (mut written, mut failing) = (None, false);
    loop {
        let result = match list(options).await {
            Ok(list) if written.as_ref() == Some(&list) => Ok(()),
            Ok(list) => write(options, &list).map(|()| written = Some(list)),
            Err(failure) => Err(failure),
        };
        // One line when it begins to fail, not one for each time.
        if let (Err(failure), false) = (&result, failing) {
            eprintln!("dynamo-metrics: {failure}; trying again every {every:?}");
        }
        failing = result.is_err();
        tokio::time::sleep(every).await;
    }
}

async fn list(options: &Options) -> Result<String, Failure> {
    let targets = discovery::targets(&options.frontend, options.worker_token.as_deref()).await?;
    Ok(serde_json::to_string_pretty(&targets)? + "\n")
}

fn write(options: &Options, list: &str) -> Result<(), Failure> {
    match &options.file {
        None => print_stdout(list.trim_end()),
        Some(file) => {
            replace(file, list).map_err(|error| format!("--file {}: {error}", file.display()))?
        }
    }
    Ok(())
}

/// Writes another file beside it, which takes its place.
fn replace(file: &Path, content: &str) -> std::io::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let beside = file.with_file_name(format!(".{name}.new"));
    std::fs::write(&beside, content)?;
    std::fs::rename(&beside, file)
}

fn parse_every(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| *seconds >= EVERY_MIN);
    let every = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    every.ok_or_else(|| format!("it is a number of seconds from {EVERY_MIN}, as 5"))
}
