//! The log-density along plans: order of every solver against an adaptive integrator, closed forms,
//! probes, and what is refused.

use gaussian_diffusion::{
    Denoiser, Error, GaussianMixture, Grid, LogSnr, Noise, NoiseLevel, NoiseSchedule,
    Parameterization, Plan, Point, Prediction, ReverseStep, Time,
    likelihood::{
        Estimate, Exact, Hutchinson, LogDensity, PlannedFlow, PlannedLikelihood, ProbabilityFlow,
    },
    schedule::{Cosine, Discrete, Edm, RectifiedFlow},
    solver::{
        At, Churn, Coordinates, Ddim, Ddpm, DpmSolver, ExponentialAdams, LinearMultistep,
        NodeBlocks, Path, Pndm, RungeKutta, SaSolver, SingleStep, Stage, UniPc, Update,
    },
};
use ndarray::{Array2, ArrayD, IxDyn, array};

fn snr(at: f64) -> LogSnr {
    LogSnr::new(at).unwrap()
}

/// Two modes and correlations in two dimensions.
fn data() -> GaussianMixture {
    let axes = array![[0.8, 0.6], [-0.6, 0.8]];
    GaussianMixture::rotated(&[
        (0.4, &[-0.6, 0.3][..], &[0.5, 0.2][..], axes.clone()),
        (0.6, &[0.5, -0.2][..], &[0.3, 0.6][..], axes),
    ])
    .unwrap()
}

fn points() -> Array2<f64> {
    array![[0.4, 0.1], [-0.9, 0.7], [0.0, -0.6]]
}

/// Steps even in log-SNR from -5 to 3.5, the first and the last cut into short ones that double in
/// length, so that the low orders a multi-step rule starts with are not all that is seen.
fn grid<S: NoiseSchedule>(schedule: &S, n: usize) -> Grid<S::Time> {
    const LEAD: i32 = 12;
    let (from, to) = (-5.0, 3.5);
    let lead = (0..LEAD).map(|i| 0.5_f64.powi(LEAD - i));
    let last = (0..LEAD).rev().map(|i| n as f64 - 0.5_f64.powi(LEAD - i));
    let steps = [0.0]
        .into_iter()
        .chain(lead)
        .chain((1..n).map(|i| i as f64))
        .chain(last);
    let at = |steps: f64| snr(from + (to - from) * steps / n as f64);
    let nodes: Vec<_> = steps.map(at).collect();
    let end = schedule.level_at(snr(to)).unwrap();
    Grid::at_log_snrs(schedule, &nodes)
        .unwrap()
        .ending_at(end)
        .unwrap()
}

fn values<V>(found: &PlannedLikelihood<V>) -> Vec<f64> {
    let exact = |it: &Estimate<LogDensity>| it.standard_error.get() == 0.0;
    assert!(found.log_density.iter().all(exact));
    nats(&found.log_density)
}

fn nats(log_density: &[Estimate<LogDensity>]) -> Vec<f64> {
    log_density.iter().map(|it| it.value.nats().get()).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let each = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    each.fold(0.0, f64::max)
}

fn solvers() -> Vec<Box<dyn ReverseStep>> {
    let deterministic = |order| SaSolver::new(order, order).unwrap().with_tau(0.0).unwrap();
    let mut all: Vec<Box<dyn ReverseStep>> = vec![
        Box::new(Ddim::default()),
        Box::new(RungeKutta::dpm2()),
        Box::new(LinearMultistep::ipndm(4).unwrap()),
        Box::new(LinearMultistep::gradient_estimation(2.0).unwrap()),
        Box::new(Pndm::plms()),
        Box::new(Pndm::runge_kutta()),
    ];
    for c in [Coordinates::Ratio, Coordinates::Flow, Coordinates::Data] {
        all.push(Box::new(RungeKutta::heun().in_coordinates(c)));
        all.push(Box::new(RungeKutta::midpoint().in_coordinates(c)));
        all.push(Box::new(LinearMultistep::lms(3).unwrap().in_coordinates(c)));
    }
    for order in 1..=3 {
        all.push(Box::new(DpmSolver::plus_plus(order).unwrap()));
        all.push(Box::new(DpmSolver::noise(order).unwrap()));
        all.push(Box::new(SingleStep::plus_plus(order).unwrap()));
        all.push(Box::new(SingleStep::noise(order).unwrap()));
        all.push(Box::new(NodeBlocks::plus_plus(order).unwrap()));
        all.push(Box::new(NodeBlocks::noise(order).unwrap()));
        all.push(Box::new(UniPc::new(order).unwrap()));
        all.push(Box::new(UniPc::new(order).unwrap().of_noise()));
        all.push(Box::new(deterministic(order)));
        for c in [Coordinates::Ratio, Coordinates::Flow, Coordinates::Data] {
            all.push(Box::new(ExponentialAdams::new(order, c).unwrap()));
        }
    }
    all
}

/// There and back against the adaptive integrator between the same levels.
fn orders<S: NoiseSchedule>(name: &str, schedule: &S) {
    let ends = [-5.0, 3.5].map(|at| schedule.time_at(snr(at)).unwrap());
    let flow = ProbabilityFlow::between(schedule, ends[0], ends[1])
        .unwrap()
        .with_tolerance(1e-12)
        .unwrap();
    let x = points();
    let exact = flow.log_density(&x, &mut data()).unwrap();
    let expected = nats(&exact.log_density);
    for solver in solvers() {
        let stated = f64::from(solver.order());
        let (mut there, mut back) = (Vec::new(), Vec::new());
        for n in [99, 198] {
            let grid = grid(schedule, n);
            let forth = Plan::new(schedule, &grid.inverted(), &solver).unwrap();
            let found = PlannedFlow::of(&forth)
                .unwrap()
                .log_density(&x, &mut data())
                .unwrap();
            there.push(distance(&values(&found), &expected));
            let plan = Plan::new(schedule, &grid, &solver).unwrap();
            let found = PlannedFlow::of(&plan)
                .unwrap()
                .log_density(&exact.latent, &mut data())
                .unwrap();
            back.push(distance(&values(&found), &expected));
            // The sample is the plan's own.
            let own = plan
                .sample(exact.latent.clone(), &mut data(), &mut Noise::seeded(0))
                .unwrap();
            assert!((&own - &found.state).iter().all(|d| d.abs() < 1e-12));
        }
        let order = |errors: &[f64]| (errors[0] / errors[1]).log2();
        println!(
            "{name}, {}: there {there:?} order {:.2}, back {back:?} order {:.2}",
            solver.name(),
            order(&there),
            order(&back)
        );
        for errors in [&there, &back] {
            // An error of a few roundings has no order.
            assert!(
                order(errors) > stated - 0.25 || errors[1] < 1e-9,
                "{name}, {}: {errors:?}",
                solver.name()
            );
            assert!(errors[1] < 0.1, "{name}, {}: {errors:?}", solver.name());
        }
    }
}

#[test]
fn the_log_density_has_the_order_of_the_solver_on_variance_preserving_levels() {
    orders("cosine", &Cosine);
}

#[test]
fn the_log_density_has_the_order_of_the_solver_on_variance_exploding_levels() {
    orders("EDM", &Edm::default());
}

#[test]
fn the_log_density_has_the_order_of_the_solver_on_flows() {
    orders("rectified flow", &RectifiedFlow);
}
