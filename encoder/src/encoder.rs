//! The encoder of one registry in every format: takes the snapshot, keeps the rendered text of each format, writes the body.

use crate::cursor::{Cursor, append};
use crate::layout::{FamilyLayout, Form, Layout};
use crate::name_filter::NameFilter;
use crate::negotiate::{Format, Negotiated};
use crate::protobuf::{self, ProtobufForm};
use crate::text::{self, Dialect, EOF, TextForm, Version};
use bytes::BytesMut;
use dynamo_metrics_core::{Escaping, Registry, Snapshot, snapshot::FamilySnapshot};

/// Encodes a registry again and again into the caller's buffer.
///
/// Keep one for each registry and scraper thread: it holds the snapshot, and the text that each format it was asked
/// for has rendered. In steady state, with no series added or removed since the last scrape in the same format,
/// it allocates nothing, provided that the buffer has room for the last body.
///
/// ```
/// use bytes::BytesMut;
/// use dynamo_metrics_core::{Buckets, Registry};
/// use dynamo_metrics_encoder::Encoder;
///
/// let registry = Registry::new();
/// let requests = registry.counter_family(("requests_total", "Requests."), ["model"])?;
/// requests.with(["Qwen/Qwen3-0.6B"]).add(42);
/// registry.histogram(("wait_seconds", ""), &Buckets::new([0.5])?)?.observe(0.25);
///
/// let mut encoder = Encoder::new();
/// let mut body = BytesMut::new();
/// encoder.encode(&registry, &mut body);
/// let lines: Vec<&str> = std::str::from_utf8(&body)?.lines().collect();
/// assert_eq!(lines[..2], ["# HELP requests_total Requests.", "# TYPE requests_total counter"]);
/// assert_eq!(lines[2], "requests_total{model=\"Qwen/Qwen3-0.6B\"} 42");
/// assert_eq!(lines[3..6], [
///     "# TYPE wait_seconds histogram",
///     "wait_seconds_bucket{le=\"0.5\"} 1",
///     "wait_seconds_bucket{le=\"+Inf\"} 1",
/// ]);
/// assert_eq!(lines[6..], ["wait_seconds_sum 0.25", "wait_seconds_count 1"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Encoder {
    snapshot: Snapshot,
    /// True if OpenMetrics has lines for start times.
    created: bool,
    /// True if text 0.0.4 has the bounds of OpenMetrics.
    canonical: bool,
    /// At most one for each format and escaping.
    rendered: Vec<Rendered>,
    scrapes: u64,
    layouts_dropped: u64,
    unsound_natives: u64,
}

/// Scrapes after which a format that none of them asked for gives back its rendered text: as much memory as the series
/// themselves take, and every client can ask for any of a dozen formats and escapings. Half an hour of one scraper
/// every 15 s and another every minute, so that two that take turns, or one that comes by the hour, find theirs.
const IDLE_SCRAPES_MAX: u64 = 150;

/// The rendered texts of one format and escaping.
#[derive(Debug)]
struct Rendered {
    of: (Format, Escaping),
    /// The last scrape that asked for it.
    used: u64,
    rendering: Rendering,
}

/// The rendered texts of a format.
#[derive(Debug)]
enum Rendering {
    Text(Dialect, Layout<TextForm>),
    Protobuf(Layout<ProtobufForm>),
}

