//! Solvers at their edges: one step, zero SNR, the data, grids that go up, any levels at all.

use std::fmt::Debug;

use gaussian_diffusion::{
    DenoisingVariance, Error, Grid, LogSnr, LogVariance, ModelVariance, NoiseLevel, NoiseSchedule,
    Parameterization, Plan, ReverseStep, SeededNoise, Sigma, Time, UpdateNoise, Variance,
    grid::Node,
    noise::BrownianPath,
    plan::{Affine, Moments},
    schedule::{Cosine, Discrete, Edm, RectifiedFlow},
    solver::{
        AnalyticDpm, Ancestral, At, CfgPlusPlusStep, Churn, Consistency, Coordinates, Ddim, Ddpm,
        Descent, DpmSde, DpmSolver, DpmSolver2MV2, DpmSolverV3, ErSde, EulerMaruyama,
        ExponentialAdams, FinalMean, HeunPlusPlus, InFlowTime, Langevin, LeastNoise,
        LinearMultistep, ModelStatistics, NodeBlocks, Path, Pndm, RungeKutta, SaSolver, SingleStep,
        Stage, UniPc, Update,
    },
};
use ndarray::Array2;
use proptest::prelude::*;

type Boxed = Box<dyn ReverseStep>;

/// Every deterministic solver, of an order and of two other free numbers.
fn deterministic(order: usize, fraction: f64, bit: bool) -> Vec<Boxed> {
    let o = order.min(3);
    let all = [Coordinates::Noise, Coordinates::Flow, Coordinates::Data];
    let mut list: Vec<Boxed> = vec![
        Box::new(Ddim::default()),
        Box::new(Pndm::plms()),
        Box::new(Pndm::runge_kutta()),
        Box::new(RungeKutta::dpm2()),
        Box::new(LinearMultistep::gradient_estimation(1.0 + fraction).unwrap()),
        Box::new(SingleStep::fast(3 * order + usize::from(bit)).unwrap()),
        Box::new(
            SingleStep::plus_plus(o)
                .unwrap()
                .with_fraction(fraction)
                .unwrap(),
        ),
        Box::new(
            SingleStep::new(o, Coordinates::Noise)
                .unwrap()
                .with_exact_integrals(),
        ),
        Box::new(SaSolver::new(order, order).unwrap().with_tau(0.0).unwrap()),
    ];
    for c in all {
        list.push(Box::new(
            RungeKutta::at_fraction(fraction)
                .unwrap()
                .with_coordinates(c),
        ));
        list.push(Box::new(RungeKutta::heun().with_coordinates(c)));
        list.push(Box::new(
            LinearMultistep::lms(order).unwrap().with_coordinates(c),
        ));
        list.push(Box::new(
            LinearMultistep::ipndm(order).unwrap().with_coordinates(c),
        ));
        let adams = ExponentialAdams::new(order, c).unwrap();
        list.push(Box::new(if bit {
            adams.with_lower_final_orders()
        } else {
            adams
        }));
    }
    for data in [true, false] {
        let (multi, blocks) = match data {
            true => (DpmSolver::plus_plus(o), NodeBlocks::plus_plus(o)),
            false => (
                DpmSolver::new(o, Coordinates::Noise),
                NodeBlocks::new(o, Coordinates::Noise),
            ),
        };
        let (multi, blocks) = (multi.unwrap(), blocks.unwrap());
        let pc = UniPc::new(order).unwrap();
        let pc = if data {
            pc
        } else {
            pc.with_coordinates(Coordinates::Noise).unwrap()
        };
        if bit {
            list.push(Box::new(
                multi
                    .with_exact_integrals()
                    .with_lower_final_orders()
                    .with_euler_last_step(),
            ));
            list.push(Box::new(blocks.with_lower_final_orders()));
            list.push(Box::new(pc.with_bh1().with_lower_final_orders()));
        } else {
            list.push(Box::new(multi));
            list.push(Box::new(blocks));
            list.push(Box::new(blocks.with_exact_integrals()));
            list.push(Box::new(pc.without_corrector_at([0, 2])));
        }
    }
    list
}

/// Every stochastic solver.
fn stochastic(order: usize, eta: f64, fraction: f64) -> Vec<Boxed> {
    let o = order.min(3);
    vec![
        Box::new(Ddpm::default()),
        Box::new(Ddim::new(eta).unwrap()),
        Box::new(EulerMaruyama::new(eta).unwrap()),
        Box::new(
            DpmSde::new(eta)
                .unwrap()
                .with_fraction(fraction.min(0.95))
                .unwrap(),
        ),
        Box::new(DpmSolver::plus_plus(o).unwrap().with_tau(eta).unwrap()),
        Box::new(
            DpmSolver::new(o, Coordinates::Noise)
                .unwrap()
                .with_tau(eta)
                .unwrap(),
        ),
        Box::new(SingleStep::plus_plus(o).unwrap().with_tau(eta).unwrap()),
        Box::new(NodeBlocks::plus_plus(o).unwrap().with_tau(eta).unwrap()),
        Box::new(
            NodeBlocks::plus_plus(o)
                .unwrap()
                .with_exact_integrals()
                .with_tau(eta)
                .unwrap(),
        ),
        Box::new(SaSolver::new(order, o).unwrap().with_tau(eta).unwrap()),
        Box::new(ErSde::new(o).unwrap()),
        Box::new(Consistency::default()),
        Box::new(Ancestral::new(RungeKutta::heun(), eta).unwrap()),
        Box::new(
            Ancestral::new(SingleStep::plus_plus(2).unwrap(), eta)
                .unwrap()
                .with_floor(),
        ),
        Box::new(Ancestral::with_descent(Ddim::default(), Descent::Flow(eta)).unwrap()),
    ]
}

