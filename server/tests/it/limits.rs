//! Clients that misbehave over real sockets, and the connections that are left for others.
//!
//! The deadlines themselves are tested under a clock that stands still, beside the code that keeps them
//! (`src/http/serve/tests/`). No test here depends on how long something takes.

use crate::common;

use std::thread;
use std::time::Duration;

use crate::common::{Client, Gate, eventually, get, up};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{
    ContentType, Limit, Limits, RunningServer, ScrapeRequest, Server, ServerBuilder,
};

fn limited(builder: ServerBuilder, set: impl FnOnce(&mut Limits)) -> RunningServer {
    let mut limits = Limits::default();
    set(&mut limits);
    builder.limits(limits).spawn().expect("a server")
}

const LARGE: usize = 24 << 20; // More than the sockets' buffers hold.

fn large(
    _: &ScrapeRequest<'_>,
    body: &mut BytesMut,
) -> Result<ContentType, dynamo_metrics_server::ExposeError> {
    body.resize(LARGE, b'#');
    Ok(ContentType::TEXT_0_0_4)
}

#[test]
fn a_client_that_takes_no_bytes_is_closed_after_the_write_deadline() {
    let deadline = Duration::from_millis(300);
    let server = limited(Server::builder().exposition(large), |l| l.write_deadline = deadline);
    let mut slow = Client::connect(server.local_addr());
    slow.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it is closed", || server.telemetry().limit_hits(Limit::WriteDeadline) == 1);
    eventually("its slot is free", || server.telemetry().connections_open() == 0);
    // The bytes that it had not taken are gone.
    assert!(slow.rest().len() < LARGE);
    assert_eq!(get(server.local_addr(), "/health").status, 200);
}

#[test]
fn when_all_are_being_answered_a_new_connection_is_refused() {
    let gate = Gate::default();
    let server = limited(Server::builder().exposition(gate.clone()), |l| l.connections = 1);
    let mut scraper = Client::connect(server.local_addr());
    scraper.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    let mut refused = Client::connect(server.local_addr());
    assert!(refused.is_closed_without_a_byte());
    assert_eq!(server.telemetry().limit_hits(Limit::Connections), 1);
    gate.allow(1);
    assert_eq!(scraper.reply().status, 200);
}

#[test]
fn a_flood_of_silent_connections_keeps_nobody_out() {
    let server = limited(Server::builder().exposition(up), |_| {});
    let mut flood = Vec::new();
    for round in 0..20 {
        flood.extend((0..50).map(|_| Client::connect(server.local_addr())));
        let reply = get(server.local_addr(), "/metrics");
        assert_eq!((reply.status, reply.text()), (200, "up 1\n"), "round {round}");
        assert!(server.telemetry().connections_open() <= 64);
    }
    assert_eq!(server.telemetry().connections_accepted(), 1020);
}

/// A client of another address of this machine.
#[cfg(target_os = "linux")] // Elsewhere 127.0.0.1 is the only one.
fn from_elsewhere(server: &RunningServer) -> Client {
    use std::net::SocketAddr;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    let ours = SocketAddr::from(([127, 0, 0, 2], 0));
    socket.bind(&ours.into()).expect("an address of loopback");
    socket.connect(&server.local_addr().into()).expect("the server listens");
    Client::over(socket.into())
}

/// More silent connections than there are slots, each accepted when this returns.
#[cfg(target_os = "linux")]
fn flood(server: &RunningServer) -> Vec<Client> {
    let telemetry = server.telemetry();
    let before = telemetry.connections_accepted();
    let flood: Vec<_> = (0..200).map(|_| Client::connect(server.local_addr())).collect();
    eventually("all are accepted", || telemetry.connections_accepted() >= before + 200);
    flood
}

