//! The table of open connections, and the choice of the one that is evicted.
//!
//! A connection waits for its client's next head, or it is being answered. At the cap the one that has waited longest is
//! evicted, so a flood of silent clients shuts no client out; one that is being answered never is.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Table {
    max: usize,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    /// Connections, without those that were evicted.
    open: usize,
    /// Numbers for `waiting`, which is thus sorted by time. Begins at 1.
    last: u64,
    waiting: BTreeMap<u64, Arc<Seat>>,
}

#[derive(Debug, Default)]
struct Seat {
    leave: Notify,
    /// True once the connection was evicted; it is not counted any more.
    left: AtomicBool,
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    table: Arc<Table>,
    seat: Arc<Seat>,
    /// Its number among those that wait; 0 while it is being answered. Relaxed: only its own connection writes it.
    number: AtomicU64,
}

/// A request in progress: its connection is not evicted until this is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Place>);

impl Table {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, places: Mutex::default() })
    }

    /// A place for a new connection; `None` when all others are being answered.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Arc<Place>> {
        let mut places = self.lock();
        if places.open >= self.max && !places.evict() {
            return None;
        }
        places.open += 1;
        let seat = Arc::new(Seat::default());
        let number = places.wait(&seat);
        let table = Arc::clone(self);
        Some(Arc::new(Place { table, seat, number: AtomicU64::new(number) }))
    }

    /// Evicts the connection that has waited longest; false when none waits.
    pub(crate) fn evict(&self) -> bool {
        self.lock().evict()
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // The table is consistent between any two statements, so a panic elsewhere does not break it.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn wait(&mut self, seat: &Arc<Seat>) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, Arc::clone(seat));
        self.last
    }

    fn evict(&mut self) -> bool {
        let Some((_, seat)) = self.waiting.pop_first() else { return false };
        seat.left.store(true, Relaxed);
        seat.leave.notify_one();
        self.open -= 1;
        true
    }
}

impl Place {
    /// Returns when the connection is evicted.
    pub(crate) async fn told_to_leave(&self) {
        self.seat.leave.notified().await;
    }

    /// A request begins.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        let mut places = self.table.lock();
        places.waiting.remove(&self.number.swap(0, Relaxed));
        Busy(Arc::clone(self))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut places = self.0.table.lock();
        if !self.0.seat.left.load(Relaxed) {
            let number = places.wait(&self.0.seat);
            self.0.number.store(number, Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.table.lock();
        places.waiting.remove(&self.number.load(Relaxed));
        // Under the lock, as it is set: the eviction has taken it out of the count.
        if !self.seat.left.load(Relaxed) {
            places.open -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(table: &Table) -> (usize, usize) {
        let places = table.lock();
        (places.open, places.waiting.len())
    }

    fn left(place: &Place) -> bool {
        place.seat.left.load(Relaxed)
    }

    #[test]
    fn the_longest_waiting_connection_is_evicted_and_a_busy_one_never_is() {
        let table = Table::new(3);
        let [first, second, third] = [(); 3].map(|()| table.admit().unwrap());
        let busy = first.busy();
        let fourth = table.admit().unwrap();
        assert!(left(&second) && !left(&first) && !left(&third));
        drop(second);
        assert_eq!(table.lock().open, 3);
        let all = [busy, third.busy(), fourth.busy()];
        assert!(table.admit().is_none());
        drop(all);
        // The first to be done is the first to go.
        let fifth = table.admit().unwrap();
        assert!(left(&first) && !left(&third) && !left(&fourth));
        drop((first, third, fourth, fifth));
        assert_eq!(counts(&table), (0, 0));
    }

    #[test]
    fn one_that_was_told_to_leave_in_the_moment_of_its_request_counts_once() {
        let table = Table::new(1);
        let first = table.admit().unwrap();
        let second = table.admit().unwrap();
        drop(first.busy());
        drop(first);
        assert_eq!(counts(&table), (1, 1));
        drop(second);
        assert_eq!(counts(&table), (0, 0));
    }
}
