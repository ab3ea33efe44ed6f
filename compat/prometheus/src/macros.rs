//! Macros that make metrics and register them.

/// Returns a map of labels.
///
/// ```
/// let labels = prometheus::labels! {"model" => "llama", "endpoint" => "chat"};
/// assert_eq!(labels["model"], "llama");
/// ```
#[macro_export]
macro_rules! labels {
    ($($KEY:expr => $VALUE:expr),* $(,)?) => {{
        // In scope of the arguments, which may name it.
        use ::std::collections::HashMap;
        HashMap::from([$(($KEY, $VALUE)),*])
    }};
}

/// Returns the [`Opts`](crate::Opts) with a name, a help text and maps of constant labels.
///
/// ```
/// use prometheus::{labels, opts};
///
/// let opts = opts!("requests_total", "Requests.", labels! {"model" => "llama"});
/// assert_eq!(opts.const_labels["model"], "llama");
/// ```
#[macro_export]
macro_rules! opts {
    ($NAME:expr, $HELP:expr $(, $CONST_LABELS:expr)* $(,)?) => {{
        // In scope of the arguments, which may name it.
        use ::std::collections::HashMap;
        #[allow(unused_mut)]
        let mut labels = HashMap::<String, String>::new();
        $(labels.extend($CONST_LABELS.iter().map(|(k, v)| ((*k).into(), (*v).into())));)*
        $crate::Opts::new($NAME, $HELP).const_labels(labels)
    }};
}

/// Returns the [`HistogramOpts`](crate::HistogramOpts) with a name, a help text, buckets and a map of constant labels.
///
/// ```
/// let opts = prometheus::histogram_opts!("latency_seconds", "Time to answer.", vec![0.1, 1.0]);
/// assert_eq!(opts.buckets, [0.1, 1.0]);
/// ```
#[macro_export]
macro_rules! histogram_opts {
    ($NAME:expr, $HELP:expr $(,)?) => {
        $crate::HistogramOpts::new($NAME, $HELP)
    };
    ($NAME:expr, $HELP:expr, $BUCKETS:expr $(,)?) => {
        $crate::HistogramOpts::new($NAME, $HELP).buckets($BUCKETS)
    };
    ($NAME:expr, $HELP:expr, $BUCKETS:expr, $CONST_LABELS:expr $(,)?) => {
        $crate::HistogramOpts::new($NAME, $HELP).buckets($BUCKETS).const_labels($CONST_LABELS)
    };
}

/// Makes a metric, registers it and returns it, or the registry's error.
#[doc(hidden)]
#[macro_export]
macro_rules! __register {
    ($METRIC:expr) => {{
        let metric = $METRIC.unwrap();
        $crate::register(Box::new(metric.clone())).map(|()| metric)
    }};
    ($METRIC:expr, $REGISTRY:expr) => {{
        let metric = $METRIC.unwrap();
        $REGISTRY.register(Box::new(metric.clone())).map(|()| metric)
    }};
}

/// Makes a counter, of options or of a name and a help text and registers it with the default
/// registry. Panics if the options are invalid.
///
/// ```
/// let metric = prometheus::register_counter!("example_counter", "Help.")?;
/// metric.inc();
/// assert!(prometheus::register_counter!("example_counter", "Help.").is_err());
/// # Ok::<(), prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! register_counter {
    ($OPTS:expr $(,)?) => {
        $crate::__register!($crate::Counter::with_opts($OPTS))
    };
    ($NAME:expr, $HELP:expr $(,)?) => {
        $crate::__register!($crate::Counter::with_opts($crate::opts!($NAME, $HELP)))
    };
}

/// Registers a counter in the given registry, the last argument; see [`register_counter!`](crate::register_counter).
#[macro_export]
macro_rules! register_counter_with_registry {
    ($OPTS:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::Counter::with_opts($OPTS), $REGISTRY)
    };
    ($NAME:expr, $HELP:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::Counter::with_opts($crate::opts!($NAME, $HELP)), $REGISTRY)
    };
}

