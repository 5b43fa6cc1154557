//! Data of which a table knows all there is to know.

use gaussian_diffusion::{
    Clock, Denoiser, GaussianMixture, Grid, NoiseSchedule, Plan, Point, SeededNoise, Sigma,
    fit::{Fit, Gaussians, Lesson, StateCoefficient},
    rand::{SeedableRng, rngs::StdRng},
    schedule::{Cosine, Discrete, Edm, RectifiedFlow},
    solver::{Coordinates, Ddim, DpmSolver, ExponentialAdams, ReverseStep},
};
use ndarray::{Array2, array};

use super::{Columns, EVERY_STATE, coefficients, fine, off, starts};

/// In the terms that carry rounding errors of their own, on every family.
#[test]
fn a_point_of_data_keeps_its_base_whatever_the_ridge() {
    fn check<S: NoiseSchedule<Time = T>, T: Clock + std::fmt::Debug>(schedule: &S) {
        let x0 = |i: usize| 0.7 - 0.4 * i as f64;
        let mut network =
            gaussian_diffusion::predicts::velocity(|x: &Array2<f64>, at: Point<T>| {
                let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
                let velocity = |((_, i), x): ((usize, usize), &f64)| {
                    alpha * (x - alpha * x0(i)) / sigma - sigma * x0(i)
                };
                let values = x.indexed_iter().map(velocity).collect();
                Array2::from_shape_vec(x.dim(), values).unwrap()
            });
        let fine = fine(schedule, 60);
        let lesson = Lesson::new(&fine, starts(&fine, (4, 3), 1), &mut network).unwrap();
        let solvers: [Box<dyn ReverseStep>; 3] = [
            Box::new(Ddim::default()),
            Box::new(DpmSolver::plus_plus(2).unwrap()),
            Box::new(ExponentialAdams::new(3, Coordinates::Data).unwrap()),
        ];
        for (solver, n) in solvers.iter().flat_map(|s| [1, 2, 7].map(|n| (s, n))) {
            let grid = Grid::uniform_time(schedule, n).unwrap();
            let base = Plan::new(schedule, &grid, solver).unwrap();
            for (state, ridge) in EVERY_STATE
                .iter()
                .flat_map(|s| [0.0, 1e-8, 1e3].map(|r| (s, r)))
            {
                let fit = Fit::default().with_state(*state).with_ridge(ridge).unwrap();
                let fitted = fit.plan(&base, &lesson, &mut network).unwrap();
                let pairs = coefficients(&fitted.plan).concat();
                for (found, own) in pairs.iter().zip(coefficients(&base).concat()) {
                    let near = (found - own).abs() <= 1e-14 * (1.0 + own.abs());
                    assert!(near, "{found} for {own}: {state:?}, ridge {ridge}, {base}");
                }
            }
        }
    }
    check(&Cosine);
    check(&Discrete::cosine(1000).unwrap());
    check(&Edm::default());
    check(&RectifiedFlow);
}

/// As many free numbers as variances: a fitted run is the fine one, also from starts it has not seen.
#[test]
fn gaussian_data_of_few_variances_is_followed_exactly() {
    fn check<S: NoiseSchedule<Time = T>, T: Clock + std::fmt::Debug>(schedule: &S) {
        for variances in [
            &[0.3][..],
            &[2.0, 0.1],
            &[1.0, 0.2, 0.02],
            &[1.5, 0.5, 0.1, 0.01],
        ] {
            let k = variances.len();
            let mut network = Columns::of(variances);
            let fine = fine(schedule, 100);
            let lesson = Lesson::new(&fine, starts(&fine, (3, k), 1), &mut network).unwrap();
            let fit = Fit::default().with_memory((k - 1).max(1)).unwrap();
            let fit = fit.with_ridge(0.0).unwrap();
            // Pure noise says nothing of the data: the first prediction there is 0.
            let first = usize::from(fine.levels()[0].is_noise());
            for n in [k.max(2) - 1 + first, k + 1, 8] {
                let grid = Grid::uniform_time(schedule, n).unwrap();
                let base = Plan::new(schedule, &grid, &Ddim::default()).unwrap();
                let fitted = fit.plan(&base, &lesson, &mut network).unwrap();
                let others = starts(&fine, (5, k), 2);
                let mut run = |plan: &Plan<T>| {
                    let noise = &mut SeededNoise::new(0);
                    plan.sample(others.clone(), &mut network, noise).unwrap()
                };
                let (exact, found) = (run(&fine), run(&fitted.plan));
                let size = exact.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
                let distance = off(&exact, &found) / size;
                // Where noise is a hundred times the data the terms are millions of times their sum.
                let terms = coefficients(&fitted.plan)
                    .concat()
                    .into_iter()
                    .map(f64::abs);
                let rounding = f64::EPSILON * terms.fold(1.0, f64::max);
                assert!(
                    distance < rounding.max(1e-11),
                    "{distance:e}, {k} variances, {n} steps: {fitted}"
                );
            }
        }
    }
    check(&Cosine);
    check(&Discrete::stable_diffusion().unwrap());
    check(&Edm::new(Sigma::new(0.002).unwrap(), Sigma::new(80.0).unwrap()).unwrap());
    check(&RectifiedFlow);
}

