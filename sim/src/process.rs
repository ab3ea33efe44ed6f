//! The metrics of the process, for every command that serves a page.

use crate::failure::Failure;

/// Adds the metrics of the process to a page, where the system has them.
///
/// # Errors
/// The registry of the page has them already.
pub fn process_metrics(exporter: &dynamo_metrics::Exporter) -> Result<(), Failure> {
    #[cfg(all(feature = "process", target_os = "linux"))]
    exporter.process_metrics()?;
    let _ = exporter;
    Ok(())
}
