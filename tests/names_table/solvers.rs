//! Solvers by name beside what the programs compute, in float64 on the same noise.

use std::fmt::Debug;

use crate::reference::{numbers, reference};
use gaussian_diffusion::{
    Clock, Denoiser, Error, Grid, LogSnr, NoiseSchedule, Plan, Point, Prediction, Sampler, Sigma,
    Step,
    guidance::{CfgPlusPlus, Combination, Guided},
    noise::{Interval, NoiseSource, Scale},
    predicts,
    sampler::{Kind, SolverName},
    schedule::{Discrete, Shifted},
};
use ndarray::{Array1, Array2, Axis};
use serde_json::Value;

use super::{COMFYUI, CPP, Compared, DIFFUSERS, Entry, WEBUI, differs, same};

const VE_NOISE: &str =
    "the noise of a variance-exploding process, which gives a flow too much signal";
const ALL_SLOPES: &str = "the step to the data takes older slopes too; right is the x0-prediction";
const ONE_LESS: &str =
    "makes `n - 1` steps, and stops before the last; right is Latent Diffusion's";
const ER_SDE: &str = "a term of Newton's polynomial is missing from the third stage, and integrals are sums of \
    200 points";

pub(crate) const ENTRIES: &[Entry] = &[
    differs(WEBUI, "Euler a", "Euler a", VE_NOISE),
    same(WEBUI, "Euler", "Euler"),
    differs(WEBUI, "LMS", "LMS", ALL_SLOPES),
    same(WEBUI, "Heun", "Heun"),
    same(WEBUI, "DPM2", "DPM2"),
    differs(WEBUI, "DPM2 a", "DPM2 a", VE_NOISE),
    differs(WEBUI, "DPM++ 2S a", "DPM++ 2S a", VE_NOISE),
    same(WEBUI, "DPM++ 2M", "DPM++ 2M"),
    differs(WEBUI, "DPM++ SDE", "DPM++ SDE", VE_NOISE),
    differs(WEBUI, "DPM++ 2M SDE", "DPM++ 2M SDE", VE_NOISE),
    differs(WEBUI, "DPM++ 2M SDE Heun", "DPM++ 2M SDE Heun", VE_NOISE),
    differs(WEBUI, "DPM++ 3M SDE", "DPM++ 3M SDE", VE_NOISE),
    differs(WEBUI, "DPM fast", "DPM fast", VE_NOISE),
    differs(WEBUI, "DPM adaptive", "DPM adaptive", VE_NOISE),
    differs(WEBUI, "DDIM", "DDIM", ONE_LESS),
    differs(WEBUI, "PLMS", "PLMS", ONE_LESS),
    same(WEBUI, "UniPC", "UniPC"),
    differs(WEBUI, "DDIM CFG++", "DDIM CFG++", ONE_LESS),
    same(COMFYUI, "euler", "Euler"),
    same(COMFYUI, "euler_cfg_pp", "euler_cfg_pp"),
    same(COMFYUI, "euler_ancestral", "Euler a"),
    same(COMFYUI, "euler_ancestral_cfg_pp", "euler_ancestral_cfg_pp"),
    same(COMFYUI, "heun", "Heun"),
    same(COMFYUI, "heunpp2", "heunpp2"),
    same(COMFYUI, "dpm_2", "DPM2"),
    same(COMFYUI, "dpm_2_ancestral", "DPM2 a"),
    same(COMFYUI, "lms", "LMS"),
    same(COMFYUI, "dpm_fast", "dpm_fast"),
    differs(
        COMFYUI,
        "dpm_adaptive",
        "dpm_adaptive",
        "steps in the logarithm of the time; here in log-SNR, from a start that has one",
    ),
    differs(
        COMFYUI,
        "dpmpp_2s_ancestral",
        "DPM++ 2S a",
        "asks again at 0.9999 in a step from pure noise, whose middle is pure noise",
    ),
    differs(
        COMFYUI,
        "dpmpp_2s_ancestral_cfg_pp",
        "dpmpp_2s_ancestral_cfg_pp",
        VE_NOISE,
    ),
    same(COMFYUI, "dpmpp_sde", "DPM++ SDE"),
    same(COMFYUI, "dpmpp_2m", "DPM++ 2M"),
    same(COMFYUI, "dpmpp_2m_cfg_pp", "dpmpp_2m_cfg_pp"),
    same(COMFYUI, "dpmpp_2m_sde", "DPM++ 2M SDE"),
    same(COMFYUI, "dpmpp_2m_sde_heun", "DPM++ 2M SDE Heun"),
    same(COMFYUI, "dpmpp_3m_sde", "dpmpp_3m_sde"),
    differs(COMFYUI, "ddpm", "DDPM", VE_NOISE),
    same(COMFYUI, "lcm", "LCM"),
    same(COMFYUI, "ipndm", "iPNDM"),
    differs(
        COMFYUI,
        "ipndm_v",
        "iPNDM_v",
        "a bracket and a ratio are misplaced in the weights of orders 3 and 4, which are those of LMS",
    ),
    differs(
        COMFYUI,
        "deis",
        "DEIS",
        "integrals are sums of 10000 points, off by 1e-4; here they are exact",
    ),
    same(COMFYUI, "res_multistep", "res_multistep"),
    same(COMFYUI, "res_multistep_cfg_pp", "res_multistep_cfg_pp"),
    differs(
        COMFYUI,
        "res_multistep_ancestral",
        "res_multistep_ancestral",
        VE_NOISE,
    ),
    differs(
        COMFYUI,
        "res_multistep_ancestral_cfg_pp",
        "res_multistep_ancestral_cfg_pp",
        VE_NOISE,
    ),
    same(COMFYUI, "gradient_estimation", "gradient_estimation"),
    same(
        COMFYUI,
        "gradient_estimation_cfg_pp",
        "gradient_estimation_cfg_pp",
    ),
    differs(COMFYUI, "er_sde", "er_sde", ER_SDE),
    same(COMFYUI, "seeds_2", "seeds_2"),
    same(COMFYUI, "seeds_3", "seeds_3"),
    same(COMFYUI, "sa_solver", "sa_solver"),
    same(COMFYUI, "sa_solver_pece", "sa_solver_pece"),
    same(COMFYUI, "uni_pc", "uni_pc"),
    same(COMFYUI, "uni_pc_bh2", "uni_pc_bh2"),
    same(CPP, "euler", "Euler"),
    same(CPP, "euler_a", "Euler a"),
    same(CPP, "heun", "Heun"),
    differs(
        CPP,
        "dpm2",
        "DPM2",
        "keeps the last level but one, which the other two leave out",
    ),
    same(CPP, "dpm++2s_a", "DPM++ 2S a"),
    same(CPP, "dpm++2m", "DPM++ 2M"),
    same(CPP, "dpm++2mv2", "dpm++2mv2"),
    differs(CPP, "dpm++2m_sde", "DPM++ 2M SDE", VE_NOISE),
    same(CPP, "lcm", "LCM"),
    differs(CPP, "ipndm", "iPNDM", ALL_SLOPES),
    differs(
        CPP,
        "ipndm_v",
        "iPNDM_v",
        "weights of even steps from order 3 on, and the step to the data takes older slopes too",
    ),
    same(CPP, "res_multistep", "res_multistep"),
    same(CPP, "res_2s", "res_2s"),
    differs(CPP, "er_sde", "er_sde", ER_SDE),
    differs(
        CPP,
        "tcd",
        "TCD",
        "eta is 0 unless given, and the run ends at the noise of the first step; the authors take 0.3",
    ),
    differs(
        CPP,
        "lms",
        "LMS",
        "older slopes are taken one step too new, by sums of 1000 points, and in the step to the data too",
    ),
    differs(
        CPP,
        "euler_cfg_pp",
        "euler_cfg_pp",
        "the displacement counts whole, not alpha times, as CFG++ has it",
    ),
    differs(CPP, "euler_a_cfg_pp", "euler_ancestral_cfg_pp", VE_NOISE),
    same(CPP, "euler_ge", "gradient_estimation"),
    same(CPP, "ddim_trailing", "DDIM"),
    differs(CPP, "dpm++2m_sde_bt", "DPM++ 2M SDE", VE_NOISE),
    same(WEBUI, "Restart", "Restart"),
    same(WEBUI, "LCM", "LCM"),
    same(COMFYUI, "ddim", "DDIM"),
    same(COMFYUI, "exp_heun_2_x0", "exp_heun_2_x0"),
    same(COMFYUI, "exp_heun_2_x0_sde", "exp_heun_2_x0_sde"),
    same(DIFFUSERS, "EulerAncestralDiscreteScheduler", "Euler a"),
    same(DIFFUSERS, "EulerDiscreteScheduler", "Euler"),
    same(DIFFUSERS, "FlowMatchEulerDiscreteScheduler", "Euler"),
    differs(DIFFUSERS, "LMSDiscreteScheduler", "LMS", ALL_SLOPES),
    same(DIFFUSERS, "HeunDiscreteScheduler", "Heun"),
    same(DIFFUSERS, "FlowMatchHeunDiscreteScheduler", "Heun"),
    same(DIFFUSERS, "KDPM2DiscreteScheduler", "DPM2"),
    same(DIFFUSERS, "KDPM2AncestralDiscreteScheduler", "DPM2 a"),
    same(DIFFUSERS, "DPMSolverMultistepScheduler", "DPM++ 2M"),
    same(DIFFUSERS, "DPMSolverSDEScheduler", "DPM++ SDE"),
    same(
        DIFFUSERS,
        "DPMSolverMultistepScheduler, sde-dpmsolver++",
        "DPM++ 2M SDE",
    ),
    same(
        DIFFUSERS,
        "DPMSolverMultistepScheduler, sde-dpmsolver++, heun",
        "DPM++ 2M SDE Heun",
    ),
    differs(
        DIFFUSERS,
        "DPMSolverMultistepScheduler, sde-dpmsolver++, order 3",
        "dpmpp_3m_sde",
        "its second step is that of the midpoint, and the last ones are of lower order; both are of order 2",
    ),
    same(DIFFUSERS, "DDIMScheduler", "DDIM"),
    same(DIFFUSERS, "DDPMScheduler", "DDPM"),
    same(DIFFUSERS, "PNDMScheduler", "PLMS"),
    same(DIFFUSERS, "LCMScheduler", "LCM"),
    differs(
        DIFFUSERS,
        "TCDScheduler",
        "TCD",
        "ends at the first training step, where noise is left; right is the data",
    ),
    differs(
        DIFFUSERS,
        "UniPCMultistepScheduler",
        "uni_pc_bh2",
        "order 2, and ends at the data, not at sigma 0.001; right is to end there",
    ),
    differs(
        DIFFUSERS,
        "UniPCMultistepScheduler, order 3",
        "uni_pc_bh2",
        "ends at the data, not at sigma 0.001; right is to end there",
    ),
    differs(DIFFUSERS, "IPNDMScheduler", "iPNDM", ALL_SLOPES),
    differs(
        DIFFUSERS,
        "DEISMultistepScheduler",
        "DEIS",
        "order 2, and a polynomial in the logarithm of sigma; the authors have both",
    ),
    differs(
        DIFFUSERS,
        "DEISMultistepScheduler, order 3",
        "DEIS",
        "a polynomial in the logarithm of sigma, and lower orders at the end; the authors have both",
    ),
    differs(
        DIFFUSERS,
        "SASolverScheduler",
        "sa_solver",
        "orders 2 and 2, tau by training step, and full orders up to the data, where its authors lower them",
    ),
];

