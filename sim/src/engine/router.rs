//! The choice of a worker for a request: the one that would hold the fewest blocks with it.
//!
//! ```text
//! cost = blocks that it holds or its queue will need  +  blocks of the prompt that it must compute
//! ```
//!
//! The first term spreads load, the second draws a prompt to where its start is cached; both are in
//! blocks, so they can be added without a weight. Ties go to the worker with fewer requests, then
//! to the lower number, so that equal input gives equal placement.

/// The load of a worker, for one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Blocks in use and blocks that waiting requests will need.
    pub(crate) held_blocks: u64,
    /// Blocks of this prompt that are not in the worker's cache.
    pub(crate) missing_blocks: u64,
    /// Requests that run or wait there.
    pub(crate) requests: u64,
}

/// The place of the best worker; 0 when there is none.
pub(crate) fn choose(loads: impl Iterator<Item = Load>) -> usize {
    loads
        .map(|load| (load.held_blocks.saturating_add(load.missing_blocks), load.requests))
        .enumerate()
        // The first of equals wins, as `min_by_key` promises.
        .min_by_key(|(_, cost)| *cost)
        .map_or(0, |(worker, _)| worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(held_blocks: u64, missing_blocks: u64, requests: u64) -> Load {
        Load { held_blocks, missing_blocks, requests }
    }

    #[test]
    fn the_least_loaded_worker_wins_unless_another_has_the_prefix() {
        assert_eq!(choose([load(9, 5, 1), load(8, 5, 1)].into_iter()), 1);
        assert_eq!(choose([load(9, 1, 1), load(8, 5, 1)].into_iter()), 0);
        assert_eq!(choose([load(90, 1, 1), load(8, 5, 1)].into_iter()), 1);
    }

    #[test]
    fn ties_go_to_fewer_requests_then_to_the_first() {
        assert_eq!(choose([load(3, 2, 2), load(2, 3, 1), load(1, 4, 1)].into_iter()), 1);
        assert_eq!(choose(std::iter::empty()), 0);
        assert_eq!(choose([load(u64::MAX, 5, 0), load(u64::MAX, 6, 0)].into_iter()), 0);
    }
}
