//! Linear measurements: conditioned mixtures, the denoisers that approximate them, and samples.

mod common {
    pub mod levels;
}

use common::levels::close;
use gaussian_diffusion::{
    Denoiser, GaussianMixture, Grid, LogSnr, NoiseLevel, NoiseSchedule, Parameterization, Plan,
    Point, Prediction, SeededNoise, Sigma, Time,
    denoiser::{Differentiable, WithVjp},
    guidance::{DiffPir, Dps, GaussianPosterior, Measurement, Operator},
    noise::{NoiseSource, Scale},
    predicts,
    rand::{SeedableRng, rngs::StdRng},
    schedule::{Cosine, Discrete, Edm, RectifiedFlow, VpLinear},
    solver::{Ddim, Ddpm},
    state::Real,
};
use nalgebra::{DMatrix, DVector};
use ndarray::{Array1, Array2, Axis, array};

fn rotation(angle: f64) -> Array2<f64> {
    let (s, c) = angle.sin_cos();
    array![[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]]
}

/// Three dimensions, three components with general covariances, one of them flat.
fn mixture() -> GaussianMixture {
    GaussianMixture::rotated(&[
        (
            0.4,
            vec![-1.0, 0.5, 0.0],
            vec![0.4, 0.03, 0.1],
            rotation(0.4),
        ),
        (
            0.3,
            vec![0.8, -0.3, 0.6],
            vec![0.05, 0.3, 0.2],
            rotation(-1.0),
        ),
        (
            0.3,
            vec![0.2, 0.9, -0.5],
            vec![0.2, 0.0, 0.3],
            rotation(0.0),
        ),
    ])
    .unwrap()
}

fn gaussian() -> GaussianMixture {
    let part = (
        1.0,
        vec![0.3, -0.2, 0.5],
        vec![0.5, 0.04, 0.2],
        rotation(0.7),
    );
    GaussianMixture::rotated(&[part]).unwrap()
}

fn operator() -> Array2<f64> {
    array![[1.0, 0.5, 0.0], [0.0, -0.4, 1.0]]
}

fn levels() -> Vec<NoiseLevel> {
    let snr = |value| LogSnr::new(value).unwrap();
    vec![
        NoiseLevel::variance_preserving(snr(1.0)).unwrap(),
        NoiseLevel::variance_preserving(snr(-6.0)).unwrap(),
        NoiseLevel::variance_exploding(Sigma::new(3.0).unwrap()).unwrap(),
        NoiseLevel::rectified_flow(snr(-2.0)).unwrap(),
        NoiseLevel::new(0.7, 0.2).unwrap(),
    ]
}

fn at(level: NoiseLevel) -> Point<()> {
    let to = NoiseLevel::new(level.alpha(), 0.5 * level.sigma()).unwrap();
    Point::new((), level, to)
}

fn points() -> Array2<f64> {
    array![[0.3, -0.4, 0.1], [1.2, 0.5, -0.7], [-2.0, 0.1, 0.9]]
}

/// Bayes: the densities of the prior and of the noise, and one constant.
#[test]
fn a_measured_mixture_is_the_prior_times_the_likelihood() {
    let solid = GaussianMixture::rotated(&[
        (
            0.4,
            vec![-1.0, 0.5, 0.0],
            vec![0.4, 0.03, 0.1],
            rotation(0.4),
        ),
        (
            0.6,
            vec![0.8, -0.3, 0.6],
            vec![0.05, 0.3, 0.2],
            rotation(-1.0),
        ),
    ])
    .unwrap();
    let (a, noise, y) = (operator(), [0.04, 0.3], [0.7, -0.4]);
    let measured = solid.measured(&a, &noise, &y).unwrap();
    let difference = |x: &[f64]| {
        let off = Array1::from(y.to_vec()) - a.dot(&Array1::from(x.to_vec()));
        let likelihood: f64 = off.iter().zip(&noise).map(|(d, v)| -0.5 * d * d / v).sum();
        let prior = solid.log_density(x, NoiseLevel::CLEAN).unwrap();
        measured.log_density(x, NoiseLevel::CLEAN).unwrap() - prior - likelihood
    };
    let constant = difference(&[0.0, 0.0, 0.0]);
    for x in points().rows() {
        // Log-densities of up to 150 and variances of down to 0.01.
        close(difference(&x.to_vec()), constant, 1e-11, x);
    }
}

