//! The multi-step classes, which also know one another's words.

use super::{
    Argument, Class, End, Family, GuidanceInterval, Quirks, Solver, Start,
    groups::{
        BETA_SCHEDULES, BETAS, CLIPPED_LAMBDA, CURVES, DPM_SOLVER as SOLVER, DYNAMIC, FINAL,
        FLOW_SIGMAS, LINSPACE, THRESHOLD, ZERO_SNR,
    },
};
use crate::{
    Error,
    config::{
        grid::{Ask, flow, steps},
        keys::{
            Default::{EmptyList, Flag, Null, Number, Word},
            Keys,
        },
        network::Network,
        schedule::Kind,
        words::{Algorithm, FINAL_SIGMAS, Words},
    },
    solver::{Coordinates, DpmSolver, ExponentialAdams, NodeBlocks, SaSolver, UniPc},
};

/// What they share.
const MULTISTEP: Class = Class {
    name: "",
    keys: &[],
    betas: BETA_SCHEDULES,
    network_time: "a whole step",
    schedule: Kind::steps_or_flow,
    spacing: Family::Multistep,
    end: End::FinalSigmas,
    quirks: Quirks::NONE,
    grid: |ask| match ask.keys.is_flow()? {
        true => flow::multistep(ask),
        false => steps::plain(ask),
    },
    solver: dpm_solver,
    network: Network::plain_or_flow,
    keeps_noise: |_| Ok(None),
    start: Start::Root,
    arguments: &[Argument::Mu],
    refused: &[],
    idle: &[],
};

/// Runs of so many steps have no lower orders at their end.
const LONG: usize = 15;

/// Whether a slope is integrated exactly, by `solver_type`; words of other classes mean midpoint.
const SLOPES: Words<bool> = &[
    ("midpoint", false),
    ("heun", true),
    ("logrho", false),
    ("bh1", false),
    ("bh2", false),
];

