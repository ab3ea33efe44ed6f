//! The cost of scrapes for each other and for probes.

use crate::common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Client, Gate, eventually, get};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{
    Batch, ContentType, ExposeError, Exposition, Limit, Limits, RunningServer, ScrapeDeadline,
    ScrapeRequest, Server, metrics_response,
};

#[test]
fn a_slow_scrape_does_not_delay_probes() {
    let gate = Gate::default();
    let server = Server::builder().exposition(gate.clone()).spawn().expect("a server");
    let mut scraper = Client::connect(server.local_addr());
    scraper.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    // The gather is in progress and cannot end before the gate opens: these return before it does.
    for _ in 0..100 {
        assert_eq!(get(server.local_addr(), "/health").status, 200);
        assert_eq!(get(server.local_addr(), "/live").status, 200);
    }
    assert_eq!(server.telemetry().gathers(), 0);
    gate.allow(1);
    assert_eq!(scraper.reply().text(), "gather 1\n");
}

#[test]
fn a_panic_is_answered_500_and_the_next_scrape_200() {
    let broken = Arc::new(AtomicBool::new(true));
    let server = {
        let broken = Arc::clone(&broken);
        let exposition = move |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            body.extend_from_slice(b"up");
            assert!(!broken.load(Relaxed), "an exposition that panics");
            body.extend_from_slice(b" 1\n");
            Ok(ContentType::TEXT_0_0_4)
        };
        Server::builder().exposition(exposition).spawn().expect("a server")
    };
    let mut client = Client::connect(server.local_addr());
    for _ in 0..3 {
        let reply = client.get("/metrics");
        assert_eq!((reply.status, reply.text()), (500, "Failed to gather metrics"));
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    broken.store(false, Relaxed);
    let reply = client.get("/metrics");
    assert_eq!((reply.status, reply.text()), (200, "up 1\n"));

    let telemetry = server.telemetry();
    assert_eq!((telemetry.gathers(), telemetry.gather_panics()), (4, 3));
    assert_eq!((telemetry.responses(5), telemetry.responses(2)), (3, 1));
}

/// A size that no allocator has makes `reserve` panic. (An allocator that fails at a possible size ends
/// the process, as Rust's standard library has it; who wants an answer instead uses `try_reserve`.)
#[test]
fn a_page_that_does_not_fit_into_memory_costs_one_answer() {
    let exposition = |request: &ScrapeRequest<'_>, body: &mut BytesMut| {
        body.extend_from_slice(b"up 1\n");
        match request.query() {
            Some("reserve") => body.reserve(usize::MAX),
            Some("try_reserve") if Vec::<u8>::new().try_reserve(isize::MAX as usize).is_err() => {
                return Err(ExposeError::unavailable("Out of memory"));
            }
            _ => {}
        }
        Ok(ContentType::TEXT_0_0_4)
    };
    let server = Server::builder().exposition(exposition).spawn().expect("a server");
    let mut client = Client::connect(server.local_addr());
    for _ in 0..3 {
        let reply = client.get("/metrics?reserve");
        assert_eq!((reply.status, reply.text()), (500, "Failed to gather metrics"));
        let reply = client.get("/metrics?try_reserve");
        assert_eq!((reply.status, reply.text()), (503, "Out of memory"));
        let reply = client.get("/metrics");
        assert_eq!((reply.status, reply.text()), (200, "up 1\n"));
    }
    let telemetry = server.telemetry();
    assert_eq!((telemetry.gather_panics(), telemetry.gather_errors()), (3, 3));
}

