//! What is refused, and how that is said.

use gaussian_diffusion::{
    Error, Grid,
    config::{SchedulerConfig, Timestep, classes},
};
use serde_json::{Value, json};

fn read(file: &Value) -> Result<SchedulerConfig, Error> {
    SchedulerConfig::from_json(&file.to_string())
}

fn message(file: Value) -> String {
    read(&file).unwrap_err().to_string()
}

/// The keys of a class, as it writes them.
fn keys(class: &str) -> Vec<String> {
    let file = read(&json!({ "_class_name": class })).unwrap().to_json();
    let file: Value = serde_json::from_str(&file).unwrap();
    let keys = file.as_object().unwrap().keys();
    let keys = keys.filter(|key| !key.starts_with('_'));
    keys.cloned().collect()
}

/// Every class, every key, values of every kind: an error names the class and the key when the file is
/// read, or a plan of usual lengths is made.
#[test]
fn errors_name_class_and_key() {
    let values = [
        json!(null),
        json!(""),
        json!("leading"),
        json!("inf"),
        json!("nan"),
        json!(true),
        json!(false),
        json!([]),
        json!({}),
        json!([0.9, 0.5, 0.1]),
        json!([0.5, 2.0]),
        json!(["a"]),
        json!(-1),
        json!(0),
        json!(0.5),
        json!(1),
        json!(5),
        json!(9.75),
        json!(1e8),
        json!(1e-300),
        json!(1e300),
        json!(-1e300),
    ];
    let (mut refused, mut elsewhere, mut late) = (0, Vec::new(), Vec::new());
    for class in classes() {
        for key in keys(class) {
            for value in &values {
                let case = format!("{class} {key} {value}");
                let mut file = json!({ "_class_name": class });
                file[&key] = value.clone();
                let config = match read(&file) {
                    Ok(config) => config,
                    Err(error) => {
                        refused += 1;
                        let text = error.to_string();
                        assert!(text.len() < 260, "{case}: {text}");
                        assert!(text.contains(&format!(" of {class} is ")), "{case}: {text}");
                        if !text.starts_with(&format!("{key} of ")) {
                            elsewhere.push(format!("{case}: {text}"));
                        }
                        continue;
                    }
                };
                let shifts = file["use_dynamic_shifting"] == true;
                let config = config.with_options(|o| o.mu = shifts.then_some(1.0));
                for n in [1, 4, 10] {
                    let Err(error) = config.plan(n) else { continue };
                    let text = error.to_string();
                    assert!(text.contains(&format!(" of {class} is ")), "{case}: {text}");
                    let plain = read(&json!({ "_class_name": class })).unwrap();
                    if plain.plan(n).is_ok() {
                        late.push(format!("{case}, {n}: {text}"));
                    }
                }
            }
        }
    }
    assert!(refused > 4000, "{refused}");
    // Two keys that do not go together, of which the message names one.
    assert!(elsewhere.len() < 10, "{}", elsewhere.join("\n"));
    // What is refused later is the number of steps, or the offset that does not fit it.
    let is_of_steps = |text: &&String| {
        let text = text.split_once(": ").unwrap().1;
        text.starts_with("number of steps of ") || text.starts_with("steps_offset of ")
    };
    let other: Vec<_> = late.iter().filter(|text| !is_of_steps(text)).collect();
    assert!(other.is_empty(), "{other:#?}");
    let vague: Vec<_> = late
        .iter()
        .filter(|text| text.contains("for which not"))
        .collect();
    assert!(vague.len() < 60, "{vague:#?}");
}

