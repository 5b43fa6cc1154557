//! Solvers of papers' own code: DPM-Solver-v3, REAB, single-step DPM-Solver on times, Analytic-DPM.

mod common {
    pub mod levels;
    pub mod reference;
}

use common::{
    levels::snr,
    reference::{numbers as list, reference as read},
};
use gaussian_diffusion::{
    Denoiser, DenoisingVariance, Error, GaussianMixture, Grid, ModelVariance, NoiseLevel,
    NoiseSchedule, NonMarkovian, Plan, Point, Posterior, Prediction, ReverseStep, ReverseVariance,
    SeededNoise, Sigma, SigmaData, Step, Time, UpdateNoise, Variance,
    denoiser::{Displaced, LearnedNoise, NoiseOutput, consistency_model},
    fit,
    likelihood::{Continuous, Discretized, VariationalBound},
    noise::{Interval, NoiseSource, Scale},
    plan::{Affine, Moments},
    predicts,
    schedule::{Cosine, Discrete, Edm, RectifiedFlow, VpLinear},
    solver::{
        AnalyticDpm, Coordinates, Ddpm, DpmSolverV3, ExponentialAdams, ModelStatistics, NodeBlocks,
        StatisticsNode,
    },
};
use ndarray::{Array1, Array2, array};
use serde_json::Value;

fn reference() -> Value {
    read("solvers.json")
}

fn number(value: &Value) -> usize {
    value.as_u64().unwrap() as usize
}

/// The data of the reference.
fn data() -> GaussianMixture {
    GaussianMixture::isotropic(&[(0.5, [-0.6], 0.04), (0.5, [0.8], 0.09)]).unwrap()
}

fn column(values: &Value) -> Array2<f64> {
    let values = list(values);
    Array2::from_shape_vec((values.len(), 1), values).unwrap()
}

fn ends<T: Copy + std::fmt::Debug>(
    plan: &Plan<T>,
    start: &Value,
    net: &mut impl Denoiser<Array2<f64>, T>,
) -> Vec<f64> {
    let found = plan.sample(column(start), net, &mut SeededNoise::new(0));
    found.unwrap().iter().copied().collect()
}

fn worst(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f64::max)
}

fn variance(value: f64) -> Variance {
    Variance::new(value).unwrap()
}

/// The statistics of the reference in a table of so many intervals.
fn table(from: f64, to: f64, intervals: usize, bias: f64) -> ModelStatistics {
    let nodes = (0..=intervals).map(|i| {
        let lambda = from + (to - from) * i as f64 / intervals as f64;
        let rho2 = (-2.0 * lambda).exp();
        StatisticsNode {
            log_snr: snr(2.0 * lambda),
            linear: rho2 / (rho2 + 0.3),
            scaling: -0.4 / (1.0 + lambda.exp()),
            bias: bias * 0.2 * lambda.cos(),
        }
    });
    ModelStatistics::new(nodes.collect()).unwrap()
}

/// The authors' code takes trapezoids over a table, and this one straight lines between the nodes of a table: both err by
/// the square of its steps, and are extrapolated to none.
#[test]
fn dpm_solver_v3_is_that_of_its_authors() {
    let reference = &reference()["dpm_solver_v3"];
    let lambdas = list(&reference["lambdas"]);
    let schedule = VpLinear::new(0.1, 20.0).unwrap();
    let mut largest = 0.0_f64;
    for row in reference["rows"].as_array().unwrap() {
        let is = |i: usize| row[i] == 1;
        let (steps, order) = (number(&row[0]), number(&row[1]));
        let (pseudo, corrected, pseudo_corrected, lowers) = (is(2), is(3), is(4), is(5));
        let bias = row[6].as_f64().unwrap();
        let grid = Grid::uniform_log_snr_between(
            &schedule,
            steps + 1,
            snr(2.0 * lambdas[0]),
            snr(2.0 * lambdas[1]),
        );
        let grid = grid.unwrap().without_final_step().unwrap();
        let mut found = [1000, 2000].map(|intervals| {
            let statistics = table(lambdas[0], lambdas[1], intervals, bias);
            let mut solver = DpmSolverV3::new(order, statistics).unwrap();
            if pseudo {
                solver = solver.with_pseudo_slopes();
            }
            if corrected {
                solver = match pseudo_corrected {
                    true => solver.with_pseudo_corrector(),
                    false => solver.with_corrector(),
                };
            }
            if lowers {
                solver = solver.with_lower_final_orders();
            }
            let plan = Plan::new(&schedule, &grid, &solver).unwrap();
            assert_eq!(plan.evaluations(), steps);
            match bias == 0.0 {
                true => ends(&plan, &reference["start"], &mut data()),
                false => {
                    let mut net = Displaced::new(data(), Array2::ones((5, 1)));
                    ends(&plan, &reference["start"], &mut net)
                }
            }
        });
        let [coarse, fine] = &mut found;
        for (fine, coarse) in fine.iter_mut().zip(coarse) {
            *fine += (*fine - *coarse) / 3.0;
        }
        let off = worst(fine, &list(&row[7]));
        largest = largest.max(off);
        assert!(off < 1e-9, "{row}: {off:e}");
    }
    println!("DPM-Solver-v3: {largest:e}");
}

