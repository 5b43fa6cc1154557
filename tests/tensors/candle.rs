//! Tensors of candle.

mod library {
    use crate::Kind;
    use candle_core::{DType, Device, Tensor};

    pub type V = Tensor;

    fn dtype(kind: Kind) -> DType {
        match kind {
            Kind::F64 => DType::F64,
            Kind::F32 => DType::F32,
            Kind::F16 => DType::F16,
            Kind::Bf16 => DType::BF16,
        }
    }

    pub fn of(shape: [usize; 3], numbers: &[f64], kind: Kind) -> V {
        let tensor = Tensor::from_slice(numbers, &shape, &Device::Cpu).unwrap();
        tensor.to_dtype(dtype(kind)).unwrap()
    }

    pub fn cast(x: &V, kind: Kind) -> V {
        x.to_dtype(dtype(kind)).unwrap()
    }

    pub fn kind_of(x: &V) -> Kind {
        let of = |kind: &Kind| dtype(*kind) == x.dtype();
        Kind::ALL.into_iter().find(of).unwrap()
    }

    pub fn times(x: &V, by: f64) -> V {
        (x * by).unwrap()
    }

    pub fn repeated(shape: [usize; 3], number: f64, kind: Kind) -> V {
        of([1, 1, 1], &[number], kind).expand(&shape).unwrap()
    }

    /// The same numbers in other layouts, each with the tensor whose memory it shares.
    pub fn forms(x: &V) -> Vec<(&'static str, V, V)> {
        let junk = (x * f64::NAN).unwrap();
        let mut forms = vec![("as it is", x.clone(), x.clone())];
        for axis in 0..3 {
            let length = x.dims()[axis];
            let large = Tensor::cat(&[&junk, x, &junk], axis).unwrap();
            forms.push(("a part", large.narrow(axis, length, length).unwrap(), large));
        }
        let pairs = Tensor::stack(&[&junk, x], 3).unwrap();
        let second = pairs.narrow(3, 1, 1).unwrap().squeeze(3).unwrap();
        forms.push(("every second", second, pairs));
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            let turned = x.transpose(a, b).unwrap().contiguous().unwrap();
            forms.push(("turned", turned.transpose(a, b).unwrap(), turned));
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
