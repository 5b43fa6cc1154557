//! Wrappers answer wherever their inside has a level: shifted schedules up to their ends, and levels
//! beyond the ends of a clock.

mod common {
    pub mod levels;
}

use common::levels::{sigma, snr, time};
use gaussian_diffusion::{
    Clock, Error, Grid, LogSnr, NoiseLevel, NoiseSchedule,
    Parameterization::{self, Noise as OnNoise},
    Plan, Point, SeededNoise, Step, Time,
    likelihood::{Continuous, ContinuousBound, ProbabilityFlow},
    predicts,
    rand::{SeedableRng, rngs::StdRng},
    schedule::{
        ContinuousSchedule, Cosine, Discrete, Edm, LogSnrLinear, RectifiedFlow, Respacing, Shifted,
        SubVp, VeGeometric, VpLinear,
    },
    solver::{Churn, Ddim},
    training::Weight,
};
use ndarray::{Array2, array};

const FACTORS: [f64; 8] = [1e-6, 0.01, 0.3, 1.0, 2.0, 3.0, 100.0, 1e6];

fn close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (found - expected).abs() <= tolerance * expected.abs(),
        "{what}: {found}, expected {expected}"
    );
}

/// The figures of closed forms: `alpha' = alpha / n`, `sigma' = k sigma / n`, `n^2 = alpha^2 + k^2 sigma^2`,
/// so that the drift is `-beta k^2 / (2 n^2)` and the diffusion `sqrt(beta) k / n`.
#[test]
fn variance_preserving_equations_are_those_of_the_closed_form() {
    let vp = VpLinear::new(0.1, 20.0).unwrap();
    let end = Shifted::new(vp, 2.0).unwrap().sde(time(1.0)).unwrap();
    close(end.drift, -10.000324, 1e-7, "drift");
    close(end.diffusion, 4.472208, 1e-7, "diffusion");
    for k in FACTORS {
        let shifted = Shifted::new(vp, k).unwrap();
        for t in [0.0, 1e-6, 0.01, 0.3, 0.7, 0.99, 1.0] {
            let (beta, level) = (0.1 + 19.9 * t, vp.level(time(t)).unwrap());
            let growth = k / level.alpha().hypot(k * level.sigma());
            let sde = shifted.sde(time(t)).unwrap();
            let what = format!("factor {k} at {t}");
            close(sde.drift, -0.5 * beta * growth * growth, 1e-13, &what);
            close(sde.diffusion, beta.sqrt() * growth, 1e-13, &what);
        }
    }
}

/// `alpha' = (1 - t) / (1 + (k - 1) t)`, `sigma' = k t / (1 + (k - 1) t)`, at the data too.
#[test]
fn flow_equations_are_those_of_the_closed_form() {
    for k in FACTORS {
        let shifted = Shifted::flow(k).unwrap();
        for t in [0.0, 1e-9, 0.01, 0.3, 0.7, 0.99] {
            let n = 1.0 + (k - 1.0) * t;
            let sde = shifted.sde(time(t)).unwrap();
            let what = format!("factor {k} at {t}");
            close(sde.drift, -k / ((1.0 - t) * n), 1e-9, &what);
            let g2 = 2.0 * k * k * t / ((1.0 - t) * n * n);
            close(sde.diffusion, g2.sqrt(), 1e-9, &what);
        }
        // No signal is left, and the drift infinite.
        let end = shifted.sde(time(1.0));
        assert!(matches!(end, Err(Error::Singular { .. })), "{end:?}");
    }
}

