//! Grids of training steps.

use super::{Ask, Walk, curve, ends_clean};
use crate::{
    Error, Grid, LogSnr, NoiseLevel, Sigma, Step,
    config::{
        facts::{End, Family},
        keys::Keys,
        schedule::Timestep,
        table::Table,
        words::{Curve, Spacing, Words},
    },
    grid::{Node, PolyExponential, SigmaCurve, steps_of_strength},
    schedule::NoiseSchedule,
};

/// `interpolation_type`.
#[derive(Clone, Copy, PartialEq)]
enum Interpolation {
    Linear,
    LogLinear,
}

const INTERPOLATIONS: Words<Interpolation> = &[
    ("linear", Interpolation::Linear),
    ("log_linear", Interpolation::LogLinear),
];

fn is_log_linear(keys: &Keys) -> Result<bool, Error> {
    let interpolation = keys.choice("interpolation_type", INTERPOLATIONS)?;
    Ok(interpolation == Some(Interpolation::LogLinear))
}

impl Ask<'_> {
    /// The table of betas.
    pub fn table(&self) -> Result<&Table, Error> {
        self.schedule.table().ok_or(Error::Missing {
            what: "a table of betas",
            needed_by: "a grid of training steps",
        })
    }

    /// What the network of the class is given at these steps.
    pub fn on_clock(&self, walk: &Walk<Step>) -> Result<Walk<Timestep>, Error> {
        walk.map(|step| self.schedule.network_time(Timestep(step.get())))
    }
}

/// The rule of the families: the steps of the spacing, or a curve.
pub(in super::super) fn plain(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let (grid, is_curved) = by_family(ask)?;
    ask.on_clock(&ended(ask, grid, is_curved)?)
}

/// The nodes, to the data, and whether they are those of a curve.
pub(super) fn by_family(ask: &Ask<'_>) -> Result<(Grid<Step>, bool), Error> {
    let (keys, table) = (ask.keys, ask.table()?);
    let Some(kind) = keys.curve()? else {
        return Ok((spaced(ask, table)?, false));
    };
    if ask.options.timesteps.is_some() {
        return Err(keys.refuse(kind.key(), "false with timesteps of one's own"));
    }
    let (max, min) = match keys.is_multistep() || is_log_linear(keys)? {
        true => {
            check_spacing(keys)?;
            ends(table)?
        }
        false => ends_of(&spaced(ask, table)?),
    };
    let grid = match curve(keys, max, min)? {
        // The ends of a single node, which no curve moves.
        None => spaced(ask, table)?,
        Some(curve) => along(table, ask.n, &*curve)?,
    };
    let is_rounded = keys.class.quirks.rounds_karras && kind == Curve::Karras;
    let grid = match is_rounded {
        true => grid.with_rounded_times(),
        false => grid,
    };
    Ok((grid, true))
}

/// What is asked of the spacing even where a curve takes its place.
pub(super) fn check_spacing(keys: &Keys) -> Result<(), Error> {
    lowest(keys)?;
    if keys.spacing()? == Spacing::Leading {
        offset(keys)?;
    }
    Ok(())
}

/// The noise-to-signal ratios of the first node and the last.
fn ends_of(grid: &Grid<Step>) -> (f64, f64) {
    let ratio = |node: Option<&Node<Step>>| node.map_or(0.0, |node| node.level.noise_to_signal());
    (ratio(grid.nodes().first()), ratio(grid.nodes().last()))
}

/// The rule of Euler, whose sigmas may be even in their logarithm.
pub(in super::super) fn euler(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let (keys, table) = (ask.keys, ask.table()?);
    let spaced = spaced(ask, table)?;
    if !is_log_linear(keys)? || keys.curve()?.is_some() {
        return plain(ask);
    }
    // The times of the spacing, and sigmas of which there is one more than of these.
    let (max, min) = ends(table)?;
    let curve = PolyExponential::new(Sigma::new(max)?, Sigma::new(min)?, 1.0)?;
    let time: Vec<_> = spaced.nodes().iter().map(|node| node.time).collect();
    let grid = along(table, ask.n + 1, &curve)?.without_final_step()?;
    // What the list has beyond these is no step.
    ask.on_clock(&Walk {
        grid: grid.with_times(&time)?,
        empty_step: true,
    })
}

