//! Time samplers: draws against densities, densities against formulas, reweighting against integrals.

mod common {
    pub mod levels;
}

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use common::levels::{sigma, time};
use gaussian_diffusion::{
    Clock, Error, Sigma, SigmaData, Step, Time,
    rand::{SeedableRng, rngs::StdRng},
    training::times::{
        CosMap, CosineSigma, LogNormal, LogUniform, LogitNormalTime, LossSecondMoment, Mode,
        TimeSampler, Truncated, UniformStep, UniformTime, Uniforms,
    },
};

type OverTime = Box<dyn TimeSampler<Time = Time>>;
type OverSigma = Box<dyn TimeSampler<Time = Sigma>>;

fn over_time() -> Vec<(&'static str, OverTime)> {
    let logit = |m, s| LogitNormalTime::new(m, s).unwrap();
    vec![
        ("uniform", Box::new(UniformTime::default())),
        (
            "uniform, part",
            Box::new(UniformTime::new(time(0.2), time(0.7)).unwrap()),
        ),
        ("logit-normal", Box::new(logit(0.0, 1.0))),
        ("logit-normal, shifted", Box::new(logit(-0.8, 0.6))),
        ("mode", Box::new(Mode::new(1.29).unwrap())),
        ("mode, ends", Box::new(Mode::new(-0.8).unwrap())),
        ("mode, none", Box::new(Mode::new(0.0).unwrap())),
        ("cosmap", Box::new(CosMap)),
        (
            "truncated",
            Box::new(Truncated::new(logit(0.0, 1.0), time(0.1), time(0.6)).unwrap()),
        ),
    ]
}

fn over_sigma() -> Vec<(&'static str, OverSigma)> {
    let log_uniform = LogUniform::new(sigma(0.002), sigma(80.0)).unwrap();
    let cosine = CosineSigma::new(SigmaData::EDM);
    vec![
        ("log-normal", Box::new(LogNormal::edm())),
        (
            "log-normal, wide",
            Box::new(LogNormal::new(0.4, 2.0).unwrap()),
        ),
        ("log-uniform", Box::new(log_uniform)),
        ("cosine", Box::new(cosine)),
        (
            "truncated",
            Box::new(Truncated::new(cosine, sigma(0.01), sigma(20.0)).unwrap()),
        ),
    ]
}

/// Kolmogorov-Smirnov: the greatest distance between the shares of the draws and the integral of the
/// density, by the midpoint rule on `n` points of a map of (0, 1) to the times, times sqrt(draws).
fn statistic(
    mut draws: Vec<f64>,
    n: usize,
    map: impl Fn(f64) -> f64,
    density: impl Fn(f64) -> f64,
) -> f64 {
    draws.sort_by(f64::total_cmp);
    let (mut sum, mut worst, mut total) = (0.0, 0.0_f64, 0);
    for i in 0..n {
        let (low, high) = (map(i as f64 / n as f64), map((i + 1) as f64 / n as f64));
        sum += density(map((i as f64 + 0.5) / n as f64)) * (high - low);
        while draws.get(total).is_some_and(|&t| t <= high) {
            total += 1;
        }
        worst = worst.max((sum - total as f64 / draws.len() as f64).abs());
    }
    assert!((sum - 1.0).abs() < 3e-4, "the density integrates to {sum}");
    worst * (draws.len() as f64).sqrt()
}

const DRAWS: usize = 20_000;
/// The limit of the statistic at a significance of 1e-4.
const LIMIT: f64 = 2.23;

fn ks_time(sampler: &OverTime, density: &OverTime, uniforms: Uniforms, seed: u64) -> f64 {
    let draws = sampler
        .draw(uniforms, DRAWS, &mut StdRng::seed_from_u64(seed))
        .unwrap();
    let times = draws.times.iter().map(|t| t.get()).collect();
    statistic(times, 50_000, |u| u, |t| density.density(time(t)))
}

fn ks_sigma(sampler: &OverSigma, density: &OverSigma, seed: u64) -> f64 {
    let draws = sampler
        .draw(
            Uniforms::Independent,
            DRAWS,
            &mut StdRng::seed_from_u64(seed),
        )
        .unwrap();
    let sigmas = draws.times.iter().map(|t| t.get()).collect();
    let map = |u: f64| (-24.0 + 48.0 * u).exp();
    statistic(sigmas, 100_000, map, |s| density.density(sigma(s)))
}

