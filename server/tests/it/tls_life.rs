//! TLS over time: handshakes that do not come, renewed certificates, large bodies, slow readers,
//! and whoever takes one port for the other. And the files that are refused.

use crate::common::{Client, PATIENCE, eventually, plain_server, up};
use crate::pki::{TLS, World, connect, get, shown};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{ContentType, Limit, Limits, ScrapeRequest, Server};
use rcgen::SanType;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET /live HTTP/1.1\r\nHost: test\r\n\r\n";

#[test]
fn a_handshake_has_the_deadline_of_a_head() {
    let world = World::new();
    let mut limits = Limits::default();
    limits.head_deadline = Duration::from_secs(3); // Time for a handshake, even on a busy machine.
    let server = Server::builder()
        .web_config_file(world.directory.write("web.yml", TLS))
        .limits(limits)
        .exposition(up)
        .spawn()
        .expect("a server");
    // One says nothing; one begins a record and stops; one goes on byte by byte.
    let mut silent = Client::connect(server.local_addr());
    let mut partial = Client::connect(server.local_addr());
    partial.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    let mut slow = Client::connect(server.local_addr());
    slow.send(b"\x16\x03\x01\x02\x00");
    let begin = Instant::now();
    while slow.try_send(b"\x01") && begin.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(begin.elapsed() < PATIENCE, "bytes of a handshake put its deadline off");
    assert!(silent.is_closed_without_a_byte() && partial.is_closed_without_a_byte());
    eventually("three are counted", || server.telemetry().limit_hits(Limit::HeadDeadline) == 3);
    // After the handshake, the head is due within what is left.
    let mut client = connect(server.local_addr(), &world.client(None));
    client.write_all(b"GET /live").expect("the server takes bytes");
    assert!(client.read_to_end(&mut Vec::new()).is_err(), "no answer and no clean end");
    eventually("four are counted", || server.telemetry().limit_hits(Limit::HeadDeadline) == 4);
}

#[test]
fn handshakes_that_come_at_once_take_turns_and_silent_ones_take_none() {
    let world = World::new();
    let mut limits = Limits::default();
    limits.handshakes = 1;
    limits.head_deadline = Duration::from_secs(30);
    let server = Server::builder()
        .web_config_file(world.directory.write("web.yml", TLS))
        .limits(limits)
        .exposition(up)
        .spawn()
        .expect("a server");
    let telemetry = server.telemetry();
    let _silent: Vec<_> = (0..10).map(|_| Client::connect(server.local_addr())).collect();
    eventually("all are accepted", || telemetry.connections_accepted() == 10);
    let (address, config) = (server.local_addr(), world.client(None));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let answer = get(address, &config, "");
                assert!(answer.is_ok(), "{answer:?}");
            });
        }
    });
    // That they wait is tested where turns are taken; here they all get one in the end, and are counted once.
    assert!(telemetry.limit_hits(Limit::Handshakes) <= 3);
}

#[test]
fn plain_http_on_the_tls_port_and_tls_on_the_plain_port_are_closed() {
    let world = World::new();
    let server = world.spawn(TLS);
    let mut plain = TcpStream::connect(server.local_addr()).expect("the server listens");
    plain.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    plain.write_all(REQUEST).expect("the server takes bytes");
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).expect("an end without a reset");
    // A TLS alert at most: seven bytes, nothing of the request.
    assert!(answer.is_empty() || (answer[0] == 0x15 && answer.len() == 7), "{answer:?}");
    eventually("counted", || server.telemetry().limit_hits(Limit::TlsHandshake) == 1);
    assert!(get(server.local_addr(), &world.client(None), "").is_ok(), "the server goes on");

    let server = plain_server();
    assert!(get(server.local_addr(), &world.client(None), "").is_err());
    eventually("counted", || server.telemetry().limit_hits(Limit::TlsHello) == 1);
}

