//! SA-Solver: stochastic Adams methods, predictor and corrector.

use super::{
    At, Coordinates, Path, ReverseStep, Stage, Update,
    ending::Ending,
    exponential::{Exponential, Slope, inner},
};
use crate::{Error, LogSnr, NoiseLevel, error::Number};

/// SA-Solver for the data, of predictor orders 1 to 8 and corrector orders 0 (none) to 8.
///
/// The reverse equation with stochasticity `tau` and the polynomial `p` through the
/// last predictions (in the corrector the newest is the one at the step's end):
///
/// ```text
/// x_s = (sigma_s / sigma_t) e^(-tau^2 h) x_t + std w
///     + (1 + tau^2) sigma_s * integral of e^(-tau^2 (lambda_s - lambda)) e^lambda p(lambda) d lambda
/// std^2 = sigma_s^2 (1 - e^(-2 tau^2 h))
/// ```
///
/// $$x_s=\frac{\sigma_s}{\sigma_t}e^{-\tau^2h}x_t+(1+\tau^2)\sigma_s\int_{\lambda_t}^{\lambda_s}
///   e^{-\tau^2(\lambda_s-\lambda)}e^{\lambda}p(\lambda)\thinspace\mathrm d\lambda+\sigma_s
///   \sqrt{1-e^{-2\tau^2h}}\thinspace w$$
///
/// Predictor and corrector of a step share their noise. `tau` acts in steps that reach a level within an
/// interval of log-SNR, and is 0 in the others. A step to the data is the x0-prediction.
///
/// These are the rules of the authors and of ComfyUI; [`with_diffusers_rules`](Self::with_diffusers_rules)
/// has those of diffusers.
///
/// [Source](crate::docs::papers#arxiv-2309.05019): SA-Solver: Stochastic Adams Solver for Fast Sampling of Diffusion Models,
/// Xue, Yi, Luo, Zhang, Sun, Li, Ma, 2023.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::SaSolver};
/// let schedule = Discrete::stable_diffusion()?;
/// let solver = SaSolver::new(3, 4)?.with_tau(1.0)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 20)?, &solver)?;
/// assert_eq!(plan.evaluations(), 20);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "SASolverScheduler",
    "sa_solver",
    "stochastic Adams",
    "sample_sa_solver"
))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SaSolver {
    coordinates: Coordinates,
    predictor: usize,
    corrector: usize,
    tau: f64,
    /// Log-SNR between which noise is added.
    active: (f64, f64),
    noise: f64,
    ending: Ending,
    evaluates_twice: bool,
    as_diffusers: bool,
}

impl SaSolver {
    /// With `tau = 1` everywhere.
    ///
    /// # Errors
    ///
    /// If the predictor's order is not 1 to 8 or the corrector's above 8.
    pub fn new(predictor: usize, corrector: usize) -> Result<Self, Error> {
        super::check_order(predictor, 8)?;
        if corrector > 8 {
            return Err(Error::range("corrector order", corrector as f64, "0 to 8"));
        }
        Ok(Self {
            coordinates: Coordinates::Data,
            predictor,
            corrector,
            tau: 1.0,
            active: (f64::NEG_INFINITY, f64::INFINITY),
            noise: 1.0,
            ending: Ending::default(),
            evaluates_twice: false,
            as_diffusers: false,
        })
    }

    /// For the data, which is the default, or for the noise:
    /// `x_s = (alpha_s / alpha_t) x_t - (1 + tau^2) alpha_s * integral of e^-lambda p + std w`
    /// with `std^2 = tau^2 sigma_s^2 (e^(2 h) - 1)`.
    ///
    /// For `tau > 0` this does not keep the standard deviation of the forward process, as that of
    /// [`DpmSolver::new`](super::DpmSolver::new).
    ///
    /// # Errors
    ///
    /// If they are those of the flow.
    #[doc(alias("noise_prediction"))]
    pub fn with_coordinates(mut self, coordinates: Coordinates) -> Result<Self, Error> {
        self.coordinates = super::check_noise_or_data(coordinates)?;
        Ok(self)
    }

