//! How a network's predictions follow its state, as numbers of the log-SNR.

use super::interpolation::integral;
use crate::{Error, LogSnr, Variance};

/// Empirical model statistics: how much of the predicted noise is linear in the state, and how the rest of it
/// changes on the way, at every log-SNR.
///
/// With `y = x / alpha`, `rho = sigma / alpha` and `lambda` half the log-SNR, the probability flow is
/// `dy / d lambda = -rho eps`. The statistics split it, twice:
///
/// ```text
/// f = rho eps - l y             what of the slope is not linear in the state
/// df / d lambda = s f + b d     along the flow, as nearly as three numbers say it
/// ```
///
/// $$\frac{\mathrm dy}{\mathrm d\lambda}=-l_\lambda y-f,\qquad
///   \frac{\mathrm df}{\mathrm d\lambda}\approx s_\lambda f+b_\lambda d$$
///
/// so that [`DpmSolverV3`](super::DpmSolverV3) integrates both exactly, and takes only what is left for a
/// polynomial. `d` is a fixed pattern of the shape of an item, mostly the mean of the data, which the network
/// [comes with](crate::denoiser::Displaced) where `b` is not 0.
///
/// They are the same for all elements, since a plan is a table of numbers; the code of the paper has one of each
/// for every element. [`model_statistics`](crate::fit::model_statistics) measures them of a network.
///
/// [Source](crate::docs::papers#arxiv-2310.13268): DPM-Solver-v3: Improved Diffusion ODE Solver with Empirical Model
/// Statistics, Zheng, Lu, Chen, Zhu, 2023.
///
/// ```
/// use gaussian_diffusion::{LogSnr, Variance, solver::{ModelStatistics, StatisticsNode}};
/// // For data N(0, v), rho eps is l y, and nothing is left.
/// let exact = ModelStatistics::gaussian(Variance::new(0.25)?)?;
/// assert_eq!(exact.linear(LogSnr::new(0.0)?), 0.8);
/// let node = |log_snr, linear| {
///     Ok::<_, gaussian_diffusion::Error>(StatisticsNode { log_snr: LogSnr::new(log_snr)?, linear, scaling: 0.0, bias: 0.0 })
/// };
/// let measured = ModelStatistics::new(vec![node(-10.0, 1.0)?, node(10.0, 0.0)?])?;
/// assert_eq!(measured.linear(LogSnr::new(0.0)?), 0.5);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("EMS", "empirical model statistics"))]
#[derive(Debug, Clone, PartialEq)]
pub struct ModelStatistics(Source);

/// The statistics at one log-SNR; between two nodes they are linear in it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StatisticsNode {
    /// Where.
    pub log_snr: LogSnr,
    /// `l`, the share of the slope that is linear in the state: 1 for data that is a point.
    #[doc(alias("l"))]
    pub linear: f64,
    /// `s`, per unit of half the log-SNR.
    #[doc(alias("s"))]
    pub scaling: f64,
    /// `b`, per unit of half the log-SNR, in units of the pattern.
    #[doc(alias("b"))]
    pub bias: f64,
}

#[derive(Debug, Clone, PartialEq)]
enum Source {
    /// Of Gaussian data, by the logarithm of its variance; `s` is 0.
    Gaussian(f64),
    /// The same with a mean of 0.
    Centred(f64),
    /// The same `l` with `s = l - 1`.
    Rosenbrock(f64),
    Table(Vec<Summed>),
}

/// A node with the integrals up to it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Summed {
    lambda: f64,
    l: f64,
    s: f64,
    b: f64,
    sums: Sums,
}

/// Integrals over lambda from somewhere: of `l`, of `s`, and of `e^-S b`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Sums {
    pub l: f64,
    pub s: f64,
    pub b: f64,
}

impl ModelStatistics {
    /// Those of Gaussian data of this variance, in closed form: `l = rho^2 / (rho^2 + v)`, `s = 0`, and `b = -l'`
    /// with the mean of the data as the pattern. The flow of such data is followed exactly in any number of
    /// steps. A variance of 0 is that of a point.
    ///
    /// # Errors
    ///
    /// If the variance is above 1e100.
    pub fn gaussian(variance: Variance) -> Result<Self, Error> {
        Ok(Self(Source::Gaussian(log_variance(variance)?)))
    }

