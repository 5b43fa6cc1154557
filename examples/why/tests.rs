//! The figures against closed forms and covariances built pixel by pixel.

use nalgebra::{Cholesky, DMatrix, DVector};

use super::{fewest::*, losses::*, *};

/// `KL(N(0, p) || N(0, q))`, by determinants and a trace.
fn divergence(p: &DMatrix<f64>, q: &DMatrix<f64>) -> f64 {
    let (p_root, q_root) = (
        Cholesky::new(p.clone()).unwrap(),
        Cholesky::new(q.clone()).unwrap(),
    );
    let log_det =
        |root: &Cholesky<f64, nalgebra::Dyn>| 2.0 * root.l().diagonal().map(f64::ln).sum();
    let trace = q_root.solve(p).trace();
    0.5 * (trace - p.nrows() as f64 + log_det(&q_root) - log_det(&p_root))
}

/// The covariance of what is drawn in groups, by regressing each pixel on those before its group.
fn drawn_in_groups(p: &DMatrix<f64>, order: &[usize], size: usize) -> DMatrix<f64> {
    let mut q = DMatrix::zeros(p.nrows(), p.nrows());
    let mut before: Vec<usize> = Vec::new();
    for group in order.chunks(size) {
        let known = DMatrix::from_fn(before.len(), before.len(), |a, b| p[(before[a], before[b])]);
        let known_drawn =
            DMatrix::from_fn(before.len(), before.len(), |a, b| q[(before[a], before[b])]);
        let mut weights = Vec::new();
        for &pixel in group {
            let with = DVector::from_fn(before.len(), |a, _| p[(before[a], pixel)]);
            let weight = if before.is_empty() {
                with.clone()
            } else {
                known.clone().lu().solve(&with).unwrap()
            };
            let variance = p[(pixel, pixel)] - weight.dot(&with);
            // Its covariance with those before, and with those of its group that came first.
            let along = &known_drawn * &weight;
            for (a, &other) in before.iter().enumerate() {
                q[(pixel, other)] = along[a];
                q[(other, pixel)] = along[a];
            }
            q[(pixel, pixel)] = variance + weight.dot(&along);
            for (other, theirs) in &weights {
                let shared = weight.dot(&(&known_drawn * theirs));
                q[(pixel, *other)] = shared;
                q[(*other, pixel)] = shared;
            }
            weights.push((pixel, weight));
        }
        before.extend(group);
    }
    q
}

#[test]
fn autoregression_loses_what_its_covariance_says() {
    let p = covariance(3, 2.0);
    let orders = random_orders(3, 9).unwrap();
    for order in orders.iter().chain([&(0..9).collect()]) {
        let autoregression = Autoregression::new(&p, order).unwrap();
        for size in 1..=10 {
            let q = drawn_in_groups(&p, order, size);
            let loss = autoregression.loss(size);
            assert!((loss.of_data - divergence(&p, &q)).abs() < 1e-11);
            assert!((loss.of_draws - divergence(&q, &p)).abs() < 1e-11);
        }
    }
}

#[test]
fn one_pixel_at_a_time_loses_nothing_and_all_at_once_the_total_correlation() {
    for (side, length) in [(4, 1.0), (8, 2.0), (5, 8.0)] {
        let p = covariance(side, length);
        let total_correlation = -0.5 * p.determinant().ln();
        let orders = random_orders(4, side * side).unwrap();
        for order in &orders {
            let autoregression = Autoregression::new(&p, order).unwrap();
            let one = autoregression.loss(1);
            assert!(one.of_data.abs() < 1e-14 && one.of_draws.abs() < 1e-14);
            let all = autoregression.loss(side * side).of_data;
            assert!((all / total_correlation - 1.0).abs() < 1e-11);
        }
    }
    // Two pixels: the mutual information of two normals.
    let correlation: f64 = (-1.0_f64 / 3.0).exp();
    let pair = covariance(2, 3.0).view((0, 0), (2, 2)).clone_owned();
    let loss = Autoregression::new(&pair, &[1, 0]).unwrap().loss(2).of_data;
    assert!((loss + 0.5 * (1.0 - correlation * correlation).ln()).abs() < 1e-15);
}