/// Those that keep the law of the grid's levels or add noise off the way.
fn around(amount: f64) -> Vec<Boxed> {
    vec![
        Box::new(Churn::new(RungeKutta::heun(), amount).unwrap()),
        Box::new(
            Churn::new(Ddim::default(), amount)
                .unwrap()
                .with_evaluation_before(gaussian_diffusion::Parameterization::Noise),
        ),
        Box::new(Langevin::new(Ddim::default(), 0.2, 2).unwrap()),
    ]
}

fn is_finite<T: Copy + Debug>(plan: &Plan<T>) -> bool {
    plan.stages().iter().all(|planned| {
        let stage = &planned.stage;
        let updates = [&stage.renoise, &stage.commit, &stage.trial];
        updates.into_iter().flatten().all(|u| {
            let spread = match u.noise {
                UpdateNoise::Std(std) => std.is_finite() && std >= 0.0,
                _ => true,
            };
            u.state.is_finite() && spread && u.model.iter().all(|c| c.is_finite())
        })
    })
}

/// A grid of these log-SNRs, where it may start at pure noise and end clean.
fn grid<S>(schedule: &S, snrs: &[f64], noise: bool, clean: bool) -> Result<Grid<S::Time>, Error>
where
    S: NoiseSchedule,
{
    let mut nodes: Vec<_> = snrs.iter().map(|&snr| LogSnr::new(snr).unwrap()).collect();
    if noise {
        nodes.insert(0, LogSnr::new(f64::NEG_INFINITY)?);
    }
    let end = nodes.pop().unwrap();
    let down = Grid::at_log_snrs(schedule, &nodes)?;
    if clean {
        nodes.push(end);
        return Grid::at_log_snrs(schedule, &nodes);
    }
    down.ending_at(schedule.level_at(end)?)
}

fn holds<S: NoiseSchedule>(schedule: &S, grid: &Grid<S::Time>, solver: &dyn ReverseStep) {
    let plan = Plan::new(schedule, grid, solver)
        .unwrap_or_else(|error| panic!("{}: {error} on {grid:?}", solver.name()));
    assert!(is_finite(&plan), "{} on {grid:?}", solver.name());
    let defect = plan.defect().unwrap();
    assert!(defect < 1e-11, "{}: {defect:e} on {grid:?}", solver.name());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 50, rng_seed: proptest::test_runner::RngSeed::Fixed(5), ..ProptestConfig::default() })]

    /// Whatever the levels, also one step, pure noise to data, and very uneven ones.
    #[test]
    fn any_levels(
        start in -14.0..0.0_f64,
        steps in prop::collection::vec(0.05..3.0_f64, 1..9),
        (noise, clean, bit) in any::<(bool, bool, bool)>(),
        order in 1..5_usize,
        eta in 0.05..1.0_f64,
        fraction in 0.1..1.0_f64,
    ) {
        let mut snrs = vec![start];
        for step in steps {
            snrs.push(snrs.last().unwrap() + step);
        }
        let lists = [deterministic(order, fraction, bit), stochastic(order, eta, fraction)];
        for solver in lists.iter().flatten() {
            let broken = solver.name().starts_with("SDE-DPM-Solver ") || solver.name() == "Euler-Maruyama";
            if broken {
                let grid = grid(&Cosine, &snrs, noise, clean).unwrap();
                prop_assert!(is_finite(&Plan::new(&Cosine, &grid, solver).unwrap()));
                continue;
            }
            holds(&Cosine, &grid(&Cosine, &snrs, noise, clean).unwrap(), solver);
            let flow = grid(&RectifiedFlow, &snrs, noise, clean).unwrap();
            holds(&RectifiedFlow, &flow, solver);
            let edm = Edm::new(Sigma::new(1e-12).unwrap(), Sigma::new(1e4).unwrap()).unwrap();
            holds(&edm, &grid(&edm, &snrs, false, clean).unwrap(), solver);
        }
        for solver in around(fraction * 9.0) {
            let grid = grid(&Cosine, &snrs, noise, clean).unwrap();
            prop_assert!(is_finite(&Plan::new(&Cosine, &grid, &solver).unwrap()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 20, rng_seed: proptest::test_runner::RngSeed::Fixed(5), ..ProptestConfig::default() })]

    /// Far outside what anybody uses: finite numbers, or an error that says so.
    #[test]
    fn extreme_levels(
        mut snrs in prop::collection::vec(-690.0..690.0_f64, 2..7),
        (noise, clean, bit) in any::<(bool, bool, bool)>(),
        order in 1..9_usize,
        eta in 0.01..1.0_f64,
    ) {
        snrs.sort_by(f64::total_cmp);
        snrs.dedup();
        let lists = [deterministic(order, 0.5, bit), stochastic(order, eta, 0.5), around(40.0)];
        let Ok(grid) = grid(&Cosine, &snrs, noise, clean) else { return Ok(()) };
        for solver in lists.iter().flatten() {
            for grid in [&grid, &grid.inverted()] {
                match Plan::new(&Cosine, grid, solver) {
                    Ok(plan) => prop_assert!(is_finite(&plan), "{}", solver.name()),
                    Err(error) => prop_assert!(!error.to_string().is_empty()),
                }
            }
        }
    }
}

