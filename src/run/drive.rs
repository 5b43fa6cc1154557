//! Asking a network until a run has ended, or somebody has seen enough.

use std::{fmt::Debug, ops::ControlFlow};

use super::{Run, observation::Observation};
use crate::{
    Denoiser, Error,
    noise::NoiseSource,
    state::{Kept, State},
};

impl<V: State, T: Copy + Debug> Run<'_, V, T> {
    /// Asks the network until the run has ended, and gives the result.
    ///
    /// A network that is asked from the first question on [begins](Denoiser::begin); one that takes over in
    /// the middle goes on with what it remembers.
    ///
    /// # Errors
    ///
    /// As [`Plan::sample`](crate::Plan::sample).
    pub fn sample<D, N>(mut self, network: &mut D, noise: &mut N) -> Result<V, Error>
    where
        D: Denoiser<V, T> + ?Sized,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        self.sample_observed(network, noise, |_| ControlFlow::Continue(()))?;
        Ok(self.into_state())
    }

    /// The same, with somebody looking on who may stop it: at the end of the step, from where the run can
    /// go on or be [saved](Self::save).
    ///
    /// # Errors
    ///
    /// As [`Plan::sample`](crate::Plan::sample).
    ///
    /// A refiner that takes over from a base network, with whatever solver:
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use gaussian_diffusion::{Point, Sampler, SeededNoise, Step, predicts, schedule::Discrete};
    /// use ndarray::Array2;
    /// let schedule = Discrete::stable_diffusion()?;
    /// let plan = Sampler::from_name("DPM++ 3M SDE")?.plan(&schedule, 20)?;
    /// let mut base = predicts::noise(|x: &Array2<f32>, _: Point<Step>| x * 0.9);
    /// let mut refiner = predicts::noise(|x: &Array2<f32>, _: Point<Step>| x * 0.8);
    /// let mut noise = SeededNoise::new(1);
    /// let start = plan.prior((2, 3), &mut noise)?;
    /// let mut run = plan.start_from(start, &mut noise)?;
    /// run.sample_observed(&mut base, &mut noise, |seen| match seen.at.step {
    ///     14 => ControlFlow::Break(()),
    ///     _ => ControlFlow::Continue(()),
    /// })?;
    /// assert_eq!(run.pending().map(|(_, at)| at.step), Some(15));
    /// let x0 = run.sample(&mut refiner, &mut noise)?;
    /// # assert_eq!(x0.dim(), (2, 3));
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn sample_observed<D, N>(
        &mut self,
        network: &mut D,
        noise: &mut N,
        observe: impl FnMut(Observation<'_, V, T>) -> ControlFlow<()>,
    ) -> Result<(), Error>
    where
        D: Denoiser<V, T> + ?Sized,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        self.drive(network, noise, |_| Ok(()), observe, Stop::ToGoOn)
    }

    /// The loop, with what may be done between the steps and in sight of the evaluations.
    pub(crate) fn drive<D, N>(
        &mut self,
        network: &mut D,
        noise: &mut N,
        mut between: impl FnMut(&mut Self) -> Result<(), Error>,
        mut observe: impl FnMut(Observation<'_, V, T>) -> ControlFlow<()>,
        stop: Stop,
    ) -> Result<(), Error>
    where
        D: Denoiser<V, T> + ?Sized,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        if self.evaluations_done() == 0 {
            network.begin();
        }
        between(self)?;
        let mut flow = ControlFlow::Continue(());
        while let Some((x, at)) = self.pending() {
            let prediction = network.predict(x, at)?;
            if flow.is_continue() {
                flow = observe(Observation {
                    at,
                    x,
                    prediction: &prediction,
                });
            }
            let next = self.progress.here(&self.plan)?.next;
            let ends_step = next.is_none_or(|next| next.point.step != at.step);
            let stops = flow.is_break() && ends_step;
            self.take(prediction, noise, stops && stop == Stop::ForGood)?;
            if stops {
                break;
            }
            if ends_step {
                between(self)?;
            }
        }
        Ok(())
    }
}

/// What is left of a run that is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A run that asks the next question.
    ToGoOn,
    /// The state at the level that the step has reached, before any noise of the next step.
    ForGood,
}
