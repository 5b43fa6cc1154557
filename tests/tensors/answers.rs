//! Answers that are refused, and what is then left of the run.

use super::library::{V, cast, kind_of, of, times};
use crate::{Kind, numbers};
use std::ops::ControlFlow;

use gaussian_diffusion::{
    Checks, Denoiser, Plan, Point, Prediction, Sampler, SeededNoise, Step,
    denoiser::Clip,
    editing::Known,
    guidance::{Combination, Guided, Together},
    predicts,
    schedule::Discrete,
    state::Elements,
};

const SHAPE: [usize; 3] = [2, 3, 50];
const NAMES: [&str; 4] = ["DDPM", "Heun", "DPM++ 2M SDE", "UniPC"];

fn plan(name: &str) -> Plan<Step> {
    let schedule = Discrete::stable_diffusion().unwrap();
    Sampler::from_name(name)
        .unwrap()
        .plan(&schedule, 4)
        .unwrap()
}

fn start(kind: Kind) -> V {
    of(SHAPE, &numbers(SHAPE.iter().product(), 1), kind)
}

/// Every type of answer for every type of state: widened where it is less precise than what is kept, or an error that
/// names both types, after which the run goes on as if it had not been answered.
#[test]
fn answers_of_another_type_are_widened_or_refused() {
    for sampler in NAMES {
        let plan = plan(sampler);
        for kind in Kind::ALL {
            // Answers of some type to questions of another; the first are refused.
            let run = |refused: Option<Kind>, taken: Kind| {
                let mut noise = SeededNoise::new(3);
                let mut run = plan.start_from(start(kind), &mut noise).unwrap();
                while let Some((x, _)) = run.pending() {
                    assert_eq!(kind_of(x), kind, "{sampler}, {taken:?}");
                    let answer = times(x, 0.1);
                    if let Some(wrong) = refused {
                        let wrong = Prediction::noise(cast(&answer, wrong));
                        let error = run.supply(wrong, &mut noise).unwrap_err();
                        let words =
                            "the prediction of the network has numbers of type F64, expected F32";
                        assert_eq!(error.to_string(), words, "{sampler}, {kind:?}");
                    }
                    let answer = Prediction::noise(cast(&answer, taken));
                    run.supply(answer, &mut noise).unwrap();
                }
                let end = run.into_state();
                assert_eq!(kind_of(&end), kind, "{sampler}, {taken:?}");
                end.numbers().unwrap()
            };
            let expected = run(None, kind);
            for other in Kind::ALL {
                if other == Kind::F64 && kind.kept() == Kind::F32 {
                    assert_eq!(run(Some(other), kind), expected, "{sampler}, {kind:?}");
                    continue;
                }
                // Eight bits of an answer of a tenth of the state, which is 20 at the most.
                let found = run(None, other);
                let off = found.iter().zip(&expected).map(|(x, y)| (x - y).abs());
                let off = off.fold(0.0, f64::max);
                assert!(off < 0.2, "{sampler}, {kind:?}, {other:?}: {off}");
            }
        }
    }
}

/// Adapters between a state in f32 and a network in half precision.
#[test]
fn a_network_in_half_precision_may_be_adapted() {
    let plan = plan("DPM++ 2M SDE");
    let run = |kind: Kind| {
        let net = predicts::noise(|x: &V, _: Point<Step>| cast(&times(&cast(x, kind), 0.1), kind));
        let net = Together::new(net, 2).unwrap();
        let net = Guided::new(net, Combination::classifier_free(3.0).unwrap());
        let known = Known::new(start(Kind::F32), times(&start(Kind::F32), 0.0)).unwrap();
        let net = Denoiser::<V, Step>::corrected(net, Clip::new(-1.0, 1.0).unwrap());
        let mut net = Denoiser::<V, Step>::corrected(net, known);
        let mut noise = SeededNoise::new(3);
        let mut run = plan.start_from(start(Kind::F32), &mut noise).unwrap();
        run.sample_observed(&mut net, &mut noise, |seen| {
            assert_eq!(kind_of(&seen.x0().unwrap()), Kind::F32);
            ControlFlow::Continue(())
        })
        .unwrap();
        run.into_state().numbers().unwrap()
    };
    let expected = run(Kind::F32);
    for kind in [Kind::F16, Kind::Bf16] {
        let off = run(kind)
            .iter()
            .zip(&expected)
            .map(|(x, y)| (x - y).abs())
            .fold(0.0, f64::max);
        assert!(off > 0.0 && off < 0.2, "{kind:?}: {off}");
    }
}