/// A grid from pure noise to the data, of any number of steps, and its parts.
#[test]
fn zero_terminal_snr() {
    let schedule = Discrete::stable_diffusion()
        .unwrap()
        .zero_terminal_snr()
        .unwrap();
    for n in 1..=60 {
        let grid = Grid::trailing(&schedule, n).unwrap();
        for solver in deterministic(3, 0.4, n % 2 == 0) {
            holds(&schedule, &grid, &solver);
        }
        if n > 2 {
            for solver in deterministic(2, 0.6, true) {
                holds(&schedule, &grid.part(1..n - 1).unwrap(), &solver);
                holds(&schedule, &grid.part(0..n - 1).unwrap(), &solver);
            }
        }
    }
}

/// What is encoded on an inverted grid comes back, the better the more steps; noise is refused.
#[test]
fn inverted_grids() {
    let there_and_back = |solver: &Boxed, n: usize| -> f64 {
        let data = |level| Affine::of_gaussian(0.3, Variance::new(0.4).unwrap(), level);
        let snr = |s| LogSnr::new(s).unwrap();
        let nodes: Vec<_> = (0..n)
            .map(|i| snr(-4.0 + 9.0 * i as f64 / n as f64))
            .collect();
        let end = Cosine.level_at(snr(5.0)).unwrap();
        let grid = Grid::at_log_snrs(&Cosine, &nodes)
            .unwrap()
            .ending_at(end)
            .unwrap();
        let x = |mean| Moments {
            mean,
            variance: 0.0,
        };
        let up = Plan::new(&Cosine, &grid.inverted(), solver).unwrap();
        let down = Plan::new(&Cosine, &grid, solver).unwrap();
        let noise = up.carry(x(0.9), data).unwrap().mean;
        (down.carry(x(noise), data).unwrap().mean - 0.9).abs()
    };
    for order in 1..=3 {
        for solver in deterministic(order, 0.5, false) {
            let (few, many) = (there_and_back(&solver, 40), there_and_back(&solver, 160));
            assert!(
                many < 0.4 * few || many < 1e-5,
                "{}: {few:e}, then {many:e}",
                solver.name()
            );
        }
    }
    // From the data to pure noise, where only a network that speaks of the noise has an answer.
    let zero = Discrete::stable_diffusion()
        .unwrap()
        .zero_terminal_snr()
        .unwrap();
    for n in 1..=20 {
        let up = Grid::trailing(&zero, n).unwrap().inverted();
        for solver in deterministic(3, 0.4, n % 2 == 0) {
            let plan = Plan::new(&zero, &up, &solver)
                .unwrap_or_else(|e| panic!("{} {n}: {e}", solver.name()));
            assert!(is_finite(&plan));
        }
        for solver in stochastic(2, 0.5, 0.5) {
            let error = Plan::new(&zero, &up, &solver).unwrap_err();
            assert!(
                !error.to_string().contains("NaN"),
                "{}: {error}",
                solver.name()
            );
        }
    }
}

/// Outside its interval tau is 0, also at pure noise.
#[test]
fn inactive_noise() {
    let snr = |s| LogSnr::new(s).unwrap();
    let grid = Grid::uniform_time(&RectifiedFlow, 6).unwrap();
    let solver = SaSolver::new(2, 2)
        .unwrap()
        .with_noise_between(snr(20.0), snr(30.0))
        .unwrap();
    let plan = Plan::new(&RectifiedFlow, &grid, &solver).unwrap();
    let flow = SaSolver::new(2, 2).unwrap().with_tau(0.0).unwrap();
    assert_eq!(
        plan.stages(),
        Plan::new(&RectifiedFlow, &grid, &flow).unwrap().stages()
    );
}

/// The slope kept by an analytic start is used where it has a place, and nowhere else.
#[test]
fn analytic_starts() {
    let grid = Grid::uniform_time(&RectifiedFlow, 6).unwrap();
    for c in [Coordinates::Noise, Coordinates::Flow, Coordinates::Data] {
        for solver in [LinearMultistep::lms(4), LinearMultistep::ipndm(4)] {
            let solver = solver.unwrap().with_coordinates(c).with_analytic_start();
            let plan = Plan::new(&RectifiedFlow, &grid, &solver).unwrap();
            let second = plan.stages()[1].stage.commit.clone().unwrap();
            let keeps = c == Coordinates::Flow || c == Coordinates::Noise && plan.name() == "iPNDM";
            assert_eq!(
                second.model.len(),
                1 + usize::from(keeps),
                "{} in {c:?}",
                plan.name()
            );
        }
    }
}

/// Every stochastic sampler runs on a Brownian path.
#[test]
fn brownian_paths_serve_all() {
    fn runs<T: Copy + Debug>(plan: &Plan<T>) {
        let mut path = BrownianPath::new(SeededNoise::new(3));
        let mut net = gaussian_diffusion::predicts::x0(
            |x: &Array2<f64>, at: gaussian_diffusion::Point<T>| {
                x * (at.level.alpha() / (at.level.alpha().powi(2) + at.level.sigma().powi(2)))
            },
        );
        let x = Array2::from_elem((2, 3), 0.3);
        let end = plan.sample(x, &mut net, &mut path);
        assert!(
            end.is_ok_and(|x| x.iter().all(|x| x.is_finite())),
            "{}",
            plan.name()
        );
    }
    let grid = Grid::uniform_time(&RectifiedFlow, 7).unwrap();
    let inner = grid.part(1..7).unwrap();
    for order in 1..=3 {
        for solver in stochastic(order, 0.8, 0.4).iter().chain(&around(3.0)) {
            runs(&Plan::new(&RectifiedFlow, &inner, solver).unwrap());
        }
        for solver in stochastic(order, 0.8, 0.4) {
            runs(&Plan::new(&RectifiedFlow, &grid, &solver).unwrap());
        }
    }
    assert!(NoiseLevel::CLEAN.is_clean());
}

