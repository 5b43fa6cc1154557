//! Perpendicular negatives.

use super::{Predictions, Rule, Strength};
use crate::{Error, Point, state::State};

/// Perp-Neg: of each unwanted condition, only what is perpendicular to the wanted one is taken away.
///
/// With the predictions `c` for the wanted condition, `n_j` for the unwanted ones and `u` for none, in this
/// order, and for each item:
///
/// ```text
/// p = c - u,   d_j = n_j - u
/// u + w (p - sum of s_j (d_j - (<d_j, p> / <p, p>) p))
/// ```
///
/// $$\tilde\varepsilon=u+w\thinspace\Big(p-\sum_j s_j\thinspace\big(d_j-\tfrac{\langle d_j,p\rangle}{\Vert p\Vert^2}\thinspace p\big)\Big)$$
///
/// An unwanted condition that says what the wanted one says changes nothing. Where `c` is `u` there is nothing to
/// be perpendicular to, and all of `d_j` counts. With every `s_j = 0` it is classifier-free guidance, which asks
/// for `c` and `u` alone. As the weights sum to 1 the result is the same in all terms.
///
/// ComfyUI takes the inner products over the whole batch; its results are those of batches of one. The paper
/// writes `-s_j` for `s_j`.
///
/// [Source](crate::docs::papers#arxiv-2304.04968): Re-imagine the Negative Prompt Algorithm: Transform 2D Diffusion into 3D,
/// alleviate Janus problem and Beyond, Armandpour, Sadeghian, Zheng, Sadeghian, Zhou, 2023.
///
/// ```
/// use gaussian_diffusion::guidance::{Guided, PerpNeg};
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, predicts};
/// use ndarray::{Array2, array};
/// let says = |answer: [f64; 2]| predicts::noise(move |_: &Array2<f64>, _: Point<Step>| array![answer]);
/// let nets = (says([1.0, 0.0]), says([3.0, 5.0]), says([0.0, 0.0]));
/// let mut net = Guided::new(nets, PerpNeg::new(2.0, [0.1])?);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// assert_eq!(net.predict(&array![[0.5, 0.5]], at)?.value, array![[2.0, -1.0]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("Perp-Neg", "PerpNegGuider", "perpendicular negative", "neg_scale"))]
#[derive(Debug, Clone)]
pub struct PerpNeg {
    scale: Strength,
    negatives: Vec<Strength>,
}

impl PerpNeg {
    /// Of this scale `w`, and a scale `s_j` for each unwanted condition.
    ///
    /// # Errors
    ///
    /// If a scale is not finite, or there is no unwanted condition.
    pub fn new<S: Into<Strength>>(
        scale: impl Into<Strength>,
        negatives: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        let negatives = negatives.into_iter().map(|s| s.into().checked());
        let negatives: Vec<_> = negatives.collect::<Result<_, _>>()?;
        if negatives.is_empty() {
            return Err(Error::range("number of negative scales", 0.0, "1 or more"));
        }
        let scale = scale.into().checked()?;
        Ok(Self { scale, negatives })
    }

    /// The scale, and those of the unwanted conditions that count.
    fn scales(&self, at: &Point<()>) -> Result<(f64, Vec<f64>), Error> {
        let negatives = self.negatives.iter().map(|scale| scale.at(at));
        Ok((self.scale.at(at)?, negatives.collect::<Result<_, _>>()?))
    }
}

impl<V: State> Rule<V> for PerpNeg {
    fn count(&self) -> usize {
        self.negatives.len() + 2
    }

    fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
        let (w, negatives) = self.scales(&at)?;
        Ok(match index.checked_sub(1) {
            None => w != 0.0,
            Some(j) => match negatives.get(j) {
                Some(s) => w != 0.0 && *s != 0.0,
                None => w != 1.0 || negatives.iter().any(|s| *s != 0.0),
            },
        })
    }

    fn combine(&mut self, mut predictions: Predictions<V>, at: Point<()>) -> Result<V, Error> {
        let last = self.negatives.len() + 1;
        let (w, negatives) = self.scales(&at)?;
        if w == 0.0 {
            return predictions.take(last);
        }
        if w == 1.0 && negatives.iter().all(|s| *s == 0.0) {
            return predictions.take(0);
        }
        let mut guided = predictions.take(last)?;
        let items = guided.items();
        let mut wanted = predictions.take(0)?;
        wanted.combine(1.0, &[(-1.0, &guided)])?;
        let size = wanted.dot_items(&wanted)?;
        let mut along = vec![w; items];
        let mut away = Vec::new();
        for (j, s) in negatives.iter().enumerate().filter(|(_, s)| **s != 0.0) {
            let mut unwanted = predictions.take(j + 1)?;
            unwanted.combine(1.0, &[(-1.0, &guided)])?;
            let shared = unwanted.dot_items(&wanted)?;
            for ((along, shared), size) in along.iter_mut().zip(shared).zip(&size) {
                if *size != 0.0 {
                    *along += w * s * shared / size;
                }
            }
            away.push((-w * s, unwanted));
        }
        guided.combine_items(&vec![1.0; items], &[(&along, &wanted)])?;
        let away: Vec<_> = away.iter().map(|(c, unwanted)| (*c, unwanted)).collect();
        guided.combine(1.0, &away)?;
        Ok(guided)
    }
}
