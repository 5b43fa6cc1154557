//! Runs of the programs replayed: the same start, sigmas, noise and network.

use std::fmt::Debug;

use gaussian_diffusion::{
    Clock, Denoiser, Error, Grid, LogSnr, NoiseLevel, NoiseSchedule, Plan, Point, Prediction,
    Sampler, Sigma,
    guidance::{CfgPlusPlus, Combination, Guided},
    noise::{Interval, NoiseSource, Scale},
    predicts,
    sampler::{Kind, SolverName},
    schedule::{Discrete, Shifted},
};
use ndarray::{Array, Array1, Array2, Axis, Dimension};
use serde_json::Value;

type X = Array1<f64>;

/// The scale of the guidance of the reference.
const SCALE: f64 = 1.8;

fn list(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap();
    numbers.iter().map(|x| x.as_f64().unwrap()).collect()
}

/// The normals of the reference, one after the other.
struct Replay(std::vec::IntoIter<X>);

fn replay(case: &Value) -> Replay {
    let normals = case["noise"].as_array().unwrap();
    let normals: Vec<_> = normals.iter().map(|z| X::from(list(z))).collect();
    Replay(normals.into_iter())
}

impl<D: Dimension> NoiseSource<Array<f64, D>> for Replay {
    fn add(
        &mut self,
        x: &mut Array<f64, D>,
        scale: Scale<'_, Array<f64, D>>,
        _: Option<Interval>,
    ) -> Result<(), Error> {
        let Scale::Same(std) = scale else { panic!() };
        let z = self.0.next().ok_or(Error::Missing {
            what: "noise",
            needed_by: "a draw the program does not make",
        })?;
        *x += &(z * std);
        Ok(())
    }
}

/// The state and the sigma as the program has them: of flows as they are, else over `alpha`.
fn seen(x: &X, level: NoiseLevel, is_flow: bool) -> (X, f64) {
    match is_flow {
        true => (x.clone(), level.sigma()),
        false => (x / level.alpha(), level.noise_to_signal()),
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

fn denoiser<T: Copy + Debug + 'static>(is_flow: bool, plus_plus: bool) -> Box<dyn Denoiser<X, T>> {
    let with = predicts::x0(move |x: &X, at: Point<T>| {
        let (x, s) = seen(x, at.level, is_flow);
        conditional(&x, s)
    });
    let without = predicts::x0(move |x: &X, at: Point<T>| {
        let (x, s) = seen(x, at.level, is_flow);
        unconditional(&x, s)
    });
    let rule = Combination::classifier_free(SCALE).unwrap();
    match plus_plus {
        true => Box::new(CfgPlusPlus::new((with, without), rule)),
        false => Box::new(Guided::new((with, without), rule)),
    }
}

/// The distance at the end of a run of steps of its own choice, infinite if it asks more or less often.
fn adaptive<S>(schedule: &S, case: &Value, name: SolverName, is_flow: bool) -> Result<f64, Error>
where
    S: NoiseSchedule<Time: Clock + Debug + 'static>,
{
    let solver = Sampler::new(name, name.default_grid()).adaptive()?;
    let sigmas = list(&case["sigmas"]);
    let level = |sigma| level_of(schedule, sigma, is_flow);
    let (from, to) = (level(sigmas[0]), level(sigmas[sigmas.len() - 2]));
    let scale = |level: NoiseLevel| if is_flow { 1.0 } else { level.alpha() };
    let start = X::from(list(&case["start"])) * scale(from);
    let mut inner = denoiser::<S::Time>(is_flow, false);
    let mut net = predicts::with(|x: &Array2<f64>, at: Point<S::Time>| {
        let x0 = inner.predict(&x.row(0).to_owned(), at)?.value;
        Ok(Prediction::x0(x0.insert_axis(Axis(0))))
    });
    let start = start.insert_axis(Axis(0));
    let (from, to_snr) = (from.log_snr(), to.log_snr());
    let ran = solver.sample(schedule, from, to_snr, start, &mut net, &mut replay(case))?;
    if ran.1.evaluations != case["calls"].as_array().unwrap().len() {
        return Ok(f64::INFINITY);
    }
    let end = ran.0.row(0).to_owned() / scale(to);
    let apart = end.iter().zip(list(&case["final"]));
    Ok(apart.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max))
}

