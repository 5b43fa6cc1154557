//! Grids by name.

use std::{fmt, str::FromStr};

use super::names::{Named, parse};
use crate::{
    Clock, Error, Grid, NoiseSchedule, Sigma, Step,
    grid::{
        AlignYourSteps, Beta, BongTangent, DynamicShift, FlowCurve, Karras, KlOptimal,
        LaplaceCurve, LinearQuadratic, LogitNormalCurve, PolyExponential, VpCurve, flux2_mu,
    },
    sampler::on_steps::OnSteps,
    time::check_steps,
};

/// A rule for the noise levels of a run, by the name that front ends give it.
///
/// A name means what its front end makes of it on every schedule. Front ends see a model as a table of
/// training steps: [`Step`]s are their own; of a schedule in continuous time there are 1000, even on the
/// clock that its network hears (a logarithm for [`Sigma`](crate::Sigma)), and where time 0 is the data the
/// first of them is 1/1000 away. What they call sigma is `sigma / alpha`, and the time on a rectified flow;
/// a curve runs from the sigma of the last step to that of the first. Without signal at the last step and
/// no flow, `sigma / alpha` is 4518.76 there, as in ComfyUI and the WebUI. A step to the data follows.
///
/// ```
/// use gaussian_diffusion::{sampler::GridName, schedule::{Edm, Shifted}};
/// let grid = GridName::Karras.grid(&Edm::default(), 20)?;
/// assert_eq!((grid.len(), "sgm_uniform".parse()?), (20, GridName::SgmUniform));
/// let grid = GridName::Simple.grid(&Shifted::flow(3.0)?, 8)?;
/// let sigma = grid.nodes()[1].level.sigma();
/// assert!((sigma - 3.0 * 0.875 / (1.0 + 2.0 * 0.875)).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("scheduler", "schedule type"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GridName {
    /// Even steps from the last to the first.
    Uniform,
    /// The same; on a shifted flow, where ComfyUI takes the first step's sigma for a time, the end is
    /// shifted twice.
    Normal,
    /// [`Karras`], exponent 7.
    Karras,
    /// [`PolyExponential`], exponent 1.
    Exponential,
    /// One more step than [`Normal`](Self::Normal) has, without the first.
    SgmUniform,
    /// [`KlOptimal`]. ComfyUI and stable-diffusion.cpp go on to the data, the WebUI stops before it.
    KlOptimal,
    /// [`Grid::align_your_steps`] for Stable Diffusion 1.5.
    AlignYourSteps,
    /// [`Grid::align_your_steps`] for Stable Diffusion XL.
    AlignYourStepsXl,
    /// [`Grid::align_your_steps`] for Stable Video Diffusion.
    AlignYourStepsVideo,
    /// [`Grid::gits`].
    Gits,
    /// [`VpCurve`].
    Vp,
    /// [`Beta`](crate::grid::Beta) with 0.6 and 0.6: quantiles of sigmas, as diffusers and the WebUI have
    /// them.
    BetaSigmas,
    /// [`LinearQuadratic`] with threshold 0.025, from the largest sigma.
    LinearQuadratic,
    /// [`BongTangent`], from the largest to the smallest sigma; on a flow from 1 to 0.
    BongTangent,
    /// [`LogitNormalCurve`] for a sequence of 1024.
    LogitNormal,
    /// [`LaplaceCurve`] of mean 0 and scale 0.5, in `sigma / alpha` on flows too.
    Laplace,
    /// [`Grid::beta_steps`] with 0.6 and 0.6: quantiles of training steps, as ComfyUI has them.
    Beta,
    /// [`Grid::beta_steps`] with 0.5 and 0.7.
    Beta57,
    /// [`Grid::simple`].
    Simple,
    /// [`Grid::smoothstep`].
    Smoothstep,
    /// [`Grid::ddim_uniform`].
    DdimUniform,
    /// [`Grid::leading`] with offset 1, ending at step 0: Latent Diffusion's, and of the WebUI's samplers
    /// on training steps.
    Timesteps,
    /// `n` even steps from the last training step to the first, where they end: those of UniPC's authors, and
    /// so of the WebUI's UniPC.
    TimeUniform,
    /// [`Grid::trailing`], from no signal where the schedule ends so, as DDIM of diffusers.
    Trailing,
    /// [`Grid::linspace`], likewise.
    Linspace,
    /// [`Grid::lcm`] with 50 original steps.
    Lcm,
    /// [`FlowCurve`] of FLUX.1 for a sequence of 4096, `mu` 1.15. Flows only, whatever their own shift.
    Flux,
    /// The same with [`flux2_mu`].
    Flux2,
    /// [`FlowCurve`] of LTX-Video for a sequence of 4096, `mu` 2.05, stretched to 0.1. Flows only.
    Ltx2,
}