/// What a solver remembers it remembers inside another, where the other allows it.
#[test]
fn wrappers_of_solvers_that_remember() {
    let snrs: Vec<_> = (0..8).map(|i| -6.0 + 1.5 * f64::from(i)).collect();
    let grid = grid(&Cosine, &snrs, false, false).unwrap();
    let inner = || DpmSolver::plus_plus(3).unwrap().with_tau(1.0).unwrap();
    let plan = |solver: &dyn ReverseStep| Plan::new(&Cosine, &grid, solver).unwrap();
    let plain = plan(&inner());
    assert_eq!((inner().memory(), plain.memory()), (3, 3));

    // All but the noise of the last step.
    let mean = plan(&FinalMean::new(inner()));
    let last = plain.stages().len() - 1;
    assert_eq!(mean.memory(), 3);
    assert_eq!(mean.stages()[..last], plain.stages()[..last]);
    let mut end = plain.stages()[last].clone();
    end.stage.commit.as_mut().unwrap().noise = UpdateNoise::NONE;
    assert_eq!(mean.stages()[last], end);
    assert_eq!(FinalMean::new(inner()).order(), 1);

    // Without anything to add they are what they hold.
    let still = || DpmSolver::plus_plus(3).unwrap();
    let wrappers: [Boxed; 4] = [
        Box::new(Churn::new(still(), 0.0).unwrap()),
        Box::new(Langevin::new(still(), 0.2, 0).unwrap()),
        Box::new(Ancestral::new(still(), 0.0).unwrap()),
        Box::new(Ancestral::with_descent(still(), Descent::Flow(0.0)).unwrap()),
    ];
    for wrapper in &wrappers {
        assert_eq!(wrapper.memory(), 3, "{}", wrapper.name());
        assert_eq!(plan(wrapper).memory(), 3, "{}", wrapper.name());
        assert_eq!(
            plan(wrapper).stages(),
            plan(&still()).stages(),
            "{}",
            wrapper.name()
        );
    }
    // With churn and descents the run remembers as much, and stays right for exact predictions.
    let kept = Ancestral::new(still(), 0.7).unwrap();
    assert_eq!(plan(&kept).memory(), 3);
    assert!(plan(&kept).defect().unwrap() < 1e-12);
    assert_eq!(plan(&Churn::new(still(), 2.0).unwrap()).memory(), 3);
    assert!(plan(&Churn::new(still(), 2.0).unwrap()).defect().unwrap() < 1e-12);
    // Corrections make predictions of their own, which would be taken for those of the steps.
    let error = Plan::new(&Cosine, &grid, &Langevin::new(still(), 0.2, 1).unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a solver that takes no predictions of the steps before is missing, a Langevin corrector needs it"
    );
    let heun = Langevin::new(RungeKutta::heun(), 0.2, 1).unwrap();
    assert_eq!((heun.memory(), heun.order()), (2, 0));
    assert_eq!(plan(&heun).evaluations(), 3 * grid.len());
}

/// Blocks of nodes go on where the steps before have left them.
#[test]
fn a_part_of_blocks_is_that_of_the_whole() {
    let snrs: Vec<_> = (0..10).map(|i| -6.0 + 1.2 * f64::from(i)).collect();
    let whole = grid(&Cosine, &snrs, false, false).unwrap();
    let plan = |grid: &Grid<_>, solver: NodeBlocks| Plan::new(&Cosine, grid, &solver).unwrap();
    let blocks = || NodeBlocks::plus_plus(3).unwrap();
    let all = plan(&whole, blocks());
    for before in 1..9 {
        let part = plan(
            &whole.tail(9 - before).unwrap(),
            blocks().after_steps(before),
        );
        // From the next whole block on.
        let block = before.next_multiple_of(3);
        let updates = |plan: &Plan<_>, first: usize| -> Vec<_> {
            let stages = plan.stages()[first..].iter();
            stages.map(|planned| planned.stage.clone()).collect()
        };
        assert_eq!(
            updates(&part, block - before),
            updates(&all, block),
            "{before}"
        );
    }
}

/// What a step sees of its run.
#[test]
fn paths() {
    #[derive(Debug)]
    struct Watch(std::sync::Mutex<Vec<(usize, Vec<NoiseLevel>, bool)>>);
    impl ReverseStep for Watch {
        fn stages(
            &self,
            path: &gaussian_diffusion::solver::Path<'_>,
        ) -> Result<Vec<gaussian_diffusion::solver::Stage>, Error> {
            let seen = (path.index(), path.visited().collect(), path.is_inverted());
            self.0.lock().unwrap().push(seen);
            let form = format!("{path:?}");
            let end = format!("index: {} }}", path.index());
            assert!(
                form.starts_with("Path { levels: [") && form.ends_with(&end),
                "{form}"
            );
            let above = path.leaving(NoiseLevel::NOISE);
            assert_eq!((above.from(), above.to()), (NoiseLevel::NOISE, path.to()));
            assert_eq!(above.visited().next(), Some(NoiseLevel::NOISE));
            Ddim::default().stages(path)
        }

        fn name(&self) -> &str {
            "watch"
        }
    }
    let grid = grid(&Cosine, &[-3.0, -1.0, 1.0, 3.0], false, false).unwrap();
    for (grid, inverted) in [(grid.clone(), false), (grid.inverted(), true)] {
        let watch = Watch(std::sync::Mutex::new(Vec::new()));
        let plan = Plan::new(&Cosine, &grid, &watch).unwrap();
        for (i, (index, visited, is_inverted)) in
            watch.0.into_inner().unwrap().into_iter().enumerate()
        {
            let mut levels = plan.levels()[..=i].to_vec();
            levels.reverse();
            assert_eq!((index, visited, is_inverted), (i, levels, inverted));
        }
    }
}

