//! Orders of convergence on data that is not Gaussian, and of the laws of stochastic samplers.

use std::fmt::Debug;

use gaussian_diffusion::{
    Grid, LogSnr, ModelVariance, NoiseLevel, NoiseSchedule, Parameterization, Plan, Point,
    ReverseStep, SeededNoise, Sigma, Variance,
    noise::{BrownianPath, NoiseSource},
    plan::{Affine, Moments, Restart},
    predicts,
    schedule::{Cosine, Edm, RectifiedFlow, Shifted},
    solver::{
        Ancestral, Churn, Coordinates, Ddim, Ddpm, DpmSde, DpmSolver, ErSde, EulerMaruyama,
        ExponentialAdams, FinalMean, HeunPlusPlus, InFlowTime, Langevin, LinearMultistep,
        NodeBlocks, Pndm, RungeKutta, SaSolver, SingleStep, UniPc,
    },
};
use ndarray::Array1;

/// Weight, mean and variance.
const DATA: [(f64, f64, f64); 2] = [(0.35, -0.9, 0.2), (0.65, 0.7, 0.35)];

/// `E[x_0 | x]`.
fn denoised(x: f64, level: NoiseLevel) -> f64 {
    let (a, s) = (level.alpha(), level.sigma());
    let (mut total, mut sum) = (0.0, 0.0);
    for (w, m, v) in DATA {
        let t = a * a * v + s * s;
        let p = w * (-0.5 * (x - a * m).powi(2) / t).exp() / t.sqrt();
        total += p;
        sum += p * (m + a * v / t * (x - a * m));
    }
    sum / total
}

fn cdf(x: f64, level: NoiseLevel) -> f64 {
    let (a, s) = (level.alpha(), level.sigma());
    let each = DATA
        .map(|(w, m, v)| w * 0.5 * libm::erfc((a * m - x) / (2.0 * (a * a * v + s * s)).sqrt()));
    each.iter().sum()
}

/// The flow keeps quantiles: where the quantile of `x` at one level lies at another.
fn flow(p: f64, level: NoiseLevel) -> f64 {
    let (mut low, mut high) = (-60.0, 60.0);
    for _ in 0..80 {
        let middle = 0.5 * (low + high);
        if cdf(middle, level) < p {
            low = middle
        } else {
            high = middle
        }
    }
    0.5 * (low + high)
}

#[derive(Clone, Copy, Debug)]
enum Spacing {
    LogSnr,
    Karras,
}

/// Steps between log-SNR -5 and 3.5, the first cut into ones that double, for multi-step starts.
fn interior<S: NoiseSchedule>(schedule: &S, n: usize, spacing: Spacing) -> Grid<S::Time> {
    led(schedule, n, spacing, 12)
}

/// The same with so many doublings.
fn led<S: NoiseSchedule>(schedule: &S, n: usize, spacing: Spacing, lead: i32) -> Grid<S::Time> {
    let (from, to) = (-5.0_f64, 3.5_f64);
    let snr = |steps: f64| {
        let u = steps / n as f64;
        LogSnr::new(match spacing {
            Spacing::LogSnr => from + (to - from) * u,
            Spacing::Karras => {
                let root = |snr: f64| (-snr / 14.0).exp();
                -14.0 * (root(from) + u * (root(to) - root(from))).ln()
            }
        })
        .unwrap()
    };
    let lead = (0..lead).map(|i| 0.5_f64.powi(lead - i));
    let steps = [0.0]
        .into_iter()
        .chain(lead)
        .chain((1..n).map(|i| i as f64));
    let nodes: Vec<_> = steps.map(snr).collect();
    let end = schedule.level_at(snr(n as f64)).unwrap();
    Grid::at_log_snrs(schedule, &nodes)
        .unwrap()
        .ending_at(end)
        .unwrap()
}

fn sample<T: Copy + Debug>(
    plan: &Plan<T>,
    x: Array1<f64>,
    noise: &mut impl NoiseSource<Array1<f64>>,
) -> Array1<f64> {
    let mut net = predicts::x0(|x: &Array1<f64>, at: Point<T>| x.mapv(|x| denoised(x, at.level)));
    plan.sample(x, &mut net, noise).unwrap()
}

fn error<S: NoiseSchedule>(s: &S, solver: &dyn ReverseStep, n: usize, spacing: Spacing) -> f64 {
    error_on(s, solver, &interior(s, n, spacing))
}

