//! Steps in proportion to how large their loss has been.

use super::{TimeSampler, UniformStep, shares::Shares};
use crate::{Error, Step};

/// Importance sampling of steps by the second moment of their last losses.
///
/// `p_t` is proportional to the root of the mean of the last squared losses of step `t`, mixed with
/// a small share of the uniform distribution; it is uniform until every step has a full history.
/// With this `p` the variance of the reweighted loss is least.
///
/// $$p_t=(1-\epsilon)\frac{\sqrt{\mathbb E[L_t^2]}}{\sum_s\sqrt{\mathbb E[L_s^2]}}+\frac{\epsilon}{T}$$
///
/// The history is all its state: [`history`](Self::history) saves it,
/// [`with_history`](Self::with_history) goes on from it.
///
/// [Source](crate::docs::papers#arxiv-2102.09672): Improved Denoising Diffusion Probabilistic Models, Nichol, Dhariwal, 2021,
/// section 3.3 (10 losses a step; its code mixes in 0.001).
///
/// ```
/// use gaussian_diffusion::{Step, training::times::{LossSecondMoment, TimeSampler}};
/// let mut sampler = LossSecondMoment::new(2)?.with_losses_kept(1)?;
/// sampler.update(&[Step::new(0), Step::new(1)], &[3.0, 1.0])?;
/// assert!((sampler.density(Step::new(0)) - (0.999 * 0.75 + 0.0005)).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("LossSecondMomentResampler"))]
#[derive(Debug, Clone, PartialEq)]
pub struct LossSecondMoment {
    /// The last losses of each step, oldest first.
    history: Vec<Vec<f64>>,
    length: usize,
    uniform_share: f64,
    shares: Shares,
}

impl LossSecondMoment {
    /// For the steps 0 to `steps - 1`, with a history of 10 losses and a uniform share of 0.001.
    ///
    /// # Errors
    ///
    /// If there are no steps, or more than 2^24.
    pub fn new(steps: usize) -> Result<Self, Error> {
        UniformStep::new(steps)?;
        Ok(Self::built(vec![Vec::new(); steps], 10, 0.001))
    }

    /// The same with this many losses a step; what there is beyond is forgotten.
    ///
    /// # Errors
    ///
    /// If it is 0.
    pub fn with_losses_kept(mut self, losses: usize) -> Result<Self, Error> {
        if losses == 0 {
            return Err(Error::range("losses remembered", 0.0, "1 or more"));
        }
        for list in &mut self.history {
            list.drain(..list.len().saturating_sub(losses));
        }
        Ok(Self::built(self.history, losses, self.uniform_share))
    }

    /// The same with this share of uniform draws.
    ///
    /// # Errors
    ///
    /// If it is not above 0 and up to 1: with none, a step whose losses were 0 is never drawn again.
    pub fn with_uniform_share(self, share: f64) -> Result<Self, Error> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(Error::range("uniform share", share, "above 0 and up to 1"));
        }
        Ok(Self::built(self.history, self.length, share))
    }

    /// The same with this history: for each step its last losses, oldest first.
    ///
    /// # Errors
    ///
    /// If there is not one list per step, a list is longer than what is remembered, or a loss is not
    /// in -1e100 to 1e100.
    pub fn with_history(self, history: Vec<Vec<f64>>) -> Result<Self, Error> {
        if history.len() != self.history.len() {
            return Err(Error::Shape {
                what: "history",
                expected: vec![self.history.len()],
                found: vec![history.len()],
            });
        }
        for (step, list) in history.iter().enumerate() {
            if list.len() > self.length {
                let (count, allowed) = (list.len() as f64, format!("0 to {}", self.length));
                return Err(Error::element("losses in history", step, count, allowed));
            }
            check_losses(list)?;
        }
        Ok(Self::built(history, self.length, self.uniform_share))
    }

    /// The last losses of each step, oldest first.
    pub fn history(&self) -> &[Vec<f64>] {
        &self.history
    }

    /// Whether every step has a full history, so that losses decide.
    pub fn is_warm(&self) -> bool {
        self.history.iter().all(|list| list.len() == self.length)
    }

    /// Takes note of the losses of a batch, before any reweighting.
    ///
    /// # Errors
    ///
    /// If there is not one loss per time, a time is not a whole step of the sampler, or a loss is not
    /// in -1e100 to 1e100; nothing is then noted.
    pub fn update(&mut self, times: &[Step], losses: &[f64]) -> Result<(), Error> {
        Error::check_length("losses", times.len(), losses.len())?;
        check_losses(losses)?;
        let whole = |(i, t): (usize, &Step)| match t.index() {
            Some(index) if index < self.history.len() => Ok(index),
            _ => {
                let allowed = format!("the whole steps 0 to {}", self.history.len() - 1);
                Err(Error::element("times", i, t.get(), allowed))
            }
        };
        let steps = times
            .iter()
            .enumerate()
            .map(whole)
            .collect::<Result<Vec<_>, _>>()?;
        for (&step, &loss) in steps.iter().zip(losses) {
            let list = &mut self.history[step];
            if list.len() == self.length {
                list.remove(0);
            }
            list.push(loss);
        }
        self.weigh();
        Ok(())
    }

    fn built(history: Vec<Vec<f64>>, length: usize, uniform_share: f64) -> Self {
        let mut sampler = Self {
            history,
            length,
            uniform_share,
            shares: Shares::new(Vec::new()),
        };
        sampler.weigh();
        sampler
    }

    /// Makes the shares from the history.
    fn weigh(&mut self) {
        let count = self.history.len() as f64;
        let root = |list: &Vec<f64>| {
            (list.iter().map(|loss| loss * loss).sum::<f64>() / self.length as f64).sqrt()
        };
        let total: f64 = self.history.iter().map(root).sum();
        let by_loss = self.is_warm() && total > 0.0;
        let share = |list| match by_loss {
            true => (1.0 - self.uniform_share) * root(list) / total + self.uniform_share / count,
            false => 1.0 / count,
        };
        self.shares = Shares::new(self.history.iter().map(share).collect());
    }
}

fn check_losses(losses: &[f64]) -> Result<(), Error> {
    match losses
        .iter()
        .position(|loss| !(-1e100..=1e100).contains(loss))
    {
        Some(i) => Err(Error::element("losses", i, losses[i], "-1e100 to 1e100")),
        None => Ok(()),
    }
}

impl TimeSampler for LossSecondMoment {
    type Time = Step;

    fn quantile(&self, u: f64) -> Result<Step, Error> {
        self.shares.quantile(u)
    }

    fn cdf(&self, t: Step) -> f64 {
        self.shares.cdf(t)
    }

    fn cdf_before(&self, t: Step) -> f64 {
        self.shares.cdf_before(t)
    }

    fn density(&self, t: Step) -> f64 {
        self.shares.density(t)
    }
}
