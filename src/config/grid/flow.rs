//! Grids of flows, whose time is sigma.

use super::{Family, Keys, Options, Walk, bounds, curve, curve_key, ends_clean};
use crate::{
    Error, Grid, Time,
    grid::{DynamicShift, Karras, Node},
    schedule::{NoiseSchedule, RectifiedFlow},
};

const FLOW: RectifiedFlow = RectifiedFlow;
/// How far below pure noise UniPC starts.
const BELOW_ONE: f64 = 1e-6;

/// The grid of a flow.
pub(super) fn grid(keys: &Keys, options: &Options, n: usize) -> Result<Walk<Time>, Error> {
    let given = match (given(options, n)?, keys.class.as_str()) {
        // Taken as they are.
        (Some(grid), "MiniMaxH3Scheduler" | "LTXEulerAncestralRFScheduler") => {
            return Ok(Walk::of(grid));
        }
        (given, _) => given,
    };
    match keys.class.as_str() {
        "FlowMapEulerDiscreteScheduler" | "MiniMaxH3Scheduler" => {
            let grid = given.map_or_else(|| Grid::uniform_time(&FLOW, n), Ok)?;
            Ok(Walk::of(grid.shifted(&FLOW, keys.number("shift")?)?))
        }
        "UniPCMultistepScheduler" => unipc(keys, options, given, n),
        class if Family::of(class) == Family::Multistep => match given {
            Some(_) => Err(Error::Missing {
                what: "a class whose pipeline gives sigmas",
                needed_by: "a list of sigmas",
            }),
            None => multistep(keys, options, n),
        },
        _ => matching(keys, options, given, n),
    }
}

/// The sigmas of the options.
fn given(options: &Options, n: usize) -> Result<Option<Grid<Time>>, Error> {
    let Some(sigmas) = &options.sigmas else {
        return Ok(None);
    };
    if sigmas.len() != n {
        return Err(Error::BatchLength {
            what: "sigmas",
            expected: n,
            found: sigmas.len(),
        });
    }
    at(sigmas).map(Some)
}

/// The factor of the shift: of `key`, or one that depends on the size of the picture, `e^mu` or `mu`.
fn factor(keys: &Keys, options: &Options, key: &'static str) -> Result<f64, Error> {
    if !keys.flag("use_dynamic_shifting")? {
        return keys.number(key);
    }
    let mu = match (options.mu, options.length) {
        (Some(mu), _) => mu,
        (None, Some(length)) if !keys.get("base_shift").is_null() => DynamicShift {
            base: (
                keys.count("base_image_seq_len")?,
                keys.number("base_shift")?,
            ),
            max: (keys.count("max_image_seq_len")?, keys.number("max_shift")?),
        }
        .mu(length),
        _ => {
            return Err(Error::Missing {
                what: "mu or the length of the sequence",
                needed_by: "use_dynamic_shifting",
            });
        }
    };
    match keys.word("time_shift_type")? {
        "exponential" => Ok(mu.exp()),
        "linear" => Ok(mu),
        _ => Err(keys.refuse("time_shift_type", "exponential or linear")),
    }
}

/// `n` of `n + 1` even times, by the products of numpy, on which truncated ones rest.
fn even(from: f64, to: f64, n: usize) -> impl Iterator<Item = f64> {
    let stride = (to - from) / n as f64;
    (0..n).map(move |i| from + i as f64 * stride)
}

/// A list of times, shifted, as a grid.
fn shifted(times: impl Iterator<Item = f64>, factor: f64) -> Result<Vec<f64>, Error> {
    if !(1e-6..=1e6).contains(&factor) {
        return Err(Error::range("shift factor", factor, "1e-6 to 1e6"));
    }
    Ok(times
        .map(|t| factor * t / (1.0 + (factor - 1.0) * t))
        .collect())
}

fn at(times: &[f64]) -> Result<Grid<Time>, Error> {
    let times: Result<Vec<_>, _> = times.iter().map(|&t| Time::new(t)).collect();
    Grid::at(&FLOW, &times?)
}

/// The grid stretched to `shift_terminal`, where that is set.
fn to_terminal(keys: &Keys, grid: Grid<Time>) -> Result<Grid<Time>, Error> {
    match keys.optional("shift_terminal")? {
        Some(terminal) if terminal != 0.0 => grid.stretched(&FLOW, Time::new(terminal)?),
        _ => Ok(grid),
    }
}

/// The same of a list.
fn to_terminal_times(keys: &Keys, times: &mut [f64]) -> Result<(), Error> {
    let (Some(terminal), Some(&last)) = (keys.optional("shift_terminal")?, times.last()) else {
        return Ok(());
    };
    if terminal != 0.0 {
        let scale = (1.0 - last) / (1.0 - terminal);
        times.iter_mut().for_each(|t| *t = 1.0 - (1.0 - *t) / scale);
    }
    Ok(())
}

