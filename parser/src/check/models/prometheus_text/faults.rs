//! Faults that the models of several consumers see alike.

use std::collections::HashSet;

use crate::fault::Fault;
use crate::format::Format;
use crate::kind::Kind;

/// Returns the fault of a label name that comes twice, or that is the metric's name.
pub(in crate::check::models) fn not_unique(labels: &[(String, String)]) -> Option<Fault> {
    let mut seen = HashSet::new();
    // Labels without a value are dropped before.
    let mut labels = labels.iter().filter(|(_, value)| !value.is_empty());
    labels.find_map(|(name, _)| match &name[..] {
        "__name__" => Some(Fault::NameLabel),
        _ if !seen.insert(name) => Some(Fault::LabelTwice { label: name.clone() }),
        _ => None,
    })
}

/// The fault of a TYPE line whose text, with the blank before it, is no type.
pub(in crate::check::models) fn of_type(name: &str, text: &str) -> Fault {
    let word = text.trim_matches([' ', '\t']);
    let known = |word: &str| Kind::parse(word).is_some_and(|kind| kind.is_in(Format::Text));
    if word.is_empty() {
        Fault::NoText { word: "TYPE", name: name.to_owned() }
    } else if !text.starts_with([' ', '\t']) {
        Fault::MetadataName { name: name.to_owned() }
    } else if word.ends_with('\r') && known(word.trim_end_matches('\r')) {
        Fault::CarriageReturn
    } else if !known(word) {
        Fault::UnknownType { word: word.to_owned() }
    } else if text.ends_with([' ', '\t']) {
        Fault::BlankAtEnd
    } else {
        Fault::ManyBlanks { before: "type" }
    }
}

/// The fault of what follows a value or timestamp and should not.
pub(in crate::check::models) fn of_tail(
    text: String,
    otherwise: impl Fn(String) -> Fault,
) -> Fault {
    if text.starts_with('#') {
        Fault::ExemplarInText
    } else if text.ends_with('\r') && text.bytes().rev().skip(1).all(|byte| byte.is_ascii_digit()) {
        Fault::CarriageReturn
    } else if text.starts_with('\0') {
        Fault::Nul
    } else {
        otherwise(text)
    }
}
