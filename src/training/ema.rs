//! Running averages of parameters.

use std::{
    fmt::{self, Debug},
    sync::OnceLock,
};

use super::PowerProfile;
use crate::{
    Error,
    state::{Keeping, State, Summed},
};

/// How much of the average an update keeps.
///
/// Updates count from 1. Every rule but the constant one keeps nothing at the first, so that the
/// average starts at the parameters that are trained.
///
/// ```
/// use gaussian_diffusion::training::EmaRule;
/// let rule = EmaRule::ramped(0.9999)?;
/// assert_eq!((rule.decay(1), rule.decay(2), rule.decay(1_000_000)), (0.0, 2.0 / 11.0, 0.9999));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmaRule {
    kind: Kind,
    max: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Constant,
    Ramped,
    WarmUp { inverse_gamma: f64, power: f64 },
    Power(PowerProfile),
}

impl EmaRule {
    /// The same decay always.
    ///
    /// # Errors
    ///
    /// If it is not from 0 to below 1.
    pub fn constant(decay: f64) -> Result<Self, Error> {
        Self::new(Kind::Constant, decay)
    }

    /// `(1 + n) / (10 + n)` after `n` updates, up to a greatest decay.
    ///
    /// # Errors
    ///
    /// If `max` is not from 0 to below 1.
    pub fn ramped(max: f64) -> Result<Self, Error> {
        Self::new(Kind::Ramped, max)
    }

    /// `1 - (1 + n / inverse_gamma)^-power` after `n` updates, up to a greatest decay.
    ///
    /// With `inverse_gamma` 1, a power of 2/3 reaches 0.999 after 31,600 updates, 3/4 after 10,000.
    ///
    /// # Errors
    ///
    /// If `inverse_gamma` or `power` is not in 1e-6 to 1e12, or `max` not from 0 to below 1.
    #[doc(alias("inv_gamma"))]
    pub fn warm_up(inverse_gamma: f64, power: f64, max: f64) -> Result<Self, Error> {
        for (what, value) in [("inverse gamma", inverse_gamma), ("power", power)] {
            if !(1e-6..=1e12).contains(&value) {
                return Err(Error::range(what, value, "1e-6 to 1e12"));
            }
        }
        let kind = Kind::WarmUp {
            inverse_gamma,
            power,
        };
        Self::new(kind, max)
    }

    /// `(1 - 1 / n)^(gamma + 1)` at update `n`: parameters weighted by a power of their time.
    ///
    /// [Source](crate::docs::papers#arxiv-2312.02696): Analyzing and Improving the Training Dynamics of Diffusion Models,
    /// Karras, Aittala, Lehtinen, Hellsten, Aila, Laine, 2024.
    pub const fn power(profile: PowerProfile) -> Self {
        Self {
            kind: Kind::Power(profile),
            max: 1.0,
        }
    }

    fn new(kind: Kind, max: f64) -> Result<Self, Error> {
        if !(0.0..1.0).contains(&max) {
            return Err(Error::range("decay", max, "0 to below 1"));
        }
        Ok(Self { kind, max })
    }

    /// The share of the old average in the one after this update; updates count from 1.
    pub fn decay(self, update: u64) -> f64 {
        self.shares(update).0
    }

    /// The shares of the old average and of the parameters, each to all its digits.
    fn shares(self, update: u64) -> (f64, f64) {
        let before = update.saturating_sub(1) as f64;
        let most = (self.max, 1.0 - self.max);
        let shares = match self.kind {
            Kind::Constant => most,
            _ if update <= 1 => (0.0, 1.0),
            Kind::Ramped => ((1.0 + before) / (10.0 + before), 9.0 / (10.0 + before)),
            Kind::WarmUp {
                inverse_gamma,
                power,
            } => {
                let exponent = -power * (before / inverse_gamma).ln_1p();
                (-exponent.exp_m1(), exponent.exp())
            }
            Kind::Power(profile) => {
                let exponent = (profile.gamma() + 1.0) * (-1.0 / update as f64).ln_1p();
                (exponent.exp(), -exponent.exp_m1())
            }
        };
        match shares.0 <= self.max {
            true => shares,
            false => most,
        }
    }
}