/// What changes the states of a solver, and not how it gets from one to the next, has its order and keeps as
/// many predictions as it does, or one more.
#[test]
fn wrappers_say_the_order_of_what_they_wrap() {
    let inner: [fn() -> Boxed; 3] = [
        || Box::new(Ddim::default()),
        || Box::new(RungeKutta::heun()),
        || Box::new(LinearMultistep::lms(3).unwrap()),
    ];
    for (order, inner) in (1..).zip(inner) {
        let memory = inner().memory();
        assert_eq!((inner().order(), memory), (order, order as usize));
        let wrapped: [Boxed; 5] = [
            Box::new(InFlowTime::new(inner())),
            Box::new(CfgPlusPlusStep::new(inner())),
            Box::new(CfgPlusPlusStep::displacing_before(inner())),
            Box::new(CfgPlusPlusStep::displacing_difference(inner())),
            Box::new(CfgPlusPlusStep::displacing_points(inner())),
        ];
        for wrapped in wrapped {
            let name = wrapped.name();
            assert_eq!(wrapped.order(), order, "{name}");
            assert_eq!(wrapped.order_on_uneven_steps(), order, "{name}");
            assert!((memory..=memory + 1).contains(&wrapped.memory()), "{name}");
        }
        // The variance that is missing at the end is of the size of a step.
        let last = FinalMean::new(inner());
        assert_eq!((last.order(), last.memory()), (1, memory));
        // What stays however short the steps are has no order.
        let floor = LeastNoise::new(inner(), 0.1).unwrap();
        assert_eq!((floor.order(), floor.memory()), (0, memory));
    }
}

/// The order of the weights of equal steps, of a rule that has them and of all that wraps it.
#[test]
fn orders_on_uneven_steps() {
    let ipndm = || LinearMultistep::ipndm(3).unwrap();
    let blocks = |order| NodeBlocks::plus_plus(order).unwrap();
    let all: [(Boxed, u32, u32); 14] = [
        (Box::new(LinearMultistep::lms(3).unwrap()), 3, 3),
        (Box::new(LinearMultistep::deis_in_time(3).unwrap()), 3, 3),
        (Box::new(ipndm()), 2, 1),
        (Box::new(LinearMultistep::ipndm(1).unwrap()), 1, 1),
        (Box::new(Pndm::plms()), 2, 1),
        (Box::new(blocks(3)), 3, 2),
        (Box::new(blocks(3).with_tau(0.5).unwrap()), 1, 1),
        (Box::new(blocks(1)), 1, 1),
        (Box::new(InFlowTime::new(ipndm())), 2, 1),
        (Box::new(CfgPlusPlusStep::new(ipndm())), 2, 1),
        (Box::new(Ancestral::new(ipndm(), 0.0).unwrap()), 2, 1),
        (Box::new(Churn::new(ipndm(), 0.0).unwrap()), 2, 1),
        (
            Box::new(FinalMean::new(LeastNoise::new(ipndm(), 0.1).unwrap())),
            0,
            0,
        ),
        (Box::new(FinalMean::new(blocks(3))), 1, 1),
    ];
    for (i, (solver, even, uneven)) in all.iter().enumerate() {
        let found = (solver.order(), solver.order_on_uneven_steps());
        assert_eq!(found, (*even, *uneven), "{i} {}", solver.name());
    }
    let asks_before = Churn::new(blocks(3), 5.0).unwrap();
    let asks_before = asks_before.with_evaluation_before(Parameterization::X0);
    assert_eq!(asks_before.order_on_uneven_steps(), 1);
}

/// DDIM that says that it does not follow a point.
#[derive(Debug)]
struct Elsewhere;

impl ReverseStep for Elsewhere {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        Ddim::default().stages(path)
    }

    fn name(&self) -> &str {
        "elsewhere"
    }

    fn follows_points(&self) -> bool {
        false
    }
}

#[test]
fn wrappers_follow_points_where_what_they_wrap_does() {
    fn wrapped<S: ReverseStep + 'static>(inner: fn() -> S) -> Vec<Boxed> {
        vec![
            Box::new(InFlowTime::new(inner())),
            Box::new(CfgPlusPlusStep::new(inner())),
            Box::new(FinalMean::new(inner())),
            Box::new(Churn::new(inner(), 0.5).unwrap()),
            Box::new(Ancestral::new(inner(), 0.5).unwrap()),
            Box::new(Langevin::new(inner(), 0.1, 1).unwrap()),
            Box::new(LeastNoise::new(inner(), 0.0).unwrap()),
            Box::new(&*Box::leak(Box::new(inner()))),
        ]
    }
    for solver in wrapped(Ddim::default) {
        assert!(solver.follows_points(), "{}", solver.name());
    }
    for solver in wrapped(|| Elsewhere) {
        assert!(!solver.follows_points(), "{}", solver.name());
    }
    // The variance that is missing is added at a point too.
    let levels = [0.2, 0.8].map(|bar| NoiseLevel::from_alpha_bar(bar).unwrap());
    let open = DenoisingVariance::new(&levels, &[0.4, 0.1]).unwrap();
    assert!(!AnalyticDpm::new(open).follows_points());
    // Least noise that is some leaves every point.
    assert!(
        !LeastNoise::new(Ddim::default(), 0.1)
            .unwrap()
            .follows_points()
    );
}