#[test]
fn draws_have_the_density() {
    for (seed, (name, sampler)) in over_time().iter().enumerate() {
        let found = ks_time(sampler, sampler, Uniforms::Independent, seed as u64);
        assert!(found < LIMIT, "{name}: {found}");
        for uniforms in [
            Uniforms::Stratified,
            Uniforms::LowDiscrepancy,
            Uniforms::Antithetic,
        ] {
            let found = ks_time(sampler, sampler, uniforms, seed as u64);
            assert!(found < LIMIT, "{name}, {uniforms:?}: {found}");
        }
    }
    for (seed, (name, sampler)) in over_sigma().iter().enumerate() {
        let found = ks_sigma(sampler, sampler, 100 + seed as u64);
        assert!(found < LIMIT, "{name}: {found}");
    }
    // The test tells neighbours apart.
    let (a, b): (OverTime, OverTime) = (
        Box::new(LogitNormalTime::new(0.0, 1.0).unwrap()),
        Box::new(LogitNormalTime::new(0.1, 1.0).unwrap()),
    );
    assert!(ks_time(&a, &b, Uniforms::Independent, 1) > LIMIT);
}

/// Densities by their published formulas.
#[test]
fn densities_are_the_formulas() {
    let normal = |x: f64| (-0.5 * x * x).exp() / TAU.sqrt();
    for t in [1e-6, 0.03, 0.3, 0.5, 0.8, 0.999_f64] {
        let logit = (t / (1.0 - t)).ln();
        let wanted = normal((logit - 0.3) / 0.7) / (0.7 * t * (1.0 - t));
        let found = LogitNormalTime::new(0.3, 0.7).unwrap().density(time(t));
        assert!((found / wanted - 1.0).abs() < 1e-12, "{t}");
        let wanted = 2.0 / (PI - 2.0 * PI * t + 2.0 * PI * t * t);
        assert!((CosMap.density(time(t)) / wanted - 1.0).abs() < 1e-14);
    }
    for s in [1e-3_f64, 0.3, 1.0, 30.0] {
        let wanted = normal((s.ln() + 1.2) / 1.2) / (1.2 * s);
        assert!((LogNormal::edm().density(sigma(s)) / wanted - 1.0).abs() < 1e-13);
        // v-diffusion's: sigma = sigma_data tan(u pi / 2).
        let wanted = 2.0 / (PI * 0.5 * (1.0 + 4.0 * s * s));
        assert!((CosineSigma::new(SigmaData::EDM).density(sigma(s)) / wanted - 1.0).abs() < 1e-14);
    }
    // The paper's map 1 - u - s (cos^2(pi u / 2) - 1 + u) at 1 - u.
    let mode = Mode::new(1.29).unwrap();
    for u in [0.1, 0.5, 0.83_f64] {
        let v = 1.0 - u;
        let wanted = 1.0 - v - 1.29 * ((FRAC_PI_2 * v).cos().powi(2) - 1.0 + v);
        assert!((mode.quantile(u).unwrap().get() - wanted).abs() < 1e-15);
    }
}

fn check_law<T: Clock + std::fmt::Debug>(
    name: &str,
    sampler: &dyn TimeSampler<Time = T>,
    made: fn(f64) -> Result<T, Error>,
) {
    for u in [1e-12, 1e-3, 0.2, 0.5, 0.77, 0.999, 1.0 - 1e-9] {
        let t = sampler.quantile(u).unwrap();
        let back = sampler.cdf(t);
        assert!((back - u).abs() < 1e-12 * u + 2e-15, "{name}: {u}, {back}");
        let h = 1e-6 * t.reading();
        let at = |x| sampler.cdf(made(x).unwrap());
        let slope = (at(t.reading() + h) - at(t.reading() - h)) / (2.0 * h);
        if (1e-3..0.9995).contains(&u) {
            let density = sampler.density(t);
            assert!(
                (slope / density - 1.0).abs() < 1e-5,
                "{name}: {u}, {slope}, {density}"
            );
        }
    }
    for u in [0.0, 1.0, -0.1, f64::NAN] {
        let error = sampler.quantile(u).unwrap_err().to_string();
        assert_eq!(error, format!("share is {u}, allowed: above 0 and below 1"));
    }
    // The least and the greatest number that is ever drawn.
    for u in [f64::EPSILON / 2.0, 1.0 - f64::EPSILON / 2.0] {
        assert!(sampler.quantile(u).unwrap().reading().is_finite());
    }
}

