//! Guidance that is linear in the predictions.

use super::{Predictions, Rule, Strength};
use crate::{Error, Point, state::State};

/// A prediction and scaled differences of predictions, `p_b + sum of s_j (p_i - p_k)`.
///
/// As the weights sum to 1, the result is the same in all terms - noise, x0, velocity - as long as
/// nothing is clipped in between. A prediction without weight is not asked for.
///
/// ```
/// use gaussian_diffusion::guidance::Combination;
/// // A condition, none, and a network with its attention perturbed.
/// Combination::classifier_free(5.0)?.with_perturbed(3.0)?;
/// // Two conditions and none.
/// Combination::composed([4.0, -1.5])?;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("CFG", "guidance"))]
#[derive(Debug, Clone)]
pub struct Combination {
    base: usize,
    terms: Vec<Term>,
    count: usize,
}

#[derive(Debug, Clone)]
struct Term {
    scale: Strength,
    toward: usize,
    away_from: usize,
}

impl Combination {
    fn of(
        base: usize,
        count: usize,
        terms: impl IntoIterator<Item = (Strength, usize, usize)>,
    ) -> Result<Self, Error> {
        let mut rule = Self {
            base,
            terms: Vec::new(),
            count,
        };
        for (scale, toward, away_from) in terms {
            let scale = scale.checked()?;
            rule.terms.push(Term {
                scale,
                toward,
                away_from,
            });
        }
        Ok(rule)
    }

    /// `u + w (c - u)` of a conditional and an unconditional prediction.
    ///
    /// $$\tilde p = p_u + w\thinspace(p_c-p_u)$$
    ///
    /// `w = 1` asks for the conditional one alone, `w = 0` for the other alone. Ho and Salimans write
    /// `1 + w` for `w`. With a worse version of the same network in the second place it is
    /// autoguidance; with a prediction for an unwanted condition, a negative prompt.
    ///
    /// [Sources](crate::docs::papers#arxiv-2207.12598): Classifier-Free Diffusion Guidance, Ho, Salimans, 2022; Guiding a
    /// Diffusion Model with a Bad Version of Itself, Karras et al., 2024.
    ///
    /// # Errors
    ///
    /// If a scale is not finite; so for all constructors here.
    #[doc(alias("autoguidance", "negative_prompt"))]
    pub fn classifier_free(scale: impl Into<Strength>) -> Result<Self, Error> {
        Self::of(1, 2, [(scale.into(), 0, 1)])
    }

    /// `u + sum of w_j (c_j - u)` of several conditional predictions and, at the end, one without
    /// condition.
    ///
    /// $$\tilde p = p_u + \sum_j w_j\thinspace(p_j-p_u)$$
    ///
    /// The score of a product of conditions; a negative weight negates one.
    ///
    /// [Source](crate::docs::papers#arxiv-2206.01714): Compositional Visual Generation with Composable Diffusion Models, Liu,
    /// Li, Du, Torralba, Tenenbaum, 2022.
    ///
    /// # Errors
    ///
    /// If there is no scale.
    #[doc(alias("AND", "composable diffusion"))]
    pub fn composed<S: Into<Strength>>(scales: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let scales: Vec<Strength> = scales.into_iter().map(Into::into).collect();
        let last = scales.len();
        if last == 0 {
            return Err(Error::range("number of guidance scales", 0.0, "1 or more"));
        }
        let terms = scales.into_iter().enumerate();
        Self::of(last, last + 1, terms.map(|(i, scale)| (scale, i, last)))
    }

    /// `u + w_image (i - u) + w_text (c - i)` of predictions with text and image, with the image
    /// alone, and with neither.
    ///
    /// [Source](crate::docs::papers#arxiv-2211.09800): InstructPix2Pix: Learning to Follow Image Editing Instructions, Brooks,
    /// Holynski, Efros, 2023.
    ///
    /// # Errors
    ///
    /// As [`classifier_free`](Self::classifier_free).
    #[doc(alias("InstructPix2Pix", "image_guidance_scale"))]
    pub fn image_and_text(
        image: impl Into<Strength>,
        text: impl Into<Strength>,
    ) -> Result<Self, Error> {
        Self::of(2, 3, [(image.into(), 1, 2), (text.into(), 0, 1)])
    }

    /// `c + w (c - p)` of a prediction and a perturbed one: perturbed attention, skipped layers.
    ///
    /// [Source](crate::docs::papers#arxiv-2403.17377): Self-Rectifying Diffusion Sampling with Perturbed-Attention Guidance,
    /// Ahn et al., 2024.
    ///
    /// # Errors
    ///
    /// As [`classifier_free`](Self::classifier_free).
    #[doc(alias("PAG", "SLG", "skip layer guidance"))]
    pub fn perturbed(scale: impl Into<Strength>) -> Result<Self, Error> {
        Self::of(0, 2, [(scale.into(), 0, 1)])
    }

    /// This rule and `w (c - p)` with a further, perturbed prediction in the last place.
    ///
    /// # Errors
    ///
    /// As [`classifier_free`](Self::classifier_free).
    pub fn with_perturbed(mut self, scale: impl Into<Strength>) -> Result<Self, Error> {
        let (scale, away_from) = (scale.into().checked()?, self.count);
        self.terms.push(Term {
            scale,
            toward: 0,
            away_from,
        });
        self.count += 1;
        Ok(self)
    }

    /// The weight of each prediction.
    fn weights(&self, at: Point<()>) -> Result<Vec<f64>, Error> {
        let mut weights = vec![0.0; self.count];
        weights[self.base] = 1.0;
        for term in &self.terms {
            let scale = term.scale.at(&at)?;
            weights[term.toward] += scale;
            weights[term.away_from] -= scale;
        }
        Ok(weights)
    }
}

impl<V: State> Rule<V> for Combination {
    fn count(&self) -> usize {
        self.count
    }

    fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
        Ok(self.weights(at)?.get(index).is_some_and(|w| *w != 0.0))
    }

    fn combine(&mut self, mut predictions: Predictions<V>, at: Point<()>) -> Result<V, Error> {
        let weights = self.weights(at)?;
        let mut used = (0..self.count).filter(|i| weights[*i] != 0.0);
        // The weights sum to 1, so that there is a first one.
        let first = used.next().unwrap_or(self.base);
        let mut guided = predictions.take(first)?;
        let mut rest = Vec::new();
        for index in used {
            rest.push((weights[index], predictions.get(index)?));
        }
        guided.combine(weights[first], &rest)?;
        Ok(guided)
    }
}
