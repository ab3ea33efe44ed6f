//! Labels that a source carries: added to each of its samples, so that equal series of two engines stay apart.
//!
//! They are escaped once, here. A label that a sample has itself wins over one of the same name.

use thiserror::Error;

use crate::escape::write_label_value;
use dynamo_metrics_parser::grammar::label_name_len;

/// Most labels that one source may carry. Dynamo's hierarchy has five; each costs bytes on every line of the source.
///
/// ```
/// use dynamo_metrics_encoder::passthrough::{LABELS_ADDED_MAX, Labels};
///
/// let many = |n: usize| Labels::new((0..n).map(|at| (format!("l{at}"), "x")));
/// assert!(many(LABELS_ADDED_MAX).is_ok() && many(LABELS_ADDED_MAX + 1).is_err());
/// ```
pub const LABELS_ADDED_MAX: usize = 16;

/// Labels for all samples of a source.
///
/// ```
/// use dynamo_metrics_encoder::passthrough::{Filter, Passthrough, Labels, Source};
/// use dynamo_metrics_encoder::name_filter::NameFilter;
///
/// let labels = Labels::new([("dynamo_namespace", "prod"), ("model", "Qwen/Qwen3-0.6B")])?;
/// let (filter, mut body) = (Filter::all(), bytes::BytesMut::new());
/// let source = Source::new(&filter, b"a{model=\"own\",x=\"1\"} 1\nb 2\n").labelled(&labels);
/// Passthrough::new().merge([source], &|_| false, Default::default(), &NameFilter::default(), &mut body);
/// assert_eq!(
///     std::str::from_utf8(&body)?,
///     "# TYPE a untyped\na{model=\"own\",x=\"1\",dynamo_namespace=\"prod\"} 1\n# TYPE b untyped\n\
///      b{dynamo_namespace=\"prod\",model=\"Qwen/Qwen3-0.6B\"} 2\n"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Names, and values as they stand in text.
    pairs: Vec<(String, Vec<u8>)>,
}

/// The reason why labels cannot be added.
///
/// ```
/// use dynamo_metrics_encoder::passthrough::{InvalidLabels, Labels};
///
/// let error = Labels::new([("le", "0.5")]).unwrap_err();
/// assert_eq!(error, InvalidLabels::Reserved("le".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidLabels {
    /// `le` and `quantile` belong to histograms and summaries, names that start with `__` to Prometheus.
    #[error("the label {0:?} is reserved: it belongs to the format; choose another name")]
    Reserved(String),
    /// A name that not every scraper takes.
    #[error("{0:?} is not a label name: use [a-zA-Z0-9_], no digit first")]
    Name(String),
    /// A name that is there already.
    #[error("the label {0:?} is given twice; leave one out")]
    Twice(String),
    /// More than [`LABELS_ADDED_MAX`].
    #[error("more than {LABELS_ADDED_MAX} labels; leave out those that are the same everywhere")]
    TooMany,
}

impl Labels {
    /// These labels behind others, without those of the others that have the name of one of these.
    ///
    /// ```
    /// use dynamo_metrics_encoder::passthrough::Labels;
    ///
    /// let own = Labels::new([("model", "own")])?;
    /// let both = own.under([("dynamo_namespace", "prod"), ("model", "level")])?;
    /// assert_eq!(both, Labels::new([("dynamo_namespace", "prod"), ("model", "own")])?);
    /// # Ok::<(), dynamo_metrics_encoder::passthrough::InvalidLabels>(())
    /// ```
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn under<'a>(
        &self,
        others: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Labels, InvalidLabels> {
        let free = |(name, _): &(&str, &str)| self.pairs.iter().all(|(own, _)| own != name);
        let mut labels = Labels::new(others.into_iter().filter(free))?;
        if labels.pairs.len() + self.pairs.len() > LABELS_ADDED_MAX {
            return Err(InvalidLabels::TooMany);
        }
        labels.pairs.extend(self.pairs.iter().cloned());
        Ok(labels)
    }

    /// Checks and keeps the labels, in this order. One with an empty value is the same as none.
    ///
    /// # Errors
    ///
    /// [`InvalidLabels`], which names the label.
    ///
    /// ```
    /// use dynamo_metrics_encoder::passthrough::Labels;
    ///
    /// assert!(Labels::new([("worker_id", "7587888160958627845")]).is_ok());
    /// assert!(Labels::new([("worker-id", "1")]).is_err());
    /// ```
    pub fn new<N: Into<String>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Labels, InvalidLabels> {
        let mut labels = Labels::default();
        for (name, value) in pairs {
            let name = name.into();
            if matches!(&name[..], "le" | "quantile") || name.starts_with("__") {
                return Err(InvalidLabels::Reserved(name));
            }
            if name.is_empty() || label_name_len(name.as_bytes()) != name.len() {
                return Err(InvalidLabels::Name(name));
            }
            if labels.pairs.iter().any(|(other, _)| *other == name) {
                return Err(InvalidLabels::Twice(name));
            }
            if value.as_ref().is_empty() {
                continue;
            }
            if labels.pairs.len() == LABELS_ADDED_MAX {
                return Err(InvalidLabels::TooMany);
            }
            let mut escaped = Vec::new();
            write_label_value(&mut escaped, value.as_ref());
            labels.pairs.push((name, escaped));
        }
        Ok(labels)
    }

    /// No labels.
    ///
    /// ```
    /// use dynamo_metrics_encoder::passthrough::Labels;
    ///
    /// assert_eq!(Labels::none(), &Labels::default());
    /// ```
    #[must_use]
    pub fn none() -> &'static Labels {
        const NONE: &Labels = &Labels { pairs: Vec::new() };
        NONE
    }

    /// Names, and values escaped for text.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.pairs.iter().map(|(name, value)| (&name[..], &value[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_name_that_would_break_a_line_is_refused() {
        for bad in ["le", "quantile", "__name__", "", "a.b", "a:b", "1a", "ä", "a\n"] {
            let error = Labels::new([(bad, "x")]).unwrap_err();
            assert!(error.to_string().contains(&format!("{bad:?}")), "{error}");
        }
        let twice = Labels::new([("a", "x"), ("a", "y")]).unwrap_err();
        assert_eq!(twice, InvalidLabels::Twice("a".into()));
    }

    #[test]
    fn values_are_escaped_and_empty_ones_left_out() {
        let labels = Labels::new([("a", "x\"\\\n"), ("b", "")]).unwrap();
        assert_eq!(labels.pairs().collect::<Vec<_>>(), [("a", &br#"x\"\\\n"#[..])]);
    }
}
