//! Grids of flows, whose time is sigma.

use super::{Ask, Walk, bounds, curve, ends_clean};
use crate::{
    Error, Grid, Time,
    config::{
        betas,
        facts::Argument,
        keys::Keys,
        schedule::{Kind, Timestep},
        words::{Curve, Words},
    },
    grid::{Karras, Node},
    schedule::{NoiseSchedule, RectifiedFlow},
};

const FLOW: RectifiedFlow = RectifiedFlow;
/// How far below pure noise UniPC starts.
const BELOW_ONE: f64 = 1e-6;

/// `time_shift_type`.
#[derive(Clone, Copy, PartialEq)]
enum TimeShift {
    Exponential,
    Linear,
}

const TIME_SHIFTS: Words<TimeShift> = &[
    ("exponential", TimeShift::Exponential),
    ("linear", TimeShift::Linear),
];

impl Ask<'_> {
    /// What the network of the class is given at these times.
    fn on_flow_clock(&self, walk: &Walk<Time>) -> Result<Walk<Timestep>, Error> {
        let (at_data, at_noise) = match self.schedule.kind {
            Kind::Flow { at_data, at_noise } => (at_data, at_noise),
            _ => (0.0, 1.0),
        };
        let is_whole = self.keys.is_multistep();
        walk.map(|t| {
            let time = at_data + (at_noise - at_data) * t.get();
            Timestep(if is_whole { time.floor() } else { time })
        })
    }

    /// The sigmas of the options, as they are.
    fn given(&self) -> Result<Option<Grid<Time>>, Error> {
        let Some(sigmas) = &self.options.sigmas else {
            return Ok(None);
        };
        let mut before = f64::INFINITY;
        for (index, &sigma) in sigmas.iter().enumerate() {
            if !(sigma < before && sigma > 0.0 && sigma <= 1.0) {
                let allowed = "above 0 and up to 1, each below the one before";
                let value = format!("{sigma:?} at {index}");
                return Err(self.keys.error("sigmas", value, allowed));
            }
            before = sigma;
        }
        at(sigmas).map(Some)
    }

    /// The factor of the shift: of `key`, or one that depends on the size of the picture, `e^mu` or
    /// `mu`.
    fn factor(&self, key: &'static str) -> Result<f64, Error> {
        let keys = self.keys;
        let kind = keys.choice("time_shift_type", TIME_SHIFTS);
        if !keys.flag("use_dynamic_shifting")? {
            if !keys.is_multistep() {
                kind?;
            }
            return fixed(keys, key);
        }
        let dynamic = "use_dynamic_shifting";
        let Some(mu) = self.mu()? else {
            let allowed =
                "false without mu or the length of the sequence, which with_options takes";
            return Err(keys.refuse(dynamic, allowed));
        };
        let factor = match kind? {
            Some(TimeShift::Linear) => mu,
            _ => mu.exp(),
        };
        match FACTORS.contains(&factor) {
            true => Ok(factor),
            false => {
                let allowed = "one with a factor of 1e-6 to 1e6";
                Err(keys.error("mu", format!("{mu:?}"), allowed))
            }
        }
    }

    fn mu(&self) -> Result<Option<f64>, Error> {
        match (self.options.mu, self.options.sequence) {
            (Some(mu), _) => Ok(Some(mu)),
            (None, Some(sequence)) => sequence.mu(self.keys, self.n).map(Some),
            _ => Ok(None),
        }
    }
}

const FACTORS: std::ops::RangeInclusive<f64> = 1e-6..=1e6;

/// The factor that a file has.
fn fixed(keys: &Keys, key: &'static str) -> Result<f64, Error> {
    keys.number_if(key, |factor| FACTORS.contains(&factor), "1e-6 to 1e6")
}

/// `n` of `n + 1` even times, by the products of numpy, on which truncated ones rest.
fn even(from: f64, to: f64, n: usize) -> impl Iterator<Item = f64> {
    let stride = (to - from) / n as f64;
    (0..n).map(move |i| from + i as f64 * stride)
}

