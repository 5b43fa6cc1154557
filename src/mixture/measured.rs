//! Mixtures given a linear measurement, and the second moments that go with it.

use ndarray::{Array, Array1, Array2, Axis, Dimension, aview1};

use super::{Component, GaussianMixture, Noisy, Seen, Shape, component::eigen};
use crate::{
    Error, NoiseLevel, Point,
    denoiser::Differentiable,
    dense::Cholesky,
    state::{Real, for_each_item, item_view},
};

impl GaussianMixture {
    /// The distribution of the data given the measurement `y = A x_0 + n`, `n ~ N(0, diag(noise))`: a mixture
    /// again, in closed form.
    ///
    /// With `S_k = A C_k A^T + diag(noise)`, the weights become `w_k N(y; A mean_k, S_k)`, the means
    /// `mean_k + C_k A^T S_k^-1 (y - A mean_k)`, the covariances `C_k - C_k A^T S_k^-1 A C_k`.
    ///
    /// $$p(x_0\mid y)\propto\sum_k w_k\thinspace\mathcal N(y;A\mu_k,S_k)\thinspace
    ///   \mathcal N\big(x_0;\ \mu_k+C_kA^\top S_k^{-1}(y-A\mu_k),\ C_k-C_kA^\top S_k^{-1}AC_k\big)$$
    ///
    /// Rows of `a` are measurements. A noise of 0 is an exact one. Variances below 1e-14 of the
    /// largest of their component are taken as 0.
    ///
    /// # Errors
    ///
    /// If the sizes do not agree, a number is not finite, a noise is negative, or an exact
    /// measurement says what another one or the data itself leaves no freedom for.
    ///
    /// ```
    /// use gaussian_diffusion::GaussianMixture;
    /// use ndarray::array;
    /// let data = GaussianMixture::isotropic(&[(1.0, &[0.0, 0.0][..], 1.0)])?;
    /// let known = data.measured(&array![[1.0, 0.0]], &[1.0], &[2.0])?;
    /// assert!((known.mean()[0] - 1.0).abs() < 1e-15 && (known.variances()[0] - 0.5).abs() < 1e-15);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("inverse problem", "conditioned"))]
    pub fn measured(&self, a: &Array2<f64>, noise: &[f64], y: &[f64]) -> Result<Self, Error> {
        self.check_measurement(a, noise, y)?;
        let noise = Array2::from_diag(&aview1(noise));
        let mut parts = Vec::with_capacity(self.components.len());
        for component in &self.components {
            parts.push(component.measured(a, &noise, y)?);
        }
        let most = parts
            .iter()
            .fold(f64::NEG_INFINITY, |most, part| most.max(part.log_weight));
        let components: Vec<_> = parts
            .iter()
            .map(|part| ((part.log_weight - most).exp(), part))
            // Weights that no double can hold.
            .filter(|(weight, _)| *weight > 1e-300)
            .collect();
        Self::build(components.iter().map(|(weight, part)| {
            let (variances, shape) = (part.variances.clone(), Shape::Turned(part.axes.clone()));
            (*weight, part.mean.as_slice(), variances, shape)
        }))
    }

    fn check_measurement(&self, a: &Array2<f64>, noise: &[f64], y: &[f64]) -> Result<(), Error> {
        let (rows, columns) = a.dim();
        let sizes = [
            ("columns of the measurement", columns, self.dimension),
            ("noise of the measurement", noise.len(), rows),
            ("measurement", y.len(), rows),
        ];
        for (what, found, expected) in sizes {
            if found != expected {
                let (expected, found) = (vec![expected], vec![found]);
                return Err(Error::Shape {
                    what,
                    expected,
                    found,
                });
            }
        }
        let wrong = |v: &f64| !(*v >= 0.0 && v.is_finite());
        if let Some((i, &bad)) = noise.iter().enumerate().find(|(_, v)| wrong(v)) {
            let allowed = "a finite number from 0 on";
            return Err(Error::element("noise of the measurement", i, bad, allowed));
        }
        let rows = a.iter().map(|v| ("rows of the measurement", v)).enumerate();
        let said = y.iter().map(|v| ("measurement", v)).enumerate();
        if let Some((i, (what, &bad))) = rows.chain(said).find(|(_, (_, v))| !v.is_finite()) {
            return Err(Error::element(what, i, bad, "a finite number"));
        }
        Ok(())
    }

    /// The covariance of the data.
    pub fn covariance(&self) -> Array2<f64> {
        let mean = self.mean();
        let each = self.components.iter();
        let parts = each.map(|c| (c.weight, &c.mean - &mean, c.covariance()));
        spread(self.dimension, parts)
    }

    /// `Cov[x_0 | x]`, what is left to know of the data.
    ///
    /// # Errors
    ///
    /// As [`posterior_mean`](Self::posterior_mean).
    pub fn posterior_covariance(&self, x: &[f64], level: NoiseLevel) -> Result<Array2<f64>, Error> {
        let noisy = self.noisy(level)?;
        let (mean, parts) = self.posterior_parts(&noisy, x)?;
        let parts = parts
            .into_iter()
            .map(|part| (part.probability, part.mean - &mean, part.seen.noisy.left()));
        Ok(spread(self.dimension, parts))
    }

