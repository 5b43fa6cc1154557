//! The configurations of diffusers, held to its trajectories.

mod keys;
mod messages;
mod replay;
mod seeds;

use std::collections::VecDeque;

use gaussian_diffusion::{
    Denoiser, Error, Grid, LogSnr, ModelVariance, NoiseLevel, NoiseSchedule, NonMarkovian,
    Parameterization, Plan, Point, Prediction, ReverseStep, Sigma, Step,
    config::{Clipping, SchedulerConfig, SequenceLength, Timestep},
    predicts,
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};
use ndarray::Array2;
use replay::{Replay, config, network, replay};
use serde_json::{Value, json};

fn reference(name: &str) -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/");
    replay::cases(&format!("{folder}{name}"))
}

fn cases() -> Vec<Value> {
    reference("diffusers.json")
}

/// Runs, calls, predicted data and the greatest difference of what networks were given and shown.
fn hold(cases: &[Value], without: &[&str]) -> (usize, usize, usize, f64) {
    let (mut calls, mut x0s, mut greatest) = (0, 0, 0.0_f64);
    let (mut failed, mut without_value) = (Vec::new(), Vec::new());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        // The steps of iPNDM's training play no part in its times.
        let unused: &[&str] = match case["scheduler"].as_str() {
            Some("IPNDMScheduler") if !case["config"]["num_train_timesteps"].is_null() => {
                &["num_train_timesteps"]
            }
            Some("TCDScheduler") if case["config"]["clip_sample"] == true => {
                &["clip_sample", "thresholding"]
            }
            _ => &[],
        };
        assert_eq!(replay::config(case).unwrap().ignored(), unused, "{name}");
        let found = replay(case).unwrap_or_else(|error| panic!("{name}: {error}"));
        failed.extend(found.failed.iter().map(|what| format!("{name}: {what}")));
        if found.without_value {
            without_value.push(name);
        }
        calls += found.calls;
        x0s += found.x0s;
        greatest = greatest.max(found.greatest);
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(without_value, without);
    (cases.len(), calls, x0s, greatest)
}

#[test]
fn trajectories_agree_to_1e_9() {
    let without = [
        "UniPCMultistepScheduler/sd-bh1-1/10",
        "UniPCMultistepScheduler/sd-bh1-2/10",
    ];
    let (runs, calls, x0s, greatest) = hold(&cases(), &without);
    assert_eq!((runs, calls, x0s), (113, 1276, 631));
    // Measured for times and inputs: 3.7e-14.
    assert!(greatest < 1e-12, "{greatest:e}");
}

/// The classes and keys that the first file has no case of.
#[test]
fn more_trajectories_agree_to_1e_9() {
    let cases = reference("diffusers_more.json");
    let (runs, calls, x0s, greatest) = hold(&cases[..95], &[]);
    // Of the 726 calls of the file 17 make an empty step.
    assert_eq!((runs, calls, x0s), (95, 709, 163));
    // Measured for times and inputs: 5.2e-11, for the largest sigmas of the inverse in noise.
    assert!(greatest < 1e-10, "{greatest:e}");
}

/// RePaint goes back as often and as far as diffusers does: the times at which the network is asked,
/// less the steps up, which are one jump here.
#[test]
fn jumps_are_those_of_diffusers() {
    let cases = reference("diffusers_more.json");
    assert_eq!(cases[95..].len(), 5);
    for case in &cases[95..] {
        let n = case["steps"].as_u64().unwrap() as usize;
        let plan = config(case).unwrap().plan(n).unwrap();
        let time = plan.stages().iter().map(|stage| stage.point.time.0);
        let asked = case["asked"].as_array().unwrap().iter();
        let asked: Vec<_> = asked.map(|t| t.as_f64().unwrap()).collect();
        assert_eq!(time.collect::<Vec<_>>(), asked, "{n}");
        assert!(plan.defect().unwrap() < 1e-12);
    }
}

/// diffusers raises nothing here and divides by zero.
#[test]
fn noise_prediction_without_signal_is_refused() {
    let schedule = Discrete::stable_diffusion()
        .unwrap()
        .zero_terminal_snr()
        .unwrap();
    assert!(schedule.level(Step::new(999)).unwrap().is_noise());
    let grid = Grid::trailing(&schedule, 10).unwrap();
    let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    let mut net = predicts::noise(|x: &Array2<f64>, _: Point<Step>| x.clone());
    let error = plan
        .sample(Array2::ones((1, 2)), &mut net, &mut Replay(VecDeque::new()))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "a conversion of a noise prediction has no value at alpha = 0, sigma = 1"
    );
}

const Z: [[f64; 3]; 2] = [[0.5, -1.0, 0.25], [-2.0, 1.5, 0.75]];

/// A state for which some of the data lies outside -1 to 1, and what one run makes of it.
fn run_by_hand(
    schedule: &Discrete,
    solver: impl ReverseStep,
    net: &mut impl Denoiser<Array2<f64>, Step>,
) -> (Array2<f64>, Array2<f64>, NoiseLevel, NoiseLevel) {
    let (from, to) = (schedule.level_at_step(600), schedule.level_at_step(300));
    let (from, to) = (from.unwrap(), to.unwrap());
    let grid = Grid::at(schedule, &[Step::new(600)])
        .and_then(|grid| grid.ending_at(to))
        .unwrap();
    let x = ndarray::array![[0.3, -1.7, 0.9], [1.2, 0.1, -0.4]];
    let mut noise = Replay([Array2::from(Z.to_vec())].into());
    let plan = Plan::new(schedule, &grid, &solver).unwrap();
    let end = plan.sample(x.clone(), net, &mut noise).unwrap();
    assert!(noise.0.is_empty());
    (x, end, from, to)
}

