//! Mixtures with the moments of data.

use ndarray::{Array, Array2, Axis, Dimension};

use super::{GaussianMixture, component::eigen};
use crate::{
    Error,
    state::{Real, State, item_len, item_view},
};

impl GaussianMixture {
    /// One Gaussian for each group of samples, an array, with their mean and their covariance, that counts by their
    /// number: such as a group for each class.
    ///
    /// The first axis of an array counts its samples. Variances below 1e-14 of the largest of their group are
    /// taken as 0; a sample alone is a point.
    ///
    /// # Errors
    ///
    /// If there is no group, a group has no samples, or another shape of samples than the first, or a number
    /// is not finite.
    ///
    /// ```
    /// use gaussian_diffusion::GaussianMixture;
    /// use ndarray::array;
    /// let data = GaussianMixture::of_samples(&[
    ///     array![[1.0, 0.0], [3.0, 0.0]],
    ///     array![[0.0, 4.0], [0.0, 6.0]],
    /// ])?;
    /// assert_eq!((data.components(), data.mean()[1]), (2, 2.5));
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn of_samples<A: Real, D: Dimension>(groups: &[Array<A, D>]) -> Result<Self, Error> {
        let mut parts = Vec::with_capacity(groups.len());
        for samples in groups {
            let (count, size) = (samples.items(), item_len(samples));
            if count == 0 {
                return Err(Error::range("number of samples", 0.0, "1 or more"));
            }
            if size == 0 {
                return Err(Error::range("dimension", 0.0, "1 or more"));
            }
            let all = samples.view().into_dyn();
            let items: Vec<_> = (0..count).map(|i| item_view(&all, i)).collect();
            let numbers = items.iter().flat_map(|item| item.iter().map(|x| x.get()));
            let numbers: Vec<f64> = numbers.collect();
            if let Some((i, &bad)) = numbers.iter().enumerate().find(|(_, x)| !x.is_finite()) {
                return Err(Error::element("samples", i, bad, "a finite number"));
            }
            let rows = Array2::from_shape_fn((count, size), |(i, j)| numbers[i * size + j]);
            let mean = rows.mean_axis(Axis(0)).unwrap_or_default();
            let off = rows - &mean;
            let covariance = off.t().dot(&off) / (count.max(2) - 1) as f64;
            let Some((variances, axes)) = eigen(&covariance, None) else {
                let most = numbers.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
                let allowed = "so small that their covariance is finite";
                return Err(Error::range("largest of the samples", most, allowed));
            };
            parts.push((count as f64, mean.to_vec(), variances.to_vec(), axes));
        }
        Self::rotated(&parts)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::GaussianMixture;

    /// A decomposition of what is not finite would have no end.
    #[test]
    fn samples_whose_covariance_is_infinite_are_refused() {
        let error =
            GaussianMixture::of_samples(&[array![[1e200, 0.0], [-1e200, 1.0]]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "largest of the samples is 1e200, allowed: so small that their covariance is finite"
        );
    }
}