/// The time of a flow as sigma has no place for noise, and none for a prediction of other terms.
#[test]
fn flow_time_refuses_what_it_cannot_read() {
    #[derive(Debug)]
    struct OfVelocity;
    impl ReverseStep for OfVelocity {
        fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
            let mut stages = Ddim::default().stages(path)?;
            stages[0].basis = Parameterization::Velocity;
            Ok(stages)
        }

        fn name(&self) -> &str {
            "of the velocity"
        }
    }
    let grid = Grid::uniform_time(&RectifiedFlow, 4).unwrap();
    let message = |solver: Boxed| {
        let solver = InFlowTime::new(solver);
        let plan = Plan::new(&RectifiedFlow, &grid, &solver);
        plan.unwrap_err().to_string()
    };
    assert_eq!(
        message(Box::<Ddpm>::default()),
        "a solver without noise is missing, the time of a flow as sigma needs it"
    );
    assert_eq!(
        message(Box::new(OfVelocity)),
        "a solver for the data or the noise is missing, the time of a flow as sigma needs it"
    );
}

#[test]
fn stochastic_adams_refuses_a_range_that_ends_before_it_begins() {
    let solver = || SaSolver::new(2, 2).unwrap();
    let snr = |x| LogSnr::new(x).unwrap();
    assert!(solver().with_noise_between(snr(-1.0), snr(-1.0)).is_ok());
    assert!(solver().with_noise_between(snr(-1.0), snr(2.0)).is_ok());
    let error = solver()
        .with_noise_between(snr(2.0), snr(-1.0))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "first log-SNR with noise is 2, allowed: up to -1"
    );
}

/// What a solver is called says its order, whether it draws, and around what it is.
#[test]
fn names() {
    fn named(solver: impl ReverseStep) -> String {
        solver.name().to_owned()
    }
    let multi = |order, c, tau| {
        let solver = DpmSolver::new(order, c).unwrap().with_tau(tau);
        named(solver.unwrap())
    };
    let single = |order, c| named(SingleStep::new(order, c).unwrap());
    let seeds = |order| {
        let solver = SingleStep::plus_plus(order).unwrap().with_tau(1.0);
        named(solver.unwrap())
    };
    let blocks = |c, tau| named(NodeBlocks::new(2, c).unwrap().with_tau(tau).unwrap());
    let adams = |tau, twice| {
        let solver = SaSolver::new(2, 2).unwrap().with_tau(tau).unwrap();
        named(match twice {
            true => solver.with_second_evaluation(),
            false => solver,
        })
    };
    let v3 = || {
        let statistics = ModelStatistics::gaussian(Variance::new(0.3).unwrap());
        named(DpmSolverV3::new(2, statistics.unwrap()).unwrap())
    };
    let analytic = |eta| {
        let levels = [0.2, 0.8].map(|bar| NoiseLevel::from_alpha_bar(bar).unwrap());
        let open = DenoisingVariance::new(&levels, &[0.4, 0.1]).unwrap();
        named(AnalyticDpm::new(open).with_eta(eta).unwrap())
    };
    let (data, noise) = (Coordinates::Data, Coordinates::Noise);
    for order in 1..=3 {
        assert_eq!(named(ErSde::new(order).unwrap()), format!("ER-SDE {order}"));
        let of = |name: &str, end: &str| format!("{name} {order}{end}");
        let end = if order == 1 { "" } else { "M" };
        assert_eq!(multi(order, data, 0.0), of("DPM-Solver++", end));
        assert_eq!(multi(order, data, 1.0), of("SDE-DPM-Solver++", end));
        assert_eq!(multi(order, noise, 0.0), of("DPM-Solver", end));
        assert_eq!(multi(order, noise, 1.0), of("SDE-DPM-Solver", end));
        let end = if order == 1 { "" } else { "S" };
        assert_eq!(single(order, data), of("DPM-Solver++", end));
        assert_eq!(single(order, noise), format!("DPM-Solver-{order}"));
        assert_eq!(named(UniPc::new(order).unwrap()), format!("UniPC-{order}"));
    }
    let eta = |eta| Ddim::new(eta).unwrap();
    let ddpm = |variance| named(Ddpm::new(variance));
    let fraction = |a| named(RungeKutta::at_fraction(a).unwrap());
    for (found, name) in [
        (named(EulerMaruyama::flow_grpo(0.7).unwrap()), "Flow-GRPO"),
        (named(EulerMaruyama::new(1.0).unwrap()), "Euler-Maruyama"),
        (named(UniPc::new(4).unwrap()), "UniPC"),
        (seeds(2), "SEEDS-2"),
        (seeds(3), "SEEDS-3"),
        (named(SingleStep::fast(7).unwrap()), "DPM-Solver-fast"),
        (blocks(data, 0.0), "DPM-Solver++ in blocks"),
        (blocks(data, 1.0), "SDE-DPM-Solver++ in blocks"),
        (blocks(noise, 0.0), "DPM-Solver in blocks"),
        (adams(0.0, false), "SA-Solver, deterministic"),
        (adams(1.0, false), "SA-Solver"),
        (adams(0.0, true), "SA-Solver PECE, deterministic"),
        (adams(1.0, true), "SA-Solver PECE"),
        (named(eta(0.0)), "DDIM"),
        (named(eta(0.5)), "DDIM, stochastic"),
        (ddpm(ModelVariance::FixedSmall), "DDPM"),
        (
            ddpm(ModelVariance::FixedLarge),
            "DDPM, fixed large variance",
        ),
        (ddpm(ModelVariance::Learned), "DDPM, learned variance"),
        (
            ddpm(ModelVariance::LearnedRange),
            "DDPM, learned-range variance",
        ),
        (analytic(1.0), "Analytic-DPM"),
        (analytic(0.5), "Analytic-DDIM"),
        (named(DpmSde::new(1.0).unwrap()), "DPM++ SDE"),
        (named(DpmSolver2MV2), "DPM++ 2M v2"),
        (named(DpmSolverV3::reab(2).unwrap()), "REAB"),
        (v3(), "DPM-Solver-v3"),
        (named(HeunPlusPlus), "Heun++"),
        (named(Consistency::default()), "consistency"),
        (named(LinearMultistep::lms(2).unwrap()), "LMS"),
        (
            named(LinearMultistep::deis_in_time(2).unwrap()),
            "DEIS in time",
        ),
        (named(LinearMultistep::ipndm(2).unwrap()), "iPNDM"),
        (
            named(LinearMultistep::gradient_estimation(2.0).unwrap()),
            "gradient estimation",
        ),
        (named(Pndm::runge_kutta()), "PNDM"),
        (named(Pndm::plms()), "PLMS"),
        (fraction(1.0), "Heun"),
        (fraction(0.5), "midpoint"),
        (fraction(0.7), "two-stage Runge-Kutta"),
        (named(RungeKutta::dpm2()), "DPM2"),
        (named(InFlowTime::new(eta(0.0))), "DDIM"),
        (named(CfgPlusPlusStep::new(eta(0.0))), "DDIM, CFG++"),
        (
            named(CfgPlusPlusStep::displacing_points(eta(0.0))),
            "DDIM, CFG++",
        ),
        (named(FinalMean::new(eta(0.0))), "DDIM to the mean"),
        (named(Churn::new(eta(0.0), 1.0).unwrap()), "DDIM with churn"),
        (
            named(Ancestral::new(eta(0.0), 1.0).unwrap()),
            "DDIM, ancestral",
        ),
        (
            named(Langevin::new(eta(0.0), 0.1, 1).unwrap()),
            "DDIM with Langevin corrector",
        ),
        (
            named(LeastNoise::new(eta(0.0), 0.1).unwrap()),
            "DDIM with least noise",
        ),
        (named(Box::new(eta(0.0))), "DDIM"),
    ] {
        assert_eq!(found, name);
    }
}

