//! Models of the slot of an exemplar: what is read is of one write, whoever writes, and is counted already.
//!
//! The sequence lock is the real one. The twins copy it with one rule broken, and must fail.
#![cfg(loom)]

use dynamo_metrics_core::__private::{CellIndex, Seqlock, Shards, add};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Two words that are written and read as one, or not quite.
trait Slot: Send + Sync + 'static {
    fn new() -> Self;
    fn write(&self, words: [u64; 2]) -> bool;
    fn read(&self) -> Option<[u64; 2]>;
}

impl Slot for Seqlock<2> {
    fn new() -> Self {
        Self::new()
    }

    fn write(&self, words: [u64; 2]) -> bool {
        self.write(&words)
    }

    fn read(&self) -> Option<[u64; 2]> {
        self.read()
    }
}

/// Two writers and a reader.
fn writers_and_a_reader<S: Slot>() {
    check(|| {
        let slot = Arc::new(S::new());
        let writers = [1, 2].map(|n| {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.write([n, n]))
        });
        let reader = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || slot.read())
        };
        let whole = |[a, b]: [u64; 2]| assert!(a == b && [1, 2].contains(&a), "torn: {a} and {b}");
        let wrote = writers.map(|writer| writer.join().unwrap());
        reader.join().unwrap().into_iter().for_each(whole);
        assert!(wrote.contains(&true), "one of two writers wins");
        let last = slot.read().expect("nobody is writing any more");
        whole(last);
        assert!(wrote[last[0] as usize - 1], "what is there is of a writer that won");
    });
}

#[test]
fn what_is_read_is_of_one_write() {
    writers_and_a_reader::<Seqlock<2>>();
}

/// Which rule a twin breaks.
const NO_CLAIM: u8 = 0;
const NO_SECOND_LOOK: u8 = 1;
const NO_FENCE_OF_THE_WRITER: u8 = 2;
const NO_FENCE_OF_THE_READER: u8 = 3;

/// A copy of the sequence lock with one rule broken.
struct Twin<const BROKEN: u8> {
    version: AtomicU64,
    words: [AtomicU64; 2],
}

impl<const BROKEN: u8> Slot for Twin<BROKEN> {
    fn new() -> Self {
        Self { version: AtomicU64::new(0), words: [(); 2].map(|()| AtomicU64::new(0)) }
    }

    fn write(&self, words: [u64; 2]) -> bool {
        let version = self.version.load(Ordering::Relaxed);
        if version % 2 == 1 {
            return false;
        }
        if BROKEN == NO_CLAIM {
            self.version.store(version + 1, Ordering::Relaxed);
        } else if self
            .version
            .compare_exchange(version, version + 1, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        if BROKEN != NO_FENCE_OF_THE_WRITER {
            fence(Ordering::Release);
        }
        for (word, new) in self.words.iter().zip(words) {
            word.store(new, Ordering::Relaxed);
        }
        self.version.store(version + 2, Ordering::Release);
        true
    }

    fn read(&self) -> Option<[u64; 2]> {
        let version = self.version.load(Ordering::Acquire);
        if version == 0 || version % 2 == 1 {
            return None;
        }
        let words = [0, 1].map(|at| self.words[at].load(Ordering::Relaxed));
        if BROKEN != NO_FENCE_OF_THE_READER {
            fence(Ordering::Acquire);
        }
        let same = self.version.load(Ordering::Relaxed) == version;
        (same || BROKEN == NO_SECOND_LOOK).then_some(words)
    }
}

/// The twin: two writers at once leave words of both.
#[test]
#[should_panic(expected = "torn")]
fn writers_that_do_not_claim_tear() {
    writers_and_a_reader::<Twin<NO_CLAIM>>();
}

/// The twin: a writer that begins during the read is not noticed.
#[test]
#[should_panic(expected = "torn")]
fn a_reader_that_does_not_look_again_tears() {
    writers_and_a_reader::<Twin<NO_SECOND_LOOK>>();
}

/// The twin: a word is seen before the version that announces it.
#[test]
#[should_panic(expected = "torn")]
fn a_writer_without_its_fence_tears() {
    writers_and_a_reader::<Twin<NO_FENCE_OF_THE_WRITER>>();
}

/// The twin: the second look at the version may come before the words.
#[test]
#[should_panic(expected = "torn")]
fn a_reader_without_its_fence_tears() {
    writers_and_a_reader::<Twin<NO_FENCE_OF_THE_READER>>();
}

/// `Counter::add_with_exemplar` beside `Snapshot::take`: both count first, and exemplars are read first.
fn an_exemplar_beside_a_scrape(exemplar_first: bool) {
    check(move || {
        let shards = Arc::new(Shards::new());
        let shard = shards.lease().unwrap();
        let cell = CellIndex::new(0).unwrap();
        let slot = Arc::new(Seqlock::<2>::new());
        let recording = {
            let slot = Arc::clone(&slot);
            thread::spawn(move || {
                add(shard, cell, 1);
                slot.write(&[1, 1]);
            })
        };
        let scrape = thread::spawn(move || {
            let count = || shards.iter().map(|shard| shard.read(cell)).sum::<u64>();
            let (exemplar, count) = if exemplar_first {
                let exemplar = slot.read();
                (exemplar, count())
            } else {
                let count = count();
                (slot.read(), count)
            };
            assert!(exemplar.is_none() || count == 1, "an exemplar of what is not counted");
        });
        recording.join().unwrap();
        scrape.join().unwrap();
    });
}

#[test]
fn what_an_exemplar_stands_for_is_counted() {
    an_exemplar_beside_a_scrape(true);
}

/// The twin: a scrape that reads the counts first can see an exemplar that came in between.
#[test]
#[should_panic(expected = "an exemplar of what is not counted")]
fn counts_read_before_exemplars_lack_one() {
    an_exemplar_beside_a_scrape(false);
}
