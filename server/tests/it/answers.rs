//! The answer to each request, byte by byte where it matters.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{Client, get, plain_server, up};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::http::StatusCode;
use dynamo_metrics_server::{
    ContentType, Health, HealthAnswer, Limit, Limits, RunningServer, ScrapeRequest, Server,
};

const TEXT_0_0_4: &str = "text/plain; version=0.0.4; charset=utf-8";

struct Worker;

impl Health for Worker {
    fn health(&self) -> HealthAnswer {
        HealthAnswer::text(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"notready"}"#)
    }

    fn live(&self) -> HealthAnswer {
        HealthAnswer::json(StatusCode::OK, r#"{"status":"live"}"#)
    }
}

fn component() -> RunningServer {
    Server::builder()
        .exposition(up)
        .health(Worker)
        .not_found_body("Route not found")
        .spawn()
        .expect("a server on a free port")
}

#[test]
fn metrics_are_sent_with_exactly_these_headers() {
    let server = component();
    let reply = get(server.local_addr(), "/metrics");
    assert_eq!((reply.version.as_str(), reply.status), ("HTTP/1.1", 200));
    assert_eq!(
        reply.headers_but_date(),
        [
            ("content-length", "5"),
            ("content-type", TEXT_0_0_4),
            ("vary", "Accept, Accept-Encoding"),
            ("x-content-type-options", "nosniff")
        ]
    );
    assert_eq!(reply.text(), "up 1\n");
    assert_eq!(server.telemetry().responses(2), 1);
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let server = component();
    for path in ["/metrics", "/health", "/live", "/nope"] {
        let mut client = Client::connect(server.local_addr());
        let head = client.send(format!("HEAD {path} HTTP/1.1\r\nHost: test\r\n\r\n")).head();
        // The next bytes are another response, so there was no body in between.
        let get = client.get(path);
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.headers_but_date(), get.headers_but_date(), "{path}");
        assert!(!get.body.is_empty() && head.body.is_empty(), "{path}");
    }
}

#[test]
fn other_methods_of_known_paths_are_not_allowed() {
    let server = component();
    let mut client = Client::connect(server.local_addr());
    for path in ["/metrics", "/health", "/live"] {
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"] {
            let reply = client.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\n\r\n")).reply();
            assert_eq!(reply.status, 405, "{method} {path}");
            assert_eq!(
                reply.headers_but_date(),
                [
                    ("allow", "GET, HEAD"),
                    ("content-length", "0"),
                    ("x-content-type-options", "nosniff")
                ],
                "{method} {path}"
            );
        }
    }
    assert_eq!(server.telemetry().responses(4), 24);
    assert_eq!(server.telemetry().gathers(), 0);
}

#[test]
fn unknown_paths_are_not_found_in_the_words_of_the_role() {
    let server = component();
    let mut client = Client::connect(server.local_addr());
    for target in [
        "/",
        "/metrics/",
        "//metrics",
        "/./metrics",
        "/%6detrics",
        "/METRICS",
        "/metrics;x",
        "/metrics%3fx",
        "/healthz",
        "/nope?/metrics",
        "*",
    ] {
        let method = if target == "*" { "OPTIONS" } else { "GET" };
        let reply = client.send(format!("{method} {target} HTTP/1.1\r\nHost: t\r\n\r\n")).reply();
        assert_eq!((reply.status, reply.text()), (404, "Route not found"), "{target}");
        assert_eq!(
            reply.headers_but_date(),
            [
                ("content-length", "15"),
                ("content-type", "text/plain; charset=utf-8"),
                ("x-content-type-options", "nosniff")
            ]
        );
    }
    // A method makes no path known.
    assert_eq!(client.send("POST /nope HTTP/1.1\r\nHost: t\r\n\r\n").reply().status, 404);

    let frontend = plain_server();
    let reply = get(frontend.local_addr(), "/nope");
    assert_eq!((reply.status, reply.text()), (404, ""));
    assert_eq!(
        reply.headers_but_date(),
        [("content-length", "0"), ("x-content-type-options", "nosniff")]
    );
}

