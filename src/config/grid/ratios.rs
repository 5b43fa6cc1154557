//! Grids that are lists of sigmas from the start.

use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

use super::{Family, Keys, Schedule, Timestep, Walk, curve, ends_clean, steps};
use crate::{
    Error, Grid, NoiseLevel, Sigma,
    grid::{Karras, PolyExponential, SigmaCurve},
    schedule::NoiseSchedule,
};

/// The grid of Euler with continuous times, as of EDM.
pub(super) fn continuous(
    keys: &Keys,
    schedule: &Schedule,
    n: usize,
) -> Result<Walk<Timestep>, Error> {
    if keys.word("interpolation_type")? == "log_linear" {
        let allowed = "linear with continuous times, of which the list has one more than steps";
        return Err(keys.refuse("interpolation_type", allowed));
    }
    let betas = super::super::betas::discrete(keys, true)?;
    let spaced = steps::spaced(keys, Family::of(&keys.class), &betas, n)?;
    let sigmas: Vec<_> = spaced
        .nodes()
        .iter()
        .map(|node| node.level.noise_to_signal())
        .collect();
    let ends = (sigmas.first().copied(), sigmas.last().copied());
    let grid = match curve(keys, ends.0.unwrap_or(0.0), ends.1.unwrap_or(0.0))? {
        None => Grid::at_sigmas(schedule, &sigmas)?,
        Some(curve) => Grid::along(schedule, n, &*curve)?,
    };
    match ends_clean(keys)? {
        true => Ok(Walk::of(grid)),
        false => steps::to_the_least(grid, betas.level_at_step(0)?),
    }
}

/// The grid of the classes of EDM.
pub(super) fn edm(
    keys: &Keys,
    schedule: &Schedule,
    max: f64,
    min: f64,
    n: usize,
) -> Result<Grid<Timestep>, Error> {
    let (max, min) = (Sigma::new(max)?, Sigma::new(min)?);
    match keys.word("sigma_schedule")? {
        "" | "karras" => Grid::along(schedule, n, &Karras::new(max, min, keys.number("rho")?)?),
        "exponential" => Grid::along(schedule, n, &PolyExponential::new(max, min, 1.0)?),
        _ => Err(keys.refuse("sigma_schedule", "karras or exponential")),
    }
}

/// The grid of consistency models: every so many of the sigmas they were trained on, to the least.
pub(super) fn consistency(
    keys: &Keys,
    schedule: &Schedule,
    max: f64,
    min: f64,
    n: usize,
) -> Result<Grid<Timestep>, Error> {
    let trained = keys.count("num_train_timesteps")?;
    if n > trained {
        let allowed = format!("1 to {trained}, the steps of the training");
        return Err(Error::range("number of steps", n as f64, allowed));
    }
    let all = edm(keys, schedule, max, min, trained)?;
    let nodes = all.nodes().iter().step_by(trained / n).take(n).copied();
    Grid::new(nodes.collect(), NoiseLevel::new(1.0, min)?)
}

/// The grid of the variance-exploding equation: even in `ln sigma`. The network is given the sigmas of
/// times that stop at `sampling_eps` instead of 0, which are a little larger.
pub(super) fn variance_exploding(
    keys: &Keys,
    schedule: &Schedule,
    max: f64,
    min: f64,
    n: usize,
) -> Result<Grid<Timestep>, Error> {
    let last = keys.number("sampling_eps")?;
    if !(0.0..1.0).contains(&last) {
        return Err(keys.refuse("sampling_eps", "0 or more and below 1"));
    }
    if n < 2 {
        return Err(Error::range("number of steps", n as f64, "2 or more"));
    }
    let curve = PolyExponential::new(Sigma::new(max)?, Sigma::new(min)?, 1.0)?;
    let time = |i: usize| {
        let time = 1.0 - (1.0 - last) * (i as f64 / (n - 1) as f64);
        Timestep(min * (max / min).powf(time))
    };
    let time: Vec<_> = (0..n).map(time).collect();
    Grid::at_sigmas(schedule, &curve.sigmas(n)?)?.with_times(&time)
}

/// The grid of iPNDM: `sigma = sin^2` of even angles, or the list in `trained_betas`, which has one
/// more number than the run has steps.
pub(super) fn quarter(keys: &Keys, schedule: &Schedule, n: usize) -> Result<Grid<Timestep>, Error> {
    let at = |sigma: f64| Timestep(FRAC_2_PI * sigma.asin());
    let Some(sigmas) = keys.numbers("trained_betas", serde_json::Value::as_f64)? else {
        let sigma = |i: usize| (FRAC_PI_2 * (1.0 - i as f64 / n as f64)).sin().powi(2);
        return Grid::at(schedule, &(0..n).map(|i| at(sigma(i))).collect::<Vec<_>>());
    };
    let (Some((&end, nodes)), true) = (sigmas.split_last(), sigmas.len() == n + 1) else {
        return Err(Error::BatchLength {
            what: "trained_betas",
            expected: n + 1,
            found: sigmas.len(),
        });
    };
    let nodes: Vec<_> = nodes.iter().map(|&sigma| at(sigma)).collect();
    Grid::at(schedule, &nodes)?.ending_at(schedule.level(at(end))?)
}
