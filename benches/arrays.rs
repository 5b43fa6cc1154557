//! The costs of what touches arrays without drawing a number, and of jumps.
#![allow(
    clippy::unwrap_used,
    reason = "a bench that cannot be set up should stop"
)]
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gaussian_diffusion::{
    ForwardProcess, SeededNoise, State, Step, schedule::Discrete, state::ErrorNorm,
};
use ndarray::{Array1, Array2, Array4};

const LENGTHS: [usize; 3] = [1 << 14, 1 << 18, 3 << 20];

/// Updates in place that read and write 2 to 5 streams, next to the triad; bytes count each array
/// read and each array written.
fn updates(c: &mut Criterion) {
    for length in LENGTHS {
        let mut group = c.benchmark_group(format!("updates, {length} elements"));
        let bytes = |streams: usize| Throughput::Bytes((4 * streams * length) as u64);
        let (x, y, mut z) = (vec![1.0_f32; length], vec![2.0; length], vec![0.0; length]);
        group.throughput(bytes(3));
        group.bench_function("triad", |b| {
            b.iter(|| {
                let [a, b] = black_box([0.75, 0.25]);
                for ((z, x), y) in z.iter_mut().zip(&x).zip(&y) {
                    *z = a * x + b * y;
                }
                black_box(&mut z);
            });
        });
        for streams in 2..=5 {
            let arrays = vec![Array1::ones(length); streams - 2];
            let terms: Vec<_> = arrays.iter().map(|x: &Array1<f32>| (0.125, x)).collect();
            // Keeps the numbers as large as they are.
            let own = if terms.is_empty() { -1.0 } else { 0.5 };
            let mut y = Array1::ones(length);
            group.throughput(bytes(streams));
            group.bench_function(BenchmarkId::new("streams", streams), |b| {
                b.iter(|| y.combine(black_box(own), black_box(&terms)).unwrap());
            });
        }
        group.finish();
    }
}

/// Sums over the elements of each item: inner products, and the distance of two solutions.
fn sums(c: &mut Criterion) {
    for length in LENGTHS {
        let mut group = c.benchmark_group(format!("sums, {length} elements"));
        group.throughput(Throughput::Elements(length as u64));
        let (x, y) = (
            Array2::<f32>::ones((1, length)),
            Array2::from_elem((1, length), 0.5),
        );
        group.bench_function("inner product", |b| {
            b.iter(|| black_box(&x).dot_items(black_box(&y)).unwrap());
        });
        group.bench_function("error norm", |b| {
            b.iter(|| {
                black_box(&x)
                    .error_norms(black_box(&y), &x, 1e-3, 1e-2)
                    .unwrap()
            });
        });
        group.finish();
    }
}

fn jumps(c: &mut Criterion) {
    let schedule = Discrete::cosine(1000).unwrap();
    let shape = (128, 3, 32, 32);
    let (x0, eps) = (Array4::<f32>::ones(shape), Array4::ones(shape));
    let times: Vec<_> = (0..128).map(|i| Step::new(i * 7)).collect();
    let mut group = c.benchmark_group("jump, 128x3x32x32, a time per item");
    group.throughput(Throughput::Elements(x0.len() as u64));
    group.bench_function("noise given", |b| {
        b.iter(|| schedule.jump(black_box(&x0), &times, &eps).unwrap());
    });
    let mut noise = SeededNoise::new(1);
    group.bench_function("noise drawn and returned", |b| {
        b.iter(|| {
            schedule
                .draw_jump(black_box(&x0), &times, &mut noise)
                .unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, updates, sums, jumps);
criterion_main!(benches);
