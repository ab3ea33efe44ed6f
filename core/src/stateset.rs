//! State sets: named states of one thing, each on or off, as bits of one atomic word.
//!
//! One word, so that **every scrape sees one whole set**: a change from `starting` to `ready` is never seen half done,
//! with both or neither on. Text formats print a line for each state, `health{health="ready"} 1`; so the family's name
//! is a label name as well, and no other label may have it.
//!
//! [`StateSet`] finds states by name; [`EnumStateSet`] by the variant of an enum, which cannot be missing.

use crate::descriptor::{Kind, Opts};
use crate::enumerated::LabelEnum;
use crate::error::{RegisterError, UnknownState};
use crate::escaping::Escaping;
use crate::family::{Family, Metric, sealed};
use crate::label::{LABEL_VALUE_BYTES_MAX, check_label_name};
use crate::lookup::AnyHandle;
use crate::registry::Registry;
use crate::series::{Numbers, SeriesRef};
use crate::sync::{AtomicU64, Ordering};
use std::fmt;
use std::marker::PhantomData;

/// States that a state set may have: the bits of its word. Each is a line in every scrape.
pub const STATES_MAX: usize = 64;

/// A set of named states, each on or off; all are off at first.
///
/// Cost of a change: a search among the names and one atomic operation.
///
/// ```
/// use dynamo_metrics_core::Registry;
///
/// let registry = Registry::new();
/// let health = registry.state_set(("health", "State of the engine."), &["starting", "ready"])?;
/// health.only("starting")?;
/// health.only("ready")?;
/// assert_eq!((health.get("starting")?, health.get("ready")?), (false, true));
/// assert!(health.set("raedy", true).unwrap_err().to_string().contains("starting, ready"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct StateSet {
    series: SeriesRef,
}

impl StateSet {
    /// Turns one state on or off; the others stay.
    ///
    /// # Errors
    /// The set has no such state. Nothing changes then.
    pub fn set(&self, state: &str, on: bool) -> Result<(), UnknownState> {
        self.set_bit(self.bit(state)?, on);
        Ok(())
    }

    /// Turns this state on and all others off, in one step.
    ///
    /// # Errors
    /// The set has no such state. Nothing changes then.
    pub fn only(&self, state: &str) -> Result<(), UnknownState> {
        // Relaxed, as everywhere here: the set orders nothing else.
        self.word().store(self.bit(state)?, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a state is on.
    ///
    /// # Errors
    /// The set has no such state.
    pub fn get(&self, state: &str) -> Result<bool, UnknownState> {
        Ok(self.bits() & self.bit(state)? != 0)
    }

    /// All states at one instant, the first the lowest bit.
    pub fn bits(&self) -> u64 {
        self.word().load(Ordering::Relaxed)
    }

    /// The same set, for states that are known at compile time. `None` when it was registered with other states than
    /// `S` has.
    ///
    /// ```
    /// # use dynamo_metrics_core::{LabelEnum, Registry};
    /// # #[derive(Clone, Copy)]
    /// # enum Health { Starting, Ready }
    /// # impl LabelEnum for Health {
    /// #     const VALUES: &'static [&'static str] = &["starting", "ready"];
    /// #     fn index(self) -> usize { self as usize }
    /// # }
    /// let registry = Registry::new();
    /// let engines =
    ///     registry.state_set_family(("health", "State."), ["engine"], Health::VALUES)?;
    /// let first = engines.with(["0"]).typed::<Health>().expect("the same states");
    /// first.only(Health::Starting);
    /// assert!(first.get(Health::Starting) && !first.get(Health::Ready));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn typed<S: LabelEnum>(&self) -> Option<EnumStateSet<S>> {
        let states = self.series.shape.descriptor.states();
        states
            .eq(S::VALUES.iter().copied())
            .then(|| EnumStateSet { set: self.clone(), states: PhantomData })
    }

    fn bit(&self, state: &str) -> Result<u64, UnknownState> {
        let descriptor = &self.series.shape.descriptor;
        match descriptor.states().position(|there| there == state) {
            Some(place) => Ok(1 << place),
            None => Err(UnknownState {
                name: descriptor.name().into(),
                state: state.into(),
                known: descriptor.states.join(", "),
            }),
        }
    }

    fn set_bit(&self, bit: u64, on: bool) {
        if on {
            self.word().fetch_or(bit, Ordering::Relaxed);
        } else {
            self.word().fetch_and(!bit, Ordering::Relaxed);
        }
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        match &self.series.numbers {
            Numbers::States(word) => word,
            _ => unreachable!("a state set has one word"),
        }
    }
}

/// A [`StateSet`] whose states are the variants of an enum. Made by [`Registry::enum_state_set`] or
/// [`StateSet::typed`]; cheap to clone.
///
/// A variant whose [`index`](LabelEnum::index) is not below the number of its values is a defect of that enum; it is
/// no state, and always off.
pub struct EnumStateSet<S> {
    set: StateSet,
    states: PhantomData<fn(S)>,
}

impl<S: LabelEnum> EnumStateSet<S> {
    /// Turns one state on or off; the others stay. Cost: one atomic operation.
    pub fn set(&self, state: S, on: bool) {
        self.set.set_bit(bit(state), on);
    }

    /// Turns this state on and all others off, in one step. Cost: one store.
    pub fn only(&self, state: S) {
        self.set.word().store(bit(state), Ordering::Relaxed);
    }

