//! The table of a family: its series by their label values, and in the order in which scrapes list them.

use super::removals::Removals;
use crate::arena;
use crate::clock::Millis;
use crate::series::SeriesRef;
use hashbrown::HashTable;

/// The list of a family's series grows by this part of its length. So at most an eighth of it is empty, where doubling leaves
/// up to half, and a series is copied fewer than nine times on average.
const ORDER_SLACK: usize = 8;
/// Smallest capacity of a list that is not empty.
const ORDER_MIN: usize = 4;

#[derive(Debug)]
pub(super) struct Table {
    /// Places in `order`.
    pub(super) index: HashTable<u32>,
    /// The list for scrapes, in order of creation, except that the last series takes the place of a removed one.
    pub(super) order: Vec<SeriesRef>,
    /// The time of creation of each of `order`; empty without a clock, and for kinds that do not accumulate.
    pub(super) created: Vec<Millis>,
    /// The removals, with which a snapshot brings its copy of `order` up to date.
    pub(super) removals: Removals,
    /// Created with the family, so that a lookup never fails; listed from its first use on. `None` for callbacks.
    pub(super) overflow: Option<SeriesRef>,
    /// True if it is in `order`.
    pub(super) overflow_listed: bool,
    /// The number of [returns](arena::returns) of cells when there were none for another series.
    pub(super) exhausted: Option<u64>,
}

impl Table {
    pub(super) fn new(overflow: Option<SeriesRef>) -> Self {
        let (index, order, created) = (HashTable::new(), Vec::new(), Vec::new());
        let (removals, overflow_listed, exhausted) = (Removals::default(), false, None);
        Self { index, order, created, removals, overflow, overflow_listed, exhausted }
    }

    pub(super) fn place(&self, hash: u64, values: &[&str]) -> Option<usize> {
        let found = self.index.find(hash, |&place| self.order[place as usize].values().are(values));
        found.map(|&place| place as usize)
    }

    pub(super) fn find(&self, hash: u64, values: &[&str]) -> Option<&SeriesRef> {
        self.place(hash, values).map(|place| &self.order[place])
    }

    /// Returns the overflow series, if it is listed and there is no room for another series, or were no cells for one.
    pub(super) fn full(&self, series_max: usize) -> Option<&SeriesRef> {
        let has_cells = || self.exhausted != Some(arena::returns());
        let full = self.overflow_listed && (self.order.len() >= series_max || !has_cells());
        self.overflow.as_ref().filter(|_| full)
    }

    pub(super) fn insert(
        &mut self,
        series: SeriesRef,
        created: Option<Millis>,
        hash: u64,
        hash_of: impl Fn(&SeriesRef) -> u64,
    ) {
        let Self { index, order, .. } = self;
        let place = order.len() as u32;
        if order.len() == order.capacity() {
            order.reserve_exact((order.len() / ORDER_SLACK).max(ORDER_MIN));
        }
        order.push(series);
        self.created.extend(created);
        index.insert_unique(hash, place, |&place| hash_of(&order[place as usize]));
    }

    /// Removes the series at this place; the last one moves there.
    pub(super) fn swap_remove(
        &mut self,
        place: usize,
        hash_of: impl Fn(&SeriesRef) -> u64,
    ) -> SeriesRef {
        let last = self.order.len() - 1;
        let Self { index, order, created, .. } = self;
        let is_at = |wanted: usize| move |&at: &u32| at as usize == wanted;
        if let Ok(entry) = index.find_entry(hash_of(&order[place]), is_at(place)) {
            entry.remove();
        }
        if place != last
            && let Some(moved) = index.find_mut(hash_of(&order[last]), is_at(last))
        {
            *moved = place as u32;
        }
        let series = order.swap_remove(place);
        if place < created.len() {
            created.swap_remove(place);
        }
        self.removals.push(place, last);
        series
    }
}
