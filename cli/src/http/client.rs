//! The client side of the frontend's and the workers' protocol.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, header};
use hyper_util::client::legacy::{Client as Legacy, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use thiserror::Error;

/// How long a peer may take until the head of its answer. An engine that queues answers the head at once, so
/// this is about the network and the process, not about load.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// A line of an answer: the text of a thousand tokens and more.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Why a peer's answer was none.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    #[error("cannot reach {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url} answered {status}: {body}")]
    Status { url: String, status: u16, body: String },
    #[error("the answer of {url} broke: {reason}")]
    Broken { url: String, reason: String },
}

/// Keeps connections open between calls; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    inner: Legacy<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(HEAD_WAIT));
        Self { inner: Legacy::builder(TokioExecutor::new()).build(connector) }
    }

    /// Sends a value as JSON (nothing for `None`) and reads the whole answer.
    pub(crate) async fn send<T: Serialize + Sync>(
        &self,
        method: Method,
        url: &str,
        value: Option<&T>,
    ) -> Result<Bytes, ClientError> {
        let body = self.open(method, url, value).await?;
        let broken =
            |e: hyper::Error| ClientError::Broken { url: url.into(), reason: e.to_string() };
        Ok(body.collect().await.map_err(broken)?.to_bytes())
    }

    /// Sends a value as JSON and reads the answer line by line.
    pub(crate) async fn lines<T: Serialize + Sync>(
        &self,
        url: &str,
        value: &T,
    ) -> Result<Lines, ClientError> {
        let body = self.open(Method::POST, url, Some(value)).await?;
        Ok(Lines { url: url.into(), body, buffer: BytesMut::new() })
    }

    async fn open<T: Serialize + Sync>(
        &self,
        method: Method,
        url: &str,
        value: Option<&T>,
    ) -> Result<Incoming, ClientError> {
        let unreachable = |reason: String| ClientError::Unreachable { url: url.into(), reason };
        let body = match value.map(serde_json::to_vec).transpose() {
            Ok(body) => body.unwrap_or_default(),
            Err(error) => return Err(unreachable(error.to_string())),
        };
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| unreachable(e.to_string()))?;
        let answer = tokio::time::timeout(HEAD_WAIT, self.inner.request(request)).await;
        let answer = match answer {
            Err(_) => return Err(unreachable(format!("no answer within {HEAD_WAIT:?}"))),
            Ok(Err(error)) => return Err(unreachable(causes(&error))),
            Ok(Ok(answer)) => answer,
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let body =
            answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body = String::from_utf8_lossy(&body[..body.len().min(512)]).into_owned();
        Err(ClientError::Status { url: url.into(), status: status.as_u16(), body })
    }
}

/// An answer that comes as one JSON value a line. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Lines {
    url: String,
    body: Incoming,
    buffer: BytesMut,
}

impl Lines {
    /// The next value; `None` at the end of the answer.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Option<Result<T, ClientError>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                return Some(serde_json::from_slice(&line).map_err(|e| self.broken(e.to_string())));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Some(Err(
                    self.broken(format!("a line of more than {LINE_BYTES_MAX} bytes"))
                ));
            }
            match self.body.frame().await {
                None if self.buffer.is_empty() => return None,
                None => return Some(Err(self.broken("it ends in the middle of a line".into()))),
                Some(Err(error)) => return Some(Err(self.broken(causes(&error)))),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }

    fn broken(&self, reason: String) -> ClientError {
        ClientError::Broken { url: self.url.clone(), reason }
    }
}

/// An error with its causes, which hyper does not print.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(reason) = cause {
        text = format!("{text}: {reason}");
        cause = reason.source();
    }
    text
}
