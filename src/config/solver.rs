//! The solvers of the classes.

use super::{Options, Schedule, Timestep, grid::Walk, keys::Keys, multistep, schedule::Kind};
use crate::{
    Error, ModelVariance, Parameterization, Sigma, Step,
    schedule::NoiseSchedule,
    solver::{
        Ancestral, Churn, Consistency, Coordinates, Ddim, Ddpm, Descent, DpmSde, DpmSolver,
        EulerMaruyama, FinalMean, Langevin, LinearMultistep, Pndm, ReverseStep, RungeKutta,
    },
};

pub(super) type Solver = Box<dyn ReverseStep>;

/// The variance that DDPM gives its steps.
pub(super) fn variance(keys: &Keys) -> Result<ModelVariance, Error> {
    Ok(match keys.word("variance_type")? {
        "fixed_small" | "fixed_small_log" => ModelVariance::FixedSmall,
        // What fixed_large_log means; diffusers takes the root of a logarithm there.
        "fixed_large" | "fixed_large_log" => ModelVariance::FixedLarge,
        "learned" => ModelVariance::Learned,
        "learned_range" => ModelVariance::LearnedRange,
        _ => {
            let allowed = "fixed_small, fixed_small_log, fixed_large, fixed_large_log, learned, learned_range";
            return Err(keys.refuse("variance_type", allowed));
        }
    })
}

/// The solver for `n` steps on the grid of this walk.
pub(super) fn solver(
    keys: &Keys,
    schedule: &Schedule,
    walk: &Walk<Timestep>,
    options: &Options,
    n: usize,
) -> Result<Solver, Error> {
    let empty_step = walk.empty_step;
    Ok(match keys.class.as_str() {
        "DDPMScheduler" | "DDPMParallelScheduler" | "UnCLIPScheduler" => {
            Box::new(Ddpm::new(variance(keys)?))
        }
        "DDIMScheduler" | "DDIMParallelScheduler" => {
            Box::new(Ddim::new(options.eta.unwrap_or(0.0))?)
        }
        "DDIMInverseScheduler" | "CogVideoXDDIMScheduler" => Box::new(Ddim::default()),
        "CogVideoXDPMScheduler" => {
            let solver = DpmSolver::plus_plus(2)?
                .with_tau(1.0)?
                .with_euler_last_step();
            Box::new(match empty_step {
                true => solver.with_empty_last_step(),
                false => solver,
            })
        }
        "RePaintScheduler" => Box::new(Ddim::new(keys.number("eta")?)?),
        "DDPMWuerstchenScheduler" => Box::new(FinalMean::new(Ddpm::default())),
        "ScoreSdeVeScheduler" => Box::new(
            Langevin::new(
                EulerMaruyama::new(1.0)?,
                keys.number("snr")?,
                keys.count("correct_steps")?,
            )?
            .with_corrections_first(),
        ),
        "PNDMScheduler" => Box::new(match keys.flag("skip_prk_steps")? {
            true => Pndm::plms(),
            false => Pndm::runge_kutta(),
        }),
        "IPNDMScheduler" => Box::new(LinearMultistep::ipndm(4)?.with_analytic_start()),
        "EulerDiscreteScheduler" | "EDMEulerScheduler" => churned(keys, options, walk)?,
        "EulerAncestralDiscreteScheduler" => {
            Box::new(Ancestral::new(Ddim::default(), 1.0)?.with_noise_factor(options.noise_factor)?)
        }
        "HeunDiscreteScheduler" => Box::new(RungeKutta::heun()),
        "LMSDiscreteScheduler" => Box::new(LinearMultistep::lms(4)?),
        "KDPM2DiscreteScheduler" => Box::new(RungeKutta::dpm2()),
        "KDPM2AncestralDiscreteScheduler" => Box::new(Ancestral::new(RungeKutta::dpm2(), 1.0)?),
        "DPMSolverSDEScheduler" => {
            Box::new(DpmSde::new(1.0)?.with_noise_factor(options.noise_factor)?)
        }
        "DPMSolverMultistepScheduler"
        | "DPMSolverMultistepInverseScheduler"
        | "EDMDPMSolverMultistepScheduler"
        | "CosineDPMSolverMultistepScheduler" => multistep::multistep(keys, empty_step)?,
        "DPMSolverSinglestepScheduler" => multistep::singlestep(keys, n, empty_step)?,
        "UniPCMultistepScheduler" => multistep::unipc(keys, empty_step)?,
        "DEISMultistepScheduler" => multistep::deis(keys, empty_step)?,
        "SASolverScheduler" => multistep::sa_solver(keys, schedule, empty_step)?,
        "FlowMatchEulerDiscreteScheduler" => match keys.flag("stochastic_sampling")? {
            true => noised_anew(keys)?,
            false => Box::new(Ddim::default()),
        },
        "FlowMapEulerDiscreteScheduler" | "MiniMaxH3Scheduler" => Box::new(Ddim::default()),
        "LTXEulerAncestralRFScheduler" => ancestral_flow(keys)?,
        "FlowMatchHeunDiscreteScheduler" => {
            Box::new(RungeKutta::heun().with_coordinates(Coordinates::Flow))
        }
        "FlowMatchLCMScheduler" => {
            keys.unset("scale_factors", "null: a run keeps its resolution")?;
            noised_anew(keys)?
        }
        "LCMScheduler" | "SCMScheduler" => Box::new(Consistency::default()),
        "CMStochasticIterativeScheduler" => Box::new(
            Consistency::default()
                .with_floor(Sigma::new(keys.number("sigma_min")?)?)
                .with_noise_factor(keys.number("s_noise")?)?,
        ),
        "TCDScheduler" => tcd(keys, schedule, walk, options.eta.unwrap_or(0.3))?,
        _ => return Err(keys.refuse("_class_name", "the classes listed at SchedulerConfig")),
    })
}

