//! Weights, losses, perturbations and paths of the user's own.

use gaussian_diffusion::{
    Denoiser, Error, ForwardProcess, Grid, LogSnr, NoiseLevel, Parameterization,
    Parameterization::{Flow, Noise, Velocity, X0},
    PathRates, Plan, Point, SeededNoise, Step, Time,
    denoiser::{Correction, DynamicThreshold},
    noise::{NoNoise, NoiseSource, Scale},
    predicts,
    schedule::{
        ContinuousSchedule, Cosine, Discrete, Edm, Interpolant, LogSnrLinear, NoiseSchedule,
        RectifiedFlow, Sde, SubVp, VeGeometric, VpLinear,
    },
    solver::Ddim,
    training::{
        Distance, InputPerturbation, Weight, element_error, huber_error, mask_weights,
        masked_error, pseudo_huber_error, pseudo_huber_norm, squared_error, weighted_mean,
    },
};
use ndarray::{Array2, Array3, Axis, array};

use super::close;

fn snr(value: f64) -> LogSnr {
    LogSnr::new(value).unwrap()
}

fn time(value: f64) -> Time {
    Time::new(value).unwrap()
}

/// Every weight of the table as a function of the log-SNR, with its terms: the same numbers in all terms.
#[test]
fn a_function_of_the_log_snr_is_any_weight() {
    let exp = |l: LogSnr| l.get().exp();
    let pairs: [(Weight, Weight); 6] = [
        (Weight::uniform(Noise), Weight::of_log_snr(Noise, |_| 1.0)),
        (
            Weight::min_snr(5.0).unwrap(),
            Weight::of_log_snr(X0, move |l| exp(l).min(5.0)),
        ),
        (
            Weight::p2(1.0, 0.5).unwrap(),
            Weight::of_log_snr(Noise, move |l| (1.0 + exp(l)).powf(-0.5)),
        ),
        (
            Weight::debiased(),
            Weight::of_log_snr(Noise, |l| (-0.5 * l.get()).exp()),
        ),
        (
            Weight::debiased(),
            Weight::of_log_snr(X0, |l| (0.5 * l.get()).exp()),
        ),
        // The scripts' weight of predictions of the velocity is uniform on the data, where variance is preserved.
        (
            Weight::uniform(X0),
            Weight::of_log_snr(Velocity, move |l| 1.0 / (exp(l) + 1.0)),
        ),
    ];
    for log in [-9.0, -2.0, 0.0, 0.5, 6.0] {
        let level = NoiseLevel::variance_preserving(snr(log)).unwrap();
        for (i, (named, given)) in pairs.iter().enumerate() {
            for terms in [X0, Noise, Velocity, Flow] {
                let expected = named.in_terms_of(terms, level).unwrap();
                let found = given.in_terms_of(terms, level).unwrap();
                assert!(
                    (found / expected - 1.0).abs() < 1e-12,
                    "{i} {log} {terms:?}"
                );
            }
        }
    }
    // kohya's, on the noise and on the velocity, at the levels of Stable Diffusion.
    let capped = Weight::of_log_snr(Noise, move |l| exp(l).min(1000.0).sqrt().recip());
    let schedule = Discrete::stable_diffusion().unwrap();
    for step in [0, 1, 500, 999] {
        let level = schedule.level(Step::new(step)).unwrap();
        let ratio = (level.alpha() / level.sigma()).powi(2);
        let found = capped.in_terms_of(Noise, level).unwrap();
        close(found, 1.0 / ratio.min(1000.0).sqrt(), 1e-12, step);
        let found = Weight::uniform(X0).in_terms_of(Velocity, level).unwrap();
        close(found, 1.0 / (ratio + 1.0), 1e-12, step);
    }
    // Both ends: capped, zero, infinite.
    assert_eq!(
        capped.in_terms_of(Noise, NoiseLevel::CLEAN).unwrap(),
        1000f64.sqrt().recip()
    );
    assert!(capped.in_terms_of(Noise, NoiseLevel::NOISE).is_err());
    let gone = Weight::of_log_snr(Noise, |l| if l.get() > 5.0 { 0.0 } else { 1.0 });
    for terms in [X0, Noise, Velocity, Flow] {
        assert_eq!(gone.in_terms_of(terms, NoiseLevel::CLEAN).unwrap(), 0.0);
    }
    // Per unit of time, as any other.
    let half = Weight::of_log_snr(Noise, |_| 0.5);
    let t = time(0.3);
    close(
        half.over_time(X0, &Cosine, t).unwrap(),
        Weight::likelihood().over_time(X0, &Cosine, t).unwrap(),
        1e-14,
        "over time",
    );
    let level = NoiseLevel::new(0.6, 0.8).unwrap();
    for bad in [-1.0, f64::NAN] {
        let weight = Weight::of_log_snr(X0, move |_| bad);
        assert_eq!(
            weight.in_terms_of(X0, level).unwrap_err().to_string(),
            format!("weight of a log-SNR is {bad}, allowed: a number from 0 on")
        );
    }
    let infinite = Weight::of_log_snr(X0, |_| f64::INFINITY);
    assert!(infinite.in_terms_of(X0, level).is_err());
    assert_eq!(format!("{half:?}"), "Weight { form: OfLogSnr(Noise) }");
}