fn error_on<S: NoiseSchedule>(s: &S, solver: &dyn ReverseStep, grid: &Grid<S::Time>) -> f64 {
    let plan = Plan::new(s, grid, solver).unwrap();
    let quantiles = [0.15, 0.4, 0.5, 0.8];
    let at = |level| Array1::from_iter(quantiles.map(|p| flow(p, level)));
    let found = sample(&plan, at(plan.levels()[0]), &mut SeededNoise::new(0));
    (found - at(grid.end())).mapv(f64::abs).sum()
}

fn flow_solvers() -> Vec<Box<dyn ReverseStep>> {
    let mut all: Vec<Box<dyn ReverseStep>> = vec![
        Box::new(Ddim::default()),
        Box::new(Pndm::plms()),
        Box::new(RungeKutta::dpm2()),
        Box::new(LinearMultistep::ipndm(4).unwrap()),
        Box::new(LinearMultistep::gradient_estimation(2.0).unwrap()),
        Box::new(SingleStep::plus_plus(2).unwrap().with_exact_integrals()),
    ];
    for c in [Coordinates::Noise, Coordinates::Flow, Coordinates::Data] {
        all.push(Box::new(RungeKutta::heun().with_coordinates(c)));
        all.push(Box::new(
            RungeKutta::at_fraction(0.6).unwrap().with_coordinates(c),
        ));
        for order in 1..=3 {
            all.push(Box::new(
                LinearMultistep::lms(order).unwrap().with_coordinates(c),
            ));
            all.push(Box::new(ExponentialAdams::new(order, c).unwrap()));
        }
    }
    for order in 1..=3 {
        all.push(Box::new(LinearMultistep::deis_in_time(order).unwrap()));
        all.push(Box::new(DpmSolver::plus_plus(order).unwrap()));
        all.push(Box::new(
            DpmSolver::new(order, Coordinates::Noise)
                .unwrap()
                .with_exact_integrals(),
        ));
        all.push(Box::new(SingleStep::plus_plus(order).unwrap()));
        all.push(Box::new(
            SingleStep::new(order, Coordinates::Noise).unwrap(),
        ));
        all.push(Box::new(NodeBlocks::plus_plus(order).unwrap()));
        all.push(Box::new(
            NodeBlocks::new(order, Coordinates::Noise).unwrap(),
        ));
        all.push(Box::new(
            NodeBlocks::plus_plus(order).unwrap().with_exact_integrals(),
        ));
        all.push(Box::new(
            NodeBlocks::new(order, Coordinates::Noise)
                .unwrap()
                .with_exact_integrals(),
        ));
        all.push(Box::new(
            SaSolver::new(order, 0).unwrap().with_tau(0.0).unwrap(),
        ));
    }
    for order in 1..=2 {
        all.push(Box::new(UniPc::new(order).unwrap()));
        all.push(Box::new(UniPc::new(order).unwrap().with_bh1()));
        all.push(Box::new(
            UniPc::new(order)
                .unwrap()
                .with_coordinates(Coordinates::Noise)
                .unwrap(),
        ));
        all.push(Box::new(
            SaSolver::new(order, order).unwrap().with_tau(0.0).unwrap(),
        ));
        let for_noise = SaSolver::new(order, order)
            .unwrap()
            .with_coordinates(Coordinates::Noise)
            .unwrap();
        all.push(Box::new(for_noise.with_tau(0.0).unwrap()));
    }
    all
}

/// Solvers that see a flow's time as sigma keep their order.
#[test]
fn orders_in_the_time_of_a_flow() {
    let solvers: Vec<Box<dyn ReverseStep>> = vec![
        Box::new(DpmSolver::plus_plus(2).unwrap()),
        Box::new(RungeKutta::dpm2()),
        Box::new(ExponentialAdams::new(3, Coordinates::Data).unwrap()),
        Box::new(LinearMultistep::lms(3).unwrap()),
        Box::new(HeunPlusPlus),
    ];
    for solver in solvers {
        let solver = InFlowTime::new(solver);
        for spacing in [Spacing::LogSnr, Spacing::Karras] {
            for schedule in [Shifted::flow(1.0).unwrap(), Shifted::flow(3.0).unwrap()] {
                let found = order(&schedule, &solver, spacing);
                let stated = f64::from(solver.order());
                assert!((found - stated).abs() < 0.25, "{}: {found}", solver.name());
            }
        }
    }
}

