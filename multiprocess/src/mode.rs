//! The modes by which the processes' values of a gauge are merged.

use std::fmt;
use std::str::FromStr;

/// The modes of a gauge that several processes set, as `prometheus_client` names them. With `Live…` only processes that run
/// count; with the others the values of processes that ended stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// A series for each process, with a label `pid`. That of a process that ended is shown until another one takes its place.
    #[default]
    All,
    /// A series for each process that runs, with a label `pid`.
    LiveAll,
    /// The least value.
    Min,
    /// The least value of those that run.
    LiveMin,
    /// The greatest value.
    Max,
    /// The greatest value of those that run.
    LiveMax,
    /// The sum.
    Sum,
    /// The sum of those that run.
    LiveSum,
    /// The value that was set last, by the clock of the machine.
    MostRecent,
    /// The value that was set last by a process that runs.
    LiveMostRecent,
}

impl Mode {
    /// All modes, in the order of the numbers that files have.
    pub const ALL: [Self; 10] = [
        Self::All,
        Self::LiveAll,
        Self::Min,
        Self::LiveMin,
        Self::Max,
        Self::LiveMax,
        Self::Sum,
        Self::LiveSum,
        Self::MostRecent,
        Self::LiveMostRecent,
    ];

    /// The name that `prometheus_client` has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::LiveAll => "liveall",
            Self::Min => "min",
            Self::LiveMin => "livemin",
            Self::Max => "max",
            Self::LiveMax => "livemax",
            Self::Sum => "sum",
            Self::LiveSum => "livesum",
            Self::MostRecent => "mostrecent",
            Self::LiveMostRecent => "livemostrecent",
        }
    }

    /// Returns whether only processes that run count.
    pub const fn is_live(self) -> bool {
        matches!(
            self,
            Self::LiveAll | Self::LiveMin | Self::LiveMax | Self::LiveSum | Self::LiveMostRecent
        )
    }

    /// Returns whether each process has a series of its own.
    pub const fn is_each(self) -> bool {
        matches!(self, Self::All | Self::LiveAll)
    }

    /// Returns whether the time of each value matters.
    pub const fn is_timed(self) -> bool {
        matches!(self, Self::MostRecent | Self::LiveMostRecent)
    }

    /// Returns the one value of two.
    pub(crate) fn merge(self, one: Reading, other: Reading) -> Reading {
        match self {
            Self::All | Self::LiveAll => other,
            // NaN is neither the least nor the greatest, unless there is no other value.
            Self::Min | Self::LiveMin | Self::Max | Self::LiveMax if other.value.is_nan() => one,
            Self::Min | Self::LiveMin if one.value <= other.value => one,
            Self::Max | Self::LiveMax if one.value >= other.value => one,
            Self::MostRecent | Self::LiveMostRecent if one.time > other.time => one,
            Self::Sum | Self::LiveSum => {
                Reading { value: one.value + other.value, time: one.time.max(other.time) }
            }
            _ => other,
        }
    }

    pub(crate) fn number(self) -> u64 {
        self as u64
    }

    pub(crate) fn of_number(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

/// A value that a process set, and when: seconds since 1970, or 0 where the mode needs no time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    pub(crate) value: f64,
    pub(crate) time: f64,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The error for a name that no mode has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no mode of a gauge: use one of {}", names())]
pub struct UnknownMode {
    /// The name.
    pub name: String,
}

fn names() -> String {
    Mode::ALL.map(Mode::name).join(", ")
}

impl FromStr for Mode {
    type Err = UnknownMode;

    /// ```
    /// use dynamo_metrics_multiprocess::Mode;
    ///
    /// assert_eq!("livesum".parse(), Ok(Mode::LiveSum));
    /// let error = "average".parse::<Mode>().unwrap_err();
    /// assert!(error.to_string().contains("liveall"));
    /// ```
    fn from_str(name: &str) -> Result<Self, UnknownMode> {
        let found = Self::ALL.into_iter().find(|mode| mode.name() == name);
        found.ok_or_else(|| UnknownMode { name: name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_the_numbers_that_files_have() {
        for (number, mode) in (0..).zip(Mode::ALL) {
            assert_eq!((mode.number(), Mode::of_number(number)), (number, Some(mode)));
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        assert_eq!(Mode::of_number(10), None);
    }

    #[test]
    fn two_values_become_one() {
        let at = |value, time| Reading { value, time };
        let merged = |mode: Mode| mode.merge(at(3.0, 9.0), at(2.0, 8.0)).value;
        assert_eq!(Mode::ALL.map(merged), [2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 5.0, 5.0, 3.0, 3.0]);
        let merged = |mode: Mode| mode.merge(at(2.0, 8.0), at(3.0, 9.0)).value;
        assert_eq!(Mode::ALL.map(merged), [3.0, 3.0, 2.0, 2.0, 3.0, 3.0, 5.0, 5.0, 3.0, 3.0]);
    }
}