#[test]
fn an_exact_measurement_holds_for_every_sample() {
    let (a, y) = (operator(), [0.7, -0.4]);
    let measured = mixture().measured(&a, &[0.0, 0.0], &y).unwrap();
    let samples = measured.sample(50, &mut StdRng::seed_from_u64(1));
    for row in samples.rows() {
        for (found, y) in a.dot(&row).iter().zip(&y) {
            close(*found, *y, 1e-7, "A x");
        }
    }
    let spread = a.dot(&measured.covariance()).dot(&a.t());
    assert!(spread.iter().all(|v| v.abs() < 1e-14), "{spread}");
    // A measurement that says nothing changes nothing but the rounding.
    let nothing = mixture()
        .measured(&Array2::zeros((1, 3)), &[1.0], &[0.3])
        .unwrap();
    for (found, expected) in nothing.covariance().iter().zip(&mixture().covariance()) {
        close(*found, *expected, 1e-14, "nothing");
    }
    // One after the other is both at once.
    let (first, second) = (a.select(Axis(0), &[0]), a.select(Axis(0), &[1]));
    let both = mixture().measured(&a, &[0.1, 0.2], &y).unwrap();
    let chained = mixture().measured(&first, &[0.1], &y[..1]).unwrap();
    let chained = chained.measured(&second, &[0.2], &y[1..]).unwrap();
    for (found, expected) in chained.covariance().iter().zip(&both.covariance()) {
        close(*found, *expected, 1e-13, "one by one");
    }
    for (found, expected) in chained.mean().iter().zip(&both.mean()) {
        close(*found, *expected, 1e-13, "one by one");
    }
}

/// Central differences of the posterior mean, and Tweedie's formula for the covariance.
/// Far out, where no double holds a density: `N(40; m, v + 0.5)` of two components by their logarithms.
#[test]
fn a_measurement_far_out_weighs_by_logarithms() {
    let data = GaussianMixture::isotropic(&[(1.0, [0.0], 1.0), (2.0, [1.0], 0.97)]).unwrap();
    let found = data.measured(&array![[1.0]], &[0.5], &[60.0]).unwrap();
    let log = |w: f64, m: f64, v: f64| w.ln() - 0.5 * v.ln() - 0.5 * (60.0 - m).powi(2) / v;
    let odds = (log(2.0, 1.0, 1.47) - log(1.0, 0.0, 1.5)).exp();
    let weights: Vec<f64> = found.parts().map(|(weight, ..)| weight).collect();
    assert!(
        (weights[1] / weights[0] / odds - 1.0).abs() < 1e-11,
        "{weights:?} {odds}"
    );
}

/// What an exact measurement says has no variance left, and so no density, whatever rounding made of it: variances are
/// from millions to millionths of the others, beside factors too.
#[test]
fn an_exact_measurement_leaves_no_variance() {
    for seed in 0..20 {
        let number = |i: usize| f64::from(17 * seed + 1).sqrt() * (i as f64 + 0.3);
        let row = Array2::from_shape_fn((1, 3), |(_, k)| number(k).sin());
        let axes = rotation(number(1)).dot(&rotation(number(2)));
        let turned = GaussianMixture::rotated(&[(1.0, [0.1, 0.2, 0.3], [1e3, 1.0, 1e-3], axes)]);
        let factors = Array2::from_shape_fn((2, 3), |(i, k)| 30.0 * number(3 * i + k).cos());
        let few = GaussianMixture::low_rank(&[(1.0, [0.1, 0.2, 0.3], [1e-6; 3], factors)]);
        for data in [turned.unwrap(), few.unwrap()] {
            let known = data.measured(&row, &[0.0], &[0.4]).unwrap();
            let density = known.log_density(&[0.1, 0.2, 0.3], NoiseLevel::CLEAN);
            assert!(density.is_err(), "{seed}: {density:?}");
            // Across what was measured there is some.
            assert!(known.variances().iter().all(|v| *v > 0.0), "{seed}");
        }
    }
}