#[test]
fn errors_are_answered_in_their_own_words() {
    let server = Server::builder()
        .exposition(|request: &ScrapeRequest<'_>, body: &mut BytesMut| {
            body.extend_from_slice(b"half a bo");
            match request.query() {
                Some("full") => Err(ExposeError::unavailable("Out of memory")),
                _ => Err(ExposeError::failed("Failed to get metrics").with_cause("a secret")),
            }
        })
        .spawn()
        .expect("a server");
    let mut client = Client::connect(server.local_addr());
    let failed = client.get("/metrics");
    assert_eq!((failed.status, failed.text()), (500, "Failed to get metrics"));
    assert_eq!(failed.header("retry-after"), None);
    let unavailable = client.get("/metrics?full");
    assert_eq!((unavailable.status, unavailable.text()), (503, "Out of memory"));
    assert_eq!(unavailable.header("retry-after"), Some("1"));
    assert_eq!((server.telemetry().gather_errors(), server.telemetry().gather_panics()), (2, 0));
}

#[test]
fn a_scrape_that_is_refused_is_no_error_of_ours() {
    let refuses = |_: &ScrapeRequest<'_>, _: &mut BytesMut| {
        Err::<ContentType, _>(ExposeError::refused("Too many names are asked for"))
    };
    let server = Server::builder().exposition(refuses).spawn().expect("a server");
    let reply = get(server.local_addr(), "/metrics");
    assert_eq!((reply.status, reply.text()), (400, "Too many names are asked for"));
    let telemetry = server.telemetry();
    assert_eq!((telemetry.limit_hits(Limit::ScrapeRefused), telemetry.gather_errors()), (1, 0));
}

#[test]
fn twenty_scrapes_cost_at_most_two_gathers() {
    let gate = Gate::default();
    let server = Server::builder().exposition(gate.clone()).spawn().expect("a server");
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(server.local_addr())).collect();
    clients[0].send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    for client in &mut clients[1..] {
        client.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    // A probe behind them on the same thread shows that they have all been read.
    let mut probe = Client::connect(server.local_addr());
    for _ in 0..20 {
        probe.get("/live");
    }
    gate.allow(2);
    assert_eq!(clients[0].reply().text(), "gather 1\n");
    let mut bodies: Vec<String> =
        clients[1..].iter_mut().map(|client| client.reply().text().to_owned()).collect();
    bodies.dedup();
    assert_eq!(bodies, ["gather 2\n"]);
    assert_eq!(gate.arrived(), 2);
    assert_eq!((server.telemetry().gathers(), server.telemetry().scrapes_shared()), (2, 18));
}

