//! Clients that do not behave, and what is left for those that do.
//!
//! Deadlines are set short here; that they are kept is asserted, that they are punctual is not.

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Gate, eventually, get, up};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{
    ContentType, Limit, Limits, RunningServer, ScrapeRequest, Server, ServerBuilder,
};

fn limited(builder: ServerBuilder, set: impl FnOnce(&mut Limits)) -> RunningServer {
    let mut limits = Limits::default();
    set(&mut limits);
    builder.limits(limits).spawn().expect("a server")
}

#[test]
fn a_silent_client_is_closed_after_the_head_deadline() {
    let deadline = Duration::from_millis(200);
    let server = limited(Server::builder().exposition(up), |l| l.head_deadline = deadline);
    let begin = Instant::now();
    let mut silent = Client::connect(server.local_addr());
    assert!(silent.is_closed_without_a_byte());
    assert!(begin.elapsed() >= deadline);
    assert_eq!(server.telemetry().limit_hits(Limit::HeadDeadline), 1);
    eventually("its slot is free", || server.telemetry().connections_open() == 0);
}

#[test]
fn a_dribbled_head_does_not_extend_its_deadline() {
    let deadline = Duration::from_millis(300);
    let server = limited(Server::builder().exposition(up), |l| l.head_deadline = deadline);
    let begin = Instant::now();
    let mut slow = Client::connect(server.local_addr());
    while slow.try_send("G") && begin.elapsed() < Duration::from_secs(5) {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() < Duration::from_secs(5), "it still takes bytes");
    assert_eq!(server.telemetry().limit_hits(Limit::HeadDeadline), 1);
}

#[test]
fn the_head_deadline_of_a_later_request_begins_with_its_first_byte() {
    let deadline = Duration::from_millis(200);
    let server = limited(Server::builder().exposition(up), |l| l.head_deadline = deadline);
    let mut client = Client::connect(server.local_addr());
    assert_eq!(client.get("/live").status, 200);
    thread::sleep(2 * deadline); // Idle is not slow.
    assert_eq!(client.get("/live").status, 200);
    client.send("GET /li");
    assert!(client.is_closed_without_a_byte());
    assert_eq!(server.telemetry().limit_hits(Limit::HeadDeadline), 1);
}

#[test]
fn a_head_that_begins_during_a_scrape_has_its_deadline_too() {
    let gate = Gate::default();
    let deadline = Duration::from_millis(200);
    let server =
        limited(Server::builder().exposition(gate.clone()), |l| l.head_deadline = deadline);
    let mut client = Client::connect(server.local_addr());
    client.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    client.send("GET /li");
    thread::sleep(deadline / 4);
    gate.allow(1);
    assert_eq!(client.reply().status, 200);
    assert!(client.is_closed_without_a_byte());
    assert_eq!(server.telemetry().limit_hits(Limit::HeadDeadline), 1);
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let idle = Duration::from_millis(200);
    let server = limited(Server::builder().exposition(up), |l| l.keep_alive_idle = idle);
    let mut client = Client::connect(server.local_addr());
    for _ in 0..3 {
        assert_eq!(client.get("/metrics").status, 200);
        thread::sleep(idle / 4);
    }
    assert!(client.is_closed_without_a_byte());
    assert_eq!(server.telemetry().limit_hits(Limit::KeepAliveIdle), 1);
}

#[test]
fn a_slow_gather_runs_into_no_deadline_of_the_connection() {
    let short = Duration::from_millis(50);
    let gate = Gate::default();
    let server = limited(Server::builder().exposition(gate.clone()), |l| {
        l.head_deadline = short;
        l.keep_alive_idle = short;
        l.write_deadline = short;
    });
    let mut client = Client::connect(server.local_addr());
    client.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    thread::sleep(4 * short);
    gate.allow(1);
    assert_eq!(client.reply().status, 200);
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
    // What it had not taken is gone.
    assert!(slow.rest().len() < LARGE);
    assert_eq!(get(server.local_addr(), "/health").status, 200);
}

