//! The table of a recorder: names, families and series, by the keys that programs use.
//!
//! ```text
//! key -> Known: a series, or refused                     one map a kind; threads' caches stand before it
//! name on the page -> its families, by scope and label names
//! series -> the key that claimed it                      only where the key is not written as it is printed
//! ```

use crate::cache;
use crate::distribution::{Distribution, Distributions};
use crate::family::{Family, FamilyKind};
use crate::key_map::KeyMap;
use crate::kinds::{MetricKind, MetricKinds};
use crate::naming::{metric_name, unit_suffix, with_total, with_unit};
use crate::problem::Problem;
use crate::resolve::{Labels, Named, Resolved};
use crate::series::{Cell, CellRef, OverCell, Series};
use dynamo_metrics_core as core;
use dynamo_metrics_core::limits::OPERATOR_LABEL_VALUE_BYTES_MAX;
use dynamo_metrics_core::{Opts, RegisterError, Registry};
use metrics::{Key, SharedString, Unit};
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Series of one name and one set of label names, unless [`Builder::series_max`](crate::Builder::series_max) says otherwise.
pub const SERIES_MAX_DEFAULT: usize = core::limits::SERIES_MAX_DEFAULT;

/// Families of one recorder: names, each with each set of label names; and as many descriptions. Names and label names come from the source code of a program; where
/// they come from its clients, this bounds the memory.
pub const FAMILIES_MAX: usize = 10_000;

/// Refused keys that are known as such. Others are resolved at each use, and counted each time.
const REFUSED_MAX: usize = 1_000;

/// The settings that decide how a key is recorded.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) globals: Labels,
    pub(crate) units: bool,
    pub(crate) totals: bool,
    pub(crate) series_max: usize,
    pub(crate) distributions: Distributions,
    pub(crate) idle: Option<(MetricKinds, Duration)>,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Table {
    registry: Registry,
    settings: Settings,
    known: [KeyMap<Known>; MetricKind::ALL.len()],
    /// Names as they are before suffixes, to names on the page.
    printed: HashMap<(MetricKind, String), Arc<str>>,
    names: HashMap<(MetricKind, Arc<str>), Name>,
    claims: HashMap<(MetricKind, Named), Claim>,
    descriptions: HashMap<String, (SharedString, Option<Unit>)>,
    families: usize,
    refused: usize,
}

/// The result of the first lookup of a key.
#[derive(Debug)]
enum Known {
    Series(Arc<Series>),
    Refused,
}

/// One name on the page.
#[derive(Debug)]
struct Name {
    /// The families, by the labels of the scope and the names of the others.
    families: HashMap<(Labels, Box<[String]>), Arc<Family>>,
}

/// The key that a series was made for.
#[derive(Debug)]
struct Claim {
    written: Named,
    series: Weak<Series>,
}

/// A recording handle for a key, and the key for the threads' caches; `None` if they may not keep the handle.
pub(crate) struct Found<H> {
    pub(crate) handle: H,
    pub(crate) keep: Option<Key>,
}

impl Table {
    pub(crate) fn new(registry: Registry, settings: Settings) -> Self {
        Self {
            registry,
            settings,
            known: std::array::from_fn(|_| KeyMap::default()),
            printed: HashMap::new(),
            names: HashMap::new(),
            claims: HashMap::new(),
            descriptions: HashMap::new(),
            families: 0,
            refused: 0,
        }
    }

    /// Returns a handle of a key that is known, to `keep` or not.
    pub(crate) fn find<H: OverCell>(&self, key: &Key, keep: bool) -> Option<Found<H>> {
        let (key, known) = self.known[H::KIND as usize].get_key_value(key)?;
        let handle = match known {
            Known::Series(series) => H::over(series.cell()),
            Known::Refused => H::noop(),
        };
        // The key of the table, whose texts are shared: the caller's may own its texts, which would be copied.
        Some(Found { handle, keep: keep.then(|| key.clone()) })
    }

    /// Returns a handle of a key, which is recorded from now on; or one that records nothing, with the reason.
    pub(crate) fn find_or_make<H: OverCell>(&mut self, key: &Key) -> (Found<H>, Option<Problem>) {
        if let Some(found) = self.find(key, true) {
            return (found, None);
        }
        match self.make(H::KIND, key) {
            Ok(Made::Series(series)) => {
                let (handle, key) = (H::over(series.cell()), key.to_retained());
                self.known[H::KIND as usize].insert(key.clone(), Known::Series(series));
                (Found { handle, keep: Some(key) }, None)
            }
            Ok(Made::Overflow(cell)) => {
                let handle = H::over(CellRef { cell: &cell, recency: None });
                (Found { handle, keep: None }, None)
            }
            Err(problem) => {
                let keep = (self.refused < REFUSED_MAX).then(|| key.to_retained());
                if let Some(key) = &keep {
                    self.refused += 1;
                    self.known[H::KIND as usize].insert(key.clone(), Known::Refused);
                }
                (Found { handle: H::noop(), keep }, Some(*problem))
            }
        }
    }

