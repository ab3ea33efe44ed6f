//! Serves one connection: hyper above [`HttpIo`], and an alarm for the connection's deadlines beside it.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::http::io::HttpIo;
use crate::http::rejection::Rejection;
use crate::limits::Limits;
use crate::net::connection::{Connection, Order};
use crate::net::listener::Accepted;
use crate::net::table::{Admission, ConnectionTable};
use crate::reason::Limit;

/// Makes the responses of a server's connections.
pub(crate) trait Respond {
    /// The response to a valid request.
    fn respond(
        &self,
        request: Request<Incoming>,
        peer: Option<IpAddr>,
    ) -> impl Future<Output = Response<Full<Bytes>>>;

    /// The response in place of a head that was rejected; the last one of its connection.
    fn reject(&self, rejection: Rejection) -> Response<Full<Bytes>>;
}

/// hyper as all connections of a server have it.
pub(crate) fn http_builder(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()) // Without one, the header timeout below would be inert.
        // hyper's timer runs from the end of the previous response, so it can only stand behind the two deadlines that
        // `connection` tells apart.
        .header_read_timeout(limits.head_deadline + limits.keep_alive_idle)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.headers);
    http
}

/// Serves one admitted connection to its end.
pub(crate) async fn serve<R: Respond>(
    Accepted { stream, peer }: Accepted,
    admission: Admission,
    http: http1::Builder,
    responder: Rc<R>,
) {
    let Admission { connection, table, .. } = &admission;
    let rejection = Rc::new(Cell::new(None));
    let service = service_fn(|request| {
        connection.head_complete();
        let rejection = rejection.take();
        let responder = Rc::clone(&responder);
        let (connection, table) = (Rc::clone(connection), Rc::clone(table));
        async move {
            let mut response = match rejection {
                Some(rejection) => responder.reject(rejection),
                None => responder.respond(request, peer).await,
            };
            if is_last(&connection, &table) {
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            connection.response_ready();
            Ok::<_, Infallible>(response)
        }
    });
    let io = HttpIo::new(stream, Rc::clone(connection), Rc::clone(table), Rc::clone(&rejection));
    let mut http = pin!(http.serve_connection(TokioIo::new(io), service));
    let mut alarm = pin!(sleep_until(Instant::now()));
    let mut finishing = false;

    let ending = poll_fn(|cx| {
        connection.keep_waker(cx.waker());
        if connection.order() == Order::Evict {
            return Poll::Ready(Ending::Evicted);
        }
        if let Poll::Ready(result) = http.as_mut().poll(cx) {
            return Poll::Ready(Ending::Http(result));
        }
        // After the poll above, which has picked up a request that was already on its way.
        if connection.order() == Order::Finish && !finishing {
            finishing = true;
            http.as_mut().graceful_shutdown();
            if let Poll::Ready(result) = http.as_mut().poll(cx) {
                return Poll::Ready(Ending::Http(result));
            }
        }
        expired(connection, table.limits(), alarm.as_mut(), cx).map(Ending::Expired)
    })
    .await;

    match ending {
        Ending::Evicted => {} // The table has counted it.
        Ending::Expired(limit) => {
            table.telemetry().limit_hit(limit);
            if matches!(limit, Limit::WriteDeadline | Limit::WriteRate) {
                connection.reset_on_close();
            }
        }
        Ending::Http(result) => count_end(result, table),
    }
}

/// Returns whether the response that is about to be sent is the last one of its connection. A connection that has lived long
/// enough is counted; **a request that is answered after the stop is always told**.
fn is_last(connection: &Connection, table: &ConnectionTable) -> bool {
    if let Some(limit) = connection.retirement(table.limits()) {
        table.telemetry().limit_hit(limit);
        return true;
    }
    connection.order() == Order::Finish
}

/// Ready with the limit when a connection's deadline has passed.
fn expired(
    connection: &Connection,
    limits: &Limits,
    mut alarm: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Limit> {
    loop {
        let Some((deadline, limit)) = connection.deadline(limits) else { return Poll::Pending };
        if alarm.deadline() != deadline {
            alarm.as_mut().reset(deadline);
        }
        ready!(alarm.as_mut().poll(cx));
        if limit != Limit::WriteRate || !connection.next_write_window(limits) {
            return Poll::Ready(limit);
        }
    }
}

fn count_end(result: hyper::Result<()>, table: &ConnectionTable) {
    let Err(error) = result else { return };
    tracing::debug!(%error, "a connection ended with an error");
    if error.is_parse() {
        // A head that is well formed by our grammar and not by hyper's, such as a target that is no URI; hyper has
        // answered it.
        table.telemetry().limit_hit(Limit::Grammar);
        table.telemetry().response(StatusCode::BAD_REQUEST);
    } else if error.is_timeout() {
        // hyper's own timer, which is set to the sum of both deadlines.
        table.telemetry().limit_hit(Limit::KeepAliveIdle);
    }
}

enum Ending {
    Evicted,
    Expired(Limit),
    Http(hyper::Result<()>),
}

#[cfg(test)]
mod tests;
