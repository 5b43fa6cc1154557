//! The grid rules of the classes.

use super::{Options, Schedule, Told, keys::Keys, schedule::Kind};
use crate::{
    Error, Grid, LogSnr, NoiseLevel, Sigma, Step, Time,
    grid::{Beta, DynamicShift, Karras, Node, PolyExponential, SigmaCurve},
    schedule::{Discrete, NoiseSchedule, RectifiedFlow},
};

/// What the classes on training steps do differently.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Family {
    /// DDPM, DDIM and PNDM: `n` whole steps, no curves.
    Whole,
    /// Euler, Heun, LMS and KDPM2: `n` steps, fractional for linspace, where sigma is interpolated;
    /// curves run between the ends of these.
    Sigma { rounds_karras: bool },
    /// DPM-Solver, UniPC, DEIS, SA-Solver: `n + 1` whole steps less the last; curves run between the
    /// ends of the table; told whole steps.
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
            | "DPMSolverSinglestepScheduler"
            | "UniPCMultistepScheduler"
            | "DEISMultistepScheduler"
            | "SASolverScheduler" => Self::Multistep,
            _ => Self::Whole,
        }
    }
}

/// The grid of `n` steps.
pub(super) fn grid(
    keys: &Keys,
    schedule: &Schedule,
    options: &Options,
    n: usize,
) -> Result<Grid<Told>, Error> {
    crate::time::check_steps(n)?;
    if options.sigmas.is_some() && !keys.class.starts_with("FlowMatchEuler") {
        return Err(Error::Missing {
            what: "the class FlowMatchEulerDiscreteScheduler",
            needed_by: "a list of sigmas",
        });
    }
    match &schedule.0 {
        Kind::Steps(discrete) => steps(keys, discrete, n),
        Kind::Continuous => continuous(keys, schedule, n),
        Kind::Flow(scale) => {
            let is_multistep = !keys.class.starts_with("FlowMatch");
            let grid = match is_multistep {
                true => multistep_flow(keys, options, n)?,
                false => flow(keys, options, n)?,
            };
            map(&grid, |t| match is_multistep {
                true => Told((t.get() * scale).floor()),
                false => Told(t.get() * scale),
            })
        }
        Kind::LogSigma { max, min, .. } if keys.class.starts_with("CM") => {
            consistency(keys, schedule, *max, *min, n)
        }
        Kind::LogSigma { max, min, .. } | Kind::Atan { max, min } => {
            let grid = edm(keys, schedule, *max, *min, n)?;
            match ends_clean(keys)? {
                true => Ok(grid),
                // The last sigma would be repeated in an empty step.
                false => grid.without_final_step(),
            }
        }
        Kind::Quarter => {
            let told = |i: usize| {
                let u = 1.0 - i as f64 / n as f64;
                let sigma = (std::f64::consts::FRAC_PI_2 * u).sin().powi(2);
                Told(std::f64::consts::FRAC_2_PI * sigma.asin())
            };
            Grid::at(schedule, &(0..n).map(told).collect::<Vec<_>>())
        }
        Kind::Trig { .. } => {
            // From a quarter turn evenly, but for two steps, which stop at 1.3.
            let told = |i: usize| match (n, i) {
                (2, 1) => Told(1.3),
                _ => Told(std::f64::consts::FRAC_PI_2 * (n - i) as f64 / n as f64),
            };
            Grid::at(schedule, &(0..n).map(told).collect::<Vec<_>>())
        }
    }
}

