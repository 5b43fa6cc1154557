//! A tensor type of one's own around candle's, in its operators: what the feature `candle` spares.
use crate::{Clock, Fallible, Shape};
use candle_core::{D, DType, Device, Tensor};
use gaussian_diffusion::{
    Error, Plan, Point, SeededNoise, State, Step,
    noise::NoiseSource,
    predicts,
    state::{Elements, InItself},
};

#[derive(Clone)]
pub struct Own(pub Tensor);

fn per_item(x: &Tensor, list: &[f64]) -> candle_core::Result<Tensor> {
    let list = Tensor::from_slice(list, (list.len(), 1, 1, 1), x.device())?;
    x.broadcast_mul(&list.to_dtype(x.dtype())?)
}

impl State for Own {
    type Keeping = InItself;

    fn items(&self) -> usize {
        self.0.dims()[0]
    }

    fn combine(&mut self, own: f64, terms: &[(f64, &Self)]) -> Result<(), Error> {
        let mut sum = match own {
            0.0 => self.0.zeros_like()?,
            _ => self.0.affine(own, 0.0)?,
        };
        for (c, term) in terms {
            sum = (sum + term.0.affine(*c, 0.0)?)?;
        }
        self.0 = sum;
        Ok(())
    }

    fn combine_items(&mut self, own: &[f64], terms: &[(&[f64], &Self)]) -> Result<(), Error> {
        let mut sum = per_item(&self.0, own)?;
        for (list, term) in terms {
            sum = (sum + per_item(&term.0, list)?)?;
        }
        self.0 = sum;
        Ok(())
    }

    fn dot_items(&self, other: &Self) -> Result<Vec<f64>, Error> {
        let product = (&self.0 * &other.0)?.flatten_from(1)?;
        Ok(product.to_dtype(DType::F64)?.sum(D::Minus1)?.to_vec1()?)
    }

    fn clamp(&mut self, low: f64, high: f64) -> Result<(), Error> {
        self.0 = self.0.clamp(low, high)?;
        Ok(())
    }

    fn exp_affine(&mut self, offset: f64, scale: f64) -> Result<(), Error> {
        self.0 = self.0.affine(scale, offset)?.exp()?;
        Ok(())
    }

    fn is_finite(&self) -> bool {
        let sum = self.0.sum_all().and_then(|sum| sum.to_dtype(DType::F32));
        let sum = sum.and_then(|sum| sum.to_scalar::<f32>());
        sum.is_ok_and(f32::is_finite)
    }
}

impl Elements for Own {
    fn shape(&self) -> Vec<usize> {
        self.0.dims().to_vec()
    }

    fn numbers(&self) -> Result<Vec<f64>, Error> {
        Ok(self.0.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?)
    }

    fn of_numbers(&self, shape: &[usize], numbers: &[f64]) -> Result<Self, Error> {
        let tensor = Tensor::from_slice(numbers, shape, self.0.device())?;
        Ok(Self(tensor.to_dtype(self.0.dtype())?))
    }
}

pub fn sample(plan: &Plan<Step>, shape: Shape, clock: &Clock) -> Fallible<()> {
    let network = |x: &Own, _: Point<Step>| clock.time(|| &x.0 * 0.1).map(Own);
    let mut net = predicts::noise(network);
    let mut noise = SeededNoise::new(42);
    let mut start = Own(Tensor::zeros(shape, DType::F32, &Device::Cpu)?);
    noise.fill(&mut start)?;
    plan.sample(start, &mut net, &mut noise)?;
    Ok(())
}
