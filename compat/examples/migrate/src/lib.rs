//! Nothing: `tests/rows.rs` has the code.
