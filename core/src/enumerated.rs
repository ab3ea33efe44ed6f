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
/// It finds what the family finds, at any time: a series appears when it is first asked for, one that was removed is made anew,
/// and labels beyond the family's cap record into its overflow series until there is room.
///
/// Cost of a visit: an array index and a load, as long as the family has not removed a series since this view was made. From its
/// first removal on a visit costs what [`Family::visit`] costs, because a handle that was kept could be that of a removed
/// series; a new view is fast again.
pub struct EnumeratedFamily<M, const N: usize, L> {
    family: Family<M, N>,
    /// The family's key when the view was made. While it is the same, no series was removed.
    key: u64,
    handles: Arc<[OnceLock<M>]>,
    labels: PhantomData<fn(L)>,
}

impl<M: Metric, const N: usize> Family<M, N> {
    /// Returns the same family, for label values that are known at compile time.
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
    /// by_status.visit((Status::Error,), |requests| requests.inc());
    /// assert_eq!(requests.with(["error"]).get(), 1);
    /// # by_status.with((Status::Success,));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    pub fn enumerated<L: LabelEnums<N>>(&self) -> EnumeratedFamily<M, N, L> {
        let handles = (0..L::COMBINATIONS).map(|_| OnceLock::new()).collect();
        EnumeratedFamily { family: self.clone(), key: self.key(), handles, labels: PhantomData }
    }
}

impl<M: Metric, const N: usize, L: LabelEnums<N>> EnumeratedFamily<M, N, L> {
    /// Calls `record` with the handle of the series with these labels, and returns its result. The handle is lent for the
    /// call only, so it is never that of a series that was removed before.
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
    /// by_status.visit((Status::Success,), |requests| requests.add(2));
    /// requests.clear();
    /// by_status.visit((Status::Success,), |requests| requests.inc());
    /// assert_eq!(requests.with(["success"]).get(), 1);
    /// assert_eq!(by_status.visit((Status::Error,), |requests| requests.get()), 0);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Panics
    /// When a [`LabelEnum::index`] is not below the number of its values, which is a defect of that enum.
    #[inline]
    pub fn visit<R>(&self, labels: L, record: impl FnOnce(&M) -> R) -> R {
        match self.handles[labels.index()].get() {
            // A visit that races with a removal may come before it, as in `Family::visit`.
            Some(handle) if self.family.key() == self.key => record(handle),
            _ => self.look_up(labels, record),
        }
    }

    /// Returns the handle of the series with these labels, as [`Family::with`] does: to be kept where series are not removed.
    ///
    /// ```
    /// # use dynamo_metrics_core::{LabelEnum, Registry};
    /// # #[derive(Clone, Copy)]
    /// # enum Status { Success }
    /// # impl LabelEnum for Status {
    /// #     const VALUES: &'static [&'static str] = &["success"];
    /// #     fn index(self) -> usize {
    /// #         self as usize
    /// #     }
    /// # }
    /// # let registry = Registry::new();
    /// let requests = registry.counter_family(("requests_total", "Requests."), ["status"])?;
    /// let success = requests.enumerated::<(Status,)>().with((Status::Success,));
    /// success.inc();
    /// assert_eq!(requests.with(["success"]).get(), 1);
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Panics
    /// As [`visit`](Self::visit).
    pub fn with(&self, labels: L) -> M {
        self.visit(labels, M::clone)
    }

    #[cold]
    fn look_up<R>(&self, labels: L, record: impl FnOnce(&M) -> R) -> R {
        if self.family.key() != self.key {
            return self.family.visit(labels.values(), record);
        }
        let (handle, is_overflow) = self.family.find_or_make(labels.values());
        if is_overflow {
            // Not kept, so that the labels get a series of their own once there is room.
            return record(&handle);
        }
        // A removal in between changes the key, so a handle that is out of date by now is not found.
        record(self.handles[labels.index()].get_or_init(|| handle))
    }
}

impl<M, const N: usize, L> Clone for EnumeratedFamily<M, N, L> {
    fn clone(&self) -> Self {
        let (family, handles) = (self.family.clone(), Arc::clone(&self.handles));
        Self { family, key: self.key, handles, labels: PhantomData }
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
    use crate::{Counter, Opts, Registry};

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
                    by_enum.clone().visit((p, q, r), |counter| counter.add(n));
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
        by_enum.visit((Two::A,), Counter::inc);
        by_enum.clone().visit((Two::A,), Counter::inc);
        by_enum.visit((Two::B,), Counter::inc);
        assert_eq!(family.with(["other"]).get(), 3);
        assert!(family.remove(["taken"]) && family.remove(["other"]));
        by_enum.visit((Two::A,), |counter| counter.add(5));
        by_enum.visit((Two::A,), |counter| counter.add(5));
        assert_eq!(family.get(["a"]).unwrap().get(), 10);
    }

    #[test]
    fn increments_after_a_removal_are_on_the_page() {
        let registry = Registry::new();
        let opts = Opts::new("x_total", "").series_max(2);
        let family = registry.counter_family(opts, ["p"]).unwrap();
        let by_enum = family.enumerated::<(Two,)>();
        for round in 1..=3 {
            // The first two rounds leave no room for `b`, which is the overflow series' then.
            let filler = ["x", "y", "z"][round - 1];
            family.with([filler]);
            for two in [Two::A, Two::B] {
                by_enum.visit((two,), |counter| counter.add(7));
                by_enum.with((two,)).inc();
            }
            let total: u64 =
                ["a", "b", "other"].iter().filter_map(|p| family.get([p])).map(|c| c.get()).sum();
            assert_eq!(total, 16, "round {round}: each increment is on the page");
            match round {
                1 => family.clear(),
                2 => assert!(
                    family.remove(["other"]) && family.remove(["a"]) && family.remove([filler])
                ),
                _ => {}
            }
        }
    }
}