    /// Those of the refined exponential Adams-Bashforth method: `l = rho^2 / (rho^2 + v)`, `s = l - 1`, `b = 0`.
    ///
    /// What is left for the polynomial is then what a network under EDM's preconditioning answers, with
    /// `sigma_data^2` the variance: for a variance of 1 and where variance is preserved, the velocity.
    ///
    /// # Errors
    ///
    /// If the variance is 0 or above 1e100.
    pub fn rosenbrock(variance: Variance) -> Result<Self, Error> {
        if variance.get() == 0.0 {
            return Err(Error::range("variance of the data", 0.0, "above 0"));
        }
        Ok(Self(Source::Rosenbrock(log_variance(variance)?)))
    }

    /// A table, from the noisiest level to the cleanest; beyond its ends they stay what they are there.
    ///
    /// # Errors
    ///
    /// If there is no node, a log-SNR is not above the one before or not in -690 to 690, or a statistic is not in
    /// -1e6 to 1e6.
    pub fn new(nodes: Vec<StatisticsNode>) -> Result<Self, Error> {
        if nodes.is_empty() {
            return Err(Error::range("number of statistics", 0.0, "1 or more"));
        }
        let mut table: Vec<Summed> = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.into_iter().enumerate() {
            let snr = node.log_snr.get();
            if !(snr.abs() <= 690.0) {
                return Err(Error::element("log-SNRs", index, snr, "-690 to 690"));
            }
            for (what, value) in [
                ("linear statistics", node.linear),
                ("scaling statistics", node.scaling),
                ("bias statistics", node.bias),
            ] {
                if !(value.abs() <= 1e6) {
                    return Err(Error::element(what, index, value, "-1e6 to 1e6"));
                }
            }
            let mut own = Summed {
                lambda: 0.5 * snr,
                l: node.linear,
                s: node.scaling,
                b: node.bias,
                sums: Sums::default(),
            };
            if let Some(before) = table.last() {
                if !(own.lambda > before.lambda) {
                    return Err(Error::NotMonotone {
                        what: "statistics",
                        index,
                        before: 2.0 * before.lambda,
                        this: snr,
                    });
                }
                own.sums = before.sums_at(Some(&own), own.lambda);
            }
            table.push(own);
        }
        Ok(Self(Source::Table(table)))
    }

    /// `l` at this log-SNR.
    pub fn linear(&self, snr: LogSnr) -> f64 {
        let lambda = 0.5 * snr.get();
        match &self.0 {
            Source::Gaussian(v) | Source::Centred(v) | Source::Rosenbrock(v) => {
                1.0 / (1.0 + (v + 2.0 * lambda).exp())
            }
            Source::Table(nodes) => {
                let (before, after) = around(nodes, lambda);
                before.map_or(0.0, |node| node.toward(after, lambda).0)
            }
        }
    }

