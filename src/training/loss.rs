//! What a network loses by what it said, where it should have said something else.

mod array;
mod distance;

pub use distance::Distance;
pub(crate) use distance::thresholds;

use crate::{Error, per_item::PerItem, state::State};

/// A state that can be compared with what it should be, item by item.
///
/// Arrays give numbers; tensors of candle and burn give tensors, which a gradient flows through.
pub trait Losses: State {
    /// One number for each item.
    type ItemLosses: ItemLosses;

    /// The mean over each item's elements of the distance from `target`; 0 for an item without elements.
    ///
    /// # Errors
    ///
    /// If the target has another shape, or a threshold is not positive and finite, or there are not as many as items; so
    /// for all of these.
    fn losses(&self, target: &Self, distance: Distance<'_>) -> Result<Self::ItemLosses, Error>;

    /// The distance of every element from that of `target`.
    ///
    /// # Errors
    ///
    /// As [`losses`](Self::losses).
    fn element_losses(&self, target: &Self, distance: Distance<'_>) -> Result<Self, Error>;

    /// `sum of w d / sum of w` over each item's elements, `d` being the distance from `target`; 0 for an item whose weights
    /// sum to 0. An element of weight 0 counts for nothing, whatever it is.
    ///
    /// # Errors
    ///
    /// As [`losses`](Self::losses), also for the weights, each 0 or more and finite.
    fn masked_losses(
        &self,
        target: &Self,
        weights: &Self,
        distance: Distance<'_>,
    ) -> Result<Self::ItemLosses, Error>;

    /// `sqrt(sum of d^2 + c^2) - c` for each item, `d` being the differences from `target`.
    ///
    /// # Errors
    ///
    /// As [`losses`](Self::losses).
    fn norm_losses(&self, target: &Self, c: PerItem<'_, f64>) -> Result<Self::ItemLosses, Error>;
}

/// A number for each item of a batch.
pub trait ItemLosses {
    /// A number for the batch.
    type Mean;

    /// `sum of number_i w_i v_i / n`, for any number of lists of weights.
    ///
    /// # Errors
    ///
    /// If a list of weights has another length.
    fn weighted_mean(&self, weights: &[&[f64]]) -> Result<Self::Mean, Error>;
}

/// The product of these lists of weights.
pub(crate) fn check_weights(items: usize, weights: &[&[f64]]) -> Result<Vec<f64>, Error> {
    let mut product = vec![1.0; items];
    for list in weights {
        Error::check_length("weights", items, list.len())?;
        product.iter_mut().zip(*list).for_each(|(w, v)| *w *= v);
    }
    Ok(product)
}

/// Refuses weights of elements that are negative, infinite or no number.
pub(crate) fn check_mask(weights: impl IntoIterator<Item = f64>) -> Result<(), Error> {
    let mut weights = weights.into_iter().enumerate();
    match weights.find(|(_, w)| !(*w >= 0.0 && w.is_finite())) {
        Some((i, bad)) => Err(Error::element("weights", i, bad, "0 or more, finite")),
        None => Ok(()),
    }
}

/// Mean squared error of each batch item, over its elements.
///
/// $$\ell_i=\frac1d\sum_{j=1}^d (p_{ij}-q_{ij})^2$$
///
/// One number per item, for a batch of any dimension; an item without elements has error 0. Of arrays a number in
/// f64; of tensors of candle and burn a tensor, which a gradient flows through.
///
/// # Errors
///
/// If the shapes differ.
///
/// ```
/// use gaussian_diffusion::training::squared_error;
/// use ndarray::array;
/// let loss = squared_error(&array![[1.0, 2.0], [0.0, 0.0]], &array![[1.0, 0.0], [0.0, 1.0]])?;
/// assert_eq!(loss, array![2.0, 0.5]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("mse", "training_losses", "p_losses"))]
pub fn squared_error<V: Losses>(prediction: &V, target: &V) -> Result<V::ItemLosses, Error> {
    prediction.losses(target, Distance::Squared)
}

/// Mean absolute error of each batch item, over its elements.
///
/// $$\ell_i=\frac1d\sum_{j=1}^d |p_{ij}-q_{ij}|$$
///
/// # Errors
///
/// If the shapes differ.
///
/// ```
/// use gaussian_diffusion::training::absolute_error;
/// use ndarray::array;
/// let loss = absolute_error(&array![[1.0, 2.0], [0.0, 0.0]], &array![[1.0, 0.0], [0.0, 1.0]])?;
/// assert_eq!(loss, array![1.0, 0.5]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("l1", "mae"))]
pub fn absolute_error<V: Losses>(prediction: &V, target: &V) -> Result<V::ItemLosses, Error> {
    prediction.losses(target, Distance::Absolute)
}

/// Mean Huber error of each batch item: half the square up to `delta`, linear beyond.
///
/// `d^2 / 2` where `|d| <= delta`, else `delta (|d| - delta / 2)`, for each difference `d`.
///
/// $$\ell_i=\frac1d\sum_{j=1}^d h_\delta(p_{ij}-q_{ij}),\qquad
///   h_\delta(d)=\begin{cases}d^2/2&|d|\le\delta\cr \delta(|d|-\delta/2)&|d|>\delta\end{cases}$$
///
/// # Errors
///
/// If the shapes differ, or a `delta` is not positive and finite. There is one for the batch, or one per item.
///
/// [Source](crate::docs::papers#robust-estimation-of-a-location-parameter): Robust Estimation of a Location Parameter, Huber, 1964.
///
/// ```
/// use gaussian_diffusion::training::huber_error;
/// use ndarray::array;
/// let loss = huber_error(&array![[1.0, 3.0]], &array![[0.0, 0.0]], 1.0)?;
/// assert_eq!(loss, array![0.5 * (0.5 + 2.5)]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("smooth_l1"))]
pub fn huber_error<'a, V: Losses>(
    prediction: &V,
    target: &V,
    delta: impl Into<PerItem<'a, f64>>,
) -> Result<V::ItemLosses, Error> {
    prediction.losses(target, Distance::Huber(delta.into()))
}

/// Mean pseudo-Huber error of each batch item: Huber's without its corner.
///
/// `delta (sqrt(d^2 + delta^2) - delta)` for each difference `d`: half the square where it is small beside `delta`, `delta |d|` where
/// it is large. One threshold for the batch, or one per item, such as a function of its level.
///
/// $$\ell_i=\frac1d\sum_{j=1}^d\delta_i\Big(\sqrt{(p_{ij}-q_{ij})^2+\delta_i^2}-\delta_i\Big)$$
///
/// Training scripts of Stable Diffusion have twice this as "huber", and twice this divided by `delta` as "smooth_l1", with
/// thresholds that fall with the noise.
///
/// # Errors
///
/// If the shapes differ, a `delta` is not positive and finite, or there are not as many as items.
///
/// [Source](crate::docs::papers#arxiv-2403.16728): Improving Diffusion Models's Data-Corruption Resistance using Scheduled
/// Pseudo-Huber Loss, Khrapov, Popov, Sadekova, Yermekova, Kudinov, 2024.
///
/// ```
/// use gaussian_diffusion::{Step, schedule::{Discrete, NoiseSchedule}, training::pseudo_huber_error};
/// use ndarray::array;
/// // The threshold of the scripts, `0.1` where there is nothing but noise, by the level.
/// let schedule = Discrete::stable_diffusion()?;
/// let delta = [Step::new(10), Step::new(999)].map(|t| {
///     let level = schedule.level(t).unwrap();
///     (1.0 + level.noise_to_signal()).powi(-2) * 0.9 + 0.1
/// });
/// let loss = pseudo_huber_error(&array![[0.5], [0.5]], &array![[0.0], [0.0]], &delta)?;
/// assert!((loss[0] - delta[0] * (0.5_f64.hypot(delta[0]) - delta[0])).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("huber_c", "huber_schedule"))]
pub fn pseudo_huber_error<'a, V: Losses>(
    prediction: &V,
    target: &V,
    delta: impl Into<PerItem<'a, f64>>,
) -> Result<V::ItemLosses, Error> {
    prediction.losses(target, Distance::PseudoHuber(delta.into()))
}

/// The pseudo-Huber distance of whole items: `sqrt(|p - q|^2 + c^2) - c`, the sum of squares being over the elements.
///
/// $$\ell_i=\sqrt{\Vert p_i-q_i\Vert^2+c_i^2}-c_i$$
///
/// # Errors
///
/// If the shapes differ, a `c` is not positive and finite, or there are not as many as items.
///
/// [Source](crate::docs::papers#arxiv-2310.14189): Improved Techniques for Training Consistency Models, Song, Dhariwal, 2024
/// (`c` is [`huber_constant`](crate::training::consistency::huber_constant)).
///
/// ```
/// use gaussian_diffusion::training::pseudo_huber_norm;
/// use ndarray::array;
/// let loss = pseudo_huber_norm(&array![[3.0, 4.0]], &array![[0.0, 0.0]], 12.0)?;
/// assert_eq!(loss, array![1.0]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("iCT loss"))]
pub fn pseudo_huber_norm<'a, V: Losses>(
    prediction: &V,
    target: &V,
    c: impl Into<PerItem<'a, f64>>,
) -> Result<V::ItemLosses, Error> {
    prediction.norm_losses(target, c.into())
}