    /// Describes a metric, unless it was described before.
    pub(crate) fn describe(
        &mut self,
        kind: MetricKind,
        name: &str,
        unit: Option<Unit>,
        help: SharedString,
    ) -> Option<Problem> {
        let name = metric_name(name);
        if self.descriptions.contains_key(&name) || self.descriptions.len() >= FAMILIES_MAX {
            return None;
        }
        self.descriptions.insert(name.clone(), (help.clone(), unit));
        // By name alone, as programs describe a metric by the wrong kind, too.
        for of in MetricKind::ALL {
            if let Some(printed) = self.printed.get(&(of, name.clone())) {
                self.registry.describe(printed, &help);
            }
        }
        let expected = self.printed_name(kind, &name);
        let printed = self.printed.get(&(kind, name))?;
        let suffix = unit.and_then(unit_suffix).filter(|_| **printed != *expected)?;
        Some(Problem::LateUnit { name: printed.to_string(), unit: suffix })
    }

    /// Removes the series that were not recorded for longer than the timeout.
    pub(crate) fn sweep(&mut self, now: Duration) {
        let Some((kinds, timeout)) = self.settings.idle else { return };
        let mut gone = Vec::new();
        for kind in MetricKind::ALL.into_iter().filter(|&kind| kinds.contains(kind)) {
            let known = &mut self.known[kind as usize];
            for known in known.values() {
                if let Known::Series(series) = known {
                    series.look(now);
                }
            }
            known.retain(|key, known| match known {
                Known::Series(series) if series.is_idle(now, timeout) => {
                    gone.push((kind, key.clone(), Arc::clone(series)));
                    false
                }
                _ => true,
            });
        }
        if gone.is_empty() {
            return;
        }
        for (_, key, series) in &gone {
            let labels = Resolved::new(key, &self.settings.globals).series.labels;
            let values: Vec<&str> = labels.iter().map(|(_, value)| &**value).collect();
            series.family.remove(&values);
        }
        for (kind, _, series) in &gone {
            self.forget_empty(*kind, &series.family.name);
        }
        drop(gone);
        self.claims.retain(|_, claim| claim.series.strong_count() > 0);
        // The series in the way of a refused key may be gone.
        for known in &mut self.known {
            known.retain(|_, known| matches!(known, Known::Series(_)));
        }
        self.refused = 0;
        cache::forget_all();
    }

    /// Frees a name without series.
    fn forget_empty(&mut self, kind: MetricKind, name: &Arc<str>) {
        let Some(of) = self.names.get(&(kind, Arc::clone(name))) else { return };
        if of.families.values().any(|family| family.len() > 0) {
            return;
        }
        for family in of.families.values() {
            family.scope.unregister(name);
        }
        self.families -= of.families.len();
        self.names.remove(&(kind, Arc::clone(name)));
        self.printed.retain(|(of, _), printed| *of != kind || printed != name);
    }

    fn make(&mut self, kind: MetricKind, key: &Key) -> Result<Made, Box<Problem>> {
        let resolved = Resolved::new(key, &self.settings.globals);
        let before = resolved.series.name.clone();
        let printed = match self.printed.get(&(kind, before.clone())) {
            Some(printed) => Arc::clone(printed),
            None => self.printed_name(kind, &before).into(),
        };
        let claim = (kind, resolved.identity(&printed));
        let plain = resolved.plain_key(&printed, &self.settings.globals);
        if let Some(series) = self.claimed(kind, &resolved, plain.as_ref(), &claim)? {
            return Ok(Made::Series(series));
        }
        let family = self.family(kind, &resolved, &printed).map_err(|source| {
            let key = resolved.written.to_string();
            Box::new(match source {
                Some(source) => Problem::Register { kind, key, source },
                None => Problem::Families { kind, key, max: FAMILIES_MAX },
            })
        })?;
        self.printed.insert((kind, before), Arc::clone(&printed));
        let labels = &resolved.series.labels;
        let values: Vec<&str> = labels.iter().map(|(_, value)| &**value).collect();
        let Some((cell, own)) = family.find(&values) else {
            unreachable!("there is a value for each label, and none is empty")
        };
        if !own {
            return Ok(Made::Overflow(cell));
        }
        let tracked = self.settings.idle.is_some_and(|(kinds, _)| kinds.contains(kind));
        let series = Arc::new(Series { cell, family, recency: tracked.then(Arc::default) });
        if plain.as_ref() != Some(key) {
            let written = resolved.written;
            self.claims.insert(claim, Claim { written, series: Arc::downgrade(&series) });
        }
        Ok(Made::Series(series))
    }