impl Named for GridName {
    const WHAT: &'static str = "grid";
    const NAMES: &'static [(Self, &'static [&'static str])] = &[
        (Self::Uniform, &["Uniform", "discrete"]),
        (Self::Normal, &["Normal"]),
        (Self::Karras, &["Karras"]),
        (Self::Exponential, &["Exponential", "polyexponential"]),
        (Self::SgmUniform, &["SGM Uniform"]),
        (Self::KlOptimal, &["KL Optimal"]),
        (Self::AlignYourSteps, &["Align Your Steps", "ays"]),
        (Self::AlignYourStepsXl, &["Align Your Steps XL", "ays_xl"]),
        (
            Self::AlignYourStepsVideo,
            &["Align Your Steps Video", "ays_svd"],
        ),
        (Self::Gits, &["GITS"]),
        (Self::Vp, &["VP"]),
        (Self::BetaSigmas, &["Beta Sigmas"]),
        (Self::LinearQuadratic, &["Linear Quadratic"]),
        (Self::BongTangent, &["Bong Tangent"]),
        (Self::LogitNormal, &["Logit Normal"]),
        (Self::Laplace, &["Laplace"]),
        (Self::Beta, &["Beta", "beta_steps"]),
        (Self::Beta57, &["Beta57"]),
        (Self::Simple, &["Simple"]),
        (Self::Smoothstep, &["Smoothstep"]),
        (Self::DdimUniform, &["DDIM Uniform", "ddim"]),
        (Self::Timesteps, &["Timesteps", "leading"]),
        (Self::TimeUniform, &["Time Uniform"]),
        (Self::Trailing, &["Trailing", "turbo"]),
        (Self::Linspace, &["Linspace"]),
        (Self::Lcm, &["LCM"]),
        (Self::Flux, &["FLUX"]),
        (Self::Flux2, &["FLUX2"]),
        (Self::Ltx2, &["LTX2"]),
    ];
}

