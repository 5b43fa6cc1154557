//! Scheduler files: known and unknown keys with values of every type, size and depth, and any text.

#![no_main]

use arbitrary::{Arbitrary, Result, Unstructured};
use gaussian_diffusion::{
    SeededNoise, Sigma,
    config::{Options, SchedulerConfig, SequenceLength},
};
use gaussian_diffusion_fuzz::{Count, Number, is_cheap};
use libfuzzer_sys::fuzz_target;
use ndarray::{Array2, array};
use serde_json::Value;

const CLASSES: [&str; 40] = [
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "DDIMScheduler",
    "DDIMParallelScheduler",
    "DDIMInverseScheduler",
    "CogVideoXDDIMScheduler",
    "CogVideoXDPMScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "LMSDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "SASolverScheduler",
    "EDMEulerScheduler",
    "EDMDPMSolverMultistepScheduler",
    "CosineDPMSolverMultistepScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "LTXEulerAncestralRFScheduler",
    "MiniMaxH3Scheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMapEulerDiscreteScheduler",
    "LCMScheduler",
    "TCDScheduler",
    "CMStochasticIterativeScheduler",
    "ScoreSdeVeScheduler",
    "DDPMWuerstchenScheduler",
    "RePaintScheduler",
    "SCMScheduler",
    "IPNDMScheduler",
    "UnCLIPScheduler",
    "HeliosScheduler",
];

const KEYS: [&str; 78] = [
    "_class_name",
    "_use_default_values",
    "algorithm_type",
    "base_image_seq_len",
    "base_shift",
    "beta_end",
    "beta_schedule",
    "beta_start",
    "clip_denoised",
    "clip_sample",
    "clip_sample_range",
    "correct_steps",
    "corrector_order",
    "disable_corrector",
    "dynamic_thresholding_ratio",
    "eta",
    "euler_at_final",
    "final_sigmas_type",
    "flow_shift",
    "interpolation_type",
    "invert_sigmas",
    "lambda_min_clipped",
    "lower_order_final",
    "max_image_seq_len",
    "max_shift",
    "num_train_timesteps",
    "original_inference_steps",
    "predict_x0",
    "prediction_type",
    "predictor_order",
    "rescale_betas_zero_snr",
    "rho",
    "s",
    "s_noise",
    "sample_max_value",
    "sampling_eps",
    "scale_factors",
    "scaler",
    "set_alpha_to_one",
    "shift",
    "shift_terminal",
    "sigma_data",
    "sigma_max",
    "sigma_min",
    "sigma_schedule",
    "skip_prk_steps",
    "snr",
    "snr_shift_scale",
    "solver_order",
    "solver_p",
    "solver_type",
    "steps_offset",
    "stochastic_sampling",
    "tau_func",
    "thresholding",
    "time_shift_type",
    "timestep_scaling",
    "timestep_spacing",
    "timestep_type",
    "trained_betas",
    "use_beta_sigmas",
    "use_dynamic_shifting",
    "use_exponential_sigmas",
    "use_flow_sigmas",
    "use_karras_sigmas",
    "use_lu_lambdas",
    "variance_type",
    "num_train_timesteps",
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "trained_betas",
    "timestep_spacing",
    "steps_offset",
    "solver_order",
    "shift",
    "sigma_min",
    "sigma_max",
];

const WORDS: [&str; 44] = [
    "linear",
    "scaled_linear",
    "squaredcos_cap_v2",
    "sigmoid",
    "laplace",
    "exp",
    "epsilon",
    "sample",
    "original_sample",
    "v_prediction",
    "flow_prediction",
    "trigflow",
    "leading",
    "trailing",
    "linspace",
    "log_linear",
    "discrete",
    "continuous",
    "zero",
    "sigma_min",
    "karras",
    "exponential",
    "dpmsolver",
    "dpmsolver++",
    "sde-dpmsolver",
    "sde-dpmsolver++",
    "deis",
    "midpoint",
    "heun",
    "logrho",
    "bh1",
    "bh2",
    "data_prediction",
    "noise_prediction",
    "fixed_small",
    "fixed_small_log",
    "fixed_large",
    "fixed_large_log",
    "learned",
    "learned_range",
    "-inf",
    "inf",
    "nan",
    "\\\" NaN",
];

/// A value as it stands in a file, which need not be one.
struct Text(String);