#[test]
fn jacobians_and_posterior_covariances_are_derivatives() {
    for level in levels() {
        for x in points().rows() {
            let x = x.to_vec();
            let jacobian = mixture().jacobian(&x, level).unwrap();
            let covariance = mixture().posterior_covariance(&x, level).unwrap();
            let h = 1e-5 * level.sigma();
            for j in 0..3 {
                let moved = |by: f64| {
                    let mut x = x.clone();
                    x[j] += by;
                    mixture().posterior_mean(&x, level).unwrap()
                };
                let column = (moved(h) - moved(-h)) / (2.0 * h);
                for i in 0..3 {
                    close(jacobian[[i, j]], column[i], 1e-7, level);
                    let tweedie = level.alpha() / level.sigma().powi(2) * covariance[[i, j]];
                    close(jacobian[[i, j]], tweedie, 1e-12, level);
                }
            }
            let (x, v) = (array![[x[0], x[1], x[2]]], array![[0.3, -1.0, 2.0]]);
            let product = mixture().vjp(&x, at(level), &v).unwrap();
            for (found, expected) in product.iter().zip(&jacobian.dot(&v.row(0))) {
                close(*found, *expected, 1e-13, level);
            }
        }
    }
    // Where nothing is known, the covariance is that of the data; at the clean level nothing is left.
    let noise = mixture()
        .posterior_covariance(&[9.0, 9.0, 9.0], NoiseLevel::NOISE)
        .unwrap();
    for (found, expected) in noise.iter().zip(&mixture().covariance()) {
        close(*found, *expected, 1e-14, "noise");
    }
    let clean = gaussian()
        .posterior_covariance(&[9.0, 9.0, 9.0], NoiseLevel::CLEAN)
        .unwrap();
    assert!(clean.iter().all(|v| *v == 0.0), "{clean}");
    let samples = mixture().sample(200_000, &mut StdRng::seed_from_u64(5));
    let centered = &samples - &samples.mean_axis(Axis(0)).unwrap();
    let found = centered.t().dot(&centered) / 2e5;
    for (found, expected) in found.iter().zip(&mixture().covariance()) {
        // Five standard errors of a covariance of numbers of variance below 1.
        close(
            *found,
            *expected,
            5.0 * (2.0_f64 / 2e5).sqrt(),
            "covariance",
        );
    }
}

/// For one Gaussian, moment matching is the exact posterior, for each item its own; in all terms, in
/// both precisions.
fn moment_matching_is_exact<A: Real>(tolerance: f64) {
    let (a, std) = (operator(), 0.3);
    let ys = array![[0.7, -0.4], [2.0, 1.0], [-1.0, 0.2]];
    let x = points().mapv(A::of);
    for level in levels() {
        let seen = Measurement::new(a.clone(), ys.mapv(A::of), std).unwrap();
        let mut net = GaussianPosterior::moment_matching(gaussian(), seen, 2).unwrap();
        let found = net.predict(&x, at(level)).unwrap();
        assert_eq!(found.parameterization, Parameterization::X0);
        for i in 0..3 {
            let y = ys.row(i).to_vec();
            let exact = gaussian().measured(&a, &[std * std; 2], &y).unwrap();
            let exact = exact
                .posterior_mean(&points().row(i).to_vec(), level)
                .unwrap();
            for (found, exact) in found.value.row(i).iter().zip(&exact) {
                close(found.get(), *exact, tolerance, (level, i));
            }
        }
    }
}

#[test]
fn moment_matching_is_the_exact_posterior_of_a_gaussian() {
    moment_matching_is_exact::<f64>(1e-12);
    // A condition number of up to 30, and products of some hundred.
    moment_matching_is_exact::<f32>(1e-5);
}

