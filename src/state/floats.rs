//! The element types of arrays.

use ndarray::Array;

use super::{Real, Wide, box_muller, kernel};

macro_rules! wide {
    ($real:ident, $exponent:literal) => {
        impl Real for $real {
            type Wide = Self;

            #[inline(always)]
            fn of(value: f64) -> Self {
                value as Self
            }

            #[inline(always)]
            fn get(self) -> f64 {
                f64::from(self)
            }

            #[inline(always)]
            fn widen(self) -> Self {
                self
            }

            #[inline(always)]
            fn narrow(value: Self) -> Self {
                value
            }

            #[inline(always)]
            fn is_number(self) -> bool {
                self.to_bits() & $exponent != $exponent
            }

            fn all_finite(values: &[Self]) -> bool {
                kernel::all_finite(values)
            }

            fn combine(
                y: &mut [Self],
                own: f64,
                terms: &[(f64, &[Self])],
                noise: Option<(f64, &[Self])>,
                watched: bool,
            ) -> bool {
                kernel::combine(y, own, terms, noise, watched)
            }

            fn widen_all(from: &[Self], to: &mut [Self]) {
                to.copy_from_slice(from);
            }

            fn narrow_all(from: &[Self], to: &mut [Self]) {
                to.copy_from_slice(from);
            }

            fn into_wide<D>(x: Array<Self, D>) -> Result<Array<Self, D>, Array<Self, D>> {
                Ok(x)
            }

            fn of_wide<D>(x: Array<Self, D>) -> Result<Array<Self, D>, Array<Self, D>> {
                Ok(x)
            }

            fn of_wide_ref<D>(x: &Array<Self, D>) -> Option<&Array<Self, D>> {
                Some(x)
            }

            fn of_wide_mut<D>(x: &mut Array<Self, D>) -> Option<&mut Array<Self, D>> {
                Some(x)
            }
        }
    };
}

wide!(f32, 0x7f80_0000);
wide!(f64, 0x7ff0_0000_0000_0000);

impl Wide for f32 {
    const IS_DOUBLE: bool = false;

    #[inline(always)]
    fn reduced(radius: [u32; 2]) -> (Self, Self) {
        box_muller::reduced_f32(radius[0])
    }

    #[inline(always)]
    fn normal_pair(reduced: (Self, Self), angle: [u32; 2]) -> (Self, Self) {
        box_muller::pair_f32(reduced, angle[0])
    }
}

impl Wide for f64 {
    const IS_DOUBLE: bool = true;

    #[inline(always)]
    fn reduced(radius: [u32; 2]) -> (Self, Self) {
        box_muller::reduced_f64(radius)
    }

    #[inline(always)]
    fn normal_pair(reduced: (Self, Self), angle: [u32; 2]) -> (Self, Self) {
        box_muller::pair_f64(reduced, angle)
    }
}

/// Rounded to an odd last bit where it is rounded at all: rounding once more is then as good as rounding
/// once. (`half` drops the low bits of an f64 and may round the rest to the wrong side.)
#[cfg(feature = "half")]
fn to_odd(value: f64) -> f32 {
    let near = value as f32;
    let exact = f64::from(near);
    if exact == value || value.is_nan() {
        return near;
    }
    let toward_zero = near.to_bits() - u32::from(exact.abs() > value.abs());
    f32::from_bits(toward_zero | 1)
}

#[cfg(feature = "half")]
macro_rules! half {
    ($real:ident, $exponent:literal) => {
        impl Real for half::$real {
            type Wide = f32;

            fn of(value: f64) -> Self {
                Self::from_f32(to_odd(value))
            }

            fn get(self) -> f64 {
                self.to_f64()
            }

            fn widen(self) -> f32 {
                self.to_f32()
            }

            fn narrow(value: f32) -> Self {
                Self::from_f32(value)
            }

            #[inline(always)]
            fn is_number(self) -> bool {
                self.to_bits() & $exponent != $exponent
            }

            fn all_finite(values: &[Self]) -> bool {
                kernel::all_finite(values)
            }

            fn combine(
                y: &mut [Self],
                own: f64,
                terms: &[(f64, &[Self])],
                noise: Option<(f64, &[f32])>,
                watched: bool,
            ) -> bool {
                use half::slice::HalfFloatSliceExt;
                kernel::combine_widened(
                    y,
                    own,
                    terms,
                    noise,
                    |from, to| from.convert_to_f32_slice(to),
                    |from, to| to.convert_from_f32_slice(from),
                    watched,
                )
            }

            fn widen_all(from: &[Self], to: &mut [f32]) {
                half::slice::HalfFloatSliceExt::convert_to_f32_slice(from, to);
            }

            fn narrow_all(from: &[f32], to: &mut [Self]) {
                half::slice::HalfFloatSliceExt::convert_from_f32_slice(to, from);
            }

            fn into_wide<D>(x: Array<Self, D>) -> Result<Array<f32, D>, Array<Self, D>> {
                Err(x)
            }

            fn of_wide<D>(x: Array<f32, D>) -> Result<Array<Self, D>, Array<f32, D>> {
                Err(x)
            }

            fn of_wide_ref<D>(_: &Array<f32, D>) -> Option<&Array<Self, D>> {
                None
            }

            fn of_wide_mut<D>(_: &mut Array<f32, D>) -> Option<&mut Array<Self, D>> {
                None
            }
        }
    };
}

#[cfg(feature = "half")]
half!(f16, 0x7c00);
#[cfg(feature = "half")]
half!(bf16, 0x7f80);
