//! What a network did from some starts, in steps that are short enough.

use std::{
    fmt::{self, Debug},
    ops::ControlFlow,
};

use super::suited::{self, NoNoise};
use crate::{
    Denoiser, Error, NoiseLevel, Parameterization, Plan, Prediction,
    error::Number,
    grid::Node,
    solver,
    state::{Keeping, Kept, State},
};

/// The fine run of a network from some starts: what it was shown and what it took the data to be, at every
/// level, from which a state at any level between comes without another question.
///
/// Between two nodes the data is taken for linear in log-SNR, as an exponential integrator does:
///
/// ```text
/// x_s = (sigma_s / sigma_t) x_t + sigma_s * integral of e^lambda x_0(lambda) d lambda
/// ```
///
/// A hundred steps even in log-SNR and eight starts are enough for networks of images. The plan may be that
/// of any solver without noise that goes down; the network is the one that will be sampled from, with its
/// guidance and its corrections.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, Plan, SeededNoise, fit::Lesson};
/// use gaussian_diffusion::{schedule::Discrete, solver::{Coordinates, ExponentialAdams}};
/// use ndarray::Array2;
/// let schedule = Discrete::stable_diffusion()?;
/// let mut net = GaussianMixture::isotropic(&[(0.5, [-1.0], 0.04), (0.5, [1.0], 0.04)])?;
/// let grid = Grid::uniform_log_snr(&schedule, 100)?;
/// let fine = Plan::new(&schedule, &grid, &ExponentialAdams::new(3, Coordinates::Data)?)?;
/// let starts: Array2<f64> = fine.prior((8, 1), &mut SeededNoise::new(1))?;
/// let lesson = Lesson::new(&fine, starts, &mut net)?;
/// let middle = lesson.state_at(fine.levels()[50])?;
/// assert_eq!((middle.dim(), lesson.evaluations()), ((8, 1), 100));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("teacher", "trajectory"))]
pub struct Lesson<V: State, T> {
    pub(super) taught: Vec<Taught<Kept<V>, T>>,
    pub(super) end: Kept<V>,
    pub(super) end_level: NoiseLevel,
    weights: Vec<f64>,
    evaluations: usize,
}

/// A moment of a lesson.
#[derive(Debug, Clone)]
pub(super) struct Taught<K, T> {
    pub node: Node<T>,
    pub x: K,
    pub x0: K,
}

// Derived, this would not ask it of what is kept.
impl<V: State, T: Debug> Debug for Lesson<V, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lesson")
            .field(
                "nodes",
                &self.taught.iter().map(|t| &t.node).collect::<Vec<_>>(),
            )
            .field("end", &self.end_level)
            .field("weights", &self.weights)
            .field("evaluations", &self.evaluations)
            .finish_non_exhaustive()
    }
}

impl<V: State, T: Copy + Debug> Lesson<V, T> {
    /// Runs the plan from these starts and keeps what is seen on the way.
    ///
    /// # Errors
    ///
    /// If the plan draws noise or goes up, or the run fails; or if the answers come with a displacement of
    /// their own, as those of [`CfgPlusPlus`](crate::guidance::CfgPlusPlus).
    pub fn new<D>(plan: &Plan<T>, start: V, network: &mut D) -> Result<Self, Error>
    where
        D: Denoiser<V, T> + ?Sized,
    {
        suited::as_teacher(plan)?;
        network.begin();
        let mut run = plan.start_from(start, &mut NoNoise)?;
        let mut taught: Vec<Taught<Kept<V>, T>> = Vec::with_capacity(plan.steps());
        while let Some((x, at)) = run.pending() {
            let answer = network.predict(x, at)?;
            suited::answer(plan.name(), &answer)?;
            let before = taught.last().map(|taught| taught.node.level);
            if before.is_none_or(|before| before.is_noisier_than(at.level)) {
                let x = run.shown_kept().clone();
                let x0 = data(answer.clone(), &x, at.level)?;
                let (level, time) = (at.level, at.time);
                let node = Node { level, time };
                taught.push(Taught { node, x, x0 });
            }
            run.advance(answer, &mut NoNoise)?;
        }
        let end = run.into_kept();
        Ok(Self {
            weights: vec![1.0; end.items()],
            taught,
            end,
            end_level: plan.end(),
            evaluations: plan.evaluations(),
        })
    }

    /// The same where some starts count more than others.
    ///
    /// # Errors
    ///
    /// If there is not one weight a start, or one is negative or not finite.
    pub fn with_weights(mut self, weights: &[f64]) -> Result<Self, Error> {
        Error::check_length("weights of the starts", self.weights.len(), weights.len())?;
        let wrong = |w: &f64| !(*w >= 0.0 && w.is_finite());
        if let Some((i, bad)) = weights.iter().enumerate().find(|(_, w)| wrong(w)) {
            let allowed = "a finite number from 0 on";
            return Err(Error::element("weights of the starts", i, *bad, allowed));
        }
        self.weights = weights.to_vec();
        Ok(self)
    }