/// Every so many of the original steps of LCM.
pub(in super::super) fn lcm(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let (keys, table) = (ask.keys, ask.table()?);
    let key = "original_inference_steps";
    let original = keys.count_in(key, 1..=table.len())?;
    let grid = match &ask.options.timesteps {
        Some(list) => given(ask, table, list)?,
        None => {
            let strength = ask.options.strength.unwrap_or(1.0);
            let kept = steps_of_strength(original, strength).map_err(|error| {
                let value = format!("{strength:?}");
                match error {
                    Error::OutOfRange { allowed, .. } => keys.error("strength", value, allowed),
                    other => other,
                }
            })?;
            if ask.n > kept {
                let allowed = format!("1 to {kept}, the original steps of this strength");
                return Err(keys.refuse_steps(ask.n, allowed));
            }
            Grid::lcm(table, ask.n, original, strength)?
        }
    };
    ask.on_clock(&match keys.class.end {
        End::FirstStep => Walk::of(grid.ending_at(table.least()?)?),
        _ => Walk::of(grid),
    })
}

/// `n` steps from the last to the first.
pub(in super::super) fn linspace(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let table = ask.table()?;
    limit(ask, table.len())?;
    ask.on_clock(&Walk::of(Grid::linspace(table, ask.n)?))
}

/// Multiples of the stride.
pub(in super::super) fn leading(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let table = ask.table()?;
    limit(ask, table.len())?;
    ask.on_clock(&Walk::of(Grid::leading(table, ask.n, 0)?))
}

/// The grid with the middles of its first three steps, which a Runge-Kutta start asks about.
pub(in super::super) fn halved_start(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let (grid, _) = by_family(ask)?;
    let walk = ended(ask, grid, false)?;
    if ask.keys.flag("skip_prk_steps")? {
        return ask.on_clock(&walk);
    }
    let (table, grid) = (ask.table()?, &walk.grid);
    let half = table.len() / ask.n / 2;
    let ends = walk.empty_step.then_some(0.0);
    let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
    let reached: Vec<_> = times.iter().skip(1).copied().chain(ends).collect();
    // Less would be the start alone, of which the solver makes Euler's steps.
    if reached.len() < 3 || half == 0 {
        return ask.on_clock(&walk);
    }
    let mut nodes = Vec::with_capacity(grid.len() + 3);
    for (i, node) in grid.nodes().iter().enumerate() {
        nodes.push(*node);
        if let Some(to) = reached.get(i).filter(|_| i < 3) {
            let time = Step::fractional(to + half as f64)?;
            let level = table.level(time)?;
            nodes.push(Node { level, time });
        }
    }
    ask.on_clock(&Walk {
        grid: Grid::new(nodes, grid.end())?,
        ..walk
    })
}

/// The nodes of a curve. Beyond the ends of the schedule the network is given these.
pub(super) fn along(table: &Table, n: usize, curve: &dyn SigmaCurve) -> Result<Grid<Step>, Error> {
    let (least, most) = (
        table.most()?.log_snr().get(),
        table.least()?.log_snr().get(),
    );
    let node = |sigma: f64| {
        let snr = LogSnr::from_sigma(Sigma::new(sigma)?);
        let within = LogSnr::new(snr.get().clamp(least, most))?;
        Ok(Node {
            level: table.level_at(snr)?,
            time: table.time_at(within)?,
        })
    };
    let nodes: Result<Vec<_>, Error> = curve.sigmas(n)?.into_iter().map(node).collect();
    Grid::new(nodes?, NoiseLevel::CLEAN)
}

/// The end of a run.
pub(super) fn ended(ask: &Ask<'_>, grid: Grid<Step>, is_curved: bool) -> Result<Walk<Step>, Error> {
    let keys = ask.keys;
    let to_data = match keys.class.end {
        End::Data => true,
        End::FirstStep => false,
        End::FinalSigmas => ends_clean(keys)?,
        End::AlphaToOne => keys.flag("set_alpha_to_one")?,
    };
    match to_data {
        true => Ok(Walk::of(grid)),
        false if is_curved && keys.class.quirks.repeats_curves => {
            Walk::repeating_the_last(ask, &grid)
        }
        false => to_the_least(ask, grid, ask.table()?.least()?),
    }
}

/// To the level of the first step; a grid that is there already would take an empty step.
pub(super) fn to_the_least<T: Copy + std::fmt::Debug>(
    ask: &Ask<'_>,
    grid: Grid<T>,
    least: NoiseLevel,
) -> Result<Walk<T>, Error> {
    let last = grid.nodes().last().map_or(grid.end(), |node| node.level);
    let (end, least_ratio) = (last.noise_to_signal(), least.noise_to_signal());
    match ((end - least_ratio) / least_ratio).abs() < 1e-12 {
        true => Walk::repeating_the_last(ask, &grid),
        false => Ok(Walk::of(grid.ending_at(least)?)),
    }
}

