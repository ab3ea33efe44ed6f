//! Models of what a family tells those who do not take its lock: the key under which threads remember its series, and the
//! number by which a snapshot knows that nothing is new.
//!
//! Both are relaxed, and changed while the table's lock is held. Copies of `family/table.rs`, as in `loom_series.rs`, which also
//! says why; the twins break one rule each and must fail.
#![cfg(loom)]

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

const FORMER_KEY: u64 = 1;
const NEW_KEY: u64 = 2;
const REMOVED: u32 = 7;

/// `FamilyCore`; series are just numbers.
struct Family {
    key: AtomicU64,
    changes: AtomicU64,
    table: Mutex<Vec<u32>>,
}

impl Family {
    fn new(series: Vec<u32>) -> Arc<Self> {
        let (key, changes) = (AtomicU64::new(FORMER_KEY), AtomicU64::new(0));
        Arc::new(Self { key, changes, table: Mutex::new(series) })
    }

    /// `FamilyCore::remove_one`.
    fn remove(&self) {
        let mut table = self.table.lock().unwrap();
        table.retain(|&series| series != REMOVED);
        self.key.store(NEW_KEY, Ordering::Relaxed);
    }

    /// The twin: the new key is there before the series is gone.
    fn remove_after_the_key(&self) {
        self.key.store(NEW_KEY, Ordering::Relaxed);
        self.table.lock().unwrap().retain(|&series| series != REMOVED);
    }

    /// `Family::visit` and `Family::look_up`: under which key the thread remembers the series, if it finds it.
    fn look_up(&self) -> Option<u64> {
        let key = self.key.load(Ordering::Relaxed);
        self.table.lock().unwrap().contains(&REMOVED).then_some(key)
    }

    /// The twin: asks for the key after it has searched.
    fn look_up_first(&self) -> Option<u64> {
        let found = self.table.lock().unwrap().contains(&REMOVED);
        found.then(|| self.key.load(Ordering::Relaxed))
    }

    /// `FamilyCore::create`.
    fn create(&self, series: u32) {
        let mut table = self.table.lock().unwrap();
        table.push(series);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// The twin: the number is there before the series.
    fn create_after_the_number(&self, series: u32) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.table.lock().unwrap().push(series);
    }
}

/// A series is removed while another thread looks it up twice. Under the new key nobody remembers it: that would be found
/// for ever.
fn a_removal_beside_lookups(remove: fn(&Family), look_up: fn(&Family) -> Option<u64>) {
    loom::model(move || {
        let family = Family::new(vec![REMOVED]);
        let removing = {
            let family = Arc::clone(&family);
            thread::spawn(move || remove(&family))
        };
        let looking = {
            let family = Arc::clone(&family);
            thread::spawn(move || {
                for _ in 0..2 {
                    assert_ne!(look_up(&family), Some(NEW_KEY), "remembered although removed");
                }
            })
        };
        removing.join().unwrap();
        looking.join().unwrap();
        assert_eq!((look_up(&family), family.key.load(Ordering::Relaxed)), (None, NEW_KEY));
    });
}

#[test]
fn what_was_removed_is_remembered_under_no_new_key() {
    a_removal_beside_lookups(Family::remove, Family::look_up);
}

/// The twin.
#[test]
#[should_panic(expected = "remembered although removed")]
fn a_key_read_after_the_search_remembers_what_was_removed() {
    a_removal_beside_lookups(Family::remove, Family::look_up_first);
}

/// The twin.
#[test]
#[should_panic(expected = "remembered although removed")]
fn a_key_stored_before_the_removal_remembers_what_was_removed() {
    a_removal_beside_lookups(Family::remove_after_the_key, Family::look_up);
}

/// `SeriesList`.
#[derive(Default)]
struct List {
    changes: u64,
    series: Vec<u32>,
}

impl List {
    /// `FamilyCore::sync`.
    fn sync(&mut self, family: &Family) {
        let changes = family.changes.load(Ordering::Relaxed);
        if self.changes != changes {
            self.changes = changes;
            self.series.clone_from(&family.table.lock().unwrap());
        }
    }

    /// The twin: asks for the number after it has listed.
    fn sync_late(&mut self, family: &Family) {
        if self.changes != family.changes.load(Ordering::Relaxed) {
            self.series.clone_from(&family.table.lock().unwrap());
            self.changes = family.changes.load(Ordering::Relaxed);
        }
    }
}

/// Two series are made while a scrape lists; whatever it saw, the next one lists both.
fn new_series_beside_scrapes(create: fn(&Family, u32), sync: fn(&mut List, &Family)) {
    loom::model(move || {
        let family = Family::new(Vec::new());
        let making = [1, 2].map(|series| {
            let family = Arc::clone(&family);
            thread::spawn(move || create(&family, series))
        });
        let scrape = {
            let family = Arc::clone(&family);
            thread::spawn(move || {
                let mut list = List::default();
                sync(&mut list, &family);
                list
            })
        };
        for making in making {
            making.join().unwrap();
        }
        let mut list = scrape.join().unwrap();
        sync(&mut list, &family);
        assert_eq!(list.series.len(), 2, "a series is missing for ever");
    });
}

#[test]
fn a_series_made_during_a_scrape_is_in_the_next_one() {
    new_series_beside_scrapes(Family::create, List::sync);
}

/// The twin.
#[test]
#[should_panic(expected = "a series is missing")]
fn a_number_read_after_the_listing_misses_a_series() {
    new_series_beside_scrapes(Family::create, List::sync_late);
}

/// The twin.
#[test]
#[should_panic(expected = "a series is missing")]
fn a_number_that_grows_before_the_series_is_there_misses_it() {
    new_series_beside_scrapes(Family::create_after_the_number, List::sync);
}
