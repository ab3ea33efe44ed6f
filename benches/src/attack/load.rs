//! Scrapes a second over loopback, and how long each takes: the server on one processor, its clients on another.
//!
//! Clients keep their connections and ask again as soon as they have a page, one thread a connection. Every server
//! runs from the first round to the last; in each round every one gets its turn, and is compared with ours of the
//! same round. Ours is compared with three kinds: peers as they come, their encoders behind the same bare hyper,
//! and a fixed body of the same size behind that hyper, which is what is left when a scrape costs nothing.
//!
//! On a machine that does something else, rates and the 99th percentile are also that. The server's processor time
//! a scrape is not: it is the figure to trust, and a million over it is what one processor can serve in a second.

use super::servers::{self, SERVERS, STATIC};
use super::under_load::{Confines, UnderLoad};
use super::{Outcome, client};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

/// Connections at the same time: one scraper, and a stampede of some.
const CONNECTIONS: [usize; 2] = [1, 4];
/// A server's turn, and what of it is not counted.
const TURN: Duration = Duration::from_millis(500);
const WARM_UP: Duration = Duration::from_millis(50);
const SERVER_CPU: usize = 0;
const CLIENT_CPU: usize = 1;
/// Larger than a page: a client that reads in small pieces would be what is measured.
const READ_BYTES: usize = 256 << 10;
const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: loaded:9090\r\nUser-Agent: attack\r\n\
    Accept: text/plain;version=0.0.4\r\n\r\n";

/// One server with so many connections.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The server's name.
    pub server: String,
    /// Connections that scrape at the same time.
    pub connections: usize,
    /// Scrapes a second of all connections together, median of the rounds.
    pub scrapes_a_second: f64,
    /// Our scrapes a second over its own, median of the ratios of the rounds.
    pub ours_over_it: f64,
    /// Processor time of the server in microseconds a scrape, its own and the kernel's for it, over all rounds.
    pub cpu_us: f64,
    /// Time of a scrape in microseconds, median of all rounds.
    pub p50_us: f64,
    /// The same, 99th percentile.
    pub p99_us: f64,
}

/// Measures all servers in so many rounds.
///
/// # Errors
/// If a server does not start, gives no page, or there are no two processors.
pub fn throughput(rounds: usize) -> Outcome<Vec<Row>> {
    let mut names: Vec<String> = SERVERS.map(String::from).into();
    names.push(STATIC.into());
    names.extend(servers::behind_hyper_names());
    let confines = Confines { descriptors: None, cpu: Some(SERVER_CPU) };
    let started = names.iter().map(|name| UnderLoad::start(name, confines));
    let servers: Vec<UnderLoad> = started.collect::<Outcome<_>>()?;
    servers::pin(CLIENT_CPU)?;
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let mut turns: Vec<Vec<Turn>> = names.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (turns, server) in turns.iter_mut().zip(&servers) {
                turns.push(turn(server, connections)?);
            }
        }
        let rate = |turn: &Turn| turn.times_us.len() as f64 / (TURN - WARM_UP).as_secs_f64();
        let ours: Vec<f64> = turns[0].iter().map(rate).collect();
        for (name, turns) in names.iter().zip(turns) {
            let rates: Vec<f64> = turns.iter().map(rate).collect();
            let ratios = ours.iter().zip(&rates).map(|(ours, its)| ours / its).collect();
            let cpu: f64 = turns.iter().map(|turn| turn.cpu_seconds).sum();
            let scrapes: usize = turns.iter().map(|turn| turn.scrapes).sum();
            let times: Vec<f64> = turns.into_iter().flat_map(|turn| turn.times_us).collect();
            rows.push(Row {
                cpu_us: cpu * 1e6 / scrapes as f64,
                server: name.clone(),
                connections,
                scrapes_a_second: quantile(rates, 0.5),
                ours_over_it: quantile(ratios, 0.5),
                p50_us: quantile(times.clone(), 0.5),
                p99_us: quantile(times, 0.99),
            });
        }
    }
    Ok(rows)
}

/// A Markdown table: a line for each server, columns for each number of connections.
pub fn table(rows: &[Row]) -> String {
    let mut table = String::from("| server |");
    for connections in CONNECTIONS {
        let _ = write!(
            table,
            " {connections} conn.: scrapes/s | ours over it | CPU us | p50 us | p99 us |"
        );
    }
    let _ = writeln!(table, "\n|---{}|", "|---".repeat(5 * CONNECTIONS.len()));
    for first in rows.iter().filter(|row| row.connections == CONNECTIONS[0]) {
        let _ = write!(table, "| {} |", first.server);
        for row in rows.iter().filter(|row| row.server == first.server) {
            let _ = write!(
                table,
                " {:.0} | {:.2} | {:.0} | {:.0} | {:.0} |",
                row.scrapes_a_second, row.ours_over_it, row.cpu_us, row.p50_us, row.p99_us
            );
        }
        table.push('\n');
    }
    table
}