#[cfg(target_os = "linux")]
#[test]
fn a_flood_from_one_address_delays_no_head_and_evicts_no_scraper_of_another() {
    let server = limited(Server::builder().exposition(up), |_| {});
    let mut scraper = from_elsewhere(&server);
    assert_eq!(scraper.get("/metrics").status, 200);
    let _before = flood(&server);
    for round in 0..5 {
        // Its head follows when so many others have come since that all slots were taken anew.
        let mut late = from_elsewhere(&server);
        let _flood = flood(&server);
        assert_eq!(late.get("/live").status, 200, "round {round}");
    }
    assert_eq!(scraper.get("/metrics").status, 200, "it was idle, and is still there");
    let telemetry = server.telemetry();
    assert!(telemetry.limit_hits(Limit::AddressConnections) > 1000);
    assert_eq!(telemetry.limit_hits(Limit::Connections), 0);
    assert!(telemetry.connections_open() <= Limits::CONNECTIONS as u64);
}

#[cfg(target_os = "linux")]
#[test]
fn one_address_cannot_take_all_places_of_scrapes() {
    let gate = Gate::default();
    let server = limited(Server::builder().exposition(gate.clone()), |_| {});
    let _hog: Vec<Client> = (0..Limits::CONNECTIONS)
        .map(|_| {
            let mut client = Client::connect(server.local_addr());
            client.try_send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
            client
        })
        .collect();
    gate.wait_for(1);
    let telemetry = server.telemetry();
    let all = Limits::CONNECTIONS as u64;
    eventually("all are accepted", || telemetry.connections_accepted() == all);
    let mut scraper = from_elsewhere(&server);
    scraper.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it is accepted", || telemetry.connections_accepted() == all + 1);
    gate.allow(usize::MAX);
    assert_eq!(scraper.reply().status, 200);
    assert_eq!(telemetry.limit_hits(Limit::Scrapes), 0);
}

#[test]
fn the_last_request_of_a_connection_is_told_so() {
    let server = limited(Server::builder().exposition(up), |l| l.connection_requests = 3);
    let mut client = Client::connect(server.local_addr());
    let one = "GET /live HTTP/1.1\r\nHost: t\r\n\r\n";
    client.send(one.repeat(5));
    for close in [None, None, Some("close")] {
        let reply = client.reply();
        assert_eq!((reply.status, reply.header("connection")), (200, close));
    }
    assert!(client.is_closed_without_a_byte());
    assert_eq!(server.telemetry().limit_hits(Limit::ConnectionRequests), 1);
}

#[test]
fn what_comes_behind_the_last_request_does_not_cost_its_answer() {
    let server = limited(Server::builder().exposition(up), |l| {
        l.connection_requests = 1;
        l.linger = common::PATIENCE; // Time for megabytes, even on a busy machine.
    });
    let one = "GET /live HTTP/1.1\r\nHost: t\r\n\r\n";
    for _ in 0..20 {
        let mut client = Client::connect(server.local_addr());
        // More than is read ahead: what is left in the kernel would reset the connection.
        client.send(one.repeat(200_000));
        let reply = client.reply();
        assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
        assert!(client.ends_cleanly());
    }
}

#[test]
fn the_seventeenth_request_behind_a_scrape_waits_and_is_answered() {
    let gate = Gate::default();
    let server = limited(Server::builder().exposition(gate.clone()), |_| {});
    let mut client = Client::connect(server.local_addr());
    client.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    let one = "GET /live HTTP/1.1\r\nHost: t\r\n\r\n";
    client.send(one.repeat(15));
    thread::sleep(Duration::from_millis(50));
    assert_eq!(server.telemetry().limit_hits(Limit::Pipelined), 0);
    client.send(one.repeat(300));
    eventually("no more is read", || server.telemetry().limit_hits(Limit::Pipelined) == 1);
    assert_eq!(server.telemetry().responses(2), 0);
    gate.allow(1);
    assert_eq!(client.reply().text(), "gather 1\n");
    for _ in 0..315 {
        assert_eq!(client.reply().status, 200);
    }
}