pub(super) const DPM_SOLVER: Class = Class {
    name: "DPMSolverMultistepScheduler",
    keys: &[
        BETAS,
        THRESHOLD,
        CURVES,
        FLOW_SIGMAS,
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
    ..MULTISTEP
};

pub(super) const DPM_SOLVER_INVERSE: Class = Class {
    name: "DPMSolverMultistepInverseScheduler",
    keys: &[
        BETAS,
        THRESHOLD,
        CURVES,
        FLOW_SIGMAS,
        LINSPACE,
        SOLVER,
        CLIPPED_LAMBDA,
    ],
    grid: steps::upwards,
    solver: |ask, stretch| {
        if ask
            .keys
            .word("algorithm_type", Algorithm::WORDS)?
            .is_stochastic
        {
            let allowed = "dpmsolver, dpmsolver++ or deis: noise cannot be added upwards";
            return Err(ask.keys.refuse("algorithm_type", allowed));
        }
        dpm_solver(ask, stretch)
    },
    arguments: &[],
    refused: &[("use_flow_sigmas", "false: its list goes down")],
    ..MULTISTEP
};

/// diffusers refuses the clean end for the algorithms that predict noise.
fn check_end(keys: &Keys, algorithm: Algorithm) -> Result<(), Error> {
    let ends_clean = keys.choice("final_sigmas_type", FINAL_SIGMAS)? == Some(true);
    if !algorithm.of_data && ends_clean {
        let allowed = "sigma_min with an algorithm_type that predicts noise";
        return Err(keys.refuse("final_sigmas_type", allowed));
    }
    Ok(())
}

fn order(keys: &Keys) -> Result<usize, Error> {
    keys.count_in("solver_order", 1..=3)
}

fn dpm_solver(ask: &Ask<'_>, stretch: &GuidanceInterval<'_>) -> Result<Solver, Error> {
    let algorithm = ask.keys.word("algorithm_type", Algorithm::WORDS)?;
    check_end(ask.keys, algorithm)?;
    dpm_solver_of(ask, stretch, algorithm)
}

/// The multi-step DPM-Solver of the keys.
pub(super) fn dpm_solver_of(
    ask: &Ask<'_>,
    stretch: &GuidanceInterval<'_>,
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
    if keys.flag("lower_order_final")? && stretch.total() < LONG {
        solver = solver.with_lower_final_orders();
    }
    if keys.flag("euler_at_final")? {
        solver = solver.with_euler_last_step();
    }
    if stretch.empty_step {
        solver = solver.with_empty_last_step();
    }
    Ok(Box::new(solver))
}

pub(super) const DPM_SOLVER_SINGLESTEP: Class = Class {
    name: "DPMSolverSinglestepScheduler",
    keys: &[
        BETAS,
        THRESHOLD,
        CURVES,
        FLOW_SIGMAS,
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
    solver: |ask, stretch| {
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
        if stretch.empty_step {
            solver = solver.with_empty_last_step();
        }
        // diffusers turns the switch on where the orders would not fit the steps or the end.
        let lowers = keys.flag("lower_order_final")?
            || keys.word("final_sigmas_type", FINAL_SIGMAS)?
            || !stretch.total().is_multiple_of(order);
        if lowers {
            solver = solver.with_lower_final_orders();
        }
        Ok(Box::new(solver.after_steps(stretch.before)))
    },
    arguments: &[Argument::Mu, Argument::Timesteps],
    ..MULTISTEP
};

pub(super) const UNI_PC: Class = Class {
    name: "UniPCMultistepScheduler",
    keys: &[
        BETAS,
        THRESHOLD,
        CURVES,
        FLOW_SIGMAS,
        DYNAMIC,
        LINSPACE,
        FINAL,
        ZERO_SNR,
        &[
            ("solver_order", Number(2.0)),
            ("predict_x0", Flag(true)),
            ("solver_type", Word("bh2")),
            ("lower_order_final", Flag(true)),
            ("disable_corrector", EmptyList),
            ("solver_p", Null),
            ("shift_terminal", Null),
        ],
    ],
    quirks: Quirks {
        repeats_curves: true,
        leaves_a_trace: true,
        ..Quirks::NONE
    },
    grid: |ask| match ask.keys.is_flow()? {
        true => flow::unipc(ask),
        false => {
            let allowed = "null without use_flow_sigmas";
            ask.keys.unset("shift_terminal", allowed)?;
            steps::plain(ask)
        }
    },
    solver: |ask, stretch| {
        /// Whether it is bh1; words of other classes mean bh2.
        const FIRST: Words<bool> = &[
            ("bh1", true),
            ("bh2", false),
            ("midpoint", false),
            ("heun", false),
            ("logrho", false),
        ];
        let keys = ask.keys;
        let order = keys.count("solver_order")?;
        let mut solver = keys.blame("solver_order", UniPc::new(order))?;
        if keys.word("solver_type", FIRST)? {
            solver = solver.with_bh1();
        }
        if !keys.flag("predict_x0")? {
            solver = solver.with_coordinates(Coordinates::Noise)?;
        }
        if stretch.empty_step {
            solver = solver.with_empty_last_step();
        }
        if keys.flag("lower_order_final")? {
            solver = solver.with_lower_final_orders();
        }
        let whole =
            |value: &serde_json::Value| value.as_u64().and_then(|i| usize::try_from(i).ok());
        let uncorrected = keys.list(
            "disable_corrector",
            whole,
            "a list of whole numbers from 0 on",
        )?;
        let later = uncorrected
            .iter()
            .filter_map(|step| step.checked_sub(stretch.before));
        Ok(Box::new(
            solver.without_corrector_at(later.collect::<Vec<_>>()),
        ))
    },
    arguments: &[Argument::Mu, Argument::Sigmas],
    refused: &[("solver_p", "null: a solver is no value of a file")],
    ..MULTISTEP
};

pub(super) const DEIS: Class = Class {
    name: "DEISMultistepScheduler",
    keys: &[
        BETAS,
        THRESHOLD,
        CURVES,
        FLOW_SIGMAS,
        DYNAMIC,
        LINSPACE,
        &[
            ("solver_order", Number(2.0)),
            ("algorithm_type", Word("deis")),
            ("solver_type", Word("logrho")),
            ("lower_order_final", Flag(true)),
        ],
    ],
    end: End::FirstStep,
    quirks: Quirks {
        repeats_curves: true,
        ..Quirks::NONE
    },
    solver: |ask, stretch| {
        const ALGORITHMS: Words<()> = &[("deis", ()), ("dpmsolver", ()), ("dpmsolver++", ())];
        const TYPES: Words<()> = &[
            ("logrho", ()),
            ("midpoint", ()),
            ("heun", ()),
            ("bh1", ()),
            ("bh2", ()),
        ];
        let keys = ask.keys;
        keys.word("algorithm_type", ALGORITHMS)?;
        keys.word("solver_type", TYPES)?;
        let mut solver = ExponentialAdams::deis(order(keys)?)?;
        if stretch.empty_step {
            solver = solver.with_empty_last_step();
        }
        if keys.flag("lower_order_final")? && stretch.total() < LONG {
            solver = solver.with_lower_final_orders();
        }
        Ok(Box::new(solver))
    },
    ..MULTISTEP
};

pub(super) const SA_SOLVER: Class = Class {
    name: "SASolverScheduler",
    keys: &[
        BETAS,
        THRESHOLD,
        CURVES,
        FLOW_SIGMAS,
        LINSPACE,
        CLIPPED_LAMBDA,
        &[
            ("predictor_order", Number(2.0)),
            ("corrector_order", Number(2.0)),
            ("tau_func", Null),
            ("algorithm_type", Word("data_prediction")),
            ("lower_order_final", Flag(true)),
        ],
    ],
    end: End::FirstStep,
    quirks: Quirks {
        repeats_curves: true,
        ..Quirks::NONE
    },
    solver: |ask, stretch| {
        /// Whether it predicts the noise.
        const ALGORITHMS: Words<bool> = &[("data_prediction", false), ("noise_prediction", true)];
        let keys = ask.keys;
        let predictor = keys.count_in("predictor_order", 1..=8)?;
        let corrector = keys.count_in("corrector_order", 0..=8)?;
        let mut solver = SaSolver::new(predictor, corrector)?.with_diffusers_rules();
        if keys.word("algorithm_type", ALGORITHMS)? {
            solver = solver.with_coordinates(Coordinates::Noise)?;
        }
        if stretch.empty_step {
            solver = solver.with_empty_last_step();
        }
        if keys.flag("lower_order_final")? {
            solver = solver.with_lower_final_orders();
        }
        // Noise is added at the steps from 200 to 800.
        Ok(Box::new(match ask.schedule.levels_time(200.0, 800.0)? {
            Some((from, to)) => solver.with_noise_between(from, to)?,
            None => solver.with_tau(0.0)?,
        }))
    },
    arguments: &[],
    refused: &[("tau_func", "null: a function is no value of a file")],
    ..MULTISTEP
};