#[test]
fn losses_are_sums_of_the_losses_of_elements() {
    let said = Array3::from_shape_fn((3, 2, 4), |(i, j, k)| {
        (1.0 + (8 * i + 4 * j + k) as f64).sin() * 2.0
    });
    let target = Array3::from_shape_fn((3, 2, 4), |(i, j, k)| {
        (0.3 * (8 * i + 4 * j + k) as f64).cos()
    });
    let deltas = [0.1, 0.7, 3.0];
    let pseudo = |d: f64, c: f64| c * ((d * d + c * c).sqrt() - c);
    let huber = |d: f64, c: f64| {
        if d.abs() <= c {
            0.5 * d * d
        } else {
            c * (d.abs() - 0.5 * c)
        }
    };
    type Of<'a> = &'a dyn Fn(f64, usize) -> f64;
    let cases: [(Distance<'_>, Of<'_>); 6] = [
        (Distance::Squared, &|d, _| d * d),
        (Distance::Absolute, &|d, _| d.abs()),
        (Distance::Huber(0.7.into()), &|d, _| huber(d, 0.7)),
        (Distance::Huber((&deltas).into()), &|d, i| {
            huber(d, deltas[i])
        }),
        (Distance::PseudoHuber(0.7.into()), &|d, _| pseudo(d, 0.7)),
        (Distance::PseudoHuber((&deltas).into()), &|d, i| {
            pseudo(d, deltas[i])
        }),
    ];
    let weights = Array3::from_shape_fn((3, 2, 4), |(i, j, k)| match (i, (j + k) % 3) {
        (2, _) => 0.0,
        (_, 0) => 0.0,
        (_, m) => 0.5 * m as f64,
    });
    for (distance, of) in cases {
        let each = element_error(&said, &target, distance).unwrap();
        let masked = masked_error(&said, &target, &weights, distance).unwrap();
        let whole = masked_error(&said, &target, &weights.mapv(|_| 2.0), distance).unwrap();
        let (mut all, mut count) = (0.0, 0.0);
        for i in 0..3 {
            let (mut sum, mut by) = (0.0, 0.0);
            let mut plain = 0.0;
            for j in 0..2 {
                for k in 0..4 {
                    let d = of(said[[i, j, k]] - target[[i, j, k]], i);
                    close(each[[i, j, k]], d, 1e-13, (distance, i));
                    plain += d;
                    sum += weights[[i, j, k]] * d;
                    by += weights[[i, j, k]];
                }
            }
            close(whole[i], plain / 8.0, 1e-13, distance);
            close(
                masked[i],
                if by == 0.0 { 0.0 } else { sum / by },
                1e-13,
                distance,
            );
            all += sum;
            count += by;
        }
        // Over the batch, as CSDI has it.
        let of_batch = weighted_mean(&masked, &[&mask_weights(&weights).unwrap()]).unwrap();
        close(of_batch, all / count, 1e-13, distance);
    }
    assert_eq!(
        pseudo_huber_error(&said, &target, &deltas).unwrap(),
        gaussian_diffusion::training::Losses::losses(
            &said,
            &target,
            Distance::PseudoHuber((&deltas).into())
        )
        .unwrap()
    );
    // Of whole items.
    let norms = pseudo_huber_norm(&said, &target, &deltas).unwrap();
    let squares = squared_error(&said, &target).unwrap() * 8.0;
    for i in 0..3 {
        close(
            norms[i],
            (squares[i] + deltas[i] * deltas[i]).sqrt() - deltas[i],
            1e-13,
            i,
        );
    }
    // Where the difference is tiny the roots would cancel.
    let (a, b) = (array![[1.0 + 1e-9]], array![[1.0]]);
    let tiny = pseudo_huber_error(&a, &b, 1.0).unwrap()[0];
    assert!(
        (tiny / (0.5e-18 * 1.000_000_165) - 1.0).abs() < 1e-7,
        "{tiny}"
    );
    let tiny = pseudo_huber_norm(&a, &b, 1.0).unwrap()[0];
    assert!(
        (tiny / (0.5e-18 * 1.000_000_165) - 1.0).abs() < 1e-7,
        "{tiny}"
    );
    // What does not count may be anything.
    let unknown = array![[f64::NAN, 1.0], [f64::INFINITY, f64::NAN]];
    let (zero, mask) = (
        array![[0.0, 0.0], [0.0, 0.0]],
        array![[0.0, 1.0], [0.0, 0.0]],
    );
    assert_eq!(
        masked_error(&zero, &unknown, &mask, Distance::Squared).unwrap(),
        array![1.0, 0.0]
    );
    assert_eq!(mask_weights(&mask).unwrap(), [2.0, 0.0]);
    assert_eq!(mask_weights(&zero).unwrap(), [0.0, 0.0]);
    // No items, and items without elements.
    for shape in [(0, 3), (2, 0)] {
        let none = Array2::<f32>::zeros(shape);
        assert_eq!(
            masked_error(&none, &none, &none, Distance::Squared)
                .unwrap()
                .len(),
            shape.0
        );
        assert!(
            pseudo_huber_norm(&none, &none, 0.5)
                .unwrap()
                .iter()
                .all(|x| *x == 0.0)
        );
        assert_eq!(
            element_error(&none, &none, Distance::Huber(1.0.into())).unwrap(),
            none
        );
    }
}

