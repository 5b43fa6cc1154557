//! Schedules from any two functions of time.
#![cfg(feature = "laws")]
#![allow(clippy::type_complexity, reason = "closures have no names")]

mod common {
    pub mod levels;
}

use std::f64::consts::FRAC_PI_2;

use common::levels::{snr, time};
use gaussian_diffusion::{
    Denoiser, Error, ForwardProcess, GaussianMixture, Grid, NoiseLevel, NoiseSchedule, Plan, Point,
    SeededNoise, Step, Time, Variance,
    denoiser::AdjustedDdim,
    laws, predicts,
    schedule::{ContinuousSchedule, Cosine, Interpolant, RectifiedFlow, VpLinear},
    solver::{Ddim, DpmSolver},
};
use ndarray::{Array2, array};

fn straight() -> Interpolant<impl Fn(f64) -> (f64, f64), impl Fn(f64) -> (f64, f64)> {
    Interpolant::new(|t| (1.0 - t, -1.0), |t| (t, 1.0)).unwrap()
}

fn trigonometric() -> Interpolant<impl Fn(f64) -> (f64, f64), impl Fn(f64) -> (f64, f64)> {
    let turn = |t: f64| FRAC_PI_2 * t;
    Interpolant::new(
        move |t| (turn(t).cos(), -FRAC_PI_2 * turn(t).sin()),
        move |t| (turn(t).sin(), FRAC_PI_2 * turn(t).cos()),
    )
    .unwrap()
}

/// A variance-preserving path is the schedule of that name.
fn linear_beta() -> Interpolant<impl Fn(f64) -> (f64, f64), impl Fn(f64) -> (f64, f64)> {
    let beta = |t: f64| 0.1 + 19.9 * t;
    let alpha = |t: f64| (-0.05 * t - 0.25 * 19.9 * t * t).exp();
    Interpolant::new(
        move |t| (alpha(t), -0.5 * beta(t) * alpha(t)),
        move |t| {
            let sigma = (-(2.0 * (-0.05 * t - 0.25 * 19.9 * t * t)).exp_m1()).sqrt();
            (sigma, 0.5 * beta(t) * alpha(t).powi(2) / sigma)
        },
    )
    .unwrap()
}

fn same<A: ContinuousSchedule<Time = Time>, B: ContinuousSchedule<Time = Time>>(
    own: &A,
    known: &B,
    inner: &[f64],
) {
    for &t in inner {
        let (a, b) = (own.level(time(t)).unwrap(), known.level(time(t)).unwrap());
        assert!((a.alpha() - b.alpha()).abs() < 1e-14 && (a.sigma() - b.sigma()).abs() < 1e-14);
        let (a, b) = (own.sde(time(t)).unwrap(), known.sde(time(t)).unwrap());
        assert!(
            (a.drift - b.drift).abs() < 1e-11 * b.drift.abs(),
            "{t}: {a:?} {b:?}"
        );
        assert!(
            (a.diffusion - b.diffusion).abs() < 1e-11 * b.diffusion,
            "{t}: {a:?} {b:?}"
        );
        let snr = known.level(time(t)).unwrap().log_snr();
        assert!((own.time_at(snr).unwrap().get() - t).abs() < 1e-12);
    }
}

#[test]
fn known_paths_are_the_schedules_of_their_names() {
    let inner = [0.01, 0.2, 0.5, 0.77, 0.99];
    same(&straight(), &RectifiedFlow, &inner);
    same(&trigonometric(), &Cosine, &inner);
    same(&linear_beta(), &VpLinear::new(0.1, 20.0).unwrap(), &inner);
}

#[test]
fn interpolants_keep_the_laws() {
    laws::schedule(&straight(), 60).unwrap();
    laws::schedule(&trigonometric(), 60).unwrap();
    let bridge = straight()
        .with_latent_variance(|t| (t * (1.0 - t), 1.0 - 2.0 * t))
        .unwrap();
    laws::schedule(&bridge, 60).unwrap();
}