/// The distance of every element, not summed: for weights and sums of your own.
///
/// # Errors
///
/// If the shapes differ, or a threshold is out of range.
///
/// ```
/// use gaussian_diffusion::training::{Distance, element_error};
/// use ndarray::array;
/// let found = element_error(&array![[1.0, 2.0]], &array![[1.0, 0.0]], Distance::Squared)?;
/// assert_eq!(found, array![[0.0, 4.0]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("reduction none"))]
pub fn element_error<V: Losses>(
    prediction: &V,
    target: &V,
    distance: Distance<'_>,
) -> Result<V, Error> {
    prediction.element_losses(target, distance)
}

/// The mean error of each batch item over the elements that count: `sum of w d / sum of w`.
///
/// The weights have the shape of the data: 1 and 0 for a mask, such as what a series was observed at, or any numbers from 0
/// on. What has weight 0 counts for nothing, NaN included; an item without weight has error 0.
///
/// $$\ell_i=\frac{\sum_j w_{ij}\thinspace d(p_{ij},q_{ij})}{\sum_j w_{ij}}$$
///
/// The mean over all elements of a batch that count, rather than the mean of the items' means, is the
/// [`weighted_mean`] with [`mask_weights`].
///
/// # Errors
///
/// If the shapes differ, or a weight is negative or no number.
///
/// [Source](crate::docs::papers#arxiv-2107.03502): CSDI: Conditional Score-based Diffusion Models for Probabilistic Time Series
/// Imputation, Tashiro, Song, Song, Ermon, 2021.
///
/// ```
/// use gaussian_diffusion::training::{Distance, mask_weights, masked_error, weighted_mean};
/// use ndarray::array;
/// let (said, target) = (array![[1.0, 9.0], [3.0, 1.0]], array![[0.0, 0.0], [0.0, 0.0]]);
/// let mask = array![[1.0, 0.0], [1.0, 1.0]];
/// let losses = masked_error(&said, &target, &mask, Distance::Squared)?;
/// assert_eq!(losses, array![1.0, 5.0]);
/// // Over the three numbers that count.
/// let loss = weighted_mean(&losses, &[&mask_weights(&mask)?])?;
/// assert!((loss - 11.0 / 3.0).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("loss mask", "observed_mask", "target_mask"))]
pub fn masked_error<V: Losses>(
    prediction: &V,
    target: &V,
    weights: &V,
    distance: Distance<'_>,
) -> Result<V::ItemLosses, Error> {
    prediction.masked_losses(target, weights, distance)
}

