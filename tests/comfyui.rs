//! Solvers by ComfyUI's names, held to what its code computes in float64 with the same noise.

use gaussian_diffusion::{
    Clock, Denoiser, Error, Grid, LogSnr, NoiseSchedule, Plan, Point, Prediction, Sampler, Sigma,
    Step,
    guidance::{CfgPlusPlus, Combination, Guided},
    noise::{Interval, NoiseSource, Scale},
    predicts,
    sampler::SolverName,
    schedule::{Discrete, Shifted},
};
use ndarray::{Array1, Array2, Axis};
use serde_json::Value;

type X = Array1<f64>;

fn list(value: &Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap())
        .collect()
}

/// The normals of the reference, one after the other.
struct Replay(std::vec::IntoIter<X>);

impl NoiseSource<X> for Replay {
    fn add(&mut self, x: &mut X, scale: Scale<'_, X>, _: Option<Interval>) -> Result<(), Error> {
        let Scale::Same(std) = scale else { panic!() };
        let z = self.0.next().ok_or(Error::Missing {
            what: "noise",
            needed_by: "a draw the program does not make",
        })?;
        *x += &(z * std);
        Ok(())
    }
}

/// The state and the ratio as the program has them: of flows as they are, else over `alpha`.
fn seen<T>(x: &X, at: &Point<T>, is_flow: bool) -> (X, f64) {
    match is_flow {
        true => (x.clone(), at.level.sigma()),
        false => (x / at.level.alpha(), at.level.noise_to_signal()),
    }
}

fn conditional(x: &X, s: f64) -> X {
    let c = (1.0 + s * s).sqrt().recip();
    x.mapv(|x| 0.8 * (c * x).tanh() + 0.2 * (2.0 * c * x + s / (1.0 + s)).cos())
}

fn unconditional(x: &X, s: f64) -> X {
    let c = (1.0 + s * s).sqrt().recip();
    x.mapv(|x| 0.5 * (c * x + 0.3).tanh() - 0.1 * (c * x).cos())
}

fn denoiser<T: Copy + std::fmt::Debug + 'static>(
    is_flow: bool,
    is_plus_plus: bool,
) -> Box<dyn Denoiser<X, T>> {
    let with = predicts::x0(move |x: &X, at: Point<T>| {
        let (x, s) = seen(x, &at, is_flow);
        conditional(&x, s)
    });
    let without = predicts::x0(move |x: &X, at: Point<T>| {
        let (x, s) = seen(x, &at, is_flow);
        unconditional(&x, s)
    });
    let rule = Combination::classifier_free(1.8).unwrap();
    match is_plus_plus {
        true => Box::new(CfgPlusPlus::new((with, without), rule)),
        false => Box::new(Guided::new((with, without), rule)),
    }
}

fn grid<S: NoiseSchedule<Time: Clock>>(schedule: &S, case: &Value, is_flow: bool) -> Grid<S::Time> {
    let sigmas = list(&case["sigmas"]);
    let snrs: Vec<_> = sigmas[..sigmas.len() - 1]
        .iter()
        .map(|&s| match is_flow {
            true => LogSnr::new(2.0 * ((1.0 - s) / s).ln()).unwrap(),
            false => LogSnr::from_sigma(Sigma::new(s).unwrap()),
        })
        .collect();
    Grid::at_log_snrs(schedule, &snrs).unwrap()
}

/// With a node between the last one and the data.
fn with_one_more<S: NoiseSchedule<Time: Clock>>(
    schedule: &S,
    grid: &Grid<S::Time>,
) -> Result<Grid<S::Time>, Error> {
    let mut nodes = grid.nodes().to_vec();
    let snr = LogSnr::new(nodes[nodes.len() - 1].level.log_snr().get() + 1.0)?;
    nodes.extend(Grid::at_log_snrs(schedule, &[snr])?.nodes());
    Grid::new(nodes, grid.end())
}

/// The largest distance in what the network is shown and at the end.
fn distance<S: NoiseSchedule<Time: Clock + std::fmt::Debug + 'static>>(
    schedule: &S,
    case: &Value,
) -> Result<f64, Error> {
    let is_flow = case["model"] == "flow";
    let name: SolverName = case["name"].as_str().unwrap().parse()?;
    let listed = grid(schedule, case, is_flow);
    let n = listed.len();
    let grid = match name.discards_penultimate() {
        // The list is the one that is left.
        true => name.grid(schedule, with_one_more(schedule, &listed)?, n)?,
        false => name.grid(schedule, listed, n)?,
    };
    let solver = name.solver(schedule, &grid, n)?;
    let plan = Plan::new(schedule, &grid, &solver)?;
    let noise: Vec<_> = case["noise"]
        .as_array()
        .unwrap()
        .iter()
        .map(|z| X::from(list(z)))
        .collect();
    let mut noise = Replay(noise.into_iter());
    let plus_plus = case["name"].as_str().unwrap().ends_with("cfg_pp");
    let mut net = denoiser::<S::Time>(is_flow, plus_plus);
    let first = plan.levels()[0];
    let start = X::from(list(&case["start"])) * if is_flow { 1.0 } else { first.alpha() };
    let mut run = plan.start_from(start, &mut noise)?;
    let calls = case["calls"].as_array().unwrap();
    let mut worst = 0.0_f64;
    let mut far = |x: &X, y: &[f64]| {
        for (a, b) in x.iter().zip(y) {
            worst = worst.max((a - b).abs());
        }
    };
    for call in calls {
        let call = list(call);
        let Some((x, at)) = run.pending() else {
            return Ok(f64::INFINITY);
        };
        let (seen, s) = seen(x, &at, is_flow);
        if (s / call[0] - 1.0).abs() > 1e-9 {
            return Ok(f64::INFINITY);
        }
        far(&seen, &call[1..]);
        let answer = net.predict(x, at)?;
        run.supply(answer, &mut noise)?;
    }
    if run.pending().is_some() {
        return Ok(f64::INFINITY);
    }
    let end = run.state()
        / if is_flow {
            1.0
        } else {
            plan.levels()[plan.steps()].alpha()
        };
    far(&end, &list(&case["final"]));
    Ok(worst)
}