/// Written out from equation 12 of the DDIM paper, with the clipped data and the noise as predicted.
#[test]
fn clipping_that_keeps_the_noise_is_the_ddim_step_with_raw_noise() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let eta = 0.6;
    let predicted = |x: f64| 0.8 * x.tanh() + 0.3;
    let net = predicts::noise(|x: &Array2<f64>, _: Point<Step>| x.mapv(predicted));
    let mut net = Denoiser::<_, Step>::clipped(net, -1.0, 1.0)
        .unwrap()
        .keeping_noise(NonMarkovian::new(eta).unwrap());
    let (x, end, from, to) = run_by_hand(&schedule, Ddim::new(eta).unwrap(), &mut net);
    let (bar_t, bar_s) = (from.alpha().powi(2), to.alpha().powi(2));
    let std = eta * ((1.0 - bar_s) / (1.0 - bar_t)).sqrt() * (1.0 - bar_t / bar_s).sqrt();
    let mut cut = 0;
    for ((&x, &found), &z) in x.iter().zip(&end).zip(Z.as_flattened()) {
        let eps = predicted(x);
        let x0 = (x - (1.0 - bar_t).sqrt() * eps) / bar_t.sqrt();
        cut += usize::from(x0.abs() > 1.0);
        let expected =
            bar_s.sqrt() * x0.clamp(-1.0, 1.0) + (1.0 - bar_s - std * std).sqrt() * eps + std * z;
        assert!((found - expected).abs() < 1e-13, "{found} for {expected}");
    }
    assert!((1..6).contains(&cut), "{cut} of 6 clipped");
}

/// The variance type that no case has: the network gives the log-variance itself.
#[test]
fn learned_log_variance_scales_the_noise() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let mut net = predicts::with(|x: &Array2<f64>, _: Point<Step>| {
        Ok(Prediction::x0(x * 0.5).with_variance(x - 2.0))
    });
    let (x, end, from, to) = run_by_hand(&schedule, Ddpm::new(ModelVariance::Learned), &mut net);
    let (bar_t, bar_s) = (from.alpha().powi(2), to.alpha().powi(2));
    let beta = 1.0 - bar_t / bar_s;
    for ((&x, &found), &z) in x.iter().zip(&end).zip(Z.as_flattened()) {
        let mean = ((1.0 - beta).sqrt() * (1.0 - bar_s) * x + bar_s.sqrt() * beta * 0.5 * x)
            / (1.0 - bar_t);
        let expected = mean + (0.5 * (x - 2.0)).exp() * z;
        assert!((found - expected).abs() < 1e-13, "{found} for {expected}");
    }
}

fn read(file: Value) -> Result<SchedulerConfig, Error> {
    SchedulerConfig::from_json(&file.to_string())
}

/// What the network is given over `n` steps.
fn times(config: &SchedulerConfig, n: usize) -> Vec<f64> {
    let grid = config.grid(n).unwrap();
    grid.nodes().iter().map(|node| node.time.0).collect()
}

#[test]
fn stable_diffusion_1_5() {
    let config = read(
        json!({"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0",
        "beta_end": 0.012, "beta_schedule": "scaled_linear", "beta_start": 0.00085,
        "num_train_timesteps": 1000, "set_alpha_to_one": false, "skip_prk_steps": true,
        "steps_offset": 1, "trained_betas": null, "clip_sample": false}),
    )
    .unwrap();
    assert_eq!(config.ignored(), ["clip_sample"]);
    assert_eq!(config.prediction(), Parameterization::Noise);
    assert_eq!(config.clipping(), Clipping::Nothing);
    let grid = config.grid(50).unwrap();
    let (first, last) = (grid.nodes()[0].time.0, grid.nodes()[49].time.0);
    assert_eq!((first, last), (981.0, 1.0));
    let sd = Discrete::stable_diffusion().unwrap();
    assert_eq!(grid.end(), sd.level_at_step(0).unwrap());
    let plan = config.plan(50).unwrap();
    assert_eq!((plan.name(), plan.evaluations()), ("PLMS", 51));
}

#[test]
fn stable_diffusion_xl_and_2_1() {
    let xl = read(
        json!({"_class_name": "EulerDiscreteScheduler", "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": false,
        "interpolation_type": "linear", "prediction_type": "epsilon", "sample_max_value": 1.0,
        "set_alpha_to_one": false, "skip_prk_steps": true, "steps_offset": 1,
        "timestep_spacing": "leading", "use_karras_sigmas": false}),
    )
    .unwrap();
    let unused = [
        "clip_sample",
        "sample_max_value",
        "set_alpha_to_one",
        "skip_prk_steps",
    ];
    assert_eq!(xl.ignored(), unused);
    assert_eq!(times(&xl, 4), [751.0, 501.0, 251.0, 1.0]);
    assert!(xl.grid(4).unwrap().end().is_clean());
    assert_eq!(xl.start_std(4).unwrap(), 1.0);

    let v = read(json!({"_class_name": "DDIMScheduler", "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "beta_start": 0.00085, "clip_sample": false,
        "prediction_type": "v_prediction", "set_alpha_to_one": false, "steps_offset": 1}))
    .unwrap();
    assert_eq!(v.prediction(), Parameterization::Velocity);
    assert_eq!(times(&v, 2), [501.0, 1.0]);
}

