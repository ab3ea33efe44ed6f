//! A client that knows nothing but bytes, and an exposition that waits to be told.
//!
//! Every read has a time limit, so a server that does not answer fails a test instead of hanging it.

#![allow(dead_code)] // Each test program uses its part.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{
    ContentType, ExposeError, Exposition, RunningServer, ScrapeDeadline, ScrapeRequest, Server,
};

/// The longest wait for anything that must come: only a server that never answers takes so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server with one metric and all defaults.
pub(crate) fn plain_server() -> RunningServer {
    Server::builder().exposition(up).spawn().expect("a server on a free port")
}

pub(crate) fn up(_: &ScrapeRequest<'_>, body: &mut BytesMut) -> Result<ContentType, ExposeError> {
    body.extend_from_slice(b"up 1\n");
    Ok(ContentType::TEXT_0_0_4)
}

#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        Self::over(stream)
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time limit");
        Self { stream, received: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the server takes bytes");
        self
    }

    /// Sends what a dying connection may refuse.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub(crate) fn get(&mut self, target: &str) -> Reply {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n")).reply()
    }

    /// The next response of this connection.
    pub(crate) fn reply(&mut self) -> Reply {
        let mut reply = self.head();
        let length = reply.header("content-length").expect("always a length");
        let length = length.parse().expect("a number");
        while self.received.len() < length {
            let so_far = self.received.len();
            assert!(self.fill(), "closed after {so_far} of {length} bytes of a body; {}", alone());
        }
        reply.body = self.received.drain(..length).collect();
        reply
    }

    /// The next response's head only, as for HEAD.
    pub(crate) fn head(&mut self) -> Reply {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(self.fill(), "closed before a response: {:?}; {}", self.received, alone());
        };
        let head: Vec<u8> = self.received.drain(..end).collect();
        Reply::parse(std::str::from_utf8(&head).expect("an ASCII head"))
    }

    /// Whether the server closes (in whatever way) without another byte.
    pub(crate) fn is_closed_without_a_byte(&mut self) -> bool {
        self.received.is_empty() && !self.fill()
    }

    /// The next response, or `None` when the server closes before one begins.
    pub(crate) fn rest_or_reply(&mut self) -> Option<Reply> {
        (!self.received.is_empty() || self.fill()).then(|| self.reply())
    }

    /// Whether the server closes without another byte, and without a reset.
    pub(crate) fn ends_cleanly(&mut self) -> bool {
        self.received.is_empty() && matches!(self.stream.read(&mut [0]), Ok(0))
    }

    /// All bytes until the server closes.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.received)
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn fill(&mut self) -> bool {
        let mut chunk = [0; 64 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend_from_slice(&chunk[..count]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset) => false,
            Err(error) => panic!(
                "no byte and no end within {PATIENCE:?}: {error}; received so far: {:?}; {}",
                String::from_utf8_lossy(&self.received),
                alone()
            ),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) version: String,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    fn parse(head: &str) -> Self {
        let mut lines = head.trim_end().split("\r\n");
        let mut status_line = lines.next().expect("a status line").splitn(3, ' ');
        let version = status_line.next().expect("a version").to_owned();
        let status = status_line.next().expect("a status").parse().expect("a number");
        let headers = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").expect("a header line");
                (name.to_ascii_lowercase(), value.to_owned())
            })
            .collect();
        Self { version, status, headers, body: Vec::new() }
    }

    /// A header's value; fails when it is sent twice.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(sent, _)| sent == name);
        let value = values.next().map(|(_, value)| value.as_str());
        assert_eq!(values.next(), None, "{name} is sent twice");
        value
    }

    /// All headers but the date, in alphabetical order.
    pub(crate) fn headers_but_date(&self) -> Vec<(&str, &str)> {
        assert!(self.header("date").is_some_and(|date| date.ends_with(" GMT")));
        let all = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut others: Vec<_> = all.filter(|(name, _)| *name != "date").collect();
        others.sort_unstable();
        others
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a text")
    }
}

/// One request on a connection of its own.
pub(crate) fn get(address: SocketAddr, target: &str) -> Reply {
    Client::connect(address).get(target)
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}; {}", alone());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How to run the test of this thread alone.
pub(crate) fn alone() -> String {
    let program = std::env::current_exe().unwrap_or_default();
    let name = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let (file, _hash) = name.rsplit_once('-').unwrap_or((&name, ""));
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    format!(
        "alone: cargo test -p dynamo-metrics-server --all-features --test {file} -- --exact {test}"
    )
}

/// An exposition whose gathers wait at a gate until the test lets them through.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Debug, Default)]
struct GateState {
    arrived: usize,
    allowed: usize,
}

impl Gate {
    /// Waits until this many gathers have begun.
    pub(crate) fn wait_for(&self, gathers: usize) {
        let (state, changed) = &*self.0;
        let state = state.lock().expect("no test panics here");
        let (_state, timeout) = changed
            .wait_timeout_while(state, PATIENCE, |state| state.arrived < gathers)
            .expect("no test panics here");
        assert!(!timeout.timed_out(), "{gathers} gathers did not begin");
    }

    /// Lets this many gathers through, in all.
    pub(crate) fn allow(&self, gathers: usize) {
        let (state, changed) = &*self.0;
        state.lock().expect("no test panics here").allowed = gathers;
        changed.notify_all();
    }

    pub(crate) fn arrived(&self) -> usize {
        self.0.0.lock().expect("no test panics here").arrived
    }
}

impl Exposition for Gate {
    type Variant = ScrapeRequest<'static>;

    fn variant(&self, request: ScrapeRequest<'static>) -> Result<Self::Variant, ExposeError> {
        Ok(request)
    }

    fn expose(
        &self,
        _: &Self::Variant,
        _: ScrapeDeadline,
        body: &mut BytesMut,
    ) -> Result<ContentType, ExposeError> {
        self.pass(body)
    }
}

impl Gate {
    /// Waits at the gate, then writes how many have passed.
    pub(crate) fn pass(&self, body: &mut BytesMut) -> Result<ContentType, ExposeError> {
        let (state, changed) = &*self.0;
        let mut state = state.lock().expect("no test panics here");
        state.arrived += 1;
        let number = state.arrived;
        changed.notify_all();
        let (_state, timeout) = changed
            .wait_timeout_while(state, 2 * PATIENCE, |state| state.allowed < number)
            .expect("no test panics here");
        assert!(!timeout.timed_out(), "the test never opened the gate");
        body.extend_from_slice(format!("gather {number}\n").as_bytes());
        Ok(ContentType::TEXT_0_0_4)
    }
}
