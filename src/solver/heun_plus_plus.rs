//! Heun++.

use super::{At, Coordinates, Path, ReverseStep, Stage, Update};
use crate::{Error, NoiseLevel};

/// Heun++: Euler's step with the slopes of up to two further nodes, by their noise beside that of the start.
///
/// In `y = x / alpha` against `u = sigma / alpha`, with `u_0` that of the noisiest level of the run and
/// `u_s`, `u_r` the next two nodes, each reached by Euler's steps from `u_t`:
///
/// ```text
/// y_s = y_t + (u_s - u_t) ((1 - w_2 - w_3) d_t + w_2 d_s + w_3 d_r),  w_2 = u_s / (3 u_0), w_3 = u_r / (3 u_0)
/// ```
///
/// $$y_s=y_t+(u_s-u_t)\Big(\big(1-\tfrac{u_s+u_r}{3u_0}\big)d_t+\tfrac{u_s}{3u_0}d_s+\tfrac{u_r}{3u_0}d_r\Big)$$
///
/// The last step but one has two slopes, `w_2 = u_s / (2 u_0)`, and the last one is Euler's. The weights do not
/// depend on the steps: the order is 1.
///
/// [Source](crate::docs::papers#sd-webui-samplers-scheduler): the code of sd-webui-samplers-scheduler, Carzit, 2024, as ComfyUI has it.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Edm, solver::HeunPlusPlus};
/// let schedule = Edm::default();
/// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 10)?, &HeunPlusPlus)?;
/// assert_eq!(plan.evaluations(), 8 * 3 + 2 + 1);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("Heun++", "heunpp2"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeunPlusPlus;

const U: Coordinates = Coordinates::Noise;

/// From one level to another with these slopes, the newest first, each times its way.
fn update(from: NoiseLevel, to: NoiseLevel, ways: &[f64]) -> Update {
    let model: Vec<_> = ways.iter().map(|way| U.scale(to) * way).collect();
    Update::new(U.scale(to) / U.scale(from)).with_model(model)
}

impl ReverseStep for HeunPlusPlus {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        let after = path.level(path.index() + 2);
        let (Some(after), true) = (after, U.reaches(from)) else {
            return Ok(U.straight_stage(path));
        };
        let stage = |at| Stage::new(at, U.basis());
        let (way, on) = (U.distance(from, to), U.distance(to, after));
        let predicted = stage(At::From).with_trial(update(from, to, &[way]));
        // Of a run that goes up, the end.
        let first = path.level(0).map_or(0.0, |level| U.clock(level));
        let noisiest = first.max(U.clock(path.end()));
        let share = |level: NoiseLevel| U.clock(level) / noisiest;
        if after == path.end() {
            let second = 0.5 * share(to);
            let commit = update(from, to, &[way * second, way * (1.0 - second)]);
            return Ok(vec![predicted, stage(At::To).with_commit(commit)]);
        }
        let (second, third) = (share(to) / 3.0, share(after) / 3.0);
        let weights = [third, second, 1.0 - second - third];
        let commit = update(from, to, &weights.map(|weight| way * weight));
        Ok(vec![
            predicted,
            stage(At::To).with_trial(update(from, after, &[on, way])),
            stage(At::LogSnr(after.log_snr())).with_commit(commit),
        ])
    }

    fn name(&self) -> &str {
        "Heun++"
    }

    fn memory(&self) -> usize {
        3
    }
}
