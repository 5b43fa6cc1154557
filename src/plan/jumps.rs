//! Going back to a noisier level and coming down again.

use std::fmt::Debug;

use super::{Plan, restart::noising};
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
    /// If `length` or `times` is 0, if the plan is inverted, or if the first steps of a stretch need
    /// predictions of the steps before it (multi-step solvers).
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
        let mut plan = Self {
            name: self.name.clone(),
            levels: Vec::new(),
            stages: Vec::new(),
            memory: self.memory,
        };
        let mut rest = self.stages.as_slice();
        let mut first = 0;
        while let Some(start) = rest.first().map(|planned| planned.point.from) {
            let end = (first + length).min(self.steps());
            let count = rest.iter().take_while(|p| p.point.step < end).count();
            let (stretch, after) = rest.split_at(count);
            let reached = stretch.last().map_or(start, |planned| planned.point.to);
            for pass in 0..times {
                let base = plan.levels.len();
                plan.levels
                    .extend(self.levels.iter().skip(first).take(end - first));
                for (index, planned) in stretch.iter().enumerate() {
                    let mut planned = planned.clone();
                    let uses = [&planned.stage.commit, &planned.stage.trial];
                    let most = uses.into_iter().flatten().map(|u| u.model.len()).max();
                    let most = most.unwrap_or(0);
                    if times > 1 && most > index + 1 {
                        let allowed = format!("up to {} for a jump back", index + 1);
                        return Err(Error::range(
                            "predictions of an update",
                            most as f64,
                            allowed,
                        ));
                    }
                    planned.point.step = base + planned.point.step - first;
                    planned.point.evaluation = plan.stages.len();
                    if pass > 0 && index == 0 {
                        let back = noising(reached, start)?;
                        planned.stage.renoise = Some(match &planned.stage.renoise {
                            Some(own) => back.then(own),
                            None => back,
                        });
                    }
                    plan.stages.push(planned);
                }
            }
            (rest, first) = (after, end);
        }
        plan.levels.extend(self.levels.last());
        Ok(plan)
    }
}