/// azula's, with `alpha_s^2 + sigma_s^2` where it has `sigma_t^2` by mistake, and 131072 trapezoids for 256.
#[test]
fn reab_is_that_of_azula() {
    let reference = &reference()["reab"];
    let schedule = VpLinear::new(0.1, 20.0).unwrap();
    let mut largest = 0.0_f64;
    for row in reference["rows"].as_array().unwrap() {
        let (n, order) = (number(&row[0]), number(&row[1]));
        let times = [Time::new(1.0).unwrap(), Time::new(1e-3).unwrap()];
        let grid = Grid::uniform_time_between(&schedule, n + 1, times[0], times[1]).unwrap();
        let grid = grid.without_final_step().unwrap();
        let plan = Plan::new(&schedule, &grid, &DpmSolverV3::reab(order).unwrap()).unwrap();
        assert_eq!(plan.steps(), n);
        let off = worst(
            &ends(&plan, &reference["start"], &mut data()),
            &list(&row[2]),
        );
        largest = largest.max(off);
        assert!(off < 1e-9, "{row}: {off:e}");
    }
    println!("REAB: {largest:e}");
}

/// Steps of order 2 and 3 whose inner points are even in time, or in its root: the nodes of the grid itself.
#[test]
fn single_steps_on_times_are_those_of_dpm_solver() {
    let reference = &reference()["singlestep"];
    let schedule = VpLinear::new(0.1, 20.0).unwrap();
    let mut largest = 0.0_f64;
    for row in reference["rows"].as_array().unwrap() {
        let coordinates = match row[0].as_str().unwrap() {
            "dpmsolver" => Coordinates::Noise,
            _ => Coordinates::Data,
        };
        let (order, steps) = (number(&row[3]), number(&row[4]));
        let (from, to) = (Time::new(1.0).unwrap(), Time::new(1e-3).unwrap());
        let grid = match row[2].as_str().unwrap() {
            "time_uniform" => Grid::uniform_time_between(&schedule, steps + 1, from, to),
            _ => Grid::quadratic_time_between(&schedule, steps + 1, from, to),
        };
        let grid = grid.unwrap().without_final_step().unwrap();
        let mut solver = NodeBlocks::new(order, coordinates)
            .unwrap()
            .with_exact_inner_nodes();
        // Theirs of order 2 has one step of order 1 only where one evaluation is left.
        if order == 3 {
            solver = solver.with_lower_final_orders();
        }
        if row[1] == "taylor" {
            solver = solver.with_exact_integrals();
        }
        let plan = Plan::new(&schedule, &grid, &solver).unwrap();
        assert_eq!(plan.evaluations(), steps);
        let off = worst(
            &ends(&plan, &reference["start"], &mut data()),
            &list(&row[5]),
        );
        largest = largest.max(off);
        assert!(off < 1e-9, "{row}: {off:e}");
    }
    println!("single steps: {largest:e}");
}

/// The statistics of a point make it exponential Adams for the data, and REAB's closed form is a table of its own.
#[test]
fn dpm_solver_v3_has_others_for_special_cases() {
    let grid = Grid::uniform_log_snr_between(&Cosine, 8, snr(-6.0), snr(5.0)).unwrap();
    for order in 1..=3 {
        let point = ModelStatistics::gaussian(variance(0.0)).unwrap();
        assert!(!point.has_bias());
        let own = Plan::new(&Cosine, &grid, &DpmSolverV3::new(order, point).unwrap()).unwrap();
        let adams = ExponentialAdams::new(order, Coordinates::Data).unwrap();
        let adams = Plan::new(&Cosine, &grid, &adams).unwrap();
        let start: Array2<f64> = array![[0.3], [-1.2]];
        let run =
            |plan: &Plan<Time>| plan.sample(start.clone(), &mut data(), &mut SeededNoise::new(0));
        let off = run(&own).unwrap() - run(&adams).unwrap();
        assert!(off.iter().all(|off| off.abs() < 1e-13), "{off}");
    }
}

/// Pseudo slopes hold to the second order, before the step or after it.
#[test]
fn pseudo_slopes_have_two_orders() {
    let statistics = ModelStatistics::gaussian(variance(0.25)).unwrap();
    for order in 1..=3 {
        let plain = DpmSolverV3::new(order, statistics.clone()).unwrap();
        assert_eq!(plain.order() as usize, order);
        let pseudo = plain.with_pseudo_corrector();
        assert_eq!(pseudo.order() as usize, order.min(2));
    }
}

