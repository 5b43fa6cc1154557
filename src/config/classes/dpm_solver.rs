//! The classes of DPM-Solver, and what all multi-step classes share.

use super::{
    Argument, Class, Draws, End, Facts, Family, Quirks, Section, Solver, Start,
    groups::{
        BETA_SCHEDULES, BETAS, CLIPPED_LAMBDA, CURVES, DPM_SOLVER as SOLVER, DYNAMIC, FINAL,
        FLOW_SIGMAS, LINSPACE, THRESHOLD, ZERO_SNR,
    },
};
use crate::{
    Error,
    config::{
        defaults::Default::{Flag, Number, Word},
        grid::{Ask, flow, steps, upwards},
        keys::Keys,
        network::Network,
        schedule::Kind,
        words::{Algorithm, FINAL_SIGMAS, Words},
    },
    solver::{Coordinates, DpmSolver, NodeBlocks},
};

/// What they and the other multi-step classes share.
pub(super) const MULTISTEP: Class = Class {
    facts: Facts {
        name: "",
        family_keys: &[BETAS, THRESHOLD, CURVES, FLOW_SIGMAS],
        keys: &[],
        betas: BETA_SCHEDULES,
        network_time: "a whole step",
        spacing: Family::Multistep,
        end: End::FinalSigmas,
        quirks: Quirks::NONE,
        start: Start::Root,
        arguments: &[Argument::Mu],
        refused: &[],
        idle: &[],
    },
    schedule: Kind::steps_or_flow,
    grid: |ask| match ask.keys.is_flow()? {
        true => flow::multistep(ask),
        false => steps::plain(ask),
    },
    solver: dpm_solver,
    draws: |_| Ok(Draws::Needed),
    network: Network::plain_or_flow,
    keeps_noise: |_| Ok(None),
};

/// Runs of so many steps have no lower orders at their end.
pub(super) const LONG: usize = 15;

pub(super) fn order(keys: &Keys) -> Result<usize, Error> {
    keys.count_in("solver_order", 1..=3)
}

/// Whether a slope is integrated exactly, by `solver_type`; words of other classes mean midpoint.
const SLOPES: Words<bool> = &[
    ("midpoint", false),
    ("heun", true),
    ("logrho", false),
    ("bh1", false),
    ("bh2", false),
];

pub(super) const DPM_SOLVER: Class = Class {
    facts: Facts {
        name: "DPMSolverMultistepScheduler",
        keys: &[
            DYNAMIC,
            LINSPACE,
            SOLVER,
            FINAL,
            CLIPPED_LAMBDA,
            ZERO_SNR,
            &[("use_lu_lambdas", Flag(false))],
        ],
        quirks: Quirks {
            truncates_cosine: true,
            leaves_a_trace: true,
            ..Quirks::NONE
        },
        arguments: &[Argument::Mu, Argument::Timesteps],
        ..MULTISTEP.facts
    },
    draws: stochastic,
    ..MULTISTEP
};

pub(super) const DPM_SOLVER_INVERSE: Class = Class {
    facts: Facts {
        name: "DPMSolverMultistepInverseScheduler",
        keys: &[LINSPACE, SOLVER, CLIPPED_LAMBDA],
        arguments: &[],
        refused: &[("use_flow_sigmas", "false: its list goes down")],
        ..MULTISTEP.facts
    },
    grid: upwards::plain,
    solver: |ask, section| {
        if ask
            .keys
            .word("algorithm_type", Algorithm::WORDS)?
            .is_stochastic
        {
            let allowed = "dpmsolver, dpmsolver++ or deis: noise cannot be added upwards";
            return Err(ask.keys.refuse("algorithm_type", allowed));
        }
        dpm_solver(ask, section)
    },
    ..MULTISTEP
};