/// `k u / (1 + (k - 1) u)` on the evenly spaced times, given a thousand times it.
#[test]
fn stable_diffusion_3_and_flux() {
    let sd3 =
        read(json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0})).unwrap();
    assert_eq!(sd3.prediction(), Parameterization::Flow);
    let last = 3.0 * 0.001 / 1.002;
    let expected = [
        1000.0,
        1500.0 * (1.0 + last) / (2.0 + last),
        3000.0 * last / (1.0 + 2.0 * last),
    ];
    for (found, expected) in times(&sd3, 3).into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
    }
    let flux = read(
        json!({"_class_name": "FlowMatchEulerDiscreteScheduler", "base_shift": 0.5,
        "max_shift": 1.15, "shift": 3.0, "use_dynamic_shifting": true}),
    )
    .unwrap();
    assert_eq!(
        flux.plan(4).unwrap_err().to_string(),
        "use_dynamic_shifting of FlowMatchEulerDiscreteScheduler is true, allowed: false without mu or the length of the sequence, which with_options takes"
    );
    let flux = flux.with_options(|o| {
        o.sequence = Some(SequenceLength::Flux1(4096));
        o.sigmas = Some(vec![1.0, 0.75, 0.5, 0.25]);
    });
    let k = 1.15_f64.exp();
    for (found, u) in times(&flux, 4).into_iter().zip([1.0, 0.75, 0.5, 0.25]) {
        let expected = 1000.0 * k * u / (1.0 + (k - 1.0) * u);
        assert!((found - expected).abs() < 1e-9, "{found} for {expected}");
    }
    let error = flux.grid(3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "sigmas of FlowMatchEulerDiscreteScheduler is 4 numbers, allowed: 3, one for each step"
    );
}

/// Every class, and what its solver is called, if its name says it.
const CLASSES: [(&str, &str); 39] = [
    ("DDPMScheduler", "DDPM"),
    ("DDPMParallelScheduler", "DDPM"),
    ("UnCLIPScheduler", "DDPM"),
    ("DDIMScheduler", "DDIM"),
    ("DDIMParallelScheduler", "DDIM"),
    ("DDIMInverseScheduler", "DDIM"),
    ("CogVideoXDDIMScheduler", "DDIM"),
    ("CogVideoXDPMScheduler", "DPM-Solver++ 2, SDE"),
    ("PNDMScheduler", "PNDM"),
    ("IPNDMScheduler", "iPNDM"),
    ("EulerDiscreteScheduler", "DDIM with churn"),
    ("EulerAncestralDiscreteScheduler", "DDIM, ancestral"),
    ("HeunDiscreteScheduler", "Heun"),
    ("LMSDiscreteScheduler", "LMS"),
    ("KDPM2DiscreteScheduler", "DPM2"),
    ("KDPM2AncestralDiscreteScheduler", "DPM2, ancestral"),
    ("DPMSolverSDEScheduler", ""),
    ("DPMSolverMultistepScheduler", ""),
    ("DPMSolverMultistepInverseScheduler", "DPM-Solver++ 2M"),
    ("DPMSolverSinglestepScheduler", ""),
    ("UniPCMultistepScheduler", ""),
    ("DEISMultistepScheduler", "DEIS 2"),
    ("SASolverScheduler", ""),
    ("EDMEulerScheduler", "DDIM with churn"),
    ("EDMDPMSolverMultistepScheduler", ""),
    ("CosineDPMSolverMultistepScheduler", ""),
    ("FlowMatchEulerDiscreteScheduler", "DDIM"),
    ("FlowMatchHeunDiscreteScheduler", "Heun"),
    ("FlowMatchLCMScheduler", "consistency"),
    ("LCMScheduler", "consistency"),
    ("TCDScheduler", "DDIM, ancestral"),
    ("CMStochasticIterativeScheduler", "consistency"),
    ("SCMScheduler", "consistency"),
    ("RePaintScheduler", "DDIM"),
    (
        "ScoreSdeVeScheduler",
        "Euler-Maruyama with Langevin corrector",
    ),
    ("DDPMWuerstchenScheduler", "DDPM to the mean"),
    ("FlowMapEulerDiscreteScheduler", "DDIM"),
    ("LTXEulerAncestralRFScheduler", "DDIM, ancestral"),
    ("MiniMaxH3Scheduler", "DDIM"),
];