/// Latent noise: the state has the law of both noises, and the drift and diffusion are derivatives of it.
#[test]
fn latent_noise_adds_its_variance() {
    let a = 2.5;
    let bridge = straight()
        .with_latent_variance(move |t| (a * t * (1.0 - t), a * (1.0 - 2.0 * t)))
        .unwrap();
    let h = 1e-6;
    for t in [0.1, 0.4, 0.8] {
        let level = bridge.level(time(t)).unwrap();
        assert!((level.sigma().powi(2) - t * t - a * t * (1.0 - t)).abs() < 1e-15);
        let sde = bridge.sde(time(t)).unwrap();
        let [before, after] = [t - h, t + h].map(|t| bridge.level(time(t)).unwrap());
        let drift = (after.alpha().ln() - before.alpha().ln()) / (2.0 * h);
        let falls = (before.log_snr().get() - after.log_snr().get()) / (2.0 * h);
        assert!((sde.drift / drift - 1.0).abs() < 1e-8);
        assert!((sde.diffusion.powi(2) / (level.sigma().powi(2) * falls) - 1.0).abs() < 1e-8);
    }
    // What the three terms make is what one jump makes of their sum.
    let (x0, x1, z): (Array2<f64>, _, _) = (array![[0.4]], array![[-1.1]], array![[0.6]]);
    let t = 0.3_f64;
    let gamma = (a * t * (1.0 - t)).sqrt();
    let x = &x0 * (1.0 - t) + &x1 * t + &z * gamma;
    let eps = (&x1 * t + &z * gamma) / t.hypot(gamma);
    assert!(
        (bridge.jump(&x0, time(t), &eps).unwrap() - x)
            .iter()
            .all(|off| off.abs() < 1e-15)
    );
    // Runs from noise to data, for any solver.
    let mut net = GaussianMixture::isotropic(&[(0.5, [-1.0], 1e-4), (0.5, [1.0], 1e-4)]).unwrap();
    let plan = Plan::new(
        &bridge,
        &Grid::uniform_time(&bridge, 30).unwrap(),
        &DpmSolver::plus_plus(2).unwrap(),
    );
    let plan = plan.unwrap();
    let mut noise = SeededNoise::new(0);
    let found: Array2<f64> = plan
        .sample(
            plan.prior((20, 1), &mut noise).unwrap(),
            &mut net,
            &mut noise,
        )
        .unwrap();
    assert!(
        found.iter().all(|x: &f64| (x.abs() - 1.0).abs() < 0.05),
        "{found}"
    );
}

fn says<T>(result: Result<T, Error>, text: &str) {
    let error = result.err().unwrap().to_string();
    assert!(error.contains(text), "{error}");
}

#[test]
fn paths_that_are_no_schedule_are_refused() {
    let line = |t: f64| (1.0 - t, -1.0);
    // To the noise and back: encoding and decoding.
    says(
        Interpolant::new(
            |t| (1.0 - 0.5 * t, -0.5),
            |t| (t * (1.0 - t), 1.0 - 2.0 * t),
        ),
        "levels of an interpolant",
    );
    says(
        Interpolant::new(|_| (1.0, 0.0), |_| (0.5, 0.0)),
        "levels of an interpolant",
    );
    says(
        Interpolant::new(line, |t| (t * (1.0 - t), 1.0 - 2.0 * t)),
        "above 0 where alpha is 0",
    );
    says(
        Interpolant::new(|t| (1.0 - 2.0 * t, -2.0), |t| (t, 1.0)),
        "alpha",
    );
    says(Interpolant::new(line, |_| (f64::NAN, 0.0)), "sigma");
    says(
        Interpolant::new(line, |t| (t, f64::NAN)),
        "derivative of an interpolant",
    );
    says(
        Interpolant::new(|t| (t, 1.0), |t| (1.0 - t, -1.0)),
        "levels of an interpolant",
    );
    says(
        straight().with_latent_variance(|t| (-t, -1.0)),
        "latent variance",
    );
    says(straight().level(time(1.5)), "1.5");
    let late = Interpolant::new(|t| (1.0 - 0.5 * t, -0.5), |t| (0.1 + t, 1.0)).unwrap();
    says(late.time_at(snr(20.0)), "log-SNR");
    assert_eq!(
        late.time_at(late.level(time(0.0)).unwrap().log_snr())
            .unwrap(),
        time(0.0)
    );
    assert_eq!(
        late.time_at(late.level(time(1.0)).unwrap().log_snr())
            .unwrap(),
        time(1.0)
    );
}

