//! Families whose label values are known at compile time: the series is an index, not a lookup.
//!
//! Each label is an enum; a series' place is its enums' places in mixed radix. The handles stand in one array, so
//! finding one is arithmetic and a load, on any number of threads.

use crate::family::{Family, Metric};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

/// A label whose values are the variants of an enum.
///
/// ```
/// use dynamo_metrics_core::LabelEnum;
///
/// #[derive(Clone, Copy)]
/// enum Status {
///     Success,
///     Error,
/// }
///
/// impl LabelEnum for Status {
///     const VALUES: &'static [&'static str] = &["success", "error"];
///
///     fn index(self) -> usize {
///         self as usize
///     }
/// }
/// assert_eq!(Status::VALUES[Status::Error.index()], "error");
/// assert_eq!(Status::Success.index(), 0);
/// ```
pub trait LabelEnum: Copy + 'static {
    /// The label values, by [`index`](Self::index).
    const VALUES: &'static [&'static str];

    /// The place of this variant in [`VALUES`](Self::VALUES), usually `self as usize`.
    fn index(self) -> usize;
}

/// The labels of a series, all of them enums: a tuple of [`LabelEnum`]s.
pub trait LabelEnums<const N: usize>: Copy + 'static {
    /// How many combinations there are.
    const COMBINATIONS: usize;

    /// The place of this combination among all, below [`COMBINATIONS`](Self::COMBINATIONS).
    fn index(self) -> usize;

    /// The label values.
    fn values(self) -> [&'static str; N];
}

impl<A: LabelEnum> LabelEnums<1> for (A,) {
    const COMBINATIONS: usize = A::VALUES.len();

    #[inline]
    fn index(self) -> usize {
        self.0.index()
    }

    fn values(self) -> [&'static str; 1] {
        [A::VALUES[self.0.index()]]
    }
}

impl<A: LabelEnum, B: LabelEnum> LabelEnums<2> for (A, B) {
    const COMBINATIONS: usize = A::VALUES.len() * B::VALUES.len();

    #[inline]
    fn index(self) -> usize {
        self.0.index() * B::VALUES.len() + self.1.index()
    }

    fn values(self) -> [&'static str; 2] {
        [A::VALUES[self.0.index()], B::VALUES[self.1.index()]]
    }
}

impl<A: LabelEnum, B: LabelEnum, C: LabelEnum> LabelEnums<3> for (A, B, C) {
    const COMBINATIONS: usize = A::VALUES.len() * B::VALUES.len() * C::VALUES.len();

    #[inline]
    fn index(self) -> usize {
        (self.0.index() * B::VALUES.len() + self.1.index()) * C::VALUES.len() + self.2.index()
    }

    fn values(self) -> [&'static str; 3] {
        [A::VALUES[self.0.index()], B::VALUES[self.1.index()], C::VALUES[self.2.index()]]
    }
}

/// A [`Family`] seen through enums. Made by [`Family::enumerated`]; cheap to clone.
///
/// A series appears when it is first asked for. One that is removed from the family goes on being found here,
/// unseen by scrapes, as with any handle that is kept. Labels beyond the family's cap record into its overflow series
/// and are looked up each time, so that they get a series once there is room.
pub struct EnumeratedFamily<M, const N: usize, L> {
    family: Family<M, N>,
    handles: Arc<[OnceLock<M>]>,
    /// What is lent out beyond the cap, behind a place of its own: no combination is to keep it.
    overflow: Arc<OnceLock<M>>,
    labels: PhantomData<fn(L)>,
}

impl<M: Metric, const N: usize> Family<M, N> {
    /// The same family, for label values that are known at compile time.
    ///
    /// ```
    /// # use dynamo_metrics_core::{LabelEnum, Registry};
    /// # #[derive(Clone, Copy)]
    /// # enum Status { Success, Error }
    /// # impl LabelEnum for Status {
    /// #     const VALUES: &'static [&'static str] = &["success", "error"];
    /// #     fn index(self) -> usize { self as usize }
    /// # }
    /// let registry = Registry::new();
    /// let requests = registry.counter_family(("requests_total", "Requests."), ["status"])?;
    /// let by_status = requests.enumerated::<(Status,)>();
    /// by_status.get((Status::Error,)).inc();
    /// assert_eq!(requests.with(["error"]).get(), 1);
    /// # by_status.get((Status::Success,));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn enumerated<L: LabelEnums<N>>(&self) -> EnumeratedFamily<M, N, L> {
        let handles = (0..L::COMBINATIONS).map(|_| OnceLock::new()).collect();
        EnumeratedFamily {
            family: self.clone(),
            handles,
            overflow: Arc::default(),
            labels: PhantomData,
        }
    }
}

