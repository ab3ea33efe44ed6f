//! Pushes the page to an OpenTelemetry receiver over OTLP/HTTP, for programs that no scraper reaches.
//!
//! ```text
//! every interval:  one page in protobuf, as for a scrape --> messages of OTLP (convert.rs) --> POST (send.rs)
//!                  refused for now: again after 1, 2, 4, ... s or when the receiver says, until the next page is due
//! ```
//!
//! **Nothing is lost or counted twice.** Every point is cumulative, so a push that fails is made up for by the next one, and a push
//! that arrives twice says the same twice. **Memory is bounded**: there is one page at a time, and no queue.
//! A push has the families of a scrape: of the registry, collectors and engines; a native histogram becomes an
//! exponential one, with or without classic buckets beside it.

mod convert;
mod messages;
mod send;
mod settings;

pub use settings::{OtlpSettings, OtlpSettingsError};

use crate::error::SourceError;
use crate::exporter::Exporter;
use crate::log_throttle::LogThrottle;
use crate::page::MetricsExposition;
use convert::Converter;
use dynamo_metrics_core::Escaping;
use dynamo_metrics_encoder::name_filter::NameFilter;
use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
use dynamo_metrics_server::ScrapeDeadline;
use dynamo_metrics_server::bytes::BytesMut;
use parking_lot::{Condvar, Mutex};
use send::{Sender, Verdict};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// First wait before a push is repeated; each further one is twice as long.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
/// Longest wait before a push is repeated, unless the receiver asks for a longer one.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

