//! A server under load, in figures: the cost of each attack, and what is left for a scraper.
//!
//! `cargo run --release -p dynamo-metrics-server --example under_load` (Linux, 40 s). The server is a
//! process of its own with all defaults and a page of 190 KB; its memory and processor time are
//! read from `/proc`.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use dynamo_metrics_server::bytes::BytesMut;
use dynamo_metrics_server::{ContentType, ScrapeRequest, Server};

/// Readers and scrapers that come at once: fewer than one address may have connections.
const CLIENTS: usize = 30;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve(),
        _ => attack(),
    }
}

fn serve() -> Outcome<()> {
    let page: String = (0..1500)
        .map(|n| format!("dynamo_frontend_requests_total{{model=\"model-{n}\",endpoint=\"chat_completions\",request_type=\"stream\",status=\"success\"}} {}\n", n * 37))
        .collect();
    let server = Server::builder()
        .exposition(move |request: &ScrapeRequest<'_>, body: &mut BytesMut| {
            let times = if request.query() == Some("large") { 100 } else { 1 };
            (0..times).for_each(|_| body.extend_from_slice(page.as_bytes()));
            Ok(ContentType::TEXT_0_0_4)
        })
        .spawn()?;
    println!("{}", server.local_addr());
    std::io::stdin().read_to_end(&mut Vec::new())?; // Until the parent is gone.
    Ok(())
}

fn attack() -> Outcome<()> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("serve")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let server = UnderLoad { address: line.trim().parse()?, child };
    for _ in 0..50 {
        server.scrape("gzip")?;
        server.scrape("identity")?;
    }
    println!("| attack | figure |\n|---|---|");
    server.many_connections()?;
    server.dribblers()?;
    server.flood()?;
    server.slow_readers()?;
    server.gzip_crowd()?;
    Ok(())
}

struct UnderLoad {
    address: SocketAddr,
    child: Child,
}

impl Drop for UnderLoad {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

impl UnderLoad {
    fn many_connections(&self) -> Outcome<()> {
        let before = self.memory_kib()?;
        let held: Vec<TcpStream> = (0..2000).map_while(|_| self.connect().ok()).collect();
        let mut times_us = Vec::new();
        for _ in 0..200 {
            let begin = Instant::now();
            self.scrape("identity")?;
            times_us.push(begin.elapsed().as_micros());
        }
        times_us.sort_unstable();
        let grown = self.memory_kib()?.saturating_sub(before);
        println!(
            "| {} silent connections at once | {grown} KiB more memory; a new scrape takes {} us \
             (p50), {} us (p99) |",
            held.len(),
            times_us[100],
            times_us[197]
        );
        Ok(())
    }

    fn dribblers(&self) -> Outcome<()> {
        let mut dribblers: Vec<TcpStream> = (0..300).map_while(|_| self.connect().ok()).collect();
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(6) {
            dribblers.retain_mut(|stream| stream.write_all(b"G").is_ok());
            thread::sleep(Duration::from_millis(100));
        }
        println!(
            "| 300 connections that dribble their heads | {} alive after 6 s |",
            dribblers.len()
        );
        Ok(())
    }

    fn flood(&self) -> Outcome<()> {
        let (mut good, mut bad) = (0, 0);
        let over = AtomicBool::new(false);
        let (begin, cpu) = (Instant::now(), self.cpu_ticks()?);
        let connects = thread::scope(|scope| -> Outcome<u64> {
            let flood = scope.spawn(|| {
                let (mut connects, mut held) = (0, std::collections::VecDeque::new());
                while !over.load(Relaxed) {
                    held.extend(self.connect());
                    connects += 1;
                    if held.len() > 300 {
                        held.pop_front();
                    }
                    thread::sleep(Duration::from_micros(700));
                }
                connects
            });
            while begin.elapsed() < Duration::from_secs(10) {
                match self.scrape("gzip") {
                    Ok(_) => good += 1,
                    Err(_) => bad += 1,
                }
                thread::sleep(Duration::from_millis(100));
            }
            over.store(true, Relaxed);
            flood.join().map_err(|_| "the flood panicked".into())
        })?;
        let share = (self.cpu_ticks()? - cpu) as f64 / begin.elapsed().as_secs_f64();
        println!(
            "| {} connections a second for 10 s | {good} of {} scrapes succeed; {share:.1} % of a \
             core |",
            connects / 10,
            good + bad
        );
        Ok(())
    }

    fn slow_readers(&self) -> Outcome<()> {
        let before = self.memory_kib()?;
        let begin = Instant::now();
        let mut slow = Vec::new();
        for _ in 0..CLIENTS {
            let mut stream = self.connect()?;
            stream.write_all(b"GET /metrics?large HTTP/1.1\r\nHost: a\r\n\r\n")?;
            slow.push(stream);
        }
        thread::sleep(Duration::from_secs(3));
        let grown = self.memory_kib()?.saturating_sub(before);
        let mut last = Duration::ZERO;
        for stream in &mut slow {
            stream.set_nonblocking(true)?;
            // A write fails once the server has reset the connection.
            while stream.write_all(b"G").is_ok() {
                thread::sleep(Duration::from_millis(10));
                if begin.elapsed() > Duration::from_secs(30) {
                    return Err("a reader of nothing lives on".into());
                }
            }
            last = begin.elapsed();
        }
        println!(
            "| {CLIENTS} clients that read nothing of a page of 19 MB | closed after {:.1} s; {grown} \
             KiB more memory meanwhile |",
            last.as_secs_f64()
        );
        Ok(())
    }

    /// So many scrapes by one scraper, and by a crowd at once.
    fn gzip_crowd(&self) -> Outcome<()> {
        const ROUNDS: usize = 200;
        let alone = {
            let before = self.cpu_ticks()?;
            for _ in 0..ROUNDS {
                self.scrape("gzip")?;
            }
            self.cpu_ticks()? - before
        };
        let before = self.cpu_ticks()?;
        for _ in 0..ROUNDS {
            let mut crowd = Vec::new();
            for _ in 0..CLIENTS {
                let mut stream = self.connect()?;
                stream.write_all(&request("gzip"))?;
                crowd.push(stream);
            }
            for stream in &mut crowd {
                stream.read_to_end(&mut Vec::new())?;
            }
        }
        let crowd = self.cpu_ticks()? - before;
        println!(
            "| {ROUNDS} times {CLIENTS} gzip scrapers at once | {} ms, one alone {} ms |",
            crowd * 10,
            alone * 10
        );
        Ok(())
    }

    fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        Ok(stream)
    }

    fn scrape(&self, coding: &str) -> Outcome<Vec<u8>> {
        let mut stream = self.connect()?;
        stream.write_all(&request(coding))?;
        let mut response = Vec::new();
        stream.read_to_end(&mut response)?;
        match response.starts_with(b"HTTP/1.1 200 OK\r\n") {
            true => Ok(response),
            false => Err("not answered 200".into()),
        }
    }

    fn memory_kib(&self) -> Outcome<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).ok_or("no figure")?.parse()?)
    }

    /// User and system time in ticks of 10 ms.
    fn cpu_ticks(&self) -> Outcome<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(") ").ok_or("no process status")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
    }
}

fn request(coding: &str) -> Vec<u8> {
    format!(
        "GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAccept-Encoding: {coding}\r\n\r\n"
    )
    .into()
}
