//! Stochastic steps for policy gradients, their densities and what they leave in the law.

use std::collections::VecDeque;

use gaussian_diffusion::{
    Error, Grid, ModelVariance, NoiseSchedule, Plan, Point, Prediction, ReverseStep, Time,
    UpdateNoise, Variance,
    likelihood::{StepDensity, step_log_density},
    noise::{Interval, NoiseSource, Scale},
    plan::{Affine, Moments},
    schedule::{Cosine, Discrete, Edm, RectifiedFlow, Shifted, VpLinear},
    solver::{
        Ancestral, Coordinates, Ddim, Ddpm, Descent, DpmSolver, EulerMaruyama, FinalMean,
        LeastNoise,
    },
};
use ndarray::{Array2, array};

use super::{close, list, reference};

/// Draws as they are given.
struct Replay(VecDeque<Array2<f64>>);

impl NoiseSource<Array2<f64>> for Replay {
    fn add(
        &mut self,
        x: &mut Array2<f64>,
        scale: Scale<'_, Array2<f64>>,
        _: Option<Interval>,
    ) -> Result<(), Error> {
        let Scale::Same(std) = scale else {
            unreachable!()
        };
        x.scaled_add(std, &self.0.pop_front().unwrap());
        Ok(())
    }
}

fn redrawn(noise_level: f64) -> Ancestral<Ddim> {
    let share = (noise_level * std::f64::consts::FRAC_PI_2).sin();
    Ancestral::with_descent(Ddim::default(), Descent::Redrawn(share)).unwrap()
}

/// States and log-densities of the programs, on the same noise.
#[test]
fn steps_and_their_densities_meet_those_of_flow_grpo() {
    for row in reference("flow_grpo.json").as_array().unwrap() {
        let schedule = Shifted::flow(row["shift"].as_f64().unwrap()).unwrap();
        let steps = row["steps"].as_f64().unwrap() as usize;
        let level = row["noise_level"].as_f64().unwrap();
        let grid = Grid::uniform_time(&schedule, steps).unwrap();
        let solver: Box<dyn ReverseStep> = match row["kind"].as_str().unwrap() {
            "sde" => Box::new(EulerMaruyama::flow_grpo(level).unwrap()),
            _ => Box::new(redrawn(level)),
        };
        let plan = Plan::new(&schedule, &grid, &solver).unwrap();
        let place = |f: &dyn Fn(f64) -> f64| Array2::from_shape_fn((1, 4), |(_, k)| f(k as f64));
        let start = place(&|k| (1.3 * k + 0.2).sin());
        let noise = (0..steps).map(|i| place(&|k| 1.2 * (2.1 * k + 0.9 * i as f64 + 0.5).sin()));
        let mut noise = Replay(noise.collect());
        let mut run = plan.start_from(start, &mut noise).unwrap();
        for (i, planned) in plan.stages().iter().enumerate() {
            let (x, at) = run.pending().unwrap();
            let x = x.clone();
            // The clock of a shifted flow is that of the flow itself, after its shift.
            let u = at.level.sigma();
            let velocity = x.mapv(|x: f64| 0.8 * x.tanh() + 0.2 * (2.0 * x + u).cos());
            let answer = Prediction::flow(velocity);
            run.supply(answer.clone(), &mut noise).unwrap();
            for (found, expected) in run.state().iter().zip(list(&row["states"][i])) {
                close(*found, expected, 1e-12, (row["kind"].to_string(), i));
            }
            let found = step_log_density(planned, &x, &answer, run.state()).unwrap();
            match row["mean_log_density"][i].as_f64() {
                Some(mean) => {
                    let found = found.unwrap()[0].nats().get() / 4.0;
                    close(found, mean, 1e-10, (row["kind"].to_string(), i));
                }
                None => assert!(found.is_none(), "{row}"),
            }
        }
    }
}

