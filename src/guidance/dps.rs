//! Diffusion posterior sampling.

use super::{Measurement, Operator};
use crate::{
    Denoiser, Error, LinearMap, Parameterization, Point, Prediction,
    denoiser::{Differentiable, memory_of},
    state::State,
};

/// `(dx_0/dx)^T v`, from the vector-Jacobian product of what the network predicts.
pub(super) fn data_vjp<V, T, D>(
    network: &mut D,
    map: LinearMap,
    x: &V,
    at: Point<T>,
    v: &V,
) -> Result<V, Error>
where
    V: State,
    D: Differentiable<V, T>,
{
    let mut product = network.vjp(x, at, v)?;
    product.combine(map.prediction, &[(map.state, v)])?;
    Ok(product)
}

/// DPS: after each step the state goes down the gradient of the distance to the measurement,
/// `x_s <- x_s - step grad |y - A(x0(x_t))|`, item by item.
///
/// $$x_s\leftarrow x_s-\zeta\thinspace\nabla_{x_t}\big\Vert y-A(\hat x_0(x_t))\big\Vert$$
///
/// The operator need not be linear. The gradient is that of the norm and not of its square, as in the
/// paper's code; the steps of a run sum up, so that `step` belongs to a number of steps.
///
/// [Source](crate::docs::papers#arxiv-2209.14687): Diffusion Posterior Sampling for General Noisy Inverse Problems, Chung,
/// Kim, Mccann, Klasky, Ye, 2023, algorithm 1.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, SeededNoise, Plan, schedule::Discrete, solver::Ddpm};
/// use gaussian_diffusion::guidance::{Dps, Measurement};
/// use ndarray::{Array2, array};
/// let schedule = Discrete::cosine(1000)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 100)?, &Ddpm::default())?;
/// let net = GaussianMixture::isotropic(&[(1.0, &[0.0, 0.0][..], 1.0)])?;
/// // The first coordinate of each of four items is known.
/// let seen = Measurement::new(array![[1.0, 0.0]], Array2::from_elem((4, 1), 2.0), 0.05)?;
/// let mut noise = SeededNoise::new(0);
/// let start: Array2<f64> = plan.prior((4, 2), &mut noise)?;
/// let x = plan.sample(start, &mut Dps::new(net, seen, 0.3)?, &mut noise)?;
/// assert!(x.column(0).iter().all(|x| (x - 2.0).abs() < 0.5));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("DPS", "diffusion posterior sampling"))]
#[derive(Debug, Clone)]
pub struct Dps<D, O, V> {
    inner: D,
    measurement: Measurement<O, V>,
    step: f64,
}

impl<D, O, V> Dps<D, O, V> {
    /// These predictions moved toward the measurement by a step of this size.
    ///
    /// # Errors
    ///
    /// If the step is not finite.
    pub fn new(inner: D, measurement: Measurement<O, V>, step: f64) -> Result<Self, Error> {
        if !step.is_finite() {
            return Err(Error::range("gradient step", step, "a finite number"));
        }
        Ok(Self {
            inner,
            measurement,
            step,
        })
    }
}

impl<V, T, D, O> Denoiser<V, T> for Dps<D, O, V>
where
    V: State,
    T: Copy,
    D: Differentiable<V, T>,
    O: Operator<V>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let mut answer = self.inner.predict(x, at)?;
        if self.step == 0.0 {
            return Ok(answer);
        }
        let map = answer.parameterization.to(Parameterization::X0, at.level)?;
        let mut x0 = answer.value.clone();
        x0.combine(map.prediction, &[(map.state, x)])?;
        let residual = self.measurement.residual(&x0)?;
        let pulled = self.measurement.operator().transposed(&x0, &residual)?;
        let mut shift = data_vjp(&mut self.inner, map, x, at, &pulled)?;
        let weight = |square: f64| match square {
            0.0 => 0.0,
            square => self.step / (square.sqrt() * at.to.alpha()),
        };
        let squares = residual.dot_items(&residual)?;
        let weights: Vec<_> = squares.into_iter().map(weight).collect();
        shift.combine_items(&weights, &[])?;
        answer.add_shift(shift)?;
        Ok(answer)
    }

    memory_of!(inner);
}
