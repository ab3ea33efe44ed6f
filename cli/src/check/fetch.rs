//! One `GET` for `check`, which names the format that it wants and returns the one that the answer announces.

use dynamo_metrics::engine::{ENGINE_TIMEOUT_DEFAULT, EnginePage};
use dynamo_metrics_parser::Format;

/// Without names in quotes, as Prometheus before 3.0 asks. OpenMetrics first: it is stricter, and who has it should
/// know what is wrong with it.
const ACCEPT_ANY: &str =
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// The body at an address, and the format that it is to be read in: the one asked for, or else the one announced.
pub(super) fn fetch(url: &str, asked: Option<Format>) -> Result<(Vec<u8>, Format), String> {
    let page = EnginePage::read(url, accept(asked), ENGINE_TIMEOUT_DEFAULT)
        .map_err(|error| error.to_string())?;
    let EnginePage { content_type, body } = page;
    let announced = Format::of_content_type(&content_type);
    match (asked, announced) {
        (None, Some(announced)) => Ok((body, announced)),
        (None, None) => Err(format!(
            "its Content-Type {content_type:?} is neither text nor OpenMetrics 1.0; name the format with --format"
        )),
        (Some(asked), Some(announced)) if asked.is_openmetrics() != announced.is_openmetrics() => {
            Err(format!("it answers with Content-Type {content_type:?}, which was not asked for"))
        }
        (Some(asked), _) => Ok((body, asked)),
    }
}

/// Returns the `Accept` header for a format.
fn accept(asked: Option<Format>) -> &'static str {
    match asked {
        Some(Format::Text) => "text/plain;version=0.0.4",
        Some(Format::TextUtf8) => "text/plain;version=1.0.0;escaping=allow-utf-8",
        Some(Format::OpenMetrics) => "application/openmetrics-text;version=1.0.0",
        Some(Format::OpenMetricsUtf8) => {
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8"
        }
        _ => ACCEPT_ANY,
    }
}
