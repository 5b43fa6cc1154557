//! The laws, for every schedule, posterior, parameterization, solver, denoiser and state of the crate.
#![cfg(feature = "laws")]

use gaussian_diffusion::{
    Denoiser, GaussianMixture, Grid, LogSnr, Markov, NoiseLevel, NonMarkovian, Parameterization,
    Plan, Point, Posterior, PosteriorCoefficients, Sigma, Step, Time, Variance,
    laws::{self, strategies},
    plan::{Affine, Moments},
    predicts,
    schedule::{
        ContinuousSchedule, Cosine, Discrete, Edm, LogSnrLinear, RectifiedFlow, Respacing, Shifted,
        SubVp, VeGeometric, VpLinear,
    },
    solver::{Ddim, Ddpm},
};
use ndarray::{Array1, Array2, Array3};
use proptest::{prelude::*, test_runner::Config};

mod drawn;
mod refused;

fn config() -> Config {
    Config {
        cases: 256,
        failure_persistence: None,
        ..Config::default()
    }
}

fn pass(outcome: Result<(), laws::Violation>) -> Result<(), TestCaseError> {
    outcome.map_err(|violation| TestCaseError::fail(violation.to_string()))
}

/// Every table of the crate with its usual constants.
fn tables() -> Vec<Discrete> {
    let all = [
        Discrete::ddpm(1000),
        Discrete::ddpm(50),
        Discrete::linear(1000, 1e-4, 0.02),
        Discrete::stable_diffusion(),
        Discrete::cosine(1000),
        Discrete::cosine(2),
        Discrete::cosine(1),
        Discrete::sigmoid(1000, 1e-4, 0.02),
        Discrete::sigmoid_alpha_bar(1000),
        Discrete::constant(100, 0.05),
        Discrete::warm_up(1000, 1e-4, 0.02, 0.1),
        Discrete::harmonic(100),
        Discrete::exponential(1000, 12.0),
        Discrete::laplace(1000, 0.0, 0.5),
        Discrete::stable_diffusion().and_then(|schedule| schedule.zero_terminal_snr()),
        Respacing::parse("10,15,20", 1000)
            .and_then(|respacing| Discrete::cosine(1000)?.respaced(&respacing)),
    ];
    all.into_iter().map(Result::unwrap).collect()
}

#[test]
fn discrete_schedules() {
    for schedule in tables() {
        let steps = schedule.len() - 1;
        laws::schedule(&schedule, steps).unwrap();
        laws::schedule(&schedule, 2 * steps).unwrap();
        laws::variance_preserving(&schedule, 2 * steps).unwrap();
    }
}

#[test]
fn continuous_schedules() {
    let sigma = |value| Sigma::new(value).unwrap();
    let snr = |value| LogSnr::new(value).unwrap();
    let linear = LogSnrLinear::new(snr(-5.0), snr(13.3)).unwrap();
    let vp = VpLinear::new(0.1, 20.0).unwrap();
    for count in [1, 2, 1000] {
        laws::schedule(&vp, count).unwrap();
        laws::schedule(&SubVp::new(0.1, 20.0).unwrap(), count).unwrap();
        laws::schedule(&VeGeometric::new(sigma(0.01), sigma(50.0)).unwrap(), count).unwrap();
        laws::schedule(&Edm::default(), count).unwrap();
        laws::schedule(&Cosine, count).unwrap();
        laws::schedule(&RectifiedFlow, count).unwrap();
        laws::schedule(&linear, count).unwrap();
        laws::schedule(&Shifted::flow(3.0).unwrap(), count).unwrap();
        laws::schedule(&Shifted::new(Cosine, 0.25).unwrap(), count).unwrap();
        laws::schedule(&Shifted::new(Edm::default(), 2.0).unwrap(), count).unwrap();
        laws::variance_preserving(&vp, count).unwrap();
        laws::variance_preserving(&Cosine, count).unwrap();
        laws::variance_preserving(&linear, count).unwrap();
        laws::variance_preserving(&Shifted::new(Cosine, 0.25).unwrap(), count).unwrap();
    }
}

