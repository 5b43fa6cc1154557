//! The log-density that the probability flow carries.

use ndarray::{Array, Dimension};

use super::{
    Divergence, Estimate, InNats, LogDensity, Nats, ProbabilityFlow,
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
    /// The log-density of each item of the data, an array.
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
            for list in divergence.lists(sums, items)? {
                let of_flow =
                    |p: f64| scale(point.level) * (map.state * length as f64 + map.prediction * p);
                slopes.extend(list.into_iter().map(of_flow));
            }
            Ok(slopes)
        };
        let found = integrate(slopes, ends, z, self.accuracy)?;
        let (y, integrals) = found.value.split_at(elements);
        let own = priors(y.iter().copied(), self.prior_std(), items, length)?;
        let volume = length as f64 * scale(self.cleanest).ln();
        let gains = |i: usize| {
            let sums = integrals.iter().skip(i).step_by(items);
            sums.map(move |integral| integral - volume)
        };
        let log_density = estimates(&own, gains, exact)?;
        Ok(FlowLikelihood {
            log_density,
            integration_error: self.errors(&found, items, length)?,
            latent: like(x_0, y, scale(self.noisiest)),
            evaluations: found.evaluations,
        })
    }

    /// The standard deviation of `y` at the noise end.
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

/// The log-density of each item of these elements under `N(0, std^2 I)`.
pub(super) fn priors(
    mut elements: impl Iterator<Item = f64>,
    std: f64,
    items: usize,
    length: usize,
) -> Result<Vec<f64>, Error> {
    sum_items(items, length, |_| {
        let z = elements.next().map_or(0.0, |x| x / std);
        Ok(-0.5 * z * z - LN_SQRT_TAU - std.ln())
    })
}

/// The log-densities of the items: their own and what each probe says that they gain on the way.
pub(super) fn estimates<G: Iterator<Item = f64>>(
    own: &[f64],
    gains: impl Fn(usize) -> G,
    exact: bool,
) -> Result<Vec<Estimate<LogDensity>>, Error> {
    let each = own.iter().enumerate().map(|(i, own)| {
        let samples: Vec<_> = gains(i)
            .map(|gain| LogDensity::of_nats(Nats::of(own + gain)))
            .collect();
        let estimate = Estimate::of(&samples)?;
        Ok(match exact {
            true => Estimate::exact(estimate.value),
            false => estimate,
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sigma, schedule::Edm};

    /// Two items of three numbers with two probes, by hand: `|y| e / s^2` of each number, and the larger error of the
    /// item's integrals.
    #[test]
    fn errors_are_those_of_the_numbers_and_of_the_worst_probe() {
        let schedule = Edm::new(Sigma::new(0.5).unwrap(), Sigma::new(4.0).unwrap()).unwrap();
        let flow = ProbabilityFlow::new(&schedule).unwrap();
        // sqrt(1 + 4^2) / (1 + 4).
        let variance = 17.0 / 25.0;
        let found = Solution {
            value: vec![1.0, -2.0, 3.0, 0.5, -4.0, 6.0, 9.0, 9.0, 9.0, 9.0],
            error: vec![0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.03, 0.04, 0.05, 0.02],
            evaluations: 7,
        };
        let found = flow.errors(&found, 2, 3).unwrap();
        let wanted = [
            (0.1 + 0.4 + 0.9) / variance + 0.05,
            (0.2 + 2.0 + 3.6) / variance + 0.04,
        ];
        for (found, wanted) in found.iter().zip(wanted) {
            assert!((found.get() - wanted).abs() < 1e-14, "{found} {wanted}");
        }
        assert_eq!(found.len(), 2);
    }
}
