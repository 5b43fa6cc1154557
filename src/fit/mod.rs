//! Samplers fitted to a network: few evaluations, each used as well as a table of numbers can.
//!
//! A sampler is a table of numbers ([`Plan`](crate::Plan)), and every published one has the same numbers for
//! every network. Here they are fitted: a [`Lesson`] is the fine run of a network from a few starts; a grid
//! comes from it by dynamic programming ([`StepErrors`]); the coefficients come from it stage by stage, by
//! linear least squares ([`Fit`]); and both can be [refined](Refinement) by the error at the end. The network
//! is asked and never differentiated. The [page on fitting](crate::docs::fitting) has the derivation, what it
//! costs and what it gains.
//!
//! ```
//! use gaussian_diffusion::{GaussianMixture, Grid, Plan, SeededNoise};
//! use gaussian_diffusion::fit::{Fit, Lesson, StepErrors};
//! use gaussian_diffusion::schedule::Discrete;
//! use gaussian_diffusion::solver::{Coordinates, Ddim, DpmSolver, ExponentialAdams};
//! use ndarray::Array2;
//!
//! let schedule = Discrete::stable_diffusion()?;
//! let mut net = GaussianMixture::isotropic(&[(0.7, [-1.0, 0.0], 0.04), (0.3, [1.0, 0.5], 0.09)])?;
//!
//! let grid = Grid::uniform_log_snr(&schedule, 100)?;
//! let fine = Plan::new(&schedule, &grid, &ExponentialAdams::new(3, Coordinates::Data)?)?;
//! let starts: Array2<f64> = fine.prior((16, 2), &mut SeededNoise::new(1))?;
//! let lesson = Lesson::new(&fine, starts, &mut net)?;
//!
//! let grid = StepErrors::along(&lesson, &Ddim::default())?.grid(5)?;
//! let base = Plan::new(&schedule, &grid, &DpmSolver::plus_plus(2)?)?;
//! let fitted = Fit::default().plan(&base, &lesson, &mut net)?;
//! assert!(fitted.after < 0.5 * fitted.before && !fitted.kept_base);
//! println!("{fitted}\n{:#}", fitted.plan);
//! # Ok::<(), gaussian_diffusion::Error>(())
//! ```
//!
//! A fitted table belongs to its grid, its schedule, its network, the scale of its guidance and its clipping:
//! take no part of it, and start from noise.

mod gaussians;
mod kl_bound;
mod lesson;
mod minimum;
mod model_statistics;
mod moments;
mod refinement;
mod regression;
mod stagewise;
mod step_errors;
mod suited;
mod walk;

use crate::{Error, time::check_count};

pub use gaussians::Gaussians;
pub use lesson::Lesson;
pub use model_statistics::model_statistics;
pub use moments::{denoising_errors, noise_moments};
pub use refinement::Refinement;
pub use stagewise::Fitted;
pub use step_errors::StepErrors;

/// As many predictions as an update may be fitted to: more would be noise of few starts.
const MOST_MEMORY: usize = 8;

/// What is fitted of a plan, and how: each update, in its turn, by linear least squares.
///
/// In step `k` the student has come to its own state `x` and has asked for the data, `p_0`, as in the steps
/// before, `p_1, ..`. The lesson has a state at the level that the step reaches, `y`. The new update is
///
/// ```text
/// x_s = a x_t + sum of b_j p_j,   min over a, b of  mean |y - x_s|^2 + ridge * mean |change|^2
/// ```
///
/// $$x_s=a\thinspace x_t+\sum_jb_j\thinspace p_j,\qquad\min_{a,b}\ \overline{|y-x_s|^2}+\text{ridge}\cdot
///   \sum_j\overline{|\Delta_j f_j|^2}$$
///
/// where a change of the base's coefficient counts by the size of what it multiplies. Where the student errs,
/// later steps see it and mend what they can. A difference that is only rounding teaches nothing: data that
/// is a point keeps its base.
///
/// [Sources](crate::docs::papers#arxiv-2502.17423): the idea, by gradients through the network: S4S: Solving for a Diffusion Model Solver, Frankel, Chen,
/// Li, Koh, Ratliff, Oh, 2025; Bespoke Non-Stationary Solvers for Fast Sampling of Diffusion and Flow Models,
/// Shaul, Singer, Chen, Le, Thabet, Pumarola, Lipman, 2024; DyWeight: Dynamic Gradient Weighting for Few-Step
/// Diffusion Sampling, Zhao, Lei, Yuan, Yang, Song, Wang, Zhu, Zhang, 2026. The stages by least squares are this
/// crate's own.
///
/// See the [module](self) for an example.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    memory: usize,
    state: StateCoefficient,
    ridge: f64,
}

/// What a fit may do with the coefficient of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateCoefficient {
    /// It is fitted like the others.
    #[default]
    Free,
    /// It stays that of the base.
    Fixed,
    /// It is `sigma_s / sigma_t`, and `a alpha_t + sum of b = alpha_s`: a point of data stays exact, as with
    /// every published solver of the flow, and only the differences of predictions are fitted.
    Consistent,
}

impl Default for Fit {
    /// Two predictions, all coefficients free, a ridge of `1e-8`.
    fn default() -> Self {
        Self {
            memory: 2,
            state: StateCoefficient::Free,
            ridge: 1e-8,
        }
    }
}

impl Fit {
    /// With so many predictions in an update, as soon as there are as many; those of the base beyond them
    /// keep their coefficients. Two give most of what there is to gain.
    ///
    /// # Errors
    ///
    /// If it is not 1 to 8.
    pub fn with_memory(mut self, predictions: usize) -> Result<Self, Error> {
        check_count("predictions of a fit", predictions, MOST_MEMORY)?;
        self.memory = predictions;
        Ok(self)
    }

    /// With this freedom of the coefficient of the state.
    #[must_use]
    pub fn with_state(mut self, state: StateCoefficient) -> Self {
        self.state = state;
        self
    }

    /// How much a change of the base costs, as a share of the mean square of what it multiplies.
    ///
    /// 0 is allowed. It is needed where predictions hardly differ from start to start: where a run begins
    /// with a hundred times more noise than data, and for [`Gaussians`].
    ///
    /// # Errors
    ///
    /// If it is negative or not finite.
    pub fn with_ridge(mut self, ridge: f64) -> Result<Self, Error> {
        if !(ridge >= 0.0 && ridge.is_finite()) {
            return Err(Error::range("ridge", ridge, "a finite number from 0 on"));
        }
        self.ridge = ridge;
        Ok(self)
    }
}
