//! Deadlines, evictions and the stop, over connections in memory and under a clock that stands still until every task
//! waits. So each deadline comes to the millisecond, however busy the machine is.

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
fn a_silent_client_is_closed_at_the_head_deadline() {
    run(async {
        let server = Server::new(|limits| limits.head_deadline = ms(200));
        let (took, bytes) = server.connect().end().await;
        assert_about(took, ms(200));
        assert_eq!(bytes, 0);
        server.assert_hits(&[(Limit::HeadDeadline, 1)]);
        settle().await;
        assert_eq!(server.table.telemetry().connections_open(), 0);
    });
}

#[test]
fn a_head_that_comes_byte_by_byte_does_not_extend_its_deadline() {
    run(async {
        let server = Server::new(|limits| limits.head_deadline = ms(300));
        let begin = Instant::now();
        let mut slow = server.connect();
        while slow.stream.write_all(b"G").await.is_ok() {
            tokio::time::sleep(ms(20)).await;
        }
        assert!((ms(300)..=ms(322)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
        server.assert_hits(&[(Limit::HeadDeadline, 1)]);
    });
}

#[test]
fn the_head_deadline_of_a_later_request_begins_with_its_first_byte() {
    run(async {
        let server = Server::new(|limits| limits.head_deadline = ms(200));
        let mut client = server.connect();
        assert_eq!(client.get(LIVE).await.status, 200);
        tokio::time::sleep(ms(400)).await; // Idle is not slow.
        assert_eq!(client.get(LIVE).await.status, 200);
        tokio::time::sleep(ms(400)).await;
        client.send("GET /li").await;
        assert_about(client.end().await.0, ms(200));
        server.assert_hits(&[(Limit::HeadDeadline, 1)]);
    });
}

#[test]
fn the_deadline_of_a_head_that_begins_during_a_scrape_runs_from_its_answer() {
    run(async {
        let server = Server::new(|limits| limits.head_deadline = ms(200));
        let mut client = server.connect();
        client.send(METRICS).await;
        settle().await;
        client.send("GET /li").await;
        tokio::time::sleep(ms(1000)).await;
        server.pages.gate.notify_one();
        assert_eq!(client.reply().await.expect("its answer").status, 200);
        assert_about(client.end().await.0, ms(200));
        server.assert_hits(&[(Limit::HeadDeadline, 1)]);
    });
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    run(async {
        let server = Server::new(|limits| limits.keep_alive_idle = ms(200));
        let mut client = server.connect();
        for _ in 0..3 {
            assert_eq!(client.get(LIVE).await.status, 200);
            tokio::time::sleep(ms(190)).await;
        }
        assert_about(client.end().await.0, ms(10));
        server.assert_hits(&[(Limit::KeepAliveIdle, 1)]);
    });
}

#[test]
fn a_slow_answer_runs_into_no_deadline_of_the_connection() {
    run(async {
        let server = Server::new(|limits| {
            (limits.head_deadline, limits.keep_alive_idle) = (ms(50), ms(50));
            (limits.write_deadline, limits.write_window, limits.linger) = (ms(50), ms(50), ms(50));
        });
        let mut client = server.connect();
        client.send(METRICS).await;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        server.pages.gate.notify_one();
        assert_eq!(client.reply().await.expect("its answer").status, 200);
        server.assert_hits(&[(Limit::ConnectionLifetime, 1)]);
    });
}

#[test]
fn a_client_that_takes_no_bytes_is_closed_at_the_write_deadline() {
    run(async {
        let server = Server::new(|limits| {
            limits.write_deadline = ms(3000);
            limits.write_rate = 0;
        });
        let mut slow = server.connect();
        slow.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n").await;
        assert_about(slow.is_closed().await, ms(3000));
        server.assert_hits(&[(Limit::WriteDeadline, 1)]);
        assert_eq!(server.table.telemetry().connections_open(), 0);
        let (_, bytes) = slow.end().await;
        assert!(bytes <= PIPE_BYTES, "the rest is gone: {bytes}");
    });
}

#[test]
fn taking_a_few_bytes_does_not_extend_the_write_deadline() {
    run(async {
        let server = Server::new(|limits| {
            limits.write_deadline = ms(3000);
            limits.write_rate = 1;
        });
        let mut slow = server.connect();
        slow.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n").await;
        settle().await;
        let begin = Instant::now();
        // It would take 100 s to take all.
        let mut taken = 0;
        while slow.fill().await {
            taken = slow.received.len();
            tokio::time::sleep(ms(1000)).await;
        }
        assert!(taken < LARGE && begin.elapsed() < ms(20_000), "{taken} {:?}", begin.elapsed());
        server.assert_hits(&[(Limit::WriteDeadline, 1)]);
    });
}

#[test]
fn a_client_that_takes_less_than_the_rate_is_closed_after_a_window() {
    run(async {
        let server = Server::new(|limits| {
            limits.write_deadline = Duration::from_secs(60);
            limits.write_window = ms(200);
            limits.write_rate = 1 << 30;
        });
        let mut slow = server.connect();
        slow.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n").await;
        assert!(slow.fill().await);
        assert_about(slow.is_closed().await, ms(200));
        server.assert_hits(&[(Limit::WriteRate, 1)]);
    });
}

#[test]
fn a_client_that_takes_enough_in_each_window_gets_its_whole_body() {
    run(async {
        let server = Server::new(|limits| {
            limits.write_deadline = Duration::from_secs(3600);
            limits.write_window = ms(1000);
            limits.write_rate = 8 << 10; // The client takes as much each second.
        });
        let mut slow = server.connect();
        slow.send("GET /large HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").await;
        let mut taken = 0;
        while slow.fill().await {
            taken = slow.received.len();
            tokio::time::sleep(ms(900)).await;
        }
        assert!(taken > LARGE);
        server.assert_hits(&[]);
    });
}

#[test]
fn requests_behind_a_body_that_had_to_wait_are_answered() {
    run(async {
        let server = Server::new(|_| {});
        let mut client = server.connect();
        let large = "GET /large HTTP/1.1\r\nHost: t\r\n\r\n";
        client.send(&[large, large, LIVE].concat()).await;
        settle().await; // The first body waits for the client now.
        for length in [LARGE, LARGE, "live".len()] {
            let reply = client.reply().await.expect("a response");
            assert_eq!((reply.status, reply.length), (200, length));
        }
    });
}

#[test]
fn a_body_that_was_taken_leaves_no_write_deadline_behind() {
    run(async {
        let server = Server::new(|limits| {
            limits.write_deadline = ms(2000);
            limits.keep_alive_idle = Duration::from_secs(60);
        });
        let mut client = server.connect();
        client.get("GET /large HTTP/1.1\r\nHost: t\r\n\r\n").await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(client.get(LIVE).await.status, 200);
        server.assert_hits(&[]);
    });
}

#[test]
fn at_the_cap_the_connection_that_has_been_idle_longest_is_evicted() {
    run(async {
        let server = Server::new(|limits| limits.connections = 3);
        let mut clients = [server.connect(), server.connect(), server.connect()];
        // The order of their last response, not of their accept, makes the oldest: 1, 2, 0.
        for index in [0, 1, 2, 0] {
            assert_eq!(clients[index].get(LIVE).await.status, 200);
            tokio::time::sleep(ms(5)).await;
        }
        for evicted in [1, 2] {
            let mut next = server.connect();
            assert_eq!(next.get(LIVE).await.status, 200);
            assert_eq!(clients[evicted].end().await, (Duration::ZERO, 0));
            tokio::time::sleep(ms(5)).await;
            clients[evicted] = next;
        }
        for client in &mut clients {
            assert_eq!(client.get(LIVE).await.status, 200);
        }
        server.assert_hits(&[(Limit::Evicted, 2)]);
        assert_eq!(server.table.telemetry().connections_open(), 3);
    });
}

#[test]
fn a_connection_that_owes_a_head_is_evicted_after_one_that_is_idle() {
    run(async {
        let server = Server::new(|limits| limits.connections = 2);
        let mut silent = server.connect();
        tokio::time::sleep(ms(1000)).await;
        let mut idle = server.connect();
        assert_eq!(idle.get(LIVE).await.status, 200);
        let mut third = server.connect();
        assert_eq!(third.get(LIVE).await.status, 200);
        assert_eq!(idle.end().await.1, 0);
        assert_eq!(silent.get(LIVE).await.status, 200, "it can still ask");
    });
}

#[test]
fn a_client_that_takes_no_bytes_is_evicted_after_a_second_and_not_before() {
    run(async {
        let server = Server::new(|limits| limits.connections = 1);
        let mut slow = server.connect();
        slow.send("GET /large HTTP/1.1\r\nHost: t\r\n\r\n").await;
        settle().await;
        tokio::time::sleep(ms(990)).await;
        assert!(server.try_connect().is_none(), "a pause of less than a second is no stall");
        tokio::time::sleep(ms(20)).await;
        assert_eq!(server.connect().get(LIVE).await.status, 200);
        server.assert_hits(&[(Limit::Connections, 1), (Limit::Evicted, 1)]);
    });
}

#[test]
fn a_connection_that_is_being_answered_is_not_evicted() {
    run(async {
        let server = Server::new(|limits| limits.connections = 1);
        let mut scraper = server.connect();
        scraper.send(METRICS).await;
        tokio::time::sleep(ms(5000)).await;
        assert!(server.try_connect().is_none());
        server.pages.gate.notify_one();
        assert_eq!(scraper.reply().await.expect("its answer").status, 200);
        server.assert_hits(&[(Limit::Connections, 1)]);
    });
}

#[test]
fn a_connection_ends_with_its_lifetime_idle_or_not() {
    run(async {
        let server = Server::new(|limits| {
            limits.connection_lifetime = ms(1000);
            limits.lifetime_jitter = 10;
        });
        let mut idle = server.connect();
        assert!(!idle.get(LIVE).await.close);
        let mut busy = server.connect();
        busy.send(METRICS).await;
        let (took, _) = idle.end().await;
        assert!((ms(900)..=ms(1101)).contains(&took), "{took:?}");
        server.assert_hits(&[(Limit::ConnectionLifetime, 1)]);
        // The other one is being answered: it may finish, and is told.
        tokio::time::sleep(ms(1000)).await;
        server.pages.gate.notify_one();
        let reply = busy.reply().await.expect("its answer");
        assert_eq!((reply.status, reply.close), (200, true));
        assert_eq!(busy.end().await, (Duration::ZERO, 0));
        server.assert_hits(&[(Limit::ConnectionLifetime, 2)]);
    });
}

#[test]
fn a_rejected_client_that_does_not_close_is_closed_after_the_linger() {
    run(async {
        let server = Server::new(|limits| limits.linger = ms(200));
        let mut client = server.connect();
        client.send("GET / HTTP/3.0\r\n\r\nand more").await;
        let reply = client.reply().await.expect("its answer");
        assert_eq!((reply.status, reply.close), (505, true));
        assert_eq!(server.table.telemetry().connections_open(), 1);
        assert_about(client.is_closed().await, ms(200));
        server.assert_hits(&[(Limit::Linger, 1)]);
    });
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
