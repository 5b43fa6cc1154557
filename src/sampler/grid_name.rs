//! Grids by name.

use std::{fmt, str::FromStr};

use super::names::{Named, parse};
use crate::{
    Clock, Error, Grid, NoiseSchedule, Sigma, Step,
    grid::{AlignYourSteps, BongTangent, LinearQuadratic, LogitNormalCurve, Node, SigmaCurve, VpCurve},
    sampler::on_steps::OnSteps,
};

/// A rule for the noise levels of a run, by the name that front ends give it.
///
/// Most rules work on every schedule; those that count training steps are an error elsewhere.
///
/// ```
/// use gaussian_diffusion::{sampler::GridName, schedule::Edm};
/// let grid = GridName::Karras.grid(&Edm::default(), 20)?;
/// assert_eq!((grid.len(), "sgm_uniform".parse()?), (20, GridName::SgmUniform));
/// assert_eq!(
///     GridName::Simple.grid(&Edm::default(), 20).unwrap_err().to_string(),
///     "a clock of training steps is missing, the grid Simple needs it"
/// );
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("scheduler", "schedule type"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GridName {
    /// [`Grid::uniform_time`].
    Uniform,
    /// [`Grid::karras`].
    Karras,
    /// [`Grid::exponential`].
    Exponential,
    /// [`Grid::sgm_uniform`].
    SgmUniform,
    /// [`Grid::kl_optimal`], which ends at the data as ComfyUI has it.
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
    /// [`Grid::beta`]: quantiles of sigmas, as diffusers and the WebUI have them.
    BetaSigmas,
    /// [`LinearQuadratic`] with threshold 0.025, from the largest sigma down; along time on a schedule that
    /// starts without signal.
    LinearQuadratic,
    /// [`BongTangent`], from the largest to the smallest sigma; along time on a schedule that starts without
    /// signal.
    BongTangent,
    /// [`LogitNormalCurve`] for a sequence of 1024.
    LogitNormal,
    /// [`Grid::beta_steps`]: quantiles of training steps, as ComfyUI has them.
    Beta,
    /// [`Grid::simple`].
    Simple,
    /// [`Grid::smoothstep`].
    Smoothstep,
    /// [`Grid::ddim_uniform`].
    DdimUniform,
    /// [`Grid::leading`] with offset 1, ending at step 0: Latent Diffusion's, and of the WebUI's samplers
    /// on training steps.
    Timesteps,
    /// [`Grid::trailing`].
    Trailing,
    /// [`Grid::linspace`].
    Linspace,
    /// [`Grid::lcm`] with 50 original steps.
    Lcm,
}

impl Named for GridName {
    const WHAT: &'static str = "grid";
    const NAMES: &'static [(Self, &'static [&'static str])] = &[
        (Self::Uniform, &["Uniform", "normal", "discrete"]),
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
        (Self::Beta, &["Beta", "beta_steps"]),
        (Self::Simple, &["Simple"]),
        (Self::Smoothstep, &["Smoothstep"]),
        (Self::DdimUniform, &["DDIM Uniform", "ddim"]),
        (Self::Timesteps, &["Timesteps", "leading"]),
        (Self::Trailing, &["Trailing", "turbo"]),
        (Self::Linspace, &["Linspace"]),
        (Self::Lcm, &["LCM"]),
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
    /// As the grid itself; or if it counts training steps, and the schedule has none.
    pub fn grid<S>(self, schedule: &S, n: usize) -> Result<Grid<S::Time>, Error>
    where
        S: NoiseSchedule<Time: Clock> + ?Sized,
    {
        match self {
            Self::Uniform => Grid::uniform_time(schedule, n),
            Self::Karras => Grid::karras(schedule, n),
            Self::Exponential => Grid::exponential(schedule, n),
            Self::SgmUniform => Grid::sgm_uniform(schedule, n),
            Self::KlOptimal => Grid::kl_optimal(schedule, n),
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
            Self::BetaSigmas => Grid::beta(schedule, n),
            Self::LinearQuadratic => {
                along_ratio_or_time(schedule, n, |max, _| LinearQuadratic::new(max, 0.025))
            }
            Self::BongTangent => along_ratio_or_time(schedule, n, BongTangent::new),
            Self::LogitNormal => Grid::along(schedule, n, &LogitNormal::for_length(1024)?),
            Self::Beta
            | Self::Simple
            | Self::Smoothstep
            | Self::DdimUniform
            | Self::Timesteps
            | Self::Trailing
            | Self::Linspace
            | Self::Lcm => {
                let schedule = OnSteps::new(schedule, self.needing_steps())?;
                schedule.own(self.on_steps(&schedule, n)?)
            }
        }
    }

    fn on_steps<S>(self, schedule: &S, n: usize) -> Result<Grid<Step>, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        match self {
            Self::Beta => Grid::beta_steps(schedule, n, 0.6, 0.6),
            Self::Simple => Grid::simple(schedule, n),
            Self::Smoothstep => Grid::smoothstep(schedule, n),
            Self::DdimUniform => Grid::ddim_uniform(schedule, n),
            Self::Timesteps => {
                Grid::leading(schedule, n, 1)?.ending_at(schedule.level(Step::new(0))?)
            }
            Self::Linspace => Grid::linspace(schedule, n),
            Self::Lcm => Grid::lcm(schedule, n, 50, 1.0),
            _ => Grid::trailing(schedule, n),
        }
    }

    fn needing_steps(self) -> &'static str {
        match self {
            Self::Beta => "the grid Beta",
            Self::Simple => "the grid Simple",
            Self::Smoothstep => "the grid Smoothstep",
            Self::DdimUniform => "the grid DDIM Uniform",
            Self::Timesteps => "the grid Timesteps",
            Self::Linspace => "the grid Linspace",
            Self::Lcm => "the grid LCM",
            _ => "the grid Trailing",
        }
    }
}

/// Along the ratio `sigma / alpha`; where that has no largest value, along time, the curve going from 1
/// at the noise to 0 at the data.
fn along_ratio_or_time<S, C: SigmaCurve>(
    schedule: &S,
    n: usize,
    curve: impl Fn(Sigma, Sigma) -> Result<C, Error>,
) -> Result<Grid<S::Time>, Error>
where
    S: NoiseSchedule<Time: Clock> + ?Sized,
{
    let (noisiest, cleanest) = schedule.ends();
    let (first, last) = (schedule.level(noisiest)?, schedule.level(cleanest)?);
    if !first.is_noise() {
        let ratio = |level: crate::NoiseLevel| Sigma::new(level.noise_to_signal());
        return Grid::along(schedule, n, &curve(ratio(first)?, ratio(last)?)?);
    }
    crate::time::check_steps(n)?;
    let shares = curve(Sigma::new(1.0)?, Sigma::new(0.0)?)?.sigmas(n)?;
    let time = |share: &f64| noisiest.toward(cleanest, 1.0 - share);
    Grid::at(schedule, &shares.iter().map(time).collect::<Vec<_>>())
}

/// The same grid on another clock.
pub(super) fn on_clock<T, U>(
    grid: &Grid<T>,
    own: impl Fn(T) -> Result<U, Error>,
) -> Result<Grid<U>, Error>
where
    T: Copy + fmt::Debug,
    U: Copy + fmt::Debug,
{
    let mut nodes = Vec::with_capacity(grid.len());
    for node in grid.nodes() {
        nodes.push(Node {
            level: node.level,
            time: own(node.time)?,
        });
    }
    Grid::new(nodes, grid.end())
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
