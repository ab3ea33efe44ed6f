//! The clients that are let in over TLS: versions, suites, curves, the five modes of client certificates and their
//! names. The cases are those of exporter-toolkit's `TestServerBehaviour`.

use crate::common::eventually;
use crate::pki::{Identity, TLS, World, client, connect, get};
use dynamo_metrics_server::Limit;
use rcgen::SanType;
use rustls::crypto::{CryptoProvider, ring};
use rustls::version::{TLS12, TLS13};
use std::io::{Read, Write};

fn assert_served(outcome: &Result<String, String>, what: &str) {
    let answer = outcome.as_ref().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{what}: {answer}");
    assert!(answer.ends_with("up 1\n"), "{what}: {answer}");
}

fn assert_refused(outcome: &Result<String, String>, what: &str) {
    assert!(outcome.is_err(), "{what}: {outcome:?}");
}

#[test]
fn certificates_may_be_files_or_inline() {
    let world = World::new();
    assert_served(&get(world.spawn(TLS).local_addr(), &world.client(None), ""), "files");
    let Identity { cert, key } = world.ours.server();
    let indent = |pem: &str| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let inline =
        format!("tls_server_config:\n  cert: |\n{}  key: |\n{}", indent(&cert), indent(&key));
    let server = world.spawn(&inline);
    assert_served(&get(server.local_addr(), &world.client(None), ""), "inline");
    let stranger = client(&world.theirs.cert, None, ring::default_provider(), rustls::ALL_VERSIONS);
    let refused = get(server.local_addr(), &stranger, "");
    assert!(refused.is_err_and(|error| error.contains("UnknownIssuer")));
}

#[test]
fn versions_meet_or_do_not() {
    let world = World::new();
    for (config, served_12, served_13) in [
        ("", true, true),
        ("  min_version: TLS12\n  max_version: TLS13\n", true, true),
        ("  min_version: TLS13\n", false, true),
        ("  max_version: TLS12\n", true, false),
        ("  min_version: TLS12\n  max_version: TLS12\n", true, false),
    ] {
        let server = world.spawn(&format!("{TLS}{config}"));
        for (version, served) in [(&TLS12, served_12), (&TLS13, served_13)] {
            let client = world.client_with(None, ring::default_provider(), &[version]);
            let outcome = get(server.local_addr(), &client, "");
            let what = format!("{config} {version:?}");
            if served { assert_served(&outcome, &what) } else { assert_refused(&outcome, &what) }
        }
    }
}

#[test]
fn suites_and_curves_meet_or_do_not() {
    let world = World::new();
    let suite = |name| {
        let mut provider = ring::default_provider();
        provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()) == name);
        provider
    };
    let curve = |group| CryptoProvider { kx_groups: vec![group], ..ring::default_provider() };
    let one_suite = "  max_version: TLS12\n  prefer_server_cipher_suites: false\n  \
                     cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384]\n";
    let one_curve = "  curve_preferences:\n  - CurveP384\n";
    for (config, provider, served) in [
        (one_suite, suite("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"), true),
        (one_suite, suite("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"), false),
        (one_curve, curve(ring::kx_group::SECP384R1), true),
        (one_curve, curve(ring::kx_group::X25519), false),
    ] {
        let server = world.spawn(&format!("{TLS}{config}"));
        let is_12 = config == one_suite;
        let version = if is_12 { &TLS12 } else { &TLS13 };
        let client = world.client_with(None, provider, &[version]);
        let outcome = get(server.local_addr(), &client, "");
        if served {
            assert_served(&outcome, config)
        } else {
            assert_refused(&outcome, config)
        }
        // The client learns of it before the server has counted it.
        eventually(config, || {
            server.telemetry().limit_hits(Limit::TlsHandshake) == u64::from(!served)
        });
    }
    // As in Go, a list of 1.2's suites takes nothing from 1.3.
    let names =
        "  cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n";
    let server = world.spawn(&format!("{TLS}{names}"));
    let client = world.client_with(None, suite("TLS13_CHACHA20_POLY1305_SHA256"), &[&TLS13]);
    assert_served(&get(server.local_addr(), &client, ""), names);
}

