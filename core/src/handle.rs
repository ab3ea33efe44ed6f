//! Handles of any kind: the trait that families are generic over, and the enum that the lookup cache stores.
//!
//! A new kind of metric is added to the list at the end.

use crate::descriptor::Kind;
use crate::kinds::{
    Counter, DualHistogram, FloatCounter, Gauge, Histogram, Info, IntegerHistogram,
    NativeHistogram, StateSet, Summary, UpDownCounter,
};
use crate::series::SeriesRef;

mod sealed {
    pub trait Sealed {}
}

/// A kind of metric that a [`Family`](crate::Family) can hold: a handle to one series.
pub trait Metric: Clone + Send + Sync + sealed::Sealed + 'static {
    #[doc(hidden)]
    const KIND: Kind;
    #[doc(hidden)]
    fn bind(series: SeriesRef) -> Self;
    #[doc(hidden)]
    fn series(&self) -> &SeriesRef;
    #[doc(hidden)]
    fn into_any(self) -> AnyHandle;
    #[doc(hidden)]
    fn from_any(any: &AnyHandle) -> Option<&Self>;
}

/// Declares [`AnyHandle`] and implements [`Metric`] for each kind of handle, with its [`Kind`].
macro_rules! metrics {
    ($($handle:ident: $kind:ident),* $(,)?) => {
        /// A handle of any kind of metric.
        #[doc(hidden)]
        #[derive(Clone, Debug)]
        pub enum AnyHandle {
            $($handle($handle),)*
        }

        $(
            impl sealed::Sealed for $handle {}

            impl Metric for $handle {
                const KIND: Kind = Kind::$kind;

                fn bind(series: SeriesRef) -> Self {
                    // The handle's own function, which comes before the trait's of the same name.
                    $handle::bind(series)
                }

                #[inline]
                fn series(&self) -> &SeriesRef {
                    &self.series
                }

                fn into_any(self) -> AnyHandle {
                    AnyHandle::$handle(self)
                }

                #[inline]
                fn from_any(any: &AnyHandle) -> Option<&Self> {
                    match any {
                        AnyHandle::$handle(handle) => Some(handle),
                        _ => None,
                    }
                }
            }
        )*
    };
}

metrics!(
    Counter: Counter,
    FloatCounter: FloatCounter,
    Gauge: Gauge,
    UpDownCounter: UpDownCounter,
    Histogram: Histogram,
    NativeHistogram: NativeHistogram,
    Summary: Summary,
    Info: Info,
    StateSet: StateSet,
    DualHistogram: Histogram,
    IntegerHistogram: Histogram,
);
