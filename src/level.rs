//! The noise level: the one thing every solver sees.

use crate::{Error, Sigma};

/// Signal scale and noise scale: `x_t = alpha * x_0 + sigma * eps`, `eps ~ N(0, I)`.
///
/// $$x_t = \alpha\thinspace x_0 + \sigma\thinspace\varepsilon,\qquad \varepsilon \sim \mathcal N(0, I)$$
///
/// A level is valid by construction: both scales are finite and not negative, and not both zero.
/// Equality compares the two scales and the residue (below).
///
/// # Precision
///
/// The coefficients of a short step rest on `1 - SNR_t / SNR_s`, which cancels where the two levels
/// are close. A level therefore carries, beside its two rounded scales, the relative rounding error
/// of their ratio where its maker knows it. The levels of
/// [`Discrete`](crate::schedule::Discrete) do, so that its posteriors keep their last digits.
///
/// ```
/// use gaussian_diffusion::NoiseLevel;
/// let level = NoiseLevel::new(0.6, 0.8)?;
/// assert!((level.log_snr().get() - 2.0 * (0.6_f64 / 0.8).ln()).abs() < 1e-15);
/// assert!(NoiseLevel::new(0.0, 0.0).is_err());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(try_from = "Written", into = "Written"))]
pub struct NoiseLevel {
    alpha: f64,
    sigma: f64,
    /// `alpha / sigma` is truly `(self.alpha / self.sigma) * (1 + residue)`.
    residue: f64,
}

/// A level as it is written.
#[cfg(feature = "serde")]
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    alpha: f64,
    sigma: f64,
    /// Of the logarithm of their ratio, below what the two resolve.
    #[serde(default)]
    residue: f64,
}

#[cfg(feature = "serde")]
impl From<NoiseLevel> for Written {
    fn from(level: NoiseLevel) -> Self {
        Self {
            alpha: level.alpha,
            sigma: level.sigma,
            residue: level.residue,
        }
    }
}

#[cfg(feature = "serde")]
impl TryFrom<Written> for NoiseLevel {
    type Error = Error;

    fn try_from(level: Written) -> Result<Self, Error> {
        NoiseLevel::new(level.alpha, level.sigma)?.with_residue(level.residue)
    }
}

const SCALES: &str = "0, or 1e-150 to 1e150";
const LOG_SNRS: &str = "-690 to 690, or infinite";

impl NoiseLevel {
    /// The data: no noise.
    pub const CLEAN: Self = Self {
        alpha: 1.0,
        sigma: 0.0,
        residue: 0.0,
    };
    /// Pure noise: no signal (zero SNR).
    pub const NOISE: Self = Self {
        alpha: 0.0,
        sigma: 1.0,
        residue: 0.0,
    };

    /// The level with these scales of signal and noise.
    ///
    /// # Errors
    ///
    /// If a scale is not 0 or in 1e-150 to 1e150, or if both are 0.
    pub fn new(alpha: f64, sigma: f64) -> Result<Self, Error> {
        for (what, scale) in [("alpha", alpha), ("sigma", sigma)] {
            // Products and quotients of two scales must neither overflow nor underflow.
            if !(scale == 0.0 || (1e-150..=1e150).contains(&scale)) {
                return Err(Error::range(what, scale, SCALES));
            }
        }
        if alpha == 0.0 && sigma == 0.0 {
            return Err(Error::range("sigma", sigma, "above 0 where alpha is 0"));
        }
        // A negative zero would turn up as a ratio of minus infinity.
        Ok(Self {
            alpha: alpha.abs(),
            sigma: sigma.abs(),
            residue: 0.0,
        })
    }

    /// The variance-preserving level of this `alpha_bar = alpha^2`, `sigma^2 = 1 - alpha_bar`.
    ///
    /// # Errors
    ///
    /// If `alpha_bar` is not 0 or in 1e-300 to 1.
    pub fn from_alpha_bar(alpha_bar: f64) -> Result<Self, Error> {
        if !(alpha_bar == 0.0 || (1e-300..=1.0).contains(&alpha_bar)) {
            return Err(Error::range("alpha_bar", alpha_bar, "0, or 1e-300 to 1"));
        }
        Ok(Self::from_split_alpha_bar(alpha_bar, 0.0))
    }