    /// Whether a state is on.
    pub fn get(&self, state: S) -> bool {
        self.set.bits() & bit(state) != 0
    }

    /// All states at one instant, the first the lowest bit.
    pub fn bits(&self) -> u64 {
        self.set.bits()
    }
}

impl<S> Clone for EnumStateSet<S> {
    fn clone(&self) -> Self {
        Self { set: self.set.clone(), states: PhantomData }
    }
}

impl<S> fmt::Debug for EnumStateSet<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EnumStateSet").field(&self.set).finish()
    }
}

impl Registry {
    /// A state set without labels of its own.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let health = registry.state_set(("health", "State of the worker."), &["starting", "ready"])?;
    /// health.only("ready").expect("one of its states");
    /// assert!(health.only("gone").is_err());
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// No states, more than [`STATES_MAX`], an empty one, one twice or of more than
    /// [`LABEL_VALUE_BYTES_MAX`] bytes; a name that is no label name, or is the name of a label of the metric; a unit;
    /// or as for every registration, see [`RegisterError`].
    pub fn state_set(
        &self,
        opts: impl Into<Opts>,
        states: &[&str],
    ) -> Result<StateSet, RegisterError> {
        Ok(self.state_set_family(opts, [], states)?.with([]))
    }

    /// State sets told apart by label values.
    ///
    /// ```
    /// # let registry = dynamo_metrics_core::Registry::new();
    /// let health = registry.state_set_family(("health", "State."), ["worker"], &["starting", "ready"])?;
    /// health.with(["0"]).only("ready").expect("one of its states");
    /// assert_eq!(health.len(), 1);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`state_set`](Self::state_set).
    pub fn state_set_family<const N: usize>(
        &self,
        opts: impl Into<Opts>,
        label_names: [&str; N],
        states: &[&str],
    ) -> Result<Family<StateSet, N>, RegisterError> {
        let mut opts = opts.into();
        check_states(&opts.name, states)?;
        check_label_name(&opts.name, &opts.name)?;
        let constant = opts.const_labels.iter().map(|(label, _)| &**label);
        let mut labels = self.labels().map(|(label, _)| label).chain(constant).chain(label_names);
        // A label that becomes the name where scrapers get escaped names is as bad as the name itself.
        let meets = |label: &str| {
            let same = |scheme: Escaping| scheme.label_name(label) == scheme.label_name(&opts.name);
            Escaping::ALL.into_iter().any(same)
        };
        let taken = labels.any(meets);
        drop(labels);
        if taken {
            return Err(RegisterError::StateLabel { name: opts.name });
        }
        opts.states = states.iter().map(|&state| state.into()).collect();
        self.family(opts, label_names, None)
    }

    /// A state set without labels of its own, whose states are the variants of an enum.
    ///
    /// ```
    /// use dynamo_metrics_core::{LabelEnum, Registry};
    ///
    /// #[derive(Clone, Copy)]
    /// enum Health {
    ///     Starting,
    ///     Ready,
    /// }
    ///
    /// impl LabelEnum for Health {
    ///     const VALUES: &'static [&'static str] = &["starting", "ready"];
    ///
    ///     fn index(self) -> usize {
    ///         self as usize
    ///     }
    /// }
    /// let health = Registry::new().enum_state_set(("health", "State of the engine."))?;
    /// health.only(Health::Starting);
    /// health.only(Health::Ready);
    /// assert!(health.get(Health::Ready) && !health.get(Health::Starting));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Errors
    /// See [`state_set`](Self::state_set).
    pub fn enum_state_set<S: LabelEnum>(
        &self,
        opts: impl Into<Opts>,
    ) -> Result<EnumStateSet<S>, RegisterError> {
        Ok(EnumStateSet { set: self.state_set(opts, S::VALUES)?, states: PhantomData })
    }
}

impl sealed::Sealed for StateSet {}
impl Metric for StateSet {
    const KIND: Kind = Kind::StateSet;

    fn into_any(self) -> AnyHandle {
        AnyHandle::StateSet(self)
    }

    #[inline]
    fn from_any(any: &AnyHandle) -> Option<&Self> {
        match any {
            AnyHandle::StateSet(handle) => Some(handle),
            _ => None,
        }
    }

    #[inline]
    fn series(&self) -> &SeriesRef {
        &self.series
    }

    fn bind(series: SeriesRef) -> Self {
        Self { series }
    }
}

fn bit<S: LabelEnum>(state: S) -> u64 {
    let place = state.index();
    // Registered, so not more values than bits.
    if place < S::VALUES.len() { 1 << place } else { 0 }
}

fn check_states(name: &str, states: &[&str]) -> Result<(), RegisterError> {
    let twice = |(at, state): (usize, &&str)| states[..at].contains(state);
    let reason = if states.is_empty() {
        "there are none; name at least one".into()
    } else if states.len() > STATES_MAX {
        format!("{} are more than {STATES_MAX}; use fewer, or a gauge family", states.len())
    } else if states.contains(&"") {
        "one is empty, which scrapers take for a missing label; give it a name".into()
    } else if let Some(long) = states.iter().find(|state| state.len() > LABEL_VALUE_BYTES_MAX) {
        format!("{long:?} has more than {LABEL_VALUE_BYTES_MAX} bytes; use a shorter name")
    } else if let Some((_, state)) = states.iter().enumerate().find(|&each| twice(each)) {
        format!("{state:?} is given twice; remove or rename one")
    } else {
        return Ok(());
    };
    Err(RegisterError::States { name: name.into(), reason })
}
