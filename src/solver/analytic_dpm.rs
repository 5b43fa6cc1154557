//! Ancestral sampling with the best variance.

use super::{Path, ReverseStep, Stage};
use crate::{
    DenoisingVariance, Error, NoiseLevel, NonMarkovian, Posterior, ReverseVariance, UpdateNoise,
    Variance,
};

/// Analytic-DPM: the step of [`Ddpm`](super::Ddpm), or of [`Ddim`](super::Ddim), with the variance that has the
/// least divergence from the true reverse process.
///
/// The posterior's mean with the predicted data in place of the data misses what the prediction leaves open,
/// [`V_t`](DenoisingVariance). With the posterior's coefficients `clean` and `std`,
///
/// ```text
/// variance = std^2 + clean^2 V_t
/// ```
///
/// $$\sigma_*^2=\tilde\sigma^2+\texttt{clean}^2\thinspace V_t,\qquad
///   \tilde\sigma^2\ \le\ \sigma_*^2\ \le\ \tilde\sigma^2+\texttt{clean}^2\thinspace\frac{\sigma_t^2}{\alpha_t^2}$$
///
/// For Gaussian data with the same variance in all directions every step is then exact, however long. As with
/// [`FixedLarge`](crate::ModelVariance::FixedLarge), the deviation law of solvers, which is of a point, is kept only
/// where nothing is left open.
///
/// [Source](crate::docs::papers#arxiv-2201.06503): Analytic-DPM: an Analytic Estimate of the Optimal Reverse Variance in
/// Diffusion Probabilistic Models, Bao, Li, Zhu, Zhang, 2022, theorems 1 and 2.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, LogSnr, Plan, SeededNoise, fit, schedule::Cosine, solver::AnalyticDpm};
/// let mut net = GaussianMixture::isotropic(&[(0.5, [-0.5], 0.04), (0.5, [0.5], 0.04)])?;
/// let grid = Grid::uniform_log_snr_between(&Cosine, 10, LogSnr::new(-9.0)?, LogSnr::new(9.0)?)?;
/// // From samples of the data, the network's own or those it was trained on.
/// let data = ndarray::Array2::from_shape_fn((500, 1), |(i, _)| if i % 2 == 0 { 0.5 } else { -0.5 });
/// let mut noise = SeededNoise::new(0);
/// let open = fit::noise_moments(&grid, &data, &mut net, &mut noise)?.within(-1.0, 1.0)?;
/// let plan = Plan::new(&Cosine, &grid, &AnalyticDpm::new(open))?;
/// let start: ndarray::Array2<f64> = plan.prior((4, 1), &mut noise)?;
/// let x0 = plan.sample(start, &mut net, &mut noise)?;
/// assert_eq!(x0.dim(), (4, 1));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("Analytic-DPM", "Analytic-DDPM", "Analytic-DDIM", "optimal variance"))]
#[derive(Debug, Clone, PartialEq)]
pub struct AnalyticDpm {
    open: DenoisingVariance,
    posterior: NonMarkovian,
}

impl AnalyticDpm {
    /// The steps of DDPM, for a network that leaves this open.
    pub fn new(open: DenoisingVariance) -> Self {
        Self {
            open,
            posterior: NonMarkovian::MARKOV,
        }
    }

    /// The steps of DDIM with this eta: 1 is DDPM, and 0 still draws what is left open.
    ///
    /// # Errors
    ///
    /// If eta is negative, NaN or infinite.
    pub fn with_eta(mut self, eta: f64) -> Result<Self, Error> {
        self.posterior = NonMarkovian::new(eta)?;
        Ok(self)
    }

    /// The best variance of a step.
    ///
    /// # Errors
    ///
    /// If the step does not go down, eta is too large for it, or it leaves a level where the variance is not known.
    pub fn variance(&self, from: NoiseLevel, to: NoiseLevel) -> Result<Variance, Error> {
        let q = self.posterior.coefficients(from, to)?;
        Variance::new(q.std * q.std + q.clean * q.clean * self.open.at(from)?.get())
    }

    /// The least and the most that the best variance of a step can be, whatever the data: nothing left open, and
    /// everything.
    ///
    /// Data between two numbers leaves no more open than [`DenoisingVariance::within`] says.
    ///
    /// # Errors
    ///
    /// If the step does not go down, eta is too large for it, or no signal is left where it starts.
    pub fn bounds(&self, from: NoiseLevel, to: NoiseLevel) -> Result<(Variance, Variance), Error> {
        let q = self.posterior.coefficients(from, to)?;
        let (least, all) = (q.std * q.std, q.clean * from.noise_to_signal());
        if !all.is_finite() {
            return Err(Error::Singular {
                what: "the bound of a variance",
                alpha: from.alpha(),
                sigma: from.sigma(),
            });
        }
        Ok((Variance::new(least)?, Variance::new(least + all * all)?))
    }
}

impl ReverseStep for AnalyticDpm {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        let q = self.posterior.coefficients(from, to)?;
        let std = match to.is_clean() {
            true => 0.0,
            false => self.variance(from, to)?.std(),
        };
        Ok(vec![Stage::from_posterior(q, to, UpdateNoise::Std(std))])
    }

    fn name(&self) -> &str {
        match self.posterior.eta() == 1.0 {
            true => "Analytic-DPM",
            false => "Analytic-DDIM",
        }
    }

    fn follows_points(&self) -> bool {
        false
    }
}

/// For the bound, which is that of the Markov chain. The variance of the step to the data is clipped like the
/// posterior's.
impl ReverseVariance for AnalyticDpm {
    fn update_noise(
        &self,
        from: NoiseLevel,
        to: NoiseLevel,
        previous: Option<(NoiseLevel, NoiseLevel)>,
    ) -> Result<UpdateNoise, Error> {
        if self.posterior.eta() != 1.0 {
            return Err(Error::range("eta", self.posterior.eta(), "1, for a bound"));
        }
        if to.is_clean() {
            return crate::ModelVariance::FixedSmall.update_noise(from, to, previous);
        }
        Ok(UpdateNoise::Std(self.variance(from, to)?.std()))
    }
}