/// Drift is the rate of ln alpha, squared diffusion minus sigma^2 times that of the log-SNR: against
/// central differences, whose error for a step of 1e-5 is about 1e-10 relative.
fn equation<S: ContinuousSchedule>(schedule: &S, at: impl Fn(f64) -> S::Time) {
    for t in [0.1, 0.35, 0.5, 0.8] {
        let h = 1e-5;
        let level = |t: f64| schedule.level(at(t)).unwrap();
        let (a, b) = (level(t - h), level(t + h));
        let rate = |x: f64, y: f64| (y - x) / (2.0 * h);
        let drift = rate(a.alpha().ln(), b.alpha().ln());
        let g2 = -level(t).sigma().powi(2) * rate(a.log_snr().get(), b.log_snr().get());
        let sde = schedule.sde(at(t)).unwrap();
        assert!(
            (sde.drift - drift).abs() <= 1e-7 * (1.0 + drift.abs()),
            "{t}: {sde:?}, {drift}"
        );
        assert!(
            (sde.diffusion.powi(2) / g2 - 1.0).abs() <= 1e-7,
            "{t}: {sde:?}, {g2}"
        );
    }
}

#[test]
fn forward_equations_are_the_rates_of_the_levels() {
    let time = |t| Time::new(t).unwrap();
    let sigma = |value| Sigma::new(value).unwrap();
    equation(&VpLinear::new(0.1, 20.0).unwrap(), time);
    equation(&SubVp::new(0.1, 20.0).unwrap(), time);
    equation(&VeGeometric::new(sigma(0.01), sigma(50.0)).unwrap(), time);
    equation(&Cosine, time);
    equation(&RectifiedFlow, time);
    let snr = |value| LogSnr::new(value).unwrap();
    equation(&LogSnrLinear::new(snr(-5.0), snr(13.3)).unwrap(), time);
    equation(&Shifted::flow(3.0).unwrap(), time);
    equation(&Shifted::new(Cosine, 0.5).unwrap(), time);
    equation(&Edm::default(), sigma);
}

#[test]
fn solvers() {
    laws::reverse_step(&Ddpm::default()).unwrap();
    for eta in [0.0, 0.3, 1.0] {
        laws::reverse_step(&Ddim::new(eta).unwrap()).unwrap();
    }
}

