//! A preview is what the data was taken to be.

use std::ops::ControlFlow;

use gaussian_diffusion::{
    Denoiser, Grid, NonMarkovian, Parameterization, Plan, Point, Prediction, SeededNoise, Step,
    config::SchedulerConfig,
    denoiser::{Clip, Corrected},
    guidance::{CfgPlusPlus, Combination, Predictors, Together},
    predicts,
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};
use ndarray::Array2;

use crate::{Batch, start};

fn previews<T: Copy + std::fmt::Debug>(
    plan: &Plan<T>,
    net: &mut impl Denoiser<Batch, T>,
) -> Vec<Batch> {
    let mut all = Vec::new();
    let observe = |seen: gaussian_diffusion::plan::Observation<'_, Batch, T>| {
        all.push(seen.x0().unwrap());
        ControlFlow::Continue(())
    };
    let mut noise = SeededNoise::new(0);
    plan.sample_observed(start(2), net, &mut noise, observe)
        .unwrap();
    all
}

fn most(all: &[Batch]) -> f64 {
    all.iter().flatten().fold(0.0, |most, x| most.max(x.abs()))
}

/// A network whose data lies far outside of the range.
fn wild<T>() -> impl Denoiser<Batch, T> {
    predicts::noise(|x: &Batch, _: Point<T>| 0.5 * x)
}

/// The clip keeps the noise as it was, for which another value was answered: up to 36.8.
#[test]
fn a_clipping_ddim_shows_clipped_data() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let grid = Grid::leading(&schedule, 20, 1).unwrap();
    for eta in [0.0, 0.5, 1.0] {
        let plan = Plan::new(&schedule, &grid, &Ddim::new(eta).unwrap()).unwrap();
        let clipped = Corrected::new(wild(), Clip::new(-1.0, 1.0).unwrap());
        let mut net = clipped.keeping_noise(NonMarkovian::new(eta).unwrap());
        let all = previews(&plan, &mut net);
        assert_eq!((all.len(), most(&all)), (20, 1.0), "eta {eta}");
        // What the solver is given is not that.
        let at = plan.stages()[3].point;
        let answer = net.predict(&start(2), at).unwrap();
        let value = answer
            .value
            .iter()
            .fold(0.0_f64, |most, x| most.max(x.abs()));
        assert!(value > 1.5, "{value}");
        assert!(answer.data.unwrap().iter().all(|x| x.abs() <= 1.0));
    }
    let plan = Plan::new(&schedule, &grid, &Ddpm::default()).unwrap();
    let mut net = Corrected::new(wild(), Clip::new(-1.0, 1.0).unwrap());
    assert_eq!(most(&previews(&plan, &mut net)), 1.0);
}

#[test]
fn configurations_show_clipped_data() {
    for class in [
        "DDIMScheduler",
        "DDIMInverseScheduler",
        "RePaintScheduler",
        "DDPMScheduler",
    ] {
        let text = format!(r#"{{"_class_name": "{class}", "clip_sample": true}}"#);
        let config = SchedulerConfig::from_json(&text).unwrap();
        let plan = config.plan(20).unwrap();
        let mut net = config.denoiser(|x: &Batch, _| Ok(0.5 * x));
        let all = previews(&plan, &mut net);
        assert!(most(&all) <= 1.0, "{class}: {}", most(&all));
    }
}

/// The step goes to the guided data, beside the noise of the unconditional prediction.
#[test]
fn cfg_plus_plus_shows_the_guided_data() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let grid = Grid::leading(&schedule, 5, 1).unwrap();
    let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    let with = predicts::x0(|x: &Batch, _: Point<Step>| 0.4 * x);
    let without = predicts::x0(|x: &Batch, _: Point<Step>| 0.2 * x);
    let mut net = CfgPlusPlus::new((with, without), Combination::classifier_free(0.6).unwrap());
    let at = plan.stages()[2].point;
    let answer = net.predict(&start(2), at).unwrap();
    let guided: Batch = 0.32 * start(2);
    assert!(
        (answer.data.unwrap() - &guided)
            .iter()
            .all(|d| d.abs() < 1e-15)
    );
    assert!(
        (answer.value + answer.shift.unwrap() - guided)
            .iter()
            .all(|d| d.abs() < 1e-15)
    );
}

/// An adapter that changes the value has another preview than the one before it.
#[test]
fn a_changed_value_is_its_own_preview() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let grid = Grid::leading(&schedule, 5, 1).unwrap();
    let at = Plan::new(&schedule, &grid, &Ddim::default())
        .unwrap()
        .stages()[2]
        .point;
    let carrying = || {
        predicts::with(|x: &Batch, _: Point<Step>| {
            Ok(Prediction::x0(2.0 * x).with_data(Array2::from_elem(x.dim(), 9.0)))
        })
    };
    let mut net = carrying().clipped(-0.5, 0.5).unwrap();
    assert_eq!(net.predict(&start(2), at).unwrap().data, None);
    let mut net =
        Denoiser::<Batch, Step>::corrected(carrying(), |x0: &mut Batch, _: Point<Step>| {
            *x0 *= 0.5;
            Ok(())
        });
    assert_eq!(net.predict(&start(2), at).unwrap().data, None);
    // Other terms are the same prediction; parts of a batch have their part.
    let x = start(2);
    let answer = carrying().predict(&x, at).unwrap();
    let answer = answer.to(Parameterization::Noise, &x, at.level).unwrap();
    assert_eq!(answer.data, Some(Array2::from_elem((2, 3), 9.0)));
    let mut both = Together::new(carrying(), 2).unwrap();
    let parts = Predictors::predict(&mut both, &x, at, &[true, true]).unwrap();
    let data = |part: &Option<Prediction<Batch>>| part.clone().unwrap().data.unwrap().dim();
    assert_eq!(parts.iter().map(data).collect::<Vec<_>>(), [(2, 3); 2]);
}
