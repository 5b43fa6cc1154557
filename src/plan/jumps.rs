//! Going back to a noisier level and coming down again.

use std::fmt::Debug;

use super::{Plan, PlannedStage};
use crate::Error;

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
    /// Source: RePaint: Inpainting using Denoising Diffusion Probabilistic Models, Lugmayr, Danelljan,
    /// Romero, Yu, Timofte, Van Gool, 2022, algorithm 1 and appendix B.
    ///
    /// # Errors
    ///
    /// If `length` or `times` is 0, if the plan is inverted, or if a stretch needs predictions of the
    /// steps before it (multi-step solvers) or ends within a step (blocks of several nodes).
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
    #[doc(alias("RePaint", "jump_length", "jump_n_sample", "time travel", "Restart"))]
    pub fn resampled(&self, length: usize, times: usize) -> Result<Self, Error> {
        for (what, count) in [("length of a jump", length), ("passes of a jump", times)] {
            if count == 0 {
                return Err(Error::range(what, 0.0, "1 or more"));
            }
        }
        if times == 1 {
            return Ok(self.clone());
        }
        let mut stretches = Vec::new();
        for first in (0..self.steps()).step_by(length) {
            let stretch = self.stretch(first, length)?;
            stretches.extend(std::iter::repeat_n(stretch, times));
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
            let uses = [&planned.stage.commit, &planned.stage.trial];
            let most = uses.into_iter().flatten().map(|u| u.model.len()).max();
            let most = most.unwrap_or(0);
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
