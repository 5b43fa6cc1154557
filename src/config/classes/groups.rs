//! Keys that several classes share, with their defaults.

use crate::config::{
    defaults::{
        Default::{Flag, Null, Number, Word},
        Group,
    },
    words::{BetaSchedule, Words},
};

/// The betas that most classes share.
pub(super) const BETAS: Group = &[
    ("num_train_timesteps", Number(1000.0)),
    ("beta_start", Number(0.0001)),
    ("beta_end", Number(0.02)),
    ("beta_schedule", Word("linear")),
    ("trained_betas", Null),
    ("prediction_type", Word("epsilon")),
];
/// Betas that run as those of Stable Diffusion do.
pub(super) const LATENT: Group = &[("beta_start", Number(0.00085)), ("beta_end", Number(0.012))];
/// Their curve.
pub(super) const SCALED: Group = &[("beta_schedule", Word("scaled_linear"))];
pub(super) const CURVES: Group = &[
    ("use_karras_sigmas", Flag(false)),
    ("use_exponential_sigmas", Flag(false)),
    ("use_beta_sigmas", Flag(false)),
    // diffusers keeps what a file says of keys that no class has, and its curves read these two.
    ("sigma_min", Null),
    ("sigma_max", Null),
];
pub(super) const THRESHOLD: Group = &[
    ("thresholding", Flag(false)),
    ("dynamic_thresholding_ratio", Number(0.995)),
    ("sample_max_value", Number(1.0)),
];
pub(super) const CLIP: Group = &[
    ("clip_sample", Flag(true)),
    ("clip_sample_range", Number(1.0)),
];
pub(super) const NO_CLIP: Group = &[("clip_sample", Flag(false))];
pub(super) const LINSPACE: Group = &[
    ("timestep_spacing", Word("linspace")),
    ("steps_offset", Number(0.0)),
];
pub(super) const LEADING: Group = &[
    ("timestep_spacing", Word("leading")),
    ("steps_offset", Number(0.0)),
];
pub(super) const ZERO_SNR: Group = &[("rescale_betas_zero_snr", Flag(false))];
pub(super) const ALPHA_TO_ONE: Group = &[("set_alpha_to_one", Flag(true))];
pub(super) const FINAL: Group = &[("final_sigmas_type", Word("zero"))];
pub(super) const CLIPPED_LAMBDA: Group = &[("lambda_min_clipped", Word("-inf"))];
pub(super) const FLOW_SIGMAS: Group = &[
    ("use_flow_sigmas", Flag(false)),
    ("flow_shift", Number(1.0)),
];
pub(super) const DYNAMIC: Group = &[
    ("use_dynamic_shifting", Flag(false)),
    ("time_shift_type", Word("exponential")),
];
pub(super) const FLOW: Group = &[
    ("num_train_timesteps", Number(1000.0)),
    ("shift", Number(1.0)),
];
/// What pipelines make the shift of.
pub(super) const SEQUENCE: Group = &[
    ("base_shift", Number(0.5)),
    ("max_shift", Number(1.15)),
    ("base_image_seq_len", Number(256.0)),
    ("max_image_seq_len", Number(4096.0)),
];
pub(super) const FLOW_ENDS: Group = &[("invert_sigmas", Flag(false)), ("shift_terminal", Null)];
pub(super) const EDM: Group = &[
    ("sigma_min", Number(0.002)),
    ("sigma_max", Number(80.0)),
    ("sigma_data", Number(0.5)),
    ("sigma_schedule", Word("karras")),
    ("num_train_timesteps", Number(1000.0)),
    ("prediction_type", Word("epsilon")),
    ("rho", Number(7.0)),
    ("final_sigmas_type", Word("zero")),
];
pub(super) const DPM_SOLVER: Group = &[
    ("solver_order", Number(2.0)),
    ("algorithm_type", Word("dpmsolver++")),
    ("solver_type", Word("midpoint")),
    ("lower_order_final", Flag(true)),
    ("euler_at_final", Flag(false)),
];

/// `beta_schedule` of most classes.
pub(super) const BETA_SCHEDULES: Words<BetaSchedule> = &[
    ("linear", BetaSchedule::Linear),
    ("scaled_linear", BetaSchedule::ScaledLinear),
    ("squaredcos_cap_v2", BetaSchedule::Cosine),
];
/// The same with one more of Heun.
pub(super) const EXPONENTIAL_TOO: Words<BetaSchedule> = &[
    ("linear", BetaSchedule::Linear),
    ("scaled_linear", BetaSchedule::ScaledLinear),
    ("squaredcos_cap_v2", BetaSchedule::Cosine),
    ("exp", BetaSchedule::Exponential),
];
/// The same with those of DDPM.
pub(super) const SIGMOID_AND_LAPLACE_TOO: Words<BetaSchedule> = &[
    ("linear", BetaSchedule::Linear),
    ("scaled_linear", BetaSchedule::ScaledLinear),
    ("squaredcos_cap_v2", BetaSchedule::Cosine),
    ("sigmoid", BetaSchedule::Sigmoid),
    ("laplace", BetaSchedule::Laplace),
];
/// The same with that of RePaint.
pub(super) const SIGMOID_TOO: Words<BetaSchedule> = &[
    ("linear", BetaSchedule::Linear),
    ("scaled_linear", BetaSchedule::ScaledLinear),
    ("squaredcos_cap_v2", BetaSchedule::Cosine),
    ("sigmoid", BetaSchedule::Sigmoid),
];
pub(super) const COSINE_ALONE: Words<BetaSchedule> = &[("squaredcos_cap_v2", BetaSchedule::Cosine)];
