//! Solvers of the CFG++ family.

use super::{Coordinates, Path, ReverseStep, Stage, Update};
use crate::Error;

/// Where a step takes the displacement `d = x0_guided - x0_u`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    AfterStep,
    BeforeStep,
    InDifference,
    InPoints,
}

/// A solver that integrates the unconditional flow and takes the guidance of
/// [`CfgPlusPlus`](crate::guidance::CfgPlusPlus) in one of the ways that are in use.
///
/// With `d = x0_guided - x0_u`, the answer's [`shift`](crate::Prediction::shift):
///
/// | | step |
/// |---|---|
/// | [`new`](Self::new): CFG++ as published | `step(x_t, x0_u) + alpha_s d` |
/// | [`displacing_before`](Self::displacing_before) | `step(x_t + alpha_t d, x0_u)`; the first step and that to the data as published |
/// | [`displacing_difference`](Self::displacing_difference) | as published, with the guided data for the newest in the differences of the solver |
/// | [`displacing_points`](Self::displacing_points) | with the guided data for the unconditional one at both points of a step, and `x_t + alpha_t (x0_guided - x0_u)` for its state, where `x0_u` is the newest |
///
/// The step to the data is the guided data in all. Without such an answer a run fails, and says so; any
/// other solver takes the displacement as published where there is one.
///
/// [Sources](crate::docs::papers#arxiv-2406.08070): CFG++: Manifold-constrained Classifier Free Guidance for Diffusion Models,
/// Chung, Kim, Park, Nam, Ye, 2024; the code of ComfyUI, 2024, for the other three.
///
/// ```
/// use gaussian_diffusion::{SeededNoise, Grid, Plan, Point, Step, predicts, schedule::Discrete};
/// use gaussian_diffusion::guidance::{CfgPlusPlus, Combination};
/// use gaussian_diffusion::solver::{CfgPlusPlusStep, DpmSolver};
/// use ndarray::Array2;
/// let schedule = Discrete::stable_diffusion()?;
/// let solver = CfgPlusPlusStep::displacing_difference(DpmSolver::plus_plus(2)?);
/// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 8)?, &solver)?;
/// let with_text = predicts::x0(|x: &Array2<f32>, _: Point<Step>| x.mapv(|_| 1.0));
/// let without = predicts::x0(|x: &Array2<f32>, _: Point<Step>| x.mapv(|_| 0.5));
/// let mut net = CfgPlusPlus::new((with_text, without), Combination::classifier_free(0.6)?);
/// let mut noise = SeededNoise::new(1);
/// let start = plan.prior((1, 2), &mut noise)?;
/// let x0 = plan.sample(start, &mut net, &mut noise)?;
/// assert!(x0.iter().all(|x| (x - 0.8).abs() < 1e-6));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("CFG++", "cfg_pp", "euler_cfg_pp", "dpmpp_2m_cfg_pp"))]
#[derive(Debug, Clone, PartialEq)]
pub struct CfgPlusPlusStep<S> {
    inner: S,
    rule: Rule,
    name: String,
}

impl<S: ReverseStep> CfgPlusPlusStep<S> {
    /// CFG++ as published, with any solver.
    pub fn new(inner: S) -> Self {
        Self::by(Rule::AfterStep, inner)
    }

    /// Displaces the state before a step, for solvers of one evaluation a step: ComfyUI's
    /// res_multistep_cfg_pp.
    pub fn displacing_before(inner: S) -> Self {
        Self::by(Rule::BeforeStep, inner)
    }

    /// Displaces the newest prediction in the differences to older ones, for solvers for the data of one
    /// evaluation a step: ComfyUI's dpmpp_2m_cfg_pp.
    pub fn displacing_difference(inner: S) -> Self {
        Self::by(Rule::InDifference, inner)
    }

    /// Displaces the predictions at both points of a step, and the state, for solvers for the data of two
    /// evaluations a step: ComfyUI's dpmpp_2s_ancestral_cfg_pp.
    pub fn displacing_points(inner: S) -> Self {
        Self::by(Rule::InPoints, inner)
    }

    fn by(rule: Rule, inner: S) -> Self {
        let name = format!("{}, CFG++", inner.name());
        Self { inner, rule, name }
    }
}

impl<S: ReverseStep> ReverseStep for CfgPlusPlusStep<S> {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        let mut stages = self.inner.stages(path)?;
        let rule = match path.index() == 0 || to.is_clean() || from.is_noise() {
            true if self.rule == Rule::BeforeStep => Rule::AfterStep,
            _ if to.is_clean() || from.is_noise() => Rule::AfterStep,
            _ => self.rule,
        };
        if let (Rule::InPoints, [first, second]) = (rule, stages.as_mut_slice()) {
            displace_points(first, second, from.alpha());
            return Ok(stages);
        }
        let Some(stage) = stages.last_mut() else {
            return Ok(stages);
        };
        let commit = stage.commit.get_or_insert(Update::new(1.0));
        commit.shift = Some(match rule {
            Rule::BeforeStep => commit.state * from.alpha(),
            Rule::InDifference => {
                let newest = commit.model.first().copied().unwrap_or(0.0);
                to.alpha() + newest - Coordinates::Data.way(from, to)
            }
            Rule::AfterStep | Rule::InPoints => to.alpha(),
        });
        Ok(stages)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn memory(&self) -> usize {
        self.inner.memory()
    }

    fn follows_points(&self) -> bool {
        self.inner.follows_points()
    }

    fn order(&self) -> u32 {
        self.inner.order()
    }

    fn order_on_uneven_steps(&self) -> u32 {
        self.inner.order_on_uneven_steps()
    }
}

/// From `x + alpha_t x0_guided` at the first point, both updates take the newest unconditional data off.
fn displace_points(first: &mut Stage, second: &mut Stage, alpha: f64) {
    let start = Update::new(1.0).with_model([alpha]).with_shift(alpha);
    first.commit = Some(start);
    for update in [&mut first.trial, &mut second.commit].into_iter().flatten() {
        let Some(newest) = update.model.first_mut() else {
            continue;
        };
        update.shift = Some(*newest);
        *newest -= update.state * alpha;
    }
}
