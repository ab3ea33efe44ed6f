//! The engines of a runtime, each with its thread and what is measured of it.

use super::fetcher::{Collected, Fetcher, News, Ticket};
use super::gather::GatheredEngines;
use super::quiet::Quiet;
use super::source::EngineLabels;
use super::{ENGINES_MAX, EngineSource, Filter, Labels};
use crate::error::MetricsError;
use crate::metrics::MetricOpts;
use crate::metrics::Metrics;
use crate::names::distributed_runtime as names;
use dynamo_metrics_core::{
    Counter, Family, Gauge, OPERATOR_LABEL_VALUE_BYTES_MAX, Opts, RegisterError,
};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The label `reason` of samples beyond [`ENGINE_SAMPLES_MAX`](super::ENGINE_SAMPLES_MAX).
const SAMPLES_MAX_REASON: &str = "samples_max";

/// A registered source: what the exposition iterates over.
#[derive(Debug)]
pub struct Engine {
    fetcher: Fetcher,
    /// Automatic labels of the level it was registered at.
    labels: Vec<(String, String)>,
    /// What its samples get besides their own labels.
    added: Labels,
    errors: Family<Counter, 2>,
    withheld: Family<Counter, 2>,
    up: Family<Gauge, 1>,
    age: Family<Gauge, 1>,
    took: Family<Gauge, 1>,
    /// What was logged of it.
    quiet: Mutex<Quiet>,
    /// It was removed: a scrape that still waits for it must not show it again.
    removed: Mutex<bool>,
}

impl Engine {
    /// The source's name.
    pub fn name(&self) -> &str {
        self.fetcher.source().name()
    }

    /// Which of its families are wanted. Its text is not filtered yet when it is gathered.
    pub fn filter(&self) -> &Filter {
        self.fetcher.source().filter()
    }

    /// The labels that its samples get besides their own.
    pub fn added_labels(&self) -> &Labels {
        &self.added
    }

    /// The automatic labels of the level where it was registered, the outermost first.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(label, value)| (label.as_str(), value.as_str()))
    }

    /// `count` families, series or lines of its text were left out of the page; `reason` is a short constant.
    pub fn count_withheld(&self, reason: &'static str, count: u64) {
        if count > 0 {
            self.withheld.visit([self.name(), reason], |withheld| withheld.add(count));
        }
    }

    pub(super) fn want(&self) -> Ticket {
        let mut ticket = self.fetcher.want();
        self.tell(std::mem::take(&mut ticket.news));
        ticket
    }

    /// The text to serve, if there is any by `deadline`, and what that says about the source.
    pub(super) fn collect(&self, ticket: &Ticket, deadline: Instant) -> Option<Arc<Vec<u8>>> {
        let Collected { copy, up, took, news } = self.fetcher.collect(ticket, deadline);
        self.tell(news);
        if up && let Some(left_out) = self.quiet.lock().well() {
            tracing::info!(engine = self.name(), left_out, "an engine is well again");
        }
        let removed = self.removed.lock();
        if *removed {
            return None;
        }
        let set = |family: &Family<Gauge, 1>, value: f64| {
            family.visit([self.name()], |gauge| gauge.set(value));
        };
        set(&self.up, f64::from(u8::from(up)));
        set(&self.took, took.as_secs_f64());
        match &copy {
            Some((_, age)) => set(&self.age, age.as_secs_f64()),
            // What is not there has no age.
            None if self.age.get([self.name()]).is_some() => _ = self.age.remove([self.name()]),
            None => {}
        }
        copy.map(|(text, _)| text)
    }

    fn tell(&self, news: News) {
        if let Some(error) = news.failure {
            if let Some(left_out) = self.quiet.lock().failed(Instant::now()) {
                tracing::warn!(engine = self.name(), %error, left_out, "no news of an engine");
            }
            self.errors.visit([self.name(), error.reason()], |errors| errors.inc());
        }
        self.count_withheld(SAMPLES_MAX_REASON, news.cut);
    }

    /// Takes back what says how it is. What it counted stays.
    fn forget(&self) {
        let mut removed = self.removed.lock();
        *removed = true;
        for family in [&self.up, &self.age, &self.took] {
            family.remove([self.name()]);
        }
    }
}

/// All engines of a runtime.
#[derive(Debug, Default)]
pub(crate) struct Engines {
    list: RwLock<Vec<Arc<Engine>>>,
}