#[test]
fn probes_answer_what_the_embedder_says() {
    let server = component();
    let health = get(server.local_addr(), "/health?verbose");
    assert_eq!((health.status, health.text()), (503, r#"{"status":"notready"}"#));
    assert_eq!(health.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(health.header("retry-after"), None);
    let live = get(server.local_addr(), "/live");
    assert_eq!((live.status, live.text()), (200, r#"{"status":"live"}"#));
    assert_eq!(live.header("content-type"), Some("application/json"));

    let unmonitored = plain_server();
    assert_eq!(get(unmonitored.local_addr(), "/health").text(), r#"{"status":"healthy"}"#);
    assert_eq!(get(unmonitored.local_addr(), "/live").text(), r#"{"status":"live"}"#);
}

#[test]
fn a_panicking_probe_costs_one_answer() {
    struct Broken;
    impl Health for Broken {
        fn health(&self) -> HealthAnswer {
            panic!("a probe that panics");
        }
        fn live(&self) -> HealthAnswer {
            HealthAnswer::text(StatusCode::OK, "live")
        }
    }
    let server = Server::builder().exposition(up).health(Broken).spawn().expect("a server");
    let mut client = Client::connect(server.local_addr());
    let reply = client.get("/health");
    assert_eq!((reply.status, reply.text()), (500, "Health probe failed"));
    assert_eq!(client.get("/live").status, 200);
    assert_eq!(server.telemetry().health_panics(), 1);
}

#[test]
fn moved_paths_leave_nothing_behind() {
    let server = Server::builder()
        .metrics_path("/custom/metrics/")
        .health_path("/healthz")
        .live_path("/livez")
        .exposition(up)
        .spawn()
        .expect("a server");
    let mut client = Client::connect(server.local_addr());
    for (path, status) in [
        ("/custom/metrics/", 200),
        ("/healthz", 200),
        ("/livez", 200),
        ("/custom/metrics", 404),
        ("/metrics", 404),
        ("/health", 404),
        ("/live", 404),
    ] {
        assert_eq!(client.get(path).status, status, "{path}");
    }
}

#[test]
fn the_exposition_is_told_what_the_scraper_wants() {
    type Seen = (Option<String>, Option<String>, Option<Duration>);
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let server = {
        let seen = Arc::clone(&seen);
        let exposition = move |request: &ScrapeRequest<'_>, _: &mut BytesMut| {
            seen.lock().expect("no panic").push((
                request.accept().map(str::to_owned),
                request.query().map(str::to_owned),
                request.deadline().map(|deadline| deadline.ends() - deadline.begins()),
            ));
            Ok(ContentType::TEXT)
        };
        Server::builder().exposition(exposition).spawn().expect("a server")
    };
    let mut client = Client::connect(server.local_addr());
    let reply = client
        .send(
            "GET /metrics?name%5B%5D=a&x=? HTTP/1.1\r\nHost: test\r\n\
             Accept: text/plain;version=0.0.4\r\nAccept: */*;q=0.1\r\n\
             X-Prometheus-Scrape-Timeout-Seconds: 10.000\r\n\r\n",
        )
        .reply();
    // An empty exposition is a whole one.
    assert_eq!((reply.status, reply.header("content-length")), (200, Some("0")));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    client.get("/metrics");

    let seen = seen.lock().expect("no panic");
    let (accept, query, timeout) = &seen[0];
    assert_eq!(accept.as_deref(), Some("text/plain;version=0.0.4, */*;q=0.1"));
    assert_eq!(query.as_deref(), Some("name%5B%5D=a&x=?"));
    // Less the time in the queue, however long a busy machine makes it.
    assert!(timeout.expect("a deadline") <= Duration::from_secs(10), "{timeout:?}");
    let (accept, query, timeout) = &seen[1];
    assert_eq!((accept, query), (&None, &None));
    assert!(timeout.expect("a deadline") <= Limits::SCRAPE_DEADLINE, "{timeout:?}");
}

#[test]
fn two_requests_use_one_connection() {
    let server = component();
    let mut client = Client::connect(server.local_addr());
    for _ in 0..2 {
        let reply = client.get("/metrics");
        assert_eq!((reply.status, reply.text()), (200, "up 1\n"));
        assert_eq!(reply.header("connection"), None);
    }
    assert_eq!(server.telemetry().connections_accepted(), 1);
    assert_eq!(server.telemetry().connections_open(), 1);
}

#[test]
fn connection_close_is_obeyed() {
    let server = component();
    let mut client = Client::connect(server.local_addr());
    let reply = client.send("GET /live HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").reply();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(client.is_closed_without_a_byte());
}

#[test]
fn http_1_0_closes_unless_asked_to_stay() {
    let server = component();
    let mut client = Client::connect(server.local_addr());
    let reply = client.send("GET /metrics HTTP/1.0\r\n\r\n").reply();
    assert_eq!((reply.version.as_str(), reply.status, reply.text()), ("HTTP/1.0", 200, "up 1\n"));
    assert!(client.is_closed_without_a_byte());

    let mut client = Client::connect(server.local_addr());
    for _ in 0..2 {
        let reply = client.send("GET /live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").reply();
        assert_eq!((reply.status, reply.header("connection")), (200, Some("keep-alive")));
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = component();
    let mut client = Client::connect(server.local_addr());
    let targets = ["/metrics", "/live", "/nope", "/health"];
    let statuses = [200, 200, 404, 503];
    let one = targets.map(|target| format!("GET {target} HTTP/1.1\r\nHost: t\r\n\r\n")).concat();
    client.send(one.repeat(16));
    for _ in 0..16 {
        for status in statuses {
            assert_eq!(client.reply().status, status);
        }
    }
    assert_eq!(client.get("/live").status, 200);
}

#[test]
fn an_absolute_target_is_taken_by_its_path() {
    let server = component();
    let reply = get(server.local_addr(), "http://elsewhere:1/metrics?x");
    assert_eq!((reply.status, reply.text()), (200, "up 1\n"));
}

#[test]
fn a_large_body_is_sent_whole_and_never_chunked() {
    const SIZE: usize = 8 << 20;
    let server = Server::builder()
        .exposition(|_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            body.resize(SIZE, b'#');
            Ok(ContentType::TEXT_0_0_4)
        })
        .spawn()
        .expect("a server");
    let reply = get(server.local_addr(), "/metrics");
    assert_eq!(reply.header("transfer-encoding"), None);
    assert_eq!(reply.header("content-length"), Some(SIZE.to_string().as_str()));
    assert!(reply.body.iter().all(|&byte| byte == b'#'));
}

#[test]
fn what_is_not_found_or_not_allowed_is_counted_by_its_reason() {
    let server = plain_server();
    let mut client = Client::connect(server.local_addr());
    assert_eq!(client.get("/nowhere").status, 404);
    assert_eq!(client.send("POST /live HTTP/1.1\r\nHost: t\r\n\r\n").reply().status, 405);
    assert_eq!(client.get("/live").status, 200);
    let telemetry = server.telemetry();
    let hits = [Limit::NotFound, Limit::Method].map(|limit| telemetry.limit_hits(limit));
    assert_eq!(hits, [1, 1]);
}