#[test]
fn messages_say_what_was_asked_for() {
    let of = |class: &str, key: &str, value: Value| {
        let mut file = json!({ "_class_name": class });
        file[key] = value;
        message(file)
    };
    let dpm = "DPMSolverMultistepScheduler";
    assert_eq!(
        of(dpm, "solver_order", json!(5)),
        "solver_order of DPMSolverMultistepScheduler is 5, allowed: a whole number from 1 to 3"
    );
    assert_eq!(
        of("DDIMScheduler", "trained_betas", json!([])),
        "trained_betas of DDIMScheduler is [], allowed: null or a list of numbers"
    );
    assert_eq!(
        of("DDIMScheduler", "trained_betas", json!([0.1, 2.0])),
        "trained_betas of DDIMScheduler is 2.0 at 1, allowed: 1e-300 to below 1"
    );
    assert_eq!(
        of("FlowMatchEulerDiscreteScheduler", "shift", json!(0)),
        "shift of FlowMatchEulerDiscreteScheduler is 0, allowed: 1e-6 to 1e6"
    );
    assert_eq!(
        of("DDIMScheduler", "num_train_timesteps", json!(1e8)),
        "num_train_timesteps of DDIMScheduler is 100000000.0, allowed: a whole number from 1 to 16777216"
    );
    assert_eq!(
        of("DDIMScheduler", "beta_end", json!(1e300)),
        "beta_end of DDIMScheduler is 1e300, allowed: 1e-300 to below 1"
    );
    let flow = json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_karras_sigmas": true,
        "sigma_max": 80.0});
    assert_eq!(
        message(flow),
        "sigma_max of FlowMatchEulerDiscreteScheduler is 80.0, allowed: above 0 and up to 1, the sigmas of a flow"
    );
    let steps = |class: &str, n| {
        let config = read(&json!({ "_class_name": class })).unwrap();
        config.plan(n).unwrap_err().to_string()
    };
    assert_eq!(
        steps(dpm, 1000),
        "number of steps of DPMSolverMultistepScheduler is 1000, allowed: 1 to 999, for these training steps"
    );
    assert_eq!(
        steps("DDIMScheduler", 1001),
        "number of steps of DDIMScheduler is 1001, allowed: 1 to 1000, for these training steps"
    );
    assert_eq!(
        steps("LCMScheduler", 51),
        "number of steps of LCMScheduler is 51, allowed: 1 to 50, the original steps of this strength"
    );
    let sd = json!({"_class_name": "PNDMScheduler", "skip_prk_steps": true});
    assert_eq!(
        read(&sd).unwrap().plan(1).unwrap_err().to_string(),
        "number of steps of PNDMScheduler is 1, allowed: 2 or more, as the only step would go from a level to itself"
    );
    let leading = json!({"_class_name": "DDIMScheduler", "steps_offset": 300});
    assert_eq!(
        read(&leading).unwrap().plan(4).unwrap_err().to_string(),
        "steps_offset of DDIMScheduler is 300, allowed: 0 to 249 for 4 steps"
    );
}

#[test]
fn unknown_classes_get_a_hint() {
    let of = |class: &str| message(json!({ "_class_name": class }));
    assert_eq!(
        of("DPMSolverMultiStepScheduler"),
        "_class_name of DPMSolverMultiStepScheduler is DPMSolverMultiStepScheduler, allowed: the classes of config::classes, of which DPMSolverMultistepScheduler, EDMDPMSolverMultistepScheduler, CosineDPMSolverMultistepScheduler are nearest"
    );
    assert!(of("EulerScheduler").contains("of which EDMEulerScheduler, "));
    assert!(of("UniPC").contains("of which UniPCMultistepScheduler, "));
    assert!(of("").contains("are nearest"));
    assert!(of(&"x".repeat(100_000)).contains("are nearest"));
    assert_eq!(
        of("FlaxDDIMScheduler"),
        "_class_name of FlaxDDIMScheduler is FlaxDDIMScheduler, allowed: DDIMScheduler, of which this is the Flax form, with the same keys"
    );
    // Of a class that there is not, there is no form.
    assert!(of("FlaxDDMScheduler").contains("are nearest"));
    let index = json!({"_class_name": "StableDiffusionPipeline",
        "scheduler": ["diffusers", "PNDMScheduler"]});
    assert_eq!(
        message(index),
        "_class_name of StableDiffusionPipeline is StableDiffusionPipeline, allowed: a scheduler: its file is scheduler/scheduler_config.json beside this model_index.json"
    );
    let ddim = read(&json!({"_class_name": "DDIMScheduler"})).unwrap();
    let error = ddim.with_class("DDIMSheduler").unwrap_err().to_string();
    assert!(error.contains("of which DDIMScheduler"), "{error}");
}

/// A byte-order mark, and quotes beside Python's constants.
#[test]
fn files_as_people_write_them() {
    let text = "\u{feff}{\"_class_name\": \"DPMSolverMultistepScheduler\", \"note \\\" NaN\": \"a \\\"NaN\\\" b\", \"lambda_min_clipped\": -Infinity, \"other\": NaN}";
    let config = SchedulerConfig::from_json(text).unwrap();
    assert_eq!(config.ignored(), ["note \" NaN", "other"]);
    let plain = read(&json!({"_class_name": "DPMSolverMultistepScheduler"})).unwrap();
    assert_eq!(config.plan(10).unwrap(), plain.plan(10).unwrap());
    let text = r#"{"_class_name": "DPMSolverMultistepScheduler", "thresholding": true,
        "sample_max_value": Infinity}"#;
    SchedulerConfig::from_json(text).unwrap();
    let text = r#"{"_class_name": "DDIMScheduler", "beta_end": NaN}"#;
    assert_eq!(
        SchedulerConfig::from_json(text).unwrap_err().to_string(),
        "beta_end of DDIMScheduler is \"nan\", allowed: a number"
    );
}

