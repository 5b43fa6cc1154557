//! The costs of tables, plans and posteriors: what is computed before any array is there.
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up should stop"
)]
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gaussian_diffusion::{
    Grid, Markov, Plan, Posterior, ReverseStep,
    schedule::Discrete,
    solver::{Ddpm, DpmSolver, UniPc},
};

fn tables(c: &mut Criterion) {
    let mut group = c.benchmark_group("tables");
    group.bench_function("cosine, 1000 steps", |b| {
        b.iter(|| Discrete::cosine(black_box(1000)).unwrap());
    });
    group.bench_function("scaled linear, 1000 steps, and 50 Karras nodes", |b| {
        b.iter(|| Grid::karras(&Discrete::stable_diffusion().unwrap(), black_box(50)).unwrap());
    });
    group.finish();
}

/// Plans of 1 to 1000 steps.
fn plans(c: &mut Criterion) {
    let schedule = Discrete::cosine(1000).unwrap();
    let solvers: [&dyn ReverseStep; 3] = [
        &Ddpm::default(),
        &DpmSolver::plus_plus(2).unwrap(),
        &UniPc::new(2).unwrap(),
    ];
    for solver in solvers {
        let mut group = c.benchmark_group(format!("plan, {}", solver.name()));
        for n in [1, 10, 100, 1000] {
            let grid = Grid::trailing(&schedule, n).unwrap();
            group.throughput(Throughput::Elements(n as u64));
            group.bench_function(BenchmarkId::from_parameter(n), |b| {
                b.iter(|| Plan::new(&schedule, black_box(&grid), solver).unwrap());
            });
        }
        group.finish();
    }
}

fn posterior(c: &mut Criterion) {
    let schedule = Discrete::cosine(1000).unwrap();
    let levels = schedule.levels();
    c.bench_function("posterior, 999 neighbours", |b| {
        b.iter(|| {
            levels
                .windows(2)
                .map(|pair| Markov.coefficients(pair[1], pair[0]).unwrap().std)
                .sum::<f64>()
        });
    });
}

criterion_group!(benches, tables, plans, posterior);
criterion_main!(benches);
