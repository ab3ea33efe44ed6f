//! Models of series that come and go: when cells may be reused, and in which order a scrape lists and reads.
//!
//! The shards are the real ones. The table, the pool and the generation are small copies of `family/table.rs`, `arena.rs` and
//! `registry.rs`, since those keep handles in thread-locals that outlive a model; each copy names what it copies. The
//! twins copy the same code with one rule broken, and must fail. The scrape is spawned last, see `loom_shards.rs`.
#![cfg(loom)]

use dynamo_metrics_core::__private::{CellIndex, Shard, Shards, add};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Mutex};
use loom::thread;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn total(shards: &Shards, cell: CellIndex) -> u64 {
    shards.iter().map(|shard| shard.read(cell)).sum()
}

/// `arena::zero`.
fn zero(shards: &Shards, cell: CellIndex) {
    for shard in shards.iter() {
        if shard.read(cell) != 0 {
            shard.cells().cell(cell).store(0, Ordering::Relaxed);
        }
    }
}

// ---- Removal and reuse of cells -------------------------------------------------------------------------------

/// What one recording of the old and of the new series adds, so that their counts cannot be mistaken.
const OLD: u64 = 1;
const NEW: u64 = 10;

/// When a cell goes back to the pool.
#[derive(Clone, Copy, PartialEq)]
enum GivenBack {
    /// When the last handle is gone: `Series::drop`.
    WithTheLastHandle,
    /// When the series is taken out of its table: the twin.
    WithTheRemoval,
}

struct Series {
    cell: CellIndex,
    adds: u64,
    world: Arc<World>,
    given_back: GivenBack,
}

impl Drop for Series {
    fn drop(&mut self) {
        if self.given_back == GivenBack::WithTheLastHandle {
            self.world.free.lock().unwrap().push(self.cell);
        }
    }
}

/// One family and its pool.
struct World {
    shards: Shards,
    /// `Table::order`.
    table: Mutex<Vec<Arc<Series>>>,
    /// `RankPool::free`.
    free: Mutex<Vec<CellIndex>>,
}

impl World {
    /// `Family::remove`: what is removed is dropped outside of the lock.
    fn remove(&self, given_back: GivenBack) {
        let removed = self.table.lock().unwrap().pop().unwrap();
        if given_back == GivenBack::WithTheRemoval {
            self.free.lock().unwrap().push(removed.cell);
        }
    }

    /// `Family::with` for new label values: a free cell, zeroed, or one that was never handed out.
    fn create(world: &Arc<Self>, given_back: GivenBack) -> Arc<Series> {
        let mut table = world.table.lock().unwrap();
        let reused = world.free.lock().unwrap().pop();
        if let Some(cell) = reused {
            zero(&world.shards, cell);
        }
        let cell = reused.unwrap_or(CellIndex::new(1).unwrap());
        let series = Arc::new(Series { cell, adds: NEW, world: Arc::clone(world), given_back });
        table.push(Arc::clone(&series));
        series
    }
}

fn record(shard: &'static Shard, series: &Series) {
    add(shard, series.cell, series.adds);
}

/// A series is removed while a thread still holds a handle to it and records; a new one is made at once, which may or
/// may not get its cell; a scrape runs besides.
fn a_late_writer(given_back: GivenBack, scrape: fn(&World)) {
    check(move || {
        let world = Arc::new(World {
            shards: Shards::new(),
            table: Mutex::new(Vec::new()),
            free: Mutex::new(Vec::new()),
        });
        let [late_shard, new_shard] = [(); 2].map(|()| world.shards.lease().unwrap());
        let cell = CellIndex::new(0).unwrap();
        let old = Arc::new(Series { cell, adds: OLD, world: Arc::clone(&world), given_back });
        world.table.lock().unwrap().push(Arc::clone(&old));
        let late = thread::spawn(move || record(late_shard, &old));
        let new = {
            let world = Arc::clone(&world);
            thread::spawn(move || {
                world.remove(given_back);
                let new = World::create(&world, given_back);
                record(new_shard, &new);
            })
        };
        let scrape = {
            let world = Arc::clone(&world);
            thread::spawn(move || scrape(&world))
        };
        for thread in [late, new, scrape] {
            thread.join().unwrap();
        }
        let new = Arc::clone(&world.table.lock().unwrap()[0]);
        assert_eq!(
            total(&world.shards, new.cell),
            NEW,
            "the new series has its own count, exactly"
        );
        // Or the world would hold itself through its table.
        world.table.lock().unwrap().clear();
    });
}

fn expect_own(series: &Series, total: u64) {
    assert!(total == 0 || total == series.adds, "{total} in a series of {}s", series.adds);
}

/// `Snapshot::take`: lists, which holds references, and reads afterwards.
fn list_then_read(world: &World) {
    let listed: Vec<_> = world.table.lock().unwrap().clone();
    for series in &listed {
        expect_own(series, total(&world.shards, series.cell));
    }
}

/// The twin: reads all cells, and lists afterwards.
fn read_then_list(world: &World) {
    let totals = [0, 1].map(|cell| total(&world.shards, CellIndex::new(cell).unwrap()));
    let listed: Vec<_> = world.table.lock().unwrap().clone();
    for series in &listed {
        expect_own(series, totals[series.cell.get() as usize]);
    }
}