#[test]
fn orders_on_a_mixture() {
    let mut wrong = Vec::new();
    let shifted = Shifted::flow(3.0).unwrap();
    for (i, solver) in flow_solvers().iter().enumerate() {
        for spacing in [Spacing::LogSnr, Spacing::Karras] {
            let orders = [
                order(&Cosine, solver, spacing),
                order(&Edm::default(), solver, spacing),
                order(&RectifiedFlow, solver, spacing),
                order(&shifted, solver, spacing),
            ];
            let stated = f64::from(solver.order());
            if orders.iter().any(|o| (o - stated).abs() > 0.25) {
                wrong.push(format!(
                    "{i} {} {spacing:?} {stated}: {orders:.2?}",
                    solver.name()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn order<S: NoiseSchedule>(schedule: &S, solver: &dyn ReverseStep, spacing: Spacing) -> f64 {
    let n = 120;
    (error(schedule, solver, n, spacing) / error(schedule, solver, 2 * n, spacing)).log2()
}

/// Those of higher order, up to where rounding errors are in the way.
///
/// A corrector of its predictor's order is left out: what remains of it, one order above, is the
/// larger part of the error until then.
fn high_orders(order: usize) -> Vec<Box<dyn ReverseStep>> {
    let unipc = UniPc::new(order - 1).unwrap();
    let mut all: Vec<Box<dyn ReverseStep>> = vec![
        Box::new(unipc.clone()),
        Box::new(unipc.clone().with_bh1()),
        Box::new(unipc.with_coordinates(Coordinates::Noise).unwrap()),
    ];
    for c in [Coordinates::Noise, Coordinates::Flow, Coordinates::Data] {
        let lms = LinearMultistep::lms(order).unwrap();
        all.push(Box::new(lms.with_coordinates(c)));
        all.push(Box::new(ExponentialAdams::new(order, c).unwrap()));
    }
    for (predictor, corrector) in [(order, 0), (order - 1, order)] {
        let solver = SaSolver::new(predictor, corrector).unwrap();
        let solver = solver.with_tau(0.0).unwrap();
        all.push(Box::new(solver));
        all.push(Box::new(
            solver.with_coordinates(Coordinates::Noise).unwrap(),
        ));
        all.push(Box::new(solver.with_second_evaluation()));
    }
    all
}

#[test]
fn high_orders_on_a_mixture() {
    fn measured<S: NoiseSchedule>(s: &S, solver: &dyn ReverseStep, n: usize, k: Spacing) -> f64 {
        let error = |n| error_on(s, solver, &led(s, n, k, 30));
        (error(n) / error(2 * n)).log2()
    }
    let mut wrong = Vec::new();
    // Measured: off by at most 0.19, 0.11 and 0.25.
    for (order, n, bound) in [(4, 240, 0.2), (5, 240, 0.15), (6, 120, 0.3)] {
        for (i, solver) in high_orders(order).iter().enumerate() {
            assert_eq!(solver.order() as usize, order, "{i} {}", solver.name());
            for spacing in [Spacing::LogSnr, Spacing::Karras] {
                let orders = [
                    measured(&Cosine, solver, n, spacing),
                    measured(&Edm::default(), solver, n, spacing),
                    measured(&RectifiedFlow, solver, n, spacing),
                    measured(&Shifted::flow(3.0).unwrap(), solver, n, spacing),
                ];
                if orders.iter().any(|o| !((o - order as f64).abs() < bound)) {
                    wrong.push(format!("{i} {} {spacing:?}: {orders:.2?}", solver.name()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Rules with the weights of even steps are of order 2 on the others, but after a start by
/// Runge-Kutta of order 4 where `sigma / alpha` is even.
#[test]
fn even_weights_have_their_order_on_even_steps() {
    fn even<S: NoiseSchedule>(schedule: &S, n: usize) -> Grid<S::Time> {
        let (from, to) = (4.0, 0.2);
        let sigma = |steps: f64| from + (to - from) * steps / n as f64;
        // The first three steps in halves, as the start wants them.
        let halves = (0..6).map(|i| 0.5 * i as f64);
        let nodes: Vec<_> = halves.chain((3..n).map(|i| i as f64)).map(sigma).collect();
        let end = LogSnr::from_sigma(Sigma::new(to).unwrap());
        let end = schedule.level_at(end).unwrap();
        let grid = Grid::at_noise_to_signal(schedule, &nodes).unwrap();
        grid.ending_at(end).unwrap()
    }
    fn measured<S: NoiseSchedule>(schedule: &S, solver: &dyn ReverseStep) -> f64 {
        let error = |n| error_on(schedule, solver, &even(schedule, n));
        (error(160) / error(320)).log2()
    }
    let pndm = Pndm::runge_kutta();
    assert_eq!(pndm.order(), 2);
    for order in [
        measured(&Cosine, &pndm),
        measured(&Edm::default(), &pndm),
        measured(&RectifiedFlow, &pndm),
    ] {
        assert!((order - 4.0).abs() < 0.25, "{order}");
    }
}

// ------------------------------------------------------------------ laws of stochastic samplers

fn stochastic() -> Vec<Box<dyn ReverseStep>> {
    let mut all: Vec<Box<dyn ReverseStep>> = vec![
        Box::new(Ddpm::default()),
        Box::new(Ddim::new(0.5).unwrap()),
        Box::new(EulerMaruyama::new(1.0).unwrap()),
        Box::new(DpmSde::new(1.0).unwrap()),
        Box::new(Ancestral::new(Ddim::default(), 1.0).unwrap()),
        Box::new(Ancestral::new(RungeKutta::heun(), 1.0).unwrap()),
        Box::new(Ancestral::new(SingleStep::plus_plus(2).unwrap(), 0.7).unwrap()),
        Box::new(
            DpmSolver::new(1, Coordinates::Noise)
                .unwrap()
                .with_tau(1.0)
                .unwrap(),
        ),
        Box::new(Churn::new(RungeKutta::heun(), 3.0).unwrap()),
        Box::new(
            Churn::new(Ddim::default(), 3.0)
                .unwrap()
                .with_evaluation_before(Parameterization::Noise),
        ),
        Box::new(
            Churn::new(Ddim::default(), 3.0)
                .unwrap()
                .with_evaluation_before(Parameterization::X0),
        ),
        Box::new(FinalMean::new(Ddpm::default())),
        Box::new(
            SaSolver::new(1, 1)
                .unwrap()
                .with_coordinates(Coordinates::Noise)
                .unwrap(),
        ),
    ];
    for order in 1..=3 {
        let blocks = NodeBlocks::plus_plus(order).unwrap();
        all.push(Box::new(blocks.with_tau(1.0).unwrap()));
        all.push(Box::new(
            blocks.with_exact_integrals().with_tau(1.0).unwrap(),
        ));
    }
    for order in 1..=2 {
        all.push(Box::new(
            DpmSolver::plus_plus(order).unwrap().with_tau(1.0).unwrap(),
        ));
        all.push(Box::new(SaSolver::new(order, order).unwrap()));
        all.push(Box::new(ErSde::new(order).unwrap()));
        all.push(Box::new(
            SingleStep::plus_plus(order).unwrap().with_tau(1.0).unwrap(),
        ));
    }
    all
}

const MEAN: f64 = 0.7;
const VARIANCE: f64 = 0.2;

fn total(level: NoiseLevel) -> f64 {
    level.alpha().powi(2) * VARIANCE + level.sigma().powi(2)
}

fn carried<S: NoiseSchedule>(
    s: &S,
    solver: &dyn ReverseStep,
    n: usize,
) -> (Plan<S::Time>, Moments) {
    let grid = interior(s, n, Spacing::LogSnr);
    let plan = Plan::new(s, &grid, solver).unwrap();
    let start = plan.levels()[0];
    let start = Moments {
        mean: start.alpha() * MEAN,
        variance: total(start),
    };
    let exact = |level| Affine::of_gaussian(MEAN, Variance::new(VARIANCE).unwrap(), level);
    let end = plan.carry(start, exact).unwrap();
    (plan, end)
}

fn law_error<S: NoiseSchedule>(s: &S, solver: &dyn ReverseStep, n: usize) -> f64 {
    let (plan, end) = carried(s, solver, n);
    let level = *plan.levels().last().unwrap();
    let mean = (end.mean - level.alpha() * MEAN).abs() / total(level).sqrt();
    mean + (end.variance / total(level) - 1.0).abs()
}

#[test]
fn laws_converge_at_the_weak_order() {
    let mut wrong = Vec::new();
    for solver in stochastic() {
        let order = |few: f64, many: f64| (few / many).log2();
        let orders = [
            order(
                law_error(&Cosine, &solver, 160),
                law_error(&Cosine, &solver, 320),
            ),
            order(
                law_error(&Edm::default(), &solver, 160),
                law_error(&Edm::default(), &solver, 320),
            ),
            order(
                law_error(&RectifiedFlow, &solver, 160),
                law_error(&RectifiedFlow, &solver, 320),
            ),
        ];
        let stated = f64::from(solver.order());
        if orders.iter().any(|o| *o < stated - 0.25 || o.is_nan()) {
            wrong.push(format!("{} {stated}: {orders:.2?}", solver.name()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The law of a run with restarts, which are exact but for the solver: with twice the steps everywhere
/// it converges at the order of that.
#[test]
fn laws_of_restarts_converge_at_the_order_of_the_solver() {
    fn measured<S: NoiseSchedule>(s: &S, solver: &dyn ReverseStep) -> f64 {
        let error = |n: usize| {
            let snr = |value| LogSnr::new(value).unwrap();
            let restart = Restart {
                high: snr(-1.0),
                low: snr(1.0),
                steps: n / 4,
                times: 2,
            };
            let grid = interior(s, n, Spacing::LogSnr);
            let plan = Plan::restarting(s, &grid, solver, &[restart]).unwrap();
            let (start, end) = (plan.levels()[0], *plan.levels().last().unwrap());
            let law = Moments {
                mean: start.alpha() * MEAN,
                variance: total(start),
            };
            let exact = |level| Affine::of_gaussian(MEAN, Variance::new(VARIANCE).unwrap(), level);
            let found = plan.carry(law, exact).unwrap();
            let mean = (found.mean - end.alpha() * MEAN).abs() / total(end).sqrt();
            mean + (found.variance / total(end) - 1.0).abs()
        };
        (error(160) / error(320)).log2()
    }
    for (solver, order) in [
        (&RungeKutta::heun() as &dyn ReverseStep, 2.0),
        (&Ddim::default(), 1.0),
        (&Ddpm::default(), 1.0),
    ] {
        for found in [
            measured(&Cosine, solver),
            measured(&Edm::default(), solver),
            measured(&RectifiedFlow, solver),
        ] {
            assert!(found > order - 0.25, "{}: {found}", solver.name());
        }
    }
}

/// 10 000 runs have the mean and the variance of the recursion, to five standard errors (significance
/// below 1e-5 for all of them together).
#[test]
fn samples_have_the_law_of_the_recursion() {
    const COUNT: usize = 10_000;
    for (seed, solver) in stochastic().iter().enumerate() {
        let (plan, law) = carried(&RectifiedFlow, solver, 6);
        let start = plan.levels()[0];
        let mut noise = SeededNoise::new(seed as u64);
        let mut x = Array1::zeros(COUNT);
        let std = gaussian_diffusion::noise::Scale::Same(total(start).sqrt());
        noise.add(&mut x, std, None).unwrap();
        x += start.alpha() * MEAN;
        let variance = Variance::new(VARIANCE).unwrap();
        let mut net = predicts::x0(|x: &Array1<f64>, at: Point<_>| {
            let Affine { slope, offset } = Affine::of_gaussian(MEAN, variance, at.level);
            x * slope + offset
        });
        let x = plan.sample(x, &mut net, &mut noise).unwrap();
        let (mean, var) = (x.mean().unwrap(), x.var(1.0));
        let n = COUNT as f64;
        let off = (mean - law.mean) / (law.variance / n).sqrt();
        let spread = (var / law.variance - 1.0) / (2.0 / n).sqrt();
        assert!(
            off.abs() < 5.0 && spread.abs() < 5.0,
            "{}: {off} {spread}",
            solver.name()
        );
    }
}

/// Schemes that do not keep the law of point data: how fast what they miss closes with the steps.
#[test]
fn defects_close() {
    let defect = |solver: &dyn ReverseStep, n| {
        let grid = interior(&Cosine, n, Spacing::LogSnr);
        Plan::new(&Cosine, &grid, solver).unwrap().defect().unwrap()
    };
    let large = Ddpm::new(ModelVariance::FixedLarge);
    let before = Churn::new(Ddim::default(), 4.0)
        .unwrap()
        .with_evaluation_before(Parameterization::Noise);
    let kept = Churn::new(Ddim::default(), 4.0).unwrap();
    let kept = kept.with_evaluation_before(Parameterization::X0);
    assert!(defect(&kept, 200) < 1e-12);
    let cases: [(&dyn ReverseStep, f64); 7] = [
        (&EulerMaruyama::new(1.0).unwrap(), 1.0),
        (
            &DpmSolver::new(1, Coordinates::Noise)
                .unwrap()
                .with_tau(1.0)
                .unwrap(),
            1.0,
        ),
        (
            &DpmSolver::new(2, Coordinates::Noise)
                .unwrap()
                .with_tau(1.0)
                .unwrap(),
            2.0,
        ),
        (&large, 1.0),
        (&before, 1.0),
        (&FinalMean::new(Ddpm::default()), 1.0),
        (
            &SaSolver::new(1, 1)
                .unwrap()
                .with_coordinates(Coordinates::Noise)
                .unwrap(),
            1.0,
        ),
    ];
    for (solver, rate) in cases {
        let measured = (defect(solver, 200) / defect(solver, 400)).log2();
        assert!(
            (measured - rate).abs() < 0.15,
            "{}: {measured}",
            solver.name()
        );
    }
    // One correction multiplies the variance of a point by 1 + 4 snr^4, however short the steps are,
    // and those before it are forgotten by (1 - 2 snr^2)^2 each.
    let snr = 0.16_f64;
    let langevin = Langevin::new(Ddim::default(), snr, 1).unwrap();
    let keeps = (1.0 - 2.0 * snr * snr).powi(2);
    let limit = (1.0 + 4.0 * snr.powi(4) / (1.0 - keeps)).sqrt() - 1.0;
    for n in [200, 400] {
        let grid = interior(&Edm::default(), n, Spacing::LogSnr);
        let plan = Plan::new(&Edm::default(), &grid, &langevin).unwrap();
        let exact = |_| Affine {
            slope: 0.0,
            offset: 0.0,
        };
        let sigma = plan.levels()[0].sigma();
        let start = Moments {
            mean: 0.0,
            variance: sigma * sigma,
        };
        let end = plan.carry(start, exact).unwrap().variance.sqrt();
        let off = end / plan.levels().last().unwrap().sigma() - 1.0;
        // The last step is not followed by less than its own correction.
        assert!((off / limit - 1.0).abs() < 1e-3, "{n}: {off} for {limit}");
    }
}

// ------------------------------------------------------------------ one path

/// On one Brownian path the results of more and more steps approach each other; on independent noise
/// they do not.
#[test]
fn strong_convergence() {
    const ITEMS: usize = 60;
    let mean_distance = |solver: &dyn ReverseStep, n: usize, path: bool| -> f64 {
        let result = |n: usize, seed| {
            let nodes: Vec<_> = (0..n)
                .map(|i| LogSnr::new(-5.0 + 8.5 * i as f64 / n as f64).unwrap())
                .collect();
            let end = Cosine.level_at(LogSnr::new(3.5).unwrap()).unwrap();
            let grid = Grid::at_log_snrs(&Cosine, &nodes)
                .unwrap()
                .ending_at(end)
                .unwrap();
            let plan = Plan::new(&Cosine, &grid, solver).unwrap();
            let x = Array1::from_shape_fn(ITEMS, |i| (i as f64 * 0.7).sin());
            match path {
                true => sample(&plan, x, &mut BrownianPath::new(SeededNoise::new(7))),
                false => sample(&plan, x, &mut SeededNoise::new(seed)),
            }
        };
        (result(n, 1) - result(2 * n, 2))
            .mapv(f64::abs)
            .mean()
            .unwrap()
    };
    let solvers: [Box<dyn ReverseStep>; 4] = [
        Box::new(DpmSolver::plus_plus(2).unwrap().with_tau(1.0).unwrap()),
        Box::new(SingleStep::plus_plus(2).unwrap().with_tau(1.0).unwrap()),
        Box::new(DpmSde::new(1.0).unwrap()),
        Box::new(Ddpm::default()),
    ];
    for solver in &solvers {
        let d = [20, 40, 80, 160].map(|n| mean_distance(solver, n, true));
        let rate = (d[0] / d[3]).log2() / 3.0;
        println!("{}: {d:?}, rate {rate}", solver.name());
        assert!(rate > 0.75, "{}: {d:?}, rate {rate}", solver.name());
        let apart = mean_distance(solver, 160, false);
        assert!(apart > 0.2, "{}: {apart}", solver.name());
    }
}
