//! Grids of training steps.

use super::{Family, Keys, Walk, curve, curve_key, ends_clean};
use crate::{
    Error, Grid, LogSnr, NoiseLevel, Sigma, Step,
    grid::{Node, PolyExponential, SigmaCurve},
    schedule::{Discrete, NoiseSchedule},
};

/// The grid of a class on training steps.
pub(super) fn grid(keys: &Keys, schedule: &Discrete, n: usize) -> Result<Walk<Step>, Error> {
    let least = schedule.level_at_step(0)?;
    match keys.class.as_str() {
        "LCMScheduler" | "TCDScheduler" => {
            let grid = Grid::lcm(schedule, n, keys.count("original_inference_steps")?, 1.0)?;
            // TCD ends at the first step: what it makes of the last prediction has its noise.
            return Ok(Walk::of(match keys.class.as_str() {
                "TCDScheduler" => grid.ending_at(least)?,
                _ => grid,
            }));
        }
        "UnCLIPScheduler" => return Ok(Walk::of(Grid::linspace(schedule, n)?)),
        "RePaintScheduler" => return Ok(Walk::of(Grid::leading(schedule, n, 0)?)),
        "DPMSolverMultistepInverseScheduler" => return inverse(keys, schedule, n),
        _ => {}
    }
    let family = Family::of(&keys.class);
    let spaced = spaced(keys, family, schedule, n)?;
    let is_log_linear = keys.word("interpolation_type")? == "log_linear";
    let ends = match family {
        Family::Multistep => ends(schedule)?,
        _ if is_log_linear => ends(schedule)?,
        _ => {
            let ratio =
                |node: Option<&Node<Step>>| node.map_or(0.0, |node| node.level.noise_to_signal());
            (ratio(spaced.nodes().first()), ratio(spaced.nodes().last()))
        }
    };
    let curve = curve(keys, ends.0, ends.1)?;
    if is_log_linear && curve.is_none() {
        // The times of the spacing, and sigmas of which there is one more than of these.
        let curve = PolyExponential::new(Sigma::new(ends.0)?, Sigma::new(ends.1)?, 1.0)?;
        let time: Vec<_> = spaced.nodes().iter().map(|node| node.time).collect();
        let grid = along(schedule, n + 1, &curve)?.without_final_step()?;
        // What the list has beyond these is no step.
        return Ok(Walk {
            grid: grid.with_times(&time)?,
            empty_step: true,
        });
    }
    let is_curved = curve.is_some();
    let grid = match curve {
        None => spaced,
        Some(curve) => {
            let grid = along(schedule, n, &*curve)?;
            match family {
                Family::Sigma {
                    rounds_karras: true,
                } if keys.flag("use_karras_sigmas")? => grid.with_rounded_times(),
                _ => grid,
            }
        }
    };
    finish(keys, schedule, grid, is_curved)
}

/// The nodes of a curve. Beyond the ends of the schedule the network is given these.
fn along(schedule: &Discrete, n: usize, curve: &dyn SigmaCurve) -> Result<Grid<Step>, Error> {
    let (noisiest, cleanest) = schedule.ends();
    let (least, most) = (
        schedule.level(noisiest)?.log_snr().get(),
        schedule.level(cleanest)?.log_snr().get(),
    );
    let node = |sigma: f64| {
        let snr = LogSnr::from_sigma(Sigma::new(sigma)?);
        let within = LogSnr::new(snr.get().clamp(least, most))?;
        Ok(Node {
            level: schedule.level_at(snr)?,
            time: schedule.time_at(within)?,
        })
    };
    let nodes: Result<Vec<_>, Error> = curve.sigmas(n)?.into_iter().map(node).collect();
    Grid::new(nodes?, NoiseLevel::CLEAN)
}

/// The end of a run, and what two classes do to the whole.
fn finish(
    keys: &Keys,
    schedule: &Discrete,
    grid: Grid<Step>,
    is_curved: bool,
) -> Result<Walk<Step>, Error> {
    let least = schedule.level_at_step(0)?;
    let class = keys.class.as_str();
    let to_data = match class {
        "DEISMultistepScheduler" | "SASolverScheduler" => false,
        "PNDMScheduler"
        | "DDIMScheduler"
        | "DDIMParallelScheduler"
        | "DDIMInverseScheduler"
        | "CogVideoXDDIMScheduler"
        | "CogVideoXDPMScheduler" => keys.flag("set_alpha_to_one")?,
        _ => ends_clean(keys)?,
    };
    let walk = match (to_data, class) {
        (true, _) => Walk::of(grid),
        // They repeat the last sigma of a curve, wherever it is.
        (false, "DEISMultistepScheduler" | "SASolverScheduler" | "UniPCMultistepScheduler")
            if is_curved =>
        {
            Walk::repeating_the_last(&grid)?
        }
        (false, _) => to_the_least(grid, least)?,
    };
    let n = grid_len(&walk);
    match class {
        "PNDMScheduler" if !keys.flag("skip_prk_steps")? => halved_start(walk, schedule, n),
        "DDIMInverseScheduler" => {
            // It tells the network the time it goes to.
            let nodes = walk.grid.nodes().iter();
            let times: Vec<_> = nodes.rev().map(|node| node.time).collect();
            Ok(Walk::of(walk.grid.inverted().with_times(&times)?))
        }
        _ => Ok(walk),
    }
}

fn grid_len(walk: &Walk<Step>) -> usize {
    walk.grid.len() + usize::from(walk.empty_step)
}

