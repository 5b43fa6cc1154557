//! What is known of a class of diffusers before anything of it is made.

use super::{
    defaults::{Default, Group},
    words::BetaSchedule,
};

/// What a class is, in words and switches; its rules are in [`Class`](super::classes::Class).
#[derive(Clone, Copy)]
pub(super) struct Facts {
    /// Its name in diffusers, the only place where it stands.
    pub name: &'static str,
    /// The keys that it reads as all of its family do, with their defaults; later groups override earlier ones.
    pub family_keys: &'static [Group],
    /// The keys of its own, which override those.
    pub keys: &'static [Group],
    /// The words of `beta_schedule`.
    pub betas: &'static [(&'static str, BetaSchedule)],
    /// What the network is given, for people.
    pub network_time: &'static str,
    /// How the classes on training steps space them.
    pub spacing: Family,
    /// Where a run ends.
    pub end: End,
    /// What it does to the steps of its family, as they are without.
    pub quirks: Quirks,
    /// The size of the noise that a run starts with.
    pub start: Start,
    /// The arguments of its calls that it reads.
    pub arguments: &'static [Argument],
    /// Keys of which only null, false or an empty list is supported, and why.
    pub refused: &'static [(&'static str, &'static str)],
    /// Keys without effect that diffusers cannot do with null.
    pub idle: &'static [&'static str],
}

impl Facts {
    pub fn reads(&self, argument: Argument) -> bool {
        self.arguments.contains(&argument)
    }

    /// All keys with their defaults; the last of a name counts.
    pub fn all_keys(&self) -> impl DoubleEndedIterator<Item = &'static (&'static str, Default)> {
        self.family_keys.iter().chain(self.keys).copied().flatten()
    }

    /// The default of a key, if the class has it.
    pub fn default_of(&self, key: &str) -> Option<&'static Default> {
        let (_, default) = self.all_keys().rev().find(|(name, _)| *name == key)?;
        Some(default)
    }
}

impl PartialEq for Facts {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The rules for training steps that several classes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// DDPM, DDIM and PNDM: `n` whole steps, no curves.
    Whole,
    /// Euler, Heun, LMS and KDPM2: `n` steps, fractional for linspace, where sigma is interpolated;
    /// curves run between the ends of these.
    Sigma,
    /// DPM-Solver, UniPC, DEIS, SA-Solver: `n + 1` whole steps less the last; curves run between the
    /// ends of the table; given whole steps.
    Multistep,
}

/// Where a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// At the data.
    Data,
    /// At the level of the first step.
    FirstStep,
    /// At one of the two, by `final_sigmas_type`.
    FinalSigmas,
    /// At one of the two, by `set_alpha_to_one`.
    AlphaToOne,
}

/// The size of the noise that a run starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// That of data of variance 1 with the noise of the first level.
    Root,
    /// The sigma of the first level.
    Sigma,
    /// Sigma, but for leading steps.
    SigmaUnlessLeading,
}

/// What single classes do to the rules of their family.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Quirks {
    /// The network is given the nearest whole step of a Karras curve.
    pub rounds_karras: bool,
    /// Steps of the cosine betas are truncated where those of others are rounded.
    pub truncates_cosine: bool,
    /// A Karras curve does not read `sigma_min` and `sigma_max`.
    pub karras_is_unbounded: bool,
    /// Without an end at the data, the last sigma of a curve comes twice, wherever it is.
    pub repeats_curves: bool,
    /// Classes that count in sigma leave a trace of signal at zero terminal SNR.
    pub leaves_a_trace: bool,
}

impl Quirks {
    pub const NONE: Self = Self {
        rounds_karras: false,
        truncates_cosine: false,
        karras_is_unbounded: false,
        repeats_curves: false,
        leaves_a_trace: false,
    };
}

/// An argument of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    Eta,
    Churn,
    NoiseFactor,
    Mu,
    Sigmas,
    Timesteps,
    Strength,
    Jumps,
}