fn value(u: &mut Unstructured<'_>, depth: usize) -> Result<String> {
    Ok(match u.int_in_range(0..=11)? {
        0 => "null".to_owned(),
        1 | 2 => bool::arbitrary(u)?.to_string(),
        3 => Count::arbitrary(u)?.0.to_string(),
        4 | 5 => format!("{:?}", Number::arbitrary(u)?.0),
        6 => (*u.choose(&["NaN", "Infinity", "-Infinity", "1e400", "-1e18", "1e-400"])?).to_owned(),
        7 | 8 => format!("\"{}\"", u.choose(&WORDS)?),
        9 => serde_json::to_string(<&str>::arbitrary(u)?).unwrap_or_default(),
        10 if depth < 4 => {
            let many = u.int_in_range(0..=12)?;
            let list: Result<Vec<_>> = (0..many).map(|_| value(u, depth + 1)).collect();
            format!("[{}]", list?.join(","))
        }
        11 if depth < 4 => object(u, depth + 1)?,
        _ => {
            let deep = usize::from(u16::arbitrary(u)?) % 3000;
            let (open, close) = *u.choose(&[("[", "]"), ("{\"a\":", "}")])?;
            format!("{}1{}", open.repeat(deep), close.repeat(deep))
        }
    })
}

fn object(u: &mut Unstructured<'_>, depth: usize) -> Result<String> {
    let mut entries = Vec::new();
    for _ in 0..u.int_in_range(0..=10)? {
        let key = match u.ratio(1, 16)? {
            true => serde_json::to_string(<&str>::arbitrary(u)?).unwrap_or_default(),
            false => format!("\"{}\"", u.choose(&KEYS)?),
        };
        entries.push(format!("{key}: {}", value(u, depth)?));
    }
    Ok(format!("{{{}}}", entries.join(", ")))
}

impl<'a> Arbitrary<'a> for Text {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        if u.ratio(1, 16)? {
            return Ok(Self(<&str>::arbitrary(u)?.to_owned()));
        }
        let object = object(u, 0)?;
        let class = u.choose(&CLASSES)?;
        let mark = if u.ratio(1, 16)? { "\u{feff}" } else { "" };
        let rest = object.strip_prefix('{').unwrap_or_default();
        let comma = if rest == "}" { "" } else { ", " };
        Ok(Self(format!(
            "{mark}{{\"_class_name\": \"{class}\"{comma}{rest}"
        )))
    }
}

fn options(u: &mut Unstructured<'_>) -> Result<Options> {
    let mut options = Options::default();
    options.eta = Option::<Number>::arbitrary(u)?.map(|it| it.0);
    options.churn = Number::arbitrary(u)?.0;
    let (a, b) = <(Number, Number)>::arbitrary(u)?;
    options.churn_range = Sigma::new(a.0).ok().zip(Sigma::new(b.0).ok());
    options.noise_factor = Number::arbitrary(u)?.0;
    options.mu = Option::<Number>::arbitrary(u)?.map(|it| it.0);
    let length = Count::arbitrary(u)?.0;
    options.sequence = *u.choose(&[
        None,
        Some(SequenceLength::Flux1(length)),
        Some(SequenceLength::Flux2(length)),
        Some(SequenceLength::CogView4(length)),
        Some(SequenceLength::Ltx2(length)),
    ])?;
    options.strength = Option::<Number>::arbitrary(u)?.map(|it| it.0);
    options.timesteps =
        Option::<Vec<Number>>::arbitrary(u)?.map(|list| list.into_iter().map(|it| it.0).collect());
    options.sigmas =
        Option::<Vec<Number>>::arbitrary(u)?.map(|list| list.into_iter().map(|it| it.0).collect());
    options.jumps.length = Count::arbitrary(u)?.0;
    options.jumps.passes = Count::arbitrary(u)?.0;
    Ok(options)
}

/// Long tables, which a file may ask for up to the limit, take long.
fn affordable(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_none_or(is_cheap),
        Value::Array(list) => list.iter().all(affordable),
        Value::Object(map) => map.values().all(affordable),
        _ => true,
    }
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let Ok(Text(text)) = Text::arbitrary(&mut u) else {
        return;
    };
    let cleaned = text.replace(['\u{feff}'], "");
    if serde_json::from_str(&cleaned).is_ok_and(|value| !affordable(&value)) {
        return;
    }
    let config = match SchedulerConfig::from_json(&text) {
        Ok(config) => config,
        Err(error) => {
            assert!(error.to_string().len() <= 3 * text.len() + 400);
            return;
        }
    };
    let (n, chosen) = (Count::arbitrary(&mut u), options(&mut u));
    let n = n.map_or(3, |Count(n)| if n > 100 { n } else { n % 24 });
    let config = match chosen {
        Ok(chosen) => config.with_options(|options| *options = chosen),
        Err(_) => config,
    };
    // What is read can be written and read again.
    SchedulerConfig::from_json(&config.to_json()).expect("its own file");
    let _ = (config.grid(n), config.start_std(n));
    let Ok(plan) = config.plan(n) else {
        return;
    };
    let _ = plan.to_string();
    if plan.evaluations() > 256 {
        return;
    }
    let mut network = config.denoiser(|x: &Array2<f32>, _| Ok(x.mapv(|x| 0.5 * x)));
    let _ = plan.sample(array![[0.5, -1.0]], &mut network, &mut SeededNoise::new(1));
});