fn rows() -> Vec<Value> {
    let files = ["named_solvers.json", "named_solvers_more.json"].map(reference);
    files
        .iter()
        .flat_map(|file| file.as_array().unwrap().clone())
        .collect()
}

/// Each program with each name that there are figures for.
pub(crate) fn figures() -> Vec<(String, String)> {
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let mut all: Vec<_> = rows()
        .iter()
        .map(|row| (text(row, "program"), text(row, "name")))
        .collect();
    all.dedup();
    all
}

pub(crate) fn compare(entry: &Entry) -> Vec<Compared> {
    let rows = rows();
    let own = rows.iter().filter(|row| {
        (row["program"].as_str(), row["name"].as_str()) == (Some(entry.program), Some(entry.theirs))
            && row["mended"].is_null()
    });
    own.map(|row| Compared {
        model: model(row).to_owned(),
        off: off(row, entry.ours),
    })
    .collect()
}

fn model(row: &Value) -> &str {
    match row["model"].as_str() {
        Some("flow") => "flows",
        _ => "training steps",
    }
}

/// The largest difference in what the network is shown and at the end, relative to numbers above 1;
/// infinite where it is asked elsewhere.
fn off(row: &Value, ours: &str) -> f64 {
    let name: SolverName = ours.parse().unwrap();
    let found = match (
        row["model"].as_str(),
        Sampler::new(name, name.default_grid()).kind(),
    ) {
        (Some("flow"), Kind::Planned) => replay(&Shifted::flow(3.0).unwrap(), row, name),
        (_, Kind::Planned) => replay(&Discrete::stable_diffusion().unwrap(), row, name),
        (Some("flow"), _) => Ok(f64::INFINITY),
        _ => adaptive(row, name),
    };
    found.unwrap_or_else(|error| match error {
        // More noise than the program drew.
        Error::Missing { what: "noise", .. } => f64::INFINITY,
        error => panic!("{ours}: {error}"),
    })
}

