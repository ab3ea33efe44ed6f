//! The engines of an exporter, each with its thread and the metrics about it.

use super::fetcher::{Collected, Fetcher, News, Ticket};
use super::gathered::GatheredEngines;
use super::source::EngineLabels;
use super::{ENGINES_MAX, EngineSource, Filter, Labels};
use crate::error::SourceError;
use crate::log_throttle::LogThrottle;
use crate::names;
use dynamo_metrics_core::{
    Counter, Family, Gauge, Opts, RegisterError, Registry, limits::OPERATOR_LABEL_VALUE_BYTES_MAX,
};
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::time::Instant;

/// The label `reason` of samples beyond [`ENGINE_SAMPLES_MAX`](super::ENGINE_SAMPLES_MAX).
const SAMPLES_MAX_REASON: &str = "samples_max";

/// A registered engine.
#[derive(Debug)]
pub struct Engine {
    fetcher: Fetcher,
    /// The labels of the scope that it was registered in.
    labels: Vec<(String, String)>,
    /// The labels that its samples get besides their own.
    added: Labels,
    metrics: EngineMetrics,
    log: Mutex<LogThrottle>,
    /// Set at its removal: a scrape that still waits for it must not set its gauges again.
    removed: Mutex<bool>,
}

/// The metrics about the engines of one scope, by engine.
#[derive(Debug)]
struct EngineMetrics {
    errors: Family<Counter, 2>,
    withheld: Family<Counter, 2>,
    up: Family<Gauge, 1>,
    age: Family<Gauge, 1>,
    took: Family<Gauge, 1>,
}

impl EngineMetrics {
    fn new(registry: &Registry, prefix: &str) -> Result<Self, RegisterError> {
        // Names are the operator's: they are kept whole, or refused.
        let opts = |name: String, help| {
            Opts::new(name, help).label_value_bytes_max(OPERATOR_LABEL_VALUE_BYTES_MAX)
        };
        let counters = |name, help| {
            let labels = [names::SOURCE_LABEL, names::REASON_LABEL];
            registry.counter_family(opts(format!("{prefix}_{name}"), help), labels)
        };
        let gauges = |name: &str, help| {
            registry.gauge_family(opts(name.into(), help), [names::SOURCE_LABEL])
        };
        Ok(Self {
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
        })
    }
}

impl Engine {
    /// Returns the engine's name.
    pub fn name(&self) -> &str {
        self.fetcher.source().name()
    }

    /// Returns the filter of its families, which is applied when the page is written, not when the text is gathered.
    pub fn filter(&self) -> &Filter {
        self.fetcher.source().filter()
    }

    /// Returns the labels that its samples get besides their own.
    pub fn added_labels(&self) -> &Labels {
        &self.added
    }

    /// Returns the labels of the scope that it was registered in, the outermost first.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(label, value)| (label.as_str(), value.as_str()))
    }

    /// Counts families, series or lines of its text that were left out of the page; `reason` is a short constant.
    pub fn count_withheld(&self, reason: &'static str, count: u64) {
        if count > 0 {
            self.metrics.withheld.visit([self.name(), reason], |withheld| withheld.add(count));
        }
    }

    pub(super) fn want(&self) -> Ticket {
        let mut ticket = self.fetcher.want();
        self.report(std::mem::take(&mut ticket.news));
        ticket
    }

    /// Returns the text to serve, if there is one by `deadline`, and sets the metrics about the engine.
    pub(super) fn collect(&self, ticket: &Ticket, deadline: Instant) -> Option<Arc<Vec<u8>>> {
        let Collected { copy, up, took, news } = self.fetcher.collect(ticket, deadline);
        self.report(news);
        if up && let Some(left_out) = self.log.lock().succeeded() {
            tracing::info!(engine = self.name(), left_out, "an engine can be read again");
        }
        let removed = self.removed.lock();
        if *removed {
            return None;
        }
        let set = |family: &Family<Gauge, 1>, value: f64| {
            family.visit([self.name()], |gauge| gauge.set(value));
        };
        set(&self.metrics.up, f64::from(u8::from(up)));
        set(&self.metrics.took, took.as_secs_f64());
        let ages = &self.metrics.age;
        match &copy {
            Some((_, age)) => set(ages, age.as_secs_f64()),
            // Without a copy there is no age.
            None if ages.get([self.name()]).is_some() => _ = ages.remove([self.name()]),
            None => {}
        }
        copy.map(|(text, _)| text)
    }

    /// Counts and logs failures.
    fn report(&self, news: News) {
        if let Some(error) = news.failure {
            if let Some(left_out) = self.log.lock().failed(Instant::now()) {
                tracing::warn!(engine = self.name(), %error, left_out, "an engine cannot be read");
            }
            self.metrics.errors.visit([self.name(), error.reason()], |errors| errors.inc());
        }
        self.count_withheld(SAMPLES_MAX_REASON, news.samples_cut);
    }

    /// Removes the gauges of the engine's state. Its counters stay.
    fn remove_gauges(&self) {
        let mut removed = self.removed.lock();
        *removed = true;
        for family in [&self.metrics.up, &self.metrics.age, &self.metrics.took] {
            family.remove([self.name()]);
        }
    }
}