/// Inverted, the deterministic step follows point data from the data to the noise.
#[test]
fn inversion_follows_point_data() {
    let schedule = Discrete::cosine(1000).unwrap();
    for n in [1, 2, 10, 60] {
        let grid = Grid::trailing(&schedule, n).unwrap().inverted();
        // The clean level implies no noise, so that the run starts one step in.
        let nodes = grid.nodes()[1..].to_vec();
        if nodes.is_empty() {
            continue;
        }
        let grid = Grid::new(nodes, grid.end()).unwrap();
        let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
        let defect = plan.defect().unwrap();
        assert!(defect < 1e-12, "{n} steps: {defect:e}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_tables(schedule in strategies::discrete()) {
        pass(laws::schedule(&schedule, schedule.len() - 1))?;
        pass(laws::variance_preserving(&schedule, 2 * (schedule.len() - 1)))?;
    }

    #[test]
    fn posteriors((from, to) in strategies::step(), eta in 0.0..=1.0) {
        pass(laws::posterior(&Markov, from, to))?;
        pass(laws::posterior(&NonMarkovian::new(eta).unwrap(), from, to))?;
    }

    /// Against the formula of the DDIM paper itself, where nothing cancels.
    #[test]
    fn eta_scales_the_deviation((from, to) in strategies::step(), eta in 0.0..=1.0) {
        let markov = Markov.coefficients(from, to).unwrap().std;
        let std = NonMarkovian::new(eta).unwrap().coefficients(from, to).unwrap().std;
        prop_assert!((std - eta * markov).abs() <= 1e-15 * markov);
    }

    #[test]
    fn bayes(
        (from, to) in strategies::step(),
        x_0 in -2.0..2.0, a in -3.0..3.0, b in -3.0..3.0,
    ) {
        pass(laws::bayes(&Markov, from, to, (x_0, a, b)))?;
    }

    #[test]
    fn conversions_are_inverse((from, to) in strategies::step(), eta in 0.0..=1.0) {
        use Parameterization::{Flow, Mean, Noise, Score, Velocity, X0};
        let q = NonMarkovian::new(eta).unwrap().coefficients(from, to).unwrap();
        let all = [Noise, X0, Velocity, Score, Flow, Mean(q)];
        for one in all {
            for other in all {
                pass(laws::parameterization(one, other, from))?;
            }
        }
    }

    /// Every pair of maps agrees on what the components say.
    #[test]
    fn conversions_give_the_components(
        level in strategies::level(), x_0 in -2.0..2.0_f64, eps in -3.0..3.0_f64,
    ) {
        use Parameterization::{Flow, Noise, Score, Velocity, X0};
        let x = level.alpha() * x_0 + level.sigma() * eps;
        for one in [Noise, X0, Velocity, Score, Flow] {
            for other in [Noise, X0, Velocity, Score, Flow] {
                let value = |(c, d): (f64, f64)| c * x_0 + d * eps;
                let p = value(one.components(level).unwrap());
                let (c, d) = other.components(level).unwrap();
                let map = one.to(other, level).unwrap();
                let found = map.state * x + map.prediction * p;
                let size = (map.state * level.alpha() * x_0).abs()
                    + (map.state * level.sigma() * eps).abs()
                    + (map.prediction * p).abs() + (c * x_0).abs() + (d * eps).abs();
                // The components of p round too, by their own size.
                let (a, b) = one.components(level).unwrap();
                let size = size + map.prediction.abs() * ((a * x_0).abs() + (b * eps).abs());
                prop_assert!((found - value((c, d))).abs() <= 1e-14 * size, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn states_f64(x in strategies::batch::<f64>()) {
        prop_assume!(x.nrows() > 0);
        let y = x.mapv(|x| 0.5 - x * x);
        let other = Array2::zeros((x.nrows(), x.ncols() + 1));
        pass(laws::state(&x, &y, &other, |v| v.iter().copied().collect(), 1e-14))?;
    }

    #[test]
    fn states_f32_in_column_order(x in strategies::batch::<f32>()) {
        prop_assume!(x.nrows() > 0);
        let y = x.mapv(|x| 0.5 - x * x);
        let x = x.reversed_axes().as_standard_layout().to_owned().reversed_axes();
        let other = Array2::zeros((x.nrows(), x.ncols() + 1));
        let read = |v: &Array2<f32>| v.iter().map(|&v| f64::from(v)).collect();
        pass(laws::state(&x, &y, &other, read, 1e-5))?;
    }

    #[test]
    fn denoisers(level in strategies::level(), a in -2.0..2.0, b in -2.0..2.0) {
        let at = Point::new(Step::new(3), level, NoiseLevel::CLEAN);
        let mut mixture = GaussianMixture::isotropic(&[
            (0.3, &[a, b][..], 0.2), (0.7, &[-a, 0.5][..], 0.01),
        ]).unwrap();
        let x = Array3::from_shape_fn((3, 2, 1), |(i, j, _)| a * i as f64 - b * j as f64);
        pass(laws::denoiser(&mut mixture, &x, at, 0.0))?;
        let net = predicts::velocity(|x: &Array3<f64>, _: Point<Step>| x.mapv(f64::tanh));
        let mut net = Denoiser::<Array3<f64>, Step>::clipped(net, -1.0, 1.0).unwrap();
        pass(laws::denoiser(&mut net, &x, at, 0.0))?;
    }

    /// Any sub-grid of any table: point data is followed, and the coefficients are those of the pair.
    #[test]
    fn plans_on_any_grid(
        (schedule, grid) in strategies::discrete()
            .prop_flat_map(|schedule| (Just(schedule.clone()), strategies::grid(&schedule))),
        eta in 0.0..=1.0,
    ) {
        for plan in [
            Plan::new(&schedule, &grid, &Ddpm::default()).unwrap(),
            Plan::new(&schedule, &grid, &Ddim::new(eta).unwrap()).unwrap(),
        ] {
            prop_assert!(plan.defect().unwrap() < 1e-12);
            prop_assert_eq!(plan.evaluations(), grid.len());
        }
    }
}

/// The law of the chain on Gaussian data by a recursion written out here, against the plan's own.
#[test]
fn the_ddpm_chain_has_the_law_of_its_recursion() {
    let schedule = Discrete::cosine(1000).unwrap();
    let (mu, v) = (0.4, 0.25);
    for n in [1, 2, 50, 1000] {
        let grid = Grid::trailing(&schedule, n).unwrap();
        let plan = Plan::new(&schedule, &grid, &Ddpm::default()).unwrap();
        let levels = plan.levels();
        let (mut mean, mut variance) = (0.0, 1.0);
        for pair in levels.windows(2) {
            let (t, s) = (pair[0], pair[1]);
            let (a2, s2) = (t.alpha().powi(2), t.sigma().powi(2));
            // DDPM's own formulas, in alpha_bar and beta.
            let beta = 1.0 - a2 / s.alpha().powi(2);
            let to_x0 = s.alpha() * beta / s2;
            let to_xt = (1.0 - beta).sqrt() * s.sigma().powi(2) / s2;
            let gain = t.alpha() * v / (a2 * v + s2);
            let slope = to_xt + to_x0 * gain;
            mean = slope * mean + to_x0 * mu * (1.0 - gain * t.alpha());
            variance = slope * slope * variance + beta * s.sigma().powi(2) / s2;
        }
        let data = |level| Affine::of_gaussian(mu, Variance::new(v).unwrap(), level);
        let found = plan
            .carry(
                Moments {
                    mean: 0.0,
                    variance: 1.0,
                },
                data,
            )
            .unwrap();
        assert!((found.mean - mean).abs() < 1e-10, "{n}: {found:?}, {mean}");
        assert!(
            (found.variance - variance).abs() < 1e-10,
            "{n}: {found:?}, {variance}"
        );
        if n == 1000 {
            // Many steps give the data's law; one gives its mean.
            assert!(
                (mean - mu).abs() < 1e-3 && (variance - v).abs() < 5e-3,
                "{mean} {variance}"
            );
        }
    }
}

/// One step draws nothing and is the mean of the data for zero signal.
#[test]
fn one_step_is_the_prediction() {
    let schedule = Discrete::stable_diffusion()
        .unwrap()
        .zero_terminal_snr()
        .unwrap();
    let plan = Plan::new(
        &schedule,
        &Grid::trailing(&schedule, 1).unwrap(),
        &Ddpm::default(),
    )
    .unwrap();
    let mut net =
        predicts::velocity(|x: &Array1<f64>, _: Point<Step>| Array1::from_elem(x.len(), -2.0));
    let mut noise = gaussian_diffusion::SeededNoise::new(3);
    let x = plan.sample(Array1::ones(4), &mut net, &mut noise).unwrap();
    assert_eq!(x, Array1::from_elem(4, 2.0));
    assert_eq!(noise.draws(), 0);
    let q = Markov
        .coefficients(NoiseLevel::NOISE, NoiseLevel::CLEAN)
        .unwrap();
    assert_eq!(
        q,
        PosteriorCoefficients {
            state: 0.0,
            clean: 1.0,
            std: 0.0
        }
    );
}