impl Encoder {
    /// An encoder that has rendered nothing yet.
    ///
    /// ```
    /// use dynamo_metrics_core::Registry;
    /// use dynamo_metrics_encoder::Encoder;
    ///
    /// let mut body = bytes::BytesMut::new();
    /// Encoder::new().encode(&Registry::new(), &mut body);
    /// assert!(body.is_empty(), "nothing is registered");
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// An encoder that prints start times as lines of their own in OpenMetrics, as `requests_created`, if the registry
    /// [has a clock](Registry::with_clock). Otherwise only protobuf has them, because a scraper that was not told
    /// what these lines are stores each as one more series.
    ///
    /// ```
    /// use dynamo_metrics_core::Registry;
    /// use dynamo_metrics_encoder::name_filter::NameFilter;
    /// use dynamo_metrics_encoder::{Encoder, negotiate::negotiate};
    /// use std::time::Duration;
    ///
    /// let registry = Registry::with_clock(|| Duration::from_millis(1_700_000_000_500));
    /// registry.counter(("requests_total", ""))?.add(3);
    /// let asked = negotiate(Some("application/openmetrics-text;version=1.0.0"));
    /// let filter = NameFilter::from_query("name[]=requests")?;
    /// let mut body = bytes::BytesMut::new();
    /// Encoder::with_created_samples().encode_as(&registry, asked, &filter, &mut body);
    /// let expected = "# TYPE requests counter\nrequests_total 3\nrequests_created 1700000000.5\n# EOF\n";
    /// assert_eq!(body, expected.as_bytes());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_created_samples() -> Self {
        Self { created: true, ..Self::default() }
    }

    /// The same encoder, with `le` and `quantile` in text 0.0.4 as the other formats have them, `1.0` for `1`. Prometheus 2
    /// keeps the spelling of each format, so a scraper that changes formats there sees other series; Prometheus 3 takes
    /// both for one. Texts that were rendered before stay as they are.
    ///
    /// ```
    /// use dynamo_metrics_core::{Buckets, Registry};
    /// use dynamo_metrics_encoder::Encoder;
    ///
    /// let registry = Registry::new();
    /// registry.histogram(("wait_seconds", ""), &Buckets::new([1.0])?)?;
    /// let mut body = bytes::BytesMut::new();
    /// Encoder::new().openmetrics_bounds().encode(&registry, &mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("wait_seconds_bucket{le=\"1.0\"} 0\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn openmetrics_bounds(mut self) -> Self {
        self.canonical = true;
        self
    }

    /// Returns how often a format gave back its rendered text because none of 150 scrapes had asked for it. The next scrape
    /// that asks for the format renders it anew.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use dynamo_metrics_core::{Escaping, Registry};
    /// use dynamo_metrics_encoder::Encoder;
    /// use dynamo_metrics_encoder::name_filter::NameFilter;
    /// use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
    ///
    /// let (registry, mut encoder, mut body) = (Registry::new(), Encoder::new(), BytesMut::new());
    /// let once = Negotiated::new(Format::Protobuf, Escaping::Values);
    /// encoder.encode_as(&registry, once, &NameFilter::default(), &mut body);
    /// (0..150).for_each(|_| encoder.encode(&registry, &mut body));
    /// assert_eq!(encoder.layouts_dropped(), 0);
    /// encoder.encode(&registry, &mut body);
    /// assert_eq!(encoder.layouts_dropped(), 1);
    /// ```
    pub fn layouts_dropped(&self) -> u64 {
        self.layouts_dropped
    }

    /// Returns how often a native histogram was written as a classic one because scrapers would refuse it: a bucket above
    /// 2^63 - 1, or a count above 2^64 - 1.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use dynamo_metrics_core::{Escaping, NativeBuckets, Registry};
    /// use dynamo_metrics_encoder::Encoder;
    /// use dynamo_metrics_encoder::name_filter::NameFilter;
    /// use dynamo_metrics_encoder::negotiate::{Format, Negotiated};
    ///
    /// let registry = Registry::new();
    /// let wait = registry.native_histogram(("wait_seconds", ""), &NativeBuckets::new())?;
    /// let asked = Negotiated::new(Format::Protobuf, Escaping::Underscores);
    /// let (mut encoder, mut body) = (Encoder::new(), BytesMut::new());
    /// for (more, refused) in [(i64::MAX as u64, 0), (1, 1)] {
    ///     wait.observe_n(0.5, more);
    ///     encoder.encode_as(&registry, asked, &NameFilter::default(), &mut body);
    ///     assert_eq!(encoder.unsound_natives(), refused);
    /// }
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn unsound_natives(&self) -> u64 {
        self.unsound_natives
    }

    /// Appends the exposition of the registry and the scopes below it to `body`, as text 0.0.4.
    ///
    /// Families come sorted by name, series in the order of their creation. A family without series prints
    /// nothing. Cost: linear in the bytes written, plus one pass over the shards of all threads.
    ///
    /// ```
    /// use dynamo_metrics_core::Registry;
    /// use dynamo_metrics_encoder::Encoder;
    ///
    /// let registry = Registry::new();
    /// registry.counter(("requests_total", "Requests."))?.add(3);
    /// let (mut encoder, mut body) = (Encoder::new(), bytes::BytesMut::from("# ours\n"));
    /// encoder.encode(&registry, &mut body);
    /// let page = "# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total 3\n";
    /// assert_eq!(body, format!("# ours\n{page}").as_bytes());
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn encode(&mut self, registry: &Registry, body: &mut BytesMut) {
        self.encode_as(registry, Negotiated::default(), &NameFilter::default(), body);
    }

    /// Appends what a scraper asked for: [`negotiate`](crate::negotiate::negotiate) reads its `Accept` header, and
    /// [`NameFilter`] its query.
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use dynamo_metrics_core::Registry;
    /// use dynamo_metrics_encoder::name_filter::NameFilter;
    /// use dynamo_metrics_encoder::{Encoder, negotiate::negotiate};
    ///
    /// let registry = Registry::new();
    /// registry.counter(("requests_total", "Requests."))?.add(3);
    /// registry.counter(("errors_total", "Errors."))?.inc();
    /// let filter = NameFilter::from_query("name[]=requests_total")?;
    /// let asked = negotiate(Some("application/openmetrics-text;version=1.0.0"));
    /// let mut body = BytesMut::new();
    /// Encoder::new().encode_as(&registry, asked, &filter, &mut body);
    /// let expected = "# TYPE requests counter\n# HELP requests Requests.\nrequests_total 3\n# EOF\n";
    /// assert_eq!(body, expected.as_bytes());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode_as(
        &mut self,
        registry: &Registry,
        asked: Negotiated,
        filter: &NameFilter,
        body: &mut BytesMut,
    ) {
        self.encode_with(registry, asked, filter, body, |_, _| {});
    }

    /// [`encode_as`](Self::encode_as), with families of another origin behind those of the registry: `more` appends
    /// them, given the snapshot that was written, which says [which names it has](Snapshot::occupies), and only then comes what ends the body (`# EOF` in OpenMetrics).
    ///
    /// ```
    /// use bytes::BytesMut;
    /// use dynamo_metrics_core::Registry;
    /// use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Source};
    /// use dynamo_metrics_encoder::name_filter::NameFilter;
    /// use dynamo_metrics_encoder::{Encoder, negotiate::negotiate};
    ///
    /// let registry = Registry::new();
    /// registry.counter(("requests_total", ""))?.add(3);
    /// let asked = negotiate(Some("application/openmetrics-text;version=1.0.0"));
    /// let (engine, all) = (Filter::vllm(), NameFilter::default());
    /// let text = b"# TYPE vllm:running gauge\nvllm:running 2.0\nrequests_total 7\n";
    /// let mut body = BytesMut::new();
    /// Encoder::new().encode_with(&registry, asked, &all, &mut body, |ours, body| {
    ///     let ours = |name: &str| ours.occupies(name);
    ///     Passthrough::new().merge([Source::new(&engine, text)], &ours, asked, &all, body);
    /// });
    /// let expected = "# TYPE requests counter\nrequests_total 3\n# TYPE vllm:running gauge\nvllm:running 2.0\n# EOF\n";
    /// assert_eq!(body, expected.as_bytes());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encode_with(
        &mut self,
        registry: &Registry,
        asked: Negotiated,
        filter: &NameFilter,
        body: &mut BytesMut,
        more: impl FnOnce(&Snapshot, &mut BytesMut),
    ) {
        self.snapshot.take(registry);
        let snapshot = &self.snapshot;
        self.scrapes += 1;
        let (of, used) = ((asked.format, asked.escaping), self.scrapes);
        let known = self.rendered.iter().position(|rendered| rendered.of == of);
        let at = known.unwrap_or_else(|| {
            let rendering = Rendering::new(asked, self.created, self.canonical);
            self.rendered.push(Rendered { of, used, rendering });
            self.rendered.len() - 1
        });
        let rendered = &mut self.rendered[at];
        rendered.used = used;
        match &mut rendered.rendering {
            Rendering::Text(dialect, layout) => {
                layout.sync(snapshot);
                layout.touch();
                let room = layout.room(snapshot, filter);
                self.unsound_natives += room.unsound;
                append(body, room.bytes + EOF.len(), |cursor| {
                    write(cursor, snapshot, layout, filter, text::write_family)
                });
                more(snapshot, body);
                if dialect.is_openmetrics() {
                    body.extend_from_slice(EOF);
                }
            }
            Rendering::Protobuf(layout) => {
                layout.sync(snapshot);
                layout.touch();
                let room = layout.room(snapshot, filter);
                self.unsound_natives += room.unsound;
                append(body, room.bytes, |cursor| {
                    write(cursor, snapshot, layout, filter, protobuf::write_family)
                });
                more(snapshot, body);
            }
        }
        let before = self.rendered.len();
        self.rendered.retain(|rendered| used - rendered.used <= IDLE_SCRAPES_MAX);
        self.layouts_dropped += (before - self.rendered.len()) as u64;
    }
}