/// What is known of how fast each of them converges, which tests of convergence measure.
#[test]
fn orders() {
    let (data, noise) = (Coordinates::Data, Coordinates::Noise);
    let boxed = |solver: Boxed| (solver.order(), solver.name().to_owned());
    for k in 1..=3_usize {
        let (one, two) = (k as u32, k.min(2) as u32);
        let multi = DpmSolver::new(k, data).unwrap();
        let single = SingleStep::new(k, noise).unwrap();
        let noisy = SingleStep::plus_plus(k).unwrap().with_tau(1.0).unwrap();
        let blocks = NodeBlocks::new(k, data).unwrap();
        let adams = SaSolver::new(k, 1).unwrap();
        for (solver, order) in [
            (Box::new(multi) as Boxed, two),
            (Box::new(single), one),
            (Box::new(noisy), two),
            (Box::new(blocks), one),
            (Box::new(blocks.with_tau(0.5).unwrap()), 1),
            (Box::new(adams.with_tau(0.0).unwrap()), one),
            (Box::new(adams), two),
            (
                Box::new(SaSolver::new(1, k).unwrap().with_tau(0.0).unwrap()),
                one,
            ),
            (Box::new(ErSde::new(k).unwrap()), two),
            (Box::new(ExponentialAdams::new(k, data).unwrap()), one),
            (Box::new(LinearMultistep::lms(k).unwrap()), one),
            (Box::new(LinearMultistep::deis_in_time(k).unwrap()), one),
            (Box::new(LinearMultistep::ipndm(k).unwrap()), two),
            (Box::new(UniPc::new(k).unwrap()), one + 1),
        ] {
            let (found, name) = boxed(solver);
            assert_eq!(found, order, "{name}, {k}");
        }
    }
    let gradient = LinearMultistep::gradient_estimation(2.0).unwrap();
    let v3 = || DpmSolverV3::reab(3).unwrap();
    for (solver, order) in [
        (Box::new(v3()) as Boxed, 3),
        (Box::new(v3().with_corrector()), 3),
        (Box::new(v3().with_pseudo_corrector()), 2),
        (Box::new(v3().with_pseudo_slopes()), 2),
        (Box::new(Ddim::default()), 1),
        (Box::<Ddpm>::default(), 1),
        (Box::new(gradient), 1),
        (Box::new(SingleStep::fast(7).unwrap()), 1),
        (Box::new(RungeKutta::heun()), 2),
        (Box::new(RungeKutta::dpm2()), 2),
        (Box::new(Pndm::plms()), 2),
        (Box::new(Consistency::default()), 0),
        (Box::new(FinalMean::new(Consistency::default())), 0),
        (
            Box::new(Langevin::new(RungeKutta::heun(), 0.1, 1).unwrap()),
            0,
        ),
        (
            Box::new(Ancestral::new(RungeKutta::heun(), 0.5).unwrap()),
            2,
        ),
    ] {
        let (found, name) = boxed(solver);
        assert_eq!(found, order, "{name}");
    }
}

/// Asked before the noise of churn is added, a solver is of order 1; where none is added it is what it was.
#[test]
fn churn_without_noise_has_the_order_of_what_it_wraps() {
    for (amount, before, order) in [
        (0.0, true, 2),
        (0.0, false, 2),
        (1.0, true, 1),
        (1.0, false, 2),
    ] {
        let churn = Churn::new(RungeKutta::heun(), amount).unwrap();
        let churn = match before {
            true => churn.with_evaluation_before(Parameterization::X0),
            false => churn,
        };
        assert_eq!(
            (churn.order(), churn.memory()),
            (order, 2),
            "{amount}, {before}"
        );
    }
}

