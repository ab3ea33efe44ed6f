//! Arbitrary registries from a seed: every kind of metric, labels and help texts of every kind of character.

use dynamo_metrics_core::{Buckets, Exemplar, NativeBuckets, Opts, Registry, SummaryOpts};
use std::time::Duration;

/// Which numbers are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Values {
    Any,
    /// Below 10^6, so that there is one way to spell them.
    Small,
}

/// Which metrics there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Metrics {
    /// A registry that every judge reads in every format.
    Common,
    /// Native histograms, negative bounds and names outside the legacy characters, too.
    All,
}

/// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize].clone()
    }

    /// Characters that formats treat specially, control bytes, and some of every length in UTF-8.
    fn text(&mut self) -> String {
        let len = self.below(8);
        (0..len)
            .map(|_| match self.below(4) {
                0 => self.pick(&['\\', '"', '\n', '{', '}', '=', ',', ' ', '#']),
                1 => char::from(self.below(128) as u8),
                2 => self.pick(&['é', '漢', '🦀', '\u{2028}', '\u{10ffff}', '\u{80}']),
                _ => char::from(b'a' + self.below(26) as u8),
            })
            .collect()
    }

    fn float(&mut self, values: Values) -> f64 {
        match (values, self.below(6)) {
            (Values::Small, _) => self.below(1_000_000) as f64 / self.pick(&[1.0, 8.0, 1024.0]),
            (_, 0) => self.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324]),
            (_, 1) => self.pick(&[1e300, -1e-300, f64::MAX, 9_007_199_254_740_993.0, 0.1 + 0.2]),
            (_, 2) => f64::from_bits(self.next()),
            _ => self.below(1 << 40) as f64 / 1000.0,
        }
    }

    fn count(&mut self, values: Values) -> u64 {
        match (values, self.below(4)) {
            (Values::Small, _) => self.below(1_000_000),
            (_, 0) => self.pick(&[u64::MAX, (1 << 53) - 1, 1 << 53, (1 << 53) + 1]),
            _ => self.next() >> self.below(64),
        }
    }
}

/// The registry of a seed.
pub(crate) fn registry(seed: u64, values: Values, metrics: Metrics) -> Registry {
    let registry = Registry::with_clock(move || Duration::from_millis(1_700_000_000_000 + seed));
    record(&registry, seed, values, metrics);
    registry
}

/// Registers what the seed says, or finds it again, and records the seed's numbers once more.
pub(crate) fn record(registry: &Registry, seed: u64, values: Values, metrics: Metrics) {
    let mut random = Random(seed);
    let all = metrics == Metrics::All;
    let exemplar = Exemplar::new("4bf92f3577b34da6").unwrap().span_id("00f067aa").unwrap();
    for at in 0..=random.below(6) {
        let help = random.text();
        // Dots, a letter of two bytes, and what has to be escaped in quotes.
        let named = all && random.below(2) == 0;
        let plain = |name: String| {
            let name = if named { format!("m.é_\"{name}") } else { name };
            let opts = Opts::new(name, help.clone());
            if named { opts.utf8_names() } else { opts }
        };
        let opts = |name: String| plain(name).exemplars();
        let rows: Vec<[String; 2]> =
            (0..random.below(4)).map(|_| [random.text(), random.text()]).collect();
        let rows: Vec<[&str; 2]> = rows.iter().map(|[a, b]| [a.as_str(), b.as_str()]).collect();
        let labels = if named { ["model", "l.é\\"] } else { ["model", "l"] };
        match random.below(if all { 10 } else { 8 }) {
            0 => {
                let family = registry.counter_family(opts(format!("c{at}_total")), labels).unwrap();
                for row in rows {
                    family.with(row).add(random.count(values));
                    if random.below(2) == 0 {
                        family.with(row).add_with_exemplar(random.below(9), &exemplar);
                    }
                }
            }
            1 => {
                let name = plain(format!("f{at}_seconds_total")).unit("seconds");
                let family = registry.float_counter_family(name, labels).unwrap();
                rows.iter().for_each(|&row| family.with(row).add(random.float(values).abs()));
            }
            2 => {
                let name = plain(format!("g{at}_bytes")).unit("bytes");
                let family = registry.gauge_family(name, labels).unwrap();
                rows.iter().for_each(|&row| family.with(row).set(random.float(values)));
            }
            3 => {
                let family =
                    registry.up_down_counter_family(plain(format!("u{at}")), labels).unwrap();
                rows.iter().for_each(|&row| family.with(row).sub(random.below(1000)));
            }
            4 => {
                let labels = [("version", random.text()), ("os", random.text())];
                let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
                registry.info(plain(format!("i{at}_info")), &labels).unwrap();
            }
            5 => {
                let opts = SummaryOpts::new().quantiles([0.5, 0.9, 0.99, 1.0]);
                let name = plain(format!("q{at}"));
                let family = registry.summary_family(name, labels, &opts).unwrap();
                rows.iter().for_each(|&row| family.with(row).observe(random.below(1000) as f64));
            }
            6 => {
                let states = ["off", "starting\n", "\"ready\""];
                // Its name is a label.
                let name = Opts::new(format!("s{at}"), help.clone()).utf8_names();
                let family = registry.state_set_family(name, labels, &states).unwrap();
                for row in rows {
                    family.with(row).only(random.pick(&states)).unwrap();
                }
            }
            8 => {
                let schema = random.below(9) as i8 - 4;
                let buckets = NativeBuckets::new().schema(schema);
                let buckets = if random.below(2) == 0 { buckets.signed() } else { buckets };
                let name = opts(format!("n{at}_seconds")).unit("seconds");
                let family = registry.native_histogram_family(name, labels, &buckets).unwrap();
                for row in rows {
                    for _ in 0..random.below(30) {
                        let v = random.below(1 << 40) as f64 / 65536.0 - 100.0;
                        family.with(row).observe_n(v, random.count(values) >> 12);
                    }
                    family.with(row).observe_with_exemplar(0.5, &exemplar);
                }
            }
            9 => {
                let buckets = Buckets::new([-1000.0, -0.5, 0.0, 3.25]).unwrap();
                let name = opts(format!("d{at}"));
                let family = registry.histogram_family(name, labels, &buckets).unwrap();
                for row in rows {
                    let v = random.below(4000) as f64 - 2000.0;
                    family.with(row).observe_n(v, random.count(values) >> 12);
                    family.with(row).observe_with_exemplar(-0.5, &exemplar);
                }
            }
            _ => {
                let bounds = (0..random.below(20)).map(|_| match values {
                    Values::Any => random.float(values).abs(),
                    Values::Small => random.below(2_000_000) as f64 / 64.0,
                });
                let mut bounds: Vec<f64> =
                    bounds.filter(|bound| bound.is_finite()).map(|bound| bound + 0.0).collect();
                bounds.push(0.75);
                bounds.sort_by(f64::total_cmp);
                bounds.dedup();
                let buckets = Buckets::new(bounds).unwrap();
                let name = opts(format!("h{at}"));
                let family = registry.histogram_family(name, labels, &buckets).unwrap();
                for row in rows {
                    for _ in 0..random.below(9) {
                        let n = if values == Values::Any { random.count(values) >> 12 } else { 1 };
                        family.with(row).observe_n(random.below(2_000_000) as f64 / 64.0, n);
                    }
                    family.with(row).observe_with_exemplar(0.5, &exemplar);
                }
            }
        }
    }
}
