//! The example beside candle-transformers, and beside itself with one prediction after the other.

mod common;

use candle_core::Tensor;
use candle_transformers::models::stable_diffusion::{
    ddim::DDIMSchedulerConfig,
    schedulers::{PredictionType, SchedulerConfig},
};
use common::network;
use gaussian_diffusion::{
    Error, Grid, NoiseSchedule, Plan, SeededNoise, Step,
    guidance::{Combination, Guided},
    schedule::Discrete,
    solver::Ddim,
};
use with_candle::{Pictures, array, denoiser, plan, sample, tensor};

const CLASSES: [u32; 3] = [3, 1, 4];

fn largest(x: &Pictures) -> f32 {
    x.iter().fold(0.0, |most, x| most.max(x.abs()))
}

/// DDIM as the example of Stable Diffusion in candle's repository drives it.
fn by_candle_transformers(steps: usize, start: &Pictures) -> candle_core::Result<Tensor> {
    let net = network();
    let config = DDIMSchedulerConfig {
        prediction_type: PredictionType::Epsilon,
        ..DDIMSchedulerConfig::default()
    };
    let mut scheduler = config.build(steps)?;
    let mut x = (tensor(start)? * scheduler.init_noise_sigma())?;
    for t in scheduler.timesteps().to_vec() {
        let shown = scheduler.scale_model_input(x.clone(), t)?;
        let answer = net.forward(&shown, t as f64, &CLASSES)?;
        x = scheduler.step(&answer, t, &x)?;
    }
    Ok(x)
}

#[test]
fn ddim_is_that_of_candle_transformers() {
    let schedule = Discrete::stable_diffusion().unwrap();
    // Measured: 3e-7, 5e-7 and 11e-7, where one rounding of f32 is 0.6e-7 and theirs makes six in a step.
    for (steps, tolerance) in [(5, 1e-6), (20, 1e-6), (50, 2.5e-6)] {
        // Its last step ends at the first level that was trained, not at the data.
        let grid = Grid::leading(&schedule, steps, 1).unwrap();
        let grid = grid
            .ending_at(schedule.level(Step::new(0)).unwrap())
            .unwrap();
        let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
        let mut noise = SeededNoise::new(2);
        let start: Pictures = plan.prior((3, 3, 16, 16), &mut noise).unwrap();

        let theirs = array(&by_candle_transformers(steps, &start).unwrap()).unwrap();
        let net = network();
        let mut denoiser = denoiser(&net, CLASSES.to_vec());
        let ours = plan.sample(start, &mut denoiser, &mut noise).unwrap();
        let (off, size) = (largest(&(&ours - &theirs)), largest(&theirs));
        println!("{steps} steps: {off:e} at size {size}");
        assert!(
            size > 1.0 && off < tolerance * size,
            "{steps} steps: {off:e} at {size}"
        );
    }
}

#[test]
fn both_predictions_in_one_batch_are_those_of_two() {
    let net = network();
    let together = sample(&net, &CLASSES, 10, 7.5).unwrap();
    let each = (
        denoiser(&net, CLASSES.to_vec()),
        denoiser(&net, vec![10; 3]),
    );
    let mut guided = Guided::new(each, Combination::classifier_free(7.5).unwrap());
    let (plan, mut noise) = (plan().unwrap(), SeededNoise::new(42));
    let start = plan.prior((3, 3, 16, 16), &mut noise).unwrap();
    let one_by_one = plan.sample(start, &mut guided, &mut noise).unwrap();
    let (off, size) = (largest(&(&together - &one_by_one)), largest(&together));
    println!("{off:e} at size {size}");
    assert!(size > 1.0 && off < 1e-4 * size, "{off:e} at {size}");
}

#[test]
fn an_error_of_candle_is_kept() {
    // No such class.
    let error = sample(&network(), &[3, 99], 10, 2.0).unwrap_err();
    assert!(matches!(error, Error::Network { .. }), "{error}");
    let source = std::error::Error::source(&error).unwrap();
    assert!(source.is::<candle_core::Error>(), "{source}");
}
