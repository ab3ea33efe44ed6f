//! Every bound of the server in one place, each with its default, the reason for that figure, and its counter.
//!
//! A limit is a field of [`Limits`] (which the program may change), an associated constant (its default, with the reason
//! beside it) and, where a client can run into it, a variant of [`Limit`](crate::Limit) (its counter in
//! [`ServerTelemetry`](crate::ServerTelemetry)).

use std::time::Duration;

use crate::error::StartError;
#[cfg(doc)]
use crate::reason::Limit;

/// Bounds of one server.
///
/// Start from [`Limits::default`] and change what must differ. [`ServerBuilder::spawn`] checks the
/// ranges and names the field that is out of range.
///
/// ```
/// use dynamo_metrics_server::Limits;
/// use std::time::Duration;
///
/// let mut limits = Limits::default();
/// assert_eq!(limits.connections, 64);
/// limits.connections = 8;
/// limits.head_deadline = Duration::from_secs(1);
/// assert_eq!(limits.keep_alive_idle, Limits::KEEP_ALIVE_IDLE);
/// ```
///
/// [`ServerBuilder::spawn`]: crate::ServerBuilder::spawn
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest number of open connections, 1 or more. At the limit a connection that waits for its client is evicted for the
    /// new one ([`Limit::Evicted`]); when all of them are being answered, the new one is closed ([`Limit::Connections`]).
    pub connections: usize,
    /// Largest number of open connections of one address (of IPv6: of one network of 64 bits; a Unix socket is one), 1 or more.
    /// At the limit one of its own is evicted for its new one, or the new one is closed; [`Limit::AddressConnections`]. Raise
    /// it behind a proxy, or together with `connections`.
    pub connections_an_address: usize,
    /// Longest time from accept, or from the first byte of a later request, to the end of its head. 1 ms to 24 h;
    /// [`Limit::HeadDeadline`].
    pub head_deadline: Duration,
    /// Longest time from the end of a response to the first byte of the next request. 1 ms to 24 h; [`Limit::KeepAliveIdle`].
    pub keep_alive_idle: Duration,
    /// Longest time from accept to the last response, give or take a tenth: the response that is sent then says
    /// `Connection: close`, and an idle connection is closed. 1 ms to 24 h; [`Limit::ConnectionLifetime`].
    pub connection_lifetime: Duration,
    /// The part of the lifetime by which connections differ, either way, as its divisor: 10 is a tenth. 1 or more.
    pub lifetime_jitter: u32,
    /// Largest number of requests of one connection, 1 or more; the last one's response says `Connection: close`.
    /// [`Limit::ConnectionRequests`].
    pub connection_requests: u32,
    /// Largest number of complete heads of one connection that wait behind the request in progress, 1 or more; no more is read
    /// until one of them is answered. [`Limit::Pipelined`].
    pub pipelined: usize,
    /// Largest number of bytes of a request's head (request line and headers), 8192 or more; beyond it the answer is 431 (RFC
    /// 6585 section 5) and the connection closes. [`Limit::HeadSize`].
    pub head_bytes: usize,
    /// Largest number of bytes of a request's target, 1 or more; beyond it the answer is 414 (RFC 9110 section 15.5.15) and the
    /// connection closes. [`Limit::UriSize`].
    pub uri_bytes: usize,
    /// Largest number of header lines of a request, 1 or more; beyond it the answer is 431 and the connection closes.
    /// [`Limit::HeaderCount`].
    pub headers: usize,
    /// Longest time from the moment the client stops taking bytes until all that is queued is taken. 1 ms to 24 h;
    /// [`Limit::WriteDeadline`].
    pub write_deadline: Duration,
    /// Least number of bytes a second that a client takes on average over each [`Limits::write_window`], once it has stopped
    /// taking bytes; 0 asks for none. [`Limit::WriteRate`].
    pub write_rate: u32,
    /// The time over which a client's rate is averaged. 1 ms to 24 h.
    pub write_window: Duration,
    /// Largest number of TLS handshakes that begin in a second, 1 or more, a fifth of them at once; further ones wait for their
    /// turn, within `head_deadline`. [`Limit::Handshakes`].
    pub handshakes: u32,
    /// Longest time in which a client that has sent more than is read must read its last answer and close. 1 ms to 24 h;
    /// [`Limit::Linger`].
    pub linger: Duration,
    /// Largest number of connections that the kernel completes ahead of `accept`, 1 to 2147483647. The kernel may cut it
    /// (Linux: `net.core.somaxconn`). It has no counter of ours; Linux counts `ListenOverflows`.
    pub backlog: u32,
    /// Largest number of connections taken in a row before those that are open get their turn, 1 or more.
    pub accepts_a_wake: u32,
    /// First pause after an `accept` that failed, doubled up to `accept_pause_max`. 1 ms to 24 h;
    /// [`Limit::AcceptPause`].
    pub accept_pause_min: Duration,
    /// Longest pause after an `accept` that failed. 1 ms to 24 h.
    pub accept_pause_max: Duration,
    /// Largest number of scrapes that wait for their pages at one time, 1 or more; beyond it the answer is 503 with
    /// `Retry-After`. [`Limit::Scrapes`]. The server never lets scrapes take all connections, so the figure in force is also at
    /// most three quarters of `connections` (rounded up).
    pub scrapes: usize,
    /// Longest time that a scrape waits for its page before it is answered 503; a shorter `X-Prometheus-Scrape-Timeout-Seconds`
    /// shortens it. 1 ms to 24 h; [`Limit::ScrapeDeadline`].
    pub scrape_deadline: Duration,
}

