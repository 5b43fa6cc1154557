//! Arbitrary f64s to every constructor and function that takes numbers.

use std::fmt::Debug;

use gaussian_diffusion::{
    Clock, Error, Grid, LogSnr, LogVariance, Markov, ModelVariance, NoiseLevel, NoiseSchedule,
    NonMarkovian, Parameterization, Plan, Posterior, PosteriorCoefficients, Sigma, Step, Time,
    UpdateNoise, Variance,
    forward::Transition,
    gaussian_kl,
    grid::Karras,
    schedule::{
        ContinuousSchedule, Cosine, Discrete, Edm, LogSnrLinear, RectifiedFlow, Shifted, SubVp,
        VeGeometric, VpLinear,
    },
    solver::{Ddim, Ddpm},
};
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed},
};

fn config() -> Config {
    Config {
        cases: 2000,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(20_200_619),
        ..Config::default()
    }
}

/// Any bits, or a power of ten of any size, or a usual number, or an edge.
fn wild() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-320.0..308.0_f64, any::<bool>()).prop_map(|(power, minus)| {
            let size = 10.0_f64.powf(power);
            if minus { -size } else { size }
        }),
        -2.0..2.0_f64,
        0.0..1.0_f64,
        prop::sample::select(vec![
            0.0,
            -0.0,
            1.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            f64::EPSILON,
            5e-324,
            1.0 - f64::EPSILON / 2.0,
            1e-150,
            1e150,
            1e-300,
            690.0,
            -690.0,
        ]),
    ]
}

/// A level keeps its promises.
fn sound(level: NoiseLevel) -> Result<(), TestCaseError> {
    for scale in [level.alpha(), level.sigma()] {
        // The root of 1e-300 is within a rounding of 1e-150.
        let within = scale == 0.0 || (0.999e-150..=1e150).contains(&scale);
        prop_assert!(within && scale.is_sign_positive(), "{level:?}");
    }
    prop_assert!(level.alpha() + level.sigma() > 0.0, "{level:?}");
    prop_assert!(!level.log_snr().get().is_nan(), "{level:?}");
    prop_assert!(level.noise_to_signal() >= 0.0, "{level:?}");
    prop_assert!(!level.is_noisier_than(level), "{level:?}");
    Ok(())
}

fn finite(numbers: &[f64], what: &dyn Debug) -> Result<(), TestCaseError> {
    prop_assert!(
        numbers.iter().all(|x| x.is_finite()),
        "{numbers:?} of {what:?}"
    );
    Ok(())
}

/// Whatever is accepted of the levels.
fn levels(a: f64, b: f64) -> Vec<NoiseLevel> {
    let snr = LogSnr::new(a);
    [
        NoiseLevel::new(a, b),
        NoiseLevel::new(b, a),
        NoiseLevel::from_alpha_bar(a),
        NoiseLevel::from_alpha_bar(b),
        Sigma::new(a).and_then(NoiseLevel::variance_exploding),
        snr.clone().and_then(NoiseLevel::variance_preserving),
        snr.and_then(NoiseLevel::rectified_flow),
    ]
    .into_iter()
    .flatten()
    .chain([NoiseLevel::CLEAN, NoiseLevel::NOISE])
    .collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn readings_of_clocks(a in wild(), b in wild(), fraction in wild()) {
        let between = |x: f64, y: f64, z: f64| {
            let slack = 4.0 * f64::EPSILON * x.abs().max(y.abs());
            x.min(y) - slack <= z && z <= x.max(y) + slack
        };
        if let (Ok(x), Ok(y)) = (Step::fractional(a), Step::fractional(b)) {
            prop_assert!(between(a, b, x.toward(y, fraction).reading()));
            prop_assert!(x.index().is_none_or(|index| index as f64 == a));
            prop_assert!(x.rounded().get() >= 0.0);
        }
        if let (Ok(x), Ok(y)) = (Time::new(a), Time::new(b)) {
            prop_assert!(between(a, b, x.toward(y, fraction).reading()));
            prop_assert_eq!((x.toward(y, 0.0), x.toward(y, 1.0)), (x, y));
        }
        if let (Ok(x), Ok(y)) = (Sigma::new(a), Sigma::new(b)) {
            prop_assert!(between(a, b, x.toward(y, fraction).reading()));
            prop_assert!(!LogSnr::from_sigma(x).get().is_nan());
        }
        if let Ok(log) = LogVariance::new(a) {
            prop_assert!(log.std() >= 0.0 && log.exp().get().is_finite());
        }
        if let (Ok(v), Ok(w)) = (Variance::new(a), Variance::new(b)) {
            prop_assert!(v.std().is_finite() && LogVariance::new(v.ln().get().min(709.0)).is_ok());
            prop_assert!(v.ln().exp().get().is_finite());
            if fraction.is_finite() {
                let kl = gaussian_kl(fraction, v, 1.0, w);
                prop_assert!(kl >= 0.0, "{kl}");
            }
        }
    }

    #[test]
    fn levels_and_what_lies_between_two(
        (a, b) in (wild(), wild()),
        (c, d) in (wild(), wild()),
        eta in wild(),
    ) {
        let (one, other) = (levels(a, b), levels(c, d));
        for &from in &one {
            sound(from)?;
            for &to in &other {
                prop_assert!(!(from.is_noisier_than(to) && to.is_noisier_than(from)));
                prop_assert_eq!(from.is_noisier_than(to), Markov.coefficients(from, to).is_ok());
                for eta in [eta, 0.0, 1.0] {
                    let Ok(q) = NonMarkovian::new(eta).and_then(|family| family.coefficients(from, to)) else {
                        continue;
                    };
                    finite(&[q.state, q.clean, q.std], &(eta, from, to))?;
                    prop_assert!(q.std >= 0.0 && q.state >= 0.0);
                }
                if let Ok(transition) = Transition::between(to, from) {
                    finite(&[transition.scale, transition.std], &(from, to))?;
                }
                for previous in [None, Some((to, from)), Some((from, to))] {
                    if let Ok(UpdateNoise::Std(std)) = ModelVariance::FixedSmall.update_noise(from, to, previous) {
                        finite(&[std], &(from, to))?;
                    }
                }
            }
        }
    }

    #[test]
    fn conversions(a in wild(), b in wild(), state in wild(), clean in wild()) {
        use Parameterization::{Flow, Mean, Noise, Score, Velocity, X0};
        let q = PosteriorCoefficients { state, clean, std: 0.0 };
        for level in levels(a, b) {
            for one in [Noise, X0, Velocity, Score, Flow, Mean(q)] {
                if let Ok((clean, noise)) = one.components(level) {
                    finite(&[clean, noise], &(one, level))?;
                }
                for other in [Noise, X0, Velocity, Score, Flow, Mean(q)] {
                    if let Ok(map) = one.to(other, level) {
                        finite(&[map.state, map.prediction], &(one, other, level))?;
                    }
                }
            }
            // Two answers say everything at every level.
            prop_assert!(Velocity.to(X0, level).is_ok() && Flow.to(Noise, level).is_ok());
        }
    }
}

