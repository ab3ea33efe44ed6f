//! The limits of a client of a listener, and the name of each limit in the counters.
//!
//! **Every wait on a client has a deadline, every resource a cap, and each of them a counter**, as on the metrics
//! port; but here requests have bodies and answers last minutes, so the figures differ.

use std::time::Duration;

/// The bounds of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// Open connections. At the cap the one that has waited longest for its client's next head is evicted; when all
    /// are being answered, the new one is closed.
    pub(crate) connections: usize,
    /// From accept, or from the end of the answer before, to the end of a head: hyper has one timer for both.
    pub(crate) head_deadline: Duration,
    /// Bytes of a request line and its headers; beyond it 431.
    pub(crate) head_bytes: usize,
    /// Header lines; beyond it 431.
    pub(crate) headers: usize,
    /// Bytes of a body; beyond it 413.
    pub(crate) body_bytes: usize,
    /// Bytes of all bodies that are being read or handled; beyond it 503.
    pub(crate) bodies_bytes: usize,
    /// From the end of the head to the end of the body; beyond it 408.
    pub(crate) body_deadline: Duration,
    /// Longest time in which a client reads no byte of the answer that waits for it.
    pub(crate) write_deadline: Duration,
    /// Longest time that a client has to close after its last answer, while its bytes are read and dropped.
    pub(crate) linger: Duration,
}

impl Limits {
    /// A stream keeps its connection for as long as it has tokens, so this is also how many are in progress: a
    /// hundred times what a worker has slots for. Each costs some 20 KiB, and a buffer of 8 KiB for what it sends.
    pub(crate) const CONNECTIONS: usize = 4096;
    /// Longest time to a whole head, as for the metrics port and in VictoriaMetrics. A head is one packet; a client that needs
    /// longer sends slowly on purpose.
    pub(crate) const HEAD_DEADLINE: Duration = Duration::from_secs(5);
    /// Largest head in bytes, as nginx' four buffers of 8 KiB: tokens and cookies of gateways are in it. hyper takes no less
    /// than 8 KiB.
    pub(crate) const HEAD_BYTES: usize = 32 << 10;
    /// Browsers send about 20, gateways add a handful each.
    pub(crate) const HEADERS: usize = 100;
    /// A prompt of a million tokens is some 4 MiB of text.
    pub(crate) const BODY_BYTES: usize = 8 << 20;
    /// Bodies of all connections together: thirty of the longest, thousands of the usual.
    pub(crate) const BODIES_BYTES: usize = 256 << 20;
    /// 8 MiB over a link of 3 Mbit/s.
    pub(crate) const BODY_DEADLINE: Duration = Duration::from_secs(30);
    /// A client that reads nothing for so long is gone or hostile, and holds a slot of a worker meanwhile.
    pub(crate) const WRITE_DEADLINE: Duration = Duration::from_secs(30);
    /// A few round trips, so that a reset does not overtake the last answer.
    pub(crate) const LINGER: Duration = Duration::from_secs(1);

    /// First pause after a failed `accept` (no descriptors, no memory), doubled up to
    /// [`ACCEPT_PAUSE_MAX`](Self::ACCEPT_PAUSE_MAX).
    pub(crate) const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(5);
    /// The listener is back within a second of the first free descriptor.
    pub(crate) const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Self::CONNECTIONS,
            head_deadline: Self::HEAD_DEADLINE,
            head_bytes: Self::HEAD_BYTES,
            headers: Self::HEADERS,
            body_bytes: Self::BODY_BYTES,
            bodies_bytes: Self::BODIES_BYTES,
            body_deadline: Self::BODY_DEADLINE,
            write_deadline: Self::WRITE_DEADLINE,
            linger: Self::LINGER,
        }
    }
}

/// A limit that a client reached. The names are those of the metrics port where it has the same limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// A new connection was closed at once: no other could be evicted.
    Connections,
    /// A connection that waited for its client was evicted for a new one.
    Evicted,
    /// No head came in time; also the regular end of an idle connection.
    HeadDeadline,
    /// A head was too long or had too many lines; answered 431.
    HeadSize,
    /// A head was malformed; answered 400.
    Grammar,
    /// A request had no valid `Host`, or two; answered 400.
    Host,
    /// The end of a request was ambiguous, the mark of request smuggling; answered 400.
    Framing,
    /// A body was too long, or came with a method that has none; answered 413 or 400.
    Body,
    /// The bodies of all requests together were too large; answered 503.
    Bodies,
    /// A body did not come in time; answered 408.
    BodyDeadline,
    /// A client did not read its answer.
    WriteDeadline,
    /// `accept` failed, as descriptors or memory ran out, and the listener paused.
    AcceptPause,
    /// A connection was cut because the grace of the shutdown ended before its answer did.
    ShutdownGrace,
    /// A request was for a path that is not there; answered 404.
    NotFound,
    /// A request had a method that its path does not have; answered 405.
    Method,
}

impl Limit {
    pub(crate) const ALL: [Self; 15] = [
        Self::Connections,
        Self::Evicted,
        Self::HeadDeadline,
        Self::HeadSize,
        Self::Grammar,
        Self::Host,
        Self::Framing,
        Self::Body,
        Self::Bodies,
        Self::BodyDeadline,
        Self::WriteDeadline,
        Self::AcceptPause,
        Self::ShutdownGrace,
        Self::NotFound,
        Self::Method,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Evicted => "gave_way",
            Self::HeadDeadline => "head_deadline",
            Self::HeadSize => "head_size",
            Self::Grammar => "grammar",
            Self::Host => "host",
            Self::Framing => "framing",
            Self::Body => "body",
            Self::Bodies => "bodies",
            Self::BodyDeadline => "body_deadline",
            Self::WriteDeadline => "write_deadline",
            Self::AcceptPause => "accept_pause",
            Self::ShutdownGrace => "shutdown_grace",
            Self::NotFound => "not_found",
            Self::Method => "method",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_listed_in_the_order_of_their_index() {
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, index);
        }
    }
}