fn churned(keys: &Keys, options: &Options, walk: &Walk<Timestep>) -> Result<Solver, Error> {
    // Data that the network names is the data after the noise too.
    let kept = match keys.word("prediction_type")? {
        "sample" | "original_sample" => Parameterization::X0,
        _ => Parameterization::Noise,
    };
    // The amount is for all steps of the list, of which the grid may lack an empty one.
    let steps = walk.grid.len() as f64;
    let share = steps / (steps + f64::from(u8::from(walk.empty_step)));
    let churn = Churn::new(Ddim::default(), options.churn * share)?
        .with_noise_factor(options.noise_factor)?
        .with_evaluation_before(kept);
    Ok(match options.churn_range {
        None => Box::new(churn),
        Some((min, max)) => Box::new(churn.with_noise_between(min, max)?),
    })
}

/// Flows of which only the predicted data is kept.
fn noised_anew(keys: &Keys) -> Result<Solver, Error> {
    let allowed = "false where noise is drawn anew: upwards it would end in noise";
    keys.unset("invert_sigmas", allowed)?;
    Ok(Box::new(Consistency::default()))
}

fn ancestral_flow(keys: &Keys) -> Result<Solver, Error> {
    keys.unset("invert_sigmas", "false for this class")?;
    let factor = keys.number("s_noise")?;
    if !(factor > 0.0) {
        return Err(keys.refuse("s_noise", "above 0"));
    }
    let descent = Descent::Flow(keys.number("eta")?);
    let solver = Ancestral::with_descent(Ddim::default(), descent)?;
    Ok(Box::new(solver.with_noise_factor(factor)?))
}

/// Each step goes to the level of `(1 - eta) t`, rounded down, and noise takes it up to that of `t`.
fn tcd(keys: &Keys, schedule: &Schedule, walk: &Walk<Timestep>, eta: f64) -> Result<Solver, Error> {
    if !(0.0..=1.0).contains(&eta) {
        return Err(Error::range("eta", eta, "0 to 1"));
    }
    let Kind::Steps(discrete) = &schedule.kind else {
        return Err(keys.refuse("_class_name", "a class on training steps"));
    };
    let targets = walk.grid.nodes().iter().skip(1).map(|node| node.time.0);
    let below = |t: f64| discrete.level(Step::fractional(((1.0 - eta) * t).floor())?);
    let mut levels = targets.map(below).collect::<Result<Vec<_>, _>>()?;
    levels.push(walk.grid.end());
    let solver = Ancestral::with_descent(Ddim::default(), Descent::Levels(levels))?;
    Ok(Box::new(solver))
}