fn exact_on_gaussians<S: NoiseSchedule>(schedule: &S) {
    let (mean, v) = (array![[0.4, -0.2]], 0.25);
    let spread = |level: NoiseLevel| (v * level.alpha().powi(2) + level.sigma().powi(2)).sqrt();
    for (steps, order) in [(1, 1), (2, 2), (5, 3), (9, 2)] {
        let statistics = ModelStatistics::gaussian(variance(v)).unwrap();
        for corrected in [false, true] {
            let mut solver = DpmSolverV3::new(order, statistics.clone()).unwrap();
            if corrected {
                solver = solver.with_pseudo_corrector();
            }
            let grid = Grid::uniform_log_snr_between(schedule, steps + 1, snr(-7.0), snr(6.0));
            let grid = grid.unwrap().without_final_step().unwrap();
            for grid in [grid.clone(), grid.inverted()] {
                let plan = Plan::new(schedule, &grid, &solver).unwrap();
                let [from, to] = [plan.levels()[0], plan.levels()[steps]];
                let at =
                    |level: NoiseLevel| &mean * level.alpha() + array![[1.0, -0.5]] * spread(level);
                let net = GaussianMixture::isotropic(&[(1.0, [0.4, -0.2], v)]).unwrap();
                let mut net = Displaced::new(net, mean.clone());
                let found = plan
                    .sample(at(from), &mut net, &mut SeededNoise::new(0))
                    .unwrap();
                let off = (found - at(to)) / spread(to);
                assert!(
                    off.iter().all(|off| off.abs() < 1e-12),
                    "{steps} {order}: {off}"
                );
            }
        }
    }
}

/// A closed form: the flow of Gaussian data, exact in any number of steps.
#[test]
fn dpm_solver_v3_is_exact_on_the_data_of_its_statistics() {
    exact_on_gaussians(&Cosine);
    exact_on_gaussians(&Edm::default());
    exact_on_gaussians(&RectifiedFlow);
}

/// Measured on Gaussian data, `l` and `b` are the closed forms and `s` is 0; on a mixture they make fewer steps do.
#[test]
fn statistics_are_measured() {
    let grid = Grid::uniform_log_snr_between(&Cosine, 80, snr(-9.0), snr(9.0)).unwrap();
    let mut noise = SeededNoise::new(1);
    let rows = Array2::from_shape_fn((200, 2), |(i, j)| {
        [0.4, -0.2][j] + if (i + j) % 2 == 0 { 0.5 } else { -0.5 }
    });
    let mut net = GaussianMixture::isotropic(&[(1.0, [0.4, -0.2], 0.25)]).unwrap();
    let found = fit::model_statistics(&Cosine, &grid, &rows, &mut net, &mut noise).unwrap();
    let exact = ModelStatistics::gaussian(variance(0.25)).unwrap();
    for value in [-9.0, -4.1, 0.0, 2.3, 8.0] {
        let at = snr(value);
        assert!(
            (found.linear(at) - exact.linear(at)).abs() < 2e-3,
            "{value}"
        );
    }
    // The whole run: the flow of the same data by what was measured.
    let few = Grid::uniform_log_snr_between(&Cosine, 5, snr(-8.0), snr(7.0)).unwrap();
    let few = few.without_final_step().unwrap();
    let run = |statistics: &ModelStatistics,
               net: GaussianMixture,
               mean: Array2<f64>,
               start: &Array2<f64>| {
        let solver = DpmSolverV3::new(2, statistics.clone()).unwrap();
        let plan = Plan::new(&Cosine, &few, &solver).unwrap();
        let mut net = Displaced::new(net, mean);
        plan.sample(start.clone(), &mut net, &mut noise.clone())
            .unwrap()
    };
    let mean = array![[0.4, -0.2]];
    let start = array![[1.1, -0.7]];
    let off = run(&found, net.clone(), mean.clone(), &start) - run(&exact, net, mean, &start);
    assert!(off.iter().all(|off| off.abs() < 2e-3), "{off}");

    // On a mixture: against DPM-Solver++ of the same order and number of steps.
    let mut rng = rng();
    let rows = data().sample(600, &mut rng);
    let found = fit::model_statistics(&Cosine, &grid, &rows, &mut data(), &mut SeededNoise::new(2));
    let found = found.unwrap();
    let mean = rows.mean_axis(ndarray::Axis(0)).unwrap();
    let mean = mean.broadcast((41, 1)).unwrap().to_owned();
    let starts = Array2::from_shape_fn((41, 1), |(i, _)| -2.0 + 0.1 * i as f64);
    let plan = |n: usize, solver: &dyn ReverseStep, displaced: bool| {
        let grid = Grid::uniform_log_snr_between(&Cosine, n + 1, snr(-8.0), snr(7.0)).unwrap();
        let plan = Plan::new(&Cosine, &grid.without_final_step().unwrap(), solver).unwrap();
        let mut noise = SeededNoise::new(0);
        match displaced {
            true => plan.sample(
                starts.clone(),
                &mut Displaced::new(data(), mean.clone()),
                &mut noise,
            ),
            false => plan.sample(starts.clone(), &mut data(), &mut noise),
        }
        .unwrap()
    };
    let adams = |order| ExponentialAdams::new(order, Coordinates::Data).unwrap();
    let truth = plan(3000, &adams(3), false);
    let error = |found: Array2<f64>| (found - &truth).mapv(f64::abs).mean().unwrap();
    for n in [6, 10] {
        let own = error(plan(n, &DpmSolverV3::new(2, found.clone()).unwrap(), true));
        let other = error(plan(n, &adams(2), false));
        println!("{n} steps: DPM-Solver-v3 {own:.4}, DPM-Solver++ {other:.4}");
        assert!(own < other, "{n}: {own} {other}");
    }
}

fn rng() -> gaussian_diffusion::rand::rngs::StdRng {
    gaussian_diffusion::rand::SeedableRng::seed_from_u64(5)
}

