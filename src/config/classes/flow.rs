//! The classes of flow matching.

use super::{
    Argument, Class, Draws, End, Facts, Family, Quirks, Solver, Start,
    groups::{CURVES, DYNAMIC, FLOW, FLOW_ENDS, SEQUENCE},
};
use crate::{
    Error, Parameterization,
    config::{
        defaults::Default::{Flag, Null, Number},
        grid::{Ask, flow},
        network::Network,
        schedule::Kind,
    },
    solver::{Ancestral, Consistency, Coordinates, Ddim, Descent, RungeKutta},
};

/// What they share.
const MATCHING: Class = Class {
    facts: Facts {
        name: "",
        family_keys: &[FLOW, DYNAMIC, SEQUENCE, FLOW_ENDS, CURVES],
        keys: &[],
        betas: &[],
        network_time: "`num_train_timesteps` times the time",
        spacing: Family::Whole,
        end: End::Data,
        quirks: Quirks::NONE,
        start: Start::Root,
        arguments: &[Argument::Mu, Argument::Sigmas],
        refused: &[],
        idle: &[],
    },
    schedule: Kind::flow,
    grid: flow::matching,
    solver: |_, _| Ok(Box::new(Ddim::default())),
    draws: |_| Ok(Draws::Needed),
    network: Network::flow,
    keeps_noise: |_| Ok(None),
};

/// Noise that is drawn anew would end in noise upwards.
const NOISED: &str = "false where noise is drawn anew: upwards it would end in noise";

pub(super) const FLOW_MATCH_EULER: Class = Class {
    facts: Facts {
        name: "FlowMatchEulerDiscreteScheduler",
        keys: &[&[("stochastic_sampling", Flag(false))]],
        ..MATCHING.facts
    },
    solver: |ask, _| {
        if !ask.keys.flag("stochastic_sampling")? {
            return Ok(Box::new(Ddim::default()));
        }
        // Of which only the predicted data is kept.
        ask.keys.unset("invert_sigmas", NOISED)?;
        Ok(Box::new(Consistency::default()))
    },
    draws: |ask| match ask.keys.flag("stochastic_sampling")? {
        true => Ok(Draws::EveryStep),
        false => Ok(Draws::Needed),
    },
    ..MATCHING
};

pub(super) const FLOW_MATCH_HEUN: Class = Class {
    facts: Facts {
        name: "FlowMatchHeunDiscreteScheduler",
        family_keys: &[FLOW],
        arguments: &[],
        ..MATCHING.facts
    },
    solver: |_, _| {
        Ok(Box::new(
            RungeKutta::heun().with_coordinates(Coordinates::Flow),
        ))
    },
    ..MATCHING
};

/// Its `upscale_mode` does nothing without `scale_factors`.
pub(super) const FLOW_MATCH_LCM: Class = Class {
    facts: Facts {
        name: "FlowMatchLCMScheduler",
        keys: &[&[("scale_factors", Null)]],
        refused: &[
            ("scale_factors", "null: a run keeps its resolution"),
            ("invert_sigmas", NOISED),
        ],
        ..MATCHING.facts
    },
    solver: |_, _| Ok(Box::new(Consistency::default())),
    draws: |_| Ok(Draws::EveryStep),
    ..MATCHING
};

pub(super) const FLOW_MAP_EULER: Class = Class {
    facts: Facts {
        name: "FlowMapEulerDiscreteScheduler",
        family_keys: &[FLOW],
        arguments: &[Argument::Sigmas],
        ..MATCHING.facts
    },
    grid: flow::map,
    ..MATCHING
};

/// Its grid is that of FlowMatchEulerDiscreteScheduler.
pub(super) const LTX_EULER_ANCESTRAL: Class = Class {
    facts: Facts {
        name: "LTXEulerAncestralRFScheduler",
        keys: &[&[("eta", Number(1.0)), ("s_noise", Number(1.0))]],
        refused: &[("invert_sigmas", "false for this class")],
        ..MATCHING.facts
    },
    grid: flow::ltx,
    solver: |ask, _| ancestral(ask),
    ..MATCHING
};

fn ancestral(ask: &Ask<'_>) -> Result<Solver, Error> {
    let keys = ask.keys;
    let factor = keys.number_if("s_noise", |factor| factor > 0.0, "above 0")?;
    let descent = Descent::Flow(keys.number("eta")?);
    let solver = keys.blame("eta", Ancestral::with_descent(Ddim::default(), descent))?;
    Ok(Box::new(
        keys.blame("s_noise", solver.with_noise_factor(factor))?,
    ))
}

pub(super) const MINI_MAX_H3: Class = Class {
    facts: Facts {
        name: "MiniMaxH3Scheduler",
        family_keys: &[],
        keys: &[&[("shift", Number(12.0))]],
        network_time: "one less the time",
        arguments: &[Argument::Sigmas],
        ..MATCHING.facts
    },
    schedule: |_| {
        Ok(Kind::Flow {
            at_data: 1.0,
            at_noise: 0.0,
        })
    },
    grid: flow::mini_max,
    network: |_| Ok(Network::Plain(Parameterization::Flow, -1.0)),
    ..MATCHING
};