/// A network that says the noise, with the derivative of that.
#[test]
fn derivatives_are_those_of_what_the_network_predicts() {
    let (a, y) = (operator(), array![[0.7, -0.4]]);
    let x = points().select(Axis(0), &[1]);
    for level in levels() {
        let noise = predicts::with(|x: &Array2<f64>, at: Point<()>| {
            let answer: Prediction<_> = gaussian().predict(x, at)?;
            answer.to(Parameterization::Noise, x, at.level)
        });
        let vjp = |x: &Array2<f64>, at: Point<()>, v: &Array2<f64>| {
            let of_data = gaussian().vjp(x, at, v)?;
            Ok((v - &(of_data * at.level.alpha())) / at.level.sigma())
        };
        let seen = || Measurement::new(a.clone(), y.clone(), 0.3).unwrap();
        let mut net =
            GaussianPosterior::moment_matching(WithVjp::new(noise, vjp), seen(), 2).unwrap();
        let mut plain = GaussianPosterior::moment_matching(gaussian(), seen(), 2).unwrap();
        let (found, expected) = (
            net.predict(&x, at(level)).unwrap(),
            plain.predict(&x, at(level)).unwrap(),
        );
        for (found, expected) in found.value.iter().zip(&expected.value) {
            close(*found, *expected, 1e-10, level);
        }
    }
}

#[test]
fn the_pseudo_inverse_is_the_exact_posterior_of_isotropic_data() {
    let (a, y, std) = (operator(), [0.7, -0.4], 0.2);
    let data = GaussianMixture::isotropic(&[(1.0, &[0.1, 0.2, -0.3][..], 0.6)]).unwrap();
    let exact = data.measured(&a, &[std * std; 2], &y).unwrap();
    let x = points();
    for level in levels() {
        let ys = Array2::from_shape_fn((3, 2), |(_, j)| y[j]);
        let seen = Measurement::new(a.clone(), ys, std).unwrap();
        let mut net = GaussianPosterior::pseudo_inverse(data.clone(), seen, 0.6, 2).unwrap();
        let found = net.predict(&x, at(level)).unwrap().value;
        for i in 0..3 {
            let exact = exact.posterior_mean(&x.row(i).to_vec(), level).unwrap();
            for (found, exact) in found.row(i).iter().zip(&exact) {
                close(*found, *exact, 1e-12, level);
            }
        }
    }
    // At the ends there is nothing to add.
    let seen = Measurement::new(a, array![[0.7, -0.4]], std).unwrap();
    let mut net = GaussianPosterior::pseudo_inverse(data.clone(), seen, 0.6, 2).unwrap();
    let x = x.select(Axis(0), &[0]);
    for level in [NoiseLevel::NOISE, NoiseLevel::CLEAN] {
        let at = Point::new((), level, level);
        assert_eq!(
            net.predict(&x, at).unwrap(),
            data.clone().predict(&x, at).unwrap()
        );
    }
}

/// The square of a sum, which is not linear.
struct Squared;

impl Operator<Array2<f64>> for Squared {
    fn apply(&self, x: &Array2<f64>) -> Result<Array2<f64>, gaussian_diffusion::Error> {
        Ok(x.sum_axis(Axis(1)).mapv(|s| s * s).insert_axis(Axis(1)))
    }

    fn transposed(
        &self,
        at: &Array2<f64>,
        y: &Array2<f64>,
    ) -> Result<Array2<f64>, gaussian_diffusion::Error> {
        let slope = at.sum_axis(Axis(1)) * 2.0 * y.column(0);
        Ok(Array2::from_shape_fn(at.dim(), |(i, _)| slope[i]))
    }
}