#[test]
fn bad_losses_are_refused() {
    let x = array![[1.0, 2.0], [3.0, 4.0]];
    let message = |error: Error| error.to_string();
    assert_eq!(
        message(huber_error(&x, &x, &[1.0, 0.0]).unwrap_err()),
        "delta[1] is 0, allowed: a finite number above 0"
    );
    assert_eq!(
        message(huber_error(&x, &x, f64::NAN).unwrap_err()),
        "delta is NaN, allowed: a finite number above 0"
    );
    assert_eq!(
        message(pseudo_huber_error(&x, &x, &[1.0]).unwrap_err()),
        "thresholds has 1 entries for a batch of 2"
    );
    assert_eq!(
        message(pseudo_huber_norm(&x, &x, -1.0).unwrap_err()),
        "c is -1, allowed: a finite number above 0"
    );
    for (place, bad) in [(3, -4.0), (0, f64::NAN), (2, f64::INFINITY)] {
        let mut weights = x.clone();
        weights[[place / 2, place % 2]] = bad;
        assert_eq!(
            message(masked_error(&x, &x, &weights, Distance::Squared).unwrap_err()),
            format!("weights[{place}] is {bad}, allowed: 0 or more, finite")
        );
    }
    for bad in [-2.0, f64::NAN, f64::INFINITY] {
        assert!(mask_weights(&array![[1.0, bad]]).is_err());
    }
    let short = array![[1.0, 2.0]];
    assert!(masked_error(&x, &x, &short, Distance::Squared).is_err());
    assert!(masked_error(&x, &short, &x, Distance::Squared).is_err());
    assert!(element_error(&x, &short, Distance::Squared).is_err());
}

