//! Registration of state sets, and the checks of their states.

use super::Registry;
use crate::descriptor::Opts;
use crate::error::RegisterError;
use crate::escaping::Escaping;
use crate::family::Family;
use crate::kinds::{EnumStateSet, STATES_MAX, StateSet};
use crate::label::{LABEL_VALUE_BYTES_MAX, LabelEnum, check_shared_label_name};

impl Registry {
    /// Registers a state set without labels of its own.
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
    /// No states, more than [`STATES_MAX`], an empty or duplicate state, or one of more than [`LABEL_VALUE_BYTES_MAX`]
    /// bytes; a name that is not a label name, or that is the name of a label of the metric; a unit; or an error of any
    /// registration, see [`RegisterError`].
    pub fn state_set(
        &self,
        opts: impl Into<Opts>,
        states: &[&str],
    ) -> Result<StateSet, RegisterError> {
        Ok(self.state_set_family(opts, [], states)?.with([]))
    }

    /// Registers a family of state sets, one for each set of label values.
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
        check_shared_label_name(&opts.name, &opts.name)?;
        let constant = opts.const_labels.iter().map(|(label, _)| &**label);
        let mut labels = self.labels().map(|(label, _)| label).chain(constant).chain(label_names);
        // A label that escapes to the same name as the metric is refused like the name itself.
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

    /// Registers a state set without labels of its own, whose states are the variants of an enum.
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
        Ok(EnumStateSet::new(self.state_set(opts, S::VALUES)?))
    }
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
