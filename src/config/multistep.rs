//! The solvers of the multi-step classes, in one another's words.

use super::{Schedule, keys::Keys, solver::Solver};
use crate::{
    Error,
    solver::{Coordinates, DpmSolver, ExponentialAdams, NodeBlocks, SaSolver, UniPc},
};

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

pub(super) fn multistep(keys: &Keys, empty_step: bool) -> Result<Solver, Error> {
    let algorithm = match keys.class.starts_with("Cosine") {
        true => "sde-dpmsolver++",
        false => algorithm(keys)?,
    };
    if keys.class == "EDMDPMSolverMultistepScheduler" && !algorithm.ends_with("++") {
        return Err(keys.refuse("algorithm_type", "dpmsolver++, sde-dpmsolver++ or deis"));
    }
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
        false => DpmSolver::new(order, Coordinates::Noise)?,
    };
    if algorithm.starts_with("sde") {
        solver = solver.with_tau(1.0)?;
    }
    if remapped(
        keys,
        "solver_type",
        &OF_DPM,
        &TO_DPM,
        "midpoint, heun, logrho, bh1 or bh2",
    )? == "heun"
    {
        solver = solver.with_exact_integrals();
    }
    if keys.flag("lower_order_final")? {
        solver = solver.with_lower_final_orders();
    }
    if keys.flag("euler_at_final")? {
        solver = solver.with_euler_last_step();
    }
    if empty_step {
        solver = solver.with_empty_last_step();
    }
    Ok(Box::new(solver))
}

pub(super) fn singlestep(keys: &Keys, n: usize, empty_step: bool) -> Result<Solver, Error> {
    let algorithm = algorithm(keys)?;
    check_end(keys, algorithm)?;
    let order = keys.count("solver_order")?;
    let allowed = "midpoint, heun, logrho, bh1 or bh2";
    let solver_type = remapped(keys, "solver_type", &OF_DPM, &TO_DPM, allowed)?;
    let mut solver = match algorithm {
        "dpmsolver++" => NodeBlocks::plus_plus(order)?,
        "sde-dpmsolver++" => NodeBlocks::plus_plus(order)?.with_tau(1.0)?,
        "dpmsolver" => NodeBlocks::new(order, Coordinates::Noise)?,
        _ => {
            let allowed = "dpmsolver, dpmsolver++, sde-dpmsolver++ or deis";
            return Err(keys.refuse("algorithm_type", allowed));
        }
    };
    if solver_type == "heun" {
        solver = solver.with_exact_integrals();
    }
    if empty_step {
        solver = solver.with_empty_last_step();
    }
    // diffusers turns the switch on where the orders would not fit the steps or the end.
    let lowers = keys.flag("lower_order_final")?
        || keys.word("final_sigmas_type")? == "zero"
        || !n.is_multiple_of(order);
    Ok(match lowers {
        true => Box::new(solver.with_lower_final_orders()),
        false => Box::new(solver),
    })
}

pub(super) fn unipc(keys: &Keys, empty_step: bool) -> Result<Solver, Error> {
    keys.unset("solver_p", "null: a solver is no value of a file")?;
    if !keys.flag("use_flow_sigmas")? {
        keys.unset("shift_terminal", "null without use_flow_sigmas")?;
    }
    let mut solver = UniPc::new(keys.count("solver_order")?)?;
    let foreign = [("midpoint", "bh2"), ("heun", "bh2"), ("logrho", "bh2")];
    let allowed = "bh1, bh2, midpoint, heun or logrho";
    if remapped(keys, "solver_type", &["bh1", "bh2"], &foreign, allowed)? == "bh1" {
        solver = solver.with_bh1();
    }
    if !keys.flag("predict_x0")? {
        solver = solver.with_coordinates(Coordinates::Noise)?;
    }
    if empty_step {
        solver = solver.with_empty_last_step();
    }
    if keys.flag("lower_order_final")? {
        solver = solver.with_lower_final_orders();
    }
    let index = |value: &serde_json::Value| value.as_u64().and_then(|i| usize::try_from(i).ok());
    let uncorrected = keys.numbers("disable_corrector", index)?;
    Ok(Box::new(
        solver.without_corrector_at(uncorrected.unwrap_or_default()),
    ))
}

pub(super) fn deis(keys: &Keys, empty_step: bool) -> Result<Solver, Error> {
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
        solver = solver.with_empty_last_step();
    }
    Ok(match keys.flag("lower_order_final")? {
        true => Box::new(solver.with_lower_final_orders()),
        false => Box::new(solver),
    })
}

pub(super) fn sa_solver(
    keys: &Keys,
    schedule: &Schedule,
    empty_step: bool,
) -> Result<Solver, Error> {
    keys.unset("tau_func", "null: a function is no value of a file")?;
    let (predictor, corrector) = (
        keys.count("predictor_order")?,
        keys.count("corrector_order")?,
    );
    let mut solver = SaSolver::new(predictor, corrector)?.with_diffusers_rules();
    match keys.word("algorithm_type")? {
        "data_prediction" => {}
        "noise_prediction" => solver = solver.with_coordinates(Coordinates::Noise)?,
        _ => {
            let allowed = "data_prediction or noise_prediction";
            return Err(keys.refuse("algorithm_type", allowed));
        }
    }
    if empty_step {
        solver = solver.with_empty_last_step();
    }
    if keys.flag("lower_order_final")? {
        solver = solver.with_lower_final_orders();
    }
    // Noise is added at the steps from 200 to 800.
    Ok(Box::new(match schedule.levels_time(200.0, 800.0)? {
        Some((from, to)) => solver.with_noise_between(from, to)?,
        None => solver.with_tau(0.0)?,
    }))
}
