//! How far the data is from its prediction.

use crate::{Error, NoiseLevel, Variance, error::Number};

/// The mean variance of an element of the data given its noised self, at every level: what a network's prediction
/// of the data leaves open.
///
/// ```text
/// V_t = E |x_0 - E[x_0 | x_t]|^2 / d = (sigma_t / alpha_t)^2 (1 - E |E[eps | x_t]|^2 / d)
/// ```
///
/// $$V_t=\tfrac1d\thinspace\mathbb E\operatorname{tr}\operatorname{Cov}[x_0\mid x_t]=\frac{\sigma_t^2}{\alpha_t^2}
///   \Big(1-\tfrac1d\thinspace\mathbb E\big\Vert\mathbb E[\varepsilon\mid x_t]\big\Vert^2\Big)$$
///
/// The second form is from the score's second moment and needs no data; the first is also right for a network that
/// errs. [`AnalyticDpm`](crate::solver::AnalyticDpm) gives its steps the variance that follows.
/// [`fit::noise_moments`](crate::fit::noise_moments) and [`fit::denoising_errors`](crate::fit::denoising_errors) measure
/// either of a network.
///
/// Between two levels the logarithm is linear in log-SNR.
///
/// [Sources](crate::docs::papers#arxiv-2201.06503): Analytic-DPM: an Analytic Estimate of the Optimal Reverse Variance in
/// Diffusion Probabilistic Models, Bao, Li, Zhu, Zhang, 2022; Estimating the Optimal Covariance with Imperfect Mean in
/// Diffusion Probabilistic Models, Bao, Li, Sun, Zhu, Zhang, 2022.
///
/// ```
/// use gaussian_diffusion::{DenoisingVariance, NoiseLevel};
/// // Data N(0, 1): the predicted noise is sigma x, with second moment sigma^2.
/// let levels = [NoiseLevel::new(0.6, 0.8)?, NoiseLevel::new(0.8, 0.6)?];
/// let open = DenoisingVariance::from_noise_moments(&levels, &[0.64, 0.36])?;
/// assert!((open.at(levels[1])?.get() - 0.36).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("Gamma", "ms_eps", "second moment of the score"))]
#[derive(Debug, Clone, PartialEq)]
pub struct DenoisingVariance {
    /// Log-SNR and variance, the noisiest first.
    nodes: Vec<(f64, f64)>,
}

impl DenoisingVariance {
    /// These variances at these levels, the noisiest first.
    ///
    /// # Errors
    ///
    /// If there is none, or not as many of one as of the other; if a level is not cleaner than the one before, or a
    /// variance is negative or not finite.
    pub fn new(levels: &[NoiseLevel], variances: &[f64]) -> Result<Self, Error> {
        if levels.is_empty() {
            return Err(Error::range("number of levels", 0.0, "1 or more"));
        }
        Error::check_length("variances", levels.len(), variances.len())?;
        for (i, pair) in levels.windows(2).enumerate() {
            if !pair[0].is_noisier_than(pair[1]) {
                return Err(Error::NotMonotone {
                    what: "levels",
                    index: i + 1,
                    before: pair[0].log_snr().get(),
                    this: pair[1].log_snr().get(),
                });
            }
        }
        let wrong = |v: &f64| !(*v >= 0.0 && v.is_finite());
        if let Some((i, &bad)) = variances.iter().enumerate().find(|(_, v)| wrong(v)) {
            return Err(Error::element(
                "variances",
                i,
                bad,
                "a finite number from 0 on",
            ));
        }
        let levels = levels.iter().map(|level| level.log_snr().get());
        Ok(Self {
            nodes: levels.zip(variances.iter().copied()).collect(),
        })
    }

    /// From the second moment of the predicted noise, `E |eps|^2 / d`, at these levels, the noisiest first. Above 1,
    /// where no exact prediction is, nothing is left open.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), or if a level has no signal or a moment is negative or not finite.
    pub fn from_noise_moments(levels: &[NoiseLevel], moments: &[f64]) -> Result<Self, Error> {
        let wrong = |m: &f64| !(*m >= 0.0 && m.is_finite());
        if let Some((i, &bad)) = moments.iter().enumerate().find(|(_, m)| wrong(m)) {
            let allowed = "a finite number from 0 on";
            return Err(Error::element("second moments", i, bad, allowed));
        }
        if let Some(level) = levels.iter().find(|level| level.is_noise()) {
            return Err(Error::Singular {
                what: "the variance of the data from predicted noise",
                alpha: level.alpha(),
                sigma: level.sigma(),
            });
        }
        let pairs = levels.iter().zip(moments);
        let variances =
            pairs.map(|(level, m)| level.noise_to_signal().powi(2) * (1.0 - m).max(0.0));
        let variances: Vec<_> = variances.collect();
        Error::check_length("second moments", levels.len(), moments.len())?;
        Self::new(levels, &variances)
    }

    /// The same with none above that of data between these two numbers, `((high - low) / 2)^2`.
    ///
    /// # Errors
    ///
    /// If `low` is not below `high`, or one is not finite.
    pub fn within(mut self, low: f64, high: f64) -> Result<Self, Error> {
        if !(low < high && (high - low).is_finite()) {
            return Err(Error::range(
                "low end of the data",
                low,
                format!("below {}", Number(high)),
            ));
        }
        let most = (0.5 * (high - low)).powi(2);
        for (_, variance) in &mut self.nodes {
            *variance = variance.min(most);
        }
        Ok(self)
    }

    /// The variance at a level.
    ///
    /// # Errors
    ///
    /// If the level is noisier than the first one or cleaner than the last.
    pub fn at(&self, level: NoiseLevel) -> Result<Variance, Error> {
        let snr = level.log_snr().get();
        let after = self.nodes.partition_point(|(node, _)| *node <= snr);
        let before = after.checked_sub(1).and_then(|i| self.nodes.get(i));
        let found = match (before, self.nodes.get(after)) {
            (Some((node, v)), _) if *node == snr => Some(*v),
            (Some((a, v)), Some((b, w))) => {
                let share = (snr - a) / (b - a);
                Some(match *v > 0.0 && *w > 0.0 && share.is_finite() {
                    true => (v.ln() + (w.ln() - v.ln()) * share).exp(),
                    false => v + (w - v) * if share.is_finite() { share } else { 1.0 },
                })
            }
            // A level computed another way may miss the end by a rounding.
            (Some((node, v)), None) | (None, Some((node, v))) => {
                let slack = 1e-9 * (1.0 + node.abs());
                ((node - snr).abs() <= slack).then_some(*v)
            }
            (None, None) => None,
        };
        let ends = self.nodes.first().zip(self.nodes.last());
        found.map_or_else(
            || {
                let (low, high) = ends.map_or((0.0, 0.0), |(low, high)| (low.0, high.0));
                let allowed = format!(
                    "{} to {}, where the variance is known",
                    Number(low),
                    Number(high)
                );
                Err(Error::range("log-SNR", snr, allowed))
            },
            Variance::new,
        )
    }
}
