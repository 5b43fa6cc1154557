//! Adjusted DDIM.

use super::{Denoiser, Point, Prediction, memory_of};
use crate::{
    Error, Parameterization, Variance,
    state::{State, item_sizes},
};

/// A network whose steps of [`Ddim`](crate::solver::Ddim) are those of adjusted DDIM (aDDIM): the predicted noise
/// is scaled up to the size that the state should have.
///
/// A step of DDIM takes the predicted data for the data, and loses what that leaves open: a variance of
/// `lost = (alpha_s - alpha_t sigma_s / sigma_t)^2 Var[x_0 | x_t]` in every element. With `m^2` the mean square
/// of the predicted noise over the elements of an item,
///
/// ```text
/// x_s = alpha_s x_0 + sqrt(sigma_s^2 + lost / m^2) eps,   Var[x_0 | x_t] = share / (1 / v + SNR_t)
/// ```
///
/// $$x_s=\alpha_s\hat x_0+\sqrt{\sigma_s^2+\frac{\texttt{lost}}{m^2}}\thickspace\hat\varepsilon$$
///
/// where `v` is the variance of the data and `share` the part of what a Gaussian would leave open that images do:
/// 0.5 and 0.1 in the paper. The difference to DDIM is a [displacement](Prediction::shift) of the data. A step to
/// the data is left as it is, as is one that goes up.
///
/// [Source](crate::docs::papers#arxiv-2403.06807): Multistep Consistency Models, Heek, Hoogeboom, Salimans, 2024, section
/// 3.2.
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, denoiser::AdjustedDdim, predicts};
/// use ndarray::{Array2, array};
/// let net = predicts::noise(|x: &Array2<f64>, _: Point<Step>| x * 1.25);
/// let (from, to) = (NoiseLevel::new(0.6, 0.8)?, NoiseLevel::new(0.8, 0.6)?);
/// let mut adjusted = AdjustedDdim::new(net);
/// let answer = adjusted.predict(&array![[0.8, -0.8]], Point::new(Step::new(5), from, to))?;
/// // The noise is 1 and -1; that much is lost, and so much more of it goes into the state.
/// let lost = (0.8_f64 - 0.6 * 0.6 / 0.8).powi(2) * 0.1 / (2.0 + (0.6_f64 / 0.8).powi(2));
/// let more = (0.36 + lost).sqrt() - 0.6;
/// assert!((0.8 * answer.shift.unwrap()[[0, 0]] - more).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("aDDIM", "adjusted DDIM", "AdjustedDDIMStep"))]
#[derive(Debug, Clone)]
pub struct AdjustedDdim<D> {
    inner: D,
    share: f64,
    precision: f64,
}

impl<D> AdjustedDdim<D> {
    /// With the paper's variance of data of 0.5, and its share of 0.1.
    pub fn new(inner: D) -> Self {
        Self {
            inner,
            share: 0.1,
            precision: 2.0,
        }
    }

    /// With another share of what Gaussian data of another variance would leave open. All of it is right for such
    /// data.
    ///
    /// # Errors
    ///
    /// If the share is not 0 to 10, or the variance is not 1e-12 to 1e12.
    pub fn with_open_variance(mut self, share: f64, data: Variance) -> Result<Self, Error> {
        if !(0.0..=10.0).contains(&share) {
            return Err(Error::range("share of the open variance", share, "0 to 10"));
        }
        if !(1e-12..=1e12).contains(&data.get()) {
            let allowed = "1e-12 to 1e12";
            return Err(Error::range("variance of the data", data.get(), allowed));
        }
        (self.share, self.precision) = (share, data.get().recip());
        Ok(self)
    }
}

impl<V: State, T: Copy, D: Denoiser<V, T>> Denoiser<V, T> for AdjustedDdim<D> {
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        let mut answer = self.inner.predict(x, at)?;
        let (from, to) = (at.level, at.to);
        if to.is_clean() || !from.is_noisier_than(to) {
            return Ok(answer);
        }
        let whole = answer.value.clone();
        let noise = Prediction::new(whole, answer.parameterization);
        let mut shift = noise.to(Parameterization::Noise, x, from)?.value;
        let snr = (from.alpha() / from.sigma()).powi(2);
        let lost = to.area_above(from) / from.sigma();
        let lost = lost * lost * self.share / (self.precision + snr);
        let squares = shift.dot_items(&shift)?;
        let factors = squares
            .iter()
            .zip(item_sizes(&shift)?)
            .map(|(square, size)| {
                // Noise of no size has no direction to go on in.
                let more = match *square > 0.0 {
                    true => lost * size / square,
                    false => 0.0,
                };
                more / (to.sigma().mul_add(to.sigma(), more).sqrt() + to.sigma()) / to.alpha()
            });
        shift.combine_items(&factors.collect::<Vec<_>>(), &[])?;
        answer.add_shift(shift)?;
        Ok(answer)
    }

    memory_of!(inner);
}
