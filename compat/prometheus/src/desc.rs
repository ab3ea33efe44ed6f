//! Descriptors: the name, help and labels of a metric.

use crate::error::{Error, Result};
use crate::proto::LabelPair;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The descriptor of a metric. Descriptors of one name in a registry must have the same help and label names, and differ in the
/// values of their constant labels.
#[derive(Clone, Debug)]
pub struct Desc {
    /// The name with namespace and subsystem.
    pub fq_name: String,
    /// The help text.
    pub help: String,
    /// The constant labels, sorted by name.
    pub const_label_pairs: Vec<LabelPair>,
    /// The names of the variable labels.
    pub variable_labels: Vec<String>,
    /// FNV-1a hash of the name and the values of the constant labels: descriptors with the same one are the same metric.
    pub id: u64,
    /// FNV-1a hash of the help text and the label names: descriptors of one name must have the same one.
    pub dim_hash: u64,
}

impl Desc {
    /// Returns a descriptor.
    ///
    /// # Errors
    /// An empty help text, an invalid name of the metric or a label, or a label name that is there twice.
    pub fn new(
        fq_name: String,
        help: String,
        variable_labels: Vec<String>,
        const_labels: HashMap<String, String>,
    ) -> Result<Self> {
        if help.is_empty() {
            return Err(Error::Msg("empty help string".into()));
        }
        if !is_valid_metric_name(&fq_name) {
            return Err(Error::Msg(format!("'{fq_name}' is not a valid metric name")));
        }
        let const_labels: BTreeMap<_, _> = const_labels.into_iter().collect();
        for name in const_labels.keys().chain(&variable_labels) {
            if !is_valid_label_name(name) {
                return Err(Error::Msg(format!("'{name}' is not a valid label name")));
            }
        }
        // `$` stands before variable labels, so that a constant and a variable label hash to different ids.
        let mut names: BTreeSet<_> = const_labels.keys().cloned().collect();
        for name in &variable_labels {
            if !names.insert(format!("${name}")) {
                return Err(Error::Msg(format!("duplicate variable label name {name}")));
            }
        }
        let id = hash(std::iter::once(&fq_name).chain(const_labels.values()));
        let dim_hash = hash(std::iter::once(&help).chain(&names));
        let const_label_pairs = const_labels.into_iter().map(|(k, v)| label_pair(k, v)).collect();
        Ok(Self { fq_name, help, const_label_pairs, variable_labels, id, dim_hash })
    }
}

/// A value that a descriptor can be made of.
pub trait Describer {
    /// Returns the descriptor.
    ///
    /// # Errors
    /// As [`Desc::new`].
    fn describe(&self) -> Result<Desc>;
}

pub(crate) fn label_pair(name: String, value: String) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name);
    pair.set_value(value);
    pair
}

fn is_valid_metric_name(name: &str) -> bool {
    is_valid(name, |c| c.is_ascii_alphabetic() || c == '_' || c == ':')
}

fn is_valid_label_name(name: &str) -> bool {
    is_valid(name, |c| c.is_ascii_alphabetic() || c == '_')
}

/// Returns whether the name consists of such characters and, after the first, digits.
fn is_valid(name: &str, letter: impl Fn(char) -> bool) -> bool {
    name.starts_with(&letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}

/// Returns the FNV-1a hash of the texts, each with an end that no text contains.
fn hash<'a>(texts: impl Iterator<Item = &'a String>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x100_0000_01b3;
    const END: u8 = 0xff;
    let bytes = texts.flat_map(|text| text.bytes().chain([END]));
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}
