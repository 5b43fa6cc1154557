//! The table of names in the docs, checked against figures of the programs that have them.

use gaussian_diffusion::{
    Clock, NoiseSchedule, Sigma,
    sampler::GridName,
    schedule::{Discrete, Edm, RectifiedFlow, Shifted},
};
use serde_json::Value;

const PROGRAMS: [&str; 4] = ["WebUI", "ComfyUI", "stable-diffusion.cpp", "diffusers"];

/// What a program calls it, what it is called here, and how they differ: not at all where nothing is said.
struct Entry(&'static str, &'static str, &'static str, &'static str);

const WEBUI: &str = PROGRAMS[0];
const COMFY: &str = PROGRAMS[1];
const CPP: &str = PROGRAMS[2];

const GRIDS: &[Entry] = &[
    Entry(WEBUI, "Uniform", "Uniform", ""),
    Entry(CPP, "discrete", "Uniform", ""),
    Entry(COMFY, "normal", "Normal", ""),
];

/// What front ends call sigma on a grid of this name.
fn sigmas<S: NoiseSchedule<Time: Clock>>(schedule: &S, name: &str, n: usize) -> Option<Vec<f64>> {
    let rule: GridName = name.parse().unwrap();
    let grid = rule.grid(schedule, n).ok()?;
    let flow = grid.nodes().iter().all(|node| {
        let level = node.level;
        (level.alpha() + level.sigma() - 1.0).abs() < 1e-12
    });
    let sigma = |level: gaussian_diffusion::NoiseLevel| match flow {
        true => level.sigma(),
        false => level.noise_to_signal(),
    };
    Some(grid.levels().map(sigma).collect())
}

fn on_model(model: &str, name: &str, n: usize) -> Option<Vec<f64>> {
    let sd = Discrete::stable_diffusion().unwrap();
    match model {
        "sd" => sigmas(&sd, name, n),
        "zsnr" => sigmas(&sd.zero_terminal_snr().unwrap(), name, n),
        "flow" => sigmas(&RectifiedFlow, name, n),
        "flow3" => sigmas(&Shifted::flow(3.0).unwrap(), name, n),
        _ => {
            let sigma = |value| Sigma::new(value).unwrap();
            sigmas(&Edm::new(sigma(0.002), sigma(80.0)).unwrap(), name, n)
        }
    }
}

#[test]
fn explore() {
    let rows: Value = serde_json::from_str(include_str!("reference/named_grids.json")).unwrap();
    for row in rows.as_array().unwrap() {
        let text = |i: usize| row[i].as_str().unwrap();
        let (program, theirs, model, n) = (text(0), text(1), text(2), row[3].as_u64().unwrap());
        let expected: Vec<f64> = row[4]
            .as_array()
            .unwrap()
            .iter()
            .map(|x| x.as_f64().unwrap())
            .collect();
        let ours = match (program, theirs) {
            ("WebUI", "Beta") => "Beta Sigmas",
            _ => theirs,
        };
        let Some(found) = on_model(model, ours, n as usize) else {
            println!("{program} {theirs} {model} {n}: none");
            continue;
        };
        if found.len() != expected.len() {
            println!(
                "{program} {theirs} {model} {n}: {} for {}",
                found.len(),
                expected.len()
            );
            continue;
        }
        let off = found
            .iter()
            .zip(&expected)
            .map(|(a, b)| (a - b).abs() / b.abs().max(1e-300))
            .filter(|x| x.is_finite())
            .fold(0.0, f64::max);
        if off > 1e-11 {
            println!("{program} {theirs} {model} {n}: {off:e}");
        }
    }
}
