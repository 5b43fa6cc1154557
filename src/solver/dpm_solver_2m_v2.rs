//! DPM++ 2M v2.

use super::{
    At, Coordinates, Path, ReverseStep, Stage, Update,
    exponential::{distance, inner},
};
use crate::Error;

/// DPM++ 2M v2: [`DpmSolver`](super::DpmSolver) of order 2 for the data with the mean of two steps for the
/// weight of the predictions.
///
/// With `h` the step in half log-SNR, `g` the one before, and `q = min(h, g) / max(h, g)`:
///
/// ```text
/// x_s = (sigma_s / sigma_t) x_t + alpha_s (1 - e^(-(h + g) / 2)) (m_0 + q (m_0 - m_1) / 2)
/// ```
///
/// $$x_s=\frac{\sigma_s}{\sigma_t}x_t+\alpha_s\big(1-e^{-(h+g)/2}\big)\Big(m_0+\frac q2(m_0-m_1)\Big)$$
///
/// Where two steps differ it is off even for a point of data, by `alpha_s (e^-h - e^(-(h + g) / 2))` of it:
/// it is here because a program has it by name. First step and step to the data are of order 1.
///
/// [Source](crate::docs::papers#stable-diffusion-cpp): the code of stable-diffusion.cpp, 2023.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Edm, solver::DpmSolver2MV2};
/// let schedule = Edm::default();
/// // Even steps in log-SNR: no defect.
/// let even = Grid::exponential(&schedule, 10)?;
/// assert!(Plan::new(&schedule, &even, &DpmSolver2MV2)?.defect()? < 1e-12);
/// let karras = Grid::karras(&schedule, 10)?;
/// assert!(Plan::new(&schedule, &karras, &DpmSolver2MV2)?.defect()? > 0.01);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("dpm++2mv2", "dpmpp2mv2"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DpmSolver2MV2;

impl ReverseStep for DpmSolver2MV2 {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        let before = path.previous().filter(|(before, _)| inner(*before));
        let (Some((before, _)), true) = (before, inner(to)) else {
            return Ok(Coordinates::Data.straight_stage(path));
        };
        let (h, g) = (distance(from, to), distance(before, from));
        let whole = -to.alpha() * (-0.5 * (h + g)).exp_m1();
        let older = 0.5 * h.abs().min(g.abs()) / h.abs().max(g.abs());
        let update = Update::new(to.sigma() / from.sigma())
            .with_model([whole * (1.0 + older), -whole * older]);
        let stage = Stage::new(At::From, Coordinates::Data.basis());
        Ok(vec![stage.with_commit(update)])
    }

    fn name(&self) -> &str {
        "DPM++ 2M v2"
    }

    fn memory(&self) -> usize {
        2
    }
}
