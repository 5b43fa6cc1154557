//! Sums over the elements of each batch item, in f64 whatever the arrays hold.

use ndarray::{Array, Dimension};

use super::Nats;
use crate::{
    Error, LinearMap, LogVariance, NoiseLevel, Parameterization, Prediction, UpdateNoise, Variance,
    gaussian_kl,
    noise::{NoiseSource, Scale},
    state::{Real, State, item_len},
};

/// One element of the data and what the network says of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element {
    pub(crate) x_0: f64,
    /// The prediction of `x_0`.
    pub(crate) predicted: f64,
    /// The log-variance of the model.
    pub(crate) log_variance: LogVariance,
}

/// Refuses an array of another shape than the data.
pub(crate) fn check_shape<A, D: Dimension>(
    what: &'static str,
    found: &Array<A, D>,
    like: &Array<A, D>,
) -> Result<(), Error> {
    if found.shape() == like.shape() {
        return Ok(());
    }
    Err(Error::Shape {
        what,
        expected: like.shape().to_vec(),
        found: found.shape().to_vec(),
    })
}

/// The sum of `f` over the elements of each item, `f` being given the number of the element.
pub(crate) fn sum_items(
    items: usize,
    length: usize,
    mut f: impl FnMut(usize) -> Result<f64, Error>,
) -> Result<Vec<f64>, Error> {
    (0..items)
        .map(|i| (i * length..(i + 1) * length).try_fold(0.0, |sum, at| Ok(sum + f(at)?)))
        .collect()
}

/// The sum of `f` over the elements of each item.
///
/// A NaN among the sums is an error that names the step.
pub(super) fn per_item<A: Real, D: Dimension>(
    x_0: &Array<A, D>,
    x_t: &Array<A, D>,
    prediction: &Prediction<Array<A, D>>,
    level: NoiseLevel,
    spread: UpdateNoise,
    step: usize,
    f: impl Fn(Element) -> Result<f64, Error>,
) -> Result<Vec<f64>, Error> {
    check_shape("noised data", x_t, x_0)?;
    check_shape("prediction", &prediction.value, x_0)?;
    let (offset, scale) = spread.log_variance_map();
    let variance = learned(prediction, spread)?;
    if let Some(variance) = variance {
        check_shape("variance of the prediction", variance, x_0)?;
    }
    let to_x0 = prediction
        .parameterization
        .to(Parameterization::X0, level)?;
    let mut elements = x_0.iter().zip(x_t).zip(&prediction.value);
    let mut said = variance.map(|variance| variance.iter());
    let sums = sum_items(x_0.items(), item_len(x_0), |_| {
        let Some(((x_0, x_t), p)) = elements.next() else {
            return Ok(0.0);
        };
        let v = said
            .as_mut()
            .and_then(Iterator::next)
            .map_or(0.0, |v| v.get());
        let LinearMap { state, prediction } = to_x0;
        f(Element {
            x_0: x_0.get(),
            predicted: state * x_t.get() + prediction * p.get(),
            log_variance: checked(offset + scale * v, step)?,
        })
    })?;
    if sums.iter().any(|sum| sum.is_nan()) {
        let what = "a term of the likelihood";
        return Err(Error::NotFinite { what, step });
    }
    Ok(sums)
}

/// What the network says of the variance, where the spread needs it.
pub(crate) fn learned<V>(
    prediction: &Prediction<V>,
    spread: UpdateNoise,
) -> Result<Option<&V>, Error> {
    if let UpdateNoise::Std(_) = spread {
        return Ok(None);
    }
    let missing = Error::Missing {
        what: "the variance of a prediction",
        needed_by: "a likelihood with a learned variance",
    };
    prediction.variance.as_ref().ok_or(missing).map(Some)
}

/// A log-variance that the network had a part in.
pub(crate) fn checked(log_variance: f64, step: usize) -> Result<LogVariance, Error> {
    let what = "the learned variance";
    LogVariance::new(log_variance).map_err(|_| Error::NotFinite { what, step })
}

/// `alpha x_0 + sigma z`, in the type of the data.
pub(super) fn noised<A, D, N>(
    x_0: &Array<A, D>,
    level: NoiseLevel,
    noise: &mut N,
) -> Result<Array<A, D>, Error>
where
    A: Real,
    D: Dimension,
    N: NoiseSource<Array<A, D>> + ?Sized,
{
    let mut x = x_0.clone();
    x.combine(level.alpha(), &[])?;
    noise.add(&mut x, Scale::Same(level.sigma()), None)?;
    Ok(x)
}

/// `KL(q(x_T | x_0) || N(0, (alpha^2 + sigma^2) I))` of each item, in nats.
pub(super) fn prior<A: Real, D: Dimension>(
    x_0: &Array<A, D>,
    level: NoiseLevel,
) -> Result<Vec<Nats>, Error> {
    if !x_0.is_finite() {
        return Err(Error::NotFinite {
            what: "x_0",
            step: 0,
        });
    }
    let (alpha, sigma) = (level.alpha(), level.sigma());
    let own = Variance::of_std(sigma);
    let prior = Variance::of_std(alpha.hypot(sigma));
    let mut elements = x_0.iter();
    let sums = sum_items(x_0.items(), item_len(x_0), |_| {
        let x = elements.next().map_or(0.0, |x| x.get());
        Ok(gaussian_kl(alpha * x, own, 0.0, prior))
    })?;
    Ok(sums.into_iter().map(Nats::of).collect())
}
