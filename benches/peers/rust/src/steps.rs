//! Steps of this crate's runs, from the configurations that diffusers gets too.

use std::time::Duration;

use gaussian_diffusion::{
    Error, Plan, Prediction,
    config::{SchedulerConfig, Timestep},
    noise::{Interval, NoiseSource, Scale},
};

use crate::{Fallible, Row, Shape, Tensor, runs::Runs, values};

const STEPS: usize = 50;
/// What the probe runs, from a start with a warm history on.
const PROBED: usize = 5;

fn plan(name: &str) -> Fallible<Plan<Timestep>> {
    let schedulers: serde_json::Value =
        serde_json::from_str(include_str!("../../schedulers.json"))?;
    let scheduler = schedulers.get(name).ok_or(format!("no row {name}"))?;
    Ok(SchedulerConfig::from_json(&scheduler.to_string())?.plan(STEPS)?)
}

/// Steps in the middle of runs, with a rest before each where the name ends in `@rested`.
pub fn row(name: &str, shape: Shape) -> Fallible<Row> {
    let (name, pause) = match name.strip_suffix("@rested") {
        Some(name) => (name, Duration::from_micros(300)),
        None => (name, Duration::ZERO),
    };
    // As long as the program, so that runs can be kept beside it.
    let plan: &'static _ = Box::leak(Box::new(plan(name)?));
    let mut runs = Runs::new(plan, values(shape, 0), values(shape, 1)).resting(pause);
    Ok(Box::new(move |calls| Ok(runs.steps(calls as u64)?)))
}

/// What the network is shown after some steps with answers and noise that diffusers gets too.
pub fn probe(name: &str, shape: Shape) -> Fallible<Vec<f32>> {
    let plan = plan(name)?;
    let mut run = plan.start_from(values(shape, 0), &mut Given)?;
    for i in 1..=PROBED {
        run.supply(Prediction::noise(values(shape, i)), &mut Given)?;
    }
    // Not the state, which a corrector has yet to make of it.
    let (shown, _) = run.pending().ok_or("the run ended")?;
    Ok(shown.iter().copied().collect())
}

/// The last step of DDPM, which draws no noise.
pub fn end(shape: Shape) -> Fallible<Vec<f32>> {
    let config = plan("ddpm")?;
    let mut run = config.start_from(values(shape, 0), &mut Given)?;
    let mut reached = values(shape, 0);
    for _ in 0..STEPS {
        reached = run.state().clone();
        run.supply(Prediction::noise(values(shape, 1)), &mut Given)?;
    }
    // What candle is to be given, then what it is to answer.
    let mut numbers = reached.into_raw_vec_and_offset().0;
    numbers.extend(run.into_state());
    Ok(numbers)
}

/// The same noise on both sides.
struct Given;

impl NoiseSource<Tensor> for Given {
    fn add(
        &mut self,
        x: &mut Tensor,
        scale: Scale<'_, Tensor>,
        _: Option<Interval>,
    ) -> Result<(), Error> {
        if let Scale::Same(std) = scale {
            let z = values(x.dim(), 9);
            x.scaled_add(std as f32, &z);
        }
        Ok(())
    }
}
