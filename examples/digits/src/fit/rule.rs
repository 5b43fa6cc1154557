//! Rules by which samplers are fitted.

use gaussian_diffusion::{
    Grid, Plan, Step,
    fit::{Fit, Fitted, StepErrors},
    sampler::GridName,
    schedule::Discrete,
    solver::{Ddim, DpmSolver},
};

use super::course::Taught;
use crate::Outcome;

/// How many predictions an update has, and where the nodes are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    pub predictions: usize,
    pub nodes: Nodes,
}

/// Where the nodes are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Nodes {
    /// Where the sum of the errors of this solver's steps is least.
    Least(Solver),
    /// Where all are alike.
    Equal(Solver),
    Named(GridName),
}

/// Whose errors are counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Solver {
    Ddim,
    DpmPlusPlus,
}

impl Rule {
    /// Those that a fit is picked from.
    pub fn all() -> impl Iterator<Item = Self> {
        use Nodes::{Equal, Least};
        use Solver::{Ddim, DpmPlusPlus};
        let nodes = [
            Least(Ddim),
            Equal(Ddim),
            Least(DpmPlusPlus),
            Equal(DpmPlusPlus),
        ];
        let with = move |predictions| nodes.map(|nodes| Self { predictions, nodes });
        [2, 3, 4].into_iter().flat_map(with)
    }

    pub fn name(&self) -> String {
        let of = |solver: Solver| match solver {
            Solver::Ddim => "DDIM's errors",
            Solver::DpmPlusPlus => "DPM++ 2M's errors",
        };
        let nodes = match self.nodes {
            Nodes::Least(solver) => format!("least sum of {}", of(solver)),
            Nodes::Equal(solver) => format!("{} equal", of(solver)),
            Nodes::Named(grid) => grid.to_string(),
        };
        format!("{} predictions, {nodes}", self.predictions)
    }

    pub fn fit(&self) -> Outcome<Fit> {
        Ok(Fit::default().with_memory(self.predictions)?)
    }

    /// The grid of so many steps that the lesson gives.
    pub fn grid(&self, taught: &Taught, steps: usize) -> Outcome<Grid<Step>> {
        let errors = |solver| -> Outcome<StepErrors<Step>> {
            Ok(match solver {
                Solver::Ddim => StepErrors::along(&taught.lesson, &Ddim::default())?,
                Solver::DpmPlusPlus => {
                    StepErrors::along(&taught.lesson, &DpmSolver::plus_plus(2)?)?
                }
            })
        };
        Ok(match self.nodes {
            Nodes::Least(solver) => errors(solver)?.grid(steps)?,
            Nodes::Equal(solver) => errors(solver)?.even_grid(steps)?,
            Nodes::Named(grid) => grid.grid(taught.schedule(), steps)?,
        })
    }

    /// A sampler of so many steps, fitted to what was taught.
    pub fn fitted(&self, taught: &Taught, steps: usize) -> Outcome<Fitted<Step>> {
        let base = base(taught.schedule(), &self.grid(taught, steps)?)?;
        let network = &mut taught.starts.asked()?;
        Ok(self.fit()?.plan(&base, &taught.lesson, network)?)
    }

    /// The rule of these whose fit is nearest in a lesson that none of them was taught, and the fit.
    pub fn picked(
        rules: impl Iterator<Item = Self>,
        taught: &Taught,
        judge: &Taught,
        steps: usize,
    ) -> Outcome<(Self, Fitted<Step>)> {
        let mut nearest: Option<(f64, Self, Fitted<Step>)> = None;
        for rule in rules {
            let fitted = rule.fitted(taught, steps)?;
            let distance = judge.distance(&fitted.plan)?;
            if nearest.as_ref().is_none_or(|(least, ..)| distance < *least) {
                nearest = Some((distance, rule, fitted));
            }
        }
        let (_, rule, fitted) = nearest.ok_or("no rule to pick from")?;
        Ok((rule, fitted))
    }
}

/// What is fitted: "DPM++ 2M" on a grid.
pub fn base(schedule: &Discrete, grid: &Grid<Step>) -> Outcome<Plan<Step>> {
    Ok(Plan::new(schedule, grid, &DpmSolver::plus_plus(2)?)?)
}