/// Central differences of the distance to the measurement, through the denoiser.
#[test]
fn dps_goes_down_the_gradient_of_the_distance() {
    let x = points();
    let y = array![[0.7], [2.0], [-1.0]];
    for level in levels() {
        let seen = Measurement::new(Squared, y.clone(), 0.1).unwrap();
        let mut net = Dps::new(mixture(), seen, 0.4).unwrap();
        let answer = net.predict(&x, at(level)).unwrap();
        let shift = answer.shift.unwrap();
        assert_eq!(
            answer.value,
            mixture().predict(&x, at(level)).unwrap().value
        );
        for i in 0..3 {
            let distance = |x: &[f64]| {
                let x0 = mixture().posterior_mean(x, level).unwrap();
                (y[[i, 0]] - x0.sum().powi(2)).abs()
            };
            let h = 1e-5 * level.sigma();
            for j in 0..3 {
                let moved = |by: f64| {
                    let mut x = x.row(i).to_vec();
                    x[j] += by;
                    distance(&x)
                };
                let gradient = (moved(h) - moved(-h)) / (2.0 * h);
                close(
                    at(level).to.alpha() * shift[[i, j]],
                    -0.4 * gradient,
                    1e-6,
                    level,
                );
            }
        }
    }
    // A measurement that is met, and no step.
    let seen = Measurement::new(array![[1.0, 0.0, 0.0]], array![[1.5]], 0.1).unwrap();
    let point = GaussianMixture::point(&[1.5, 0.0, 0.0]).unwrap();
    let level = levels()[0];
    let x = x.select(Axis(0), &[0]);
    let answer = Dps::new(point.clone(), seen.clone(), 1.0)
        .unwrap()
        .predict(&x, at(level))
        .unwrap();
    assert_eq!(answer.shift.unwrap(), Array2::<f64>::zeros((1, 3)));
    assert_eq!(
        Dps::new(point, seen, 0.0)
            .unwrap()
            .predict(&x, at(level))
            .unwrap()
            .shift,
        None
    );
}

/// Against the normal equations, solved by nalgebra.
#[test]
fn diff_pir_solves_its_least_squares() {
    let a = operator();
    let ys = array![[0.7, -0.4], [2.0, 1.0], [-1.0, 0.2]];
    let matrix = DMatrix::from_fn(2, 3, |i, j| a[[i, j]]);
    for level in levels() {
        for (std, lambda) in [(0.3, 1.0), (0.1, 7.0)] {
            let seen = Measurement::new(a.clone(), ys.clone(), std).unwrap();
            let net = predicts::x0(|x: &Array2<f64>, _: Point<()>| x.mapv(f64::tanh));
            let correction = DiffPir::new(seen, lambda, 2).unwrap();
            let mut net = Denoiser::<Array2<f64>, ()>::corrected(net, correction);
            let found = net.predict(&points(), at(level)).unwrap().value;
            let rho = lambda * (std * level.alpha() / level.sigma()).powi(2);
            for i in 0..3 {
                let x0 = DVector::from_iterator(3, points().row(i).iter().map(|x| x.tanh()));
                let y = DVector::from_iterator(2, ys.row(i).iter().copied());
                let normal = matrix.transpose() * &matrix + DMatrix::identity(3, 3) * rho;
                let right = matrix.transpose() * y + x0 * rho;
                let exact = normal.lu().solve(&right).unwrap();
                for (found, exact) in found.row(i).iter().zip(exact.iter()) {
                    // The normal equations are the worse of the two, with rho down to 1e-5.
                    close(*found, *exact, 1e-9, (level, i));
                }
            }
        }
    }
}

/// The mean over 24 directions of the Wasserstein distance of two samples of equal size.
fn sliced_wasserstein(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    let mut directions = Array2::<f64>::zeros((24, 3));
    SeededNoise::new(11)
        .add(&mut directions, Scale::Same(1.0), None)
        .unwrap();
    let mut total = 0.0;
    for direction in directions.rows() {
        let unit = &direction / direction.dot(&direction).sqrt();
        let project = |rows: &Array2<f64>| {
            let mut along = rows.dot(&unit).to_vec();
            along.sort_by(f64::total_cmp);
            along
        };
        let pairs = project(a).into_iter().zip(project(b));
        total += pairs.map(|(a, b)| (a - b).abs()).sum::<f64>() / a.nrows() as f64 / 24.0;
    }
    total
}

