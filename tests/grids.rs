//! The grids of diffusers, from a scheduler's class and configuration, and those of k-diffusion.

use gaussian_diffusion::{
    Grid, LogSnr, NoiseLevel, Sigma, Step, Time,
    grid::{Beta, Karras, PolyExponential, SigmaCurve, VpCurve},
    schedule::{Cosine, Discrete, Edm, RectifiedFlow},
};
use serde_json::Value;

fn reference(file: &str) -> Value {
    let path = format!("{}/tests/reference/{file}", env!("CARGO_MANIFEST_DIR"));
    // One case of diffusers ends in NaN, which JSON does not know.
    let text = std::fs::read_to_string(path)
        .unwrap()
        .replace("NaN", "null");
    serde_json::from_str(&text).unwrap()
}

fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().unwrap();
    list.iter().map(|x| x.as_f64().unwrap()).collect()
}

fn off(found: f64, expected: f64) -> f64 {
    if found == expected {
        return 0.0;
    }
    ((found - expected) / expected).abs()
}

/// A configuration as it was written, with defaults for what it leaves out.
struct Config<'a>(&'a Value);

impl Config<'_> {
    fn number(&self, key: &str, default: f64) -> f64 {
        self.0[key].as_f64().unwrap_or(default)
    }

    fn count(&self, key: &str, default: usize) -> usize {
        self.number(key, default as f64) as usize
    }

    fn flag(&self, key: &str) -> bool {
        self.0[key].as_bool().unwrap_or(false)
    }

    fn text(&self, key: &str, default: &'static str) -> String {
        self.0[key].as_str().unwrap_or(default).to_owned()
    }
}

/// What the classes on training steps do differently.
#[derive(Clone, Copy, PartialEq)]
enum Family {
    /// DDPM, DDIM and PNDM: `n` whole steps, no curves.
    Whole,
    /// Euler, Heun, LMS and KDPM2: `n` steps, fractional for linspace, where sigma is interpolated;
    /// curves run between the ends of these.
    Sigma { rounds_karras: bool },
    /// DPM-Solver, UniPC, DEIS, SA-Solver: `n + 1` whole steps less the last; curves run between the
    /// ends of the table; told whole steps.
    Multistep,
}

fn family(class: &str) -> Option<(Family, &'static str)> {
    Some(match class {
        "DDPMScheduler" | "DDIMScheduler" | "PNDMScheduler" => (Family::Whole, "leading"),
        "EulerDiscreteScheduler"
        | "EulerAncestralDiscreteScheduler"
        | "HeunDiscreteScheduler"
        | "LMSDiscreteScheduler"
        | "DPMSolverSDEScheduler" => {
            let rounds_karras = false;
            (Family::Sigma { rounds_karras }, "linspace")
        }
        "KDPM2DiscreteScheduler" | "KDPM2AncestralDiscreteScheduler" => {
            let rounds_karras = true;
            (Family::Sigma { rounds_karras }, "linspace")
        }
        "DPMSolverMultistepScheduler"
        | "DPMSolverSinglestepScheduler"
        | "UniPCMultistepScheduler"
        | "DEISMultistepScheduler"
        | "SASolverScheduler" => (Family::Multistep, "linspace"),
        _ => return None,
    })
}

/// The betas, and the two changes of the schedule that a configuration may ask for.
fn discrete(class: &str, config: &Config<'_>) -> Discrete {
    // Some classes default to the betas of Stable Diffusion.
    let of_latents = match class {
        "LCMScheduler" | "TCDScheduler" => Some("scaled_linear"),
        "HeunDiscreteScheduler"
        | "KDPM2DiscreteScheduler"
        | "KDPM2AncestralDiscreteScheduler"
        | "DPMSolverSDEScheduler" => Some("linear"),
        _ => None,
    };
    let (start, end) = match of_latents {
        Some(_) => (0.00085, 0.012),
        None => (1e-4, 0.02),
    };
    let (start, end) = (
        config.number("beta_start", start),
        config.number("beta_end", end),
    );
    let steps = config.count("num_train_timesteps", 1000);
    let name = config.text("beta_schedule", of_latents.unwrap_or("linear"));
    let schedule = match name.as_str() {
        "linear" => Discrete::linear(steps, start, end),
        "scaled_linear" => Discrete::scaled_linear(steps, start, end),
        "squaredcos_cap_v2" => Discrete::cosine(steps),
        other => panic!("schedule {other}"),
    }
    .unwrap();
    if !config.flag("rescale_betas_zero_snr") {
        return schedule;
    }
    let schedule = schedule.zero_terminal_snr().unwrap();
    if let Some((Family::Whole, _)) = family(class) {
        return schedule;
    }
    // Classes that count in sigma leave a trace of signal.
    let alpha_bar = |level: &NoiseLevel| level.alpha().powi(2);
    let mut alpha_bars: Vec<_> = schedule.levels().iter().map(alpha_bar).collect();
    *alpha_bars.last_mut().unwrap() = 2.0_f64.powi(-24);
    Discrete::from_alpha_bars(&alpha_bars).unwrap()
}