impl Limits {
    /// 64 connections: one or two scrapers, their spares, a few probes and some humans fit into them; a flood of thousands
    /// costs at most this many descriptors and buffers.
    pub const CONNECTIONS: usize = 64;
    /// 32 connections, half of [`Self::CONNECTIONS`]: all other addresses together have as much, and scrapes of one address
    /// cannot take all places of [`Self::SCRAPES`].
    pub const CONNECTIONS_AN_ADDRESS: usize = Self::CONNECTIONS / 2;
    /// 5 s, as in VictoriaMetrics: a head is one packet; a client that needs longer delays it on purpose.
    pub const HEAD_DEADLINE: Duration = Duration::from_secs(5);
    /// 75 s, as in nginx: longer than Prometheus' default scrape interval of 60 s, so that a scraper keeps its connection
    /// between two scrapes.
    pub const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(75);
    /// 5 minutes: long enough to be worth keeping, short enough that a load balancer's new members and a moved name are seen.
    /// Clients reconnect; nothing is lost.
    pub const CONNECTION_LIFETIME: Duration = Duration::from_secs(5 * 60);
    /// A tenth of the lifetime, so that all scrapers of a restarted fleet do not reconnect in the same second.
    pub const LIFETIME_JITTER: u32 = 10;
    /// 1000 requests, as in nginx: a scrape a second would need a quarter of an hour, three lifetimes; only a flood comes here.
    pub const CONNECTION_REQUESTS: u32 = 1000;
    /// 16 heads: no scraper pipelines; 16 is the depth that benchmarks use.
    pub const PIPELINED: usize = 16;
    /// 8 KiB, as in nginx, and the least that hyper takes. A Prometheus head is below 1 KiB.
    pub const HEAD_BYTES: usize = 8 * 1024;
    /// 2 KiB: the length that every browser and proxy takes. Some sixty names in `name[]=` fit.
    pub const URI_BYTES: usize = 2 * 1024;
    /// 64 lines: browsers send about 20, proxies add a handful; httparse stops at the number that it is given.
    pub const HEADERS: usize = 64;
    /// 10 s: Prometheus gives up after as long by default, so a body that is not taken by then is lost anyway, and a client
    /// that reads one byte a second holds one body for no longer.
    pub const WRITE_DEADLINE: Duration = Duration::from_secs(10);
    /// 240 bytes a second, as in Kestrel: slower than any link in use, so a client that stays below it does so on purpose.
    pub const WRITE_RATE: u32 = 240;
    /// 5 s, as in Kestrel: a receive window opens in steps of up to half of it, so that a slow but honest client seems to take
    /// nothing for seconds.
    pub const WRITE_WINDOW: Duration = Duration::from_secs(5);
    /// 50 handshakes a second: a signature takes the network thread 0.1 ms with an ECDSA key, 1 ms with RSA of 2048 bits, 7 ms
    /// of 4096. A flood of handshakes then takes a twentieth of it, or a third. Scrapers keep connections for minutes, and no
    /// host has so many probes.
    pub const HANDSHAKES: u32 = 50;
    /// 1 s: a few round trips.
    pub const LINGER: Duration = Duration::from_secs(1);
    /// 1024 connections: 128 overflowed under a busy accept thread and cost a SYN retransmit of one second.
    pub const BACKLOG: u32 = 1024;
    /// 40 scrapes, as in node_exporter (`--web.max-requests`): it leaves 24 connections for `/health` and `/live` when a gather
    /// hangs.
    pub const SCRAPES: usize = 40;
    /// 30 s: longer than any scrape timeout in common use; a gather that hangs must not hold its connections for ever.
    pub const SCRAPE_DEADLINE: Duration = Duration::from_secs(30);

