//! ComfyUI's Mahiro.

use super::{Predictions, Rule, Strength};
use crate::{Error, Point, state::Elements};

/// ComfyUI's Mahiro: guidance that takes less of the unconditional prediction away where the two point in
/// different directions.
///
/// ```text
/// w c + (1 + a) / 2 * (1 - w) u
/// a = mean over the places of cos(root(w u), root(w c + (1 - w) u / 2)),   root(x) = sign(x) sqrt(|x|)
/// ```
///
/// $$\tilde x_0=w\thinspace c+\tfrac{1+a}2\thinspace(1-w)\thinspace u$$
///
/// The cosine is taken over the second axis of an array, the channels, at each place of the others, and its
/// mean over the places of an item. With `a = 1`, as for equal predictions, it is classifier-free guidance; the scale 1 is the
/// conditional prediction, and 0 the limit of small scales, the unconditional one (the node halves that). A place
/// where one of the two is 0 has the cosine 0. The node works on the data: name
/// [`X0`](crate::Parameterization::X0) at [`Guided::with_parameterization`](super::Guided::with_parameterization). It takes the mean over the
/// batch as well; its results are those of batches of one. A tensor on a device is read back to the host for the cosines.
///
/// [Source](crate::docs::papers#comfyui): the code of ComfyUI.
///
/// ```
/// use gaussian_diffusion::guidance::{Guided, Mahiro};
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Parameterization, Point, Step, predicts};
/// use ndarray::{Array4, Axis};
/// let says = |answer: f64| predicts::x0(move |x: &Array4<f64>, _: Point<Step>| x.mapv(|_| answer));
/// let mut net = Guided::new((says(0.5), says(0.5)), Mahiro::new(4.0)?).with_parameterization(Parameterization::X0);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// // Predictions that agree are left alone.
/// let found = net.predict(&Array4::zeros((1, 4, 2, 2)), at)?.value;
/// assert!(found.iter().all(|x| (x - 0.5).abs() < 1e-15));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("MaHiRo"))]
#[derive(Debug, Clone)]
pub struct Mahiro {
    scale: Strength,
}

impl Mahiro {
    /// Of this scale `w`.
    ///
    /// # Errors
    ///
    /// If the scale is not a finite number.
    pub fn new(scale: impl Into<Strength>) -> Result<Self, Error> {
        let scale = scale.into().checked()?;
        Ok(Self { scale })
    }
}

impl<V: Elements> Rule<V> for Mahiro {
    fn count(&self) -> usize {
        2
    }

    fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
        let without = if index == 0 { 0.0 } else { 1.0 };
        Ok(self.scale.at(&at)? != without)
    }

    fn combine(&mut self, mut predictions: Predictions<V>, at: Point<()>) -> Result<V, Error> {
        let w = self.scale.at(&at)?;
        if w == 1.0 {
            return predictions.take(0);
        }
        if w == 0.0 {
            return predictions.take(1);
        }
        let (mut c, u) = (predictions.take(0)?, predictions.take(1)?);
        let mut merged = c.clone();
        merged.combine(w, &[(0.5 * (1.0 - w), &u)])?;
        let of_u: Vec<f64> = agreement(&u, &merged)?
            .into_iter()
            .map(|cos| 0.5 * (1.0 + w.signum() * cos) * (1.0 - w))
            .collect();
        c.combine_items(&vec![w; of_u.len()], &[(&of_u, &u)])?;
        Ok(c)
    }
}

/// The mean cosine of the roots of two states of one shape, of each item.
fn agreement<V: Elements>(a: &V, b: &V) -> Result<Vec<f64>, Error> {
    let (items, shape) = (a.items(), a.shape());
    let (a, b) = (a.numbers()?, b.numbers()?);
    let channels = shape.get(1).copied().unwrap_or(1);
    let places = a.len() / (items * channels).max(1);
    let cos = |start: usize| {
        let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
        for channel in 0..channels {
            let at = start + channel * places;
            let (a, b) = (a[at], b[at]);
            ab += (a.abs() * b.abs()).sqrt() * a.signum() * b.signum();
            aa += a.abs();
            bb += b.abs();
        }
        // Not the root of a product, which may be out of range.
        let norms = aa.sqrt() * bb.sqrt();
        if norms == 0.0 { 0.0 } else { ab / norms }
    };
    let of_item = |item: usize| {
        let first = item * channels * places;
        let sum: f64 = (0..places).map(|place| cos(first + place)).sum();
        sum / places.max(1) as f64
    };
    Ok((0..items).map(of_item).collect())
}