/// What the table of the documentation says, for ten steps of a flow of shift 3.
#[test]
fn the_law_is_left_as_the_documentation_says() {
    let schedule = Shifted::flow(3.0).unwrap();
    let grid = Grid::uniform_time(&schedule, 10).unwrap();
    let end = |solver: &dyn ReverseStep| {
        let plan = Plan::new(&schedule, &grid, solver).unwrap();
        let point = |level| Affine::of_gaussian(0.0, Variance::new(0.0).unwrap(), level);
        let start = Moments {
            mean: 0.0,
            variance: 1.0,
        };
        let end = plan.carry(start, point).unwrap();
        println!(
            "{:24} defect {:.4}, deviation {:.4}",
            plan.name(),
            plan.defect().unwrap(),
            end.variance.sqrt()
        );
        (plan.defect().unwrap(), end.variance.sqrt())
    };
    let a = 0.7_f64;
    let tau = a / 2.0_f64.sqrt();
    let grpo = EulerMaruyama::flow_grpo(a).unwrap();
    for (solver, defect, deviation) in [
        (&grpo as &dyn ReverseStep, 0.134, 0.228),
        (&FinalMean::new(grpo), 0.072, 0.105),
        (&EulerMaruyama::new(tau).unwrap(), 0.417, 0.0),
        (
            &EulerMaruyama::new(tau)
                .unwrap()
                .with_coordinates(Coordinates::Flow),
            0.055,
            0.0,
        ),
        (&redrawn(a), 0.0, 0.0),
        (&Ddim::new(0.8).unwrap(), 0.0, 0.0),
        (
            &DpmSolver::plus_plus(1).unwrap().with_tau(tau).unwrap(),
            0.0,
            0.0,
        ),
    ] {
        let found = end(solver);
        assert!((found.0 - defect).abs() < 5e-4, "{defect}: {found:?}");
        assert!((found.1 - deviation).abs() < 5e-4, "{deviation}: {found:?}");
    }
}

/// In every set of coordinates, on every family: the law closes as 1/n, and no noise is the straight line.
#[test]
fn the_equation_in_all_coordinates_converges() {
    fn check<S: NoiseSchedule>(schedule: &S, grid: impl Fn(usize) -> Grid<S::Time>) {
        for own in [Coordinates::Noise, Coordinates::Flow, Coordinates::Data] {
            let solver = |tau| EulerMaruyama::new(tau).unwrap().with_coordinates(own);
            let defect = |tau, n| {
                let plan = Plan::new(schedule, &grid(n), &solver(tau)).unwrap();
                plan.defect().unwrap()
            };
            for tau in [0.5, 1.0] {
                let ratio = defect(tau, 400) / defect(tau, 800);
                assert!((ratio - 2.0).abs() < 0.25, "{own:?} {tau}: {ratio}");
            }
            assert!(defect(0.0, 10) < 1e-12, "{own:?}");
        }
        // Flow-GRPO's is the same but for its ends.
        let ours = EulerMaruyama::new(0.7 / 2.0_f64.sqrt()).unwrap();
        let ours = ours.with_coordinates(Coordinates::Flow);
        let theirs = EulerMaruyama::flow_grpo(0.7).unwrap();
        let [ours, theirs] = [ours, theirs].map(|s| Plan::new(schedule, &grid(7), &s).unwrap());
        for (ours, theirs) in ours.stages().iter().zip(theirs.stages()).take(6) {
            let [ours, theirs] =
                [ours, theirs].map(|planned| planned.stage.commit.clone().unwrap());
            close(ours.state, theirs.state, 1e-14, "state");
            close(ours.model[0], theirs.model[0], 1e-14, "model");
        }
    }
    let between = |n: usize| (n, (-5.0, 5.0));
    macro_rules! on {
        ($schedule:expr) => {{
            let schedule = $schedule;
            check(&schedule, |n| {
                let (n, (low, high)) = between(n);
                let snr = |x| gaussian_diffusion::LogSnr::new(x).unwrap();
                Grid::uniform_log_snr_between(&schedule, n, snr(low), snr(high)).unwrap()
            });
        }};
    }
    on!(VpLinear::new(0.1, 20.0).unwrap());
    on!(Cosine);
    on!(Edm::default());
    on!(RectifiedFlow);
}

