//! A table of fewer steps made from another.

use super::{Discrete, Respacing};
use crate::{Error, LogSnr, error::Number};

impl Discrete {
    /// The process on a subsequence of the steps: same marginals, fewer and longer steps.
    ///
    /// The betas are `1 - alpha_bar_t / alpha_bar_s` of kept neighbours. Steps of the result count
    /// from 0 again; a network is [given](crate::NoiseSchedule::network_time) the original ones.
    ///
    /// # Errors
    ///
    /// If the respacing is for another number of steps.
    ///
    /// [Source](crate::docs::papers#arxiv-2102.09672): Improved Denoising Diffusion Probabilistic Models, Nichol, Dhariwal,
    /// 2021, section 4.
    ///
    /// ```
    /// use gaussian_diffusion::{Step, schedule::{Discrete, NoiseSchedule, Respacing}};
    /// let full = Discrete::cosine(1000)?;
    /// let short = full.respaced(&Respacing::parse("ddim50", 1000)?)?;
    /// assert_eq!(short.len(), 50);
    /// assert_eq!(short.network_time(Step::new(49)), Step::new(980));
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn respaced(&self, respacing: &Respacing) -> Result<Self, Error> {
        if respacing.total() != self.len() {
            let allowed = format!("{}, the steps of the schedule", self.len());
            return Err(Error::range(
                "steps of the respacing",
                respacing.total() as f64,
                allowed,
            ));
        }
        let mut betas = Vec::with_capacity(respacing.steps().len());
        let mut next = 0;
        for &step in respacing.steps() {
            let kept = &self.betas[next..=step];
            betas.push(match kept {
                [beta] => *beta,
                _ => -kept
                    .iter()
                    .map(|beta| (-beta).ln_1p())
                    .sum::<f64>()
                    .exp_m1(),
            });
            next = step + 1;
        }
        // Not from the betas, which round to 1 where a long step leaves less than 1e-16.
        let levels = respacing.steps().iter().map(|&step| self.levels[step]);
        let mut short = Self::of_levels(betas, levels.collect())?;
        let original = |&step: &usize| self.original.as_ref().map_or(step, |steps| steps[step]);
        short.original = Some(respacing.steps().iter().map(original).collect());
        Ok(short)
    }

    /// The same schedule without the steps whose log-SNR is below this.
    ///
    /// For schedules that end in almost no signal, such as the cosine one, where a solver in log-SNR
    /// would take its first step over a wide gap.
    ///
    /// # Errors
    ///
    /// If no step is left.
    ///
    /// [Source](crate::docs::papers#arxiv-2206.00927): DPM-Solver, Lu et al., 2022, where half of it is -5.1.
    ///
    /// ```
    /// use gaussian_diffusion::{LogSnr, schedule::Discrete};
    /// let schedule = Discrete::cosine(1000)?.reaching(LogSnr::new(2.0 * -5.1)?)?;
    /// assert_eq!(schedule.len(), 996);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("lambda_min_clipped"))]
    pub fn reaching(&self, lowest: LogSnr) -> Result<Self, Error> {
        let count = self
            .levels
            .partition_point(|level| level.log_snr() >= lowest);
        if count == 0 {
            let allowed = format!(
                "up to {}, the log-SNR of step 0",
                Number(self.levels[0].log_snr().get())
            );
            return Err(Error::range("lowest log-SNR", lowest.get(), allowed));
        }
        Ok(Self {
            betas: self.betas[..count].to_vec(),
            levels: self.levels[..count].to_vec(),
            original: self.original.as_ref().map(|steps| steps[..count].to_vec()),
        })
    }
}
