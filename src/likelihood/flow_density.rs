//! The log-density that the probability flow carries.

use ndarray::{Array, Dimension};

use super::{
    Divergence, DivergenceOf, Estimate, InNats, LogDensity, Nats, ProbabilityFlow,
    elements::sum_items,
    flow::{flow, like, noise_share, scale, scaled},
    normal::LN_SQRT_TAU,
    runge_kutta::{Solution, integrate},
};
use crate::{
    Error, NoiseSchedule,
    state::{Real, State, item_len},
};

/// The log-density of each item.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FlowLikelihood<V> {
    /// The log-density in nats, with the standard error of the probes (0 where the divergence is
    /// exact, infinite for a single probe).
    pub log_density: Vec<Estimate<LogDensity>>,
    /// The error of the integration, as estimated from the sum of all steps' errors.
    pub integration_error: Vec<Nats>,
    /// The state at the noise end.
    pub latent: V,
    /// Number of network evaluations.
    pub evaluations: usize,
}

impl<S: NoiseSchedule + ?Sized> ProbabilityFlow<'_, S> {
    /// The log-density of each item of the data.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode), or if there is not one divergence for each item.
    #[doc(alias("log_prob", "likelihood"))]
    pub fn log_density<A, D, N>(
        &self,
        x_0: &Array<A, D>,
        network: &mut N,
    ) -> Result<FlowLikelihood<Array<A, D>>, Error>
    where
        A: Real,
        D: Dimension,
        N: Divergence<Array<A, D>, S::Time> + ?Sized,
    {
        let (items, length) = (x_0.items(), item_len(x_0));
        let exact = network.probes().is_none();
        let sums = network.probes().unwrap_or(1);
        let ends = (noise_share(self.cleanest), noise_share(self.noisiest));
        // The elements of y, and then an integral for each probe and item.
        let mut z = scaled(x_0, 1.0 / scale(self.cleanest));
        let elements = z.len();
        z.resize(elements + sums * items, 0.0);
        let slopes = |u: f64, z: &[f64]| {
            let point = self.point(u)?;
            let shown = like(x_0, z, scale(point.level));
            let (prediction, divergence) = network.predict(&shown, point)?;
            let (mut slopes, map) = flow(&shown, &prediction, point.level)?;
            let lists = match divergence {
                DivergenceOf::Exact(list) => vec![list],
                DivergenceOf::Probed(lists) => lists,
            };
            if lists.len() != sums {
                let what = "divergences";
                return Err(Error::BatchLength {
                    what,
                    expected: sums,
                    found: lists.len(),
                });
            }
            for list in lists {
                if list.len() != items {
                    let what = "divergence";
                    return Err(Error::BatchLength {
                        what,
                        expected: items,
                        found: list.len(),
                    });
                }
                let of_flow =
                    |p: f64| scale(point.level) * (map.state * length as f64 + map.prediction * p);
                slopes.extend(list.into_iter().map(of_flow));
            }
            Ok(slopes)
        };
        let found = integrate(slopes, ends, z, self.tolerance)?;
        let (y, integrals) = found.value.split_at(elements);
        let std = self.prior_std();
        let own = sum_items(items, length, |j| {
            let z = y.get(j).map_or(0.0, |y| y / std);
            Ok(-0.5 * z * z - LN_SQRT_TAU - std.ln())
        })?;
        let volume = length as f64 * scale(self.cleanest).ln();
        let mut log_density = Vec::with_capacity(items);
        for (i, own) in own.iter().enumerate() {
            let samples = integrals.iter().skip(i).step_by(items);
            let samples: Vec<_> = samples
                .map(|integral| LogDensity::of_nats(Nats::of(own + integral - volume)))
                .collect();
            let estimate = Estimate::of(&samples)?;
            log_density.push(match exact {
                true => Estimate::exact(estimate.value),
                false => estimate,
            });
        }
        Ok(FlowLikelihood {
            log_density,
            integration_error: self.errors(&found, items, length)?,
            latent: like(x_0, y, scale(self.noisiest)),
            evaluations: found.evaluations,
        })
    }

    /// The deviation of `y` at the noise end.
    fn prior_std(&self) -> f64 {
        let level = self.noisiest;
        level.alpha().hypot(level.sigma()) / scale(level)
    }

    /// What the errors of all steps do to each log-density.
    fn errors(&self, found: &Solution, items: usize, length: usize) -> Result<Vec<Nats>, Error> {
        let variance = self.prior_std().powi(2);
        let (y, errors) = (&found.value, &found.error);
        let own = sum_items(items, length, |j| {
            let pair = y.get(j).zip(errors.get(j));
            Ok(pair.map_or(0.0, |(y, error)| y.abs() * error / variance))
        })?;
        let total = |(i, own): (usize, &f64)| {
            let integrals = errors.iter().skip(items * length + i).step_by(items);
            Nats::of(own + integrals.copied().fold(0.0, f64::max))
        };
        Ok(own.iter().enumerate().map(total).collect())
    }
}
