//! The log-density of one step of a stochastic sampler.

use ndarray::{Array, Dimension};

use super::{
    Continuous, Decoder, InNats, LogDensity, Nats,
    elements::{check_shape, checked, learned, sum_items},
};
use crate::{
    Error, Prediction, UpdateNoise,
    plan::PlannedStage,
    state::{Real, State, item_len},
};

/// `log p(x_s | x_t)` of each item of an array for a step of a plan that was taken from `x_t` to `x_s` with this
/// answer of the network; `None` for a step that draws nothing, which has no density.
///
/// `sum over the elements of ln N(x_s; state * x_t + model * prediction, std^2)`, in nats per item.
///
/// $$\log p(x_s\mid x_t)=\sum_j\ln\mathcal N\big(x_{s,j};\ \mu_j,\ \texttt{std}_j^2\big)$$
///
/// [`StepDensity`] has a floor under the deviation. Asked again with the answer of a changed network it gives the numerator of the importance ratio
/// of policy gradients on samplers. The sum is not divided by the number of elements.
///
/// # Errors
///
/// If a shape differs or a needed variance is missing; if the step is more than one Gaussian given one
/// answer, as those of multi-step, multi-stage and churning solvers are.
///
/// [Source](crate::docs::papers#arxiv-2305.13301): Training Diffusion Models with Reinforcement Learning, Black, Janner, Du,
/// Kostrikov, Levine, 2024, section 4.3.
///
/// ```
/// use gaussian_diffusion::{Grid, SeededNoise, Plan, Prediction, likelihood::step_log_density};
/// use gaussian_diffusion::{schedule::Discrete, solver::Ddpm};
/// use ndarray::Array2;
/// let schedule = Discrete::cosine(100)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 4)?, &Ddpm::default())?;
/// let mut noise = SeededNoise::new(1);
/// let start: Array2<f64> = plan.prior((2, 3), &mut noise)?;
/// let mut run = plan.start_from(start, &mut noise)?;
/// for planned in plan.stages() {
///     let Some((x, _)) = run.pending() else { break };
///     let (before, answer) = (x.clone(), Prediction::noise(x.mapv(|x| 0.9 * x)));
///     run.supply(answer.clone(), &mut noise)?;
///     let found = step_log_density(planned, &before, &answer, run.state())?;
///     assert_eq!(found.is_some(), !planned.point.to.is_clean());
/// }
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("log_prob", "DDPO"))]
pub fn step_log_density<T, A: Real, D: Dimension>(
    planned: &PlannedStage<T>,
    x_t: &Array<A, D>,
    prediction: &Prediction<Array<A, D>>,
    x_s: &Array<A, D>,
) -> Result<Option<Vec<LogDensity>>, Error> {
    StepDensity::default().log_density(planned, x_t, prediction, x_s)
}

/// [`step_log_density`] with a floor under the deviation: a step of less noise, or of none, is taken for one of this.
///
/// The ratio of two densities grows without bound as the deviation falls, which the last steps of a sampler show
/// first. With a floor all steps have a density, those of deterministic samplers and to the data too; it is no longer that of
/// the draws. [`LeastNoise`](crate::solver::LeastNoise) has the draws to match.
///
/// [Source](crate::docs::papers#arxiv-2409.00588): Diffusion Policy Policy Optimization, Ren, Lidard, Ankile, Simeonov, Agrawal,
/// Majumdar, Burchfiel, Dai, Simchowitz, 2024 (0.1).
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, Prediction, likelihood::StepDensity, schedule::Discrete, solver::Ddim};
/// use ndarray::array;
/// let schedule = Discrete::cosine(100)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 4)?, &Ddim::default())?;
/// let (x, answer) = (array![[0.3]], Prediction::noise(array![[0.1]]));
/// let density = StepDensity::default().with_least_std(0.1)?;
/// // Deterministic; off by one tenth from where the step goes.
/// let planned = &plan.stages()[1];
/// let update = planned.stage.commit.clone().unwrap();
/// let x0 = answer.clone().to(planned.stage.basis, &x, planned.point.level)?.value;
/// let next = &x * update.state + x0 * update.model[0] + 0.1;
/// let found = density.log_density(planned, &x, &answer, &next)?.unwrap()[0].nats().get();
/// let expected = -0.5 - (0.1 * (2.0 * std::f64::consts::PI).sqrt()).ln();
/// assert!((found - expected).abs() < 1e-12);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("min_logprob_denoising_std", "DPPO"))]
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StepDensity {
    least: f64,
}

impl StepDensity {
    /// The same with this least standard deviation.
    ///
    /// # Errors
    ///
    /// If it is negative or not finite.
    pub fn with_least_std(self, least: f64) -> Result<Self, Error> {
        if !(least >= 0.0 && least.is_finite()) {
            let allowed = "a finite number from 0 on";
            return Err(Error::range("least deviation", least, allowed));
        }
        Ok(Self { least })
    }

    /// As [`step_log_density`]; `None` for a step that draws nothing only where the floor is 0.
    ///
    /// # Errors
    ///
    /// As [`step_log_density`].
    pub fn log_density<T, A: Real, D: Dimension>(
        self,
        planned: &PlannedStage<T>,
        x_t: &Array<A, D>,
        prediction: &Prediction<Array<A, D>>,
        x_s: &Array<A, D>,
    ) -> Result<Option<Vec<LogDensity>>, Error> {
        check_shape("state after the step", x_s, x_t)?;
        check_shape("prediction", &prediction.value, x_t)?;
        let (stage, point) = (&planned.stage, &planned.point);
        let commit = match &stage.commit {
            Some(commit)
                if commit.model.len() <= 1 && stage.trial.is_none() && stage.renoise.is_none() =>
            {
                commit
            }
            _ => {
                return Err(Error::Missing {
                    what: "a step that is one Gaussian given one prediction",
                    needed_by: "its log-density",
                });
            }
        };
        if commit.noise == UpdateNoise::NONE && self.least == 0.0 {
            return Ok(None);
        }
        let variance = learned(prediction, commit.noise)?;
        if let Some(variance) = variance {
            check_shape("variance of the prediction", variance, x_t)?;
        }
        let newest = commit.model.first().copied().unwrap_or(0.0);
        let map = prediction.parameterization.to(stage.basis, point.level)?;
        let (own, model) = (commit.state + newest * map.state, newest * map.prediction);
        let (offset, scale) = commit.noise.log_variance_map();
        let least = 2.0 * self.least.ln();
        let mut elements = x_t.iter().zip(&prediction.value).zip(x_s);
        let mut said = variance.map(|variance| variance.iter());
        let sums = sum_items(x_t.items(), item_len(x_t), |_| {
            let Some(((x_t, p), x_s)) = elements.next() else {
                return Ok(0.0);
            };
            let v = said
                .as_mut()
                .and_then(Iterator::next)
                .map_or(0.0, |v| v.get());
            let mean = own * x_t.get() + model * p.get();
            let log_variance = offset + scale * v;
            // A NaN stays one.
            let log_variance = if log_variance < least {
                least
            } else {
                log_variance
            };
            let log_variance = checked(log_variance, point.step)?;
            Ok(Continuous
                .log_likelihood(x_s.get(), mean, log_variance)?
                .get())
        })?;
        if sums.iter().any(|sum| sum.is_nan()) {
            let what = "a state or the prediction";
            return Err(Error::NotFinite {
                what,
                step: point.step,
            });
        }
        let density = |sum| LogDensity::of_nats(Nats::of(sum));
        Ok(Some(sums.into_iter().map(density).collect()))
    }
}