fn checked<T>(result: Result<T, Error>, says: &str) {
    let error = result.err().unwrap().to_string();
    assert!(error.contains(says), "{error}");
}

#[test]
fn statistics_are_checked() {
    let node = |at, linear, scaling, bias| StatisticsNode {
        log_snr: snr(at),
        linear,
        scaling,
        bias,
    };
    checked(ModelStatistics::new(vec![]), "number of statistics is 0");
    let twice = vec![node(1.0, 0.5, 0.0, 0.0), node(1.0, 0.5, 0.0, 0.0)];
    checked(ModelStatistics::new(twice), "statistics");
    checked(
        ModelStatistics::new(vec![node(f64::INFINITY, 0.5, 0.0, 0.0)]),
        "log-SNRs[0]",
    );
    for bad in [f64::NAN, f64::INFINITY, 1e7] {
        checked(
            ModelStatistics::new(vec![node(0.0, bad, 0.0, 0.0)]),
            "linear statistics[0]",
        );
        checked(
            ModelStatistics::new(vec![node(0.0, 0.0, bad, 0.0)]),
            "scaling statistics[0]",
        );
        checked(
            ModelStatistics::new(vec![node(0.0, 0.0, 0.0, bad)]),
            "bias statistics[0]",
        );
    }
    checked(
        ModelStatistics::rosenbrock(variance(0.0)),
        "variance of the data is 0",
    );
    checked(DpmSolverV3::reab(0), "order is 0");
    checked(DpmSolverV3::reab(9), "order is 9");
    let exact = ModelStatistics::gaussian(variance(1.0)).unwrap();
    checked(DpmSolverV3::new(4, exact.clone()), "order is 4");
    // Statistics with a bias ask for a pattern.
    let grid = Grid::uniform_log_snr_between(&Cosine, 3, snr(-3.0), snr(3.0)).unwrap();
    let plan = Plan::new(&Cosine, &grid, &DpmSolverV3::new(1, exact).unwrap()).unwrap();
    checked(
        plan.sample(array![[0.1]], &mut data(), &mut SeededNoise::new(0)),
        "displacement",
    );
    let one = fit::model_statistics(
        &Cosine,
        &grid,
        &array![[0.1]],
        &mut data(),
        &mut SeededNoise::new(0),
    );
    checked(one, "number of items is 1");
}

/// One statistic alone holds everywhere, and so does a table beyond its ends.
#[test]
fn statistics_go_on_beyond_their_ends() {
    let constant = |ats: &[f64]| -> f64 {
        let node = |at: &f64| StatisticsNode {
            log_snr: snr(*at),
            linear: 0.7,
            scaling: -0.2,
            bias: 0.1,
        };
        let statistics = ModelStatistics::new(ats.iter().map(node).collect()).unwrap();
        let grid = Grid::uniform_log_snr_between(&Cosine, 5, snr(-6.0), snr(6.0)).unwrap();
        let solver = DpmSolverV3::new(2, statistics).unwrap();
        let plan = Plan::new(&Cosine, &grid, &solver).unwrap();
        let mut net = Displaced::new(data(), array![[1.0]]);
        plan.sample(array![[0.4]], &mut net, &mut SeededNoise::new(0))
            .unwrap()[[0, 0]]
    };
    let one = constant(&[0.5]);
    for ats in [&[-1.0, 1.0][..], &[-20.0, 20.0], &[5.0], &[-3.0, -2.0, 2.5]] {
        assert!((constant(ats) - one).abs() < 1e-12, "{ats:?}");
    }
}

#[test]
fn extended_variances_are_those_of_their_authors() {
    let reference = &reference()["analytic_dpm"];
    let betas = list(&reference["betas"]);
    let moments = list(&reference["moments"]);
    let schedule = Discrete::from_betas(betas).unwrap();
    let level = |t: usize| schedule.level(Step::new(t - 1)).unwrap();
    let levels: Vec<_> = (1..=20).rev().map(level).collect();
    let moments: Vec<_> = moments.into_iter().rev().collect();
    let open = DenoisingVariance::from_noise_moments(&levels, &moments).unwrap();
    let analytic = AnalyticDpm::new(open);
    let xs = Array1::from(list(&reference["x"]));
    for row in reference["variances"].as_array().unwrap() {
        let (to, from) = (level(number(&row[1])), level(number(&row[2])));
        let eta = row[3].as_f64().unwrap();
        match row[0].as_str().unwrap() {
            "ddpm" | "ddim" => {
                let solver = analytic.clone().with_eta(eta).unwrap();
                let found = solver.variance(from, to).unwrap().get();
                let expected = row[4].as_f64().unwrap();
                assert!((found / expected - 1.0).abs() < 1e-11, "{row}: {found}");
                let (least, most) = solver.bounds(from, to).unwrap();
                assert!(least.get() <= found && found <= most.get());
                // The posterior's own, and what nothing known of the data leaves: (sigma / alpha)^2 through its share.
                let q = NonMarkovian::new(eta)
                    .unwrap()
                    .coefficients(from, to)
                    .unwrap();
                let open = (q.clean * from.noise_to_signal()).powi(2);
                let ends = [q.std * q.std, q.std * q.std + open];
                for (found, wanted) in [least.get(), most.get()].iter().zip(ends) {
                    assert!((found - wanted).abs() <= 1e-14 * wanted, "{row}: {found}");
                }
            }
            output => {
                let second = output == "eps_eps2";
                let net = predicts::with(move |x: &Array1<f64>, _: Point<Step>| {
                    let own =
                        x.mapv(|x| 0.3 + 0.1 * x.sin() + if second { 0.49 * x * x } else { 0.0 });
                    Ok(Prediction::noise(x * 0.7).with_variance(own))
                });
                let kind = match second {
                    true => NoiseOutput::SecondMoment,
                    false => NoiseOutput::Residual,
                };
                let mut net = LearnedNoise::new(net, kind);
                let answer = net
                    .predict(&xs, Point::new(Step::new(0), from, to))
                    .unwrap();
                let found = answer.variance.unwrap().mapv(f64::exp).to_vec();
                assert!(worst(&found, &list(&row[4])) < 1e-11, "{row}: {found:?}");
            }
        }
    }
}