/// A list of times, shifted.
fn shifted(times: impl Iterator<Item = f64>, factor: f64) -> Vec<f64> {
    times
        .map(|t| factor * t / (1.0 + (factor - 1.0) * t))
        .collect()
}

fn at(times: &[f64]) -> Result<Grid<Time>, Error> {
    let times: Result<Vec<_>, _> = times.iter().map(|&t| Time::new(t)).collect();
    Grid::at(&FLOW, &times?)
}

/// `shift_terminal`, where that is set; 0 is no terminal.
fn terminal(keys: &Keys) -> Result<Option<f64>, Error> {
    let key = "shift_terminal";
    match keys.optional(key)? {
        Some(terminal) if !(0.0..1.0).contains(&terminal) => {
            Err(keys.refuse(key, "null, or 0 to below 1"))
        }
        terminal => Ok(terminal.filter(|terminal| *terminal != 0.0)),
    }
}

/// A list stretched to `shift_terminal`.
fn to_terminal(keys: &Keys, times: &mut [f64]) -> Result<(), Error> {
    let (Some(terminal), Some(&last)) = (terminal(keys)?, times.last()) else {
        return Ok(());
    };
    let scale = (1.0 - last) / (1.0 - terminal);
    times.iter_mut().for_each(|t| *t = 1.0 - (1.0 - *t) / scale);
    Ok(())
}

/// Even times or those of the options, shifted by the key.
pub(in super::super) fn map(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let factor = fixed(ask.keys, "shift")?;
    let grid = match ask.given()? {
        Some(grid) => grid,
        None => Grid::uniform_time(&FLOW, ask.n)?,
    };
    ask.on_flow_clock(&Walk::of(grid.shifted(&FLOW, factor)?))
}

/// The same, but for the times of the options, which are taken as they are.
pub(in super::super) fn mini_max(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    match ask.given()? {
        Some(grid) => ask.on_flow_clock(&Walk::of(grid)),
        None => map(ask),
    }
}

/// The grid of LTX: that of flow matching, or the times of the options as they are.
pub(in super::super) fn ltx(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    match ask.given()? {
        Some(grid) => ask.on_flow_clock(&Walk::of(grid)),
        None => matching(ask),
    }
}

/// The grid of the flow-matching classes.
pub(in super::super) fn matching(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let keys = ask.keys;
    let factor = ask.factor("shift")?;
    let terminal = terminal(keys)?;
    let grid = match ask.given()? {
        Some(grid) => grid,
        None => {
            let last = 1.0 / keys.number("num_train_timesteps")?;
            // The smallest sigma was shifted once before the list is, unless the shift is dynamic.
            let last = match keys.flag("use_dynamic_shifting")? {
                true => last,
                false => factor * last / (1.0 + (factor - 1.0) * last),
            };
            if last == 1.0 && ask.n > 1 {
                return Err(keys.refuse_steps(ask.n, "1, as there is but one training step"));
            }
            Grid::uniform_time_between(&FLOW, ask.n, Time::new(1.0)?, Time::new(last)?)?
        }
    };
    let grid = grid.shifted(&FLOW, factor)?;
    let grid = match terminal {
        // A single step at pure noise is not moved.
        Some(terminal) if grid.len() > 1 => keys.blame(
            "shift_terminal",
            grid.stretched(&FLOW, Time::new(terminal)?),
        )?,
        _ => grid,
    };
    let sigma = |node: Option<&Node<Time>>| node.map_or(0.0, |node| node.level.sigma());
    let (max, min) = (sigma(grid.nodes().first()), sigma(grid.nodes().last()));
    for key in ["sigma_min", "sigma_max"] {
        if keys.curve()?.is_some() && keys.optional(key)?.is_some_and(|sigma| sigma > 1.0) {
            return Err(keys.refuse(key, "above 0 and up to 1, the sigmas of a flow"));
        }
    }
    ask.on_flow_clock(&Walk::of(match curve(keys, max, min)? {
        None => grid,
        Some(curve) => Grid::along_time(&FLOW, ask.n, &*curve)?,
    }))
}

