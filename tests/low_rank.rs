//! Mixtures with a few factors beside variances: against the same mixtures by all of their eigenvectors.

use gaussian_diffusion::{
    GaussianMixture, Grid, NoiseLevel, Plan, Point, SeededNoise, Sigma, Step,
    denoiser::{Denoiser, Differentiable},
    rand::{SeedableRng, rngs::StdRng},
    schedule::Discrete,
    solver::Ddim,
};
use nalgebra::DMatrix;
use ndarray::{Array1, Array2, array};

const SIZE: usize = 6;

/// A weight, a mean, variances and factors.
type Part = (f64, Vec<f64>, Vec<f64>, Array2<f64>);

/// Means, variances and factors of three components, of as many factors as 0, 2 and 7.
fn parts() -> Vec<Part> {
    let part = |k: usize, rank: usize| {
        let at = |i: usize, phase: f64| (1.3 * i as f64 + 2.1 * k as f64 + phase).sin();
        let factors = Array2::from_shape_fn((rank, SIZE), |(j, i)| 0.8 * at(i + 5 * j, 0.4));
        let variances = (0..SIZE).map(|i| 0.3 + 0.25 * at(i, 1.0)).collect();
        (
            1.0 + k as f64,
            (0..SIZE).map(|i| at(i, 0.0)).collect(),
            variances,
            factors,
        )
    };
    vec![part(0, 0), part(1, 2), part(2, 7)]
}

/// The same covariances by their eigenvectors.
fn dense(parts: &[Part]) -> GaussianMixture {
    let turned = parts.iter().map(|(weight, mean, variances, factors)| {
        let covariance =
            factors.t().dot(factors) + Array2::from_diag(&Array1::from(variances.clone()));
        let size = mean.len();
        let eigen = DMatrix::from_fn(size, size, |i, j| covariance[[i, j]]).symmetric_eigen();
        let axes = Array2::from_shape_fn((size, size), |(i, j)| eigen.eigenvectors[(j, i)]);
        (
            *weight,
            mean.clone(),
            eigen.eigenvalues.iter().copied().collect(),
            axes,
        )
    });
    GaussianMixture::rotated(&turned.collect::<Vec<_>>()).unwrap()
}

fn levels() -> Vec<NoiseLevel> {
    vec![
        NoiseLevel::CLEAN,
        NoiseLevel::NOISE,
        NoiseLevel::new(0.6, 0.8).unwrap(),
        NoiseLevel::new(1.0 - 1e-9, 1e-4).unwrap(),
        NoiseLevel::variance_exploding(Sigma::new(50.0).unwrap()).unwrap(),
    ]
}

fn close(name: &str, a: impl IntoIterator<Item = f64>, b: impl IntoIterator<Item = f64>) {
    let (a, b): (Vec<_>, Vec<_>) = (a.into_iter().collect(), b.into_iter().collect());
    assert_eq!(a.len(), b.len(), "{name}");
    for (a, b) in a.into_iter().zip(b) {
        assert!((a - b).abs() < 1e-11 * (1.0 + b.abs()), "{name}: {a}, {b}");
    }
}

#[test]
fn everything_is_that_of_the_whole_matrix() {
    let parts = parts();
    let (few, whole) = (GaussianMixture::low_rank(&parts).unwrap(), dense(&parts));
    close("mean", few.mean(), whole.mean());
    close("variances", few.variances(), whole.variances());
    close("covariance", few.covariance(), whole.covariance());
    for level in levels() {
        for phase in [0.0, 1.0, 2.0] {
            let x: Vec<f64> = (0..SIZE)
                .map(|i| 1.4 * (0.9 * i as f64 + phase).cos())
                .collect();
            let (a, b) = (&few, &whole);
            close(
                "density",
                [a.log_density(&x, level).unwrap()],
                [b.log_density(&x, level).unwrap()],
            );
            close(
                "score",
                a.score(&x, level).unwrap(),
                b.score(&x, level).unwrap(),
            );
            close(
                "x0",
                a.posterior_mean(&x, level).unwrap(),
                b.posterior_mean(&x, level).unwrap(),
            );
            close(
                "divergence",
                [a.posterior_mean_divergence(&x, level).unwrap()],
                [b.posterior_mean_divergence(&x, level).unwrap()],
            );
            close(
                "covariance left",
                a.posterior_covariance(&x, level).unwrap(),
                b.posterior_covariance(&x, level).unwrap(),
            );
            close(
                "jacobian",
                a.jacobian(&x, level).unwrap(),
                b.jacobian(&x, level).unwrap(),
            );
        }
    }
    let a = Array2::from_shape_fn((2, SIZE), |(i, j)| (0.7 * (3 * i + j) as f64).cos());
    let (few, whole) = (
        few.measured(&a, &[0.1, 0.0], &[0.5, -0.3]).unwrap(),
        whole.measured(&a, &[0.1, 0.0], &[0.5, -0.3]).unwrap(),
    );
    close("measured mean", few.mean(), whole.mean());
    close("measured covariance", few.covariance(), whole.covariance());
}

#[test]
fn batches_are_items() {
    let parts = parts();
    let (mut few, mut whole) = (GaussianMixture::low_rank(&parts).unwrap(), dense(&parts));
    let at = Point::new(
        Step::new(3),
        NoiseLevel::new(0.6, 0.8).unwrap(),
        NoiseLevel::CLEAN,
    );
    let x = Array2::from_shape_fn((4, SIZE), |(i, j)| (1.1 * (7 * i + j) as f64).sin());
    let v = Array2::from_shape_fn((4, SIZE), |(i, j)| (0.3 * (5 * i + j) as f64).cos());
    close(
        "batch",
        few.predict(&x, at).unwrap().value,
        whole.predict(&x, at).unwrap().value,
    );
    close(
        "product",
        few.vjp(&x, at, &v).unwrap(),
        whole.vjp(&x, at, &v).unwrap(),
    );
    for (i, row) in x.rows().into_iter().enumerate() {
        let alone = few.posterior_mean(&row.to_vec(), at.level).unwrap();
        assert_eq!(few.predict(&x, at).unwrap().value.row(i), alone);
    }
}

