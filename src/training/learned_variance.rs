//! The hybrid loss of networks that learn their variance.

use ndarray::{Array, Array1, Dimension};

use crate::{
    Error, LinearMap, Markov, ModelVariance, NoiseLevel, NoiseSchedule, Parameterization,
    Posterior, Prediction, Step, UpdateNoise, Variance,
    forward::{PerItem, neighbours, per_item},
    gaussian_kl,
    likelihood::{BitsPerDim, Decoder, elements},
    state::{Real, State, item_len},
};

/// `simple + weight * vlb` of arrays: the loss of Improved DDPM, with its gradients in closed form.
///
/// For each item, with the mean of the model held fixed in the second term so that only the variance
/// learns from it:
///
/// ```text
/// simple = mean over elements of (prediction - target)^2
/// vlb    = (term of the bound at step t, in nats) / (elements * ln 2)        bits per dimension
/// ```
///
/// $$L=\underbrace{\tfrac1d\Vert p-q\Vert^2}_ {\text{simple}}+w\thinspace
///   \underbrace{\tfrac{1}{d\ln2}\mathrm{KL}\big(q(x_s|x_t,x_0)\thinspace\Vert\thinspace
///   \mathcal N(\mathrm{sg}[\mu],\Sigma_v)\big)}_ {\text{vlb}}$$
///
/// At step 0 the second term is the decoder's `-log p(x_0|x_1)`. The paper's `0.001 L_vlb`, where
/// `L_vlb` is a sum over `T` steps, is a weight of `T / 1000`.
///
/// [Source](crate::docs::papers#arxiv-2102.09672): Improved Denoising Diffusion Probabilistic Models, Nichol, Dhariwal, 2021,
/// section 3.1.
///
/// ```
/// use gaussian_diffusion::{ForwardProcess, ModelVariance, Parameterization, Prediction, Step};
/// use gaussian_diffusion::{likelihood::Discretized, schedule::Discrete, training::HybridLoss};
/// use ndarray::Array2;
/// let schedule = Discrete::cosine(1000)?;
/// let loss = HybridLoss::new(ModelVariance::LearnedRange, 1.0, Discretized::images())?;
/// let (x0, eps) = (Array2::from_elem((2, 3), -1.0_f64), Array2::from_elem((2, 3), 0.5));
/// let t = [Step::new(0), Step::new(700)];
/// let xt = schedule.jump(&x0, &t, &eps)?;
/// // The network's two outputs: the noise, and the place of the log-variance in its range.
/// let answer = Prediction::noise(xt.mapv(|x| 0.1 * x)).with_variance(xt.mapv(f64::tanh));
/// let found = loss.evaluate(&schedule, &x0, &t, &eps, &answer)?;
/// assert_eq!(found.total().len(), 2);
/// assert_eq!(found.variance_gradient.unwrap().dim(), (2, 3));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("L_hybrid", "RESCALED_MSE", "learned_range"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HybridLoss<C> {
    variance: ModelVariance,
    weight: f64,
    decoder: C,
}

/// The loss of each item of an array, and its derivatives with respect to what the network answered.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HybridTerms<A, D: Dimension> {
    /// Mean squared error of the predicted value.
    pub simple: Array1<f64>,
    /// The step's term of the bound.
    pub vlb: Vec<BitsPerDim>,
    /// `weight` of the second term.
    pub weight: f64,
    /// Derivative of each item's own loss with respect to its predicted values. Divide by the number
    /// of items for the gradient of the mean over the batch.
    pub value_gradient: Array<A, D>,
    /// The same with respect to what it said of the variance; `None` for a fixed variance.
    pub variance_gradient: Option<Array<A, D>>,
}

impl<A, D: Dimension> HybridTerms<A, D> {
    /// `simple + weight * vlb` of each item.
    pub fn total(&self) -> Array1<f64> {
        let pairs = self.simple.iter().zip(&self.vlb);
        pairs
            .map(|(simple, vlb)| simple + self.weight * vlb.get())
            .collect()
    }
}

impl<C: Decoder> HybridLoss<C> {
    /// With this variance, this weight of the bound and this decoder for the last step.
    ///
    /// # Errors
    ///
    /// If the weight is negative, NaN or infinite.
    pub fn new(variance: ModelVariance, weight: f64, decoder: C) -> Result<Self, Error> {
        if !(weight >= 0.0 && weight.is_finite()) {
            let allowed = "a finite number from 0 on";
            return Err(Error::range("weight of the bound", weight, allowed));
        }
        Ok(Self {
            variance,
            weight,
            decoder,
        })
    }

