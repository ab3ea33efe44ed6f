//! A fault of a web configuration, with its file, line and key, and what to write instead.
//!
//! Values are never part of the text, since a hash, a password or a key may stand anywhere in such a file by mistake. The
//! exception are the words of a closed set, such as the versions of TLS.

use std::fmt;
use std::path::{Path, PathBuf};

/// A fault of a web configuration file, or of a file that it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    file: PathBuf,
    /// From 1.
    line: Option<usize>,
    /// Such as `tls_server_config.cert_file`; empty when the whole file is at fault.
    key: String,
    text: String,
}

impl Problem {
    pub(crate) fn new(line: usize, key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { file: PathBuf::new(), line: Some(line), key: key.into(), text: text.into() }
    }

    /// A fault of the whole file.
    pub(crate) fn of_file(text: impl Into<String>) -> Self {
        Self { file: PathBuf::new(), line: None, key: String::new(), text: text.into() }
    }

    /// Names the configuration's file.
    pub(crate) fn in_file(mut self, file: &Path) -> Self {
        self.file = file.into();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": `{}`", self.key)?;
        }
        write!(f, ": {}", self.text)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_where_it_is() {
        let problem = Problem::new(3, "rate_limit.brst", "unknown key");
        let text = problem.in_file(Path::new("/etc/web.yml")).to_string();
        assert_eq!(text, "/etc/web.yml:3: `rate_limit.brst`: unknown key");
        let problem = Problem::of_file("No such file").in_file(Path::new("web.yml"));
        assert_eq!(problem.to_string(), "web.yml: No such file");
    }
}
