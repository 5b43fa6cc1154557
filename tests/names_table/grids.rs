//! Grids: the sigmas of every program, of 1, 3, 8 and 20 steps on five models.

use std::sync::LazyLock;

use crate::reference::reference;
use gaussian_diffusion::{
    Clock, NoiseLevel, NoiseSchedule, Sigma,
    sampler::GridName,
    schedule::{Discrete, Edm, RectifiedFlow, Shifted},
};
use serde_json::Value;

use super::{COMFYUI, CPP, Compared, DIFFUSERS, Entry, WEBUI, differs, same};

const ONCE: &str = "the end of the flow is shifted once; right";
const LOG: &str = "sigma between two steps is linear in its logarithm; right is the flow's own";

const TWICE: &str = "the end of the flow is shifted twice; right is once";
const PRINTED: &str = "the first sigma as printed; here that of the schedule";
const DIGITS: &str = "figures with more digits than the authors print";

pub(crate) const ENTRIES: &[Entry] = &[
    differs(WEBUI, "Uniform", "Uniform", LOG),
    same(CPP, "discrete", "Uniform"),
    differs(
        DIFFUSERS,
        "linspace, not rounded",
        "Uniform",
        "sigma between two steps is linear; right is its logarithm",
    ),
    differs(
        WEBUI,
        "Normal",
        "Normal",
        "as its Uniform, so that the end of a shifted flow is shifted once; right",
    ),
    same(COMFYUI, "normal", "Normal"),
    same(DIFFUSERS, "FlowMatchEulerDiscreteScheduler", "Normal"),
    same(WEBUI, "Karras", "Karras"),
    same(COMFYUI, "karras", "Karras"),
    same(CPP, "karras", "Karras"),
    differs(DIFFUSERS, "use_karras_sigmas", "Karras", TWICE),
    same(WEBUI, "Exponential", "Exponential"),
    same(COMFYUI, "exponential", "Exponential"),
    same(CPP, "exponential", "Exponential"),
    differs(DIFFUSERS, "use_exponential_sigmas", "Exponential", TWICE),
    differs(WEBUI, "SGM Uniform", "SGM Uniform", ONCE),
    same(COMFYUI, "sgm_uniform", "SGM Uniform"),
    differs(CPP, "sgm_uniform", "SGM Uniform", ONCE),
    differs(
        WEBUI,
        "KL Optimal",
        "KL Optimal",
        "one sigma more, and no step to the data; right is to end there",
    ),
    same(COMFYUI, "kl_optimal", "KL Optimal"),
    same(CPP, "kl_optimal", "KL Optimal"),
    differs(
        WEBUI,
        "Align Your Steps",
        "Align Your Steps",
        "`n` sigmas down to 0.029 and a step from there; the authors put the data for it",
    ),
    differs(COMFYUI, "AlignYourSteps SD1", "Align Your Steps", DIGITS),
    differs(CPP, "ays", "Align Your Steps", DIGITS),
    differs(
        COMFYUI,
        "AlignYourSteps SDXL",
        "Align Your Steps XL",
        DIGITS,
    ),
    same(COMFYUI, "AlignYourSteps SVD", "Align Your Steps Video"),
    differs(COMFYUI, "GITS", "GITS", PRINTED),
    differs(CPP, "gits", "GITS", PRINTED),
    same(COMFYUI, "VP", "VP"),
    same(WEBUI, "Beta", "Beta Sigmas"),
    differs(DIFFUSERS, "use_beta_sigmas", "Beta Sigmas", TWICE),
    same(COMFYUI, "linear_quadratic", "Linear Quadratic"),
    same(COMFYUI, "bong_tangent", "Bong Tangent"),
    differs(
        CPP,
        "bong_tangent",
        "Bong Tangent",
        "down to the smallest sigma; the author goes to 0",
    ),
    same(CPP, "logit_normal", "Logit Normal"),
    differs(
        COMFYUI,
        "laplace",
        "Laplace",
        "stops at the smallest sigma, and on flows half of the steps stay at 1; right is to end at the data, and \
         the law in `sigma / alpha`",
    ),
    same(COMFYUI, "beta", "Beta"),
    same(CPP, "beta", "Beta"),
    same(COMFYUI, "beta57", "Beta57"),
    same(WEBUI, "Simple", "Simple"),
    same(COMFYUI, "simple", "Simple"),
    same(CPP, "simple", "Simple"),
    same(CPP, "smoothstep", "Smoothstep"),
    same(WEBUI, "DDIM", "DDIM Uniform"),
    same(COMFYUI, "ddim_uniform", "DDIM Uniform"),
    differs(
        WEBUI,
        "steps of DDIM and PLMS",
        "Timesteps",
        "ends at step 1, with one step less where 1000 steps divide by the number; right is Latent Diffusion's list",
    ),
    differs(
        WEBUI,
        "steps of UniPC",
        "Time Uniform",
        "between two steps the logarithm of alpha is linear, as its authors have it; here the log-SNR, as elsewhere",
    ),
    same(DIFFUSERS, "leading", "Timesteps"),
    same(DIFFUSERS, "trailing", "Trailing"),
    differs(
        DIFFUSERS,
        "linspace",
        "Linspace",
        "one step alone is at step 0; right is from the last",
    ),
    same(CPP, "lcm", "LCM"),
    same(DIFFUSERS, "LCMScheduler", "LCM"),
    same(CPP, "flux", "FLUX"),
    same(DIFFUSERS, "FLUX.1", "FLUX"),
    same(CPP, "flux2", "FLUX2"),
    same(DIFFUSERS, "FLUX.2", "FLUX2"),
    same(COMFYUI, "ltx2", "LTX2"),
    same(CPP, "ltx2", "LTX2"),
    same(DIFFUSERS, "LTX", "LTX2"),
];