/// A difference of a hundred-millionth is no rounding, whatever the size of the data.
#[test]
fn a_small_difference_is_fitted() {
    for size in [1.0, 1e-3] {
        let mut network = Columns::of(&[1e-10 * size * size]);
        network.mean = 0.7 * size;
        let fine = fine(&Cosine, 100);
        let lesson = Lesson::new(&fine, starts(&fine, (6, 1), 1), &mut network).unwrap();
        let grid = Grid::uniform_time(&Cosine, 4).unwrap();
        let base = Plan::new(&Cosine, &grid, &Ddim::default()).unwrap();
        let fit = Fit::default().with_ridge(0.0).unwrap();
        let fitted = fit.plan(&base, &lesson, &mut network).unwrap();
        let share = fitted.before / size;
        assert!(share > 1e-12 && share < 1e-7, "{fitted}");
        assert!(fitted.after < 0.1 * fitted.before, "{fitted}");
    }
}

/// One stage, by normal equations in plain loops: the expected square over all starts.
#[test]
fn two_rows_a_gaussian_are_the_expectation() {
    let (alpha, sigma) = {
        let level = Cosine
            .level(gaussian_diffusion::Time::new(0.9).unwrap())
            .unwrap();
        (level.alpha(), level.sigma())
    };
    let times = [0.9, 0.5].map(|t| gaussian_diffusion::Time::new(t).unwrap());
    let to = Cosine.level(times[1]).unwrap();
    let parts = [
        (0.25, [0.4, -1.0], [0.5, 0.02]),
        (0.75, [-0.3, 0.2], [0.1, 0.3]),
    ];
    let data = GaussianMixture::diagonal(&parts).unwrap();
    let mut gaussians = Gaussians::of(&data);

    let inner = (1..400).map(|i| 0.9 - 0.4 * f64::from(i) / 400.0);
    let path = [0.9]
        .into_iter()
        .chain(inner)
        .map(|t| gaussian_diffusion::Time::new(t).unwrap());
    let path = Grid::at(&Cosine, &path.collect::<Vec<_>>())
        .unwrap()
        .ending_at(to)
        .unwrap();
    let solver = ExponentialAdams::new(3, Coordinates::Data).unwrap();
    let fine = Plan::new(&Cosine, &path, &solver).unwrap();
    let lesson = Lesson::new(&fine, gaussians.starts(fine.prior_std()), &mut gaussians).unwrap();
    let lesson = lesson.with_weights(&gaussians.weights()).unwrap();
    let grid = Grid::at(&Cosine, &times[..1])
        .unwrap()
        .ending_at(to)
        .unwrap();
    let base = Plan::new(&Cosine, &grid, &Ddim::default()).unwrap();
    let fit = Fit::default().with_ridge(0.0).unwrap();
    let fitted = fit.plan(&base, &lesson, &mut gaussians).unwrap();
    let found = coefficients(&fitted.plan);

    // x = std z, p = g x + o, y = r (x - alpha m) + alpha_s m; expectations over z and the Gaussians.
    let (mut xx, mut xp, mut pp, mut xy, mut py) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (weight, mean, variances) in parts {
        for (m, v) in mean.into_iter().zip(variances) {
            let (total, std2) = (alpha * alpha * v + sigma * sigma, fine.prior_std().powi(2));
            let (g, o) = (alpha * v / total, m * sigma * sigma / total);
            let r = ((to.alpha().powi(2) * v + to.sigma().powi(2)) / total).sqrt();
            let rest = (to.alpha() - r * alpha) * m;
            xx += weight * std2;
            xp += weight * g * std2;
            pp += weight * (g * g * std2 + o * o);
            xy += weight * r * std2;
            py += weight * (g * r * std2 + o * rest);
        }
    }
    let determinant = xx * pp - xp * xp;
    // Two columns of length 1 with this cosine have singular values sqrt(1 + c) and sqrt(1 - c).
    let cosine = xp / (xx * pp).sqrt();
    let condition = ((1.0 + cosine) / (1.0 - cosine)).sqrt();
    assert!(
        (fitted.condition / condition - 1.0).abs() < 1e-9,
        "{fitted} {condition}"
    );
    let expected = [
        (pp * xy - xp * py) / determinant,
        (xx * py - xp * xy) / determinant,
    ];
    for (found, expected) in found[0].iter().zip(expected) {
        // The fine run is off by about its step to the third power.
        assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
    }
}

