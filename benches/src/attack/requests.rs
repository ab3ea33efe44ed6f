//! Requests that a server should refuse: those that two readers of one stream may read as different requests, those
//! that are larger than any scrape, and those with bodies.
//!
//! *Refused* means: one answer that says so (4xx or 5xx, other than "no such path" and "no such method") or none,
//! and the connection closed. *Smuggled* means: a second answer, to bytes that another reader takes for a body.

use super::client::{self, Reaction};
use super::figures::Figure;
use super::under_load::{Confines, UnderLoad};
use super::{Outcome, Plan, at_once};
use std::time::Duration;

/// Longest silence of a server before it counts as one that waits for more.
const QUIET: Duration = Duration::from_millis(400);
/// A request that must never be answered.
const SECOND: &str = "GET /metrics HTTP/1.1\r\nHost: smuggled\r\n\r\n";

pub(super) fn refused(_: &Plan) -> Outcome<Vec<Figure>> {
    let rows = at_once(|server| {
        let under_load = UnderLoad::start(server, Confines::default())?;
        let memory = under_load.memory_kib()?;
        let (mut grown, mut figures) = (0.0, Vec::new());
        let mut figure = |figure: String, value| {
            figures.push(Figure { attack: "requests", figure, server, value })
        };
        let mut provoke = |requests: &[String]| -> Outcome<Vec<Reaction>> {
            let reactions = requests.iter().map(|request| {
                let reaction = client::provoke(under_load.address, request.as_bytes(), QUIET);
                grown = f64::max(grown, under_load.memory_kib()? - memory);
                reaction
            });
            reactions.collect()
        };
        let count = |reactions: &[Reaction], what: fn(&Reaction) -> bool| {
            Some(reactions.iter().filter(|reaction| what(reaction)).count() as f64)
        };
        let ambiguous = provoke(&ambiguous())?;
        let of = ambiguous.len();
        figure(format!("ambiguous requests: refused, of {of}"), count(&ambiguous, is_refused));
        figure(
            "smuggled: a second answer".into(),
            count(&ambiguous, |reaction| reaction.statuses.len() > 1),
        );
        let huge = provoke(&huge())?;
        figure(format!("huge heads: refused, of {}", huge.len()), count(&huge, is_refused));
        let bodies = provoke(&bodies())?;
        figure(
            format!("requests with a body: refused, of {}", bodies.len()),
            count(&bodies, |reaction| {
                reaction.closed && reaction.statuses.iter().all(|s| *s >= 400)
            }),
        );
        figure("memory that all of them cost, KiB".into(), Some(grown));
        let answers = under_load.try_scrape(Duration::from_secs(2)).is_some();
        figure("and a scrape succeeds".into(), Some(f64::from(u8::from(answers))));
        Ok(figures)
    })?;
    Ok(rows.concat())
}

fn is_refused(reaction: &Reaction) -> bool {
    let says_so = |status: &u16| *status >= 400 && !matches!(status, 404 | 405);
    reaction.closed && reaction.statuses.len() <= 1 && reaction.statuses.iter().all(says_so)
}

/// Each followed by [`SECOND`], inside of what one of two readers takes for the body.
fn ambiguous() -> Vec<String> {
    let get = |lines: &str, body: &str| {
        format!("GET /metrics HTTP/1.1\r\nHost: attacked\r\n{lines}\r\n\r\n{body}")
    };
    let length = SECOND.len();
    let chunk = format!("{length:x}\r\n{SECOND}\r\n0\r\n\r\n");
    let first_line = format!("{length:x}\r\n").len();
    vec![
        // Content-Length and Transfer-Encoding: the end that one reader sees is not the other's.
        get(
            &format!("Content-Length: {}\r\nTransfer-Encoding: chunked", 5 + length),
            &format!("0\r\n\r\n{SECOND}"),
        ),
        get(&format!("Transfer-Encoding: chunked\r\nContent-Length: {first_line}"), &chunk),
        get(&format!("Content-Length: 0\r\nContent-Length: {length}"), SECOND),
        get(&format!("Content-Length: 0, {length}"), SECOND),
        get(&format!("Content-Length: +{length}"), SECOND),
        get("Transfer-Encoding: xchunked", &format!("0\r\n\r\n{SECOND}")),
        get("Transfer-Encoding: chunked, identity", &format!("0\r\n\r\n{SECOND}")),
        get("Transfer-Encoding : chunked", &format!("0\r\n\r\n{SECOND}")),
        get("Transfer-Encoding:\x0bchunked", &format!("0\r\n\r\n{SECOND}")),
        format!(
            "GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n\
             0\r\n\r\n{SECOND}"
        ),
        // Line ends and folds: two readers disagree on which lines there are.
        "GET /metrics HTTP/1.1\nHost: attacked\n\n".into(),
        "GET /metrics HTTP/1.1\r\nHost: attacked\nX: y\r\n\r\n".into(),
        get("X: y\r\n Content-Length: 5", ""),
        get("X: a\0b", ""),
        // Host: two readers route to different places.
        "GET /metrics HTTP/1.1\r\n\r\n".into(),
        get("Host: other", ""),
    ]
}

fn huge() -> Vec<String> {
    let with = |lines: &str| format!("GET /metrics HTTP/1.1\r\nHost: attacked\r\n{lines}\r\n\r\n");
    vec![
        format!("GET /metrics?{} HTTP/1.1\r\nHost: attacked\r\n\r\n", "x".repeat(100 << 10)),
        with(&format!("X: {}", "x".repeat(64 << 10))),
        with(&format!("X: {}", "x".repeat(16 << 20))),
        with("X: y\r\n".repeat(200).trim_end()),
        with("X: y\r\n".repeat(100_000).trim_end()),
    ]
}

fn bodies() -> Vec<String> {
    let mib = "x".repeat(1 << 20);
    let with = |method: &str, lines: &str, body: &str| {
        format!("{method} /metrics HTTP/1.1\r\nHost: attacked\r\n{lines}\r\n\r\n{body}")
    };
    vec![
        with("POST", "Content-Length: 1048576", &mib),
        with("POST", "Transfer-Encoding: chunked", &format!("100000\r\n{mib}\r\n").repeat(4)),
        with("GET", "Content-Length: 1048576", &mib),
        with("PUT", "Content-Length: 99999999999999999999", ""),
        with("POST", "Content-Length: 5\r\nExpect: 100-continue", "hello"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reaction(statuses: &[u16], closed: bool) -> Reaction {
        Reaction { statuses: statuses.to_vec(), closed }
    }

    #[test]
    fn a_refusal_is_one_answer_and_the_end() {
        assert!(is_refused(&reaction(&[400], true)));
        assert!(is_refused(&reaction(&[], true)));
        assert!(!is_refused(&reaction(&[400], false)));
        assert!(!is_refused(&reaction(&[200], true)));
        assert!(!is_refused(&reaction(&[405], true)), "it took the body for one");
        assert!(!is_refused(&reaction(&[400, 200], true)));
    }

    #[test]
    fn lengths_of_the_ambiguous_bodies_hold_the_second_request() {
        let requests = ambiguous();
        let (head, body) = requests[0].split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        assert!(requests[1].contains("\r\nContent-Length: 4\r\n\r\n29\r\nGET /metrics"));
    }
}