/// Adjusted DDIM: its formula by hand on a run, and what it is for, the spread of Gaussian data.
#[test]
fn adjusted_ddim_is_its_formula() {
    let grid = Grid::uniform_time(&Cosine, 6).unwrap();
    let plan = Plan::new(&Cosine, &grid, &Ddim::default()).unwrap();
    let predicted = |x: f64, level: NoiseLevel| 0.6 * (x + 0.2).tanh() + 0.1 * level.alpha();
    let net =
        || predicts::x0(move |x: &Array2<f64>, at: Point<Time>| x.mapv(|x| predicted(x, at.level)));
    let start = array![[0.3, -1.2, 0.8], [1.4, 0.1, -0.4]];
    let (share, v) = (0.3, 0.7);
    let adjusted = AdjustedDdim::new(net()).with_open_variance(share, Variance::new(v).unwrap());
    let found: Array2<f64> = plan
        .sample(
            start.clone(),
            &mut adjusted.unwrap(),
            &mut SeededNoise::new(0),
        )
        .unwrap();
    let mut x = start.clone();
    for pair in plan.levels().windows(2) {
        let (t, s) = (pair[0], pair[1]);
        for mut row in x.rows_mut() {
            let m = row.mapv(|x| predicted(x, t));
            let eps = (&row - &(&m * t.alpha())) / t.sigma();
            let open = share / (1.0 / v + (t.alpha() / t.sigma()).powi(2));
            let lost = (s.alpha() - t.alpha() * s.sigma() / t.sigma()).powi(2) * open;
            let scale = match s.is_clean() {
                true => 0.0,
                false => (s.sigma().powi(2) + lost / eps.mapv(|e| e * e).mean().unwrap()).sqrt(),
            };
            row.assign(&(&m * s.alpha() + &eps * scale));
        }
    }
    assert!(
        (&found - &x).iter().all(|off| off.abs() < 1e-13),
        "{found} {x}"
    );

    // Data N(0, v) in many dimensions, all of what is open: the state keeps its size over a long step.
    let d = 4000;
    let (t, s) = (
        NoiseLevel::new(0.1, 0.995).unwrap(),
        NoiseLevel::new(0.9, 0.436).unwrap(),
    );
    let spread = |l: NoiseLevel| v * l.alpha().powi(2) + l.sigma().powi(2);
    let mut noise = SeededNoise::new(1);
    let mut x = Array2::<f64>::zeros((1, d));
    gaussian_diffusion::noise::NoiseSource::fill(&mut noise, &mut x).unwrap();
    x *= spread(t).sqrt() / (x.mapv(|x| x * x).mean().unwrap()).sqrt();
    let exact = predicts::x0(move |x: &Array2<f64>, at: Point<Step>| {
        x * (at.level.alpha() * v / spread(at.level))
    });
    let mut adjusted = AdjustedDdim::new(exact)
        .with_open_variance(1.0, Variance::new(v).unwrap())
        .unwrap();
    let answer = adjusted
        .predict(&x, Point::new(Step::new(0), t, s))
        .unwrap();
    let eps = (&x - &(&answer.value * t.alpha())) / t.sigma();
    let ddim = &answer.value * s.alpha() + &eps * s.sigma();
    let whole = &ddim + &(answer.shift.unwrap() * s.alpha());
    let size = |x: &Array2<f64>| x.mapv(|x| x * x).mean().unwrap() / spread(s);
    // The noise and the data are one direction here, whose product is the rest.
    assert!(
        size(&ddim) < 0.5 && (size(&whole) - 1.0).abs() < 0.12,
        "{} {}",
        size(&ddim),
        size(&whole)
    );

    // Left alone: a step to the data, and one that goes up.
    for to in [NoiseLevel::CLEAN, NoiseLevel::new(0.05, 0.99).unwrap()] {
        let mut adjusted = AdjustedDdim::new(net());
        assert!(
            adjusted
                .predict(&start, Point::new(time(0.5), s, to))
                .unwrap()
                .shift
                .is_none()
        );
    }
    says(
        AdjustedDdim::new(net()).with_open_variance(-0.1, Variance::new(1.0).unwrap()),
        "share",
    );
    says(
        AdjustedDdim::new(net()).with_open_variance(0.1, Variance::new(0.0).unwrap()),
        "variance of the data",
    );
    // Noise that is all zero has no direction.
    let mut none = AdjustedDdim::new(predicts::noise(|x: &Array2<f64>, _: Point<Time>| x * 0.0));
    let shift = none
        .predict(&start, Point::new(time(0.5), t, s))
        .unwrap()
        .shift
        .unwrap();
    assert!(shift.iter().all(|x| *x == 0.0));
}

