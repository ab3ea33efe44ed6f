//! The part of YAML that a web configuration needs, as a tree that knows its lines.
//!
//! One document of mappings, sequences and scalars. Anchors, aliases, tags, merge keys, keys that are not scalars and
//! keys that are given twice are errors: each of them lets a file mean something else than a reader sees. Depth and size
//! are bounded.
//!
//! The parser is `saphyr-parser`: events with their positions, which a serde layer would lose, one
//! dependency, and alive. (`serde_yaml` is archived; its forks `serde_yaml_ng` and `serde_norway`
//! keep its C-derived parser and give no line for an unknown key.)

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::problem::Problem;

/// Deeper than any key of the format, and far from the end of the stack.
const DEPTH_MAX: usize = 8;
/// A hundred users and a chain of inline certificates fit many times.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;

/// A value and the line where it begins.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Nothing, `~` or `null`.
    Null,
    Scalar(String),
    Sequence(Vec<Node>),
    /// The entries in the order of the file; keys differ.
    Mapping(Vec<(Key, Node)>),
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) line: usize,
    pub(crate) name: String,
}

impl Value {
    /// The kind's name, for the text of an error.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Scalar(_) => "a text",
            Self::Sequence(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// Reads a whole file; an empty one is [`Value::Null`].
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > FILE_BYTES_MAX {
        return Err(Problem::of_file(format!("longer than {FILE_BYTES_MAX} bytes")));
    }
    let mut reader = Reader { parser: Parser::new_from_str(text), line: 1 };
    let mut root = None;
    loop {
        match reader.next()? {
            Event::DocumentStart(_) if root.is_some() => {
                return Err(reader.problem("a second document: leave one of them out"));
            }
            Event::DocumentStart(_) => {
                let first = reader.next()?;
                root = Some(reader.node(first, DEPTH_MAX)?);
            }
            Event::StreamEnd => break,
            _ => {}
        }
    }
    Ok(root.unwrap_or(Node { line: 1, value: Value::Null }))
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    line: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Event<'a>, Problem> {
        match self.parser.next() {
            Some(Ok((event, span))) => {
                self.line = span.start.line();
                Ok(event)
            }
            // The scanner's texts have at most one character of the file in them.
            Some(Err(error)) => Err(Problem::new(error.marker().line(), "", error.info())),
            None => Ok(Event::StreamEnd),
        }
    }

    fn problem(&self, text: impl Into<String>) -> Problem {
        Problem::new(self.line, "", text)
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, Problem> {
        let line = self.line;
        if depth == 0 {
            return Err(self.problem(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        let value = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse(anchor, tag.is_some())?;
                match (style, &*text) {
                    (ScalarStyle::Plain, "" | "~" | "null" | "Null" | "NULL") => Value::Null,
                    _ => Value::Scalar(text.into_owned()),
                }
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse(anchor, tag.is_some())?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        Event::SequenceEnd => break Value::Sequence(items),
                        event => items.push(self.node(event, depth - 1)?),
                    }
                }
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse(anchor, tag.is_some())?;
                let mut entries: Vec<(Key, Node)> = Vec::new();
                loop {
                    let key = match self.next()? {
                        Event::MappingEnd => break Value::Mapping(entries),
                        Event::Scalar(name, _, anchor, tag) => {
                            self.refuse(anchor, tag.is_some())?;
                            Key { line: self.line, name: name.into_owned() }
                        }
                        _ => return Err(self.problem("a key that is no text: write a name")),
                    };
                    if let Some((first, _)) = entries.iter().find(|(k, _)| k.name == key.name) {
                        let text = format!("given twice, first in line {}", first.line);
                        return Err(Problem::new(key.line, key.name, text));
                    }
                    let event = self.next()?;
                    let value = self.node(event, depth - 1)?;
                    entries.push((key, value));
                }
            }
            Event::Alias(_) => return Err(self.problem(NO_ANCHORS)),
            _ => return Err(self.problem("a value is missing")),
        };
        Ok(Node { line, value })
    }

    fn refuse(&self, anchor: usize, tagged: bool) -> Result<(), Problem> {
        match (anchor, tagged) {
            (0, false) => Ok(()),
            (_, true) => Err(self.problem("a tag (`!name`) has no meaning here: leave it out")),
            _ => Err(self.problem(NO_ANCHORS)),
        }
    }
}

const NO_ANCHORS: &str = "anchors and aliases (`&name`, `*name`) are not read: write the value out";

#[cfg(test)]
mod tests {
    use super::*;

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Null => "null".into(),
            Value::Scalar(text) => format!("{text:?}"),
            Value::Sequence(items) => {
                format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" "))
            }
            Value::Mapping(entries) => {
                let entry =
                    |(key, node): &(Key, Node)| format!("{}@{}={}", key.name, key.line, show(node));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(" "))
            }
        }
    }

    fn read(text: &str) -> Result<String, String> {
        parse(text).map(|node| show(&node)).map_err(|problem| problem.to_string())
    }

    #[test]
    fn trees_keep_their_lines() {
        let text = "# c\na:\n  b: \"1\"\n  c: [x, 'y']\nd:\n- e\n- f: ~\n";
        let tree = r#"{a@2={b@3="1" c@4=["x" "y"]} d@5=["e" {f@7=null}]}"#;
        assert_eq!(read(text).as_deref(), Ok(tree));
        assert_eq!(read("a: |\n  x\n  y\n").as_deref(), Ok(r#"{a@1="x\ny\n"}"#));
        for nothing in ["", "# only a comment\n", "---\n", "---\n...\n", "~"] {
            assert_eq!(read(nothing).as_deref(), Ok("null"), "{nothing:?}");
        }
    }

    #[test]
    fn what_reads_two_ways_is_refused_with_its_line() {
        for (text, line, part) in [
            ("a: 1\nb: 2\na: 3", 3, "given twice, first in line 1"),
            ("a: &x 1\nb: *x", 1, "anchors"),
            ("a: !!str 1", 1, "tag"),
            ("a: 1\n---\nb: 2", 2, "second document"),
            ("a: 1\n? [b]\n: 2", 2, "no text"),
            ("a: [[[[[[[[1]]]]]]]]", 1, "nested deeper"),
            ("a: 1\n b: [", 2, ""),
            ("a: \"open", 1, ""),
        ] {
            let problem = read(text).expect_err(text);
            assert!(problem.starts_with(&format!(":{line}:")), "{text:?}: {problem}");
            assert!(problem.contains(part), "{text:?}: {problem}");
        }
        assert!(read(&"#".repeat(FILE_BYTES_MAX + 1)).is_err());
    }
}
