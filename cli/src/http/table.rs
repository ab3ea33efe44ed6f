//! Who has a place among the open connections, and who gives way.
//!
//! A connection waits for its client's next head, or it is being answered. At the cap the one that has waited longest
//! makes room, so a flood of silent clients keeps nobody out; one that is being answered never does.

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
    /// Connections, without those that were told to leave.
    open: usize,
    /// Numbers for `waiting`, which is thus sorted by time. Begins at 1.
    last: u64,
    waiting: BTreeMap<u64, Arc<Seat>>,
}

#[derive(Debug, Default)]
struct Seat {
    leave: Notify,
    /// It was told to leave, and counts no more.
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

/// A request in progress: its connection does not give way until this is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Place>);

impl Table {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, places: Mutex::default() })
    }

    /// A place for a new connection; `None` when all others are being answered.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Arc<Place>> {
        let mut places = self.lock();
        if places.open >= self.max && !places.give_way() {
            return None;
        }
        places.open += 1;
        let seat = Arc::new(Seat::default());
        let number = places.wait(&seat);
        let table = Arc::clone(self);
        Some(Arc::new(Place { table, seat, number: AtomicU64::new(number) }))
    }

    /// Tells the connection that has waited longest to leave; false when none waits.
    pub(crate) fn give_way(&self) -> bool {
        self.lock().give_way()
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // Whole between any two statements, so a panic elsewhere does not spoil it.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    fn wait(&mut self, seat: &Arc<Seat>) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, Arc::clone(seat));
        self.last
    }

    fn give_way(&mut self) -> bool {
        let Some((_, seat)) = self.waiting.pop_first() else { return false };
        seat.left.store(true, Relaxed);
        seat.leave.notify_one();
        self.open -= 1;
        true
    }
}

impl Place {
    /// Returns when the connection has to make room.
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
        // Under the lock, as it is set: whoever told it to leave has counted it out.
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
    fn who_has_waited_longest_gives_way_and_who_is_answered_never_does() {
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