/// No late recording reaches the next owner of a cell, and no scrape shows one series' count as another's.
#[test]
fn cells_are_reused_after_the_last_handle_only() {
    a_late_writer(GivenBack::WithTheLastHandle, list_then_read);
}

/// The twin: cells that go back with the removal are written by the late thread after they were zeroed.
#[test]
#[should_panic(expected = "the new series has its own count")]
fn cells_that_are_reused_after_the_removal_get_a_late_count() {
    a_late_writer(GivenBack::WithTheRemoval, |_| {});
}

/// The twin: a scrape that reads before it lists shows the old series' count under the new one's labels.
#[test]
#[should_panic(expected = "in a series of")]
fn a_scrape_that_reads_before_it_lists_mixes_series_up() {
    a_late_writer(GivenBack::WithTheLastHandle, read_then_list);
}

// ---- Registration ---------------------------------------------------------------------------------------------

/// `Members` and `Root::generation` of a registry; families are just numbers.
struct Registry {
    families: Mutex<Vec<u32>>,
    generation: AtomicU64,
}

impl Registry {
    /// `Registry::add`.
    fn register(&self, family: u32) {
        self.families.lock().unwrap().push(family);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// `Registry::generation`.
    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }
}

/// What a snapshot remembers between scrapes.
#[derive(Default)]
struct Listed {
    generation: Option<u64>,
    families: Vec<u32>,
}

impl Listed {
    /// `Snapshot::list`.
    fn bring_up_to_date(&mut self, registry: &Registry) {
        let generation = registry.generation();
        if self.generation == Some(generation) {
            return;
        }
        self.families.clone_from(&registry.families.lock().unwrap());
        self.generation = Some(generation);
    }

    /// The twin: asks for the generation after it has listed.
    fn bring_up_to_date_late(&mut self, registry: &Registry) {
        if self.generation == Some(registry.generation()) {
            return;
        }
        self.families.clone_from(&registry.families.lock().unwrap());
        self.generation = Some(registry.generation());
    }
}

/// Two families are registered while scrapes list; whatever they saw, the next scrape lists both.
fn registrations_beside_scrapes(list: fn(&mut Listed, &Registry)) {
    check(move || {
        let registry =
            Arc::new(Registry { families: Mutex::new(Vec::new()), generation: AtomicU64::new(0) });
        let registrars = [1, 2].map(|family| {
            let registry = Arc::clone(&registry);
            thread::spawn(move || registry.register(family))
        });
        let scrapes = {
            let registry = Arc::clone(&registry);
            thread::spawn(move || {
                let mut listed = Listed::default();
                list(&mut listed, &registry);
                let first = listed.families.len();
                list(&mut listed, &registry);
                assert!(first <= listed.families.len(), "what was listed stays listed");
                listed
            })
        };
        for registrar in registrars {
            registrar.join().unwrap();
        }
        let mut listed = scrapes.join().unwrap();
        list(&mut listed, &registry);
        assert_eq!(listed.families.len(), 2, "a family is missing for ever");
    });
}

#[test]
fn a_family_registered_during_a_scrape_is_in_the_next_one() {
    registrations_beside_scrapes(Listed::bring_up_to_date);
}

/// The twin: a family that came between the listing and the question for the generation is never listed.
#[test]
#[should_panic(expected = "a family is missing")]
fn a_generation_read_after_the_listing_misses_a_family() {
    registrations_beside_scrapes(Listed::bring_up_to_date_late);
}

/// `FamilyCore::sync` and `Pool::sum_into`: a series that is listed has its cell in the totals, because the cell is
/// handed out before the series is listed. `snapshot.rs` indexes by that place.
fn a_new_series_beside_a_scrape(list_first: bool) {
    check(move || {
        let table = Arc::new(Mutex::new(Vec::<usize>::new()));
        let places = Arc::new(Mutex::new(0));
        let maker = {
            let (table, places) = (Arc::clone(&table), Arc::clone(&places));
            thread::spawn(move || {
                let mut table = table.lock().unwrap();
                let mut places = places.lock().unwrap();
                let place = *places;
                *places += 1;
                drop(places);
                table.push(place);
            })
        };
        let scrape = thread::spawn(move || {
            let list = || table.lock().unwrap().clone();
            let sum = || vec![0; *places.lock().unwrap()];
            let (listed, totals) = if list_first {
                let listed = list();
                (listed, sum())
            } else {
                let totals = sum();
                (list(), totals)
            };
            assert!(listed.iter().all(|&place| place < totals.len()), "a series without a total");
        });
        maker.join().unwrap();
        scrape.join().unwrap();
    });
}

#[test]
fn a_listed_series_has_its_total() {
    a_new_series_beside_a_scrape(true);
}

/// The twin: totals that were taken before the listing lack the new series, and indexing them would panic.
#[test]
#[should_panic(expected = "a series without a total")]
fn totals_taken_before_the_listing_lack_a_series() {
    a_new_series_beside_a_scrape(false);
}