/// DDIM, DDPM and DPM++ 2M written as their papers have them, on whole matrices.
fn drawn_by_diffusion(
    p: &DMatrix<f64>,
    sampler: Diffusion,
    count: usize,
    end: f64,
) -> DMatrix<f64> {
    let unit = DMatrix::<f64>::identity(p.nrows(), p.nrows());
    let half_log_snr = |i: usize| end * (2.0 * i as f64 / (count - 1) as f64 - 1.0);
    let level = |i: usize| match i {
        i if i == count => (1.0, 0.0),
        i => {
            let odds = (-2.0 * half_log_snr(i)).exp();
            ((1.0 / (1.0 + odds)).sqrt(), (odds / (1.0 + odds)).sqrt())
        }
    };
    // x_t = through * (the noise at the start) + independent noise of covariance `added`.
    let (mut through, mut added) = (unit.clone(), DMatrix::zeros(p.nrows(), p.nrows()));
    let mut before: Option<DMatrix<f64>> = None;
    for i in 0..count {
        let ((alpha_t, sigma_t), (alpha_s, sigma_s)) = (level(i), level(i + 1));
        let noised = p * (alpha_t * alpha_t) + &unit * (sigma_t * sigma_t);
        let denoiser = p * alpha_t * noised.try_inverse().unwrap();
        match sampler {
            Diffusion::Ddpm => {
                let jump = (alpha_t / alpha_s).powi(2);
                let total = sigma_t * sigma_t;
                let beta = 1.0 - jump;
                let step = &unit * ((alpha_t / alpha_s) * sigma_s * sigma_s / total)
                    + &denoiser * (alpha_s * beta / total);
                through = &step * through;
                added =
                    &step * added * step.transpose() + &unit * (sigma_s * sigma_s / total * beta);
            }
            Diffusion::Ddim => {
                let noise = (&unit - &denoiser * alpha_t) / sigma_t;
                through = (&denoiser * alpha_s + noise * sigma_s) * through;
            }
            Diffusion::DpmPlusPlus2M => {
                let data = &denoiser * &through;
                let mut slope = data.clone();
                if let (Some(before), true) = (&before, i + 1 < count) {
                    // Steps are equal: D = (1 + 1 / (2 r)) x_t - 1 / (2 r) x_{t-1} with r = 1.
                    slope = &data * 1.5 - before * 0.5;
                }
                let ratio = sigma_s / sigma_t;
                through = through * ratio + slope * (alpha_s - alpha_t * ratio);
                before = Some(data);
            }
        }
    }
    &through * through.transpose() + added
}

#[test]
fn plans_lose_what_their_covariances_say() {
    let p = covariance(3, 2.0);
    let eigenvalues = p.symmetric_eigenvalues();
    for sampler in Diffusion::ALL {
        for (count, end) in [(2, 2.5), (3, 2.5), (5, 4.0), (16, 5.5)] {
            let q = drawn_by_diffusion(&p, sampler, count, end);
            let plan = sampler.plan(count, end).unwrap();
            assert_eq!(plan.evaluations(), count);
            let loss = loss_of_plan(&plan, eigenvalues.as_slice()).unwrap();
            let (of_data, of_draws) = (divergence(&p, &q), divergence(&q, &p));
            // Two steps leave variances of 1e-6 of the data's, and the matrix inverses lose them.
            assert!(
                (loss.of_data / of_data - 1.0).abs() < 1e-7,
                "{sampler:?} {count}"
            );
            assert!(
                (loss.of_draws / of_draws - 1.0).abs() < 1e-7,
                "{sampler:?} {count}"
            );
        }
    }
}