const SAMPLES: usize = 2000;

/// Samples by the plan, with this denoiser.
fn sampled<T: Copy + std::fmt::Debug>(
    plan: &Plan<T>,
    net: &mut impl Denoiser<Array2<f64>, T>,
) -> Array2<f64> {
    let mut noise = SeededNoise::new(3);
    let start = plan.prior((SAMPLES, 3), &mut noise).unwrap();
    plan.sample(start, net, &mut noise).unwrap()
}

/// Mean, covariance and sliced Wasserstein distance of samples from this law.
fn agree(samples: &Array2<f64>, exact: &GaussianMixture, bias: f64, what: &str) {
    let n = SAMPLES as f64;
    let mean = samples.mean_axis(Axis(0)).unwrap();
    let centered = samples - &mean;
    let covariance = centered.t().dot(&centered) / n;
    let (m, c) = (exact.mean(), exact.covariance());
    for i in 0..3 {
        // Five standard errors, and what the steps are off by.
        let allowed = 5.0 * (c[[i, i]] / n).sqrt() + bias;
        assert!(
            (mean[i] - m[i]).abs() < allowed,
            "{what}: mean {mean} for {m}"
        );
        for j in 0..3 {
            // A mixture's fourth moments are below three times those of a Gaussian here.
            let allowed = 5.0 * (3.0 * c[[i, i]] * c[[j, j]] / n).sqrt() + bias;
            assert!(
                (covariance[[i, j]] - c[[i, j]]).abs() < allowed,
                "{what}: {covariance} for {c}"
            );
        }
    }
    let reference = exact.sample(SAMPLES, &mut StdRng::seed_from_u64(7));
    let again = exact.sample(SAMPLES, &mut StdRng::seed_from_u64(8));
    let chance = sliced_wasserstein(&reference, &again);
    let found = sliced_wasserstein(&reference, samples);
    println!("{what}: sliced Wasserstein {found:.4}, by chance {chance:.4}");
    assert!(found < 2.0 * chance + bias, "{what}: {found} for {chance}");
}

fn measurement(std: f64) -> (Measurement<Array2<f64>, Array2<f64>>, [f64; 2]) {
    let y = [0.7, -0.4];
    let ys = Array2::from_shape_fn((SAMPLES, 2), |(_, j)| y[j]);
    (Measurement::new(operator(), ys, std).unwrap(), y)
}

/// A Gaussian: moment matching samples the exact posterior, with and without noise on the way, on
/// three families.
#[test]
fn samples_under_a_measurement_have_the_law_of_the_posterior() {
    let std = 0.3;
    let (seen, y) = measurement(std);
    let exact = gaussian()
        .measured(&operator(), &[std * std; 2], &y)
        .unwrap();
    let mut net = GaussianPosterior::moment_matching(gaussian(), seen, 2).unwrap();
    let schedule = Discrete::cosine(1000).unwrap();
    let grid = Grid::trailing(&schedule, 80).unwrap();
    let ddpm = Plan::new(&schedule, &grid, &Ddpm::default()).unwrap();
    agree(&sampled(&ddpm, &mut net), &exact, 0.015, "DDPM");
    let edm = Edm::default();
    let grid = Grid::karras(&edm, 80).unwrap();
    let ddim = Plan::new(&edm, &grid, &Ddim::default()).unwrap();
    agree(&sampled(&ddim, &mut net), &exact, 0.015, "DDIM on EDM");
    let grid = Grid::uniform_time(&RectifiedFlow, 80).unwrap();
    let flow = Plan::new(&RectifiedFlow, &grid, &Ddim::default()).unwrap();
    agree(&sampled(&flow, &mut net), &exact, 0.015, "flow");
}

