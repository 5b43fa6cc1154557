//! DPM-Solver-v3, and the refined exponential Adams-Bashforth method, which is one of its kind.

use super::{
    At, Coordinates, ModelStatistics, Path, ReverseStep, Stage, Update,
    ending::Ending,
    exponential::inner,
    interpolation::{integral, weights},
};
use crate::{Error, NoiseLevel, Parameterization, PosteriorCoefficients, Variance};

/// DPM-Solver-v3 of orders 1 to 3: an exponential multi-step method that takes for linear what of the network
/// is, by its [statistics](ModelStatistics).
///
/// With `lambda` half the log-SNR, `L`, `S` and `B` the integrals of `l`, of `s` and of `e^-S b` from the level
/// that the step leaves, and `g` what the statistics leave of the slope, brought to one level:
///
/// ```text
/// x_s = (alpha_s / alpha_t) e^-L_s x_t - alpha_s e^-L_s * integral of e^(L + S) (p + B d) d lambda
/// g = e^-S f - B d,   f = (sigma eps - l x) / alpha,   p the polynomial through the last g
/// ```
///
/// $$x_s=\frac{\alpha_s}{\alpha_t}e^{-L_s}x_t-\alpha_se^{-L_s}\int_{\lambda_t}^{\lambda_s}
///   e^{L_\lambda+S_\lambda}\big(p(\lambda)+B_\lambda d\big)\thinspace\mathrm d\lambda$$
///
/// With `l = 1`, `s = b = 0`, the statistics of a point, this is
/// [`ExponentialAdams`](super::ExponentialAdams) for the data. With others a run does not follow data that is a
/// point exactly, as most solvers do, but with the order of its rule; with those of
/// [Gaussian data](ModelStatistics::gaussian) it follows that exactly, in any number of steps. Integrals are
/// exact where the code of the paper takes trapezoids. A step to or from an infinite log-SNR is that of
/// [`Ddim`](super::Ddim).
///
/// [Sources](crate::docs::papers#arxiv-2310.13268): DPM-Solver-v3: Improved Diffusion ODE Solver with Empirical Model
/// Statistics, Zheng, Lu, Chen, Zhu, 2023; Exponential Rosenbrock-type methods, Hochbruck, Ostermann, Schweitzer, 2009.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, Grid, Plan, SeededNoise, Variance, schedule::Cosine};
/// use gaussian_diffusion::solver::{DpmSolverV3, ModelStatistics};
/// use ndarray::{Array2, array};
/// let statistics = ModelStatistics::rosenbrock(Variance::new(0.3)?)?;
/// let solver = DpmSolverV3::new(2, statistics)?.with_corrector();
/// let plan = Plan::new(&Cosine, &Grid::uniform_time(&Cosine, 10)?, &solver)?;
/// let mut net = GaussianMixture::isotropic(&[(0.5, [-0.5], 0.04), (0.5, [0.5], 0.04)])?;
/// let x0: Array2<f64> = plan.sample(array![[0.7]], &mut net, &mut SeededNoise::new(0))?;
/// assert!((x0[[0, 0]] - 0.55).abs() < 0.1);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("DPM-Solver-v3", "DPM_Solver_v3", "REAB", "REABSampler"))]
#[derive(Debug, Clone, PartialEq)]
pub struct DpmSolverV3 {
    order: usize,
    statistics: ModelStatistics,
    predictor: Differences,
    corrector: Option<Differences>,
    ending: Ending,
    name: &'static str,
}

/// How slopes come from differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differences {
    /// Those of the polynomial through all.
    Whole,
    /// A divided difference for each.
    Pseudo,
}

impl DpmSolverV3 {
    /// Of this order, with these statistics.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 3.
    pub fn new(order: usize, statistics: ModelStatistics) -> Result<Self, Error> {
        super::check_order(order, 3)?;
        Ok(Self {
            order,
            statistics,
            predictor: Differences::Whole,
            corrector: None,
            ending: Ending::default(),
            name: "DPM-Solver-v3",
        })
    }

