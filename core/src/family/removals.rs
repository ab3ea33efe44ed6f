//! The latest removals of a family's series: with them a copy of the list is brought up to date in as many steps.
//!
//! The last series of the list takes the place of a removed one. So a copy from some removals ago differs in the places that those
//! removals name, and in the places beyond the shortest length that the list had since:
//!
//! ```text
//! copy              a b c d e f
//! remove b          a f c d e          place 1, 5 are left
//! remove e          a f c d            place 4, 4 are left
//! make g            a f c d g          the copy keeps 4 places, and of those replaces 1
//! ```
//!
//! Older removals are forgotten: a copy that is far behind is made anew.

use std::collections::VecDeque;

/// Removals are remembered up to this part of what is left of the list: more of them cost as much as a new copy.
const RECENT_PART: usize = 4;
/// Removals that are remembered of however short a list.
const RECENT_MIN: usize = 64;

/// The number of removed series, and the latest of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Removals {
    count: u64,
    /// The newest last.
    recent: VecDeque<Removal>,
}

#[derive(Clone, Copy, Debug)]
struct Removal {
    place: u32,
    left: u32,
}

impl Removals {
    /// Returns the number of removals so far.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Adds the removal of the series at `place` from a list of which `left` are left.
    pub(super) fn push(&mut self, place: usize, left: usize) {
        self.count += 1;
        self.recent.push_back(Removal { place: place as u32, left: left as u32 });
        self.limit((left / RECENT_PART).max(RECENT_MIN));
    }

    /// Adds the removal of all series: no copy keeps anything.
    pub(super) fn push_all(&mut self) {
        self.count += 1;
        self.recent = VecDeque::new();
    }

    /// Catches up with `newer`, of which it is an earlier state.
    pub(super) fn follow(&mut self, newer: &Self) {
        match newer.since(self.count) {
            Some(latest) => {
                self.recent.extend(latest);
                self.limit(newer.recent.len());
            }
            None => self.recent.clone_from(&newer.recent),
        }
        self.count = newer.count;
    }

    /// Returns the number of first places that a copy of `known` series keeps, made when there were `seen` removals; and those of them
    /// that have another series now, some perhaps more than once. `None` if the copy has to be made anew.
    pub(crate) fn kept(
        &self,
        seen: u64,
        known: usize,
    ) -> Option<(usize, impl Iterator<Item = usize>)> {
        let latest = self.since(seen)?;
        let left = latest.clone().map(|removal| removal.left as usize).min();
        let kept = left.map_or(known, |left| left.min(known));
        Some((kept, latest.map(|removal| removal.place as usize).filter(move |&at| at < kept)))
    }

    /// Returns the removals after the first `seen`, if all are remembered.
    fn since(&self, seen: u64) -> Option<impl Iterator<Item = Removal> + Clone> {
        let missing = usize::try_from(self.count.checked_sub(seen)?).ok()?;
        let first = self.recent.len().checked_sub(missing)?;
        Some(self.recent.range(first..).copied())
    }

    fn limit(&mut self, len: usize) {
        self.recent.drain(..self.recent.len().saturating_sub(len));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A list and its removals, as a family has them.
    #[derive(Default)]
    struct List {
        next: u32,
        series: Vec<u32>,
        removals: Removals,
    }

    impl List {
        fn make(&mut self) {
            self.series.push(self.next);
            self.next += 1;
        }

        fn remove(&mut self, at: usize) {
            self.series.swap_remove(at);
            self.removals.push(at, self.series.len());
        }
    }

    /// A copy that is brought up to date; returns how many series it has copied.
    fn update(copy: &mut (Vec<u32>, Removals), list: &List) -> usize {
        let (series, removals) = copy;
        let mut copied = 0;
        match list.removals.kept(removals.count(), series.len()) {
            Some((kept, replaced)) => {
                series.truncate(kept);
                for at in replaced {
                    series[at] = list.series[at];
                    copied += 1;
                }
            }
            None => series.clear(),
        }
        removals.follow(&list.removals);
        copied += list.series.len() - series.len();
        series.extend_from_slice(&list.series[series.len()..]);
        copied
    }

    #[derive(Clone, Debug)]
    enum Step {
        Make(usize),
        Remove(prop::sample::Index),
        RemoveMany(usize),
        RemoveAll,
        Update,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (1..20usize).prop_map(Step::Make),
            8 => any::<prop::sample::Index>().prop_map(Step::Remove),
            2 => (1..200usize).prop_map(Step::RemoveMany),
            1 => Just(Step::RemoveAll),
            8 => Just(Step::Update),
        ]
    }

    proptest! {
        #[test]
        fn a_copy_that_follows_is_the_list(steps in prop::collection::vec(step(), 1..100)) {
            let (mut list, mut copy) = (List::default(), (Vec::new(), Removals::default()));
            // The copy of a copy, as the texts are that an encoder has rendered.
            let mut second = (Vec::new(), Removals::default());
            for step in steps.into_iter().chain([Step::Update]) {
                match step {
                    Step::Make(n) => (0..n).for_each(|_| list.make()),
                    Step::Remove(at) if !list.series.is_empty() => {
                        list.remove(at.index(list.series.len()));
                    }
                    Step::RemoveMany(n) => (0..n.min(list.series.len())).for_each(|_| list.remove(0)),
                    Step::RemoveAll => {
                        list.series.clear();
                        list.removals.push_all();
                    }
                    Step::Update => {
                        update(&mut copy, &list);
                        prop_assert_eq!(&copy.0, &list.series);
                        let (series, removals) = copy.clone();
                        update(&mut second, &List { next: 0, series, removals });
                        prop_assert_eq!(&second.0, &list.series);
                    }
                    Step::Remove(_) => {}
                }
                let max = (list.series.len() / RECENT_PART).max(RECENT_MIN);
                prop_assert!(list.removals.recent.len() <= max.max(copy.1.recent.len()));
            }
        }
    }

    #[test]
    fn one_removal_costs_one_step_and_not_a_copy() {
        let (mut list, mut copy) = (List::default(), (Vec::new(), Removals::default()));
        (0..200_000).for_each(|_| list.make());
        assert_eq!(update(&mut copy, &list), 200_000);
        list.remove(7);
        assert_eq!(update(&mut copy, &list), 1);
        list.remove(199_998);
        assert_eq!(update(&mut copy, &list), 0, "it was the last");
        (0..1000).for_each(|at| list.remove(at));
        list.make();
        assert_eq!(update(&mut copy, &list), 1001);
        assert_eq!(copy.0, list.series);
    }
}