#[test]
fn one_byte_now_and_then_does_not_extend_the_write_deadline() {
    use std::io::Read;
    let deadline = Duration::from_millis(300);
    let server = limited(Server::builder().exposition(large), |l| l.write_deadline = deadline);
    let mut slow = Client::connect(server.local_addr());
    slow.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    let begin = Instant::now();
    // 64 KiB each 10 ms would take 5 s for the whole.
    let mut chunk = vec![0; 64 * 1024];
    while slow.stream().read(&mut chunk).is_ok_and(|count| count > 0) {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(server.telemetry().limit_hits(Limit::WriteDeadline), 1);
}

#[test]
fn a_client_that_takes_too_little_is_closed_before_the_write_deadline() {
    use std::io::Read;
    let server = limited(Server::builder().exposition(large), |l| {
        l.write_deadline = Duration::from_secs(60);
        l.write_window = Duration::from_millis(200);
        l.write_rate = 1 << 30;
    });
    let mut slow = Client::connect(server.local_addr());
    slow.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    let begin = Instant::now();
    // It takes 64 KiB each 10 ms, far from a GiB a second.
    let mut chunk = vec![0; 64 * 1024];
    while slow.stream().read(&mut chunk).is_ok_and(|count| count > 0) {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(begin.elapsed() < Duration::from_secs(4), "{:?}", begin.elapsed());
    assert_eq!(server.telemetry().limit_hits(Limit::WriteRate), 1);
    assert_eq!(server.telemetry().limit_hits(Limit::WriteDeadline), 0);
}

#[test]
fn a_client_that_takes_enough_in_each_window_gets_its_whole_body() {
    use std::io::Read;
    let server = limited(Server::builder().exposition(large), |l| {
        l.write_window = Duration::from_millis(100);
        l.write_rate = 1;
    });
    let mut slow = Client::connect(server.local_addr());
    slow.send("GET /metrics HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    // 24 steps of 1 MiB are more than twenty windows, and each window sees some.
    let (mut chunk, mut taken) = (vec![0; 1 << 20], 0);
    loop {
        let count = slow.stream().read(&mut chunk).expect("no reset");
        if count == 0 {
            break;
        }
        taken += count;
        if taken % (1 << 20) < count {
            thread::sleep(Duration::from_millis(20));
        }
    }
    assert!(taken > LARGE);
    assert_eq!(server.telemetry().limit_hits(Limit::WriteRate), 0);
}

#[test]
fn requests_behind_a_body_that_had_to_wait_are_answered() {
    let server = limited(Server::builder().exposition(large), |_| {});
    let mut client = Client::connect(server.local_addr());
    let scrape = "GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n";
    client.send([scrape, scrape, "GET /live HTTP/1.1\r\nHost: t\r\n\r\n"].concat());
    thread::sleep(Duration::from_millis(100)); // By then the first body waits for us.
    for length in [LARGE, LARGE, r#"{"status":"live"}"#.len()] {
        let reply = client.reply();
        assert_eq!((reply.status, reply.body.len()), (200, length));
    }
}

#[test]
fn a_drained_response_leaves_no_write_deadline_behind() {
    let deadline = Duration::from_secs(2); // Time for the whole, even on a busy machine.
    let server = limited(Server::builder().exposition(large), |l| l.write_deadline = deadline);
    let mut client = Client::connect(server.local_addr());
    for _ in 0..2 {
        assert_eq!(client.get("/metrics").body.len(), LARGE);
    }
    thread::sleep(deadline + deadline / 4);
    assert_eq!(client.get("/live").status, 200);
    assert_eq!(server.telemetry().limit_hits(Limit::WriteDeadline), 0);
}

#[test]
fn at_the_cap_the_oldest_idle_connection_gives_way() {
    let server = limited(Server::builder().exposition(up), |l| l.connections = 3);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(server.local_addr())).collect();
    // The order of their last response, not of their accept, makes the oldest: 1, 2, 0.
    for index in [0, 1, 2, 0] {
        assert_eq!(clients[index].get("/live").status, 200);
        thread::sleep(Duration::from_millis(5));
    }
    let mut fourth = Client::connect(server.local_addr());
    assert_eq!(fourth.get("/live").status, 200);
    assert!(clients[1].is_closed_without_a_byte());
    let mut fifth = Client::connect(server.local_addr());
    assert_eq!(fifth.get("/live").status, 200);
    assert!(clients[2].is_closed_without_a_byte());
    for client in [&mut clients[0], &mut fourth, &mut fifth] {
        assert_eq!(client.get("/live").status, 200);
    }
    assert_eq!(server.telemetry().limit_hits(Limit::GaveWay), 2);
    assert_eq!(server.telemetry().connections_open(), 3);
    assert_eq!(server.telemetry().connections_accepted(), 5);
}

#[test]
fn who_owes_a_head_gives_way_after_who_is_idle() {
    let server = limited(Server::builder().exposition(up), |l| l.connections = 2);
    let mut silent = Client::connect(server.local_addr());
    eventually("it is accepted", || server.telemetry().connections_open() == 1);
    let mut idle = Client::connect(server.local_addr());
    assert_eq!(idle.get("/live").status, 200);
    let mut third = Client::connect(server.local_addr());
    assert_eq!(third.get("/live").status, 200);
    assert!(idle.is_closed_without_a_byte());
    // The silent one can still speak.
    assert_eq!(silent.get("/live").status, 200);
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
fn clients_that_take_no_bytes_do_not_keep_a_probe_out() {
    let server = limited(Server::builder().exposition(large), |l| l.connections = 2);
    let mut slow: Vec<Client> = (0..2).map(|_| Client::connect(server.local_addr())).collect();
    for client in &mut slow {
        client.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
        client.head();
    }
    thread::sleep(Duration::from_millis(1200)); // Nobody is called stalled within a second.
    assert_eq!(get(server.local_addr(), "/health").status, 200);
    assert_eq!(server.telemetry().limit_hits(Limit::GaveWay), 1);
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
        l.linger = Duration::from_secs(10); // Time for megabytes, even on a busy machine.
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
fn a_connection_ends_with_its_lifetime_idle_or_not() {
    let gate = Gate::default();
    let lifetime = Duration::from_millis(300);
    let server =
        limited(Server::builder().exposition(gate.clone()), |l| l.connection_lifetime = lifetime);
    let begin = Instant::now();
    let mut idle = Client::connect(server.local_addr());
    assert_eq!(idle.get("/live").header("connection"), None);
    let mut busy = Client::connect(server.local_addr());
    busy.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    assert!(idle.is_closed_without_a_byte());
    assert!(begin.elapsed() >= lifetime * 9 / 10);
    assert_eq!(server.telemetry().limit_hits(Limit::ConnectionLifetime), 1);
    // The other one is being answered: it may finish, and is told.
    thread::sleep(lifetime);
    gate.allow(1);
    let reply = busy.reply();
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    assert!(busy.is_closed_without_a_byte());
    assert_eq!(server.telemetry().limit_hits(Limit::ConnectionLifetime), 2);
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

#[test]
fn a_refused_client_that_does_not_close_is_closed() {
    let linger = Duration::from_millis(200);
    let server = limited(Server::builder().exposition(up), |l| l.linger = linger);
    let mut client = Client::connect(server.local_addr());
    assert_eq!(client.send("GET / HTTP/3.0\r\n\r\n").reply().status, 505);
    assert!(client.is_closed_without_a_byte()); // Our side; its own stays open.
    assert_eq!(server.telemetry().connections_open(), 1);
    eventually("it is cut", || server.telemetry().limit_hits(Limit::Linger) == 1);
    eventually("its slot is free", || server.telemetry().connections_open() == 0);
}