/// Makes a family of counters, of options or of a name and a help text, and label names, and registers it with the default
/// registry. Panics if the options are invalid.
///
/// ```
/// let metric = prometheus::register_counter_vec!("example_counter_vec", "Help.", &["model"])?;
/// metric.with_label_values(&["llama"]).inc();
/// assert!(prometheus::register_counter_vec!("example_counter_vec", "Help.", &["model"]).is_err());
/// # Ok::<(), prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! register_counter_vec {
    ($OPTS:expr, $LABELS_NAMES:expr $(,)?) => {
        $crate::__register!($crate::CounterVec::new($OPTS, $LABELS_NAMES))
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr $(,)?) => {
        $crate::__register!($crate::CounterVec::new($crate::opts!($NAME, $HELP), $LABELS_NAMES))
    };
}

/// Registers a counter vector in the given registry, the last argument; see
/// [`register_counter_vec!`](crate::register_counter_vec).
#[macro_export]
macro_rules! register_counter_vec_with_registry {
    ($OPTS:expr, $LABELS_NAMES:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::CounterVec::new($OPTS, $LABELS_NAMES), $REGISTRY)
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!(
            $crate::CounterVec::new($crate::opts!($NAME, $HELP), $LABELS_NAMES),
            $REGISTRY
        )
    };
}

/// Makes a counter of `u64`, of options or of a name and a help text and registers it with the default
/// registry. Panics if the options are invalid.
///
/// ```
/// let metric = prometheus::register_int_counter!("example_int_counter", "Help.")?;
/// metric.inc();
/// assert!(prometheus::register_int_counter!("example_int_counter", "Help.").is_err());
/// # Ok::<(), prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! register_int_counter {
    ($OPTS:expr $(,)?) => {
        $crate::__register!($crate::IntCounter::with_opts($OPTS))
    };
    ($NAME:expr, $HELP:expr $(,)?) => {
        $crate::__register!($crate::IntCounter::with_opts($crate::opts!($NAME, $HELP)))
    };
}

/// Registers an integer counter in the given registry, the last argument; see
/// [`register_int_counter!`](crate::register_int_counter).
#[macro_export]
macro_rules! register_int_counter_with_registry {
    ($OPTS:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::IntCounter::with_opts($OPTS), $REGISTRY)
    };
    ($NAME:expr, $HELP:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::IntCounter::with_opts($crate::opts!($NAME, $HELP)), $REGISTRY)
    };
}

/// Makes a family of counters of `u64`, of options or of a name and a help text, and label names, and registers it with the default
/// registry. Panics if the options are invalid.
///
/// ```
/// let metric = prometheus::register_int_counter_vec!("example_int_counter_vec", "Help.", &["model"])?;
/// metric.with_label_values(&["llama"]).inc();
/// assert!(prometheus::register_int_counter_vec!("example_int_counter_vec", "Help.", &["model"]).is_err());
/// # Ok::<(), prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! register_int_counter_vec {
    ($OPTS:expr, $LABELS_NAMES:expr $(,)?) => {
        $crate::__register!($crate::IntCounterVec::new($OPTS, $LABELS_NAMES))
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr $(,)?) => {
        $crate::__register!($crate::IntCounterVec::new($crate::opts!($NAME, $HELP), $LABELS_NAMES))
    };
}

/// Registers an integer counter vector in the given registry, the last argument; see
/// [`register_int_counter_vec!`](crate::register_int_counter_vec).
#[macro_export]
macro_rules! register_int_counter_vec_with_registry {
    ($OPTS:expr, $LABELS_NAMES:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::IntCounterVec::new($OPTS, $LABELS_NAMES), $REGISTRY)
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!(
            $crate::IntCounterVec::new($crate::opts!($NAME, $HELP), $LABELS_NAMES),
            $REGISTRY
        )
    };
}

/// Makes a gauge, of options or of a name and a help text and registers it with the default
/// registry. Panics if the options are invalid.
///
/// ```
/// let metric = prometheus::register_gauge!("example_gauge", "Help.")?;
/// metric.inc();
/// assert!(prometheus::register_gauge!("example_gauge", "Help.").is_err());
/// # Ok::<(), prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! register_gauge {
    ($OPTS:expr $(,)?) => {
        $crate::__register!($crate::Gauge::with_opts($OPTS))
    };
    ($NAME:expr, $HELP:expr $(,)?) => {
        $crate::__register!($crate::Gauge::with_opts($crate::opts!($NAME, $HELP)))
    };
}

