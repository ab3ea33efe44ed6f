//! The validator between hyper and the handlers: it refuses requests that can be read in two ways, and bodies without bound.
//!
//! It checks the head as hyper has read it. Where a request ends was judged before hyper saw it (`heads`), because hyper settles a
//! length beside a coding without a word.

use super::limits::{Limit, Limits};
use super::telemetry::Telemetry;
use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::service::Service;
use hyper::{Request, body::Bytes};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Answers a request by the router, or refuses it, as `verdict` has refused its head.
pub(crate) async fn answer(
    router: TowerToHyperService<Router>,
    request: Request<Incoming>,
    limits: &Limits,
    bodies: &Arc<Semaphore>,
    telemetry: &Telemetry,
    verdict: Option<Refusal>,
    refused: &(dyn Fn(&Parts, Refusal) -> Response + Send + Sync),
) -> Response {
    let (mut head, body) = request.into_parts();
    let judged = verdict.map_or_else(|| judge(&head, &body, limits), Err);
    let taken = match judged {
        Ok(()) => take(body, limits, bodies).await,
        Err(refusal) => Err(refusal),
    };
    match taken {
        // The room is freed with the request: a handler that keeps the body takes the room out, and drops both together.
        Ok((body, room)) => {
            head.extensions.insert(room);
            let Ok(response) = router.call(Request::from_parts(head, Body::from(body))).await;
            response
        }
        Err(refusal) => {
            telemetry.hit(refusal.limit);
            let mut response = refused(&head, refusal);
            // The bytes that follow on the connection cannot be trusted, or will not be read.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    }
}

/// A function that answers a request which is refused before a handler sees it, in the form of the API's errors, and counts it.
pub(crate) type Refused = Arc<dyn Fn(&Parts, Refusal) -> Response + Send + Sync>;

/// Answers a refused request as plain text.
pub(crate) fn refused(_: &Parts, refusal: Refusal) -> Response {
    refusal.into_response()
}

/// The reason for which a request is not served. The texts are fixed: nothing of a request is sent back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    limit: Limit,
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
}

const HOST: Refusal = bad(Limit::Host, "a request has one valid Host");
/// The error of a head whose request may end in two places, or nowhere.
pub(crate) const FRAMING: Refusal = bad(
    Limit::Framing,
    "where the request ends is ambiguous: send one Content-Length, a number, or Transfer-Encoding: chunked",
);
/// The error of a head that cannot be read.
pub(crate) const GRAMMAR: Refusal = bad(Limit::Grammar, "the head of the request is malformed");
/// The error of a head beyond [`Limits::head_bytes`] or [`Limits::headers`].
pub(crate) const HEAD_TOO_LONG: Refusal = Refusal {
    limit: Limit::HeadSize,
    status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    text: "the request line and the headers are too long, or too many",
};
const BODY_WITHOUT_MEANING: Refusal = bad(Limit::Body, "GET and HEAD have no body");
const BODY_BROKEN: Refusal = bad(Limit::Framing, "the body broke off or is malformed");
const BODY_TOO_LONG: Refusal = Refusal {
    limit: Limit::Body,
    status: StatusCode::PAYLOAD_TOO_LARGE,
    text: "the body is too long",
};
const TOO_MANY_BODIES: Refusal = Refusal {
    limit: Limit::Bodies,
    status: StatusCode::SERVICE_UNAVAILABLE,
    text: "too many bodies at once",
};
const BODY_TOO_SLOW: Refusal = Refusal {
    limit: Limit::BodyDeadline,
    status: StatusCode::REQUEST_TIMEOUT,
    text: "the body did not come in time",
};

const fn bad(limit: Limit, text: &'static str) -> Refusal {
    Refusal { limit, status: StatusCode::BAD_REQUEST, text }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let headers = [(header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
        (self.status, headers, self.text).into_response()
    }
}

fn judge(head: &Parts, body: &Incoming, limits: &Limits) -> Result<(), Refusal> {
    judge_head(head)?;
    if matches!(head.method, Method::GET | Method::HEAD) && !body.is_end_stream() {
        return Err(BODY_WITHOUT_MEANING);
    }
    // Before the body is read, or asked for by `100 Continue`.
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(BODY_TOO_LONG);
    }
    Ok(())
}

fn judge_head(head: &Parts) -> Result<(), Refusal> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if host.as_bytes().iter().all(|&byte| is_host(byte)) => Ok(()),
        (None, _) if head.version == Version::HTTP_10 => Ok(()),
        _ => Err(HOST),
    }
}

/// Returns whether a byte may stand in `uri-host [ ":" port ]` (RFC 3986 section 3.2.2).
fn is_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

/// Returns the room of all bodies, in units of [`ROOM_BYTES`].
pub(crate) fn room(limits: &Limits) -> Semaphore {
    Semaphore::new((limits.bodies_bytes / ROOM_BYTES).min(Semaphore::MAX_PERMITS))
}

