//! DDPM, DDIM and inverted DDIM against trajectories of the diffusers library.

use gaussian_diffusion::{
    Denoiser, Error, Generalized, Grid, ModelVariance, NoiseLevel, NoiseSchedule, Parameterization,
    Plan, Point, Prediction, ReverseStep, Step,
    denoiser::{Correction, DynamicThreshold},
    noise::{Interval, NoiseSource, Scale},
    predicts,
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};
use ndarray::Array2;
use serde_json::Value;

fn cases() -> Vec<Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/reference/diffusers.json"
    );
    // A case of another scheduler ends in NaN, which JSON does not know.
    let text = std::fs::read_to_string(path)
        .unwrap()
        .replace("NaN", "null");
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let steps_only = ["DDPMScheduler", "DDIMScheduler", "DDIMInverseScheduler"];
    let wanted = |case: &Value| steps_only.iter().any(|name| case["scheduler"] == *name);
    all.into_iter().filter(wanted).collect()
}

fn numbers(value: &Value) -> Array2<f64> {
    let numbers: Vec<f64> = value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect();
    Array2::from_shape_vec((1, numbers.len()), numbers).unwrap()
}

/// The largest difference, relative to numbers above 1.
fn off(found: &Array2<f64>, expected: &Value) -> f64 {
    let expected = numbers(expected);
    assert_eq!(found.dim(), expected.dim());
    let pairs = found.iter().zip(&expected);
    pairs.fold(0.0, |worst, (a, b)| {
        f64::max(worst, (a - b).abs() / b.abs().max(1.0))
    })
}

/// Noise from the file, in the order it was drawn.
struct Replay(Vec<Array2<f64>>);

impl NoiseSource<Array2<f64>> for Replay {
    fn add(
        &mut self,
        x: &mut Array2<f64>,
        scale: Scale<'_, Array2<f64>>,
        _: Option<Interval>,
    ) -> Result<(), Error> {
        let z = self.0.remove(0);
        match scale {
            Scale::Same(std) => *x += &(z * std),
            Scale::PerElement(std) => *x += &(z * std),
            Scale::PerItem(_) => panic!("a run scales all items alike"),
        }
        Ok(())
    }
}

fn schedule(config: &Value) -> Discrete {
    let get = |key: &str, default: f64| config[key].as_f64().unwrap_or(default);
    let steps = get("num_train_timesteps", 1000.0) as usize;
    let (first, last) = (get("beta_start", 1e-4), get("beta_end", 0.02));
    let schedule = match config["beta_schedule"].as_str().unwrap() {
        "linear" => Discrete::linear(steps, first, last),
        "scaled_linear" => Discrete::scaled_linear(steps, first, last),
        "squaredcos_cap_v2" => Discrete::cosine(steps),
        other => panic!("schedule {other}"),
    }
    .unwrap();
    match config["rescale_betas_zero_snr"].as_bool() {
        Some(true) => schedule.zero_terminal_snr().unwrap(),
        _ => schedule,
    }
}

fn solver(case: &Value) -> Box<dyn ReverseStep> {
    if case["scheduler"] != "DDPMScheduler" {
        return Box::new(Ddim::new(eta(case)).unwrap());
    }
    Box::new(Ddpm::new(
        match case["config"]["variance_type"]
            .as_str()
            .unwrap_or("fixed_small")
        {
            "fixed_small" => ModelVariance::FixedSmall,
            "fixed_large" => ModelVariance::FixedLarge,
            "learned_range" => ModelVariance::LearnedRange,
            other => panic!("variance {other}"),
        },
    ))
}

/// The network, before anything is made of its answer.
fn raw_network(case: &Value) -> impl Denoiser<Array2<f64>, Step> + 'static {
    let learned = case["config"]["variance_type"] == "learned_range";
    let parameterization = match case["config"]["prediction_type"]
        .as_str()
        .unwrap_or("epsilon")
    {
        "epsilon" => Parameterization::Noise,
        "sample" => Parameterization::X0,
        "v_prediction" => Parameterization::Velocity,
        other => panic!("prediction {other}"),
    };
    predicts::with(move |x: &Array2<f64>, at: Point<Step>| {
        let t = at.time.get() / 1000.0;
        let value = x.mapv(|x| 0.8 * x.tanh() + 0.2 * (2.0 * x + t).cos());
        let answer = Prediction::new(value, parameterization);
        Ok(match learned {
            true => answer.with_variance(x.mapv(|x| 0.3 * (x + 0.5).sin())),
            false => answer,
        })
    })
}

fn eta(case: &Value) -> f64 {
    case["step_args"]["eta"].as_f64().unwrap_or(0.0)
}

fn threshold(case: &Value) -> Option<DynamicThreshold> {
    let config = &case["config"];
    (config["thresholding"] == true).then(|| {
        let ratio = config["dynamic_thresholding_ratio"].as_f64().unwrap();
        let most = config["sample_max_value"].as_f64().unwrap();
        DynamicThreshold::new(ratio).unwrap().at_most(most).unwrap()
    })
}

