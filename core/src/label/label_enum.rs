//! Labels whose values are the variants of an enum, known at compile time.

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
    /// The label values, in the order of [`index`](Self::index).
    const VALUES: &'static [&'static str];

    /// Returns the index of this variant in [`VALUES`](Self::VALUES), usually `self as usize`.
    fn index(self) -> usize;
}

/// The labels of a series as a tuple of [`LabelEnum`]s.
pub trait LabelEnums<const N: usize>: Copy + 'static {
    /// The number of combinations of label values.
    const COMBINATIONS: usize;

    /// Returns the index of this combination, below [`COMBINATIONS`](Self::COMBINATIONS).
    fn index(self) -> usize;

    /// Returns the label values.
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
