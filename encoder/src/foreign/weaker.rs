//! Families that cannot have their type, so that their samples survive as untyped ones.
//!
//! A histogram without `+Inf`, a summary without a sum, a counter below zero, a name that one source has as a gauge and another as a
//! histogram: Prometheus stores their samples, and no format lets them stand under their type. Whether there is such a family shows
//! only when all sources were read, so the merge notes it here and is done once more, in which each sample name of the family is an
//! untyped family of its own. Pages without such families, nearly all, are merged once.

use std::collections::HashSet;

use super::arena::Seed;

/// Rounds of a merge. Each gives families up that the one before found; two do for a partial page, and a third for a family that
/// meets the names of one given up.
pub(super) const ROUNDS_MAX: usize = 4;

/// Names of families, by hash: of two with one hash both would be untyped, and no sample lost.
#[derive(Default)]
pub(super) struct Weaker {
    hashes: HashSet<u64>,
    seed: Seed,
    /// A name with its prefix.
    name: Vec<u8>,
    /// Whether one was added since [`begin_round`](Self::begin_round).
    grown: bool,
}

impl Weaker {
    pub(super) fn clear(&mut self) {
        self.hashes.clear();
    }

    pub(super) fn begin_round(&mut self) {
        self.grown = false;
    }

    /// Whether the round that ends has found a family, so that there must be another.
    pub(super) fn has_grown(&self) -> bool {
        self.grown
    }

    /// Gives the type of a family up; `raw` is its name with its source's prefix, before it was escaped.
    pub(super) fn add(&mut self, raw: &[u8]) {
        self.grown |= self.hashes.insert(self.seed.hash(raw));
    }

    /// [`add`](Self::add), of a name that gets this prefix unless it has it.
    pub(super) fn add_prefixed(&mut self, name: &[u8], prefix: &[u8]) {
        let mut raw = std::mem::take(&mut self.name);
        prefixed(&mut raw, name, prefix);
        self.add(&raw);
        self.name = raw;
    }

    /// Whether a family of this name, which gets this prefix unless it has it, cannot have its type.
    pub(super) fn has(&mut self, name: &[u8], prefix: &[u8]) -> bool {
        if self.hashes.is_empty() {
            return false;
        }
        if name.starts_with(prefix) {
            return self.hashes.contains(&self.seed.hash(name));
        }
        prefixed(&mut self.name, name, prefix);
        self.hashes.contains(&self.seed.hash(&self.name))
    }
}

fn prefixed(raw: &mut Vec<u8>, name: &[u8], prefix: &[u8]) {
    raw.clear();
    if !name.starts_with(prefix) {
        raw.extend_from_slice(prefix);
    }
    raw.extend_from_slice(name);
}