#[test]
fn a_renewed_certificate_is_shown_to_new_connections_and_a_broken_one_to_nobody() {
    let world = World::new();
    let server = world.spawn(TLS);
    let (address, telemetry) = (server.local_addr(), server.telemetry());
    let client = world.client(None);
    let open = |config| {
        let mut client = connect(address, config);
        client.write_all(REQUEST).expect("the server takes bytes");
        let mut head = [0; 15];
        client.read_exact(&mut head).expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 200 OK");
        client
    };
    let mut old = open(&client);
    let first = shown(&old);
    assert_eq!(shown(&open(&client)), first);

    world.renew();
    eventually("the new one is shown", || shown(&open(&client)) != first);
    let second = shown(&open(&client));
    old.write_all(REQUEST).expect("an open connection goes on");
    old.read_exact(&mut [0; 15]).expect("with its answers");

    let errors = telemetry.config_reload_errors();
    world.directory.write("server.crt", "no certificate");
    eventually("an error", || telemetry.config_reload_errors() == errors + 1);
    assert!(!telemetry.config_is_current());
    assert_eq!(shown(&open(&client)), second);
    // TLS cannot be taken away by an empty file, which a file that is being written is.
    world.renew();
    eventually("the files are taken again", || telemetry.config_is_current());
    let third = shown(&open(&client));
    world.directory.write("web.yml", "");
    eventually("an error", || !telemetry.config_is_current());
    assert_eq!(shown(&open(&client)), third);
    assert!(Client::connect(address).send(REQUEST).rest().len() <= 7, "no answer in plain");
}

/// A file that is written in steps is a part of itself in between: each part that would be taken if it
/// were the first one either asks the same of clients or is not taken.
#[test]
fn a_half_written_file_lets_no_client_in_that_has_no_certificate() {
    let world = World::new();
    let whole = format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  \
         client_allowed_sans:\n  - prometheus.example\n  - other.example\n\
         rate_limit: {{interval: 1ms, burst: 1000}}\n"
    );
    let server = world.spawn(&whole);
    let (address, telemetry) = (server.local_addr(), server.telemetry());
    let name = |name: &str| SanType::DnsName(name.try_into().expect("a name"));
    let known = world.ours.client(vec![name("prometheus.example")]);
    let nobody = world.ours.client(vec![name("nobody.example")]);
    let only_the_known_get_in = |place: &str| {
        assert!(get(address, &world.client(Some(&known)), "").is_ok(), "{place}");
        assert!(get(address, &world.client(Some(&nobody)), "").is_err(), "{place}");
        assert!(get(address, &world.client(None), "").is_err(), "{place}");
    };
    only_the_known_get_in("as it was");
    let lines: Vec<&str> = whole.lines().collect();
    for count in 0..lines.len() {
        let errors = telemetry.config_reload_errors();
        world.directory.write("web.yml", &lines[..count].join("\n"));
        eventually("it is not taken", || telemetry.config_reload_errors() > errors);
        only_the_known_get_in(&format!("{count} lines"));
    }
    for (from, to) in [
        ("RequireAndVerifyClientCert", "VerifyClientCertIfGiven"),
        ("- other.example", "- nobody.example"),
    ] {
        let errors = telemetry.config_reload_errors();
        world.directory.write("web.yml", &whole.replace(from, to));
        eventually("it is not taken", || telemetry.config_reload_errors() > errors);
        only_the_known_get_in(to);
    }
    let reloads = telemetry.config_reloads();
    world.directory.write("web.yml", &whole.replace("  - other.example\n", ""));
    eventually("a stricter one is taken", || telemetry.config_reloads() > reloads);
    only_the_known_get_in("stricter");
}

