//! The reasons for which a connection is closed or a request rejected, each with a counter.

/// A bound that a client, or the lack of a resource, ran into: the reason of a closed connection or a rejected request.
///
/// ```
/// use dynamo_metrics_server::{Limit, ServerTelemetry};
///
/// let telemetry = ServerTelemetry::default();
/// for &limit in Limit::ALL {
///     assert_eq!(telemetry.limit_hits(limit), 0, "{}", limit.as_str());
/// }
/// assert_eq!(Limit::HeadDeadline.as_str(), "head_deadline");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// A new connection was closed at once: the cap was reached and no other could be evicted.
    Connections,
    /// A connection that waited for its client was closed for a new one. Its name is `gave_way`, for the sake of
    /// dashboards.
    Evicted,
    /// A head did not arrive in time.
    HeadDeadline,
    /// A keep-alive connection was idle for too long, which is no fault.
    KeepAliveIdle,
    /// A head was too long; answered 431.
    HeadSize,
    /// A client did not take its response in time.
    WriteDeadline,
    /// A scrape was refused because too many were waiting.
    Scrapes,
    /// A scrape was answered 503 because its page took too long.
    ScrapeDeadline,
    /// `accept` failed (descriptors or memory ran out) and the listener paused.
    AcceptPause,
    /// A connection was cut because the shutdown's grace ended before its response did.
    ShutdownGrace,
    /// A connection was ended because it had lived long enough, which is no fault.
    ConnectionLifetime,
    /// A connection was ended because it had made enough requests.
    ConnectionRequests,
    /// A client sent so many requests ahead that no more was read for a while.
    Pipelined,
    /// A target was too long; answered 414.
    UriSize,
    /// A head had too many lines; answered 431.
    HeaderCount,
    /// A client took its response too slowly.
    WriteRate,
    /// A client that was rejected, or told that its connection ends, did not close in time.
    Linger,
    /// A connection was taken on a descriptor of the reserve, because the process had no other.
    DescriptorReserve,
    /// A request had a body; answered 413.
    Body,
    /// The length of a request was ambiguous, the mark of request smuggling; answered 400.
    Framing,
    /// A head was malformed; answered 400.
    Grammar,
    /// A request had no valid `Host`, or two; answered 400.
    Host,
    /// A request had an `Expect`; answered 417.
    Expectation,
    /// A request had another version than 1.0 or 1.1; answered 505.
    Version,
    /// A client spoke TLS to a plain port; closed without an answer.
    TlsHello,
    /// A TLS handshake failed: another protocol, nothing in common, no certificate or a wrong one.
    TlsHandshake,
    /// A request had no credentials, or wrong ones; answered 401.
    Unauthorized,
    /// A request was refused because too many passwords were waiting for their check; answered 503.
    Logins,
    /// A request was beyond the `rate_limit` of the web configuration; answered 429.
    RateLimit,
    /// The exposition refused a scrape; answered 400.
    ScrapeRefused,
    /// An address held its share of the connections: one of them was evicted for its new one, or the new one was closed.
    AddressConnections,
    /// A TLS handshake waited for its turn, because many began at once.
    Handshakes,
    /// A request had an unknown path; answered 404.
    NotFound,
    /// A request had another method than `GET` and `HEAD`; answered 405.
    Method,
}

impl Limit {
    /// All limits, in the order of their declaration.
    pub const ALL: &'static [Self] = &[
        Self::Connections,
        Self::Evicted,
        Self::HeadDeadline,
        Self::KeepAliveIdle,
        Self::HeadSize,
        Self::WriteDeadline,
        Self::Scrapes,
        Self::ScrapeDeadline,
        Self::AcceptPause,
        Self::ShutdownGrace,
        Self::ConnectionLifetime,
        Self::ConnectionRequests,
        Self::Pipelined,
        Self::UriSize,
        Self::HeaderCount,
        Self::WriteRate,
        Self::Linger,
        Self::DescriptorReserve,
        Self::Body,
        Self::Framing,
        Self::Grammar,
        Self::Host,
        Self::Expectation,
        Self::Version,
        Self::TlsHello,
        Self::TlsHandshake,
        Self::Unauthorized,
        Self::Logins,
        Self::RateLimit,
        Self::ScrapeRefused,
        Self::AddressConnections,
        Self::Handshakes,
        Self::NotFound,
        Self::Method,
    ];

    /// The limit's name in snake case, fit for a label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Evicted => "gave_way",
            Self::HeadDeadline => "head_deadline",
            Self::KeepAliveIdle => "keep_alive_idle",
            Self::HeadSize => "head_size",
            Self::WriteDeadline => "write_deadline",
            Self::Scrapes => "scrapes",
            Self::ScrapeDeadline => "scrape_deadline",
            Self::AcceptPause => "accept_pause",
            Self::ShutdownGrace => "shutdown_grace",
            Self::ConnectionLifetime => "connection_lifetime",
            Self::ConnectionRequests => "connection_requests",
            Self::Pipelined => "pipelined",
            Self::UriSize => "uri_size",
            Self::HeaderCount => "header_count",
            Self::WriteRate => "write_rate",
            Self::Linger => "linger",
            Self::DescriptorReserve => "descriptor_reserve",
            Self::Body => "body",
            Self::Framing => "framing",
            Self::Grammar => "grammar",
            Self::Host => "host",
            Self::Expectation => "expectation",
            Self::Version => "version",
            Self::TlsHello => "tls_hello",
            Self::TlsHandshake => "tls_handshake",
            Self::Unauthorized => "unauthorized",
            Self::Logins => "logins",
            Self::RateLimit => "rate_limit",
            Self::ScrapeRefused => "scrape_refused",
            Self::AddressConnections => "address_connections",
            Self::Handshakes => "handshakes",
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
        for (index, &limit) in Limit::ALL.iter().enumerate() {
            assert_eq!(limit as usize, index);
        }
    }
}