/// Normals that are given.
struct Given(usize);

impl NoiseSource<Array2<f64>> for Given {
    fn add(
        &mut self,
        x: &mut Array2<f64>,
        scale: Scale<'_, Array2<f64>>,
        _: Option<Interval>,
    ) -> Result<(), Error> {
        let Scale::Same(std) = scale else {
            unreachable!()
        };
        self.0 += 1;
        let k = self.0 as f64;
        *x += &(array![[(1.3 * k).sin(), (0.7 * k).cos(), (2.1 * k + 0.5).sin()]] * std);
        Ok(())
    }
}

/// The authors' bound with the same noise. The last step is clipped to the posterior from step 2 to 1, their
/// `tilde_beta(1, 2)`, and here to that of the grid's step before: it is given.
#[test]
fn the_bound_with_the_best_variance_is_that_of_its_authors() {
    let reference = &reference()["analytic_dpm"];
    let schedule = Discrete::from_betas(list(&reference["betas"])).unwrap();
    let level = |t: usize| schedule.level(Step::new(t - 1)).unwrap();
    let moments: Vec<_> = list(&reference["moments"]).into_iter().rev().collect();
    let levels: Vec<_> = (1..=20).rev().map(level).collect();
    let open = DenoisingVariance::from_noise_moments(&levels, &moments).unwrap();
    let analytic = AnalyticDpm::new(open);
    let times = list(&reference["timesteps"]);
    let steps: Vec<_> = times[1..]
        .iter()
        .rev()
        .map(|t| Step::new(*t as usize - 1))
        .collect();
    let grid = Grid::at(&schedule, &steps).unwrap();
    let clipped = ModelVariance::FixedSmall
        .update_noise(level(2), level(1), None)
        .unwrap();
    let UpdateNoise::Std(last) = clipped else {
        unreachable!()
    };
    let bound = VariationalBound::new(&grid, &analytic, Discretized::images()).unwrap();
    let bound = bound.with_last_variance(variance(last * last)).unwrap();
    let x0 = Array2::from_shape_vec((1, 3), list(&reference["data"])).unwrap();
    let mut net = predicts::noise(|x: &Array2<f64>, _: Point<Step>| x * 0.7);
    let terms = bound.evaluate(&x0, &mut net, &mut Given(0)).unwrap();
    // Theirs: reconstruction, steps from the cleanest, prior.
    let expected = list(&reference["terms"]);
    assert!((-terms.reconstruction[0].nats().get() - expected[0]).abs() < 1e-9 * expected[0].abs());
    for (own, theirs) in terms.steps.iter().rev().zip(&expected[1..]) {
        assert!((own[0].get() - theirs).abs() < 1e-10, "{own:?} {theirs}");
    }
    // Their prior is N(0, I), which has this of its own.
    assert!((terms.prior[0].get() - expected[5]).abs() < 1e-10);
    checked(
        VariationalBound::new(&grid, analytic.with_eta(0.5).unwrap(), Continuous),
        "eta is 0.5",
    );
}

/// A closed form: for Gaussian data every step has the right law, in any number of steps and for any eta.
#[test]
fn analytic_steps_are_exact_on_gaussian_data() {
    fn check<S: NoiseSchedule>(schedule: &S) {
        let (mean, v) = (0.4, 0.25);
        for n in [1, 2, 3, 10] {
            let grid = Grid::uniform_log_snr_between(schedule, n + 1, snr(-7.0), snr(6.0)).unwrap();
            let grid = grid.without_final_step().unwrap();
            let levels: Vec<_> = grid.nodes().iter().map(|node| node.level).collect();
            let spread = |l: NoiseLevel| l.alpha().powi(2) * v + l.sigma().powi(2);
            let moments: Vec<_> = levels
                .iter()
                .map(|l| l.sigma().powi(2) / spread(*l))
                .collect();
            let open = DenoisingVariance::from_noise_moments(&levels, &moments).unwrap();
            for eta in [1.0, 0.3, 0.0] {
                let solver = AnalyticDpm::new(open.clone()).with_eta(eta).unwrap();
                let plan = Plan::new(schedule, &grid, &solver).unwrap();
                let law = |l: NoiseLevel| Moments {
                    mean: l.alpha() * mean,
                    variance: spread(l),
                };
                let found = plan.carry(law(levels[0]), |l| {
                    Affine::of_gaussian(mean, variance(v), l)
                });
                let (found, exact) = (found.unwrap(), law(grid.end()));
                assert!((found.mean - exact.mean).abs() < 1e-12, "{n} {eta}");
                assert!(
                    (found.variance / exact.variance - 1.0).abs() < 1e-12,
                    "{n} {eta}"
                );
            }
        }
    }
    check(&Cosine);
    check(&Edm::default());
    check(&RectifiedFlow);
}