/// A mixture: the conditioned mixture is exact, and the approximations come near it in the order of
/// what they know of the covariance.
#[test]
fn approximate_posteriors_of_a_mixture_come_near_the_exact_one() {
    let std = 0.3;
    let (seen, y) = measurement(std);
    let mut exact = mixture()
        .measured(&operator(), &[std * std; 2], &y)
        .unwrap();
    let schedule = VpLinear::new(0.1, 20.0).unwrap();
    let snr = |value| LogSnr::new(value).unwrap();
    let grid = Grid::uniform_log_snr_between(&schedule, 40, snr(-9.0), snr(7.0)).unwrap();
    let plan = Plan::new(&schedule, &grid, &Ddpm::default()).unwrap();
    agree(&sampled(&plan, &mut exact), &exact, 0.03, "exact");
    let reference = exact.sample(SAMPLES, &mut StdRng::seed_from_u64(7));
    let distance = |samples: Array2<f64>| sliced_wasserstein(&reference, &samples);
    let prior = distance(sampled(&plan, &mut mixture()));
    let mut net = GaussianPosterior::moment_matching(mixture(), seen.clone(), 2).unwrap();
    let matched = distance(sampled(&plan, &mut net));
    let mut net = GaussianPosterior::pseudo_inverse(mixture(), seen.clone(), 0.5, 2).unwrap();
    assert!(format!("{net:?}").contains("Isotropic(0.5)"), "{net:?}");
    let inverse = distance(sampled(&plan, &mut net));
    let mut net = Dps::new(mixture(), seen.clone(), 0.3).unwrap();
    let dps = distance(sampled(&plan, &mut net));
    let mut net =
        Denoiser::<Array2<f64>, Time>::corrected(mixture(), DiffPir::new(seen, 7.0, 2).unwrap());
    let pir = distance(sampled(&plan, &mut net));
    println!(
        "prior {prior:.3}, MMPS {matched:.3}, PiGDM {inverse:.3}, DPS {dps:.3}, DiffPIR {pir:.3}"
    );
    assert!(matched < 0.25 * prior);
    assert!(inverse < 0.6 * prior && dps < 0.6 * prior && pir < 0.6 * prior);
}

/// Each item has its own measurement and system, wherever it stands in the batch: to the last bit.
fn items_do_not_mix<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>) {
    let plan = Plan::new(schedule, grid, &Ddim::default()).unwrap();
    let ys = array![[0.7, -0.4], [2.0, 1.0], [-1.0, 0.2], [0.0, 0.0]];
    let start: Array2<f64> = plan.prior((4, 3), &mut SeededNoise::new(5)).unwrap();
    let run = |kind: usize, rows: &[usize]| {
        let seen = Measurement::new(operator(), ys.select(Axis(0), rows), 0.2).unwrap();
        let x = start.select(Axis(0), rows);
        let mut noise = SeededNoise::new(0);
        match kind {
            0 => plan.sample(
                x,
                &mut GaussianPosterior::moment_matching(mixture(), seen, 1).unwrap(),
                &mut noise,
            ),
            1 => plan.sample(
                x,
                &mut GaussianPosterior::pseudo_inverse(mixture(), seen, 0.5, 5).unwrap(),
                &mut noise,
            ),
            2 => plan.sample(x, &mut Dps::new(mixture(), seen, 0.1).unwrap(), &mut noise),
            _ => {
                let correction = DiffPir::new(seen, 1.0, 2).unwrap();
                let mut net = Denoiser::<Array2<f64>, S::Time>::corrected(mixture(), correction);
                plan.sample(x, &mut net, &mut noise)
            }
        }
        .unwrap()
    };
    for kind in 0..4 {
        let together = run(kind, &[0, 1, 2, 3]);
        let order = [2, 0, 3, 1];
        assert_eq!(
            run(kind, &order),
            together.select(Axis(0), &order),
            "{kind}"
        );
        for i in 0..4 {
            assert_eq!(
                run(kind, &[i]),
                together.select(Axis(0), &[i]),
                "{kind}, item {i}"
            );
        }
        assert!(together.iter().all(|x| x.is_finite()));
    }
}

