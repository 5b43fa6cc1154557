//! The samplers of k-diffusion, replayed.

mod common {
    pub mod reference;
}

use std::collections::VecDeque;

use common::reference::{numbers, reference};
use gaussian_diffusion::{
    Denoiser, Error, Grid, LogSnr, NoiseSchedule, Plan, Point, Prediction, ReverseStep, Sigma,
    noise::{Interval, NoiseSource, Scale},
    predicts,
    schedule::Edm,
    solver::{
        Ancestral, Churn, Ddim, DpmAdaptive, DpmSde, DpmSolver, LinearMultistep, RungeKutta,
        SingleStep,
    },
};
use ndarray::{Array1, Array2, Axis};
use serde_json::Value;

/// The largest difference, relative to numbers above 1.
fn off(found: &Array1<f64>, expected: &Value) -> f64 {
    let expected = numbers(expected);
    let off = |(a, b): (&f64, &f64)| (a - b).abs() / b.abs().max(1.0);
    found.iter().zip(&expected).map(off).fold(0.0, f64::max)
}

/// Normals as they were drawn, in order.
struct Replay {
    normals: VecDeque<Array1<f64>>,
    /// Before churn, the reference draws one in every step, used or not: the steps it has drawn for.
    drawn_for: Option<usize>,
    step: usize,
}

impl NoiseSource<Array1<f64>> for Replay {
    fn add(
        &mut self,
        x: &mut Array1<f64>,
        scale: Scale<'_, Array1<f64>>,
        _: Option<Interval>,
    ) -> Result<(), Error> {
        let Scale::Same(std) = scale else {
            unreachable!()
        };
        if let Some(drawn) = &mut self.drawn_for {
            self.normals.drain(..self.step - *drawn);
            *drawn = self.step + 1;
        }
        x.scaled_add(std, &self.normals.pop_front().unwrap());
        Ok(())
    }
}

impl NoiseSource<Array2<f64>> for Replay {
    fn add(
        &mut self,
        x: &mut Array2<f64>,
        scale: Scale<'_, Array2<f64>>,
        over: Option<Interval>,
    ) -> Result<(), Error> {
        let Scale::Same(std) = scale else {
            unreachable!()
        };
        let mut row = x.row(0).to_owned();
        self.add(&mut row, Scale::Same(std), over)?;
        x.row_mut(0).assign(&row);
        Ok(())
    }
}

/// EDM's preconditioning of an elementwise network, as the README of the reference has it.
fn network() -> impl Denoiser<Array1<f64>, Sigma> {
    predicts::x0(|x: &Array1<f64>, at: Point<Sigma>| {
        let (s, d) = (at.level.sigma(), 0.5_f64);
        let total = s * s + d * d;
        let c = 1.0 / total.sqrt();
        x.mapv(|x| {
            let f = 0.8 * (c * x).tanh() + 0.2 * (2.0 * c * x + s.ln() / 4.0).cos();
            d * d / total * x + s * d * c * f
        })
    })
}

