//! A raw network in its preconditioning.

use super::{Denoiser, Point, Prediction, preconditioning::Preconditioning};
use crate::{Error, State};

/// A raw network `F` made a denoiser: `x0 = c_skip x + c_out F(c_in x, c_noise)`.
///
/// The closure gets the scaled state and `c_noise`, and answers the raw output or its own error. The
/// clock of the plan plays no part: what the network is given comes from the noise level.
///
/// [Source](crate::docs::papers#arxiv-2206.00364): Elucidating the Design Space of Diffusion-Based Generative Models, Karras,
/// Aittala, Aila, Laine, 2022.
///
/// ```
/// use gaussian_diffusion::{Grid, SeededNoise, Plan, schedule, solver::Ddim};
/// use gaussian_diffusion::denoiser::{Preconditioned, preconditioning::EdmPreconditioning};
/// use ndarray::Array2;
/// // Of Gaussian data with standard deviation sigma_data the best raw network says 0.
/// let mut net = Preconditioned::new(EdmPreconditioning::default(), |x: &Array2<f64>, _time: f64| Ok(x * 0.0));
/// let schedule = schedule::Edm::default();
/// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 18)?, &Ddim::default())?;
/// let mut noise = SeededNoise::new(0);
/// let x0 = plan.sample(plan.prior((4, 2), &mut noise)?, &mut net, &mut noise)?;
/// assert!(x0.iter().all(|x| x.abs() < 2.5));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("EDMPrecond", "KarrasDenoiser"))]
#[derive(Debug, Clone)]
pub struct Preconditioned<P, F> {
    preconditioning: P,
    network: F,
}

impl<P: Preconditioning, F> Preconditioned<P, F> {
    /// The network `F(c_in x, c_noise)` in this preconditioning.
    pub fn new<V>(preconditioning: P, network: F) -> Self
    where
        F: FnMut(&V, f64) -> Result<V, Error>,
    {
        Self {
            preconditioning,
            network,
        }
    }
}

impl<V, T, P, F> Denoiser<V, T> for Preconditioned<P, F>
where
    V: State,
    P: Preconditioning,
    F: FnMut(&V, f64) -> Result<V, Error>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let c = self.preconditioning.coefficients(at.level)?;
        let mut shown = x.clone();
        shown.combine(c.input, &[])?;
        let mut answer = (self.network)(&shown, c.conditioning)?.widened_for(x);
        answer.combine(c.out, &[(c.skip, x)])?;
        Ok(Prediction::x0(answer))
    }
}
