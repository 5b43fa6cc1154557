//! Tensors in the host's memory, as slices for the kernel of this crate.

use candle_core::{DType, Device, Storage, StorageRef, Tensor, WithDType};
use smallvec::SmallVec;

use crate::{
    Error,
    state::{Real, not_numbers},
};

/// The element types that the kernel takes.
pub(super) trait Number: Real + WithDType {}

impl<A: Real + WithDType> Number for A {}

/// Runs what is generic over the element type with that of a tensor.
macro_rules! with_type {
    ($dtype:expr, $A:ident => $body:expr) => {
        match $dtype {
            candle_core::DType::F32 => {
                type $A = f32;
                Some($body)
            }
            candle_core::DType::F64 => {
                type $A = f64;
                Some($body)
            }
            candle_core::DType::F16 => {
                type $A = half::f16;
                Some($body)
            }
            candle_core::DType::BF16 => {
                type $A = half::bf16;
                Some($body)
            }
            _ => None,
        }
    };
}

pub(super) use with_type;

/// Whether the kernel can take these: all on the CPU, and none that a gradient is to flow through.
pub(super) fn is_on_host<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> bool {
    let mut tensors = tensors.into_iter();
    tensors.all(|x| matches!(x.device(), Device::Cpu) && !x.track_op())
}

/// Tensors whose elements lie in order, locked for reading.
pub(super) struct Host<'a> {
    tensors: &'a [Tensor],
    locks: SmallVec<[StorageRef<'a>; 8]>,
}

/// The same tensors with their elements in order; they share the memory of those where it is so already.
pub(super) fn in_order<'a>(
    tensors: impl Iterator<Item = &'a Tensor>,
) -> Result<SmallVec<[Tensor; 8]>, Error> {
    tensors
        .map(|x| x.contiguous().map_err(Error::tensor))
        .collect()
}

impl<'a> Host<'a> {
    pub(super) fn new(tensors: &'a [Tensor]) -> Self {
        let locks = tensors.iter().map(|x| x.storage_and_layout().0).collect();
        Self { tensors, locks }
    }

    /// The elements of each.
    pub(super) fn slices<A: Number>(&self) -> Result<SmallVec<[&[A]; 8]>, Error> {
        self.locks
            .iter()
            .zip(self.tensors)
            .map(|(lock, x)| elements::<A>(lock, x))
            .collect()
    }
}

fn elements<'a, A: Number>(storage: &'a Storage, x: &Tensor) -> Result<&'a [A], Error> {
    let Storage::Cpu(storage) = storage else {
        return Err(Error::tensor("a tensor on the CPU has memory elsewhere"));
    };
    let slice = A::cpu_storage_as_slice(storage).map_err(Error::tensor)?;
    let places = x.layout().contiguous_offsets();
    let part = places.and_then(|(start, end)| slice.get(start..end));
    part.ok_or_else(|| Error::tensor("the elements of a tensor are not in order"))
}

/// The elements of one tensor, which lie in order.
pub(super) fn with_elements<A: Number, R>(
    x: &Tensor,
    f: impl FnOnce(&[A]) -> R,
) -> Result<R, Error> {
    let (lock, _) = x.storage_and_layout();
    elements(&lock, x).map(f)
}

/// A tensor of these elements on the CPU.
pub(super) fn tensor<A: Number>(elements: Vec<A>, like: &Tensor) -> Result<Tensor, Error> {
    Tensor::from_vec(elements, like.shape(), &Device::Cpu).map_err(Error::tensor)
}

/// The types of numbers that a state may have.
pub(super) const NUMBERS: [DType; 4] = [DType::F32, DType::F64, DType::F16, DType::BF16];

pub(super) fn unsupported(dtype: DType) -> Error {
    not_numbers(&NUMBERS, dtype)
}