fn network(case: &Value) -> Box<dyn Denoiser<Array2<f64>, Step>> {
    let net = raw_network(case);
    let posterior = Generalized::new(eta(case)).unwrap();
    if let Some(threshold) = threshold(case) {
        return Box::new(net.corrected(threshold).keeping_noise(posterior));
    }
    // The classes clip unless told otherwise.
    if !case["config"]["clip_sample"].as_bool().unwrap_or(true) {
        return Box::new(net);
    }
    let clipped = net.clipped(-1.0, 1.0).unwrap();
    match case["scheduler"] == "DDPMScheduler" {
        true => Box::new(clipped),
        false => Box::new(clipped.keeping_noise(posterior)),
    }
}

/// The plan of each network call: one for the whole run, or one a step where diffusers steps to a
/// neighbour that its own list does not have.
fn plans(case: &Value, schedule: &Discrete) -> Vec<Plan<Step>> {
    let config = &case["config"];
    let n = case["steps"].as_u64().unwrap() as usize;
    let solver = solver(case);
    let offset = config["steps_offset"].as_u64().unwrap_or(0) as usize;
    let end = match config["set_alpha_to_one"].as_bool().unwrap_or(true) {
        true => NoiseLevel::CLEAN,
        false => schedule.level_at_step(0).unwrap(),
    };
    let plan = |grid: Grid<Step>| Plan::new(schedule, &grid, &solver).unwrap();
    let grid = match config["timestep_spacing"].as_str().unwrap_or("leading") {
        "leading" => Grid::leading(schedule, n, offset),
        "trailing" => Grid::trailing(schedule, n),
        "linspace" => Grid::linspace(schedule, n),
        other => panic!("spacing {other}"),
    }
    .and_then(|grid| grid.ending_at(end))
    .unwrap();
    if case["scheduler"] == "DDIMInverseScheduler" {
        // It tells the network the time it goes to.
        let told: Vec<_> = grid.nodes().iter().rev().map(|node| node.time).collect();
        return vec![plan(grid.inverted().telling(&told).unwrap())];
    }
    // DDPM steps along its own list, whatever the note on the case says.
    if !case["notes"].is_array() || case["scheduler"] == "DDPMScheduler" {
        return vec![plan(grid)];
    }
    let stride = schedule.len() / n;
    let pair = |node: &gaussian_diffusion::grid::Node<Step>| {
        let before = node.time.index().unwrap().checked_sub(stride);
        let to = before.map_or(end, |s| schedule.level_at_step(s).unwrap());
        plan(
            Grid::at(schedule, &[node.time])
                .unwrap()
                .ending_at(to)
                .unwrap(),
        )
    };
    grid.nodes().iter().map(pair).collect()
}

#[test]
fn trajectories_agree_to_1e_9() {
    let (mut runs, mut calls, mut x0s) = (0, 0, 0);
    for case in cases() {
        let name = case["name"].as_str().unwrap();
        let schedule = schedule(&case["config"]);
        let (mut net, mut raw) = (network(&case), raw_network(&case));
        let mut noise = Replay(
            case["noise"]
                .as_array()
                .unwrap()
                .iter()
                .map(numbers)
                .collect(),
        );
        let mut x = numbers(&case["start"]);
        let mut expected = case["calls"].as_array().unwrap().iter();
        for plan in plans(&case, &schedule) {
            let mut run = plan.start_from(x, &mut noise).unwrap();
            while let Some((seen, at)) = run.pending() {
                let call = expected.next().unwrap();
                assert_eq!(at.time.get(), call["timestep"].as_f64().unwrap(), "{name}");
                assert!(off(seen, &call["network_input"]) <= 1e-9, "{name}, {at:?}");
                let answer = net.predict(seen, at).unwrap();
                // An adapter that keeps the noise answers with a moved x0.
                let x0 = match threshold(&case) {
                    None => answer.clone(),
                    Some(_) => raw.predict(seen, at).unwrap(),
                };
                let mut x0 = x0.to(Parameterization::X0, seen, at.level).unwrap().value;
                if let Some(mut threshold) = threshold(&case) {
                    threshold.correct(&mut x0, at).unwrap();
                }
                if call["pred_original_sample"].is_array() {
                    let off = off(&x0, &call["pred_original_sample"]);
                    assert!(off <= 1e-9, "{name}, x0 at {at:?}: {off:e}");
                    x0s += 1;
                }
                run.supply(answer, &mut noise).unwrap();
                let off = off(run.state(), &call["sample"]);
                assert!(off <= 1e-9, "{name}, after {at:?}: {off:e}");
                calls += 1;
            }
            x = run.into_state();
        }
        assert!(expected.next().is_none(), "{name} has more calls");
        // diffusers draws for a stochastic step to the data as well, and adds at most 1e-10 of it.
        let last_told = case["calls"].as_array().unwrap().last().unwrap()["timestep"].as_f64();
        let unused = match case["scheduler"] == "DDPMScheduler" {
            true => last_told > Some(0.0),
            false => eta(&case) > 0.0,
        };
        assert_eq!(noise.0.len(), usize::from(unused), "{name}: noise left");
        runs += 1;
    }
    assert_eq!((runs, calls, x0s), (27, 296, 296));
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
        .sample(Array2::ones((1, 2)), &mut net, &mut Replay(Vec::new()))
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
    let mut noise = Replay(vec![Array2::from(Z.to_vec())]);
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
        .keeping_noise(Generalized::new(eta).unwrap());
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