    /// The same without a bias: for data whose mean is 0, or a network that comes with no pattern.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Self(match self.0 {
            Source::Gaussian(v) => Source::Centred(v),
            Source::Table(mut nodes) => {
                for node in &mut nodes {
                    (node.b, node.sums.b) = (0.0, 0.0);
                }
                Source::Table(nodes)
            }
            other => other,
        })
    }

    /// Whether the network has to come with a pattern.
    pub fn has_bias(&self) -> bool {
        match &self.0 {
            Source::Gaussian(v) => v.is_finite(),
            Source::Centred(_) | Source::Rosenbrock(_) => false,
            Source::Table(nodes) => nodes.iter().any(|node| node.b != 0.0),
        }
    }

    /// The integrals up to half this log-SNR.
    pub(super) fn sums(&self, lambda: f64) -> Sums {
        match &self.0 {
            Source::Gaussian(v) => Sums {
                l: -0.5 * log_add_exp(-2.0 * lambda, *v),
                s: 0.0,
                b: -1.0 / (1.0 + (v + 2.0 * lambda).exp()),
            },
            Source::Centred(v) => Sums {
                l: -0.5 * log_add_exp(-2.0 * lambda, *v),
                ..Sums::default()
            },
            Source::Rosenbrock(v) => {
                let l = -0.5 * log_add_exp(-2.0 * lambda, *v);
                let (s, b) = (l - lambda, 0.0);
                Sums { l, s, b }
            }
            Source::Table(nodes) => {
                let (before, after) = around(nodes, lambda);
                before.map_or_else(Sums::default, |node| node.sums_at(after, lambda))
            }
        }
    }

    /// Where between two values of lambda the statistics have a kink.
    pub(super) fn kinks(&self, from: f64, to: f64) -> Vec<f64> {
        let Source::Table(nodes) = &self.0 else {
            return Vec::new();
        };
        let (low, high) = (from.min(to), from.max(to));
        let first = nodes.partition_point(|node| node.lambda <= low);
        let inside = nodes.iter().skip(first).map(|node| node.lambda);
        let mut inside: Vec<_> = inside.take_while(|lambda| *lambda < high).collect();
        if to < from {
            inside.reverse();
        }
        inside
    }
}

impl Summed {
    /// `l`, `s` and `b` on the way to the next node.
    fn toward(&self, next: Option<&Self>, lambda: f64) -> (f64, f64, f64) {
        let share = next.map_or(0.0, |next| {
            (lambda - self.lambda) / (next.lambda - self.lambda)
        });
        let next = next.unwrap_or(self);
        let between = |own: f64, next: f64| own + (next - own) * share;
        (
            between(self.l, next.l),
            between(self.s, next.s),
            between(self.b, next.b),
        )
    }

    fn sums_at(&self, next: Option<&Self>, lambda: f64) -> Sums {
        let way = lambda - self.lambda;
        // Of what is linear, the mean of both ends.
        let trapezoid = |lambda: f64| {
            let (l, s, _) = self.toward(next, lambda);
            let way = lambda - self.lambda;
            let sum = |own: f64, end: f64, total: f64| total + 0.5 * way * (own + end);
            (sum(self.l, l, self.sums.l), sum(self.s, s, self.sums.s))
        };
        let (l, s) = trapezoid(lambda);
        let without_bias = self.b == 0.0 && next.is_none_or(|next| next.b == 0.0);
        let b = match without_bias {
            true => 0.0,
            false => integral(way.abs().ceil() as usize, |r| {
                let lambda = self.lambda + r * way;
                (-trapezoid(lambda).1).exp() * self.toward(next, lambda).2
            }),
        };
        let b = self.sums.b + way * b;
        Sums { l, s, b }
    }
}

/// The node whose values hold from there to the next one, where there is a next one.
fn around(nodes: &[Summed], lambda: f64) -> (Option<&Summed>, Option<&Summed>) {
    let after = nodes.partition_point(|node| node.lambda <= lambda);
    match after.checked_sub(1) {
        Some(before) => (nodes.get(before), nodes.get(after)),
        None => (nodes.first(), None),
    }
}

fn log_variance(variance: Variance) -> Result<f64, Error> {
    if !(variance.get() <= 1e100) {
        return Err(Error::range(
            "variance of the data",
            variance.get(),
            "0 to 1e100",
        ));
    }
    Ok(variance.get().ln())
}

