//! The grid rules that classes are made of.

pub(super) mod flow;
pub(super) mod ratios;
pub(super) mod steps;
pub(super) mod upwards;

use super::{
    Options, Schedule, Timestep,
    facts::Argument,
    keys::Keys,
    words::{Curve, FINAL_SIGMAS},
};
use crate::{
    Error, Grid, Sigma,
    grid::{Beta, Karras, Node, PolyExponential, SigmaCurve},
    time::MOST_STEPS,
};

/// What a grid is asked for.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub keys: &'a Keys,
    pub schedule: &'a Schedule,
    pub options: &'a Options,
    /// The number of steps.
    pub n: usize,
}

/// A grid, and whether the list of sigmas it comes from ends with an empty step, from the last sigma
/// to itself, which no grid has.
#[derive(Debug, Clone)]
pub(super) struct Walk<T> {
    pub grid: Grid<T>,
    pub empty_step: bool,
}

impl<T: Copy + std::fmt::Debug> Walk<T> {
    pub fn of(grid: Grid<T>) -> Self {
        let empty_step = false;
        Self { grid, empty_step }
    }

    /// The list that repeats its last sigma.
    pub fn repeating_the_last(ask: &Ask<'_>, grid: &Grid<T>) -> Result<Self, Error> {
        if grid.len() < 2 {
            let allowed = "2 or more, as the only step would go from a level to itself";
            return Err(ask.keys.refuse_steps(ask.n, allowed));
        }
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

/// Whether a grid of so many steps, with such lists, can be asked of the class.
pub(super) fn check(ask: &Ask<'_>) -> Result<(), Error> {
    let (keys, options, n) = (ask.keys, ask.options, ask.n);
    if !(1..=MOST_STEPS).contains(&n) {
        return Err(keys.refuse_steps(n, format!("1 to {MOST_STEPS}")));
    }
    let lists = [
        ("sigmas", &options.sigmas, Argument::Sigmas),
        ("timesteps", &options.timesteps, Argument::Timesteps),
    ];
    for (name, list, argument) in lists {
        let Some(list) = list else { continue };
        if !keys.class.reads(argument) {
            let allowed = "none for this class, for which plan_on takes a grid";
            return Err(keys.error(name, format!("{} numbers", list.len()), allowed));
        }
        if list.len() != n {
            let allowed = format!("{n}, one for each step");
            return Err(keys.error(name, format!("{} numbers", list.len()), allowed));
        }
    }
    Ok(())
}

/// Whether a run ends at the data; classes without the key do.
fn ends_clean(keys: &Keys) -> Result<bool, Error> {
    Ok(keys
        .choice("final_sigmas_type", FINAL_SIGMAS)?
        .unwrap_or(true))
}

/// The curve that a configuration asks for, between these ratios or those of its keys.
fn curve(keys: &Keys, max: f64, min: f64) -> Result<Option<Box<dyn SigmaCurve>>, Error> {
    let Some(kind) = keys.curve()? else {
        return Ok(None);
    };
    let (max, min) = match keys.is_unbounded(kind) {
        true => (Sigma::new(max)?, Sigma::new(min)?),
        false => bounds(keys, max, min)?,
    };
    // No curve moves the ends of a single node.
    match max == min {
        true => Ok(None),
        false => between(kind, max, min).map(Some),
    }
}

/// The curve of this kind.
fn between(kind: Curve, max: Sigma, min: Sigma) -> Result<Box<dyn SigmaCurve>, Error> {
    Ok(match kind {
        Curve::Karras => Box::new(Karras::new(max, min, 7.0)?),
        Curve::Beta => Box::new(Beta::new(max, min, 0.6, 0.6)?),
        Curve::Exponential | Curve::Lu => Box::new(PolyExponential::new(max, min, 1.0)?),
    })
}

/// The sigma of a key, or this one.
fn bound(keys: &Keys, key: &'static str, own: f64) -> Result<Sigma, Error> {
    match keys.optional(key)? {
        None => Sigma::new(own),
        Some(sigma) if sigma > 0.0 => keys.blame(key, Sigma::new(sigma)),
        Some(_) => Err(keys.refuse(key, "above 0")),
    }
}

/// These ratios, or those of the keys.
fn bounds(keys: &Keys, max: f64, min: f64) -> Result<(Sigma, Sigma), Error> {
    let (max, min) = (
        bound(keys, "sigma_max", max)?,
        bound(keys, "sigma_min", min)?,
    );
    if max < min {
        let (key, allowed) = match keys.optional("sigma_min")? {
            Some(_) => (
                "sigma_min",
                format!("up to {:?}, the largest sigma", max.get()),
            ),
            None => (
                "sigma_max",
                format!("from {:?} on, the smallest sigma", min.get()),
            ),
        };
        return Err(keys.refuse(key, allowed));
    }
    Ok((max, min))
}
