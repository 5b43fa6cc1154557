//! The grid rules of the classes.

mod flow;
mod ratios;
mod steps;

use super::{Options, Schedule, Timestep, keys::Keys, schedule::Kind};
use crate::{
    Error, Grid, Sigma,
    grid::{Beta, Karras, Node, PolyExponential, SigmaCurve},
    schedule::NoiseSchedule,
};

pub(super) use steps::rounds;

/// What the classes on training steps do differently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Family {
    /// DDPM, DDIM and PNDM: `n` whole steps, no curves.
    Whole,
    /// Euler, Heun, LMS and KDPM2: `n` steps, fractional for linspace, where sigma is interpolated;
    /// curves run between the ends of these.
    Sigma { rounds_karras: bool },
    /// DPM-Solver, UniPC, DEIS, SA-Solver: `n + 1` whole steps less the last; curves run between the
    /// ends of the table; given whole steps.
    Multistep,
}

impl Family {
    pub fn of(class: &str) -> Self {
        match class {
            "EulerDiscreteScheduler"
            | "EulerAncestralDiscreteScheduler"
            | "HeunDiscreteScheduler"
            | "LMSDiscreteScheduler"
            | "DPMSolverSDEScheduler" => Self::Sigma {
                rounds_karras: false,
            },
            "KDPM2DiscreteScheduler" | "KDPM2AncestralDiscreteScheduler" => Self::Sigma {
                rounds_karras: true,
            },
            "DPMSolverMultistepScheduler"
            | "DPMSolverMultistepInverseScheduler"
            | "DPMSolverSinglestepScheduler"
            | "UniPCMultistepScheduler"
            | "DEISMultistepScheduler"
            | "SASolverScheduler" => Self::Multistep,
            _ => Self::Whole,
        }
    }
}

/// A grid, and whether the list of sigmas it comes from ends with an empty step, from the last sigma
/// to itself, which no grid has.
#[derive(Debug, Clone)]
pub(super) struct Walk<T> {
    pub grid: Grid<T>,
    pub empty_step: bool,
}

impl<T: Copy + std::fmt::Debug> Walk<T> {
    fn of(grid: Grid<T>) -> Self {
        let empty_step = false;
        Self { grid, empty_step }
    }

    /// The list that repeats its last sigma.
    fn repeating_the_last(grid: &Grid<T>) -> Result<Self, Error> {
        Ok(Self {
            grid: grid.without_final_step()?,
            empty_step: true,
        })
    }

    fn map(&self, time: impl Fn(T) -> Timestep) -> Result<Walk<Timestep>, Error> {
        let node = |node: &Node<T>| Node {
            level: node.level,
            time: time(node.time),
        };
        let nodes = self.grid.nodes().iter().map(node).collect();
        Ok(Walk {
            grid: Grid::new(nodes, self.grid.end())?,
            empty_step: self.empty_step,
        })
    }
}

/// The grid of `n` steps.
pub(super) fn grid(
    keys: &Keys,
    schedule: &Schedule,
    options: &Options,
    n: usize,
) -> Result<Walk<Timestep>, Error> {
    crate::time::check_steps(n)?;
    let time = |time: f64| schedule.network_time(Timestep(time));
    match &schedule.kind {
        Kind::Flow { at_data, at_noise } => {
            let is_whole = Family::of(&keys.class) == Family::Multistep;
            return flow::grid(keys, options, n)?.map(|t| {
                let time = at_data + (at_noise - at_data) * t.get();
                Timestep(if is_whole { time.floor() } else { time })
            });
        }
        _ if options.sigmas.is_some() => {
            return Err(Error::Missing {
                what: "a class of flow matching",
                needed_by: "a list of sigmas",
            });
        }
        Kind::Steps(discrete) => {
            return steps::grid(keys, discrete, n)?.map(|step| time(step.get()));
        }
        _ => {}
    }
    Ok(Walk::of(match &schedule.kind {
        Kind::Continuous => return ratios::continuous(keys, schedule, n),
        Kind::LogSigma { max, min, .. } if keys.class.starts_with("CM") => {
            ratios::consistency(keys, schedule, *max, *min, n)?
        }
        Kind::LogSigma { max, min, .. } | Kind::Atan { max, min } => {
            let grid = ratios::edm(keys, schedule, *max, *min, n)?;
            match ends_clean(keys)? {
                true => grid,
                false => return Walk::repeating_the_last(&grid),
            }
        }
        Kind::Sigma { max, min } => ratios::variance_exploding(keys, schedule, *max, *min, n)?,
        Kind::Quarter => ratios::quarter(keys, schedule, n)?,
        Kind::Wuerstchen { .. } => {
            let time = |i: usize| Timestep((n - i) as f64 / n as f64);
            let grid = Grid::at(schedule, &(0..n).map(time).collect::<Vec<_>>())?;
            grid.ending_at(schedule.level(Timestep(0.0))?)?
        }
        _ => {
            // From a quarter turn evenly, but for two steps, which stop at 1.3.
            let time = |i: usize| match (n, i) {
                (2, 1) => Timestep(1.3),
                _ => Timestep(std::f64::consts::FRAC_PI_2 * ((n - i) as f64 / n as f64)),
            };
            Grid::at(schedule, &(0..n).map(time).collect::<Vec<_>>())?
        }
    }))
}

/// Whether `final_sigmas_type` is zero; classes without the key end clean.
fn ends_clean(keys: &Keys) -> Result<bool, Error> {
    match keys.word("final_sigmas_type")? {
        "" | "zero" => Ok(true),
        "sigma_min" => Ok(false),
        _ => Err(keys.refuse("final_sigmas_type", "zero or sigma_min")),
    }
}

/// Which curve replaces the sigmas of the spacing.
fn curve_key(keys: &Keys) -> Result<Option<&'static str>, Error> {
    let mut wanted = None;
    for key in [
        "use_karras_sigmas",
        "use_exponential_sigmas",
        "use_beta_sigmas",
        "use_lu_lambdas",
    ] {
        if keys.flag(key)? && wanted.replace(key).is_some() {
            return Err(keys.refuse(key, "one curve at a time"));
        }
    }
    Ok(wanted)
}

/// The curve that a configuration asks for, between these ratios or those of its keys.
fn curve(keys: &Keys, max: f64, min: f64) -> Result<Option<Box<dyn SigmaCurve>>, Error> {
    let Some(key) = curve_key(keys)? else {
        return Ok(None);
    };
    let (max, min) = bounds(keys, max, min)?;
    if max == min {
        // The ends of a single node, which no curve moves.
        return Ok(None);
    }
    Ok(Some(match key {
        "use_karras_sigmas" => Box::new(Karras::new(max, min, 7.0)?),
        "use_beta_sigmas" => Box::new(Beta::new(max, min, 0.6, 0.6)?),
        // Lu's lambdas are even in log-SNR, as exponential sigmas are.
        _ => Box::new(PolyExponential::new(max, min, 1.0)?),
    }))
}

/// These ratios, or those of the keys.
fn bounds(keys: &Keys, max: f64, min: f64) -> Result<(Sigma, Sigma), Error> {
    let or = |key, own| Sigma::new(keys.optional(key)?.unwrap_or(own));
    Ok((or("sigma_max", max)?, or("sigma_min", min)?))
}
