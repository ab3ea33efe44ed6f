//! Families whose label values are known at compile time: a series is found by an index, without a lookup.
//!
//! Each label is an enum, and the index of a series is computed from the indices of its enums. All handles are in one array,
//! so finding one is arithmetic and a load, on any number of threads.

use super::Family;
use crate::handle::Metric;
use crate::label::LabelEnums;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

/// A view of a [`Family`] whose labels are enums, returned by [`Family::enumerated`]. Cheap to clone.
///
/// It always finds the same series as the family: the first visit creates a series, a removed one is created again, and labels
/// beyond the family's limit record into its overflow series until there is room.
///
/// Cost of a visit: an array index and a load, as long as the family has removed no series since this view was created. From
/// the first removal on, a visit costs as much as [`Family::visit`], because a stored handle could be that of a removed series;
/// a new view is fast again.
pub struct EnumeratedFamily<M, const N: usize, L> {
    family: Family<M, N>,
    /// The family's key when the view was created. While it is the same, no series was removed.
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
    /// Calls `record` with the handle of the series with these labels, and returns its result. The handle is borrowed for
    /// the call only, so it is never that of a series that was removed before.
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
    /// When a [`LabelEnum::index`](crate::LabelEnum::index) is not below the number of its values, which is a defect of that enum.
    #[inline]
    pub fn visit<R>(&self, labels: L, record: impl FnOnce(&M) -> R) -> R {
        match self.handles[labels.index()].get() {
            // A visit that races with a removal may come before it, as in `Family::visit`.
            Some(handle) if self.family.key() == self.key => record(handle),
            _ => self.look_up(labels, record),
        }
    }

    /// Returns the handle of the series with these labels, as [`Family::with`] does. Keep it only if series are not removed.
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
    /// The panics of [`visit`](Self::visit).
    pub fn with(&self, labels: L) -> M {
        self.visit(labels, M::clone)
    }

    /// Returns the handle of the series with these labels if it exists, as [`Family::get`] does. Unlike
    /// [`with`](Self::with), it creates no series.
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
    /// let by_status = requests.enumerated::<(Status,)>();
    /// assert!(by_status.get((Status::Success,)).is_none());
    /// by_status.with((Status::Success,)).add(2);
    /// assert_eq!(by_status.get((Status::Success,)).map(|requests| requests.get()), Some(2));
    /// # Ok::<(), dynamo_metrics_core::RegisterError>(())
    /// ```
    ///
    /// # Panics
    /// The panics of [`visit`](Self::visit).
    pub fn get(&self, labels: L) -> Option<M> {
        self.family.get(labels.values())
    }

    #[cold]
    fn look_up<R>(&self, labels: L, record: impl FnOnce(&M) -> R) -> R {
        if self.family.key() != self.key {
            return self.family.visit(labels.values(), record);
        }
        let (handle, is_overflow) = self.family.find_or_make(labels.values());
        if is_overflow {
            // Not stored, so that the labels get a series of their own when there is room.
            return record(&handle);
        }
        // A removal in between changes the key, so a handle of a removed series is not found here.
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
    use crate::{Counter, LabelEnum, Opts, Registry};

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
    fn labels_beyond_the_limit_get_a_series_when_there_is_room() {
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
    fn increments_after_a_removal_are_in_the_next_scrape() {
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
