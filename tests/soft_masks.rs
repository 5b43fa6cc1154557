//! Masks of every softness: on point data the deviation of the state is that of its level, whatever the
//! weight, the noise, the schedule and the solver.

use std::fmt::Debug;

use gaussian_diffusion::{
    Clock, Denoiser, GaussianMixture, Grid, NoiseLevel, NoiseSchedule, Plan, Point, Sampler,
    SeededNoise, Sigma,
    editing::{Edit, Inpaint, Known, StepEnd},
    predicts,
    schedule::{Discrete, Edm, RectifiedFlow},
    solver::Ddim,
};
use ndarray::{Array2, Axis, array};

const WEIGHTS: [f32; 6] = [0.0, 0.05, 0.3, 0.5, 0.97, 1.0];
const ITEMS: usize = 1500;
/// Five deviations of the deviation of so many numbers, relative. Measured: 0.06 at the most.
const SAMPLING: f64 = 0.0913;

fn known() -> Known<Array2<f32>> {
    let shape = (ITEMS, WEIGHTS.len());
    let mask = Array2::from_shape_fn(shape, |(_, j)| WEIGHTS[j]);
    Known::new(Array2::from_elem(shape, 2.0), mask).unwrap()
}

/// The deviations of the state at these weights are those of its level.
fn check(x: &Array2<f32>, level: NoiseLevel, weights: usize, what: &dyn Debug) {
    if level.is_clean() {
        return;
    }
    let stds = x.mapv(f64::from).std_axis(Axis(0), 0.0);
    for (std, weight) in stds.iter().zip(WEIGHTS).take(weights) {
        let off = std / level.sigma() - 1.0;
        assert!(off.abs() < SAMPLING, "{what:?}, weight {weight}: {off}");
    }
}

/// Every named sampler on this schedule, by every way of keeping known parts, at all levels.
fn every_sampler<S: NoiseSchedule>(schedule: &S)
where
    S::Time: Clock + Debug,
{
    let point = GaussianMixture::point(&[-1.0; WEIGHTS.len()]).unwrap();
    for sampler in Sampler::all() {
        let Ok(plan) = sampler.plan(schedule, 8) else {
            continue;
        };
        // Of a point, guided data and free data are the same.
        let displaces = sampler.solver().needs_cfg_plus_plus();
        let exact = |x: &Array2<f32>, at: Point<S::Time>| {
            let answer = Denoiser::<Array2<f32>, S::Time>::predict(&mut point.clone(), x, at)?;
            Ok(match displaces {
                true => answer.with_shift(Array2::zeros(x.dim())),
                false => answer,
            })
        };
        let data = Array2::from_elem((ITEMS, WEIGHTS.len()), -1.0);
        let start = plan.noised(&data, &mut SeededNoise::new(1)).unwrap();
        let inpaint = |seed| Inpaint::new(known(), SeededNoise::new(seed));
        // Held noise, also that of the start of the run, and fresh noise; of which a state that is replaced
        // once more at every level has another for what the solver remembers, until it is replaced.
        for (mut inpaint, before) in [
            (inpaint(7).with_held_noise(), WEIGHTS.len()),
            (inpaint(1).with_held_noise(), WEIGHTS.len()),
            (inpaint(7), WEIGHTS.len() - 1),
        ] {
            let mut watched = |x: &mut Array2<f32>, at: StepEnd| {
                check(x, at.level, before, &(&sampler, at));
                inpaint.edit(x, at)?;
                check(x, at.level, WEIGHTS.len(), &(&sampler, at));
                Ok(())
            };
            let mut noise = SeededNoise::new(9);
            let end = plan
                .sample_edited(
                    start.clone(),
                    &mut predicts::with(exact),
                    &mut watched,
                    &mut noise,
                )
                .unwrap();
            if plan.levels()[plan.steps()].is_clean() {
                assert!(end.column(WEIGHTS.len() - 1).iter().all(|x| *x == 2.0));
            }
        }
        let net = predicts::with(|x: &Array2<f32>, at: Point<S::Time>| {
            check(x, at.level, WEIGHTS.len(), &(&sampler, at.step));
            exact(x, at)
        });
        let mut net = Denoiser::<Array2<f32>, S::Time>::corrected(net, known());
        let end = plan
            .sample(start, &mut net, &mut SeededNoise::new(9))
            .unwrap();
        for (end, weight) in end.mean_axis(Axis(0)).unwrap().iter().zip(WEIGHTS) {
            // The blended data, as far as the noise that is left, which has the mean of the start in it.
            let level = plan.levels()[plan.steps()];
            let wanted = level.alpha() as f32 * (2.0 * weight - (1.0 - weight));
            let left = level.sigma() as f32 * (5.0 / (ITEMS as f32).sqrt() + 0.3);
            assert!((end - wanted).abs() < 1e-3 + left, "{sampler}: {end}");
        }
    }
}

#[test]
fn deviations_are_those_of_the_levels_where_variance_is_preserved() {
    every_sampler(&Discrete::stable_diffusion().unwrap());
}

#[test]
fn deviations_are_those_of_the_levels_where_variance_explodes() {
    let sigma = |x| Sigma::new(x).unwrap();
    every_sampler(&Edm::new(sigma(0.02), sigma(30.0)).unwrap());
}

#[test]
fn deviations_are_those_of_the_levels_on_a_flow() {
    every_sampler(&RectifiedFlow);
}

/// A weight is the share of the steps before which a part is replaced.
#[test]
fn a_weight_is_a_share_of_the_run() {
    let grid = Grid::uniform_time(&RectifiedFlow, 10).unwrap();
    let plan = Plan::new(&RectifiedFlow, &grid, &Ddim::default()).unwrap();
    let known = Known::new(
        array![[5.0, 5.0, 5.0, 5.0, 5.0]],
        array![[0.0, 0.01, 0.3, 0.999, 1.0]],
    );
    let mut inpaint = Inpaint::new(known.unwrap(), SeededNoise::new(0));
    let mut replaced = [0; 5];
    let mut watched = |x: &mut Array2<f64>, at: StepEnd| {
        assert_eq!(at.steps, 10);
        let before = x.clone();
        inpaint.edit(x, at)?;
        for (count, (x, before)) in replaced.iter_mut().zip(x.iter().zip(&before)) {
            *count += usize::from(x != before);
        }
        Ok(())
    };
    let mut noise = SeededNoise::new(3);
    let start = plan.prior((1, 5), &mut noise).unwrap();
    let mut net = GaussianMixture::point(&[0.0; 5]).unwrap();
    plan.sample_edited(start, &mut net, &mut watched, &mut noise)
        .unwrap();
    assert_eq!(replaced, [0, 1, 3, 10, 11]);
}
