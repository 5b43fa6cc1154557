//! Solvers by name.

use std::{fmt, str::FromStr};

use super::{
    GridName,
    names::{Named, parse},
};
use crate::Error;
#[cfg(doc)]
use crate::solver::{
    Ancestral, CfgPlusPlusStep, Consistency, Ddim, Ddpm, Descent, DpmSde, DpmSolver, DpmSolver2MV2,
    ErSde, ExponentialAdams, HeunPlusPlus, LinearMultistep, Pndm, RungeKutta, SaSolver, SingleStep,
    UniPc,
};

/// A solver with the parameters that front ends give it, by their name for it.
///
/// ```
/// use gaussian_diffusion::sampler::SolverName;
/// let solver: SolverName = "dpmpp_2m".parse()?;
/// assert_eq!(solver, SolverName::DpmPlusPlus2M);
/// assert_eq!(solver.to_string(), "DPM++ 2M");
/// assert!(solver.aliases().contains(&"dpm++2m"));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SolverName {
    /// [`Ddim`] as [`Ancestral`] of eta 1; on a flow by [`Descent::Flow`], like the other two ancestral ones.
    EulerAncestral,
    /// [`Ddim`], on any grid: Euler's method in `sigma / alpha`.
    Euler,
    /// [`LinearMultistep::lms`] of order 4.
    Lms,
    /// [`RungeKutta::heun`].
    Heun,
    /// [`RungeKutta::dpm2`], without the last level but one.
    Dpm2,
    /// The same as [`Ancestral`] of eta 1, without the last level but one.
    Dpm2Ancestral,
    /// [`SingleStep::plus_plus`] of order 2 as [`Ancestral`] of eta 1.
    DpmPlusPlus2SAncestral,
    /// [`DpmSolver::plus_plus`] of order 2.
    DpmPlusPlus2M,
    /// [`DpmSde`] of eta 1.
    DpmPlusPlusSde,
    /// [`DpmSolver::plus_plus`] of order 2 and eta 1.
    DpmPlusPlus2MSde,
    /// The same of Heun's type.
    DpmPlusPlus2MSdeHeun,
    /// [`DpmSolver::plus_plus`] of order 3 and eta 1, without the last level but one.
    DpmPlusPlus3MSde,
    /// [`SingleStep::fast`] as floored [`Ancestral`] of eta 1, even in log-SNR between the first and the
    /// last node of the grid, where it ends. It makes `n` evaluations.
    DpmFast,
    /// DPM-Solver of orders 2 and 3 with steps of its own choice: [`Kind::Adaptive`].
    ///
    /// [`Kind::Adaptive`]: super::Kind::Adaptive
    DpmAdaptive,
    /// [`RungeKutta::heun`] with restarts, by the rule of the WebUI: none below 20 steps; from 20 on 9
    /// steps once, from 36 on `n / 4` twice, from sigma 2 to 0.1, taken off the `n` steps.
    Restart,
    /// [`Ddim`] on training steps.
    Ddim,
    /// [`Pndm::plms`] on training steps.
    Plms,
    /// [`UniPc`] of order 3 and type bh1, lower in the last steps, on even training steps.
    UniPc,
    /// [`DpmPlusPlus3MSde`](Self::DpmPlusPlus3MSde) with all levels, as ComfyUI has it.
    DpmPlusPlus3MSdeWhole,
    /// [`UniPc`](Self::UniPc) without the last level but one, as ComfyUI has it.
    UniPcBh1,
    /// The same of type bh2.
    UniPcBh2,
    /// [`Ddpm`].
    Ddpm,
    /// [`Consistency`].
    Lcm,
    /// [`Ddim`] as [`Ancestral`] that goes down to step `0.7 t`: trajectory consistency of gamma 0.3.
    Tcd,
    /// [`LinearMultistep::ipndm`] of order 4.
    Ipndm,
    /// [`LinearMultistep::lms`] of order 4 by its other name.
    IpndmVariable,
    /// [`LinearMultistep::deis_in_time`] of order 3.
    Deis,
    /// [`ExponentialAdams`] of order 2 for the data.
    ResMultistep,
    /// [`SingleStep::plus_plus`] of order 2, exact.
    Res2S,
    /// [`LinearMultistep::gradient_estimation`] with gamma 2.
    GradientEstimation,
    /// [`ErSde`] of order 3.
    ErSde,
    /// [`SingleStep::plus_plus`] of order 2 and eta 1.
    Seeds2,
    /// The same of order 3.
    Seeds3,
    /// [`SingleStep::plus_plus`] of order 2, exact, with its second evaluation at the end of the step.
    ExponentialHeun,
    /// The same of eta 1.
    ExponentialHeunSde,
    /// [`SaSolver`] of orders 3 and 4 with tau 1 from 0.2 to 0.8 of the clock, lower in the last
    /// steps.
    SaSolver,
    /// The same [with a second evaluation](SaSolver::with_second_evaluation).
    SaSolverPece,
    /// The formula of [`DpmPlusPlus2MSdeHeun`](Self::DpmPlusPlus2MSdeHeun) by its other name.
    ResMultistepAncestral,
    /// [`DpmFast`](Self::DpmFast) without noise, as ComfyUI has it.
    DpmFastOde,
    /// [`DpmAdaptive`](Self::DpmAdaptive) without noise, as ComfyUI has it.
    DpmAdaptiveOde,
    /// [`HeunPlusPlus`].
    HeunPlusPlus,
    /// [`DpmSolver2MV2`].
    DpmPlusPlus2MV2,
    /// [`Euler`](Self::Euler) as [`CfgPlusPlusStep::new`] takes it. These and those below are for
    /// [`CfgPlusPlus`](crate::guidance::CfgPlusPlus), and fail with other guidance.
    EulerCfgPlusPlus,
    /// [`Ddim`](Self::Ddim) likewise. The WebUI's scale is 12.5 times that of the rule.
    DdimCfgPlusPlus,
    /// [`Ddim`] as [`Ancestral`] of eta 1 likewise, on flows too.
    EulerAncestralCfgPlusPlus,
    /// [`GradientEstimation`](Self::GradientEstimation) likewise.
    GradientEstimationCfgPlusPlus,
    /// [`DpmPlusPlus2M`](Self::DpmPlusPlus2M) as [`CfgPlusPlusStep::displacing_difference`] takes it.
    DpmPlusPlus2MCfgPlusPlus,
    /// [`SingleStep::plus_plus`] of order 2 as [`CfgPlusPlusStep::displacing_points`] takes it, as
    /// [`Ancestral`] of eta 1.
    DpmPlusPlus2SAncestralCfgPlusPlus,
    /// [`ResMultistep`](Self::ResMultistep) as [`CfgPlusPlusStep::displacing_before`] takes it.
    ResMultistepCfgPlusPlus,
    /// [`ResMultistepAncestral`](Self::ResMultistepAncestral) likewise.
    ResMultistepAncestralCfgPlusPlus,
}

