//! Solvers: runs of every program on six sigmas of two models.

use std::sync::LazyLock;

use serde_json::Value;

use super::{
    COMFYUI, CPP, Compared, DIFFUSERS, Entry, WEBUI, differs, same, trajectories::distance,
};

const FLOWS: &str =
    "the noise of an exploding variance: another law of the path; ComfyUI's is right";
const IN_SIGMA: &str =
    "steps in `ln sigma` and the noise of an exploding variance: another law; right is log-SNR";
const TO_DATA: &str = "its last step takes the polynomial to the data; right is the predicted data";
const SLIPS: &str =
    "the weights of equal steps, for true ones, from the third step on; right are those of LMS";
const ER: &str = "sums of 200 points for integrals, and the second difference of a polynomial without its factor; right is the polynomial";
const NO_SIGNAL: &str = "no factor for the signal; ComfyUI's is right";
const MIDDLE: &str =
    "asks at 0.9999 where the middle of the first step is pure noise; right is its limit";

pub(crate) const ENTRIES: &[Entry] = &[
    differs(WEBUI, "Euler a", "Euler a", FLOWS),
    same(COMFYUI, "euler_ancestral", "Euler a"),
    same(CPP, "euler_a", "Euler a"),
    same(DIFFUSERS, "EulerAncestralDiscreteScheduler", "Euler a"),
    same(WEBUI, "Euler", "Euler"),
    same(COMFYUI, "euler", "Euler"),
    same(CPP, "euler", "Euler"),
    same(DIFFUSERS, "EulerDiscreteScheduler", "Euler"),
    same(DIFFUSERS, "FlowMatchEulerDiscreteScheduler", "Euler"),
    differs(WEBUI, "LMS", "LMS", TO_DATA),
    same(COMFYUI, "lms", "LMS"),
    differs(
        CPP,
        "lms",
        "LMS",
        "its slopes are one step older than their weights, with sums of 1000 points for integrals; right is LMS",
    ),
    differs(DIFFUSERS, "LMSDiscreteScheduler", "LMS", TO_DATA),
    same(WEBUI, "Heun", "Heun"),
    same(COMFYUI, "heun", "Heun"),
    same(CPP, "heun", "Heun"),
    same(DIFFUSERS, "HeunDiscreteScheduler", "Heun"),
    same(DIFFUSERS, "FlowMatchHeunDiscreteScheduler", "Heun"),
    same(WEBUI, "DPM2", "DPM2"),
    same(COMFYUI, "dpm_2", "DPM2"),
    same(CPP, "dpm2", "DPM2"),
    same(DIFFUSERS, "KDPM2DiscreteScheduler", "DPM2"),
    differs(WEBUI, "DPM2 a", "DPM2 a", FLOWS),
    same(COMFYUI, "dpm_2_ancestral", "DPM2 a"),
    same(DIFFUSERS, "KDPM2AncestralDiscreteScheduler", "DPM2 a"),
    differs(WEBUI, "DPM++ 2S a", "DPM++ 2S a", FLOWS),
    differs(COMFYUI, "dpmpp_2s_ancestral", "DPM++ 2S a", MIDDLE),
    same(CPP, "dpm++2s_a", "DPM++ 2S a"),
    same(WEBUI, "DPM++ 2M", "DPM++ 2M"),
    same(COMFYUI, "dpmpp_2m", "DPM++ 2M"),
    same(CPP, "dpm++2m", "DPM++ 2M"),
    same(DIFFUSERS, "DPMSolverMultistepScheduler", "DPM++ 2M"),
    differs(WEBUI, "DPM++ SDE", "DPM++ SDE", IN_SIGMA),
    same(COMFYUI, "dpmpp_sde", "DPM++ SDE"),
    same(DIFFUSERS, "DPMSolverSDEScheduler", "DPM++ SDE"),
    differs(WEBUI, "DPM++ 2M SDE", "DPM++ 2M SDE", IN_SIGMA),
    same(COMFYUI, "dpmpp_2m_sde", "DPM++ 2M SDE"),
    differs(CPP, "dpm++2m_sde", "DPM++ 2M SDE", IN_SIGMA),
    differs(CPP, "dpm++2m_sde_bt", "DPM++ 2M SDE", IN_SIGMA),
    same(
        DIFFUSERS,
        "DPMSolverMultistepScheduler, sde-dpmsolver++",
        "DPM++ 2M SDE",
    ),
    differs(WEBUI, "DPM++ 2M SDE Heun", "DPM++ 2M SDE Heun", IN_SIGMA),
    same(COMFYUI, "dpmpp_2m_sde_heun", "DPM++ 2M SDE Heun"),
    same(
        DIFFUSERS,
        "DPMSolverMultistepScheduler, sde-dpmsolver++, heun",
        "DPM++ 2M SDE Heun",
    ),
    differs(WEBUI, "DPM++ 3M SDE", "DPM++ 3M SDE", IN_SIGMA),
    differs(WEBUI, "DPM fast", "DPM fast", IN_SIGMA),
    differs(WEBUI, "DPM adaptive", "DPM adaptive", IN_SIGMA),
    same(WEBUI, "Restart", "Restart"),
    same(WEBUI, "DDIM", "DDIM"),
    same(COMFYUI, "ddim", "DDIM"),
    same(CPP, "ddim_trailing", "DDIM"),
    same(DIFFUSERS, "DDIMScheduler", "DDIM"),
    same(WEBUI, "PLMS", "PLMS"),
    same(DIFFUSERS, "PNDMScheduler", "PLMS"),
    same(WEBUI, "UniPC", "UniPC"),
    same(COMFYUI, "dpmpp_3m_sde", "dpmpp_3m_sde"),
    differs(
        DIFFUSERS,
        "DPMSolverMultistepScheduler, sde-dpmsolver++, order 3",
        "dpmpp_3m_sde",
        "its second step is that of the midpoint, and the last ones are of lower order; both are of order 2",
    ),
    same(COMFYUI, "uni_pc", "uni_pc"),
    same(COMFYUI, "uni_pc_bh2", "uni_pc_bh2"),
    differs(
        DIFFUSERS,
        "UniPCMultistepScheduler",
        "uni_pc_bh2",
        "order 2, and ends at the data; ComfyUI at sigma 0.001, for want of a logarithm",
    ),
    differs(
        DIFFUSERS,
        "UniPCMultistepScheduler, order 3",
        "uni_pc_bh2",
        "ends at the data; ComfyUI at sigma 0.001",
    ),
    differs(
        COMFYUI,
        "ddpm",
        "DDPM",
        "the noise of an exploding variance: another law; right is the posterior",
    ),
    same(DIFFUSERS, "DDPMScheduler", "DDPM"),
    same(WEBUI, "LCM", "LCM"),
    same(COMFYUI, "lcm", "LCM"),
    same(CPP, "lcm", "LCM"),
    same(DIFFUSERS, "LCMScheduler", "LCM"),
    differs(
        CPP,
        "tcd",
        "TCD",
        "no noise unless asked for: DDIM; the authors take gamma 0.3. Its steps are Stable Diffusion's on every model",
    ),
    differs(
        DIFFUSERS,
        "TCDScheduler",
        "TCD",
        "ends at the first training step, where noise is left; right is the data",
    ),
    same(COMFYUI, "ipndm", "iPNDM"),
    differs(CPP, "ipndm", "iPNDM", TO_DATA),
    differs(DIFFUSERS, "IPNDMScheduler", "iPNDM", TO_DATA),
    differs(COMFYUI, "ipndm_v", "iPNDM_v", SLIPS),
    differs(CPP, "ipndm_v", "iPNDM_v", SLIPS),
    differs(
        COMFYUI,
        "deis",
        "DEIS",
        "sums of 10000 points for integrals; right are the exact ones",
    ),
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
        "a polynomial in the logarithm of sigma, lower orders at the end; the authors have both",
    ),
    same(COMFYUI, "res_multistep", "res_multistep"),
    same(CPP, "res_multistep", "res_multistep"),
    same(CPP, "res_2s", "res_2s"),
    same(COMFYUI, "gradient_estimation", "gradient_estimation"),
    same(CPP, "euler_ge", "gradient_estimation"),
    differs(COMFYUI, "er_sde", "er_sde", ER),
    differs(CPP, "er_sde", "er_sde", ER),
    same(COMFYUI, "seeds_2", "seeds_2"),
    same(COMFYUI, "seeds_3", "seeds_3"),
    same(COMFYUI, "exp_heun_2_x0", "exp_heun_2_x0"),
    same(COMFYUI, "exp_heun_2_x0_sde", "exp_heun_2_x0_sde"),
    same(COMFYUI, "sa_solver", "sa_solver"),
    differs(
        DIFFUSERS,
        "SASolverScheduler",
        "sa_solver",
        "orders 2 and 2, tau 1 by training step, and noise in the last step but one as if the data were no end; the \
         authors and ComfyUI stop there",
    ),
    same(COMFYUI, "sa_solver_pece", "sa_solver_pece"),
    differs(
        COMFYUI,
        "res_multistep_ancestral",
        "res_multistep_ancestral",
        "the noise of an exploding variance: another law; right is the reverse equation",
    ),
    same(COMFYUI, "dpm_fast", "dpm_fast"),
    differs(
        COMFYUI,
        "dpm_adaptive",
        "dpm_adaptive",
        "steps in `ln sigma`; here in log-SNR",
    ),
    same(COMFYUI, "heunpp2", "heunpp2"),
    same(CPP, "dpm++2mv2", "dpm++2mv2"),
    same(COMFYUI, "euler_cfg_pp", "euler_cfg_pp"),
    differs(CPP, "euler_cfg_pp", "euler_cfg_pp", NO_SIGNAL),
    same(WEBUI, "DDIM CFG++", "DDIM CFG++"),
    same(COMFYUI, "euler_ancestral_cfg_pp", "euler_ancestral_cfg_pp"),
    differs(CPP, "euler_a_cfg_pp", "euler_ancestral_cfg_pp", NO_SIGNAL),
    same(
        COMFYUI,
        "gradient_estimation_cfg_pp",
        "gradient_estimation_cfg_pp",
    ),
    same(COMFYUI, "dpmpp_2m_cfg_pp", "dpmpp_2m_cfg_pp"),
    differs(
        COMFYUI,
        "dpmpp_2s_ancestral_cfg_pp",
        "dpmpp_2s_ancestral_cfg_pp",
        "the noise of an exploding variance: another law; right is the step of flows",
    ),
    same(COMFYUI, "res_multistep_cfg_pp", "res_multistep_cfg_pp"),
    differs(
        COMFYUI,
        "res_multistep_ancestral_cfg_pp",
        "res_multistep_ancestral_cfg_pp",
        "the noise of an exploding variance: another law; right is the reverse equation",
    ),
];

