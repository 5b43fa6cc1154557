//! The log-density that a plan carries along the probability flow.

use std::{collections::VecDeque, fmt::Debug};

use ndarray::{Array, Dimension};

use super::{
    Divergence, Estimate, LogDensity,
    flow_density::{estimates, priors},
};
use crate::{
    Error, NoiseLevel, Parameterization, Plan, SeededNoise,
    error::Number,
    solver::{Coordinates, Update},
    state::{Real, State, item_len},
};

/// The probability flow as a deterministic plan takes it, with the density that it carries.
///
/// Every deterministic update integrates `dy/du = P` along `y = x / n`, where `P` is what the stage
/// works with and `n` the scale of its [`Coordinates`]. The log-density obeys `-div_y P` along the
/// same way, and the plan's own quadrature integrates that as well:
///
/// ```text
/// x_t = a x_s + sum of b_i P_i,   log p(x_t) = log p(x_s) - D ln a - sum of (b_i / n_t) n_i div_x P_i
/// ```
///
/// $$\log p(x_t)=\log p(x_s)-D\ln a-\sum_i\frac{b_i}{n_t}\thinspace n_i\thinspace\nabla_x\cdot P_i$$
///
/// Multi-step, multi-stage and predictor-corrector plans, one way or the other: an
/// [inverted](crate::Grid::inverted) plan takes data to noise and gives the log-density of the data,
/// any other takes noise to data and gives that of its result. At the noise end `p` is
/// `N(0, (alpha^2 + sigma^2) I)`, as for the other likelihoods. The error is of the order of the
/// solver; [`ProbabilityFlow`](super::ProbabilityFlow) chooses its steps by a tolerance instead.
///
/// [Source](crate::docs::papers#arxiv-2011.13456): Score-Based Generative Modeling through Stochastic Differential Equations,
/// Song et al., 2021, section 4.3.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, LogSnr, Plan, schedule::Cosine};
/// use gaussian_diffusion::{likelihood::{InNats, PlannedFlow}, solver::UniPc};
/// use ndarray::array;
/// let mut data = GaussianMixture::isotropic(&[(1.0, &[-1.0][..], 0.1), (1.0, &[1.0][..], 0.1)])?;
/// let (top, end) = (LogSnr::new(-18.0)?, LogSnr::new(9.0)?);
/// let grid = Grid::uniform_log_snr_between(&Cosine, 200, top, end)?.without_final_step()?;
/// let plan = Plan::new(&Cosine, &grid.inverted(), &UniPc::new(2)?)?;
/// let found = PlannedFlow::of(&plan)?.log_density(&array![[0.8_f64]], &mut data)?;
/// let expected = data.log_density(&[0.8], grid.end())?;
/// let off = found.log_density[0].value.nats().get() - expected;
/// assert!(off.abs() < 1e-3, "{off}");
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("log_prob", "likelihood", "continuous normalizing flow"))]
#[derive(Debug, Clone)]
pub struct PlannedFlow<'p, T> {
    plan: &'p Plan<T>,
    stages: Vec<Carried>,
}

/// What a stage does to the log-density.
#[derive(Debug, Clone)]
struct Carried {
    basis: Parameterization,
    /// `n` where the network is asked.
    scale: f64,
    commit: Option<Quadrature>,
}

/// `-D ln a` and the weights `b_i / n_t`, the newest first.
#[derive(Debug, Clone)]
struct Quadrature {
    log_state: f64,
    weights: Vec<f64>,
}

/// Where a plan led, and the density of the data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PlannedLikelihood<V> {
    /// The log-density of each item at the data end, in nats, with the standard error of the probes (0
    /// where the divergence is exact, infinite for a single probe).
    pub log_density: Vec<Estimate<LogDensity>>,
    /// The state at the end of the plan: noise, or data.
    pub state: V,
}

impl<'p, T: Copy + Debug> PlannedFlow<'p, T> {
    /// The flow along this plan.
    ///
    /// # Errors
    ///
    /// If the plan draws noise, works in terms other than noise, data and flow, or has a step that
    /// does not follow the flow or keeps nothing of the state, as one for the data to the clean level:
    /// end such plans short of it.
    pub fn of(plan: &'p Plan<T>) -> Result<Self, Error> {
        let mut stages = Vec::with_capacity(plan.evaluations());
        // The coordinates and the scale of the state, and what the pending trial has made of it.
        let mut stands: Option<(Coordinates, f64)> = None;
        let mut trial: Option<f64> = None;
        for planned in plan.stages() {
            let (stage, level) = (&planned.stage, planned.point.level);
            let updates = [&stage.renoise, &stage.commit, &stage.trial];
            let draws = |update: &Update| update.noise.draws();
            if stage.renoise.is_some() || updates.into_iter().flatten().any(draws) {
                return Err(lacking("a plan that draws nothing"));
            }
            let own = Coordinates::of_basis(stage.basis)
                .ok_or_else(|| lacking("a plan in terms of noise, data or flow"))?;
            let scale = own.scale(level);
            let before = match (stands, trial) {
                (Some((c, before)), Some(to_trial)) if c == own => {
                    fits(before * to_trial, scale)?;
                    before
                }
                (_, Some(_)) => return Err(lacking("a step in the same terms throughout")),
                (Some((c, before)), None) if c == own => {
                    fits(before, scale)?;
                    scale
                }
                // Other coordinates begin where the state stands.
                (_, None) => scale,
            };
            let mut after = before;
            let commit = stage.commit.as_ref().map(|commit| {
                after *= commit.state;
                if !(after > 0.0) {
                    let allowed = "above 0 where a density is carried";
                    return Err(Error::range(
                        "coefficient of the state",
                        commit.state,
                        allowed,
                    ));
                }
                Ok(Quadrature {
                    log_state: commit.state.ln(),
                    weights: commit.model.iter().map(|b| b / after).collect(),
                })
            });
            stages.push(Carried {
                basis: stage.basis,
                scale,
                commit: commit.transpose()?,
            });
            stands = Some((own, after));
            trial = stage.trial.as_ref().map(|trial| trial.state);
        }
        if let Some((own, scale)) = stands {
            fits(scale, own.scale(plan.end()))?;
        }
        Ok(Self { plan, stages })
    }

