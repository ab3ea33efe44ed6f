//! Clients that vanish at every byte: nothing panics, nothing leaks, the next one is served.

#[path = "it/common/mod.rs"]
mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::common::{PATIENCE, eventually, get, plain_server};
use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{ContentType, RunningServer, ScrapeRequest, Server};

const REQUESTS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n\
    GET /live HTTP/1.1\r\nHost: t\r\n\r\nPOST /live HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\n";

static TURN: Mutex<()> = Mutex::new(());

/// How a client goes away.
#[derive(Clone, Copy, Debug)]
enum Exit {
    Close,
    Reset,
    HalfClose,
}

fn leave(stream: TcpStream, exit: Exit) {
    match exit {
        Exit::Close => {}
        Exit::Reset => {
            let socket = socket2::SockRef::from(&stream);
            socket.set_linger(Some(Duration::ZERO)).expect("an option of TCP");
        }
        Exit::HalfClose => {
            // Waits for the server's end, which must come.
            stream.shutdown(std::net::Shutdown::Write).expect("an open connection");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
            match (&stream).read_to_end(&mut Vec::new()) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
                }
            }
        }
    }
}

#[test]
fn a_client_that_goes_away_at_any_byte_of_its_requests_costs_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let server = plain_server();
    let before = descriptors_at_rest(&server);
    for exit in [Exit::Close, Exit::Reset, Exit::HalfClose] {
        for end in 0..=REQUESTS.len() {
            let mut stream = TcpStream::connect(server.local_addr()).expect("the server listens");
            stream.write_all(&REQUESTS[..end]).expect("the server takes bytes");
            leave(stream, exit);
        }
    }
    is_as_before(&server, before);
}

#[test]
fn a_client_that_goes_away_at_any_byte_of_its_response_costs_nothing() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let server = plain_server();
    let whole = {
        let mut stream = TcpStream::connect(server.local_addr()).expect("the server listens");
        stream.write_all(REQUESTS).expect("the server takes bytes");
        let mut whole = Vec::new();
        stream.read_to_end(&mut whole).expect("it closes after a body");
        whole.len()
    };
    let before = descriptors_at_rest(&server);
    for exit in [Exit::Close, Exit::Reset] {
        for end in 0..whole {
            let mut stream = TcpStream::connect(server.local_addr()).expect("the server listens");
            stream.write_all(REQUESTS).expect("the server takes bytes");
            stream.read_exact(&mut vec![0; end]).expect("so many bytes come");
            leave(stream, exit);
        }
    }
    is_as_before(&server, before);
}

/// Larger than the sockets' buffers, so that the server is in the middle of it when its client goes.
#[test]
fn a_client_that_goes_away_inside_of_a_large_page_costs_nothing() {
    const PAGE: usize = 16 << 20;
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let large = |_: &ScrapeRequest<'_>, body: &mut BytesMut| {
        body.resize(PAGE, b'#');
        Ok(ContentType::TEXT_0_0_4)
    };
    let server = Server::builder().exposition(large).spawn().expect("a server");
    let before = descriptors_at_rest(&server);
    for exit in [Exit::Close, Exit::Reset] {
        for end in (0..PAGE).step_by(PAGE / 24) {
            let mut stream = TcpStream::connect(server.local_addr()).expect("the server listens");
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: t\r\n\r\n").expect("it takes bytes");
            stream.read_exact(&mut vec![0; end]).expect("so many bytes come");
            leave(stream, exit);
        }
    }
    is_as_before(&server, before);
    // Each page went back to the pool, and none was made for a client that had gone.
    let made = server.telemetry().buffers_allocated();
    assert!(made <= 3, "{made} buffers");
}

#[test]
fn requests_cut_into_two_packets_anywhere_are_answered_alike() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let server = plain_server();
    let answer = |cut: usize| {
        let mut stream = TcpStream::connect(server.local_addr()).expect("the server listens");
        stream.set_nodelay(true).expect("an option of TCP");
        stream.write_all(&REQUESTS[..cut]).expect("the server takes bytes");
        std::thread::sleep(Duration::from_millis(1));
        stream.write_all(&REQUESTS[cut..]).expect("the server takes bytes");
        let mut whole = Vec::new();
        stream.read_to_end(&mut whole).expect("it closes after a body");
        let text = String::from_utf8(whole).expect("a text");
        text.lines().filter(|line| !line.starts_with("date")).map(str::to_owned).collect::<Vec<_>>()
    };
    let whole = answer(0);
    assert_eq!(whole.iter().filter(|line| line.contains("HTTP/1.1 ")).count(), 3, "{whole:?}");
    for cut in 1..REQUESTS.len() {
        assert_eq!(answer(cut), whole, "cut at {cut}");
    }
}

fn is_as_before(server: &RunningServer, before: Option<usize>) {
    eventually("all slots are free", || server.telemetry().connections_open() == 0);
    eventually("all descriptors are back", || descriptors() <= before);
    assert_eq!(server.telemetry().gather_panics(), 0);
    assert_eq!(get(server.local_addr(), "/metrics").status, 200);
}

/// Counted when the server has surely opened all of its own.
fn descriptors_at_rest(server: &RunningServer) -> Option<usize> {
    assert_eq!(get(server.local_addr(), "/live").status, 200);
    eventually("all slots are free", || server.telemetry().connections_open() == 0);
    descriptors()
}

/// Open descriptors of this process, where the system tells. Tests that compare them take turns.
fn descriptors() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}