/// All engines of an exporter.
#[derive(Debug, Default)]
pub(crate) struct Engines {
    list: RwLock<Vec<Arc<Engine>>>,
}

impl Engines {
    /// Registers an engine. The metrics about it are in `registry`; `prefix` begins the names of the counters.
    pub(crate) fn add(
        &self,
        source: EngineSource,
        registry: &Registry,
        prefix: &str,
    ) -> Result<Arc<Engine>, SourceError> {
        let name = source.name().to_string();
        check_name(&name)?;
        let engine = Engine {
            added: added_labels(&source, registry)?,
            fetcher: Fetcher::new(source),
            labels: registry.labels().map(|(label, value)| (label.into(), value.into())).collect(),
            metrics: EngineMetrics::new(registry, prefix)?,
            log: Mutex::default(),
            removed: Mutex::new(false),
        };
        let mut list = self.list.write();
        if list.len() >= ENGINES_MAX {
            return Err(SourceError::EngineLimit { name, max: ENGINES_MAX });
        }
        if list.iter().any(|other| other.name() == name) {
            return Err(SourceError::EngineName { name });
        }
        let engine = Arc::new(engine);
        list.push(Arc::clone(&engine));
        Ok(engine)
    }

    /// Removes the engines of this name and returns their number.
    pub(crate) fn remove(&self, name: &str) -> usize {
        let mut list = self.list.write();
        let before = list.len();
        list.retain(|engine| {
            let stays = engine.name() != name;
            if !stays {
                engine.remove_gauges();
            }
            stays
        });
        before - list.len()
    }

    pub(crate) fn list(&self) -> Vec<Arc<Engine>> {
        self.list.read().clone()
    }

    /// Reads all engines and waits for them until `deadline`.
    pub(crate) fn gather(&self, deadline: Instant, gathered: &mut GatheredEngines) {
        gathered.ask(&self.list.read());
        // Not under the lock: an engine that hangs must not delay a registration or a removal.
        gathered.wait(deadline);
    }
}

fn check_name(name: &str) -> Result<(), RegisterError> {
    if name.len() <= OPERATOR_LABEL_VALUE_BYTES_MAX {
        return Ok(());
    }
    Err(RegisterError::LabelValueTooLong {
        name: names::ENGINE_UP.into(),
        label: names::SOURCE_LABEL.into(),
        bytes: name.len(),
        max: OPERATOR_LABEL_VALUE_BYTES_MAX,
    })
}