#[test]
fn quantile_cdf_and_density_belong_together() {
    for (name, sampler) in over_time() {
        check_law(name, &*sampler, Time::new);
        for (low, high) in [(-1.0, 2.0), (0.0, 1.0)] {
            assert_eq!(
                (sampler.cdf(time(low)), sampler.cdf(time(high))),
                (0.0, 1.0),
                "{name}"
            );
        }
        assert_eq!(
            (sampler.density(time(-1.0)), sampler.density(time(2.0))),
            (0.0, 0.0),
            "{name}"
        );
    }
    for (name, sampler) in over_sigma() {
        check_law(name, &*sampler, Sigma::new);
        assert_eq!(sampler.cdf(sigma(0.0)), 0.0, "{name}");
        assert!(sampler.density(sigma(0.0)).is_finite(), "{name}");
    }
}

/// One step, and none.
#[test]
fn steps() {
    let one = UniformStep::new(1).unwrap();
    assert_eq!(one.quantile(0.999).unwrap(), Step::new(0));
    assert_eq!(
        (one.density(Step::new(0)), one.density(Step::new(1))),
        (1.0, 0.0)
    );
    let four = UniformStep::new(4).unwrap();
    assert_eq!(four.cdf(Step::new(1)), 0.5);
    assert_eq!(four.cdf(Step::fractional(1.7).unwrap()), 0.5);
    assert_eq!(four.density(Step::fractional(1.5).unwrap()), 0.0);
    let empty = four
        .draw(Uniforms::Stratified, 0, &mut StdRng::seed_from_u64(0))
        .unwrap();
    assert!(empty.times.is_empty() && empty.weights_for(&four).is_empty());
    // Stratified draws of as many as there are steps are each step once.
    let mut all = four
        .draw(Uniforms::Stratified, 4, &mut StdRng::seed_from_u64(0))
        .unwrap()
        .times;
    all.sort_by(|a, b| a.get().total_cmp(&b.get()));
    assert_eq!(all, [0, 1, 2, 3].map(Step::new));
}

/// Pearson's statistic of the steps drawn.
fn chi_square(sampler: &dyn TimeSampler<Time = Step>, steps: usize, seed: u64) -> f64 {
    let draws = sampler
        .draw(
            Uniforms::Independent,
            DRAWS,
            &mut StdRng::seed_from_u64(seed),
        )
        .unwrap();
    let mut counts = vec![0.0; steps];
    for t in &draws.times {
        counts[t.index().unwrap()] += 1.0;
    }
    let term = |(i, count): (usize, &f64)| {
        let wanted = sampler.density(Step::new(i)) * DRAWS as f64;
        (count - wanted).powi(2) / wanted
    };
    counts.iter().enumerate().map(term).sum()
}

fn warm(steps: usize) -> LossSecondMoment {
    let mut sampler = LossSecondMoment::new(steps).unwrap();
    for round in 0..10 {
        let times: Vec<_> = (0..steps).map(Step::new).collect();
        let losses: Vec<_> = (0..steps)
            .map(|i| 1.0 + (i * 7 + round) as f64 % 5.0)
            .collect();
        sampler.update(&times, &losses).unwrap();
    }
    sampler
}

#[test]
fn steps_are_drawn_by_their_probabilities() {
    // 44.3 and 48.2 are exceeded with probability 1e-4 for 15 and 17 degrees of freedom.
    let uniform = chi_square(&UniformStep::new(16).unwrap(), 16, 1);
    assert!(uniform < 44.3, "{uniform}");
    let important = chi_square(&warm(18), 18, 2);
    assert!(important < 48.2, "{important}");
}

