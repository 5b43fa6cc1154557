//! Sizes: none, one, two, and more than any memory holds.

use std::fmt::Debug;

use gaussian_diffusion::{
    Denoiser, Error, Grid, LogSnr, Markov, ModelVariance, NoiseLevel, NoiseSchedule,
    Parameterization, Plan, Point, Posterior, Prediction, ReverseStep, SeededNoise, Sigma, Step,
    grid::Karras,
    noise::{NoiseSource, Scale},
    predicts,
    schedule::{
        Cosine, Discrete, Edm, LogSnrLinear, RectifiedFlow, Respacing, Shifted, SubVp, VeGeometric,
        VpLinear,
    },
    solver::{Ddim, Ddpm},
};
use ndarray::{Array1, Array2, array};

/// As many steps as an f64 counts, and a level for each of them.
struct Endless;

impl NoiseSchedule for Endless {
    type Time = Step;

    fn level(&self, t: Step) -> Result<NoiseLevel, Error> {
        let size = usize::MAX as f64;
        NoiseLevel::variance_preserving(LogSnr::new(5.0 - 10.0 * t.get() / size)?)
    }

    fn time_at(&self, snr: LogSnr) -> Result<Step, Error> {
        Step::fractional((5.0 - snr.get()) / 10.0 * usize::MAX as f64)
    }

    fn ends(&self) -> (Step, Step) {
        (Step::new(usize::MAX), Step::new(0))
    }
}

#[test]
fn more_steps_than_memory_are_refused() {
    for n in [
        usize::MAX,
        usize::MAX / 2,
        isize::MAX as usize / 8,
        1 << if usize::BITS < 64 { 28 } else { 40 },
        (1 << 24) + 1,
    ] {
        let table = Discrete::constant(10, 0.1).unwrap();
        let edm = Edm::default();
        let snr = |x| LogSnr::new(x).unwrap();
        let ends = Karras::new(Sigma::new(2.0).unwrap(), Sigma::new(1.0).unwrap(), 7.0).unwrap();
        let text = |outcome: Result<(), Error>| outcome.map_err(|error| error.to_string());
        let outcomes = [
            Discrete::ddpm(n).map(drop),
            Discrete::linear(n, 0.1, 0.2).map(drop),
            Discrete::scaled_linear(n, 0.1, 0.2).map(drop),
            Discrete::cosine(n).map(drop),
            Discrete::sigmoid(n, 0.1, 0.2).map(drop),
            Discrete::sigmoid_alpha_bar(n).map(drop),
            Discrete::constant(n, 0.1).map(drop),
            Discrete::warm_up(n, 0.1, 0.2, 0.5).map(drop),
            Discrete::warm_up(n, 0.1, 0.2, 1.0).map(drop),
            Discrete::harmonic(n).map(drop),
            Discrete::exponential(n, 12.0).map(drop),
            Discrete::laplace(n, 0.0, 0.5).map(drop),
            Respacing::of_steps(n, [n - 1]).map(drop),
            Respacing::of_sections(n, &[n]).map(drop),
            Respacing::parse("ddim2", n).map(drop),
            Respacing::parse(&format!("ddim{n}"), n).map(drop),
            Grid::uniform_time(&Cosine, n).map(drop),
            Grid::uniform_time(&table, n).map(drop),
            Grid::uniform_log_snr(&edm, n).map(drop),
            Grid::uniform_log_snr_between(&edm, n, snr(0.0), snr(1.0)).map(drop),
            Grid::karras(&edm, n).map(drop),
            Grid::karras_with(&edm, n, ends).map(drop),
            Grid::leading(&Endless, n, 0).map(drop),
            Grid::trailing(&Endless, n).map(drop),
            Grid::linspace(&Endless, n).map(drop),
        ];
        for (i, outcome) in outcomes.into_iter().enumerate() {
            let words = format!("number of steps is {}, allowed: 1 to 16777216", n as f64);
            assert_eq!(text(outcome), Err(words), "{i}");
        }
        let outcomes = [
            Grid::leading(&table, n, 0).map(drop),
            Grid::trailing(&table, n).map(drop),
            Grid::linspace(&table, n).map(drop),
        ];
        for outcome in outcomes {
            let allowed = "1 to 10, the steps of the schedule";
            let words = format!("number of steps is {}, allowed: {allowed}", n as f64);
            assert_eq!(text(outcome), Err(words));
        }
    }
    let every = Grid::every(&Endless).unwrap_err().to_string();
    assert_eq!(
        every,
        "number of steps is 18446744073709552000, allowed: 1 to 16777216"
    );
    for n in [1, 2, 3] {
        assert_eq!(Grid::leading(&Endless, n, 0).unwrap().len(), n);
        assert_eq!(Grid::trailing(&Endless, n).unwrap().len(), n);
        assert_eq!(Grid::linspace(&Endless, n).unwrap().len(), n);
    }
    assert!(Grid::leading(&Discrete::constant(10, 0.1).unwrap(), 2, usize::MAX).is_err());
    assert!(Respacing::of_sections(1000, &[usize::MAX]).is_err());
}