impl GridName {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.iter().map(|(rule, _)| *rule)
    }

    /// The name it is printed with.
    pub fn name(self) -> &'static str {
        Named::first_name(self)
    }

    /// Its other names.
    pub fn aliases(self) -> &'static [&'static str] {
        Named::other_names(self)
    }

    /// The grid of `n` steps on a schedule.
    ///
    /// # Errors
    ///
    /// As the grid itself; or if it is for flows, and the schedule is none.
    pub fn grid<S>(self, schedule: &S, n: usize) -> Result<Grid<S::Time>, Error>
    where
        S: NoiseSchedule<Time: Clock> + ?Sized,
    {
        let steps = OnSteps::new(schedule)?;
        let (max, min) = steps.sigmas()?;
        match self {
            Self::Karras => steps.along(n, &Karras::new(max, min, 7.0)?),
            Self::Exponential => steps.along(n, &PolyExponential::new(max, min, 1.0)?),
            Self::KlOptimal => steps.along(n, &KlOptimal::new(max, min)?),
            Self::BetaSigmas => steps.along(n, &Beta::new(max, min, 0.6, 0.6)?),
            Self::LinearQuadratic => steps.along(n, &LinearQuadratic::new(max, 0.025)?),
            Self::BongTangent if steps.is_flow() => {
                steps.along(n, &BongTangent::new(max, Sigma::new(0.0)?)?)
            }
            Self::BongTangent => steps.along(n, &BongTangent::new(max, min)?),
            Self::Laplace => {
                let steps = OnSteps::in_ratio(schedule)?;
                let (max, min) = steps.sigmas()?;
                steps.along(n, &LaplaceCurve::new(max, min, 0.0, 0.5)?)
            }
            Self::Flux | Self::Flux2 | Self::Ltx2 => steps.along(n, &self.flow_curve(&steps, n)?),
            Self::AlignYourSteps => {
                Grid::align_your_steps(schedule, n, AlignYourSteps::StableDiffusion15)
            }
            Self::AlignYourStepsXl => {
                Grid::align_your_steps(schedule, n, AlignYourSteps::StableDiffusionXl)
            }
            Self::AlignYourStepsVideo => {
                Grid::align_your_steps(schedule, n, AlignYourSteps::StableVideoDiffusion)
            }
            Self::Gits => Grid::gits(schedule, n),
            Self::Vp => Grid::along(schedule, n, &VpCurve::default()),
            Self::LogitNormal => Grid::along(schedule, n, &LogitNormalCurve::for_length(1024)?),
            Self::Normal => steps.even(n),
            Self::SgmUniform => {
                check_steps(n)?;
                steps.even(n + 1)?.without_penultimate()
            }
            Self::Uniform => steps.own(&Grid::uniform_time(&steps, n)?),
            Self::Beta => steps.own(&Grid::beta_steps(&steps, n, 0.6, 0.6)?),
            Self::Beta57 => steps.own(&Grid::beta_steps(&steps, n, 0.5, 0.7)?),
            Self::Simple => steps.own(&Grid::simple(&steps, n)?),
            Self::Smoothstep => steps.own(&Grid::smoothstep(&steps, n)?),
            Self::DdimUniform => steps.own(&Grid::ddim_uniform(&steps, n)?),
            Self::Timesteps => {
                let first = steps.level(Step::new(0))?;
                steps.own(&Grid::leading(&steps, n, 1)?.ending_at(first)?)
            }
            Self::TimeUniform => {
                check_steps(n)?;
                steps.own(&Grid::uniform_time(&steps, n + 1)?.without_final_step()?)
            }
            Self::Lcm => steps.own(&Grid::lcm(&steps, n, 50, 1.0)?),
            Self::Trailing | Self::Linspace => {
                let steps = OnSteps::exact(schedule)?;
                let grid = match self {
                    Self::Linspace => Grid::linspace(&steps, n),
                    _ => Grid::trailing(&steps, n),
                };
                steps.own(&grid?)
            }
        }
    }

    /// The sigmas that a model family of flows is drawn with, for a sequence of 4096.
    fn flow_curve<S>(self, steps: &OnSteps<'_, S>, n: usize) -> Result<FlowCurve, Error>
    where
        S: NoiseSchedule<Time: Clock> + ?Sized,
    {
        if !steps.is_flow() {
            let needed_by = match self {
                Self::Flux => "the grid FLUX",
                Self::Flux2 => "the grid FLUX2",
                _ => "the grid LTX2",
            };
            return Err(Error::Missing {
                what: "a rectified flow",
                needed_by,
            });
        }
        const LENGTH: usize = 4096;
        match self {
            Self::Flux => FlowCurve::new(DynamicShift::FLUX.factor(LENGTH)),
            Self::Flux2 => FlowCurve::new(flux2_mu(LENGTH, n).exp()),
            _ => FlowCurve::new(DynamicShift::LTX_VIDEO.factor(LENGTH))?.with_last(0.1),
        }
    }
}

impl fmt::Display for GridName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for GridName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        parse(name)
    }
}
