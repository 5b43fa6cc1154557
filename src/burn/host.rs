//! Tensors of the backend Flex, as slices for the kernel of this crate.

use burn_flex::{Flex, FlexTensor};
use burn_tensor::{DType, Tensor};
use smallvec::SmallVec;

use crate::{
    Error,
    state::{Assignment, NoiseBlocks, Real, Slices, is_watched, not_numbers, sweep_slices},
};

/// Runs what is generic over the element type with that of a tensor.
macro_rules! with_type {
    ($dtype:expr, $A:ident => $body:expr) => {
        match $dtype {
            burn_tensor::DType::F32 => {
                type $A = f32;
                Some($body)
            }
            burn_tensor::DType::F64 => {
                type $A = f64;
                Some($body)
            }
            burn_tensor::DType::F16 => {
                type $A = half::f16;
                Some($body)
            }
            burn_tensor::DType::BF16 => {
                type $A = half::bf16;
                Some($body)
            }
            _ => None,
        }
    };
}

pub(super) use with_type;

/// The tensor of the backend, which shares its memory, if it is of Flex and without autodiff.
pub(super) fn flex<const D: usize>(x: &Tensor<D>) -> Option<FlexTensor> {
    x.clone().try_into_primitive::<Flex>().ok()
}

/// Those of all of these, with their elements in order from the start of their memory.
pub(super) fn all_flex<'a, const D: usize>(
    tensors: impl IntoIterator<Item = &'a Tensor<D>>,
) -> Option<SmallVec<[FlexTensor; 8]>> {
    let tensors = tensors.into_iter();
    tensors.map(|x| flex(x).map(in_order)).collect()
}

fn in_order(x: FlexTensor) -> FlexTensor {
    let whole = x.layout().num_elements() * x.dtype().size() == x.bytes().len();
    match x.is_contiguous() && x.layout().start_offset() == 0 && whole {
        true => x,
        false => x.to_contiguous(),
    }
}

/// Takes the tensor of the backend out of its place, so that nobody holds its memory but those who hold clones.
fn take<const D: usize>(place: &mut Tensor<D>) -> Option<FlexTensor> {
    let x = place.extract();
    match x.clone().try_into_primitive::<Flex>() {
        Ok(flex) => {
            drop(x);
            Some(in_order(flex))
        }
        Err(_) => {
            *place = x;
            None
        }
    }
}

/// What makes the noise of a sweep once the type of the elements is known.
pub(super) trait Noise {
    /// The noise, given the elements of the fixed tensors.
    fn of<'s, A: Real>(&'s mut self, fixed: &[&'s [A]])
    -> Result<impl NoiseBlocks<A::Wide>, Error>;
}

impl Noise for crate::state::Silent {
    fn of<'s, A: Real>(&'s mut self, _: &[&'s [A]]) -> Result<impl NoiseBlocks<A::Wide>, Error> {
        Ok(*self)
    }
}

/// The sweep by the kernel of this crate, in place where nobody else holds the memory; `fixed` are the tensors of
/// the backend.
pub(super) fn sweep_on_host<const D: usize>(
    states: &mut [&mut Tensor<D>],
    fixed: &[FlexTensor],
    assignments: &[Assignment<'_>],
    noise: &mut impl Noise,
) -> Result<bool, Error> {
    let Some(dtype) = states.first().map(|x| x.dtype()) else {
        return Ok(true);
    };
    let taken: Option<SmallVec<[FlexTensor; 3]>> = states.iter_mut().map(|x| take(x)).collect();
    let Some(mut taken) = taken else {
        return Err(Error::tensor("a tensor of Flex has another primitive"));
    };
    let swept = with_type!(dtype, A => {
        let slice = |x| FlexTensor::as_slice::<A>(x).unwrap_or_default();
        let slices: SmallVec<[&[A]; 8]> = fixed.iter().map(slice).collect();
        noise.of::<A>(&slices).map(|mut noise| {
            let changing: SmallVec<[&mut [A]; 3]> =
                taken.iter_mut().map(|x| x.storage_mut::<A>()).collect();
            let slices = Slices {
                all: changing.first().map_or(0, |slice| slice.len()),
                changing,
                fixed: slices.iter().map(|slice| &slice[..]).collect(),
                first: 0,
            };
            sweep_slices(slices, assignments, is_watched(assignments), &mut noise)
        })
    });
    // Back to their places, also where the noise was refused.
    for (state, flex) in states.iter_mut().zip(taken) {
        **state = Tensor::from_primitive::<Flex>(flex);
    }
    swept.ok_or_else(|| unsupported(dtype))?
}

/// The types of numbers that a state may have.
pub(super) const NUMBERS: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];

pub(super) fn unsupported(dtype: DType) -> Error {
    not_numbers(&NUMBERS, dtype)
}