    /// The state at this level, as a run keeps it.
    ///
    /// # Errors
    ///
    /// If the level is outside the lesson.
    pub fn state_at(&self, level: NoiseLevel) -> Result<Kept<V>, Error> {
        let after = self
            .taught
            .partition_point(|taught| !level.is_noisier_than(taught.node.level));
        let Some(here) = after.checked_sub(1).and_then(|i| self.taught.get(i)) else {
            let first = self
                .taught
                .first()
                .filter(|t| nearly_same(t.node.level, level));
            return first
                .map(|first| first.x.clone())
                .ok_or_else(|| self.outside(level));
        };
        if !here.node.level.is_noisier_than(level) {
            return Ok(here.x.clone());
        }
        if !level.is_noisier_than(self.end_level) {
            return match nearly_same(self.end_level, level) {
                true => Ok(self.end.clone()),
                false => Err(self.outside(level)),
            };
        }
        let next = self.taught.get(after);
        let through = next.map(|next| next.node.level);
        let update = solver::toward(here.node.level, through, level);
        let data = [&here.x0].into_iter().chain(next.map(|next| &next.x0));
        let terms: Vec<_> = update.model.iter().copied().zip(data).collect();
        let mut x = here.x.clone();
        x.combine(update.state, &terms)?;
        Ok(x)
    }

    fn outside(&self, level: NoiseLevel) -> Error {
        let first = self
            .taught
            .first()
            .map_or(self.end_level, |taught| taught.node.level);
        let [from, to] = [first, self.end_level].map(|level| level.log_snr().get());
        let allowed = format!("{} to {}, those of the lesson", Number(from), Number(to));
        Error::range("log-SNR", level.log_snr().get(), allowed)
    }

    /// The levels of the lesson and what the network was given there, without the end.
    pub fn nodes(&self) -> impl Iterator<Item = &Node<T>> {
        self.taught.iter().map(|taught| &taught.node)
    }

    /// What the lesson ends with, as a run keeps it.
    pub fn end(&self) -> &Kept<V> {
        &self.end
    }

    /// How much each start counts.
    pub fn weights(&self) -> &[f64] {
        &self.weights
    }

    /// Number of starts.
    pub fn starts(&self) -> usize {
        self.weights.len()
    }

    /// How often the network was asked, each time about all starts.
    pub fn evaluations(&self) -> usize {
        self.evaluations
    }

    /// The mean distance between where a plan leads from these starts and where the lesson does: `sqrt(sum of
    /// squares)` over the elements of a start, their mean by the weights.
    ///
    /// The plan may be any that draws no noise. In a lesson that a fit was not taught this is how well the fit
    /// does elsewhere, and of several fits the one to take is the nearest here.
    ///
    /// # Errors
    ///
    /// If the plan draws noise or leads outside the lesson, or the run fails.
    pub fn distance<D>(&self, plan: &Plan<T>, network: &mut D) -> Result<f64, Error>
    where
        D: Denoiser<V, T> + ?Sized,
    {
        suited::as_teacher(plan)?;
        let start = self.state_at(plan.start())?;
        let start = V::Keeping::into_shown(start).unwrap_or_else(|x| V::Keeping::round(&x, None));
        let mut run = plan.start_from(start, &mut NoNoise)?;
        run.sample_observed(network, &mut NoNoise, |_| ControlFlow::Continue(()))?;
        let distances = distances(run.state(), &self.state_at(plan.end())?)?;
        Ok(self.mean(&distances))
    }

    /// The mean of a number of each start, by their weights.
    pub(super) fn mean(&self, numbers: &[f64]) -> f64 {
        let total: f64 = self.weights.iter().sum();
        let sum: f64 = numbers.iter().zip(&self.weights).map(|(x, w)| w * x).sum();
        if total > 0.0 { sum / total } else { 0.0 }
    }
}

/// How far each item is from that of another state.
pub(super) fn distances<K: State>(from: &K, to: &K) -> Result<Vec<f64>, Error> {
    let mut off = from.clone();
    off.combine(1.0, &[(-1.0, to)])?;
    let squares = off.dot_items(&off)?;
    Ok(squares.iter().map(|square| square.sqrt()).collect())
}

/// Whether two levels are apart by no more than the rounding of different formulas for one.
fn nearly_same(a: NoiseLevel, b: NoiseLevel) -> bool {
    let (a, b) = (a.log_snr().get(), b.log_snr().get());
    a == b || (a - b).abs() <= 1e-12 * (1.0 + a.abs())
}

/// An answer as data, as a run keeps it.
pub(super) fn data<V: State>(
    answer: Prediction<V>,
    x: &Kept<V>,
    level: NoiseLevel,
) -> Result<Kept<V>, Error> {
    let mut value = V::Keeping::keep(answer.value, None).0;
    V::Keeping::answer(&mut value, x);
    let kept = Prediction::new(value, answer.parameterization);
    Ok(kept.to(Parameterization::X0, x, level)?.value)
}
