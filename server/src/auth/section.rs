//! A mapping of a web configuration, of which every key must be known.

use super::problem::Problem;
use super::yaml::{Key, Node, Value};

/// A mapping whose keys are all known.
pub(crate) struct Section<'a> {
    /// The path of the mapping, as `tls_server_config.`; empty at the root.
    prefix: String,
    line: usize,
    entries: &'a [(Key, Node)],
}

/// A text and where it is.
#[derive(Clone, Copy)]
pub(crate) struct Text<'a> {
    pub(crate) line: usize,
    pub(crate) value: &'a str,
}

impl<'a> Section<'a> {
    /// The mapping at the root, or under the key `name`; nothing is an empty one.
    pub(crate) fn of(name: &str, node: &'a Node, known: &[&str]) -> Result<Self, Problem> {
        let prefix = if name.is_empty() { String::new() } else { format!("{name}.") };
        let section = Self { prefix, line: node.line, entries: entries(name, node)? };
        for (key, _) in section.entries {
            if !known.contains(&&*key.name) {
                let text = format!("unknown key; known are {}", known.join(", "));
                return Err(Problem::new(key.line, section.path(&key.name), text));
            }
        }
        Ok(section)
    }

    /// The value of a key, unless it is nothing.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Node> {
        let (_, node) = self.entries.iter().find(|(known, _)| known.name == key)?;
        (node.value != Value::Null).then_some(node)
    }

    /// A key's text; an empty one counts as none.
    pub(crate) fn text(&self, key: &str) -> Result<Option<Text<'a>>, Problem> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let text = text(&self.path(key), node)?;
        Ok((!text.value.is_empty()).then_some(text))
    }

    /// A key's texts.
    #[cfg(feature = "tls")]
    pub(crate) fn texts(&self, key: &str) -> Result<Option<Vec<Text<'a>>>, Problem> {
        let Some(node) = self.get(key) else { return Ok(None) };
        let Value::Sequence(items) = &node.value else {
            let found = node.value.kind();
            return Err(self.problem(key, format!("expected a list of texts, found {found}")));
        };
        items.iter().map(|item| text(&self.path(key), item)).collect::<Result<_, _>>().map(Some)
    }

    /// A key's `true` or `false`.
    pub(crate) fn boolean(&self, key: &str) -> Result<Option<bool>, Problem> {
        match self.text(key)? {
            None => Ok(None),
            Some(Text { value: "true", .. }) => Ok(Some(true)),
            Some(Text { value: "false", .. }) => Ok(Some(false)),
            Some(Text { line, .. }) => {
                Err(Problem::new(line, self.path(key), "expected true or false"))
            }
        }
    }

    /// A problem with a key, in the line of its value; of the section when it has none.
    pub(crate) fn problem(&self, key: &str, text: impl Into<String>) -> Problem {
        let found = self.entries.iter().find(|(known, _)| known.name == key);
        let line = found.map_or(self.line, |(key, _)| key.line);
        Problem::new(line, self.path(key), text)
    }

    /// A key's full name.
    pub(crate) fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

/// The entries of a mapping; nothing has none.
pub(crate) fn entries<'a>(name: &str, node: &'a Node) -> Result<&'a [(Key, Node)], Problem> {
    match &node.value {
        Value::Null => Ok(&[]),
        Value::Mapping(entries) => Ok(entries),
        other => {
            let text = format!("expected a mapping of keys, found {}", other.kind());
            Err(Problem::new(node.line, name, text))
        }
    }
}

/// A node's text; nothing is an empty one.
pub(crate) fn text<'a>(path: &str, node: &'a Node) -> Result<Text<'a>, Problem> {
    match &node.value {
        Value::Null => Ok(Text { line: node.line, value: "" }),
        Value::Scalar(value) => Ok(Text { line: node.line, value }),
        other => {
            let text = format!("expected a text, found {}", other.kind());
            Err(Problem::new(node.line, path, text))
        }
    }
}