    /// The Jacobian of [`posterior_mean`](Self::posterior_mean), a symmetric matrix:
    /// `alpha / sigma^2 Cov[x_0 | x]`.
    ///
    /// # Errors
    ///
    /// As [`posterior_mean`](Self::posterior_mean).
    pub fn jacobian(&self, x: &[f64], level: NoiseLevel) -> Result<Array2<f64>, Error> {
        let noisy = self.noisy(level)?;
        let parts = self.posterior_parts(&noisy, x)?;
        let mut jacobian = Array2::zeros((self.dimension, self.dimension));
        for (mut column, unit) in jacobian
            .columns_mut()
            .into_iter()
            .zip(Array2::eye(self.dimension).rows())
        {
            column.assign(&derivative(&parts, level, &unit.to_owned()));
        }
        Ok(jacobian)
    }

    /// `E[x_0 | x]`, and for every component its probability and its own mean.
    fn posterior_parts<'a>(
        &self,
        noisy: &'a [Noisy<'a>],
        x: &[f64],
    ) -> Result<(Array1<f64>, Vec<Part<'a>>), Error> {
        let (seen, total) = self.see(noisy, x, self.components.len() > 1)?;
        let mut mean = Array1::zeros(self.dimension);
        let mut parts = Vec::with_capacity(seen.len());
        for seen in seen {
            let part = Part {
                probability: seen.probability(total),
                mean: seen.posterior_mean(),
                seen,
            };
            mean.scaled_add(part.probability, &part.mean);
            parts.push(part);
        }
        Ok((mean, parts))
    }
}

struct Part<'a> {
    seen: Seen<'a>,
    probability: f64,
    mean: Array1<f64>,
}

/// The derivative of the posterior mean along `v`.
fn derivative(
    (mean, parts): &(Array1<f64>, Vec<Part<'_>>),
    level: NoiseLevel,
    v: &Array1<f64>,
) -> Array1<f64> {
    let (alpha, noise) = (level.alpha(), level.sigma() * level.sigma());
    let mut sum = Array1::zeros(v.len());
    for part in parts {
        sum.scaled_add(part.probability, &part.seen.noisy.gain(v));
        // At the clean level one component is certain, and its mean is the mean.
        if noise > 0.0 {
            let off = &part.mean - mean;
            sum.scaled_add(part.probability * alpha / noise * off.dot(v), &off);
        }
    }
    sum
}

/// A component given a measurement.
struct Measured {
    log_weight: f64,
    mean: Vec<f64>,
    variances: Vec<f64>,
    axes: Array2<f64>,
}

impl Component {
    fn measured(&self, a: &Array2<f64>, noise: &Array2<f64>, y: &[f64]) -> Result<Measured, Error> {
        // C = L L^T, and with S = G G^T and W = G^-1 A L everything is a product of few matrices.
        let l = self.root();
        let b = a.dot(&l);
        let Some(g) = Cholesky::new(&(b.dot(&b.t()) + noise), 1e-14) else {
            let what = "determinant of the measurement's covariance";
            return Err(Error::range(what, 0.0, "above 0"));
        };
        let off = Array1::from(y.to_vec()) - a.dot(&self.mean);
        let white = g.divide(off.insert_axis(Axis(1))).remove_axis(Axis(1));
        let w = g.divide(b);
        let mean = &self.mean + l.dot(&w.t().dot(&white));
        let left = Array2::eye(l.ncols()) - w.t().dot(&w);
        let covariance = l.dot(&left).dot(&l.t());
        let symmetric = 0.5 * (&covariance + &covariance.t());
        let Some((variances, axes)) = eigen(&symmetric, Some(self.scale())) else {
            let what = "largest covariance given the measurement";
            return Err(Error::range(what, f64::INFINITY, "finite"));
        };
        Ok(Measured {
            // But for what is the same in every component.
            log_weight: self.weight.ln() - g.log_determinant() - 0.5 * white.dot(&white),
            mean: mean.to_vec(),
            variances: variances.to_vec(),
            axes,
        })
    }
}

fn outer(x: &Array1<f64>) -> Array2<f64> {
    Array2::from_shape_fn((x.len(), x.len()), |(i, j)| x[i] * x[j])
}

/// `sum of p_k (C_k + d_k d_k^T)`.
fn spread(
    dimension: usize,
    parts: impl Iterator<Item = (f64, Array1<f64>, Array2<f64>)>,
) -> Array2<f64> {
    let mut sum = Array2::zeros((dimension, dimension));
    for (probability, off, within) in parts {
        sum += &((within + outer(&off)) * probability);
    }
    sum
}

impl<A: Real, D: Dimension, T> Differentiable<Array<A, D>, T> for GaussianMixture {
    fn vjp(
        &mut self,
        x: &Array<A, D>,
        at: Point<T>,
        v: &Array<A, D>,
    ) -> Result<Array<A, D>, Error> {
        if x.shape() != v.shape() {
            return Err(Error::Shape {
                what: "vector of a vector-Jacobian product",
                expected: x.shape().to_vec(),
                found: v.shape().to_vec(),
            });
        }
        let noisy = self.noisy(at.level)?;
        let (mut product, points) = (v.clone(), x.view().into_dyn());
        let mut result = Ok(());
        for_each_item(&mut product, |i, mut item| {
            let point: Vec<f64> = item_view(&points, i).iter().map(|x| x.get()).collect();
            let v = Array1::from_iter(item.iter().map(|v| v.get()));
            match self.posterior_parts(&noisy, &point) {
                Ok(parts) => {
                    let along = derivative(&parts, at.level, &v);
                    item.iter_mut()
                        .zip(&along)
                        .for_each(|(y, v)| *y = A::of(*v));
                }
                Err(error) => result = Err(error),
            }
        });
        result.map(|()| product)
    }
}
