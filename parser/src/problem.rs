//! A fault at its place in a body.

use std::fmt;

use crate::fault::{Fault, Rule};

/// Most problems that [`parse`](crate::parse) reports before it stops. A hundred show what is wrong; the report on a
/// megabyte of garbage stays small.
///
/// ```
/// use dynamo_metrics_parser::{PROBLEMS_MAX, parse};
///
/// let problems = parse("?\n".repeat(2 * PROBLEMS_MAX).as_bytes()).unwrap_err();
/// assert_eq!(problems.len(), PROBLEMS_MAX);
/// ```
pub const PROBLEMS_MAX: usize = 100;

/// A fault that some consumer would refuse, at its place.
///
/// ```
/// use dynamo_metrics_parser::{Rule, parse};
///
/// let problems = parse(b"a 1\na .5\n").unwrap_err();
/// assert_eq!(problems[0].line, 2);
/// assert_eq!(problems[0].rule(), Rule::Value);
/// assert!(problems[0].to_string().starts_with("line 2: "));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The line it is about, from 1. A family that lacks something is reported at its last line.
    pub line: usize,
    /// The place in the line, in bytes from 1, if the fault is at one place.
    pub column: Option<usize>,
    /// The fault.
    pub fault: Fault,
}

impl Problem {
    /// A problem that is about a whole line or family.
    pub(crate) fn at(line: usize, fault: Fault) -> Problem {
        Problem { line, column: None, fault }
    }

    /// Returns the rule that is broken.
    #[must_use]
    pub fn rule(&self) -> Rule {
        self.fault.rule()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault)
    }
}

impl std::error::Error for Problem {}
