//! One collection for all scrapes that wait.

use super::*;

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
