//! Losses that are weighed by how large they are expected to be.

use ndarray::Array1;

use super::magnitude::{fourier, normalized};
use crate::{
    Error,
    rand::{Rng, RngCore},
    rand_distr::StandardNormal,
};

/// Of the magnitude of weights, as published.
const EPSILON: f64 = 1e-4;

/// A learned log-variance `u` of the loss at each noise level, and the loss `l / e^u + u` that teaches it.
///
/// The least of it over `u` is at `u = ln E[l]`: whatever the weight of a level is, its loss comes to count as 1,
/// and the network no longer learns more from one level than from another because the numbers there are larger.
/// The published `l` has the weight of [EDM](super::Weight::edm); the adaptive weighting of sCM is the same with
/// `w = -u`.
///
/// $$\mathcal L=\frac{\lambda(\sigma)}{e^{u(\sigma)}}\thinspace\lVert D(x)-x_0\rVert^2+u(\sigma)$$
///
/// `u` is a normalized weight on [Fourier features](fourier) of a number that stands for the level, the `c_noise`
/// that a preconditioned network is given. Where your network has such an output of its own,
/// [`uncertainty_loss`] is the loss alone.
///
/// [Sources](crate::docs::papers#arxiv-2312.02696): Analyzing and Improving the Training Dynamics of Diffusion Models, Karras,
/// Aittala, Lehtinen, Hellsten, Aila, Laine, 2024, equations 14 to 21; Simplifying, Stabilizing and Scaling
/// Continuous-Time Consistency Models, Lu, Song, 2024.
///
/// ```
/// use gaussian_diffusion::{rand::{SeedableRng, rngs::StdRng}, training::Uncertainty};
/// let mut rng = StdRng::seed_from_u64(0);
/// let mut uncertainty = Uncertainty::new(32, &mut rng)?;
/// let levels: Vec<f64> = (0..64).map(|i| i as f64 / 32.0 - 1.0).collect();
/// // Losses that grow with the level, e^(2 c): u learns 2 c.
/// let losses = levels.iter().map(|c| (2.0 * c).exp()).collect();
/// for _ in 0..2000 {
///     let found = uncertainty.loss(&losses, &levels)?;
///     uncertainty.descend(&found, 0.05)?;
/// }
/// let learned = uncertainty.log_variances(&levels);
/// assert!(learned.iter().zip(&levels).all(|(u, c)| (u - 2.0 * c).abs() < 0.2), "{learned}");
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("EDM2Loss", "logvar", "adaptive weighting"))]
#[derive(Debug, Clone, PartialEq)]
pub struct Uncertainty {
    frequencies: Array1<f64>,
    phases: Array1<f64>,
    weights: Array1<f64>,
}

/// A batch's losses under a log-variance, and their slopes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct UncertaintyTerms {
    /// `l / e^u + u` of each item.
    pub loss: Array1<f64>,
    /// `e^-u` of each item: what the gradient of its loss is multiplied by.
    pub by_loss: Array1<f64>,
    /// `1 - l / e^u` of each item: the slope along its `u`.
    pub by_log_variance: Array1<f64>,
    /// The gradient of the mean loss along the weights of [`Uncertainty`]; none where `u` is yours.
    pub by_weights: Array1<f64>,
}

/// `l / e^u + u` for each item, with its slopes: the loss of a `u` that comes from your network.
///
/// # Errors
///
/// If the lists differ in length, or a `u` is not in -500 to 500.
///
/// ```
/// use gaussian_diffusion::training::uncertainty_loss;
/// use ndarray::array;
/// let found = uncertainty_loss(&array![2.0, 2.0], &array![0.0, 2.0_f64.ln()])?;
/// // Where u is the logarithm of the loss, it has no slope.
/// assert_eq!(found.by_log_variance, array![-1.0, 0.0]);
/// assert_eq!(found.loss, array![2.0, 1.0 + 2.0_f64.ln()]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn uncertainty_loss(
    losses: &Array1<f64>,
    log_variances: &Array1<f64>,
) -> Result<UncertaintyTerms, Error> {
    Error::check_length("log-variances", losses.len(), log_variances.len())?;
    let within = |u: &f64| (-500.0..=500.0).contains(u);
    if let Some((i, &bad)) = log_variances.iter().enumerate().find(|(_, u)| !within(u)) {
        return Err(Error::element("log-variances", i, bad, "-500 to 500"));
    }
    let by_loss = log_variances.mapv(|u| (-u).exp());
    let scaled = losses * &by_loss;
    Ok(UncertaintyTerms {
        loss: &scaled + log_variances,
        by_log_variance: 1.0 - scaled,
        by_loss,
        by_weights: Array1::zeros(0),
    })
}

