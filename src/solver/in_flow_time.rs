//! Solvers of k-diffusion on rectified flows, as programs run them.

use super::{At, Coordinates, Path, ReverseStep, Stage};
use crate::{Error, LogSnr, NoiseLevel, Parameterization, Sigma};

/// A deterministic solver on a rectified flow that takes the flow's time for its sigma.
///
/// Programs built around k-diffusion run its solvers on flows as they are: with sigma the time `u` of the
/// flow, and alpha 1. What a straight path makes of both agrees,
///
/// ```text
/// x_s = (u_s / u_t) x_t + (1 - u_s / u_t) x_0
/// ```
///
/// $$x_s=\frac{u_s}{u_t}x_t+\Big(1-\frac{u_s}{u_t}\Big)x_0$$
///
/// so that the solver keeps its order; but its polynomials are in `u` or `ln u` where its own are in
/// `sigma / alpha` or its logarithm, and pure noise, `u = 1`, is no end of the axis. With
/// [`RungeKutta::heun`](super::RungeKutta::heun) inside this is the Heun of flow matching.
///
/// [Source](crate::docs::papers#comfyui): the code of ComfyUI, 2024.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Shifted, solver::{DpmSolver, InFlowTime}};
/// let flow = Shifted::flow(3.0)?;
/// let solver = InFlowTime::new(DpmSolver::plus_plus(2)?);
/// let plan = Plan::new(&flow, &Grid::uniform_time(&flow, 20)?, &solver)?;
/// assert!(plan.defect()? < 1e-14);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InFlowTime<S> {
    inner: S,
}

impl<S: ReverseStep> InFlowTime<S> {
    /// This solver, which must draw no noise and be one for the data or for the noise.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

/// A level of a flow as the solver sees it.
fn seen(level: NoiseLevel) -> NoiseLevel {
    NoiseLevel::new(1.0, level.sigma()).unwrap_or(level)
}

impl<S: ReverseStep> ReverseStep for InFlowTime<S> {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        for level in [path.from(), path.to()] {
            let sum = level.alpha() + level.sigma();
            if !((sum - 1.0).abs() < 1e-9) {
                let allowed = "1, as on a rectified flow";
                return Err(Error::range("alpha + sigma", sum, allowed));
            }
        }
        let level_at =
            |snr: LogSnr| NoiseLevel::variance_exploding(Sigma::new(snr.noise_to_signal()?)?);
        let mut stages = self.inner.stages(&path.seen_as(seen, &level_at))?;
        for stage in &mut stages {
            let updates = [&stage.renoise, &stage.commit, &stage.trial];
            if updates.into_iter().flatten().any(|u| u.noise.draws()) {
                return Err(unfit("a solver without noise"));
            }
            if let At::LogSnr(snr) = stage.at {
                stage.at = At::LogSnr(Coordinates::Flow.log_snr(snr.noise_to_signal()?)?);
            }
            stage.basis = match stage.basis {
                // (x - x_0) / u
                Parameterization::Noise => Parameterization::Flow,
                Parameterization::X0 => Parameterization::X0,
                _ => return Err(unfit("a solver for the data or the noise")),
            };
        }
        Ok(stages)
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn memory(&self) -> usize {
        self.inner.memory()
    }

    fn follows_points(&self) -> bool {
        self.inner.follows_points()
    }

    fn order(&self) -> u32 {
        self.inner.order()
    }

    fn order_on_uneven_steps(&self) -> u32 {
        self.inner.order_on_uneven_steps()
    }
}

fn unfit(what: &'static str) -> Error {
    Error::Missing {
        what,
        needed_by: "the time of a flow as sigma",
    }
}