/// Whatever a key says, it is an error or a sampler.
#[test]
fn no_value_of_a_key_panics() {
    let values = [
        json!(0),
        json!(-1),
        json!(0.5),
        json!(1),
        json!(3),
        json!(1e-300),
        json!(1e300),
        json!("inf"),
        json!("leading"),
        json!(null),
        json!(true),
        json!([]),
        json!([0.9, 0.5, 0.1]),
        json!({}),
    ];
    let mut made = 0;
    for (class, _) in CLASSES {
        let file = read(json!({ "_class_name": class })).unwrap().to_json();
        let file: Value = serde_json::from_str(&file).unwrap();
        for key in file
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "_class_name")
        {
            for value in &values {
                let mut file = file.clone();
                file[key] = value.clone();
                let Ok(config) = read(file) else { continue };
                let config = config.with_options(|o| {
                    o.mu = value.as_f64();
                    o.churn = value.as_f64().unwrap_or(0.0);
                });
                for n in [0, 1, 2, 7, 60] {
                    let _ = config.start_std(n);
                    made += usize::from(config.plan(n).is_ok());
                }
            }
        }
    }
    assert!(made > 5000, "{made}");
}

/// Every class, from nothing but its name.
#[test]
fn every_class_has_a_plan_of_its_defaults() {
    for (class, solver) in CLASSES {
        let config = read(json!({ "_class_name": class })).unwrap();
        assert!(config.ignored().is_empty(), "{class}");
        assert_eq!(
            SchedulerConfig::from_json(&config.to_json()).unwrap(),
            config
        );
        for n in [1, 2, 7, 20] {
            let plan = match config.plan(n) {
                Ok(plan) => plan,
                // A grid of one step has no end of its own to leave out.
                Err(error) if n == 1 => {
                    println!("{class}: {error}");
                    continue;
                }
                Err(error) => panic!("{class} {n}: {error}"),
            };
            assert!(
                solver.is_empty()
                    || n < 7
                    || plan.name().contains(solver)
                    || class.contains("CogVideoXDPM"),
                "{class}: {}",
                plan.name()
            );
            // A network in the file's terms runs.
            let mut net = network(&config, false);
            let mut noise = gaussian_diffusion::SeededNoise::new(1);
            let start = plan.prior((2, 3), &mut noise).unwrap();
            let end = plan
                .sample(start, &mut net, &mut noise)
                .unwrap_or_else(|e| panic!("{class} {n}: {e}"));
            assert!(end.iter().all(|x| x.is_finite()), "{class} {n}");
        }
    }
}

#[test]
fn defaults_are_those_of_the_class() {
    let level = |class: &str, t: f64| {
        let config = read(json!({ "_class_name": class })).unwrap();
        config.schedule().level(Timestep(t)).unwrap()
    };
    let ddpm = Discrete::ddpm(1000).unwrap().level_at_step(999).unwrap();
    assert_eq!(level("EulerDiscreteScheduler", 999.0), ddpm);
    let heun = Discrete::linear(1000, 0.00085, 0.012).unwrap();
    assert_eq!(
        level("HeunDiscreteScheduler", 999.0),
        heun.level_at_step(999).unwrap()
    );
    let lcm = Discrete::stable_diffusion().unwrap();
    assert_eq!(
        level("LCMScheduler", 999.0),
        lcm.level_at_step(999).unwrap()
    );
    let clipping = |class: &str| read(json!({ "_class_name": class })).unwrap().clipping();
    assert_eq!(clipping("DDIMScheduler"), Clipping::Range(1.0));
    assert_eq!(clipping("HeunDiscreteScheduler"), Clipping::Nothing);
    assert_eq!(
        clipping("CMStochasticIterativeScheduler"),
        Clipping::Range(1.0)
    );
}

/// A grid even in what the network is given, on the clock of a file: `ln(sigma) / 4` may be negative.
#[test]
fn grids_are_even_on_the_clock_of_a_file() {
    use gaussian_diffusion::Clock;
    let (from, to) = (Timestep(1.0), Timestep(-1.5));
    assert_eq!((from.reading(), to.reading()), (1.0, -1.5));
    let way = [-1.0, 0.0, 0.5, 1.0, 2.0].map(|fraction| from.toward(to, fraction).0);
    assert_eq!(way, [1.0, 1.0, -0.25, -1.5, -1.5]);
}

/// What the network is given is said in words, and comes in the plan.
#[test]
fn what_the_network_is_given_is_said() {
    for (class, said, first) in [
        ("DDIMScheduler", "a whole step", 900.0),
        ("LMSDiscreteScheduler", "a step, also fractional", 999.0),
    ] {
        let config = read(json!({"_class_name": class})).unwrap();
        assert_eq!(config.network_time(), said);
        assert_eq!(times(&config, 10)[0], first, "{class}");
    }
}

/// Keys that play no part in a class, and values that were nobody's choice.
#[test]
fn idle_keys_are_listed() {
    let file = json!({"_class_name": "TCDScheduler", "clip_sample": true, "thresholding": true});
    let tcd = read(file).unwrap();
    assert_eq!(tcd.ignored(), ["clip_sample", "thresholding"]);
    assert_eq!(tcd.clipping(), Clipping::Nothing);
    let file = json!({"_class_name": "UniPCMultistepScheduler", "sigma_min": 0.05});
    assert_eq!(read(file).unwrap().ignored(), ["sigma_min"]);
    let file = json!({"_class_name": "DDIMScheduler", "beta_end": 0.012, "clip_sample": false,
        "_use_default_values": ["clip_sample"]});
    let ddim = read(file).unwrap();
    assert!(ddim.ignored().is_empty());
    assert_eq!(ddim.clipping(), Clipping::Range(1.0));
}