#[test]
fn two_hundred_scrapers_at_once_cost_at_most_two_gathers() {
    let gate = Gate::default();
    let mut limits = Limits::default();
    (limits.connections, limits.connections_an_address, limits.scrapes) = (300, 300, 200);
    let builder = Server::builder().exposition(gate.clone()).limits(limits);
    let server = builder.spawn().expect("a server");
    let mut clients: Vec<Client> = (0..200).map(|_| Client::connect(server.local_addr())).collect();
    for client in &mut clients {
        client.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    gate.wait_for(1);
    // Probes until the last of them has surely been read.
    for _ in 0..10 {
        assert_eq!(get(server.local_addr(), "/live").status, 200);
    }
    gate.allow(usize::MAX);
    let mut bodies: Vec<String> = Vec::new();
    for client in &mut clients {
        let reply = client.reply();
        assert_eq!(reply.status, 200);
        bodies.push(reply.text().to_owned());
    }
    bodies.sort_unstable();
    bodies.dedup();
    assert!(bodies.len() <= 2, "{bodies:?}");
    assert_eq!(server.telemetry().limit_hits(Limit::Connections), 0);
}

/// Collects once a batch, at a gate, and writes one page for each letter that a query begins with.
struct Collects {
    gate: Gate,
    /// The time that each collection may take.
    times: Arc<Mutex<Vec<Duration>>>,
}

impl Collects {
    fn server(limits: Limits) -> (RunningServer, Gate, Arc<Mutex<Vec<Duration>>>) {
        let (gate, times) = (Gate::default(), Arc::default());
        let exposition = Self { gate: gate.clone(), times: Arc::clone(&times) };
        let server = Server::builder().exposition(exposition).limits(limits).spawn();
        (server.expect("a server"), gate, times)
    }
}

impl Exposition for Collects {
    type Variant = Option<u8>;

    fn variant(&self, request: ScrapeRequest<'static>) -> Result<Option<u8>, ExposeError> {
        Ok(request.query().unwrap_or_default().bytes().next())
    }

    fn expose(
        &self,
        _: &Option<u8>,
        _: ScrapeDeadline,
        body: &mut BytesMut,
    ) -> Result<ContentType, ExposeError> {
        self.gate.pass(body)
    }

    fn expose_batch(&self, batch: &mut Batch<'_, Option<u8>>) {
        let deadline = batch.deadline();
        self.times.lock().expect("no panic").push(deadline.ends() - deadline.begins());
        let mut collected = BytesMut::new();
        let content_type = self.gate.pass(&mut collected).expect("a gate does not fail");
        batch.for_each(|_, body| {
            body.extend_from_slice(&collected);
            Ok(content_type)
        });
    }
}

#[test]
fn thirty_spellings_of_one_page_cost_at_most_two_collections_and_two_pages() {
    let (server, gate, _) = Collects::server(Limits::default());
    let mut clients: Vec<Client> = (0..30)
        .map(|n| {
            let mut client = Client::connect(server.local_addr());
            client.send(format!(
                "GET /metrics?x={n} HTTP/1.1\r\nHost: t\r\nAccept: text/plain;q=0.{n}\r\n\r\n"
            ));
            client
        })
        .collect();
    gate.wait_for(1);
    // Probes until the last of them has surely been read.
    for _ in 0..10 {
        assert_eq!(get(server.local_addr(), "/live").status, 200);
    }
    gate.allow(usize::MAX);
    for client in &mut clients {
        assert_eq!(client.reply().status, 200);
    }
    assert!(gate.arrived() <= 2, "{} collections", gate.arrived());
    let telemetry = server.telemetry();
    assert_eq!(telemetry.batches(), gate.arrived() as u64);
    assert_eq!(telemetry.gathers(), telemetry.batches());
}

#[test]
fn a_slow_collection_is_shared_by_all_variants() {
    let mut limits = Limits::default();
    (limits.connections, limits.connections_an_address, limits.scrapes) = (300, 300, 200);
    let (server, gate, _) = Collects::server(limits);
    let mut first = Client::connect(server.local_addr());
    first.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    let variants = "abcdefghijklmnopqrst";
    let mut clients: Vec<Client> = (0..199).map(|_| Client::connect(server.local_addr())).collect();
    for (client, variant) in clients.iter_mut().zip(variants.chars().cycle()) {
        client.send(format!("GET /metrics?{variant} HTTP/1.1\r\nHost: t\r\n\r\n"));
    }
    for _ in 0..10 {
        assert_eq!(get(server.local_addr(), "/live").status, 200);
    }
    gate.allow(usize::MAX);
    assert_eq!(first.reply().text(), "gather 1\n");
    for client in &mut clients {
        assert_eq!(client.reply().text(), "gather 2\n");
    }
    let telemetry = server.telemetry();
    assert_eq!((telemetry.batches(), telemetry.gathers()), (2, 1 + variants.len() as u64));
}

#[test]
fn a_scrape_with_an_early_deadline_leaves_the_page_of_another_complete() {
    let (server, gate, times) = Collects::server(Limits::default());
    let mut first = Client::connect(server.local_addr());
    first.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    let scrape = |seconds: &str| {
        let mut client = Client::connect(server.local_addr());
        client.send(format!(
            "GET /metrics HTTP/1.1\r\nHost: t\r\n\
             X-Prometheus-Scrape-Timeout-Seconds: {seconds}\r\n\r\n"
        ));
        client
    };
    let (mut patient, mut hurried) = (scrape("1000"), scrape("0.01"));
    // It is answered in its own time, which is no less than the minimum.
    let begin = Instant::now();
    assert_eq!(hurried.reply().status, 503);
    assert!(begin.elapsed() >= Limits::SCRAPE_TIMEOUT_MIN / 2);
    let mut hurried = scrape("0.01");
    for _ in 0..10 {
        assert_eq!(get(server.local_addr(), "/live").status, 200);
    }
    gate.allow(2);
    assert_eq!(first.reply().status, 200);
    assert_eq!(patient.reply().text(), "gather 2\n");
    hurried.head();
    let times = times.lock().expect("no panic");
    let most = Limits::SCRAPE_DEADLINE; // Of a scraper that sends none, too.
    for &time in &times[..2] {
        assert!(time > Duration::from_secs(1) && time <= most, "{times:?}");
    }
}

#[test]
fn scrapes_that_ask_for_different_things_do_not_share() {
    let gate = Gate::default();
    let server = Server::builder().exposition(gate.clone()).spawn().expect("a server");
    let requests = [
        "GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /metrics?x HTTP/1.1\r\nHost: t\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: t\r\nAccept: a/b\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nHost: t\r\nAccept: a/c\r\n\r\n",
    ];
    let mut clients: Vec<Client> = Vec::new();
    for request in requests {
        let mut client = Client::connect(server.local_addr());
        client.send(request);
        clients.push(client);
    }
    gate.allow(4);
    for client in &mut clients {
        assert_eq!(client.reply().status, 200);
    }
    assert_eq!((gate.arrived(), server.telemetry().scrapes_shared()), (4, 0));
}

#[test]
fn a_scrape_sees_what_was_recorded_before_it() {
    let value = Arc::new(AtomicUsize::new(0));
    let server = {
        let value = Arc::clone(&value);
        let exposition = move |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            let value = value.load(Relaxed); // The request's way here orders it.
            thread::sleep(Duration::from_millis(5));
            body.extend_from_slice(value.to_string().as_bytes());
            Ok(ContentType::TEXT_0_0_4)
        };
        Server::builder().exposition(exposition).spawn().expect("a server")
    };
    let address = server.local_addr();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                for _ in 0..50 {
                    let recorded = value.fetch_add(1, Relaxed) + 1;
                    let scraped: usize = client.get("/metrics").text().parse().expect("a number");
                    assert!(scraped >= recorded, "{scraped} is older than {recorded}");
                }
            });
        }
    });
}

