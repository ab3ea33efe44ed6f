//! Attacks that wait: heads that are dribbled, connections that say nothing, pages that are not taken.
//!
//! They cost no processor time, so all servers suffer them at the same time, which also gives them the same
//! machine.

use super::client::{self, SCRAPE};
use super::figures::Figure;
use super::under_load::{Confines, UnderLoad};
use super::{Outcome, Plan, at_once};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// Connections that send a byte of their head now and then: more than ours accepts.
const DRIBBLERS: usize = 300;
/// Connections that send nothing: fewer than ours accepts, so that only a deadline can close them.
const SILENT: usize = 40;
/// Time between two bytes of a head.
const DRIBBLE: Duration = Duration::from_millis(200);
/// Time until the clients that are still there are counted: a second more than our deadline.
const HEADS: Duration = Duration::from_secs(6);

/// Clients that ask for pages and read a byte a second.
const READERS: usize = 10;
/// Requests that each of them sends: 3 MB of pages, more than the kernel takes off the server's hands.
const PAGES: usize = 16;
/// Receive buffer that they ask for, for the same reason.
const RECEIVE_BUFFER: usize = 4096;
/// Longest time that we wait for them to be closed.
const READING: Duration = Duration::from_secs(20);

pub(super) fn slow_heads(plan: &Plan) -> Outcome<Vec<Figure>> {
    let wait = if plan.quick { HEADS / 4 } else { HEADS };
    let rows = at_once(|server| {
        let dribbled = UnderLoad::start(server, Confines::default())?;
        let silenced = UnderLoad::start(server, Confines::default())?;
        let memory = dribbled.memory_kib()?;
        let mut dribblers = connections(dribbled.address, DRIBBLERS)?;
        let mut silent = connections(silenced.address, SILENT)?;
        let begin = Instant::now();
        let mut scrapes = Vec::new();
        // A whole line before the end that never comes, then one byte of a further line after the other.
        let head = b"GET /metrics HTTP/1.1\r\nHost: attacked\r\nX: ".iter();
        for byte in head.chain(std::iter::repeat(&b'x')) {
            dribblers.retain_mut(|stream| stream.write_all(&[*byte]).is_ok());
            scrapes.extend(dribbled.try_scrape(Duration::from_secs(2)));
            thread::sleep(DRIBBLE);
            if begin.elapsed() >= wait {
                break;
            }
        }
        let waited = wait.as_secs_f64();
        dribblers.retain_mut(client::is_alive);
        silent.retain_mut(client::is_alive);
        let figure = |figure: String, value| Figure { attack: "heads", figure, server, value };
        scrapes.sort_unstable_by(f64::total_cmp);
        Ok(vec![
            figure(
                format!("{DRIBBLERS} dribbled heads: alive after {waited} s"),
                Some(dribblers.len() as f64),
            ),
            figure(
                format!("{SILENT} silent connections: alive after {waited} s"),
                Some(silent.len() as f64),
            ),
            figure(
                "a scrape beside the dribbled heads, median ms".into(),
                scrapes.get(scrapes.len() / 2).copied(),
            ),
            figure("memory that they cost, KiB".into(), Some(dribbled.memory_kib()? - memory)),
        ])
    })?;
    Ok(rows.concat())
}

pub(super) fn slow_readers(plan: &Plan) -> Outcome<Vec<Figure>> {
    let wait = if plan.quick { READING / 5 } else { READING };
    let rows = at_once(|server| {
        let under_load = UnderLoad::start(server, Confines::default())?;
        let memory = under_load.memory_kib()?;
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let mut stream = reader(under_load.address)?;
            stream.write_all(&page().repeat(PAGES))?;
            readers.push(stream);
        }
        let begin = Instant::now();
        let (mut grown, mut last_closed) = (0.0, None);
        while !readers.is_empty() && begin.elapsed() < wait {
            thread::sleep(Duration::from_secs(1));
            let before = readers.len();
            readers.retain_mut(takes_a_byte);
            if readers.len() < before {
                last_closed = Some(begin.elapsed().as_secs_f64());
            }
            grown = f64::max(grown, under_load.memory_kib()? - memory);
        }
        let figure = |figure: String, value| Figure { attack: "readers", figure, server, value };
        let closed = if readers.is_empty() { last_closed } else { None };
        Ok(vec![
            figure(
                format!(
                    "{READERS} clients that read 1 B/s of {PAGES} pages: closed after, s (of {})",
                    wait.as_secs_f64()
                ),
                closed,
            ),
            figure("memory that they cost, KiB".into(), Some(grown)),
        ])
    })?;
    Ok(rows.concat())
}

fn connections(address: SocketAddr, count: usize) -> std::io::Result<Vec<TcpStream>> {
    (0..count).map(|_| client::connect(address, Duration::from_secs(2))).collect()
}

/// A connection that takes little off the server's hands.
fn reader(address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.connect_timeout(&address.into(), Duration::from_secs(2))?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Returns whether it is still served, or might be. A reset does not take away what has been received: reading alone would not
/// see it for hours.
fn takes_a_byte(stream: &mut TcpStream) -> bool {
    if !matches!(stream.take_error(), Ok(None)) {
        return false;
    }
    match stream.read(&mut [0]) {
        Ok(count) => count > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

/// A scrape that leaves its connection open.
fn page() -> Vec<u8> {
    let text = String::from_utf8_lossy(SCRAPE).replace("Connection: close\r\n", "");
    text.into_bytes()
}
