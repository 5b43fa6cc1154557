//! Arrays of half precision (feature `half`): kept in 16 bits, summed in 32.
#![cfg(feature = "half")]

mod common {
    pub mod half;
}

use common::half::Half;
use gaussian_diffusion::{
    Error, ForwardProcess, Parameterization, Plan, Point, Sampler, SeededNoise, State, Step,
    noise::{NoiseSource, Scale},
    predicts,
    schedule::Discrete,
    state::Real,
};
use half::{bf16, f16};
use ndarray::{Array2, ShapeBuilder};

fn values<A: Real>(shape: (usize, usize), k: usize) -> Array2<A> {
    Array2::from_shape_fn(shape, |(i, j)| {
        A::of((((i * shape.1 + j + 31 * k) as u64 * 2_654_435_761) % 1_000_003) as f64 / 5e5 - 1.0)
    })
}

/// A sum of terms is rounded once: it is the nearest half of the sum in f32.
fn sums_are_rounded_once<A: Half>() {
    for shape in [(1, 1), (3, 5), (2, 255), (2, 256), (1, 1000)] {
        let arrays: Vec<Array2<A>> = (0..7).map(|k| values(shape, k)).collect();
        for count in 0..=6 {
            for own in [0.0, 1.0, -0.37] {
                let terms: Vec<_> = (0..count)
                    .map(|k| (0.3 * k as f64 - 0.7, &arrays[k + 1]))
                    .collect();
                let mut found = arrays[0].clone();
                found.combine(own, &terms).unwrap();
                // In another layout: the same.
                let mut fortran =
                    Array2::from_shape_vec(shape.f(), arrays[0].t().iter().copied().collect())
                        .unwrap();
                fortran.combine(own, &terms).unwrap();
                assert_eq!(fortran, found);
                for (place, found) in found.indexed_iter() {
                    let first = if own == 0.0 {
                        0.0
                    } else {
                        own as f32 * arrays[0][place].get() as f32
                    };
                    let sum = terms
                        .iter()
                        .fold(first, |sum, (c, t)| sum + *c as f32 * t[place].get() as f32);
                    assert_eq!(*found, A::of(f64::from(sum)), "{count} terms, own {own}");
                }
            }
        }
    }
}

#[test]
fn sums_of_f16_and_bf16_are_rounded_once() {
    sums_are_rounded_once::<f16>();
    sums_are_rounded_once::<bf16>();
}

/// Numbers of f64 are rounded once, also next to the middle between two halves.
#[test]
fn numbers_are_rounded_once() {
    for middle in [
        1.0 + 1.0 / 2048.0,
        3.0 + 1.0 / 1024.0,
        -0.25 - 0.125 / 1024.0,
    ] {
        let (lower, upper) = (
            f16::of(middle * (1.0 - 2e-4)),
            f16::of(middle * (1.0 + 2e-4)),
        );
        for off in [1e-6, 1e-9, 1e-15] {
            assert_eq!(f16::of(middle * (1.0 + off)), upper);
            assert_eq!(f16::of(middle * (1.0 - off)), lower);
        }
    }
    assert_eq!(f16::of(f64::MAX), f16::INFINITY);
    assert_eq!(f16::of(f64::MIN_POSITIVE), f16::of(0.0));
    assert!(f16::of(f64::NAN).is_nan());
    assert_eq!(bf16::of(f64::NEG_INFINITY), bf16::NEG_INFINITY);
}

/// Noise is that of f32, rounded.
fn noise_is_that_of_f32<A: Half>() {
    for shape in [(1, 5), (4, 64), (3, 1000)] {
        let (mut half, mut single) = (
            Array2::<A>::from_elem(shape, A::of(0.0)),
            Array2::<f32>::zeros(shape),
        );
        for scale in [1.0, 0.3] {
            let mut noise = SeededNoise::new(6);
            noise.fill(&mut half).unwrap();
            noise.add(&mut half, Scale::Same(scale), None).unwrap();
            let mut noise = SeededNoise::new(6);
            noise.fill(&mut single).unwrap();
            // Kept in half precision between the two draws.
            single.mapv_inplace(|x| A::of(f64::from(x)).get() as f32);
            noise.add(&mut single, Scale::Same(scale), None).unwrap();
            assert_eq!(half, single.mapv(|x| A::of(f64::from(x))));
        }
    }
}

#[test]
fn noise_of_f16_and_bf16_is_that_of_f32() {
    noise_is_that_of_f32::<f16>();
    noise_is_that_of_f32::<bf16>();
}

/// Runs of every named sampler end where those of f64 end, to a few
/// roundings, times what the plan makes of an error.
fn runs_follow_those_of_f64<A: Half>() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let alone = |sampler: &Sampler| !sampler.solver().needs_cfg_plus_plus();
    for sampler in Sampler::all().filter(alone) {
        let Ok(plan) = sampler.plan(&schedule, 8) else {
            continue;
        };
        let run = |plan: &Plan<Step>| -> Result<(Array2<A>, Array2<f64>), Error> {
            // A network that knows the data, so that no error grows.
            let of = |i: usize| 0.25 + 0.5 * i as f64;
            let mut half = predicts::x0(|x: &Array2<A>, _: Point<Step>| {
                Array2::from_shape_fn(x.dim(), |(_, j)| A::of(of(j)))
            });
            let mut double = predicts::x0(|x: &Array2<f64>, _: Point<Step>| {
                Array2::from_shape_fn(x.dim(), |(_, j)| of(j))
            });
            let mut noise = SeededNoise::new(2);
            let x = plan.prior((3, 4), &mut noise)?;
            let a = plan.sample(x, &mut half, &mut noise)?;
            let mut noise = SeededNoise::new(2);
            let x = plan.prior((3, 4), &mut noise)?;
            Ok((a, plan.sample(x, &mut double, &mut noise)?))
        };
        let (a, b) = run(&plan).unwrap();
        let grown = plan.amplification(Parameterization::X0).unwrap().max(1.0);
        for (a, b) in a.iter().zip(&b) {
            let off = (a.get() - b).abs() / b.abs().max(1.0);
            assert!(
                off < 8.0 * grown * A::ROUNDING,
                "{sampler}: {off:e}, {grown}"
            );
        }
    }
}

#[test]
fn runs_of_f16_and_bf16_follow_those_of_f64() {
    runs_follow_those_of_f64::<f16>();
    runs_follow_those_of_f64::<bf16>();
}

#[test]
fn training_pairs_and_refusals() {
    let schedule = Discrete::cosine(100).unwrap();
    let x0 = values::<bf16>((3, 300), 1);
    let times = [Step::new(3), Step::new(50), Step::new(99)];
    let (xt, eps) = schedule
        .draw_jump(&x0, &times, &mut SeededNoise::new(1))
        .unwrap();
    assert_eq!(xt, schedule.jump(&x0, &times, &eps).unwrap());
    let mut x = x0.clone();
    x[[1, 2]] = bf16::INFINITY;
    assert!(!x.is_finite() && x0.is_finite());
    let plan = Sampler::from_name("Euler")
        .unwrap()
        .plan(&schedule, 3)
        .unwrap();
    let error = plan.start_from(x, &mut SeededNoise::new(0)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the start of the run holds a NaN or an infinity at step 0"
    );
    let mut clamped = x0.clone();
    clamped.clamp(-0.5, 0.5).unwrap();
    for (clamped, x0) in clamped.iter().zip(&x0) {
        assert_eq!(clamped.get(), x0.get().clamp(-0.5, 0.5));
    }
}