/// The labels that the source asks for: those of its scope, its name, and its own.
fn added_labels(source: &EngineSource, registry: &Registry) -> Result<Labels, SourceError> {
    let EngineLabels { of_scope, of_source, given } = source.added_labels();
    let scope = registry.labels().filter(|_| *of_scope);
    let of_source =
        [(names::ENGINE_SOURCE_LABEL, source.name())].into_iter().filter(|_| *of_source);
    given
        .under(scope.chain(of_source))
        .map_err(|error| SourceError::EngineLabels { name: source.name().into(), source: error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Exporter, ScrapeDeadline};
    use std::time::Duration;

    #[test]
    fn a_failing_and_a_panicking_source_cost_only_themselves_and_are_counted() {
        let exporter = Exporter::new(&Registry::new());
        let component = exporter.at(&exporter
            .registry()
            .scope(&[("namespace", "ns"), ("component", "backend")])
            .unwrap());
        let add = |name: &str, text: fn() -> Result<String, String>| {
            let source = EngineSource::new(name, Filter::all(), text);
            component.engine(source.timeout(Duration::from_secs(20))).unwrap()
        };
        let good = add("good", || Ok("x 1\n".into()));
        add("failing", || Err("engine is down".into()));
        add("panicking", || panic!("on purpose"));
        add("huge", || Ok("x".repeat(super::super::ENGINE_BODY_BYTES_MAX + 1)));
        let mut gathered = GatheredEngines::default();
        exporter.gather_engines(ScrapeDeadline::after(Duration::from_secs(30)), &mut gathered);
        let there: Vec<(&str, &[u8])> =
            gathered.iter().map(|(engine, text)| (engine.name(), text)).collect();
        assert_eq!(there, [("good", &b"x 1\n"[..])]);
        for (source, reason) in
            [("failing", "failed"), ("panicking", "panicked"), ("huge", "too_large")]
        {
            assert_eq!(good.metrics.errors.get([source, reason]).unwrap().get(), 1, "{source}");
            assert_eq!(good.metrics.up.get([source]).unwrap().get(), 0.0);
            assert!(good.metrics.age.get([source]).is_none());
        }
        assert_eq!(good.metrics.errors.len(), 3);
        assert_eq!(good.metrics.up.get(["good"]).unwrap().get(), 1.0);
        assert!(good.metrics.age.get(["good"]).unwrap().get() < 20.0);
        good.count_withheld("clash", 2);
        assert_eq!(good.metrics.withheld.get(["good", "clash"]).unwrap().get(), 2);
        let labels: Vec<&str> = good.labels().map(|label| label.1).collect();
        assert_eq!(labels, ["ns", "backend"]);
        assert_eq!(exporter.remove_engine("failing"), 1);
        assert_eq!(exporter.engines().len(), 3);
        assert!(good.metrics.up.get(["failing"]).is_none());
    }

    #[test]
    fn an_engine_that_is_removed_during_a_scrape_is_not_shown_again() {
        let exporter = Exporter::new(&Registry::new());
        let source = EngineSource::new("x", Filter::all(), || Ok("x 1\n"));
        let engine = exporter.engine(source).unwrap();
        let ticket = engine.want();
        exporter.remove_engine("x");
        assert!(engine.collect(&ticket, Instant::now() + Duration::from_secs(20)).is_none());
        assert!(engine.metrics.up.is_empty());
    }

    #[test]
    fn a_scrape_waits_for_all_late_engines_together() {
        let exporter = Exporter::new(&Registry::new());
        for number in 0..ENGINES_MAX {
            let fails_late = || {
                std::thread::sleep(Duration::from_millis(2));
                Err::<&str, _>("too late".into())
            };
            let source = EngineSource::new(number.to_string(), Filter::all(), fails_late);
            exporter.engine(source.timeout(Duration::from_millis(1))).unwrap();
        }
        let mut gathered = GatheredEngines::default();
        let mut gather = || {
            let start = Instant::now();
            exporter.gather_engines(ScrapeDeadline::after(Duration::from_secs(30)), &mut gathered);
            start.elapsed()
        };
        gather();
        let took = (0..5).map(|_| gather()).min().unwrap();
        // Far below one wait for each.
        let each = u32::try_from(ENGINES_MAX).unwrap() * super::super::ENGINE_REFRESH_WAIT;
        assert!(took < each / 4, "{took:?}");
    }

    #[test]
    fn names_of_engines_are_unique_and_never_cut() {
        let exporter = Exporter::new(&Registry::new());
        let component = exporter.at(&exporter
            .registry()
            .scope(&[("namespace", "ns"), ("component", "backend")])
            .unwrap());
        let source = |name: &str| EngineSource::new(name, Filter::all(), || Ok("x 1\n"));
        let long = |end: &str| format!("{}{end}", "n".repeat(300));
        exporter.engine(source(&long("a"))).unwrap();
        let b = component.engine(source(&long("b"))).unwrap();
        let error = component.engine(source(&long("a"))).unwrap_err();
        assert_eq!(error, SourceError::EngineName { name: long("a") });
        let error = exporter.engine(source(&"n".repeat(5000))).unwrap_err();
        assert!(error.to_string().contains("5000 bytes"), "{error}");
        let mut gathered = GatheredEngines::default();
        exporter.gather_engines(ScrapeDeadline::after(Duration::from_secs(30)), &mut gathered);
        assert_eq!(b.metrics.up.get([&long("b")]).map(|up| up.get()), Some(1.0));
        assert!(b.metrics.up.get([&long("a")]).is_none(), "one gauge each");
    }

    #[test]
    fn two_engines_of_one_kind_are_told_apart_by_a_label() {
        let exporter = Exporter::new(&Registry::new());
        for rank in ["vllm-0", "vllm-1"] {
            let source =
                EngineSource::new(rank, Filter::vllm(), || Ok("vllm:running{model=\"m\"} 3\n"));
            exporter.engine(source.source_label()).unwrap();
        }
        let mut page = dynamo_metrics_server::bytes::BytesMut::new();
        exporter.exposition().write(&mut page);
        let page = std::str::from_utf8(&page).unwrap();
        for rank in ["vllm-0", "vllm-1"] {
            let line = format!("vllm:running{{model=\"m\",engine_source=\"{rank}\"}} 3\n");
            assert!(page.contains(&line), "{page}");
        }
        assert!(!page.contains("engine_withheld_total{"), "{page}");
    }

    #[test]
    fn the_number_of_engines_is_bounded() {
        let exporter = Exporter::new(&Registry::new());
        let source = |name: &str| EngineSource::new(name, Filter::all(), || Ok(""));
        for number in 0..ENGINES_MAX {
            exporter.engine(source(&number.to_string())).unwrap();
        }
        let error = exporter.engine(source("x")).unwrap_err();
        assert_eq!(error, SourceError::EngineLimit { name: "x".into(), max: ENGINES_MAX });
    }
}
