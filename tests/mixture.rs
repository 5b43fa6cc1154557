//! Gaussian mixtures: closed forms against quadrature and differences, and samplers against them.

use std::f64::consts::TAU;

use gaussian_diffusion::{
    GaussianMixture, Grid, LogSnr, NoiseLevel, Plan, ReverseStep, SeededNoise, Sigma,
    rand::{SeedableRng, rngs::StdRng},
    schedule::{Discrete, Edm, RectifiedFlow},
    solver::{Ddim, Ddpm},
};
use ndarray::{Array2, array};

fn one() -> GaussianMixture {
    GaussianMixture::isotropic(&[(1.0, &[-1.0][..], 0.05), (3.0, &[0.8][..], 0.2)]).unwrap()
}

fn two() -> GaussianMixture {
    let (sin, cos) = 0.4_f64.sin_cos();
    let axes = |s: f64, c: f64| array![[c, s], [-s, c]];
    GaussianMixture::rotated(&[
        (0.4, vec![-1.0, 0.5], vec![0.4, 0.02], axes(sin, cos)),
        (0.6, vec![0.8, -0.3], vec![0.05, 0.3], axes(-sin, cos)),
    ])
    .unwrap()
}

fn levels() -> Vec<NoiseLevel> {
    let snr = |value| LogSnr::new(value).unwrap();
    vec![
        NoiseLevel::CLEAN,
        NoiseLevel::NOISE,
        NoiseLevel::variance_preserving(snr(1.0)).unwrap(),
        NoiseLevel::variance_exploding(Sigma::new(3.0).unwrap()).unwrap(),
        NoiseLevel::rectified_flow(snr(-2.0)).unwrap(),
    ]
}

/// Bayes' rule by the trapezoid rule over x_0, exact to rounding for smooth densities that vanish at
/// the ends.
#[test]
fn density_and_denoiser_are_the_integrals_over_the_data() {
    let prior = |x: f64| {
        let normal = |m: f64, v: f64| (-0.5 * (x - m).powi(2) / v).exp() / (TAU * v).sqrt();
        0.25 * normal(-1.0, 0.05) + 0.75 * normal(0.8, 0.2)
    };
    for level in &levels()[1..] {
        let (alpha, sigma) = (level.alpha(), level.sigma());
        for x in [-2.0, -0.3, 0.1, 1.4] {
            let (mut total, mut first) = (0.0, 0.0);
            let (n, reach) = (40_000, 8.0);
            for i in 0..=n {
                let x0 = reach * (2.0 * f64::from(i) / f64::from(n) - 1.0);
                let z: f64 = (x - alpha * x0) / sigma;
                let joint = prior(x0) * (-0.5 * z * z).exp() / (TAU.sqrt() * sigma);
                total += joint * 2.0 * reach / f64::from(n);
                first += x0 * joint * 2.0 * reach / f64::from(n);
            }
            let log = one().log_density(&[x], *level).unwrap();
            assert!(
                (log - total.ln()).abs() < 1e-11,
                "{level:?}, {x}: {log} for {}",
                total.ln()
            );
            let mean = one().posterior_mean(&[x], *level).unwrap()[0];
            assert!(
                (mean - first / total).abs() < 1e-11,
                "{level:?}, {x}: {mean}"
            );
        }
    }
}

/// The score by central differences (error about 1e-9 for a step of 1e-5), and Tweedie's formula.
#[test]
fn score_is_the_gradient_and_gives_the_denoiser() {
    for level in levels() {
        for x in [[-1.2, 0.4], [0.3, 0.3], [2.0, -1.0]] {
            let score = two().score(&x, level).unwrap();
            let mean = two().posterior_mean(&x, level).unwrap();
            for k in 0..2 {
                let shifted = |h: f64| {
                    let mut y = x;
                    y[k] += h;
                    two().log_density(&y, level).unwrap()
                };
                let slope = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                assert!(
                    (score[k] - slope).abs() < 1e-7 * (1.0 + slope.abs()),
                    "{level:?} {x:?}"
                );
                let tweedie = x[k] + level.sigma().powi(2) * score[k];
                assert!((level.alpha() * mean[k] - tweedie).abs() < 1e-12 * (1.0 + x[k].abs()));
            }
        }
    }
}

/// Rotated components whose variances are equal are isotropic ones; axes along the coordinates are
/// diagonal ones.
#[test]
fn constructors_agree() {
    let (sin, cos) = 1.1_f64.sin_cos();
    let axes = array![[cos, sin], [-sin, cos]];
    let level = levels()[2];
    let turned = GaussianMixture::rotated(&[(1.0, vec![0.5, 1.0], vec![0.3, 0.3], axes)]).unwrap();
    let round = GaussianMixture::isotropic(&[(1.0, vec![0.5, 1.0], 0.3)]).unwrap();
    let straight = GaussianMixture::diagonal(&[(1.0, vec![0.5, 1.0], vec![0.3, 0.3])]).unwrap();
    for mixture in [&turned, &straight] {
        assert_eq!(mixture.dimension(), 2);
        let a = mixture.posterior_mean(&[0.2, -0.4], level).unwrap();
        let b = round.posterior_mean(&[0.2, -0.4], level).unwrap();
        assert!((&a - &b).iter().all(|d| d.abs() < 1e-14));
        assert!(
            (mixture.variances() - round.variances())
                .iter()
                .all(|d| d.abs() < 1e-14)
        );
    }
}