/// The grid of the flow-matching classes.
fn matching(
    keys: &Keys,
    options: &Options,
    given: Option<Grid<Time>>,
    n: usize,
) -> Result<Walk<Time>, Error> {
    let factor = factor(keys, options, "shift")?;
    let grid = match given {
        Some(grid) => grid,
        None => {
            let last = 1.0 / keys.number("num_train_timesteps")?;
            // The smallest sigma was shifted once before the list is, unless the shift is dynamic.
            let last = match keys.flag("use_dynamic_shifting")? {
                true => last,
                false => factor * last / (1.0 + (factor - 1.0) * last),
            };
            Grid::uniform_time_between(&FLOW, n, Time::new(1.0)?, Time::new(last)?)?
        }
    };
    let grid = to_terminal(keys, grid.shifted(&FLOW, factor)?)?;
    let sigma = |node: Option<&Node<Time>>| node.map_or(0.0, |node| node.level.sigma());
    let (max, min) = (sigma(grid.nodes().first()), sigma(grid.nodes().last()));
    Ok(Walk::of(match curve(keys, max, min)? {
        None => grid,
        Some(curve) => Grid::along_time(&FLOW, n, &*curve)?,
    }))
}

/// What no class can do: the sigmas of these curves are ratios, some of them above 1.
fn refuse_curve(keys: &Keys, key: &'static str) -> Error {
    keys.refuse(
        key,
        "false with use_flow_sigmas: its sigmas are ratios, and above 1",
    )
}

/// The grid of a multi-step class with `use_flow_sigmas`.
fn multistep(keys: &Keys, options: &Options, n: usize) -> Result<Walk<Time>, Error> {
    if let Some(key) = curve_key(keys)? {
        return Err(refuse_curve(keys, key));
    }
    // Without mu they keep the static shift, and with it they know one type.
    let factor = match options.mu.is_some() || options.length.is_some() {
        true if keys.word("time_shift_type")? != "linear" => factor(keys, options, "flow_shift")?,
        true => return Err(keys.refuse("time_shift_type", "exponential for this class")),
        false => keys.number("flow_shift")?,
    };
    let last = 1.0 / keys.number("num_train_timesteps")?;
    // From the noisiest, which the list of alphas has last.
    let alphas = even(1.0, last, n).skip(1).chain([last]);
    let mut times = shifted(alphas.map(|alpha| 1.0 - alpha), factor)?;
    times.reverse();
    let grid = at(&times)?;
    match keys.class.as_str() {
        "DEISMultistepScheduler" | "SASolverScheduler" => Walk::repeating_the_last(&grid),
        _ if ends_clean(keys)? => Ok(Walk::of(grid)),
        _ => {
            // The first sigma of the betas, whatever it is for a flow.
            let betas = super::super::betas::discrete(keys, true)?;
            let least = Time::new(betas.level_at_step(0)?.noise_to_signal())?;
            Ok(Walk::of(grid.ending_at(FLOW.level(least)?)?))
        }
    }
}

/// The grid of UniPC with `use_flow_sigmas`.
fn unipc(
    keys: &Keys,
    options: &Options,
    given: Option<Grid<Time>>,
    n: usize,
) -> Result<Walk<Time>, Error> {
    let grid = match (curve_key(keys)?, given) {
        (Some("use_karras_sigmas"), None) => {
            let betas = super::super::betas::discrete(keys, true)?;
            let ratio = |i| Ok::<_, Error>(betas.level_at_step(i)?.noise_to_signal());
            let (max, min) = (ratio(betas.len() - 1)?, ratio(0)?);
            let (max, min) = bounds(keys, max, min)?;
            Grid::along(&FLOW, n, &Karras::new(max, min, 7.0)?)?
        }
        (Some(key), _) => return Err(refuse_curve(keys, key)),
        (None, _) => {
            let last = 1.0 / keys.number("num_train_timesteps")?;
            let list = match &options.sigmas {
                Some(sigmas) => sigmas.clone(),
                None => even(1.0, last, n).collect(),
            };
            let factor = factor(keys, options, "flow_shift")?;
            let mut times = shifted(list.into_iter(), factor)?;
            to_terminal_times(keys, &mut times)?;
            // Pure noise has no log-SNR.
            if let Some(first) = times.first_mut().filter(|t| (**t - 1.0).abs() < BELOW_ONE) {
                *first -= BELOW_ONE;
            }
            at(&times)?
        }
    };
    match ends_clean(keys)? {
        true => Ok(Walk::of(grid)),
        false => Walk::repeating_the_last(&grid),
    }
}
