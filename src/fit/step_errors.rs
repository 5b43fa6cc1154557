//! Grids from what single steps cost.

use std::fmt::Debug;

use super::{lesson::Lesson, regression::product, suited::unsuited};
use crate::{
    Error, Grid, LogSnr, NoiseLevel, Parameterization, ReverseStep,
    error::Number,
    grid::Node,
    solver::{Path, Stage},
    state::{Kept, State},
};

/// What every step between two of many levels costs, and the grids that cost least.
///
/// Two costs, and two ways to add them up:
///
/// | | cost of a step |
/// |---|---|
/// | [`along`](Self::along) | its squared error along a [`Lesson`], started on it: no question |
/// | [`kl_bound`](Self::kl_bound) | its part of a bound on a divergence, by the network at noised data |
///
/// | | grid |
/// |---|---|
/// | [`grid`](Self::grid) | the least sum, by dynamic programming |
/// | [`even_grid`](Self::even_grid) | steps that cost the same |
///
/// The least sum along a lesson is the algorithm of GITS, with the bound that of Align Your Steps; equal
/// errors are how solvers of ordinary differential equations choose their steps. The published tables of both
/// are [`Grid::gits`] and [`Grid::align_your_steps`].
///
/// [Sources](crate::docs::papers#arxiv-2405.11326): On the Trajectory Regularity of ODE-based Diffusion Sampling, Chen, Zhou, Wang, Shen, Lyu, 2024
/// (GITS); Align Your Steps: Optimizing Sampling Schedules in Diffusion Models, Sabour, Fidler, Kreis, 2024.
///
/// See the [module](super) for an example.
#[doc(alias("GITS", "AYS", "Align Your Steps", "dynamic programming"))]
#[derive(Debug, Clone)]
pub struct StepErrors<T> {
    pub(super) nodes: Vec<Node<T>>,
    pub(super) end: NoiseLevel,
    /// For each node, the costs of the steps to the nodes after it and to the end.
    pub(super) costs: Vec<Vec<f64>>,
}

impl<T: Copy + Debug> StepErrors<T> {
    /// The squared errors of a solver's steps between the levels of a lesson, each started on the lesson:
    /// `|x_s - y|^2 / |y|^2` for the lesson's state `y`.
    ///
    /// [`Ddim`](crate::solver::Ddim) gives the error of a straight line, which GITS takes. A solver with
    /// memory is given the lesson's predictions as if the steps before had been as long.
    ///
    /// # Errors
    ///
    /// If the solver draws noise, asks more than once a step, or refuses a step.
    pub fn along<V, R>(lesson: &Lesson<V, T>, solver: &R) -> Result<Self, Error>
    where
        V: State,
        R: ReverseStep + ?Sized,
    {
        let nodes: Vec<_> = lesson.nodes().copied().collect();
        let mut costs = Vec::with_capacity(nodes.len());
        for from in 0..nodes.len() {
            let after = lesson.taught.iter().skip(from + 1);
            let targets = after.map(|taught| (taught.node.level, &taught.x));
            let targets = targets.chain([(lesson.end_level, &lesson.end)]);
            let each = targets.map(|(to, y)| step_error(lesson, solver, from, to, y));
            costs.push(each.collect::<Result<_, _>>()?);
        }
        Ok(Self {
            nodes,
            end: lesson.end_level,
            costs,
        })
    }

    /// The `n` steps with the least sum of costs.
    ///
    /// # Errors
    ///
    /// If `n` is not 1 to the number of levels.
    pub fn grid(&self, n: usize) -> Result<Grid<T>, Error> {
        self.least(n, |cost| cost)
    }

    /// The `n` steps that cost most nearly the same: with the least sum of fourth powers, which the largest
    /// rule.
    ///
    /// # Errors
    ///
    /// As [`grid`](Self::grid).
    pub fn even_grid(&self, n: usize) -> Result<Grid<T>, Error> {
        let largest = self
            .costs
            .iter()
            .flatten()
            .fold(0.0_f64, |most, cost| most.max(*cost));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        self.least(n, |cost| (cost / scale).powi(4))
    }

    /// The costs of the steps of a grid of these levels, in order.
    ///
    /// # Errors
    ///
    /// If the grid has a level that is none of these, or another start or end.
    pub fn costs_of(&self, grid: &Grid<T>) -> Result<Vec<f64>, Error> {
        let same = |a: NoiseLevel, b: NoiseLevel| !(a.is_noisier_than(b) || b.is_noisier_than(a));
        let mut places = Vec::with_capacity(grid.len() + 1);
        for (index, node) in grid.nodes().iter().enumerate() {
            let place = self
                .nodes
                .iter()
                .position(|own| same(own.level, node.level));
            let place = place.filter(|place| index > 0 || *place == 0);
            let (what, found) = ("nodes of the grid", node.level.log_snr().get());
            let allowed = "a log-SNR of these levels, the first one for the first";
            places.push(place.ok_or_else(|| Error::element(what, index, found, allowed))?);
        }
        if !same(grid.end(), self.end) {
            let end = Number(self.end.log_snr().get()).to_string();
            let found = grid.end().log_snr().get();
            return Err(Error::range("log-SNR of the end", found, end));
        }
        places.push(self.nodes.len());
        Ok(places
            .windows(2)
            .map(|step| self.cost(step[0], step[1]))
            .collect())
    }