#[test]
fn each_mode_of_client_certificates_lets_in_whom_it_should() {
    let world = World::new();
    let ours = world.ours.client(Vec::new());
    let (theirs, expired) = (world.theirs.client(Vec::new()), world.ours.expired_client());
    let clients = [None, Some(&ours), Some(&theirs), Some(&expired)];
    for (mode, ca, served) in [
        ("NoClientCert", false, [true, true, true, true]),
        ("RequestClientCert", false, [true, true, true, true]),
        ("RequestClientCert", true, [true, true, true, true]),
        ("RequireAnyClientCert", false, [false, true, true, true]),
        ("VerifyClientCertIfGiven", true, [true, true, false, false]),
        ("RequireAndVerifyClientCert", true, [false, true, false, false]),
    ] {
        let ca = if ca { "  client_ca_file: ca.crt\n" } else { "" };
        let server = world.spawn(&format!("{TLS}  client_auth_type: {mode}\n{ca}"));
        for version in [&TLS12, &TLS13] {
            for (index, (identity, served)) in clients.into_iter().zip(served).enumerate() {
                let client = world.client_with(identity, ring::default_provider(), &[version]);
                let outcome = get(server.local_addr(), &client, "");
                let what = format!("{mode}, client {index}, {version:?}");
                if served {
                    assert_served(&outcome, &what);
                } else {
                    assert_refused(&outcome, &what);
                }
            }
        }
        let refused = 2 * served.iter().filter(|served| !**served).count() as u64;
        eventually(mode, || server.telemetry().limit_hits(Limit::TlsHandshake) == refused);
    }
}

#[test]
fn one_of_the_allowed_names_must_be_in_the_certificate() {
    let world = World::new();
    let text = |name: &str| name.try_into().expect("ASCII");
    let dns = world.ours.client(vec![SanType::DnsName(text("prometheus.test"))]);
    let mail = world.ours.client(vec![SanType::Rfc822Name(text("ops@example.test"))]);
    let uri = world.ours.client(vec![SanType::URI(text("spiffe://cluster/prometheus"))]);
    let v4 = world.ours.client(vec![SanType::IpAddress([10, 0, 0, 7].into())]);
    let v6 = world.ours.client(vec![SanType::IpAddress("::7".parse().expect("an address"))]);
    let other = SanType::DnsName(text("other.test"));
    let both = world.ours.client(vec![other.clone(), SanType::IpAddress([10, 0, 0, 7].into())]);
    let (wrong, none) = (world.ours.client(vec![other]), world.ours.client(Vec::new()));
    let names = "prometheus.test, ops@example.test, spiffe://cluster/prometheus, 10.0.0.7, '0::7'";
    let server = world.spawn(&format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  \
         client_allowed_sans: [{names}]\n"
    ));
    for (index, identity) in [&dns, &mail, &uri, &v4, &v6, &both].into_iter().enumerate() {
        let outcome = get(server.local_addr(), &world.client(Some(identity)), "");
        assert_served(&outcome, &format!("name {index}"));
    }
    for identity in [&wrong, &none] {
        let outcome = get(server.local_addr(), &world.client(Some(identity)), "");
        assert_refused(&outcome, "no name that is allowed");
    }
    // A certificate that was not verified is still held to the names, as by the toolkit.
    let server = world.spawn(&format!(
        "{TLS}  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [prometheus.test]\n"
    ));
    assert_served(&get(server.local_addr(), &world.client(Some(&dns)), ""), "any CA");
    assert_refused(&get(server.local_addr(), &world.client(Some(&wrong)), ""), "any CA");
}

#[test]
fn http_1_is_what_is_agreed_on() {
    let world = World::new();
    let server = world.spawn(TLS);
    let mut both = world.client(None);
    both.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut client = connect(server.local_addr(), &both);
    client.write_all(b"GET /live HTTP/1.0\r\n\r\n").expect("the server takes bytes");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer and a clean end");
    assert!(answer.starts_with("HTTP/1.0 200 OK"), "{answer}");
    assert_eq!(client.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut only_2 = world.client(None);
    only_2.alpn_protocols = vec![b"h2".to_vec()];
    assert_refused(&get(server.local_addr(), &only_2, ""), "h2 alone");
}

#[test]
fn passwords_and_headers_hold_over_tls() {
    let world = World::new();
    let hash = bcrypt_of("secret");
    let server = world.spawn(&format!(
        "{TLS}basic_auth_users:\n  prometheus: {hash}\nhttp_server_config:\n  http2: false\n  \
         headers:\n    Strict-Transport-Security: max-age=31536000\n"
    ));
    let client = world.client(None);
    // base64 of `prometheus:secret`
    let right = "Authorization: Basic cHJvbWV0aGV1czpzZWNyZXQ=\r\n";
    let served = get(server.local_addr(), &client, right);
    assert_served(&served, "password");
    let refused = get(server.local_addr(), &client, "").expect("an answer");
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    for answer in [served.expect("an answer"), refused] {
        assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
    }
}

fn bcrypt_of(password: &str) -> String {
    bcrypt::hash(password, 4).expect("a hash")
}
