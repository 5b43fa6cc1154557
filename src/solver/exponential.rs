//! Exponential integrators: exact in what is linear, a polynomial in the log-SNR for the rest.

use super::{
    Coordinates, Path, Stage, Update,
    interpolation::{exponential_moments, integral, weights},
    stage::At,
};
use crate::{Error, NoiseLevel, UpdateNoise};

/// Distance `lambda_s - lambda_t` in half log-SNR.
pub(super) fn distance(from: NoiseLevel, to: NoiseLevel) -> f64 {
    let gap = to.gap_above(from);
    // Over a long way nothing is left of the ratio in the gap.
    match gap < 0.5 {
        true => -(-gap).ln_1p(),
        false => -to.ratio_above(from).ln(),
    }
}

/// What the integral of the first power over a step is taken for.
///
/// Published second-order rules take a simpler number that agrees with the exact one to first order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slope {
    /// What it is.
    Exact,
    /// Half the integral of 1, as the midpoint rule has it.
    Midpoint,
    /// Half the interval, as UniPC has it for `B(h) = h`.
    Interval,
}

/// A step in half log-SNR, along which a prediction is taken for a polynomial.
///
/// ```text
/// Data:  x_s = (sigma_s / sigma_t) x_t + sigma_s * integral of e^lambda   x_0(lambda) d lambda
/// Noise: x_s = (alpha_s / alpha_t) x_t - alpha_s * integral of e^-lambda  eps(lambda) d lambda
/// ```
///
/// `tau` is the stochasticity of the reverse equation: 0 is the probability flow, 1 the reverse of
/// the forward process. It multiplies the integrand by `1 + tau^2`, in `Data` with the exponent too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exponential {
    pub coordinates: Coordinates,
    pub from: NoiseLevel,
    pub to: NoiseLevel,
    pub tau: f64,
}

impl Exponential {
    pub(super) fn of(coordinates: Coordinates, path: &Path<'_>) -> Self {
        Self {
            coordinates,
            from: path.from(),
            to: path.to(),
            tau: 0.0,
        }
    }

    /// The integrals of `1, r, r^2, ..` over the step, `r` running from 0 to 1 in log-SNR.
    pub(super) fn moments(self, count: usize, slope: Slope) -> Vec<f64> {
        let (h, stretch) = (distance(self.from, self.to), 1.0 + self.tau * self.tau);
        let (whole, exponent) = match self.coordinates {
            Coordinates::Data => (self.to.alpha() * stretch * h, -stretch * h),
            Coordinates::Noise => (-self.to.sigma() * stretch * h, h),
            Coordinates::Flow => return self.flow_moments(count, h),
        };
        let mut moments = exponential_moments(count, exponent);
        if let [first, second, ..] = moments.as_mut_slice() {
            match slope {
                Slope::Exact => {}
                Slope::Midpoint => *second = 0.5 * *first,
                Slope::Interval => *second = 0.5,
            }
        }
        moments.iter_mut().for_each(|m| *m *= whole);
        if let Some(first) = moments.first_mut()
            && self.tau == 0.0
        {
            // Without the logarithm, whose rounding the exponential of a long step magnifies.
            *first = self.coordinates.way(self.from, self.to);
        }
        moments
    }

    /// The clock of the flow is the logistic function of `-lambda`, of which `u (1 - u)` is the slope.
    fn flow_moments(self, count: usize, h: f64) -> Vec<f64> {
        let start = self.from.noise_to_signal();
        // Below one unit of log-SNR a piece, eight points are exact to the last digit.
        let pieces = h.abs().ceil() as usize;
        let slope = |r: f64| {
            let ratio = start * (-r * h).exp();
            ratio / ((1.0 + ratio) * (1.0 + ratio))
        };
        let whole = -self.coordinates.scale(self.to) * h;
        (0..count)
            .map(|k| whole * integral(pieces, |r| slope(r) * r.powi(k as i32)))
            .collect()
    }

    /// The update with these integrals of the polynomial through predictions at `nodes`.
    pub(super) fn update(self, nodes: &[NoiseLevel], moments: &[f64]) -> Update {
        let h = distance(self.from, self.to);
        let places: Vec<f64> = nodes
            .iter()
            .map(|&node| distance(self.from, node) / h)
            .collect();
        let scale = self.coordinates.scale(self.to) / self.coordinates.scale(self.from);
        let tau2 = self.tau * self.tau;
        let (kept, drawn) = match self.coordinates {
            Coordinates::Data => ((-tau2 * h).exp(), -(-2.0 * tau2 * h).exp_m1()),
            _ => (1.0, tau2 * (2.0 * h).exp_m1()),
        };
        Update::new(scale * kept)
            .with_model(weights(&places, moments))
            .with_noise(UpdateNoise::Std(self.to.sigma() * drawn.max(0.0).sqrt()))
    }

    /// The step with the newest predictions of a rule with one evaluation a step.
    pub(super) fn multistep(
        self,
        path: &Path<'_>,
        order: usize,
        moments: impl Fn(usize) -> Vec<f64>,
    ) -> Result<Stage, Error> {
        let nodes: Vec<_> = path
            .visited()
            .take_while(|&l| inner(l))
            .take(order)
            .collect();
        let update = self.update(&nodes, &moments(nodes.len()));
        Ok(Stage::new(At::From, self.coordinates.basis()).with_commit(update))
    }
}

/// The step to a level on the way to another one, where there may be a prediction of the data too: linear in
/// log-SNR between the two, or the same all the way.
pub(crate) fn toward(from: NoiseLevel, through: Option<NoiseLevel>, to: NoiseLevel) -> Update {
    let data = Coordinates::Data;
    match through.filter(|&through| inner(from) && inner(through) && inner(to)) {
        Some(through) => {
            let step = Exponential {
                coordinates: data,
                from,
                to,
                tau: 0.0,
            };
            step.update(&[from, through], &step.moments(2, Slope::Exact))
        }
        None => {
            let scale = data.scale(to) / data.scale(from);
            Update::new(scale).with_model([data.way(from, to)])
        }
    }
}

/// Whether the log-SNR of a level is finite.
pub(super) fn inner(level: NoiseLevel) -> bool {
    !level.is_noise() && !level.is_clean()
}
