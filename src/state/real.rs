//! What an element of an array offers.

use std::{fmt::Debug, ops};

use ndarray::Array;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
    #[cfg(feature = "half")]
    impl Sealed for half::f16 {}
    #[cfg(feature = "half")]
    impl Sealed for half::bf16 {}
}

/// The element types of arrays: `f32` and `f64`, and with the feature `half` its `f16` and `bf16`.
///
/// Half precision is for keeping: sums are taken in `f32` and rounded once.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Send
    + Sync
    + ops::Add<Output = Self>
    + ops::Mul<Output = Self>
    + sealed::Sealed
    + 'static
{
    /// What sums are taken in: `f64` for `f64`, `f32` for all others.
    type Wide: Wide;

    /// The nearest value of this type.
    fn of(value: f64) -> Self;

    /// The same value as an f64.
    fn get(self) -> f64;

    /// The same value in the type of sums.
    fn widen(self) -> Self::Wide;

    /// The nearest value of this type.
    fn narrow(value: Self::Wide) -> Self;

    /// Whether it is no NaN and not infinite.
    #[doc(hidden)]
    fn is_number(self) -> bool;

    /// Whether all of them are numbers.
    #[doc(hidden)]
    fn all_finite(values: &[Self]) -> bool;

    /// `y <- own * y + sum of c * t`, and noise if there is any; `own = 0` overwrites. `true` where the
    /// old `y` held only finite numbers, or is not watched.
    #[doc(hidden)]
    fn combine(
        y: &mut [Self],
        own: f64,
        terms: &[(f64, &[Self])],
        noise: Option<(f64, &[Self::Wide])>,
        watched: bool,
    ) -> bool;

    /// The values in the type of sums, in a place of the same length.
    #[doc(hidden)]
    fn widen_all(from: &[Self], to: &mut [Self::Wide]);

    /// The nearest values of this type, in a place of the same length.
    #[doc(hidden)]
    fn narrow_all(from: &[Self::Wide], to: &mut [Self]);

    /// The array itself where the type of sums is this one.
    #[doc(hidden)]
    fn into_wide<D>(x: Array<Self, D>) -> Result<Array<Self::Wide, D>, Array<Self, D>>;

    /// Likewise.
    #[doc(hidden)]
    fn of_wide<D>(x: Array<Self::Wide, D>) -> Result<Array<Self, D>, Array<Self::Wide, D>>;

    /// Likewise.
    #[doc(hidden)]
    fn of_wide_ref<D>(x: &Array<Self::Wide, D>) -> Option<&Array<Self, D>>;

    /// Likewise.
    #[doc(hidden)]
    fn of_wide_mut<D>(x: &mut Array<Self::Wide, D>) -> Option<&mut Array<Self, D>>;
}

/// What sums of [`Real`]s are taken in: `f32` or `f64`.
pub trait Wide: Real<Wide = Self> {
    /// Whether a number takes two words for its precision.
    #[doc(hidden)]
    const IS_DOUBLE: bool;

    /// The words of a radius, the high one first, as a mantissa less 1 and an exponent.
    #[doc(hidden)]
    fn reduced(radius: [u32; 2]) -> (Self, Self);

    /// Two standard normals from these and the words of an angle.
    #[doc(hidden)]
    fn normal_pair(reduced: (Self, Self), angle: [u32; 2]) -> (Self, Self);
}