/// The steps of the spacing, before any curve.
fn spaced(class: &str, schedule: &Discrete, config: &Config<'_>, n: usize) -> Grid<Step> {
    let (family, default) = family(class).unwrap();
    let offset = config.count("steps_offset", 0);
    let multistep = family == Family::Multistep;
    // The solver skips the last of n + 1.
    let points = if multistep { n + 1 } else { n };
    let lowest = config.number("lambda_min_clipped", f64::NEG_INFINITY);
    let reached = schedule
        .reaching(LogSnr::new(2.0 * lowest).unwrap())
        .unwrap();
    let grid = match config.text("timestep_spacing", default).as_str() {
        "trailing" => return Grid::trailing(&reached, n).unwrap(),
        "leading" => Grid::leading(&reached, points, offset),
        "linspace" if matches!(family, Family::Sigma { .. }) => {
            Grid::uniform_time(&reached, n).and_then(|grid| grid.interpolating_sigma(&reached))
        }
        "linspace" => Grid::linspace(&reached, points),
        other => panic!("spacing {other}"),
    }
    .unwrap();
    match multistep {
        true => grid.discarding_penultimate().unwrap(),
        false => grid,
    }
}

/// The curve that replaces the sigmas of the spacing, between two ends.
fn curve(config: &Config<'_>, max: f64, min: f64) -> Option<Box<dyn SigmaCurve>> {
    let (max, min) = (Sigma::new(max).ok()?, Sigma::new(min).ok()?);
    if config.flag("use_karras_sigmas") {
        return Some(Box::new(Karras::new(max, min, 7.0).unwrap()));
    }
    if config.flag("use_exponential_sigmas") {
        return Some(Box::new(PolyExponential::new(max, min, 1.0).unwrap()));
    }
    if config.flag("use_beta_sigmas") {
        return Some(Box::new(Beta::new(max, min, 0.6, 0.6).unwrap()));
    }
    None
}