/// Slopes may be infinite at the ends of time, and nowhere else.
#[test]
fn slopes_are_finite_between_the_ends() {
    let path = |bad: f64| {
        let alpha = |t: f64| ((1.0 - t).sqrt(), -0.5 / (1.0 - t).sqrt());
        let sigma = move |t: f64| {
            let slope = if t == bad {
                f64::INFINITY
            } else {
                0.5 / t.sqrt()
            };
            (t.sqrt(), slope)
        };
        Interpolant::new(alpha, sigma).map(drop)
    };
    // That of alpha is infinite at 1, and that of the variance has no value at 0.
    assert!(path(-1.0).is_ok() && path(0.0).is_ok() && path(1.0).is_ok());
    for bad in [1.0 / 1024.0, 0.5, 1023.0 / 1024.0] {
        let refused = path(bad).unwrap_err().to_string();
        assert_eq!(
            refused,
            "derivative of an interpolant is inf, allowed: a finite number"
        );
    }
}

/// The rates of a path are the slopes of its scales, also where part of the noise is latent; and how fast the signal
/// fades is `-d ln alpha / d ln(sigma / alpha)`.
#[test]
fn rates_are_slopes() {
    use gaussian_diffusion::schedule::{Edm, LogSnrLinear, Shifted, SubVp, VeGeometric};
    fn slopes<S: ContinuousSchedule<Time = Time>>(schedule: &S, t: f64) -> [f64; 4] {
        let at = |t: f64| {
            let level = schedule.level(time(t)).unwrap();
            (level.alpha(), level.sigma())
        };
        let h = 1e-5;
        let ((a, s), (b, u), (alpha, sigma)) = (at(t - h), at(t + h), at(t));
        [(b - a) / (2.0 * h), (u - s) / (2.0 * h), alpha, sigma]
    }
    fn check<S: ContinuousSchedule<Time = Time>>(schedule: &S, name: &str) {
        for t in [0.2, 0.5, 0.83] {
            let [alpha, sigma, a, s] = slopes(schedule, t);
            let rates = schedule.path_rates(time(t)).unwrap();
            let near = |x: f64, y: f64| (x - y).abs() < 1e-6 * (1.0 + y.abs());
            assert!(
                near(rates.alpha, alpha) && near(rates.sigma, sigma),
                "{name} at {t}: {rates:?}"
            );
            let fading = schedule.fading(schedule.level(time(t)).unwrap()).unwrap();
            let expected = -(alpha / a) / (sigma / s - alpha / a);
            assert!(
                near(fading, expected),
                "{name} at {t}: {fading} for {expected}"
            );
        }
    }
    let latent = straight().with_latent_variance(|t| (0.3 * t * (1.0 - t), 0.3 - 0.6 * t));
    check(&latent.unwrap(), "latent");
    check(&straight(), "straight");
    check(&trigonometric(), "trigonometric");
    check(&Cosine, "cosine");
    check(&RectifiedFlow, "flow");
    check(&VpLinear::new(0.1, 20.0).unwrap(), "VP");
    check(&SubVp::new(0.1, 20.0).unwrap(), "sub-VP");
    check(&LogSnrLinear::new(snr(-5.0), snr(6.0)).unwrap(), "linear");
    check(&Shifted::flow(3.0).unwrap(), "shifted flow");
    check(
        &Shifted::new(VpLinear::new(0.1, 20.0).unwrap(), 0.4).unwrap(),
        "shifted VP",
    );
    let sigma = |x| gaussian_diffusion::Sigma::new(x).unwrap();
    let ve = VeGeometric::new(sigma(0.1), sigma(9.0)).unwrap();
    check(&ve, "VE");
    check(&Shifted::new(ve, 2.0).unwrap(), "shifted VE");
    assert_eq!(
        Edm::default()
            .fading(NoiseLevel::new(1.0, 3.0).unwrap())
            .unwrap(),
        0.0
    );
    // Where the variance has a slope and there is no noise, its root has none.
    let rough = straight().with_latent_variance(|t| (0.3 * t * (1.0 - t), 0.3 - 0.6 * t));
    let refused = rough
        .unwrap()
        .path_rates(time(0.0))
        .unwrap_err()
        .to_string();
    assert_eq!(
        refused,
        "the velocity of a path has no value at alpha = 1, sigma = 0"
    );
}
