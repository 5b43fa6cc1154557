//! Keeping the predicted data within bounds that follow it.

use super::{Correction, Point};
use crate::{
    Error,
    per_item::{Each, PerItem},
    state::Elements,
};

/// Dynamic thresholding: each item clipped to a quantile `s` of its sizes, and divided by it.
///
/// `s = min(max(quantile(|x0|, ratio), 1), max)`, `x0 <- clamp(x0, -s, s) / s`, for data in -1 to 1.
/// Data whose quantile is within 1 is clipped to 1, as by [`Clip`](super::Clip). Quantiles between
/// two elements are interpolated linearly. A tensor on a device is read back to the host for it, at every
/// evaluation.
///
/// $$s=\min\big(\max(Q_p(|x_0|),1),\thinspace s_{\max}\big),\qquad x_0\leftarrow\frac{\mathrm{clamp}(x_0,-s,s)}{s}$$
///
/// There is no upper bound unless [`with_maximum`](Self::with_maximum) sets one; with the bound 1 nothing is
/// dynamic. Each of the two numbers is one for the batch or one per item.
///
/// [Source](crate::docs::papers#arxiv-2205.11487): Photorealistic Text-to-Image Diffusion Models with Deep Language
/// Understanding, Saharia et al., 2022, section 2.3.
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, denoiser::DynamicThreshold, predicts};
/// use ndarray::{Array2, array};
/// let net = predicts::x0(|x: &Array2<f64>, _: Point<Step>| x.clone());
/// let half = DynamicThreshold::new(0.5)?;
/// let mut net = Denoiser::<Array2<f64>, Step>::corrected(net, half);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// let found = net.predict(&array![[1.0, -2.0, 4.0], [0.1, 0.2, 3.0]], at)?;
/// assert_eq!(found.value, array![[0.5, -1.0, 1.0], [0.1, 0.2, 1.0]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("thresholding", "dynamic_thresholding_ratio", "sample_max_value"))]
#[derive(Debug, Clone, PartialEq)]
pub struct DynamicThreshold {
    ratio: Each,
    most: Each,
}

impl DynamicThreshold {
    /// The threshold at this quantile of the sizes, such as 0.995.
    ///
    /// # Errors
    ///
    /// If the ratio is not in 0 to 1.
    pub fn new<'a>(ratio: impl Into<PerItem<'a, f64>>) -> Result<Self, Error> {
        let holds = |ratio| (0.0..=1.0).contains(&ratio);
        let ratio = Each::checked("ratio of the threshold", ratio.into(), "0 to 1", holds)?;
        let most = Each::Same(f64::INFINITY);
        Ok(Self { ratio, most })
    }

    /// The same with an upper bound of `s`.
    ///
    /// # Errors
    ///
    /// If the bound is below 1 or NaN.
    pub fn with_maximum<'a>(self, most: impl Into<PerItem<'a, f64>>) -> Result<Self, Error> {
        let holds = |most| most >= 1.0;
        let most = Each::checked("bound of the threshold", most.into(), "1 or more", holds)?;
        Ok(Self { most, ..self })
    }

    /// The quantile of every item at its ratio.
    fn quantiles<V: Elements>(&self, x0: &V) -> Result<Vec<f64>, Error> {
        let mut found = vec![0.0; x0.items()];
        for (item, ratio) in self.ratio.distinct() {
            let sizes = x0.quantiles(ratio)?;
            let places = sizes.into_iter().zip(&mut found).enumerate().skip(item);
            for (i, (size, found)) in places {
                if self.ratio.get(i) == ratio {
                    *found = size;
                }
            }
        }
        Ok(found)
    }
}

impl<V: Elements, T> Correction<V, T> for DynamicThreshold {
    fn correct(&mut self, x0: &mut V, _: Point<T>) -> Result<(), Error> {
        let items = x0.items();
        self.ratio.check_items("ratios of the threshold", items)?;
        self.most.check_items("bounds of the threshold", items)?;
        let mut sizes = self.quantiles(x0)?;
        for (i, size) in sizes.iter_mut().enumerate() {
            *size = size.max(1.0).min(self.most.get(i));
        }
        x0.divide_within(&sizes)
    }
}