/// The grid of a class on training steps.
fn step_grid(class: &str, config: &Config<'_>, n: usize) -> Grid<Step> {
    let schedule = discrete(class, config);
    let (family, _) = family(class).unwrap();
    let grid = spaced(class, &schedule, config, n);
    let levels = match family {
        Family::Multistep => (schedule.levels().last().copied(), schedule.levels()[0]),
        _ => (grid.levels().next(), grid.nodes()[grid.len() - 1].level),
    };
    let (max, min) = (levels.0.unwrap(), levels.1);
    let grid = match curve(config, max.noise_to_signal(), min.noise_to_signal()) {
        None => grid,
        Some(curve) => {
            let grid = Grid::along(&schedule, n, &*curve).unwrap();
            let karras = config.flag("use_karras_sigmas");
            let cosine_is_not_rounded = class == "DPMSolverMultistepScheduler"
                && config.text("beta_schedule", "linear") == "squaredcos_cap_v2";
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
        "DDIMScheduler" => config.0["set_alpha_to_one"].as_bool().unwrap_or(true),
        "PNDMScheduler" => config.flag("set_alpha_to_one"),
        _ => config.text("final_sigmas_type", "zero") == "zero",
    };
    let (last, least) = (grid.nodes()[n - 1].level, schedule.levels()[0]);
    match to_data {
        true => grid,
        // A curve that reaches this sigma would repeat it in an empty step, as diffusers does.
        false if off(last.noise_to_signal(), least.noise_to_signal()) < 1e-12 => {
            grid.without_final_step().unwrap()
        }
        false => grid.ending_at(least).unwrap(),
    }
}

/// The grid of the flow-matching classes, whose time is sigma.
fn flow_grid(config: &Config<'_>, n: usize) -> Grid<Time> {
    let shift = config.number("shift", 1.0);
    let last = 1.0 / config.number("num_train_timesteps", 1000.0);
    // The smallest sigma was shifted once before the list is.
    let last = shift * last / (1.0 + (shift - 1.0) * last);
    let (from, to) = (Time::new(1.0).unwrap(), Time::new(last).unwrap());
    let grid = Grid::uniform_time_between(&RectifiedFlow, n, from, to)
        .and_then(|grid| grid.shifted(&RectifiedFlow, shift))
        .unwrap();
    let sigma = |i: usize| grid.nodes()[i].level.sigma();
    match curve(config, sigma(0), sigma(n - 1)) {
        None => grid,
        Some(curve) => Grid::along_time(&RectifiedFlow, n, &*curve).unwrap(),
    }
}

/// The grid of a multi-step class with `use_flow_sigmas`.
fn multistep_flow_grid(config: &Config<'_>, n: usize) -> Grid<Time> {
    let first = 1.0 - 1.0 / config.number("num_train_timesteps", 1000.0);
    let (from, to) = (Time::new(first).unwrap(), Time::new(0.0).unwrap());
    Grid::uniform_time_between(&RectifiedFlow, n, from, to)
        .and_then(|grid| grid.shifted(&RectifiedFlow, config.number("flow_shift", 1.0)))
        .unwrap()
}

/// The grid of the classes of EDM.
fn edm_grid(config: &Config<'_>, n: usize) -> Grid<Sigma> {
    let end = |key, default| Sigma::new(config.number(key, default)).unwrap();
    let (max, min) = (end("sigma_max", 80.0), end("sigma_min", 0.002));
    let schedule = Edm::new(min, max).unwrap();
    let karras = Karras::new(max, min, config.number("rho", 7.0)).unwrap();
    match config.text("sigma_schedule", "karras").as_str() {
        "karras" => Grid::along(&schedule, n, &karras),
        _ => Grid::exponential(&schedule, n),
    }
    .unwrap()
}

/// The grid of consistency models: every so many of the sigmas they were trained on, to the least.
fn consistency_grid(config: &Config<'_>, n: usize) -> Grid<Sigma> {
    let trained = config.count("num_train_timesteps", 40);
    let all = edm_grid(config, trained);
    let some = all.levels().step_by(trained / n).take(n);
    let sigmas: Vec<_> = some.map(|level| level.sigma()).collect();
    Grid::at_sigmas(&Edm::default(), &sigmas)
        .and_then(|grid| grid.ending_at(all.nodes()[trained - 1].level))
        .unwrap()
}

/// `sigma = sin^2(pi u / 2)` at even `u`, on a quarter turn.
fn ipndm_grid(n: usize) -> Grid<Time> {
    let time = |i: usize| {
        let u = 1.0 - i as f64 / n as f64;
        let sigma = (std::f64::consts::FRAC_PI_2 * u).sin().powi(2);
        Time::new(std::f64::consts::FRAC_2_PI * sigma.asin()).unwrap()
    };
    Grid::at(&Cosine, &(0..n).map(time).collect::<Vec<_>>()).unwrap()
}

/// Sigmas with the end, and what the network is told, in the units of diffusers.
struct Lists {
    sigmas: Vec<f64>,
    told: Vec<f64>,
}

fn lists<T: Copy + std::fmt::Debug>(
    grid: &Grid<T>,
    sigma: impl Fn(NoiseLevel) -> f64,
    told: impl Fn(T) -> f64,
) -> Lists {
    Lists {
        sigmas: grid.levels().map(sigma).collect(),
        told: grid.nodes().iter().map(|node| told(node.time)).collect(),
    }
}

fn lists_of(class: &str, config: &Config<'_>, n: usize) -> Lists {
    let scale = config.number("num_train_timesteps", 1000.0);
    let ratio = NoiseLevel::noise_to_signal;
    match class {
        "FlowMatchEulerDiscreteScheduler" | "FlowMatchHeunDiscreteScheduler" => {
            lists(&flow_grid(config, n), NoiseLevel::sigma, |t| {
                t.get() * scale
            })
        }
        _ if config.flag("use_flow_sigmas") => {
            let told = |t: Time| (t.get() * scale).floor();
            lists(&multistep_flow_grid(config, n), NoiseLevel::sigma, told)
        }
        "EDMEulerScheduler" | "EDMDPMSolverMultistepScheduler" => {
            lists(&edm_grid(config, n), ratio, |t| 0.25 * t.get().ln())
        }
        "CMStochasticIterativeScheduler" => lists(&consistency_grid(config, n), ratio, |t| {
            250.0 * t.get().ln()
        }),
        "IPNDMScheduler" => lists(&ipndm_grid(n), NoiseLevel::sigma, Time::get),
        "LCMScheduler" | "TCDScheduler" => {
            let original = config.count("original_inference_steps", 50);
            let grid = Grid::lcm(&discrete(class, config), n, original, 1.0).unwrap();
            lists(&grid, ratio, Step::get)
        }
        "DDIMInverseScheduler" => {
            let grid = step_grid("DDIMScheduler", config, n);
            // It tells the network the time it goes to.
            let told: Vec<_> = grid.nodes().iter().rev().map(|node| node.time).collect();
            lists(&grid.inverted().telling(&told).unwrap(), ratio, Step::get)
        }
        _ => lists(&step_grid(class, config, n), ratio, Step::get),
    }
}

/// Which of the calls are at nodes: the others are stages between them.
fn told_at_nodes(class: &str, calls: Vec<f64>, told: &[f64]) -> Vec<f64> {
    match class {
        "HeunDiscreteScheduler"
        | "FlowMatchHeunDiscreteScheduler"
        | "KDPM2DiscreteScheduler"
        | "KDPM2AncestralDiscreteScheduler" => calls.into_iter().step_by(2).collect(),
        // The warm-up asks between nodes and repeats them.
        "PNDMScheduler" => {
            let mut calls = calls;
            calls.retain(|call| told.contains(call));
            calls.dedup();
            calls
        }
        _ => calls,
    }
}

#[test]
fn grids_of_diffusers_agree() {
    let (mut sigmas, mut times) = (0, 0);
    let mut worst = (0.0_f64, 0.0_f64);
    for case in reference("diffusers.json").as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        let notes = case["notes"].as_array();
        let wrong = |note: &Value| note.as_str().unwrap().starts_with("known_wrong");
        if notes.is_some_and(|notes| notes.iter().any(wrong)) {
            continue;
        }
        let class = case["scheduler"].as_str().unwrap();
        let n = case["steps"].as_u64().unwrap() as usize;
        let found = lists_of(class, &Config(&case["config"]), n);
        // Warmed-up PNDM ends with an empty step from step 0 to its level.
        let empty = usize::from(name == "PNDMScheduler/sd-prk/10");
        assert_eq!(found.told.len() + empty, n, "{name}");
        if case["sigmas"].is_array() {
            let mut expected = numbers(&case["sigmas"]);
            // Classes of two stages repeat them.
            expected.dedup();
            assert_eq!(found.sigmas.len(), expected.len(), "{name}");
            for (&found, &expected) in found.sigmas.iter().zip(&expected) {
                let off = off(found, expected);
                assert!(off <= 1e-9, "{name}: sigma {found} for {expected}");
                worst.0 = worst.0.max(off);
            }
            sigmas += 1;
        }
        let calls = case["calls"].as_array().unwrap().iter();
        let calls = calls.map(|call| call["timestep"].as_f64().unwrap());
        let expected = told_at_nodes(class, calls.collect(), &found.told);
        assert_eq!(found.told.len(), expected.len(), "{name}: {:?}", found.told);
        let whole = matches!(family(class), Some((Family::Whole | Family::Multistep, _)));
        for (&found, &expected) in found.told.iter().zip(&expected) {
            let off = (found - expected).abs() / expected.abs().max(1.0);
            assert!(off <= 1e-9, "{name}: told {found} for {expected}");
            assert!(
                !whole || found == expected,
                "{name}: {found} for {expected}"
            );
            worst.1 = worst.1.max(off);
        }
        times += 1;
    }
    assert_eq!((sigmas, times), (81, 113));
    // Measured: 2.5e-14 and 1.8e-14.
    assert!(worst.0 < 1e-12 && worst.1 < 1e-12, "{worst:?}");
}

