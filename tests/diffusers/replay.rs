//! A trajectory of diffusers, run again.

use std::collections::VecDeque;

use gaussian_diffusion::{
    Denoiser, Error, Grid, NoiseLevel, NoiseSchedule, Parameterization, Plan, Sigma,
    config::{Clipping, Configured, SchedulerConfig, SequenceLength, Timestep},
    noise::{Interval, NoiseSource, Scale},
    solver::Ddim,
};
use ndarray::Array2;
use serde_json::Value;

/// The cases of a file. A case may hold NaN, which JSON does not know.
pub fn cases(path: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path)
        .unwrap()
        .replace("-Infinity", "null")
        .replace("NaN", "null");
    serde_json::from_str(&text).unwrap()
}

/// Null is NaN.
pub fn numbers(value: &Value) -> Array2<f64> {
    let list = value.as_array().unwrap().iter();
    let numbers: Vec<f64> = list.map(|x| x.as_f64().unwrap_or(f64::NAN)).collect();
    Array2::from_shape_vec((1, numbers.len()), numbers).unwrap()
}

/// The largest difference, relative to numbers above 1; NaN if either has one.
pub fn off(found: &Array2<f64>, expected: &Array2<f64>) -> f64 {
    assert_eq!(found.dim(), expected.dim());
    let pairs = found.iter().zip(expected);
    let offs = pairs.map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
    offs.fold(0.0, |worst, off| if worst >= off { worst } else { off })
}

/// Noise from the file, in the order it was drawn.
pub struct Replay(pub VecDeque<Array2<f64>>);

impl NoiseSource<Array2<f64>> for Replay {
    fn add(
        &mut self,
        x: &mut Array2<f64>,
        scale: Scale<'_, Array2<f64>>,
        _: Option<Interval>,
    ) -> Result<(), Error> {
        let z = self.0.pop_front().ok_or(Error::Missing {
            what: "a draw",
            needed_by: "the replay",
        })?;
        match scale {
            Scale::Same(std) => *x += &(z * std),
            Scale::PerElement(std) => *x += &(z * std),
            Scale::PerItem(_) => panic!("a run scales all items alike"),
        }
        Ok(())
    }

    fn discard(&mut self, _: &Array2<f64>) -> Result<(), Error> {
        // The recorded runs end with the last draw that matters.
        let _ = self.0.pop_front();
        Ok(())
    }
}

pub fn config(case: &Value) -> Result<SchedulerConfig, Error> {
    let mut file = case["config"].clone();
    file["_class_name"] = case["scheduler"].clone();
    let config = SchedulerConfig::from_json(&file.to_string())?;
    let argument = |key: &str| case["step_args"][key].as_f64();
    let sigma = |key: &str| argument(key).map(|s| Sigma::new(s).unwrap());
    let set = &case["set_timesteps"];
    Ok(config.with_options(|options| {
        options.eta = argument("eta");
        options.churn = argument("s_churn").unwrap_or(0.0);
        options.churn_range = sigma("s_tmin").zip(sigma("s_tmax"));
        options.noise_factor = argument("s_noise").unwrap_or(1.0);
        options.mu = set["mu"].as_f64();
        let length = set["length"].as_u64();
        options.sequence = length.map(|length| SequenceLength::Flux1(length as usize));
        options.sigmas = set["sigmas"]
            .as_array()
            .map(|list| list.iter().map(|s| s.as_f64().unwrap()).collect());
        if let Some(passes) = set["jump_n_sample"].as_u64() {
            options.jumps.passes = passes as usize;
        }
    }))
}

type Answer = Result<(Array2<f64>, Option<Array2<f64>>), Error>;

fn answer(x: f64, time: f64) -> f64 {
    0.8 * x.tanh() + 0.2 * (2.0 * x + time / 1000.0).cos()
}

pub fn network(
    config: &SchedulerConfig,
    learned: bool,
) -> Configured<impl FnMut(&Array2<f64>, f64) -> Answer> {
    let is_score = config.prediction() == Parameterization::Score;
    config.denoiser_with_variance(move |x: &Array2<f64>, time: f64| {
        if is_score {
            // A score of the size of one.
            let value = x.mapv(|x| answer(x / time, time) / time);
            return Ok((value, None));
        }
        let value = x.mapv(|x| answer(x, time));
        Ok((value, learned.then(|| x.mapv(|x| 0.3 * (x + 0.5).sin()))))
    })
}

/// One plan for the whole run, or one a step where diffusers steps to a neighbour that its own list
/// does not have.
fn plans(case: &Value, config: &SchedulerConfig, n: usize) -> Result<Vec<Plan<Timestep>>, Error> {
    let guessed = case["notes"].as_array().is_some_and(|notes| {
        let is = |note: &Value| note.as_str().unwrap().starts_with("neighbour_guessed");
        notes.iter().any(is)
    });
    // DDPM steps along its own list, whatever the note on the case says.
    if !guessed || case["scheduler"] == "DDPMScheduler" {
        return Ok(vec![config.plan(n)?]);
    }
    let grid = config.grid(n)?;
    let stride = (1000 / n) as f64;
    let pair = |time: Timestep| {
        let to = match time.0 - stride {
            s if s < 0.0 => NoiseLevel::CLEAN,
            s => config.schedule().level(Timestep(s))?,
        };
        let one = Grid::at(config.schedule(), &[time])?.ending_at(to)?;
        Plan::new(config.schedule(), &one, &Ddim::default())
    };
    grid.nodes().iter().map(|node| pair(node.time)).collect()
}

