//! The classes that take whole training steps, one evaluation each.

use super::{
    Argument, Class, Draws, End, Facts, Family, Quirks, Section, Solver, Start,
    groups::{
        ALPHA_TO_ONE, BETA_SCHEDULES, BETAS, CLIP, COSINE_ALONE, LATENT, LEADING, NO_CLIP, SCALED,
        SIGMOID_AND_LAPLACE_TOO, SIGMOID_TOO, THRESHOLD, ZERO_SNR,
    },
};
use crate::{
    Error, ModelVariance, NonMarkovian, Parameterization, Step,
    config::{
        defaults::Default::{Flag, Null, Number, Word},
        grid::{Ask, steps, upwards},
        network::Network,
        schedule::Kind,
        words::{PREDICTIONS, Words},
    },
    schedule::NoiseSchedule,
    solver::{Ancestral, Consistency, Ddim, Ddpm, Descent, DpmSolver, Pndm},
};

/// What most of them share: the steps of the spacing, down to the data.
const ON_STEPS: Class = Class {
    facts: Facts {
        name: "",
        family_keys: &[],
        keys: &[BETAS],
        betas: BETA_SCHEDULES,
        network_time: "a whole step",
        spacing: Family::Whole,
        end: End::Data,
        quirks: Quirks::NONE,
        start: Start::Root,
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

/// The words of `variance_type`.
const VARIANCES: Words<ModelVariance> = &[
    ("fixed_small", ModelVariance::FixedSmall),
    ("fixed_small_log", ModelVariance::FixedSmall),
    ("fixed_large", ModelVariance::FixedLarge),
    // What it means; diffusers takes the root of a logarithm there.
    ("fixed_large_log", ModelVariance::FixedLarge),
    ("learned", ModelVariance::Learned),
    ("learned_range", ModelVariance::LearnedRange),
];

pub(super) const DDPM: Class = Class {
    facts: Facts {
        name: "DDPMScheduler",
        keys: &[
            BETAS,
            CLIP,
            THRESHOLD,
            LEADING,
            ZERO_SNR,
            &[("variance_type", Word("fixed_small"))],
        ],
        betas: SIGMOID_AND_LAPLACE_TOO,
        arguments: &[Argument::Timesteps],
        ..ON_STEPS.facts
    },
    solver: |ask, _| {
        let key = "variance_type";
        // What diffusers makes of a type it does not know.
        let is_null = ask.keys.get(key).is_some_and(|value| value.is_null());
        Ok(Box::new(Ddpm::new(match is_null {
            true => ModelVariance::FixedSmall,
            false => ask.keys.word(key, VARIANCES)?,
        })))
    },
    draws: |_| Ok(Draws::AboveStep0),
    ..ON_STEPS
};

pub(super) const DDPM_PARALLEL: Class = Class {
    facts: Facts {
        name: "DDPMParallelScheduler",
        ..DDPM.facts
    },
    ..DDPM
};

pub(super) const UN_CLIP: Class = Class {
    facts: Facts {
        name: "UnCLIPScheduler",
        keys: &[
            CLIP,
            &[
                ("num_train_timesteps", Number(1000.0)),
                ("variance_type", Word("fixed_small_log")),
                ("prediction_type", Word("epsilon")),
                ("beta_schedule", Word("squaredcos_cap_v2")),
            ],
        ],
        betas: COSINE_ALONE,
        ..ON_STEPS.facts
    },
    grid: steps::linspace,
    solver: |ask, _| {
        const OWN: Words<ModelVariance> = &[
            ("fixed_small_log", ModelVariance::FixedSmall),
            ("learned_range", ModelVariance::LearnedRange),
        ];
        Ok(Box::new(Ddpm::new(ask.keys.word("variance_type", OWN)?)))
    },
    draws: |_| Ok(Draws::AboveStep0),
    network: |keys| {
        const OWN: Words<Parameterization> = &[
            ("epsilon", Parameterization::Noise),
            ("sample", Parameterization::X0),
        ];
        Network::plain(keys, OWN)
    },
    ..ON_STEPS
};

/// DDIM's posterior of the `eta` of the call.
fn generalized(ask: &Ask<'_>) -> Result<Option<NonMarkovian>, Error> {
    let eta = ask.options.eta.unwrap_or(0.0);
    Ok(Some(named_eta(ask, NonMarkovian::new(eta))?))
}

fn named_eta<T>(ask: &Ask<'_>, part: Result<T, Error>) -> Result<T, Error> {
    part.map_err(|error| match error {
        Error::OutOfRange { value, allowed, .. } => {
            ask.keys.error("eta", format!("{value:?}"), allowed)
        }
        other => other,
    })
}

pub(super) const DDIM: Class = Class {
    facts: Facts {
        name: "DDIMScheduler",
        keys: &[BETAS, CLIP, THRESHOLD, LEADING, ALPHA_TO_ONE, ZERO_SNR],
        end: End::AlphaToOne,
        arguments: &[Argument::Eta],
        ..ON_STEPS.facts
    },
    solver: |ask, _| {
        let eta = ask.options.eta.unwrap_or(0.0);
        Ok(Box::new(named_eta(ask, Ddim::new(eta))?))
    },
    draws: |ask| match ask.options.eta {
        Some(eta) if eta > 0.0 => Ok(Draws::EveryStep),
        _ => Ok(Draws::Needed),
    },
    keeps_noise: generalized,
    ..ON_STEPS
};

pub(super) const DDIM_PARALLEL: Class = Class {
    facts: Facts {
        name: "DDIMParallelScheduler",
        ..DDIM.facts
    },
    ..DDIM
};

pub(super) const DDIM_INVERSE: Class = Class {
    facts: Facts {
        name: "DDIMInverseScheduler",
        keys: &[BETAS, CLIP, LEADING, ALPHA_TO_ONE, ZERO_SNR],
        end: End::AlphaToOne,
        ..ON_STEPS.facts
    },
    grid: upwards::ddim,
    keeps_noise: |_| Ok(Some(NonMarkovian::DETERMINISTIC)),
    ..ON_STEPS
};

/// Its steps do not clip, whatever `clip_sample` says.
pub(super) const COG_VIDEO_X_DDIM: Class = Class {
    facts: Facts {
        name: "CogVideoXDDIMScheduler",
        keys: &[
            BETAS,
            LATENT,
            SCALED,
            LEADING,
            ALPHA_TO_ONE,
            ZERO_SNR,
            &[("snr_shift_scale", Number(3.0))],
        ],
        end: End::AlphaToOne,
        ..ON_STEPS.facts
    },
    ..ON_STEPS
};

pub(super) const COG_VIDEO_X_DPM: Class = Class {
    facts: Facts {
        name: "CogVideoXDPMScheduler",
        ..COG_VIDEO_X_DDIM.facts
    },
    solver: |_, section| {
        let solver = DpmSolver::plus_plus(2)?
            .with_tau(1.0)?
            .with_euler_last_step();
        Ok(Box::new(match section.empty_step {
            true => solver.with_empty_last_step(),
            false => solver,
        }))
    },
    draws: |_| Ok(Draws::TwiceWithin),
    ..COG_VIDEO_X_DDIM
};

pub(super) const PNDM: Class = Class {
    facts: Facts {
        name: "PNDMScheduler",
        keys: &[
            BETAS,
            LEADING,
            &[
                ("skip_prk_steps", Flag(false)),
                ("set_alpha_to_one", Flag(false)),
            ],
        ],
        end: End::AlphaToOne,
        ..ON_STEPS.facts
    },
    grid: steps::halved_start,
    solver: |ask, section| {
        let solver = match ask.keys.flag("skip_prk_steps")? {
            true => Pndm::plms(),
            false => Pndm::runge_kutta(),
        };
        Ok(Box::new(match section.empty_step {
            true => solver.with_empty_last_step(),
            false => solver,
        }))
    },
    ..ON_STEPS
};

pub(super) const RE_PAINT: Class = Class {
    facts: Facts {
        name: "RePaintScheduler",
        keys: &[&[
            ("num_train_timesteps", Number(1000.0)),
            ("beta_start", Number(0.0001)),
            ("beta_end", Number(0.02)),
            ("beta_schedule", Word("linear")),
            ("trained_betas", Null),
            ("eta", Number(0.0)),
            ("clip_sample", Flag(true)),
        ]],
        betas: SIGMOID_TOO,
        arguments: &[Argument::Jumps],
        ..ON_STEPS.facts
    },
    grid: steps::leading,
    solver: |ask, _| {
        let eta = ask.keys.number("eta")?;
        Ok(Box::new(ask.keys.blame("eta", Ddim::new(eta))?))
    },
    network: |_| Ok(Network::Plain(Parameterization::Noise, 1.0)),
    keeps_noise: |ask| {
        let eta = ask.keys.number("eta")?;
        Ok(Some(ask.keys.blame("eta", NonMarkovian::new(eta))?))
    },
    ..ON_STEPS
};

pub(super) const LCM: Class = Class {
    facts: Facts {
        name: "LCMScheduler",
        keys: &[
            BETAS,
            LATENT,
            SCALED,
            THRESHOLD,
            CLIP,
            NO_CLIP,
            ZERO_SNR,
            &[
                ("original_inference_steps", Number(50.0)),
                ("timestep_scaling", Number(10.0)),
            ],
        ],
        arguments: &[Argument::Timesteps, Argument::Strength],
        ..ON_STEPS.facts
    },
    grid: steps::lcm,
    solver: |_, _| Ok(Box::new(Consistency::default())),
    network: |keys| {
        let what = keys.word("prediction_type", PREDICTIONS)?;
        Ok(Network::Latent(what, keys.number("timestep_scaling")?))
    },
    ..ON_STEPS
};

/// Its steps do not clip, whatever `clip_sample` and `thresholding` say. It ends at the first step:
/// what it makes of the last prediction has its noise.
pub(super) const TCD: Class = Class {
    facts: Facts {
        name: "TCDScheduler",
        keys: &[
            BETAS,
            LATENT,
            SCALED,
            ZERO_SNR,
            &[("original_inference_steps", Number(50.0))],
        ],
        end: End::FirstStep,
        arguments: &[Argument::Eta, Argument::Timesteps, Argument::Strength],
        ..ON_STEPS.facts
    },
    grid: steps::lcm,
    solver: tcd,
    ..ON_STEPS
};

/// Each step goes to the level of `(1 - eta) t`, rounded down, and noise takes it up to that of `t`.
fn tcd(ask: &Ask<'_>, section: &Section<'_>) -> Result<Solver, Error> {
    let eta = ask.options.eta.unwrap_or(0.3);
    if !(0.0..=1.0).contains(&eta) {
        return Err(ask.keys.error("eta", format!("{eta:?}"), "0 to 1"));
    }
    let table = ask.table()?;
    let targets = section.grid.nodes().iter().skip(1);
    let below = |t: f64| table.level(Step::fractional(((1.0 - eta) * t).floor())?);
    let levels: Result<Vec<_>, Error> = targets.map(|node| below(node.time.0)).collect();
    let mut levels = levels?;
    levels.push(section.grid.end());
    let solver = Ancestral::with_descent(Ddim::default(), Descent::Levels(levels))?;
    Ok(Box::new(solver))
}
