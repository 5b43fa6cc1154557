//! What a key, a null and an argument of a call mean, held to diffusers.

use std::collections::VecDeque;

use gaussian_diffusion::{Error, config::SchedulerConfig};
use ndarray::Array2;
use serde_json::{Value, json};

use crate::replay::{Replay, network, numbers, off, scale};

fn file() -> Value {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/");
    let text = std::fs::read_to_string(format!("{folder}diffusers_keys.json")).unwrap();
    // Of a saved file, as JSON has it.
    serde_json::from_str(&text.replace("-Infinity", "\"-inf\"")).unwrap()
}

/// The file of a case, with the betas that are written short.
fn full(case: &Value) -> Value {
    let mut config = case["config"].clone();
    let map = config.as_object_mut().unwrap();
    if map.remove("sd").is_some() {
        map.insert("beta_start".to_owned(), json!(0.00085));
        map.insert("beta_end".to_owned(), json!(0.012));
        map.insert("beta_schedule".to_owned(), json!("scaled_linear"));
    }
    if map.get("trained_betas") == Some(&json!("ramp")) {
        let betas: Vec<_> = (0..100).map(|i| 0.0001 + f64::from(i) * 2e-5).collect();
        map.insert("trained_betas".to_owned(), json!(betas));
    }
    config
}

fn configured(case: &Value) -> Result<SchedulerConfig, Error> {
    let mut config = SchedulerConfig::from_json(&full(case).to_string())?;
    if let Some(class) = case["class"].as_str() {
        config = config.with_class(class)?;
    }
    if case["keys"].is_object() {
        config = config.with_keys(&case["keys"])?;
    }
    let list = |key: &str| -> Option<Vec<f64>> {
        let list = case["set"][key].as_array()?.iter();
        Some(list.map(|x| x.as_f64().unwrap()).collect())
    };
    let config = config.with_options(|options| {
        options.mu = case["set"]["mu"].as_f64();
        options.sigmas = list("sigmas");
        options.timesteps = list("timesteps");
        options.strength = case["set"]["strength"].as_f64();
        options.eta = case["step"]["eta"].as_f64();
        options.churn = case["step"]["s_churn"].as_f64().unwrap_or(0.0);
    });
    assert!(config.ignored_options().is_empty(), "{}", case["config"]);
    Ok(config)
}

/// Runs a case to its end, and says by how much it is off.
fn run(case: &Value, noise: &VecDeque<Array2<f64>>, start: &Value) -> Result<f64, Error> {
    let config = configured(case)?;
    let n = case["steps"].as_u64().unwrap() as usize;
    let first = case["first"].as_u64().unwrap_or(0) as usize;
    let plan = config.plan_tail(n, n - first)?;
    let class = config.class();
    let level = plan.levels()[0];
    let init = case["init"].as_f64().unwrap();
    let x = numbers(start) * init * scale(class, level);
    if first == 0 && !class.contains("Inverse") {
        let (std, init) = (config.start_std(n)?, init * scale(class, level));
        assert!(
            (std - init).abs() < 1e-9 * init.max(1.0),
            "{std} for {init}"
        );
    }
    let mut net = network(&config, false);
    let mut replay = Replay(noise.clone());
    let mut run = plan.start_from(x, &mut replay)?;
    while let Some((seen, at)) = run.pending() {
        let answer = gaussian_diffusion::Denoiser::predict(&mut net, seen, at)?;
        run.supply(answer, &mut replay)?;
    }
    let end = scale(class, plan.levels()[plan.steps()]);
    Ok(off(run.state(), &(numbers(&case["final"]) * end)))
}