/// Scrapes one after the other and returns where each body was written, and how large the buffer
/// was when its gather began.
fn buffers(scrapes: usize, body_bytes: usize) -> (Vec<(usize, usize)>, u64) {
    let seen: Arc<Mutex<Vec<(usize, usize)>>> = Arc::default();
    let server = {
        let seen = Arc::clone(&seen);
        let exposition = move |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            assert!(body.is_empty());
            let capacity = body.capacity();
            body.resize(body_bytes, b'x');
            seen.lock().expect("no panic").push((body.as_ptr() as usize, capacity));
            Ok(ContentType::TEXT_0_0_4)
        };
        Server::builder().exposition(exposition).spawn().expect("a server")
    };
    let mut client = Client::connect(server.local_addr());
    for _ in 0..scrapes {
        assert_eq!(client.get("/metrics").body.len(), body_bytes);
    }
    let seen = seen.lock().expect("no panic").clone();
    (seen, server.telemetry().buffers_allocated())
}

#[test]
fn the_buffer_is_reused_scrape_after_scrape() {
    for body_bytes in [1, 1000, 1 << 20] {
        let (seen, allocated) = buffers(50, body_bytes);
        let (address, capacity) = seen[1];
        assert!(capacity >= body_bytes, "the second gather finds the first one's memory");
        for &(other, capacity_then) in &seen[1..] {
            assert_eq!((other, capacity_then), (address, capacity), "{body_bytes}");
        }
        assert_eq!(allocated, 1, "{body_bytes}");
    }
}