#[test]
fn answers_of_another_shape_are_refused() {
    for sampler in NAMES {
        let plan = plan(sampler);
        for shape in [
            [2, 3, 49],
            [2, 50, 3],
            [1, 3, 50],
            [3, 3, 50],
            [2, 3, 0],
            [1, 1, 1],
        ] {
            let wrong = || of(shape, &numbers(shape.iter().product(), 2), Kind::F32);
            let mut noise = SeededNoise::new(3);
            let mut run = plan.start_from(start(Kind::F32), &mut noise).unwrap();
            for _ in 0..3 {
                let error = run
                    .supply(Prediction::noise(wrong()), &mut noise)
                    .unwrap_err();
                let words = format!(
                    "the prediction of the network has shape {shape:?}, expected {SHAPE:?}"
                );
                assert_eq!(error.to_string(), words, "{sampler}");
                let (x, _) = run.pending().unwrap();
                let answer = Prediction::noise(times(x, 0.1));
                run.supply(answer, &mut noise).unwrap();
            }
        }
    }
}

/// A network that says what is not a number at one evaluation, in a place or in all.
#[test]
fn what_is_not_finite_is_found_when_it_is_looked_for() {
    for sampler in NAMES {
        let plan = plan(sampler);
        for kind in Kind::ALL {
            for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                for at in 0..plan.evaluations() {
                    for place in [0, 299] {
                        let mut count = 0;
                        let mut net = predicts::noise(|x: &V, _: Point<Step>| {
                            let mut answer = times(x, 0.1).numbers().unwrap();
                            if count == at {
                                answer[place] = bad;
                            }
                            count += 1;
                            of(SHAPE, &answer, kind)
                        });
                        let mut noise = SeededNoise::new(3);
                        let run = plan.start_from(start(kind), &mut noise).unwrap();
                        let error = run.sample(&mut net, &mut noise).unwrap_err();
                        let step = plan.stages()[at].point.step;
                        let words = format!(
                            "the prediction of the network holds a NaN or an infinity at step {step}"
                        );
                        assert_eq!(error.to_string(), words, "{sampler}, {kind:?}");

                        count = 0;
                        let mut noise = SeededNoise::new(3);
                        let run = plan.start_from(start(kind), &mut noise).unwrap();
                        let run = run.with_checks(Checks::AtTheEnd);
                        let mut net = predicts::noise(|x: &V, _: Point<Step>| {
                            let mut answer = times(x, 0.1).numbers().unwrap();
                            if count == at {
                                answer[place] = bad;
                            }
                            count += 1;
                            of(SHAPE, &answer, kind)
                        });
                        let error = run.sample(&mut net, &mut noise).unwrap_err();
                        let words = "the result of the run holds a NaN or an infinity at step 3";
                        assert_eq!(
                            error.to_string(),
                            words,
                            "{sampler}, {kind:?}, {bad} at {at}"
                        );
                    }
                }
            }
        }
    }
}

/// Halves that overflow are infinite, whatever the state is kept in.
#[test]
fn a_network_in_half_precision_may_overflow() {
    for kind in [Kind::F32, Kind::F16] {
        let plan = plan("DDIM");
        let mut net = predicts::noise(|x: &V, _: Point<Step>| times(&cast(x, Kind::F16), 6e4));
        let error = plan
            .sample(start(kind), &mut net, &mut SeededNoise::new(3))
            .unwrap_err();
        let words = "the prediction of the network holds a NaN or an infinity at step 0";
        assert_eq!(error.to_string(), words);
    }
}