#[test]
fn large_bodies_arrive_whole_and_slow_readers_are_cut() {
    const BODY_BYTES: usize = 8 << 20;
    let world = World::new();
    let mut limits = Limits::default();
    limits.write_deadline = Duration::from_secs(1);
    limits.write_window = Duration::from_secs(20);
    let server = Server::builder()
        .web_config_file(world.directory.write("web.yml", TLS))
        .limits(limits)
        .exposition(|_: &ScrapeRequest<'_>, body: &mut BytesMut| {
            body.extend((0..BODY_BYTES).map(|index| b'a' + (index % 23) as u8));
            Ok(ContentType::TEXT_0_0_4)
        })
        .spawn()
        .expect("a server");
    let answer = get(server.local_addr(), &world.client(None), "").expect("an answer");
    let body = answer.split_once("\r\n\r\n").expect("a head").1.as_bytes();
    assert_eq!(body.len(), BODY_BYTES);
    assert!(body.iter().enumerate().all(|(index, &byte)| byte == b'a' + (index % 23) as u8));

    let mut slow = connect(server.local_addr(), &world.client(None));
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n").expect("it takes bytes");
    slow.read_exact(&mut [0; 15]).expect("the beginning");
    eventually("it is cut", || server.telemetry().limit_hits(Limit::WriteDeadline) == 1);
    assert!(slow.read_to_end(&mut Vec::new()).is_err(), "the rest never comes");
}

#[test]
fn a_reader_that_stops_is_closed_wherever_its_bytes_wait() {
    // From what the kernel takes whole, over what fits into rustls behind it, to what waits in hyper.
    const BODY_BYTES_MAX: usize = 8 << 20;
    const STEP_BYTES: usize = 30 << 10; // Below what rustls holds, so that one size ends there.
    let world = World::new();
    let mut limits = Limits::default();
    limits.write_deadline = Duration::from_millis(300);
    limits.keep_alive_idle = Duration::from_millis(300);
    limits.write_window = Duration::from_secs(20);
    let server = Server::builder()
        .web_config_file(world.directory.write("web.yml", TLS))
        .limits(limits)
        .exposition(|request: &ScrapeRequest<'_>, body: &mut BytesMut| {
            let bytes = request.query().and_then(|query| query.parse().ok()).expect("a number");
            body.resize(bytes, b'a');
            Ok(ContentType::TEXT_0_0_4)
        })
        .spawn()
        .expect("a server");
    let telemetry = server.telemetry();
    let client = world.client(None);
    let sizes: Vec<usize> = (1..BODY_BYTES_MAX / STEP_BYTES).map(|n| n * STEP_BYTES).collect();
    for sizes in sizes.chunks(32) {
        let clients: Vec<_> = sizes
            .iter()
            .map(|bytes| {
                let mut client = connect(server.local_addr(), &client);
                let head = format!("GET /metrics?{bytes} HTTP/1.1\r\nHost: test\r\n\r\n");
                client.write_all(head.as_bytes()).expect("the server takes bytes");
                client
            })
            .collect();
        eventually("all are closed", || telemetry.connections_open() == 0);
        drop(clients);
        if telemetry.limit_hits(Limit::WriteDeadline) as usize > sizes.len() {
            break; // Beyond the sizes that matter.
        }
    }
    assert!(telemetry.limit_hits(Limit::KeepAliveIdle) > 0, "some were taken by the kernel");
    assert!(telemetry.limit_hits(Limit::WriteDeadline) > 0, "some were not");
}

#[cfg(unix)]
#[test]
fn a_unix_socket_stays_plain() {
    let world = World::new();
    let path = world.directory.path("sock");
    let server = Server::builder()
        .web_config_file(world.directory.write("web.yml", TLS))
        .unix_socket(&path)
        .exposition(up)
        .spawn()
        .expect("a server");
    let mut client = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    client.write_all(b"GET /live HTTP/1.0\r\n\r\n").expect("it takes bytes");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.0 200 OK"), "{answer}");
    drop(server);
}