/// What a sample of diffusers is multiplied by to be one of ours: the classes that count in sigma keep
/// `x / alpha`.
pub fn scale(class: &str, level: NoiseLevel) -> f64 {
    let in_sigma = ["Euler", "Heun", "LMS", "KDPM2", "DPMSolverSDE"];
    match in_sigma.iter().any(|start| class.starts_with(start)) {
        true => level.alpha(),
        false => 1.0,
    }
}

/// What running a case again found.
#[derive(Default)]
pub struct Outcome {
    pub calls: usize,
    pub x0s: usize,
    /// The largest difference of what the network was given and shown.
    pub greatest: f64,
    pub failed: Vec<String>,
    pub without_value: bool,
}

/// Runs a case again: what it is given and shown, every sample, and the predicted data.
pub fn replay(case: &Value) -> Result<Outcome, Error> {
    let class = case["scheduler"].as_str().unwrap();
    let n = case["steps"].as_u64().unwrap() as usize;
    let config = config(case)?;
    let mut out = Outcome::default();
    let mut net = network(&config, case["config"]["variance_type"] == "learned_range");
    let all = case["noise"].as_array().unwrap();
    let mut noise = Replay(all.iter().map(numbers).collect());
    let mut expected = case["calls"].as_array().unwrap().iter().peekable();
    let mut x: Option<Array2<f64>> = None;
    let is_empty = case["config"]["set_alpha_to_one"] == false
        && class == "DDIMInverseScheduler"
        && case["calls"][0]["timestep"] == 0.0;
    if is_empty {
        // From the level of step 0 to itself.
        let _ = expected.next();
    }
    for plan in plans(case, &config, n)? {
        let start = || numbers(&case["start"]) * scale(class, plan.levels()[0]);
        let mut run = plan.start_from(x.take().unwrap_or_else(start), &mut noise)?;
        while let Some((seen, at)) = run.pending() {
            let Some(call) = expected.next() else {
                out.failed.push("asks more".to_owned());
                return Ok(out);
            };
            let time = call["timestep"].as_f64().unwrap();
            let mut worst = (at.time.0 - time).abs() / time.abs().max(1.0);
            let answer = {
                let mut shown = None;
                let mut spy = config.denoiser_with_variance(|x: &Array2<f64>, _| {
                    shown = Some(x.clone());
                    Ok((x.clone(), None))
                });
                let _ = spy.predict(seen, at);
                worst = worst.max(off(&shown.unwrap(), &numbers(&call["network_input"])));
                net.predict(seen, at)?
            };
            if !(worst <= 1e-9) {
                let at = at.step;
                out.failed.push(format!("time or shown at {at}: {worst:e}"));
            }
            out.greatest = out.greatest.max(worst);
            let keeps = class.starts_with("DDIM") || class == "RePaintScheduler";
            let keeps = keeps && config.clipping() != Clipping::Nothing;
            // With churn, the data it reports is of the state with the noise added.
            let churned = case["step_args"]["s_churn"].is_number();
            let stands_alone = !keeps && !churned;
            if call["pred_original_sample"].is_array() && stands_alone {
                let x0 = answer.clone().to(Parameterization::X0, seen, at.level)?;
                let x0_off = off(&x0.value, &numbers(&call["pred_original_sample"]));
                if !(x0_off <= 1e-9) {
                    out.failed.push(format!("x0 at {}: {x0_off:e}", at.step));
                }
                out.x0s += 1;
            }
            run.supply(answer, &mut noise)?;
            out.calls += 1;
            let sample = numbers(&call["sample"]);
            if sample.iter().any(|x| x.is_nan()) {
                // The determinant of UniPC's bh1 is infinite at the clean level; the limit is not.
                assert!(run.state().iter().all(|x| x.is_finite()));
                out.without_value = true;
                continue;
            }
            // Trial states of two-stage steps, and samples corrected later, show as inputs.
            let reached = run
                .pending()
                .map_or(plan.levels()[plan.steps()], |(_, at)| at.level);
            let shown = run.pending().map_or(run.state(), |(x, _)| x);
            let is_corrected = matches!(class, "UniPCMultistepScheduler" | "SASolverScheduler");
            if !is_corrected || run.pending().is_none() {
                let sample = sample * scale(class, reached);
                let sample_off = off(shown, &sample);
                if !(sample_off <= 1e-9) && (!churned || run.pending().is_none()) {
                    out.failed
                        .push(format!("after {}: {sample_off:e}", at.step));
                }
            }
        }
        x = Some(run.into_state());
    }
    // The pipeline of sCM scales what it draws; inversions start from data.
    let level = config.grid(n)?.nodes()[0].level;
    if class != "SCMScheduler" && !class.contains("Inverse") {
        let init = case["init_noise_sigma"].as_f64().unwrap() * scale(class, level);
        let std = config.start_std(n)?;
        if !((std - init).abs() <= 1e-9 * init.max(1.0)) {
            out.failed.push(format!("starts with {std} for {init}"));
        }
    }
    // Runs that end with an empty step, at a level that is there already, ask once more.
    if let (Some(empty), Some(x)) = (expected.next(), x) {
        let level = config.grid(n)?.end();
        let off = off(&x, &(numbers(&empty["sample"]) * scale(class, level)));
        if !(off <= 1e-9) {
            out.failed
                .push(format!("the empty step at the end: {off:e}"));
        }
    }
    if expected.next().is_some() {
        out.failed.push("has more calls".to_owned());
    }
    Ok(out)
}