    /// The stochasticity: 0 is the probability flow, 1 the reverse of the forward process.
    ///
    /// # Errors
    ///
    /// If `tau` is not 0 to 3.
    pub fn with_tau(mut self, tau: f64) -> Result<Self, Error> {
        self.tau = super::check_tau(tau)?;
        Ok(self)
    }

    /// Adds noise only in steps that reach a level between these two, both included.
    ///
    /// # Errors
    ///
    /// If `from` is above `to`.
    pub fn with_noise_between(mut self, from: LogSnr, to: LogSnr) -> Result<Self, Error> {
        if from > to {
            let allowed = format!("up to {}", Number(to.get()));
            return Err(Error::range(
                "first log-SNR with noise",
                from.get(),
                allowed,
            ));
        }
        self.active = (from.get(), to.get());
        Ok(self)
    }

    super::options::noise_factor!();

    super::options::ending! {
        /// Lowers the orders to the number of steps left, the step to the data not among them: the last step
        /// before it has predictor and corrector of order 1.
        ///
        /// The corrector of the last step to another end has order 2.
        lowers;
        /// Ends with an empty step after the last one: the network is asked at the level the run ends at,
        /// and the last step is corrected like the others.
        ///
        /// The empty step counts where orders are lowered. A run to the data has none.
        empty_step;
    }

    /// Asks the network again once a state is corrected: predict, evaluate, correct, evaluate.
    ///
    /// It makes `2 n - 1` evaluations in `n` steps, and takes those of corrected states alone for the
    /// steps that follow. Without a corrector it changes nothing.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::SaSolver};
    /// let schedule = Discrete::stable_diffusion()?;
    /// let solver = SaSolver::new(3, 4)?.with_second_evaluation();
    /// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 20)?, &solver)?;
    /// assert_eq!(plan.evaluations(), 39);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("PECE", "sa_solver_pece"))]
    #[must_use]
    pub fn with_second_evaluation(mut self) -> Self {
        self.evaluates_twice = true;
        self
    }

    /// The rules of diffusers: `tau` is that of the level a step leaves, the step to the data is one of
    /// those left where orders are lowered, and a predictor or corrector of order 2 for the data takes
    /// `alpha_s (1 + tau^2) h / 2` for the integral of the first power, as the authors do in short runs.
    #[must_use]
    pub fn with_diffusers_rules(mut self) -> Self {
        self.as_diffusers = true;
        self
    }

    fn asks_twice(&self) -> bool {
        self.evaluates_twice && self.corrector > 0
    }

    /// The stochasticity of a step between these levels.
    fn tau_at(&self, from: NoiseLevel, to: NoiseLevel) -> f64 {
        let judged = if self.as_diffusers { from } else { to };
        let snr = judged.log_snr().get();
        let is_active = self.active.0 <= snr && snr <= self.active.1;
        if is_active { self.tau } else { 0.0 }
    }

    /// The step `from -> to` by a polynomial through predictions at `nodes`.
    fn update(&self, from: NoiseLevel, to: NoiseLevel, nodes: &[NoiseLevel]) -> Update {
        let step = Exponential {
            coordinates: self.coordinates,
            from,
            to,
            tau: self.tau_at(from, to),
        };
        let slope = match (self.coordinates, nodes.len()) {
            (Coordinates::Data, 2) if self.as_diffusers => Slope::Interval,
            _ => Slope::Exact,
        };
        let mut update = step.update(nodes, &step.moments(nodes.len(), slope));
        update.scale_noise(self.noise);
        update
    }

    /// No more than `most` orders, nor than the predictions at hand and the steps left allow.
    fn order_at(&self, path: &Path<'_>, index: usize, most: usize, extra: usize) -> usize {
        let left = self.ending.steps(path) - index;
        let left = match path.end().is_clean() && !self.as_diffusers {
            true => left - 1,
            false => left + extra,
        };
        let most = if self.ending.lowers {
            most.min(left)
        } else {
            most
        };
        let known = |i: &usize| path.level(*i).is_some_and(inner);
        let visited = (0..=index).rev().take(most);
        most.min(visited.take_while(known).count() + extra)
    }

