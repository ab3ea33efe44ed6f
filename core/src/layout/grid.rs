//! The exponential grid of native histograms, and the O(1) lookup of a value's cell.
//!
//! At schema `n` bucket `i` holds `base^(i-1) < |v| <= base^i` with `base = 2^(2^-n)`. A [`Grid`] is a window of whole
//! octaves, numbered from its lower edge: cell 0 holds all values up to the edge, cell `c` is the `c`-th bucket above it,
//! and cell `width + 1` holds all values above the window.
//!
//! ```text
//! octave   = exponent bits above the edge
//! key      = top n + 1 bits of the mantissa        no two bounds of an octave share a key
//! sub      = first[key] + (mantissa > bound[key])  one comparison, at any schema
//! cell     = octave * 2^n + sub                    (schema below 0: rounded up to a multiple of 2^-n octaves)
//! ```
//!
//! The bounds equal those of the receivers to the last bit: Prometheus and client_golang compute them by a recurrence
//! (`nativeHistogramBounds` in prometheus/client_golang), whose results differ from the powers of two by up to four units
//! in the last place. So a value that equals a bound is in the same bucket here as there.

use std::sync::OnceLock;

/// Coarsest resolution of the format: a bucket spans 16 octaves.
pub(crate) const SCHEMA_MIN: i8 = -4;
/// Finest resolution of the format: 256 buckets an octave.
pub(crate) const SCHEMA_MAX: i8 = 8;
/// The exponent above every finite value.
const EXPONENT_END: i32 = 1024;
const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
const MANTISSA: u64 = (1 << MANTISSA_BITS) - 1;
const EXPONENT_BIAS: i32 = 1023;

/// The first bound above one half, for schemas 1 to 8: the seeds of the recurrence.
const SEEDS: [f64; SCHEMA_MAX as usize] = [
    0.7071067811865475,
    0.5946035575013605,
    0.5452538663326288,
    0.5221368912137069,
    0.5109485743270583,
    0.5054446430258502,
    0.5027149505564014,
    0.5013556375251013,
];

/// One key of the lookup table of a schema.
#[derive(Debug)]
pub(crate) struct Key {
    /// Mantissa bits of the bound with the number `first`.
    bound: u64,
    /// The number of the first bound that a value with this key can belong to.
    first: u64,
}

/// The bounds of one octave at one schema, as mantissa bits, from the octave's start (0) to its end.
#[derive(Debug)]
struct Octave {
    bounds: Box<[u64]>,
    keys: Box<[Key]>,
}

static OCTAVES: [OnceLock<Octave>; SCHEMA_MAX as usize + 1] =
    [const { OnceLock::new() }; SCHEMA_MAX as usize + 1];

/// A window of the grid.
#[derive(Debug)]
pub(crate) struct Grid {
    pub(crate) schema: i8,
    /// Exponent of the lower edge; the edge is a bound at this schema.
    pub(crate) floor: i32,
    /// Exponent of the upper edge.
    pub(crate) ceiling: i32,
    /// Buckets in the window.
    pub(crate) width: u32,
    /// Bits of the lower edge.
    edge: u64,
    /// Bounds an octave, as a power of two.
    fine: u32,
    /// Octaves a bucket, as a power of two.
    coarse: u32,
    keys: &'static [Key],
    bounds: &'static [u64],
}

impl Grid {
    /// Returns the smallest window of whole octaves (at negative schemas, of whole buckets) that holds `min..=max`.
    /// `schema` is in `SCHEMA_MIN..=SCHEMA_MAX`, `min` at least 2^-1008 and below `max`, both finite.
    pub(crate) fn new(schema: i8, min: f64, max: f64) -> Self {
        let fine: u32 = schema.max(0).unsigned_abs().into();
        let coarse: u32 = schema.min(0).unsigned_abs().into();
        let exponent = |v: f64| (v.to_bits() >> MANTISSA_BITS) as i32 - EXPONENT_BIAS;
        let above = exponent(max) + i32::from(max.to_bits() & MANTISSA != 0);
        let floor = (exponent(min) >> coarse) << coarse;
        let ceiling = ((above + (1 << coarse) - 1) >> coarse) << coarse;
        Self {
            schema,
            floor,
            ceiling,
            width: (((ceiling - floor) << fine) >> coarse).unsigned_abs(),
            edge: u64::from((floor + EXPONENT_BIAS).unsigned_abs()) << MANTISSA_BITS,
            fine,
            coarse,
            keys: &octave(fine).keys,
            bounds: &octave(fine).bounds,
        }
    }

    /// Returns the cell of a finite magnitude, given by its bits. Cost: one table load and one comparison.
    #[inline(always)]
    pub(crate) fn cell(&self, bits: u64) -> usize {
        // The edge is a power of two, so the mantissa is not changed by the subtraction.
        let above = bits.saturating_sub(self.edge);
        let mantissa = above & MANTISSA;
        let key = (mantissa >> (MANTISSA_BITS - 1 - self.fine)) as usize;
        let sub = self.keys.get(key).map_or(0, |k| k.first + u64::from(mantissa > k.bound));
        let fine = ((above >> MANTISSA_BITS) << self.fine) + sub;
        let cell = (fine + (1 << self.coarse) - 1) >> self.coarse;
        cell.min(u64::from(self.width) + 1) as usize
    }

    /// Returns the inclusive upper bound of a cell in `0..=width`; infinite in place of 2^1024.
    pub(crate) fn bound(&self, cell: usize) -> f64 {
        let fine = (cell as u64) << self.coarse;
        let sub = self.bounds[(fine & ((1 << self.fine) - 1)) as usize];
        f64::from_bits(self.edge + ((fine >> self.fine) << MANTISSA_BITS) + sub)
    }