static CASES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let read = |text| -> Vec<Value> { serde_json::from_str(text).unwrap() };
    let mut all = read(include_str!("../reference/named_solvers.json"));
    all.extend(read(include_str!("../reference/comfyui.json")));
    // Those of a program with a slip of its own put right are for another test.
    all.retain(|case| case["mended"].is_null());
    all
});

fn program(case: &Value) -> &str {
    case["program"].as_str().unwrap_or(COMFYUI)
}

/// Programs and their names that there are figures of.
pub(crate) fn figures() -> Vec<(String, String)> {
    let name = |case: &Value| case["name"].as_str().unwrap().to_owned();
    let mut names: Vec<_> = CASES
        .iter()
        .map(|case| (program(case).to_owned(), name(case)))
        .collect();
    names.sort();
    names.dedup();
    names
}

pub(crate) fn compare(entry: &Entry) -> Vec<Compared> {
    let own = |case: &&Value| program(case) == entry.program && case["name"] == entry.theirs;
    CASES
        .iter()
        .filter(own)
        .map(|case| Compared {
            model: match case["model"].as_str().unwrap() {
                "flow" | "flows" => "flows".to_owned(),
                _ => "Stable Diffusion".to_owned(),
            },
            off: distance(case, entry.ours).unwrap_or_else(|error| {
                println!("{} {}: {error}", entry.program, entry.theirs);
                f64::INFINITY
            }),
        })
        .collect()
}
