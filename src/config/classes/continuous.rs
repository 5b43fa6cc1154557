//! The classes on clocks of their own.

use super::{
    Argument, Class, Draws, End, Facts, Family, Quirks, Start,
    dpm_solver::{dpm_solver_of, stochastic},
    groups::{DPM_SOLVER, EDM, THRESHOLD},
    sigma::churned,
};
use crate::{
    Parameterization, Sigma,
    config::{
        defaults::Default::{Flag, Null, Number, Word},
        grid::ratios,
        network::{Network, sigma_data},
        schedule::Kind,
        words::{Algorithm, Words},
    },
    solver::{Consistency, Ddpm, EulerMaruyama, FinalMean, Langevin, LinearMultistep},
    time::MOST_STEPS,
};

/// What the classes of EDM share.
const OF_EDM: Class = Class {
    facts: Facts {
        name: "",
        family_keys: &[],
        keys: &[EDM],
        betas: &[],
        network_time: "`ln(sigma) / 4`",
        spacing: Family::Whole,
        end: End::FinalSigmas,
        quirks: Quirks::NONE,
        start: Start::Root,
        arguments: &[],
        refused: &[],
        idle: &[],
    },
    schedule: |keys| {
        keys.count_in("num_train_timesteps", 1..=MOST_STEPS)?;
        Kind::log_sigma(keys, 0.25)
    },
    grid: ratios::edm,
    solver: |ask, section| {
        let kept = Parameterization::Edm(sigma_data(ask.keys)?);
        churned(ask, section, kept)
    },
    draws: |_| Ok(Draws::Needed),
    network: Network::edm,
    keeps_noise: |_| Ok(None),
};

pub(super) const EDM_EULER: Class = Class {
    facts: Facts {
        name: "EDMEulerScheduler",
        arguments: &[Argument::Churn, Argument::NoiseFactor],
        ..OF_EDM.facts
    },
    ..OF_EDM
};

pub(super) const EDM_DPM_SOLVER: Class = Class {
    facts: Facts {
        name: "EDMDPMSolverMultistepScheduler",
        keys: &[EDM, THRESHOLD, DPM_SOLVER],
        ..OF_EDM.facts
    },
    solver: |ask, section| {
        const OWN: Words<Algorithm> = &[
            ("dpmsolver++", Algorithm::DATA),
            ("sde-dpmsolver++", Algorithm::DATA_SDE),
            ("deis", Algorithm::DATA),
        ];
        let algorithm = ask.keys.word("algorithm_type", OWN)?;
        dpm_solver_of(ask, section, algorithm)
    },
    draws: stochastic,
    ..OF_EDM
};

pub(super) const COSINE_DPM_SOLVER: Class = Class {
    facts: Facts {
        name: "CosineDPMSolverMultistepScheduler",
        keys: &[
            EDM,
            &[
                ("sigma_min", Number(0.3)),
                ("sigma_max", Number(500.0)),
                ("sigma_data", Number(1.0)),
                ("sigma_schedule", Word("exponential")),
                ("prediction_type", Word("v_prediction")),
                ("solver_order", Number(2.0)),
                ("solver_type", Word("midpoint")),
                ("lower_order_final", Flag(true)),
                ("euler_at_final", Flag(false)),
            ],
        ],
        network_time: "`(2 / pi) atan(sigma)`",
        ..OF_EDM.facts
    },
    schedule: |keys| {
        keys.count_in("num_train_timesteps", 1..=MOST_STEPS)?;
        let (max, min) = Kind::ends(keys)?;
        Ok(Kind::Atan { max, min })
    },
    solver: |ask, section| dpm_solver_of(ask, section, Algorithm::DATA_SDE),
    ..OF_EDM
};

pub(super) const CM_STOCHASTIC_ITERATIVE: Class = Class {
    facts: Facts {
        name: "CMStochasticIterativeScheduler",
        keys: &[&[
            ("num_train_timesteps", Number(40.0)),
            ("sigma_min", Number(0.002)),
            ("sigma_max", Number(80.0)),
            ("sigma_data", Number(0.5)),
            ("s_noise", Number(1.0)),
            ("rho", Number(7.0)),
            ("clip_denoised", Flag(true)),
        ]],
        network_time: "`250 ln(sigma)`",
        start: Start::Sigma,
        ..OF_EDM.facts
    },
    schedule: |keys| Kind::log_sigma(keys, 250.0),
    grid: ratios::consistency,
    solver: |ask, _| {
        let keys = ask.keys;
        let floor = keys.blame("sigma_min", Sigma::new(keys.number("sigma_min")?))?;
        let solver = Consistency::default().with_floor(floor);
        let factor = keys.number("s_noise")?;
        Ok(Box::new(
            keys.blame("s_noise", solver.with_noise_factor(factor))?,
        ))
    },
    draws: |ask| match ask.n {
        1 => Ok(Draws::Needed),
        _ => Ok(Draws::EveryStep),
    },
    network: |keys| {
        let min = keys.blame("sigma_min", Sigma::new(keys.number("sigma_min")?))?;
        Ok(Network::Consistency(min, sigma_data(keys)?))
    },
    ..OF_EDM
};

