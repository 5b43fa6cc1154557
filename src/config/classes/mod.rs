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
mod section;
mod sigma;
mod steps;

use super::{
    facts::{Argument, End, Facts, Family, Quirks, Start},
    grid::{Ask, Walk, check},
    keys::Keys,
    network::Network,
    schedule::{Kind, Timestep},
};
use crate::{Error, NonMarkovian};
use draws::Draws;
use section::Solver;

pub(super) use {named::ALL, section::Section};

/// A class of diffusers.
#[derive(Clone, Copy)]
pub(super) struct Class {
    /// What it is.
    pub facts: Facts,
    /// The noise levels, on the clock of what the network is given.
    pub schedule: fn(&Keys) -> Result<Kind, Error>,
    /// The levels of a run.
    grid: fn(&Ask<'_>) -> Result<Walk<Timestep>, Error>,
    /// The step between two of them.
    solver: fn(&Ask<'_>, &Section<'_>) -> Result<Solver, Error>,
    /// Where its steps draw noise.
    draws: fn(&Ask<'_>) -> Result<Draws, Error>,
    /// What the network is shown, and what its answer stands for.
    pub network: fn(&Keys) -> Result<Network, Error>,
    /// The posterior for which clipped data leaves the predicted noise as it was.
    pub keeps_noise: fn(&Ask<'_>) -> Result<Option<NonMarkovian>, Error>,
}

impl Class {
    /// The levels of a run.
    pub fn walk(&self, ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
        check(ask)?;
        (self.grid)(ask)
    }

    /// The step between two levels, with the draws of diffusers.
    pub fn solver_of(&self, ask: &Ask<'_>, section: &Section<'_>) -> Result<Solver, Error> {
        let solver = (self.solver)(ask, section)?;
        Ok((self.draws)(ask)?.made_by(solver, section))
    }
}

impl PartialEq for Class {
    fn eq(&self, other: &Self) -> bool {
        self.facts == other.facts
    }
}

impl std::fmt::Debug for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.facts.fmt(f)
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
        for Class { facts: class, .. } in ALL {
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
