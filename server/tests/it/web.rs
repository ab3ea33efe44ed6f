//! Basic authentication, headers, the rate limit and reloads, without TLS.

use crate::common::{Client, Reply, eventually, get, up};
use crate::directory::Directory;
use dynamo_metrics_server::{Limit, RunningServer, Server, ServerBuilder};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// The cheapest that bcrypt has.
const COST: u32 = 4;

struct Guarded {
    server: RunningServer,
    directory: Directory,
}

fn guarded(config: &str, with: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Guarded {
    let directory = Directory::new();
    let file = directory.write("web.yml", config);
    let server = with(Server::builder().web_config_file(file)).exposition(up).spawn();
    Guarded { server: server.unwrap_or_else(|error| panic!("{error}")), directory }
}

fn user(name: &str, password: &str, cost: u32) -> String {
    format!("basic_auth_users:\n  {name}: {}\n", bcrypt::hash(password, cost).expect("a hash"))
}

fn request(target: &str, credentials: &str) -> String {
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
    format!("GET {target} HTTP/1.1\r\nHost: test\r\nAuthorization: Basic {encoded}\r\n\r\n")
}

impl Guarded {
    fn get_as(&self, credentials: &str) -> Reply {
        Client::connect(self.server.local_addr()).send(request("/metrics", credentials)).reply()
    }

    fn checks(&self) -> u64 {
        self.server.telemetry().password_checks()
    }
}

#[test]
fn everything_is_behind_the_password() {
    let config = format!(
        "{}http_server_config:\n  headers:\n    X-Frame-Options: deny\n",
        user("prometheus", "secret", COST)
    );
    let guarded = guarded(&config, |builder| builder);
    let address = guarded.server.local_addr();
    let mut client = Client::connect(address);
    for target in ["/metrics", "/health", "/live", "/", "/nothing"] {
        let reply = client.get(target);
        assert_eq!((reply.status, reply.text()), (401, "Unauthorized"), "{target}");
        assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"metrics\""));
        assert_eq!(reply.header("x-frame-options"), Some("deny"));
    }
    assert_eq!(client.send("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n").reply().status, 401);
    assert_eq!(guarded.checks(), 0, "nothing to compute without a password");
    for (credentials, status) in [
        ("prometheus:secret", 200),
        ("prometheus:secret:", 401),
        ("prometheus:Secret", 401),
        ("Prometheus:secret", 401),
        (":secret", 401),
        ("prometheus:", 401),
    ] {
        assert_eq!(guarded.get_as(credentials).status, status, "{credentials}");
    }
    let reply = client.send(request("/live", "prometheus:secret")).reply();
    assert_eq!((reply.status, reply.header("x-frame-options")), (200, Some("deny")));
    // A refused head has them too.
    let refused = client.send("GET / HTTP/1.1\r\n\r\n").reply();
    assert_eq!((refused.status, refused.header("x-frame-options")), (400, Some("deny")));
    let telemetry = guarded.server.telemetry();
    assert_eq!(telemetry.limit_hits(Limit::Unauthorized), 11);
}

#[test]
fn probes_pass_when_they_are_let() {
    let config =
        format!("{}rate_limit:\n  interval: 1h\n  burst: 1\n", user("prometheus", "secret", COST));
    let guarded = guarded(&config, |builder| builder.probes_without_auth(true));
    for _ in 0..3 {
        assert_eq!(get(guarded.server.local_addr(), "/health").status, 200);
        assert_eq!(get(guarded.server.local_addr(), "/live").status, 200);
    }
    for target in ["/metrics", "/health/", "//live"] {
        assert_ne!(get(guarded.server.local_addr(), target).status, 200, "{target}");
    }
}

#[test]
fn known_and_unknown_users_cost_the_same_and_what_was_right_costs_once() {
    let guarded = guarded(&user("prometheus", "secret", COST), |builder| builder);
    let cost_of = |credentials: &str, status| {
        let before = guarded.checks();
        assert_eq!(guarded.get_as(credentials).status, status, "{credentials}");
        guarded.checks() - before
    };
    for round in 0..3 {
        assert_eq!(cost_of("prometheus:wrong", 401), 1, "{round}");
        assert_eq!(cost_of("nobody:wrong", 401), 1, "{round}");
        assert_eq!(cost_of("nobody:secret", 401), 1, "{round}");
        assert_eq!(cost_of("prometheus:secret", 200), u64::from(round == 0), "{round}");
    }
    // Remembered parts do not add up to other ones.
    assert_eq!(cost_of("prometheu:ssecret", 401), 1);
}