/// Measured moments are the closed forms within what chance allows, by either way; the bound with the best variance is
/// the least, for the exact expectation of it too.
#[test]
fn the_best_variance_has_the_best_bound() {
    let schedule = Discrete::cosine(200).unwrap();
    let grid = Grid::trailing(&schedule, 12).unwrap();
    let v = 0.3;
    let spread = |l: NoiseLevel| l.alpha().powi(2) * v + l.sigma().powi(2);
    let levels: Vec<_> = grid.nodes().iter().map(|node| node.level).collect();
    let exact: Vec<_> = levels
        .iter()
        .map(|l| v * l.sigma().powi(2) / spread(*l))
        .collect();
    let open = DenoisingVariance::new(&levels, &exact).unwrap();
    let nats = |variance: &dyn Fn() -> VariationalBound<Step, Continuous>| -> f64 {
        let data = Moments {
            mean: 0.0,
            variance: v,
        };
        let terms = variance().expected(data, |l| {
            Affine::of_gaussian(0.0, Variance::new(v).unwrap(), l)
        });
        -terms.unwrap().total()[0].nats().get()
    };
    let bound =
        |own: &dyn ReverseVariance| VariationalBound::new(&grid, own_ref(own), Continuous).unwrap();
    let best = nats(&|| bound(&AnalyticDpm::new(open.clone())));
    for fixed in [ModelVariance::FixedSmall, ModelVariance::FixedLarge] {
        assert!(best < nats(&|| bound(&fixed)) - 1e-3, "{fixed:?}");
    }
    for factor in [0.8, 1.25] {
        let other: Vec<_> = exact.iter().map(|open| open * factor).collect();
        let other = DenoisingVariance::new(&levels, &other).unwrap();
        assert!(best < nats(&|| bound(&AnalyticDpm::new(other.clone()))));
    }

    let mut net = GaussianMixture::isotropic(&[(1.0, [0.0, 0.0], v)]).unwrap();
    let rows = net.sample(20_000, &mut rng());
    let mut noise = SeededNoise::new(3);
    let by_noise = fit::noise_moments(&grid, &rows, &mut net, &mut noise).unwrap();
    let by_error = fit::denoising_errors(&grid, &rows, &mut net, &mut noise).unwrap();
    for (level, exact) in levels.iter().zip(&exact) {
        // 40000 squares of normals: a standard error of sqrt(2 / 40000), and five of them.
        let near = |found: &DenoisingVariance, of: f64| {
            let off = (found.at(*level).unwrap().get() - exact).abs();
            assert!(
                off < 5.0 * (2.0_f64 / 4e4).sqrt() * of,
                "{level:?}: {off} of {exact}"
            );
        };
        near(&by_error, *exact);
        near(
            &by_noise,
            level.noise_to_signal().powi(2) * level.sigma().powi(2) / spread(*level),
        );
    }
}

fn own_ref(own: &dyn ReverseVariance) -> &dyn ReverseVariance {
    own
}

