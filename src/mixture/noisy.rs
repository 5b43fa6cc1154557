//! A Gaussian of a mixture at a noise level, and what is seen of it from a point.

use ndarray::{Array1, Array2, Axis};

use super::component::{Component, Shape};
use crate::{Error, NoiseLevel, dense::Cholesky};

/// A component at a noise level: the Gaussian of its noisy data.
#[derive(Debug)]
pub(super) struct Noisy<'a> {
    pub(super) component: &'a Component,
    level: NoiseLevel,
    /// Variances along the axes.
    variances: Array1<f64>,
    /// `I + alpha^2 F D^-1 F^T` for factors on the noisy variances `D`.
    inner: Option<Cholesky>,
}

/// A component with what depends on the point and the level.
#[derive(Debug)]
pub(super) struct Seen<'a> {
    pub(super) noisy: &'a Noisy<'a>,
    /// `x - alpha mean` in the axes of the component, less what its factors are expected to have made of it.
    centered: Array1<f64>,
    /// The expected factors.
    factors: Array1<f64>,
    /// The log-density with its weight.
    pub(super) log: f64,
}

impl Component {
    /// The component at a noise level.
    pub(super) fn noisy(&self, level: NoiseLevel) -> Result<Noisy<'_>, Error> {
        let (alpha2, sigma2) = (level.alpha().powi(2), level.sigma().powi(2));
        let variances = self.variances.mapv(|v| alpha2 * v + sigma2);
        let inner = match &self.shape {
            Shape::Factors(factors) => {
                let scaled = factors / &variances;
                let product = scaled.dot(&factors.t()) * alpha2;
                let inner = product + Array2::<f64>::eye(factors.nrows());
                let what = "the covariance of a component";
                let (alpha, sigma) = (level.alpha(), level.sigma());
                let singular = Error::Singular { what, alpha, sigma };
                Some(Cholesky::new(&inner, 0.0).ok_or(singular)?)
            }
            _ => None,
        };
        Ok(Noisy {
            component: self,
            level,
            variances,
            inner,
        })
    }
}