/// Up to both ends, also of a shift of a shift, the equation is the rate of the levels: differences of
/// `ln alpha` and of the log-SNR, one-sided at an end.
fn follows_its_levels<S>(schedule: &S, singular: &[f64])
where
    S: ContinuousSchedule<Time = Time>,
{
    let h = 1e-4;
    for t in [0.0, 0.05, 0.35, 0.8, 0.97, 1.0] {
        let sde = match schedule.sde(time(t)) {
            Err(Error::Singular { .. }) if singular.contains(&t) => continue,
            sde => sde.unwrap(),
        };
        assert!(sde.drift <= 0.0 && sde.diffusion >= 0.0, "{sde:?}");
        let level = |t: f64| schedule.level(time(t)).unwrap();
        if level(t).is_clean() {
            continue;
        }
        let side = if t == 0.0 { 1.0 } else { -1.0 };
        let rate = |f: &dyn Fn(NoiseLevel) -> f64| match t {
            0.0 | 1.0 => {
                let at = |i: f64| f(level(t + side * i * h));
                side * (-3.0 * at(0.0) + 4.0 * at(1.0) - at(2.0)) / (2.0 * h)
            }
            _ => (f(level(t + h)) - f(level(t - h))) / (2.0 * h),
        };
        let drift = rate(&|level| level.alpha().ln());
        let g2 = -level(t).sigma().powi(2) * rate(&|level| level.log_snr().get());
        let off = (sde.drift - drift).abs();
        assert!(off <= 1e-4 * (1e-3 + drift.abs()), "{t}: {sde:?}, {drift}");
        assert!((sde.diffusion.powi(2) / g2 - 1.0).abs() <= 1e-4, "{t}");
    }
}

#[test]
fn every_family_has_its_equation_at_every_shift() {
    for k in [0.01, 0.3, 1.0, 2.0, 100.0] {
        macro_rules! shifted {
            ($schedule:expr, $singular:expr) => {{
                let once = Shifted::new($schedule, k).unwrap();
                follows_its_levels(&once, $singular);
                follows_its_levels(&Shifted::new(&once, 3.0).unwrap(), $singular);
                let boxed: Box<dyn ContinuousSchedule<Time = Time>> = Box::new(once);
                follows_its_levels(&Shifted::new(boxed, 0.5).unwrap(), $singular);
            }};
        }
        shifted!(VpLinear::new(0.1, 20.0).unwrap(), &[]);
        shifted!(SubVp::new(0.1, 20.0).unwrap(), &[]);
        shifted!(VeGeometric::new(sigma(0.01), sigma(50.0)).unwrap(), &[]);
        shifted!(LogSnrLinear::new(snr(-5.0), snr(13.3)).unwrap(), &[]);
        shifted!(Cosine, &[1.0]);
        shifted!(RectifiedFlow, &[1.0]);
    }
    let edm = Shifted::new(Edm::default(), 3.0).unwrap();
    let sde = edm.sde(sigma(80.0)).unwrap();
    close(sde.diffusion, 3.0 * 160.0_f64.sqrt(), 1e-15, "edm");
}

/// A schedule of somebody's own: only what a trait needs, and no equation beyond its clock.
#[derive(Debug)]
struct Own(VpLinear);

impl NoiseSchedule for Own {
    type Time = Time;
    fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
        self.0.level(t)
    }
    fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
        self.0.time_at(snr)
    }
    fn ends(&self) -> (Time, Time) {
        (time(1.0), time(0.001))
    }
}

impl ContinuousSchedule for Own {
    fn sde(&self, t: Time) -> Result<gaussian_diffusion::schedule::Sde, Error> {
        self.0.sde(t)
    }
}