    /// The same for `alpha_bar = high + low`, with the residue that the low part allows.
    #[inline(always)]
    pub(crate) fn from_split_alpha_bar(high: f64, low: f64) -> Self {
        let rest = 1.0 - high;
        let tail = ((1.0 - rest) - high) - low;
        let variance = rest + tail;
        let variance_low = (rest - variance) + tail;
        let (alpha, alpha_error) = split_sqrt(high, low);
        let (sigma, sigma_error) = split_sqrt(variance, variance_low);
        Self {
            alpha,
            sigma,
            residue: alpha_error - sigma_error,
        }
    }

    /// The variance-preserving level (`alpha^2 + sigma^2 = 1`) of this log-SNR.
    ///
    /// # Errors
    ///
    /// If the log-SNR is finite and outside -690 to 690.
    pub fn variance_preserving(snr: LogSnr) -> Result<Self, Error> {
        let ratio = snr.noise_to_signal()?;
        if ratio.is_infinite() {
            return Ok(Self::NOISE);
        }
        // For large ratios 1/hypot and ratio/hypot keep their relative accuracy; the square would not.
        let norm = ratio.hypot(1.0);
        Self::new(1.0 / norm, ratio / norm)
    }

    /// The variance-exploding level of this ratio: `alpha = 1`.
    ///
    /// # Errors
    ///
    /// If sigma is not 0 or in 1e-150 to 1e150.
    pub fn variance_exploding(sigma: Sigma) -> Result<Self, Error> {
        Self::new(1.0, sigma.get())
    }

    /// The rectified-flow level (`alpha + sigma = 1`) of this log-SNR.
    ///
    /// # Errors
    ///
    /// If the log-SNR is finite and outside -690 to 690.
    pub fn rectified_flow(snr: LogSnr) -> Result<Self, Error> {
        let ratio = snr.noise_to_signal()?;
        if ratio.is_infinite() {
            return Ok(Self::NOISE);
        }
        Self::new(1.0 / (1.0 + ratio), ratio / (1.0 + ratio))
    }

    /// Signal scale.
    #[doc(alias("sqrt_alpha_bar", "sqrt_alphas_cumprod"))]
    pub const fn alpha(self) -> f64 {
        self.alpha
    }

    /// Noise scale.
    #[doc(alias("sqrt_one_minus_alpha_bar", "sqrt_one_minus_alphas_cumprod"))]
    pub const fn sigma(self) -> f64 {
        self.sigma
    }

    /// `ln(alpha^2 / sigma^2)`, in nats.
    ///
    /// $$\log\mathrm{SNR} = \ln\frac{\alpha^2}{\sigma^2} = 2\lambda$$
    #[doc(alias("lambda", "logsnr"))]
    pub fn log_snr(self) -> LogSnr {
        let ratio = self.alpha / self.sigma;
        let half = if (0.5..=2.0).contains(&ratio) {
            // The difference is exact here, so that a log-SNR near 0 keeps its digits.
            ((self.alpha - self.sigma) / self.sigma).ln_1p()
        } else {
            ratio.ln()
        };
        LogSnr(2.0 * (half + self.residue))
    }

    /// `sigma / alpha`, infinite at zero SNR.
    pub fn noise_to_signal(self) -> f64 {
        self.sigma / self.alpha
    }

    /// Whether no noise is left.
    pub fn is_clean(self) -> bool {
        self.sigma == 0.0
    }

    /// Whether no signal is left.
    pub fn is_noise(self) -> bool {
        self.alpha == 0.0
    }

    /// Whether this level has strictly less signal per noise than the other.
    #[inline]
    pub fn is_noisier_than(self, other: Self) -> bool {
        !self.is_clean() && !other.is_noise() && other.gap_above(self) > 0.0
    }

    /// The same with this residue.
    #[cfg(feature = "serde")]
    fn with_residue(mut self, residue: f64) -> Result<Self, Error> {
        if !(residue.abs() <= 1e-15) {
            return Err(Error::range("residue", residue, "-1e-15 to 1e-15"));
        }
        self.residue = residue;
        Ok(self)
    }