#[test]
fn losses_of_plans_fall_by_their_order() {
    let eigenvalues = covariance(4, 2.0).symmetric_eigenvalues();
    for sampler in Diffusion::ALL {
        let loss = |count| {
            let plan = sampler.plan(count, 7.5).unwrap();
            loss_of_plan(&plan, eigenvalues.as_slice()).unwrap().of_data
        };
        // A divergence is quadratic in the error of a variance: twice the steps, 2^(2 order) less.
        let order = 0.5 * (loss(128) / loss(256)).log2();
        let stated = if sampler == Diffusion::DpmPlusPlus2M {
            2.0
        } else {
            1.0
        };
        assert!((order - stated).abs() < 0.1, "{sampler:?} {order}");
    }
}

#[test]
fn the_figures_of_the_page_hold() {
    // The tables of docs/why.md and a calculation in another language, to the digits shown there.
    let p = covariance(8, 2.0);
    let near = |value: f64, printed: f64| (value / printed - 1.0).abs() < 6e-3;
    let raster = Autoregression::new(&p, &(0..64).collect::<Vec<_>>()).unwrap();
    for (size, printed) in [
        (64, 21.07),
        (32, 17.71),
        (16, 12.215),
        (8, 5.875),
        (4, 4.827),
        (2, 2.886),
    ] {
        assert!(near(raster.loss(size).of_data, printed));
    }
    let eigenvalues = p.symmetric_eigenvalues();
    let figures = [
        (
            Diffusion::Ddpm,
            [(4, 334.4, 53.93), (16, 8.360, 5.434), (64, 0.4872, 0.4351)],
        ),
        (
            Diffusion::Ddim,
            [(4, 177.7, 40.63), (16, 2.440, 1.911), (64, 0.1257, 0.1186)],
        ),
        (
            Diffusion::DpmPlusPlus2M,
            [
                (4, 42.73, 17.77),
                (16, 0.0429, 0.0444),
                (64, 2.22e-4, 2.22e-4),
            ],
        ),
    ];
    for (sampler, rows) in figures {
        for (count, of_data, of_draws) in rows {
            let loss =
                loss_of_plan(&sampler.plan(count, END).unwrap(), eigenvalues.as_slice()).unwrap();
            assert!(near(loss.of_data, of_data), "{sampler:?} {count} {loss:?}");
            assert!(
                near(loss.of_draws, of_draws),
                "{sampler:?} {count} {loss:?}"
            );
        }
    }
}

#[test]
fn tolerances_take_as_many_evaluations_as_a_plain_search_finds() {
    let budgets = Budgets::of_field(4, 2.0, END).unwrap();
    let eigenvalues = covariance(4, 2.0).symmetric_eigenvalues();
    for (sampler, found) in Diffusion::ALL.into_iter().zip(&budgets.diffusion) {
        let above = |count: &usize| {
            let plan = sampler.plan(*count, END).unwrap();
            loss_of_plan(&plan, eigenvalues.as_slice()).unwrap().of_data > TOLERANCE
        };
        let last = (1..160).rev().find(above).unwrap();
        assert_eq!(*found, last + 1, "{sampler:?}");
    }
    assert_eq!((budgets.raster, budgets.random), (16, 16));
}

#[test]
fn the_page_shows_what_is_printed() {
    let page = include_str!("../../docs/why.md");
    let has = |line: &str| page.lines().any(|shown| shown == line);
    let printed = losses_by_evaluations().unwrap();
    for line in printed.iter().filter(|line| line.starts_with('|')) {
        assert!(has(line), "not in docs/why.md: {line}");
    }
    // Larger fields take their time.
    for (length, sides) in FIELDS {
        for &side in sides.iter().filter(|side| **side <= 8) {
            let line = budget_row(side, length).unwrap();
            assert!(has(&line), "not in docs/why.md: {line}");
        }
    }
}

#[test]
fn a_loss_that_rises_again_is_not_within_the_tolerance() {
    let loss = |count| match count {
        0..5 => 1.0,
        9..12 => 0.15,
        5..16 => 0.06,
        _ => 0.04,
    };
    assert_eq!(fewest(|count| Ok(loss(count))).unwrap(), 12);
}