    fn cost(&self, from: usize, to: usize) -> f64 {
        let row = self.costs.get(from);
        row.and_then(|row| row.get(to.checked_sub(from + 1)?))
            .copied()
            .unwrap_or(f64::INFINITY)
    }

    /// Dynamic programming: the best way to every level in one step more than to those before it.
    fn least(&self, n: usize, of: impl Fn(f64) -> f64) -> Result<Grid<T>, Error> {
        let last = self.nodes.len();
        if !(1..=last).contains(&n) {
            let allowed = format!("1 to {last}, the levels to choose from");
            return Err(Error::range("number of steps", n as f64, allowed));
        }
        // The least sum to each level in so many steps, and the level before it.
        let mut sums: Vec<f64> = vec![f64::INFINITY; last + 1];
        sums[0] = 0.0;
        let mut ways: Vec<Vec<usize>> = Vec::with_capacity(n);
        for _ in 0..n {
            let mut next = vec![(f64::INFINITY, 0); last + 1];
            for (to, best) in next.iter_mut().enumerate() {
                for (from, sum) in sums.iter().enumerate().take(to) {
                    let sum = sum + of(self.cost(from, to));
                    if sum < best.0 {
                        *best = (sum, from);
                    }
                }
            }
            sums = next.iter().map(|best| best.0).collect();
            ways.push(next.iter().map(|best| best.1).collect());
        }
        let (mut place, mut chosen) = (last, Vec::with_capacity(n));
        for way in ways.iter().rev() {
            place = way[place];
            chosen.push(self.nodes[place]);
        }
        chosen.reverse();
        Grid::new(chosen, self.end)
    }
}

/// How far a step of a solver from a node of a lesson is from the lesson's state `y`.
fn step_error<V, T, R>(
    lesson: &Lesson<V, T>,
    solver: &R,
    from: usize,
    to: NoiseLevel,
    y: &Kept<V>,
) -> Result<f64, Error>
where
    V: State,
    T: Copy + Debug,
    R: ReverseStep + ?Sized,
{
    let places = looked_back_on(lesson, from, to, solver.memory());
    let visited = places
        .iter()
        .rev()
        .map(|&place| lesson.taught[place].node.level);
    let levels: Vec<_> = visited.chain([to]).collect();
    let refuse = |found| unsuited(solver.name(), found, "one evaluation a step without noise");
    let no_level = |_: LogSnr| Err(refuse("has points between the levels"));
    let Some(path) = Path::new(&levels, places.len() - 1, &no_level) else {
        return Ok(0.0);
    };
    let stages = solver.stages(&path)?;
    let [
        Stage {
            basis,
            renoise: None,
            commit: Some(commit),
            trial: None,
            ..
        },
    ] = stages.as_slice()
    else {
        return Err(refuse("has trial points or several evaluations"));
    };
    if commit.noise.draws() {
        return Err(refuse("draws noise"));
    }
    let mut x = lesson.taught[from].x.clone();
    let mut terms = vec![(-1.0, y)];
    for (coefficient, &place) in commit.model.iter().zip(&places) {
        let taught = &lesson.taught[place];
        let map = Parameterization::X0.to(*basis, taught.node.level)?;
        terms.push((coefficient * map.prediction, &taught.x0));
        if map.state != 0.0 {
            terms.push((coefficient * map.state, &taught.x));
        }
    }
    x.combine(commit.state, &terms)?;
    let (error, size) = (
        product(&x, &x, lesson.weights())?,
        product(y, y, lesson.weights())?,
    );
    Ok(if size > 0.0 { error / size } else { error })
}

/// The nodes whose predictions a step has, the newest first: as if the steps before it had been as long.
fn looked_back_on<V, T>(
    lesson: &Lesson<V, T>,
    from: usize,
    to: NoiseLevel,
    memory: usize,
) -> Vec<usize>
where
    V: State,
    T: Copy + Debug,
{
    let snr = |place: usize| lesson.taught[place].node.level.log_snr().get();
    let length = to.log_snr().get() - snr(from);
    let mut places = vec![from];
    for back in 1..memory.max(1) {
        let wanted = snr(from) - back as f64 * length;
        let Some(&newest) = places.last() else { break };
        let off = |place: &usize| (snr(*place) - wanted).abs();
        let nearest = (0..newest).min_by(|a, b| off(a).total_cmp(&off(b)));
        match nearest.filter(|place| off(place) < 0.5 * length) {
            Some(place) => places.push(place),
            None => break,
        }
    }
    places
}
