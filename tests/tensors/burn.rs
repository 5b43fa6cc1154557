//! Tensors of burn.

mod library {
    use crate::Kind;
    use burn_tensor::{DType, Device, Tensor, TensorCreationOptions, TensorData};

    pub type V = Tensor<3>;

    fn dtype(kind: Kind) -> DType {
        match kind {
            Kind::F64 => DType::F64,
            Kind::F32 => DType::F32,
            Kind::F16 => DType::F16,
            Kind::Bf16 => DType::BF16,
        }
    }

    pub fn of(shape: [usize; 3], numbers: &[f64], kind: Kind) -> V {
        let options = TensorCreationOptions::new(Device::flex()).with_dtype(dtype(kind));
        Tensor::from_data(TensorData::new(numbers.to_vec(), shape), options)
    }

    pub fn cast(x: &V, kind: Kind) -> V {
        x.clone().cast(dtype(kind))
    }

    pub fn kind_of(x: &V) -> Kind {
        let of = |kind: &Kind| dtype(*kind) == x.dtype();
        Kind::ALL.into_iter().find(of).unwrap()
    }

    pub fn times(x: &V, by: f64) -> V {
        x.clone() * by
    }

    pub fn repeated(shape: [usize; 3], number: f64, kind: Kind) -> V {
        of([1, 1, 1], &[number], kind).expand(shape)
    }

    /// The same numbers in other layouts, each with the tensor whose memory it shares.
    pub fn forms(x: &V) -> Vec<(&'static str, V, V)> {
        let junk = x.clone() * f64::NAN;
        let mut forms = vec![("as it is", x.clone(), x.clone())];
        for axis in 0..3 {
            let length = x.dims()[axis];
            let large = Tensor::cat(vec![junk.clone(), x.clone(), junk.clone()], axis);
            forms.push(("a part", large.clone().narrow(axis, length, length), large));
            let flipped = (x.clone() * 1.0).flip([axis as isize]);
            let flipped = flipped.clone() + flipped.zeros_like();
            forms.push(("flipped", flipped.clone().flip([axis as isize]), flipped));
        }
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            let turned = x.clone().swap_dims(a, b);
            let turned = turned.clone() + turned.zeros_like();
            forms.push(("turned", turned.clone().swap_dims(a, b), turned));
        }
        forms
    }
}
#[path = "answers.rs"]
mod answers;
#[path = "arrays.rs"]
mod arrays;
#[path = "layouts.rs"]
mod layouts;