/// The grid of a class, handed back to it, is run as the class runs it.
#[test]
fn a_grid_of_the_class_is_run_as_it_is() {
    for class in classes() {
        for extra in [
            json!({}),
            json!({"final_sigmas_type": "sigma_min", "use_karras_sigmas": true}),
            json!({"skip_prk_steps": true, "set_alpha_to_one": false}),
            json!({"lower_order_final": true, "solver_order": 3}),
        ] {
            let mut file = json!({ "_class_name": class });
            for (key, value) in extra.as_object().unwrap() {
                if keys(class).contains(key) {
                    file[key] = value.clone();
                }
            }
            let config = read(&file).unwrap();
            for n in [2, 5, 14, 20] {
                let (plan, grid) = (config.plan(n).unwrap(), config.grid(n).unwrap());
                assert_eq!(config.plan_on(&grid).unwrap(), plan, "{file} {n}");
                assert_eq!(config.plan_tail(n, n).unwrap(), plan, "{file} {n}");
                let solver = config.solver_for(&grid).unwrap();
                assert_eq!(solver.name(), config.solver(n).unwrap().name());
            }
            // A part of it runs, or is refused by name.
            match config.plan_on(&config.grid(14).unwrap().tail(5).unwrap()) {
                Ok(plan) => assert!(plan.steps() >= 5),
                Err(error) => {
                    let text = error.to_string();
                    assert!(
                        text.starts_with("skip_prk_steps of PNDMScheduler"),
                        "{file}: {text}"
                    );
                }
            }
            for steps in [0, 15] {
                assert!(config.plan_tail(14, steps).is_err());
            }
        }
    }
}

/// TCD's solver depends on the levels of its list.
#[test]
fn a_grid_of_ones_own_has_its_solver() {
    let config = read(&json!({"_class_name": "TCDScheduler"})).unwrap();
    let list = vec![999.0, 850.0, 500.0, 240.0, 80.0, 7.0];
    let times: Vec<_> = list.iter().copied().map(Timestep).collect();
    let end = config.schedule();
    let end = gaussian_diffusion::NoiseSchedule::level(end, Timestep(0.0)).unwrap();
    let grid = Grid::at(config.schedule(), &times)
        .unwrap()
        .ending_at(end)
        .unwrap();
    let plan = config.plan_on(&grid).unwrap();
    let same = config.clone().with_options(|o| o.timesteps = Some(list));
    assert_eq!(plan, same.plan(6).unwrap());
    // Blocks, lower orders and the share of churn are those of the grid's own number of steps.
    let singlestep =
        read(&json!({"_class_name": "DPMSolverSinglestepScheduler", "solver_order": 3})).unwrap();
    let times = [900.0, 640.0, 333.0, 100.0, 20.0].map(Timestep);
    let grid = Grid::at(singlestep.schedule(), &times).unwrap();
    let same = singlestep
        .clone()
        .with_options(|o| o.timesteps = Some(times.map(|t| t.0).to_vec()));
    assert_eq!(singlestep.plan_on(&grid).unwrap(), same.plan(5).unwrap());
}

#[test]
fn lists_that_a_class_does_not_take_are_refused() {
    let ddim = read(&json!({"_class_name": "DDIMScheduler"})).unwrap();
    let error = ddim
        .with_options(|o| o.sigmas = Some(vec![1.0, 0.5]))
        .plan(2)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "sigmas of DDIMScheduler is 2 numbers, allowed: none for this class, for which plan_on takes a grid"
    );
    let dpm =
        read(&json!({"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": true}))
            .unwrap();
    let error = dpm
        .with_options(|o| o.timesteps = Some(vec![900.0, 100.0]))
        .plan(2)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "use_karras_sigmas of DPMSolverMultistepScheduler is true, allowed: false with timesteps of one's own"
    );
    let ddpm = read(&json!({"_class_name": "DDPMScheduler"})).unwrap();
    for list in [
        vec![100.0, 900.0],
        vec![1000.0, 3.0],
        vec![f64::NAN, 1.0],
        vec![5.0, 5.0],
        vec![3.0, -1.0],
    ] {
        let error = ddpm
            .clone()
            .with_options(|o| o.timesteps = Some(list))
            .plan(2)
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("timesteps of DDPMScheduler is "),
            "{error}"
        );
    }
}

