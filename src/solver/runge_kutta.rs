//! Runge-Kutta methods of two evaluations a step.

use super::{At, Coordinates, Path, ReverseStep, Stage, Update, exponential::inner};
use crate::{Error, NoiseLevel};

/// Two-stage Runge-Kutta methods: Heun's, the midpoint rule, all between, and DPM2.
///
/// In [`Coordinates`] with clock `u`, a fraction `a` of the way `h`:
///
/// ```text
/// d_1 at (u_t, y_t),   d_2 at (u_t + a h, y_t + a h d_1),
/// y_s = y_t + h ((1 - 1/(2a)) d_1 + 1/(2a) d_2)
/// ```
///
/// $$y_s=y_t+h\Big(\big(1-\tfrac1{2a}\big)d_1+\tfrac1{2a}\thinspace d_2\Big)$$
///
/// `a = 1` is Heun's method, the sampler of EDM; `a = 1/2` the midpoint rule. DPM2 takes the slope
/// at the geometric mean of the two noise-to-signal ratios for the whole step. A step to the clean
/// level, or from one where the clock has no reading, is that of [`Ddim`](super::Ddim) (Euler's). Order 2.
///
/// [Source](crate::docs::papers#arxiv-2206.00364): Elucidating the Design Space of Diffusion-Based Generative Models, Karras,
/// Aittala, Aila, Laine, 2022, algorithms 1 and 3.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Edm, solver::RungeKutta};
/// let schedule = Edm::default();
/// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 18)?, &RungeKutta::heun())?;
/// assert_eq!(plan.evaluations(), 35);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "Heun",
    "HeunDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "midpoint",
    "DPM2",
    "KDPM2DiscreteScheduler"
))]
#[doc(alias("sample_heun", "sample_dpm_2"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RungeKutta {
    coordinates: Coordinates,
    second: Second,
}

/// Where the second slope is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Second {
    /// At this fraction of the way.
    Fraction(f64),
    /// Half of the way in log-SNR.
    GeometricMean,
}

impl RungeKutta {
    /// Heun's method, in `sigma / alpha`.
    pub const fn heun() -> Self {
        Self {
            coordinates: Coordinates::Noise,
            second: Second::Fraction(1.0),
        }
    }

    /// The midpoint rule, in `sigma / alpha`.
    pub const fn midpoint() -> Self {
        Self {
            coordinates: Coordinates::Noise,
            second: Second::Fraction(0.5),
        }
    }

    /// DPM2 of k-diffusion.
    pub const fn dpm2() -> Self {
        Self {
            coordinates: Coordinates::Noise,
            second: Second::GeometricMean,
        }
    }

    /// The method whose second slope is at this fraction of the way; 2/3 is Ralston's.
    ///
    /// # Errors
    ///
    /// If the fraction is not 0.05 to 1.
    pub fn at_fraction(fraction: f64) -> Result<Self, Error> {
        if !(0.05..=1.0).contains(&fraction) {
            return Err(Error::range(
                "fraction of the second slope",
                fraction,
                "0.05 to 1",
            ));
        }
        Ok(Self {
            coordinates: Coordinates::Noise,
            second: Second::Fraction(fraction),
        })
    }

    /// The same method in other coordinates: `Flow` for the Heun of flow matching.
    #[must_use]
    pub const fn with_coordinates(mut self, coordinates: Coordinates) -> Self {
        self.coordinates = coordinates;
        self
    }
}

impl ReverseStep for RungeKutta {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (c, from, to) = (self.coordinates, path.from(), path.to());
        if !inner(to) || from.is_clean() || !c.reaches(from) {
            return Ok(c.straight_stage(path));
        }
        let whole = c.distance(from, to);
        let (at, middle) = match self.second {
            Second::Fraction(1.0) => (At::To, to),
            Second::Fraction(a) => {
                let snr = c.log_snr(c.clock(from) + a * whole)?;
                (At::LogSnr(snr), path.level_at(snr)?)
            }
            Second::GeometricMean if from.is_noise() => {
                return Ok(c.straight_stage(path));
            }
            Second::GeometricMean => {
                let snr = from.log_snr().toward(to.log_snr(), 0.5);
                (At::LogSnr(snr), path.level_at(snr)?)
            }
        };
        let newest = match self.second {
            Second::Fraction(a) => 0.5 / a,
            Second::GeometricMean => 1.0,
        };
        let update = |to: NoiseLevel, model: &[f64]| {
            let model: Vec<_> = model.iter().map(|d| c.scale(to) * d).collect();
            Update::new(c.scale(to) / c.scale(from)).with_model(model)
        };
        let trial = update(middle, &[c.distance(from, middle)]);
        let commit = update(to, &[whole * newest, whole * (1.0 - newest)]);
        Ok(vec![
            Stage::new(At::From, c.basis()).with_trial(trial),
            Stage::new(at, c.basis()).with_commit(commit),
        ])
    }

    fn name(&self) -> &str {
        match self.second {
            Second::Fraction(1.0) => "Heun",
            Second::Fraction(0.5) => "midpoint",
            Second::Fraction(_) => "two-stage Runge-Kutta",
            Second::GeometricMean => "DPM2",
        }
    }

    fn memory(&self) -> usize {
        2
    }

    fn order(&self) -> u32 {
        2
    }
}
