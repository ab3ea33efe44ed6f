//! Serves one connection: hyper above a watched socket, and an alarm beside both.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};

use http::StatusCode;
use http::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep_until};

use crate::connection::Order;
use crate::reason::Limit;
use crate::respond::Responder;
use crate::socket::WatchedSocket;
use crate::stream::Stream;
use crate::table::Admission;

/// Serves one admitted connection to its end.
pub(crate) async fn serve(
    (stream, peer): (Stream, Option<IpAddr>),
    admission: Admission,
    http: http1::Builder,
    responder: Rc<Responder>,
) {
    let Admission { connection, table, .. } = &admission;
    let service = service_fn(|request| {
        let refusal = connection.head_complete();
        let responder = Rc::clone(&responder);
        let (connection, table) = (Rc::clone(connection), Rc::clone(table));
        async move {
            let mut response = match refusal {
                Some(refusal) => responder.refuse(refusal),
                None => responder.respond(request, peer).await,
            };
            if let Some(limit) = connection.retirement(table.limits()) {
                table.telemetry().limit_hit(limit);
                response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            connection.response_ready();
            Ok::<_, Infallible>(response)
        }
    });
    let socket = WatchedSocket::new(stream, Rc::clone(connection), Rc::clone(table));
    let mut http = pin!(http.serve_connection(TokioIo::new(socket), service));
    let mut alarm = pin!(sleep_until(Instant::now()));
    let mut finishing = false;

    let ending = poll_fn(|cx| {
        connection.keep_waker(cx.waker());
        if connection.order() == Order::GiveWay {
            return Poll::Ready(Ending::GaveWay);
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
        loop {
            let Some((deadline, limit)) = connection.deadline(table.limits()) else {
                return Poll::Pending;
            };
            if alarm.deadline() != deadline {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(cx));
            if limit != Limit::WriteRate || !connection.next_write_window(table.limits()) {
                return Poll::Ready(Ending::Expired(limit));
            }
        }
    })
    .await;

    match ending {
        // The table has counted it.
        Ending::GaveWay => {}
        Ending::Expired(limit) => {
            table.telemetry().limit_hit(limit);
            if matches!(limit, Limit::WriteDeadline | Limit::WriteRate) {
                connection.reset_on_close();
            }
        }
        Ending::Http(Ok(())) => {}
        Ending::Http(Err(error)) => {
            tracing::debug!(%error, "a connection ended with an error");
            if error.is_parse() {
                // A head that is well formed by our grammar and not by hyper's, such as a target
                // that is no URI; hyper has answered it.
                table.telemetry().limit_hit(Limit::Grammar);
                table.telemetry().response(StatusCode::BAD_REQUEST);
            } else if error.is_timeout() {
                // hyper's own timer, which is set to the sum of both deadlines.
                table.telemetry().limit_hit(Limit::KeepAliveIdle);
            }
        }
    }
}

enum Ending {
    GaveWay,
    Expired(Limit),
    Http(hyper::Result<()>),
}
