//! The solvers of the classes.

use super::{Options, Schedule, Told, grid::Walk, keys::Keys, schedule::Kind};
use crate::{
    Error, ModelVariance, Parameterization, Sigma, Step,
    schedule::NoiseSchedule,
    solver::{
        Ancestral, Churn, Consistency, Coordinates, Ddim, Ddpm, Descent, DpmSde, DpmSolver,
        EulerMaruyama, ExponentialAdams, FinalMean, Langevin, LinearMultistep, NodeBlocks, Pndm,
        ReverseStep, RungeKutta, SaSolver, UniPc,
    },
};

type Solver = Box<dyn ReverseStep>;

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
    walk: &Walk<Told>,
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
            let solver = DpmSolver::plus_plus(2)?.with_eta(1.0)?.ending_with_euler();
            Box::new(match empty_step {
                true => solver.before_an_empty_step(),
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
            .before_steps(),
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
        | "CosineDPMSolverMultistepScheduler" => multistep(keys, empty_step)?,
        "DPMSolverSinglestepScheduler" => singlestep(keys, n, empty_step)?,
        "UniPCMultistepScheduler" => unipc(keys, empty_step)?,
        "DEISMultistepScheduler" => deis(keys, empty_step)?,
        "SASolverScheduler" => sa_solver(keys, schedule, empty_step)?,
        "FlowMatchEulerDiscreteScheduler" => match keys.flag("stochastic_sampling")? {
            true => noised_anew(keys)?,
            false => Box::new(Ddim::default()),
        },
        "FlowMapEulerDiscreteScheduler" | "MiniMaxH3Scheduler" => Box::new(Ddim::default()),
        "LTXEulerAncestralRFScheduler" => ancestral_flow(keys)?,
        "FlowMatchHeunDiscreteScheduler" => {
            Box::new(RungeKutta::heun().in_coordinates(Coordinates::Flow))
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

fn churned(keys: &Keys, options: &Options, walk: &Walk<Told>) -> Result<Solver, Error> {
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
        .asking_before_for(kept);
    Ok(match options.churn_range {
        None => Box::new(churn),
        Some((min, max)) => Box::new(churn.within(min, max)?),
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

/// A word of one solver's vocabulary for the other's: `known`, or what it stands for.
fn remapped(
    keys: &Keys,
    key: &'static str,
    known: &[&'static str],
    foreign: &[(&str, &'static str)],
    allowed: &'static str,
) -> Result<&'static str, Error> {
    let word = keys.word(key)?;
    let own = known.iter().find(|own| **own == word);
    let other = foreign.iter().find(|(other, _)| *other == word);
    match (own, other) {
        (Some(own), _) => Ok(own),
        (_, Some((_, own))) => Ok(own),
        _ => Err(keys.refuse(key, allowed)),
    }
}

const OF_DPM: [&str; 2] = ["midpoint", "heun"];
const TO_DPM: [(&str, &str); 3] = [
    ("logrho", "midpoint"),
    ("bh1", "midpoint"),
    ("bh2", "midpoint"),
];

fn algorithm(keys: &Keys) -> Result<&'static str, Error> {
    remapped(
        keys,
        "algorithm_type",
        &[
            "dpmsolver",
            "dpmsolver++",
            "sde-dpmsolver",
            "sde-dpmsolver++",
        ],
        &[("deis", "dpmsolver++")],
        "dpmsolver, dpmsolver++, sde-dpmsolver, sde-dpmsolver++ or deis",
    )
}

/// diffusers refuses the clean end for the algorithms that predict noise.
fn check_end(keys: &Keys, algorithm: &str) -> Result<(), Error> {
    if !algorithm.ends_with("++") && keys.word("final_sigmas_type")? == "zero" {
        let allowed = "sigma_min with an algorithm_type that predicts noise";
        return Err(keys.refuse("final_sigmas_type", allowed));
    }
    Ok(())
}

fn multistep(keys: &Keys, empty_step: bool) -> Result<Solver, Error> {
    let algorithm = match keys.class.starts_with("Cosine") {
        true => "sde-dpmsolver++",
        false => algorithm(keys)?,
    };
    check_end(keys, algorithm)?;
    if keys.class == "DPMSolverMultistepInverseScheduler" {
        if algorithm.starts_with("sde") {
            let allowed = "dpmsolver, dpmsolver++ or deis: noise cannot be added upwards";
            return Err(keys.refuse("algorithm_type", allowed));
        }
        keys.unset("use_flow_sigmas", "false: its list goes down")?;
    }
    let order = keys.count("solver_order")?;
    let mut solver = match algorithm.ends_with("++") {
        true => DpmSolver::plus_plus(order)?,
        false => DpmSolver::noise(order)?,
    };
    if algorithm.starts_with("sde") {
        solver = solver.with_eta(1.0)?;
    }
    if remapped(
        keys,
        "solver_type",
        &OF_DPM,
        &TO_DPM,
        "midpoint, heun, logrho, bh1 or bh2",
    )? == "heun"
    {
        solver = solver.heun();
    }
    if keys.flag("lower_order_final")? {
        solver = solver.lowering_final_orders();
    }
    if keys.flag("euler_at_final")? {
        solver = solver.ending_with_euler();
    }
    if empty_step {
        solver = solver.before_an_empty_step();
    }
    Ok(Box::new(solver))
}

fn singlestep(keys: &Keys, n: usize, empty_step: bool) -> Result<Solver, Error> {
    let algorithm = algorithm(keys)?;
    check_end(keys, algorithm)?;
    let order = keys.count("solver_order")?;
    let allowed = "midpoint, heun, logrho, bh1 or bh2";
    let solver_type = remapped(keys, "solver_type", &OF_DPM, &TO_DPM, allowed)?;
    let mut solver = match algorithm {
        "dpmsolver++" => NodeBlocks::plus_plus(order)?,
        "sde-dpmsolver++" => NodeBlocks::plus_plus(order)?.with_eta(1.0)?,
        "dpmsolver" => NodeBlocks::noise(order)?,
        _ => {
            let allowed = "dpmsolver, dpmsolver++, sde-dpmsolver++ or deis";
            return Err(keys.refuse("algorithm_type", allowed));
        }
    };
    if solver_type == "heun" {
        solver = solver.heun();
    }
    if empty_step {
        solver = solver.before_an_empty_step();
    }
    // diffusers turns the switch on where the orders would not fit the steps or the end.
    let lowers = keys.flag("lower_order_final")?
        || keys.word("final_sigmas_type")? == "zero"
        || !n.is_multiple_of(order);
    Ok(match lowers {
        true => Box::new(solver.lowering_final_orders()),
        false => Box::new(solver),
    })
}

fn unipc(keys: &Keys, empty_step: bool) -> Result<Solver, Error> {
    keys.unset("solver_p", "null: a solver is no value of a file")?;
    if !keys.flag("use_flow_sigmas")? {
        keys.unset("shift_terminal", "null without use_flow_sigmas")?;
    }
    let mut solver = UniPc::new(keys.count("solver_order")?)?;
    let foreign = [("midpoint", "bh2"), ("heun", "bh2"), ("logrho", "bh2")];
    let allowed = "bh1, bh2, midpoint, heun or logrho";
    if remapped(keys, "solver_type", &["bh1", "bh2"], &foreign, allowed)? == "bh1" {
        solver = solver.bh1();
    }
    if !keys.flag("predict_x0")? {
        solver = solver.of_noise();
    }
    if empty_step {
        solver = solver.before_an_empty_step();
    }
    if keys.flag("lower_order_final")? {
        solver = solver.lowering_final_orders();
    }
    let index = |value: &serde_json::Value| value.as_u64().and_then(|i| usize::try_from(i).ok());
    let uncorrected = keys.numbers("disable_corrector", index)?;
    Ok(Box::new(
        solver.without_correcting(uncorrected.unwrap_or_default()),
    ))
}

fn deis(keys: &Keys, empty_step: bool) -> Result<Solver, Error> {
    let foreign = [("dpmsolver", "deis"), ("dpmsolver++", "deis")];
    let allowed = "deis, dpmsolver or dpmsolver++";
    remapped(keys, "algorithm_type", &["deis"], &foreign, allowed)?;
    let foreign = ["midpoint", "heun", "bh1", "bh2"].map(|word| (word, "logrho"));
    let allowed = "logrho, midpoint, heun, bh1 or bh2";
    remapped(keys, "solver_type", &["logrho"], &foreign, allowed)?;
    let order = keys.count("solver_order")?;
    if !(1..=3).contains(&order) {
        return Err(keys.refuse("solver_order", "1 to 3"));
    }
    let mut solver = ExponentialAdams::deis(order)?;
    if empty_step {
        solver = solver.before_an_empty_step();
    }
    Ok(match keys.flag("lower_order_final")? {
        true => Box::new(solver.lowering_final_orders()),
        false => Box::new(solver),
    })
}

fn sa_solver(keys: &Keys, schedule: &Schedule, empty_step: bool) -> Result<Solver, Error> {
    keys.unset("tau_func", "null: a function is no value of a file")?;
    let (predictor, corrector) = (
        keys.count("predictor_order")?,
        keys.count("corrector_order")?,
    );
    let mut solver = SaSolver::new(predictor, corrector)?;
    match keys.word("algorithm_type")? {
        "data_prediction" => {}
        "noise_prediction" => solver = solver.of_noise(),
        _ => {
            let allowed = "data_prediction or noise_prediction";
            return Err(keys.refuse("algorithm_type", allowed));
        }
    }
    if empty_step {
        solver = solver.before_an_empty_step();
    }
    if keys.flag("lower_order_final")? {
        solver = solver.lowering_final_orders();
    }
    // Noise is added at the steps from 200 to 800.
    Ok(Box::new(match schedule.levels_told(200.0, 800.0)? {
        Some((from, to)) => solver.within(from, to)?,
        None => solver.with_tau(0.0)?,
    }))
}

/// Each step goes to the level of `(1 - eta) t`, rounded down, and noise takes it up to that of `t`.
fn tcd(keys: &Keys, schedule: &Schedule, walk: &Walk<Told>, eta: f64) -> Result<Solver, Error> {
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