/// Every option on every class: it changes the plan, or it is reported or refused.
#[test]
fn idle_options_are_reported() {
    use gaussian_diffusion::{
        Sigma,
        config::{Options, SequenceLength},
    };
    type Change = fn(&mut Options);
    let changes: [(&str, Change); 10] = [
        ("eta", |o| o.eta = Some(0.7)),
        ("churn", |o| o.churn = 3.0),
        ("churn_range", |o| {
            o.churn_range = Some((Sigma::new(0.1).unwrap(), Sigma::new(1.0).unwrap()))
        }),
        ("noise_factor", |o| o.noise_factor = 1.5),
        ("mu", |o| o.mu = Some(0.4)),
        ("sequence", |o| {
            o.sequence = Some(SequenceLength::Flux2(900))
        }),
        ("sigmas", |o| o.sigmas = Some(vec![0.9, 0.7, 0.5, 0.2, 0.1])),
        ("timesteps", |o| {
            o.timesteps = Some(vec![900.0, 700.0, 500.0, 200.0, 100.0])
        }),
        ("strength", |o| o.strength = Some(0.4)),
        ("jumps", |o| o.jumps.length = 1),
    ];
    for class in classes() {
        let shifted = json!({ "_class_name": class, "use_dynamic_shifting": true });
        for file in [json!({ "_class_name": class }), shifted] {
            let config = read(&file).unwrap();
            for (name, change) in changes {
                let changed = config.clone().with_options(change);
                let is_reported = changed.ignored_options() == [name];
                let (plain, found) = (config.plan(5), changed.plan(5));
                // Churn in a range, and the factor of its noise, do nothing without churn.
                let needs_churn =
                    matches!(name, "churn_range" | "noise_factor") && class.contains("Euler");
                let changes = match (&plain, &found) {
                    (Ok(plain), Ok(found)) => plain != found,
                    (Err(_), Ok(_)) => true,
                    (_, Err(error)) => {
                        assert!(
                            error.to_string().contains(&format!("of {class} is")),
                            "{error}"
                        );
                        continue;
                    }
                };
                assert!(
                    changes != is_reported || needs_churn,
                    "{file} {name}: {changes} {is_reported}"
                );
            }
        }
    }
}

/// A change of a key is the file with another value; a class is changed with what the file says.
#[test]
fn keys_and_classes_are_changed() {
    let file = json!({"_class_name": "EulerDiscreteScheduler", "beta_end": 0.012});
    let config = read(&file).unwrap();
    let mut other = file.clone();
    other["use_karras_sigmas"] = json!(true);
    let changed = config.clone().with_key("use_karras_sigmas", true).unwrap();
    assert_eq!(changed, read(&other).unwrap());
    // The class's own defaults are not carried over: Heun has another beta_start.
    let heun = config.clone().with_class("HeunDiscreteScheduler").unwrap();
    let same = json!({"_class_name": "HeunDiscreteScheduler", "beta_end": 0.012});
    assert_eq!(heun, read(&same).unwrap());
    // Through a stored file, too.
    let stored = SchedulerConfig::from_json(&config.to_json()).unwrap();
    assert_eq!(stored.with_class("HeunDiscreteScheduler").unwrap(), heun);
    // Options stay.
    let eta = read(&json!({"_class_name": "DDIMScheduler"}))
        .unwrap()
        .with_options(|o| o.eta = Some(0.5));
    let tcd = eta
        .with_class("TCDScheduler")
        .unwrap()
        .with_key("beta_end", 0.01)
        .unwrap();
    assert!(tcd.plan(4).unwrap().name().contains("ancestral") && tcd.ignored_options().is_empty());
    let error = config.with_key("beta_end", "much").unwrap_err();
    assert_eq!(
        error.to_string(),
        "beta_end of EulerDiscreteScheduler is \"much\", allowed: a number"
    );
}