/// Where the program's own numbers are not ours, and by how much at least: `docs/names.md` says who is right.
const DIFFERENT: &[(&str, &str, f64)] = &[
    // Slips in the coefficients of order 3 and 4, which should be those of LMS; a term of Newton's polynomial
    // that is left out; integrals by sums of 10000 points.
    ("eps", "ipndm_v", 0.05),
    ("eps", "er_sde", 0.02),
    ("eps", "deis", 1e-5),
    ("flow", "ipndm_v", 1.0),
    ("flow", "er_sde", 0.01),
    ("flow", "deis", 1e-8),
    // The noise of a variance-exploding process added on a flow.
    ("flow", "ddpm", 1.0),
    ("flow", "res_multistep_ancestral", 1.0),
    ("flow", "res_multistep_ancestral_cfg_pp", 1.0),
    ("flow", "dpmpp_2s_ancestral_cfg_pp", 1.0),
    // Asks at 0.9999 where the middle of the first step is pure noise.
    ("flow", "dpmpp_2s_ancestral", 1.0),
];

fn reference() -> Vec<Value> {
    let text = include_str!("reference/comfyui.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    reference.as_array().unwrap().clone()
}

#[test]
fn names_are_those_of_comfyui() {
    let (mut agreed, mut differed) = (0, 0);
    for case in reference() {
        let (model, name) = (
            case["model"].as_str().unwrap(),
            case["name"].as_str().unwrap(),
        );
        if name == "dpm_adaptive" {
            continue;
        }
        let found = match model {
            "flow" => distance(&Shifted::flow(3.0).unwrap(), &case),
            _ => distance(&Discrete::stable_diffusion().unwrap(), &case),
        };
        let found = found.unwrap_or_else(|error| panic!("{model} {name}: {error}"));
        let starts_noisy = case["sigmas"][0].as_f64() != Some(0.97);
        let known = DIFFERENT.iter().find(|row| (row.0, row.1) == (model, name));
        match known.filter(|_| case["mended"].is_null() && starts_noisy) {
            Some((.., least)) => {
                assert!(found > *least, "{model} {name} differs by {found:e} only");
                differed += 1;
            }
            None => {
                assert!(found < 1e-9, "{model} {name}: {found:e}");
                agreed += 1;
            }
        }
    }
    println!("{agreed} agree, {differed} differ");
    assert_eq!((agreed, differed), (66, 11));
}

#[test]
fn ipndm_v_is_lms() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let plan = |name: &str| {
        Sampler::from_name(name)
            .unwrap()
            .plan(&schedule, 9)
            .unwrap()
    };
    assert_eq!(plan("ipndm_v karras"), plan("lms karras"));
}

/// Steps of its own choice: as many of them, to the same end.
#[test]
fn dpm_adaptive_is_that_of_comfyui() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let solver = Sampler::from_name("dpm_adaptive")
        .unwrap()
        .adaptive()
        .unwrap();
    let all = reference();
    let case = all
        .iter()
        .find(|case| case["name"] == "dpm_adaptive")
        .unwrap();
    assert_eq!(case["model"], "eps");
    let snr = |i: usize| LogSnr::from_sigma(Sigma::new(list(&case["sigmas"])[i]).unwrap());
    let (from, to) = (snr(0), snr(5));
    let alpha = |snr| schedule.level_at(snr).unwrap().alpha();
    let start = X::from(list(&case["start"])) * alpha(from);
    let mut inner = denoiser::<Step>(false, false);
    let mut net = predicts::with(|x: &Array2<f64>, at: Point<Step>| {
        let x0 = inner.predict(&x.row(0).to_owned(), at)?.value;
        Ok(Prediction::x0(x0.insert_axis(Axis(0))))
    });
    let mut noise = gaussian_diffusion::SeededNoise::new(1);
    let (end, report) = solver
        .sample(
            &schedule,
            from,
            to,
            start.insert_axis(Axis(0)),
            &mut net,
            &mut noise,
        )
        .unwrap();
    assert_eq!(report.evaluations, case["calls"].as_array().unwrap().len());
    let end = end.row(0).to_owned() / alpha(to);
    for (a, b) in end.iter().zip(list(&case["final"])) {
        assert!((a - b).abs() < 1e-9, "{a} for {b}");
    }
}

#[test]
fn names_of_cfg_plus_plus_need_its_guidance() {
    let schedule = Discrete::stable_diffusion().unwrap();
    let names: Vec<_> = SolverName::all()
        .filter(|name| name.needs_cfg_plus_plus())
        .collect();
    assert_eq!(names.len(), 8);
    for name in names {
        let plan = Sampler::new(name, name.default_grid())
            .plan(&schedule, 4)
            .unwrap();
        let mut noise = gaussian_diffusion::SeededNoise::new(1);
        let start = |noise: &mut _| plan.prior((3,), noise).unwrap();
        let x: X = start(&mut noise);
        let error = plan
            .sample(x, &mut denoiser::<Step>(false, false), &mut noise)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the displacement of a prediction, as guidance::CfgPlusPlus gives it, is missing, \
             a solver of the CFG++ family needs it",
            "{name}"
        );
        let x: X = start(&mut noise);
        plan.sample(x, &mut denoiser::<Step>(false, true), &mut noise)
            .unwrap();
    }
}
