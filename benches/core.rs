//! The costs of tables, jumps, posteriors and steps.
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up should stop"
)]
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gaussian_diffusion::{
    ForwardProcess, Grid, Markov, Noise, Plan, Posterior, Prediction, ReverseStep, Step,
    noise::{NoiseSource, Scale},
    rand::{SeedableRng, rngs::StdRng},
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};
use ndarray::Array4;

const SIZES: [(usize, usize, usize, usize); 3] =
    [(1, 4, 64, 64), (1, 16, 128, 128), (16, 3, 256, 256)];

fn tables(c: &mut Criterion) {
    let mut group = c.benchmark_group("tables");
    group.bench_function("cosine, 1000 steps", |b| {
        b.iter(|| Discrete::cosine(black_box(1000)).unwrap());
    });
    group.bench_function("scaled linear, 1000 steps, and 50 Karras nodes", |b| {
        b.iter(|| Grid::karras(&Discrete::stable_diffusion().unwrap(), black_box(50)).unwrap());
    });
    let schedule = Discrete::cosine(1000).unwrap();
    for n in [50, 1000] {
        let grid = Grid::trailing(&schedule, n).unwrap();
        group.bench_function(format!("DDPM plan, {n} steps"), |b| {
            b.iter(|| Plan::new(&schedule, black_box(&grid), &Ddpm::default()).unwrap());
        });
    }
    group.finish();
}

fn jump(c: &mut Criterion) {
    let schedule = Discrete::cosine(1000).unwrap();
    let shape = (128, 3, 32, 32);
    let (x0, eps) = (Array4::<f32>::ones(shape), Array4::ones(shape));
    let times: Vec<_> = (0..128).map(|i| Step::new(i * 7)).collect();
    let mut group = c.benchmark_group("jump, 128x3x32x32, a time per item");
    group.throughput(Throughput::Elements(x0.len() as u64));
    group.bench_function("noise given", |b| {
        b.iter(|| schedule.jump(black_box(&x0), &times, &eps).unwrap());
    });
    let mut noise = Noise::seeded(1);
    group.bench_function("noise drawn and returned", |b| {
        b.iter(|| {
            schedule
                .draw_jump(black_box(&x0), &times, &mut noise)
                .unwrap()
        });
    });
    group.finish();
}

fn posterior(c: &mut Criterion) {
    let schedule = Discrete::cosine(1000).unwrap();
    let levels = schedule.levels();
    c.bench_function("posterior, 999 neighbours", |b| {
        b.iter(|| {
            levels
                .windows(2)
                .map(|pair| Markov.bridge(pair[1], pair[0]).unwrap().std)
                .sum::<f64>()
        });
    });
}

/// One step of a run whose network's answer is there already.
fn steps(c: &mut Criterion, name: &str, solver: &dyn ReverseStep) {
    let schedule = Discrete::cosine(1000).unwrap();
    let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 50).unwrap(), solver).unwrap();
    let mut group = c.benchmark_group(name);
    for shape in SIZES {
        let mut noise = Noise::seeded(1);
        let x: Array4<f32> = plan.prior(shape, &mut noise).unwrap();
        group.throughput(Throughput::Elements(x.len() as u64));
        group.bench_function(format!("{shape:?}"), |b| {
            b.iter_batched_ref(
                || {
                    let run = plan.start_from(x.clone(), &mut Noise::seeded(1)).unwrap();
                    (run, Some(Prediction::noise(x.clone())))
                },
                |(run, answer)| run.supply(answer.take().unwrap(), &mut noise).unwrap(),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn sampler_steps(c: &mut Criterion) {
    steps(c, "DDPM step", &Ddpm::default());
    steps(c, "DDIM step", &Ddim::default());
}

fn noise(c: &mut Criterion) {
    let mut group = c.benchmark_group("noise");
    for length in [16_384, 1 << 20] {
        let mut x = Array4::<f32>::zeros((1, 1, 1, length));
        group.throughput(Throughput::Elements(length as u64));
        let mut seeded = Noise::seeded(1);
        group.bench_function(format!("seeded, {length}"), |b| {
            b.iter(|| {
                seeded
                    .add(black_box(&mut x), Scale::Same(1e-3), None)
                    .unwrap()
            });
        });
        let mut rng = StdRng::seed_from_u64(1);
        group.bench_function(format!("StdRng, {length}"), |b| {
            b.iter(|| rng.add(black_box(&mut x), Scale::Same(1e-3), None).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, tables, jump, posterior, sampler_steps, noise);
criterion_main!(benches);