static ROWS: LazyLock<Vec<Value>> =
    LazyLock::new(|| reference("named_grids.json").as_array().unwrap().clone());

fn text(row: &Value, i: usize) -> &str {
    row[i].as_str().unwrap()
}

/// Programs and their names that there are figures of.
pub(crate) fn figures() -> Vec<(String, String)> {
    let mut names: Vec<_> = ROWS
        .iter()
        .map(|row| (text(row, 0).to_owned(), text(row, 1).to_owned()))
        .collect();
    names.sort();
    names.dedup();
    names
}

pub(crate) fn compare(entry: &Entry) -> Vec<Compared> {
    let own = |row: &&Value| text(row, 0) == entry.program && text(row, 1) == entry.theirs;
    ROWS.iter()
        .filter(own)
        .map(|row| Compared {
            model: text(row, 2).to_owned(),
            off: off(row, entry.ours),
        })
        .collect()
}

fn off(row: &Value, ours: &str) -> f64 {
    let n = row[3].as_u64().unwrap() as usize;
    let expected = row[4].as_array().unwrap();
    let found = match text(row, 2) {
        "Stable Diffusion" => sigmas(&Discrete::stable_diffusion().unwrap(), ours, n),
        "zero SNR" => {
            let sd = Discrete::stable_diffusion().unwrap();
            sigmas(&sd.zero_terminal_snr().unwrap(), ours, n)
        }
        "flows" => sigmas(&RectifiedFlow, ours, n),
        "shifted flows" => sigmas(&Shifted::flow(3.0).unwrap(), ours, n),
        "EDM" => {
            let sigma = |value| Sigma::new(value).unwrap();
            sigmas(&Edm::new(sigma(0.002), sigma(80.0)).unwrap(), ours, n)
        }
        model => panic!("{model}"),
    };
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let off = |(a, b): (&f64, &Value)| match b.as_f64().unwrap() {
        b if *a == b => 0.0,
        b => (a - b).abs() / b.abs(),
    };
    found.iter().zip(expected).map(off).fold(0.0, f64::max)
}

/// What programs call sigma on the grid of this name.
fn sigmas<S: NoiseSchedule<Time: Clock>>(schedule: &S, name: &str, n: usize) -> Vec<f64> {
    let rule: GridName = name.parse().unwrap();
    let grid = rule.grid(schedule, n).unwrap();
    let is_flow = |level: NoiseLevel| (level.alpha() + level.sigma() - 1.0).abs() < 1e-12;
    let flow = grid.levels().all(is_flow);
    let sigma = |level: NoiseLevel| {
        if flow {
            level.sigma()
        } else {
            level.noise_to_signal()
        }
    };
    grid.levels().map(sigma).collect()
}
