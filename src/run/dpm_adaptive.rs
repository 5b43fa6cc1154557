//! DPM-Solver with steps as long as the error allows.

mod both_orders;

use std::fmt::Debug;

use super::controller::Controller;
use crate::{
    Denoiser, Error, LogSnr, Markov, NoiseSchedule,
    error::Number,
    noise::{Interval, NoiseSource, Scale},
    solver::{Coordinates, SingleStep},
    state::{ErrorNorm, Keeping, Kept, State},
};

/// DPM-Solver-12 and DPM-Solver-23: the length of each step from the difference of two orders.
///
/// A step of order 2 or 3 in half log-SNR is tried, and the one of an order less made from the same
/// predictions; the error is the root mean square of their difference in units of
/// `max(absolute, relative * |x|)`, for each item, of which the largest counts. A controller (PID) sets
/// the next length `h`, also after a step that is not accepted:
///
/// ```text
/// h <- h limit(e_0^-b0 e_1^-b1 e_2^-b2),  limit(f) = 1 + atan(f - 1)
/// ```
///
/// $$h\leftarrow h\cdot\operatorname{limit}\big(e_0^{-b_0}e_1^{-b_1}e_2^{-b_2}\big)$$
///
/// with `b_0 = (p + i + d) / order`, `b_1 = -(p + 2 d) / order`, `b_2 = d / order` and the last errors
/// `e`. It is accepted where the factor is at least `safety`. With `eta` above 0 every step goes below its
/// target and noise takes it back up, as in [`Ancestral`](crate::solver::Ancestral).
///
/// Each step is a [`Plan`](crate::Plan) of one step and a [`Run`](crate::Run) of it; there is no plan of the whole.
///
/// [Sources](crate::docs::papers#arxiv-2206.00927): DPM-Solver, Lu, Zhou, Bao, Chen, Li, Zhu, 2022, appendix C; the code of
/// k-diffusion, Crowson, 2022.
///
/// ```
/// use gaussian_diffusion::{LogSnr, SeededNoise, NoiseSchedule, Point, Sigma, predicts, schedule::Edm, solver::DpmAdaptive};
/// use ndarray::array;
/// let schedule = Edm::default();
/// let (from, to) = (LogSnr::from_sigma(Sigma::new(80.0)?), LogSnr::from_sigma(Sigma::new(0.01)?));
/// // The exact denoiser of N(0, 1/4).
/// let mut net = predicts::x0(|x: &ndarray::Array1<f64>, at: Point<Sigma>| {
///     x * (0.25 / (0.25 + at.level.sigma().powi(2)))
/// });
/// let solver = DpmAdaptive::new(3)?.with_tolerances(1e-6, 1e-6)?;
/// let (x, report) = solver.sample(&schedule, from, to, array![80.0], &mut net, &mut SeededNoise::new(0))?;
/// // One standard deviation from the mean stays one standard deviation from it.
/// assert!((x[0] - 0.5 * (1.0_f64 + 4.0 * 1e-4).sqrt()).abs() < 1e-4);
/// assert_eq!(report.evaluations, 3 * (report.accepted + report.rejected));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "DPM adaptive",
    "dpm_adaptive",
    "DPM-Solver-23",
    "DPM-Solver-12",
    "sample_dpm_adaptive"
))]
#[derive(Debug, Clone, PartialEq)]
pub struct DpmAdaptive {
    order: usize,
    solver: SingleStep,
    absolute: f64,
    relative: f64,
    first: f64,
    gains: [f64; 3],
    safety: f64,
    eta: f64,
    noise: f64,
    limit: usize,
}

/// What an adaptive run took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DpmAdaptiveReport {
    /// Steps made.
    pub accepted: usize,
    /// Steps tried and not made.
    pub rejected: usize,
    /// Network evaluations.
    pub evaluations: usize,
}

