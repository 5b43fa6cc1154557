//! The multi-step classes, which also know one another's words.

use super::{
    Argument, Class, Draws, End, Facts, Quirks,
    dpm_solver::{LONG, MULTISTEP, order},
    groups::{CLIPPED_LAMBDA, DYNAMIC, FINAL, LINSPACE, ZERO_SNR},
};
use crate::{
    config::{
        defaults::Default::{EmptyList, Flag, Null, Number, Word},
        grid::{flow, steps},
        words::Words,
    },
    solver::{Coordinates, ExponentialAdams, SaSolver, UniPc},
};

pub(super) const UNI_PC: Class = Class {
    facts: Facts {
        name: "UniPCMultistepScheduler",
        keys: &[
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
        arguments: &[Argument::Mu, Argument::Sigmas],
        refused: &[("solver_p", "null: a solver is no value of a file")],
        ..MULTISTEP.facts
    },
    grid: |ask| match ask.keys.is_flow()? {
        true => flow::unipc(ask),
        false => {
            let allowed = "null without use_flow_sigmas";
            ask.keys.unset("shift_terminal", allowed)?;
            steps::plain(ask)
        }
    },
    solver: |ask, section| {
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
        if section.empty_step {
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
            .filter_map(|step| step.checked_sub(section.before));
        Ok(Box::new(
            solver.without_corrector_at(later.collect::<Vec<_>>()),
        ))
    },
    ..MULTISTEP
};

pub(super) const DEIS: Class = Class {
    facts: Facts {
        name: "DEISMultistepScheduler",
        keys: &[
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
        ..MULTISTEP.facts
    },
    solver: |ask, section| {
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
        if section.empty_step {
            solver = solver.with_empty_last_step();
        }
        if keys.flag("lower_order_final")? && section.total() < LONG {
            solver = solver.with_lower_final_orders();
        }
        Ok(Box::new(solver))
    },
    ..MULTISTEP
};

pub(super) const SA_SOLVER: Class = Class {
    facts: Facts {
        name: "SASolverScheduler",
        keys: &[
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
        arguments: &[],
        refused: &[("tau_func", "null: a function is no value of a file")],
        ..MULTISTEP.facts
    },
    solver: |ask, section| {
        /// Whether it predicts the noise.
        const ALGORITHMS: Words<bool> = &[("data_prediction", false), ("noise_prediction", true)];
        let keys = ask.keys;
        let predictor = keys.count_in("predictor_order", 1..=8)?;
        let corrector = keys.count_in("corrector_order", 0..=8)?;
        let mut solver = SaSolver::new(predictor, corrector)?.with_diffusers_rules();
        if keys.word("algorithm_type", ALGORITHMS)? {
            solver = solver.with_coordinates(Coordinates::Noise)?;
        }
        if section.empty_step {
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
    draws: |_| Ok(Draws::EveryStep),
    ..MULTISTEP
};