#[test]
fn a_mixture_of_samples_has_their_moments() {
    let axes = array![[0.6, 0.8], [-0.8, 0.6]];
    let drawn = GaussianMixture::rotated(&[(1.0, [1.0, -2.0], [0.5, 0.01], axes)]).unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    let [one, two] = [15_000, 5_000].map(|count| drawn.sample(count, &mut rng));
    let found = GaussianMixture::of_samples(&[one.clone(), two]).unwrap();
    // Four deviations of a mean of 20,000 are 0.02.
    assert!(off(&found.covariance(), &drawn.covariance()) < 0.02);
    assert!((found.mean() - drawn.mean()).iter().all(|d| d.abs() < 0.02));
    // As a plain sum has it.
    let mean = one.mean_axis(ndarray::Axis(0)).unwrap();
    let centred = &one - &mean;
    let covariance = centred.t().dot(&centred) / 14_999.0;
    let alone = GaussianMixture::of_samples(&[one]).unwrap();
    assert!(off(&alone.covariance(), &covariance) < 1e-13);
    assert_eq!(
        GaussianMixture::of_samples(&[array![[1.0, 2.0]]]).unwrap(),
        {
            let axes = Array2::eye(2);
            GaussianMixture::rotated(&[(1.0, [1.0, 2.0], [0.0, 0.0], axes)]).unwrap()
        }
    );
}

/// With the variances of data in the axes of the mixture, whatever these are.
#[test]
fn turning_the_data_changes_no_coefficient() {
    let (sin, cos) = 0.7_f64.sin_cos();
    let axes = array![[cos, sin], [-sin, cos]];
    let means = [[0.4, -1.0], [-0.3, 0.2]];
    let turned = means.map(|m| axes.t().dot(&array![m[0], m[1]]).to_vec());
    let straight = GaussianMixture::diagonal(&[
        (0.4, means[0].to_vec(), vec![0.5, 0.02]),
        (0.6, means[1].to_vec(), vec![0.1, 0.3]),
    ]);
    let turned = GaussianMixture::rotated(&[
        (0.4, turned[0].clone(), vec![0.5, 0.02], axes.clone()),
        (0.6, turned[1].clone(), vec![0.1, 0.3], axes),
    ]);
    let fine = fine(&Cosine, 50);
    let plans = [straight.unwrap(), turned.unwrap()].map(|data| {
        let mut gaussians = Gaussians::of(&data);
        let rows = gaussians.starts(fine.prior_std());
        let lesson = Lesson::new(&fine, rows, &mut gaussians).unwrap();
        let lesson = lesson.with_weights(&gaussians.weights()).unwrap();
        let grid = Grid::uniform_time(&Cosine, 4).unwrap();
        let base = Plan::new(&Cosine, &grid, &DpmSolver::plus_plus(2).unwrap()).unwrap();
        coefficients(
            &Fit::default()
                .plan(&base, &lesson, &mut gaussians)
                .unwrap()
                .plan,
        )
        .concat()
    });
    for (a, b) in plans[0].iter().zip(&plans[1]) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }
    assert_eq!(StateCoefficient::default(), StateCoefficient::Free);
}

/// Each row is answered as the exact denoiser of its Gaussian does: the first with its mean, the second without.
#[test]
fn rows_are_denoised_by_their_gaussians() {
    let parts = [
        (0.25, [0.4, -1.0], [0.5, 0.02]),
        (0.5, [-0.3, 0.2], [0.1, 0.3]),
        (0.25, [1.4, 0.1], [0.2, 0.7]),
    ];
    let mut gaussians = Gaussians::of(&GaussianMixture::diagonal(&parts).unwrap());
    let level = Cosine
        .level(gaussian_diffusion::Time::new(0.6).unwrap())
        .unwrap();
    let at = Point::new((), level, level);
    let x = array![
        [0.3, -0.7],
        [1.0, 1.0],
        [-0.2, 0.5],
        [2.0, -1.0],
        [0.1, 0.4],
        [-1.0, 0.6]
    ];
    let found = gaussians.predict(&x, at).unwrap().value;
    for (i, (_, mean, variances)) in parts.into_iter().enumerate() {
        for (row, mean) in [(2 * i, mean), (2 * i + 1, [0.0; 2])] {
            let alone = GaussianMixture::diagonal(&[(1.0, mean, variances)]).unwrap();
            let wanted = alone.posterior_mean(&x.row(row).to_vec(), level).unwrap();
            for k in 0..2 {
                assert!((found[[row, k]] - wanted[k]).abs() < 1e-15, "{row} {k}");
            }
        }
    }
    let error = gaussians.predict(&x.t().to_owned(), at).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rows of the Gaussians has shape [2, 6], expected [6, 2]"
    );
}

/// Rows of a run that starts from another deviation than 1 are the expectation there too.
#[test]
fn rows_start_from_the_prior() {
    let data = GaussianMixture::diagonal(&[(1.0, [0.4, -1.0], [0.5, 0.02])]).unwrap();
    let gaussians = Gaussians::of(&data);
    assert_eq!(gaussians.starts(80.0), array![[0.0, 0.0], [80.0, 80.0]]);
    assert_eq!(gaussians.weights(), [1.0, 1.0]);
}
