//! Solvers by name.

use std::{fmt, str::FromStr};

use super::{
    GridName,
    names::{Named, parse},
    on_steps::{OnSteps, coordinates_of},
};
use crate::{
    Clock, Error, Grid, NoiseSchedule, ReverseStep, Step,
    solver::{
        Ancestral, Consistency, Coordinates, Ddim, Ddpm, Descent, DpmSde, DpmSolver, ErSde,
        ExponentialAdams, LinearMultistep, Pndm, RungeKutta, SaSolver, SingleStep, UniPc,
    },
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
    /// [`UniPc`] of order 3 and type bh1, lower in the last steps, on training steps.
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
    /// [`ExponentialAdams::deis`] of order 3.
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
            Self::Ddim | Self::Plms | Self::UniPc => GridName::Timesteps,
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

    /// The solver for a run of `n` steps on this grid.
    ///
    /// # Errors
    ///
    /// If it chooses its own steps, needs training steps where the schedule has none, or `n` is 0.
    pub fn solver<S>(
        self,
        schedule: &S,
        grid: &Grid<S::Time>,
        n: usize,
    ) -> Result<Box<dyn ReverseStep>, Error>
    where
        S: NoiseSchedule<Time: Clock> + ?Sized,
    {
        let plus_plus = DpmSolver::plus_plus;
        let single = SingleStep::plus_plus;
        let unipc = || Ok::<_, Error>(UniPc::new(3)?.with_lower_final_orders());
        Ok(match self {
            Self::Euler | Self::Ddim => Box::new(Ddim::default()),
            Self::EulerAncestral => Box::new(ancestral(schedule, Ddim::default())?),
            Self::Lms | Self::IpndmVariable => Box::new(LinearMultistep::lms(4)?),
            Self::Heun | Self::Restart => Box::new(RungeKutta::heun()),
            Self::Dpm2 => Box::new(RungeKutta::dpm2()),
            Self::Dpm2Ancestral => Box::new(ancestral(schedule, RungeKutta::dpm2())?),
            Self::DpmPlusPlus2SAncestral => Box::new(ancestral(schedule, single(2)?)?),
            Self::DpmPlusPlus2M => Box::new(plus_plus(2)?),
            Self::DpmPlusPlusSde => Box::new(DpmSde::new(1.0)?),
            Self::DpmPlusPlus2MSde => Box::new(plus_plus(2)?.with_tau(1.0)?),
            Self::DpmPlusPlus2MSdeHeun => {
                Box::new(plus_plus(2)?.with_exact_integrals().with_tau(1.0)?)
            }
            Self::DpmPlusPlus3MSde | Self::DpmPlusPlus3MSdeWhole => {
                Box::new(plus_plus(3)?.with_exact_integrals().with_tau(1.0)?)
            }
            Self::DpmFast => Box::new(Ancestral::new(SingleStep::fast(n)?, 1.0)?.with_floor()),
            Self::DpmAdaptive => {
                return Err(Error::Missing {
                    what: "a fixed number of steps",
                    needed_by: "a plan of DPM adaptive",
                });
            }
            Self::Plms => Box::new(Pndm::plms()),
            Self::UniPc | Self::UniPcBh1 => Box::new(unipc()?.with_bh1()),
            Self::UniPcBh2 => Box::new(unipc()?),
            Self::Ddpm => Box::new(Ddpm::default()),
            Self::Lcm => Box::new(Consistency::default()),
            Self::Tcd => Box::new(trajectory_consistency(schedule, grid)?),
            Self::Ipndm => Box::new(LinearMultistep::ipndm(4)?),
            Self::Deis => Box::new(ExponentialAdams::deis(3)?),
            Self::ResMultistep => Box::new(ExponentialAdams::new(2, Coordinates::Data)?),
            Self::Res2S => Box::new(single(2)?.with_exact_integrals()),
            Self::GradientEstimation => Box::new(LinearMultistep::gradient_estimation(2.0)?),
            Self::ErSde => Box::new(ErSde::new(3)?),
            Self::Seeds2 => Box::new(single(2)?.with_tau(1.0)?),
            Self::Seeds3 => Box::new(single(3)?.with_tau(1.0)?),
            Self::ExponentialHeun => {
                Box::new(single(2)?.with_fraction(1.0)?.with_exact_integrals())
            }
            Self::ExponentialHeunSde => Box::new(
                single(2)?
                    .with_fraction(1.0)?
                    .with_exact_integrals()
                    .with_tau(1.0)?,
            ),
            Self::SaSolver => {
                let (from, to) = schedule.ends();
                let snr = |share| {
                    let level = schedule.level(from.toward(to, share))?;
                    Ok::<_, Error>(level.log_snr())
                };
                let solver = SaSolver::new(3, 4)?
                    .with_tau(1.0)?
                    .with_lower_final_orders();
                Box::new(solver.with_noise_between(snr(0.2)?, snr(0.8)?)?)
            }
        })
    }
}

/// Of eta 1, with the step of rectified flows on a flow: there the posterior's has another law on the way.
fn ancestral<S, R>(schedule: &S, inner: R) -> Result<Ancestral<R>, Error>
where
    S: NoiseSchedule<Time: Clock> + ?Sized,
    R: ReverseStep,
{
    let descent = match coordinates_of(schedule)? {
        Coordinates::Flow => Descent::Flow(1.0),
        _ => Descent::Posterior(1.0),
    };
    Ancestral::with_descent(inner, descent)
}

/// Down to the step `floor(0.7 t)` below each target `t`.
fn trajectory_consistency<S>(schedule: &S, grid: &Grid<S::Time>) -> Result<Ancestral<Ddim>, Error>
where
    S: NoiseSchedule<Time: Clock> + ?Sized,
{
    let steps = OnSteps::new(schedule)?;
    let mut below = Vec::with_capacity(grid.len());
    for target in grid.levels().skip(1) {
        below.push(match target.is_clean() {
            true => target,
            false => {
                let t = steps.time_at(target.log_snr())?;
                // A step found from its level may miss its whole number by a rounding.
                let lower = steps.level(Step::new((0.7 * t.get() + 1e-9) as usize))?;
                // Below the first step there is none.
                if target.is_noisier_than(lower) {
                    lower
                } else {
                    target
                }
            }
        });
    }
    Ancestral::with_descent(Ddim::default(), Descent::Levels(below))
}

impl fmt::Display for SolverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SolverName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        super::refuse_known_but_missing(name)?;
        parse(name)
    }
}
