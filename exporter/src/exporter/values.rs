//! Values that are read at each scrape: callbacks, collectors, the process and other processes.

use super::Exporter;
use crate::collector::{Collector, LabelledCallback};
use crate::error::SourceError;
use dynamo_metrics_core::{Counter, Gauge, Opts};

impl Exporter {
    /// Registers a counter whose value `value` returns. It must not fall: scrapers take a value that falls for a restart.
    ///
    /// `value` runs once a collection: scrapes that wait at the same time share one.
    ///
    /// The callback runs on a thread of the exporter's. **A fault costs only its own sample**: a panic is counted in
    /// `dynamo_metrics_callback_panics_total`; a scrape waits for it no longer than
    /// [`CALLBACK_TIMEOUT`](crate::CALLBACK_TIMEOUT), not at all where it was too slow the last time, and then has
    /// its last value, which `dynamo_metrics_callback_late_total` counts.
    ///
    /// # Errors
    /// An invalid name or label, a collision, or a second callback of one name and set of constant labels.
    pub fn counter_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Result<(), SourceError> {
        let opts = opts.into();
        let value = self.callbacks().sampled(opts.name(), value)?;
        Ok(self.registry.optional_counter_callback(opts, value)?)
    }

    /// Registers a gauge whose value `value` returns at each scrape, guarded as a
    /// [`counter_callback`](Self::counter_callback) is.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut};
    /// use std::time::Duration;
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// exporter.gauge_callback(("free_bytes", "Free memory."), || 4096.0)?;
    /// exporter.gauge_callback(("stuck", "Never returns."), || {
    ///     std::thread::sleep(Duration::from_secs(3600));
    ///     0.0
    /// })?;
    /// let (exposition, mut body) = (exporter.exposition(), BytesMut::new());
    /// exposition.write(&mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("\nfree_bytes 4096\n"));
    /// body.clear();
    /// exposition.write(&mut body); // the page after a late callback counts it
    /// assert!(std::str::from_utf8(&body)?.contains("callback_late_total{family=\"stuck\"} "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`counter_callback`](Self::counter_callback).
    pub fn gauge_callback(
        &self,
        opts: impl Into<Opts>,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<(), SourceError> {
        let opts = opts.into();
        let value = self.callbacks().sampled(opts.name(), value)?;
        Ok(self.registry.optional_gauge_callback(opts, value)?)
    }

    /// Registers a family of gauges whose series `values` returns at each page: label values, in the order of
    /// `label_names`, and the value. A series that is missing in a result is removed from the page.
    ///
    /// Guarded as a [`collector`](Self::collector) of the family's name is. A snapshot that is taken by hand has the values
    /// of the last page.
    ///
    /// The family has at most [`SERIES_MAX_DEFAULT`](dynamo_metrics_core::limits::SERIES_MAX_DEFAULT) series unless `opts` set
    /// another limit; further label values share the overflow series, whose values are all `other`. Label values are cut as
    /// [`Opts::label_value_bytes_max`] has it. If a result has the same label values twice, the later value is shown.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut};
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// let opts = ("queue_depth", "Entries, by queue.");
    /// exporter.gauge_callback_family(opts, ["queue"], || [(["prefill"], 3.0), (["decode"], 5.0)])?;
    /// let mut body = BytesMut::new();
    /// exporter.exposition().write(&mut body);
    /// let page = std::str::from_utf8(&body)?;
    /// assert!(page.contains("queue_depth{queue=\"prefill\"} 3\n"));
    /// assert!(page.contains("queue_depth{queue=\"decode\"} 5\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`counter_callback`](Self::counter_callback).
    pub fn gauge_callback_family<const N: usize, L, I>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        values: impl Fn() -> I + Send + Sync + 'static,
    ) -> Result<(), SourceError>
    where
        L: Into<String>,
        I: IntoIterator<Item = ([L; N], f64)>,
    {
        let opts = opts.into();
        let (key, sources) = (self.key(&opts), (&self.registry, self.callbacks()));
        let callback = LabelledCallback::<Gauge, N>::new(sources, opts, label_names, values)?;
        Ok(self.sources.collectors.add_update(key, callback)?)
    }

