//! State sets: named states of one thing, each on or off, as bits of one atomic word.
//!
//! They share one word, so that **every scrape sees a whole set**: no scrape sees a change from `starting` to `ready` half
//! done, with both or neither on. Text formats print a line for each state, `health{health="ready"} 1`; so the family's
//! name is a label name as well, and no other label may have it.
//!
//! [`StateSet`] finds a state by its name, [`EnumStateSet`] by the variant of an enum, which always exists.

use crate::error::UnknownState;
use crate::label::LabelEnum;
use crate::series::{SeriesRef, Storage};
use crate::sync::{AtomicU64, Ordering};
use std::fmt;
use std::marker::PhantomData;

/// Largest number of states of a state set: the bits of its word. Each state is a line in every scrape.
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
    /// Keeps the cells from being reused.
    pub(crate) series: SeriesRef,
}

impl StateSet {
    /// Turns one state on or off and keeps the others.
    ///
    /// # Errors
    /// The set has no such state; it is not changed.
    pub fn set(&self, state: &str, on: bool) -> Result<(), UnknownState> {
        self.set_bit(self.bit(state)?, on);
        Ok(())
    }

    /// Turns this state on and all others off, in one step.
    ///
    /// # Errors
    /// The set has no such state; it is not changed.
    pub fn only(&self, state: &str) -> Result<(), UnknownState> {
        // Relaxed, as in all functions here: no other memory depends on the set.
        self.word().store(self.bit(state)?, Ordering::Relaxed);
        Ok(())
    }

    /// Returns whether a state is on.
    ///
    /// # Errors
    /// The set has no such state.
    pub fn get(&self, state: &str) -> Result<bool, UnknownState> {
        Ok(self.bits() & self.bit(state)? != 0)
    }

    /// Returns all states at one instant; the first is the lowest bit.
    pub fn bits(&self) -> u64 {
        self.word().load(Ordering::Relaxed)
    }

    /// Returns the same set with the states of an enum; `None` when it was registered with other states than those of
    /// `S`.
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
        let states = self.series.metadata.descriptor.states();
        states.eq(S::VALUES.iter().copied()).then(|| EnumStateSet::new(self.clone()))
    }

    fn bit(&self, state: &str) -> Result<u64, UnknownState> {
        let descriptor = &self.series.metadata.descriptor;
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
        match &self.series.storage {
            Storage::States(word) => word,
            _ => unreachable!("a state set has one word"),
        }
    }

    /// Returns the handle of a series of this kind.
    pub(crate) fn bind(series: SeriesRef) -> Self {
        Self { series }
    }
}

/// A [`StateSet`] whose states are the variants of an enum, returned by
/// [`Registry::enum_state_set`](crate::Registry::enum_state_set) and [`StateSet::typed`]. Cheap to clone.
///
/// A variant whose [`index`](LabelEnum::index) is not below the number of its values is a defect of that enum. It is not
/// a state of the set, and always off.
pub struct EnumStateSet<S> {
    set: StateSet,
    states: PhantomData<fn(S)>,
}

impl<S: LabelEnum> EnumStateSet<S> {
    /// Turns one state on or off and keeps the others. Cost: one atomic operation.
    pub fn set(&self, state: S, on: bool) {
        self.set.set_bit(bit(state), on);
    }

    /// Turns this state on and all others off, in one step. Cost: one store.
    pub fn only(&self, state: S) {
        self.set.word().store(bit(state), Ordering::Relaxed);
    }

    /// Returns whether a state is on.
    pub fn get(&self, state: S) -> bool {
        self.set.bits() & bit(state) != 0
    }

    /// Returns all states at one instant; the first is the lowest bit.
    pub fn bits(&self) -> u64 {
        self.set.bits()
    }

    /// Returns the same set, whose states are those of `S`.
    pub(crate) fn new(set: StateSet) -> Self {
        Self { set, states: PhantomData }
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

fn bit<S: LabelEnum>(state: S) -> u64 {
    let place = state.index();
    // A registered set has no more values than bits.
    if place < S::VALUES.len() { 1 << place } else { 0 }
}