/// How much each item of a batch counts by the weights of its elements: their sum, relative to the mean of these sums.
///
/// All are 0 where nothing counts.
///
/// # Errors
///
/// If a sum is negative, infinite or no number.
pub fn mask_weights<V: State>(weights: &V) -> Result<Vec<f64>, Error> {
    let mut ones = weights.clone();
    ones.combine(0.0, &[])?;
    ones.exp_affine(0.0, 0.0)?;
    let sums = weights.dot_items(&ones)?;
    if let Some((item, bad)) = sums
        .iter()
        .enumerate()
        .find(|(_, sum)| !(**sum >= 0.0 && sum.is_finite()))
    {
        return Err(Error::element(
            "sums of weights",
            item,
            *bad,
            "0 or more, finite",
        ));
    }
    let total: f64 = sums.iter().sum();
    let share = |sum: &f64| match total == 0.0 {
        true => 0.0,
        false => sum * sums.len() as f64 / total,
    };
    Ok(sums.iter().map(share).collect())
}

/// The mean of a batch's losses, each times its weights: what is minimised.
///
/// `sum of loss_i w_i v_i / n`, for any number of lists of weights: those of the noise levels, those
/// that make up for how times were drawn.
///
/// The empty batch has 0.
///
/// # Errors
///
/// If a list of weights has another length than the losses.
///
/// ```
/// use gaussian_diffusion::training::weighted_mean;
/// let losses = ndarray::array![1.0, 2.0];
/// assert_eq!(weighted_mean(&losses, &[&[3.0, 1.0], &[1.0, 2.0]])?, 3.5);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn weighted_mean<L: ItemLosses>(losses: &L, weights: &[&[f64]]) -> Result<L::Mean, Error> {
    losses.weighted_mean(weights)
}