/// Results of one server in its turn.
struct Turn {
    /// Times of the scrapes that count, in microseconds.
    times_us: Vec<f64>,
    /// All of them, which the processor time is of.
    scrapes: usize,
    cpu_seconds: f64,
}

fn turn(server: &UnderLoad, connections: usize) -> Outcome<Turn> {
    let (address, cpu, begin) = (server.address, server.cpu_seconds()?, Instant::now());
    let clients = thread::scope(|scope| {
        let clients: Vec<_> =
            (0..connections).map(|_| scope.spawn(move || keep_scraping(address, begin))).collect();
        let clients = clients
            .into_iter()
            .map(|client| client.join().unwrap_or_else(|_| Err("a client panicked".into())));
        clients.collect::<Outcome<Vec<_>>>()
    })?;
    Ok(Turn {
        scrapes: clients.iter().map(|(_, scrapes)| scrapes).sum(),
        times_us: clients.into_iter().flat_map(|(times, _)| times).collect(),
        cpu_seconds: server.cpu_seconds()? - cpu,
    })
}

/// Times of the scrapes that count, and how many there were.
fn keep_scraping(address: SocketAddr, begin: Instant) -> Outcome<(Vec<f64>, usize)> {
    let (mut times, mut scrapes) = (Vec::new(), 0);
    let mut buffer = vec![0; READ_BYTES];
    let connect = || -> std::io::Result<_> {
        let stream = client::connect(address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let mut stream = connect()?;
    loop {
        let before = Instant::now();
        stream.write_all(REQUEST)?;
        let closes = read_page(&mut stream, &mut buffer)?;
        scrapes += 1;
        if before.duration_since(begin) >= TURN {
            return Ok((times, scrapes));
        }
        if before.duration_since(begin) >= WARM_UP {
            times.push(before.elapsed().as_secs_f64() * 1e6);
        }
        if closes {
            stream = connect()?;
        }
    }
}

/// Reads one response to its end; tells whether the server closes behind it.
fn read_page(stream: &mut impl Read, buffer: &mut Vec<u8>) -> Outcome<bool> {
    let mut filled = 0;
    let mut end = None;
    loop {
        if filled == buffer.len() {
            buffer.resize(2 * filled, 0);
        }
        let count = stream.read(&mut buffer[filled..])?;
        if count == 0 {
            return Err("closed in the middle of a page".into());
        }
        filled += count;
        let received = &buffer[..filled];
        if end.is_none() {
            end = End::of(received)?;
        }
        match end {
            Some(End { at: Some(at), closes }) if filled >= at => return Ok(closes),
            Some(End { at: None, closes }) if received.ends_with(b"\r\n0\r\n\r\n") => {
                return Ok(closes);
            }
            _ => {}
        }
    }
}

/// The end of a response: at this byte, or with its last chunk.
#[derive(Clone, Copy, Debug, PartialEq)]
struct End {
    at: Option<usize>,
    closes: bool,
}

impl End {
    /// Nothing while the head is not whole.
    fn of(received: &[u8]) -> Outcome<Option<Self>> {
        let Some(head) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&received[..head])?.to_ascii_lowercase();
        if !text.starts_with("http/1.1 200 ") {
            return Err(format!("not a page: {}", text.lines().next().unwrap_or_default()).into());
        }
        let value =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let at = match value("content-length:") {
            Some(length) => Some(head + 4 + length.parse::<usize>()?),
            None => None,
        };
        Ok(Some(Self { at, closes: value("connection:") == Some("close") }))
    }
}

fn quantile(mut values: Vec<f64>, quantile: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = (values.len() as f64 * quantile) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_where_its_head_says() {
        let known = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
        let end = End::of(known).unwrap();
        assert_eq!(end, Some(End { at: Some(known.len()), closes: true }));
        let mut buffer = vec![0; 8];
        assert!(read_page(&mut &known[..], &mut buffer).unwrap());
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n0\r\n\r\n";
        assert!(!read_page(&mut &chunked[..], &mut buffer).unwrap());
        assert!(read_page(&mut &known[..70.min(known.len() - 1)], &mut buffer).is_err());
        assert!(read_page(&mut &b"HTTP/1.1 404 Not Found\r\n\r\n"[..], &mut buffer).is_err());
    }
}