/// A word of one multi-step class in the file of another.
#[test]
fn foreign_words_are_remapped() {
    let solver = |class: &str, key: &str, word: &str| {
        let mut file = json!({"_class_name": class});
        file[key] = json!(word);
        read(file).unwrap().plan(20).unwrap()
    };
    let dpm = "DPMSolverMultistepScheduler";
    let plain = solver(dpm, "solver_type", "midpoint");
    for word in ["logrho", "bh1", "bh2"] {
        assert_eq!(solver(dpm, "solver_type", word), plain);
    }
    assert_ne!(solver(dpm, "solver_type", "heun"), plain);
    assert_eq!(solver(dpm, "algorithm_type", "deis"), plain);
    let unipc = solver("UniPCMultistepScheduler", "solver_type", "bh2");
    for word in ["midpoint", "heun", "logrho"] {
        assert_eq!(
            solver("UniPCMultistepScheduler", "solver_type", word),
            unipc
        );
    }
    assert_ne!(
        solver("UniPCMultistepScheduler", "solver_type", "bh1"),
        unipc
    );
    let deis = solver("DEISMultistepScheduler", "solver_type", "logrho");
    for word in ["midpoint", "heun", "bh1", "bh2"] {
        assert_eq!(solver("DEISMultistepScheduler", "solver_type", word), deis);
    }
    assert_eq!(
        solver("DEISMultistepScheduler", "algorithm_type", "dpmsolver++"),
        deis
    );
}

#[test]
fn what_is_not_supported_is_named() {
    let message = |file: Value| read(file).unwrap_err().to_string();
    assert_eq!(
        message(json!({"_class_name": "VQDiffusionScheduler"})),
        "_class_name of VQDiffusionScheduler is VQDiffusionScheduler, allowed: a class of Gaussian noise"
    );
    assert_eq!(
        message(json!({"_class_name": "DDIMScheduler", "beta_schedule": "wavy"})),
        "beta_schedule of DDIMScheduler is \"wavy\", allowed: linear, scaled_linear or squaredcos_cap_v2"
    );
    assert_eq!(
        message(json!({"_class_name": "DDIMScheduler", "clip_sample": 1})),
        "clip_sample of DDIMScheduler is 1, allowed: true or false"
    );
    assert_eq!(
        message(json!({"_class_name": "EulerDiscreteScheduler", "timestep_spacing": "odd"})),
        "timestep_spacing of EulerDiscreteScheduler is \"odd\", allowed: linspace, leading or trailing"
    );
    assert_eq!(
        message(
            json!({"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"})
        ),
        "final_sigmas_type of DPMSolverMultistepScheduler is \"zero\", allowed: sigma_min with an algorithm_type that predicts noise"
    );
    assert_eq!(
        message(
            json!({"_class_name": "LMSDiscreteScheduler", "use_karras_sigmas": true, "use_beta_sigmas": true})
        ),
        "use_beta_sigmas of LMSDiscreteScheduler is true, allowed: one curve at a time"
    );
    for class in ["HeliosScheduler", "HeliosDMDScheduler"] {
        assert_eq!(
            message(json!({ "_class_name": class })),
            format!(
                "_class_name of {class} is {class}, allowed: a class whose runs keep their resolution"
            )
        );
    }
    let refused = [
        (
            "FlowMatchLCMScheduler",
            "scale_factors",
            json!([0.5]),
            "null: a run keeps its resolution",
        ),
        (
            "FlowMatchLCMScheduler",
            "invert_sigmas",
            json!(true),
            "false where noise is drawn anew: upwards it would end in noise",
        ),
        (
            "SASolverScheduler",
            "tau_func",
            json!("f"),
            "null: a function is no value of a file",
        ),
        (
            "UniPCMultistepScheduler",
            "solver_p",
            json!("s"),
            "null: a solver is no value of a file",
        ),
        (
            "UniPCMultistepScheduler",
            "shift_terminal",
            json!(0.1),
            "null without use_flow_sigmas",
        ),
        (
            "DPMSolverMultistepInverseScheduler",
            "algorithm_type",
            json!("sde-dpmsolver++"),
            "dpmsolver, dpmsolver++ or deis: noise cannot be added upwards",
        ),
        (
            "EDMDPMSolverMultistepScheduler",
            "algorithm_type",
            json!("dpmsolver"),
            "dpmsolver++, sde-dpmsolver++ or deis",
        ),
        (
            "DPMSolverMultistepInverseScheduler",
            "use_flow_sigmas",
            json!(true),
            "false: its list goes down",
        ),
        ("DDPMWuerstchenScheduler", "scaler", json!(0.0), "above 0"),
        (
            "ScoreSdeVeScheduler",
            "sampling_eps",
            json!(1.0),
            "0 or more and below 1",
        ),
    ];
    for (class, key, value, allowed) in refused {
        let mut file = json!({ "_class_name": class });
        file[key] = value.clone();
        let expected = format!("{key} of {class} is {value}, allowed: {allowed}");
        assert_eq!(message(file), expected);
    }
    let file = json!({"_class_name": "DEISMultistepScheduler", "use_flow_sigmas": true,
        "use_karras_sigmas": true});
    assert_eq!(
        message(file),
        "use_karras_sigmas of DEISMultistepScheduler is true, allowed: false with use_flow_sigmas: its sigmas are ratios, and above 1"
    );
    let error = SchedulerConfig::from_json("[1]").unwrap_err();
    assert_eq!(
        error.to_string(),
        "scheduler configuration \"[1]\" cannot be read, allowed: a JSON object with the key _class_name"
    );
}