/// `ln(e^a + e^b)`.
fn log_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = (a.min(b), a.max(b));
    high + (low - high).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ModelStatistics {
        // At half log-SNR -2, -1 and 1.
        let node = |(log_snr, linear, scaling, bias)| StatisticsNode {
            log_snr: LogSnr::new(log_snr).unwrap(),
            linear,
            scaling,
            bias,
        };
        let nodes = [
            (-4.0, 1.0, 0.2, 0.0),
            (-2.0, 0.4, -0.4, 1.0),
            (2.0, 0.0, 0.6, -0.5),
        ];
        ModelStatistics::new(nodes.map(node).to_vec()).unwrap()
    }

    /// Strictly between the two values, on the way from one to the other.
    #[test]
    fn kinks_are_the_nodes_on_the_way() {
        for (from, to, expected) in [
            (-3.0, 3.0, &[-2.0, -1.0, 1.0][..]),
            (3.0, -3.0, &[1.0, -1.0, -2.0]),
            (-2.0, 1.0, &[-1.0]),
            (1.0, -2.0, &[-1.0]),
            (-1.5, -1.2, &[]),
            (1.0, 3.0, &[]),
            (-1.0, -1.0, &[]),
        ] {
            assert_eq!(table().kinks(from, to), expected, "{from} to {to}");
        }
        let smooth = ModelStatistics::gaussian(Variance::new(1.0).unwrap()).unwrap();
        assert!(smooth.kinks(-3.0, 3.0).is_empty());
    }

    /// Those of Gaussian data: `l = 1 / (1 + v e^(2 lambda))`, summed up by midpoints.
    #[test]
    fn sums_of_gaussian_data_are_integrals() {
        let (v, from, to) = (0.3_f64, -1.5, 2.0);
        let variance = || Variance::new(v).unwrap();
        let gaussian = ModelStatistics::gaussian(variance()).unwrap();
        let centred = gaussian.clone().without_bias();
        let rosenbrock = ModelStatistics::rosenbrock(variance()).unwrap();
        let l = |lambda: f64| 1.0 / (1.0 + v * (2.0 * lambda).exp());
        let parts = 20_000;
        let width = (to - from) / f64::from(parts);
        let whole: f64 = (0..parts)
            .map(|i| width * l(from + width * (f64::from(i) + 0.5)))
            .sum();
        for (statistics, s, b) in [
            (&gaussian, 0.0, l(from) - l(to)),
            (&centred, 0.0, 0.0),
            (&rosenbrock, whole - (to - from), 0.0),
        ] {
            let (first, last) = (statistics.sums(from), statistics.sums(to));
            assert!((last.l - first.l - whole).abs() < 1e-8, "{statistics:?}");
            assert!((last.s - first.s - s).abs() < 1e-8, "{statistics:?}");
            assert!((last.b - first.b - b).abs() < 1e-8, "{statistics:?}");
        }
        assert!(gaussian.has_bias() && !centred.has_bias() && !rosenbrock.has_bias());
    }

    /// Differences of sums are integrals: by a rule of midpoints, which meets kinks at its ends alone.
    #[test]
    fn sums_are_integrals() {
        let statistics = table();
        let at = |lambda: f64| {
            let share = |low: f64, high: f64| ((lambda - low) / (high - low)).clamp(0.0, 1.0);
            let (a, b) = (share(-2.0, -1.0), share(-1.0, 1.0));
            let l = 1.0 - 0.6 * a - 0.4 * b;
            (l, 0.2 - 0.6 * a + b, a - 1.5 * b)
        };
        const PARTS: i32 = 4000;
        for (from, to) in [(-3.0, 3.0), (-2.5, -1.25), (0.25, 2.0), (-1.0, 1.0)] {
            let (first, last) = (statistics.sums(from), statistics.sums(to));
            let width = (to - from) / f64::from(PARTS);
            let mut sums = Sums::default();
            for i in 0..PARTS {
                let (l, s, b) = at(from + width * (f64::from(i) + 0.5));
                // e^-S in the middle of the part.
                sums.b += width * (-first.s - sums.s - 0.5 * width * s).exp() * b;
                (sums.l, sums.s) = (sums.l + width * l, sums.s + width * s);
            }
            for (found, expected) in [
                (last.l - first.l, sums.l),
                (last.s - first.s, sums.s),
                (last.b - first.b, sums.b),
            ] {
                // The rule is off by the square of its parts.
                assert!(
                    (found - expected).abs() < 2e-6,
                    "{from} to {to}: {found} for {expected}"
                );
            }
            let there = LogSnr::new(2.0 * to).unwrap();
            assert!((statistics.linear(there) - at(to).0).abs() < 1e-15);
        }
    }
}