#[test]
fn denoising_variances_are_checked() {
    let levels = [
        NoiseLevel::new(0.6, 0.8).unwrap(),
        NoiseLevel::new(0.8, 0.6).unwrap(),
    ];
    checked(DenoisingVariance::new(&[], &[]), "number of levels is 0");
    checked(DenoisingVariance::new(&levels, &[0.1]), "variances");
    let up = [levels[1], levels[0]];
    checked(DenoisingVariance::new(&up, &[0.1, 0.2]), "levels");
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        checked(DenoisingVariance::new(&levels, &[0.1, bad]), "variances[1]");
        checked(
            DenoisingVariance::from_noise_moments(&levels, &[bad, 0.1]),
            "second moments[0]",
        );
    }
    let noise = [NoiseLevel::NOISE, levels[0]];
    checked(
        DenoisingVariance::from_noise_moments(&noise, &[1.0, 0.5]),
        "predicted noise",
    );
    let found = DenoisingVariance::new(&levels, &[4.0, 0.25]).unwrap();
    for bad in [(1.0, 1.0), (0.0, f64::INFINITY), (f64::NAN, 1.0)] {
        checked(found.clone().within(bad.0, bad.1), "low end of the data");
    }
    checked(found.clone().within(-1e308, 1.7e308), "low end of the data");
    assert!(found.clone().within(1e308, 1.7e308).is_ok());
    // Beside a variance of 0, and from pure noise on, the way is straight: a quarter of it, and all of it.
    let line = |value: f64| NoiseLevel::variance_preserving(snr(value)).unwrap();
    for (ends, wanted) in [([0.8, 0.0], 0.6), ([0.0, 0.8], 0.2)] {
        let straight = DenoisingVariance::new(&[line(-3.0), line(1.0)], &ends).unwrap();
        assert!((straight.at(line(-2.0)).unwrap().get() - wanted).abs() < 1e-12);
    }
    let noise = DenoisingVariance::new(&[NoiseLevel::NOISE, line(1.0)], &[0.8, 0.3]).unwrap();
    assert!((noise.at(line(-2.0)).unwrap().get() - 0.3).abs() < 1e-12);
    let within = found.clone().within(-1.0, 1.0).unwrap();
    assert_eq!(within.at(levels[0]).unwrap().get(), 1.0);
    // Between the two, at the middle of the log-SNR, the geometric mean.
    let middle = NoiseLevel::variance_preserving(snr(0.0)).unwrap();
    assert!((found.at(middle).unwrap().get() - 1.0).abs() < 1e-12);
    checked(
        found.at(NoiseLevel::new(0.1, 0.9).unwrap()),
        "where the variance is known",
    );
    // A level computed another way may miss an end by a rounding, 1e-9 of 1 + |log-SNR|, and no more.
    let at = |value: f64| NoiseLevel::variance_preserving(snr(value)).unwrap();
    let wide = DenoisingVariance::new(&[at(-7.0), at(3.0)], &[0.5, 0.25]).unwrap();
    for (end, outwards, variance) in [(-7.0_f64, -1.0, 0.5), (3.0, 1.0, 0.25)] {
        let slack = outwards * 1e-9 * (1.0 + end.abs());
        let found = wide.at(at(end + 0.95 * slack)).unwrap().get();
        assert_eq!(found, variance);
        checked(
            wide.at(at(end + 1.05 * slack)),
            "where the variance is known",
        );
    }
    // Zero SNR has one when it is given.
    let whole = DenoisingVariance::new(&[NoiseLevel::NOISE, levels[1]], &[0.5, 0.2]).unwrap();
    assert_eq!(whole.at(NoiseLevel::NOISE).unwrap().get(), 0.5);
    assert_eq!(whole.at(levels[0]).unwrap().get(), 0.2);
    let analytic = AnalyticDpm::new(whole);
    checked(
        analytic.bounds(NoiseLevel::NOISE, levels[0]),
        "bound of a variance",
    );
    checked(analytic.with_eta(-1.0), "eta is -1");
}

/// A network whose mean and second output are exact: the variance of every step is that of the data given the state.
#[test]
fn learned_noise_gives_the_variance_of_a_mixture() {
    let (from, to) = (
        NoiseLevel::new(0.6, 0.8).unwrap(),
        NoiseLevel::new(0.9, 0.4).unwrap(),
    );
    let x = array![0.3];
    let cov = data().posterior_covariance(&[0.3], from).unwrap()[[0, 0]];
    let net = move |second: bool| {
        predicts::with(move |x: &Array1<f64>, at: Point<Time>| {
            let m = data().posterior_mean(&[x[0]], at.level).unwrap()[0];
            let eps = (x[0] - 0.6 * m) / 0.8;
            let residual = cov * 0.36 / 0.64;
            let own = residual + if second { eps * eps } else { 0.0 };
            Ok(Prediction::x0(array![m]).with_variance(array![own]))
        })
    };
    let q =
        gaussian_diffusion::Posterior::coefficients(&gaussian_diffusion::Markov, from, to).unwrap();
    let exact = q.std * q.std + q.clean * q.clean * cov;
    for (second, output) in [
        (false, NoiseOutput::Residual),
        (true, NoiseOutput::SecondMoment),
    ] {
        let mut net = LearnedNoise::new(net(second), output);
        let at = Point::new(Time::new(0.5).unwrap(), from, to);
        let found = net.predict(&x, at).unwrap().variance.unwrap()[0].exp();
        assert!((found - exact).abs() < 1e-14, "{found} {exact}");
        let mut less = net.within(-0.05, 0.05).unwrap();
        let found = less.predict(&x, at).unwrap().variance.unwrap()[0].exp();
        assert!((found - q.std * q.std - q.clean * q.clean * 0.0025).abs() < 1e-14);
    }
    let mut without = LearnedNoise::new(data(), NoiseOutput::Residual);
    let at = Point::new(Time::new(0.5).unwrap(), from, to);
    checked(without.predict(&array![[0.1]], at), "second output");
    checked(without.within(1.0, 1.0), "low end");
    let wide = LearnedNoise::new(data(), NoiseOutput::Residual);
    checked(wide.within(-1e308, 1e308), "low end");
    // A run draws with it.
    let plan = Plan::new(
        &Cosine,
        &Grid::uniform_log_snr_between(&Cosine, 6, snr(-6.0), snr(6.0)).unwrap(),
        &Ddpm::new(ModelVariance::Learned),
    );
    let plan = plan.unwrap();
    let mut net = LearnedNoise::new(net(false), NoiseOutput::Residual);
    let x = plan
        .sample(array![0.2], &mut net, &mut SeededNoise::new(0))
        .unwrap();
    assert!(x[0].is_finite());
}