/// Draw by draw: the noise of an item counts by its level.
#[test]
fn input_is_perturbed_by_the_level() {
    let x0 = Array2::<f64>::from_elem((3, 5), 0.3);
    let times = [time(0.1), time(0.5), time(0.9)];
    let perturbed = InputPerturbation::of_level(|level| 0.2 * level.alpha() * level.alpha());
    let (found, eps) = perturbed
        .draw_jump(&RectifiedFlow, &x0, &times, &mut SeededNoise::new(3))
        .unwrap();
    let mut noise = SeededNoise::new(3);
    let (mut first, mut second) = (Array2::<f64>::zeros((3, 5)), Array2::<f64>::zeros((3, 5)));
    noise.add(&mut first, Scale::Same(1.0), None).unwrap();
    noise.add(&mut second, Scale::Same(1.0), None).unwrap();
    assert_eq!(eps, first);
    for (i, t) in [0.1_f64, 0.5, 0.9].into_iter().enumerate() {
        let gamma = 0.2 * (1.0 - t) * (1.0 - t);
        for j in 0..5 {
            let expected = (1.0 - t) * 0.3 + t * (first[[i, j]] + gamma * second[[i, j]]);
            close(found[[i, j]], expected, 1e-14, (i, j));
        }
    }
    let same = InputPerturbation::new(0.1).unwrap();
    let constant = InputPerturbation::of_level(|_| 0.1);
    let draw = |p: &InputPerturbation| {
        p.draw_jump(&Cosine, &x0, time(0.4), &mut SeededNoise::new(1))
            .unwrap()
    };
    assert_eq!(draw(&same), draw(&constant));
    for bad in [-0.1, f64::NAN, 11.0] {
        let perturbed = InputPerturbation::of_level(move |_| bad);
        assert!(
            perturbed
                .draw_jump(&Cosine, &x0, time(0.4), &mut SeededNoise::new(1))
                .is_err()
        );
    }
}

#[test]
fn thresholds_may_be_one_for_each_item() {
    let x = array![
        [0.5, -3.0, 2.0, 8.0],
        [4.0, 1.0, -0.2, 6.0],
        [0.1, 0.2, 0.3, 9.0]
    ];
    let alone = |row: usize, ratio: f64, most: f64| {
        let mut one = x.select(Axis(0), &[row]);
        let mut rule = DynamicThreshold::new(ratio)
            .unwrap()
            .with_maximum(most)
            .unwrap();
        rule.correct(&mut one, at()).unwrap();
        one
    };
    let (ratios, most) = ([0.9, 0.5, 0.9], [4.0, 2.0, 7.0]);
    let mut found = x.clone();
    let mut rule = DynamicThreshold::new(&ratios)
        .unwrap()
        .with_maximum(&most)
        .unwrap();
    rule.correct(&mut found, at()).unwrap();
    for i in 0..3 {
        assert_eq!(found.select(Axis(0), &[i]), alone(i, ratios[i], most[i]));
    }
    let mut short = DynamicThreshold::new(&[0.5, 0.9]).unwrap();
    let error = short.correct(&mut found, at()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ratios of the threshold has 2 entries for a batch of 3"
    );
    assert_eq!(
        DynamicThreshold::new(&[0.5, 1.5]).unwrap_err().to_string(),
        "ratio of the threshold[1] is 1.5, allowed: 0 to 1"
    );
}

fn at() -> gaussian_diffusion::Point<()> {
    gaussian_diffusion::Point::new((), NoiseLevel::new(0.6, 0.8).unwrap(), NoiseLevel::CLEAN)
}

/// The path of OT-CFM: a little noise is left at the data.
struct Ot(f64);

