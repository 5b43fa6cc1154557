//! The classes of flow matching.

use super::{
    Argument, Class, Draws, End, Family, Quirks, Solver, Start,
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
    name: "",
    keys: &[FLOW, DYNAMIC, SEQUENCE, FLOW_ENDS, CURVES],
    betas: &[],
    network_time: "`num_train_timesteps` times the time",
    schedule: Kind::flow,
    spacing: Family::Whole,
    end: End::Data,
    quirks: Quirks::NONE,
    grid: flow::matching,
    solver: |_, _| Ok(Box::new(Ddim::default())),
    draws: |_| Ok(Draws::Needed),
    network: Network::flow,
    keeps_noise: |_| Ok(None),
    start: Start::Root,
    arguments: &[Argument::Mu, Argument::Sigmas],
    refused: &[],
    idle: &[],
};

/// Noise that is drawn anew would end in noise upwards.
const NOISED: &str = "false where noise is drawn anew: upwards it would end in noise";

pub(super) const FLOW_MATCH_EULER: Class = Class {
    name: "FlowMatchEulerDiscreteScheduler",
    keys: &[
        FLOW,
        DYNAMIC,
        SEQUENCE,
        FLOW_ENDS,
        CURVES,
        &[("stochastic_sampling", Flag(false))],
    ],
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
    name: "FlowMatchHeunDiscreteScheduler",
    keys: &[FLOW],
    solver: |_, _| {
        Ok(Box::new(
            RungeKutta::heun().with_coordinates(Coordinates::Flow),
        ))
    },
    arguments: &[],
    ..MATCHING
};

/// Its `upscale_mode` does nothing without `scale_factors`.
pub(super) const FLOW_MATCH_LCM: Class = Class {
    name: "FlowMatchLCMScheduler",
    keys: &[
        FLOW,
        DYNAMIC,
        SEQUENCE,
        FLOW_ENDS,
        CURVES,
        &[("scale_factors", Null)],
    ],
    solver: |_, _| Ok(Box::new(Consistency::default())),
    draws: |_| Ok(Draws::EveryStep),
    refused: &[
        ("scale_factors", "null: a run keeps its resolution"),
        ("invert_sigmas", NOISED),
    ],
    ..MATCHING
};

pub(super) const FLOW_MAP_EULER: Class = Class {
    name: "FlowMapEulerDiscreteScheduler",
    keys: &[FLOW],
    grid: flow::map,
    arguments: &[Argument::Sigmas],
    ..MATCHING
};

/// Its grid is that of FlowMatchEulerDiscreteScheduler.
pub(super) const LTX_EULER_ANCESTRAL: Class = Class {
    name: "LTXEulerAncestralRFScheduler",
    keys: &[
        FLOW,
        DYNAMIC,
        SEQUENCE,
        FLOW_ENDS,
        CURVES,
        &[("eta", Number(1.0)), ("s_noise", Number(1.0))],
    ],
    grid: flow::ltx,
    solver: |ask, _| ancestral(ask),
    refused: &[("invert_sigmas", "false for this class")],
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
    name: "MiniMaxH3Scheduler",
    keys: &[&[("shift", Number(12.0))]],
    network_time: "one less the time",
    schedule: |_| {
        Ok(Kind::Flow {
            at_data: 1.0,
            at_noise: 0.0,
        })
    },
    grid: flow::mini_max,
    network: |_| Ok(Network::Plain(Parameterization::Flow, -1.0)),
    arguments: &[Argument::Sigmas],
    ..MATCHING
};