/// What our mended forms of a program's formula are held to, where the program has a mistake.
#[test]
fn mistakes_mended_they_agree() {
    let mut mended = 0;
    for row in rows().iter().filter(|row| !row["mended"].is_null()) {
        let found = off(row, row["name"].as_str().unwrap());
        assert!(found < 1e-9, "{} {}: {found:e}", row["name"], row["model"]);
        mended += 1;
    }
    assert_eq!(mended, 4);
    let schedule = Discrete::stable_diffusion().unwrap();
    let plan = |name: &str| {
        Sampler::from_name(name)
            .unwrap()
            .plan(&schedule, 9)
            .unwrap()
    };
    assert_eq!(plan("ipndm_v karras"), plan("lms karras"));
}

#[test]
fn names_of_cfg_plus_plus_need_its_guidance() {
    let schedule = Discrete::stable_diffusion().unwrap();
    for name in SolverName::all().filter(|name| name.needs_cfg_plus_plus()) {
        let plan = Sampler::new(name, name.default_grid())
            .plan(&schedule, 4)
            .unwrap();
        let mut noise = gaussian_diffusion::SeededNoise::new(1);
        let x: X = plan.prior((3,), &mut noise).unwrap();
        let error = plan.sample(x.clone(), &mut denoiser::<Step>(false, false), &mut noise);
        assert_eq!(
            error.unwrap_err().to_string(),
            "the displacement of a prediction, as guidance::CfgPlusPlus gives it, is missing, \
             a solver of the CFG++ family needs it",
            "{name}"
        );
        plan.sample(x, &mut denoiser::<Step>(false, true), &mut noise)
            .unwrap();
    }
}

