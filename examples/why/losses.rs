//! What samplers with exact predictors lose on a Gaussian field, in closed form.
//!
//! Distances are between the data `p` and what is drawn, `q`, both Gaussian with mean 0, in nats.

use gaussian_diffusion::{
    Error, Grid, LogSnr, Plan, SeededNoise, Time, Variance, gaussian_kl,
    noise::{NoiseSource, Scale},
    plan::{Affine, Moments},
    schedule::LogSnrLinear,
    solver::{Ddim, Ddpm, DpmSolver},
};
use nalgebra::{Cholesky, DMatrix, Dyn};
use ndarray::Array2;

/// The covariance `exp(-distance / length)` of the pixels of a square, row by row.
pub fn covariance(side: usize, length: f64) -> DMatrix<f64> {
    let place = |pixel: usize| ((pixel / side) as f64, (pixel % side) as f64);
    DMatrix::from_fn(side * side, side * side, |i, j| {
        let ((a, b), (c, d)) = (place(i), place(j));
        (-(a - c).hypot(b - d) / length).exp()
    })
}

/// The two divergences between data and draws.
#[derive(Debug, Clone, Copy, Default)]
pub struct Loss {
    /// `KL(p || q)`: the log-likelihood of data that is lost.
    pub of_data: f64,
    /// `KL(q || p)`: how unlikely draws are as data.
    pub of_draws: f64,
}

impl Loss {
    fn plus(self, other: Self) -> Self {
        Self {
            of_data: self.of_data + other.of_data,
            of_draws: self.of_draws + other.of_draws,
        }
    }
}

/// Autoregression with exact conditional distributions, in one order of the pixels.
pub struct Autoregression {
    /// The Cholesky factor of the covariance in this order: `x = L z` with independent `z`, and
    /// `z_1, .., z_i` says what `x_1, .., x_i` says.
    factor: DMatrix<f64>,
}

impl Autoregression {
    /// `None` if the matrix is no covariance.
    pub fn new(covariance: &DMatrix<f64>, order: &[usize]) -> Option<Self> {
        let ordered = DMatrix::from_fn(order.len(), order.len(), |i, j| {
            covariance[(order[i], order[j])]
        });
        let factor = Cholesky::<f64, Dyn>::new(ordered)?.unpack();
        Some(Self { factor })
    }

    /// The Cholesky factor of the covariance in this order; the pictures draw fields with it.
    #[allow(dead_code)]
    pub fn factor(&self) -> &DMatrix<f64> {
        &self.factor
    }

    /// The loss if `size` pixels at a time are drawn independently, given those before them.
    ///
    /// Given those before, `z` of a group is `N(0, I)` under `p`, and its pixels are `L z` with the
    /// block `L` of the factor. Under `q` they are `S e`, `e ~ N(0, I)`, with the same variances: the
    /// squared rows of `L`. Both sums over groups then are KL divergences of `N(0, L L')` and `N(0, S^2)`.
    pub fn loss(&self, size: usize) -> Loss {
        let mut sum = Loss::default();
        let pixels = self.factor.nrows();
        for first in (0..pixels).step_by(size.max(1)) {
            let count = size.min(pixels - first);
            let block = self.factor.view((first, first), (count, count));
            let scales: Vec<_> = block.row_iter().map(|row| row.norm()).collect();
            // The rows of S^-1 L have length 1: its determinant is that of the correlations.
            let mut scaled = block.clone_owned();
            for (mut row, scale) in scaled.row_iter_mut().zip(&scales) {
                row /= *scale;
            }
            let log_det: f64 = scaled.diagonal().iter().map(|x| x.ln()).sum();
            let unit = DMatrix::identity(count, count);
            let inverse = scaled.solve_lower_triangular(&unit);
            let spread = inverse.map_or(f64::INFINITY, |inverse| inverse.norm_squared());
            sum = sum.plus(Loss {
                of_data: -log_det,
                of_draws: 0.5 * (spread - count as f64) + log_det,
            });
        }
        sum
    }
}

/// Seeded orders of so many pixels, all as likely.
pub fn random_orders(count: usize, pixels: usize) -> Result<Vec<Vec<usize>>, Error> {
    let mut keys = Array2::<f64>::zeros((count, pixels));
    SeededNoise::new(0).add(&mut keys, Scale::Same(1.0), None)?;
    let order = |keys: ndarray::ArrayView1<f64>| {
        let mut order: Vec<_> = (0..pixels).collect();
        order.sort_by(|&i, &j| keys[i].total_cmp(&keys[j]));
        order
    };
    Ok(keys.rows().into_iter().map(order).collect())
}

/// The mean loss over several orders.
pub fn mean_loss(orders: &[Autoregression], size: usize) -> Loss {
    let share = 1.0 / orders.len() as f64;
    let sum = orders.iter().map(|order| order.loss(size));
    let sum = sum.fold(Loss::default(), Loss::plus);
    Loss {
        of_data: sum.of_data * share,
        of_draws: sum.of_draws * share,
    }
}

/// The samplers that are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Diffusion {
    Ddpm,
    Ddim,
    DpmPlusPlus2M,
}

impl Diffusion {
    pub const ALL: [Self; 3] = [Self::Ddpm, Self::Ddim, Self::DpmPlusPlus2M];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Ddpm => "DDPM",
            Self::Ddim => "DDIM",
            Self::DpmPlusPlus2M => "DPM++ 2M",
        }
    }

    /// A plan of so many evaluations, even in log-SNR, half of which goes from `-end` to `end`, and
    /// then the data.
    pub fn plan(self, evaluations: usize, end: f64) -> Result<Plan<Time>, Error> {
        let (from, to) = (LogSnr::new(-2.0 * end)?, LogSnr::new(2.0 * end)?);
        let schedule = LogSnrLinear::new(from, to)?;
        let grid = Grid::uniform_log_snr(&schedule, evaluations)?;
        match self {
            Self::Ddpm => Plan::new(&schedule, &grid, &Ddpm::default()),
            Self::Ddim => Plan::new(&schedule, &grid, &Ddim::default()),
            Self::DpmPlusPlus2M => Plan::new(&schedule, &grid, &DpmSolver::plus_plus(2)?),
        }
    }
}

/// The loss of a plan with the exact denoiser of data whose covariance has these eigenvalues.
///
/// The denoiser is linear, and in the basis of eigenvectors each coordinate is a problem of its own:
/// the plan carries its variance from noise to data.
pub fn loss_of_plan(plan: &Plan<Time>, eigenvalues: &[f64]) -> Result<Loss, Error> {
    let noise = Moments {
        mean: 0.0,
        variance: plan.prior_std().powi(2),
    };
    let mut sum = Loss::default();
    for &eigenvalue in eigenvalues {
        let data = Variance::new(eigenvalue)?;
        let end = plan.carry(noise, |level| Affine::of_gaussian(0.0, data, level))?;
        let drawn = Variance::new(end.variance)?;
        sum = sum.plus(Loss {
            of_data: gaussian_kl(0.0, data, end.mean, drawn),
            of_draws: gaussian_kl(end.mean, drawn, 0.0, data),
        });
    }
    Ok(sum)
}
