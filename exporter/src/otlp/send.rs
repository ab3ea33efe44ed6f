//! One `POST` of a request, and the receiver's verdict.

use super::settings::OtlpSettings;
use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use std::io::Write;
use std::time::Duration;

/// Bytes of an answer that are read: a message for people.
const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// The fate of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    /// The same request would be refused again; the reason.
    Refused(String),
    /// The same request may be taken later; the reason, and the time that the receiver asks for.
    Later(String, Option<Duration>),
}

#[derive(Debug)]
pub(super) struct Sender {
    agent: ureq::Agent,
    endpoint: String,
    headers: Vec<(String, String)>,
    gzip: bool,
}

impl Sender {
    pub(super) fn new(settings: &OtlpSettings) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(settings.timeout))
            .http_status_as_error(false)
            .user_agent(concat!("dynamo-metrics/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: config.into(),
            endpoint: settings.endpoint.clone(),
            headers: settings.headers.clone(),
            gzip: settings.gzip,
        }
    }

    /// Blocks for the timeout at most.
    pub(super) fn send(&self, body: &[u8]) -> Verdict {
        let mut request =
            self.agent.post(&self.endpoint).header("Content-Type", "application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let result = match self.gzip.then(|| packed(body)).flatten() {
            Some(packed) => request.header("Content-Encoding", "gzip").send(&packed[..]),
            None => request.send(body),
        };
        let answer = match result {
            Ok(answer) => answer,
            Err(error) => return Verdict::Later(error.to_string(), None),
        };
        let status = answer.status().as_u16();
        let after = answer.headers().get("retry-after").and_then(|after| after.to_str().ok());
        let after = after.and_then(|after| after.parse().ok()).map(Duration::from_secs);
        let body = answer.into_body().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
        verdict(status, after, &body.unwrap_or_default())
    }
}

/// Returns the verdict of an answer. Those that are worth a repetition are OTLP's.
fn verdict(status: u16, after: Option<Duration>, body: &[u8]) -> Verdict {
    let text = || String::from_utf8_lossy(&body[..body.len().min(512)]).into_owned();
    match status {
        200..=299 => match ExportMetricsServiceResponse::decode(body) {
            Ok(ExportMetricsServiceResponse { partial_success: Some(partial) })
                if partial.rejected_data_points > 0 =>
            {
                let (points, reason) = (partial.rejected_data_points, partial.error_message);
                Verdict::Refused(format!("the receiver dropped {points} points: {reason}"))
            }
            _ => Verdict::Taken,
        },
        429 | 502 | 503 | 504 => Verdict::Later(format!("status {status}: {}", text()), after),
        _ => Verdict::Refused(format!("status {status}: {}", text())),
    }
}

/// Compresses a request; `None` if memory ran out, which only sends it as it is.
fn packed(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;

    #[test]
    fn only_what_may_pass_is_repeated() {
        assert_eq!(verdict(200, None, b""), Verdict::Taken);
        let partial = ExportMetricsPartialSuccess {
            rejected_data_points: 2,
            error_message: "too old".into(),
        };
        let answer = ExportMetricsServiceResponse { partial_success: Some(partial) };
        let refused = "the receiver dropped 2 points: too old".into();
        assert_eq!(verdict(200, None, &answer.encode_to_vec()), Verdict::Refused(refused));
        let (after, later) = (Some(Duration::from_secs(9)), "status 503: busy".to_string());
        assert_eq!(verdict(503, after, b"busy"), Verdict::Later(later, after));
        for status in [400, 401, 404, 500] {
            assert!(matches!(verdict(status, None, b""), Verdict::Refused(_)), "{status}");
        }
    }
}