impl Noisy<'_> {
    /// Refuses a component without variance at the clean level.
    pub(super) fn has_density(&self) -> Result<(), Error> {
        match self.variances.iter().any(|v| *v == 0.0) {
            false => Ok(()),
            true => Err(Error::Singular {
                what: "the density of a component without variance",
                alpha: self.level.alpha(),
                sigma: self.level.sigma(),
            }),
        }
    }

    /// The component as it is seen from `x`.
    pub(super) fn seen<'a>(&'a self, x: &[f64]) -> Seen<'a> {
        let (component, alpha) = (self.component, self.level.alpha());
        let off = Array1::from_iter(x.iter().zip(&component.mean).map(|(x, m)| x - alpha * m));
        let (centered, factors) = self.split(component.turned(off));
        let term = |(y, v): (&f64, &f64)| y * y / v + (std::f64::consts::TAU * v).ln();
        let mut log = -0.5 * centered.iter().zip(&self.variances).map(term).sum::<f64>();
        if let Some(inner) = &self.inner {
            log -= 0.5 * factors.dot(&factors) + inner.log_determinant();
        }
        Seen {
            log: component.weight.ln() + log,
            noisy: self,
            centered,
            factors,
        }
    }

    /// An offset in the axes, as what factors are expected to make of it, and the rest.
    fn split(&self, off: Array1<f64>) -> (Array1<f64>, Array1<f64>) {
        let (Shape::Factors(factors), Some(inner)) = (&self.component.shape, &self.inner) else {
            return (off, Array1::zeros(0));
        };
        let alpha = self.level.alpha();
        let right = factors.dot(&(&off / &self.variances)) * alpha;
        let expected = inner.solve(right.insert_axis(Axis(1))).remove_axis(Axis(1));
        (off - factors.t().dot(&expected) * alpha, expected)
    }

    /// `alpha C (alpha^2 C + sigma^2 I)^-1` times an offset that is split already.
    fn gained(&self, rest: &Array1<f64>, expected: &Array1<f64>) -> Array1<f64> {
        // Where all variance is noise (0 of 0 at a point of clean data) nothing is gained.
        let gain = |((v, n), y): ((&f64, &f64), &f64)| {
            if *n == 0.0 {
                0.0
            } else {
                self.level.alpha() * v / n * y
            }
        };
        let variances = self.component.variances.iter().zip(&self.variances);
        let gained = Array1::from_iter(variances.zip(rest).map(gain));
        let gained = self.component.restored(gained);
        match &self.component.shape {
            Shape::Factors(factors) => gained + factors.t().dot(expected),
            _ => gained,
        }
    }

    /// `alpha C (alpha^2 C + sigma^2 I)^-1 v`.
    pub(super) fn gain(&self, v: &Array1<f64>) -> Array1<f64> {
        let (rest, expected) = self.split(self.component.turned(v.clone()));
        self.gained(&rest, &expected)
    }

    /// The trace of `alpha C (alpha^2 C + sigma^2 I)^-1`.
    pub(super) fn gain_trace(&self) -> f64 {
        let gain = |v: f64, n: f64| match n == 0.0 {
            true => 0.0,
            false => self.level.alpha() * v / n,
        };
        let pairs = self.component.variances.iter().zip(&self.variances);
        let trace: f64 = pairs.map(|(&v, &n)| gain(v, n)).sum();
        let Some((factors, left)) = self.left_of_factors() else {
            return trace;
        };
        let sigma2 = self.level.sigma().powi(2);
        let each = (factors * left).sum_axis(Axis(0));
        let terms = each
            .iter()
            .zip(&self.variances)
            .map(|(h, n)| h / n * (sigma2 / n));
        trace + self.level.alpha() * terms.sum::<f64>()
    }

    /// `sigma^2 C (alpha^2 C + sigma^2 I)^-1`, the covariance that is left of the data.
    pub(super) fn left(&self) -> Array2<f64> {
        let noise = self.level.sigma() * self.level.sigma();
        let left = |(v, n): (&f64, &f64)| if *n == 0.0 { 0.0 } else { noise * v / n };
        let variances = self.component.variances.iter().zip(&self.variances);
        let own = self
            .component
            .matrix(&Array1::from_iter(variances.map(left)));
        match self.left_of_factors() {
            None => own,
            Some((factors, left)) => {
                let share = self.variances.mapv(|n| noise / n);
                own + (factors * &share).t().dot(&(left * &share))
            }
        }
    }

    /// The covariance of the factors, given a point: `(I + alpha^2 F D^-1 F^T)^-1`.
    pub(super) fn of_factors(&self) -> Array2<f64> {
        match &self.inner {
            None => Array2::zeros((0, 0)),
            Some(inner) => inner.inverse(),
        }
    }

    /// The factors `F`, and `(I + alpha^2 F D^-1 F^T)^-1 F`.
    fn left_of_factors(&self) -> Option<(&Array2<f64>, Array2<f64>)> {
        let (Shape::Factors(factors), Some(inner)) = (&self.component.shape, &self.inner) else {
            return None;
        };
        Some((factors, inner.solve(factors.clone())))
    }
}

impl Seen<'_> {
    /// The posterior probability, given the log-density of all; 1 for a component that is alone and
    /// has no density at this point.
    pub(super) fn probability(&self, total: f64) -> f64 {
        if total.is_finite() {
            (self.log - total).exp()
        } else {
            1.0
        }
    }

    /// The score with the other sign: the inverse of the noisy covariance times the offset.
    pub(super) fn pull(&self) -> Array1<f64> {
        let along = &self.centered / &self.noisy.variances;
        self.noisy.component.restored(along)
    }

    /// `E[x_0 | x]` under this component.
    pub(super) fn posterior_mean(&self) -> Array1<f64> {
        self.noisy.gained(&self.centered, &self.factors) + &self.noisy.component.mean
    }

    /// The expected factors.
    pub(super) fn factors(&self) -> &Array1<f64> {
        &self.factors
    }
}