pub(super) const SCM: Class = Class {
    facts: Facts {
        name: "SCMScheduler",
        keys: &[&[
            ("prediction_type", Word("trigflow")),
            ("sigma_data", Number(0.5)),
        ]],
        network_time: "an angle",
        start: Start::Sigma,
        ..OF_EDM.facts
    },
    schedule: |keys| {
        Ok(Kind::Trig {
            data: sigma_data(keys)?.get(),
        })
    },
    grid: ratios::trigflow,
    solver: |_, _| Ok(Box::new(Consistency::default())),
    draws: |_| Ok(Draws::EveryStep),
    network: |keys| {
        const ONE: Words<()> = &[("trigflow", ())];
        keys.word("prediction_type", ONE)?;
        Ok(Network::Trig(sigma_data(keys)?))
    },
    ..OF_EDM
};

/// Its `trained_betas` take the place of the sigmas, in the grid.
pub(super) const IPNDM: Class = Class {
    facts: Facts {
        name: "IPNDMScheduler",
        keys: &[&[("trained_betas", Null)]],
        network_time: "a fraction of a quarter turn",
        idle: &["num_train_timesteps"],
        ..OF_EDM.facts
    },
    schedule: |keys| ratios::quarter_sigmas(keys).map(|_| Kind::Quarter),
    grid: ratios::quarter,
    solver: |_, _| Ok(Box::new(LinearMultistep::ipndm(4)?.with_analytic_start())),
    // The noise is sigma x + alpha times its answer.
    network: |_| Ok(Network::Plain(Parameterization::Velocity, 1.0)),
    ..OF_EDM
};

pub(super) const SCORE_SDE_VE: Class = Class {
    facts: Facts {
        name: "ScoreSdeVeScheduler",
        keys: &[&[
            ("snr", Number(0.15)),
            ("sigma_min", Number(0.01)),
            ("sigma_max", Number(1348.0)),
            ("sampling_eps", Number(1e-5)),
            ("correct_steps", Number(1.0)),
        ]],
        network_time: "sigma",
        idle: &["num_train_timesteps"],
        start: Start::Sigma,
        ..OF_EDM.facts
    },
    schedule: |keys| {
        let (max, min) = Kind::ends(keys)?;
        Ok(Kind::Sigma { max, min })
    },
    grid: ratios::variance_exploding,
    solver: |ask, _| {
        let keys = ask.keys;
        let (snr, count) = (keys.number("snr")?, keys.count("correct_steps")?);
        let solver = Langevin::new(EulerMaruyama::new(1.0)?, snr, count);
        Ok(Box::new(
            keys.blame("snr", solver)?.with_corrections_first(),
        ))
    },
    network: |_| Ok(Network::Plain(Parameterization::Score, 1.0)),
    ..OF_EDM
};

pub(super) const DDPM_WUERSTCHEN: Class = Class {
    facts: Facts {
        name: "DDPMWuerstchenScheduler",
        keys: &[&[("scaler", Number(1.0)), ("s", Number(0.008))]],
        network_time: "a time from 0 to 1",
        ..OF_EDM.facts
    },
    schedule: |keys| {
        let pace = keys.number_if("scaler", |pace| pace > 0.0, "above 0")?;
        let within = |offset| (0.0..=1.0).contains(&offset);
        let offset = keys.number_if("s", within, "0 to 1")?;
        Ok(Kind::Wuerstchen { pace, offset })
    },
    grid: ratios::wuerstchen,
    solver: |_, _| Ok(Box::new(FinalMean::new(Ddpm::default()))),
    draws: |_| Ok(Draws::EveryStep),
    network: |_| Ok(Network::Plain(Parameterization::Noise, 1.0)),
    ..OF_EDM
};
