//! Going back to a noisier level and coming down again.

use std::{fmt::Debug, ops::Range};

use super::{MOST_REPEATED, Plan, PlannedStage};
use crate::{Error, time::check_count};

impl<T: Copy + Debug> Plan<T> {
    /// The plan that comes down every `length` steps `times` times: after each but the last, noise
    /// takes the state back to where those steps began.
    ///
    /// `x_t <- (alpha_t / alpha_s) x_s + sqrt(sigma_t^2 - (alpha_t sigma_s / alpha_s)^2) z`
    ///
    /// With known pixels kept by [`Inpaint`](crate::editing::Inpaint) this is RePaint, whose usual
    /// choice is 10 steps 10 times; on the whole state it is the resampling of Restart. `times = 1` is
    /// the plan itself. The last stretch may be shorter than `length`.
    ///
    /// [Source](crate::docs::papers#arxiv-2201.09865): RePaint: Inpainting using Denoising Diffusion Probabilistic Models,
    /// Lugmayr, Danelljan, Romero, Yu, Timofte, Van Gool, 2022, algorithm 1 and appendix B.
    ///
    /// # Errors
    ///
    /// If `length` or `times` is 0, they make more than 2^20 evaluations, the plan is inverted, or a stretch
    /// needs predictions of the steps before it (multi-step solvers) or ends within a step (blocks of
    /// several nodes).
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::Ddpm};
    /// let schedule = Discrete::cosine(1000)?;
    /// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 20)?, &Ddpm::default())?;
    /// let plan = plan.resampled(5, 3)?;
    /// assert_eq!(plan.steps(), 60);
    /// assert!(plan.defect()? < 1e-12);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias(
        "RePaint",
        "jump_length",
        "jump_n_sample",
        "time travel",
        "Restart",
        "RePaintScheduler"
    ))]
    pub fn resampled(&self, length: usize, times: usize) -> Result<Self, Error> {
        self.resampled_within(0..self.steps(), length, times)
    }

    /// The same for a range of the steps, counted from 0; the steps before and after it are gone once.
    ///
    /// # Errors
    ///
    /// As [`resampled`](Self::resampled), or if the range leads beyond the last step.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::Ddpm};
    /// let schedule = Discrete::cosine(1000)?;
    /// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 20)?, &Ddpm::default())?;
    /// assert_eq!(plan.resampled_within(4..19, 5, 3)?.steps(), 4 + 3 * 15 + 1);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn resampled_within(
        &self,
        steps: Range<usize>,
        length: usize,
        times: usize,
    ) -> Result<Self, Error> {
        if length == 0 {
            return Err(Error::range("length of a jump", 0.0, "1 or more"));
        }
        let repeated = |stage: &&PlannedStage<T>| steps.contains(&stage.point.step);
        let most = MOST_REPEATED / self.stages.iter().filter(repeated).count().max(1);
        check_count("passes of a jump", times, most.max(1))?;
        if times == 1 {
            return Ok(self.clone());
        }
        if steps.end > self.steps() {
            let allowed = format!("0 to {}, the steps of the plan", self.steps());
            return Err(Error::range("end of the steps", steps.end as f64, allowed));
        }
        let mut stretches = Vec::new();
        let (before, after) = (steps.start.min(steps.end), steps.end);
        if before > 0 {
            stretches.push(self.stretch(0, before)?);
        }
        for first in steps.step_by(length) {
            let stretch = self.stretch(first, length.min(after - first))?;
            stretches.extend(std::iter::repeat_n(stretch, times));
        }
        if after < self.steps() {
            stretches.push(self.stretch(after, self.steps() - after)?);
        }
        let plan = Self::joined(self.name.clone(), stretches)?;
        Ok(plan.unwrap_or_else(|| self.clone()))
    }

    /// These steps as a plan of their own, if they need none of the others.
    fn stretch(&self, first: usize, length: usize) -> Result<Self, Error> {
        let end = first.saturating_add(length);
        let within = |planned: &&PlannedStage<T>| (first..end).contains(&planned.point.step);
        let mut stages: Vec<_> = self.stages.iter().filter(within).cloned().collect();
        for (index, planned) in stages.iter_mut().enumerate() {
            let most = planned.stage.predictions();
            if most > index + 1 {
                let what = "predictions of an update";
                let allowed = format!("up to {} for a jump back", index + 1);
                return Err(Error::range(what, most as f64, allowed));
            }
            planned.point.step -= first;
            planned.point.evaluation = index;
        }
        if stages.last().is_none_or(|last| last.stage.trial.is_some()) {
            return Err(Error::Missing {
                what: "a step that ends where a jump begins",
                needed_by: "a jump back",
            });
        }
        let levels = self
            .levels
            .iter()
            .skip(first)
            .take(length.saturating_add(1));
        Ok(Self {
            name: self.name.clone(),
            levels: levels.copied().collect(),
            stages,
            memory: self.memory,
        })
    }
}
