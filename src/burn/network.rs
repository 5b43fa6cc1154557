//! Networks on tensors behind states that are arrays.

use burn_tensor::{Device, Element, FloatDType, Tensor, TensorCreationOptions, TensorData};
use ndarray::{Array, Dimension};

use crate::{Denoiser, Error, Point, Prediction, state::Real};

/// A network on tensors of this type and on this device, for a state that is an array of as many axes: one copy each
/// way.
///
/// ```
/// use burn_tensor::{Device, FloatDType, Tensor};
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, burn, predicts};
/// use ndarray::{Array2, array};
/// let net = predicts::velocity(|x: &Tensor<2>, _: Point<Step>| x.clone() * 0.5);
/// let mut net = burn::network(net, &Device::flex(), FloatDType::F32);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// assert_eq!(net.predict(&array![[0.0_f64, 0.5]], at)?.value, array![[0.0, 0.25]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn network<D, T, const AXES: usize>(
    network: D,
    device: &Device,
    dtype: FloatDType,
) -> Network<D, AXES>
where
    D: Denoiser<Tensor<AXES>, T>,
{
    Network {
        network,
        device: device.clone(),
        dtype,
    }
}

/// A network on tensors for a state that is an array: made by [`network`].
#[derive(Debug, Clone)]
pub struct Network<D, const AXES: usize> {
    network: D,
    device: Device,
    dtype: FloatDType,
}

impl<A, N, T, D, const AXES: usize> Denoiser<Array<A, N>, T> for Network<D, AXES>
where
    A: Real + Element,
    N: Dimension,
    D: Denoiser<Tensor<AXES>, T>,
{
    fn predict(&mut self, x: &Array<A, N>, at: Point<T>) -> Result<Prediction<Array<A, N>>, Error> {
        if x.ndim() != AXES {
            let allowed = format!("{AXES}, those of the tensors of the network");
            return Err(Error::range("number of axes", x.ndim() as f64, allowed));
        }
        let numbers = x.iter().copied().collect();
        let data = TensorData::new(numbers, x.shape().to_vec());
        let options = TensorCreationOptions::new(self.device.clone());
        let shown = Tensor::from_data(data, options.with_dtype(self.dtype.into()));
        let answer = self.network.predict(&shown, at)?;
        let back = |tensor: Tensor<AXES>| array(tensor, x);
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

/// The numbers of a tensor as an array of this shape.
fn array<A, N, const AXES: usize>(
    tensor: Tensor<AXES>,
    like: &Array<A, N>,
) -> Result<Array<A, N>, Error>
where
    A: Real + Element,
    N: Dimension,
{
    let refused = |found: &[usize]| Error::Shape {
        what: "the prediction of the network",
        expected: like.shape().to_vec(),
        found: found.to_vec(),
    };
    let found = tensor.dims();
    if found != like.shape() {
        return Err(refused(&found));
    }
    let data = tensor.without_autodiff().try_into_data();
    let data = data.map_err(|error| Error::tensor(error.to_string()))?;
    let numbers = data.try_into_vec_as::<A>();
    let numbers = numbers.map_err(|error| Error::tensor(error.to_string()))?;
    Array::from_shape_vec(like.raw_dim(), numbers).map_err(|_| refused(&found))
}
