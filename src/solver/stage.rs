//! What a step consists of.

use crate::{LogSnr, NoiseLevel, Parameterization, PosteriorCoefficients, UpdateNoise};

/// One update: `x <- state * x + sum of model[i] * prediction[newest - i] + shift * d + noise * z`, where
/// `d` is the displacement of the data in the newest prediction
/// ([`Prediction::shift`](crate::Prediction::shift)), if it has one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Update {
    /// Coefficient of the state.
    pub state: f64,
    /// Coefficients of the predictions, the newest first.
    pub model: Vec<f64>,
    /// Coefficient of the displacement. Where no update of a stage has one, and it ends a step, the
    /// displacement counts `alpha` times; where one has, the prediction must have a displacement.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    pub shift: Option<f64>,
    /// Deviation of the noise that is added.
    pub noise: UpdateNoise,
}

impl Update {
    /// `x <- state * x`.
    pub fn new(state: f64) -> Self {
        Self {
            state,
            model: Vec::new(),
            shift: None,
            noise: UpdateNoise::NONE,
        }
    }

    /// The same with predictions, the newest first.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<Vec<f64>>) -> Self {
        self.model = model.into();
        self
    }

    /// The same with the displacement of the data that comes with the newest prediction.
    #[must_use]
    pub fn with_shift(mut self, shift: f64) -> Self {
        self.shift = Some(shift);
        self
    }

    /// The same with noise.
    #[must_use]
    pub fn with_noise(mut self, noise: UpdateNoise) -> Self {
        self.noise = noise;
        self
    }
}

impl Update {
    /// This update and then another of the same predictions, in one.
    ///
    /// Their noises are taken for independent.
    pub(crate) fn then(mut self, next: &Self) -> Self {
        self.state *= next.state;
        self.model.iter_mut().for_each(|c| *c *= next.state);
        let longer = self.model.len().max(next.model.len());
        self.model.resize(longer, 0.0);
        for (own, c) in self.model.iter_mut().zip(&next.model) {
            *own += c;
        }
        self.shift = match (self.shift, next.shift) {
            (None, None) => None,
            (first, second) => Some(first.unwrap_or(0.0) * next.state + second.unwrap_or(0.0)),
        };
        if let (UpdateNoise::Std(first), UpdateNoise::Std(second)) = (self.noise, next.noise) {
            self.noise = UpdateNoise::Std((first * next.state).hypot(second));
        }
        self
    }

    /// Multiplies a fixed standard deviation.
    pub(super) fn scale_noise(&mut self, factor: f64) {
        if let UpdateNoise::Std(std) = &mut self.noise {
            *std *= factor;
        }
    }
}

/// Where a network is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum At {
    /// At the level the step leaves.
    From,
    /// At the level it reaches.
    To,
    /// At a level of this log-SNR.
    LogSnr(LogSnr),
}

/// One evaluation of the network and what is made of it.
///
/// In this order: `renoise` changes the state; the network is asked about the trial point, or about
/// the state where no trial point is pending; a draw is thrown away if `discards`; `commit` replaces the
/// state; `trial` makes, from the new state, the point of the next evaluation.
///
/// | sampler | stages of a step |
/// |---|---|
/// | single-step, multi-step | one with a commit |
/// | Heun, midpoint | one with a trial, one with a commit |
/// | predictor-corrector | one whose commit corrects and whose trial predicts |
/// | churn, restart | one with a renoise before its evaluation |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Stage {
    /// Where the network is asked.
    pub at: At,
    /// In which terms the updates take its prediction.
    pub basis: Parameterization,
    /// `x <- state * x + noise * z` before the network is asked; takes no predictions.
    pub renoise: Option<Update>,
    /// The update of the state.
    pub commit: Option<Update>,
    /// The point of the next evaluation, from the new state.
    pub trial: Option<Update>,
    /// Whether a draw is [thrown away](crate::noise::NoiseSource::discard) before those of the updates,
    /// which changes nothing but the numbers that follow: what other programs do, whose seeds are to give the
    /// same here.
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "std::ops::Not::not")
    )]
    pub discards: bool,
}

impl Stage {
    /// Whether its updates say what the displacement of the data counts.
    pub(crate) fn places_shift(&self) -> bool {
        let updates = [self.commit.as_ref(), self.trial.as_ref()];
        updates.into_iter().flatten().any(|u| u.shift.is_some())
    }

    /// An evaluation of which nothing is made yet.
    pub fn new(at: At, basis: Parameterization) -> Self {
        Self {
            at,
            basis,
            renoise: None,
            commit: None,
            trial: None,
            discards: false,
        }
    }

    /// Changes the state before the evaluation.
    #[must_use]
    pub fn with_renoise(mut self, update: Update) -> Self {
        self.renoise = Some(update);
        self
    }

    /// Replaces the state after the evaluation.
    #[must_use]
    pub fn with_commit(mut self, update: Update) -> Self {
        self.commit = Some(update);
        self
    }

    /// Makes the point of the next evaluation.
    #[must_use]
    pub fn with_trial(mut self, update: Update) -> Self {
        self.trial = Some(update);
        self
    }

    /// Throws a draw away before those of the updates.
    #[must_use]
    pub fn with_discarded_draw(mut self) -> Self {
        self.discards = true;
        self
    }

    /// How many predictions its updates take, the newest included.
    pub(crate) fn predictions(&self) -> usize {
        let updates = [self.commit.as_ref(), self.trial.as_ref()];
        let taken = updates.into_iter().flatten().map(|u| u.model.len());
        taken.max().unwrap_or(0)
    }

    /// Whether an update after the evaluation draws noise.
    pub(crate) fn draws(&self) -> bool {
        let updates = [self.commit.as_ref(), self.trial.as_ref()];
        updates.into_iter().flatten().any(|u| u.noise.draws())
    }

    /// The step of a posterior with the predicted data in place of the data.
    ///
    /// A step to the clean level draws nothing, whatever the noise.
    pub fn from_posterior(q: PosteriorCoefficients, to: NoiseLevel, noise: UpdateNoise) -> Self {
        let noise = if to.is_clean() {
            UpdateNoise::NONE
        } else {
            noise
        };
        let update = Update::new(q.state).with_model([q.clean]).with_noise(noise);
        Self::new(At::From, Parameterization::X0).with_commit(update)
    }
}
