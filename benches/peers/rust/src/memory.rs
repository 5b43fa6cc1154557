//! Deterministic updates, and what the memory allows.

use std::{hint::black_box, time::Instant};

use gaussian_diffusion::State;

use crate::{Fallible, Row, Shape, Tensor, timed, values};

const COEFFICIENTS: [f32; 2] = [0.75, 0.25];

/// `z <- a x + b y`, three streams: the faster of the compiler's baseline and the widest instructions
/// that the machine has.
pub fn triad(shape: Shape) -> Fallible<Row> {
    let (x, y) = (flat(shape, 0), flat(shape, 1));
    let mut z = flat(shape, 2);
    let arch = pulp::Arch::new();
    Ok(Box::new(move |calls| {
        let start = Instant::now();
        for _ in 0..calls {
            one_triad(&mut z, &x, &y);
        }
        let baseline = start.elapsed();
        for _ in 0..calls {
            arch.dispatch(|| one_triad(&mut z, &x, &y));
        }
        Ok(baseline.min(start.elapsed() - baseline))
    }))
}

#[inline(always)]
fn one_triad(z: &mut [f32], x: &[f32], y: &[f32]) {
    let [a, b] = black_box(COEFFICIENTS);
    for ((z, x), y) in z.iter_mut().zip(x).zip(y) {
        *z = a * x + b * y;
    }
    black_box(z);
}

/// The same through the crate.
pub fn triad_here(shape: Shape) -> Fallible<Row> {
    let (x, y) = (values(shape, 0), values(shape, 1));
    let mut z = values(shape, 2);
    Ok(timed(move || {
        let [a, b] = black_box(COEFFICIENTS).map(f64::from);
        z.combine(0.0, &[(a, &x), (b, &y)])?;
        black_box(&mut z);
        Ok(())
    }))
}

/// `y <- c y + sum of c_i x_i` in place, one stream for each array read and one for the array written.
pub fn update(streams: usize, shape: Shape) -> Fallible<Row> {
    let terms = streams
        .checked_sub(2)
        .ok_or("an update has two streams at least")?;
    let arrays: Vec<Tensor> = (1..=terms).map(|i| values(shape, i)).collect();
    let mut y = values(shape, 0);
    Ok(timed(move || {
        // Keeps the numbers as large as they are; 1 times itself might be nothing to do.
        let own = if terms == 0 { -1.0 } else { 0.5 };
        let terms: Vec<_> = arrays.iter().map(|x| (0.125, x)).collect();
        y.combine(black_box(own), &terms)?;
        black_box(&mut y);
        Ok(())
    }))
}

fn flat(shape: Shape, which: usize) -> Vec<f32> {
    values(shape, which).into_raw_vec_and_offset().0
}
