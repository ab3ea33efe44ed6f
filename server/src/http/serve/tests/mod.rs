//! Deadlines, evictions and the stop, over connections in memory and under a clock that stands still until every task
//! waits. So each deadline comes to the millisecond, however busy the machine is.

mod deadlines;
mod evictions;
mod writes;

use std::cell::RefCell;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, LocalSet};

use super::*;
use crate::net::stream::Stream;
use crate::response::text_response;

/// Bytes that a connection in memory holds in each direction before its writer has to wait.
const PIPE_BYTES: usize = 64 << 10;
/// More than that.
const LARGE: usize = 1 << 20;
const LIVE: &str = "GET /live HTTP/1.1\r\nHost: t\r\n\r\n";
const METRICS: &str = "GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n";

/// Answers `/live` at once, `/metrics` when the gate is opened, and anything else with [`LARGE`] bytes.
#[derive(Default)]
struct Pages {
    gate: Notify,
    /// The paths in the order in which they were asked for.
    asked: RefCell<Vec<String>>,
}

impl Respond for Pages {
    async fn respond(
        &self,
        request: Request<Incoming>,
        _: Option<IpAddr>,
    ) -> Response<Full<Bytes>> {
        let path = request.uri().path();
        self.asked.borrow_mut().push(path.into());
        let body = match path {
            "/live" => Bytes::from_static(b"live"),
            "/metrics" => {
                self.gate.notified().await;
                Bytes::from_static(b"up 1")
            }
            _ => vec![b'#'; LARGE].into(),
        };
        text_response(StatusCode::OK, body).map(Full::new)
    }

    fn reject(&self, rejection: Rejection) -> Response<Full<Bytes>> {
        let (status, text) = rejection.answer().expect("one with an answer");
        let mut response = text_response(status, text);
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        response.map(Full::new)
    }
}

struct Server {
    table: Rc<ConnectionTable>,
    pages: Rc<Pages>,
}

impl Server {
    fn new(set: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        set(&mut limits);
        let table = ConnectionTable::new(limits, std::sync::Arc::default());
        Self { table, pages: Rc::default() }
    }

    fn connect(&self) -> Client {
        self.try_connect().expect("a slot")
    }

    fn try_connect(&self) -> Option<Client> {
        let admission = self.table.admit(None)?;
        let (stream, served) = tokio::io::duplex(PIPE_BYTES);
        let accepted = Accepted { stream: Stream::Memory(served), peer: None };
        let http = http_builder(self.table.limits());
        let task = serve(accepted, admission, http, Rc::clone(&self.pages));
        let task = tokio::task::spawn_local(task);
        Some(Client { stream, received: Vec::new(), task })
    }

    #[track_caller]
    fn assert_hits(&self, limits: &[(Limit, u64)]) {
        for &limit in Limit::ALL {
            let expected = limits.iter().find(|(hit, _)| *hit == limit).map_or(0, |(_, n)| *n);
            assert_eq!(self.table.telemetry().limit_hits(limit), expected, "{limit:?}");
        }
    }
}

struct Client {
    stream: DuplexStream,
    received: Vec<u8>,
    task: JoinHandle<()>,
}

struct Reply {
    status: u16,
    close: bool,
    length: usize,
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("it is open");
    }

    /// The next response; `None` when the connection closes before one begins.
    async fn reply(&mut self) -> Option<Reply> {
        let reply = self.head().await?;
        while self.received.len() < reply.length {
            assert!(self.fill().await, "closed in the middle of a body");
        }
        self.received.drain(..reply.length);
        Some(reply)
    }

    async fn head(&mut self) -> Option<Reply> {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if !self.fill().await {
                assert!(self.received.is_empty(), "closed in the middle of a head");
                return None;
            }
        };
        let head: Vec<u8> = self.received.drain(..end).collect();
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut parsed = httparse::Response::new(&mut headers);
        parsed.parse(&head).expect("a response");
        let value = |name: &str| {
            let found = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            found.map(|header| std::str::from_utf8(header.value).expect("ASCII"))
        };
        let length = value(CONTENT_LENGTH.as_str()).expect("a length").parse().expect("a number");
        let close = value(CONNECTION.as_str()) == Some("close");
        Some(Reply { status: parsed.code.expect("a status"), close, length })
    }

    async fn get(&mut self, request: &str) -> Reply {
        self.send(request).await;
        self.reply().await.expect("a response")
    }

    async fn fill(&mut self) -> bool {
        let mut chunk = [0; 8 << 10];
        let count = self.stream.read(&mut chunk).await.expect("no reset in memory");
        self.received.extend_from_slice(&chunk[..count]);
        count > 0
    }

    /// Waits for the end of the connection; returns how long that took, and how many bytes came before it.
    async fn end(&mut self) -> (Duration, usize) {
        let begin = Instant::now();
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.expect("no reset in memory");
        (begin.elapsed(), rest.len() + self.received.len())
    }

    /// Waits until the server has done with the connection, without taking a byte; returns how long that took.
    async fn is_closed(&mut self) -> Duration {
        let begin = Instant::now();
        (&mut self.task).await.expect("no panic");
        begin.elapsed()
    }
}

/// Runs a test on one thread whose clock stands still.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, test);
}

/// Lets every task that can go on do so.
async fn settle() {
    tokio::time::sleep(Duration::from_nanos(1)).await;
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// tokio's timer counts milliseconds.
#[track_caller]
fn assert_about(took: Duration, expected: Duration) {
    assert!((expected..=expected + ms(2)).contains(&took), "{took:?}, not {expected:?}");
}

#[test]
fn a_request_that_is_answered_after_the_stop_is_told_that_the_connection_closes() {
    run(async {
        let server = Server::new(|_| {});
        // One was read before the stop; one has arrived and is read after it; one is idle; one says nothing; one has sent
        // a part of a head.
        let mut scraper = server.connect();
        scraper.send(METRICS).await;
        let mut idle = server.connect();
        assert!(!idle.get(LIVE).await.close);
        settle().await;
        let mut arrived = server.connect();
        arrived.send(LIVE).await;
        let (mut silent, mut partial) = (server.connect(), server.connect());
        partial.send("GET /li").await;
        assert_eq!(*server.pages.asked.borrow(), ["/metrics", "/live"], "the others are not read");

        server.table.finish_all();
        let reply = arrived.reply().await.expect("it is answered");
        assert_eq!((reply.status, reply.close), (200, true));
        for client in [&mut arrived, &mut idle, &mut silent, &mut partial] {
            assert_eq!(client.end().await, (Duration::ZERO, 0));
        }
        tokio::time::sleep(ms(1000)).await;
        server.pages.gate.notify_one();
        let reply = scraper.reply().await.expect("it is waited for");
        assert_eq!((reply.status, reply.close), (200, true));
        assert_eq!(scraper.end().await, (Duration::ZERO, 0));
        server.assert_hits(&[]);
    });
}