/// Ends: with noise everywhere but in the last step, and none without tau.
#[test]
fn ends_are_limits() {
    let grid = Grid::uniform_time(&RectifiedFlow, 5).unwrap();
    for own in [Coordinates::Noise, Coordinates::Flow, Coordinates::Data] {
        for tau in [0.0, 0.7] {
            let solver = EulerMaruyama::new(tau).unwrap().with_coordinates(own);
            let plan = Plan::new(&RectifiedFlow, &grid, &solver).unwrap();
            assert!(plan.defect().unwrap() < if tau == 0.0 { 1e-14 } else { 1.0 });
            let point = |level| Affine::of_gaussian(2.0, Variance::new(0.0).unwrap(), level);
            let end = plan
                .carry(
                    Moments {
                        mean: 0.0,
                        variance: 1.0,
                    },
                    point,
                )
                .unwrap();
            close(end.mean, 2.0, 1e-14, own);
            assert!(end.variance < 1e-30, "{own:?} {}", end.variance);
        }
    }
    let schedule = Discrete::stable_diffusion().unwrap();
    let inverted = Grid::trailing(&schedule, 5).unwrap().inverted();
    let grpo = |a| EulerMaruyama::flow_grpo(a).unwrap();
    assert!(Plan::new(&schedule, &inverted, &grpo(0.7)).is_err());
    assert!(Plan::new(&schedule, &inverted, &grpo(0.0)).is_ok());
    // One step from noise to data: the deviation is that of the end, a.
    let one = Grid::uniform_time(&RectifiedFlow, 1).unwrap();
    let plan = Plan::new(&RectifiedFlow, &one, &grpo(0.7)).unwrap();
    assert!(plan.defect().unwrap().is_finite());
    for bad in [-0.1, 4.1, f64::NAN] {
        assert!(EulerMaruyama::flow_grpo(bad).is_err());
        assert!(Ancestral::with_descent(Ddim::default(), Descent::Redrawn(bad)).is_err());
    }
    // All of the noise anew is the step of consistency models: data, and fresh noise.
    let all = redrawn(1.0);
    let plan = Plan::new(&RectifiedFlow, &grid, &all).unwrap();
    let commit = plan.stages()[1].stage.commit.clone().unwrap();
    assert_eq!(commit.state, 0.0);
    let _: (Point<Time>, _) = (plan.stages()[0].point, array![0.0]);
}

/// Against the formula of a normal density, for fixed, learned and no noise.
#[test]
fn a_floor_is_under_the_deviation_and_nothing_else() {
    let schedule = Discrete::cosine(100).unwrap();
    let grid = Grid::trailing(&schedule, 5).unwrap();
    let floor = |least| StepDensity::default().with_least_std(least).unwrap();
    let x = array![[0.4, -1.0, 0.2], [2.0, 0.1, -0.6]];
    let answer = Prediction::x0(x.mapv(|x: f64| 0.5 * x)).with_variance(x.mapv(|x| x - 3.0));
    let next = x.mapv(|x| 0.7 * x + 0.05);
    let solvers: [Box<dyn ReverseStep>; 4] = [
        Box::new(Ddpm::default()),
        Box::new(Ddpm::new(ModelVariance::Learned)),
        Box::new(Ddim::default()),
        Box::new(LeastNoise::new(Ddpm::default(), 0.3).unwrap()),
    ];
    for solver in solvers {
        let plan = Plan::new(&schedule, &grid, &solver).unwrap();
        for planned in plan.stages() {
            let update = planned.stage.commit.clone().unwrap();
            for least in [0.0, 1e-3, 0.3, 5.0] {
                let found = floor(least)
                    .log_density(planned, &x, &answer, &next)
                    .unwrap();
                if least == 0.0 {
                    let plain = step_log_density(planned, &x, &answer, &next).unwrap();
                    assert_eq!(found, plain);
                    assert_eq!(found.is_none(), update.noise == UpdateNoise::NONE);
                }
                let Some(found) = found else { continue };
                for i in 0..2 {
                    let expected: f64 = (0..3)
                        .map(|j| {
                            let std = match update.noise {
                                UpdateNoise::Std(std) => std,
                                _ => (0.5 * (x[[i, j]] - 3.0)).exp(),
                            };
                            let std = std.max(least);
                            let mean = update.state * x[[i, j]] + update.model[0] * 0.5 * x[[i, j]];
                            let z = (next[[i, j]] - mean) / std;
                            -0.5 * z * z - (std * (2.0 * std::f64::consts::PI).sqrt()).ln()
                        })
                        .sum();
                    close(found[i].nats().get(), expected, 1e-12, (plan.name(), least));
                }
            }
        }
    }
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(StepDensity::default().with_least_std(bad).is_err());
        assert!(LeastNoise::new(Ddpm::default(), bad).is_err());
    }
    let learned = LeastNoise::new(Ddpm::new(ModelVariance::Learned), 0.1).unwrap();
    assert!(Plan::new(&schedule, &grid, &learned).is_err());
    let mut unknown = answer.clone();
    unknown.variance = Some(x.mapv(|_| f64::NAN));
    let plan = Plan::new(&schedule, &grid, &Ddpm::new(ModelVariance::Learned)).unwrap();
    let found = floor(0.1).log_density(&plan.stages()[1], &x, &unknown, &next);
    assert!(found.is_err());
}
