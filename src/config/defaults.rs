//! What each class of diffusers takes, and what it takes where a file is silent.

/// The betas that most classes share.
const BASE: &str = r#""num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02,
    "beta_schedule": "linear", "trained_betas": null, "prediction_type": "epsilon""#;
/// The betas of Stable Diffusion, on the curve the second value names.
const LATENT: &str = r#""num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
    "trained_betas": null, "prediction_type": "epsilon""#;
const CURVES: &str = r#""use_karras_sigmas": false, "use_exponential_sigmas": false,
    "use_beta_sigmas": false"#;
const THRESHOLD: &str = r#""thresholding": false, "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0"#;
const FLOW: &str = r#""num_train_timesteps": 1000, "shift": 1.0, "use_dynamic_shifting": false,
    "base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096,
    "invert_sigmas": false, "shift_terminal": null, "time_shift_type": "exponential""#;
const FLOW_SIGMAS: &str = r#""use_flow_sigmas": false, "flow_shift": 1.0"#;
const DYNAMIC: &str = r#""use_dynamic_shifting": false, "time_shift_type": "exponential""#;
const LINSPACE: &str = r#""timestep_spacing": "linspace", "steps_offset": 0"#;
const LEADING: &str = r#""timestep_spacing": "leading", "steps_offset": 0"#;
const CLIP: &str = r#""clip_sample": true, "clip_sample_range": 1.0"#;
const EDM: &str = r#""sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5,
    "sigma_schedule": "karras", "num_train_timesteps": 1000, "prediction_type": "epsilon",
    "rho": 7.0, "final_sigmas_type": "zero""#;