/// Python writes infinities that JSON does not know.
#[test]
fn infinities_of_python_are_read() {
    let text = r#"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity}"#;
    let config = SchedulerConfig::from_json(text).unwrap();
    assert!(config.ignored().is_empty());
    let plain = read(json!({"_class_name": "DPMSolverMultistepScheduler"})).unwrap();
    assert_eq!(config.plan(10).unwrap(), plain.plan(10).unwrap());
}

fn again<T: serde::Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
    serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
}

/// Every plan of the reference, through JSON and back, to the last bit.
#[test]
fn plans_and_configurations_survive_json() {
    let more = reference("diffusers_more.json");
    for case in cases().into_iter().chain(more) {
        let config = config(&case).unwrap();
        let n = case["steps"].as_u64().unwrap() as usize;
        let plan = config.plan(n).unwrap();
        assert_eq!(again(&plan), plan, "{}", case["name"]);
        assert_eq!(again(&config), config, "{}", case["name"]);
        assert_eq!(again(&config.grid(n).unwrap()), config.grid(n).unwrap());
    }
}

/// A learned range that is a point has a log-variance of minus infinity.
#[test]
fn infinite_logarithms_survive_json() {
    use gaussian_diffusion::{LogSnr, LogVariance};
    for value in [f64::NEG_INFINITY, -3.25] {
        let one = LogVariance::new(value).unwrap();
        assert_eq!(again(&one), one);
    }
    let clean = LogSnr::new(f64::INFINITY).unwrap();
    assert_eq!(serde_json::to_string(&clean).unwrap(), "\"inf\"");
    assert_eq!(again(&clean), clean);
    assert_eq!(again(&NoiseLevel::NOISE), NoiseLevel::NOISE);
}

#[test]
fn what_is_read_back_is_checked() {
    let plan = read(json!({"_class_name": "DDIMScheduler"}))
        .unwrap()
        .plan(3)
        .unwrap();
    let message = |change: fn(&mut Value)| {
        let mut value = serde_json::to_value(&plan).unwrap();
        change(&mut value);
        serde_json::from_value::<Plan<Timestep>>(value)
            .unwrap_err()
            .to_string()
    };
    let refused = message(|v| v["levels"][0]["sigma"] = json!(-1.0));
    assert_eq!(refused, "sigma is -1, allowed: 0, or 1e-150 to 1e150");
    let refused = message(|v| v["levels"][1] = v["levels"][0].clone());
    assert!(refused.starts_with("grid[1] has log-SNR"), "{refused}");
    let refused = message(|v| v["memory"] = json!(0));
    assert_eq!(refused, "memory is 0, allowed: 1 or more");
    let refused = message(|v| v["stages"][1]["point"]["step"] = json!(7));
    assert_eq!(
        refused,
        "steps[1] is 7, allowed: 0 or more, between the levels of the plan"
    );
    let refused = message(|v| v["stages"][0]["stage"]["commit"]["model"] = json!([1.0, 2.0]));
    assert_eq!(
        refused,
        "number of predictions in an update is 2, allowed: 0 to 1, those that are kept"
    );
    assert!(serde_json::from_str::<Sigma>("-1.0").is_err());
    assert!(serde_json::from_str::<Step>("-1.0").is_err());
}

/// Two configurations are the same if class and keys are.
#[test]
fn configurations_of_two_classes_differ() {
    let file =
        |class: &str| read(json!({ "_class_name": class, "num_train_timesteps": 500 })).unwrap();
    for (a, b) in [
        ("PNDMScheduler", "DDIMScheduler"),
        ("DDIMScheduler", "DDIMParallelScheduler"),
    ] {
        assert_eq!(file(a), file(a));
        assert_ne!(file(a), file(b));
    }
}

/// The clock of every class reads back, strictly between its ends, the time that a level is of.
#[test]
fn clocks_read_back_the_time_of_a_level() {
    let paced = |pace: f64| json!({ "_class_name": "DDPMWuerstchenScheduler", "scaler": pace });
    let plain = |(class, _): &(&str, &str)| json!({ "_class_name": class });
    let continuous = json!({ "_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous",
        "prediction_type": "v_prediction" });
    let files = CLASSES.iter().map(plain).chain([0.4, 2.5].map(paced));
    let files = files.chain([continuous]);
    for file in files {
        let class = file.to_string();
        let config = read(file).unwrap();
        let schedule = config.schedule();
        let (noisy, clean) = schedule.ends();
        for share in [0.1, 0.35, 0.5, 0.8] {
            let between = noisy.0 + share * (clean.0 - noisy.0);
            let level = schedule.level(Timestep(between)).unwrap();
            let back = schedule.time_at(level.log_snr()).unwrap();
            let found = schedule.level(back).unwrap();
            // Where an end is cut off several times have one level; a clock of up to 1000 is rounded.
            let off = (found.log_snr().get() - level.log_snr().get()).abs();
            assert!(off < 1e-9, "{class} at {between}: {back:?}");
        }
    }
}

