//! Lessons without a network.

use ndarray::{Array, Array2, Axis};

use crate::{Denoiser, Error, GaussianMixture, Point, Prediction, Variance, plan::Affine};

/// The Gaussians of a mixture as a network on arrays to learn from, each for itself: the expected errors of a fit over
/// all starts, with no draw and no network.
///
/// The exact denoiser of a Gaussian is affine, and so is all that a sampler makes of a start `z`: in the axes
/// of the Gaussian every coordinate is `a + b z`, with an expected square of `a^2 + b^2`. Two rows hold all of
/// it: one is the way of the start 0, with the Gaussian's mean, and one that of the start 1 in every
/// coordinate, without it. A fit to these rows is the fit to infinitely many starts.
///
/// Make the mixture of the mean and the covariance of data, one Gaussian a class
/// ([`GaussianMixture::of_samples`]). Take no more than two predictions: as many as there are different
/// variances could follow every Gaussian exactly, and the network is none.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, Plan, fit::{Fit, Gaussians, Lesson}};
/// use gaussian_diffusion::{schedule::Discrete, solver::{Coordinates, DpmSolver, ExponentialAdams}};
/// let schedule = Discrete::cosine(1000)?;
/// let data = GaussianMixture::diagonal(&[(1.0, [0.5, -0.5], [0.3, 0.01])])?;
/// let mut gaussians = Gaussians::of(&data);
/// let grid = Grid::uniform_log_snr(&schedule, 100)?;
/// let fine = Plan::new(&schedule, &grid, &ExponentialAdams::new(3, Coordinates::Data)?)?;
/// let lesson = Lesson::new(&fine, gaussians.starts(fine.prior_std()), &mut gaussians)?;
/// let lesson = lesson.with_weights(&gaussians.weights())?;
/// let base = Plan::new(&schedule, &Grid::trailing(&schedule, 6)?, &DpmSolver::plus_plus(2)?)?;
/// let fitted = Fit::default().plan(&base, &lesson, &mut gaussians)?;
/// assert!(fitted.after < 0.1 * fitted.before);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Gaussians {
    weights: Vec<f64>,
    /// Means and variances in the axes of each, two rows a Gaussian.
    means: Array2<f64>,
    variances: Array2<f64>,
}

impl Gaussians {
    /// Those of a mixture.
    pub fn of(mixture: &GaussianMixture) -> Self {
        let (count, size) = (mixture.components(), mixture.dimension());
        let mut weights = Vec::new();
        let mut means = Array2::zeros((2 * count, size));
        let mut variances = Array2::zeros((2 * count, size));
        for (i, (weight, mean, along)) in mixture.in_axes().enumerate() {
            weights.extend([weight; 2]);
            means.row_mut(2 * i).assign(&mean);
            variances.row_mut(2 * i).assign(&along);
            variances.row_mut(2 * i + 1).assign(&along);
        }
        Self {
            weights,
            means,
            variances,
        }
    }

    /// The rows that a run starts from whose [prior](crate::Plan::prior) has this deviation.
    pub fn starts(&self, prior_std: f64) -> Array2<f64> {
        let mut starts = Array2::zeros(self.means.dim());
        for mut row in starts.axis_iter_mut(Axis(0)).skip(1).step_by(2) {
            row.fill(prior_std);
        }
        starts
    }

    /// How much each row counts: the weight of its Gaussian.
    pub fn weights(&self) -> Vec<f64> {
        self.weights.clone()
    }
}

impl<T> Denoiser<Array2<f64>, T> for Gaussians {
    fn predict(&mut self, x: &Array2<f64>, at: Point<T>) -> Result<Prediction<Array2<f64>>, Error> {
        if x.dim() != self.means.dim() {
            return Err(Error::Shape {
                what: "rows of the Gaussians",
                expected: self.means.shape().to_vec(),
                found: x.shape().to_vec(),
            });
        }
        let mut answer = Array::zeros(x.dim());
        let each = self.means.iter().zip(&self.variances).zip(x);
        for (((mean, variance), x), answer) in each.zip(&mut answer) {
            let Affine { slope, offset } =
                Affine::of_gaussian(*mean, Variance::new(*variance)?, at.level);
            *answer = slope * x + offset;
        }
        Ok(Prediction::x0(answer))
    }
}
