//! Families that cannot have their type, so that their samples survive under a weaker one.
//!
//! A histogram without `+Inf`, a summary without a sum, a counter below zero, an info that is 2, a name that is a gauge in one source
//! and a histogram in another: Prometheus stores their samples, and no format lets them stand under their type. Such a family shows
//! only when all sources were read. The merge notes it here and sorts the samples into families once more, a *round*: an info or a
//! state set becomes a gauge, and each sample name of any other family an untyped family of its own.
//!
//! The page of the next scrape is most often the same but for its values. So the families are remembered, for each format and
//! escaping. They hold for the next merge if nothing but names, types and label sets made them, and if those are the same as before;
//! else that merge begins without any. So a merge writes the same whether another came before it or not.

use std::collections::HashMap;

use super::arena::Seed;
use dynamo_metrics_parser::Kind;

/// Most rounds of a merge that remembers nothing. Each gives up the types of the families that the one before found: two do for a
/// partial page, a third for a family that meets the names of one given up, and a fourth for one that became a gauge in between.
pub(super) const ROUNDS_MAX: usize = 5;

/// The strongest type that a family may still have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Limit {
    /// An info or a state set is a gauge.
    Gauge,
    /// Any type becomes untyped.
    Untyped,
}

impl Limit {
    /// The limit under which families of both types can be one.
    pub(super) fn of_both(a: Kind, b: Kind) -> Limit {
        let gauge = |kind| matches!(kind, Kind::Gauge | Kind::Info | Kind::StateSet);
        if gauge(a) && gauge(b) { Limit::Gauge } else { Limit::Untyped }
    }

    /// The limit for a family that lacks a part of its type, or has a value that its type excludes.
    pub(super) fn below(kind: Kind) -> Limit {
        Limit::of_both(kind, Kind::Gauge)
    }
}

/// The reason why a family gave its type up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Names, types and label sets of the page; another page with the same ones has the same cause.
    Structure,
    /// A value of the page, or a name that the caller reserved; the next page may lack it.
    Passing,
}

/// The families that gave their type up, by a hash of their name: of two with one hash both give it up, and no sample is lost.
#[derive(Default)]
pub(super) struct Weaker {
    limits: HashMap<u64, Limit>,
    seed: Seed,
    /// A name with its prefix.
    name: Vec<u8>,
    /// A family was added, or its limit fell, since [`begin_round`](Self::begin_round).
    grown: bool,
    /// Something other than the page's structure decided on a family.
    passing: bool,
    /// A hash of the label sets of all samples of these families.
    labels: u64,
    /// The page that the families were remembered of: hashes of its names, and of these families' label sets.
    remembered: Option<(u64, u64)>,
    /// The families are those remembered, not found in this merge.
    recalled: bool,
}

impl Weaker {
    /// Begins a merge of a page with these names. Returns whether families are remembered of such a page.
    pub(super) fn recall(&mut self, names: u64) -> bool {
        self.recalled = self.remembered.is_some_and(|(before, _)| before == names);
        self.recalled
    }

    /// Begins without any family.
    pub(super) fn forget(&mut self) {
        self.limits.clear();
        self.passing = false;
        self.recalled = false;
        self.remembered = None;
    }

    /// Remembers the families for the next page of these names, if that page must have the same.
    pub(super) fn remember(&mut self, names: u64) {
        self.remembered =
            (!self.passing && !self.limits.is_empty()).then_some((names, self.labels));
    }

    pub(super) fn begin_round(&mut self) {
        self.grown = false;
        self.labels = 0;
    }

    /// Adds a sample of one of these families, by a hash of its name and labels.
    pub(super) fn add_sample(&mut self, hash: u64) {
        self.labels = self.labels.wrapping_add(hash);
    }

    /// Returns whether recalled families have the samples that they were remembered of. True of families found in this merge.
    pub(super) fn is_as_remembered(&self) -> bool {
        !self.recalled || self.remembered.is_some_and(|(_, labels)| labels == self.labels)
    }

    /// Returns whether the round that ends found nothing that asks for another one.
    pub(super) fn is_settled(&self) -> bool {
        let doubtful = self.recalled && self.passing;
        !self.grown && !doubtful
    }

    /// Notes that the caller's names decided on a family.
    pub(super) fn note_reserved(&mut self) {
        self.passing = true;
    }

    /// Limits the type of a family; `raw` is its name with its source's prefix, before it was escaped.
    pub(super) fn limit(&mut self, raw: &[u8], limit: Limit, cause: Cause) {
        self.passing |= cause == Cause::Passing;
        let hash = self.seed.hash(raw);
        let known = self.limits.get(&hash).copied();
        if known.is_none_or(|known| known < limit) {
            self.limits.insert(hash, limit);
            self.grown = true;
        }
    }

    /// [`limit`](Self::limit), of a name that gets this prefix unless it has it.
    pub(super) fn limit_prefixed(
        &mut self,
        name: &[u8],
        prefix: &[u8],
        limit: Limit,
        cause: Cause,
    ) {
        let mut raw = std::mem::take(&mut self.name);
        prefixed(&mut raw, name, prefix);
        self.limit(&raw, limit, cause);
        self.name = raw;
    }

    /// The type that a family of this name may have, which gets this prefix unless it has it.
    pub(super) fn kind(&mut self, kind: Kind, name: &[u8], prefix: &[u8]) -> Kind {
        if self.limits.is_empty() || kind == Kind::Untyped {
            return kind;
        }
        let limit = if name.starts_with(prefix) {
            self.limits.get(&self.seed.hash(name))
        } else {
            prefixed(&mut self.name, name, prefix);
            self.limits.get(&self.seed.hash(&self.name))
        };
        match (limit, kind) {
            (None, kind) => kind,
            (Some(Limit::Gauge), Kind::Info | Kind::StateSet) => Kind::Gauge,
            (Some(Limit::Gauge), kind) => kind,
            (Some(Limit::Untyped), _) => Kind::Untyped,
        }
    }
}

fn prefixed(raw: &mut Vec<u8>, name: &[u8], prefix: &[u8]) {
    raw.clear();
    if !name.starts_with(prefix) {
        raw.extend_from_slice(prefix);
    }
    raw.extend_from_slice(name);
}
