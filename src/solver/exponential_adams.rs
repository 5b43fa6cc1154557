//! Exponential Adams-Bashforth methods of any order.

use super::{
    Coordinates, Path, ReverseStep, Stage,
    ending::Ending,
    exponential::{Exponential, Slope, inner},
};
use crate::Error;

/// The exponential Adams-Bashforth method: the linear part of the flow exactly, and for the rest the
/// polynomial in log-SNR through the last `order` predictions, integrated exactly.
///
/// ```text
/// Data:  x_s = (sigma_s / sigma_t) x_t + sigma_s * integral of e^lambda  p(lambda) d lambda
/// Noise: x_s = (alpha_s / alpha_t) x_t - alpha_s * integral of e^-lambda p(lambda) d lambda
/// Flow:  x_s = (n_s / n_t) x_t + n_s * integral of p du,  n = alpha + sigma, u = sigma / n
/// ```
///
/// $$x_s=\frac{\sigma_s}{\sigma_t}x_t+\sigma_s\int_{\lambda_t}^{\lambda_s}e^{\lambda}p(\lambda)\thinspace
///   \mathrm d\lambda$$
///
/// The polynomial is of the data (`Data`), of the noise (`Noise`: this is DEIS in `log rho`), or of
/// the flow velocity (`Flow`). Start-up steps and steps next to an infinite log-SNR have the order
/// that the predictions at hand allow; a step to or from one is that of [`Ddim`](super::Ddim).
///
/// [Sources](crate::docs::papers#exponential-integrators): Exponential integrators, Hochbruck, Ostermann, 2010; Fast Sampling of
/// Diffusion Models with Exponential Integrator, Zhang, Chen, 2023 (DEIS).
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Cosine, solver::{Coordinates, ExponentialAdams}};
/// let solver = ExponentialAdams::new(3, Coordinates::Data)?;
/// let grid = Grid::uniform_time(&Cosine, 20)?;
/// assert!(Plan::new(&Cosine, &grid, &solver)?.defect()? < 1e-13);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("DEISMultistepScheduler", "deis", "res_multistep", "xEAB", "zEAB"))]
#[derive(Debug, Clone, PartialEq)]
pub struct ExponentialAdams {
    order: usize,
    coordinates: Coordinates,
    ending: Ending,
    name: String,
}

impl ExponentialAdams {
    /// Of this order, for predictions of the noise, the data or the velocity of the flow.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 8; beyond, extrapolation multiplies the errors of a network.
    pub fn new(order: usize, coordinates: Coordinates) -> Result<Self, Error> {
        super::check_order(order, 8)?;
        Ok(Self {
            order,
            coordinates,
            ending: Ending::default(),
            name: format!(
                "exponential Adams-Bashforth {order} in {:?}",
                coordinates.basis()
            ),
        })
    }

    /// DEIS in `log rho`: this method for the noise.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 8.
    pub fn deis(order: usize) -> Result<Self, Error> {
        let mut solver = Self::new(order, Coordinates::Noise)?;
        solver.name = format!("DEIS {order}");
        Ok(solver)
    }

    super::options::ending! {
        /// Lowers the order toward the end of runs of fewer than 15 steps, so that the last step has
        /// order 1 and the one before it at most 2, as diffusers does.
        lowers;
        /// Counts an empty step after the last one: the list of sigmas repeats its last.
        ///
        /// Orders are then lowered one step later, as diffusers does where a curve of sigmas ends at
        /// the final one.
        empty_step;
    }
}

impl ReverseStep for ExponentialAdams {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        if !(inner(path.from()) && inner(path.to())) {
            return Ok(self.coordinates.straight_stage(path));
        }
        let order = self.ending.order_if_short(path, self.order);
        let step = Exponential::of(self.coordinates, path);
        let moments = |count| step.moments(count, Slope::Exact);
        Ok(vec![step.multistep(path, order, moments)?])
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn memory(&self) -> usize {
        self.order
    }

    fn order(&self) -> u32 {
        self.order as u32
    }
}
