//! Deadlines of gathering, and scrapes that are not answered.

use super::*;

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
