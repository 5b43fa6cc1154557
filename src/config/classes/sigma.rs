//! The classes that count in sigma: k-diffusion's samplers.

use super::{
    Argument, Class, Draws, End, Facts, Family, Quirks, Start,
    groups::{
        BETA_SCHEDULES, BETAS, CLIP, CURVES, EXPONENTIAL_TOO, FINAL, LATENT, LINSPACE, NO_CLIP,
        ZERO_SNR,
    },
};
use crate::{
    Error, Parameterization,
    config::{
        defaults::Default::{Null, Word},
        grid::{Ask, ratios, steps},
        keys::Keys,
        network::Network,
        schedule::Kind,
        words::{PREDICTIONS, Words},
    },
    solver::{Ancestral, Churn, Ddim, DpmSde, LinearMultistep, ReverseStep, RungeKutta},
};

/// What they share. Heun and what comes after it has the betas of Stable Diffusion by default.
const IN_SIGMA: Class = Class {
    facts: Facts {
        name: "",
        family_keys: &[],
        keys: &[BETAS, LATENT, CURVES, LINSPACE],
        betas: BETA_SCHEDULES,
        network_time: "a step, also fractional",
        spacing: Family::Sigma,
        end: End::Data,
        quirks: Quirks {
            leaves_a_trace: true,
            ..Quirks::NONE
        },
        start: Start::SigmaUnlessLeading,
        arguments: &[],
        refused: &[],
        idle: &[],
    },
    schedule: Kind::steps,
    grid: steps::plain,
    solver: |_, _| Ok(Box::new(Ddim::default())),
    draws: |_| Ok(Draws::Needed),
    network: |keys| Network::plain(keys, PREDICTIONS),
    keeps_noise: |_| Ok(None),
};

/// Whether the times of Euler are those of EDM.
fn is_continuous(keys: &Keys) -> Result<bool, Error> {
    const TYPES: Words<bool> = &[("discrete", false), ("continuous", true)];
    // Of null and an empty word diffusers makes discrete times.
    let is_empty = |value: serde_json::Value| value.is_null() || value == "";
    if keys.get("timestep_type").is_none_or(is_empty) {
        return Ok(false);
    }
    let is_continuous = keys.word("timestep_type", TYPES)?;
    Ok(is_continuous
        && keys.word("prediction_type", EULER_PREDICTIONS)? == Parameterization::Velocity)
}

const EULER_PREDICTIONS: Words<Parameterization> = &[
    ("epsilon", Parameterization::Noise),
    ("sample", Parameterization::X0),
    ("original_sample", Parameterization::X0),
    ("v_prediction", Parameterization::Velocity),
];

pub(super) const EULER: Class = Class {
    facts: Facts {
        name: "EulerDiscreteScheduler",
        keys: &[
            BETAS,
            CURVES,
            LINSPACE,
            ZERO_SNR,
            FINAL,
            &[
                ("interpolation_type", Word("linear")),
                ("sigma_min", Null),
                ("sigma_max", Null),
                ("timestep_type", Word("discrete")),
            ],
        ],
        network_time: "a step, also fractional; `ln(sigma) / 4` with continuous times",
        end: End::FinalSigmas,
        arguments: &[Argument::Churn, Argument::NoiseFactor, Argument::Timesteps],
        ..IN_SIGMA.facts
    },
    schedule: |keys| {
        let steps = Kind::steps(keys)?;
        Ok(match is_continuous(keys)? {
            true => Kind::Continuous,
            false => steps,
        })
    },
    grid: |ask| match is_continuous(ask.keys)? {
        true => ratios::continuous(ask),
        false => steps::euler(ask),
    },
    solver: |ask, section| {
        // Data that the network names is the data after the noise too.
        let kept = match ask.keys.word("prediction_type", EULER_PREDICTIONS)? {
            Parameterization::X0 => Parameterization::X0,
            _ => Parameterization::Noise,
        };
        churned(ask, section, kept)
    },
    network: |keys| Network::plain(keys, EULER_PREDICTIONS),
    ..IN_SIGMA
};