/// A running average of parameters, `average <- average + (1 - decay) (parameters - average)`.
///
/// For a network of many tensors, one for each.
///
/// Averages of arrays are kept as f64, whatever the arrays hold: 8 bytes a parameter, beside those of the
/// array. An average in the type of the parameters drifts, or stops where a change is less than half a
/// unit in its last place: in bf16 at a decay of 0.999 with the first update.
///
/// ```
/// use gaussian_diffusion::training::{Ema, EmaRule};
/// use ndarray::array;
/// let mut ema = Ema::new(EmaRule::constant(0.9)?, array![0.0]);
/// ema.update(&array![1.0])?;
/// ema.update(&array![1.0])?;
/// assert!((ema.average()[0] - 0.19_f64).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("EMAModel", "exponential moving average"))]
pub struct Ema<V: State> {
    rule: EmaRule,
    kept: Summed<V>,
    /// The average in the type of the parameters, once somebody has asked for it.
    rounded: OnceLock<V>,
    updates: u64,
}

impl<V: State> Ema<V> {
    /// Starts from these parameters.
    pub fn new(rule: EmaRule, parameters: V) -> Self {
        Self::resumed(rule, parameters, 0)
    }

    /// Goes on from a saved average of this many updates, rounded as it was saved.
    pub fn resumed(rule: EmaRule, average: V, updates: u64) -> Self {
        Self::resumed_from_kept(rule, V::Keeping::sum(&average), updates)
    }

    /// Goes on from an average as it was [kept](Self::kept): as if there had been no break.
    ///
    /// ```
    /// use gaussian_diffusion::training::{Ema, EmaRule};
    /// use ndarray::array;
    /// let rule = EmaRule::constant(0.999)?;
    /// let mut ema = Ema::new(rule, array![0.5_f32]);
    /// ema.update(&array![1.0])?;
    /// let again = Ema::<ndarray::Array1<f32>>::resumed_from_kept(rule, ema.kept().clone(), ema.updates());
    /// assert_eq!(again, ema);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn resumed_from_kept(rule: EmaRule, kept: Summed<V>, updates: u64) -> Self {
        Self {
            rule,
            kept,
            rounded: OnceLock::new(),
            updates,
        }
    }

    /// Takes in the parameters after a training step.
    ///
    /// # Errors
    ///
    /// If they have another shape; the average is then unchanged.
    pub fn update(&mut self, parameters: &V) -> Result<(), Error> {
        let (_, share) = self.rule.shares(self.updates.saturating_add(1));
        V::Keeping::average(&mut self.kept, share, parameters)?;
        self.rounded.take();
        self.updates = self.updates.saturating_add(1);
        Ok(())
    }

    /// The average, rounded to the type of the parameters.
    pub fn average(&self) -> &V {
        self.rounded
            .get_or_init(|| V::Keeping::round_sum(&self.kept))
    }

    /// The same by value.
    pub fn into_average(self) -> V {
        let Self { kept, rounded, .. } = self;
        rounded
            .into_inner()
            .unwrap_or_else(|| V::Keeping::round_sum(&kept))
    }

    /// The average as it is kept: f64 for arrays. This is what to save.
    pub fn kept(&self) -> &Summed<V> {
        &self.kept
    }

    /// Number of updates so far.
    pub fn updates(&self) -> u64 {
        self.updates
    }
}

// Derived, these would not ask it of what is kept.
impl<V: State> Clone for Ema<V> {
    fn clone(&self) -> Self {
        Self {
            rule: self.rule,
            kept: self.kept.clone(),
            rounded: self.rounded.clone(),
            updates: self.updates,
        }
    }
}

impl<V: State> Debug for Ema<V>
where
    Summed<V>: Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ema")
            .field("rule", &self.rule)
            .field("kept", &self.kept)
            .field("updates", &self.updates)
            .finish()
    }
}

impl<V: State> PartialEq for Ema<V>
where
    Summed<V>: PartialEq,
{
    fn eq(&self, other: &Self) -> bool {
        let same = (self.rule, self.updates) == (other.rule, other.updates);
        same && self.kept == other.kept
    }
}