impl<M: Metric, const N: usize, L: LabelEnums<N>> EnumeratedFamily<M, N, L> {
    /// The handle of the series with these labels. Cost: an array index, after the first time.
    ///
    /// ```
    /// # use dynamo_metrics_core::{LabelEnum, Registry};
    /// # #[derive(Clone, Copy)]
    /// # enum Status { Success, Error }
    /// # impl LabelEnum for Status {
    /// #     const VALUES: &'static [&'static str] = &["success", "error"];
    /// #     fn index(self) -> usize {
    /// #         self as usize
    /// #     }
    /// # }
    /// # let registry = Registry::new();
    /// let requests = registry.counter_family(("requests_total", "Requests."), ["status"])?;
    /// let by_status = requests.enumerated::<(Status,)>();
    /// by_status.get((Status::Success,)).add(2);
    /// assert_eq!(by_status.get((Status::Success,)).get(), 2);
    /// assert_eq!(by_status.get((Status::Error,)).get(), 0);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Panics
    /// When a [`LabelEnum::index`] is not below the number of its values, which is a defect of that enum.
    #[inline]
    pub fn get(&self, labels: L) -> &M {
        let slot = &self.handles[labels.index()];
        match slot.get() {
            Some(handle) => handle,
            None => self.look_up(slot, labels),
        }
    }

    #[cold]
    fn look_up<'a>(&'a self, slot: &'a OnceLock<M>, labels: L) -> &'a M {
        let (handle, is_overflow) = self.family.find_or_make(labels.values());
        let slot = if is_overflow { &*self.overflow } else { slot };
        slot.get_or_init(|| handle)
    }
}

impl<M, const N: usize, L> Clone for EnumeratedFamily<M, N, L> {
    fn clone(&self) -> Self {
        let (handles, overflow) = (Arc::clone(&self.handles), Arc::clone(&self.overflow));
        Self { family: self.family.clone(), handles, overflow, labels: PhantomData }
    }
}

impl<M, const N: usize, L> fmt::Debug for EnumeratedFamily<M, N, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnumeratedFamily").field("combinations", &self.handles.len()).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{Opts, Registry};

    #[derive(Clone, Copy)]
    enum Two {
        A,
        B,
    }

    impl LabelEnum for Two {
        const VALUES: &'static [&'static str] = &["a", "b"];

        fn index(self) -> usize {
            self as usize
        }
    }

    #[test]
    fn every_combination_is_its_own_series() {
        let registry = Registry::new();
        let family = registry.counter_family(("x_total", ""), ["p", "q", "r"]).unwrap();
        let by_enum = family.enumerated::<(Two, Two, Two)>();
        let mut n = 0;
        for p in [Two::A, Two::B] {
            for q in [Two::A, Two::B] {
                for r in [Two::A, Two::B] {
                    n += 1;
                    by_enum.clone().get((p, q, r)).add(n);
                    assert_eq!(family.with((p, q, r).values()).get(), n);
                }
            }
        }
        assert_eq!(family.len(), 8);
        assert_eq!(<(Two, Two) as LabelEnums<2>>::COMBINATIONS, 4);
    }

    #[test]
    fn labels_beyond_the_cap_get_their_series_once_there_is_room() {
        let registry = Registry::new();
        let opts = Opts::new("x_total", "").series_max(1);
        let family = registry.counter_family(opts, ["p"]).unwrap();
        let by_enum = family.enumerated::<(Two,)>();
        family.with(["taken"]);
        by_enum.get((Two::A,)).inc();
        by_enum.clone().get((Two::A,)).inc();
        by_enum.get((Two::B,)).inc();
        assert_eq!(family.with(["other"]).get(), 3);
        assert!(family.remove(["taken"]) && family.remove(["other"]));
        by_enum.get((Two::A,)).add(5);
        by_enum.get((Two::A,)).add(5);
        assert_eq!(family.get(["a"]).unwrap().get(), 10);
    }
}