fn level_of<S: NoiseSchedule>(schedule: &S, sigma: f64, is_flow: bool) -> NoiseLevel {
    let snr = match is_flow {
        true => LogSnr::new(2.0 * ((1.0 - sigma) / sigma).ln()).unwrap(),
        false => LogSnr::from_sigma(Sigma::new(sigma).unwrap()),
    };
    schedule.level_at(snr).unwrap()
}

/// The grid that the solver of this name makes of the sigmas.
fn grid_of<S: NoiseSchedule<Time: Clock>>(
    schedule: &S,
    name: SolverName,
    sigmas: &[f64],
    is_flow: bool,
) -> Result<Grid<S::Time>, Error> {
    let (end, sigmas) = sigmas.split_last().unwrap();
    let mut snrs: Vec<_> = sigmas
        .iter()
        .map(|&s| level_of(schedule, s, is_flow).log_snr())
        .collect();
    let n = snrs.len();
    if name.discards_penultimate() {
        // The figures are of the sigmas that are left.
        snrs.push(LogSnr::new(snrs[n - 1].get() + 1.0)?);
    }
    let listed = Grid::at_log_snrs(schedule, &snrs)?;
    let grid = name.grid(schedule, listed, n)?;
    match *end > 0.0 {
        true => grid.ending_at(level_of(schedule, *end, is_flow)),
        false => Ok(grid),
    }
}

/// The largest distance in what the network is shown and at the end; infinite if it is asked elsewhere.
pub(crate) fn distance(case: &Value, ours: &str) -> Result<f64, Error> {
    match case["model"].as_str().unwrap() {
        "flow" | "flows" => on(&Shifted::flow(3.0)?, case, ours, true),
        _ => on(&Discrete::stable_diffusion()?, case, ours, false),
    }
}

fn on<S>(schedule: &S, case: &Value, ours: &str, is_flow: bool) -> Result<f64, Error>
where
    S: NoiseSchedule<Time: Clock + Debug + 'static>,
{
    let name: SolverName = ours.parse()?;
    if Sampler::new(name, name.default_grid()).kind() == Kind::Adaptive {
        return adaptive(schedule, case, name, is_flow);
    }
    let sigmas = list(&case["sigmas"]);
    let grid = grid_of(schedule, name, &sigmas, is_flow)?;
    let solver = name.solver(schedule, &grid, sigmas.len() - 1)?;
    let plan = Plan::new(schedule, &grid, &solver)?;
    let mut noise = replay(case);
    let plus_plus = ours.ends_with("cfg_pp") || ours.ends_with("CFG++");
    let mut net = denoiser::<S::Time>(is_flow, plus_plus);
    let scale = |level: NoiseLevel| if is_flow { 1.0 } else { level.alpha() };
    let start = X::from(list(&case["start"])) * scale(plan.levels()[0]);
    let mut run = plan.start_from(start, &mut noise)?;
    let mut worst = 0.0_f64;
    let mut far = |x: &X, y: &[f64]| {
        let apart = x.iter().zip(y).map(|(a, b)| (a - b).abs());
        worst = apart.fold(worst, f64::max);
    };
    for call in case["calls"].as_array().unwrap() {
        let call = list(call);
        let Some((x, at)) = run.pending() else {
            return Ok(f64::INFINITY);
        };
        let (shown, sigma) = seen(x, at.level, is_flow);
        if (sigma / call[0] - 1.0).abs() > 1e-9 {
            return Ok(f64::INFINITY);
        }
        far(&shown, &call[1..]);
        let answer = net.predict(x, at)?;
        run.supply(answer, &mut noise)?;
    }
    if run.pending().is_some() {
        return Ok(f64::INFINITY);
    }
    let end = run.state() / scale(plan.levels()[plan.steps()]);
    far(&end, &list(&case["final"]));
    Ok(worst)
}