#[test]
fn measurements_of_items_do_not_mix_on_any_schedule() {
    let discrete = Discrete::stable_diffusion().unwrap();
    items_do_not_mix(&discrete, &Grid::trailing(&discrete, 6).unwrap());
    items_do_not_mix(&Edm::default(), &Grid::karras(&Edm::default(), 6).unwrap());
    items_do_not_mix(&Cosine, &Grid::uniform_time(&Cosine, 6).unwrap());
    items_do_not_mix(
        &RectifiedFlow,
        &Grid::uniform_time(&RectifiedFlow, 6).unwrap(),
    );
}

#[test]
fn bad_measurements_are_refused() {
    let say = |a: Array2<f64>, noise: &[f64], y: &[f64]| {
        mixture().measured(&a, noise, y).unwrap_err().to_string()
    };
    let a = operator();
    assert_eq!(
        say(Array2::zeros((2, 2)), &[1.0; 2], &[0.0; 2]),
        "columns of the measurement has shape [2], expected [3]"
    );
    assert_eq!(
        say(a.clone(), &[1.0], &[0.0; 2]),
        "noise of the measurement has shape [1], expected [2]"
    );
    assert_eq!(
        say(a.clone(), &[1.0; 2], &[0.0]),
        "measurement has shape [1], expected [2]"
    );
    assert_eq!(
        say(a.clone(), &[1.0, -0.5], &[0.0; 2]),
        "noise of the measurement[1] is -0.5, allowed: a finite number from 0 on"
    );
    assert_eq!(
        say(&a * f64::NAN, &[1.0; 2], &[0.0; 2]),
        "rows of the measurement[0] is NaN, allowed: a finite number"
    );
    assert_eq!(
        say(a.clone(), &[1.0; 2], &[0.0, f64::INFINITY]),
        "measurement[1] is inf, allowed: a finite number"
    );
    // Twice the same, without noise.
    assert_eq!(
        say(
            array![[1.0, 0.5, 0.0], [1.0, 0.5, 0.0]],
            &[0.0; 2],
            &[0.3, 0.4]
        ),
        "determinant of the measurement's covariance is 0, allowed: above 0"
    );
    assert_eq!(
        Measurement::new((), (), -1.0).unwrap_err().to_string(),
        "deviation of the measurement is -1, allowed: a finite number from 0 on"
    );
    let seen = || Measurement::new(a.clone(), array![[0.7, -0.4]], 0.1).unwrap();
    assert_eq!(
        Dps::new((), seen(), f64::NAN).unwrap_err().to_string(),
        "gradient step is NaN, allowed: a finite number"
    );
    assert_eq!(
        GaussianPosterior::pseudo_inverse((), seen(), 0.0, 1)
            .unwrap_err()
            .to_string(),
        "variance of the data is 0, allowed: a finite number above 0"
    );
    assert_eq!(
        GaussianPosterior::moment_matching((), seen(), 0)
            .unwrap_err()
            .to_string(),
        "number of iterations is 0, allowed: 1 or more"
    );
    assert_eq!(
        DiffPir::new(seen(), 0.0, 1).unwrap_err().to_string(),
        "weight of the prediction is 0, allowed: a finite number above 0"
    );
    assert_eq!(
        DiffPir::new(seen(), 1.0, 0).unwrap_err().to_string(),
        "number of iterations is 0, allowed: 1 or more"
    );
    let shown =
        |posterior: GaussianPosterior<(), Array2<f64>, Array2<f64>>| format!("{posterior:?}");
    let isotropic = GaussianPosterior::pseudo_inverse((), seen(), 0.5, 1).unwrap();
    assert!(shown(isotropic).contains("covariance: Isotropic(0.5)"));
    let matched = GaussianPosterior::moment_matching((), seen(), 2).unwrap();
    assert!(shown(matched).contains("covariance: Jacobian"));
    let mut net = Dps::new(mixture(), seen(), 0.1).unwrap();
    assert_eq!(
        net.predict(&points(), at(levels()[0]))
            .unwrap_err()
            .to_string(),
        "array has shape [1, 2], expected [3, 2]"
    );
}