/// Registers a gauge in the given registry, the last argument; see [`register_gauge!`](crate::register_gauge).
#[macro_export]
macro_rules! register_gauge_with_registry {
    ($OPTS:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::Gauge::with_opts($OPTS), $REGISTRY)
    };
    ($NAME:expr, $HELP:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::Gauge::with_opts($crate::opts!($NAME, $HELP)), $REGISTRY)
    };
}

/// Makes a family of gauges, of options or of a name and a help text, and label names, and registers it with the default
/// registry. Panics if the options are invalid.
///
/// ```
/// let metric = prometheus::register_gauge_vec!("example_gauge_vec", "Help.", &["model"])?;
/// metric.with_label_values(&["llama"]).inc();
/// assert!(prometheus::register_gauge_vec!("example_gauge_vec", "Help.", &["model"]).is_err());
/// # Ok::<(), prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! register_gauge_vec {
    ($OPTS:expr, $LABELS_NAMES:expr $(,)?) => {
        $crate::__register!($crate::GaugeVec::new($OPTS, $LABELS_NAMES))
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr $(,)?) => {
        $crate::__register!($crate::GaugeVec::new($crate::opts!($NAME, $HELP), $LABELS_NAMES))
    };
}

/// Registers a gauge vector in the given registry, the last argument; see [`register_gauge_vec!`](crate::register_gauge_vec).
#[macro_export]
macro_rules! register_gauge_vec_with_registry {
    ($OPTS:expr, $LABELS_NAMES:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::GaugeVec::new($OPTS, $LABELS_NAMES), $REGISTRY)
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!(
            $crate::GaugeVec::new($crate::opts!($NAME, $HELP), $LABELS_NAMES),
            $REGISTRY
        )
    };
}

/// Makes a gauge of `i64`, of options or of a name and a help text and registers it with the default
/// registry. Panics if the options are invalid.
///
/// ```
/// let metric = prometheus::register_int_gauge!("example_int_gauge", "Help.")?;
/// metric.inc();
/// assert!(prometheus::register_int_gauge!("example_int_gauge", "Help.").is_err());
/// # Ok::<(), prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! register_int_gauge {
    ($OPTS:expr $(,)?) => {
        $crate::__register!($crate::IntGauge::with_opts($OPTS))
    };
    ($NAME:expr, $HELP:expr $(,)?) => {
        $crate::__register!($crate::IntGauge::with_opts($crate::opts!($NAME, $HELP)))
    };
}

/// Registers an integer gauge in the given registry, the last argument; see [`register_int_gauge!`](crate::register_int_gauge).
#[macro_export]
macro_rules! register_int_gauge_with_registry {
    ($OPTS:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::IntGauge::with_opts($OPTS), $REGISTRY)
    };
    ($NAME:expr, $HELP:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::IntGauge::with_opts($crate::opts!($NAME, $HELP)), $REGISTRY)
    };
}

/// Makes a family of gauges of `i64`, of options or of a name and a help text, and label names, and registers it with the default
/// registry. Panics if the options are invalid.
///
/// ```
/// let metric = prometheus::register_int_gauge_vec!("example_int_gauge_vec", "Help.", &["model"])?;
/// metric.with_label_values(&["llama"]).inc();
/// assert!(prometheus::register_int_gauge_vec!("example_int_gauge_vec", "Help.", &["model"]).is_err());
/// # Ok::<(), prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! register_int_gauge_vec {
    ($OPTS:expr, $LABELS_NAMES:expr $(,)?) => {
        $crate::__register!($crate::IntGaugeVec::new($OPTS, $LABELS_NAMES))
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr $(,)?) => {
        $crate::__register!($crate::IntGaugeVec::new($crate::opts!($NAME, $HELP), $LABELS_NAMES))
    };
}

