//! The source of an engine's text: a closure, or a URL to GET.
//!
//! A source is read into memory that the caller keeps, so that repeated reads allocate only what the closure
//! allocates. Every failure of a source, a panic included, is returned as an [`EngineError`].

use super::format::{not_an_exposition, settle_format};
use super::{
    ENGINE_BODY_BYTES_MAX, ENGINE_TIMEOUT_DEFAULT, ENGINE_TIMEOUT_MAX, EngineError, EngineText, url,
};
use crate::catch_panic::catch_panic;
use dynamo_metrics_encoder::passthrough::{Filter, Labels};
use std::fmt;
use std::time::Duration;

/// The format that engines are asked for.
const ACCEPT: &str = "text/plain;version=0.0.4, */*;q=0.1";
/// The shortest timeout: no source is faster.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);

type Read = dyn Fn(Duration, &mut Vec<u8>) -> Result<(), EngineError> + Send + Sync;

/// The source of an engine's exposition text: a closure, or a URL to GET.
///
/// Each source of an exporter has its own name, which is a label of the metrics about it.
///
/// ```
/// use dynamo_metrics_exporter::{EngineSource, Exporter, Filter, Registry};
///
/// let exporter = Exporter::new(&Registry::new());
/// let source = EngineSource::new("vllm", Filter::vllm(), || {
///     Ok(b"# TYPE vllm:running gauge\nvllm:running 3.0\n".to_vec())
/// });
/// assert!(source.read()?.starts_with(b"# TYPE vllm:running"));
/// exporter.engine(source)?;
/// assert_eq!(exporter.engines().len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct EngineSource {
    name: String,
    filter: Filter,
    timeout: Duration,
    labels: EngineLabels,
    read: Box<Read>,
}

/// Labels that each sample of a source gets besides its own.
#[derive(Clone, Debug, Default)]
pub(super) struct EngineLabels {
    /// The labels of the scope that the source is registered in.
    pub(super) of_scope: bool,
    /// `engine_source`, with the source's name.
    pub(super) of_source: bool,
    /// The source's own labels, which replace those of the scope with the same name.
    pub(super) given: Labels,
}

impl EngineSource {
    /// Creates a source whose closure returns its text, in any version of the text format. The first scrape waits for it
    /// up to [`ENGINE_TIMEOUT_DEFAULT`]; see [`timeout`](Self::timeout).
    pub fn new<T: Into<Vec<u8>>>(
        name: impl Into<String>,
        filter: Filter,
        text: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        let read = move |_, buffer: &mut Vec<u8>| {
            *buffer = text().map_err(|message| EngineError::Failed { message })?.into();
            Ok(())
        };
        Self::reading(name, filter, ENGINE_TIMEOUT_DEFAULT, Box::new(read))
    }