fn solver(case: &Value) -> Box<dyn ReverseStep> {
    let args = &case["args"];
    let number = |key: &str, default: f64| args[key].as_f64().unwrap_or(default);
    let eta = number("eta", 1.0);
    let s_noise = number("s_noise", 1.0);
    let churn = |inner: Box<dyn ReverseStep>| -> Box<dyn ReverseStep> {
        let amount = number("s_churn", 0.0);
        let range = (number("s_tmin", 0.0), number("s_tmax", 1e100));
        Box::new(
            Churn::new(inner, amount)
                .unwrap()
                .with_noise_between(Sigma::new(range.0).unwrap(), Sigma::new(range.1).unwrap())
                .unwrap()
                .with_noise_factor(s_noise)
                .unwrap(),
        )
    };
    let ancestral = |inner: Box<dyn ReverseStep>| -> Box<dyn ReverseStep> {
        Box::new(
            Ancestral::new(inner, eta)
                .unwrap()
                .with_noise_factor(s_noise)
                .unwrap(),
        )
    };
    // Its eta of these is the square of tau.
    let sde = |order| {
        let solver = DpmSolver::plus_plus(order)
            .unwrap()
            .with_tau(eta.sqrt())
            .unwrap();
        let solver = solver.with_noise_factor(s_noise).unwrap();
        // The second step of 3M takes the first difference with its exact integral.
        match order == 3 || args["solver_type"] == "heun" {
            true => Box::new(solver.with_exact_integrals()),
            false => Box::new(solver),
        }
    };
    let order = args["order"].as_u64().unwrap_or(4) as usize;
    match case["sampler"].as_str().unwrap() {
        "euler" => churn(Box::<Ddim>::default()),
        "heun" => churn(Box::new(RungeKutta::heun())),
        "dpm_2" => churn(Box::new(RungeKutta::dpm2())),
        "lms" => Box::new(LinearMultistep::lms(order).unwrap()),
        "dpmpp_2m" => Box::new(DpmSolver::plus_plus(2).unwrap()),
        "euler_ancestral" => ancestral(Box::<Ddim>::default()),
        "dpm_2_ancestral" => ancestral(Box::new(RungeKutta::dpm2())),
        "dpmpp_2s_ancestral" => ancestral(Box::new(SingleStep::plus_plus(2).unwrap())),
        "dpmpp_sde" => Box::new(
            DpmSde::new(eta)
                .unwrap()
                .with_fraction(number("r", 0.5))
                .unwrap()
                .with_noise_factor(s_noise)
                .unwrap(),
        ),
        "dpmpp_2m_sde" => sde(2),
        "dpmpp_3m_sde" => sde(3),
        "dpm_fast" => {
            let inner = SingleStep::fast(args["n"].as_u64().unwrap() as usize).unwrap();
            Box::new(
                Ancestral::new(inner, number("eta", 0.0))
                    .unwrap()
                    .with_floor(),
            )
        }
        other => panic!("{other}"),
    }
}

fn grid(case: &Value, schedule: &Edm) -> Grid<Sigma> {
    if case["sampler"] == "dpm_fast" {
        let bound = |key: &str| {
            LogSnr::from_sigma(Sigma::new(case["args"][key].as_f64().unwrap()).unwrap())
        };
        let steps = SingleStep::fast_steps(case["args"]["n"].as_u64().unwrap() as usize);
        let (from, to) = (bound("sigma_max"), bound("sigma_min"));
        let nodes: Vec<_> = (0..steps)
            .map(|i| i as f64 / steps as f64)
            .map(|f| LogSnr::new(from.get() * (1.0 - f) + to.get() * f).unwrap())
            .collect();
        let end = schedule.level_at(to).unwrap();
        return Grid::at_log_snrs(schedule, &nodes)
            .unwrap()
            .ending_at(end)
            .unwrap();
    }
    let sigmas = numbers(&case["sigmas"]);
    let sigmas: Vec<_> = sigmas.iter().map(|&s| Sigma::new(s).unwrap()).collect();
    Grid::at(schedule, &sigmas).unwrap()
}

#[test]
fn trajectories_agree_to_1e_9() {
    let reference = reference("k_diffusion.json");
    let schedule = Edm::default();
    let (mut runs, mut calls) = (0, 0);
    for case in reference.as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        if case["sampler"] == "dpm_adaptive" {
            continue;
        }
        let plan = Plan::new(&schedule, &grid(case, &schedule), &solver(case)).unwrap();
        let normals = case["noise"]
            .as_array()
            .unwrap()
            .iter()
            .map(|z| Array1::from(numbers(z)))
            .collect();
        let churns = ["euler", "heun", "dpm_2"]
            .iter()
            .any(|&name| case["sampler"] == name);
        let mut noise = Replay {
            normals,
            drawn_for: churns.then_some(0),
            step: 0,
        };
        let mut net = network();
        let mut run = plan
            .start_from(Array1::from(numbers(&case["start"])), &mut noise)
            .unwrap();
        let mut expected = case["calls"].as_array().unwrap().iter();
        while let Some((x, at)) = run.pending() {
            let call = expected.next().unwrap();
            let sigma = call["sigma"].as_f64().unwrap();
            assert!(
                (at.level.sigma() / sigma - 1.0).abs() < 1e-12,
                "{name}, {at:?} for {sigma}"
            );
            let off_x = off(x, &call["x"]);
            assert!(off_x <= 1e-9, "{name}, x at {at:?}: {off_x:e}");
            let answer = net.predict(x, at).unwrap();
            assert!(off(&answer.value, &call["denoised"]) <= 1e-9, "{name}");
            // Churn comes before the next step.
            noise.step = at.step + 1;
            run.supply(answer, &mut noise).unwrap();
            calls += 1;
        }
        assert!(expected.next().is_none(), "{name} has more calls");
        let end = off(run.state(), &case["final"]);
        assert!(end <= 1e-9, "{name}: {end:e}");
        runs += 1;
    }
    assert_eq!((runs, calls), (42, 442));
}