#[test]
fn grids_of_k_diffusion_agree_to_1e_12() {
    let reference = reference("k_diffusion_grids.json");
    let sigma = |value: f64| Sigma::new(value).unwrap();
    let (max, min) = (sigma(14.6), sigma(0.03));
    let schedule = Edm::new(sigma(0.001), sigma(200.0)).unwrap();
    let curves: [(&str, Box<dyn SigmaCurve>); 5] = [
        ("karras", Box::new(Karras::new(max, min, 7.0).unwrap())),
        (
            "expo",
            Box::new(PolyExponential::new(max, min, 1.0).unwrap()),
        ),
        (
            "poly",
            Box::new(PolyExponential::new(max, min, 1.3).unwrap()),
        ),
        ("vp", Box::new(VpCurve::default())),
        (
            "edm",
            Box::new(Karras::new(sigma(80.0), sigma(0.002), 7.0).unwrap()),
        ),
    ];
    for (name, curve) in curves {
        for n in [5, 12] {
            let expected = numbers(&reference[name][n.to_string()]);
            let grid = Grid::along(&schedule, n, &*curve).unwrap();
            assert_eq!(grid.len() + 1, expected.len());
            for (level, expected) in grid.levels().zip(expected) {
                let off = off(level.noise_to_signal(), expected);
                assert!(
                    off <= 1e-12,
                    "{name} {n}: {level:?} for {expected}, {off:e}"
                );
            }
        }
    }
}
