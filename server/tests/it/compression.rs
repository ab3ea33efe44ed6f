//! Compressed bodies: for clients that accept them, each made once.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use crate::common::{Client, Gate, Reply, eventually, get, up};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{
    Compression, ContentType, ExposeError, RunningServer, ScrapeRequest, Server,
};

fn page() -> String {
    (0..2000).map(|n| format!("requests_total{{model=\"m{n}\"}} {}\n", n * n)).collect()
}

fn large(_: &ScrapeRequest<'_>, body: &mut BytesMut) -> Result<ContentType, ExposeError> {
    body.extend_from_slice(page().as_bytes());
    Ok(ContentType::TEXT_0_0_4)
}

/// Returns the output of a program that is fed these bytes; `None` if there is no such program.
fn judged(program: &str, args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let command =
        Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = command else {
        let required = std::env::var_os("DYNAMO_METRICS_JUDGES").is_some_and(|it| it == "required");
        assert!(!required, "{program} is not installed: bash ci/install.sh");
        eprintln!("skipped: {program} is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().expect("a pipe");
    let output = thread::scope(|scope| {
        // Closed when it is written.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().expect("its output")
    });
    assert!(output.status.success(), "{program} refuses it: {}", output.status);
    Some(output.stdout)
}

/// The first scrape is searched, the others follow what it found.
#[test]
fn gzip_is_read_by_the_decoders_of_others() {
    let server = server(Compression::default());
    let mut client = Client::connect(server.local_addr());
    for _ in 0..3 {
        let reply = scrape(&mut client, "gzip");
        assert_eq!(unzipped(&reply), page());
        judged("gzip", &["-t"], &reply.body);
        for (program, args) in [
            ("gzip", &["-dc"][..]),
            (
                "python3",
                &[
                    "-c",
                    "import gzip, sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))",
                ],
            ),
        ] {
            if let Some(text) = judged(program, args, &reply.body) {
                assert!(text == page().as_bytes(), "{program}");
            }
        }
    }
}

fn server(compression: Compression) -> RunningServer {
    Server::builder().exposition(large).compression(compression).spawn().expect("a server")
}

fn scrape(client: &mut Client, accept_encoding: &str) -> Reply {
    let head = "GET /metrics HTTP/1.1\r\nHost: t\r\n";
    client.send(format!("{head}Accept-Encoding: {accept_encoding}\r\n\r\n")).reply()
}

fn unzipped(reply: &Reply) -> String {
    assert_eq!(reply.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&reply.body[..]).read_to_string(&mut text).expect("gzip");
    text
}

#[test]
fn who_asks_for_gzip_gets_it_and_nobody_else() {
    let server = server(Compression::default());
    let mut client = Client::connect(server.local_addr());
    for (accepted, is_gzip) in [
        ("gzip", true),
        ("gzip, deflate, br", true),
        ("*", true),
        ("gzip;q=0", false),
        ("identity", false),
        ("gzip;q=0.1, identity;q=0.2", false),
        ("deflate", false),
        ("zstd", false),
    ] {
        let reply = scrape(&mut client, accepted);
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("vary"), Some("Accept, Accept-Encoding"), "{accepted}");
        assert_eq!(reply.header("content-type"), Some(ContentType::TEXT_0_0_4.as_str()));
        if is_gzip {
            assert_eq!(unzipped(&reply), page(), "{accepted}");
            assert!(reply.body.len() < page().len() / 3, "{}", reply.body.len());
        } else {
            assert_eq!(reply.header("content-encoding"), None, "{accepted}");
            assert_eq!(reply.text(), page(), "{accepted}");
        }
    }
    assert_eq!(client.get("/metrics").text(), page());
    let (before, after) = server.telemetry().compression_bytes();
    assert_eq!((server.telemetry().compressions(), before), (3, 3 * page().len() as u64));
    assert!(after > 0 && after < before / 3 && !server.telemetry().compression_time().is_zero());
}

#[test]
fn head_tells_the_length_of_what_get_would_send() {
    let server = server(Compression::default());
    let mut client = Client::connect(server.local_addr());
    let head = "HEAD /metrics HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n";
    let head = client.send(head).head();
    let get = scrape(&mut client, "gzip");
    assert_eq!(head.headers_but_date(), get.headers_but_date());
}

#[test]
fn small_bodies_probes_and_errors_are_sent_as_they_are() {
    let small = Server::builder().exposition(up).spawn().expect("a server");
    let mut client = Client::connect(small.local_addr());
    let reply = scrape(&mut client, "gzip");
    assert_eq!((reply.header("content-encoding"), reply.text()), (None, "up 1\n"));
    // Unless the plain text is refused.
    assert_eq!(unzipped(&scrape(&mut client, "gzip, identity;q=0")), "up 1\n");
    let probe = client.send("GET /health HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n");
    let reply = probe.reply();
    assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, None));

    let failing = |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
        body.resize(100_000, b'x');
        Err::<ContentType, _>(ExposeError::failed("Failed"))
    };
    let failing = Server::builder().exposition(failing).spawn().expect("a server");
    let reply = scrape(&mut Client::connect(failing.local_addr()), "gzip");
    assert_eq!(
        (reply.status, reply.header("content-encoding"), reply.text()),
        (500, None, "Failed")
    );
}

