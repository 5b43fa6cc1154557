//! Pseudo numerical methods: Adams-Bashforth on the noise with a start of its own.

use super::{
    At, Coordinates, Path, ReverseStep, Stage, Update, exponential::inner,
    linear_multistep::even_weights,
};
use crate::{Error, NoiseLevel};

/// PNDM and PLMS: the four-step coefficients of equal steps, on the noise.
///
/// ```text
/// x_s = (alpha_s / alpha_t) x_t + alpha_s (rho_s - rho_t) e,   rho = sigma / alpha
/// e = (55 e_0 - 59 e_1 + 37 e_2 - 9 e_3) / 24
/// ```
///
/// $$x_s=\frac{\alpha_s}{\alpha_t}x_t+\alpha_s\Big(\frac{\sigma_s}{\alpha_s}-\frac{\sigma_t}{\alpha_t}
///   \Big)\hat e$$
///
/// [`plms`](Self::plms) makes its first step with the mean of two slopes (two evaluations) and then
/// raises the order with what it has. [`runge_kutta`](Self::runge_kutta) makes its first three steps
/// with the classical Runge-Kutta method, each over **two** intervals of the grid: the node between
/// the two ends is where the middle slopes are taken. The coefficients are those of equal steps: the
/// order is 2 where steps in `rho` change smoothly, and 1 where they do not.
///
/// [Source](crate::docs::papers#arxiv-2202.09778): Pseudo Numerical Methods for Diffusion Models on Manifolds, Liu, Ren, Lin,
/// Zhao, 2022.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::Pndm};
/// let schedule = Discrete::stable_diffusion()?;
/// let plan = Plan::new(&schedule, &Grid::leading(&schedule, 10, 1)?, &Pndm::plms())?;
/// assert_eq!(plan.evaluations(), 11);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("PLMS", "PNDMScheduler", "skip_prk_steps"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pndm {
    warm_up: bool,
    empty_step: bool,
}

/// Slopes of a Runge-Kutta step.
const SLOPES: usize = 4;
/// Intervals of the grid that the Runge-Kutta steps take.
const WARM_UP: usize = 6;

impl Pndm {
    /// Without Runge-Kutta steps, as Stable Diffusion used it.
    pub const fn plms() -> Self {
        Self {
            warm_up: false,
            empty_step: false,
        }
    }

    /// With three Runge-Kutta steps on the first six intervals of the grid.
    pub const fn runge_kutta() -> Self {
        Self {
            warm_up: true,
            empty_step: false,
        }
    }

    /// Ends with an empty step after the last one, from a level to itself: a run of a single other step
    /// has the second evaluation of the start, at the level it ends at.
    ///
    /// A run to the data has none.
    #[must_use]
    pub const fn with_empty_last_step(mut self) -> Self {
        self.empty_step = true;
        self
    }

    /// The stages of half a Runge-Kutta step: three slopes, or the fourth.
    fn warm_up(path: &Path<'_>, is_second_half: bool) -> Vec<Stage> {
        let basis = Coordinates::Noise.basis();
        let level = |i: usize| path.level(i).unwrap_or(path.to());
        let index = path.index();
        if is_second_half {
            let commit = update(
                level(index - 1),
                path.to(),
                &[1.0, 2.0, 2.0, 1.0].map(|w| w / 6.0),
            );
            return vec![Stage::new(At::To, basis).with_commit(commit)];
        }
        let (from, middle, end) = (path.from(), path.to(), level(index + 2));
        let trial = |to| update(from, to, &[1.0]);
        vec![
            Stage::new(At::From, basis).with_trial(trial(middle)),
            Stage::new(At::To, basis).with_trial(trial(middle)),
            Stage::new(At::To, basis).with_trial(trial(end)),
        ]
    }

    /// How many evaluations ago the slope of `age` steps ago was taken.
    fn position(self, index: usize, age: usize) -> usize {
        if self.warm_up {
            let own = index - WARM_UP;
            // Each Runge-Kutta step left four, the oldest of which is the slope of its start.
            age + age.saturating_sub(own) * (SLOPES - 1)
        } else {
            // The first step left two, of which the older one is its start.
            age + usize::from(age == index && index > 0)
        }
    }
}

/// `y_s = y_t + h * sum of weight * slope` in `sigma / alpha`.
fn update(from: NoiseLevel, to: NoiseLevel, weights: &[f64]) -> Update {
    let c = Coordinates::Noise;
    let scale = c.way(from, to);
    let model: Vec<_> = weights.iter().map(|w| scale * w).collect();
    Update::new(c.scale(to) / c.scale(from)).with_model(model)
}

impl ReverseStep for Pndm {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        // There is no slope where there is no signal: the method starts a step later.
        let skipped = usize::from(path.level(0).is_some_and(NoiseLevel::is_noise));
        let steps_of_start = skipped + if self.warm_up { WARM_UP } else { 1 };
        // A warm-up that is the whole run asks at its end.
        let is_start = self.warm_up && path.steps() == steps_of_start;
        let steps = path.steps() + usize::from(self.empty_step);
        let has_start = steps > steps_of_start || is_start && inner(path.end());
        let (true, Some(index)) = (has_start, path.index().checked_sub(skipped)) else {
            return Ok(Coordinates::Noise.straight_stage(path));
        };
        if self.warm_up && index < WARM_UP {
            return Ok(Self::warm_up(path, index % 2 == 1));
        }
        let basis = Coordinates::Noise.basis();
        if index == 0 {
            return Ok(vec![
                Stage::new(At::From, basis).with_trial(update(from, to, &[1.0])),
                Stage::new(At::To, basis).with_commit(update(from, to, &[0.5, 0.5])),
            ]);
        }
        let order = match self.warm_up {
            true => 4,
            false => 4.min(index + 1),
        };
        let mut weights = vec![0.0; self.position(index, order - 1) + 1];
        for (age, weight) in even_weights(order).into_iter().enumerate() {
            if let Some(place) = weights.get_mut(self.position(index, age)) {
                *place = weight;
            }
        }
        let commit = update(from, to, &weights);
        Ok(vec![Stage::new(At::From, basis).with_commit(commit)])
    }

    fn name(&self) -> &str {
        if self.warm_up { "PNDM" } else { "PLMS" }
    }

    fn memory(&self) -> usize {
        if self.warm_up { 13 } else { 5 }
    }

    fn order(&self) -> u32 {
        2
    }

    fn order_on_uneven_steps(&self) -> u32 {
        1
    }
}
