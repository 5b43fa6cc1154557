//! DPM-Solver and DPM-Solver++ with the predictions of earlier steps.

use super::{
    Coordinates, Path, ReverseStep, Stage,
    ending::Ending,
    exponential::{Exponential, Slope, inner},
};
use crate::Error;

/// DPM-Solver and DPM-Solver++, multi-step, of orders 1 to 3, for the flow and for the reverse
/// stochastic equation.
///
/// With `h` the step in half log-SNR, `r_i` the earlier steps in units of `h`, `z = (1 + tau^2) h`:
///
/// ```text
/// x_s = (sigma_s / sigma_t) e^(-tau^2 h) x_t + alpha_s (1 - e^-z) m_0 + c D + std w
/// D = (m_0 - m_1) / r_0,   std^2 = sigma_s^2 (1 - e^(-2 tau^2 h))
/// c = alpha_s (1 - e^-z) / 2  (midpoint)   or   alpha_s ((e^-z - 1) / z + 1)  (Heun)
/// ```
///
/// $$x_s=\frac{\sigma_s}{\sigma_t}e^{-\tau^2h}x_t+\alpha_s(1-e^{-(1+\tau^2)h})m_0+c\thinspace D+\sigma_s
///   \sqrt{1-e^{-2\tau^2h}}\thinspace w$$
///
/// That is DPM-Solver++ (the data); DPM-Solver does the same for the noise in
/// `x_s = (alpha_s / alpha_t) x_t - (1 + tau^2) sigma_s (e^h - 1) e_0 - ..`, which for `tau > 0` does
/// not keep the standard deviation of the forward process: a step makes it
/// `sigma_s sqrt(1 + tau^2 (1 + tau^2) (e^h - 1)^2)`.
///
/// A step to or from an infinite log-SNR is that of [`Ddim`](super::Ddim). Of the published third-order formula
/// the second difference has half the weight that the Taylor expansion gives it, so that it converges
/// with order 2; [`ExponentialAdams`](super::ExponentialAdams) has the full one and order 3.
///
/// `tau` is the stochasticity of the [reverse equation](crate#notation): 0 is the probability flow, 1 the reverse of the
/// forward process. The `eta` of k-diffusion's SDE samplers is `tau^2`.
///
/// [Sources](crate::docs::papers#arxiv-2206.00927): DPM-Solver, Lu, Zhou, Bao, Chen, Li, Zhu, 2022; DPM-Solver++, the same
/// authors, 2022.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::DpmSolver};
/// let schedule = Discrete::stable_diffusion()?;
/// let solver = DpmSolver::plus_plus(2)?;
/// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 20)?, &solver)?;
/// assert_eq!((plan.evaluations(), plan.memory()), (20, 2));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "DPMSolverMultistepScheduler",
    "DpmSolverPlusPlus",
    "DPM++ 2M",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_3m_sde"
))]
#[doc(alias(
    "EDMDPMSolverMultistepScheduler",
    "CosineDPMSolverMultistepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "sample_dpmpp_2m",
    "sample_dpmpp_2m_sde",
    "sample_dpmpp_3m_sde"
))]
#[derive(Debug, Clone, PartialEq)]
pub struct DpmSolver {
    coordinates: Coordinates,
    order: usize,
    slope: Slope,
    tau: f64,
    noise: f64,
    ending: Ending,
    euler_final: bool,
}

impl DpmSolver {
    /// DPM-Solver++: predictions of the data; the midpoint rule for order 2.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 3.
    pub fn plus_plus(order: usize) -> Result<Self, Error> {
        Self::new(order, Coordinates::Data)
    }

    /// For predictions of the noise (DPM-Solver) or of the data (DPM-Solver++); the midpoint rule for
    /// order 2.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 3, or the coordinates are those of the flow.
    pub fn new(order: usize, coordinates: Coordinates) -> Result<Self, Error> {
        super::check_noise_or_data(coordinates)?;
        super::check_order(order, 3)?;
        Ok(Self {
            coordinates,
            order,
            slope: Slope::Midpoint,
            tau: 0.0,
            noise: 1.0,
            ending: Ending::default(),
            euler_final: false,
        })
    }

    /// Heun's rule, which integrates the first difference exactly, for steps of order 2.
    #[doc(alias("solver_type"))]
    #[must_use]
    pub fn with_exact_integrals(mut self) -> Self {
        self.slope = Slope::Exact;
        self
    }

    /// The reverse stochastic equation; `tau = 1` reverses the forward process.
    ///
    /// # Errors
    ///
    /// If tau is not 0 to 3.
    #[doc(alias("sde-dpmsolver++", "sde-dpmsolver"))]
    pub fn with_tau(mut self, tau: f64) -> Result<Self, Error> {
        self.tau = super::check_tau(tau)?;
        Ok(self)
    }

    super::options::noise_factor!();

    super::options::ending! {
        /// Lowers the order toward the end of runs of fewer than 15 steps, so that the last step has
        /// order 1 and the one before it at most 2.
        lowers;
        /// Counts an empty step after the last one: the list of sigmas repeats its last.
        ///
        /// Orders are then lowered one step later, as diffusers does where a curve of sigmas ends at
        /// the final one.
        empty_step;
    }

    /// Makes the last step one of order 1, wherever it ends.
    #[doc(alias("euler_at_final"))]
    #[must_use]
    pub fn with_euler_last_step(mut self) -> Self {
        self.euler_final = true;
        self
    }
}

impl ReverseStep for DpmSolver {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        super::check_descent(path, "tau", self.tau)?;
        if !(inner(path.from()) && inner(path.to())) {
            return Ok(self.coordinates.end_stage(path, self.tau, self.noise));
        }
        let last = self.ending.is_last(path, path.index());
        let order = match last && self.euler_final {
            true => 1,
            false => self.ending.order_if_short(path, self.order),
        };
        let mut step = Exponential::of(self.coordinates, path);
        step.tau = self.tau;
        let moments = |count| {
            let slope = if count > 2 { Slope::Exact } else { self.slope };
            let mut moments = step.moments(count, slope);
            if let Some(second_difference) = moments.get_mut(2) {
                *second_difference *= 0.5;
            }
            moments
        };
        let mut stage = step.multistep(path, order, moments)?;
        if let Some(commit) = &mut stage.commit {
            commit.scale_noise(self.noise);
        }
        Ok(vec![stage])
    }

    fn name(&self) -> &str {
        match (self.coordinates, self.order, self.tau == 0.0) {
            (Coordinates::Data, 1, true) => "DPM-Solver++ 1",
            (Coordinates::Data, 2, true) => "DPM-Solver++ 2M",
            (Coordinates::Data, _, true) => "DPM-Solver++ 3M",
            (Coordinates::Data, 1, false) => "SDE-DPM-Solver++ 1",
            (Coordinates::Data, 2, false) => "SDE-DPM-Solver++ 2M",
            (Coordinates::Data, _, false) => "SDE-DPM-Solver++ 3M",
            (_, 1, true) => "DPM-Solver 1",
            (_, 2, true) => "DPM-Solver 2M",
            (_, _, true) => "DPM-Solver 3M",
            (_, 1, false) => "SDE-DPM-Solver 1",
            (_, 2, false) => "SDE-DPM-Solver 2M",
            (_, _, false) => "SDE-DPM-Solver 3M",
        }
    }

    fn memory(&self) -> usize {
        self.order
    }

    /// At most 2: the published third order has half a second difference.
    fn order(&self) -> u32 {
        self.order.min(2) as u32
    }
}