#[test]
fn switched_off_it_leaves_no_trace() {
    let server = server(Compression::off());
    let reply = scrape(&mut Client::connect(server.local_addr()), "gzip, identity;q=0");
    assert_eq!((reply.header("content-encoding"), reply.header("vary")), (None, None));
    assert_eq!(reply.text(), page());
    assert_eq!(server.telemetry().compressions(), 0);
}

#[test]
fn scrapes_that_share_a_gather_share_its_compression() {
    let gate = Gate::default();
    let everything = Compression::default().with_bytes_min(0);
    let builder = Server::builder().exposition(gate.clone()).compression(everything);
    let server = builder.spawn().expect("a server");
    let mut first = Client::connect(server.local_addr());
    first.send("GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n");
    gate.wait_for(1);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(server.local_addr())).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let coding = if index % 2 == 0 { "gzip" } else { "identity" };
        client
            .send(format!("GET /metrics HTTP/1.1\r\nHost: t\r\nAccept-Encoding: {coding}\r\n\r\n"));
    }
    // Probes behind them, on the thread that reads them: when these are answered, all scrapes wait.
    for _ in 0..10 {
        assert_eq!(get(server.local_addr(), "/live").status, 200);
    }
    gate.allow(2);
    for (index, client) in clients.iter_mut().enumerate() {
        let reply = client.reply();
        let text = if index % 2 == 0 { unzipped(&reply) } else { reply.text().to_owned() };
        assert_eq!(text, "gather 2\n");
    }
    assert_eq!((server.telemetry().gathers(), server.telemetry().compressions()), (2, 1));
}

#[test]
fn in_steady_state_no_buffer_is_made() {
    let server = server(Compression::default());
    let mut client = Client::connect(server.local_addr());
    for _ in 0..50 {
        assert_eq!(unzipped(&scrape(&mut client, "gzip")), page());
    }
    // One for the text and one for what is sent.
    assert_eq!(server.telemetry().buffers_allocated(), 2);
}

#[test]
fn probes_do_not_wait_for_a_compression() {
    // Some 100 ms of compression for each scrape, on the gather thread.
    let huge = |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
        (0..400).for_each(|_| body.extend_from_slice(page().as_bytes()));
        Ok(ContentType::TEXT_0_0_4)
    };
    let server = Server::builder().exposition(huge).spawn().expect("a server");
    let address = server.local_addr();
    thread::scope(|scope| {
        let scraper = scope.spawn(move || scrape(&mut Client::connect(address), "gzip"));
        eventually("its gather is over", || server.telemetry().gathers() == 1);
        let mut probes = 0;
        while server.telemetry().compressions() == 0 {
            assert_eq!(get(address, "/live").status, 200);
            probes += 1;
        }
        assert!(probes > 1, "{probes}");
        assert_eq!(scraper.join().expect("no panic").status, 200);
    });
}

#[cfg(feature = "zstd")]
#[test]
fn zstd_is_sent_when_it_is_offered_and_liked_as_much() {
    let server = server(Compression::default().with_zstd());
    let mut client = Client::connect(server.local_addr());
    for accepted in ["zstd", "gzip, zstd"] {
        let reply = scrape(&mut client, accepted);
        assert_eq!(reply.header("content-encoding"), Some("zstd"));
        let text = zstd::decode_all(&reply.body[..]).expect("zstd");
        assert!(text == page().as_bytes());
    }
    assert_eq!(unzipped(&scrape(&mut client, "zstd;q=0.9, gzip")), page());
}