impl Engines {
    pub(crate) fn add(
        &self,
        source: EngineSource,
        metrics: &Metrics,
    ) -> Result<Arc<Engine>, MetricsError> {
        // Names are the operator's: they are kept whole, or refused.
        let bytes_max = OPERATOR_LABEL_VALUE_BYTES_MAX;
        let counters = |name, help| {
            let opts = MetricOpts::new(name, help).label_value_bytes_max(bytes_max);
            metrics.counter_family(opts, [names::SOURCE_LABEL, names::REASON_LABEL])
        };
        let gauges = |name, help| {
            let opts = Opts::new(name, help).label_value_bytes_max(bytes_max);
            metrics.registry().gauge_family(opts, [names::SOURCE_LABEL])
        };
        let name = source.name().to_string();
        if name.len() > bytes_max {
            return Err(MetricsError::Register(RegisterError::LabelValueTooLong {
                name: names::ENGINE_UP.into(),
                label: names::SOURCE_LABEL.into(),
                bytes: name.len(),
                max: bytes_max,
            }));
        }
        let EngineLabels { of_level, of_source, given } = source.added_labels();
        let level = metrics.registry().labels().filter(|_| *of_level);
        let told_apart = [(names::ENGINE_SOURCE_LABEL, name.as_str())];
        let added = given
            .under(level.chain(told_apart.into_iter().filter(|_| *of_source)))
            .map_err(|error| MetricsError::EngineLabels { name: name.clone(), source: error })?;
        let engine = Engine {
            added,
            fetcher: Fetcher::new(source),
            labels: metrics
                .registry()
                .labels()
                .map(|(label, value)| (label.into(), value.into()))
                .collect(),
            errors: counters(
                names::ENGINE_ERRORS_TOTAL,
                "Reads of an engine's metrics that failed, by engine and reason.",
            )?,
            withheld: counters(
                names::ENGINE_WITHHELD_TOTAL,
                "What of an engine's metrics was left out of the page, by engine and reason.",
            )?,
            up: gauges(
                names::ENGINE_UP,
                "Whether the engine answered when it was last asked, in time (1), or this page has an older copy or nothing of it (0).",
            )?,
            age: gauges(
                names::ENGINE_AGE_SECONDS,
                "Time since the read that brought what this page has of the engine began, in seconds.",
            )?,
            took: gauges(
                names::ENGINE_FETCH_SECONDS,
                "Duration of the last read of the engine's metrics that ended, in seconds.",
            )?,
            quiet: Mutex::default(),
            removed: Mutex::new(false),
        };
        let mut list = self.list.write();
        if list.len() >= ENGINES_MAX {
            return Err(MetricsError::EngineLimit { name, max: ENGINES_MAX });
        }
        if list.iter().any(|other| other.name() == name) {
            return Err(MetricsError::EngineName { name });
        }
        let engine = Arc::new(engine);
        list.push(Arc::clone(&engine));
        Ok(engine)
    }

    pub(crate) fn remove(&self, name: &str) -> usize {
        let mut list = self.list.write();
        let before = list.len();
        list.retain(|engine| {
            let stays = engine.name() != name;
            if !stays {
                engine.forget();
            }
            stays
        });
        before - list.len()
    }

    pub(crate) fn list(&self) -> Vec<Arc<Engine>> {
        self.list.read().clone()
    }