/// Worked by hand from the pipelines' own lines: FLUX.1 and LTX-2 in the length, CogView4 in its root,
/// FLUX.2 in length and number of steps.
#[test]
fn the_shift_follows_the_model() {
    use gaussian_diffusion::config::SequenceLength;
    let mu = |keys: Value, sequence: SequenceLength, n: usize| {
        let mut file = keys;
        file["_class_name"] = json!("FlowMatchEulerDiscreteScheduler");
        file["use_dynamic_shifting"] = json!(true);
        let config = read(&file).unwrap().with_options(|o| {
            o.sequence = Some(sequence);
            o.sigmas = Some((0..n).map(|i| 1.0 - i as f64 / n as f64).collect());
        });
        // t' = e^mu t / (1 + (e^mu - 1) t)
        let (t, shifted) = (
            1.0 - 1.0 / n as f64,
            config.grid(n).unwrap().nodes()[1].level.sigma(),
        );
        (shifted * (1.0 - t) / (t * (1.0 - shifted))).ln()
    };
    let near = |found: f64, expected: f64| {
        assert!((found - expected).abs() < 1e-12, "{found} for {expected}");
    };
    let (n, none) = (4, json!({}));
    near(
        mu(none.clone(), SequenceLength::Flux1(1024), n),
        0.5 + 0.65 * 768.0 / 3840.0,
    );
    near(
        mu(none.clone(), SequenceLength::Flux1(100), n),
        0.5 - 0.65 * 156.0 / 3840.0,
    );
    near(
        mu(none.clone(), SequenceLength::Ltx2(2048), n),
        0.95 + 1.1 * 1024.0 / 3072.0,
    );
    near(
        mu(none.clone(), SequenceLength::CogView4(4096), n),
        4.0 * 0.75 + 0.25,
    );
    near(
        mu(none.clone(), SequenceLength::CogView4(1000), n),
        (1000.0_f64 / 256.0).sqrt() * 0.75 + 0.25,
    );
    let (few, many) = (
        8.73809524e-05 * 2000.0 + 1.89833333,
        0.00016927 * 2000.0 + 0.45666666,
    );
    let slope = (many - few) / 190.0;
    near(
        mu(none.clone(), SequenceLength::Flux2(2000), 4),
        slope * 4.0 + many - 200.0 * slope,
    );
    near(mu(none.clone(), SequenceLength::Flux2(2000), 10), few);
    near(
        mu(none, SequenceLength::Flux2(5000), 4),
        0.00016927 * 5000.0 + 0.45666666,
    );
    // What a file says comes first: Qwen-Image on the line of FLUX.1, CogView4 and LTX-2 on theirs.
    let own = json!({"base_shift": 0.4, "max_shift": 0.9, "base_image_seq_len": 300, "max_image_seq_len": 8300});
    near(mu(own.clone(), SequenceLength::Flux1(4300), n), 0.65);
    near(mu(own.clone(), SequenceLength::Ltx2(4300), n), 0.65);
    near(mu(own, SequenceLength::CogView4(1200), n), 2.0 * 0.9 + 0.4);
    // Of each class that reads it.
    for class in classes() {
        let mut file = json!({"_class_name": class, "use_dynamic_shifting": true});
        if keys(class).contains(&"use_flow_sigmas".to_owned()) {
            file["use_flow_sigmas"] = json!(true);
        }
        let Ok(config) = read(&file) else { continue };
        let by_length = config
            .clone()
            .with_options(|o| o.sequence = Some(SequenceLength::CogView4(4096)));
        if by_length.ignored_options().is_empty() {
            let by_mu = config.with_options(|o| o.mu = Some(3.25));
            assert_eq!(
                by_length.plan(6).unwrap(),
                by_mu.plan(6).unwrap(),
                "{class}"
            );
        }
    }
}

#[test]
fn both_ways_to_count_a_strength() {
    use gaussian_diffusion::grid::{steps_of_strength, steps_of_strength_up};
    assert_eq!(
        (
            steps_of_strength(10, 0.75).unwrap(),
            steps_of_strength_up(10, 0.75).unwrap()
        ),
        (7, 8)
    );
    // Whole numbers of hundredths, in whole numbers.
    for n in 1..=200_usize {
        for percent in 1..=100 {
            let strength = percent as f64 / 100.0;
            let (down, up) = (n * percent / 100, (n * percent).div_ceil(100));
            assert_eq!(
                steps_of_strength(n, strength).unwrap_or(0),
                down,
                "{n} {percent}"
            );
            assert_eq!(
                steps_of_strength_up(n, strength).unwrap(),
                up,
                "{n} {percent}"
            );
        }
    }
    for strength in [0.0, -0.5, 1.5, f64::NAN] {
        assert!(
            steps_of_strength(10, strength).is_err() && steps_of_strength_up(10, strength).is_err()
        );
    }
}