#[test]
fn what_has_no_value_is_refused_when_it_is_made() {
    // Its levels end with its clock, so that it cannot be moved beyond.
    let vp = VpLinear::new(0.1, 20.0).unwrap();
    assert!(Shifted::new(Own(vp), 2.0).is_err());
    let own = Shifted::new(Own(vp), 0.5).unwrap();
    let (found, wanted) = (
        own.sde(time(0.4)),
        Shifted::new(vp, 0.5).unwrap().sde(time(0.4)),
    );
    close(found.unwrap().drift, wanted.unwrap().drift, 1e-12, "own");
    // A level beyond all levels.
    let wide = LogSnrLinear::new(snr(-690.0), snr(690.0)).unwrap();
    let error = Shifted::new(wide, 2.0).unwrap_err().to_string();
    assert!(error.starts_with("log-SNR is -691.38"), "{error}");
    // A rate that is infinite at an end of the times that are drawn.
    #[derive(Debug)]
    struct Steep(VpLinear);
    impl NoiseSchedule for Steep {
        type Time = Time;
        fn level(&self, t: Time) -> Result<NoiseLevel, Error> {
            self.0.level(t)
        }
        fn time_at(&self, snr: LogSnr) -> Result<Time, Error> {
            self.0.time_at(snr)
        }
        fn ends(&self) -> (Time, Time) {
            self.0.ends()
        }
    }
    impl ContinuousSchedule for Steep {
        fn sde(&self, t: Time) -> Result<gaussian_diffusion::schedule::Sde, Error> {
            match t.get() {
                1.0 => Err(Error::Singular {
                    what: "the forward equation",
                    alpha: 0.0,
                    sigma: 1.0,
                }),
                _ => self.0.sde(t),
            }
        }
    }
    let (first, last) = (time(1.0), time(0.1));
    assert!(ContinuousBound::in_time(&Steep(vp), first, last, Continuous).is_err());
    assert!(ContinuousBound::in_time(&Steep(vp), time(0.9), last, Continuous).is_ok());
}

/// Weights over time and the bound in time, on a shifted schedule up to its noisiest time.
#[test]
fn weights_and_bounds_in_time_have_values_up_to_the_ends() {
    let schedule = Shifted::new(VpLinear::new(0.1, 20.0).unwrap(), 2.0).unwrap();
    for t in [0.0, 1e-3, 0.5, 0.97, 1.0] {
        let sde = schedule.sde(time(t)).unwrap();
        let weight = Weight::likelihood();
        let weight = weight.over_time(Parameterization::Score, &schedule, time(t));
        close(
            weight.unwrap(),
            0.5 * sde.diffusion.powi(2),
            1e-13,
            "weight",
        );
    }
    let bound = ContinuousBound::in_time(&schedule, time(1.0), time(1e-3), Continuous).unwrap();
    let mut net = predicts::noise(|x: &Array2<f64>, _: Point<Time>| x * 0.5);
    let (mut noise, mut rng) = (SeededNoise::new(0), StdRng::seed_from_u64(1));
    let terms = bound.estimate(&array![[0.3]], &mut net, &mut noise, &mut rng, 500);
    assert!(terms.unwrap().diffusion[0].value.get().is_finite());
}

/// Both ends, and between them, of every schedule and every shift of it: the flow asks, and is given.
fn flows<S: NoiseSchedule>(schedule: &S)
where
    S::Time: Clock + PartialEq,
{
    let (noisiest, cleanest) = schedule.ends();
    let (low, high) = (noisiest.reading(), cleanest.reading());
    let mut net = predicts::flow(|x: &Array2<f64>, at: Point<S::Time>| {
        let time = at.time.reading();
        assert!(time >= low.min(high) && time <= low.max(high), "{time}");
        x * 0.1
    });
    let flow = ProbabilityFlow::new(schedule)
        .unwrap()
        .with_tolerance(1e-3)
        .unwrap();
    let there = flow.encode(&array![[0.3]], &mut net).unwrap().value;
    flow.decode(&there, &mut net).unwrap();

    // A run that starts beyond the clock.
    let grid = Grid::uniform_time(schedule, 5).unwrap();
    let first = schedule.level(noisiest).unwrap();
    if first.is_noise() {
        return;
    }
    let beyond = schedule.level_at(snr(first.log_snr().get() - 1.5)).unwrap();
    let longer = grid.starting_at(schedule, beyond).unwrap();
    assert_eq!((longer.len(), longer.nodes()[0].level), (6, beyond));
    assert_eq!(
        longer.nodes()[0].time.reading(),
        schedule.network_time(noisiest).reading()
    );
    assert_eq!(longer.nodes()[1..], *grid.nodes());
    let plan = Plan::new(schedule, &longer, &Ddim::default()).unwrap();
    assert!(plan.defect().unwrap() < 1e-9);
    // A grid that is moved beyond it.
    let moved = grid.shifted(schedule, 2.0).unwrap();
    let levels = moved.nodes().iter().zip(grid.nodes());
    for (moved, node) in levels {
        let wanted = node.level.log_snr().get() - 2.0 * 2.0_f64.ln();
        assert!((moved.level.log_snr().get() - wanted).abs() < 1e-11);
    }
    assert_eq!(
        moved.nodes()[0].time.reading(),
        schedule.network_time(noisiest).reading()
    );
}