/// Samples have the mean and the covariance of the data: 27 numbers, each within 4.5 deviations (significance below
/// 2e-4).
#[test]
fn samples_have_the_moments_of_the_data() {
    let data = GaussianMixture::low_rank(&parts()[1..]).unwrap();
    let count = 40_000;
    let rows = data.sample(count, &mut StdRng::seed_from_u64(4));
    let (mean, covariance) = (data.mean(), data.covariance());
    for i in 0..SIZE {
        let column = rows.column(i);
        let bound = 4.5 * (covariance[[i, i]] / count as f64).sqrt();
        assert!((column.mean().unwrap() - mean[i]).abs() < bound);
        for j in i..SIZE {
            let products = Array1::from_shape_fn(count, |k| {
                (rows[[k, i]] - mean[i]) * (rows[[k, j]] - mean[j])
            });
            let bound = 4.5 * (products.var(1.0) / count as f64).sqrt();
            assert!(
                (products.mean().unwrap() - covariance[[i, j]]).abs() < bound,
                "{i} {j}"
            );
        }
    }
}

/// A sample is `mean + D^(1/2) z + F^T z'` of normals in this order, after the number that chose the component.
#[test]
fn a_sample_is_made_of_its_normals() {
    use gaussian_diffusion::{rand::Rng, rand_distr::StandardNormal};
    let (_, mean, variances, factors) = parts().remove(1);
    let data =
        GaussianMixture::low_rank(&[(1.0, mean.clone(), variances.clone(), factors.clone())]);
    let rows = data.unwrap().sample(3, &mut StdRng::seed_from_u64(6));
    let mut rng = StdRng::seed_from_u64(6);
    for row in rows.rows() {
        let _: f64 = rng.random();
        let mut normal = |_| rng.sample::<f64, _>(StandardNormal);
        let own: Vec<f64> = (0..SIZE).map(&mut normal).collect();
        let shared: Vec<f64> = (0..2).map(&mut normal).collect();
        for i in 0..SIZE {
            let wanted = mean[i]
                + variances[i].sqrt() * own[i]
                + shared[0] * factors[[0, i]]
                + shared[1] * factors[[1, i]];
            assert!((row[i] - wanted).abs() < 1e-14, "{i}");
        }
    }
}

/// In 3072 dimensions, where a matrix would have 75 MB: the flow of a Gaussian with one factor, along the factor and
/// across, is a scaling by the deviations at its ends.
#[test]
fn a_run_in_many_dimensions_has_its_closed_form() {
    let size = 3072;
    let along = 0.6 / (size as f64).sqrt();
    let factors = Array2::from_elem((1, size), along);
    let data = [(1.0, vec![0.0; size], vec![0.01; size], factors)];
    let mut data = GaussianMixture::low_rank(&data).unwrap();
    let schedule = Discrete::cosine(1000).unwrap();
    let grid = Grid::trailing(&schedule, 400).unwrap();
    let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    let start = Array2::from_shape_fn((1, size), |(_, i)| {
        1.0 + 0.5 * if i % 2 == 0 { 1.0 } else { -1.0 }
    });
    let end = plan
        .sample(start.clone(), &mut data, &mut SeededNoise::new(0))
        .unwrap();
    let first = plan.levels()[0];
    let scale = |variance: f64| {
        (variance / (first.alpha().powi(2) * variance + first.sigma().powi(2))).sqrt()
    };
    // The mean of the start lies along the factor, of variance 0.01 + 0.36.
    for (end, start) in end.iter().zip(&start).take(4) {
        let wanted = scale(0.37) + (start - 1.0) * scale(0.01);
        // Of first order in 400 steps.
        assert!((end - wanted).abs() < 5e-3, "{end}, {wanted}");
    }
}

#[test]
fn factors_that_are_none_are_refused() {
    let message = |variances: Vec<f64>, factors: Array2<f64>| {
        let part = [(1.0, vec![0.0, 0.0], variances, factors)];
        GaussianMixture::low_rank(&part).unwrap_err().to_string()
    };
    assert_eq!(
        message(vec![1.0, 0.0], array![[1.0, 1.0]]),
        "variances[1] is 0, allowed: 1e-200 to 1e200 beside factors"
    );
    assert_eq!(
        message(vec![1.0, 1.0], array![[1.0]]),
        "factors has shape [1, 1], expected [1, 2]"
    );
    assert_eq!(
        message(vec![1.0, 1.0], array![[1.0, f64::NAN]]),
        "factors[1] is NaN, allowed: -1e100 to 1e100"
    );
    // Numbers at both ends of what is allowed leave an error or numbers, and no panic.
    let part = [(
        1.0,
        vec![0.0, 0.0],
        vec![1e-200, 1e-200],
        array![[1e100, -1e100]],
    )];
    let extreme = GaussianMixture::low_rank(&part).unwrap();
    for level in levels() {
        if let Ok(mean) = extreme.posterior_mean(&[0.1, 0.2], level) {
            assert!(mean.iter().all(|x| x.is_finite()), "{level:?}: {mean}");
        }
    }
}
