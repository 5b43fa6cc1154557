//! What the words of a file mean.

use crate::Parameterization;

/// A table of words and what they mean.
pub(super) type Words<T> = &'static [(&'static str, T)];

/// `timestep_spacing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    Linspace,
    Leading,
    Trailing,
}

impl Spacing {
    pub const WORDS: Words<Self> = &[
        ("linspace", Self::Linspace),
        ("leading", Self::Leading),
        ("trailing", Self::Trailing),
    ];
}

/// `beta_schedule`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BetaSchedule {
    Linear,
    ScaledLinear,
    Cosine,
    Sigmoid,
    Laplace,
    Exponential,
}

/// A curve that replaces the sigmas of the spacing, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    Karras,
    Exponential,
    Beta,
    /// Even in log-SNR, as exponential sigmas are.
    Lu,
}

impl Curve {
    /// At most one of these may be on.
    pub const KEYS: Words<Self> = &[
        ("use_karras_sigmas", Self::Karras),
        ("use_exponential_sigmas", Self::Exponential),
        ("use_beta_sigmas", Self::Beta),
    ];

    pub fn key(self) -> &'static str {
        let keys = Self::KEYS.iter();
        let of = keys.copied().find(|(_, curve)| *curve == self);
        of.map_or("use_lu_lambdas", |(key, _)| key)
    }
}

/// `final_sigmas_type`: whether a run ends at the data.
pub(super) const FINAL_SIGMAS: Words<bool> = &[("zero", true), ("sigma_min", false)];

/// `algorithm_type` of the DPM-Solvers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Algorithm {
    /// Whether it extrapolates the data; otherwise the noise.
    pub of_data: bool,
    pub is_stochastic: bool,
}

impl Algorithm {
    pub const DATA: Self = Self {
        of_data: true,
        is_stochastic: false,
    };
    pub const DATA_SDE: Self = Self {
        is_stochastic: true,
        ..Self::DATA
    };
    pub const NOISE: Self = Self {
        of_data: false,
        ..Self::DATA
    };
    pub const NOISE_SDE: Self = Self {
        is_stochastic: true,
        ..Self::NOISE
    };
    /// The word of DEIS means the plain one.
    pub const WORDS: Words<Self> = &[
        ("dpmsolver", Self::NOISE),
        ("dpmsolver++", Self::DATA),
        ("sde-dpmsolver", Self::NOISE_SDE),
        ("sde-dpmsolver++", Self::DATA_SDE),
        ("deis", Self::DATA),
    ];
}

/// `prediction_type` of the classes on steps.
pub(super) const PREDICTIONS: Words<Parameterization> = &[
    ("epsilon", Parameterization::Noise),
    ("sample", Parameterization::X0),
    ("v_prediction", Parameterization::Velocity),
];
