//! Clients that do everything wrong, over real sockets, against deadlines that a test can wait for.

use super::*;
use axum::routing::{get, post};
use futures_util::stream;
use std::sync::atomic::AtomicU64;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(60);

struct Served {
    address: SocketAddr,
    telemetry: Arc<Telemetry>,
    handled: Arc<AtomicU64>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// `/` counts and answers; `/echo` says how long the body was; `/stream` has an event every 5 ms, for ever; `/flood`
/// has bytes without end.
async fn serve(limits: Limits, grace: Duration) -> Served {
    let handled = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&handled);
    let events = || {
        let events = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"data: x\n\n")), ()))
        });
        Body::from_stream(events)
    };
    let flood = || {
        let block = Bytes::from(vec![b'x'; 1 << 16]);
        Body::from_stream(stream::repeat_with(move || Ok::<_, Infallible>(block.clone())))
    };
    let router = Router::new()
        .route(
            "/",
            get(move || {
                // Relaxed: read when the answer has come.
                count.fetch_add(1, Relaxed);
                async { "well" }
            }),
        )
        .route("/echo", post(|body: Bytes| async move { body.len().to_string() }))
        .route("/stream", get(move || async move { events() }))
        .route("/read", post(move |_: Bytes| async move { events() }))
        .route("/flood", get(move || async move { flood() }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let telemetry = Arc::new(Telemetry::default());
    let port = Port { limits, ..Port::new(router, Arc::clone(&telemetry)) };
    let (stop, stopped) = oneshot::channel();
    let stopped = async { drop(stopped.await) };
    let task = tokio::spawn(port.serve(listener, stopped, grace));
    Served { address, telemetry, handled, stop: Some(stop), task }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Returns the answers until the connection is closed.
    async fn answer(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }
}

/// A reset is as good an end as any.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(LONG, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("it is closed");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn short() -> Limits {
    Limits { head_deadline: Duration::from_millis(300), ..Limits::default() }
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_head_and_a_silent_client_are_closed_at_the_deadline() {
    let served = serve(short(), LONG).await;
    let mut clients = Vec::new();
    for number in 0..300 {
        let mut client = served.connect().await;
        clients.push(tokio::spawn(async move {
            // A seventh says nothing; one asks first and is idle then; the rest dribble.
            if number == 0 {
                client.write_all(GET.as_bytes()).await.unwrap();
            }
            if number == 0 || number % 7 == 0 {
                rest(&mut client).await;
                return;
            }
            while client.write_all(b"G").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }));
    }
    for client in clients {
        tokio::time::timeout(LONG, client).await.expect("it is closed").unwrap();
    }
    eventually("all are counted out", || served.telemetry.open() == 0).await;
    assert_eq!(served.telemetry.hits(Limit::HeadDeadline), 300);
    assert!(served.answer("GET / HTTP/1.0\r\n\r\n").await.ends_with("well"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_can_be_read_in_two_ways_reach_no_handler() {
    let served = serve(Limits::default(), LONG).await;
    let smuggled = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let chunked = "Transfer-Encoding: chunked";
    let both = |first: &str, second: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\n{first}\r\n{second}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        )
    };
    for (request, status, limit) in [
        ("GET / HTTP/1.1\r\n\r\n".into(), "400", Limit::Host),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), "400", Limit::Host),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".into(), "400", Limit::Body),
        (
            format!(
                "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{smuggled}"
            ),
            "400",
            Limit::Framing,
        ),
        (
            format!(
                "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n{smuggled}"
            ),
            "400",
            Limit::Framing,
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".into(), "400", Limit::Framing),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n".into(),
            "400",
            Limit::Framing,
        ),
        (
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nabcde".into(),
            "400",
            Limit::Framing,
        ),
        (format!("{}{smuggled}", both("Content-Length: 99", chunked)), "400", Limit::Framing),
        (format!("{}{smuggled}", both(chunked, "Content-Length: 99")), "400", Limit::Framing),
        ("GET / HTTP/1.1\r\nHost a\r\n\r\n".into(), "400", Limit::Grammar),
        ("GET http:// HTTP/1.1\r\nHost: a\r\n\r\n".into(), "400", Limit::Grammar),
    ] {
        let before = served.telemetry.hits(limit);
        let answer = served.answer(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{request:?}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("connection: close") && !body.is_empty(), "{request:?}: {answer}");
        assert_eq!(served.telemetry.hits(limit), before + 1, "{request:?}");
    }
    assert_eq!(served.handled.load(Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_sent_ahead_are_told_apart_behind_bodies_of_both_framings() {
    let served = serve(Limits::default(), LONG).await;
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunked = format!("{chunked}5;x=y\r\nab\r\nc\r\n0\r\nX: y\r\n\r\n");
    let length = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET ";
    let both = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let text = [&chunked, length, GET, &chunked, length, both, GET].concat();
    for step in [1, 7, text.len()] {
        let mut client = served.connect().await;
        client.set_nodelay(true).unwrap();
        for part in text.as_bytes().chunks(step) {
            client.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answers = rest(&mut client).await;
        let answers: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).collect();
        let ends = ["\n5", "\n4", "\nwell", "\n5", "\n4", "chunked"];
        assert_eq!(answers.len(), ends.len(), "{answers:?}");
        for (answer, end) in answers.iter().zip(ends) {
            assert!(answer.ends_with(end), "by {step}: {answer:?} and not {end}");
        }
        assert!(answers[5].starts_with("400 "), "{answers:?}");
    }
    assert_eq!(served.handled.load(Relaxed), 3, "no request behind the refused one is read");
    assert_eq!(served.telemetry.hits(Limit::Framing), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_and_bodies_are_bounded_in_size_and_time() {
    let limits = Limits {
        head_bytes: 8192,
        headers: 20,
        body_bytes: 1000,
        body_deadline: Duration::from_millis(300),
        ..Limits::default()
    };
    let served = serve(limits, LONG).await;
    let post = |headers: &str, body: &str| {
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n{body}")
    };
    let whole = post("Content-Length: 1000\r\n", &"x".repeat(1000));
    assert!(served.answer(&whole).await.ends_with("\r\n\r\n1000"));
    let chunked = post("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n");
    assert!(served.answer(&chunked).await.ends_with("\r\n\r\n3"));
    let many = "X: y\r\n".repeat(30);
    let long = format!("X: {}\r\n", "y".repeat(9000));
    let block = format!("3e9\r\n{}\r\n", "x".repeat(1001));
    for (request, status, limit) in [
        (post("Content-Length: 1001\r\n", ""), "413", Limit::Body),
        (post("Transfer-Encoding: chunked\r\n", &block), "413", Limit::Body),
        (post("Content-Length: 10\r\n", "short"), "408", Limit::BodyDeadline),
        (post("Transfer-Encoding: chunked\r\n", "z\r\n"), "400", Limit::Framing),
        (post(&many, ""), "431", Limit::HeadSize),
        (post(&long, ""), "431", Limit::HeadSize),
    ] {
        let before = served.telemetry.hits(limit);
        let answer = served.answer(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{limit:?}: {answer}");
        assert!(!answer.ends_with("\r\n\r\n"), "it says why: {answer}");
        assert_eq!(served.telemetry.hits(limit), before + 1, "{limit:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_beyond_the_room_of_all_are_refused_and_counted() {
    let limits = Limits { body_bytes: 2048, bodies_bytes: 1024, ..Limits::default() };
    let served = serve(limits, LONG).await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    for round in 1..=10 {
        let body = "x".repeat(1025);
        let answer = served.answer(&format!("{head}Content-Length: 1025\r\n\r\n{body}")).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert_eq!(served.telemetry.hits(Limit::Bodies), round);
        let answer =
            served.answer(&format!("{head}Content-Length: 1024\r\n\r\n{}", &body[1..])).await;
        assert!(answer.ends_with("\r\n\r\n1024"), "{answer}");
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
        assert!(served.answer(&chunked).await.ends_with("\r\n\r\n3"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_the_cap_the_oldest_that_waits_gives_way_and_a_stream_never_does() {
    let limits = Limits { connections: 3, ..Limits::default() };
    let served = serve(limits, LONG).await;
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = served.connect().await;
        stream.write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 16]).await.unwrap() > 0);
        streams.push(stream);
    }
    let mut silent = served.connect().await;
    eventually("it has a place", || served.telemetry.open() == 3).await;
    assert!(served.answer("GET / HTTP/1.0\r\n\r\n").await.ends_with("well"));
    assert_eq!(rest(&mut silent).await, "", "closed for it");
    assert_eq!(served.telemetry.hits(Limit::Evicted), 1);
    // With a third stream no connection is left to evict.
    let mut third = served.connect().await;
    third.write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(third.read(&mut [0; 16]).await.unwrap() > 0);
    assert_eq!(served.answer("GET / HTTP/1.0\r\n\r\n").await, "");
    assert_eq!(served.telemetry.hits(Limit::Connections), 1);
    for stream in &mut streams {
        assert!(stream.read(&mut [0; 16]).await.unwrap() > 0, "it goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_nothing_is_closed_and_its_answer_dropped() {
    let limits = Limits { write_deadline: Duration::from_millis(300), ..Limits::default() };
    let served = serve(limits, LONG).await;
    let mut client = served.connect().await;
    client.write_all(b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    eventually("it is cut off", || served.telemetry.hits(Limit::WriteDeadline) == 1).await;
    eventually("it is counted out", || served.telemetry.open() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_takes_room_for_the_bytes_that_came_until_its_request_is_dropped() {
    // Room for four bodies of 60 bytes, whatever they announce; far from room for one of the longest.
    let limits = Limits { body_bytes: 1 << 20, bodies_bytes: 4096, ..Limits::default() };
    let served = serve(limits, LONG).await;
    let post = |path: &str, framing: &str| {
        format!("POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}")
    };
    let chunk = format!("3c\r\n{}\r\n0\r\n\r\n", "x".repeat(60));
    // Answers that never end, to bodies that were read long ago.
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = served.connect().await;
        let request = post("/read", "Transfer-Encoding: chunked\r\n\r\n") + &chunk;
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(stream.read(&mut [0; 12]).await.unwrap(), 12);
        streams.push(stream);
    }
    // Announced and not sent.
    let mut announced = Vec::new();
    for _ in 0..20 {
        let mut client = served.connect().await;
        let request = post("/echo", "Content-Length: 1000000\r\n\r\nx");
        client.write_all(request.as_bytes()).await.unwrap();
        announced.push(client);
    }
    drop(announced);
    let chunked = post("/echo", "Transfer-Encoding: chunked\r\n\r\n") + &chunk;
    eventually("bodies that broke off give their room back", || served.telemetry.open() <= 20)
        .await;
    assert!(served.answer(&chunked).await.ends_with("\r\n\r\n60"));
    assert_eq!(served.telemetry.hits(Limit::ShutdownGrace), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_after_a_stop_are_answered_with_close_and_those_in_progress_end() {
    let limits = Limits { linger: LONG, ..Limits::default() };
    let mut served = serve(limits, LONG).await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(stream.read(&mut [0; 16]).await.unwrap() > 0);
    let mut idle = served.connect().await;
    idle.write_all(GET.as_bytes()).await.unwrap();
    assert!(idle.read(&mut [0; 1024]).await.unwrap() > 0);
    let mut fresh = served.connect().await;
    eventually("it is there", || served.telemetry.open() == 3).await;
    served.stop.take().unwrap().send(()).unwrap();
    assert_eq!(rest(&mut idle).await, "", "an idle connection is closed at once");
    fresh.write_all(GET.as_bytes()).await.unwrap();
    let answer = rest(&mut fresh).await;
    assert!(answer.contains("connection: close"), "a client that was about to ask: {answer:?}");
    // Probes are to see that it ends.
    let answer = served.answer(GET).await;
    assert!(answer.contains("connection: close") && answer.ends_with("well"), "{answer:?}");
    assert!(stream.read(&mut [0; 16]).await.unwrap() > 0, "the stream goes on");
    drop(stream);
    tokio::time::timeout(LONG, served.task).await.expect("it ends").unwrap();
    assert_eq!(served.telemetry.hits(Limit::ShutdownGrace), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_end_is_cut_off_after_the_grace() {
    let mut served = serve(Limits::default(), Duration::from_millis(50)).await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(stream.read(&mut [0; 16]).await.unwrap() > 0);
    served.stop.take().unwrap().send(()).unwrap();
    tokio::time::timeout(LONG, served.task).await.expect("it ends").unwrap();
    assert_eq!(served.telemetry.hits(Limit::ShutdownGrace), 1, "the stream has no end");
    rest(&mut stream).await;
}
