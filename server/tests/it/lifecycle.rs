//! Starting, failing to start, and stopping.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Client, Gate, PATIENCE, eventually, get, plain_server, up};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{
    ContentType, Limit, Limits, RunningServer, ScrapeRequest, Server, StartError,
};

#[test]
fn port_zero_is_a_free_port_that_can_be_read() {
    let (one, other) = (plain_server(), plain_server());
    assert_ne!(one.local_addr().port(), 0);
    assert_ne!(one.local_addr(), other.local_addr());
    assert!(one.local_addr().ip().is_loopback());
    assert_eq!(get(one.local_addr(), "/metrics").status, 200);
    assert_eq!(get(other.local_addr(), "/metrics").status, 200);
    assert!(format!("{one:?}").contains(&one.local_addr().to_string()));
}

#[test]
fn a_port_in_use_is_named_with_its_variable_and_the_way_out() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = holder.local_addr().expect("an address");
    let error = Server::builder()
        .address(address)
        .address_source("DYN_SYSTEM_PORT")
        .exposition(up)
        .spawn()
        .expect_err("the port is taken");
    assert_eq!(
        error.to_string(),
        format!(
            "cannot listen on {address} (set by DYN_SYSTEM_PORT): the port is in use; stop the \
             program that holds it, or change DYN_SYSTEM_PORT to a free port (0 lets the system \
             choose one)"
        )
    );
    assert!(matches!(error, StartError::Listen { .. }));
    drop(holder);
    let server = Server::builder().address(address).exposition(up).spawn().expect("now it is free");
    assert_eq!(server.local_addr(), address);
}

#[test]
fn a_port_can_be_taken_again_at_once() {
    let first = plain_server();
    let address = first.local_addr();
    // The server closes first, so its side of this connection goes through TIME_WAIT.
    let mut client = Client::connect(address);
    client.send("GET /live HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").reply();
    assert!(client.is_closed_without_a_byte());
    drop(first);
    let second = Server::builder().address(address).exposition(up).spawn().expect("a restart");
    assert_eq!(get(second.local_addr(), "/live").status, 200);
}

#[test]
fn an_address_of_another_machine_is_explained() {
    let error = Server::builder()
        .address("192.0.2.1:0".parse().expect("an address")) // RFC 5737: of no machine.
        .address_source("DYN_SYSTEM_HOST")
        .exposition(up)
        .spawn()
        .expect_err("not ours");
    let text = error.to_string();
    assert!(text.contains("192.0.2.1:0 (set by DYN_SYSTEM_HOST)"), "{text}");
    assert!(text.contains("0.0.0.0"), "{text}");
}

#[test]
fn settings_at_fault_are_named() {
    let builder = || Server::builder().exposition(up);
    for (builder, text) in [
        (
            builder().health_path("health"),
            "the health path \"health\" must start with '/': write \"/health\"",
        ),
        (
            builder().live_path("/live?x"),
            "the live path \"/live?x\" must not contain '?', which ends a path: leave it out",
        ),
        (
            builder().metrics_path("/live"),
            "the metrics path and the live path are both \"/live\": give one of them another",
        ),
        (
            Server::builder(),
            "the server has nothing to expose: call `ServerBuilder::exposition` before `spawn`",
        ),
    ] {
        assert_eq!(builder.spawn().expect_err(text).to_string(), text);
    }
    let mut limits = Limits::default();
    limits.connections = 0;
    let error = builder().limits(limits).spawn().expect_err("no connections");
    assert_eq!(error.to_string(), "the limit `connections` is out of range: it must be 1 or more");
}

#[test]
fn a_shutdown_finishes_a_scrape_in_progress() {
    let gate = Gate::default();
    let server = Server::builder().exposition(gate.clone()).spawn().expect("a server");
    let address = server.local_addr();
    let mut idle = Client::connect(address);
    assert_eq!(idle.get("/live").status, 200);
    let mut scraper = Client::connect(address);
    scraper.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);

    thread::scope(|scope| {
        let shutdown = scope.spawn(move || server.shutdown(PATIENCE));
        // The listener and the idle connection close while the scrape still waits.
        assert!(idle.is_closed_without_a_byte());
        eventually("nobody listens", || TcpStream::connect(address).is_err());
        assert!(!shutdown.is_finished());
        gate.allow(1);
        let reply = scraper.reply();
        assert_eq!((reply.status, reply.text()), (200, "gather 1\n"));
        assert!(scraper.is_closed_without_a_byte());
        let report = shutdown.join().expect("no panic");
        assert_eq!((report.connections_cut, report.gather_abandoned), (0, false));
    });
}