#[test]
fn a_slow_gather_is_answered_before_its_scraper_gives_up() {
    let gate = Gate::default();
    let server = Server::builder().exposition(gate.clone()).spawn().expect("a server");
    let mut client = Client::connect(server.local_addr());
    let begin = Instant::now();
    let reply = client
        .send(
            "GET /metrics HTTP/1.1\r\nHost: t\r\n\
             X-Prometheus-Scrape-Timeout-Seconds: 0.2\r\n\r\n",
        )
        .reply();
    assert!(begin.elapsed() >= Duration::from_millis(180));
    assert_eq!((reply.status, reply.text()), (503, "Gathering metrics takes too long"));
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert_eq!(server.telemetry().limit_hits(Limit::ScrapeDeadline), 1);
    // The connection and the server are none the worse for it.
    gate.allow(2);
    assert_eq!(client.get("/metrics").status, 200);
}

#[test]
fn a_gather_that_hangs_ends_at_the_servers_own_deadline() {
    let gate = Gate::default();
    let mut limits = Limits::default();
    limits.scrape_deadline = Duration::from_millis(100);
    let server =
        Server::builder().exposition(gate.clone()).limits(limits).spawn().expect("a server");
    let mut client = Client::connect(server.local_addr());
    for _ in 0..3 {
        let reply = client
            .send(
                "GET /metrics HTTP/1.1\r\nHost: t\r\n\
                 X-Prometheus-Scrape-Timeout-Seconds: 60\r\n\r\n",
            )
            .reply();
        assert_eq!(reply.status, 503);
    }
    gate.allow(usize::MAX);
    eventually("a scrape succeeds again", || get(server.local_addr(), "/metrics").status == 200);
}

#[test]
fn too_many_scrapes_are_refused_and_probes_are_not() {
    let gate = Gate::default();
    let mut limits = Limits::default();
    limits.scrapes = 3;
    let server =
        Server::builder().exposition(gate.clone()).limits(limits).spawn().expect("a server");
    let mut waiting: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = Client::connect(server.local_addr());
            client.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
            client
        })
        .collect();
    gate.wait_for(1);
    let mut late = Client::connect(server.local_addr());
    // Probes until the third scrape has surely been read.
    for _ in 0..10 {
        assert_eq!(late.get("/health").status, 200);
    }
    let refused = late.get("/metrics");
    assert_eq!((refused.status, refused.text()), (503, "Too many scrapes in progress"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(server.telemetry().limit_hits(Limit::Scrapes), 1);
    gate.allow(3);
    for client in &mut waiting {
        assert_eq!(client.reply().status, 200);
    }
    assert_eq!(late.get("/metrics").status, 200);
}

#[test]
fn a_scrape_whose_client_is_gone_is_left_out() {
    let gate = Gate::default();
    let server = Server::builder().exposition(gate.clone()).spawn().expect("a server");
    let mut first = Client::connect(server.local_addr());
    first.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    let mut gone = Client::connect(server.local_addr());
    gone.send("GET /metrics?gone HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it is accepted", || server.telemetry().connections_open() == 2);
    drop(gone);
    eventually("it is noticed", || server.telemetry().connections_open() == 1);
    gate.allow(2);
    assert_eq!(first.reply().text(), "gather 1\n");
    assert_eq!(first.get("/metrics").text(), "gather 2\n");
}

#[test]
fn a_host_with_its_own_server_gets_the_same_answers() {
    let broken = |_: &ScrapeRequest<'_>, _: &mut BytesMut| -> Result<ContentType, ExposeError> {
        panic!("an exposition that panics")
    };
    let response = metrics_response(&broken, &ScrapeRequest::default());
    assert_eq!(response.status(), 500);
    assert_eq!(&response.body()[..], b"Failed to gather metrics");

    let response = metrics_response(&common::up, &ScrapeRequest::default());
    let server = common::plain_server();
    let reply = get(server.local_addr(), "/metrics");
    assert_eq!(response.headers().len(), 3);
    for (name, value) in response.headers() {
        assert_eq!(reply.header(name.as_str()).map(str::as_bytes), Some(value.as_bytes()));
    }
    assert_eq!(response.body()[..], reply.body[..]);
}
