//! The error of every part of the simulated stack.

/// An error that ends a command, with its causes.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
