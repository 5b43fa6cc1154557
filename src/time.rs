//! The three clocks of the field: training steps, continuous time, and the noise scale itself.

use crate::Error;

/// `2^53`: the whole numbers below it are exact in an f64.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// As many steps as an f32, which is what networks are given, tells apart. Nothing else that is made
/// by number is made in greater numbers.
pub(crate) const MOST_STEPS: usize = 1 << 24;

/// Refuses a number of steps of zero, and one that no memory holds.
pub(crate) fn check_steps(steps: usize) -> Result<(), Error> {
    check_count("number of steps", steps, MOST_STEPS)
}

/// Refuses a number of zero, and one above the most.
pub(crate) fn check_count(what: &'static str, count: usize, most: usize) -> Result<(), Error> {
    match (1..=most).contains(&count) {
        true => Ok(()),
        false => Err(Error::range(what, count as f64, format!("1 to {most}"))),
    }
}

/// A training step, counted from zero: what a discrete-time network is given.
///
/// `Step::new(0)` is the least noisy step a network is trained on. Papers that count `t = 1..T`
/// mean `Step::new(t - 1)`; their `t = 0`, the data, is [`NoiseLevel::CLEAN`] and not a step.
///
/// A grid may fall between two trained steps; such a step is fractional.
///
/// [`NoiseLevel::CLEAN`]: crate::NoiseLevel::CLEAN
///
/// ```
/// use gaussian_diffusion::Step;
/// assert_eq!(Step::new(250).index(), Some(250));
/// assert_eq!(Step::fractional(249.5)?.index(), None);
/// assert!(Step::fractional(-1.0).is_err());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("timestep", "t"))]
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
pub struct Step(f64);

#[cfg(feature = "serde")]
crate::serialized::finite!(Step, Step::fractional);

impl Step {
    /// The whole step of this index.
    pub const fn new(index: usize) -> Self {
        Self(index as f64)
    }

    /// A step that may lie between two trained ones.
    ///
    /// # Errors
    ///
    /// If `value` is negative, NaN or infinite.
    pub fn fractional(value: f64) -> Result<Self, Error> {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(Error::range("step", value, "a finite number from 0 on"));
        }
        Ok(Self(value))
    }

    /// The step as a number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The index of a whole step, `None` between steps and from 2^53 on, where an f64 no longer tells
    /// neighbours apart.
    pub fn index(self) -> Option<usize> {
        (self.0.fract() == 0.0 && self.0 < EXACT).then_some(self.0 as usize)
    }

    /// The nearest whole step, ties to even.
    pub fn rounded(self) -> Self {
        Self(self.0.round_ties_even())
    }
}

/// Continuous time, 0 at the data and 1 at the noise for the schedules of this crate.
///
/// ```
/// use gaussian_diffusion::Time;
/// assert_eq!(Time::new(0.5)?.get(), 0.5);
/// assert!(Time::new(f64::NAN).is_err());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
pub struct Time(f64);

#[cfg(feature = "serde")]
crate::serialized::finite!(Time, Time::new);

impl Time {
    pub(crate) const ZERO: Self = Self(0.0);
    pub(crate) const ONE: Self = Self(1.0);

    /// The time of this value.
    ///
    /// # Errors
    ///
    /// If `value` is NaN or infinite.
    pub fn new(value: f64) -> Result<Self, Error> {
        if !value.is_finite() {
            return Err(Error::range("time", value, "a finite number"));
        }
        Ok(Self(value))
    }

    /// The time as a number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The number, if it lies in the unit interval.
    pub(crate) fn unit(self) -> Result<f64, Error> {
        if !(0.0..=1.0).contains(&self.0) {
            return Err(Error::range("time", self.0, "0 to 1"));
        }
        Ok(self.0)
    }
}

/// The noise-to-signal ratio `sigma / alpha`: the clock of k-diffusion and EDM, where `alpha = 1`.
///
/// ```
/// use gaussian_diffusion::Sigma;
/// assert_eq!(Sigma::new(14.6)?.get(), 14.6);
/// assert!(Sigma::new(-1.0).is_err());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "f64", into = "f64"))]
pub struct Sigma(f64);

#[cfg(feature = "serde")]
crate::serialized::finite!(Sigma, Sigma::new);

impl Sigma {
    pub(crate) const EDM_MIN: Self = Self(0.002);
    pub(crate) const EDM_MAX: Self = Self(80.0);

    /// The ratio of this value.
    ///
    /// # Errors
    ///
    /// If `value` is negative, NaN or infinite.
    pub fn new(value: f64) -> Result<Self, Error> {
        if !(value >= 0.0 && value.is_finite()) {
            return Err(Error::range("sigma", value, "a finite number from 0 on"));
        }
        Ok(Self(value))
    }

    /// The ratio as a number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// A clock on which one can go a fraction of the way from one reading to another.
///
/// A grid that is uniform in time needs no more of a clock than this.
pub trait Clock: Copy {
    /// The reading as a number.
    fn reading(self) -> f64;

    /// The reading at `fraction` of the way from `self` to `other`, both ends exact; a fraction outside
    /// 0 to 1 is that of the nearer end.
    fn toward(self, other: Self, fraction: f64) -> Self;

    /// The same on the clock that a network hears: that of the logarithm for [`Sigma`], whose networks
    /// are given `ln(sigma) / 4`, and by default [`toward`](Self::toward).
    fn heard_toward(self, other: Self, fraction: f64) -> Self {
        self.toward(other, fraction)
    }

    /// The reading as a training step; `None`, as by default, on a clock that does not count steps.
    fn as_step(self) -> Option<Step> {
        None
    }

    /// The reading at a training step; `None`, as by default, on a clock that does not count steps.
    fn from_step(_: Step) -> Option<Self> {
        None
    }
}

fn lerp(a: f64, b: f64, fraction: f64) -> f64 {
    // Not a + (b - a) f, whose difference can overflow; a NaN goes nowhere.
    let there = if fraction > 0.0 {
        fraction.min(1.0)
    } else {
        0.0
    };
    a * (1.0 - there) + b * there
}

impl Clock for Step {
    fn as_step(self) -> Option<Step> {
        Some(self)
    }

    fn from_step(step: Step) -> Option<Self> {
        Some(step)
    }

    fn reading(self) -> f64 {
        self.0
    }

    fn toward(self, other: Self, fraction: f64) -> Self {
        Self(lerp(self.0, other.0, fraction))
    }
}

impl Clock for Time {
    fn reading(self) -> f64 {
        self.0
    }

    fn toward(self, other: Self, fraction: f64) -> Self {
        Self(lerp(self.0, other.0, fraction))
    }
}

impl Clock for Sigma {
    fn reading(self) -> f64 {
        self.0
    }

    fn toward(self, other: Self, fraction: f64) -> Self {
        Self(lerp(self.0, other.0, fraction))
    }

    fn heard_toward(self, other: Self, fraction: f64) -> Self {
        match fraction {
            f if f > 0.0 && f < 1.0 && self.0 > 0.0 && other.0 > 0.0 => {
                Self(lerp(self.0.ln(), other.0.ln(), f).exp())
            }
            end => self.toward(other, end),
        }
    }
}
