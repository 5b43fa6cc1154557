//! Guided predictions with the standard deviation of the conditional one.

use super::{Predictions, Rule};
use crate::{
    Error, Point,
    denoiser::memory_of,
    state::{State, ones_like},
};

/// A rule whose result is brought toward the standard deviation of the first prediction, item by item.
///
/// `g <- (phi std(c) / std(g) + 1 - phi) g`, with the standard deviations over the elements of an item. An item
/// whose result has no standard deviation is left alone.
///
/// $$g \leftarrow \Big(\phi\thinspace\frac{\operatorname{std}(c)}{\operatorname{std}(g)}+1-\phi\Big)\thinspace g$$
///
/// The result depends on the terms: the paper rescales what the network predicts.
///
/// [Source](crate::docs::papers#arxiv-2305.08891): Common Diffusion Noise Schedules and Sample Steps are Flawed, Lin, Liu, Li,
/// Yang, 2024, section 3.4.
///
/// ```
/// use gaussian_diffusion::guidance::{Combination, Rescaled};
/// Rescaled::new(Combination::classifier_free(7.5)?, 0.7)?;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("guidance_rescale", "rescale_noise_cfg"))]
#[derive(Debug, Clone)]
pub struct Rescaled<R> {
    rule: R,
    phi: f64,
}

impl<R> Rescaled<R> {
    /// This rule, rescaled by the share `phi`; 0.7 is the value of the paper.
    ///
    /// # Errors
    ///
    /// If phi is not in 0 to 1.
    pub fn new(rule: R, phi: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&phi) {
            return Err(Error::range("rescale phi", phi, "0 to 1"));
        }
        Ok(Self { rule, phi })
    }
}

impl<V: State, R: Rule<V>> Rule<V> for Rescaled<R> {
    fn count(&self) -> usize {
        self.rule.count()
    }

    fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
        Ok((index == 0 && self.phi != 0.0) || self.rule.needs(index, at)?)
    }

    fn combine(&mut self, predictions: Predictions<V>, at: Point<()>) -> Result<V, Error> {
        if self.phi == 0.0 {
            return self.rule.combine(predictions, at);
        }
        let wanted = squared_deviations(predictions.get(0)?)?;
        let mut guided = self.rule.combine(predictions, at)?;
        let found = squared_deviations(&guided)?;
        let factors: Vec<_> = wanted
            .iter()
            .zip(&found)
            .map(|(wanted, found)| match *found == 0.0 {
                true => 1.0,
                false => self.phi * (wanted / found).sqrt() + (1.0 - self.phi),
            })
            .collect();
        guided.combine_items(&factors, &[])?;
        Ok(guided)
    }

    memory_of!(rule);
}

/// The sum of squared distances from the mean, for every item.
fn squared_deviations<V: State>(x: &V) -> Result<Vec<f64>, Error> {
    let ones = ones_like(x)?;
    let (sums, counts) = (x.dot_items(&ones)?, ones.dot_items(&ones)?);
    let means: Vec<_> = sums.iter().zip(&counts).map(|(sum, n)| -sum / n).collect();
    let mut centered = x.clone();
    let own = vec![1.0; x.items()];
    centered.combine_items(&own, &[(&means, &ones)])?;
    centered.dot_items(&centered)
}