#[test]
fn a_shutdown_finishes_a_large_body_for_a_slow_reader() {
    const SIZE: usize = 32 << 20; // More than the socket's buffers hold.
    let server = Server::builder()
        .exposition(|_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            body.resize(SIZE, b'#');
            Ok(ContentType::TEXT_0_0_4)
        })
        .spawn()
        .expect("a server");
    let mut scraper = Client::connect(server.local_addr());
    scraper.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    let head = scraper.head();
    thread::scope(|scope| {
        let shutdown = scope.spawn(move || server.shutdown(PATIENCE));
        thread::sleep(Duration::from_millis(100));
        assert_eq!(head.header("content-length"), Some(SIZE.to_string().as_str()));
        assert_eq!(scraper.rest().len(), SIZE);
        assert_eq!(shutdown.join().expect("no panic").connections_cut, 0);
    });
}

#[test]
fn a_gather_that_outlasts_the_grace_is_cut_and_reported() {
    let gate = Gate::default();
    let server = Server::builder().exposition(gate.clone()).spawn().expect("a server");
    let telemetry = Arc::clone(server.telemetry());
    let mut scraper = Client::connect(server.local_addr());
    scraper.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    let begin = Instant::now();
    let report = server.shutdown(Duration::from_millis(50));
    assert!(begin.elapsed() < PATIENCE);
    assert_eq!((report.connections_cut, report.gather_abandoned), (1, true));
    assert_eq!(telemetry.limit_hits(Limit::ShutdownGrace), 1);
    assert_eq!(telemetry.connections_open(), 0);
    assert!(scraper.is_closed_without_a_byte());
    gate.allow(1);
}

#[test]
fn an_idle_server_shuts_down_at_once() {
    let server = plain_server();
    let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(server.local_addr())).collect();
    for client in &mut clients {
        client.get("/live");
    }
    let begin = Instant::now();
    let report = server.shutdown(Duration::MAX);
    assert!(begin.elapsed() < PATIENCE, "idle connections have 75 s");
    assert_eq!((report.connections_cut, report.gather_abandoned), (0, false));
    for client in &mut clients {
        assert!(client.is_closed_without_a_byte());
    }
}

#[test]
fn dropping_it_stops_it() {
    let server = plain_server();
    let address = server.local_addr();
    let mut silent = Client::connect(address);
    drop(server);
    assert!(silent.is_closed_without_a_byte());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn it_starts_and_stops_inside_an_async_runtime() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let address: SocketAddr = runtime.block_on(async {
        let server = plain_server();
        assert_eq!(get(server.local_addr(), "/metrics").status, 200);
        let failed = Server::builder().address(server.local_addr()).exposition(up).spawn();
        assert!(failed.is_err());
        server.local_addr()
    });
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_exposition_may_drop_its_own_server() {
    let place: Arc<Mutex<Option<RunningServer>>> = Arc::default();
    let exposition = {
        let place = Arc::clone(&place);
        move |_: &ScrapeRequest<'_>, _: &mut BytesMut| {
            let server = place.lock().expect("no panic").take();
            drop(server);
            Ok(ContentType::TEXT_0_0_4)
        }
    };
    let server = Server::builder().exposition(exposition).spawn().expect("a server");
    let address = server.local_addr();
    *place.lock().expect("no panic") = Some(server);
    let mut client = Client::connect(address);
    client.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    // The scrape outlasts the grace of the drop that it waits in.
    assert!(client.is_closed_without_a_byte());
    eventually("nobody listens", || TcpStream::connect(address).is_err());
}

#[test]
fn an_ipv6_server_takes_ipv4_too() {
    let unspecified: SocketAddr = "[::]:0".parse().expect("an address");
    let Ok(server) = Server::builder().address(unspecified).exposition(up).spawn() else {
        return; // This machine has no IPv6.
    };
    let port = server.local_addr().port();
    assert_eq!(get(([127, 0, 0, 1], port).into(), "/live").status, 200);
}
