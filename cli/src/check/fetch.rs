//! One `GET` for `check`, which names the format that it wants and returns the one that the answer announces.
//!
//! A connection of its own, one deadline for everything, and a limit for the body.

use bytes::Bytes;
use dynamo_metrics::engine::{ENGINE_BODY_BYTES_MAX, ENGINE_TIMEOUT_DEFAULT};
use dynamo_metrics_encoder::strict::Format;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Without names in quotes, as Prometheus before 3.0 asks. OpenMetrics first: it is stricter, and who has it should
/// know what is wrong with it.
const ACCEPT_ANY: &str =
    "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// The body at an address, and the format that it is to be read in: the one asked for, or else the one announced.
pub(super) fn fetch(url: &str, asked: Option<Format>) -> Result<(Vec<u8>, Format), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let exchange = async {
        let exchange = tokio::time::timeout(ENGINE_TIMEOUT_DEFAULT, exchange(url, asked)).await;
        exchange.unwrap_or_else(|_| Err(format!("no answer within {ENGINE_TIMEOUT_DEFAULT:?}")))
    };
    let (body, content_type) = runtime.map_err(|e| e.to_string())?.block_on(exchange)?;
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

/// What to ask for.
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

/// The body and its `Content-Type`, empty if there is none.
async fn exchange(url: &str, asked: Option<Format>) -> Result<(Vec<u8>, String), String> {
    let uri: Uri = url.parse().map_err(|error| format!("it is no address: {error}"))?;
    let authority = uri.authority().ok_or("it has no host")?;
    let request = Request::builder()
        .uri(uri.path_and_query().map_or("/", |target| target.as_str()))
        .header(header::HOST, authority.as_str())
        .header(header::ACCEPT, accept(asked))
        .header(header::ACCEPT_ENCODING, "identity")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    // An IPv6 address stands in brackets, which the resolver does not know.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await;
    let stream = TokioIo::new(stream.map_err(|error| error.to_string())?);
    let (mut sender, connection) =
        http1::handshake(stream).await.map_err(|error| error.to_string())?;
    // How it ended shows in the answer.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if !answer.status().is_success() {
        return Err(format!("it answers {}", answer.status()));
    }
    let content_type = answer.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into());
    let body = Limited::new(answer.into_body(), ENGINE_BODY_BYTES_MAX).collect().await;
    let body = body.map_err(|error| format!("the body: {error}"))?.to_bytes();
    Ok((body.to_vec(), content_type.unwrap_or_default()))
}