    /// Registers a family of counters whose series `values` returns at each page, as
    /// [`gauge_callback_family`](Self::gauge_callback_family) does. A value that falls is a restart of its counter.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut};
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// let opts = ("reads_total", "Reads, by disk.");
    /// exporter.counter_callback_family(opts, ["disk"], || vec![(["sda"], 3)])?;
    /// let mut body = BytesMut::new();
    /// exporter.exposition().write(&mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("reads_total{disk=\"sda\"} 3\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`counter_callback`](Self::counter_callback).
    pub fn counter_callback_family<const N: usize, L, I>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        values: impl Fn() -> I + Send + Sync + 'static,
    ) -> Result<(), SourceError>
    where
        L: Into<String>,
        I: IntoIterator<Item = ([L; N], u64)>,
    {
        let opts = opts.into();
        let (key, sources) = (self.key(&opts), (&self.registry, self.callbacks()));
        let callback = LabelledCallback::<Counter, N>::new(sources, opts, label_names, values)?;
        Ok(self.sources.collectors.add_update(key, callback)?)
    }

    /// Registers a collector, whose families are on each page after those of the registry, with the labels of the scope.
    /// Its name is the label `collector` of the metric about its errors.
    ///
    /// # Errors
    /// The exporter has a collector of this name, or [`COLLECTORS_MAX`](crate::COLLECTORS_MAX) of them.
    pub fn collector(&self, name: &str, collector: impl Collector) -> Result<(), SourceError> {
        let collectors = &self.sources.collectors;
        collectors.add(name, collector, self.callbacks(), &self.registry)
    }

    /// Removes the collector of this name; returns whether there was one.
    pub fn remove_collector(&self, name: &str) -> bool {
        self.sources.collectors.remove(name)
    }

    /// Registers the usual metrics of the process: `process_cpu_seconds_total`, `process_open_fds`, `process_max_fds`,
    /// `process_resident_memory_bytes`, `process_virtual_memory_bytes`, `process_start_time_seconds` and `process_threads`.
    /// They are read from `/proc` at each page.
    ///
    /// ```
    /// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut};
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// exporter.process_metrics()?;
    /// let mut body = BytesMut::new();
    /// exporter.exposition().write(&mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("\nprocess_open_fds "));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The exporter has them already, or the registry has another metric of one of these names.
    #[cfg(all(feature = "process", target_os = "linux"))]
    pub fn process_metrics(&self) -> Result<(), SourceError> {
        let metrics = crate::collector::ProcessMetrics::new(self.callbacks(), &self.registry)?;
        Ok(self.sources.collectors.add_update("process".into(), metrics)?)
    }

    /// Registers a collector, of this name, of the metrics that all processes of a directory share; see
    /// [`multiprocess`](crate::multiprocess). A directory that is missing at a scrape is no error: it has no metrics. One that
    /// cannot be read is counted in `dynamo_metrics_collector_errors_total`.
    ///
    /// ```
    /// use dynamo_metrics_exporter::multiprocess::{Opts, Processes};
    /// use dynamo_metrics_exporter::{Exporter, Registry, bytes::BytesMut};
    ///
    /// let directory = std::env::temp_dir().join(format!("doc-exporter-{}", std::process::id()));
    /// let processes = Processes::join(&directory)?;
    /// processes.counter(&Opts::new("steps_total", "Steps of all ranks."))?.inc();
    ///
    /// let exporter = Exporter::new(&Registry::new());
    /// exporter.processes("ranks", &directory)?;
    /// let mut body = BytesMut::new();
    /// exporter.exposition().write(&mut body);
    /// assert!(std::str::from_utf8(&body)?.contains("\nsteps_total 1\n"));
    /// # std::fs::remove_dir_all(&directory)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// See [`collector`](Self::collector).
    #[cfg(all(feature = "multiprocess", unix))]
    pub fn processes(
        &self,
        name: &str,
        directory: impl Into<std::path::PathBuf>,
    ) -> Result<(), SourceError> {
        let directory = directory.into();
        // Of the present directory as it is now: a program may change it before a scrape. One that cannot be told is told then.
        let directory = std::path::absolute(&directory).unwrap_or(directory);
        self.collector(name, crate::collector::ProcessesCollector(directory))
    }

    /// The identity of a metric: its name, the labels of the scope and its constant labels.
    fn key(&self, opts: &Opts) -> String {
        let labels: Vec<_> = self.registry.labels().chain(opts.const_labels()).collect();
        format!("{}{labels:?}", opts.name())
    }
}
