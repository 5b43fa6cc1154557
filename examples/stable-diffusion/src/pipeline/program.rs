//! The plan of a request: of the scheduler file, or of a sampler by name.

use gaussian_diffusion::{
    Grid, NoiseSchedule, Plan, Sampler, Step,
    config::{SchedulerConfig, Timestep},
    grid::steps_of_strength,
    sampler::{Kind, SolverName},
    schedule::Discrete,
    solver::DpmAdaptive,
};

use super::Request;
use crate::{
    Outcome,
    model::Model,
    seeds::{Batch, Seeds},
};

/// A sampler that is ready to run.
#[derive(Debug)]
pub enum Program {
    File(Plan<Timestep>),
    Named { plan: Plan<Step>, sampler: Sampler },
    Adaptive(Box<Adaptive>),
}

/// A sampler that chooses its own steps, and a plan that begins where it does.
#[derive(Debug)]
pub struct Adaptive {
    pub sampler: Sampler,
    pub solver: DpmAdaptive,
    pub schedule: Discrete,
    start: Plan<Step>,
}

impl Program {
    pub fn new(model: &Model, request: &Request) -> Outcome<Self> {
        let n = request.steps;
        // Text to image is all of the steps.
        let part = match request.image {
            Some(_) => steps_of_strength(n, request.strength)?,
            None => n,
        };
        let Some(name) = &request.sampler else {
            let config = of_file(model, request);
            return Ok(Self::File(config.plan_tail(n, part)?));
        };
        let sampler = Sampler::from_name(name)?;
        let schedule = steps(&model.scheduler)?;
        let is_whole = part == n;
        if sampler.kind() == Kind::Adaptive {
            if !is_whole {
                return Err(
                    format!("{sampler} chooses its own steps: a strength of 1 is allowed").into(),
                );
            }
            let start = Plan::new(
                &schedule,
                &Grid::every(&schedule)?,
                &gaussian_diffusion::solver::Ddim::default(),
            )?;
            let solver = sampler.adaptive()?;
            return Ok(Self::Adaptive(Box::new(Adaptive {
                sampler,
                solver,
                schedule,
                start,
            })));
        }
        if is_whole {
            let plan = sampler.plan(&schedule, n)?;
            return Ok(Self::Named { plan, sampler });
        }
        if sampler.solver() == SolverName::Restart {
            return Err("Restart has no part of a run: a strength of 1 is allowed".into());
        }
        let grid = sampler.grid(&schedule, n)?;
        let grid = grid.tail(part.min(grid.len()))?;
        let solver = sampler.solver().solver(&schedule, &grid, grid.len())?;
        let plan = Plan::new(&schedule, &grid, &solver)?;
        Ok(Self::Named { plan, sampler })
    }

    /// The first latents of a run from noise alone.
    pub fn start(
        &self,
        model: &Model,
        request: &Request,
        shape: (usize, usize, usize, usize),
        seeds: &mut Seeds,
    ) -> Outcome<Batch> {
        Ok(match self {
            Self::File(_) => of_file(model, request).start(shape, request.steps, seeds)?,
            Self::Named { plan, .. } => plan.prior(shape, seeds)?,
            Self::Adaptive(adaptive) => adaptive.start.prior(shape, seeds)?,
        })
    }

    /// Those of a run from a picture.
    pub fn noised(&self, latents: &Batch, seeds: &mut Seeds) -> Outcome<Batch> {
        Ok(match self {
            Self::File(plan) => plan.noised(latents, seeds)?,
            Self::Named { plan, .. } => plan.noised(latents, seeds)?,
            Self::Adaptive(adaptive) => adaptive.start.noised(latents, seeds)?,
        })
    }

    /// The name of the sampler, or of the class of the scheduler file.
    pub fn name(&self, model: &Model) -> String {
        match self {
            Self::File(_) => model.scheduler.class().to_owned(),
            Self::Named { sampler, .. } => sampler.to_string(),
            Self::Adaptive(adaptive) => adaptive.sampler.to_string(),
        }
    }
}

/// The scheduler with the arguments that pipelines pass on: `eta`, to the classes that have one.
pub fn of_file(model: &Model, request: &Request) -> SchedulerConfig {
    let with = model
        .scheduler
        .clone()
        .with_options(|options| options.eta = Some(request.eta));
    match with.ignored_options().contains(&"eta") {
        true => model.scheduler.clone(),
        false => with,
    }
}

/// The training steps of a scheduler as a table.
fn steps(config: &SchedulerConfig) -> Outcome<Discrete> {
    let schedule = config.schedule();
    let (Timestep(last), _) = schedule.ends();
    let levels = (0..=last as usize).map(|step| {
        let level = schedule.level(Timestep(step as f64))?;
        Ok(level.alpha().powi(2))
    });
    let alpha_bars = levels.collect::<Result<Vec<_>, gaussian_diffusion::Error>>()?;
    Ok(Discrete::from_alpha_bars(&alpha_bars)?)
}
