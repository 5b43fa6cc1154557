//! The log-density along plans: order of every solver against an adaptive integrator, closed forms,
//! probes, and what is refused.

mod common {
    pub mod levels;
    pub mod solvers;
}

use common::{levels::snr, solvers};
use gaussian_diffusion::{
    Error, GaussianMixture, Grid, NoiseSchedule, Parameterization, Plan, Point, Prediction,
    ReverseStep, SeededNoise, Time,
    likelihood::{
        Estimate, Exact, Hutchinson, LogDensity, PlannedFlow, PlannedLikelihood, ProbabilityFlow,
    },
    schedule::{Cosine, Discrete, Edm, RectifiedFlow},
    solver::{
        At, Churn, Coordinates, Ddim, Ddpm, DpmSolver, LinearMultistep, Path, RungeKutta, SaSolver,
        Stage, UniPc, Update,
    },
};
use ndarray::{Array2, ArrayD, Axis, IxDyn, array};

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
    for solver in solvers::deterministic() {
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
                .sample(exact.latent.clone(), &mut data(), &mut SeededNoise::new(0))
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

/// From data with little noise to where nothing is left of it: the density of the mixture itself.
#[test]
fn the_log_density_of_a_mixture_is_met() {
    let (top, end) = (snr(-30.0), snr(12.0));
    for n in [300, 600] {
        let grid = Grid::uniform_log_snr_between(&Cosine, n, top, end).unwrap();
        let grid = grid.without_final_step().unwrap();
        let plan = Plan::new(&Cosine, &grid.inverted(), &UniPc::new(2).unwrap()).unwrap();
        let flow = PlannedFlow::of(&plan).unwrap();
        let found = values(&flow.log_density(&points(), &mut data()).unwrap());
        let exact =
            |x: ndarray::ArrayView1<'_, f64>| data().log_density(&x.to_vec(), grid.end()).unwrap();
        let expected: Vec<f64> = points().rows().into_iter().map(exact).collect();
        let off = distance(&found, &expected);
        println!("{n} steps: {off:e}");
        assert!(
            off < if n == 300 { 4e-4 } else { 1e-4 },
            "{n} steps: {off:e}"
        );
    }
}

/// A network that predicts the flow of `N(0, v I)` has a value at both ends, and the coordinates of the
/// flow reach them: no end has to be cut off, and the closed form holds as the steps shrink.
#[test]
fn flows_are_followed_from_pure_noise_to_clean_data() {
    let v = 0.6_f64;
    let mut net = Exact(|x: &Array2<f64>, at: Point<Time>| {
        let (alpha, sigma) = (at.level.alpha(), at.level.sigma());
        let slope = (sigma - alpha * v) / (alpha * alpha * v + sigma * sigma);
        let trace = vec![slope * x.ncols() as f64; x.nrows()];
        Ok((Prediction::new(x * slope, Parameterization::Flow), trace))
    });
    let x = points();
    let tau = std::f64::consts::TAU;
    let density = |x: &[f64]| {
        x.iter()
            .map(|x| -0.5 * x * x / v - 0.5 * (tau * v).ln())
            .sum()
    };
    let rows = |x: &Array2<f64>| -> Vec<f64> {
        x.rows()
            .into_iter()
            .map(|row| density(&row.to_vec()))
            .collect()
    };
    let solver = RungeKutta::heun().with_coordinates(Coordinates::Flow);
    let mut errors = Vec::new();
    for n in [50, 100, 200] {
        let grid = Grid::uniform_time(&RectifiedFlow, n).unwrap();
        let forth = Plan::new(&RectifiedFlow, &grid.inverted(), &solver).unwrap();
        let back = Plan::new(&RectifiedFlow, &grid, &solver).unwrap();
        let there = PlannedFlow::of(&forth)
            .unwrap()
            .log_density(&x, &mut net)
            .unwrap();
        let again = PlannedFlow::of(&back)
            .unwrap()
            .log_density(&there.state, &mut net)
            .unwrap();
        let off = distance(&values(&there), &rows(&x));
        // Each result has the density that goes with it.
        let off = off.max(distance(&values(&again), &rows(&again.state)));
        errors.push(off.max(distance(&values(&again), &values(&there))));
    }
    println!("{errors:?}");
    // The steps at the two ends are Euler's, two of n with an error of second order each.
    assert!((errors[0] / errors[2]).log2() > 2.0 * 1.8, "{errors:?}");
    assert!(errors[2] < 1e-4, "{errors:?}");
}

/// One step of DDIM to the noise: `-D ln a - (b / a) div eps`, by hand.
#[test]
fn one_step_is_its_formula() {
    let (from, to) = (snr(2.0), snr(-4.0));
    let (s, t) = (Cosine.level_at(from).unwrap(), Cosine.level_at(to).unwrap());
    let grid = Grid::at_log_snrs(&Cosine, &[from])
        .unwrap()
        .ending_at(t)
        .unwrap();
    let plan = Plan::new(&Cosine, &grid, &Ddim::default()).unwrap();
    let net = |terms: Parameterization| {
        Exact(move |x: &ArrayD<f32>, at: Point<Time>| {
            // eps = 0.3 x, said in these terms.
            let map = Parameterization::Noise.to(terms, at.level)?;
            let slope = map.state + 0.3 * map.prediction;
            let count = x.shape()[1..].iter().product::<usize>() as f64;
            let answer = Prediction::new(x * slope as f32, terms);
            Ok((answer, vec![slope * count; x.shape()[0]]))
        })
    };
    let x = ArrayD::from_shape_fn(IxDyn(&[2, 3, 2]), |i| 0.1 * (i[0] + i[1]) as f32 - 0.2);
    let a = t.alpha() / s.alpha();
    let b = t.sigma() - a * s.sigma();
    let (y, prior) = (&x * (a + 0.3 * b) as f32, t.alpha().hypot(t.sigma()));
    let expected: Vec<f64> = (0..2)
        .map(|i| {
            let y = y.index_axis(Axis(0), i);
            let own = |y: &f32| {
                -0.5 * (f64::from(*y) / prior).powi(2)
                    - 0.5 * std::f64::consts::TAU.ln()
                    - prior.ln()
            };
            y.iter().map(own).sum::<f64>() + 6.0 * (a.ln() + 0.3 * b / a)
        })
        .collect();
    let flow = PlannedFlow::of(&plan).unwrap();
    for terms in [
        Parameterization::Noise,
        Parameterization::X0,
        Parameterization::Velocity,
        Parameterization::Flow,
        Parameterization::Score,
    ] {
        let found = flow.log_density(&x, &mut net(terms)).unwrap();
        assert!((&found.state - &y).iter().all(|d| d.abs() < 1e-6));
        assert!(distance(&values(&found), &expected) < 1e-5, "{terms:?}");
    }
    // Nothing in, nothing out.
    let none = ArrayD::zeros(IxDyn(&[0, 3]));
    let found = flow
        .log_density(&none, &mut net(Parameterization::X0))
        .unwrap();
    assert!(found.log_density.is_empty() && found.state == none);
}

/// Probes give the exact divergence within their standard error, and no two items meet.
#[test]
fn probes_estimate_and_items_stay_apart() {
    let grid = grid(&Edm::default(), 60);
    let plan = Plan::new(
        &Edm::default(),
        &grid.inverted(),
        &DpmSolver::plus_plus(2).unwrap(),
    );
    let plan = plan.unwrap();
    let flow = PlannedFlow::of(&plan).unwrap();
    // A network of two elements that depend on each other.
    let mix = array![[0.5, 0.3], [-0.2, 0.1]];
    let answer = |x: &Array2<f64>| Prediction::x0(x.dot(&mix.t()));
    let mut exact = Exact(|x: &Array2<f64>, _: Point<_>| Ok((answer(x), vec![0.6; x.nrows()])));
    let x = points();
    let expected = values(&flow.log_density(&x, &mut exact).unwrap());
    for (i, expected) in expected.iter().enumerate() {
        let alone = x.select(Axis(0), &[i]);
        let found = flow.log_density(&alone, &mut exact).unwrap();
        assert_eq!(values(&found)[0], *expected);
    }
    let network = |x: &Array2<f64>, _: Point<_>, probes: &[Array2<f64>]| {
        Ok::<_, Error>((answer(x), probes.iter().map(|v| v.dot(&mix)).collect()))
    };
    let mut probed = Hutchinson::gaussian(&x, 400, &mut SeededNoise::new(8), network).unwrap();
    let found = flow.log_density(&x, &mut probed).unwrap();
    for (it, exact) in found.log_density.iter().zip(&expected) {
        let (off, error) = (
            (it.value.nats().get() - exact).abs(),
            it.standard_error.get(),
        );
        // Four standard errors: once in 16,000.
        assert!(error > 0.0 && off < 4.0 * error, "{off} with {error}");
    }
    let mut one = Hutchinson::rademacher(&x, 1, &mut SeededNoise::new(8), network).unwrap();
    let found = flow.log_density(&x, &mut one).unwrap();
    assert_eq!(found.log_density[0].standard_error.get(), f64::INFINITY);
}

/// Works in these terms, multiplies the state by this.
#[derive(Debug)]
struct Strange(Parameterization, f64);

impl ReverseStep for Strange {
    fn stages(&self, _: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let update = Update::new(self.1).with_model([0.1]);
        Ok(vec![Stage::new(At::From, self.0).with_commit(update)])
    }

    fn name(&self) -> &str {
        "strange"
    }
}

/// A step made by a function of its path.
struct Told<F>(F);

impl<F> ReverseStep for Told<F>
where
    F: Fn(&Path<'_>) -> Result<Vec<Stage>, Error> + Send + Sync,
{
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        (self.0)(path)
    }

    fn name(&self) -> &str {
        "told"
    }

    fn memory(&self) -> usize {
        2
    }
}

/// Steps of Euler in the terms of data, noise and flow by turns: each begins where the state stands, and the density is of
/// the first order as that of each.
#[test]
fn steps_in_terms_by_turns_follow_the_flow() {
    let terms = [Coordinates::Data, Coordinates::Noise, Coordinates::Flow];
    let euler = terms.map(|terms| LinearMultistep::lms(1).unwrap().with_coordinates(terms));
    let solver = Told(|path: &Path<'_>| euler[path.index() % 3].stages(path));
    let ends = [-5.0, 3.5].map(|at| Cosine.time_at(snr(at)).unwrap());
    let flow = ProbabilityFlow::between(&Cosine, ends[0], ends[1]).unwrap();
    let exact = flow.log_density(&points(), &mut data()).unwrap();
    let errors = [200, 400].map(|n| {
        let plan = Plan::new(&Cosine, &grid(&Cosine, n).inverted(), &solver).unwrap();
        let planned = PlannedFlow::of(&plan).unwrap();
        let found = planned.log_density(&points(), &mut data()).unwrap();
        distance(&values(&found), &nats(&exact.log_density))
    });
    assert!((errors[0] / errors[1]).log2() > 0.75, "{errors:?}");
    assert!(errors[1] < 0.1, "{errors:?}");
}

/// Every step has to leave the state where the flow does, up to a relative 1e-9, and not the last alone.
#[test]
fn a_step_that_is_off_is_refused() {
    fn told<S: NoiseSchedule>(
        schedule: &S,
        grid: &Grid<S::Time>,
        factors: [f64; 3],
    ) -> Result<(), String> {
        let solver = Told(|path: &Path<'_>| {
            let mut stages = Ddim::default().stages(path)?;
            stages[0].commit.as_mut().unwrap().state *= factors[path.index()];
            Ok(stages)
        });
        let plan = Plan::new(schedule, grid, &solver).unwrap();
        PlannedFlow::of(&plan).map(drop).map_err(|e| e.to_string())
    }
    let schedule = Edm::default();
    let down = Grid::karras(&schedule, 4)
        .unwrap()
        .without_final_step()
        .unwrap();
    let refused = |grid: &Grid<_>, factors| {
        let text = told(&schedule, grid, factors).unwrap_err();
        text.starts_with("scale of the state is ") && text.ends_with(" along the flow")
    };
    // The scale in the terms of data is sigma: 0.002 at one end, and 80 at the other.
    for grid in [&down, &down.inverted()] {
        assert_eq!(told(&schedule, grid, [1.0; 3]), Ok(()));
        assert_eq!(told(&schedule, grid, [1.0, 1.0, 1.0 + 3e-10]), Ok(()));
        assert!(refused(grid, [1.0, 1.0, 1.0 + 3e-9]));
        assert!(refused(grid, [1.1, 1.0 / 1.1, 1.0]));
    }
    let heun = RungeKutta::heun();
    let mixed = Told(|path: &Path<'_>| {
        let mut stages = heun.stages(path)?;
        if let [first, second] = stages.as_mut_slice() {
            second.basis = match first.basis {
                Parameterization::Noise => Parameterization::X0,
                _ => Parameterization::Noise,
            };
        }
        Ok(stages)
    });
    let plan = Plan::new(&schedule, &down, &mixed).unwrap();
    assert_eq!(
        PlannedFlow::of(&plan).unwrap_err().to_string(),
        "a step in the same terms throughout is missing, the log-density along a plan needs it"
    );
}