    /// Creates a source whose closure appends its text to an empty buffer, which keeps its memory from fetch to fetch and
    /// never holds more than [`ENGINE_BODY_BYTES_MAX`].
    ///
    /// ```
    /// use dynamo_metrics_exporter::{EngineSource, Filter};
    ///
    /// let source = EngineSource::writing("sglang", Filter::sglang(), |text| {
    ///     text.extend_from_slice(b"sglang:num_running_reqs 1\n");
    ///     Ok(())
    /// });
    /// assert_eq!(source.read()?, b"sglang:num_running_reqs 1\n");
    /// # Ok::<(), dynamo_metrics_exporter::EngineError>(())
    /// ```
    pub fn writing(
        name: impl Into<String>,
        filter: Filter,
        write: impl Fn(&mut EngineText<'_>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let read = move |_, buffer: &mut Vec<u8>| {
            let mut text = EngineText::new(buffer);
            let result = write(&mut text);
            if text.is_full() {
                return Err(EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX });
            }
            result.map_err(|message| EngineError::Failed { message })
        };
        Self::reading(name, filter, ENGINE_TIMEOUT_DEFAULT, Box::new(read))
    }

    fn reading(
        name: impl Into<String>,
        filter: Filter,
        timeout: Duration,
        read: Box<Read>,
    ) -> Self {
        Self { name: name.into(), filter, timeout, labels: EngineLabels::default(), read }
    }

    /// Creates a source that is read from `http://host[:port]/path` at each fetch, within `timeout` and at most
    /// [`ENGINE_TIMEOUT_MAX`]. The operating system sets the limit of a name's lookup, so prefer numeric
    /// addresses.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Filter, EngineSource, engine::ENGINE_TIMEOUT_DEFAULT};
    ///
    /// let url = "http://127.0.0.1:9000/metrics";
    /// let source = EngineSource::url("vllm", Filter::vllm(), url, ENGINE_TIMEOUT_DEFAULT)?;
    /// assert_eq!(source.name(), "vllm");
    /// let https = "https://127.0.0.1:9000/metrics";
    /// assert!(EngineSource::url("x", Filter::all(), https, ENGINE_TIMEOUT_DEFAULT).is_err());
    /// # Ok::<(), dynamo_metrics_exporter::EngineError>(())
    /// ```
    ///
    /// # Errors
    /// [`EngineError::Url`].
    pub fn url(
        name: impl Into<String>,
        filter: Filter,
        url: &str,
        timeout: Duration,
    ) -> Result<Self, EngineError> {
        let url = url::Url::parse(url)?;
        let read = move |timeout, buffer: &mut Vec<u8>| {
            let content_type = url.get(ACCEPT, timeout, buffer)?;
            settle_format(&content_type, buffer)
        };
        Ok(Self::reading(name, filter, ENGINE_TIMEOUT_MAX, Box::new(read)).timeout(timeout))
    }

    /// Sets how long a read may take, and how long the first scrape waits for it: 1 ms to [`ENGINE_TIMEOUT_MAX`]; a value
    /// outside of this range becomes the nearer end. A closure that takes longer is not interrupted; its text is for the
    /// next scrape.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{EngineSource, Filter};
    /// use std::time::Duration;
    ///
    /// let slow = EngineSource::new("slow", Filter::all(), || Ok("x 1\n")).timeout(Duration::from_secs(5));
    /// assert_eq!(slow.name(), "slow");
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(TIMEOUT_MIN, ENGINE_TIMEOUT_MAX);
        self
    }

    /// Adds these labels to each sample, as a worker's number or the model. A label that a sample has already keeps its
    /// value.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{EngineLabels, EngineSource, Exporter, Filter, Registry};
    /// use dynamo_metrics_exporter::bytes::BytesMut;
    ///
    /// let registry = Registry::new().scope(&[("zone", "eu")])?;
    /// let exporter = Exporter::new(&registry);
    /// let source = EngineSource::new("vllm", Filter::vllm(), || Ok("vllm:running 2\n"))
    ///     .labels(EngineLabels::new([("worker_id", "7")])?)
    ///     .scope_labels();
    /// exporter.engine(source)?;
    /// let mut body = BytesMut::new();
    /// exporter.exposition().write(&mut body);
    /// let line = "vllm:running{zone=\"eu\",worker_id=\"7\"} 2\n";
    /// assert!(std::str::from_utf8(&body)?.contains(line));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn labels(mut self, labels: Labels) -> Self {
        self.labels.given = labels;
        self
    }

    /// Adds the labels of the scope that the source is registered in to each sample. A label that a sample has already
    /// keeps its value.
    #[must_use]
    pub fn scope_labels(mut self) -> Self {
        self.labels.of_scope = true;
        self
    }

    /// Adds the label `engine_source`, with the source's name, to each sample. For several engines of one kind, as
    /// data-parallel ranks: of two equal series only the first engine's would be on the page. Set it for all of them at their
    /// registration, so that no series changes its labels while engines come and go.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{EngineSource, Exporter, Filter, Registry, bytes::BytesMut};
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// for (rank, text) in [("rank0", "vllm:running 2\n"), ("rank1", "vllm:running 5\n")] {
    ///     let source = EngineSource::new(rank, Filter::vllm(), move || Ok(text));
    ///     exporter.engine(source.source_label())?;
    /// }
    /// let mut body = BytesMut::new();
    /// exporter.exposition().write(&mut body);
    /// let page = std::str::from_utf8(&body).unwrap();
    /// assert!(page.contains("vllm:running{engine_source=\"rank0\"} 2\n"));
    /// assert!(page.contains("vllm:running{engine_source=\"rank1\"} 5\n"));
    /// # Ok::<(), dynamo_metrics_exporter::SourceError>(())
    /// ```
    #[must_use]
    pub fn source_label(mut self) -> Self {
        self.labels.of_source = true;
        self
    }

    pub(super) fn added_labels(&self) -> &EngineLabels {
        &self.labels
    }

    /// Returns the name, for logs and for the label `source`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the filter of its families.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Reads the source's present text, unfiltered and unchecked. Blocks up to the source's timeout, or as long as its
    /// closure takes. For tests and displays: scrapes read on a thread of the source's.
    ///
    /// # Errors
    /// The source failed, panicked, or returned more than [`ENGINE_BODY_BYTES_MAX`] bytes.
    pub fn read(&self) -> Result<Vec<u8>, EngineError> {
        let mut text = Vec::new();
        self.read_into(&mut text)?;
        Ok(text)
    }

    pub(super) fn read_timeout(&self) -> Duration {
        self.timeout
    }

    /// Reads the text into a buffer whose memory is reused. After an error its content is not defined.
    pub(super) fn read_into(&self, text: &mut Vec<u8>) -> Result<(), EngineError> {
        text.clear();
        catch_panic(|| (self.read)(self.timeout, text))
            .unwrap_or_else(|message| Err(EngineError::Panicked { message }))?;
        if text.len() > ENGINE_BODY_BYTES_MAX {
            return Err(EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX });
        }
        match not_an_exposition(text) {
            Some(found) => Err(EngineError::NotExposition { found }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for EngineSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineSource")
            .field("name", &self.name)
            .field("filter", &self.filter)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_of_a_source_is_an_error() {
        let read = |text: fn() -> Result<String, String>| {
            EngineSource::new("x", Filter::all(), text).read()
        };
        assert_eq!(read(|| Ok("x 1\n".into())), Ok(b"x 1\n".to_vec()));
        let failed = EngineError::Failed { message: "engine is down".into() };
        assert_eq!(read(|| Err("engine is down".into())), Err(failed));
        assert_eq!(read(|| panic!("boom")), Err(EngineError::Panicked { message: "boom".into() }));
        let huge = read(|| Ok("x".repeat(ENGINE_BODY_BYTES_MAX + 1)));
        assert_eq!(huge, Err(EngineError::TooLarge { max: ENGINE_BODY_BYTES_MAX }));
    }

    #[test]
    fn a_page_that_is_no_exposition_is_an_error() {
        let read = |text: &'static str| {
            EngineSource::new("x", Filter::all(), move || Ok(text)).read().map(|_| ())
        };
        for page in [
            "<!doctype html><p>Hi",
            "\n <html>",
            "\u{feff}<x/>",
            "[{\"a\": 1}]",
            "{\"a\": [1]}\n",
            "{}",
            "a\u{0} \u{0}1\u{0}\n\u{0}",
            "\u{1f}x",
            "/\n\u{8}requests\u{12}\u{3}how",
            "OK",
            "Service is healthy\n",
            "null",
            "\"ok\"\n",
            "status: ok\nengine: up\n",
            "a{x=\"1\"",
        ] {
            assert_eq!(read(page).unwrap_err().reason(), "not_exposition", "{page}");
        }
        for page in [
            "",
            "\n",
            "# \u{1}\n",
            "a{x=\"\u{1}\"} 1\n",
            "# nothing\n",
            "x 1\n",
            "broken\nx{y=\"}\"} +Inf\n",
            "broken\r\nx\tnan\r\n",
            "x{} -.5 1 # {t=\"1\"} 0x1p3\n",
            "{\"my.metric\",l=\"x\"} 3\n",
            "{\"my.metric\"} 3",
        ] {
            assert_eq!(read(page), Ok(()), "{page}");
        }
    }

    #[test]
    fn timeouts_are_clamped_to_their_range() {
        let source = |timeout| EngineSource::new("x", Filter::all(), || Ok("")).timeout(timeout);
        assert_eq!(source(Duration::ZERO).timeout, TIMEOUT_MIN);
        assert_eq!(source(Duration::MAX).timeout, ENGINE_TIMEOUT_MAX);
        let url = "http://127.0.0.1:1/";
        let source = EngineSource::url("x", Filter::all(), url, Duration::from_secs(9)).unwrap();
        assert_eq!(source.read_timeout(), Duration::from_secs(9));
    }
}
