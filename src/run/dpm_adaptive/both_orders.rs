//! A step of both orders.

use std::fmt::Debug;

use super::{DpmAdaptive, DpmAdaptiveReport};
use crate::{
    Denoiser, Error, Grid, LogSnr, NoiseLevel, NoiseSchedule, Plan,
    noise::NoiseSource,
    solver::{Descent, Path},
    state::{ErrorNorm, Kept, State},
};

/// A step that was tried: where it leads, and how far its two orders are apart.
pub(super) struct Attempt<V> {
    pub(super) next: LogSnr,
    pub(super) start: NoiseLevel,
    pub(super) target: NoiseLevel,
    pub(super) below: NoiseLevel,
    pub(super) high: V,
    pub(super) low: V,
    /// In tolerances, of the worst item.
    pub(super) error: f64,
}

impl DpmAdaptive {
    /// The level that the deterministic part of a step goes to, never below the end.
    fn below<S>(
        &self,
        schedule: &S,
        start: NoiseLevel,
        target: NoiseLevel,
        end: NoiseLevel,
    ) -> Result<NoiseLevel, Error>
    where
        S: NoiseSchedule + ?Sized,
    {
        let (levels, level_at) = ([start, target], |snr| schedule.level_at(snr));
        let path = Path::new(&levels, 0, &level_at);
        let descent = Descent::Posterior(self.eta);
        let below = path.map(|path| descent.below(&path, end.noise_to_signal()));
        // At the end itself, that ratio made a level again may miss it by a rounding.
        Ok(match below.transpose()?.flatten() {
            Some(level) if target.is_noisier_than(level) => level,
            _ => target,
        })
    }

    /// A step of this length in half log-SNR, or to the end, by both orders.
    pub(super) fn attempt<V, S, D, N>(
        &self,
        schedule: &S,
        (at, length, to): (LogSnr, f64, LogSnr),
        (x, before): (&Kept<V>, &Kept<V>),
        so_far: &DpmAdaptiveReport,
        network: &mut D,
        noise: &mut N,
    ) -> Result<Attempt<Kept<V>>, Error>
    where
        V: State,
        Kept<V>: ErrorNorm,
        S: NoiseSchedule + ?Sized,
        S::Time: Copy + Debug,
        D: Denoiser<V, S::Time> + ?Sized,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        let next = LogSnr::new((at.get() + 2.0 * length).min(to.get()))?;
        let (start, target) = (schedule.level_at(at)?, schedule.level_at(next)?);
        let below = self.below(schedule, start, target, schedule.level_at(to)?)?;
        let grid = Grid::at_log_snrs(schedule, &[at])?.ending_at(below)?;
        let plan = Plan::new(schedule, &grid, &self.solver)?;
        let mut run = plan.start_from_kept::<V, _>(x.clone(), noise)?;
        while let Some((x, mut at)) = run.pending() {
            // The place in the whole run, which this is one step of.
            at.step = so_far.accepted;
            at.evaluation += so_far.evaluations;
            let prediction = network.predict(x, at)?;
            run.supply(prediction, noise)?;
        }
        let level_at = |snr| schedule.level_at(snr);
        let mut low = x.clone();
        if let Some(path) = Path::new(plan.levels(), 0, &level_at) {
            let update = self.solver.embedded(&path)?;
            let terms: Vec<_> = update.model.into_iter().zip(run.predictions()).collect();
            low.combine(update.state, &terms)?;
        }
        let high = run.into_kept();
        let mut before = before.clone();
        before.combine(below.alpha(), &[])?;
        let absolute = self.absolute * below.alpha();
        let errors = low.error_norms(&high, &before, absolute, self.relative)?;
        let error = errors.into_iter().fold(0.0, f64::max);
        Ok(Attempt {
            next,
            start,
            target,
            below,
            high,
            low,
            error,
        })
    }
}
