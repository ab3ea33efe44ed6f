//! The client side of the frontend's and the workers' protocol.
//!
//! Each call has a connection of its own, which ends with it: a stream that is dropped half-way closes its
//! connection at once, and that is how the worker learns that the rest is not wanted. A pool would save a
//! handshake a request, which is small beside a prefill.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HeaderValue, InvalidHeaderValue};
use hyper::{Method, Request, Uri, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Longest wait for the head of a peer's answer. A worker sends the head before a request leaves its queue, so the wait
/// depends on the network and the process, not on load.
const HEAD_WAIT: Duration = Duration::from_secs(5);
/// Longest line of an answer: the text of a thousand tokens and more.
const LINE_BYTES_MAX: usize = 1 << 20;

/// An error of a call.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    #[error("cannot reach {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url} answered {status}: {body}")]
    Status { url: String, status: u16, body: String },
    #[error("the answer of {url} broke: {reason}")]
    Broken { url: String, reason: String },
}

/// A client, which makes a connection for each call.
#[derive(Clone, Default)]
pub(crate) struct Client {
    /// The value of `Authorization`, sent with every call.
    token: Option<HeaderValue>,
}

impl fmt::Debug for Client {
    /// Leaves the token out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Client {
    /// Makes a client that sends a token with each call. An empty token is none.
    ///
    /// # Errors
    /// The token has bytes that no header may have.
    pub(crate) fn with_token(token: Option<&str>) -> Result<Self, InvalidHeaderValue> {
        let token = token.filter(|token| !token.is_empty());
        let token = token.map(|token| HeaderValue::try_from(format!("Bearer {token}")));
        Ok(Self { token: token.transpose()? })
    }

    /// Sends a value as JSON (nothing for `None`) and reads the whole answer.
    pub(crate) async fn send<T: Serialize + Sync>(
        &self,
        method: Method,
        url: &str,
        value: Option<&T>,
    ) -> Result<Bytes, ClientError> {
        let (body, _connection) = self.open(method, url, value).await?;
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
        let (body, connection) = self.open(Method::POST, url, Some(value)).await?;
        Ok(Lines { url: url.into(), body, _connection: connection, buffer: BytesMut::new() })
    }

    /// Returns the address of this machine from which `url` is reached.
    pub(crate) async fn local_address(&self, url: &str) -> Result<IpAddr, ClientError> {
        let unreachable = |reason: String| ClientError::Unreachable { url: url.into(), reason };
        let uri: Uri = url.parse().map_err(|e| unreachable(format!("{e}")))?;
        let stream = match tokio::time::timeout(HEAD_WAIT, connect(&uri)).await {
            Err(_) => return Err(unreachable(format!("no answer within {HEAD_WAIT:?}"))),
            Ok(stream) => stream.map_err(unreachable)?,
        };
        Ok(stream.local_addr().map_err(|e| unreachable(e.to_string()))?.ip())
    }

    async fn open<T: Serialize + Sync>(
        &self,
        method: Method,
        url: &str,
        value: Option<&T>,
    ) -> Result<(Incoming, Connection), ClientError> {
        let unreachable = |reason: String| ClientError::Unreachable { url: url.into(), reason };
        let body = match value.map(serde_json::to_vec).transpose() {
            Ok(body) => body.unwrap_or_default(),
            Err(error) => return Err(unreachable(error.to_string())),
        };
        let uri: Uri = url.parse().map_err(|e| unreachable(format!("{e}")))?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, authority)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| unreachable(e.to_string()))?;
        if let Some(token) = &self.token {
            request.headers_mut().insert(header::AUTHORIZATION, token.clone());
        }
        let exchange = async {
            let stream = connect(&uri).await?;
            stream.set_nodelay(true).map_err(|e| e.to_string())?;
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|e| causes(&e))?;
            let connection = Connection(tokio::spawn(async move {
                // An error of the connection shows in the answer's body.
                let _ = connection.await;
            }));
            let answer = sender.send_request(request).await.map_err(|e| causes(&e))?;
            Ok((answer, connection))
        };
        let (answer, connection) = match tokio::time::timeout(HEAD_WAIT, exchange).await {
            Err(_) => return Err(unreachable(format!("no answer within {HEAD_WAIT:?}"))),
            Ok(result) => result.map_err(unreachable)?,
        };
        let status = answer.status();
        if status.is_success() {
            return Ok((answer.into_body(), connection));
        }
        let body =
            answer.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let body = String::from_utf8_lossy(&body[..body.len().min(512)]).into_owned();
        Err(ClientError::Status { url: url.into(), status: status.as_u16(), body })
    }
}

async fn connect(uri: &Uri) -> Result<TcpStream, String> {
    let authority = uri.authority().ok_or("it has no host")?;
    if uri.scheme_str() != Some("http") {
        return Err("only http:// addresses can be reached".into());
    }
    // An IPv6 address stands in brackets, which the resolver does not know.
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await;
    stream.map_err(|error| error.to_string())
}

/// A connection, closed when this is dropped.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer that comes as one JSON value a line. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Lines {
    url: String,
    body: Incoming,
    _connection: Connection,
    buffer: BytesMut,
}

impl Lines {
    /// Returns the next value; `None` at the end of the answer.
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

/// Returns an error with its causes, which hyper does not print.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(reason) = cause {
        text = format!("{text}: {reason}");
        cause = reason.source();
    }
    text
}