    /// `r = sqrt(SNR_noisier / SNR_self)`, in [0, 1).
    pub(crate) fn ratio_above(self, noisier: Self) -> f64 {
        (noisier.alpha * self.sigma) / (self.alpha * noisier.sigma)
    }

    /// `1 - r`, to the last digit that the two levels know of.
    #[inline(always)]
    pub(crate) fn gap_above(self, noisier: Self) -> f64 {
        self.area_above(noisier) / (self.alpha * noisier.sigma)
    }

    /// `alpha_self sigma_noisier - alpha_noisier sigma_self`, likewise; finite at every pair of levels.
    #[inline(always)]
    pub(crate) fn area_above(self, noisier: Self) -> f64 {
        difference_of_products(self.alpha, noisier.sigma, noisier.alpha, self.sigma)
            + noisier.alpha * self.sigma * (self.residue - noisier.residue)
    }
}

/// `a*b - c*d` with the rounding errors of both products taken back (Kahan).
#[inline(always)]
fn difference_of_products(a: f64, b: f64, c: f64, d: f64) -> f64 {
    let cd = c * d;
    let error = (-c).mul_add(d, cd);
    a.mul_add(b, -cd) + error
}

/// The rounded root of `high + low` and the relative error it was rounded by.
#[inline(always)]
fn split_sqrt(high: f64, low: f64) -> (f64, f64) {
    if high <= 0.0 {
        return (0.0, 0.0);
    }
    let root = high.sqrt();
    (root, ((-root).mul_add(root, high) + low) / (2.0 * high))
}

/// `ln(alpha^2 / sigma^2)`, in nats; infinite at the clean level and at zero SNR.
///
/// ```
/// use gaussian_diffusion::{LogSnr, NoiseLevel};
/// let level = NoiseLevel::variance_preserving(LogSnr::new(0.0)?)?;
/// assert!((level.alpha() - 0.5_f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        try_from = "crate::serialized::Number",
        into = "crate::serialized::Number"
    )
)]
pub struct LogSnr(f64);

#[cfg(feature = "serde")]
crate::serialized::infinite!(LogSnr);

impl LogSnr {
    /// The log-SNR of this value, in nats.
    ///
    /// # Errors
    ///
    /// If `value` is NaN.
    pub fn new(value: f64) -> Result<Self, Error> {
        if value.is_nan() {
            return Err(Error::range("log-SNR", value, "any number, also infinite"));
        }
        Ok(Self(value))
    }

    /// The log-SNR at which `sigma / alpha` is this ratio.
    pub fn from_sigma(sigma: Sigma) -> Self {
        Self(-2.0 * sigma.get().ln())
    }

    /// The number, in nats.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// The log-SNR at `fraction` of the way to another one.
    pub(crate) fn toward(self, other: Self, fraction: f64) -> Self {
        Self(self.0 + (other.0 - self.0) * fraction)
    }

    /// `sigma / alpha = exp(-log_snr / 2)`.
    pub(crate) fn noise_to_signal(self) -> Result<f64, Error> {
        if self.0.is_finite() && self.0.abs() > 690.0 {
            return Err(Error::range("log-SNR", self.0, LOG_SNRS));
        }
        Ok((-0.5 * self.0).exp())
    }
}

#[cfg(test)]
mod tests {
    use super::split_sqrt;

    /// Where the root is a number: `root^2 (1 + 2^-60)` has the root `root (1 + 2^-61)`; and the root of 2, to 30 digits.
    #[test]
    fn the_rest_of_a_root_is_relative_to_it() {
        let hair = 2.0_f64.powi(-60);
        for root in [2.0_f64.powi(-20), 0.75, 3.0, 1024.0] {
            let high = root * root;
            assert_eq!(split_sqrt(high, high * hair), (root, 0.5 * hair), "{root}");
        }
        let (root, rest) = split_sqrt(2.0, 0.0);
        assert_eq!(root, std::f64::consts::SQRT_2);
        assert!((rest + 6.835_808_657_661_922e-17).abs() < 1e-30, "{rest:e}");
        assert_eq!(split_sqrt(0.0, 0.0), (0.0, 0.0));
    }
}