    /// The log-density of each item of an array: of `x` if the plan is inverted, or else of the result for the
    /// noise `x`.
    ///
    /// # Errors
    ///
    /// As [`Plan::sample`]; if there is not one divergence for each item, or one is not finite; or if
    /// the network displaces the data ([`Prediction::shift`](crate::Prediction::shift)), which is no
    /// flow.
    pub fn log_density<A, D, N>(
        &self,
        x: &Array<A, D>,
        network: &mut N,
    ) -> Result<PlannedLikelihood<Array<A, D>>, Error>
    where
        A: Real,
        D: Dimension,
        N: Divergence<Array<A, D>, T> + ?Sized,
    {
        let (items, length) = (x.items(), item_len(x));
        let sums = network.probes().unwrap_or(1);
        let mut gained = vec![vec![0.0; items]; sums];
        let mut history: VecDeque<Vec<Vec<f64>>> = VecDeque::new();
        // Nothing is drawn.
        let mut noise = SeededNoise::new(0);
        let mut run = self.plan.start_from(x.clone(), &mut noise)?;
        for carried in &self.stages {
            let (shown, at) = run.pending().ok_or(Error::Finished)?;
            let (prediction, divergence) = network.predict(shown, at)?;
            if prediction.shift.is_some() {
                return Err(lacking("a prediction that displaces nothing"));
            }
            let map = prediction.parameterization.to(carried.basis, at.level)?;
            let mut slopes = divergence.lists(sums, items)?;
            for slope in slopes.iter_mut().flatten() {
                let own = map.state * length as f64 + map.prediction * *slope;
                *slope = carried.scale * own;
                if !slope.is_finite() {
                    let what = "the divergence of the network";
                    return Err(Error::NotFinite {
                        what,
                        step: at.step,
                    });
                }
            }
            history.push_front(slopes);
            history.truncate(self.plan.memory());
            if let Some(commit) = &carried.commit {
                for (probe, gained) in gained.iter_mut().enumerate() {
                    commit.apply(gained, length, history.iter().filter_map(|s| s.get(probe)));
                }
            }
            run.supply(prediction, &mut noise)?;
        }
        let (start, end) = (self.plan.start(), self.plan.end());
        let std = |level: NoiseLevel| level.alpha().hypot(level.sigma());
        let (own, sign) = match end.is_noisier_than(start) {
            true => {
                // As it is kept, before it is rounded.
                let latent = run.state().iter().map(|x| x.get());
                (priors(latent, std(end), items, length)?, -1.0)
            }
            false => {
                let latent = x.iter().map(|x| x.get());
                (priors(latent, std(start), items, length)?, 1.0)
            }
        };
        let exact = network.probes().is_none();
        let gains = |i: usize| {
            gained
                .iter()
                .map(move |list| sign * list.get(i).copied().unwrap_or(0.0))
        };
        Ok(PlannedLikelihood {
            log_density: estimates(&own, gains, exact)?,
            state: run.into_state(),
        })
    }
}

impl Quadrature {
    /// Adds what the log-density of each item gains.
    fn apply<'a>(
        &self,
        gained: &mut [f64],
        length: usize,
        slopes: impl Iterator<Item = &'a Vec<f64>>,
    ) {
        for gained in gained.iter_mut() {
            *gained -= length as f64 * self.log_state;
        }
        for (weight, slopes) in self.weights.iter().zip(slopes) {
            for (gained, slope) in gained.iter_mut().zip(slopes) {
                *gained -= weight * slope;
            }
        }
    }
}

fn lacking(what: &'static str) -> Error {
    let needed_by = "the log-density along a plan";
    Error::Missing { what, needed_by }
}

/// Refuses a scale of the state that is not that of its coordinates.
fn fits(found: f64, expected: f64) -> Result<(), Error> {
    // Products of a thousand coefficients, each rounded, keep more digits than this.
    if (found - expected).abs() <= 1e-9 * expected {
        return Ok(());
    }
    let allowed = format!("{} along the flow", Number(expected));
    Err(Error::range("scale of the state", found, allowed))
}