/// A rule with everything that an update may have.
#[derive(Debug)]
struct Everything;

impl ReverseStep for Everything {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let std = UpdateNoise::Std;
        if path.index() == 1 {
            let bound = |log| LogVariance::new(log).unwrap();
            let range = UpdateNoise::LearnedRange {
                min: bound(-4.0 * std::f64::consts::LN_2),
                max: bound(0.0),
            };
            let commit = Update::new(1.0).with_model([0.0, -0.0]).with_shift(0.0);
            let stage = Stage::new(At::From, Parameterization::X0);
            return Ok(vec![stage.with_commit(commit.with_noise(range))]);
        }
        let again = Update::new(1.25).with_noise(std(0.5));
        let trial = Update::new(0.5).with_model([-2.0]).with_shift(0.25);
        let commit = Update::new(-0.5).with_model([1.0, -1.5]).with_shift(-0.125);
        Ok(vec![
            Stage::new(At::From, Parameterization::Noise)
                .with_discarded_draw()
                .with_renoise(again)
                .with_trial(trial.with_noise(std(0.0))),
            Stage::new(At::To, Parameterization::Noise)
                .with_commit(commit.with_noise(UpdateNoise::Learned)),
        ])
    }

    fn name(&self) -> &str {
        "everything"
    }

    fn memory(&self) -> usize {
        2
    }
}

/// A plan is printed with every number that it has, in its sign, and with no noise where there is none.
#[test]
fn a_printed_plan_has_all_its_numbers() {
    let node = |alpha, sigma, time| Node {
        level: NoiseLevel::new(alpha, sigma).unwrap(),
        time: Time::new(time).unwrap(),
    };
    let nodes = vec![node(0.6, 0.8, 0.75), node(0.8, 0.6, 0.25)];
    let grid = Grid::new(nodes, NoiseLevel::CLEAN).unwrap();
    let plan = Plan::new(&RectifiedFlow, &grid, &Everything).unwrap();
    // 2 ln(3/4) = -0.575, 2 ln(4/3) = 0.575.
    let lines = [
        "everything: 2 steps, 3 evaluations, log-SNR -0.58 to inf",
        " step          time      alpha      sigma   log-SNR  update",
        "    0    Time(0.75)   0.600000   0.800000    -0.575  a draw thrown away; before: x <- 1.250000 x + 0.500000 z; trial <- 0.500000 x - 2.000000 noise + 0.250000 shift",
        "    0    Time(0.25)   0.800000   0.600000     0.575  x <- -0.500000 x + 1.000000 noise - 1.500000 noise[-1] - 0.125000 shift + learned z",
        "    1    Time(0.25)   0.800000   0.600000     0.575  x <- 1.000000 x + 0.000000 x0 + 0.000000 x0[-1] + 0.000000 shift + (0.250000 to 1.000000) z",
    ];
    assert_eq!(format!("{plan}"), lines[0]);
    assert_eq!(format!("{plan:#}").lines().collect::<Vec<_>>(), lines);
}

/// Around a run that goes up to noise without signal, where a ratio of steps has no value.
#[test]
fn the_mean_of_two_steps_needs_both() {
    let grid = Grid::uniform_time(&Cosine, 4).unwrap().inverted();
    let plan = Plan::new(&Cosine, &grid, &DpmSolver2MV2).unwrap();
    let last = plan.stages().last().unwrap();
    assert!(last.point.to.is_noise());
    let commit = last.stage.commit.as_ref().unwrap();
    // Only the noise in the state is left of it.
    let noise = 1.0 / last.point.level.sigma();
    assert!((commit.state - noise).abs() < 1e-15 && commit.model.len() == 1);
}

/// Last orders fall in runs of fewer than 15 steps alone, as in the program that the option is from.
#[test]
fn last_orders_fall_in_short_runs() {
    let end = NoiseLevel::variance_preserving(LogSnr::new(5.0).unwrap()).unwrap();
    for (n, predictions) in [(2, 1), (14, 1), (15, 2), (16, 2)] {
        let snr = |snr| LogSnr::new(snr).unwrap();
        let grid = Grid::uniform_log_snr_between(&Cosine, n, snr(-4.0), snr(4.0)).unwrap();
        let grid = grid.ending_at(end).unwrap();
        let solver = DpmSolver::plus_plus(2).unwrap().with_lower_final_orders();
        let plan = Plan::new(&Cosine, &grid, &solver).unwrap();
        let last = plan.stages().last().unwrap().stage.commit.as_ref().unwrap();
        assert_eq!(last.model.len(), predictions, "{n}");
    }
}

/// A grid that goes up takes a descent of nothing, and no other.
#[test]
fn descents_of_nothing_go_up() {
    let grid = grid(&Cosine, &[-3.0, -1.0, 1.0, 3.0], false, false).unwrap();
    let plan = |descent| {
        let solver = Ancestral::with_descent(Ddim::default(), descent).unwrap();
        Plan::new(&Cosine, &grid.inverted(), &solver).map_err(|error| error.to_string())
    };
    let plain = Plan::new(&Cosine, &grid.inverted(), &Ddim::default()).unwrap();
    for descent in [
        Descent::Posterior(0.0),
        Descent::Flow(0.0),
        Descent::Redrawn(0.0),
    ] {
        assert_eq!(plan(descent).unwrap().stages(), plain.stages());
    }
    for descent in [
        Descent::Posterior(0.5),
        Descent::Flow(0.5),
        Descent::Redrawn(0.5),
    ] {
        let refused = plan(descent).unwrap_err();
        assert_eq!(refused, "eta is 0.5, allowed: 0 on an inverted grid");
    }
}