    /// The correction of the step of this index, without what that step already did to the state.
    fn corrector(&self, path: &Path<'_>, index: usize) -> Option<Update> {
        let (from, to) = (path.level(index)?, path.level(index + 1)?);
        if self.corrector == 0 || !inner(from) {
            return None;
        }
        let order = self.order_at(path, index, self.corrector, 1);
        let reached = (0..index + 2).rev().take(order);
        let nodes: Vec<_> = reached.filter_map(|i| path.level(i)).collect();
        let model = self.update(from, to, &nodes).model;
        Some(Update::new(1.0).with_model(self.spaced(model, 1)))
    }

    /// The weights of the evaluations that count, `first` places before the newest one where each but the
    /// newest is the second of two.
    fn spaced(&self, weights: Vec<f64>, first: usize) -> Vec<f64> {
        if !self.asks_twice() {
            return weights;
        }
        let mut spaced = Vec::with_capacity(2 * weights.len());
        for (i, weight) in weights.into_iter().enumerate() {
            spaced.resize((2 * i).saturating_sub(first), 0.0);
            spaced.push(weight);
        }
        spaced
    }
}

impl ReverseStep for SaSolver {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        let tau = self.tau_at(from, to);
        super::check_descent(path, "tau", tau)?;
        let stage = || Stage::new(At::From, self.coordinates.basis());
        let before = path.index().checked_sub(1);
        let before = before.and_then(|index| self.corrector(path, index));
        // A correction of its own where the network is asked about its result, else the first part of
        // what is done to the state.
        let mut stages = Vec::with_capacity(3);
        let before = match before {
            Some(correction) if self.asks_twice() => {
                stages.push(stage().with_commit(correction));
                Update::new(1.0)
            }
            before => before.unwrap_or(Update::new(1.0)),
        };
        if to.is_clean() {
            // The predicted data, of which nothing is corrected.
            stages.extend(Coordinates::Data.end_stage(path, 0.0, self.noise));
            return Ok(stages);
        }
        if !(inner(from) && inner(to)) {
            let mut end = match tau == 0.0 {
                true => self.coordinates.straight_stage(path),
                false => Coordinates::Data.end_stage(path, tau, self.noise),
            };
            if let Some(commit) = end.last_mut().and_then(|stage| stage.commit.as_mut()) {
                *commit = before.then(commit);
            }
            stages.extend(end);
            return Ok(stages);
        }
        let order = self.order_at(path, path.index(), self.predictor, 0);
        let nodes: Vec<_> = path.visited().take(order).collect();
        let mut step = self.update(from, to, &nodes);
        step.model = self.spaced(step.model, 0);
        if self.corrector == 0 || self.ending.is_last(path, path.index()) {
            stages.push(stage().with_commit(before.then(&step)));
            return Ok(stages);
        }
        // What predictor and corrector share, the scaling and the noise, is done to the state at once;
        // each adds its predictions to that.
        let shared = Update::new(step.state).with_noise(step.noise);
        let predicted = Update::new(1.0).with_model(step.model);
        let shared = stage().with_commit(before.then(&shared));
        stages.push(shared.with_trial(predicted));
        if path.index() + 1 == path.steps()
            && let Some(last) = self.corrector(path, path.index())
        {
            stages.push(Stage::new(At::To, self.coordinates.basis()).with_commit(last));
        }
        Ok(stages)
    }

    fn name(&self) -> &str {
        match (self.asks_twice(), self.tau == 0.0) {
            (false, true) => "SA-Solver, deterministic",
            (false, false) => "SA-Solver",
            (true, true) => "SA-Solver PECE, deterministic",
            (true, false) => "SA-Solver PECE",
        }
    }

    fn memory(&self) -> usize {
        let most = self.predictor.max(self.corrector);
        if self.asks_twice() { 2 * most } else { most }
    }

    /// With noise at most 2, on Gaussian data.
    fn order(&self) -> u32 {
        let most = if self.tau > 0.0 { 2 } else { 8 };
        let order = self.predictor.max(self.corrector).min(most);
        self.ending.order_of_runs(order)
    }
}