/// Probabilities by the formula of the paper and its code, in a plain loop.
#[test]
fn importance_follows_the_second_moment() {
    let mut sampler = LossSecondMoment::new(3).unwrap();
    let (all, third) = ([0, 1, 2].map(Step::new), 1.0 / 3.0);
    for round in 0..9 {
        sampler.update(&all, &[1.0, 2.0, f64::from(round)]).unwrap();
        assert!(!sampler.is_warm());
        assert_eq!(all.map(|t| sampler.density(t)), [third; 3]);
    }
    // The eleventh loss of step 2, 10, pushes out its first, 0.
    sampler.update(&all, &[1.0, 2.0, 9.0]).unwrap();
    assert!(sampler.is_warm());
    sampler.update(&[Step::new(2)], &[10.0]).unwrap();
    let kept: Vec<f64> = (1..=10).map(f64::from).collect();
    assert_eq!(sampler.history()[2], kept);
    let square: f64 = kept.iter().map(|x| x * x).sum::<f64>() / 10.0;
    let roots = [1.0, 2.0, square.sqrt()];
    let total: f64 = roots.iter().sum();
    for (t, root) in all.iter().zip(roots) {
        let wanted = root / total * 0.999 + 0.001 / 3.0;
        assert!((sampler.density(*t) - wanted).abs() < 1e-15);
    }
    assert!((sampler.cdf(Step::new(1)) + sampler.density(Step::new(2)) - 1.0).abs() < 1e-15);
    assert_eq!(sampler.cdf(Step::new(2)), 1.0);
    // One full history is not enough.
    let mut half = LossSecondMoment::new(2)
        .unwrap()
        .with_losses_kept(1)
        .unwrap();
    half.update(&[Step::new(0)], &[3.0]).unwrap();
    assert!(!half.is_warm());
    assert_eq!(half.density(Step::new(0)), 0.5);
    // Losses of zero everywhere leave nothing to prefer.
    let zeros = LossSecondMoment::new(2)
        .unwrap()
        .with_history(vec![vec![0.0; 10]; 2])
        .unwrap();
    assert_eq!(zeros.density(Step::new(1)), 0.5);
}

#[test]
fn a_saved_sampler_goes_on_identically() {
    let mut sampler = warm(7);
    let saved = sampler.history().to_vec();
    let mut again = LossSecondMoment::new(7)
        .unwrap()
        .with_history(saved)
        .unwrap();
    assert_eq!(sampler, again);
    let (mut a, mut b) = (StdRng::seed_from_u64(3), StdRng::seed_from_u64(3));
    for round in 0..20 {
        let draws = sampler.draw(Uniforms::LowDiscrepancy, 5, &mut a).unwrap();
        assert_eq!(
            draws,
            again.draw(Uniforms::LowDiscrepancy, 5, &mut b).unwrap()
        );
        let losses: Vec<_> = draws
            .times
            .iter()
            .map(|t| t.get() + f64::from(round))
            .collect();
        sampler.update(&draws.times, &losses).unwrap();
        again.update(&draws.times, &losses).unwrap();
    }
    assert_eq!(sampler, again);
}

/// E_p[q/p f] = E_q[f]: the mean over 4000 batches of 8, within 3.9 of its deviations (significance
/// 1e-4).
fn unbiased<T: Clock + std::fmt::Debug>(
    name: &str,
    from: &dyn TimeSampler<Time = T>,
    wanted: &dyn TimeSampler<Time = T>,
    f: impl Fn(f64) -> f64,
    exact: f64,
) {
    for uniforms in [
        Uniforms::Independent,
        Uniforms::Stratified,
        Uniforms::LowDiscrepancy,
        Uniforms::Antithetic,
    ] {
        let mut rng = StdRng::seed_from_u64(11);
        let batches = 4000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..batches {
            let draws = from.draw(uniforms, 8, &mut rng).unwrap();
            let weights = draws.weights_for(wanted);
            let losses = draws.times.iter().map(|t| f(t.reading()));
            let mean = losses.zip(weights).map(|(l, w)| l * w).sum::<f64>() / 8.0;
            sum += mean;
            squares += mean * mean;
        }
        let n = f64::from(batches);
        let mean = sum / n;
        let bound = 3.9 * ((squares / n - mean * mean) / n).sqrt() + 1e-12;
        assert!(
            (mean - exact).abs() < bound,
            "{name} {uniforms:?}: {mean}, {exact} +- {bound}"
        );
    }
}

