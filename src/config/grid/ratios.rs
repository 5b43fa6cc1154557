//! Grids that are lists of sigmas from the start.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

use super::{Ask, Walk, curve, ends_clean, steps};
use crate::{
    Error, Grid, NoiseLevel, Sigma,
    config::{
        betas,
        keys::Keys,
        schedule::{Kind, Timestep},
        words::Words,
    },
    grid::{Karras, PolyExponential},
    schedule::NoiseSchedule,
    time::MOST_STEPS,
};

/// `sigma_schedule`: whether it is that of Karras.
const SIGMA_SCHEDULES: Words<bool> = &[("karras", true), ("exponential", false)];

/// The grid of Euler with continuous times, as of EDM.
pub(in super::super) fn continuous(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let (keys, schedule, n) = (ask.keys, ask.schedule, ask.n);
    if let Some(list) = &ask.options.timesteps {
        let allowed = "none with continuous times";
        return Err(keys.error("timesteps", format!("{} numbers", list.len()), allowed));
    }
    let betas = betas::table(keys)?;
    let spaced = steps::spaced(ask, &betas)?;
    if keys
        .get("interpolation_type")
        .is_some_and(|word| word == "log_linear")
    {
        let allowed = "linear with continuous times, of which the list has one more than steps";
        return Err(keys.refuse("interpolation_type", allowed));
    }
    let sigmas: Vec<_> = spaced
        .nodes()
        .iter()
        .map(|node| node.level.noise_to_signal())
        .collect();
    let ends = (sigmas.first().copied(), sigmas.last().copied());
    let grid = match curve(keys, ends.0.unwrap_or(0.0), ends.1.unwrap_or(0.0))? {
        None => Grid::at_noise_to_signal(schedule, &sigmas)?,
        Some(curve) => Grid::along(schedule, n, &*curve)?,
    };
    match ends_clean(keys)? {
        true => Ok(Walk::of(grid)),
        false => steps::to_the_least(ask, grid, betas.least()?),
    }
}

/// The grid of the classes of EDM.
pub(in super::super) fn edm(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let grid = sigmas(ask, ask.n)?;
    match ends_clean(ask.keys)? {
        true => Ok(Walk::of(grid)),
        false => Walk::repeating_the_last(ask, &grid),
    }
}

/// `n` sigmas between those of the keys.
fn sigmas(ask: &Ask<'_>, n: usize) -> Result<Grid<Timestep>, Error> {
    let keys = ask.keys;
    let (max, min) = Kind::ends(keys)?;
    let (max, min) = (Sigma::new(max)?, Sigma::new(min)?);
    match keys
        .choice("sigma_schedule", SIGMA_SCHEDULES)?
        .unwrap_or(true)
    {
        true => {
            let curve = keys.blame("rho", Karras::new(max, min, keys.number("rho")?))?;
            Grid::along(ask.schedule, n, &curve)
        }
        false => Grid::along(ask.schedule, n, &PolyExponential::new(max, min, 1.0)?),
    }
}

/// The grid of consistency models: every so many of the sigmas they were trained on, to the least.
pub(in super::super) fn consistency(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let (keys, n) = (ask.keys, ask.n);
    let trained = keys.count_in("num_train_timesteps", 1..=MOST_STEPS)?;
    if n > trained {
        let allowed = format!("1 to {trained}, the steps of the training");
        return Err(keys.refuse_steps(n, allowed));
    }
    let all = sigmas(ask, trained)?;
    let nodes = all.nodes().iter().step_by(trained / n).take(n).copied();
    let end = NoiseLevel::new(1.0, keys.number("sigma_min")?)?;
    Ok(Walk::of(Grid::new(nodes.collect(), end)?))
}

/// The grid of the variance-exploding equation: even in `ln sigma`. The network is given the sigmas of
/// times that stop at `sampling_eps` instead of 0, which are a little larger.
pub(in super::super) fn variance_exploding(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let (keys, n) = (ask.keys, ask.n);
    let within = |last| (0.0..1.0).contains(&last);
    let last = keys.number_if("sampling_eps", within, "0 or more and below 1")?;
    let (max, min) = Kind::ends(keys)?;
    if n < 2 {
        return Err(keys.refuse_steps(n, "2 or more"));
    }
    let curve = PolyExponential::new(Sigma::new(max)?, Sigma::new(min)?, 1.0)?;
    let time = |i: usize| {
        let time = 1.0 - (1.0 - last) * (i as f64 / (n - 1) as f64);
        Timestep(min * (max / min).powf(time))
    };
    let time: Vec<_> = (0..n).map(time).collect();
    let grid =
        Grid::at_noise_to_signal(ask.schedule, &crate::grid::SigmaCurve::sigmas(&curve, n)?)?;
    Ok(Walk::of(grid.with_times(&time)?))
}

/// The list in `trained_betas`, which for iPNDM are sigmas.
pub(in super::super) fn quarter_sigmas(keys: &Keys) -> Result<Option<Vec<f64>>, Error> {
    let within = |value: &serde_json::Value| value.as_f64().filter(|x| (0.0..=1.0).contains(x));
    keys.optional_list(
        "trained_betas",
        within,
        "null or a list of numbers from 0 to 1",
    )
}

/// The grid of iPNDM: `sigma = sin^2` of even angles, or the list in `trained_betas`, which has one
/// more number than the run has steps.
pub(in super::super) fn quarter(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let (keys, schedule, n) = (ask.keys, ask.schedule, ask.n);
    let at = |sigma: f64| Timestep(FRAC_2_PI * sigma.asin());
    let Some(sigmas) = quarter_sigmas(keys)? else {
        let sigma = |i: usize| (FRAC_PI_2 * (1.0 - i as f64 / n as f64)).sin().powi(2);
        let nodes: Vec<_> = (0..n).map(|i| at(sigma(i))).collect();
        return Ok(Walk::of(Grid::at(schedule, &nodes)?));
    };
    let (Some((&end, nodes)), true) = (sigmas.split_last(), sigmas.len() == n + 1) else {
        let allowed = format!(
            "one less than the {} numbers of trained_betas",
            sigmas.len()
        );
        return Err(keys.refuse_steps(n, allowed));
    };
    let nodes: Vec<_> = nodes.iter().map(|&sigma| at(sigma)).collect();
    let grid = Grid::at(schedule, &nodes).and_then(|grid| grid.ending_at(schedule.level(at(end))?));
    Ok(Walk::of(keys.blame("trained_betas", grid)?))
}

/// Even times, to the data.
pub(in super::super) fn wuerstchen(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let n = ask.n;
    let time = |i: usize| Timestep((n - i) as f64 / n as f64);
    let grid = Grid::at(ask.schedule, &(0..n).map(time).collect::<Vec<_>>())?;
    Ok(Walk::of(
        grid.ending_at(ask.schedule.level(Timestep(0.0))?)?,
    ))
}

/// From a quarter turn evenly, but for two steps, which stop at 1.3.
pub(in super::super) fn trigflow(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let n = ask.n;
    let time = |i: usize| match (n, i) {
        (2, 1) => Timestep(1.3),
        _ => Timestep(FRAC_PI_2 * ((n - i) as f64 / n as f64)),
    };
    let nodes: Vec<_> = (0..n).map(time).collect();
    Ok(Walk::of(Grid::at(ask.schedule, &nodes)?))
}