impl Uncertainty {
    /// With this many features, whose frequencies are standard normals, and random weights.
    ///
    /// The published networks have 128.
    ///
    /// # Errors
    ///
    /// If there are none, or more than 65,536.
    pub fn new<R: RngCore + ?Sized>(features: usize, rng: &mut R) -> Result<Self, Error> {
        if !(1..=1 << 16).contains(&features) {
            return Err(Error::range(
                "number of features",
                features as f64,
                "1 to 65536",
            ));
        }
        let mut normal = |_| rng.sample::<f64, _>(StandardNormal);
        let frequencies: Array1<f64> = (0..features).map(&mut normal).collect();
        let weights: Array1<f64> = (0..features).map(normal).collect();
        let phases = (0..features).map(|_| rng.random::<f64>()).collect();
        Self::of(frequencies, phases, weights)
    }

    /// Of these frequencies, phases in turns, and weights, such as those of a trained network.
    ///
    /// # Errors
    ///
    /// If there are none, they differ in number, one is not in -1e6 to 1e6, or all weights are nothing.
    pub fn of(
        frequencies: Array1<f64>,
        phases: Array1<f64>,
        weights: Array1<f64>,
    ) -> Result<Self, Error> {
        if frequencies.is_empty() {
            return Err(Error::range("number of features", 0.0, "1 to 65536"));
        }
        for (what, list) in [
            ("frequencies", &frequencies),
            ("phases", &phases),
            ("weights", &weights),
        ] {
            if list.len() != frequencies.len() {
                return Err(Error::Shape {
                    what,
                    expected: vec![frequencies.len()],
                    found: vec![list.len()],
                });
            }
            let within = |x: &f64| (-1e6..=1e6).contains(x);
            if let Some((i, &bad)) = list.iter().enumerate().find(|(_, x)| !within(x)) {
                return Err(Error::element(what, i, bad, "-1e6 to 1e6"));
            }
        }
        let norm = weights.dot(&weights).sqrt();
        if !(norm >= 1e-100) {
            return Err(Error::range("norm of the weights", norm, "1e-100 or more"));
        }
        Ok(Self {
            frequencies,
            phases,
            weights,
        })
    }

    /// The weights that are learned: what to save, and where a gradient goes.
    pub fn weights(&self) -> &Array1<f64> {
        &self.weights
    }

    /// `u` for each of these numbers.
    pub fn log_variances(&self, conditioning: &[f64]) -> Array1<f64> {
        let weights = &self.weights / (self.magnitude() * self.root());
        let of = |&c: &f64| weights.dot(&self.features(c));
        conditioning.iter().map(of).collect()
    }

    /// `l / e^u + u` for each item, with its slopes.
    ///
    /// # Errors
    ///
    /// If there is not one number for each loss.
    pub fn loss(
        &self,
        losses: &Array1<f64>,
        conditioning: &[f64],
    ) -> Result<UncertaintyTerms, Error> {
        Error::check_length("conditioning", losses.len(), conditioning.len())?;
        let mut terms = uncertainty_loss(losses, &self.log_variances(conditioning))?;
        // u = w . f / (m root), m = epsilon + |w| / root: along w that is f / (m root), and along m the way m goes.
        let (magnitude, root) = (self.magnitude(), self.root());
        let mut along = Array1::zeros(self.weights.len());
        for (slope, &c) in terms.by_log_variance.iter().zip(conditioning) {
            along.scaled_add(*slope, &self.features(c));
        }
        let inward = along.dot(&self.weights) / (magnitude * (magnitude - EPSILON) * root * root);
        along.scaled_add(-inward, &self.weights);
        terms.by_weights = along / (magnitude * root * losses.len().max(1) as f64);
        Ok(terms)
    }

    /// A step of plain gradient descent on the mean loss, and forced weight normalization. The rate is of `u`
    /// itself: weights move `n` times as far.
    ///
    /// # Errors
    ///
    /// If the gradient is not one of these weights or not finite, or the rate not above 0 and up to 1.
    pub fn descend(&mut self, terms: &UncertaintyTerms, rate: f64) -> Result<(), Error> {
        if !(rate > 0.0 && rate <= 1.0) {
            return Err(Error::range("rate", rate, "above 0 and up to 1"));
        }
        let step = &terms.by_weights;
        if step.len() != self.weights.len() {
            return Err(Error::Shape {
                what: "gradient",
                expected: vec![self.weights.len()],
                found: vec![step.len()],
            });
        }
        if let Some((i, &bad)) = step.iter().enumerate().find(|(_, x)| !x.is_finite()) {
            return Err(Error::element("gradient", i, bad, "a finite number"));
        }
        let count = self.weights.len() as f64;
        self.weights.scaled_add(-rate * count, step);
        let row = self.weights.clone().insert_axis(ndarray::Axis(0));
        self.weights = normalized(&row, EPSILON)?.remove_axis(ndarray::Axis(0));
        Ok(())
    }

    fn features(&self, c: f64) -> Array1<f64> {
        let parts = self.frequencies.iter().zip(&self.phases);
        parts.map(|(f, p)| fourier(c, *f, *p)).collect()
    }

    fn magnitude(&self) -> f64 {
        EPSILON + self.weights.dot(&self.weights).sqrt() / self.root()
    }

    fn root(&self) -> f64 {
        (self.weights.len() as f64).sqrt()
    }
}