/// The noise-to-signal ratios of the last step and the first.
pub(super) fn ends(table: &Table) -> Result<(f64, f64), Error> {
    let (most, least) = (table.most()?, table.least()?);
    Ok((most.noise_to_signal(), least.noise_to_signal()))
}

/// The schedule down to `lambda_min_clipped`.
pub(super) fn reached(keys: &Keys, table: &Table) -> Result<Table, Error> {
    let lowest = lowest(keys)?;
    keys.blame(
        LOWEST,
        LogSnr::new(2.0 * lowest).and_then(|snr| table.reaching(snr)),
    )
}

const LOWEST: &str = "lambda_min_clipped";

/// `lambda_min_clipped`, half a log-SNR.
pub(super) fn lowest(keys: &Keys) -> Result<f64, Error> {
    match keys.get(LOWEST) {
        None => Ok(f64::NEG_INFINITY),
        Some(value) if value == "-inf" => Ok(f64::NEG_INFINITY),
        Some(_) => keys.number(LOWEST),
    }
}

/// Refuses more steps than these.
pub(super) fn limit(ask: &Ask<'_>, most: usize) -> Result<(), Error> {
    match ask.n <= most {
        true => Ok(()),
        false if most == 0 => {
            let allowed = "fewer: there is but one training step";
            Err(ask.keys.refuse_steps(ask.n, allowed))
        }
        false => {
            let allowed = format!("1 to {most}, for these training steps");
            Err(ask.keys.refuse_steps(ask.n, allowed))
        }
    }
}

const OFFSET: &str = "steps_offset";

fn offset(keys: &Keys) -> Result<usize, Error> {
    match keys.get(OFFSET) {
        None => Ok(0),
        Some(_) => keys.count(OFFSET),
    }
}

/// Multiples of the stride, moved by `steps_offset`.
pub(super) fn offset_leading(
    ask: &Ask<'_>,
    reached: &Table,
    points: usize,
) -> Result<Grid<Step>, Error> {
    let offset = offset(ask.keys)?;
    let last = (points - 1) * (reached.len() / points);
    if last + offset >= reached.len() {
        let most = reached.len() - 1 - last;
        let allowed = format!("0 to {most} for {} steps", ask.n);
        return Err(ask.keys.refuse(OFFSET, allowed));
    }
    Grid::leading(reached, points, offset)
}

pub(super) fn trailing(ask: &Ask<'_>, table: &Table, reached: &Table) -> Result<Grid<Step>, Error> {
    limit(ask, reached.len())?;
    Grid::trailing_of(reached, table.len(), ask.n)
}

/// The steps that the options give.
fn given(ask: &Ask<'_>, table: &Table, list: &[f64]) -> Result<Grid<Step>, Error> {
    let keys = ask.keys;
    let last = table.len() - 1;
    let mut steps = Vec::with_capacity(list.len());
    let mut before = f64::INFINITY;
    for (index, &step) in list.iter().enumerate() {
        if !(step < before && (0.0..=last as f64).contains(&step)) {
            let allowed = format!("steps from {last} down to 0, each below the one before");
            return Err(keys.error("timesteps", format!("{step:?} at {index}"), allowed));
        }
        before = step;
        steps.push(Step::fractional(match keys.class.spacing {
            Family::Sigma => step,
            _ => step.floor(),
        })?);
    }
    let grid = Grid::at(table, &steps)?;
    match keys.class.spacing {
        Family::Sigma => grid.interpolating_sigma(table),
        _ => Ok(grid),
    }
}

/// The steps of the spacing, before any curve.
pub(super) fn spaced(ask: &Ask<'_>, table: &Table) -> Result<Grid<Step>, Error> {
    let (keys, n) = (ask.keys, ask.n);
    let family = keys.class.spacing;
    is_log_linear(keys)?;
    let spacing = keys.spacing()?;
    let reached = reached(keys, table)?;
    if let Some(list) = &ask.options.timesteps {
        return given(ask, table, list);
    }
    if spacing == Spacing::Trailing {
        return trailing(ask, table, &reached);
    }
    // The solver skips the last of n + 1.
    let is_multistep = family == Family::Multistep;
    let points = if is_multistep { n + 1 } else { n };
    limit(ask, reached.len() - usize::from(is_multistep))?;
    let grid = match (spacing, family) {
        (Spacing::Leading, _) => offset_leading(ask, &reached, points)?,
        (_, Family::Sigma) => Grid::uniform_time(&reached, n)?.interpolating_sigma(&reached)?,
        _ => Grid::linspace(&reached, points)?,
    };
    match is_multistep {
        true => grid.without_penultimate(),
        false => Ok(grid),
    }
}