#[test]
fn reweighting_has_no_bias() {
    let uniform = UniformTime::default();
    // The integral of t^2 exp(t) over 0 to 1.
    let exact = std::f64::consts::E - 2.0;
    let f = |t: f64| t * t * t.exp();
    for (name, sampler) in over_time() {
        // Those that draw every time, with weights of finite variance.
        if ["mode", "mode, none", "cosmap", "uniform"].contains(&name) {
            unbiased(name, &*sampler, &uniform, f, exact);
        }
    }
    // 1 / p has no mean under a logit-normal; to one within another it has.
    let from = LogitNormalTime::new(0.0, 1.0).unwrap();
    let wanted = LogitNormalTime::new(0.2, 0.8).unwrap();
    let (mut exact, n) = (0.0, 200_000);
    for i in 0..n {
        let t = (f64::from(i) + 0.5) / f64::from(n);
        exact += f(t) * wanted.density(time(t)) / f64::from(n);
    }
    unbiased("logit-normal", &from, &wanted, f, exact);
    let edm = LogNormal::edm();
    // E[sigma^2] under the log-normal, from log-uniform draws over 9 of its deviations.
    let wide = LogUniform::new(sigma(1e-5), sigma(1e4)).unwrap();
    unbiased("EDM", &wide, &edm, |s| s * s, (-2.4 + 2.0 * 1.44_f64).exp());
    let steps = UniformStep::new(9).unwrap();
    let exact = (0..9).map(|i| f64::from(i * i)).sum::<f64>() / 9.0;
    unbiased("second moment", &warm(9), &steps, |t| t * t, exact);
}

/// Every number of a batch is uniform by itself, lies inside, and depends on the others as said.
#[test]
fn uniforms_are_uniform_one_by_one() {
    let mut rng = StdRng::seed_from_u64(5);
    let all = [
        Uniforms::Independent,
        Uniforms::Stratified,
        Uniforms::LowDiscrepancy,
        Uniforms::Antithetic,
    ];
    for uniforms in all {
        for place in [0, 4] {
            let draws = (0..DRAWS)
                .map(|_| uniforms.draw(5, &mut rng)[place])
                .collect();
            let found = statistic(draws, 50_000, |u| u, |_| 1.0);
            assert!(found < LIMIT, "{uniforms:?}, {place}: {found}");
        }
        for n in [0, 1, 2, 7] {
            let numbers = uniforms.draw(n, &mut rng);
            assert_eq!(numbers.len(), n);
            assert!(numbers.iter().all(|&u| u > 0.0 && u < 1.0));
        }
    }
    for _ in 0..50 {
        let mut strata: Vec<_> = Uniforms::Stratified
            .draw(6, &mut rng)
            .iter()
            .map(|u| (6.0 * u) as usize)
            .collect();
        strata.sort_unstable();
        assert_eq!(strata, [0, 1, 2, 3, 4, 5]);
        let even = Uniforms::LowDiscrepancy.draw(6, &mut rng);
        for (i, u) in even.iter().enumerate() {
            let gap = u - even[0] - i as f64 / 6.0;
            assert!((gap - gap.round()).abs() < 1e-15);
        }
        let pairs = Uniforms::Antithetic.draw(4, &mut rng);
        assert_eq!((pairs[0] + pairs[1], pairs[2] + pairs[3]), (1.0, 1.0));
    }
    // Even spacing takes out most of the variance of a mean: by calculation, a factor of 205 for the
    // strata and of 17 for the moved grid.
    let spread = |uniforms: Uniforms, rng: &mut StdRng| {
        let means: Vec<f64> = (0..500)
            .map(|_| uniforms.draw(16, rng).iter().map(|u| u * u).sum::<f64>() / 16.0)
            .collect();
        let mean = means.iter().sum::<f64>() / 500.0;
        means.iter().map(|m| (m - mean).powi(2)).sum::<f64>() / 500.0
    };
    let independent = spread(Uniforms::Independent, &mut rng);
    assert!(spread(Uniforms::Stratified, &mut rng) < independent / 100.0);
    assert!(spread(Uniforms::LowDiscrepancy, &mut rng) < independent / 10.0);
}

/// Bounds that are steps belong to what is drawn.
#[test]
fn truncated_steps() {
    let step = Step::new;
    let some = Truncated::new(UniformStep::new(10).unwrap(), step(3), step(6)).unwrap();
    let shares: Vec<f64> = (0..10).map(|t| some.density(step(t))).collect();
    for (t, share) in shares.iter().enumerate() {
        let wanted = if (3..=6).contains(&t) { 0.25 } else { 0.0 };
        assert!((share - wanted).abs() < 1e-15, "{t}: {share}");
    }
    for u in [1e-300, 0.249, 0.251, 0.499, 0.751, 1.0 - f64::EPSILON / 2.0] {
        let wanted = 3 + (4.0 * u) as usize;
        assert_eq!(some.quantile(u).unwrap(), step(wanted), "{u}");
    }
    let one = Truncated::new(warm(9), step(4), step(4)).unwrap();
    assert_eq!(one.quantile(0.3).unwrap(), step(4));
    assert!((one.density(step(4)) - 1.0).abs() < 1e-14);
}