impl Rendering {
    fn new(asked: Negotiated, created: bool, canonical: bool) -> Self {
        let escaping = asked.escaping;
        let version = match asked.format {
            Format::Protobuf => return Self::Protobuf(Layout::new(escaping)),
            Format::Text => Version::Prometheus,
            Format::OpenMetrics => Version::OpenMetrics1,
            #[cfg(feature = "openmetrics2")]
            Format::OpenMetrics2 => Version::OpenMetrics2,
        };
        let created = created && version == Version::OpenMetrics1;
        let dialect = Dialect { version, escaping, created, canonical };
        Self::Text(dialect, Layout::new(dialect))
    }
}

/// Writes each family that the filter admits.
fn write<'a, F: Form>(
    cursor: Cursor<'a>,
    snapshot: &Snapshot,
    layout: &Layout<F>,
    filter: &NameFilter,
    write_family: impl Fn(Cursor<'a>, &FamilyLayout<F>, FamilySnapshot<'_>) -> Cursor<'a>,
) -> Cursor<'a> {
    let families = layout.families.iter().zip(snapshot.families());
    if filter.admits_all() {
        // Names are not looked at, which would be three cache misses a family.
        return families
            .fold(cursor, |cursor, (layout, family)| write_family(cursor, layout, family));
    }
    families.fold(cursor, |cursor, (layout, family)| {
        if layout.is_shown(family, filter) { write_family(cursor, layout, family) } else { cursor }
    })
}