    /// 100 ms, the least timeout of a scraper; a shorter one counts as this. A network and a page do not fit into less, and a
    /// page is not begun in such a hurry that all of it must be left out.
    pub const SCRAPE_TIMEOUT_MIN: Duration = Duration::from_millis(100);

    /// 64 connections, taken in a row before those that are open get their turn: a flood is drained from the kernel's queue
    /// before it overflows, and delays no client by more than some 64 accepts.
    pub const ACCEPTS_A_WAKE: u32 = 64;
    /// 3 descriptors, kept for when the process has no other: one for a scrape, one for a probe beside it, and one to take the
    /// next by.
    pub const DESCRIPTOR_RESERVE: usize = 3;
    /// 5 ms: the first pause after a failed `accept` (no descriptors, no memory), doubled up to [`Self::ACCEPT_PAUSE_MAX`];
    /// short enough that a passing shortage goes unnoticed.
    pub const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(5);
    /// 1 s: the longest pause between two failed `accept` calls. One wake-up a second costs nothing, and the listener is back
    /// within a second of the first free descriptor.
    pub const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

    pub(crate) fn validate(&self) -> Result<(), StartError> {
        let out_of_range = |name, range| Err(StartError::LimitOutOfRange { name, range });
        for (name, duration) in [
            ("head_deadline", self.head_deadline),
            ("keep_alive_idle", self.keep_alive_idle),
            ("connection_lifetime", self.connection_lifetime),
            ("write_deadline", self.write_deadline),
            ("write_window", self.write_window),
            ("linger", self.linger),
            ("scrape_deadline", self.scrape_deadline),
            ("accept_pause_min", self.accept_pause_min),
            ("accept_pause_max", self.accept_pause_max),
        ] {
            if !(DURATION_MIN..=DURATION_MAX).contains(&duration) {
                return out_of_range(name, "1 ms to 24 h");
            }
        }
        for (name, is_zero) in [
            ("connections", self.connections == 0),
            ("connections_an_address", self.connections_an_address == 0),
            ("lifetime_jitter", self.lifetime_jitter == 0),
            ("accepts_a_wake", self.accepts_a_wake == 0),
            ("connection_requests", self.connection_requests == 0),
            ("pipelined", self.pipelined == 0),
            ("uri_bytes", self.uri_bytes == 0),
            ("headers", self.headers == 0),
            ("handshakes", self.handshakes == 0),
            ("scrapes", self.scrapes == 0),
        ] {
            if is_zero {
                return out_of_range(name, "1 or more");
            }
        }
        if self.head_bytes < Self::HEAD_BYTES {
            return out_of_range("head_bytes", "8192 or more");
        }
        if self.backlog == 0 || i32::try_from(self.backlog).is_err() {
            return out_of_range("backlog", "1 to 2147483647");
        }
        Ok(())
    }