    /// Returns the series of the key if another key that is written alike has it. `plain` is the key that is written as it is printed.
    fn claimed(
        &self,
        kind: MetricKind,
        resolved: &Resolved,
        plain: Option<&Key>,
        claim: &(MetricKind, Named),
    ) -> Result<Option<Arc<Series>>, Box<Problem>> {
        let claimed = self.claims.get(claim);
        let claimed = claimed.and_then(|claim| Some((claim.series.upgrade()?, &claim.written)));
        // A series of the plain key has no claim.
        let known = |plain: &Key| match self.known[kind as usize].get(plain)? {
            Known::Series(series) => Some(Arc::clone(series)),
            Known::Refused => None,
        };
        let of_plain = plain.map(|plain| Resolved::new(plain, &self.settings.globals).written);
        let there = claimed.or_else(|| Some((plain.and_then(known)?, of_plain.as_ref()?)));
        match there {
            Some((series, written)) if *written == resolved.written => Ok(Some(series)),
            Some((_, written)) => {
                let (key, other) = (resolved.written.to_string(), written.to_string());
                Err(Box::new(Problem::SameSeries { kind, key, other }))
            }
            None => Ok(None),
        }
    }

    /// Returns the name on the page of a name as it is before suffixes.
    fn printed_name(&self, kind: MetricKind, name: &str) -> String {
        let unit = self.descriptions.get(name).and_then(|(_, unit)| *unit).and_then(unit_suffix);
        let name = match unit.filter(|_| self.settings.units) {
            Some(unit) => with_unit(name, unit),
            None => name.into(),
        };
        if self.settings.totals && kind == MetricKind::Counter { with_total(name) } else { name }
    }

    /// Returns the family of a series; an error without a source when there are too many.
    fn family(
        &mut self,
        kind: MetricKind,
        resolved: &Resolved,
        printed: &Arc<str>,
    ) -> Result<Arc<Family>, Option<RegisterError>> {
        let labels: Box<[String]> =
            resolved.series.labels.iter().map(|(name, _)| name.clone()).collect();
        let of = (resolved.scope.clone(), labels);
        let name = (kind, Arc::clone(printed));
        if let Some(family) = self.names.get(&name).and_then(|name| name.families.get(&of)) {
            return Ok(Arc::clone(family));
        }
        if self.families >= FAMILIES_MAX {
            return Err(None);
        }
        let family = Arc::new(self.register(kind, resolved, printed, &of.1)?);
        self.families += 1;
        let name = self.names.entry(name).or_insert_with(|| Name { families: HashMap::new() });
        name.families.insert(of, Arc::clone(&family));
        Ok(family)
    }

    fn register(
        &self,
        kind: MetricKind,
        resolved: &Resolved,
        printed: &Arc<str>,
        labels: &[String],
    ) -> Result<Family, RegisterError> {
        let scope: Vec<(&str, &str)> =
            resolved.scope.iter().map(|(name, value)| (&**name, &**value)).collect();
        let scope = self.registry.scope(&scope)?;
        let before = &resolved.series.name;
        let (help, unit) = match self.descriptions.get(before) {
            Some((help, unit)) => (&**help, unit.and_then(unit_suffix)),
            None => ("", None),
        };
        let mut opts = Opts::new(&**printed, help)
            .series_max(self.settings.series_max)
            .label_value_bytes_max(OPERATOR_LABEL_VALUE_BYTES_MAX);
        // The formats that have units want names that end with them.
        let stem = if kind == MetricKind::Counter {
            printed.strip_suffix("_total").unwrap_or(printed)
        } else {
            &**printed
        };
        if let Some(unit) = unit
            && stem.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_'))
        {
            opts = opts.unit(unit);
        }
        let labels: Vec<&str> = labels.iter().map(|label| &**label).collect();
        let kind = match (kind, self.settings.distributions.of(before)) {
            (MetricKind::Counter, _) => {
                FamilyKind::Counter(scope.dynamic_counter_family(opts, &labels)?)
            }
            (MetricKind::Gauge, _) => FamilyKind::Gauge(scope.dynamic_gauge_family(opts, &labels)?),
            (_, Distribution::Buckets(buckets)) => {
                FamilyKind::Histogram(scope.dynamic_histogram_family(opts, &labels, &buckets)?)
            }
            (_, Distribution::Native(native)) => {
                FamilyKind::Native(scope.dynamic_native_histogram_family(opts, &labels, &native)?)
            }
            (_, Distribution::Summary(summary)) => {
                FamilyKind::Summary(scope.dynamic_summary_family(opts, &labels, &summary)?)
            }
        };
        Ok(Family { name: Arc::clone(printed), scope, kind })
    }
}

/// A new series, or the one of the keys beyond a limit.
enum Made {
    Series(Arc<Series>),
    Overflow(Cell),
}