#[test]
fn beyond_its_ends_a_clock_says_the_end() {
    for k in [0.3, 1.0, 2.0, 100.0] {
        flows(&Shifted::new(VpLinear::new(0.1, 20.0).unwrap(), k).unwrap());
        flows(&Shifted::new(SubVp::new(0.1, 20.0).unwrap(), k).unwrap());
        flows(&Shifted::new(VeGeometric::new(sigma(0.01), sigma(50.0)).unwrap(), k).unwrap());
        flows(&Shifted::new(LogSnrLinear::new(snr(-5.0), snr(13.3)).unwrap(), k).unwrap());
        flows(&Shifted::new(Cosine, k).unwrap());
        flows(&Shifted::new(RectifiedFlow, k).unwrap());
        flows(&Shifted::new(Discrete::cosine(1000).unwrap(), k).unwrap());
        flows(&Shifted::new(Discrete::stable_diffusion().unwrap(), k).unwrap());
    }
    // Sigma is a clock without end: a grid's range is not that of the network.
    let edm = Edm::default();
    let grid = Grid::karras(&edm, 4).unwrap();
    let beyond = NoiseLevel::variance_exploding(sigma(100.0)).unwrap();
    let longer = grid.starting_at(&edm, beyond).unwrap();
    assert!((longer.nodes()[0].time.get() - 100.0).abs() < 1e-12);
    let churn = Churn::new(Ddim::default(), 8.0).unwrap();
    let plan = Plan::new(&edm, &grid, &churn).unwrap();
    for stage in plan.stages() {
        close(
            stage.point.time.get(),
            stage.point.level.sigma(),
            1e-12,
            "churn",
        );
    }
    assert!(plan.stages()[0].point.time.get() > 100.0);
    // The likelihood weighting has its value there too.
    let schedule = Shifted::new(Cosine, 2.0).unwrap();
    let weight = Weight::likelihood().over_time(OnNoise, &schedule, time(0.999));
    assert!(weight.unwrap().is_finite());
}

/// A respaced schedule tells its network the steps of the original, and between two of them in proportion.
#[test]
fn a_respaced_schedule_between_its_steps() {
    let of = |schedule: &Discrete, steps: &[usize]| {
        let kept = Respacing::of_steps(schedule.len(), steps).unwrap();
        schedule.respaced(&kept).unwrap()
    };
    let step = |t| Step::fractional(t).unwrap();
    let short = of(
        &Discrete::stable_diffusion().unwrap(),
        &[0, 10, 40, 41, 999],
    );
    let twice = of(&short, &[1, 3, 4]);
    for (schedule, t, expected) in [
        (&short, 0.0, 0.0),
        (&short, 0.5, 5.0),
        (&short, 1.25, 17.5),
        (&short, 2.5, 40.5),
        (&short, 3.75, 41.0 + 0.75 * 958.0),
        (&short, 4.0, 999.0),
        (&twice, 0.5, 25.5),
        (&twice, 1.5, 520.0),
    ] {
        assert_eq!(schedule.network_time(step(t)).get(), expected, "{t}");
        let grid = Grid::at(schedule, &[step(t)]).unwrap();
        assert_eq!(grid.nodes()[0].time.get(), expected, "{t}");
    }
}