    /// REAB of this order: the statistics of data `N(0, I)`, [`ModelStatistics::rosenbrock`].
    ///
    /// In the angle `atan(sigma / alpha)` the slope of `x / hypot(alpha, sigma)` is the velocity, and this takes the
    /// velocity for a polynomial in log-SNR.
    ///
    /// [Source](crate::docs::papers#azula): the code of azula, Rozet, 2024.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 8; beyond, extrapolation multiplies the errors of a network.
    #[doc(alias("refined exponential Adams-Bashforth", "Rosenbrock"))]
    pub fn reab(order: usize) -> Result<Self, Error> {
        super::check_order(order, 8)?;
        let statistics = ModelStatistics::rosenbrock(Variance::of_std(1.0))?;
        let mut solver = Self::new(1, statistics)?;
        (solver.order, solver.name) = (order, "REAB");
        Ok(solver)
    }

    /// Corrects every state once the network has been asked there, with as many predictions as the predictor had:
    /// no further evaluations. The last one is not corrected, nor one from which a step leads to the data.
    #[doc(alias("use_corrector"))]
    #[must_use]
    pub fn with_corrector(mut self) -> Self {
        self.corrector = Some(Differences::Whole);
        self
    }

    /// The same with one prediction more, whose slopes are [pseudo](Self::with_pseudo_slopes) ones.
    #[doc(alias("c_pseudo"))]
    #[must_use]
    pub fn with_pseudo_corrector(mut self) -> Self {
        self.corrector = Some(Differences::Pseudo);
        self
    }

    /// Takes each slope for one divided difference of the newest predictions, without what those of higher order
    /// correct of it: of order 3, a rule that converges with order 2, for the fewest steps.
    #[doc(alias("p_pseudo", "pseudo order"))]
    #[must_use]
    pub fn with_pseudo_slopes(mut self) -> Self {
        self.predictor = Differences::Pseudo;
        self
    }

    super::options::ending! {
        /// Lowers the order to the number of steps left: the last has order 1, the one before it 2.
        lowers;
        /// Counts an empty step after the last one where orders are lowered.
        empty_step;
    }

    /// The order of the predictor of a step.
    fn order_of(&self, path: &Path<'_>, index: usize) -> usize {
        let most = self.ending.order(path, index, self.order);
        let known = |i: &usize| path.level(*i).is_some_and(inner);
        (0..=index).rev().take(most).take_while(known).count()
    }

    /// What the statistics leave of the slope, as a prediction.
    fn basis(&self, level: NoiseLevel) -> Parameterization {
        Parameterization::Mean(PosteriorCoefficients {
            state: (1.0 - self.statistics.linear(level.log_snr())) / level.alpha(),
            clean: -1.0,
            std: 0.0,
        })
    }

    /// The step with these predictions, that of its start first.
    fn update(
        &self,
        from: NoiseLevel,
        to: NoiseLevel,
        nodes: &[NoiseLevel],
        differences: Differences,
    ) -> Update {
        let lambda = |level: NoiseLevel| 0.5 * level.log_snr().get();
        let (start, end) = (lambda(from), lambda(to));
        let way = end - start;
        let first = self.statistics.sums(start);
        // e^(L + S), and B.
        let at = |lambda: f64| {
            let sums = self.statistics.sums(lambda);
            let growth = (sums.l - first.l + sums.s - first.s).exp();
            (growth, first.s.exp() * (sums.b - first.b))
        };
        let mut moments = vec![0.0; nodes.len()];
        let mut of_bias = 0.0;
        let mut before = start;
        let kinks = self.statistics.kinks(start, end);
        for next in kinks.into_iter().chain([end]) {
            let (piece, from) = (next - before, before);
            let pieces = (2.0 * piece.abs()).ceil() as usize;
            let over = |f: &dyn Fn(f64) -> f64| piece * integral(pieces, |r| f(from + r * piece));
            for (k, moment) in moments.iter_mut().enumerate() {
                let power = |u: f64| at(u).0 * ((u - start) / way).powi(k as i32);
                *moment += over(&power);
            }
            if self.statistics.has_bias() {
                of_bias += over(&|u| at(u).0 * at(u).1);
            }
            before = next;
        }
        let places: Vec<_> = nodes
            .iter()
            .map(|node| (lambda(*node) - start) / way)
            .collect();
        let weights = match differences {
            Differences::Whole => weights(&places, &moments),
            Differences::Pseudo => pseudo_weights(&places, &moments),
        };
        let kept = (first.l - self.statistics.sums(end).l).exp();
        let scale = -to.alpha() * kept;
        let mut model = Vec::with_capacity(nodes.len());
        for (node, weight) in nodes.iter().zip(weights) {
            let sums = self.statistics.sums(lambda(*node));
            model.push(scale * weight * (first.s - sums.s).exp());
            of_bias -= weight * first.s.exp() * (sums.b - first.b);
        }
        let update = Update::new(to.alpha() / from.alpha() * kept).with_model(model);
        match self.statistics.has_bias() {
            true => update.with_shift(scale * of_bias),
            false => update,
        }
    }