/// Gains, safety and first steps of one's own: what each of them does shows in the steps.
#[test]
fn controllers_agree_to_1e_9() {
    let file = reference("k_diffusion_controller.json");
    let number = |value: &Value| value.as_f64().unwrap();
    let bound = |key: &str| LogSnr::from_sigma(Sigma::new(number(&file[key])).unwrap());
    for run in file["runs"].as_array().unwrap() {
        let gains = [0, 1, 2].map(|i| number(&run["gains"][i]));
        let solver = DpmAdaptive::new(run["order"].as_u64().unwrap() as usize)
            .and_then(|solver| solver.with_controller(gains, number(&run["safety"])))
            .and_then(|solver| solver.with_first_step(number(&run["first"])))
            .unwrap();
        let mut inner = network();
        let mut net = predicts::with(|x: &Array2<f64>, at: Point<Sigma>| {
            let x0 = inner.predict(&x.row(0).to_owned(), at)?.value;
            Ok(Prediction::x0(x0.insert_axis(Axis(0))))
        });
        let start = Array1::from(numbers(&file["start"])).insert_axis(Axis(0));
        let (from, to) = (bound("sigma_max"), bound("sigma_min"));
        let mut noise = gaussian_diffusion::SeededNoise::new(0);
        let schedule = Edm::default();
        let (end, report) = solver
            .sample(&schedule, from, to, start, &mut net, &mut noise)
            .unwrap();
        let count = |key: &str| run["info"][key].as_u64().unwrap() as usize;
        let found = (report.evaluations, report.accepted, report.rejected);
        assert_eq!(found, (count("nfe"), count("n_accept"), count("n_reject")));
        let off = off(&end.row(0).to_owned(), &run["final"]);
        assert!(off <= 1e-9, "{run}: {off:e}");
    }
}

/// The steps too: their number, and which were tried in vain.
#[test]
fn adaptive_runs_agree_to_1e_9() {
    let reference = reference("k_diffusion.json");
    let schedule = Edm::default();
    let mut runs = 0;
    for case in reference.as_array().unwrap() {
        if case["sampler"] != "dpm_adaptive" {
            continue;
        }
        let (name, args) = (case["name"].as_str().unwrap(), &case["args"]);
        let bound =
            |key: &str| LogSnr::from_sigma(Sigma::new(args[key].as_f64().unwrap()).unwrap());
        let solver = DpmAdaptive::new(args["order"].as_u64().unwrap() as usize)
            .and_then(|solver| solver.with_eta(args["eta"].as_f64().unwrap(), 1.0))
            .unwrap();
        let normals = case["noise"]
            .as_array()
            .unwrap()
            .iter()
            .map(|z| Array1::from(numbers(z)))
            .collect();
        let mut noise = Replay {
            normals,
            drawn_for: None,
            step: 0,
        };
        // What the network is asked, and what it should be.
        let mut calls = case["calls"].as_array().unwrap().iter();
        let mut inner = network();
        let mut net = predicts::with(|x: &Array2<f64>, at: Point<Sigma>| {
            let (x, call) = (x.row(0).to_owned(), calls.next().unwrap());
            let off = off(&x, &call["x"]);
            assert!(off <= 1e-9, "{name}: {off:e} at {at:?}");
            let x0 = inner.predict(&x, at)?.value;
            Ok(Prediction::x0(x0.insert_axis(Axis(0))))
        });
        // One item: the error is that of all its elements.
        let start = Array1::from(numbers(&case["start"])).insert_axis(Axis(0));
        let (from, to) = (bound("sigma_max"), bound("sigma_min"));
        let (end, report) = solver
            .sample(&schedule, from, to, start, &mut net, &mut noise)
            .unwrap();
        assert!(
            off(&end.row(0).to_owned(), &case["final"]) <= 1e-9,
            "{name}"
        );
        let info = &case["info"];
        let count = |key: &str| info[key].as_u64().unwrap() as usize;
        assert_eq!(report.evaluations, count("nfe"), "{name}");
        assert_eq!(report.accepted, count("n_accept"), "{name}");
        assert_eq!(report.rejected, count("n_reject"), "{name}");
        runs += 1;
    }
    assert_eq!(runs, 3);
}