/// A table keeps its promises, and every step of it can be walked.
fn table(schedule: Result<Discrete, Error>, t: f64) -> Result<(), TestCaseError> {
    let Ok(schedule) = schedule else {
        return Ok(());
    };
    for (i, &level) in schedule.levels().iter().enumerate() {
        sound(level)?;
        prop_assert!(schedule.betas()[i] > 0.0 && schedule.betas()[i] <= 1.0);
        prop_assert_eq!(schedule.time_at(level.log_snr()).ok(), Some(Step::new(i)));
        prop_assert!(schedule.posterior_variance(Step::new(i)).is_ok());
    }
    let grid = Grid::every(&schedule);
    prop_assert!(grid.is_ok(), "{grid:?}");
    if let Ok(grid) = grid {
        prop_assert!(Plan::new(&schedule, &grid, &Ddpm::default()).is_ok());
        let defect = Plan::new(&schedule, &grid, &Ddim::default()).and_then(|plan| plan.defect());
        prop_assert!(defect.is_ok_and(f64::is_finite));
        prop_assert!(Plan::new(&schedule, &grid.inverted(), &Ddim::default()).is_ok());
    }
    if let Ok(level) = Step::fractional(t).and_then(|t| schedule.level(t)) {
        sound(level)?;
    }
    if let Ok(step) = LogSnr::new(t).and_then(|snr| schedule.time_at(snr)) {
        prop_assert!(step.get() <= (schedule.len() - 1) as f64);
    }
    table_moved(schedule, t)
}

fn table_moved(schedule: Discrete, t: f64) -> Result<(), TestCaseError> {
    if let Ok(moved) = schedule.zero_terminal_snr() {
        moved.levels().iter().try_for_each(|&level| sound(level))?;
        prop_assert!(moved.levels()[moved.len() - 1].is_noise());
    }
    if let Ok(level) = Shifted::new(schedule, t).and_then(|moved| moved.level(Step::new(0))) {
        sound(level)?;
    }
    Ok(())
}