/// The keys of a class with their defaults, as JSON objects without their braces.
pub(super) fn of(class: &str) -> Option<Vec<&'static str>> {
    Some(match class {
        "DDPMScheduler" | "DDPMParallelScheduler" => vec![
            BASE,
            CLIP,
            THRESHOLD,
            LEADING,
            r#""variance_type": "fixed_small", "rescale_betas_zero_snr": false"#,
        ],
        "DDIMScheduler" | "DDIMParallelScheduler" => vec![
            BASE,
            CLIP,
            THRESHOLD,
            LEADING,
            r#""set_alpha_to_one": true, "rescale_betas_zero_snr": false"#,
        ],
        "DDIMInverseScheduler" => vec![
            BASE,
            CLIP,
            LEADING,
            r#""set_alpha_to_one": true, "rescale_betas_zero_snr": false"#,
        ],
        // Their steps do not clip, whatever clip_sample says.
        "CogVideoXDDIMScheduler" | "CogVideoXDPMScheduler" => vec![
            LATENT,
            LEADING,
            r#""beta_schedule": "scaled_linear", "set_alpha_to_one": true,
                "rescale_betas_zero_snr": false, "snr_shift_scale": 3.0"#,
        ],
        "PNDMScheduler" => vec![
            BASE,
            LEADING,
            r#""skip_prk_steps": false, "set_alpha_to_one": false"#,
        ],
        "EulerDiscreteScheduler" => vec![
            BASE,
            CURVES,
            LINSPACE,
            r#""interpolation_type": "linear", "sigma_min": null, "sigma_max": null,
                "timestep_type": "discrete", "rescale_betas_zero_snr": false,
                "final_sigmas_type": "zero""#,
        ],
        "EulerAncestralDiscreteScheduler" => {
            vec![BASE, LINSPACE, r#""rescale_betas_zero_snr": false"#]
        }
        "LMSDiscreteScheduler" => vec![BASE, CURVES, LINSPACE],
        "HeunDiscreteScheduler" => vec![
            LATENT,
            CURVES,
            LINSPACE,
            r#""beta_schedule": "linear", "clip_sample": false, "clip_sample_range": 1.0"#,
        ],
        "KDPM2DiscreteScheduler" | "KDPM2AncestralDiscreteScheduler" | "DPMSolverSDEScheduler" => {
            vec![LATENT, CURVES, LINSPACE, r#""beta_schedule": "linear""#]
        }
        "DPMSolverMultistepScheduler" => vec![
            BASE,
            THRESHOLD,
            CURVES,
            FLOW_SIGMAS,
            DYNAMIC,
            LINSPACE,
            r#""solver_order": 2, "algorithm_type": "dpmsolver++", "solver_type": "midpoint",
                "lower_order_final": true, "euler_at_final": false, "use_lu_lambdas": false,
                "final_sigmas_type": "zero", "lambda_min_clipped": null,
                "rescale_betas_zero_snr": false"#,
        ],
        "DPMSolverMultistepInverseScheduler" => vec![
            BASE,
            THRESHOLD,
            CURVES,
            FLOW_SIGMAS,
            LINSPACE,
            r#""solver_order": 2, "algorithm_type": "dpmsolver++", "solver_type": "midpoint",
                "lower_order_final": true, "euler_at_final": false,
                "lambda_min_clipped": null"#,
        ],
        "DPMSolverSinglestepScheduler" => vec![
            BASE,
            THRESHOLD,
            CURVES,
            FLOW_SIGMAS,
            DYNAMIC,
            r#""solver_order": 2, "algorithm_type": "dpmsolver++", "solver_type": "midpoint",
                "lower_order_final": false, "final_sigmas_type": "zero",
                "lambda_min_clipped": null"#,
        ],
        "UniPCMultistepScheduler" => vec![
            BASE,
            THRESHOLD,
            CURVES,
            FLOW_SIGMAS,
            DYNAMIC,
            LINSPACE,
            r#""solver_order": 2, "predict_x0": true, "solver_type": "bh2",
                "lower_order_final": true, "disable_corrector": [], "solver_p": null,
                "final_sigmas_type": "zero", "rescale_betas_zero_snr": false, "sigma_min": null,
                "sigma_max": null, "shift_terminal": null"#,
        ],
        "DEISMultistepScheduler" => vec![
            BASE,
            THRESHOLD,
            CURVES,
            FLOW_SIGMAS,
            DYNAMIC,
            LINSPACE,
            r#""solver_order": 2, "algorithm_type": "deis", "solver_type": "logrho",
                "lower_order_final": true"#,
        ],
        "SASolverScheduler" => vec![
            BASE,
            THRESHOLD,
            CURVES,
            FLOW_SIGMAS,
            LINSPACE,
            r#""predictor_order": 2, "corrector_order": 2, "tau_func": null,
                "algorithm_type": "data_prediction", "lower_order_final": true,
                "lambda_min_clipped": null"#,
        ],
        "EDMEulerScheduler" => vec![EDM],
        "EDMDPMSolverMultistepScheduler" => vec![
            EDM,
            THRESHOLD,
            r#""solver_order": 2, "algorithm_type": "dpmsolver++", "solver_type": "midpoint",
                "lower_order_final": true, "euler_at_final": false"#,
        ],
        "CosineDPMSolverMultistepScheduler" => vec![
            EDM,
            r#""sigma_min": 0.3, "sigma_max": 500, "sigma_data": 1.0,
                "sigma_schedule": "exponential", "solver_order": 2,
                "prediction_type": "v_prediction", "solver_type": "midpoint",
                "lower_order_final": true, "euler_at_final": false"#,
        ],
        "FlowMatchEulerDiscreteScheduler" => {
            vec![FLOW, CURVES, r#""stochastic_sampling": false"#]
        }
        // upscale_mode does nothing without scale_factors.
        "FlowMatchLCMScheduler" => vec![FLOW, CURVES, r#""scale_factors": null"#],
        // Its grid is that of FlowMatchEulerDiscreteScheduler.
        "LTXEulerAncestralRFScheduler" => vec![FLOW, CURVES, r#""eta": 1.0, "s_noise": 1.0"#],
        "MiniMaxH3Scheduler" => vec![r#""shift": 12.0"#],
        "FlowMatchHeunDiscreteScheduler" | "FlowMapEulerDiscreteScheduler" => {
            vec![r#""num_train_timesteps": 1000, "shift": 1.0"#]
        }
        "LCMScheduler" => vec![
            LATENT,
            THRESHOLD,
            r#""beta_schedule": "scaled_linear", "original_inference_steps": 50,
                "clip_sample": false, "clip_sample_range": 1.0, "timestep_scaling": 10.0,
                "rescale_betas_zero_snr": false"#,
        ],
        // Its steps do not clip, whatever clip_sample and thresholding say.
        "TCDScheduler" => vec![
            LATENT,
            r#""beta_schedule": "scaled_linear", "original_inference_steps": 50,
                "rescale_betas_zero_snr": false"#,
        ],
        "CMStochasticIterativeScheduler" => vec![
            r#""num_train_timesteps": 40, "sigma_min": 0.002, "sigma_max": 80.0,
                "sigma_data": 0.5, "s_noise": 1.0, "rho": 7.0, "clip_denoised": true"#,
        ],
        "ScoreSdeVeScheduler" => vec![
            r#""snr": 0.15, "sigma_min": 0.01, "sigma_max": 1348.0, "sampling_eps": 1e-5,
                "correct_steps": 1"#,
        ],
        "DDPMWuerstchenScheduler" => vec![r#""scaler": 1.0, "s": 0.008"#],
        "RePaintScheduler" => vec![
            r#""num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02,
                "beta_schedule": "linear", "trained_betas": null, "eta": 0.0,
                "clip_sample": true"#,
        ],
        "SCMScheduler" => vec![r#""prediction_type": "trigflow", "sigma_data": 0.5"#],
        "IPNDMScheduler" => vec![r#""trained_betas": null"#],
        "UnCLIPScheduler" => vec![
            CLIP,
            r#""num_train_timesteps": 1000, "variance_type": "fixed_small_log",
                "prediction_type": "epsilon", "beta_schedule": "squaredcos_cap_v2""#,
        ],
        _ => return None,
    })
}
