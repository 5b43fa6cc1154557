//! Layers that keep the magnitude of what passes through them, as far as they are mathematics.
//!
//! The magnitude of numbers is the root of their mean square. If the inputs of a layer have magnitude 1, so
//! has what comes out, and activations, weights and updates neither grow nor fade as a network is trained.
//!
//! [Source](crate::docs::papers#arxiv-2312.02696): Analyzing and Improving the Training Dynamics of Diffusion Models, Karras,
//! Aittala, Lehtinen, Hellsten, Aila, Laine, 2024.

use std::f64::consts::{SQRT_2, TAU};

use ndarray::{Array, Dimension};

use crate::{
    Error,
    state::{Real, State, for_each_item, item_len},
};

/// The magnitude of `silu` of standard normals, as published; to more digits it is 0.5964.
pub const OF_SILU: f64 = 0.596;

/// `x sigmoid(x) / 0.596`: the activation, with magnitude 1 for standard normals.
///
/// ```
/// use gaussian_diffusion::training::magnitude::silu;
/// let shown = ndarray::array![-1.0, 0.0, 2.0];
/// assert_eq!(shown.mapv(silu)[1], 0.0);
/// assert!((silu(2.0) - 2.0 / (1.0 + (-2.0_f64).exp()) / 0.596).abs() < 1e-15);
/// ```
#[doc(alias("mp_silu", "swish"))]
pub fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp()) / OF_SILU
}

/// The two coefficients of `a` and `b` in a sum that is `b` to a share `t`:
/// `((1 - t) a + t b) / sqrt((1 - t)^2 + t^2)`.
///
/// Keeps magnitude 1 where the two are not correlated.
///
/// # Errors
///
/// If the share is not in 0 to 1.
///
/// ```
/// use gaussian_diffusion::{State, training::magnitude::sum};
/// let (mut x, branch) = (ndarray::array![1.0, 2.0], ndarray::array![0.5, 0.5]);
/// let [own, other] = sum(0.3)?;
/// x.combine(own, &[(other, &branch)])?;
/// assert!((x[0] - (0.7 + 0.15) / 0.58_f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("mp_sum", "residual"))]
pub fn sum(share: f64) -> Result<[f64; 2], Error> {
    let norm = (1.0 - checked(share)?).hypot(share);
    Ok([(1.0 - share) / norm, share / norm])
}

/// The factors of two lists of channels before they are put side by side, such that the second counts to a
/// share `t`: `sqrt((n + m) / ((1 - t)^2 + t^2))` times `(1 - t) / sqrt(n)` and `t / sqrt(m)`.
///
/// # Errors
///
/// If the share is not in 0 to 1, or one has no channels.
///
/// ```
/// use gaussian_diffusion::training::magnitude::concatenation;
/// // Of equal numbers and equal shares nothing changes.
/// assert_eq!(concatenation([8, 8], 0.5)?.map(|factor| (factor * 1e12_f64).round()), [1e12, 1e12]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("mp_cat"))]
pub fn concatenation(channels: [usize; 2], share: f64) -> Result<[f64; 2], Error> {
    let [own, other] = sum(share)?;
    let [n, m] = channels.map(|count| count as f64);
    if channels.contains(&0) {
        return Err(Error::range("number of channels", 0.0, "1 or more"));
    }
    Ok([own * ((n + m) / n).sqrt(), other * ((n + m) / m).sqrt()])
}

/// Brings every item of an array, along its first axis, to magnitude 1: `w / (epsilon + |w| / sqrt(n))`, with `n` elements to an
/// item.
///
/// Of a weight that is the vector of each output. Forced weight normalization writes the result back after
/// every step, and has nothing to project: the gradient through the same function is orthogonal to the vector.
/// Times [`weight_scale`] it is what the layer multiplies by. Of activations with their channels last it is
/// pixel normalization.
///
/// # Errors
///
/// If `epsilon` is not in 0 to 1; the published networks have 1e-4.
///
/// ```
/// use gaussian_diffusion::training::magnitude::normalized;
/// let weight = normalized(&ndarray::array![[3.0, 4.0], [0.0, 0.1]], 0.0)?;
/// assert!((weight[[0, 0]] - 3.0 * 2.0_f64.sqrt() / 5.0).abs() < 1e-15);
/// assert!((weight[[1, 1]] - 2.0_f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("normalize", "forced weight normalization", "pixel norm"))]
pub fn normalized<A: Real, D: Dimension>(
    weight: &Array<A, D>,
    epsilon: f64,
) -> Result<Array<A, D>, Error> {
    if !(0.0..=1.0).contains(&epsilon) {
        return Err(Error::range("epsilon", epsilon, "0 to 1"));
    }
    let root = (item_len(weight).max(1) as f64).sqrt();
    let squares = weight.dot_items(weight)?;
    let mut normalized = weight.clone();
    for_each_item(&mut normalized, |i, mut item| {
        let norm = epsilon + squares.get(i).copied().unwrap_or(0.0).sqrt() / root;
        // A vector of zeros stays one.
        if norm > 0.0 {
            item.mapv_inplace(|w| A::of(w.get() / norm));
        }
    });
    Ok(normalized)
}

/// `1 / sqrt(n)`: what a normalized weight of `n` inputs to an output is multiplied by.
///
/// # Errors
///
/// If there are no inputs.
///
/// ```
/// use gaussian_diffusion::training::magnitude::weight_scale;
/// assert_eq!(weight_scale(16)?, 0.25);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn weight_scale(inputs: usize) -> Result<f64, Error> {
    match inputs {
        0 => Err(Error::range("number of inputs", 0.0, "1 or more")),
        _ => Ok(1.0 / (inputs as f64).sqrt()),
    }
}

/// `sqrt(2) cos(2 pi (frequency x + phase))`: a feature of a number such as the noise level, of magnitude 1 for
/// phases that are uniform on 0 to 1.
///
/// ```
/// use gaussian_diffusion::training::magnitude::fourier;
/// assert_eq!(fourier(0.3, 0.0, 0.0), 2.0_f64.sqrt());
/// ```
#[doc(alias("MPFourier"))]
pub fn fourier(x: f64, frequency: f64, phase: f64) -> f64 {
    SQRT_2 * (TAU * (frequency * x + phase)).cos()
}

fn checked(share: f64) -> Result<f64, Error> {
    match (0.0..=1.0).contains(&share) {
        true => Ok(share),
        false => Err(Error::range("share", share, "0 to 1")),
    }
}