/// The SDE types draw in every step.
pub(super) fn stochastic(ask: &Ask<'_>) -> Result<Draws, Error> {
    let algorithm = ask.keys.word("algorithm_type", Algorithm::WORDS)?;
    Ok(match algorithm.is_stochastic {
        true => Draws::EveryStep,
        false => Draws::Needed,
    })
}

/// diffusers refuses the clean end for the algorithms that predict noise.
fn check_end(keys: &Keys, algorithm: Algorithm) -> Result<(), Error> {
    let ends_clean = keys.choice("final_sigmas_type", FINAL_SIGMAS)? == Some(true);
    if !algorithm.of_data && ends_clean {
        let allowed = "sigma_min with an algorithm_type that predicts noise";
        return Err(keys.refuse("final_sigmas_type", allowed));
    }
    Ok(())
}

pub(super) fn dpm_solver(ask: &Ask<'_>, section: &Section<'_>) -> Result<Solver, Error> {
    let algorithm = ask.keys.word("algorithm_type", Algorithm::WORDS)?;
    check_end(ask.keys, algorithm)?;
    dpm_solver_of(ask, section, algorithm)
}

/// The multi-step DPM-Solver of the keys.
pub(super) fn dpm_solver_of(
    ask: &Ask<'_>,
    section: &Section<'_>,
    algorithm: Algorithm,
) -> Result<Solver, Error> {
    let (keys, order) = (ask.keys, order(ask.keys)?);
    let mut solver = match algorithm.of_data {
        true => DpmSolver::plus_plus(order)?,
        false => DpmSolver::new(order, Coordinates::Noise)?,
    };
    if algorithm.is_stochastic {
        solver = solver.with_tau(1.0)?;
    }
    if keys.word("solver_type", SLOPES)? {
        solver = solver.with_exact_integrals();
    }
    if keys.flag("lower_order_final")? && section.total() < LONG {
        solver = solver.with_lower_final_orders();
    }
    if keys.flag("euler_at_final")? {
        solver = solver.with_euler_last_step();
    }
    if section.empty_step {
        solver = solver.with_empty_last_step();
    }
    Ok(Box::new(solver))
}

pub(super) const DPM_SOLVER_SINGLESTEP: Class = Class {
    facts: Facts {
        name: "DPMSolverSinglestepScheduler",
        keys: &[
            DYNAMIC,
            FINAL,
            CLIPPED_LAMBDA,
            &[
                ("solver_order", Number(2.0)),
                ("algorithm_type", Word("dpmsolver++")),
                ("solver_type", Word("midpoint")),
                ("lower_order_final", Flag(false)),
            ],
        ],
        arguments: &[Argument::Mu, Argument::Timesteps],
        ..MULTISTEP.facts
    },
    solver: |ask, section| {
        let keys = ask.keys;
        let algorithm = keys.word("algorithm_type", Algorithm::WORDS)?;
        check_end(keys, algorithm)?;
        let order = order(keys)?;
        let mut solver = match algorithm {
            Algorithm::DATA => NodeBlocks::plus_plus(order)?,
            Algorithm::DATA_SDE => NodeBlocks::plus_plus(order)?.with_tau(1.0)?,
            Algorithm::NOISE => NodeBlocks::new(order, Coordinates::Noise)?,
            _ => {
                let allowed = "dpmsolver, dpmsolver++, sde-dpmsolver++ or deis";
                return Err(keys.refuse("algorithm_type", allowed));
            }
        };
        if keys.word("solver_type", SLOPES)? {
            solver = solver.with_exact_integrals();
        }
        if section.empty_step {
            solver = solver.with_empty_last_step();
        }
        // diffusers turns the switch on where the orders would not fit the steps or the end.
        let lowers = keys.flag("lower_order_final")?
            || keys.word("final_sigmas_type", FINAL_SIGMAS)?
            || !section.total().is_multiple_of(order);
        if lowers {
            solver = solver.with_lower_final_orders();
        }
        Ok(Box::new(solver.after_steps(section.before)))
    },
    draws: stochastic,
    ..MULTISTEP
};