#[test]
fn a_million_steps_are_fine() {
    let n = 1_000_000;
    let schedule = Discrete::linear(n, 1e-7, 2e-5).unwrap();
    assert_eq!(Grid::every(&schedule).unwrap().len(), n);
    let kept = Respacing::parse("ddim1000", n).unwrap();
    assert_eq!(schedule.respaced(&kept).unwrap().len(), 1000);
    assert_eq!(Grid::uniform_time(&Cosine, n).unwrap().len(), n);
}

#[test]
fn whole_steps_end_where_f64s_do() {
    let most = (1 << 53) - 1;
    assert_eq!(Step::new(most).index(), Some(most));
    assert_eq!(Step::new(most + 1).index(), None);
    assert_eq!(Step::new(usize::MAX).index(), None);
    assert_eq!(Step::fractional(1e300).unwrap().index(), None);
    assert_eq!(
        Step::fractional(f64::MAX).unwrap().rounded().get(),
        f64::MAX
    );
    assert_eq!(Step::fractional(-0.0).unwrap().index(), Some(0));
}

#[test]
fn counters_of_the_noise_wrap() {
    let mut noise = SeededNoise::new(u64::MAX)
        .with_first_item(u32::MAX)
        .with_first_item(u32::MAX)
        .with_first_draw(u64::MAX);
    let mut x = Array1::<f64>::zeros(5);
    noise.add(&mut x, Scale::Same(1.0), None).unwrap();
    noise.add(&mut x, Scale::Same(1.0), None).unwrap();
    assert_eq!(noise.draws(), 1);
    assert!(x.iter().all(|x| x.is_finite()));
    let mut none = Array2::<f64>::zeros((0, 3));
    SeededNoise::per_item([])
        .add(&mut none, Scale::PerItem(&[]), None)
        .unwrap();
}

/// A network that knows that all data is 0.25, in these terms.
fn knowing<T: Copy>(terms: impl Fn(Point<T>) -> Parameterization) -> impl Denoiser<Array1<f64>, T> {
    predicts::with(move |x: &Array1<f64>, at: Point<T>| {
        let terms = terms(at);
        let (clean, noise) = terms.components(at.level)?;
        let eps = x.mapv(|x| (x - 0.25 * at.level.alpha()) / at.level.sigma());
        Ok(Prediction::new(eps * noise + 0.25 * clean, terms))
    })
}

/// Both solvers on this grid end at the data.
fn ends_at_the_data<S>(schedule: &S, grid: &Grid<S::Time>)
where
    S: NoiseSchedule + ?Sized,
{
    for solver in [
        &Ddim::default() as &dyn ReverseStep,
        &Ddpm::default(),
        &Ddpm::new(ModelVariance::FixedLarge),
    ] {
        let plan = Plan::new(schedule, grid, solver).unwrap();
        let mut noise = SeededNoise::new(2);
        let start = plan.prior(3, &mut noise).unwrap();
        let end = plan
            .sample(start, &mut knowing(|_| Parameterization::X0), &mut noise)
            .unwrap();
        assert!(
            end.iter().all(|x| (x - 0.25).abs() < 1e-12),
            "{} {end}",
            solver.name()
        );
    }
}

fn short<S: NoiseSchedule<Time: gaussian_diffusion::Clock> + Debug>(schedule: &S) {
    for n in [1, 2] {
        let ends = (LogSnr::new(-3.0).unwrap(), LogSnr::new(3.0).unwrap());
        let grids = [
            Grid::uniform_time(schedule, n),
            Grid::uniform_log_snr(schedule, n),
            Grid::uniform_log_snr_between(schedule, n, ends.0, ends.1),
            Grid::karras(schedule, n),
        ];
        assert!(
            grids[0].is_ok() && grids[2].is_ok(),
            "{schedule:?}: {grids:?}"
        );
        for grid in grids.into_iter().flatten() {
            assert_eq!((grid.len(), grid.end()), (n, NoiseLevel::CLEAN));
            assert_eq!(
                grid.inverted().inverted().levels().collect::<Vec<_>>(),
                grid.levels().collect::<Vec<_>>()
            );
            ends_at_the_data(schedule, &grid);
        }
    }
}

#[test]
fn one_step_and_two() {
    let (snr, sigma) = (|x| LogSnr::new(x).unwrap(), |x| Sigma::new(x).unwrap());
    short(&VpLinear::new(0.1, 20.0).unwrap());
    short(&SubVp::new(0.1, 20.0).unwrap());
    short(&Cosine);
    short(&RectifiedFlow);
    short(&LogSnrLinear::new(snr(-5.0), snr(13.0)).unwrap());
    short(&VeGeometric::new(sigma(0.01), sigma(50.0)).unwrap());
    short(&Edm::default());
    short(&Shifted::flow(3.0).unwrap());
    short(&Discrete::cosine(100).unwrap());
}