/// The sigmas that the issue of diffusers' default betas gave, and grids that hold levels in the wrong order.
#[test]
fn default_betas_at_zero_snr() {
    let file = json!({"_class_name": "EulerDiscreteScheduler", "rescale_betas_zero_snr": true,
        "timestep_spacing": "trailing", "prediction_type": "v_prediction"});
    let config = read(&file).unwrap();
    let sigmas = |n| -> Vec<f64> {
        let grid = config.grid(n).unwrap();
        grid.nodes()
            .iter()
            .map(|node| node.level.noise_to_signal())
            .collect()
    };
    for (found, expected) in sigmas(7).iter().zip([4096.0, 55.36893, 14.32969]) {
        assert!(
            (found - expected).abs() < 1e-4 * expected,
            "{found} for {expected}"
        );
    }
    let error = config.plan(1000).unwrap_err().to_string();
    assert!(
        error.starts_with("number of steps of EulerDiscreteScheduler is 1000"),
        "{error}"
    );
    assert!(config.plan(100).is_ok());
}

/// Numbers of a file at the ends of what is allowed, and just beyond them.
#[test]
fn numbers_meet_their_bounds() {
    let of = |class: &str, keys: Value| {
        let mut file = keys;
        file["_class_name"] = json!(class);
        read(&file).map(drop).map_err(|error| error.to_string())
    };
    let refused = |class: &str, key: &str, value: &str, allowed: &str| {
        Err(format!("{key} of {class} is {value}, allowed: {allowed}"))
    };
    let threshold = |key: &str, value: f64| json!({ "thresholding": true, key: value });
    let karras = |key: &str, value: f64| json!({ "use_karras_sigmas": true, key: value });
    let clip = |range: f64| json!({ "clip_sample": true, "clip_sample_range": range });
    let tiny = 5e-324;
    let (ddpm, euler, edm) = (
        "DDPMScheduler",
        "EulerDiscreteScheduler",
        "EDMEulerScheduler",
    );
    let (wide, ve, flow) = (
        "DDPMWuerstchenScheduler",
        "ScoreSdeVeScheduler",
        "FlowMatchEulerDiscreteScheduler",
    );
    let (ratio, most) = ("dynamic_thresholding_ratio", "sample_max_value");
    for (class, keys, expected) in [
        (ddpm, threshold(ratio, 0.0), Ok(())),
        (ddpm, threshold(ratio, 1.0), Ok(())),
        (
            ddpm,
            threshold(ratio, 1.5),
            refused(ddpm, ratio, "1.5", "0 to 1"),
        ),
        (ddpm, threshold(most, tiny), Ok(())),
        (
            ddpm,
            threshold(most, 0.0),
            refused(ddpm, most, "0.0", "above 0"),
        ),
        (ddpm, clip(tiny), Ok(())),
        (
            ddpm,
            clip(0.0),
            refused(ddpm, "clip_sample_range", "0.0", "above 0"),
        ),
        (euler, karras("sigma_min", 1e-3), Ok(())),
        (
            euler,
            karras("sigma_min", 0.0),
            refused(euler, "sigma_min", "0.0", "above 0"),
        ),
        (
            euler,
            karras("sigma_max", 0.0),
            refused(euler, "sigma_max", "0.0", "above 0"),
        ),
        (edm, json!({ "sigma_min": 1e-150 }), Ok(())),
        (
            edm,
            json!({ "sigma_min": 0.9e-150 }),
            refused(edm, "sigma_min", "9e-151", "1e-150 to 1e150"),
        ),
        (
            edm,
            json!({ "sigma_min": 2.0, "sigma_max": 2.0 }),
            refused(edm, "sigma_max", "2.0", "above 2.0 and up to 1e150"),
        ),
        (edm, json!({ "sigma_max": 1e150 }), Ok(())),
        (
            edm,
            json!({ "sigma_max": 1.1e150 }),
            refused(edm, "sigma_max", "1.1e150", "above 0.002 and up to 1e150"),
        ),
        (
            edm,
            json!({ "sigma_min": 80.0 }),
            refused(edm, "sigma_min", "80.0", "below 80.0, the sigma_max"),
        ),
        (wide, json!({ "s": 0.0 }), Ok(())),
        (wide, json!({ "s": 1.0 }), Ok(())),
        (
            wide,
            json!({ "s": -0.1 }),
            refused(wide, "s", "-0.1", "0 to 1"),
        ),
        (
            wide,
            json!({ "scaler": 0.0 }),
            refused(wide, "scaler", "0.0", "above 0"),
        ),
        (ve, json!({ "sampling_eps": 0.0 }), Ok(())),
        (
            ve,
            json!({ "sampling_eps": 1.0 }),
            refused(ve, "sampling_eps", "1.0", "0 or more and below 1"),
        ),
        (flow, json!({ "shift": 1e-6 }), Ok(())),
        (flow, json!({ "shift": 1e6 }), Ok(())),
        (
            flow,
            json!({ "shift": 0.9e-6 }),
            refused(flow, "shift", "9e-7", "1e-6 to 1e6"),
        ),
        (flow, json!({ "shift_terminal": 0.0 }), Ok(())),
        (
            flow,
            json!({ "shift_terminal": 1.0 }),
            refused(flow, "shift_terminal", "1.0", "null, or 0 to below 1"),
        ),
        (
            flow,
            json!({ "use_karras_sigmas": true, "sigma_min": 0.1, "sigma_max": 1.0 }),
            Ok(()),
        ),
        (
            flow,
            json!({ "use_karras_sigmas": true, "sigma_min": 0.1, "sigma_max": 1.5 }),
            refused(
                flow,
                "sigma_max",
                "1.5",
                "above 0 and up to 1, the sigmas of a flow",
            ),
        ),
        (
            "CogVideoXDDIMScheduler",
            json!({ "snr_shift_scale": 0.0 }),
            refused(
                "CogVideoXDDIMScheduler",
                "snr_shift_scale",
                "0.0",
                "above 0",
            ),
        ),
        (
            "LTXEulerAncestralRFScheduler",
            json!({ "s_noise": 0.0 }),
            refused("LTXEulerAncestralRFScheduler", "s_noise", "0.0", "above 0"),
        ),
        // An empty list is none.
        ("SASolverScheduler", json!({ "tau_func": [] }), Ok(())),
        (
            "SASolverScheduler",
            json!({ "tau_func": [1] }),
            refused(
                "SASolverScheduler",
                "tau_func",
                "[1]",
                "null: a function is no value of a file",
            ),
        ),
    ] {
        assert_eq!(of(class, keys.clone()), expected, "{class}, {keys}");
    }
    // Sigmas of one's own.
    let given = |list: [f64; 2]| {
        let config = read(&json!({ "_class_name": flow })).unwrap();
        let config = config.with_options(|o| o.sigmas = Some(list.to_vec()));
        config.plan(2).map(drop).map_err(|error| error.to_string())
    };
    let allowed = "above 0 and up to 1, each below the one before";
    for (list, wrong) in [
        ([1.0, 1e-9], None),
        ([1.0_f64.next_up(), 0.5], Some("1.0000000000000002 at 0")),
        ([1.0, 0.0], Some("0.0 at 1")),
        ([0.5, 0.5], Some("0.5 at 1")),
        ([0.5, f64::NAN], Some("NaN at 1")),
    ] {
        let expected = wrong.map_or(Ok(()), |value| refused(flow, "sigmas", value, allowed));
        assert_eq!(given(list), expected, "{list:?}");
    }
    // A part of no steps is none.
    let ddim = read(&json!({ "_class_name": "DDIMScheduler" })).unwrap();
    let none = ddim.plan_tail(10, 0).unwrap_err().to_string();
    assert!(
        none.ends_with("is 0, allowed: 1 to 10, of 10 steps"),
        "{none}"
    );
    // DDIM without eta draws nothing in vain, also where it is told so.
    let eta = |eta| ddim.clone().with_options(|o| o.eta = eta).plan(4).unwrap();
    assert_eq!(eta(Some(0.0)), eta(None));
    assert!(
        eta(Some(0.0))
            .stages()
            .iter()
            .all(|planned| !planned.stage.discards)
    );
    // Middles of a start are known on its own grid alone.
    let on = |skips: bool| {
        let file = json!({ "_class_name": "PNDMScheduler", "skip_prk_steps": skips });
        let config = read(&file).unwrap();
        let times = [900.0, 500.0, 100.0].map(Timestep);
        let grid = gaussian_diffusion::Grid::at(config.schedule(), &times).unwrap();
        config.plan_on(&grid).map(|plan| plan.steps())
    };
    assert_eq!(on(true).unwrap(), 3);
    let refused = on(false).unwrap_err().to_string();
    assert!(
        refused.starts_with("skip_prk_steps of PNDMScheduler is false"),
        "{refused}"
    );
}