#[cfg(feature = "laws")]
mod laws {
    use super::*;
    use gaussian_diffusion::laws;
    use proptest::prelude::*;

    #[test]
    fn of_every_sampler() {
        for (name, sampler) in over_time() {
            laws::time_sampler(&sampler, 100).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        for (name, sampler) in over_sigma() {
            laws::time_sampler(&sampler, 100).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        laws::time_sampler(&warm(7), 100).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..Default::default() })]

        #[test]
        fn of_any_parameters(
            mean in -5.0..5.0, std in 0.05..3.0, scale in -0.95..1.7, steps in 1_usize..40,
            low in 0.01..0.4, high in 0.6..0.99,
        ) {
            let normal = LogNormal::new(mean, std).unwrap();
            laws::time_sampler(&normal, 50).unwrap();
            let ends = (normal.quantile(low).unwrap(), normal.quantile(high).unwrap());
            laws::time_sampler(&Truncated::new(normal, ends.0, ends.1).unwrap(), 50).unwrap();
            laws::time_sampler(&LogUniform::new(ends.0, ends.1).unwrap(), 50).unwrap();
            laws::time_sampler(&CosineSigma::new(SigmaData::new(std).unwrap()), 50).unwrap();
            let mode = Mode::new(scale).unwrap();
            laws::time_sampler(&mode, 50).unwrap();
            laws::time_sampler(&Truncated::new(mode, time(low), time(high)).unwrap(), 50).unwrap();
            laws::time_sampler(&LogitNormalTime::new(0.2 * mean, std).unwrap(), 50).unwrap();
            let all = UniformStep::new(steps).unwrap();
            laws::time_sampler(&all, 50).unwrap();
            let last = Step::new(steps - 1);
            let some = Truncated::new(warm(steps), Step::new(steps / 3), last).unwrap();
            laws::time_sampler(&some, 50).unwrap();
        }
    }
}

#[test]
fn samplers_refuse_what_is_out_of_range() {
    fn message<S>(made: Result<S, Error>) -> String {
        made.err().unwrap().to_string()
    }
    assert_eq!(
        message(UniformStep::new(0)),
        "number of steps is 0, allowed: 1 to 16777216"
    );
    assert_eq!(
        message(UniformTime::new(time(0.5), time(0.5))),
        "high time is 0.5, allowed: above 0.5"
    );
    assert_eq!(
        message(LogitNormalTime::new(0.0, 0.0)),
        "std is 0, allowed: 1e-6 to 10"
    );
    assert_eq!(
        message(LogNormal::new(f64::NAN, 1.0)),
        "mean is NaN, allowed: -100 to 100"
    );
    assert_eq!(
        message(Mode::new(1.8)),
        "scale is 1.8, allowed: above -1 and below 1.75"
    );
    assert_eq!(
        message(LogUniform::new(sigma(0.0), sigma(1.0))),
        "low sigma is 0, allowed: 1e-150 to 1e150"
    );
    assert_eq!(
        message(LogUniform::new(sigma(2.0), sigma(1.0))),
        "high sigma is 1, allowed: above 2 and up to 1e150"
    );
    assert_eq!(
        message(Truncated::new(UniformTime::default(), time(0.5), time(0.5))),
        "share between the ends is 0, allowed: 1e-6 or more"
    );
    let two = || LossSecondMoment::new(2).unwrap();
    assert_eq!(
        message(LossSecondMoment::new(0)),
        "number of steps is 0, allowed: 1 to 16777216"
    );
    assert_eq!(
        message(two().with_losses_kept(0)),
        "losses remembered is 0, allowed: 1 or more"
    );
    assert_eq!(
        message(two().with_uniform_share(0.0)),
        "uniform share is 0, allowed: above 0 and up to 1"
    );
    assert_eq!(
        message(two().with_history(vec![vec![]])),
        "history has shape [1], expected [2]"
    );
    assert_eq!(
        message(two().with_history(vec![vec![], vec![1.0; 11]])),
        "losses in history[1] is 11, allowed: 0 to 10"
    );
    let mut sampler = two();
    let both = [0, 1].map(Step::new);
    assert_eq!(
        message(sampler.update(&both, &[1.0])),
        "losses has 1 entries for a batch of 2"
    );
    assert_eq!(
        message(sampler.update(&both, &[1.0, f64::NAN])),
        "losses[1] is NaN, allowed: -1e100 to 1e100"
    );
    let off = [Step::new(0), Step::new(2)];
    assert_eq!(
        message(sampler.update(&off, &[1.0, 1.0])),
        "times[1] is 2, allowed: the whole steps 0 to 1"
    );
    assert_eq!(sampler, two());
}

