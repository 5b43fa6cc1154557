//! Grids of the inverses, which go up.

use super::{
    Ask, Walk, between, bound,
    steps::{
        along, by_family, check_spacing, ended, ends, limit, offset_leading, reached, trailing,
    },
};
use crate::{
    Error, Grid, NoiseLevel, Sigma, Step,
    config::{
        schedule::Timestep,
        table::Table,
        words::{Curve, Spacing},
    },
};

/// The grid up to the noisiest step, of which the network is given the time that a step goes to.
pub(in super::super) fn ddim(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    if ask.keys.spacing()? == Spacing::Linspace {
        return Err(ask.keys.refuse("timestep_spacing", "leading or trailing"));
    }
    let (grid, _) = by_family(ask)?;
    let walk = ended(ask, grid, false)?;
    let nodes = walk.grid.nodes().iter();
    let times: Vec<_> = nodes.rev().map(|node| node.time).collect();
    ask.on_clock(&Walk::of(walk.grid.inverted().with_times(&times)?))
}

/// The grid of the inverse of the multi-step DPM-Solver: up to the noisiest step, given where it is.
pub(in super::super) fn plain(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let (keys, table, n) = (ask.keys, ask.table()?, ask.n);
    let reached = reached(keys, table)?;
    let spacing = keys.spacing()?;
    if let Some(kind) = keys.curve()? {
        check_spacing(keys)?;
        return ask.on_clock(&curved_upwards(ask, table, kind)?);
    }
    // Upwards, an end may come twice: the last node and where the run goes to.
    let (down, is_there) = match spacing {
        Spacing::Trailing => (trailing(ask, table, &reached)?, true),
        _ => {
            limit(ask, reached.len() - 1)?;
            let grid = match spacing {
                Spacing::Leading => offset_leading(ask, &reached, n + 1)?,
                _ => Grid::linspace(&reached, n + 1)?,
            };
            (grid.part(1..n + 1)?, false)
        }
    };
    let nodes: Vec<_> = down.nodes().iter().rev().copied().collect();
    ask.on_clock(&match is_there {
        true => Walk::repeating_the_last(ask, &Grid::new(nodes, NoiseLevel::NOISE)?)?,
        false => Walk::of(Grid::new(nodes, reached.most()?)?),
    })
}

/// The curve from `sigma_max`, for which the cleanest level stands, to `sigma_min`, for which the noisiest
/// does: with both keys it goes down.
fn curved_upwards(ask: &Ask<'_>, table: &Table, kind: Curve) -> Result<Walk<Step>, Error> {
    let (most, least) = ends(table)?;
    let (first, last) = match ask.keys.is_unbounded(kind) {
        true => (Sigma::new(least)?, Sigma::new(most)?),
        false => (
            bound(ask.keys, "sigma_max", least)?,
            bound(ask.keys, "sigma_min", most)?,
        ),
    };
    if first == last {
        return Err(ask.keys.refuse("sigma_min", "another sigma than sigma_max"));
    }
    let is_up = first < last;
    let (max, min) = if is_up { (last, first) } else { (first, last) };
    let grid = along(table, ask.n, &*between(kind, max, min)?)?;
    let grid = match is_up {
        true => Grid::new(
            grid.nodes().iter().rev().copied().collect(),
            NoiseLevel::NOISE,
        )?,
        false => grid,
    };
    Walk::repeating_the_last(ask, &grid)
}