/// Betas that do not make a table are blamed on the smaller where they are too near, and on the larger where they
/// leave nothing.
#[test]
fn betas_are_blamed_on_one_end() {
    let of = |start: f64, end: f64, steps: usize| {
        message(
            json!({ "_class_name": "DDPMScheduler", "beta_start": start, "beta_end": end,
            "num_train_timesteps": steps }),
        )
    };
    for (start, end, steps, key) in [
        (0.4, 1e-30, 2, "beta_end of DDPMScheduler is "),
        (0.1, 0.99, 1000, "beta_end of DDPMScheduler is "),
        (0.99, 0.1, 1000, "beta_start of DDPMScheduler is "),
    ] {
        let found = of(start, end, steps);
        assert!(found.starts_with(key), "{found} for {key}");
    }
}

/// The class is a key as any other, and two classes are two, whatever else they have in common.
#[test]
fn a_class_is_a_key_too() {
    let of = |class: &str| read(&json!({ "_class_name": class })).unwrap();
    let ddim = of("DDIMScheduler");
    let keys = json!({ "_class_name": "DDIMParallelScheduler", "steps_offset": 1 });
    let changed = ddim.clone().with_keys(keys).unwrap();
    assert_eq!(changed.class(), "DDIMParallelScheduler");
    let refused = ddim.clone().with_keys(json!({ "_class_name": 3 }));
    let refused = refused.unwrap_err().to_string();
    assert_eq!(
        refused,
        "keys \"3\" cannot be read, allowed: what JSON has as an object"
    );
    assert_ne!(ddim, of("DDIMParallelScheduler"));
    assert_eq!(ddim, of("DDIMScheduler"));
    assert!(format!("{ddim:?}").starts_with("SchedulerConfig { class: DDIMScheduler, "));
}