    /// The loss for `x_t` made of `x_0` and `eps` at these steps, one for the batch or one per item.
    ///
    /// # Errors
    ///
    /// If a step is not a whole one of the schedule or there is not one per item; if a shape differs,
    /// a needed variance is missing, or the prediction does not determine the data; if the decoder
    /// refuses the data; if the loss is NaN.
    pub fn evaluate<'t, S, A, D>(
        &self,
        schedule: &S,
        x_0: &Array<A, D>,
        t: impl Into<PerItem<'t, Step>>,
        eps: &Array<A, D>,
        prediction: &Prediction<Array<A, D>>,
    ) -> Result<HybridTerms<A, D>, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
        A: Real,
        D: Dimension,
    {
        elements::check_shape("noise", eps, x_0)?;
        elements::check_shape("prediction", &prediction.value, x_0)?;
        let (items, length) = (x_0.items(), item_len(x_0));
        let t = t.into();
        if let (Parameterization::Mean(_), PerItem::Each(_)) = (prediction.parameterization, t) {
            return Err(Error::Missing {
                what: "one time for the batch",
                needed_by: "the target of a mean under one posterior",
            });
        }
        let place = |t| self.place(schedule, t, prediction);
        let places = per_item(t, items, place)?;
        // Every step of a fixed variance is fixed, and of a learned one learned.
        let variance = match self.variance {
            ModelVariance::FixedSmall | ModelVariance::FixedLarge => None,
            ModelVariance::Learned | ModelVariance::LearnedRange => {
                elements::learned(prediction, UpdateNoise::Learned)?
            }
        };
        if let Some(variance) = variance {
            elements::check_shape("variance of the prediction", variance, x_0)?;
        }
        let mut value_gradient = x_0.clone();
        let mut variance_gradient = variance.cloned();
        let per_element = 1.0 / length.max(1) as f64;
        let per_bit = per_element / std::f64::consts::LN_2;
        let (mut simple, mut vlb) = (vec![0.0; items], vec![0.0; items]);
        let mut inputs = x_0.iter().zip(eps).zip(&prediction.value);
        let mut said = variance.map(|variance| variance.iter());
        let mut values = value_gradient.iter_mut();
        let mut variances = variance_gradient.as_mut().map(|v| v.iter_mut());
        for ((place, simple), vlb) in places.iter().zip(&mut simple).zip(&mut vlb) {
            for _ in 0..length {
                let Some(((x_0, eps), p)) = inputs.next() else {
                    break;
                };
                let v = said
                    .as_mut()
                    .and_then(Iterator::next)
                    .map_or(0.0, |v| v.get());
                let (x_0, eps, p) = (x_0.get(), eps.get(), p.get());
                let error = p - (place.target.0 * x_0 + place.target.1 * eps);
                *simple += per_element * error * error;
                let (nats, slope) = self.term(place, x_0, eps, p, v)?;
                *vlb += per_bit * nats;
                if let Some(gradient) = values.next() {
                    *gradient = A::of(2.0 * per_element * error);
                }
                if let Some(gradient) = variances.as_mut().and_then(Iterator::next) {
                    *gradient = A::of(self.weight * per_bit * slope);
                }
            }
        }
        let sums = places.iter().zip(simple.iter().zip(&vlb));
        for (place, (simple, vlb)) in sums {
            if simple.is_nan() || vlb.is_nan() {
                let (what, step) = ("the hybrid loss", place.step);
                return Err(Error::NotFinite { what, step });
            }
        }
        Ok(HybridTerms {
            simple: simple.into(),
            vlb: vlb.into_iter().map(BitsPerDim::of).collect(),
            weight: self.weight,
            value_gradient,
            variance_gradient,
        })
    }

    /// The term of the bound in nats, and its derivative with respect to what is said of the variance.
    fn term(&self, place: &Place, x_0: f64, eps: f64, p: f64, v: f64) -> Result<(f64, f64), Error> {
        let x_t = place.level.alpha() * x_0 + place.level.sigma() * eps;
        let predicted = place.to_x0.state * x_t + place.to_x0.prediction * p;
        let (offset, scale) = place.log_variance;
        let log_variance = elements::checked(offset + scale * v, place.step)?;
        if place.last {
            let found = self.decoder.log_likelihood(x_0, predicted, log_variance)?;
            let slope = self.decoder.slope(x_0, predicted, log_variance)?;
            return Ok((-found.get(), -scale * slope));
        }
        let distance = place.clean * (x_0 - predicted);
        let (own, model) = (place.variance, log_variance.exp());
        let nats = gaussian_kl(distance, own, 0.0, model);
        let share = (own.get() + distance * distance) / model.get();
        Ok((nats, 0.5 * scale * (1.0 - share)))
    }

    fn place<S, V>(&self, schedule: &S, t: Step, prediction: &Prediction<V>) -> Result<Place, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        let (to, level) = neighbours(schedule, t)?;
        let last = to.is_clean();
        let previous = match last.then(|| schedule.level(Step::new(1))) {
            Some(Ok(one)) => Some((one, level)),
            _ => None,
        };
        let q = Markov.coefficients(level, to)?;
        Ok(Place {
            step: t.index().unwrap_or(0),
            level,
            last,
            clean: q.clean,
            variance: q.variance(),
            log_variance: self
                .variance
                .update_noise(level, to, previous)?
                .log_variance_map(),
            target: prediction.parameterization.components(level)?,
            to_x0: prediction
                .parameterization
                .to(Parameterization::X0, level)?,
        })
    }
}

/// What the loss needs to know of a step.
#[derive(Debug, Clone)]
struct Place {
    step: usize,
    level: NoiseLevel,
    /// Whether it reaches the data.
    last: bool,
    /// Of the posterior: coefficient of `x_0`, and variance.
    clean: f64,
    variance: Variance,
    /// Log-variance of the model as offset and scale of what the network says.
    log_variance: (f64, f64),
    /// The target as coefficients of `x_0` and of `eps`.
    target: (f64, f64),
    to_x0: LinearMap,
}
