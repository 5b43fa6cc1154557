//! What the names of solvers stand for.

use super::{
    SolverName,
    on_steps::{OnSteps, coordinates_of},
};
use crate::{
    Clock, Error, Grid, LogSnr, NoiseLevel, NoiseSchedule, ReverseStep, Sigma, Step,
    grid::{Node, PolyExponential},
    solver::{
        Ancestral, CfgPlusPlusStep, Consistency, Coordinates, Ddim, Ddpm, Descent, DpmSde,
        DpmSolver, DpmSolver2MV2, ErSde, ExponentialAdams, HeunPlusPlus, InFlowTime,
        LinearMultistep, Pndm, RungeKutta, SaSolver, SingleStep, UniPc,
    },
};

impl SolverName {
    /// The solver for a run of `n` steps on this grid.
    ///
    /// On rectified flows the deterministic solvers of k-diffusion take the time for sigma
    /// ([`InFlowTime`]), as front ends run them.
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
        let is_flow = coordinates_of(schedule)? == Coordinates::Flow;
        let plus_plus = DpmSolver::plus_plus;
        let sde = |order| plus_plus(order)?.with_tau(1.0);
        let single = SingleStep::plus_plus;
        let unipc = || Ok::<_, Error>(UniPc::new(3)?.with_lower_final_orders());
        let lms = || Ok::<_, Error>(LinearMultistep::lms(4)?.with_euler_to_data());
        let res = || ExponentialAdams::new(2, Coordinates::Data);
        let exponential_heun =
            || Ok::<_, Error>(single(2)?.with_fraction(1.0)?.with_exact_integrals());
        let gradient = || LinearMultistep::gradient_estimation(2.0);
        let in_time = |solver| in_sigma(is_flow, solver);
        Ok(match self {
            Self::Euler | Self::Ddim => Box::new(Ddim::default()),
            Self::EulerAncestral => ancestral(is_flow, Ddim::default())?,
            Self::Lms | Self::IpndmVariable => in_time(Box::new(lms()?)),
            Self::Heun | Self::Restart => in_time(Box::new(RungeKutta::heun())),
            Self::Dpm2 => in_time(Box::new(RungeKutta::dpm2())),
            Self::Dpm2Ancestral => ancestral(is_flow, in_time(Box::new(RungeKutta::dpm2())))?,
            Self::DpmPlusPlus2SAncestral => ancestral(is_flow, single(2)?)?,
            Self::DpmPlusPlus2M => in_time(Box::new(plus_plus(2)?)),
            Self::DpmPlusPlus2MV2 => in_time(Box::new(DpmSolver2MV2)),
            Self::DpmPlusPlusSde => Box::new(DpmSde::new(1.0)?),
            Self::DpmPlusPlus2MSde => Box::new(sde(2)?),
            Self::DpmPlusPlus2MSdeHeun | Self::ResMultistepAncestral => {
                Box::new(sde(2)?.with_exact_integrals())
            }
            Self::DpmPlusPlus3MSde | Self::DpmPlusPlus3MSdeWhole => {
                Box::new(sde(3)?.with_exact_integrals())
            }
            Self::DpmFast => Box::new(Ancestral::new(SingleStep::fast(n)?, 1.0)?.with_floor()),
            Self::DpmFastOde => in_time(Box::new(SingleStep::fast(n)?)),
            Self::DpmAdaptive | Self::DpmAdaptiveOde => {
                return Err(Error::Missing {
                    what: "a fixed number of steps",
                    needed_by: "a plan of DPM adaptive",
                });
            }
            Self::Plms => Box::new(Pndm::plms()),
            Self::UniPc => Box::new(unipc()?.with_bh1()),
            Self::UniPcBh1 => in_time(Box::new(unipc()?.with_bh1())),
            Self::UniPcBh2 => in_time(Box::new(unipc()?)),
            Self::Ddpm => Box::new(Ddpm::default()),
            Self::Lcm => Box::new(Consistency::default()),
            Self::Tcd => Box::new(trajectory_consistency(schedule, grid)?),
            Self::Ipndm => in_time(Box::new(LinearMultistep::ipndm(4)?.with_euler_to_data())),
            Self::Deis => in_time(Box::new(LinearMultistep::deis_in_time(3)?)),
            Self::HeunPlusPlus => in_time(Box::new(HeunPlusPlus)),
            Self::ResMultistep => in_time(Box::new(res()?)),
            Self::Res2S => in_time(Box::new(single(2)?.with_exact_integrals())),
            Self::GradientEstimation => in_time(Box::new(gradient()?)),
            Self::ErSde => Box::new(ErSde::new(3)?),
            Self::Seeds2 => Box::new(single(2)?.with_tau(1.0)?),
            Self::Seeds3 => Box::new(single(3)?.with_tau(1.0)?),
            Self::ExponentialHeun => Box::new(exponential_heun()?),
            Self::ExponentialHeunSde => Box::new(exponential_heun()?.with_tau(1.0)?),
            Self::SaSolver => Box::new(sa_solver(schedule)?),
            Self::SaSolverPece => Box::new(sa_solver(schedule)?.with_second_evaluation()),
            Self::EulerCfgPlusPlus | Self::DdimCfgPlusPlus => {
                Box::new(CfgPlusPlusStep::new(Ddim::default()))
            }
            Self::EulerAncestralCfgPlusPlus => {
                Box::new(CfgPlusPlusStep::new(Ancestral::new(Ddim::default(), 1.0)?))
            }
            Self::GradientEstimationCfgPlusPlus => {
                in_time(Box::new(CfgPlusPlusStep::new(gradient()?)))
            }
            Self::DpmPlusPlus2MCfgPlusPlus => in_time(Box::new(
                CfgPlusPlusStep::displacing_difference(plus_plus(2)?),
            )),
            Self::DpmPlusPlus2SAncestralCfgPlusPlus => {
                ancestral(is_flow, CfgPlusPlusStep::displacing_points(single(2)?))?
            }
            Self::ResMultistepCfgPlusPlus => {
                in_time(Box::new(CfgPlusPlusStep::displacing_before(res()?)))
            }
            Self::ResMultistepAncestralCfgPlusPlus => {
                let solver = sde(2)?.with_exact_integrals();
                Box::new(CfgPlusPlusStep::displacing_before(solver))
            }
        })
    }

    /// The grid of a run of `n` steps, of the levels that the rule of a grid lists: `n` of them before the
    /// end, or one more if the solver [discards](Self::discards_penultimate) one.
    ///
    /// DPM fast goes from the first to the last of them in steps even in the logarithm of sigma. ComfyUI's
    /// UniPC ends at sigma 0.001 in place of the data; and its solvers in log-SNR start a flow one
    /// ten-thousandth of the way from pure noise, which has none.
    ///
    /// # Errors
    ///
    /// If the list is too short.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, sampler::SolverName, schedule::RectifiedFlow};
    /// let listed = || Grid::uniform_time(&RectifiedFlow, 4);
    /// let grid = SolverName::Seeds2.grid(&RectifiedFlow, listed()?, 4)?;
    /// assert_eq!(grid.nodes()[0].level.sigma(), 0.9999);
    /// assert_eq!(SolverName::Euler.grid(&RectifiedFlow, listed()?, 4)?, listed()?);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn grid<S>(
        self,
        schedule: &S,
        listed: Grid<S::Time>,
        n: usize,
    ) -> Result<Grid<S::Time>, Error>
    where
        S: NoiseSchedule<Time: Clock> + ?Sized,
    {
        if matches!(self, Self::DpmFast | Self::DpmFastOde) {
            return between_ends(schedule, listed, n);
        }
        let grid = match self.discards_penultimate() {
            true => listed.without_penultimate()?,
            false => listed,
        };
        if matches!(self, Self::UniPcBh1 | Self::UniPcBh2) && grid.end().is_clean() {
            return ending_as_unipc(schedule, grid);
        }
        match self.is_in_log_snr() {
            true => starting_with_signal(schedule, grid),
            false => Ok(grid),
        }
    }

    /// Whether ComfyUI runs it in log-SNR on flows too.
    fn is_in_log_snr(self) -> bool {
        matches!(
            self,
            Self::DpmPlusPlusSde
                | Self::DpmPlusPlus2MSde
                | Self::DpmPlusPlus2MSdeHeun
                | Self::DpmPlusPlus3MSde
                | Self::DpmPlusPlus3MSdeWhole
                | Self::ErSde
                | Self::Seeds2
                | Self::Seeds3
                | Self::ExponentialHeun
                | Self::ExponentialHeunSde
                | Self::SaSolver
                | Self::SaSolverPece
        )
    }
}