type X = Array1<f64>;

/// The normals of the reference, one after the other.
struct Replay(std::vec::IntoIter<X>);

impl Replay {
    fn of(row: &Value) -> Self {
        let normals = row["noise"].as_array().unwrap().iter();
        let normals: Vec<_> = normals.map(|z| X::from(numbers(z))).collect();
        Self(normals.into_iter())
    }

    fn next(&mut self) -> Result<X, Error> {
        self.0.next().ok_or(Error::Missing {
            what: "noise",
            needed_by: "a draw that the program does not make",
        })
    }
}

impl NoiseSource<X> for Replay {
    fn add(&mut self, x: &mut X, scale: Scale<'_, X>, _: Option<Interval>) -> Result<(), Error> {
        let Scale::Same(std) = scale else { panic!() };
        x.scaled_add(std, &self.next()?);
        Ok(())
    }
}

impl NoiseSource<Array2<f64>> for Replay {
    fn add(
        &mut self,
        x: &mut Array2<f64>,
        scale: Scale<'_, Array2<f64>>,
        _: Option<Interval>,
    ) -> Result<(), Error> {
        let Scale::Same(std) = scale else { panic!() };
        x.row_mut(0).scaled_add(std, &self.next()?);
        Ok(())
    }
}

/// The state and its sigma as the programs have them: of flows as they are, else over `alpha`.
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

fn denoiser<T: Copy + Debug + 'static>(
    is_flow: bool,
    is_plus_plus: bool,
) -> Box<dyn Denoiser<X, T>> {
    let predicts = move |of: fn(&X, f64) -> X| {
        predicts::x0(move |x: &X, at: Point<T>| {
            let (x, s) = seen(x, &at, is_flow);
            of(&x, s)
        })
    };
    let both = (predicts(conditional), predicts(unconditional));
    let rule = Combination::classifier_free(1.8).unwrap();
    match is_plus_plus {
        true => Box::new(CfgPlusPlus::new(both, rule)),
        false => Box::new(Guided::new(both, rule)),
    }
}