/// One component that is a point is known at every level, also without noise, where nothing has a density.
#[test]
fn a_point_is_known_without_noise() {
    let point = GaussianMixture::point(&[1.0, 2.0]).unwrap();
    for level in levels() {
        let x = [0.3, -0.7];
        assert_eq!(point.posterior_mean(&x, level).unwrap(), array![1.0, 2.0]);
        let zero = Array2::<f64>::zeros((2, 2));
        assert_eq!(point.posterior_covariance(&x, level).unwrap(), zero);
        assert_eq!(point.jacobian(&x, level).unwrap(), zero);
    }
    assert!(point.log_density(&[1.0, 2.0], NoiseLevel::CLEAN).is_err());
    // Of two it is the density that decides.
    let two = GaussianMixture::isotropic(&[(1.0, [0.0], 0.0), (1.0, [1.0], 0.0)]).unwrap();
    assert!(two.posterior_mean(&[0.0], NoiseLevel::CLEAN).is_err());
    assert!(two.posterior_covariance(&[0.0], NoiseLevel::CLEAN).is_err());
    assert!(two.jacobian(&[0.0], NoiseLevel::CLEAN).is_err());
}

#[test]
fn samples_have_the_moments() {
    let n = 200_000;
    let rows = two().sample(n, &mut StdRng::seed_from_u64(1));
    let (mean, variances) = (two().mean(), two().variances());
    for k in 0..2 {
        // 3.9 deviations: significance 1e-4.
        let off = rows.column(k).mean().unwrap() - mean[k];
        assert!(
            off.abs() < 3.9 * (variances[k] / n as f64).sqrt(),
            "mean {k}: {off}"
        );
        let centered = rows.column(k).mapv(|x| (x - mean[k]).powi(2));
        let off = centered.mean().unwrap() - variances[k];
        let bound = 3.9 * (centered.var(0.0) / n as f64).sqrt();
        assert!(off.abs() < bound, "variance {k}: {off} of {bound}");
    }
}

/// The two-sample statistic of Kolmogorov and Smirnov along a direction.
fn two_samples(a: &Array2<f64>, b: &Array2<f64>, angle: f64) -> f64 {
    let along = |x: &Array2<f64>| {
        let mut y: Vec<f64> = x
            .rows()
            .into_iter()
            .map(|r| r[0] * angle.cos() + r[1] * angle.sin())
            .collect();
        y.sort_by(f64::total_cmp);
        y
    };
    let (a, b) = (along(a), along(b));
    let worst = a.iter().chain(&b).fold(0.0_f64, |worst, x| {
        let share = |y: &[f64]| y.partition_point(|y| y <= x) as f64 / y.len() as f64;
        worst.max((share(&a) - share(&b)).abs())
    });
    worst * (a.len() as f64 * b.len() as f64 / (a.len() + b.len()) as f64).sqrt()
}

/// Samples of the reverse process with the exact denoiser against samples of the data: a two-sample
/// test along five directions, each at a significance of 1e-4 (2.23), and a shifted sample fails it.
#[test]
fn samplers_draw_the_mixture() {
    const N: usize = 1500;
    let data = two().sample(N, &mut StdRng::seed_from_u64(7));
    let schedule = Discrete::cosine(1000).unwrap();
    let grid = Grid::trailing(&schedule, 200).unwrap();
    let edm = Edm::default();
    let flow = RectifiedFlow;
    let mut noise = SeededNoise::new(3);
    let ddpm = Plan::new(&schedule, &grid, &Ddpm::default()).unwrap();
    let ddim = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
    let start = |std: f64, noise: &mut SeededNoise| {
        let mut x = Array2::<f64>::zeros((N, 2));
        use gaussian_diffusion::noise::{NoiseSource, Scale};
        noise.add(&mut x, Scale::Same(std), None).unwrap();
        x
    };
    let mut samples = Vec::new();
    for plan in [&ddpm, &ddim] {
        let x = start(plan.prior_std(), &mut noise);
        samples.push((
            plan.name().to_owned(),
            plan.sample(x, &mut two(), &mut noise).unwrap(),
        ));
    }
    let solver: &dyn ReverseStep = &Ddim::default();
    let plan = Plan::new(&edm, &Grid::karras(&edm, 200).unwrap(), solver).unwrap();
    let x = start(plan.prior_std(), &mut noise);
    samples.push((
        "EDM".to_owned(),
        plan.sample(x, &mut two(), &mut noise).unwrap(),
    ));
    let plan = Plan::new(
        &flow,
        &Grid::uniform_time(&flow, 200).unwrap(),
        &Ddpm::default(),
    )
    .unwrap();
    let x = start(plan.prior_std(), &mut noise);
    samples.push((
        "flow".to_owned(),
        plan.sample(x, &mut two(), &mut noise).unwrap(),
    ));
    for (name, x) in &samples {
        for k in 0..5 {
            let statistic = two_samples(&data, x, f64::from(k) * 0.63);
            assert!(statistic < 2.23, "{name}, direction {k}: {statistic}");
        }
        let shifted = x.mapv(|x| x + 0.1);
        assert!(
            two_samples(&data, &shifted, 0.8) > 2.23,
            "{name} hides a shift"
        );
    }
}
