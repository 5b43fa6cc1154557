//! A rule for every band of frequencies.

use super::{Bands, Combination, LaplacianPyramid, Predictions, Rule, Strength};
use crate::{Error, Point, state::State};

/// A rule for each band of the predictions: frequency-decoupled guidance (FDG).
///
/// ```text
/// join of rule_k(bands_k(c), bands_k(u))
/// ```
///
/// $$\tilde p=\sum_k T_k^{-1}\big(T_ku+w_k\thinspace(T_kc-T_ku)\big)$$
///
/// The paper's rule has a low scale for what is coarse, which keeps the variety and the colours of samples, and a
/// high one for what is fine: [`frequency_decoupled`](Self::frequency_decoupled). With one scale for all bands it is
/// classifier-free guidance. Each band has a rule of its own: within [an interval](super::Within), with a part along the
/// conditional prediction ([`Projected`](super::Projected), the paper's parallel weights). What is guided is what the
/// rules change, so that a band whose rule changes nothing keeps its bits. Rules that are linear give the same in all terms.
///
/// The class of diffusers takes `u + w d'` with a weighted part along `c`, where the paper and this take
/// `c + (w - 1) d'`; its option `use_original_formulation` does, with `w - 1` for a scale.
///
/// [Source](crate::docs::papers#arxiv-2506.19713): Guidance in the Frequency Domain Enables High-Fidelity Sampling at Low CFG
/// Scales, Sadat, Vontobel, Salehi, Weber, 2025.
///
/// ```
/// use gaussian_diffusion::guidance::{Guided, InBands};
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, predicts};
/// use ndarray::Array4;
/// // The predictions differ by a constant, which is in the last band.
/// let says = |answer: f64| predicts::noise(move |x: &Array4<f64>, _: Point<Step>| x + answer);
/// let mut net = Guided::new((says(0.25), says(0.0)), InBands::frequency_decoupled([10.0, 5.0])?);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// let found = net.predict(&Array4::zeros((1, 4, 8, 8)), at)?.value;
/// assert!(found.iter().all(|x| (x - 5.0 * 0.25).abs() < 1e-14));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("FDG", "FrequencyDecoupledGuidance", "FreSca"))]
#[derive(Debug, Clone)]
pub struct InBands<B, R> {
    bands: B,
    rules: Vec<R>,
}

impl InBands<LaplacianPyramid, Combination> {
    /// Classifier-free guidance in the bands of a Laplacian pyramid, with a scale for each, the finest first.
    ///
    /// # Errors
    ///
    /// If there is no scale or there are more than 32, or one is not finite.
    pub fn frequency_decoupled<S: Into<Strength>>(
        scales: impl IntoIterator<Item = S>,
    ) -> Result<Self, Error> {
        let rules = scales.into_iter().map(Combination::classifier_free);
        let rules: Vec<_> = rules.collect::<Result<_, _>>()?;
        Self::new(LaplacianPyramid::new(rules.len())?, rules)
    }
}

impl<B, R> InBands<B, R> {
    /// These bands with a rule for each, in their order.
    ///
    /// That there are as many rules as bands is checked where the first state is taken apart.
    ///
    /// # Errors
    ///
    /// If there is no rule.
    pub fn new(bands: B, rules: Vec<R>) -> Result<Self, Error> {
        if rules.is_empty() {
            return Err(Error::range("number of rules", 0.0, "1 or more"));
        }
        Ok(Self { bands, rules })
    }
}

impl<V: State, B: Bands<V>, R: Rule<V>> Rule<V> for InBands<B, R> {
    fn count(&self) -> usize {
        self.rules.iter().map(Rule::count).max().unwrap_or(0)
    }

    fn needs(&self, index: usize, at: Point<()>) -> Result<bool, Error> {
        for rule in &self.rules {
            if index < rule.count() && rule.needs(index, at)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn combine(&mut self, mut predictions: Predictions<V>, at: Point<()>) -> Result<V, Error> {
        let mut base = None;
        let mut parts = Vec::new();
        for index in 0..Rule::<V>::count(self) {
            let bands = match predictions.take(index) {
                Ok(prediction) => {
                    let bands = self.bands.split(&prediction)?;
                    if bands.len() != self.rules.len() {
                        let (found, allowed) = (self.rules.len() as f64, bands.len());
                        let allowed = format!("{allowed}, the number of bands");
                        return Err(Error::range("number of rules", found, allowed));
                    }
                    base.get_or_insert((index, prediction));
                    bands.into_iter().map(Some).collect()
                }
                Err(_) => Vec::new(),
            };
            parts.push(bands);
        }
        let Some((first, mut guided)) = base else {
            return predictions.take(0);
        };
        let mut changes = Vec::with_capacity(self.rules.len());
        for (k, rule) in self.rules.iter_mut().enumerate() {
            let before = parts[first].get(k).cloned().flatten();
            let mut given = Vec::with_capacity(rule.count());
            for (index, bands) in parts.iter_mut().enumerate().take(rule.count()) {
                let needed = rule.needs(index, at)?;
                let band = bands.get_mut(k).and_then(Option::take);
                given.push(band.filter(|_| needed));
            }
            let mut change = rule.combine(Predictions::new(given), at)?;
            if let Some(before) = &before {
                change.combine(1.0, &[(-1.0, before)])?;
            }
            changes.push(change);
        }
        let change = self.bands.join(&changes, &guided)?;
        guided.combine(1.0, &[(1.0, &change)])?;
        Ok(guided)
    }

    fn begin(&mut self) {
        self.rules.iter_mut().for_each(Rule::begin);
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
        for rule in &mut self.rules {
            rule.visit_memory(visit);
        }
    }
}