#[test]
fn edges_of_step_counts_and_lists() {
    // As many as the original steps of the strength leave, and one more.
    let lcm = read(json!({ "_class_name": "LCMScheduler" })).unwrap();
    let lcm = lcm.with_options(|o| o.strength = Some(0.5));
    assert_eq!(lcm.plan(25).unwrap().steps(), 25);
    assert!(lcm.plan(26).is_err());
    // Equal sigmas are no way down.
    let flow = read(json!({ "_class_name": "FlowMatchEulerDiscreteScheduler" })).unwrap();
    let given = |list: [f64; 3]| {
        let config = flow
            .clone()
            .with_options(|o| o.sigmas = Some(list.to_vec()));
        config.plan(3).map(|plan| plan.steps())
    };
    assert_eq!(given([1.0, 0.5, 0.2]).unwrap(), 3);
    assert!(given([1.0, 0.5, 0.5]).is_err() && given([1.0, 0.2, 0.5]).is_err());
    let ends = |class: &str| {
        let (noisy, clean) = read(json!({ "_class_name": class }))
            .unwrap()
            .schedule()
            .ends();
        (noisy.0, clean.0)
    };
    let arc = |sigma: f64| sigma.atan() / std::f64::consts::FRAC_PI_2;
    let (noisy, clean) = ends("CosineDPMSolverMultistepScheduler");
    assert!((noisy - arc(500.0)).abs() < 1e-15 && (clean - arc(0.3)).abs() < 1e-15);
    assert_eq!(ends("ScoreSdeVeScheduler"), (1348.0, 0.01));
    assert_eq!(ends("IPNDMScheduler"), (1.0, 0.0));
    assert_eq!(ends("DDPMWuerstchenScheduler"), (1.0, 0.0));
    assert_eq!(ends("SCMScheduler"), (std::f64::consts::FRAC_PI_2, 0.0));
    assert_eq!(ends("MiniMaxH3Scheduler"), (0.0, 1.0));
    assert_eq!(ends("FlowMatchEulerDiscreteScheduler"), (1000.0, 0.0));
    assert_eq!(ends("DDPMScheduler"), (999.0, 0.0));
    // The clock of EDM spans the sigmas of its grids, and that of classes told to be continuous up to 700.
    let edm = json!({ "_class_name": "EDMEulerScheduler" });
    let video = json!({ "_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous",
        "prediction_type": "v_prediction", "sigma_min": 0.002, "sigma_max": 700.0, "use_karras_sigmas": true });
    for (file, most) in [(edm, 80_f64), (video, 700.0)] {
        let (noisy, clean) = read(file).unwrap().schedule().ends();
        assert_eq!(
            (noisy.0, clean.0),
            (0.25 * most.ln(), 0.25 * 0.002_f64.ln())
        );
    }
}

/// The last step falls to the first order below 15 steps of the whole list: `len(self.timesteps) < 15`.
#[test]
fn the_last_of_fifteen_steps_keeps_its_order() {
    for class in ["DPMSolverMultistepScheduler", "DEISMultistepScheduler"] {
        let file = json!({ "_class_name": class, "final_sigmas_type": "sigma_min" });
        let config = read(file).unwrap();
        let used = |plan: Plan<Timestep>| {
            let last = plan.stages().last().unwrap().stage.commit.clone().unwrap();
            last.model.iter().filter(|c| **c != 0.0).count()
        };
        for (n, predictions) in [(14, 1), (15, 2), (16, 2)] {
            assert_eq!(used(config.plan(n).unwrap()), predictions, "{class}, {n}");
            // Of a part, the whole list counts.
            let part = config.plan_tail(n, 8).unwrap();
            assert_eq!(used(part), predictions, "{class}, 8 of {n}");
        }
    }
}

#[test]
fn every_class_is_tried_here() {
    let mut tried: Vec<_> = CLASSES.iter().map(|(class, _)| *class).collect();
    let mut all: Vec<_> = gaussian_diffusion::config::classes().collect();
    tried.sort_unstable();
    all.sort_unstable();
    assert_eq!(tried, all);
}