/// The greatest and the least numbers that a generator gives stay within (0, 1), a stratum's too; antithetic ones come
/// two from a number.
#[test]
fn no_generator_leaves_the_open_interval() {
    struct Same(u64);
    impl gaussian_diffusion::rand::RngCore for Same {
        fn next_u32(&mut self) -> u32 {
            self.0 as u32
        }
        fn next_u64(&mut self) -> u64 {
            self.0
        }
        fn fill_bytes(&mut self, bytes: &mut [u8]) {
            bytes.fill(self.0 as u8);
        }
    }
    for bits in [0, u64::MAX] {
        for uniforms in [
            Uniforms::Independent,
            Uniforms::Stratified,
            Uniforms::LowDiscrepancy,
            Uniforms::Antithetic,
        ] {
            for count in 1..20 {
                let numbers = uniforms.draw(count, &mut Same(bits));
                assert!(
                    numbers.iter().all(|u| *u > 0.0 && *u < 1.0),
                    "{uniforms:?} {count}"
                );
            }
        }
    }
    for (count, drawn) in [(3, 2), (4, 2), (5, 3)] {
        let mut rng = StdRng::seed_from_u64(8);
        Uniforms::Antithetic.draw(count, &mut rng);
        let mut again = StdRng::seed_from_u64(8);
        for _ in 0..drawn {
            Uniforms::Independent.draw(1, &mut again);
        }
        assert_eq!(rng, again, "{count}");
    }
}

/// At the ends of the clock a logit-normal has the density 0, and shares add up to 1 whatever rounding makes of their
/// sum.
#[test]
fn ends_are_exact() {
    let logit = LogitNormalTime::new(0.3, 2.0).unwrap();
    assert_eq!([0.0, 1.0].map(|t| logit.density(time(t))), [0.0, 0.0]);
    for steps in 1..60 {
        let history = (0..steps).map(|i| vec![(0.7 * i as f64).sin() + 2.0]);
        let sampler = LossSecondMoment::new(steps)
            .unwrap()
            .with_losses_kept(1)
            .unwrap()
            .with_history(history.collect())
            .unwrap();
        assert_eq!(sampler.cdf(Step::new(steps - 1)), 1.0);
        assert_eq!(sampler.cdf(Step::new(steps + 3)), 1.0);
        assert!(steps == 1 || sampler.cdf(Step::new(steps - 2)) < 1.0);
    }
    // The greatest number below 1 draws the last step, of any count.
    let most = 1.0 - f64::EPSILON / 2.0;
    for count in (1..2000).chain([1 << 20, (1 << 24) - 1, 1 << 24]) {
        let sampler = UniformStep::new(count).unwrap();
        assert_eq!(sampler.quantile(most).unwrap(), Step::new(count - 1));
    }
}

/// What rounding carries beyond a bound is the bound.
#[test]
fn truncated_draws_stay_within_their_bounds() {
    for i in 1..400 {
        let (low, high) = (time(0.002 * f64::from(i)), time(0.002 * f64::from(i) + 0.1));
        for inner in [
            LogitNormalTime::new(0.0, 1.0).unwrap(),
            LogitNormalTime::new(-0.8, 0.6).unwrap(),
        ] {
            let Ok(sampler) = Truncated::new(inner, low, high) else {
                continue;
            };
            for u in [1e-300, 1e-17, 1e-16, 1.0 - f64::EPSILON / 2.0] {
                let drawn = sampler.quantile(u).unwrap();
                assert!(low <= drawn && drawn <= high, "{low:?} {drawn:?} {high:?}");
            }
        }
    }
}
