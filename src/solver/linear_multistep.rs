//! Linear multi-step methods.

use super::{
    At, Coordinates, Path, ReverseStep, Stage, Update,
    interpolation::{integral, weights},
};
use crate::{Error, NoiseLevel, Parameterization};

/// Adams-Bashforth methods: the polynomial through the last slopes, integrated over the step.
///
/// In [`Coordinates`] with clock `u`: `y_s = y_t + integral of p(u) du`, where `p` goes through the
/// last `order` slopes, at the clock's readings (LMS of k-diffusion, the variable-step form of iPNDM), in
/// another time (DEIS), or as if the steps had been equal (iPNDM: `3/2, -1/2`; `23, -16, 5` over 12;
/// `55, -59, 37, -9` over 24). The integrals are exact.
///
/// $$y_s=y_t+\int_{u_t}^{u_s}p(u)\thinspace\mathrm du,\qquad p(u_i)=d_i$$
///
/// Start-up steps have the order that the slopes at hand allow; a step from where the clock has no
/// reading is that of [`Ddim`](super::Ddim). The coefficients of equal steps have order 2 where the steps
/// change smoothly, and 1 where they do not.
///
/// [Sources](crate::docs::papers#arxiv-2202.09778): Liu, Ren, Lin, Zhao, Pseudo Numerical Methods for Diffusion Models on
/// Manifolds, 2022 (PNDM); Zhang, Chen, Fast Sampling of Diffusion Models with Exponential Integrator, 2023
/// (iPNDM); the code of k-diffusion, Crowson, 2022 (LMS).
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Edm, solver::LinearMultistep};
/// let schedule = Edm::default();
/// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 20)?, &LinearMultistep::lms(4)?)?;
/// assert_eq!((plan.evaluations(), plan.memory()), (20, 4));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "LMS",
    "LMSDiscreteScheduler",
    "IPNDMScheduler",
    "ipndm_v",
    "euler_ge",
    "Adams-Bashforth"
))]
#[doc(alias("sample_lms", "sample_ipndm"))]
#[derive(Debug, Clone, PartialEq)]
pub struct LinearMultistep {
    order: usize,
    coordinates: Coordinates,
    rule: Rule,
    analytic_start: bool,
    euler_to_data: bool,
}

/// How the slopes are weighted.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Rule {
    /// By the integrals of the polynomial through them, where they are.
    Readings,
    /// The same with a polynomial in the time of a variance-preserving process.
    VpTime,
    /// As if they were as far apart as the step is long.
    Even,
    /// The newest this many times, and the one before it what is missing to 1.
    Gradient(f64),
}

impl LinearMultistep {
    /// With the readings of the clock, in `sigma / alpha`.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 8.
    pub fn lms(order: usize) -> Result<Self, Error> {
        super::check_order(order, 8)?;
        Ok(Self {
            order,
            coordinates: Coordinates::Noise,
            rule: Rule::Readings,
            analytic_start: false,
            euler_to_data: false,
        })
    }

    /// With the coefficients of equal steps, in `sigma / alpha`.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 8.
    pub fn ipndm(order: usize) -> Result<Self, Error> {
        Ok(Self {
            rule: Rule::Even,
            ..Self::lms(order)?
        })
    }

    /// DEIS with its polynomial in time (tAB-DEIS): that of the variance-preserving process whose
    /// `sigma / alpha` is 0.002 at time 0.001 and 80 at time 1, `ln(1 + u^2) = b t^2 / 2 + a t`.
    ///
    /// [`ExponentialAdams::deis`](super::ExponentialAdams::deis) has it in `ln u`, as diffusers does.
    ///
    /// [Sources](crate::docs::papers#arxiv-2204.13902): Fast Sampling of Diffusion Models with Exponential Integrator, Zhang,
    /// Chen, 2023; the code of diff-sampler, Zhou, Chen, 2023, for the process.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 8.
    #[doc(alias("tAB-DEIS", "deis"))]
    pub fn deis_in_time(order: usize) -> Result<Self, Error> {
        Ok(Self {
            rule: Rule::VpTime,
            ..Self::lms(order)?
        })
    }

    /// Gradient estimation: `gamma` times the newest slope and `1 - gamma` times the one before it, in
    /// `sigma / alpha`; 2 is the authors' choice. Its last step, to the data, is Euler's.
    ///
    /// [Source](crate::docs::papers#arxiv-2306.04848): Interpreting and Improving Diffusion Models from an Optimization
    /// Perspective, Permenter, Yuan, 2024.
    ///
    /// # Errors
    ///
    /// If gamma is not 1 to 5.
    pub fn gradient_estimation(gamma: f64) -> Result<Self, Error> {
        if !(1.0..=5.0).contains(&gamma) {
            return Err(Error::range("gamma", gamma, "1 to 5"));
        }
        Ok(Self {
            rule: Rule::Gradient(gamma),
            ..Self::lms(2)?
        })
    }

    /// The same method in other coordinates.
    #[must_use]
    pub const fn with_coordinates(mut self, coordinates: Coordinates) -> Self {
        self.coordinates = coordinates;
        self
    }

    /// Takes the state for the noise where there is no signal, and the data for 0: the step from
    /// there is `x_s = sigma_s x_t`, whatever the network says.
    ///
    /// This saves the network a question it can hardly answer, and gives up the law of point data.
    /// The iPNDM of diffusers does so.
    #[doc(alias("analytical first step", "AFS"))]
    #[must_use]
    pub const fn with_analytic_start(mut self) -> Self {
        self.analytic_start = true;
        self
    }

    /// Makes a step to the data Euler's, which is the x0-prediction, as ComfyUI does.
    #[must_use]
    pub const fn with_euler_to_data(mut self) -> Self {
        self.euler_to_data = true;
        self
    }
}