impl Named for SolverName {
    const WHAT: &'static str = "solver";
    /// Own name, then those of ComfyUI, stable-diffusion.cpp and k-diffusion.
    const NAMES: &'static [(Self, &'static [&'static str])] = &[
        (Self::EulerAncestral, &["Euler a", "euler_ancestral"]),
        (Self::Euler, &["Euler"]),
        (Self::Lms, &["LMS"]),
        (Self::Heun, &["Heun"]),
        (Self::Dpm2, &["DPM2", "dpm_2"]),
        (
            Self::Dpm2Ancestral,
            &["DPM2 a", "dpm_2_ancestral", "dpm2_ancestral"],
        ),
        (
            Self::DpmPlusPlus2SAncestral,
            &["DPM++ 2S a", "dpmpp_2s_ancestral", "dpm++2s_a"],
        ),
        (Self::DpmPlusPlus2M, &["DPM++ 2M", "dpmpp_2m", "dpm++2m"]),
        (
            Self::DpmPlusPlusSde,
            &["DPM++ SDE", "dpmpp_sde", "dpmpp_sde_gpu"],
        ),
        (
            Self::DpmPlusPlus2MSde,
            &[
                "DPM++ 2M SDE",
                "dpmpp_2m_sde",
                "dpmpp_2m_sde_gpu",
                "dpm++2m_sde",
                "dpm++2m_sde_bt",
            ],
        ),
        (
            Self::DpmPlusPlus2MSdeHeun,
            &[
                "DPM++ 2M SDE Heun",
                "dpmpp_2m_sde_heun",
                "dpmpp_2m_sde_heun_gpu",
            ],
        ),
        (Self::DpmPlusPlus3MSde, &["DPM++ 3M SDE"]),
        (Self::DpmFast, &["DPM fast"]),
        (Self::DpmAdaptive, &["DPM adaptive"]),
        (Self::Restart, &["Restart"]),
        (Self::Ddim, &["DDIM"]),
        (Self::Plms, &["PLMS"]),
        (Self::UniPc, &["UniPC"]),
        (
            Self::DpmPlusPlus3MSdeWhole,
            &["dpmpp_3m_sde", "dpmpp_3m_sde_gpu"],
        ),
        (Self::UniPcBh1, &["uni_pc"]),
        (Self::UniPcBh2, &["uni_pc_bh2"]),
        (Self::Ddpm, &["DDPM"]),
        (Self::Lcm, &["LCM"]),
        (Self::Tcd, &["TCD"]),
        (Self::Ipndm, &["iPNDM"]),
        (Self::IpndmVariable, &["iPNDM_v"]),
        (Self::Deis, &["DEIS"]),
        (Self::ResMultistep, &["res_multistep"]),
        (Self::Res2S, &["res_2s"]),
        (
            Self::GradientEstimation,
            &["gradient_estimation", "euler_ge"],
        ),
        (Self::ErSde, &["er_sde"]),
        (Self::Seeds2, &["seeds_2"]),
        (Self::Seeds3, &["seeds_3"]),
        (Self::ExponentialHeun, &["exp_heun_2_x0"]),
        (Self::ExponentialHeunSde, &["exp_heun_2_x0_sde"]),
        (Self::SaSolver, &["sa_solver"]),
        (Self::SaSolverPece, &["sa_solver_pece"]),
        (Self::ResMultistepAncestral, &["res_multistep_ancestral"]),
        (Self::DpmFastOde, &["dpm_fast"]),
        (Self::DpmAdaptiveOde, &["dpm_adaptive"]),
        (Self::HeunPlusPlus, &["heunpp2"]),
        (Self::DpmPlusPlus2MV2, &["dpm++2mv2"]),
        (Self::EulerCfgPlusPlus, &["euler_cfg_pp"]),
        (Self::DdimCfgPlusPlus, &["DDIM CFG++"]),
        (
            Self::EulerAncestralCfgPlusPlus,
            &["euler_ancestral_cfg_pp", "euler_a_cfg_pp"],
        ),
        (
            Self::GradientEstimationCfgPlusPlus,
            &["gradient_estimation_cfg_pp"],
        ),
        (Self::DpmPlusPlus2MCfgPlusPlus, &["dpmpp_2m_cfg_pp"]),
        (
            Self::DpmPlusPlus2SAncestralCfgPlusPlus,
            &["dpmpp_2s_ancestral_cfg_pp"],
        ),
        (Self::ResMultistepCfgPlusPlus, &["res_multistep_cfg_pp"]),
        (
            Self::ResMultistepAncestralCfgPlusPlus,
            &["res_multistep_ancestral_cfg_pp"],
        ),
    ];
}