/// A solver of k-diffusion, on a flow with the time for sigma.
fn in_sigma(is_flow: bool, solver: Box<dyn ReverseStep>) -> Box<dyn ReverseStep> {
    match is_flow {
        true => Box::new(InFlowTime::new(solver)),
        false => solver,
    }
}

/// Of eta 1, with the step of rectified flows on a flow: there the posterior's gives another distribution on the way.
fn ancestral<R>(is_flow: bool, inner: R) -> Result<Box<dyn ReverseStep>, Error>
where
    R: ReverseStep + 'static,
{
    let descent = match is_flow {
        true => Descent::Flow(1.0),
        false => Descent::Posterior(1.0),
    };
    Ok(Box::new(Ancestral::with_descent(inner, descent)?))
}

/// With tau 1 from 0.2 to 0.8 of the way from noise to data.
fn sa_solver<S>(schedule: &S) -> Result<SaSolver, Error>
where
    S: NoiseSchedule<Time: Clock> + ?Sized,
{
    let (from, to) = schedule.ends();
    let snr = |share| {
        let level = schedule.level(from.heard_toward(to, share))?;
        Ok::<_, Error>(level.log_snr())
    };
    let solver = SaSolver::new(3, 4)?
        .with_tau(1.0)?
        .with_lower_final_orders();
    solver.with_noise_between(snr(0.2)?, snr(0.8)?)
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

/// The grid of DPM-Solver-fast with `n` evaluations, even in the logarithm of sigma.
fn between_ends<S>(schedule: &S, listed: Grid<S::Time>, n: usize) -> Result<Grid<S::Time>, Error>
where
    S: NoiseSchedule<Time: Clock> + ?Sized,
{
    let [first, .., last] = listed.nodes() else {
        return Ok(listed);
    };
    let table = OnSteps::new(schedule)?;
    let nodes = SingleStep::fast_steps(n) + 1;
    let even = if table.is_flow() || first.level.is_noise() {
        let (max, min) = (table.sigma(first.level)?, table.sigma(last.level)?);
        table.along(nodes, &PolyExponential::new(max, min, 1.0)?)
    } else {
        let (from, to) = (first.level.log_snr(), last.level.log_snr());
        Grid::uniform_log_snr_between(schedule, nodes, from, to)
    };
    even?.without_final_step()
}

/// The same grid to sigma 0.001, if it comes below that at its end alone.
fn ending_as_unipc<S>(schedule: &S, grid: Grid<S::Time>) -> Result<Grid<S::Time>, Error>
where
    S: NoiseSchedule<Time: Clock> + ?Sized,
{
    const END: f64 = 0.001;
    let end = match coordinates_of(schedule)? {
        Coordinates::Flow => NoiseLevel::new(1.0 - END, END)?,
        _ => schedule.level_at(LogSnr::from_sigma(Sigma::new(END)?))?,
    };
    match grid.nodes().last() {
        Some(last) if last.level.is_noisier_than(end) => grid.ending_at(end),
        _ => Ok(grid),
    }
}

/// The same grid with its first level moved off pure noise.
fn starting_with_signal<S>(schedule: &S, grid: Grid<S::Time>) -> Result<Grid<S::Time>, Error>
where
    S: NoiseSchedule<Time: Clock> + ?Sized,
{
    const SHARE: f64 = 1e-4;
    let [first, later @ ..] = grid.nodes() else {
        return Ok(grid);
    };
    if !(first.level.is_noise() && coordinates_of(schedule)? == Coordinates::Flow) {
        return Ok(grid);
    }
    let (noisiest, cleanest) = schedule.ends();
    let time = noisiest.heard_toward(cleanest, SHARE);
    let first = Node {
        level: schedule.level(time)?,
        time: schedule.network_time(time),
    };
    let nodes = std::iter::once(first).chain(later.iter().copied());
    Grid::new(nodes.collect(), grid.end())
}
