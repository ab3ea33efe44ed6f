//! Raw bytes over a socket: a request as it is, and what comes back, counted and never trusted.

use super::Outcome;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The request that Prometheus sends, on a connection for one scrape.
pub(crate) const SCRAPE: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: attacked:9090\r\n\
    User-Agent: attack\r\nAccept: text/plain;version=0.0.4\r\nConnection: close\r\n\r\n";

/// A response that closed its connection.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
}

/// The answer to some bytes.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    /// Statuses of all responses, in order.
    pub(crate) statuses: Vec<u16>,
    /// True if the server closed the connection while we waited.
    pub(crate) closed: bool,
}

/// A connection, all of whose waits end.
pub(crate) fn connect(address: SocketAddr, within: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, within)?;
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(within))?;
    Ok(stream)
}

/// One scrape over a connection of its own, read to its end.
pub(crate) fn scrape(address: SocketAddr, within: Duration) -> Outcome<Answer> {
    let end = Instant::now() + within;
    let mut stream = connect(address, within)?;
    stream.write_all(SCRAPE)?;
    let mut response = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut chunk)? {
            0 => break,
            count => response.extend_from_slice(&chunk[..count]),
        }
        if Instant::now() > end {
            return Err("the scrape takes too long".into());
        }
    }
    // Not the whole page is searched: the time of a scrape is the server's.
    let head = &response[..response.len().min(64)];
    let status = *statuses(head).first().ok_or("closed without an answer")?;
    Ok(Answer { status })
}

/// Sends bytes and reads until the server closes or says nothing for `quiet`.
pub(crate) fn provoke(address: SocketAddr, bytes: &[u8], quiet: Duration) -> Outcome<Reaction> {
    let mut stream = connect(address, Duration::from_secs(2))?;
    stream.set_read_timeout(Some(quiet))?;
    // A server that has refused may have closed before all is sent; its answer is still there.
    let sent = stream.write_all(bytes);
    let mut received = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let closed = loop {
        match stream.read(&mut chunk) {
            Ok(0) => break true,
            Ok(count) => received.extend_from_slice(&chunk[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                break sent.is_err();
            }
            Err(_reset) => break true,
        }
    };
    Ok(Reaction { statuses: statuses(&received), closed })
}

/// Returns whether the other side has neither closed nor reset. Takes bytes that wait.
pub(crate) fn is_alive(stream: &mut TcpStream) -> bool {
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let mut chunk = [0; 4096];
    let alive = loop {
        match stream.read(&mut chunk) {
            Ok(0) => break false,
            Ok(_) => {}
            Err(error) => break error.kind() == ErrorKind::WouldBlock,
        }
    };
    alive && stream.set_nonblocking(false).is_ok()
}

/// Status codes of all responses in a stream. A page of metrics has no status line in it.
fn statuses(mut received: &[u8]) -> Vec<u16> {
    const LINE: &[u8] = b"HTTP/1.";
    let mut statuses = Vec::new();
    while let Some(at) = received.windows(LINE.len()).position(|window| window == LINE) {
        received = &received[at + LINE.len()..];
        let code = received.get(2..5).and_then(|code| std::str::from_utf8(code).ok());
        statuses.extend(code.and_then(|code| code.parse::<u16>().ok()));
    }
    statuses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_response_of_a_stream_is_counted() {
        let stream = b"HTTP/1.1 200 OK\r\n\r\nmetric 1\nHTTP/1.1 400 Bad Request\r\n\r\nHTTP/1.";
        assert_eq!(statuses(stream), [200, 400]);
        assert!(statuses(b"").is_empty());
    }
}
