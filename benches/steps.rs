//! The costs of the steps of a run, as arrays and histories grow.
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up should stop"
)]
#![allow(missing_docs, reason = "criterion's macros make public items")]

mod runs;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gaussian_diffusion::{
    Grid, ModelVariance, Plan, ReverseStep,
    schedule::Discrete,
    solver::{Ddim, Ddpm, DpmSolver, ExponentialAdams, LinearMultistep, UniPc},
};
use ndarray::{Array2, Array4};
use runs::Runs;

const SIZES: [(usize, usize, usize, usize); 3] =
    [(1, 4, 64, 64), (1, 16, 128, 128), (16, 3, 256, 256)];
const LENGTHS: [usize; 6] = [16, 1 << 10, 1 << 16, 1 << 20, 1 << 24, 50_000_000];

fn plan(solver: &dyn ReverseStep) -> Plan<gaussian_diffusion::Step> {
    let schedule = Discrete::cosine(1000).unwrap();
    Plan::new(&schedule, &Grid::trailing(&schedule, 50).unwrap(), solver).unwrap()
}

/// Steps whose network's answer is there already, at the sizes of latents and of images.
fn samplers(c: &mut Criterion) {
    let solvers: [&dyn ReverseStep; 4] = [
        &Ddpm::default(),
        &Ddim::default(),
        &DpmSolver::plus_plus(2).unwrap(),
        &UniPc::new(2).unwrap(),
    ];
    for solver in solvers {
        let plan = plan(solver);
        let mut group = c.benchmark_group(format!("{} step", plan.name()));
        for shape in SIZES {
            let x = Array4::ones(shape);
            group.throughput(Throughput::Elements(x.len() as u64));
            let mut runs = Runs::new(&plan, x.clone(), x);
            group.bench_function(format!("{shape:?}"), |b| {
                b.iter_custom(|count| runs.steps(count).unwrap());
            });
        }
        group.finish();
    }
}

/// Steps whose network says the variance of every element.
fn learned_variance(c: &mut Criterion) {
    let plan = plan(&Ddpm::new(ModelVariance::LearnedRange));
    let mut group = c.benchmark_group("learned variance");
    for shape in SIZES {
        let x = Array4::ones(shape);
        group.throughput(Throughput::Elements(x.len() as u64));
        let mut runs = Runs::new(&plan, x.clone(), x.clone()).with_variance(x * 0.25);
        group.bench_function(format!("{shape:?}"), |b| {
            b.iter_custom(|count| runs.steps(count).unwrap());
        });
    }
    group.finish();
}

/// Steps with noise and without, from 16 elements to 200 MiB.
fn lengths(c: &mut Criterion) {
    let solvers: [&dyn ReverseStep; 2] = [&Ddpm::default(), &Ddim::default()];
    for solver in solvers {
        let plan = plan(solver);
        let mut group = c.benchmark_group(format!("{} by elements", plan.name()));
        for length in LENGTHS {
            let x = Array2::ones((1, length));
            group.throughput(Throughput::Elements(length as u64));
            let mut runs = Runs::new(&plan, x.clone(), x);
            group.bench_function(BenchmarkId::from_parameter(length), |b| {
                b.iter_custom(|count| runs.steps(count).unwrap());
            });
        }
        group.finish();
    }
}

/// Steps that combine 1 to 4 predictions.
fn histories(c: &mut Criterion) {
    for order in 1..=4 {
        let solvers: [(&str, &dyn ReverseStep); 2] = [
            ("LMS", &LinearMultistep::lms(order).unwrap()),
            ("exponential Adams", &ExponentialAdams::deis(order).unwrap()),
        ];
        for (name, solver) in solvers {
            let plan = plan(solver);
            let mut group = c.benchmark_group(format!("{name} by history"));
            for length in [1 << 14, 1 << 18] {
                let x = Array2::ones((1, length));
                group.throughput(Throughput::Elements(length as u64));
                let mut runs = Runs::new(&plan, x.clone(), x);
                group.bench_function(BenchmarkId::new(order.to_string(), length), |b| {
                    b.iter_custom(|count| runs.steps(count).unwrap());
                });
            }
            group.finish();
        }
    }
}

criterion_group!(benches, samplers, learned_variance, lengths, histories);
criterion_main!(benches);
