//! Quantiles of the beta distribution.

use std::fmt::Debug;

use super::{
    Grid, SigmaCurve, at_distinct,
    curve::{Ends, ends_of},
    strided::total_for,
};
use crate::{Error, Sigma, Step, quantile, schedule::NoiseSchedule, time::check_steps};

/// `sigma_i = min + Q(1 - i / (n - 1)) (max - min)`, `Q` the quantile of the distribution
/// Beta(a, b).
///
/// $$\sigma_i=\sigma_{\min}+Q_{a,b}\Big(1-\frac{i}{n-1}\Big)(\sigma_{\max}-\sigma_{\min})$$
///
/// The largest alone for `n = 1`. ComfyUI gives the same name to quantiles of training steps:
/// [`Grid::beta_steps`].
///
/// [Source](crate::docs::papers#arxiv-2407.12173): Beta Sampling is All You Need, Lee et al., 2024, as carried over to sigmas.
///
/// ```
/// use gaussian_diffusion::{Sigma, grid::{Beta, SigmaCurve}};
/// let curve = Beta::new(Sigma::new(10.0)?, Sigma::new(2.0)?, 0.6, 0.6)?;
/// assert!((curve.sigmas(3)?[1] - 6.0).abs() < 1e-14);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("use_beta_sigmas"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beta {
    ends: Ends,
    a: f64,
    b: f64,
}

impl Beta {
    /// Between these sigmas, at the quantiles of the beta distribution of shapes `a` and `b`.
    ///
    /// # Errors
    ///
    /// If `min` is not positive, `max` is not above it, or `a` or `b` is not in 0.2 to 100.
    pub fn new(max: Sigma, min: Sigma, a: f64, b: f64) -> Result<Self, Error> {
        let ends = Ends::new(max, min)?;
        check_shape(a, b)?;
        Ok(Self { ends, a, b })
    }
}

impl SigmaCurve for Beta {
    fn sigmas(&self, n: usize) -> Result<Vec<f64>, Error> {
        check_steps(n)?;
        let Ends { max, min } = self.ends;
        Ok(self.ends.fill(n, |f| {
            min + quantile::beta(self.a, self.b, 1.0 - f) * (max - min)
        }))
    }
}

impl<T: Copy + Debug> Grid<T> {
    /// `n` nodes between the ends of the schedule along a [`Beta`] with `a = b = 0.6`, and a step to
    /// the data.
    ///
    /// # Errors
    ///
    /// If `n` is 0, or an end of the schedule is clean or without signal: [`along`](Self::along)
    /// takes a [`Beta`] with ends of your own.
    pub fn beta<S>(schedule: &S, n: usize) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        let (max, min) = ends_of(schedule)?;
        Self::along(schedule, n, &Beta::new(max, min, 0.6, 0.6)?)
    }
}

impl Grid<Step> {
    /// The steps `round(Q(1 - i / n) (T - 1))`, ties to even, and then the data; `Q` is the quantile
    /// of the distribution Beta(a, b), by custom 0.6 and 0.6, or 0.5 and 0.7 ("beta57").
    ///
    /// Peers drop a step that comes twice and run fewer than asked for; this is an error here.
    ///
    /// # Errors
    ///
    /// If `n` is 0 or above `T`, a step comes twice, or `a` or `b` is not in 0.2 to 100.
    ///
    /// [Source](crate::docs::papers#arxiv-2407.12173): Beta Sampling is All You Need, Lee et al., 2024.
    #[doc(alias("beta57", "beta_scheduler"))]
    pub fn beta_steps<S>(schedule: &S, n: usize, a: f64, b: f64) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Step> + ?Sized,
    {
        check_shape(a, b)?;
        let last = (total_for(schedule, n)? - 1) as f64;
        let step = |i: usize| {
            let p = 1.0 - i as f64 * (1.0 / n as f64);
            Step::new((quantile::beta(a, b, p) * last).round_ties_even() as usize)
        };
        at_distinct(schedule, (0..n).map(step).collect())
    }
}

fn check_shape(a: f64, b: f64) -> Result<(), Error> {
    for (what, value) in [
        ("a of the beta distribution", a),
        ("b of the beta distribution", b),
    ] {
        // Outside, quantiles crowd at the ends of the unit interval and lose their order.
        if !(0.2..=100.0).contains(&value) {
            return Err(Error::range(what, value, "0.2 to 100"));
        }
    }
    Ok(())
}