/// Every wrong login is computed or refused, and counted as what it was; who is known costs no computation
/// meanwhile and is always served.
#[test]
fn a_thousand_wrong_logins_are_each_counted_and_the_known_one_is_always_served() {
    const GUESSERS: usize = 8;
    const GUESSES: usize = 125;
    let guarded = guarded(&user("prometheus", "secret", COST), |builder| builder);
    let address = guarded.server.local_addr();
    assert_eq!(guarded.get_as("prometheus:secret").status, 200);
    let before = guarded.checks();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let guessers: Vec<_> = (0..GUESSERS)
            .map(|guesser| {
                scope.spawn(move || {
                    let mut client = Client::connect(address);
                    let guess = |guess| {
                        let name = if guess % 2 == 0 { "prometheus" } else { "nobody" };
                        let head = request("/metrics", &format!("{name}:{guesser}-{guess}"));
                        client.send(head).reply().status
                    };
                    (0..GUESSES).map(guess).collect::<Vec<_>>()
                })
            })
            .collect();
        for scrape in 0..100 {
            assert_eq!(guarded.get_as("prometheus:secret").status, 200, "{scrape}");
        }
        guessers.into_iter().flat_map(|guesser| guesser.join().expect("a guesser")).collect()
    });
    let count = |status| statuses.iter().filter(|&&got| got == status).count() as u64;
    let telemetry = guarded.server.telemetry();
    assert_eq!(count(401) + count(503), (GUESSERS * GUESSES) as u64);
    assert_eq!(telemetry.limit_hits(Limit::Unauthorized), count(401));
    assert_eq!(telemetry.limit_hits(Limit::Logins), count(503));
    assert_eq!(guarded.checks() - before, count(401), "one computation each, and no other");
}

// Elsewhere only 127.0.0.1 is there.
#[cfg(target_os = "linux")]
#[test]
fn who_guesses_leaves_room_for_other_addresses() {
    use socket2::{Domain, Socket, Type};
    let guarded = guarded(&user("prometheus", "secret", 10), |builder| builder);
    let address = guarded.server.local_addr();
    let telemetry = guarded.server.telemetry();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for guesser in 0..16 {
            let over = &over;
            scope.spawn(move || {
                while !over.load(Relaxed) {
                    let head = request("/metrics", &format!("prometheus:{guesser}"));
                    Client::connect(address).send(head).reply();
                }
            });
        }
        eventually("guesses are refused", || telemetry.limit_hits(Limit::Logins) > 0);
        let mut statuses = Vec::new();
        for _ in 0..8 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            let other: std::net::SocketAddr = ([127, 0, 0, 2], 0).into();
            socket.bind(&other.into()).expect("all of 127/8 is ours");
            socket.connect(&address.into()).expect("the server listens");
            // Wrong, so that it is computed each time.
            let head = request("/metrics", "nobody:secret");
            statuses.push(Client::over(socket.into()).send(head).reply().status);
        }
        over.store(true, Relaxed);
        assert_eq!(statuses, [401; 8], "each was computed, none refused");
    });
}

#[test]
fn requests_beyond_the_rate_are_refused() {
    let guarded = guarded("rate_limit:\n  interval: 1h\n  burst: 3\n", |builder| builder);
    let mut client = Client::connect(guarded.server.local_addr());
    let statuses: Vec<u16> = (0..5).map(|_| client.get("/metrics").status).collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    assert_eq!(client.get("/health").header("retry-after"), Some("1"));
    assert_eq!(guarded.server.telemetry().limit_hits(Limit::RateLimit), 3);
}

#[test]
fn a_changed_file_is_in_force_for_the_next_request_of_an_open_connection() {
    let guarded = guarded(&user("prometheus", "old", COST), |builder| builder);
    let telemetry = guarded.server.telemetry();
    let mut client = Client::connect(guarded.server.local_addr());
    let mut status = |credentials| client.send(request("/live", credentials)).reply().status;
    assert_eq!(status("prometheus:old"), 200);
    guarded.directory.write("web.yml", &user("prometheus", "new", COST));
    eventually("it is reloaded", || telemetry.config_reloads() == 1);
    assert_eq!(status("prometheus:old"), 401, "what was right before is forgotten");
    assert_eq!(status("prometheus:new"), 200);

    for (broken, errors) in [("basic_auth_user:\n", 1), ("", 2)] {
        guarded.directory.write("web.yml", broken);
        eventually("it is refused", || telemetry.config_reload_errors() == errors);
        assert_eq!(status("prometheus:new"), 200);
        assert_eq!(status(":"), 401);
    }
    assert!(!telemetry.config_is_current());
}

#[cfg(not(feature = "tls"))]
#[test]
fn tls_without_the_feature_is_an_error_that_says_so() {
    let directory = Directory::new();
    let file = directory.write("web.yml", "tls_server_config:\n  cert_file: a\n");
    let error = Server::builder().web_config_file(file).exposition(up).spawn();
    let error = error.map(drop).expect_err("no TLS here").to_string();
    assert!(error.contains("web.yml:1: `tls_server_config`"), "{error}");
    assert!(error.contains("feature `tls`"), "{error}");
}