#[test]
fn what_is_no_flow_is_refused() {
    let schedule = Discrete::cosine(100).unwrap();
    let clean = Grid::trailing(&schedule, 5).unwrap();
    let short = clean.part(0..4).unwrap();
    let of = |grid: &Grid<_>, solver: &dyn ReverseStep| {
        let plan = Plan::new(&schedule, grid, solver).unwrap();
        PlannedFlow::of(&plan)
            .map(|_| ())
            .map_err(|e| e.to_string())
    };
    let drawing = "a plan that draws nothing is missing, the log-density along a plan needs it";
    let churn = Churn::new(Ddim::default(), 3.0).unwrap();
    let sde = SaSolver::new(2, 2).unwrap();
    for solver in [&Ddpm::default() as &dyn ReverseStep, &churn, &sde] {
        assert_eq!(of(&short, solver).unwrap_err(), drawing);
    }
    assert_eq!(of(&short, &Ddim::default()), Ok(()));
    // Nothing of the state is left at the data, in their terms; in others it is.
    assert_eq!(
        of(&clean, &Ddim::default()).unwrap_err(),
        "coefficient of the state is 0, allowed: above 0 where a density is carried"
    );
    assert_eq!(of(&clean, &RungeKutta::heun()), Ok(()));
    assert_eq!(
        of(&short, &Strange(Parameterization::Velocity, 0.9)).unwrap_err(),
        "a plan in terms of noise, data or flow is missing, the log-density along a plan needs it"
    );
    let error = of(&short, &Strange(Parameterization::Flow, 0.9)).unwrap_err();
    assert!(error.starts_with("scale of the state is "), "{error}");
    assert!(error.ends_with(" along the flow"), "{error}");

    let plan = Plan::new(&schedule, &short, &Ddim::default()).unwrap();
    let flow = PlannedFlow::of(&plan).unwrap();
    let x = points();
    type Answer = fn(&Array2<f64>) -> (Prediction<Array2<f64>>, Vec<f64>);
    let ask = |answer: Answer| {
        let mut net = Exact(|x: &Array2<f64>, _: Point<_>| Ok(answer(x)));
        flow.log_density(&x, &mut net).unwrap_err().to_string()
    };
    assert_eq!(
        ask(|x| (Prediction::x0(x * 0.5).with_shift(x.clone()), vec![1.0; 3])),
        "a prediction that displaces nothing is missing, the log-density along a plan needs it"
    );
    assert_eq!(
        ask(|x| (Prediction::x0(x * 0.5), vec![1.0; 2])),
        "divergence has 2 entries for a batch of 3"
    );
    assert_eq!(
        ask(|x| (Prediction::x0(x * 0.5), vec![f64::NAN; 3])),
        "the divergence of the network holds a NaN or an infinity at step 0"
    );
    let error = flow.log_density(&(&x * f64::NAN), &mut data()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the start of the run holds a NaN or an infinity at step 0"
    );
}