/// Registers an integer gauge vector in the given registry, the last argument; see
/// [`register_int_gauge_vec!`](crate::register_int_gauge_vec).
#[macro_export]
macro_rules! register_int_gauge_vec_with_registry {
    ($OPTS:expr, $LABELS_NAMES:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::IntGaugeVec::new($OPTS, $LABELS_NAMES), $REGISTRY)
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!(
            $crate::IntGaugeVec::new($crate::opts!($NAME, $HELP), $LABELS_NAMES),
            $REGISTRY
        )
    };
}

/// Makes a histogram, of options or of a name, a help text, and perhaps bounds of buckets, and registers it with
/// the default registry. Panics if the options are invalid.
///
/// ```
/// let metric = prometheus::register_histogram!("example_histogram", "Help.", vec![0.1, 1.0])?;
/// metric.observe(0.5);
/// assert!(prometheus::register_histogram!("example_histogram", "Help.").is_err());
/// # Ok::<(), prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! register_histogram {
    ($HOPTS:expr $(,)?) => {
        $crate::__register!($crate::Histogram::with_opts($HOPTS))
    };
    ($NAME:expr, $HELP:expr $(,)?) => {
        $crate::__register!($crate::Histogram::with_opts($crate::histogram_opts!($NAME, $HELP)))
    };
    ($NAME:expr, $HELP:expr, $BUCKETS:expr $(,)?) => {
        $crate::__register!($crate::Histogram::with_opts($crate::histogram_opts!(
            $NAME, $HELP, $BUCKETS
        )))
    };
}

/// Registers a histogram in the given registry, the last argument; see [`register_histogram!`](crate::register_histogram).
#[macro_export]
macro_rules! register_histogram_with_registry {
    ($HOPTS:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::Histogram::with_opts($HOPTS), $REGISTRY)
    };
    ($NAME:expr, $HELP:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!(
            $crate::Histogram::with_opts($crate::histogram_opts!($NAME, $HELP)),
            $REGISTRY
        )
    };
    ($NAME:expr, $HELP:expr, $BUCKETS:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!(
            $crate::Histogram::with_opts($crate::histogram_opts!($NAME, $HELP, $BUCKETS)),
            $REGISTRY
        )
    };
}

/// Makes a family of histograms, of options or of a name, a help text, label names, and perhaps bounds of buckets, and registers it with
/// the default registry. Panics if the options are invalid.
///
/// ```
/// let metric = prometheus::register_histogram_vec!("example_histogram_vec", "Help.", &["model"], vec![0.1, 1.0])?;
/// metric.with_label_values(&["llama"]).observe(0.5);
/// assert!(prometheus::register_histogram_vec!("example_histogram_vec", "Help.", &["model"]).is_err());
/// # Ok::<(), prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! register_histogram_vec {
    ($HOPTS:expr, $LABELS_NAMES:expr $(,)?) => {
        $crate::__register!($crate::HistogramVec::new($HOPTS, $LABELS_NAMES))
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr $(,)?) => {
        $crate::__register!($crate::HistogramVec::new(
            $crate::histogram_opts!($NAME, $HELP),
            $LABELS_NAMES
        ))
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr, $BUCKETS:expr $(,)?) => {
        $crate::__register!($crate::HistogramVec::new(
            $crate::histogram_opts!($NAME, $HELP, $BUCKETS),
            $LABELS_NAMES
        ))
    };
}

/// Registers a histogram vector in the given registry, the last argument; see
/// [`register_histogram_vec!`](crate::register_histogram_vec).
#[macro_export]
macro_rules! register_histogram_vec_with_registry {
    ($HOPTS:expr, $LABELS_NAMES:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!($crate::HistogramVec::new($HOPTS, $LABELS_NAMES), $REGISTRY)
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!(
            $crate::HistogramVec::new($crate::histogram_opts!($NAME, $HELP), $LABELS_NAMES),
            $REGISTRY
        )
    };
    ($NAME:expr, $HELP:expr, $LABELS_NAMES:expr, $BUCKETS:expr, $REGISTRY:expr $(,)?) => {
        $crate::__register!(
            $crate::HistogramVec::new(
                $crate::histogram_opts!($NAME, $HELP, $BUCKETS),
                $LABELS_NAMES
            ),
            $REGISTRY
        )
    };
}