/// What no class can do: the sigmas of these curves are ratios, some of them above 1.
fn refuse_curve(keys: &Keys, curve: Curve) -> Error {
    let allowed = "false with use_flow_sigmas: its sigmas are ratios, and above 1";
    keys.refuse(curve.key(), allowed)
}

/// The grid of a multi-step class with `use_flow_sigmas`.
pub(in super::super) fn multistep(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let (keys, n) = (ask.keys, ask.n);
    keys.spacing()?;
    if let Some(list) = &ask.options.timesteps {
        let allowed = "none with use_flow_sigmas";
        return Err(keys.error("timesteps", format!("{} numbers", list.len()), allowed));
    }
    if let Some(curve) = keys.curve()? {
        return Err(refuse_curve(keys, curve));
    }
    super::steps::lowest(keys)?;
    // Without mu they keep the static shift, and with it they know one type.
    let is_given = ask.options.mu.is_some() || ask.options.sequence.is_some();
    let factor = match is_given && keys.class.reads(Argument::Mu) {
        false => fixed(keys, "flow_shift")?,
        true if !keys.flag("use_dynamic_shifting")? => {
            return Err(keys.refuse("use_dynamic_shifting", "true with mu"));
        }
        true => {
            const ONE: Words<TimeShift> = &[("exponential", TimeShift::Exponential)];
            keys.choice("time_shift_type", ONE)?;
            ask.factor("flow_shift")?
        }
    };
    let last = 1.0 / keys.number("num_train_timesteps")?;
    // From the noisiest, which the list of alphas has last.
    let alphas = even(1.0, last, n).skip(1).chain([last]);
    let mut times = shifted(alphas.map(|alpha| 1.0 - alpha), factor);
    times.reverse();
    let grid = at(&times)?;
    let walk = match keys.class.quirks.repeats_curves {
        true => Walk::repeating_the_last(ask, &grid)?,
        false if ends_clean(keys)? => Walk::of(grid),
        false => {
            // The first sigma of the betas, whatever it is for a flow.
            let least = Time::new(betas::table(keys)?.least()?.noise_to_signal())?;
            Walk::of(grid.ending_at(FLOW.level(least)?)?)
        }
    };
    ask.on_flow_clock(&walk)
}

/// The grid of UniPC with `use_flow_sigmas`.
pub(in super::super) fn unipc(ask: &Ask<'_>) -> Result<Walk<Timestep>, Error> {
    let (keys, n) = (ask.keys, ask.n);
    keys.spacing()?;
    let given = ask.given()?;
    let grid = match (keys.curve()?, given) {
        (Some(Curve::Karras), None) => {
            let betas = betas::table(keys)?;
            let ratio = |level: crate::NoiseLevel| level.noise_to_signal();
            let (max, min) = bounds(keys, ratio(betas.most()?), ratio(betas.least()?))?;
            Grid::along(&FLOW, n, &Karras::new(max, min, 7.0)?)?
        }
        (Some(curve), _) => return Err(refuse_curve(keys, curve)),
        (None, _) => {
            let last = 1.0 / keys.number("num_train_timesteps")?;
            let list = match &ask.options.sigmas {
                Some(sigmas) => sigmas.clone(),
                None => even(1.0, last, n).collect(),
            };
            let mut times = shifted(list.into_iter(), ask.factor("flow_shift")?);
            to_terminal(keys, &mut times)?;
            // Pure noise has no log-SNR.
            if let Some(first) = times.first_mut().filter(|t| (**t - 1.0).abs() < BELOW_ONE) {
                *first -= BELOW_ONE;
            }
            at(&times)?
        }
    };
    let walk = match ends_clean(keys)? {
        true => Walk::of(grid),
        false => Walk::repeating_the_last(ask, &grid)?,
    };
    ask.on_flow_clock(&walk)
}