    /// Scrapes in force: `scrapes`, but never all of the connections (unless there is only one).
    pub(crate) fn scrapes_in_force(&self) -> usize {
        self.scrapes.min(self.connections - self.connections / 4)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Self::CONNECTIONS,
            connections_an_address: Self::CONNECTIONS_AN_ADDRESS,
            head_deadline: Self::HEAD_DEADLINE,
            keep_alive_idle: Self::KEEP_ALIVE_IDLE,
            connection_lifetime: Self::CONNECTION_LIFETIME,
            lifetime_jitter: Self::LIFETIME_JITTER,
            connection_requests: Self::CONNECTION_REQUESTS,
            pipelined: Self::PIPELINED,
            head_bytes: Self::HEAD_BYTES,
            uri_bytes: Self::URI_BYTES,
            headers: Self::HEADERS,
            write_deadline: Self::WRITE_DEADLINE,
            write_rate: Self::WRITE_RATE,
            write_window: Self::WRITE_WINDOW,
            handshakes: Self::HANDSHAKES,
            linger: Self::LINGER,
            backlog: Self::BACKLOG,
            accepts_a_wake: Self::ACCEPTS_A_WAKE,
            accept_pause_min: Self::ACCEPT_PAUSE_MIN,
            accept_pause_max: Self::ACCEPT_PAUSE_MAX,
            scrapes: Self::SCRAPES,
            scrape_deadline: Self::SCRAPE_DEADLINE,
        }
    }
}

// Zero would close every connection at once; a day is beyond any use and keeps `Instant + Duration`
// far from its overflow.
const DURATION_MIN: Duration = Duration::from_millis(1);
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_each_range_is_checked_by_name() {
        assert!(Limits::default().validate().is_ok());
        type Break = fn(&mut Limits);
        let broken: [(&str, Break); 21] = [
            ("lifetime_jitter", |l| l.lifetime_jitter = 0),
            ("accepts_a_wake", |l| l.accepts_a_wake = 0),
            ("accept_pause_min", |l| l.accept_pause_min = Duration::ZERO),
            ("accept_pause_max", |l| l.accept_pause_max = Duration::MAX),
            ("handshakes", |l| l.handshakes = 0),
            ("connections", |l| l.connections = 0),
            ("connections_an_address", |l| l.connections_an_address = 0),
            ("head_deadline", |l| l.head_deadline = Duration::ZERO),
            ("keep_alive_idle", |l| l.keep_alive_idle = Duration::MAX),
            ("head_bytes", |l| l.head_bytes = 8191),
            ("headers", |l| l.headers = 0),
            ("connection_lifetime", |l| l.connection_lifetime = Duration::ZERO),
            ("connection_requests", |l| l.connection_requests = 0),
            ("pipelined", |l| l.pipelined = 0),
            ("uri_bytes", |l| l.uri_bytes = 0),
            ("write_window", |l| l.write_window = Duration::ZERO),
            ("linger", |l| l.linger = Duration::ZERO),
            ("write_deadline", |l| l.write_deadline = Duration::ZERO),
            ("backlog", |l| l.backlog = u32::MAX),
            ("scrapes", |l| l.scrapes = 0),
            ("scrape_deadline", |l| l.scrape_deadline = Duration::ZERO),
        ];
        for (name, break_it) in broken {
            let mut limits = Limits::default();
            break_it(&mut limits);
            let text = limits.validate().expect_err(name).to_string();
            assert!(text.contains(name), "{text}");
        }
    }

    #[test]
    fn scrapes_leave_connections_for_probes() {
        let mut limits = Limits::default();
        assert_eq!(limits.scrapes_in_force(), 40);
        limits.connections = 4;
        assert_eq!(limits.scrapes_in_force(), 3);
        limits.connections = 1;
        assert_eq!(limits.scrapes_in_force(), 1);
    }
}
