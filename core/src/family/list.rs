//! A scrape's copy of a family's series.

use super::removals::Removals;
use super::table::Table;
use crate::clock::Millis;
use crate::series::SeriesRef;
use crate::series::exemplar::{self, Words};

/// Series that a scrape copies while it holds the table's lock: some 0.2 ms where none of them is in a cache.
const LISTING_BATCH: usize = 2048;

/// A scrape's copy of a family's series, brought up to date by [`FamilyCore::sync`](super::FamilyCore::sync).
#[derive(Debug, Default)]
pub(crate) struct SeriesList {
    pub(crate) series: Vec<SeriesRef>,
    /// The places of each series in the totals of a snapshot. A scrape that read them from the series would miss the cache
    /// once a series.
    pub(crate) places: Vec<[u32; 2]>,
    pub(crate) created: Vec<Millis>,
    /// [`exemplar_slots`](crate::Descriptor::exemplar_slots) for each series, all read anew by each scrape.
    pub(crate) exemplars: Vec<Words>,
    /// Here, because a look at the family or a series would miss the cache.
    pub(super) keeps_exemplars: bool,
    /// The removals that it has followed.
    pub(crate) removals: Removals,
    /// `FamilyCore::changes` when it was brought up to date.
    pub(super) changes: u64,
}

impl SeriesList {
    /// Copies the exemplars of all series.
    #[inline]
    pub(crate) fn copy_exemplars(&mut self) {
        if self.keeps_exemplars {
            exemplar::copy(&self.series, &mut self.exemplars);
        }
    }

    /// Brings the places that it has up to date, and moves the series that it no longer has to `gone`.
    pub(super) fn follow(&mut self, table: &Table, gone: &mut Vec<SeriesRef>) {
        match table.removals.kept(self.removals.count(), self.series.len()) {
            Some((kept, replaced)) => {
                self.truncate(kept, gone);
                for at in replaced {
                    let series = &table.order[at];
                    self.places[at] = series.storage.places();
                    gone.push(std::mem::replace(&mut self.series[at], series.clone()));
                    if let Some(created) = self.created.get_mut(at) {
                        *created = table.created[at];
                    }
                }
            }
            None => self.truncate(0, gone),
        }
        self.removals.follow(&table.removals);
    }

    fn truncate(&mut self, len: usize, gone: &mut Vec<SeriesRef>) {
        gone.extend(self.series.drain(len..));
        self.places.truncate(len);
        self.created.truncate(len);
    }

    /// Adds the next batch of series that the table has and this list lacks. Returns whether it has all of them now.
    pub(super) fn append_batch(&mut self, table: &Table) -> bool {
        let known = self.series.len();
        let end = table.order.len().min(known + LISTING_BATCH);
        let series = &table.order[known..end];
        self.series.extend(series.iter().cloned());
        self.places.extend(series.iter().map(|series| series.storage.places()));
        self.created.extend_from_slice(table.created.get(known..end).unwrap_or_default());
        end == table.order.len()
    }
}
