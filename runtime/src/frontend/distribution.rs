//! Histograms of the frontend: of integers, so that their sums are exact, or with native buckets beside the classic ones.

use dynamo_metrics_core::error::BucketsError;
use dynamo_metrics_core::{
    Buckets, Counter, DualHistogram, Exemplar, Family, Histogram, IntegerHistogram, NativeBuckets,
    Opts, RegisterError, Registry, Scale,
};

/// The values of a histogram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    /// The unit of recording.
    pub(super) scale: Scale,
    /// The range of native buckets, in the unit that is shown.
    pub(super) native: (f64, f64),
}

/// A histogram of one model.
#[derive(Clone, Debug)]
pub(super) enum Distribution {
    Integer(IntegerHistogram),
    /// With bounds that are less than a unit of recording apart.
    Float(Histogram, Scale),
    Dual(DualHistogram, Scale),
}

impl Distribution {
    /// Observes a number of units.
    #[inline]
    pub(super) fn observe(&self, units: u64) {
        self.observe_split(units, 1);
    }

    /// Observes `n` values, at least one, that share `total` units evenly.
    #[inline]
    pub(super) fn observe_split(&self, total: u64, n: u64) {
        match self {
            Self::Integer(histogram) => histogram.observe_split(total, n),
            Self::Float(histogram, scale) => histogram.observe_n(scale.fraction(total, n), n),
            Self::Dual(histogram, scale) => histogram.observe_n(scale.fraction(total, n), n),
        }
    }

    /// Observes `n` values, at least one, that share `total` units evenly, and adds `n` to `counter`.
    #[inline(always)]
    pub(super) fn observe_split_and_count(&self, total: u64, n: u64, counter: &Counter) {
        if let Self::Integer(histogram) = self {
            histogram.observe_split_and_count(total, n, counter);
        } else {
            counter.add(n);
            self.observe_split(total, n);
        }
    }

    /// Observes a number of units, and keeps its trace if there is one.
    pub(super) fn observe_traced(&self, units: u64, trace: Option<&Exemplar>) {
        let Some(trace) = trace else { return self.observe(units) };
        match self {
            Self::Integer(histogram) => histogram.observe_with_exemplar(units, trace),
            Self::Float(histogram, scale) => {
                histogram.observe_with_exemplar(scale.to_f64(units), trace);
            }
            Self::Dual(histogram, scale) => {
                histogram.observe_with_exemplar(scale.to_f64(units), trace);
            }
        }
    }
}

/// The histograms of all models.
#[derive(Debug)]
pub(super) enum Distributions {
    Integer(Family<IntegerHistogram, 1>),
    Float(Family<Histogram, 1>, Scale),
    Dual(Family<DualHistogram, 1>, Scale),
}

impl Distributions {
    /// Registers them; with native buckets of 9 % each if `native`.
    pub(super) fn new(
        registry: &Registry,
        opts: Opts,
        label: &str,
        buckets: &Buckets,
        values: Values,
        native: bool,
    ) -> Result<Self, RegisterError> {
        let scale = values.scale;
        if native {
            let (min, max) = values.native;
            let native = NativeBuckets::new().range(min, max);
            let family = registry.dual_histogram_family(opts, [label], buckets, &native)?;
            return Ok(Self::Dual(family, scale));
        }
        match registry.integer_histogram_family(opts.clone(), [label], buckets, scale) {
            Ok(family) => Ok(Self::Integer(family)),
            // The operator's bounds hold, and the sum is then as exact as a float's.
            Err(RegisterError::Buckets { source: BucketsError::NotInteger { .. }, .. }) => {
                Ok(Self::Float(registry.histogram_family(opts, [label], buckets)?, scale))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn with(&self, model: [&str; 1]) -> Distribution {
        match self {
            Self::Integer(family) => Distribution::Integer(family.with(model)),
            Self::Float(family, scale) => Distribution::Float(family.with(model), *scale),
            Self::Dual(family, scale) => Distribution::Dual(family.with(model), *scale),
        }
    }

    pub(super) fn remove(&self, model: [&str; 1]) -> bool {
        match self {
            Self::Integer(family) => family.remove(model),
            Self::Float(family, _) => family.remove(model),
            Self::Dual(family, _) => family.remove(model),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_finer_than_a_unit_are_kept_as_they_are() {
        let registry = Registry::new();
        let values = Values { scale: Scale::One, native: (1.0, 2.0) };
        let buckets = Buckets::new([1.0, 1.5, 2.0]).unwrap();
        let opts = Opts::new("tokens", "");
        let family =
            Distributions::new(&registry, opts.clone(), "model", &buckets, values, false).unwrap();
        let Distribution::Float(histogram, _) = family.with(["m"]) else { panic!("{family:?}") };
        family.with(["m"]).observe_split(5, 3);
        assert_eq!(histogram.get().counts, [0, 0, 3, 0]);
        let coarse = Buckets::new([1.0, 2.0]).unwrap();
        let family = Distributions::new(&Registry::new(), opts, "model", &coarse, values, false);
        assert!(matches!(family, Ok(Distributions::Integer(_))));
    }
}
