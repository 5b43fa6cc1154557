//! What each class of diffusers is: one value for each, all it does in one place.
//!
//! The parser, the schedule, the grid, the solver and the table of docs/configuration.md are read off
//! these values. A new class is one more value in one of the files, and its line in [`ALL`].

mod continuous;
mod dpm_solver;
mod draws;
mod flow;
mod groups;
mod multistep;
mod named;
mod sigma;
mod steps;

use super::{
    defaults::Group,
    grid::{Ask, Walk},
    keys::Keys,
    network::Network,
    schedule::{Kind, Timestep},
    words::BetaSchedule,
};
use crate::{Error, Grid, NonMarkovian, solver::ReverseStep};
use draws::Draws;

pub(super) type Solver = Box<dyn ReverseStep>;

/// A class of diffusers.
#[derive(Clone, Copy)]
pub(super) struct Class {
    /// Its name in diffusers, the only place where it stands.
    pub name: &'static str,
    /// The keys that it reads, with their defaults; later groups override earlier ones.
    pub keys: &'static [Group],
    /// The words of `beta_schedule`.
    pub betas: &'static [(&'static str, BetaSchedule)],
    /// What the network is given, for people.
    pub network_time: &'static str,
    /// The noise levels, on the clock of what the network is given.
    pub schedule: fn(&Keys) -> Result<Kind, Error>,
    /// How the classes on training steps space them.
    pub spacing: Family,
    /// Where a run ends.
    pub end: End,
    /// What it does to the steps of its family, as they are without.
    pub quirks: Quirks,
    /// The levels of a run.
    pub grid: fn(&Ask<'_>) -> Result<Walk<Timestep>, Error>,
    /// The step between two of them.
    pub solver: fn(&Ask<'_>, &Section<'_>) -> Result<Solver, Error>,
    /// Where its steps draw noise.
    pub draws: fn(&Ask<'_>) -> Result<Draws, Error>,
    /// What the network is shown, and what its answer stands for.
    pub network: fn(&Keys) -> Result<Network, Error>,
    /// The posterior for which clipped data leaves the predicted noise as it was.
    pub keeps_noise: fn(&Ask<'_>) -> Result<Option<NonMarkovian>, Error>,
    /// The size of the noise that a run starts with.
    pub start: Start,
    /// The arguments of its calls that it reads.
    pub arguments: &'static [Argument],
    /// Keys of which only null, false or an empty list is supported, and why.
    pub refused: &'static [(&'static str, &'static str)],
    /// Keys without effect that diffusers cannot do with null.
    pub idle: &'static [&'static str],
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
    const NONE: Self = Self {
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

/// The steps that a solver is for, of a list that may begin before them.
pub(super) struct Section<'a> {
    pub grid: &'a Grid<Timestep>,
    /// Whether the list ends with a step from the last sigma to itself, which no grid has.
    pub empty_step: bool,
    /// Steps of the list before the first of these.
    pub before: usize,
}

impl Section<'_> {
    /// Steps of the whole list.
    pub fn total(&self) -> usize {
        self.before + self.len()
    }

    /// These steps, the empty one included.
    pub fn len(&self) -> usize {
        self.grid.len() + usize::from(self.empty_step)
    }
}

/// Every class.
pub(super) const ALL: [&Class; 39] = [
    &steps::DDPM,
    &steps::DDPM_PARALLEL,
    &steps::UN_CLIP,
    &steps::DDIM,
    &steps::DDIM_PARALLEL,
    &steps::DDIM_INVERSE,
    &steps::COG_VIDEO_X_DDIM,
    &steps::COG_VIDEO_X_DPM,
    &steps::PNDM,
    &steps::RE_PAINT,
    &steps::LCM,
    &steps::TCD,
    &sigma::EULER,
    &sigma::EULER_ANCESTRAL,
    &sigma::HEUN,
    &sigma::LMS,
    &sigma::KDPM2,
    &sigma::KDPM2_ANCESTRAL,
    &sigma::DPM_SOLVER_SDE,
    &dpm_solver::DPM_SOLVER,
    &dpm_solver::DPM_SOLVER_INVERSE,
    &dpm_solver::DPM_SOLVER_SINGLESTEP,
    &multistep::UNI_PC,
    &multistep::DEIS,
    &multistep::SA_SOLVER,
    &flow::FLOW_MATCH_EULER,
    &flow::FLOW_MATCH_HEUN,
    &flow::FLOW_MATCH_LCM,
    &flow::FLOW_MAP_EULER,
    &flow::LTX_EULER_ANCESTRAL,
    &flow::MINI_MAX_H3,
    &continuous::EDM_EULER,
    &continuous::EDM_DPM_SOLVER,
    &continuous::COSINE_DPM_SOLVER,
    &continuous::CM_STOCHASTIC_ITERATIVE,
    &continuous::SCM,
    &continuous::IPNDM,
    &continuous::SCORE_SDE_VE,
    &continuous::DDPM_WUERSTCHEN,
];

impl Class {
    /// The step between two levels, with the draws of diffusers.
    pub fn solver_of(&self, ask: &Ask<'_>, section: &Section<'_>) -> Result<Solver, Error> {
        let solver = (self.solver)(ask, section)?;
        Ok((self.draws)(ask)?.made_by(solver, section))
    }

    pub fn reads(&self, argument: Argument) -> bool {
        self.arguments.contains(&argument)
    }

    /// The default of a key, if the class has it.
    pub fn default_of(&self, key: &str) -> Option<&'static super::defaults::Default> {
        let of = |group: &&'static [_]| group.iter().rev().find(|(name, _)| *name == key);
        let (_, default) = self.keys.iter().rev().find_map(of)?;
        Some(default)
    }
}

impl PartialEq for Class {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl std::fmt::Debug for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults::Default;

    /// The table of docs/configuration.md.
    fn table() -> String {
        let mut rows = String::from(
            "| class | the network is given | curves | options | not supported |\n|---|---|---|---|---|\n",
        );
        for class in ALL {
            let has = |key| class.default_of(key).is_some();
            let bounds = match class.quirks.karras_is_unbounded {
                true => ", bounds but for Karras",
                false => ", bounds",
            };
            let curves = match (has("use_karras_sigmas"), has("use_lu_lambdas")) {
                (false, _) => String::new(),
                (_, false) => format!("three{bounds}"),
                (_, true) => format!("three{bounds}, and Lu's"),
            };
            assert!(curves.is_empty() || class.default_of("sigma_min") == Some(&Default::Null));
            let options = class.arguments.iter().map(|argument| match argument {
                Argument::Eta => "`eta`",
                Argument::Churn => "`churn`, `churn_range`",
                Argument::NoiseFactor => "`noise_factor`",
                Argument::Mu => "`mu`, `sequence`",
                Argument::Sigmas => "`sigmas`",
                Argument::Timesteps => "`timesteps`",
                Argument::Strength => "`strength`",
                Argument::Jumps => "`jumps`",
            });
            let options = options.collect::<Vec<_>>().join(", ");
            let refused = class.refused.iter();
            let refused = refused.map(|(key, allowed)| format!("`{key}` but {allowed}"));
            let refused = refused.collect::<Vec<_>>().join("; ");
            let name = class.name.trim_end_matches("Scheduler");
            let given = class.network_time;
            rows += &format!("| `{name}` | {given} | {curves} | {options} | {refused} |\n");
        }
        rows
    }

    #[test]
    fn the_docs_have_the_table() {
        let docs = include_str!("../../../docs/configuration.md");
        assert!(docs.contains(&table()), "write into the docs:\n{}", table());
    }
}
