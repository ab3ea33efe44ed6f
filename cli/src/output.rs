//! Standard output of the commands.

use std::fmt;
use std::io::Write;

/// Prints a line to standard output. An output that is closed, as by `| head`, is ignored, where `println!` would panic.
pub(crate) fn print_stdout(line: impl fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Returns whether standard error is a terminal that takes escape sequences, and its user wants them: a pipe or a file gets plain
/// text, and so does a terminal with `NO_COLOR` (<https://no-color.org>) or `TERM=dumb`.
pub(crate) fn takes_escapes() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::IsTerminal::is_terminal(&std::io::stderr()) && !is_set("NO_COLOR") && !dumb
}