fn worst(found: &X, expected: &[f64]) -> f64 {
    let off = |(a, b): (&f64, &f64)| (a - b).abs() / b.abs().max(1.0);
    found.iter().zip(expected).map(off).fold(0.0, f64::max)
}

/// The plan of the row: on its sigmas, or of its number of training steps.
fn plan<S>(
    schedule: &S,
    row: &Value,
    name: SolverName,
    is_flow: bool,
) -> Result<Plan<S::Time>, Error>
where
    S: NoiseSchedule<Time: Clock + Debug>,
{
    if let Some(n) = row["steps"].as_u64() {
        return Sampler::new(name, name.default_grid()).plan(schedule, n as usize);
    }
    let mut sigmas = numbers(&row["sigmas"]);
    sigmas.pop();
    let n = sigmas.len();
    // The lists of these two are what is left where one of one more had been made.
    if name.discards_penultimate() && row["program"] != CPP {
        sigmas.push(0.9 * sigmas[n - 1]);
    }
    let snr = |&s: &f64| match is_flow {
        true => LogSnr::new(2.0 * ((1.0 - s) / s).ln()),
        false => Ok(LogSnr::from_sigma(Sigma::new(s)?)),
    };
    let snrs: Result<Vec<_>, Error> = sigmas.iter().map(snr).collect();
    let grid = name.grid(schedule, Grid::at_log_snrs(schedule, &snrs?)?, n)?;
    Plan::new(schedule, &grid, &name.solver(schedule, &grid, n)?)
}

fn replay<S>(schedule: &S, row: &Value, name: SolverName) -> Result<f64, Error>
where
    S: NoiseSchedule<Time: Clock + Debug + 'static>,
{
    let is_flow = row["model"] == "flow";
    let plan = plan(schedule, row, name, is_flow)?;
    let mut noise = Replay::of(row);
    let mut net = denoiser::<S::Time>(is_flow, name.needs_cfg_plus_plus());
    let scale = |i: usize| {
        if is_flow {
            1.0
        } else {
            plan.levels()[i].alpha()
        }
    };
    let start = X::from(numbers(&row["start"])) * scale(0);
    let mut run = plan.start_from(start, &mut noise)?;
    let mut off = 0.0_f64;
    for call in row["calls"].as_array().unwrap() {
        let call = numbers(call);
        let Some((x, at)) = run.pending() else {
            return Ok(f64::INFINITY);
        };
        let (seen, s) = seen(x, &at, is_flow);
        off = off
            .max(worst(&seen, &call[1..]))
            .max((s / call[0] - 1.0).abs());
        let answer = net.predict(x, at)?;
        run.supply(answer, &mut noise)?;
    }
    if run.pending().is_some() {
        return Ok(f64::INFINITY);
    }
    let end = run.state() / scale(plan.steps());
    Ok(off.max(worst(&end, &numbers(&row["final"]))))
}

fn adaptive(row: &Value, name: SolverName) -> Result<f64, Error> {
    let schedule = Discrete::stable_diffusion()?;
    let solver = Sampler::new(name, name.default_grid()).adaptive()?;
    let sigmas = numbers(&row["sigmas"]);
    let snr = |i: usize| Sigma::new(sigmas[i]).map(LogSnr::from_sigma);
    let (from, to) = (snr(0)?, snr(sigmas.len() - 2)?);
    let alpha = |snr| schedule.level_at(snr).map(|level| level.alpha());
    let start = (X::from(numbers(&row["start"])) * alpha(from)?).insert_axis(Axis(0));
    let mut inner = denoiser::<Step>(false, false);
    let mut net = predicts::with(|x: &Array2<f64>, at: Point<Step>| {
        let x0 = inner.predict(&x.row(0).to_owned(), at)?.value;
        Ok(Prediction::x0(x0.insert_axis(Axis(0))))
    });
    let mut noise = Replay::of(row);
    let (end, report) = solver.sample(&schedule, from, to, start, &mut net, &mut noise)?;
    if report.evaluations != row["calls"].as_array().unwrap().len() {
        return Ok(f64::INFINITY);
    }
    let end = end.row(0).to_owned() / alpha(to)?;
    Ok(worst(&end, &numbers(&row["final"])))
}