/// Runs all cases of a kind.
fn hold(kind: &str, count: usize) {
    let file = file();
    let noise: VecDeque<_> = file["noise"]
        .as_array()
        .unwrap()
        .iter()
        .map(numbers)
        .collect();
    let cases = file[kind].as_array().unwrap();
    let mut failed = Vec::new();
    for case in cases {
        let found = run(case, &noise, &file["start"]);
        if !matches!(found, Ok(off) if off <= 1e-9) {
            let mut case = case.clone();
            case["final"] = Value::Null;
            failed.push(format!("{case}: {found:?}"));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {}\n{}",
        failed.len(),
        cases.len(),
        failed.join("\n")
    );
    assert_eq!(cases.len(), count);
}

/// Every class with a curve reads `sigma_min` and `sigma_max`, which most of them do not list.
#[test]
fn bounds_of_curves() {
    hold("bounds", 181);
}

/// SA-Solver draws noise at the steps from 200 to 800, also where these lie at an end.
#[test]
fn noise_of_the_sa_solver() {
    hold("tau", 20);
}

/// The second evaluation of PLMS is kept before an empty step.
#[test]
fn few_steps_of_pndm() {
    hold("pndm", 29);
}

#[test]
fn zero_terminal_snr_of_default_betas() {
    hold("zsnr", 66);
}

#[test]
fn changed_keys_and_classes() {
    hold("changes", 39);
}

/// Image to image: lower orders, blocks, churn and corrections count the whole list.
#[test]
fn tails_of_lists() {
    hold("tails", 112);
}

#[test]
fn lists_of_ones_own() {
    hold("lists", 47);
}

#[test]
fn odd_values() {
    hold("misc", 24);
}

/// The five cases that came with their own drawing.
#[test]
fn cases_with_noise_of_their_own() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/");
    let text = std::fs::read_to_string(format!("{folder}diffusers_bounds.json")).unwrap();
    let cases: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let noise: VecDeque<_> = case["noise"]
            .as_array()
            .unwrap()
            .iter()
            .map(numbers)
            .collect();
        let found = run(&case, &noise, &case["start"]).unwrap();
        assert!(found <= 1e-9, "{}: {found:e}", case["name"]);
    }
}

/// A null is an error that names class and key where diffusers raises, and runs where it does.
#[test]
fn nulls_are_what_diffusers_makes_of_them() {
    let mut failed = Vec::new();
    let mut asked = 0;
    for case in file()["nulls"].as_array().unwrap() {
        let plain = full(case);
        let class = plain["_class_name"].as_str().unwrap();
        let plan = |key: &str, value: Value| {
            let mut file = plain.clone();
            file[key] = value;
            let config = SchedulerConfig::from_json(&file.to_string())?;
            config.with_options(|o| o.mu = case["mu"].as_f64()).plan(5)
        };
        let keys = |list: &str| -> Vec<String> {
            let list = case[list].as_array().unwrap().iter();
            list.map(|key| key.as_str().unwrap().to_owned()).collect()
        };
        let empty = keys("empty").into_iter().map(|key| (key, json!("")));
        let null = keys("raises").into_iter().map(|key| (key, Value::Null));
        for (key, value) in null.chain(empty) {
            asked += 1;
            match plan(&key, value.clone()) {
                Err(error @ Error::Configuration { .. }) => {
                    let text = error.to_string();
                    if !text.starts_with(&format!("{key} of {class} is {value}")) {
                        failed.push(format!("{plain} {key} {value}: {text}"));
                    }
                }
                other => failed.push(format!("{plain} {key} {value} raises: {other:?}")),
            }
        }
        let unchanged = plan("_", Value::Null);
        for key in keys("same") {
            asked += 1;
            if plan(&key, Value::Null).ok() != unchanged.as_ref().ok().cloned() {
                let found = plan(&key, Value::Null).err();
                failed.push(format!("{plain} {key} changes nothing: {found:?}"));
            }
        }
        for key in keys("other") {
            asked += 1;
            if let Err(error) = plan(&key, Value::Null) {
                failed.push(format!("{plain} {key} runs: {error}"));
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {asked}\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(asked > 3000, "{asked}");
}