/// Levels of the clocks that are no table, by what they count.
#[test]
fn clocks_have_their_closed_forms() {
    let class = |name: &str| json!({ "_class_name": name });
    let continuous = json!({ "_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous",
        "prediction_type": "v_prediction" });
    let quarter = |t: f64| (t * std::f64::consts::FRAC_PI_2).sin_cos();
    let turned = |offset: f64, u: f64| quarter((u + offset) / (1.0 + offset)).1;
    let of_alpha_bar = |alpha_bar: f64| (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
    let wuerstchen =
        |u: f64, offset: f64| of_alpha_bar((turned(offset, u) / turned(offset, 0.0)).powi(2));
    let paced =
        |pace: f64| json!({ "_class_name": "DDPMWuerstchenScheduler", "scaler": pace, "s": 0.1 });
    for (file, time, (alpha, sigma)) in [
        (continuous, 0.3, of_alpha_bar(1.0 / (1.0 + 2.4_f64.exp()))),
        (class("EDMEulerScheduler"), 0.3, (1.0, 1.2_f64.exp())),
        (
            class("CMStochasticIterativeScheduler"),
            300.0,
            (1.0, 1.2_f64.exp()),
        ),
        (class("CosineDPMSolverMultistepScheduler"), 0.5, (1.0, 1.0)),
        (
            class("CosineDPMSolverMultistepScheduler"),
            0.75,
            (1.0, 1.0 + 2.0_f64.sqrt()),
        ),
        (class("ScoreSdeVeScheduler"), 7.5, (1.0, 7.5)),
        (
            class("IPNDMScheduler"),
            0.25,
            (quarter(0.25).1, quarter(0.25).0),
        ),
        (
            class("SCMScheduler"),
            0.4,
            (0.4_f64.cos(), 0.5 * 0.4_f64.sin()),
        ),
        (class("FlowMatchEulerDiscreteScheduler"), 300.0, (0.7, 0.3)),
        (class("MiniMaxH3Scheduler"), 0.3, (0.3, 0.7)),
        (
            class("DDPMWuerstchenScheduler"),
            0.4,
            wuerstchen(0.4, 0.008),
        ),
        (paced(2.5), 0.4, wuerstchen(1.0 - 0.6_f64.powf(2.5), 0.1)),
        (paced(0.4), 0.4, wuerstchen(0.4_f64.powf(0.4), 0.1)),
        // Cut off at both ends.
        (
            class("DDPMWuerstchenScheduler"),
            0.0,
            of_alpha_bar(1.0 - 1e-4),
        ),
        (class("DDPMWuerstchenScheduler"), 1.0, of_alpha_bar(1e-4)),
    ] {
        let text = file.to_string();
        let config = read(file).unwrap();
        let schedule = config.schedule();
        let level = schedule.level(Timestep(time)).unwrap();
        let same = |level: NoiseLevel| {
            let off = (level.alpha() / alpha - 1.0)
                .abs()
                .max((level.sigma() / sigma - 1.0).abs());
            assert!(off < 1e-12, "{text} at {time}: {level:?}");
        };
        same(level);
        // The same level by its log-SNR, which has that time.
        let snr = LogSnr::new(2.0 * (alpha / sigma).ln()).unwrap();
        same(schedule.level_at(snr).unwrap());
        // Where it is cut off several times have one level.
        if time == 0.0 || time == 1.0 {
            continue;
        }
        let found = schedule.time_at(snr).unwrap().0;
        assert!(
            (found - time).abs() < 1e-9 * time.max(1.0),
            "{text}: {found} for {time}"
        );
    }
}

/// A last step without signal is one with a trace of it in classes that count in sigma, also where the steps before it
/// have less; on the way there, log-SNRs are even.
#[test]
fn steps_before_a_trace_of_signal() {
    let latents =
        json!({ "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012 });
    let tables = [
        (latents, Discrete::stable_diffusion()),
        (json!({}), Discrete::ddpm(1000)),
    ];
    for (mut file, table) in tables {
        file["_class_name"] = json!("EulerDiscreteScheduler");
        file["rescale_betas_zero_snr"] = json!(true);
        let config = read(file).unwrap();
        let snr = |t: f64| {
            let level = config.schedule().level(Timestep(t)).unwrap();
            level.log_snr().get()
        };
        let table = table.unwrap().zero_terminal_snr().unwrap();
        let before = table.levels()[998].log_snr().get();
        // Its alpha_bar is 2^-24.
        let last = (2.0_f64.powi(-24) / (1.0 - 2.0_f64.powi(-24))).ln();
        for share in [0.0, 0.25, 0.5, 0.9, 1.0] {
            let (found, expected) = (snr(998.0 + share), before + share * (last - before));
            assert!(
                (found - expected).abs() < 1e-9,
                "{share}: {found} for {expected}"
            );
        }
        let off = snr(997.0) - table.levels()[997].log_snr().get();
        assert!(off.abs() < 1e-9);
        assert!(config.schedule().level(Timestep(999.5)).is_err());
    }
}

/// A step up has the clipped data in it, beside the noise as it was.
#[test]
fn clipping_upwards_keeps_the_noise() {
    let file = json!({ "_class_name": "DDIMInverseScheduler", "clip_sample": true });
    let config = read(file).unwrap();
    let plan = config.plan(5).unwrap();
    let at = plan.stages()[2].point;
    let (from, to) = (at.level, at.to);
    assert!(to.is_noisier_than(from) && !from.is_clean());
    let mut net = config.denoiser(|x: &Array2<f64>, _| Ok(x.mapv(|_| 0.7)));
    for x in [-9.0, 0.3, 5.0] {
        let answer = net.predict(&Array2::from_elem((1, 1), x), at).unwrap();
        assert_eq!(answer.parameterization, Parameterization::Noise);
        let noise = answer.value[[0, 0]];
        let data = ((x - from.sigma() * 0.7) / from.alpha()).clamp(-1.0, 1.0);
        let ratio = to.alpha() / from.alpha();
        let found = ratio * x + (to.sigma() - ratio * from.sigma()) * noise;
        let expected = to.alpha() * data + to.sigma() * 0.7;
        assert!(
            (found - expected).abs() < 1e-12,
            "{x}: {found} for {expected}"
        );
    }
}

/// A sequence is measured against one that has a length.
#[test]
fn sequences_have_a_length_to_be_compared_with() {
    let mu = |base: f64| {
        let file = json!({ "_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true,
            "base_image_seq_len": base });
        let config = read(file).unwrap();
        let config = config.with_options(|o| o.sequence = Some(SequenceLength::CogView4(4096)));
        config.plan(4).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(mu(64.0), Ok(()));
    let refused = mu(0.0).unwrap_err();
    assert!(refused.ends_with("allowed: above 0"), "{refused}");
}