#[test]
fn each_bad_file_is_refused_by_line_and_key() {
    let world = World::new();
    world.directory.write("empty.pem", "");
    let other = world.theirs.server();
    world.directory.write("other.key", &other.key);
    let tls = "tls_server_config:\n";
    let key = "  key_file: server.key\n";
    for (config, place, part) in [
        ("tls_server_config: {}", "1: `tls_server_config.cert_file`", "missing"),
        (&format!("{tls}{key}"), "2: `tls_server_config.cert_file`", "missing"),
        (&format!("{tls}  cert_file: server.crt"), "2: `tls_server_config.key_file`", "missing"),
        (&format!("{tls}  cert_file: no.crt\n{key}"), "2: `tls_server_config.cert_file`", "no.crt"),
        (&format!("{tls}  cert_file: .\n{key}"), "2: `tls_server_config.cert_file`", "regular"),
        (
            &format!("{tls}  cert_file: empty.pem\n{key}"),
            "2: `tls_server_config.cert_file`",
            "no certificate in PEM",
        ),
        (
            &format!("{tls}  cert_file: server.crt\n  key_file: server.crt\n"),
            "3: `tls_server_config.key_file`",
            "no private key in PEM",
        ),
        (
            &format!("{tls}  cert_file: server.crt\n  key_file: other.key\n"),
            "3: `tls_server_config.key_file`",
            "",
        ),
        (&format!("{TLS}  cert: x"), "4: `tls_server_config.cert`", "beside `cert_file`"),
        (&format!("{TLS}  key: s3cret"), "4: `tls_server_config.key`", "beside `key_file`"),
        (&format!("{TLS}  cert_fle: x"), "4: `tls_server_config.cert_fle`", "unknown key"),
        (&format!("{TLS}  min_version: TLS10"), "4: `tls_server_config.min_version`", "TLS12 or"),
        (&format!("{TLS}  max_version: SSL30"), "4: `tls_server_config.max_version`", "TLS12 or"),
        (
            &format!("{TLS}  min_version: TLS13\n  max_version: TLS12"),
            "4: `tls_server_config.min_version`",
            "above `max_version`",
        ),
        (
            &format!("{TLS}  cipher_suites:\n  - TLS_RSA_WITH_AES_128_CBC_SHA"),
            "5: `tls_server_config.cipher_suites`",
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        ),
        (
            &format!("{TLS}  curve_preferences: [CurveP521]"),
            "4: `tls_server_config.curve_preferences`",
            "X25519, CurveP256, CurveP384",
        ),
        (
            &format!("{TLS}  prefer_server_cipher_suites: maybe"),
            "4: `tls_server_config.prefer_server_cipher_suites`",
            "true or false",
        ),
        (
            &format!("{TLS}  client_auth_type: Always"),
            "4: `tls_server_config.client_auth_type`",
            "RequireAndVerifyClientCert",
        ),
        (
            &format!("{TLS}  client_ca_file: ca.crt"),
            "4: `tls_server_config.client_ca_file`",
            "without effect",
        ),
        (
            &format!("{TLS}  client_allowed_sans: [a]"),
            "4: `tls_server_config.client_allowed_sans`",
            "without effect",
        ),
        (
            &format!("{TLS}  client_auth_type: RequireAndVerifyClientCert"),
            "2: `tls_server_config.client_ca_file`",
            "missing",
        ),
        (
            &format!(
                "{TLS}  client_auth_type: VerifyClientCertIfGiven\n  client_ca_file: server.key"
            ),
            "5: `tls_server_config.client_ca_file`",
            "no certificate in PEM",
        ),
        (&format!("{TLS}{TLS}"), "4: `tls_server_config`", "given twice"),
    ] {
        let error = world.try_spawn(config).map(drop).expect_err(config).to_string();
        let place = format!("web.yml:{place}: ");
        assert!(error.contains(&place) && error.contains(part), "{config}\n{error}");
        assert!(!error.contains("s3cret") && !error.contains("PRIVATE"), "{error}");
    }
    fs::remove_file(world.directory.path("web.yml")).expect("it was there");
    let missing = world.directory.path("web.yml");
    let error = Server::builder().web_config_file(missing).exposition(up).spawn();
    assert!(error.map(drop).expect_err("no file").to_string().contains("web.yml: "));
}