    /// Returns the native index of the lower edge, the upper bound of cell 0.
    pub(crate) fn edge_index(&self) -> i32 {
        (self.floor << self.fine) >> self.coarse
    }
}

/// Returns the native index of the bucket above that of `f64::MAX`, in which receivers expect infinities.
pub(crate) fn overflow_index(schema: i8) -> i32 {
    let end = if schema < 0 { EXPONENT_END >> -schema } else { EXPONENT_END << schema };
    end + 1
}

/// Returns the coarsest schema whose buckets grow by at most `factor`, which is above 1; the finest schema if none does. As
/// client_golang's `pickSchema`.
pub(crate) fn schema_of_factor(factor: f64) -> i8 {
    let schema = -factor.log2().log2().floor();
    schema.clamp(SCHEMA_MIN.into(), SCHEMA_MAX.into()) as i8
}

fn octave(schema: u32) -> &'static Octave {
    OCTAVES[schema as usize].get_or_init(|| {
        let halves = fractions(schema as usize);
        // A fraction in [0.5, 1) has the mantissa of the bound in [1, 2).
        let mut bounds: Vec<u64> = halves.iter().map(|half| half.to_bits() & MANTISSA).collect();
        bounds.push(1 << MANTISSA_BITS);
        let shift = MANTISSA_BITS - 1 - schema;
        let keys = (0..2u64 << schema).map(|key| {
            let first = bounds.partition_point(|&bound| bound < key << shift);
            Key { bound: bounds[first], first: first as u64 }
        });
        Octave { keys: keys.collect(), bounds: bounds.into() }
    })
}

/// Returns the bounds in [0.5, 1) by the recurrence of client_golang.
fn fractions(schema: usize) -> Vec<f64> {
    let Some(coarser) = schema.checked_sub(1) else { return vec![0.5] };
    let factor = SEEDS[coarser] * 2.0;
    fractions(coarser).into_iter().flat_map(|bound| [bound, bound * factor]).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// FNV-1a over the bits of the 256 numbers that client_golang lists for schema 8 in `nativeHistogramBounds`.
    const SCHEMA_8_HASH: u64 = 0x6e49_0708_4012_aac2;

    #[test]
    fn bounds_equal_those_of_client_golang_to_the_last_bit() {
        assert_eq!(
            fractions(3),
            [
                0.5,
                0.5452538663326288,
                0.5946035575013605,
                0.6484197773255048,
                0.7071067811865475,
                0.7711054127039704,
                0.8408964152537144,
                0.9170040432046711
            ]
        );
        let bytes = fractions(8).into_iter().flat_map(|bound| bound.to_bits().to_le_bytes());
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        assert_eq!(hash, SCHEMA_8_HASH);
    }

    #[test]
    fn bounds_are_powers_within_four_units_in_the_last_place() {
        for schema in 0..=8 {
            let all = fractions(schema);
            assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
            for (at, bound) in all.iter().enumerate() {
                let exact = (at as f64 / all.len() as f64 - 1.0).exp2();
                assert!(exact.to_bits().abs_diff(bound.to_bits()) <= 4, "{schema} {at}");
            }
        }
    }

    fn naive(grid: &Grid, v: f64) -> usize {
        (0..=grid.width as usize)
            .position(|cell| v <= grid.bound(cell))
            .unwrap_or(grid.width as usize + 1)
    }

    #[test]
    fn every_bound_and_its_neighbours_get_the_cell_that_a_scan_finds() {
        for schema in SCHEMA_MIN..=SCHEMA_MAX {
            for (min, max) in
                [(0.75, 5.0), (2f64.powi(-3), 2.0), (1e-300, 1e-298), (1e306, f64::MAX)]
            {
                let grid = Grid::new(schema, min, max);
                assert!(grid.bound(0) <= min && grid.bound(grid.width as usize) >= max);
                let mut last = 0.0;
                for cell in 0..=grid.width as usize {
                    let bound = grid.bound(cell);
                    assert!(bound > last);
                    last = bound;
                    for v in [bound.next_down(), bound, bound.next_up()] {
                        if v.is_finite() {
                            assert_eq!(grid.cell(v.to_bits()), naive(&grid, v), "{schema} {v:e}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn indices_equal_those_of_the_format() {
        let grid = Grid::new(3, 2f64.powi(-32), 2f64.powi(32));
        // Bucket 0 ends at 1, bucket 1 at 2^(1/8).
        assert_eq!(grid.edge_index(), -256);
        assert_eq!(grid.cell(1f64.to_bits()), 256);
        assert_eq!(grid.cell(1f64.next_up().to_bits()), 257);
        assert_eq!(grid.cell(0), 0);
        assert_eq!(overflow_index(8), 262_145);
        assert_eq!(overflow_index(0), 1025);
        assert_eq!(overflow_index(-4), 65);
    }

    #[test]
    fn factors_pick_the_schemas_of_client_golang() {
        let cases = [
            (1.1, 3),
            (1.05, 4),
            (1.01, 7),
            (1.000_1, 8),
            (1.5, 1),
            (2.0, 0),
            (4.0, -1),
            (1e9, -4),
        ];
        for (factor, schema) in cases {
            assert_eq!(schema_of_factor(factor), schema, "{factor}");
        }
    }

    proptest! {
        #[test]
        fn any_value_gets_the_cell_that_a_scan_finds(
            schema in SCHEMA_MIN..=SCHEMA_MAX, exponent in -8..8i32, fraction in 1.0..2.0f64
        ) {
            let grid = Grid::new(schema, 2f64.powi(-6), 2f64.powi(5));
            let v = fraction * 2f64.powi(exponent);
            prop_assert_eq!(grid.cell(v.to_bits()), naive(&grid, v));
        }
    }
}