impl Exporter {
    /// Starts to push this page to an OTLP/HTTP receiver, on a thread of its own, until the returned value is dropped, which pushes
    /// a last time. Counts pushes as `dynamo_metrics_otlp_pushes_total` and those that failed as
    /// `dynamo_metrics_otlp_push_errors_total`.
    ///
    /// The settings are not checked: an endpoint that cannot be reached, or that is no URL, makes each push fail and is no
    /// error of this call.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Exporter, OtlpSettings, Registry};
    ///
    /// // As OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1 in the environment; no receiver is there.
    /// let variable = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://127.0.0.1:1".into());
    /// let settings = OtlpSettings::read(variable)?.expect("an endpoint was given");
    /// assert_eq!(settings.endpoint, "http://127.0.0.1:1/v1/metrics");
    /// let pusher = Exporter::new(&Registry::new()).push_otlp(settings)?;
    /// assert_eq!(pusher.pushes(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The registry has the metrics of a pusher already, or the thread cannot be started.
    pub fn push_otlp(&self, settings: OtlpSettings) -> Result<OtlpPusher, OtlpError> {
        let shared = Arc::new(Shared::default());
        let counters = [
            ("dynamo_metrics_otlp_pushes_total", "Pages that an OTLP receiver took.", false),
            ("dynamo_metrics_otlp_push_errors_total", "Pages that no OTLP receiver took.", true),
        ];
        for (name, help, failed) in counters {
            let counted = Arc::clone(&shared);
            self.registry()
                .rare_counter_callback((name, help), move || counted.counter(failed).load(Relaxed))
                .map_err(SourceError::from)?;
        }
        let worker = Worker::new(self.exposition(), settings, Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("otlp".into()).spawn(|| worker.run())?;
        Ok(OtlpPusher { shared, thread: Some(thread) })
    }
}

/// The reason why pushing did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OtlpError {
    /// The pusher's own metrics could not be registered.
    #[error(transparent)]
    Metrics(#[from] SourceError),
    /// The thread could not be started.
    #[error("the thread that pushes over OTLP cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// Pushes until it is dropped; see [`Exporter::push_otlp`].
#[derive(Debug)]
pub struct OtlpPusher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl OtlpPusher {
    /// Returns the number of pages that the receiver has taken.
    pub fn pushes(&self) -> u64 {
        self.shared.pushed.load(Relaxed)
    }

    /// Returns the number of pages that were given up.
    pub fn errors(&self) -> u64 {
        self.shared.failed.load(Relaxed)
    }
}

impl Drop for OtlpPusher {
    /// Pushes a last time, within the timeout of one push, and ends the thread.
    fn drop(&mut self) {
        *self.shared.stopped.lock() = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic there was reported by its own message.
            let _ = thread.join();
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    stopped: Mutex<bool>,
    changed: Condvar,
    pushed: AtomicU64,
    failed: AtomicU64,
}

impl Shared {
    fn counter(&self, failed: bool) -> &AtomicU64 {
        if failed { &self.failed } else { &self.pushed }
    }

    /// Waits until then; returns whether the pusher was stopped.
    fn wait_until(&self, at: Instant) -> bool {
        let mut stopped = self.stopped.lock();
        while !*stopped && !self.changed.wait_until(&mut stopped, at).timed_out() {}
        *stopped
    }
}

struct Worker {
    exposition: MetricsExposition,
    converter: Converter,
    sender: Sender,
    settings: OtlpSettings,
    shared: Arc<Shared>,
    log: LogThrottle,
}

impl Worker {
    fn new(exposition: MetricsExposition, settings: OtlpSettings, shared: Arc<Shared>) -> Self {
        let converter = Converter::new(&settings.resource);
        let (sender, log) = (Sender::new(&settings), LogThrottle::default());
        Self { exposition, converter, sender, settings, shared, log }
    }

    fn run(mut self) {
        let (mut due, mut page) = (Instant::now(), BytesMut::new());
        loop {
            due += self.settings.interval;
            let stopped = self.shared.wait_until(due);
            // Pages that were due while a push took too long are left out.
            due = due.max(Instant::now());
            let taken = self.push(&mut page, due + self.settings.interval);
            self.shared.counter(!taken).fetch_add(1, Relaxed);
            if stopped {
                return;
            }
        }
    }

    /// Pushes one page until it is taken, or refused for good, or the next one is due.
    fn push(&mut self, page: &mut BytesMut, until: Instant) -> bool {
        page.clear();
        let asked = Negotiated::new(Format::Protobuf, Escaping::AllowUtf8);
        let deadline = ScrapeDeadline::after(self.settings.timeout);
        self.exposition.write_as(asked, &NameFilter::default(), deadline, page);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let Some(body) = self.converter.convert(page, now) else {
            // The encoder's own bytes: a fault of this crate.
            tracing::error!("the page is not protobuf and is not pushed over OTLP");
            return false;
        };
        let mut back_off = BACK_OFF_FIRST;
        loop {
            let (reason, wait) = match self.sender.send(&body) {
                Verdict::Taken => {
                    if let Some(left_out) = self.log.succeeded() {
                        tracing::info!(left_out, "pushes over OTLP succeed again");
                    }
                    return true;
                }
                Verdict::Refused(reason) => (reason, None),
                Verdict::Later(reason, wait) => (reason, Some(wait.unwrap_or(back_off))),
            };
            let endpoint = &self.settings.endpoint;
            if let Some(left_out) = self.log.failed(Instant::now()) {
                tracing::warn!(%endpoint, %reason, left_out, "a push over OTLP failed");
            }
            let again = wait.map(|wait| Instant::now() + wait).filter(|&again| again < until);
            let Some(again) = again else { return false };
            if self.shared.wait_until(again) {
                // The last page is newer than this one.
                return false;
            }
            back_off = (2 * back_off).min(BACK_OFF_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dynamo_metrics_core::Registry;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc;

    /// A receiver that gives these answers, one a request, and hands over each request's body.
    fn receiver(answers: &'static [&'static str]) -> (String, mpsc::Receiver<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/v1/metrics", listener.local_addr().unwrap());
        let (send, bodies) = mpsc::channel();
        std::thread::spawn(move || {
            for answer in answers {
                let (stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(stream);
                let (mut line, mut length) = (String::new(), 0);
                while reader.read_line(&mut line).unwrap() > 2 {
                    if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    line.clear();
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                send.send(body).unwrap();
                let head = "Content-Length: 0\r\nConnection: close\r\n\r\n";
                write!(reader.get_mut(), "HTTP/1.1 {answer}\r\n{head}").unwrap();
            }
        });
        (endpoint, bodies)
    }

    fn eventually(what: &str, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn registry() -> Registry {
        let registry = Registry::new();
        registry.counter(("steps_total", "Steps.")).unwrap().inc();
        registry
    }

    #[test]
    fn a_push_that_is_refused_for_now_is_repeated_as_it_was() {
        let (endpoint, bodies) = receiver(&["503 Busy", "429 Busy", "200 OK"]);
        let exposition = Exporter::new(&registry()).exposition();
        let mut worker = Worker::new(exposition, OtlpSettings::new(endpoint), Arc::default());
        let until = Instant::now() + Duration::from_secs(3600);
        assert!(worker.push(&mut BytesMut::new(), until));
        let all: Vec<_> = (0..3).map(|_| bodies.recv().unwrap()).collect();
        assert!(all[0].windows(11).any(|bytes| bytes == b"steps_total"));
        assert!(all[0] == all[1] && all[1] == all[2]);
    }

    #[test]
    fn a_push_is_given_up_when_the_next_one_is_due() {
        let (endpoint, bodies) = receiver(&["503 Busy"]);
        let exposition = Exporter::new(&registry()).exposition();
        let mut worker = Worker::new(exposition, OtlpSettings::new(endpoint), Arc::default());
        assert!(!worker.push(&mut BytesMut::new(), Instant::now()));
        assert!(bodies.recv().is_ok());
    }

    #[test]
    fn a_pusher_that_ends_pushes_a_last_time() {
        let (endpoint, bodies) = receiver(&["503 Busy"]);
        let pusher = Exporter::new(&registry()).push_otlp(OtlpSettings::new(endpoint)).unwrap();
        drop(pusher);
        assert!(bodies.recv().is_ok());
    }

    #[test]
    fn a_push_that_is_refused_for_good_is_counted_and_the_next_one_is_newer() {
        let (endpoint, bodies) = receiver(&["400 Bad", "200 OK", "200 OK"]);
        let registry = registry();
        let mut settings = OtlpSettings::new(endpoint);
        settings.interval = Duration::from_millis(200);
        let pusher = Exporter::new(&registry).push_otlp(settings).unwrap();
        let refused = bodies.recv().unwrap();
        registry.counter(("steps_total", "Steps.")).unwrap().inc();
        eventually("a push", || pusher.pushes() >= 1);
        assert_ne!(refused, bodies.recv().unwrap());
        assert!(pusher.errors() >= 1);
        drop(pusher);
        assert!(registry.occupies("dynamo_metrics_otlp_pushes_total"));
    }
}
