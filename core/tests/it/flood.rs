//! The cost of names that a client chose to collide, for a family and for a table without random seeds.

use dynamo_metrics_core::{Opts, Registry};
use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::time::{Duration, Instant};

const FLOOD: usize = 10_000;

/// An unkeyed hash of the kind that tables of strings are often built on (rustc's old FxHash).
#[derive(Default)]
struct Fx(u64);

impl Fx {
    const FACTOR: u64 = 0x517c_c1b7_2722_0a95;

    fn word(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(Self::FACTOR);
    }
}

impl Hasher for Fx {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Returns strings of 16 bytes with the same [`Fx`] hash; the second word is solved for.
fn colliding() -> Vec<String> {
    let inverse = (0..6).fold(1u64, |inverse, _| {
        inverse.wrapping_mul(2u64.wrapping_sub(Fx::FACTOR.wrapping_mul(inverse)))
    });
    assert_eq!(inverse.wrapping_mul(Fx::FACTOR), 1);
    let wanted = 0x0123_4567_89ab_cdefu64.wrapping_mul(inverse);
    let mut found = Vec::new();
    for i in 0u64.. {
        let first = format!("{i:08x}");
        let mut hasher = Fx::default();
        hasher.write(first.as_bytes());
        let second = (wanted ^ hasher.0.rotate_left(5)).to_le_bytes();
        // Most solutions are not text; one in 256 is ASCII.
        if let Ok(second) = str::from_utf8(&second)
            && second.is_ascii()
        {
            found.push(first + second);
            if found.len() == FLOOD {
                break;
            }
        }
    }
    found
}

fn median_of_5(mut run: impl FnMut() -> Duration) -> Duration {
    let mut times: Vec<Duration> = (0..5).map(|_| run()).collect();
    times.sort();
    times[2]
}

/// 10,000 model names that an attacker chose to collide cost a family no more than 10,000 others, because its hash has random
/// seeds. The twin is a table without seeds, on which the same names are hundreds of times slower. The bound is generous,
/// because it is wall time.
#[test]
fn names_chosen_to_collide_do_not_slow_a_family_down() {
    let attack = colliding();
    let harmless: Vec<String> = (0..FLOOD).map(|i| format!("{:016x}", i * 7919)).collect();
    let hashes = BuildHasherDefault::<Fx>::default();
    assert!(attack.iter().all(|name| hashes.hash_one(name) == hashes.hash_one(&attack[0])));

    let family = |names: &[String]| {
        median_of_5(|| {
            let registry = Registry::new();
            let opts = Opts::new("flood_total", "").series_max(2 * FLOOD);
            let family = registry.counter_family(opts, ["model"]).unwrap();
            let start = Instant::now();
            for name in names {
                family.with([name]).inc();
            }
            let time = start.elapsed();
            assert_eq!(family.len(), FLOOD);
            time
        })
    };
    let table = |names: &[String]| {
        let start = Instant::now();
        let table: HashMap<&str, (), BuildHasherDefault<Fx>> =
            names.iter().map(|name| (&**name, ())).collect();
        assert_eq!(table.len(), FLOOD);
        start.elapsed()
    };
    let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
    let keyed = ratio(family(&attack), family(&harmless));
    let unkeyed = ratio(table(&attack), table(&harmless));
    println!("attack against harmless names: family {keyed:.2}, unkeyed table {unkeyed:.0}");
    assert!(unkeyed > 10.0, "the names do not even flood an unkeyed table: {unkeyed:.1}");
    assert!(keyed < 10.0, "{keyed:.1} times slower");
}