/// A continuous schedule keeps its promises: its ends exist, and every level on the way is sound.
fn continuous<S>(schedule: Result<S, Error>, times: &[S::Time], t: f64) -> Result<(), TestCaseError>
where
    S: ContinuousSchedule<Time: Clock> + Debug,
{
    let Ok(schedule) = schedule else {
        return Ok(());
    };
    let (noisiest, cleanest) = schedule.ends();
    let ends = (schedule.level(noisiest), schedule.level(cleanest));
    let (Ok(low), Ok(high)) = ends else {
        return Err(TestCaseError::fail(format!(
            "{schedule:?} has no end: {ends:?}"
        )));
    };
    // Ends so close that their levels are one are left to the grids to refuse.
    prop_assert!(!high.is_noisier_than(low), "{schedule:?}");
    for &time in times.iter().chain([&noisiest, &cleanest]) {
        if let Ok(level) = schedule.level(time) {
            sound(level)?;
        }
        if let Ok(sde) = schedule.sde(time) {
            finite(&[sde.drift, sde.diffusion], &schedule)?;
            prop_assert!(sde.diffusion >= 0.0);
        }
    }
    if let Ok(snr) = LogSnr::new(t) {
        if let Ok(time) = schedule.time_at(snr) {
            prop_assert!(time.reading().is_finite());
        }
        if let Ok(level) = schedule.level_at(snr) {
            sound(level)?;
        }
    }
    for n in [1, 2, 5] {
        for grid in [Grid::uniform_time(&schedule, n), Grid::karras(&schedule, n)] {
            let Ok(grid) = grid else { continue };
            prop_assert_eq!(grid.len(), n);
            prop_assert!(Plan::new(&schedule, &grid, &Ddim::default()).is_ok());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn tables_of_any_numbers(
        list in prop::collection::vec(wild(), 0..5),
        steps in 0..12_usize,
        (a, b, c) in (wild(), wild(), wild()),
    ) {
        let alpha_bars: Vec<f64> = list
            .iter()
            .scan(1.0, |product, factor| {
                *product *= factor;
                Some(*product)
            })
            .collect();
        table(Discrete::from_alpha_bars(&alpha_bars), a)?;
        table(Discrete::from_alpha_bars(&list), a)?;
        table(Discrete::from_betas(list), a)?;
        table(Discrete::linear(steps, a, b), c)?;
        table(Discrete::scaled_linear(steps, a, b), c)?;
        table(Discrete::cosine_with(steps, a, b), c)?;
        table(Discrete::sigmoid(steps, a, b), c)?;
        table(Discrete::sigmoid_alpha_bar_with(steps, a, b, c), c)?;
        table(Discrete::constant(steps, a), b)?;
        table(Discrete::warm_up(steps, a, b, c), c)?;
        table(Discrete::exponential(steps, a), b)?;
        table(Discrete::laplace(steps, a, b), c)?;
        table(Discrete::harmonic(steps), a)?;
        table(Discrete::ddpm(20 + steps), a)?;
    }

    #[test]
    fn continuous_schedules_of_any_numbers(a in wild(), b in wild(), t in wild()) {
        let times: Vec<Time> = Time::new(t).into_iter().collect();
        continuous(VpLinear::new(a, b), &times, t)?;
        continuous(SubVp::new(a, b), &times, t)?;
        continuous(Ok(Cosine), &times, t)?;
        continuous(Ok(RectifiedFlow), &times, t)?;
        continuous(LogSnr::new(a).and_then(|a| LogSnrLinear::new(a, LogSnr::new(b)?)), &times, t)?;
        continuous(Sigma::new(a).and_then(|a| VeGeometric::new(a, Sigma::new(b)?)), &times, t)?;
        let edm = Sigma::new(a).and_then(|a| Edm::new(a, Sigma::new(b)?));
        let sigmas: Vec<Sigma> = Sigma::new(t).into_iter().collect();
        continuous(edm, &sigmas, t)?;
        continuous(Shifted::new(Cosine, a), &times, t)?;
        continuous(Shifted::flow(a), &times, t)?;
    }

    #[test]
    fn karras_grids_of_any_ends(max in wild(), min in wild(), rho in -3.0..3.0_f64) {
        let shape = Sigma::new(max).and_then(|max| Karras::new(max, Sigma::new(min)?, 10.0_f64.powf(rho)));
        if let Ok(shape) = shape {
            let fits = min >= 1e-149 && max <= 1e149 && max / min > 1.0 + 1e-9;
            let grid = Grid::karras_with(&Edm::default(), 4, shape);
            // Nodes that an f64 does not tell apart are an error that says so.
            if let Err(error) = &grid {
                prop_assert!(!fits || matches!(error, Error::NotMonotone { .. }), "{error}");
            }
        }
    }
}

/// The ends of time have the sigmas that were given, to the bit.
#[test]
fn geometric_sigmas_reach_their_ends() {
    for (min, max) in [
        (0.01, 50.0),
        (0.002, 80.0),
        (0.3, 1348.0),
        (0.7, 1.1),
        (1e-3, 7.7),
    ] {
        let sigma = |sigma| Sigma::new(sigma).unwrap();
        let schedule = VeGeometric::new(sigma(min), sigma(max)).unwrap();
        let at = |t| schedule.level(Time::new(t).unwrap()).unwrap().sigma();
        assert_eq!((at(0.0), at(1.0)), (min, max));
        assert!((at(0.5) / (min * max).sqrt() - 1.0).abs() < 1e-14);
    }
}

#[test]
fn a_negative_zero_is_a_zero() {
    let clean = NoiseLevel::new(1.0, -0.0).unwrap();
    assert_eq!(
        (clean.log_snr().get(), clean.noise_to_signal()),
        (f64::INFINITY, 0.0)
    );
    let noise = NoiseLevel::new(-0.0, 1.0).unwrap();
    assert_eq!(
        (noise.log_snr().get(), noise.noise_to_signal()),
        (f64::NEG_INFINITY, f64::INFINITY)
    );
    let start = RectifiedFlow.level(Time::new(-0.0).unwrap()).unwrap();
    assert_eq!(start.log_snr().get(), f64::INFINITY);
}
