//! The grids of diffusers, from a scheduler's class and configuration, and those of k-diffusion.

mod common {
    pub mod reference;
}

use common::reference::{numbers, reference};
use gaussian_diffusion::{
    Grid, NoiseLevel, Sigma,
    config::SchedulerConfig,
    grid::{Karras, PolyExponential, SigmaCurve, VpCurve},
    schedule::Edm,
};
use serde_json::Value;

fn off(found: f64, expected: f64) -> f64 {
    if found == expected {
        return 0.0;
    }
    ((found - expected) / expected).abs()
}

/// Sigmas with the end, and what the network is given, in the units of diffusers.
struct Lists {
    sigmas: Vec<f64>,
    times: Vec<f64>,
}

fn lists_of(case: &Value, n: usize) -> Lists {
    let mut file = case["config"].clone();
    file["_class_name"] = case["scheduler"].clone();
    let is_flow =
        file["use_flow_sigmas"] == true || case["scheduler"].as_str().unwrap().starts_with("Flow");
    let config = SchedulerConfig::from_json(&file.to_string()).unwrap();
    let grid = config.grid(n).unwrap();
    let sigma = |level: NoiseLevel| match is_flow {
        true => level.sigma(),
        false => level.noise_to_signal(),
    };
    Lists {
        sigmas: grid.levels().map(sigma).collect(),
        times: grid.nodes().iter().map(|node| node.time.0).collect(),
    }
}

/// Which of the calls are at nodes: the others are stages between them.
fn times_at_nodes(class: &str, calls: Vec<f64>, times: &[f64]) -> Vec<f64> {
    match class {
        "HeunDiscreteScheduler"
        | "FlowMatchHeunDiscreteScheduler"
        | "KDPM2DiscreteScheduler"
        | "KDPM2AncestralDiscreteScheduler" => calls.into_iter().step_by(2).collect(),
        // The warm-up asks between nodes and repeats them.
        "PNDMScheduler" => {
            let mut calls = calls;
            calls.retain(|call| times.contains(call));
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
        let found = lists_of(case, n);
        // Warmed-up PNDM asks between its first nodes, and ends with an empty step from step 0 to its
        // level.
        let (middles, empty) = match name == "PNDMScheduler/sd-prk/10" {
            true => (3, 1),
            false => (0, 0),
        };
        assert_eq!(found.times.len() + empty, n + middles, "{name}");
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
        let expected = times_at_nodes(class, calls.collect(), &found.times);
        assert_eq!(
            found.times.len(),
            expected.len(),
            "{name}: {:?}",
            found.times
        );
        let whole = [
            "DDPM",
            "DDIM",
            "PNDM",
            "DPMSolverM",
            "DPMSolverSi",
            "UniPC",
            "DEIS",
            "SASolver",
        ];
        let whole = whole.iter().any(|start| class.starts_with(start));
        for (&found, &expected) in found.times.iter().zip(&expected) {
            let off = (found - expected).abs() / expected.abs().max(1.0);
            assert!(off <= 1e-9, "{name}: given {found} for {expected}");
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
