//! The costs of noise, from a pair of numbers to a large batch.
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up should stop"
)]
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gaussian_diffusion::{
    NoiseLevel, SeededNoise,
    noise::{BrownianPath, Interval, NoiseSource, Scale},
    rand::{Rng, SeedableRng, rngs::StdRng},
    rand_distr::{Distribution, StandardNormal},
    state::Real,
};
use ndarray::Array2;

const LENGTHS: [usize; 5] = [2, 64, 1 << 10, 1 << 14, 1 << 20];

fn lengths<N, A: Real>(c: &mut Criterion, name: &str, noise: &mut N)
where
    N: NoiseSource<Array2<A>>,
{
    let mut group = c.benchmark_group(name);
    for length in LENGTHS {
        let mut x = Array2::from_elem((1, length), A::of(0.0));
        group.throughput(Throughput::Elements(length as u64));
        group.bench_function(BenchmarkId::from_parameter(length), |b| {
            b.iter(|| noise.fill(black_box(&mut x)).unwrap());
        });
    }
    group.finish();
}

fn noise(c: &mut Criterion) {
    lengths::<_, f32>(c, "seeded noise, f32", &mut SeededNoise::new(1));
    lengths::<_, f64>(c, "seeded noise, f64", &mut SeededNoise::new(1));
    lengths::<_, f32>(c, "noise from StdRng, f32", &mut StdRng::seed_from_u64(1));
    lengths::<_, f64>(c, "noise from StdRng, f64", &mut StdRng::seed_from_u64(1));
}

/// Increments of Brownian paths, over a step of a run of 20 and of 1000.
fn brownian(c: &mut Criterion) {
    let length = 1 << 14;
    let mut group = c.benchmark_group("Brownian paths, f32");
    group.throughput(Throughput::Elements(length as u64));
    for steps in [20, 1000] {
        let at = |k: usize| {
            let angle = k as f64 / steps as f64 * std::f64::consts::FRAC_PI_2;
            NoiseLevel::new(angle.cos(), angle.sin()).unwrap()
        };
        let over = Interval {
            from: at(steps / 3 + 1),
            to: at(steps / 3),
        };
        let mut path = BrownianPath::new(SeededNoise::new(1));
        let mut x = Array2::<f32>::zeros((1, length));
        group.bench_function(BenchmarkId::from_parameter(steps), |b| {
            b.iter(|| {
                path.add(black_box(&mut x), Scale::Same(1.0), Some(over))
                    .unwrap()
            });
        });
    }
    group.finish();
}

/// What rand_distr takes alone.
fn ziggurat<A: Real>(c: &mut Criterion, name: &str)
where
    StandardNormal: Distribution<A>,
{
    let mut rng = StdRng::seed_from_u64(1);
    let mut group = c.benchmark_group(name);
    for length in LENGTHS {
        let mut x = Array2::from_elem((1, length), A::of(0.0));
        group.throughput(Throughput::Elements(length as u64));
        group.bench_function(BenchmarkId::from_parameter(length), |b| {
            b.iter(|| {
                let x = black_box(&mut x);
                x.iter_mut().for_each(|x| *x = rng.sample(StandardNormal));
            });
        });
    }
    group.finish();
}

fn rand_distr(c: &mut Criterion) {
    ziggurat::<f32>(c, "rand_distr from StdRng, f32");
    ziggurat::<f64>(c, "rand_distr from StdRng, f64");
}

criterion_group!(benches, noise, brownian, rand_distr);
criterion_main!(benches);