impl SolverName {
    /// All of them: the eighteen of the WebUI, and then those that only others have.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.iter().map(|(solver, _)| *solver)
    }

    /// The name it is printed with.
    pub fn name(self) -> &'static str {
        Named::first_name(self)
    }

    /// Its other names.
    pub fn aliases(self) -> &'static [&'static str] {
        Named::other_names(self)
    }

    /// The grid that its name means where no grid is named.
    pub fn default_grid(self) -> GridName {
        match self {
            Self::Restart => GridName::Karras,
            Self::Ddim | Self::Plms | Self::DdimCfgPlusPlus => GridName::Timesteps,
            Self::UniPc => GridName::TimeUniform,
            Self::Lcm | Self::Tcd => GridName::Lcm,
            _ => GridName::Uniform,
        }
    }

    /// The grid that newer versions of the WebUI take for "Automatic".
    pub fn automatic_grid(self) -> GridName {
        match self {
            Self::Dpm2
            | Self::Dpm2Ancestral
            | Self::DpmPlusPlus2SAncestral
            | Self::DpmPlusPlus2M
            | Self::DpmPlusPlusSde => GridName::Karras,
            Self::DpmPlusPlus2MSde | Self::DpmPlusPlus2MSdeHeun | Self::DpmPlusPlus3MSde => {
                GridName::Exponential
            }
            other => other.default_grid(),
        }
    }

    /// Whether it is of the CFG++ family: for networks guided by
    /// [`CfgPlusPlus`](crate::guidance::CfgPlusPlus), and a run with any other fails.
    ///
    /// ```
    /// use gaussian_diffusion::sampler::SolverName;
    /// let names: Vec<_> = SolverName::all().filter(|name| name.needs_cfg_plus_plus()).collect();
    /// assert_eq!((names.len(), names[0].name()), (8, "euler_cfg_pp"));
    /// ```
    pub fn needs_cfg_plus_plus(self) -> bool {
        matches!(
            self,
            Self::EulerCfgPlusPlus
                | Self::DdimCfgPlusPlus
                | Self::EulerAncestralCfgPlusPlus
                | Self::GradientEstimationCfgPlusPlus
                | Self::DpmPlusPlus2MCfgPlusPlus
                | Self::DpmPlusPlus2SAncestralCfgPlusPlus
                | Self::ResMultistepCfgPlusPlus
                | Self::ResMultistepAncestralCfgPlusPlus
        )
    }

    /// Whether the run leaves out the last level but one of its grid, which is made one step longer.
    #[doc(alias("discard_next_to_last_sigma"))]
    pub fn discards_penultimate(self) -> bool {
        matches!(
            self,
            Self::Dpm2
                | Self::Dpm2Ancestral
                | Self::DpmPlusPlus3MSde
                | Self::UniPcBh1
                | Self::UniPcBh2
        )
    }
}

impl fmt::Display for SolverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SolverName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        parse(name)
    }
}