/// Euler's steps with the churn of the call, after which the answer is taken in these terms.
pub(super) fn churned(
    ask: &Ask<'_>,
    section: &super::Section<'_>,
    kept: Parameterization,
) -> Result<super::Solver, Error> {
    let options = ask.options;
    // The amount is for all steps of the list, of which the grid may have a part.
    let share = section.grid.len() as f64 / section.total() as f64;
    let churn = named(
        ask,
        "churn",
        Churn::new(Ddim::default(), options.churn * share),
    )?;
    let factor = options.noise_factor;
    let churn = named(ask, "noise_factor", churn.with_noise_factor(factor))?;
    let churn = churn.with_evaluation_before(kept);
    Ok(match options.churn_range {
        None => Box::new(churn),
        Some((min, max)) => Box::new(named(
            ask,
            "churn_range",
            churn.with_noise_between(min, max),
        )?),
    })
}

/// An error of an argument of the call, by its name.
fn named<T>(ask: &Ask<'_>, name: &'static str, part: Result<T, Error>) -> Result<T, Error> {
    part.map_err(|error| match error {
        Error::OutOfRange { value, allowed, .. } => {
            ask.keys.error(name, format!("{value:?}"), allowed)
        }
        other => other,
    })
}

pub(super) const EULER_ANCESTRAL: Class = Class {
    facts: Facts {
        name: "EulerAncestralDiscreteScheduler",
        keys: &[BETAS, LINSPACE, ZERO_SNR],
        arguments: &[Argument::NoiseFactor],
        ..IN_SIGMA.facts
    },
    solver: |ask, _| {
        let solver = Ancestral::new(Ddim::default(), 1.0)?;
        noised(ask, solver)
    },
    draws: |_| Ok(Draws::EveryStep),
    ..IN_SIGMA
};

fn noised<S: ReverseStep + 'static>(
    ask: &Ask<'_>,
    solver: Ancestral<S>,
) -> Result<super::Solver, Error> {
    let factor = ask.options.noise_factor;
    Ok(Box::new(named(
        ask,
        "noise_factor",
        solver.with_noise_factor(factor),
    )?))
}

pub(super) const HEUN: Class = Class {
    facts: Facts {
        name: "HeunDiscreteScheduler",
        keys: &[BETAS, LATENT, CURVES, LINSPACE, CLIP, NO_CLIP],
        betas: EXPONENTIAL_TOO,
        arguments: &[Argument::Timesteps],
        ..IN_SIGMA.facts
    },
    solver: |_, _| Ok(Box::new(RungeKutta::heun())),
    ..IN_SIGMA
};

pub(super) const LMS: Class = Class {
    facts: Facts {
        name: "LMSDiscreteScheduler",
        keys: &[BETAS, CURVES, LINSPACE],
        quirks: Quirks {
            karras_is_unbounded: true,
            ..IN_SIGMA.facts.quirks
        },
        ..IN_SIGMA.facts
    },
    solver: |_, _| Ok(Box::new(LinearMultistep::lms(4)?)),
    ..IN_SIGMA
};

pub(super) const KDPM2: Class = Class {
    facts: Facts {
        name: "KDPM2DiscreteScheduler",
        quirks: Quirks {
            rounds_karras: true,
            ..IN_SIGMA.facts.quirks
        },
        ..IN_SIGMA.facts
    },
    solver: |_, _| Ok(Box::new(RungeKutta::dpm2())),
    ..IN_SIGMA
};

pub(super) const KDPM2_ANCESTRAL: Class = Class {
    facts: Facts {
        name: "KDPM2AncestralDiscreteScheduler",
        ..KDPM2.facts
    },
    solver: |_, _| Ok(Box::new(Ancestral::new(RungeKutta::dpm2(), 1.0)?)),
    ..KDPM2
};

pub(super) const DPM_SOLVER_SDE: Class = Class {
    facts: Facts {
        name: "DPMSolverSDEScheduler",
        quirks: Quirks {
            karras_is_unbounded: true,
            ..IN_SIGMA.facts.quirks
        },
        arguments: &[Argument::NoiseFactor],
        ..IN_SIGMA.facts
    },
    solver: |ask, _| {
        let factor = ask.options.noise_factor;
        let solver = DpmSde::new(1.0)?;
        Ok(Box::new(named(
            ask,
            "noise_factor",
            solver.with_noise_factor(factor),
        )?))
    },
    ..IN_SIGMA
};