    /// See [`DistributedRuntime::gather_engines`](crate::DistributedRuntime::gather_engines).
    pub(crate) fn gather(&self, scrape_timeout: Option<Duration>, gathered: &mut GatheredEngines) {
        // Not under the lock: who adds or removes an engine must not wait for one that hangs.
        gathered.ask(&self.list.read());
        gathered.wait(scrape_timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DistributedRuntime;

    #[test]
    fn a_failing_and_a_panicking_source_cost_only_themselves_and_are_counted() {
        let runtime = DistributedRuntime::new().unwrap();
        let component = runtime.namespace("ns").unwrap().component("backend").unwrap();
        let add = |name: &str, text: fn() -> Result<String, String>| {
            let source = EngineSource::new(name, Filter::all(), text);
            component.add_engine_source(source.timeout(Duration::from_secs(20))).unwrap()
        };
        let good = add("good", || Ok("x 1\n".into()));
        add("failing", || Err("engine is down".into()));
        add("panicking", || panic!("on purpose"));
        add("huge", || Ok("x".repeat(super::super::ENGINE_BODY_BYTES_MAX + 1)));
        let mut gathered = GatheredEngines::default();
        runtime.gather_engines(Some(Duration::from_secs(30)), &mut gathered);
        let there: Vec<(&str, &[u8])> =
            gathered.iter().map(|(engine, text)| (engine.name(), text)).collect();
        assert_eq!(there, [("good", &b"x 1\n"[..])]);
        for (source, reason) in
            [("failing", "failed"), ("panicking", "panicked"), ("huge", "too_large")]
        {
            assert_eq!(good.errors.get([source, reason]).unwrap().get(), 1, "{source}");
            assert_eq!(good.up.get([source]).unwrap().get(), 0.0);
            assert!(good.age.get([source]).is_none());
        }
        assert_eq!(good.errors.len(), 3);
        assert_eq!(good.up.get(["good"]).unwrap().get(), 1.0);
        assert!(good.age.get(["good"]).unwrap().get() < 20.0);
        good.count_withheld("clash", 2);
        assert_eq!(good.withheld.get(["good", "clash"]).unwrap().get(), 2);
        let labels: Vec<&str> = good.labels().map(|label| label.1).collect();
        assert_eq!(labels, ["ns", "backend"]);
        assert_eq!(runtime.remove_engine_source("failing"), 1);
        assert_eq!(runtime.engine_sources().len(), 3);
        assert!(good.up.get(["failing"]).is_none());
    }

    #[test]
    fn an_engine_that_is_removed_during_a_scrape_is_not_shown_again() {
        let runtime = DistributedRuntime::new().unwrap();
        let source = EngineSource::new("x", Filter::all(), || Ok("x 1\n"));
        let engine = runtime.add_engine_source(source).unwrap();
        let ticket = engine.want();
        runtime.remove_engine_source("x");
        assert!(engine.collect(&ticket, Instant::now() + Duration::from_secs(20)).is_none());
        assert!(engine.up.is_empty());
    }

    #[test]
    fn engines_that_are_late_are_waited_for_together() {
        let runtime = DistributedRuntime::new().unwrap();
        for number in 0..ENGINES_MAX {
            let fails_late = || {
                std::thread::sleep(Duration::from_millis(2));
                Err::<&str, _>("too late".into())
            };
            let source = EngineSource::new(number.to_string(), Filter::all(), fails_late);
            runtime.add_engine_source(source.timeout(Duration::from_millis(1))).unwrap();
        }
        let mut gathered = GatheredEngines::default();
        let mut gather = || {
            let start = Instant::now();
            runtime.gather_engines(None, &mut gathered);
            start.elapsed()
        };
        gather();
        let took = (0..5).map(|_| gather()).min().unwrap();
        // Far from a patience for each.
        let each = u32::try_from(ENGINES_MAX).unwrap() * super::super::ENGINE_PATIENCE;
        assert!(took < each / 4, "{took:?}");
    }

    #[test]
    fn engines_have_names_of_their_own_and_whole() {
        let runtime = DistributedRuntime::new().unwrap();
        let component = runtime.namespace("ns").unwrap().component("backend").unwrap();
        let source = |name: &str| EngineSource::new(name, Filter::all(), || Ok("x 1\n"));
        let long = |end: &str| format!("{}{end}", "n".repeat(300));
        runtime.add_engine_source(source(&long("a"))).unwrap();
        let b = component.add_engine_source(source(&long("b"))).unwrap();
        let error = component.add_engine_source(source(&long("a"))).unwrap_err();
        assert_eq!(error, MetricsError::EngineName { name: long("a") });
        let error = runtime.add_engine_source(source(&"n".repeat(5000))).unwrap_err();
        assert!(error.to_string().contains("5000 bytes"), "{error}");
        let mut gathered = GatheredEngines::default();
        runtime.gather_engines(Some(Duration::from_secs(30)), &mut gathered);
        assert_eq!(b.up.get([&long("b")]).map(|up| up.get()), Some(1.0));
        assert!(b.up.get([&long("a")]).is_none(), "one gauge each");
    }

    #[test]
    fn two_engines_of_one_kind_are_told_apart_by_a_label() {
        let runtime = DistributedRuntime::new().unwrap();
        for rank in ["vllm-0", "vllm-1"] {
            let source =
                EngineSource::new(rank, Filter::vllm(), || Ok("vllm:running{model=\"m\"} 3\n"));
            runtime.add_engine_source(source.source_label()).unwrap();
        }
        let mut page = dynamo_metrics_server::bytes::BytesMut::new();
        crate::MetricsExposition::of_runtime(&runtime).write(&mut page);
        let page = std::str::from_utf8(&page).unwrap();
        for rank in ["vllm-0", "vllm-1"] {
            let line = format!("vllm:running{{model=\"m\",engine_source=\"{rank}\"}} 3\n");
            assert!(page.contains(&line), "{page}");
        }
        assert!(!page.contains("engine_withheld_total{"), "{page}");
    }

    #[test]
    fn the_number_of_engines_is_bounded() {
        let runtime = DistributedRuntime::new().unwrap();
        let source = |name: &str| EngineSource::new(name, Filter::all(), || Ok(""));
        for number in 0..ENGINES_MAX {
            runtime.add_engine_source(source(&number.to_string())).unwrap();
        }
        let error = runtime.add_engine_source(source("x")).unwrap_err();
        assert_eq!(error, MetricsError::EngineLimit { name: "x".into(), max: ENGINES_MAX });
    }
}