/// The model of a state that preserves variance is that of the same state over alpha.
#[test]
fn consistency_models_are_the_same_in_every_scale() {
    let (min, data) = (Sigma::new(0.002).unwrap(), SigmaData::new(0.5).unwrap());
    for alpha in [0.2_f64, 0.6, 0.95] {
        let level =
            NoiseLevel::variance_preserving(snr(2.0 * (alpha / (1.0 - alpha * alpha).sqrt()).ln()));
        let level = level.unwrap();
        let ratio = level.noise_to_signal();
        let scaled = consistency_model(level, min, data).unwrap();
        let plain = NoiseLevel::new(1.0, ratio).unwrap();
        let plain = consistency_model(plain, min, data).unwrap();
        for (found, wanted) in [
            (scaled.skip * level.alpha(), plain.skip),
            (scaled.input * level.alpha(), plain.input),
            (scaled.out, plain.out),
            (scaled.conditioning, plain.conditioning),
        ] {
            assert!(
                (found / wanted - 1.0).abs() < 1e-13,
                "{alpha}: {found} {wanted}"
            );
        }
    }
}

/// What a network says of a variance that is negative, or next to none, counts as the least there is.
#[test]
fn learned_variances_have_a_floor() {
    let (from, to) = (
        NoiseLevel::new(0.6, 0.8).unwrap(),
        NoiseLevel::new(0.9, 0.4).unwrap(),
    );
    let q = gaussian_diffusion::Posterior::coefficients(&gaussian_diffusion::Markov, from, to);
    let (q, at) = (q.unwrap(), Point::new((), from, to));
    let says = |output, residual: f64| {
        let net = predicts::with(move |_: &Array1<f64>, _: Point<()>| {
            Ok(Prediction::noise(array![0.5]).with_variance(array![residual]))
        });
        let answer = LearnedNoise::new(net, output).predict(&array![0.1], at);
        answer.unwrap().variance.unwrap()[0]
    };
    let exact = |r: f64| (q.std * q.std + q.clean * q.clean * r * 0.64 / 0.36).ln();
    for (residual, counted) in [
        (-3.0, 1e-6),
        (0.0, 1e-6),
        (1e-9, 1e-6),
        (1e-4, 1e-4),
        (1.0, 1.0),
        (7.0, 1.0),
    ] {
        let found = says(NoiseOutput::Residual, residual);
        assert!(
            (found - exact(counted)).abs() < 1e-14,
            "{residual}: {found}"
        );
        // The square of the noise more.
        let found = says(NoiseOutput::SecondMoment, residual + 0.25);
        assert!(
            (found - exact(counted)).abs() < 1e-14,
            "{residual}: {found}"
        );
    }
}

/// The form of a turn, on levels of any scale: what it makes of a state is the same.
#[test]
fn trigflow_is_the_same_in_every_scale() {
    use gaussian_diffusion::denoiser::trigflow;
    let data = SigmaData::new(0.4).unwrap();
    for angle in [0.1_f64, 0.7, 1.4] {
        for scale in [1.0, 0.3, 2.5] {
            let (alpha, sigma) = (scale * angle.cos(), scale * 0.4 * angle.sin());
            let c = trigflow(NoiseLevel::new(alpha, sigma).unwrap(), data);
            for (found, expected) in [
                (c.skip * scale, angle.cos()),
                (c.out, -0.4 * angle.sin()),
                (c.input * scale, 2.5),
                (c.conditioning, angle),
            ] {
                assert!(
                    (found - expected).abs() < 1e-15,
                    "{angle}, {scale}: {found}"
                );
            }
        }
    }
}

/// A consistency model where variance explodes, by its formula; without noise, or with nothing else, it has none.
#[test]
fn consistency_models_have_their_formula() {
    let (min, data) = (Sigma::new(0.1).unwrap(), SigmaData::new(0.5).unwrap());
    for sigma in [0.1_f64, 0.7, 30.0] {
        let level = NoiseLevel::new(1.0, sigma).unwrap();
        let c = consistency_model(level, min, data).unwrap();
        let above = sigma - 0.1;
        for (found, expected) in [
            (c.skip, 0.25 / (above * above + 0.25)),
            (c.out, 0.5 * above / (sigma * sigma + 0.25).sqrt()),
            (c.input, 1.0 / (sigma * sigma + 0.25).sqrt()),
            (c.conditioning, 1000.0 * 0.25 * sigma.ln()),
        ] {
            assert!(
                (found - expected).abs() <= 1e-14 * expected.abs(),
                "{sigma}: {found}"
            );
        }
    }
    for level in [NoiseLevel::CLEAN, NoiseLevel::NOISE] {
        checked(
            consistency_model(level, min, data).map(drop),
            "a consistency model has no value",
        );
    }
}

/// A closure is a correction of the data that a network predicts.
#[test]
fn closures_correct() {
    let net = predicts::x0(|x: &Array1<f64>, _: Point<()>| x * 2.0);
    let mut net = net.corrected(|x0: &mut Array1<f64>, _: Point<()>| {
        *x0 += 1.0;
        Ok(())
    });
    let at = Point::new((), NoiseLevel::new(0.6, 0.8).unwrap(), NoiseLevel::CLEAN);
    assert_eq!(net.predict(&array![0.5], at).unwrap().value, array![2.0]);
}