impl NoiseSchedule for Ot {
    type Time = Time;
    fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
        NoiseLevel::new(1.0 - t.get(), self.0 + (1.0 - self.0) * t.get())
    }
    fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
        let ratio = (-0.5 * snr.get()).exp();
        Time::new(((ratio - self.0) / (1.0 - self.0 + ratio)).clamp(0.0, 1.0))
    }
    fn ends(&self) -> (Time, Time) {
        (time(1.0), time(0.0))
    }
}

impl ContinuousSchedule for Ot {
    fn sde(&self, t: Time) -> Result<Sde, Error> {
        let level = self.level(t)?;
        let drift = -1.0 / level.alpha();
        let square = 2.0 * level.sigma() * (1.0 - self.0 - drift * level.sigma());
        Ok(Sde {
            drift,
            diffusion: square.sqrt(),
        })
    }
    fn path_rates(&self, _: Time) -> Result<PathRates, Error> {
        Ok(PathRates {
            alpha: -1.0,
            sigma: 1.0 - self.0,
        })
    }
}

/// Rates against differences of the levels, on every schedule in continuous time; targets and conversions with them.
#[test]
fn velocities_of_paths_are_derivatives_of_the_levels() {
    fn check<S: ContinuousSchedule<Time = Time>>(schedule: &S) {
        for t in [0.1, 0.35, 0.8] {
            let h = 1e-5;
            let at = |t| schedule.level(time(t)).unwrap();
            let rates = schedule.path_rates(time(t)).unwrap();
            let (low, high) = (at(t - h), at(t + h));
            // Central differences: off by the third derivative times h^2 / 6, and rounding over h.
            let slope = |a: f64, b: f64| (b - a) / (2.0 * h);
            let size = 1.0 + at(t).sigma() + rates.sigma.abs();
            close(
                rates.alpha,
                slope(low.alpha(), high.alpha()),
                1e-7 * size,
                t,
            );
            close(
                rates.sigma,
                slope(low.sigma(), high.sigma()),
                1e-7 * size,
                t,
            );
            // -d ln alpha / d ln(sigma / alpha), off as the differences are.
            let logs = |level: NoiseLevel| (level.alpha().ln(), level.noise_to_signal().ln());
            let ((a, r), (a_next, r_next)) = (logs(low), logs(high));
            close(
                schedule.fading(at(t)).unwrap(),
                (a - a_next) / (r_next - r),
                1e-7 * size,
                t,
            );
            let velocity = Parameterization::PathVelocity(rates);
            let (x_0, eps, level) = (0.7, -1.3, at(t));
            let x = level.alpha() * x_0 + level.sigma() * eps;
            let v = rates.alpha * x_0 + rates.sigma * eps;
            for (terms, expected) in [(X0, x_0), (Noise, eps), (Flow, eps - x_0)] {
                let map = velocity.to(terms, level).unwrap();
                close(
                    map.state * x + map.prediction * v,
                    expected,
                    1e-11,
                    (t, terms),
                );
                let back = terms.to(velocity, level).unwrap();
                close(
                    back.state * x + back.prediction * expected,
                    v,
                    1e-11 * (1.0 + v.abs()),
                    (t, terms),
                );
            }
            // The weighted loss is the same number in its terms.
            let weight = Weight::min_snr(5.0).unwrap();
            let jacobian = velocity.to(X0, level).unwrap().prediction;
            let expected = weight.in_terms_of(X0, level).unwrap() * jacobian * jacobian;
            let found = weight.in_terms_of(velocity, level).unwrap();
            assert!((found / expected - 1.0).abs() < 1e-12, "{t}");
        }
        let (x0, eps) = (array![[0.7], [0.2]], array![[-1.3], [0.4]]);
        let times = [time(0.2), time(0.6)];
        let target = schedule.path_velocity(&x0, &times, &eps).unwrap();
        for i in 0..2 {
            let rates = schedule.path_rates(times[i]).unwrap();
            let expected = rates.alpha * x0[[i, 0]] + rates.sigma * eps[[i, 0]];
            close(target[[i, 0]], expected, 1e-14, i);
        }
    }
    check(&RectifiedFlow);
    check(&Cosine);
    check(&VpLinear::new(0.1, 20.0).unwrap());
    check(&SubVp::new(0.1, 20.0).unwrap());
    check(
        &VeGeometric::new(
            gaussian_diffusion::Sigma::new(0.01).unwrap(),
            gaussian_diffusion::Sigma::new(5.0).unwrap(),
        )
        .unwrap(),
    );
    check(&LogSnrLinear::new(snr(-8.0), snr(9.0)).unwrap());
    check(&Ot(0.1));
    // The same path by two functions, and one with latent noise.
    let path = || Interpolant::new(|t| (1.0 - t, -1.0), |t| (0.1 + 0.9 * t, 0.9)).unwrap();
    check(&path());
    check(
        &path()
            .with_latent_variance(|t| (t * (1.0 - t), 1.0 - 2.0 * t))
            .unwrap(),
    );
    let clean = path().path_rates(time(0.0)).unwrap();
    assert_eq!((clean.alpha, clean.sigma), (-1.0, 0.9));
    let sigma = gaussian_diffusion::Sigma::new(3.0).unwrap();
    assert_eq!(
        Edm::default().path_rates(sigma).unwrap(),
        PathRates {
            alpha: 0.0,
            sigma: 1.0
        }
    );
    let level = Edm::default().level(sigma).unwrap();
    assert_eq!(Edm::default().fading(level).unwrap(), 0.0);
    // At the ends: the target of torchcfm's target matcher, (1 - s) eps - x_0 in this direction of time, and that of flows.
    let (x0, eps) = (array![[2.0], [2.0]], array![[1.0], [1.0]]);
    let ends = [time(0.0), time(1.0)];
    let found = Ot(0.25).path_velocity(&x0, &ends, &eps).unwrap();
    assert_eq!(found, array![[-1.25], [-1.25]]);
    assert_eq!(
        RectifiedFlow.path_velocity(&x0, &ends, &eps).unwrap(),
        array![[-1.0], [-1.0]]
    );
    let velocity = Parameterization::PathVelocity(Ot(0.25).path_rates(time(0.0)).unwrap());
    let clean = velocity.to(X0, Ot(0.25).level(time(0.0)).unwrap()).unwrap();
    assert!(clean.state.is_finite() && clean.prediction.is_finite());
    // Where a root begins there is none.
    assert!(
        VpLinear::new(0.1, 20.0)
            .unwrap()
            .path_rates(time(0.0))
            .is_err()
    );
}

