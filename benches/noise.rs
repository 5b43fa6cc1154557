//! The costs of noise, from a pair of numbers to a large batch.
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up should stop"
)]
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gaussian_diffusion::{
    SeededNoise,
    noise::NoiseSource,
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

criterion_group!(benches, noise, rand_distr);
criterion_main!(benches);
