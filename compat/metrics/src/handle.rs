//! The handle of a recorder: its page, its server and its problems.

use crate::problem::Problem;
use crate::recorder::{Inner, Served};
use dynamo_metrics_core::Registry;
use dynamo_metrics_exporter::bytes::BytesMut;
use dynamo_metrics_exporter::{
    Exporter, MetricsExposition, MetricsService, ScrapeDeadline, ServerBuilder, StartError,
};
use dynamo_metrics_server::{Batch, ContentType, ExposeError, Exposition, ScrapeRequest, Server};
use std::net::SocketAddr;
use std::sync::Arc;

/// A handle of a recorder, which writes the page. Cheap to clone. The server of [`Builder::listen`](crate::Builder::listen) runs for as long
/// as the recorder or one of its handles is there.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) inner: Arc<Inner>,
    pub(crate) server: Option<Arc<Served>>,
}

impl Handle {
    /// Returns the page as text 0.0.4.
    pub fn render(&self) -> String {
        let mut body = BytesMut::new();
        self.render_into(&mut body);
        String::from_utf8(body.into()).unwrap_or_else(|_| unreachable!("the page is UTF-8"))
    }

    /// Appends the page as text 0.0.4. In steady state it allocates nothing, if the buffer has room for the last page.
    pub fn render_into(&self, body: &mut BytesMut) {
        self.inner.sweep();
        self.inner.exposition.write(body);
    }

    /// Returns the page as a server takes it, in every format. A [`ServerBuilder`] of the program's own settings takes it by `exposition`.
    pub fn page(&self) -> Page {
        Page { inner: Arc::clone(&self.inner) }
    }

    /// Returns a builder of a server with this page, at `127.0.0.1` and a free port unless it is told another address.
    pub fn server(&self) -> ServerBuilder {
        Server::builder().exposition(self.page())
    }

    /// Returns a service for the route `/metrics` of the program's own server, as [`Exporter::mount`] does.
    ///
    /// # Errors
    /// A thread could not be started.
    pub fn mount(&self) -> Result<MetricsService, StartError> {
        self.server().mount()
    }

    /// Returns the address of the server that [`Builder::listen`](crate::Builder::listen) started; `None` without one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(|server| server.address)
    }

    /// Returns the registry, in which a program may register metrics of the core; they are on the same page.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// Returns the exporter, at which a program may register callbacks, collectors and other exporters' pages; they are on the same page.
    pub fn exporter(&self) -> &Exporter {
        &self.inner.exporter
    }

    /// Returns the keys that are not recorded as they were meant, with the reasons: the first [`PROBLEMS_MAX`](crate::PROBLEMS_MAX).
    ///
    /// ```
    /// let recorder = dynamo_metrics_facade::Builder::new().build()?;
    /// metrics::with_local_recorder(&recorder, || {
    ///     metrics::counter!("http.requests").increment(2);
    ///     metrics::counter!("http_requests").increment(5);
    /// });
    /// let (handle, expected) = (recorder.handle(), "counter http_requests is not recorded: it would be the same series as http.requests");
    /// assert!(handle.problems()[0].to_string().starts_with(expected));
    /// let page = handle.render();
    /// assert!(page.contains("http_requests 2\n"));
    /// assert!(page.contains("dynamo_metrics_facade_refused_total{reason=\"same_series\"} 1\n"));
    /// # Ok::<(), dynamo_metrics_facade::BuildError>(())
    /// ```
    pub fn problems(&self) -> Vec<Problem> {
        self.inner.problems.list()
    }
}

/// The page of a recorder, for servers: [`MetricsExposition`] after idle series are removed.
#[derive(Clone, Debug)]
pub struct Page {
    inner: Arc<Inner>,
}

impl Exposition for Page {
    type Variant = <MetricsExposition as Exposition>::Variant;

    fn variant(&self, request: ScrapeRequest<'static>) -> Result<Self::Variant, ExposeError> {
        self.inner.exposition.variant(request)
    }

    fn expose(
        &self,
        variant: &Self::Variant,
        deadline: ScrapeDeadline,
        body: &mut BytesMut,
    ) -> Result<ContentType, ExposeError> {
        self.inner.sweep();
        self.inner.exposition.expose(variant, deadline, body)
    }

    fn expose_batch(&self, batch: &mut Batch<'_, Self::Variant>) {
        self.inner.sweep();
        self.inner.exposition.expose_batch(batch);
    }
}