/// A network of the path's velocity that knows what another one knows of the data makes the same run.
#[test]
fn networks_of_the_velocity_make_the_run_of_the_data() {
    fn check<S: ContinuousSchedule<Time = Time> + Copy>(schedule: S) {
        let data = |x: f64, t: f64| 0.6 * x.tanh() + 0.1 * t;
        let grid = Grid::uniform_time(&schedule, 6).unwrap();
        let plan = Plan::new(&schedule, &grid, &Ddim::default()).unwrap();
        let start = array![[0.3, -1.2], [2.0, 0.1]];
        let run = |mut net: Box<dyn Denoiser<Array2<f64>, Time>>| {
            let mut noise = NoNoise;
            plan.sample(start.clone(), &mut net, &mut noise).unwrap()
        };
        let of_data = run(Box::new(predicts::x0(
            move |x: &Array2<f64>, at: Point<Time>| x.mapv(|x| data(x, at.time.get())),
        )));
        let of_velocity = run(Box::new(predicts::path_velocity(
            schedule,
            move |x: &Array2<f64>, at: Point<Time>| {
                let rates = schedule.path_rates(at.time).unwrap();
                x.mapv(|x| {
                    let x_0 = data(x, at.time.get());
                    let eps = (x - at.level.alpha() * x_0) / at.level.sigma();
                    rates.alpha * x_0 + rates.sigma * eps
                })
            },
        )));
        for (a, b) in of_data.iter().zip(&of_velocity) {
            close(*a, *b, 1e-10, "velocity");
        }
    }
    check(RectifiedFlow);
    check(VpLinear::new(0.1, 20.0).unwrap());
}