fn map<T: Copy + std::fmt::Debug>(
    grid: &Grid<T>,
    told: impl Fn(T) -> Told,
) -> Result<Grid<Told>, Error> {
    let node = |node: &Node<T>| Node {
        level: node.level,
        time: told(node.time),
    };
    Grid::new(grid.nodes().iter().map(node).collect(), grid.end())
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

fn curve(keys: &Keys, max: f64, min: f64) -> Result<Option<Box<dyn SigmaCurve>>, Error> {
    let Some(key) = curve_key(keys)? else {
        return Ok(None);
    };
    let (max, min) = (Sigma::new(max)?, Sigma::new(min)?);
    Ok(Some(match key {
        "use_karras_sigmas" => Box::new(Karras::new(max, min, 7.0)?),
        "use_beta_sigmas" => Box::new(Beta::new(max, min, 0.6, 0.6)?),
        // Lu's lambdas are even in log-SNR, as exponential sigmas are.
        _ => Box::new(PolyExponential::new(max, min, 1.0)?),
    }))
}

/// The grid of a class on training steps.
fn steps(keys: &Keys, schedule: &Discrete, n: usize) -> Result<Grid<Told>, Error> {
    let class = keys.class.as_str();
    let least = schedule.level_at_step(0)?;
    let told = |step: Step| Told(step.get());
    match class {
        "LCMScheduler" | "TCDScheduler" => {
            let grid = Grid::lcm(schedule, n, keys.count("original_inference_steps")?, 1.0)?;
            // TCD ends at the first step: what it makes of the last prediction has its noise.
            let grid = match class {
                "TCDScheduler" => grid.ending_at(least)?,
                _ => grid,
            };
            return map(&grid, told);
        }
        "UnCLIPScheduler" => return map(&Grid::linspace(schedule, n)?, told),
        _ => {}
    }
    let family = Family::of(class);
    let grid = spaced(keys, family, schedule, n)?;
    let first = |grid: &Grid<Step>| grid.nodes().first().map_or(grid.end(), |node| node.level);
    let last = |grid: &Grid<Step>| grid.nodes().last().map_or(grid.end(), |node| node.level);
    let (max, min) = match family {
        Family::Multistep => (schedule.levels().last().copied().unwrap_or(least), least),
        _ => (first(&grid), last(&grid)),
    };
    let (max, min) = (max.noise_to_signal(), min.noise_to_signal());
    let (max, min) = (
        keys.optional("sigma_max")?.unwrap_or(max),
        keys.optional("sigma_min")?.unwrap_or(min),
    );
    let grid = match curve(keys, max, min)? {
        None => grid,
        Some(curve) => {
            let grid = Grid::along(schedule, n, &*curve)?;
            let karras = keys.flag("use_karras_sigmas")? || keys.flag("use_lu_lambdas")?;
            let cosine_is_not_rounded = class == "DPMSolverMultistepScheduler"
                && keys.word("beta_schedule")? == "squaredcos_cap_v2";
            match family {
                Family::Multistep if karras && !cosine_is_not_rounded => grid.telling_rounded(),
                Family::Multistep => grid.telling_truncated(),
                Family::Sigma { rounds_karras } if karras && rounds_karras => {
                    grid.telling_rounded()
                }
                _ => grid,
            }
        }
    };
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
    let (end, least_ratio) = (last(&grid).noise_to_signal(), least.noise_to_signal());
    let grid = match to_data {
        true => grid,
        // A curve that reaches this sigma would repeat it in an empty step, as diffusers does.
        false if ((end - least_ratio) / least_ratio).abs() < 1e-12 => grid.without_final_step()?,
        false => grid.ending_at(least)?,
    };
    if class == "PNDMScheduler" && !keys.flag("skip_prk_steps")? {
        return map(&halved_start(&grid, schedule, n)?, told);
    }
    if class == "DDIMInverseScheduler" {
        // It tells the network the time it goes to.
        let times: Vec<_> = grid.nodes().iter().rev().map(|node| node.time).collect();
        return map(&grid.inverted().telling(&times)?, told);
    }
    map(&grid, told)
}

/// The steps of the spacing, before any curve.
fn spaced(keys: &Keys, family: Family, schedule: &Discrete, n: usize) -> Result<Grid<Step>, Error> {
    // The solver skips the last of n + 1.
    let is_multistep = family == Family::Multistep;
    let points = if is_multistep { n + 1 } else { n };
    let lowest = match keys.get("lambda_min_clipped").as_str() {
        Some("-inf") => f64::NEG_INFINITY,
        _ => keys
            .optional("lambda_min_clipped")?
            .unwrap_or(f64::NEG_INFINITY),
    };
    let reached = schedule.reaching(LogSnr::new(2.0 * lowest)?)?;
    let interpolation = keys.word("interpolation_type")?;
    if !matches!(interpolation, "" | "linear") {
        return Err(keys.refuse("interpolation_type", "linear"));
    }
    let offset = || match keys.get("steps_offset").is_null() {
        true => Ok(0),
        false => keys.count("steps_offset"),
    };
    let grid = match keys.word("timestep_spacing")? {
        "trailing" => return Grid::trailing(&reached, n),
        "leading" => Grid::leading(&reached, points, offset()?)?,
        "" | "linspace" if matches!(family, Family::Sigma { .. }) => {
            Grid::uniform_time(&reached, n)?.interpolating_sigma(&reached)?
        }
        "" | "linspace" => Grid::linspace(&reached, points)?,
        _ => return Err(keys.refuse("timestep_spacing", "linspace, leading or trailing")),
    };
    match is_multistep {
        true => grid.discarding_penultimate(),
        false => Ok(grid),
    }
}

/// The grid with the middles of its first three steps, which a Runge-Kutta start asks about.
fn halved_start(grid: &Grid<Step>, schedule: &Discrete, n: usize) -> Result<Grid<Step>, Error> {
    let half = schedule.len() / n / 2;
    // Less would be the start alone, of which the solver makes Euler's steps.
    if grid.len() < 4 || half == 0 {
        return Ok(grid.clone());
    }
    let mut nodes = Vec::with_capacity(grid.len() + 3);
    for (i, node) in grid.nodes().iter().enumerate() {
        if (1..=3).contains(&i) {
            let time = Step::fractional(node.time.get() + half as f64)?;
            let level = schedule.level(time)?;
            nodes.push(Node { level, time });
        }
        nodes.push(*node);
    }
    Grid::new(nodes, grid.end())
}

/// The grid of Euler with continuous times, as of EDM.
fn continuous(keys: &Keys, schedule: &Schedule, n: usize) -> Result<Grid<Told>, Error> {
    let betas = super::schedule::discrete(keys, true)?;
    let spaced = spaced(keys, Family::of(&keys.class), &betas, n)?;
    let sigmas: Vec<_> = spaced
        .nodes()
        .iter()
        .map(|node| node.level.noise_to_signal())
        .collect();
    let (max, min) = (sigmas.first().copied(), sigmas.last().copied());
    let max = keys.optional("sigma_max")?.or(max).unwrap_or(0.0);
    let min = keys.optional("sigma_min")?.or(min).unwrap_or(0.0);
    let grid = match curve(keys, max, min)? {
        None => Grid::at_sigmas(schedule, &sigmas)?,
        Some(curve) => Grid::along(schedule, n, &*curve)?,
    };
    match ends_clean(keys)? {
        true => Ok(grid),
        false => grid.ending_at(betas.level_at_step(0)?),
    }
}

/// `e^mu` or `mu`, the factor of a shift that depends on the size of the picture.
fn dynamic_factor(keys: &Keys, options: &Options) -> Result<f64, Error> {
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

/// The grid of the flow-matching classes, whose time is sigma.
fn flow(keys: &Keys, options: &Options, n: usize) -> Result<Grid<Time>, Error> {
    keys.unset("invert_sigmas")?;
    let is_dynamic = keys.flag("use_dynamic_shifting")?;
    let factor = match is_dynamic {
        true => dynamic_factor(keys, options)?,
        false => keys.number("shift")?,
    };
    let grid = match &options.sigmas {
        Some(sigmas) if sigmas.len() != n => {
            return Err(Error::BatchLength {
                what: "sigmas",
                expected: n,
                found: sigmas.len(),
            });
        }
        Some(sigmas) => {
            let times: Result<Vec<_>, _> = sigmas.iter().map(|&t| Time::new(t)).collect();
            Grid::at(&RectifiedFlow, &times?)?
        }
        None => {
            let last = 1.0 / keys.number("num_train_timesteps")?;
            // The smallest sigma was shifted once before the list is, unless the shift is dynamic.
            let last = match is_dynamic {
                true => last,
                false => factor * last / (1.0 + (factor - 1.0) * last),
            };
            Grid::uniform_time_between(&RectifiedFlow, n, Time::new(1.0)?, Time::new(last)?)?
        }
    };
    let mut grid = grid.shifted(&RectifiedFlow, factor)?;
    if let Some(terminal) = keys.optional("shift_terminal")? {
        grid = grid.stretched(&RectifiedFlow, Time::new(terminal)?)?;
    }
    let sigma = |node: Option<&Node<Time>>| node.map_or(0.0, |node| node.level.sigma());
    let (max, min) = (sigma(grid.nodes().first()), sigma(grid.nodes().last()));
    match curve(keys, max, min)? {
        None => Ok(grid),
        Some(curve) => Grid::along_time(&RectifiedFlow, n, &*curve),
    }
}

/// The grid of a multi-step class with `use_flow_sigmas`.
fn multistep_flow(keys: &Keys, options: &Options, n: usize) -> Result<Grid<Time>, Error> {
    if let Some(key) = curve_key(keys)? {
        return Err(keys.refuse(key, "false with use_flow_sigmas"));
    }
    if !ends_clean(keys)? {
        return Err(keys.refuse("final_sigmas_type", "zero with use_flow_sigmas"));
    }
    let factor = match keys.flag("use_dynamic_shifting")? {
        true => dynamic_factor(keys, options)?,
        false => keys.number("flow_shift")?,
    };
    let first = 1.0 - 1.0 / keys.number("num_train_timesteps")?;
    Grid::uniform_time_between(&RectifiedFlow, n, Time::new(first)?, Time::new(0.0)?)?
        .shifted(&RectifiedFlow, factor)
}

/// The grid of the classes of EDM.
fn edm(
    keys: &Keys,
    schedule: &Schedule,
    max: f64,
    min: f64,
    n: usize,
) -> Result<Grid<Told>, Error> {
    let (max, min) = (Sigma::new(max)?, Sigma::new(min)?);
    match keys.word("sigma_schedule")? {
        "" | "karras" => Grid::along(schedule, n, &Karras::new(max, min, keys.number("rho")?)?),
        "exponential" => Grid::along(schedule, n, &PolyExponential::new(max, min, 1.0)?),
        _ => Err(keys.refuse("sigma_schedule", "karras or exponential")),
    }
}

/// The grid of consistency models: every so many of the sigmas they were trained on, to the least.
fn consistency(
    keys: &Keys,
    schedule: &Schedule,
    max: f64,
    min: f64,
    n: usize,
) -> Result<Grid<Told>, Error> {
    let trained = keys.count("num_train_timesteps")?;
    if n > trained {
        let allowed = format!("1 to {trained}, the steps of the training");
        return Err(Error::range("number of steps", n as f64, allowed));
    }
    let all = edm(keys, schedule, max, min, trained)?;
    let nodes = all.nodes().iter().step_by(trained / n).take(n).copied();
    Grid::new(nodes.collect(), NoiseLevel::new(1.0, min)?)
}