/// PNDM's start takes the first steps, so that a part of a run has none.
#[test]
fn a_part_of_pndm_has_no_start() {
    let part = |skips: bool| {
        let file = json!({ "_class_name": "PNDMScheduler", "skip_prk_steps": skips });
        read(&file)
            .unwrap()
            .plan_tail(10, 4)
            .map(|plan| plan.steps())
    };
    // One of the list is empty.
    assert_eq!(part(true).unwrap(), 3);
    assert_eq!(
        part(false).unwrap_err().to_string(),
        "skip_prk_steps of PNDMScheduler is false, allowed: true for a part of the steps"
    );
}

/// As many steps as a class can make, and one more.
#[test]
fn numbers_of_steps_meet_their_bounds() {
    let of = |class: &str, trained: usize, n: usize| {
        let file = json!({ "_class_name": class, "num_train_timesteps": trained });
        let plan = read(&file).and_then(|config| config.plan(n));
        plan.map(|plan| plan.steps()).map_err(|error| {
            let text = error.to_string();
            text.split_once(", allowed: ").unwrap().1.to_owned()
        })
    };
    let multistep = "DPMSolverMultistepScheduler";
    for (class, trained, n, allowed) in [
        (
            multistep,
            1,
            1,
            Some("fewer: there is but one training step"),
        ),
        (multistep, 20, 19, None),
        (multistep, 20, 20, Some("1 to 19, for these training steps")),
        ("DPMSolverMultistepInverseScheduler", 20, 19, None),
        (
            "DPMSolverMultistepInverseScheduler",
            20,
            20,
            Some("1 to 19, for these training steps"),
        ),
        ("EulerDiscreteScheduler", 20, 20, None),
        (
            "EulerDiscreteScheduler",
            20,
            21,
            Some("1 to 20, for these training steps"),
        ),
        ("FlowMatchEulerDiscreteScheduler", 1, 1, None),
        (
            "FlowMatchEulerDiscreteScheduler",
            1,
            2,
            Some("1, as there is but one training step"),
        ),
        ("CMStochasticIterativeScheduler", 7, 7, None),
        (
            "CMStochasticIterativeScheduler",
            7,
            8,
            Some("1 to 7, the steps of the training"),
        ),
    ] {
        let expected = allowed.map_or(Ok(n), |allowed| Err(allowed.to_owned()));
        assert_eq!(of(class, trained, n), expected, "{class}, {n} of {trained}");
    }
    // PNDM's start asks about the middles of three steps, where there are three and they have middles.
    let start = |n: usize| {
        let file = json!({ "_class_name": "PNDMScheduler", "num_train_timesteps": 20,
            "skip_prk_steps": false, "beta_start": 0.01, "beta_end": 0.1 });
        read(&file).unwrap().plan(n).unwrap().evaluations()
    };
    let counts = [2, 5, 12].map(|n| (n, start(n)));
    let without = [2, 5, 12].map(|n| {
        let file = json!({ "_class_name": "PNDMScheduler", "num_train_timesteps": 20,
            "skip_prk_steps": true, "beta_start": 0.01, "beta_end": 0.1 });
        read(&file).unwrap().plan(n).unwrap().evaluations()
    });
    assert!(counts[1].1 > without[1], "{counts:?}, {without:?}");
}