#[test]
fn a_schedule_of_one_step() {
    for schedule in [
        Discrete::constant(1, 0.5),
        Discrete::cosine(1),
        Discrete::harmonic(1),
        Discrete::from_alpha_bars(&[0.0]),
    ] {
        let schedule = schedule.unwrap();
        assert_eq!(schedule.ends(), (Step::new(0), Step::new(0)));
        assert_eq!(
            schedule.level_before(Step::new(0)).unwrap(),
            NoiseLevel::CLEAN
        );
        assert_eq!(
            schedule.time_at(schedule.levels()[0].log_snr()).unwrap(),
            Step::new(0)
        );
        assert_eq!(
            schedule.posterior_variance(Step::new(0)).unwrap().get(),
            0.0
        );
        for variance in [
            ModelVariance::FixedSmall,
            ModelVariance::FixedLarge,
            ModelVariance::LearnedRange,
        ] {
            assert!(schedule.model_variance(variance, Step::new(0)).is_ok());
        }
        assert!(schedule.zero_terminal_snr().is_err());
        assert_eq!(
            schedule
                .respaced(&Respacing::parse("1", 1).unwrap())
                .unwrap()
                .levels(),
            schedule.levels()
        );
        for grid in [
            Grid::every(&schedule),
            Grid::leading(&schedule, 1, 0),
            Grid::trailing(&schedule, 1),
            Grid::linspace(&schedule, 1),
            Grid::uniform_time(&schedule, 1),
        ] {
            ends_at_the_data(&schedule, &grid.unwrap());
        }
        assert!(
            Grid::uniform_time(&schedule, 2).is_err() && Grid::leading(&schedule, 2, 0).is_err()
        );
    }
}

/// At zero SNR the first step takes every answer that says something of the data, and no other.
fn from_pure_noise<S>(schedule: &S, grid: &Grid<S::Time>)
where
    S: NoiseSchedule + ?Sized,
{
    use Parameterization::{Flow, Mean, Noise as Eps, Score, Velocity, X0};
    assert!(grid.nodes()[0].level.is_noise());
    for solver in [
        &Ddim::default() as &dyn ReverseStep,
        &Ddim::new(0.5).unwrap(),
        &Ddpm::default(),
    ] {
        let plan = Plan::new(schedule, grid, solver).unwrap();
        let run = |terms: &dyn Fn(Point<S::Time>) -> Parameterization| {
            let mut noise = SeededNoise::new(5);
            plan.sample(array![0.3, -1.2], &mut knowing(terms), &mut noise)
        };
        for terms in [X0, Velocity, Flow] {
            let end = run(&|_| terms).unwrap();
            assert!(
                end.iter().all(|x| (x - 0.25).abs() < 1e-12),
                "{terms:?} {end}"
            );
        }
        let end = run(&|at| Mean(Markov.coefficients(at.from, at.to).unwrap())).unwrap();
        assert!(end.iter().all(|x| (x - 0.25).abs() < 1e-12), "{end}");
        for terms in [Eps, Score] {
            assert!(
                matches!(run(&|_| terms), Err(Error::Singular { .. })),
                "{terms:?}"
            );
        }
    }
}

#[test]
fn the_first_step_from_zero_snr() {
    let table = Discrete::stable_diffusion()
        .unwrap()
        .zero_terminal_snr()
        .unwrap();
    from_pure_noise(&table, &Grid::trailing(&table, 7).unwrap());
    from_pure_noise(&table, &Grid::trailing(&table, 1).unwrap());
    from_pure_noise(&Cosine, &Grid::uniform_time(&Cosine, 7).unwrap());
    from_pure_noise(
        &RectifiedFlow,
        &Grid::uniform_time(&RectifiedFlow, 7).unwrap(),
    );
    let shifted = Shifted::flow(3.0).unwrap();
    from_pure_noise(&shifted, &Grid::uniform_time(&shifted, 7).unwrap());
}

/// A long step leaves less signal than 1 minus its beta can hold, and it is still there.
#[test]
fn little_signal_is_not_none() {
    let schedule = Discrete::constant(100, 0.9).unwrap();
    let short = schedule
        .respaced(&Respacing::of_steps(100, [0, 60, 99]).unwrap())
        .unwrap();
    for (i, step) in [0, 60, 99].into_iter().enumerate() {
        assert_eq!(short.levels()[i], schedule.levels()[step]);
    }
    let given = Discrete::from_alpha_bars(&[0.5, 1e-20, 1e-40]).unwrap();
    assert!(given.levels().iter().all(|level| !level.is_noise()));
    assert!((given.levels()[2].alpha() / 1e-20 - 1.0).abs() < 1e-15);
    assert_eq!(Grid::every(&given).unwrap().len(), 3);
}