/// The unit of room: a semaphore counts to 2^32 only, which is too little for bytes.
const ROOM_BYTES: usize = 1024;

/// The room that the bytes of one body take among those of all bodies; given back when the last clone is dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room {
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

/// Reads the whole body, within its deadline and its limit, and returns it with the room that it takes. **Room is taken for bytes
/// that have arrived**, not for those that were announced.
async fn take(
    body: Incoming,
    limits: &Limits,
    bodies: &Arc<Semaphore>,
) -> Result<(Bytes, Room), Refusal> {
    if body.is_end_stream() {
        return Ok((Bytes::new(), Room::default()));
    }
    let whole = collect(body, limits.body_bytes, bodies);
    tokio::time::timeout(limits.body_deadline, whole).await.unwrap_or(Err(BODY_TOO_SLOW))
}

async fn collect(
    mut body: impl hyper::body::Body<Data = Bytes> + Unpin,
    bytes_max: usize,
    bodies: &Arc<Semaphore>,
) -> Result<(Bytes, Room), Refusal> {
    let mut whole = BytesMut::new();
    let mut room: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        // Trailers are ignored.
        let Ok(data) = frame.map_err(|_| BODY_BROKEN)?.into_data() else { continue };
        let bytes = whole.len() + data.len();
        if bytes > bytes_max {
            return Err(BODY_TOO_LONG);
        }
        let units = bytes.div_ceil(ROOM_BYTES) - room.as_ref().map_or(0, |room| room.num_permits());
        if units > 0 {
            let units = u32::try_from(units).unwrap_or(u32::MAX);
            let more =
                Arc::clone(bodies).try_acquire_many_owned(units).map_err(|_| TOO_MANY_BODIES)?;
            match &mut room {
                Some(room) => room.merge(more),
                None => room = Some(more),
            }
        }
        whole.extend_from_slice(&data);
    }
    Ok((whole.freeze(), Room { _permit: room.map(Arc::new) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use std::convert::Infallible;
    use tokio::sync::mpsc::Sender;

    fn judged(version: Version, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut request = Request::builder().version(version).uri("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        judge_head(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_head_without_one_valid_host_is_refused() {
        let host = ("host", "a:1");
        for (headers, result) in [
            (vec![host], Ok(())),
            (vec![("host", "[::1]:8000")], Ok(())),
            (vec![], Err(HOST)),
            (vec![host, host], Err(HOST)),
            (vec![("host", "a b")], Err(HOST)),
        ] {
            assert_eq!(judged(Version::HTTP_11, &headers), result, "{headers:?}");
        }
        assert_eq!(judged(Version::HTTP_10, &[]), Ok(()));
        assert_eq!(judged(Version::HTTP_10, &[host, host]), Err(HOST));
    }

    /// A body whose bytes come when they are sent.
    fn body() -> (Sender<&'static [u8]>, impl hyper::body::Body<Data = Bytes> + Unpin) {
        let (sender, mut bytes) = tokio::sync::mpsc::channel(1);
        let frames = futures_util::stream::poll_fn(move |cx| {
            let frame = |bytes| Ok::<_, Infallible>(Frame::data(Bytes::from_static(bytes)));
            bytes.poll_recv(cx).map(|bytes| bytes.map(frame))
        });
        (sender, StreamBody::new(frames))
    }

    #[test]
    fn all_bodies_together_are_bounded_by_what_has_come_and_give_their_room_back() {
        const PART: &[u8] = &[b'x'; 2 * ROOM_BYTES - 1];
        let all = Arc::new(Semaphore::new(4));
        let read = |body| Box::pin(collect(body, 2 * ROOM_BYTES, &all));
        let (senders, bodies): (Vec<_>, Vec<_>) = (0..2).map(|_| body()).unzip();
        let mut holding: Vec<_> = bodies.into_iter().map(read).collect();
        assert_eq!(all.available_permits(), 4, "nothing has come");
        for (sender, reading) in senders.iter().zip(&mut holding) {
            sender.try_send(PART).unwrap();
            assert!(reading.now_or_never().is_none(), "a byte has not come yet");
        }
        let one = || collect(Full::new(Bytes::from_static(b"x")), 2 * ROOM_BYTES, &all);
        let refused = one().now_or_never().expect("it is there whole");
        assert_eq!(refused.unwrap_err(), TOO_MANY_BODIES);
        drop(senders);
        for reading in holding {
            let (whole, room) = reading.now_or_never().expect("its end has come").unwrap();
            assert_eq!(whole, PART);
            drop(room);
        }
        assert_eq!(all.available_permits(), 4);
        assert!(one().now_or_never().expect("it is there whole").is_ok());
    }
}
