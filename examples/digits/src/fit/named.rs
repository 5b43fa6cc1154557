//! The best that names give.

use std::collections::{HashMap, HashSet};

use gaussian_diffusion::{
    Plan, Sampler, Step,
    sampler::{GridName, Kind, SolverName},
    schedule::Discrete,
};

use super::{Row, course::Course};
use crate::Outcome;

/// Every solver without noise on the grid that suits it best, and the best of all.
#[derive(Debug)]
pub struct Named {
    pub rows: Vec<Row>,
    pub best: Row,
    /// The names of the best and their plans, one for each budget.
    pub samplers: Vec<Sampled>,
}

/// The name of a sampler, and its plan.
type Sampled = (String, Plan<Step>);

impl Named {
    /// Of those solvers and grids, for these budgets of evaluations.
    pub fn of(
        schedule: &Discrete,
        course: &Course,
        budgets: &[usize],
        solvers: impl Iterator<Item = SolverName>,
    ) -> Outcome<Self> {
        let mut rows = Vec::new();
        let mut all: Vec<(f64, Option<Sampled>)> = vec![(f64::INFINITY, None); budgets.len()];
        let mut grids = HashSet::new();
        // Some names are others of the same plan.
        let mut known = HashMap::new();
        for solver in solvers {
            let mut best = vec![f64::INFINITY; budgets.len()];
            for (place, budget) in budgets.iter().enumerate() {
                for grid in GridName::all() {
                    let sampler = Sampler::new(solver, grid);
                    let Some(plan) = within(sampler, schedule, *budget) else {
                        continue;
                    };
                    grids.insert(grid);
                    // Some grids lead a network whose answers are clipped to no number.
                    let error = || course.error(&plan).unwrap_or(f64::INFINITY);
                    let error = *known.entry(plan.fingerprint()).or_insert_with(error);
                    best[place] = best[place].min(error);
                    if error < all[place].0 {
                        all[place] = (error, Some((sampler.to_string(), plan)));
                    }
                }
            }
            if best.iter().all(|error| error.is_finite()) {
                rows.push(Row::new(format!("{solver}, its best grid"), best));
            }
        }
        let name = format!("best of {} solvers and {} grids", rows.len(), grids.len());
        let (errors, samplers): (_, Vec<_>) = all.into_iter().unzip();
        let samplers: Option<_> = samplers.into_iter().collect();
        Ok(Self {
            rows,
            best: Row::new(name, errors),
            samplers: samplers.ok_or("no named sampler has a plan")?,
        })
    }

    /// The errors of a solver on its best grid.
    pub fn solver(&self, name: &str) -> Option<&Row> {
        let own = |row: &&Row| row.name.split(',').next() == Some(name);
        self.rows.iter().find(own)
    }
}

/// The plan without noise with the most steps that makes no more evaluations than allowed.
fn within(sampler: Sampler, schedule: &Discrete, budget: usize) -> Option<Plan<Step>> {
    if sampler.kind() != Kind::Planned || sampler.solver().needs_cfg_plus_plus() {
        return None;
    }
    let plans = (1..=budget).rev().map(|n| sampler.plan(schedule, n).ok());
    let plan = plans.flatten().find(|plan| plan.evaluations() <= budget)?;
    Some(plan).filter(|plan| !draws(plan))
}

fn draws(plan: &Plan<Step>) -> bool {
    let stages = plan.stages().iter().map(|planned| &planned.stage);
    let mut updates = stages.flat_map(|stage| [&stage.renoise, &stage.commit, &stage.trial]);
    updates.any(|update| update.as_ref().is_some_and(|update| update.noise.draws()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_kept_and_no_noise_is_drawn() {
        let schedule = Discrete::cosine(1000).unwrap();
        let within = |name| within(Sampler::from_name(name).unwrap(), &schedule, 5);
        let steps = |name| within(name).map(|plan| (plan.steps(), plan.evaluations()));
        assert_eq!(steps("DPM++ 2M Karras"), Some((5, 5)));
        // Two evaluations a step, but for the last one.
        assert_eq!(steps("Heun Karras"), Some((3, 5)));
        for other in [
            "Euler a",
            "DPM++ 2M SDE Karras",
            "DPM adaptive",
            "euler_cfg_pp",
        ] {
            assert_eq!(steps(other), None, "{other}");
        }
    }
}