    /// Whether the result of a step is corrected by the evaluation after it.
    fn corrects(&self, path: &Path<'_>, index: usize) -> bool {
        let is_inner = |i: usize| path.level(i).is_some_and(inner);
        let has_points = match self.corrector {
            None => false,
            Some(Differences::Whole) => self.order_of(path, index) > 1,
            Some(Differences::Pseudo) => true,
        };
        // What a step to an infinite log-SNR asks for is the data, not a correction.
        has_points && (index..index + 3).all(is_inner)
    }

    /// The correction of the step of this index, once the network has been asked where it ends.
    fn corrected(&self, path: &Path<'_>, index: usize) -> Option<Update> {
        let differences = self.corrector.filter(|_| self.corrects(path, index))?;
        let (from, to) = (path.level(index)?, path.level(index + 1)?);
        let older = self.order_of(path, index) - usize::from(differences == Differences::Whole);
        let older = (0..index).rev().take(older - 1);
        let older = older.filter_map(|i| path.level(i));
        let nodes: Vec<_> = [from, to].into_iter().chain(older).collect();
        let mut update = self.update(from, to, &nodes, differences);
        // The newest first.
        update.model.swap(0, 1);
        Some(update)
    }

    /// The step without its correction, and what it takes predictions as.
    fn predicted(&self, path: &Path<'_>) -> (Parameterization, Update) {
        let (from, to) = (path.from(), path.to());
        if inner(from) && inner(to) {
            let order = self.order_of(path, path.index());
            let nodes: Vec<_> = path.visited().take(order).collect();
            let update = self.update(from, to, &nodes, self.predictor);
            return (self.basis(from), update);
        }
        let (basis, update) = Coordinates::Data.straight(from, to);
        match self.statistics.has_bias() {
            true => (basis, update.with_shift(0.0)),
            false => (basis, update),
        }
    }
}

impl ReverseStep for DpmSolverV3 {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (basis, predicted) = self.predicted(path);
        let stage = Stage::new(At::From, basis);
        let before = path.index().checked_sub(1);
        let corrected = before.and_then(|index| self.corrected(path, index));
        Ok(vec![match (self.corrects(path, path.index()), corrected) {
            (true, Some(corrected)) => stage.with_commit(corrected).with_trial(predicted),
            (true, None) => stage.with_trial(predicted),
            (false, Some(corrected)) => stage.with_commit(corrected.then(&predicted)),
            (false, None) => stage.with_commit(predicted),
        }])
    }

    fn name(&self) -> &str {
        self.name
    }

    fn memory(&self) -> usize {
        self.order + usize::from(self.corrector == Some(Differences::Pseudo))
    }

    /// At most 2 with pseudo slopes.
    fn order(&self) -> u32 {
        let whole = [Some(self.predictor), self.corrector].map(|d| d != Some(Differences::Pseudo));
        match whole {
            [true, true] => self.ending.order_of_runs(self.order),
            _ => self.order.min(2) as u32,
        }
    }

    fn follows_points(&self) -> bool {
        false
    }
}

/// The weights of `sum of moments[i] * (divided difference of the first i + 1 values)`.
fn pseudo_weights(places: &[f64], moments: &[f64]) -> Vec<f64> {
    let mut weights = vec![0.0; places.len()];
    for (i, moment) in moments.iter().enumerate() {
        for (j, weight) in weights.iter_mut().enumerate().take(i + 1) {
            let others = places.iter().enumerate().take(i + 1);
            let others = others.filter(|(k, _)| *k != j);
            let product: f64 = others.map(|(_, place)| places[j] - place).product();
            *weight += moment / product;
        }
    }
    weights
}