impl DpmAdaptive {
    /// Order 3 (DPM-Solver-23) or 2 (DPM-Solver-12), deterministic, with tolerances 0.0078 and 0.05, a
    /// first step of 0.05 in half log-SNR, an integral controller, a safety of 0.81 and at most 10,000
    /// steps.
    ///
    /// # Errors
    ///
    /// If the order is neither 2 nor 3.
    pub fn new(order: usize) -> Result<Self, Error> {
        if !(2..=3).contains(&order) {
            return Err(Error::range("order", order as f64, "2 or 3"));
        }
        Ok(Self {
            order,
            solver: SingleStep::new(order, Coordinates::Noise)?,
            absolute: 0.0078,
            relative: 0.05,
            first: 0.05,
            gains: [0.0, 1.0, 0.0],
            safety: 0.81,
            eta: 0.0,
            noise: 1.0,
            limit: 10_000,
        })
    }

    /// The tolerance of an element: absolute, in units of the data, and relative to its size.
    ///
    /// # Errors
    ///
    /// If one is not positive or not finite.
    #[doc(alias("atol", "rtol"))]
    pub fn with_tolerances(mut self, absolute: f64, relative: f64) -> Result<Self, Error> {
        for (what, value) in [
            ("absolute tolerance", absolute),
            ("relative tolerance", relative),
        ] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::range(what, value, "a finite number above 0"));
            }
        }
        (self.absolute, self.relative) = (absolute, relative);
        Ok(self)
    }

    /// The length of the first step, in half log-SNR.
    ///
    /// # Errors
    ///
    /// If it is not above 0 and up to 10.
    #[doc(alias("h_init"))]
    pub fn with_first_step(mut self, length: f64) -> Result<Self, Error> {
        if !(length > 0.0 && length <= 10.0) {
            return Err(Error::range("first step", length, "above 0 and up to 10"));
        }
        self.first = length;
        Ok(self)
    }

    /// The gains of the controller, proportional, integral and differential, and the least factor of
    /// the length with which a step is accepted.
    ///
    /// # Errors
    ///
    /// If a gain is not 0 to 10, or the safety not above 0 and up to 1.
    #[doc(alias("pcoeff", "icoeff", "dcoeff", "accept_safety"))]
    pub fn with_controller(mut self, gains: [f64; 3], safety: f64) -> Result<Self, Error> {
        for (index, gain) in gains.into_iter().enumerate() {
            if !(0.0..=10.0).contains(&gain) {
                return Err(Error::element("gains", index, gain, "0 to 10"));
            }
        }
        if !(safety > 0.0 && safety <= 1.0) {
            return Err(Error::range("safety", safety, "above 0 and up to 1"));
        }
        (self.gains, self.safety) = (gains, safety);
        Ok(self)
    }

    /// Noise in every step: eta is DDIM's.
    ///
    /// # Errors
    ///
    /// If eta is not 0 to 1, or the factor of the noise not 0 to 10.
    pub fn with_eta(mut self, eta: f64, noise_factor: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&eta) {
            return Err(Error::range("eta", eta, "0 to 1"));
        }
        if !(0.0..=10.0).contains(&noise_factor) {
            return Err(Error::range("noise factor", noise_factor, "0 to 10"));
        }
        (self.eta, self.noise) = (eta, noise_factor);
        Ok(self)
    }

    /// The most steps, tried ones included, after which a run is an error, which says whether the network is
    /// too rough for the tolerance ([`Error::Rough`]), before they are made where that can be told, or the
    /// tolerance asks for more ([`Error::Unfinished`]).
    #[must_use]
    pub const fn with_limit(mut self, steps: usize) -> Self {
        self.limit = steps;
        self
    }

    /// Takes `x` from one log-SNR of the schedule to a higher one.
    ///
    /// # Errors
    ///
    /// If a log-SNR is infinite or outside the schedule, or the second not above the first; as
    /// [`Plan::sample`](crate::Plan::sample); or if the limit of steps is reached.
    pub fn sample<V, S, D, N>(
        &self,
        schedule: &S,
        from: LogSnr,
        to: LogSnr,
        x: V,
        network: &mut D,
        noise: &mut N,
    ) -> Result<(V, DpmAdaptiveReport), Error>
    where
        V: State,
        Kept<V>: ErrorNorm,
        S: NoiseSchedule + ?Sized,
        S::Time: Copy + Debug,
        D: Denoiser<V, S::Time> + ?Sized,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        if !from.get().is_finite() {
            return Err(Error::range("first log-SNR", from.get(), "a finite number"));
        }
        if !(to.get().is_finite() && from < to) {
            let allowed = format!("a finite number above {}", Number(from.get()));
            return Err(Error::range("last log-SNR", to.get(), allowed));
        }
        network.begin();
        let mut report = DpmAdaptiveReport::default();
        let mut controller = self.controller();
        let mut x = V::Keeping::keep(x, None).0;
        // Over alpha, so that its size can be told beside one at another level.
        let mut before = x.clone();
        before.combine(schedule.level_at(from)?.alpha().recip(), &[])?;
        let mut at = from;
        let (mut patience, mut last) = (0, None);
        // Half of the 1e-5 that DPM-Solver leaves out, which is in half log-SNR.
        while at.get() < to.get() - 2e-5 {
            let tried = report.accepted + report.rejected;
            let steps_left = self.limit.saturating_sub(tried) as f64;
            let is_long = (to.get() - at.get()) / (2.0 * controller.length) > steps_left;
            if steps_left == 0.0 || is_long && patience >= PATIENCE {
                // Too many steps: because the network jumps, or because the tolerance asks for them?
                patience = 0;
                if let Some((length, error)) = last {
                    let place = (at, STRETCH * length, to);
                    let long = self.attempt::<V, _, _, _>(
                        schedule,
                        place,
                        (&x, &before),
                        &report,
                        network,
                        noise,
                    )?;
                    report.evaluations += self.order;
                    if long.error < error * STRETCH.powf(0.5 * (1.0 + self.order as f64)) {
                        let steps = (to.get() - from.get()) / (2.0 * length);
                        return Err(Error::Rough {
                            what: WHAT,
                            tolerance: self.relative,
                            // Errors are as the lengths of the steps; they scatter, and half the steps may be
                            // refused.
                            possible: 4.0 * self.relative * error * steps
                                / self.limit.max(1) as f64,
                        });
                    }
                }
            }
            if steps_left == 0.0 {
                return Err(Error::Unfinished {
                    what: WHAT,
                    evaluations: report.evaluations,
                    done: (at.get() - from.get()) / (to.get() - from.get()),
                    tolerance: self.relative,
                });
            }
            let place = (at, controller.length, to);
            let tried = self.attempt::<V, _, _, _>(
                schedule,
                place,
                (&x, &before),
                &report,
                network,
                noise,
            )?;
            report.evaluations += self.order;
            last = Some((controller.length, tried.error));
            if !controller.propose(tried.error) {
                report.rejected += 1;
                continue;
            }
            report.accepted += 1;
            patience += 1;
            let (start, target, below) = (tried.start, tried.target, tried.below);
            (before, x, at) = (tried.low, tried.high, tried.next);
            before.combine(below.alpha().recip(), &[])?;
            if below != target {
                x.combine(target.alpha() / below.alpha(), &[])?;
                let std = self.noise * Markov.forward_std(target, below)?;
                let over = Interval {
                    from: start,
                    to: target,
                };
                noise.add(&mut x, Scale::Same(std), Some(over))?;
            }
        }
        let x = V::Keeping::into_shown(x).unwrap_or_else(|x| V::Keeping::round(&x, None));
        Ok((x, report))
    }

    fn controller(&self) -> Controller {
        // Noise lowers the order.
        let order = if self.eta > 0.0 {
            1.5
        } else {
            self.order as f64
        };
        Controller::new(self.first, self.gains, order, self.safety)
    }
}

/// A step that is this much longer has an error `STRETCH^order` times as large where the network is smooth,
/// and `STRETCH` times where it jumps from one evaluation to the next.
const STRETCH: f64 = 8.0;
/// So many steps are made before a longer one is tried again.
const PATIENCE: usize = 16;

const WHAT: &str = "the adaptive DPM-Solver";
