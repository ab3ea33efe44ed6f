//! The families of an engine that pass, and the names under which they pass.
//!
//! Prefixes are compared with the name as the line spells it, `_bucket` and all, before anything is
//! added to it. A line that does not pass is as good as not there: it is not counted, and whatever is
//! wrong with it does no harm.

use thiserror::Error;

use dynamo_metrics_parser::grammar::metric_name_len;

/// Longest prefix that may be added, in bytes: it is stored once for each family and sample name.
///
/// ```
/// use dynamo_metrics_encoder::passthrough::{Filter, PREFIX_LEN_MAX};
///
/// assert!(Filter::new(vec![], vec![], Some("x".repeat(PREFIX_LEN_MAX))).is_ok());
/// assert!(Filter::new(vec![], vec![], Some("x".repeat(PREFIX_LEN_MAX + 1))).is_err());
/// ```
pub const PREFIX_LEN_MAX: usize = 128;

/// A choice of families by the start of their names.
///
/// ```
/// use dynamo_metrics_encoder::passthrough::Filter;
///
/// let filter = Filter::new(vec!["vllm:".into()], vec!["vllm:debug_".into()], None)?;
/// assert!(filter.admits("vllm:num_requests_running"));
/// assert!(!filter.admits("vllm:debug_ticks"));
/// assert!(!filter.admits("python_info"));
/// # Ok::<(), dynamo_metrics_encoder::passthrough::InvalidPrefix>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    include: Vec<String>,
    exclude: Vec<String>,
    add: String,
}

/// A prefix that would make metric names invalid, or that is longer than [`PREFIX_LEN_MAX`].
///
/// ```
/// use dynamo_metrics_encoder::passthrough::Filter;
///
/// let error = Filter::new(vec![], vec![], Some("trt-llm_".into())).unwrap_err();
/// assert_eq!(error.prefix, "trt-llm_");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{prefix:?} cannot start a metric name: at most 128 of [a-zA-Z0-9_:], no digit first")]
#[non_exhaustive]
pub struct InvalidPrefix {
    /// The prefix that was refused.
    pub prefix: String,
}

impl Filter {
    /// Passes names that start with any of `include_prefixes` (all names when it is empty) and with
    /// none of `exclude_prefixes`, and puts `add_prefix` in front of those that pass, unless they
    /// start with it already.
    ///
    /// # Errors
    ///
    /// [`InvalidPrefix`] when `add_prefix` cannot start a metric name.
    ///
    /// ```
    /// use dynamo_metrics_encoder::passthrough::Filter;
    ///
    /// let filter = Filter::new(vec![], vec!["python_".into()], Some("mine_".into()))?;
    /// assert!(filter.admits("requests") && !filter.admits("python_info"));
    /// # Ok::<(), dynamo_metrics_encoder::passthrough::InvalidPrefix>(())
    /// ```
    pub fn new(
        include_prefixes: Vec<String>,
        exclude_prefixes: Vec<String>,
        add_prefix: Option<String>,
    ) -> Result<Filter, InvalidPrefix> {
        let add = add_prefix.unwrap_or_default();
        if add.len() > PREFIX_LEN_MAX || metric_name_len(add.as_bytes()) != add.len() {
            return Err(InvalidPrefix { prefix: add });
        }
        Ok(Filter { include: include_prefixes, exclude: exclude_prefixes, add })
    }

    /// Everything passes, under its own name.
    ///
    /// ```
    /// assert!(dynamo_metrics_encoder::passthrough::Filter::all().admits("anything"));
    /// ```
    #[must_use]
    pub fn all() -> Filter {
        Filter::default()
    }

    /// The filter that Dynamo has for vLLM: `vllm:` and `lmcache:`.
    ///
    /// ```
    /// let filter = dynamo_metrics_encoder::passthrough::Filter::vllm();
    /// assert!(filter.admits("lmcache:num_hit_tokens") && !filter.admits("process_open_fds"));
    /// ```
    #[must_use]
    pub fn vllm() -> Filter {
        Filter { include: vec!["vllm:".into(), "lmcache:".into()], ..Filter::default() }
    }

    /// LMCache on its own: `lmcache:`.
    ///
    /// ```
    /// assert!(dynamo_metrics_encoder::passthrough::Filter::lmcache().admits("lmcache:num_hit_tokens"));
    /// ```
    #[must_use]
    pub fn lmcache() -> Filter {
        Filter { include: vec!["lmcache:".into()], ..Filter::default() }
    }

    /// The filter that Dynamo has for SGLang: `sglang:`.
    ///
    /// ```
    /// let filter = dynamo_metrics_encoder::passthrough::Filter::sglang();
    /// assert!(filter.admits("sglang:token_usage") && !filter.admits("vllm:x"));
    /// ```
    #[must_use]
    pub fn sglang() -> Filter {
        Filter { include: vec!["sglang:".into()], ..Filter::default() }
    }

    /// The filter that Dynamo 0.9 has for TensorRT-LLM: all but `python_` and `process_`, renamed to
    /// start with `trtllm_`. Later engines write that prefix themselves; it is not doubled.
    ///
    /// ```
    /// let filter = dynamo_metrics_encoder::passthrough::Filter::trtllm();
    /// assert!(filter.admits("request_success_total") && !filter.admits("process_open_fds"));
    /// assert_eq!(filter.added_prefix(), "trtllm_");
    /// ```
    #[must_use]
    pub fn trtllm() -> Filter {
        Filter {
            include: Vec::new(),
            exclude: vec!["python_".into(), "process_".into()],
            add: "trtllm_".into(),
        }
    }

    /// Returns whether a sample or family of this name passes. Costs one comparison a prefix.
    ///
    /// ```
    /// use dynamo_metrics_encoder::passthrough::Filter;
    ///
    /// assert!(Filter::vllm().admits("vllm:e2e_request_latency_seconds_bucket"));
    /// ```
    #[must_use]
    pub fn admits(&self, name: &str) -> bool {
        self.admits_bytes(name.as_bytes())
    }

    /// The prefix that the names get that pass; empty when there is none.
    ///
    /// ```
    /// assert_eq!(dynamo_metrics_encoder::passthrough::Filter::vllm().added_prefix(), "");
    /// ```
    #[must_use]
    pub fn added_prefix(&self) -> &str {
        &self.add
    }

    pub(super) fn admits_bytes(&self, name: &[u8]) -> bool {
        let starts = |prefix: &String| name.starts_with(prefix.as_bytes());
        (self.include.is_empty() || self.include.iter().any(starts))
            && !self.exclude.iter().any(starts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusion_wins_over_inclusion() {
        let filter = Filter::new(vec!["a".into()], vec!["ab".into()], None).unwrap();
        assert!(filter.admits("ac"));
        assert!(!filter.admits("abc"));
        assert!(!filter.admits("b"));
    }

    #[test]
    fn only_prefixes_that_keep_names_valid() {
        for good in ["", "a", "a_", "a:", "_", &"x".repeat(PREFIX_LEN_MAX)] {
            assert!(Filter::new(vec![], vec![], Some(good.into())).is_ok(), "{good}");
        }
        for bad in ["1", "a-", "é", " ", "a\n", &"x".repeat(PREFIX_LEN_MAX + 1)] {
            assert!(Filter::new(vec![], vec![], Some(bad.into())).is_err(), "{bad}");
        }
    }
}
