//! Solvers by ComfyUI's names, held to what its code computes in float64 with the same noise.

use gaussian_diffusion::{
    Clock, Denoiser, Error, Grid, LogSnr, NoiseSchedule, Plan, Point, Sigma,
    guidance::{CfgPlusPlus, Combination, Guided},
    noise::{Interval, NoiseSource, Scale},
    predicts,
    sampler::SolverName,
    schedule::{Discrete, Shifted},
};
use ndarray::Array1;
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
            true => {
                LogSnr::from_sigma(Sigma::new(s / (1.0 - s)).unwrap_or(Sigma::new(1e300).unwrap()))
            }
            false => LogSnr::from_sigma(Sigma::new(s).unwrap()),
        })
        .collect();
    Grid::at_log_snrs(schedule, &snrs).unwrap()
}

/// The largest distance in what the network is shown and at the end.
fn distance<S: NoiseSchedule<Time: Clock + std::fmt::Debug + 'static>>(
    schedule: &S,
    case: &Value,
) -> Result<f64, Error> {
    let is_flow = case["model"] == "flow";
    let name: SolverName = case["name"].as_str().unwrap().parse()?;
    let grid = grid(schedule, case, is_flow);
    let solver = name.solver(schedule, &grid, grid.len())?;
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
            println!("too few calls");
            return Ok(f64::INFINITY);
        };
        let (seen, s) = seen(x, &at, is_flow);
        if (s / call[0] - 1.0).abs() > 1e-9 {
            println!("asked at {s} for {}", call[0]);
        }
        far(&seen, &call[1..]);
        let answer = net.predict(x, at)?;
        run.supply(answer, &mut noise)?;
    }
    if run.pending().is_some() {
        println!("too many calls");
    }
    far(run.state(), &list(&case["final"]));
    Ok(worst)
}

#[test]
fn names_are_those_of_comfyui() {
    let text = include_str!("reference/comfyui.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    for case in reference.as_array().unwrap() {
        let found = match case["model"].as_str().unwrap() {
            "flow" => distance(&Shifted::flow(3.0).unwrap(), case),
            _ => distance(&Discrete::stable_diffusion().unwrap(), case),
        };
        println!("{} {}: {found:?}", case["model"], case["name"]);
    }
}
