//! Layouts, shared memory, shapes without numbers.

use std::cell::RefCell;

use super::library::{V, forms, of, repeated, times};
use crate::{Kind, numbers};
use gaussian_diffusion::{
    Plan, Point, Prediction, Sampler, SeededNoise, Step, editing::StepEnd, predicts,
    schedule::Discrete, state::Elements,
};

const SHAPE: [usize; 3] = [2, 3, 400];

const NAMES: [&str; 9] = [
    "DDPM",
    "DDIM",
    "Heun",
    "DPM++ 2M Karras",
    "DPM++ 2M SDE",
    "DPM++ 3M SDE",
    "UniPC",
    "Restart",
    "LCM",
];

fn plan(name: &str) -> Plan<Step> {
    let schedule = Discrete::stable_diffusion().unwrap();
    Sampler::from_name(name)
        .unwrap()
        .plan(&schedule, 5)
        .unwrap()
}

fn start(kind: Kind) -> V {
    of(SHAPE, &numbers(SHAPE.iter().product(), 1), kind)
}

/// The bits of its numbers, of which a NaN is one too.
fn bits(x: &V) -> Vec<u64> {
    x.numbers().unwrap().into_iter().map(f64::to_bits).collect()
}

/// What a start and answers in other layouts lead to, and that they, and all whose memory they share, stay.
#[test]
fn layouts_make_no_difference_and_are_left_alone() {
    for name in NAMES {
        let plan = plan(name);
        for kind in Kind::ALL {
            let mut net = predicts::noise(|x: &V, _: Point<Step>| times(x, 0.1));
            let mut noise = SeededNoise::new(3);
            let expected = bits(&plan.sample(start(kind), &mut net, &mut noise).unwrap());
            for (which, (form, start, base)) in forms(&start(kind)).into_iter().enumerate() {
                let kept = RefCell::new(Vec::new());
                let keep = |x: &V| kept.borrow_mut().push((x.clone(), bits(x)));
                keep(&start);
                keep(&base);
                let mut net = predicts::noise(|x: &V, _: Point<Step>| {
                    keep(x);
                    let (_, answer, base) = forms(&times(x, 0.1)).swap_remove(which);
                    keep(&answer);
                    keep(&base);
                    answer
                });
                let mut noise = SeededNoise::new(3);
                let found = plan.sample(start, &mut net, &mut noise).unwrap();
                assert_eq!(bits(&found), expected, "{name}, {kind:?}, {form}");
                keep(&found);
                for (x, before) in kept.take() {
                    assert_eq!(bits(&x), before, "{name}, {kind:?}, {form}");
                }
            }
        }
    }
}

/// Networks whose answers are the state itself, a tensor of theirs, or twice the same tensor.
#[test]
fn an_answer_may_share_its_memory_with_anything() {
    for name in NAMES {
        let plan = plan(name);
        for kind in Kind::ALL {
            let own = times(&start(kind), 0.5);
            let before = bits(&own);
            type Net<'a> = &'a dyn Fn(&V) -> V;
            let pairs: [(&str, Net<'_>, Net<'_>); 2] = [
                ("the state", &|x| x.clone(), &|x| times(x, 1.0)),
                ("its own", &|_| own.clone(), &|_| times(&start(kind), 0.5)),
            ];
            for (what, shared, fresh) in pairs {
                let run = |net: Net<'_>, careful: bool| {
                    let mut noise = SeededNoise::new(3);
                    let (mut run, mut shown) = (
                        plan.start_from(start(kind), &mut noise).unwrap(),
                        Vec::new(),
                    );
                    while let Some((x, _)) = run.pending() {
                        shown.push((x.clone(), bits(x)));
                        let answer = Prediction::noise(net(x));
                        match careful {
                            true => run.supply(answer, &mut noise).unwrap(),
                            false => drop(run.advance(answer, &mut noise).unwrap()),
                        }
                        let mut edit =
                            |x: &mut V, _: StepEnd| gaussian_diffusion::State::clamp(x, -9.0, 9.0);
                        run.edit(&mut edit).unwrap();
                    }
                    for (x, before) in shown {
                        assert_eq!(bits(&x), before, "{name}, {kind:?}, {what}");
                    }
                    bits(&run.into_state())
                };
                let expected = run(fresh, true);
                for careful in [false, true] {
                    assert_eq!(run(shared, careful), expected, "{name}, {kind:?}, {what}");
                }
            }
            assert_eq!(bits(&own), before, "{name}, {kind:?}");
        }
    }
}

/// Tensors that repeat one number in memory.
#[test]
fn repeated_numbers_are_numbers() {
    for name in NAMES {
        let plan = plan(name);
        for kind in Kind::ALL {
            let run = |start: V, answer: &dyn Fn() -> V| {
                let mut net = predicts::noise(|_: &V, _: Point<Step>| answer());
                plan.sample(start, &mut net, &mut SeededNoise::new(3))
                    .unwrap()
            };
            let whole = |number: f64| of(SHAPE, &vec![number; SHAPE.iter().product()], kind);
            let expected = run(whole(1.5), &|| whole(0.25));
            let (start, answer) = (repeated(SHAPE, 1.5, kind), repeated(SHAPE, 0.25, kind));
            let found = run(start.clone(), &|| answer.clone());
            assert_eq!(bits(&found), bits(&expected), "{name}, {kind:?}");
            assert_eq!(bits(&start), bits(&whole(1.5)));
            assert_eq!(bits(&answer), bits(&whole(0.25)));
        }
    }
}

#[test]
fn a_batch_may_be_empty() {
    for name in NAMES {
        let plan = plan(name);
        for kind in Kind::ALL {
            for shape in [[0, 3, 2], [3, 0, 2], [3, 2, 0], [0, 0, 0]] {
                let mut net = predicts::noise(|x: &V, _: Point<Step>| times(x, 0.1));
                let mut noise = SeededNoise::new(3);
                let start = plan.prior_like(&of(shape, &[], kind), &mut noise).unwrap();
                let end = plan.sample(start, &mut net, &mut noise).unwrap();
                assert_eq!(Elements::shape(&end), shape, "{name}");
            }
        }
    }
}
