//! Networks on tensors behind states that are arrays.

use candle_core::{DType, Device, Tensor, WithDType};
use ndarray::{Array, Dimension};

use crate::{Denoiser, Error, Point, Prediction, state::Real};

/// A network on tensors of this type and on this device, for a state that is an array: one copy each way.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, candle, predicts};
/// use ndarray::{Array2, array};
/// let net = predicts::velocity(|x: &Tensor, _: Point<Step>| x.tanh());
/// let mut net = candle::network(net, &Device::Cpu, DType::F32);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// let answer = net.predict(&array![[0.0_f64, 0.5]], at)?;
/// assert_eq!(answer.value, array![[0.0, f64::from(0.5_f32.tanh())]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn network<D>(network: D, device: &Device, dtype: DType) -> Network<D> {
    Network {
        network,
        device: device.clone(),
        dtype,
    }
}

/// A network on tensors for a state that is an array: made by [`network`].
#[derive(Debug, Clone)]
pub struct Network<D> {
    network: D,
    device: Device,
    dtype: DType,
}

impl<A, N, T, D> Denoiser<Array<A, N>, T> for Network<D>
where
    A: Real + WithDType,
    N: Dimension,
    D: Denoiser<Tensor, T>,
{
    fn predict(&mut self, x: &Array<A, N>, at: Point<T>) -> Result<Prediction<Array<A, N>>, Error> {
        let shown = self.tensor(x).map_err(Error::tensor)?;
        let answer = self.network.predict(&shown, at)?;
        let back = |tensor: Tensor| array(&tensor, x);
        let mut prediction = Prediction::new(back(answer.value)?, answer.parameterization);
        prediction.variance = answer.variance.map(back).transpose()?;
        prediction.shift = answer.shift.map(back).transpose()?;
        prediction.data = answer.data.map(back).transpose()?;
        Ok(prediction)
    }

    /// What the network remembers between questions are tensors, which a run on arrays cannot store.
    fn begin(&mut self) {
        self.network.begin();
    }
}

impl<D> Network<D> {
    fn tensor<A, N>(&self, x: &Array<A, N>) -> candle_core::Result<Tensor>
    where
        A: Real + WithDType,
        N: Dimension,
    {
        let ordered = x.as_standard_layout();
        let numbers = ordered.as_slice().unwrap_or_default();
        if A::DTYPE == self.dtype {
            return Tensor::from_slice(numbers, x.shape(), &self.device);
        }
        // What is narrowed is narrowed before it goes to the device.
        let tensor = Tensor::from_slice(numbers, x.shape(), &Device::Cpu)?;
        tensor.to_dtype(self.dtype)?.to_device(&self.device)
    }
}

/// The numbers of a tensor as an array of this shape.
fn array<A, N>(tensor: &Tensor, like: &Array<A, N>) -> Result<Array<A, N>, Error>
where
    A: Real + WithDType,
    N: Dimension,
{
    let refused = || Error::Shape {
        what: "the prediction of the network",
        expected: like.shape().to_vec(),
        found: tensor.dims().to_vec(),
    };
    if tensor.dims() != like.shape() {
        return Err(refused());
    }
    let numbers = || {
        let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(A::DTYPE)?;
        tensor.flatten_all()?.to_vec1::<A>()
    };
    let numbers = numbers().map_err(Error::tensor)?;
    Array::from_shape_vec(like.raw_dim(), numbers).map_err(|_| refused())
}