/// To the level of the first step; a grid that is there already would take an empty step.
pub(super) fn to_the_least<T: Copy + std::fmt::Debug>(
    grid: Grid<T>,
    least: NoiseLevel,
) -> Result<Walk<T>, Error> {
    let last = grid.nodes().last().map_or(grid.end(), |node| node.level);
    let (end, least_ratio) = (last.noise_to_signal(), least.noise_to_signal());
    match ((end - least_ratio) / least_ratio).abs() < 1e-12 {
        true => Walk::repeating_the_last(&grid),
        false => Ok(Walk::of(grid.ending_at(least)?)),
    }
}

/// The noise-to-signal ratios of the last step and the first.
fn ends(schedule: &Discrete) -> Result<(f64, f64), Error> {
    let least = schedule.level_at_step(0)?;
    let most = schedule.levels().last().copied().unwrap_or(least);
    Ok((most.noise_to_signal(), least.noise_to_signal()))
}

/// The schedule down to `lambda_min_clipped`.
fn reached(keys: &Keys, schedule: &Discrete) -> Result<Discrete, Error> {
    let lowest = match keys.get("lambda_min_clipped").as_str() {
        Some("-inf") => f64::NEG_INFINITY,
        _ => keys
            .optional("lambda_min_clipped")?
            .unwrap_or(f64::NEG_INFINITY),
    };
    schedule.reaching(LogSnr::new(2.0 * lowest)?)
}

fn offset(keys: &Keys) -> Result<usize, Error> {
    match keys.get("steps_offset").is_null() {
        true => Ok(0),
        false => keys.count("steps_offset"),
    }
}

/// The steps of the spacing, before any curve.
pub(super) fn spaced(
    keys: &Keys,
    family: Family,
    schedule: &Discrete,
    n: usize,
) -> Result<Grid<Step>, Error> {
    // The solver skips the last of n + 1.
    let is_multistep = family == Family::Multistep;
    let points = if is_multistep { n + 1 } else { n };
    let reached = reached(keys, schedule)?;
    if !matches!(
        keys.word("interpolation_type")?,
        "" | "linear" | "log_linear"
    ) {
        return Err(keys.refuse("interpolation_type", "linear or log_linear"));
    }
    let grid = match keys.word("timestep_spacing")? {
        "trailing" => return Grid::trailing_of(&reached, schedule.len(), n),
        "leading" => Grid::leading(&reached, points, offset(keys)?)?,
        "" | "linspace" if matches!(family, Family::Sigma { .. }) => {
            Grid::uniform_time(&reached, n)?.interpolating_sigma(&reached)?
        }
        "" | "linspace" => Grid::linspace(&reached, points)?,
        _ => return Err(keys.refuse("timestep_spacing", "linspace, leading or trailing")),
    };
    match is_multistep {
        true => grid.without_penultimate(),
        false => Ok(grid),
    }
}

/// The grid of the inverse of the multi-step DPM-Solver: up to the noisiest step, given where it is.
fn inverse(keys: &Keys, schedule: &Discrete, n: usize) -> Result<Walk<Step>, Error> {
    let (most, least) = ends(schedule)?;
    // Upwards, an end may come twice: the last node and where the run goes to.
    let (down, is_there) = match (curve(keys, most, least)?, keys.word("timestep_spacing")?) {
        (Some(curve), _) => (along(schedule, n, &*curve)?, true),
        (None, "trailing") => {
            let reached = reached(keys, schedule)?;
            (Grid::trailing_of(&reached, schedule.len(), n)?, true)
        }
        (None, "leading") => {
            let grid = Grid::leading(&reached(keys, schedule)?, n + 1, offset(keys)?)?;
            (grid.part(1..n + 1)?, false)
        }
        (None, "" | "linspace") => {
            let grid = Grid::linspace(&reached(keys, schedule)?, n + 1)?;
            (grid.part(1..n + 1)?, false)
        }
        _ => return Err(keys.refuse("timestep_spacing", "linspace, leading or trailing")),
    };
    let mut nodes: Vec<_> = down.nodes().iter().rev().copied().collect();
    let end = match is_there {
        true => nodes.pop().map(|node| node.level),
        false => reached(keys, schedule)?.levels().last().copied(),
    };
    Ok(Walk {
        grid: Grid::new(nodes, end.unwrap_or(down.end()))?,
        empty_step: is_there,
    })
}

/// The grid with the middles of its first three steps, which a Runge-Kutta start asks about.
fn halved_start(walk: Walk<Step>, schedule: &Discrete, n: usize) -> Result<Walk<Step>, Error> {
    let (grid, half) = (&walk.grid, schedule.len() / n / 2);
    let ends = walk.empty_step.then_some(0.0);
    let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
    let reached: Vec<_> = times.iter().skip(1).copied().chain(ends).collect();
    // Less would be the start alone, of which the solver makes Euler's steps.
    if reached.len() < 3 || half == 0 {
        return Ok(walk);
    }
    let mut nodes = Vec::with_capacity(grid.len() + 3);
    for (i, node) in grid.nodes().iter().enumerate() {
        nodes.push(*node);
        if let Some(to) = reached.get(i).filter(|_| i < 3) {
            let time = Step::fractional(to + half as f64)?;
            let level = schedule.level(time)?;
            nodes.push(Node { level, time });
        }
    }
    Ok(Walk {
        grid: Grid::new(nodes, grid.end())?,
        ..walk
    })
}

/// Whether what the network is given is the nearest whole step, rather than the one below.
pub(in super::super) fn rounds(keys: &Keys) -> Result<bool, Error> {
    // Where it does not round, the list is truncated like all others.
    let cosine_is_not_rounded = keys.class == "DPMSolverMultistepScheduler"
        && keys.word("beta_schedule")? == "squaredcos_cap_v2";
    let key = curve_key(keys)?;
    let rounds = matches!(key, Some("use_karras_sigmas" | "use_lu_lambdas"));
    Ok(rounds && !cosine_is_not_rounded && !keys.flag("use_flow_sigmas")?)
}
