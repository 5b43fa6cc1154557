//! A table of steps made from another, without signal at its end.

use super::Discrete;
use crate::Error;

impl Discrete {
    /// The same schedule moved so that its last step has no signal left.
    ///
    /// `sqrt(alpha_bar)` is shifted by its last value and scaled so that the first one stays.
    ///
    /// $$\sqrt{\bar\alpha_t^{\prime}} = \big(\sqrt{\bar\alpha_t}-\sqrt{\bar\alpha_{T-1}}\big)
    ///   \frac{\sqrt{\bar\alpha_0}}{\sqrt{\bar\alpha_0}-\sqrt{\bar\alpha_{T-1}}}$$
    ///
    /// At the last step a noise prediction says nothing about the data, and using one is
    /// [`Error::Singular`]; x0, velocity and flow predictions work.
    ///
    /// # Errors
    ///
    /// If there is only one step: its first and last value cannot both be kept.
    ///
    /// [Source](crate::docs::papers#arxiv-2305.08891): Common Diffusion Noise Schedules and Sample Steps are Flawed, Lin, Liu,
    /// Li, Yang, 2024, algorithm 1.
    #[doc(alias("rescale_betas_zero_snr"))]
    pub fn zero_terminal_snr(&self) -> Result<Self, Error> {
        let count = self.len();
        if count < 2 {
            return Err(Error::range("number of steps", count as f64, "2 or more"));
        }
        // Roots of neighbours differ by this much, and sums of it do not cancel.
        let drop = |t: usize| {
            let beta = self.betas[t];
            self.levels[t - 1].alpha() * beta / (1.0 + (1.0 - beta).sqrt())
        };
        let mut betas = self.betas.clone();
        let mut above_end = 0.0;
        for t in (1..count).rev() {
            above_end += drop(t);
            let share = drop(t) / above_end;
            betas[t] = share * (2.0 - share);
        }
        Self::build(betas, true)
    }
}