/// Weights, in units of the step, of slopes as far apart as the step is long.
pub(super) fn even_weights(order: usize) -> Vec<f64> {
    let places: Vec<_> = (0..order).map(|i| -(i as f64)).collect();
    weights(&places, &power_moments(order))
}

/// The time at which the process of [`LinearMultistep::deis_in_time`] has this ratio.
fn vp_time(ratio: f64) -> f64 {
    const CLEANEST: (f64, f64) = (1e-3, 0.002);
    const NOISIEST: (f64, f64) = (1.0, 80.0);
    // b t^2 / 2 + a t at both.
    let [(t, low), (_, high)] = [CLEANEST, NOISIEST].map(|(t, u)| (t, (u * u).ln_1p()));
    let b = 2.0 * (low / t - high) / (t - 1.0);
    let a = high - 0.5 * b;
    ((a * a + 2.0 * b * (ratio * ratio).ln_1p()).sqrt() - a) / b
}

/// The places of the levels and the integrals over the step, in that time from 0 at its start to 1.
fn in_vp_time(c: Coordinates, to: NoiseLevel, visited: &[NoiseLevel]) -> (Vec<f64>, Vec<f64>) {
    let clock = |level: &NoiseLevel| c.clock(*level);
    let (start, end) = (visited.first().map_or(1.0, clock), clock(&to));
    let (from, whole) = (vp_time(start), vp_time(end) - vp_time(start));
    let place = |ratio: f64| (vp_time(ratio) - from) / whole;
    let places = visited.iter().map(|level| place(clock(level))).collect();
    // The time bends at small ratios: along their logarithm.
    let log_way = (end / start).ln();
    let pieces = log_way.abs().ceil() as usize;
    let moment = |k: usize| {
        integral(pieces, |part| {
            let ratio = start * (log_way * part).exp();
            ratio * log_way / (end - start) * place(ratio).powi(k as i32)
        })
    };
    (places, (0..visited.len()).map(moment).collect())
}

/// The integrals of `1, r, r^2, ..` over 0..1.
fn power_moments(count: usize) -> Vec<f64> {
    (1..=count).map(|k| 1.0 / k as f64).collect()
}

impl ReverseStep for LinearMultistep {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (c, from, to) = (self.coordinates, path.from(), path.to());
        if self.analytic_start && from.is_noise() {
            let update = Update::new(0.0).with_model([to.sigma()]);
            let stage = Stage::new(At::From, Parameterization::Noise).with_commit(update);
            return Ok(vec![stage]);
        }
        if from.is_clean() || !(c.reaches(from) && c.reaches(to)) {
            return Ok(c.straight_stage(path));
        }
        let whole = c.distance(from, to);
        // The slope that an analytic start keeps is the state there, which has a place in `Flow` alone.
        let known = |level: &NoiseLevel| match (self.analytic_start && level.is_noise(), c) {
            (true, Coordinates::Noise) => !matches!(self.rule, Rule::Readings | Rule::VpTime),
            (true, Coordinates::Data) => false,
            _ => c.reaches(*level),
        };
        let visited: Vec<_> = path.visited().take_while(known).take(self.order).collect();
        let weights = match (self.rule, visited.len()) {
            _ if self.euler_to_data && to.is_clean() => vec![1.0],
            (Rule::VpTime, known) if known > 1 && !to.is_clean() => {
                let (places, moments) = in_vp_time(c, to, &visited);
                weights(&places, &moments)
            }
            (Rule::VpTime, _) => vec![1.0],
            (Rule::Even, known) => even_weights(known),
            (Rule::Gradient(gamma), 2) if !to.is_clean() => vec![gamma, 1.0 - gamma],
            (Rule::Gradient(_), _) => vec![1.0],
            (Rule::Readings, known) => {
                let place = |&level: &_| c.distance(from, level) / whole;
                let places: Vec<_> = visited.iter().map(place).collect();
                weights(&places, &power_moments(known))
            }
        };
        let scale = c.way(from, to);
        let model: Vec<_> = weights.iter().map(|w| scale * w).collect();
        let update = Update::new(c.scale(to) / c.scale(from)).with_model(model);
        Ok(vec![Stage::new(At::From, c.basis()).with_commit(update)])
    }

    fn name(&self) -> &str {
        match self.rule {
            Rule::Readings => "LMS",
            Rule::VpTime => "DEIS in time",
            Rule::Even => "iPNDM",
            Rule::Gradient(_) => "gradient estimation",
        }
    }

    fn memory(&self) -> usize {
        self.order
    }

    fn order(&self) -> u32 {
        match self.rule {
            Rule::Readings | Rule::VpTime => self.order as u32,
            Rule::Even => self.order.min(2) as u32,
            Rule::Gradient(_) => 1,
        }
    }

    fn order_on_uneven_steps(&self) -> u32 {
        match self.rule {
            Rule::Even => 1,
            _ => self.order(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The process has the ratio 0.002 at time 0.001 and 80 at time 1, and between them what the equation says.
    #[test]
    fn the_time_of_deis_is_that_of_its_process() {
        assert!((vp_time(0.002) - 1e-3).abs() < 1e-12);
        assert!((vp_time(80.0) - 1.0).abs() < 1e-14);
        // With b and a from the two ends, by elimination.
        let log = |u: f64| (1.0 + u * u).ln();
        let b = (log(80.0) - 1e3 * log(0.002)) / (0.5 - 0.5e-3);
        let a = log(80.0) - 0.5 * b;
        for t in [0.01, 0.3, 0.7] {
            let ratio = ((0.5 * b * t * t + a * t).exp() - 1.0).sqrt();
            assert!((vp_time(ratio) - t).abs() < 1e-12, "{t}");
        }
    }
}
