//! Measurements obeyed by the predicted data, without a gradient of the network.

use super::{Measurement, Operator, krylov::solve};
use crate::{Error, Point, denoiser::Correction, state::State};

/// DiffPIR: the predicted data replaced by the nearest that agrees with a linear measurement,
/// `argmin |y - A x|^2 + k |x - x0|^2` with `k = w std^2 alpha^2 / sigma^2`.
///
/// $$\tilde x_0=\arg\min_x\ \Vert y-Ax\Vert^2+k_t\thinspace\Vert x-\hat x_0\Vert^2,\qquad
///   k_t=w\thinspace\sigma_y^2\thinspace\frac{\alpha_t^2}{\sigma_t^2}$$
///
/// A [`Correction`], for [`Denoiser::corrected`](crate::Denoiser::corrected); its `zeta` is the `eta`
/// of [`Ddim`](crate::solver::Ddim). For a measurement without noise it is the projection on the data
/// that have it, `x0 + A^+ (y - A x0)`, as in DDNM. Solved by GMRES with at most `iterations`
/// applications of the operator; as many as there are measurements solve exactly.
///
/// [Sources](crate::docs::papers#arxiv-2305.08995): Denoising Diffusion Models for Plug-and-Play Image Restoration, Zhu,
/// Zhang, Liang, Cao, Wen, Timofte, Van Gool, 2023; Zero-Shot Image Restoration Using Denoising Diffusion
/// Null-Space Model, Wang, Yu, Zhang, 2023 (DDNM).
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, predicts};
/// use gaussian_diffusion::guidance::{DiffPir, Measurement};
/// use ndarray::{Array2, array};
/// let mean = Measurement::new(array![[0.5, 0.5]], array![[3.0]], 0.0)?;
/// let net = predicts::x0(|_: &Array2<f64>, _: Point<Step>| array![[0.0, 2.0]]);
/// let mut net = Denoiser::<Array2<f64>, Step>::corrected(net, DiffPir::new(mean, 1.0, 1)?);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// let found = net.predict(&array![[0.1, 0.1]], at)?.value;
/// assert!((&found - &array![[2.0, 4.0]]).iter().all(|d| d.abs() < 1e-14));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("DDNM", "proximal"))]
#[derive(Debug, Clone)]
pub struct DiffPir<O, V> {
    measurement: Measurement<O, V>,
    weight: f64,
    iterations: usize,
}

impl<O, V> DiffPir<O, V> {
    /// For this measurement, with this weight `w` of the prediction and so many iterations of its linear solver.
    ///
    /// # Errors
    ///
    /// If the weight is not positive and finite, or there is no iteration.
    pub fn new(
        measurement: Measurement<O, V>,
        weight: f64,
        iterations: usize,
    ) -> Result<Self, Error> {
        if !(weight > 0.0 && weight.is_finite()) {
            let allowed = "a finite number above 0";
            return Err(Error::range("weight of the prediction", weight, allowed));
        }
        if iterations == 0 {
            return Err(Error::range("number of iterations", 0.0, "1 or more"));
        }
        Ok(Self {
            measurement,
            weight,
            iterations,
        })
    }
}

impl<V: State, T, O: Operator<V>> Correction<V, T> for DiffPir<O, V> {
    fn correct(&mut self, x0: &mut V, at: Point<T>) -> Result<(), Error> {
        if at.level.is_clean() {
            return Ok(());
        }
        let signal = at.level.alpha() / at.level.sigma();
        let penalty = self.weight * self.measurement.variance() * signal * signal;
        let operator = self.measurement.operator();
        let residual = self.measurement.residual(x0)?;
        // In measurements, of which there are fewer: x - x0 = A^T u with (A A^T + penalty) u = y - A x0.
        let apply = |u: &V| {
            let mut y = operator.apply(&operator.transposed(x0, u)?)?;
            y.combine(1.0, &[(penalty, u)])?;
            Ok(y)
        };
        let u = solve(apply, &residual, self.iterations)?;
        let moved = operator.transposed(x0, &u)?;
        x0.combine(1.0, &[(1.0, &moved)])
    }
}
