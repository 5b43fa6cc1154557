//! DPM-Solver and DPM-Solver++ with evaluations inside the step.

use super::{
    At, Coordinates, Path, ReverseStep, Stage, Update,
    exponential::{Exponential, Slope, inner},
};
use crate::{
    Error, NoiseLevel,
    time::{MOST_STEPS, check_count},
};

/// Single-step DPM-Solver and DPM-Solver++ of orders 1 to 3, with levels of their own between the
/// ends of a step.
///
/// In half log-SNR `lambda`, with fractions `r` of the step `h`, for the data (for the noise `alpha`
/// and `sigma` change places and `h` its sign):
///
/// ```text
/// order 2:  u = step to r h with m_0;
///           x_s = (sigma_s/sigma_t) x_t + alpha_s (1 - e^-h) (m_0 + (m_1 - m_0) / (2 r))
/// order 3:  u_1 = step to r_1 h with m_0;  u_2 = exact step to r_2 h with the line through m_0, m_1;
///           x_s = exact step with the line through m_0 and m_2,  r_1 = 1/3, r_2 = 2/3
/// ```
///
/// $$x_s=\frac{\sigma_s}{\sigma_t}x_t+\alpha_s(1-e^{-h})\Big(m_0+\frac{m_1-m_0}{2r}\Big)$$
///
/// A step to or from an infinite log-SNR is that of [`Ddim`](super::Ddim).
///
/// [Sources](crate::docs::papers#arxiv-2206.00927): DPM-Solver, Lu, Zhou, Bao, Chen, Li, Zhu, 2022, algorithms 1 and 2;
/// DPM-Solver++, 2022; Improved Order Analysis and Design of Exponential Integrator for Diffusion Models
/// Sampling, Zhang, Wei, Song, 2023 (the exact second order, RES); SEEDS: Exponential SDE Solvers for Fast
/// High-Quality Sampling from Diffusion Models, Gonzalez, Fernandez Pinto, Tran, Gherbi, Hajri, Masmoudi,
/// 2023.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Cosine, solver::{Coordinates, SingleStep}};
/// let grid = Grid::uniform_time(&Cosine, 10)?;
/// let plan = Plan::new(&Cosine, &grid, &SingleStep::new(3, Coordinates::Noise)?)?;
/// assert_eq!(plan.evaluations(), 26);            // the steps from noise and to the data have one
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("DPM-Solver-2", "DPM-Solver-3", "DPM++ 2S", "res_2s"))]
#[derive(Debug, Clone, PartialEq)]
pub struct SingleStep {
    coordinates: Coordinates,
    /// One for all steps, or one for each of the first and the last for the rest.
    orders: Vec<usize>,
    fraction: f64,
    slope: Slope,
    tau: f64,
    noise: f64,
}

impl SingleStep {
    /// For the data, as DPM-Solver++.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 3.
    pub fn plus_plus(order: usize) -> Result<Self, Error> {
        Self::with_orders(vec![order], Coordinates::Data)
    }

    /// For predictions of the noise (DPM-Solver) or of the data (DPM-Solver++).
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 3, or the coordinates are those of the flow.
    pub fn new(order: usize, coordinates: Coordinates) -> Result<Self, Error> {
        super::check_noise_or_data(coordinates)?;
        Self::with_orders(vec![order], coordinates)
    }

    /// DPM-Solver-fast for so many evaluations: steps of order 3, and lower ones at the end to use up
    /// the rest. It makes [`steps`](Self::fast_steps) steps.
    ///
    /// # Errors
    ///
    /// If there are no evaluations, or more than 2^24.
    #[doc(alias("DPM fast", "dpm_fast", "sample_dpm_fast"))]
    pub fn fast(evaluations: usize) -> Result<Self, Error> {
        check_count("number of evaluations", evaluations, MOST_STEPS)?;
        let steps = Self::fast_steps(evaluations);
        let mut orders = vec![3; steps];
        let lower: &[usize] = match evaluations % 3 {
            0 => &[2, 1],
            1 => &[1],
            _ => &[2],
        };
        orders.truncate(steps.saturating_sub(lower.len()));
        orders.extend_from_slice(lower);
        Self::with_orders(orders, Coordinates::Noise)
    }

    /// How many steps DPM-Solver-fast makes with so many evaluations.
    pub const fn fast_steps(evaluations: usize) -> usize {
        evaluations / 3 + 1
    }

    fn with_orders(orders: Vec<usize>, coordinates: Coordinates) -> Result<Self, Error> {
        for &order in &orders {
            super::check_order(order, 3)?;
        }
        Ok(Self {
            coordinates,
            orders,
            fraction: 0.5,
            slope: Slope::Midpoint,
            tau: 0.0,
            noise: 1.0,
        })
    }

    super::options::tau_of_data! {
        /// The reverse stochastic equation, for the data: SEEDS. `tau = 1` reverses the forward process.
        ///
        /// The noises of the points inside a step and of its end are those of one path, as the equation
        /// has them.
        ///
        /// # Errors
        ///
        /// If tau is not 0 to 3, or the solver is one for the noise.
        #[doc(alias("SEEDS", "seeds_2", "seeds_3"))]
    }

    super::options::noise_factor!();

    /// The stages of these updates, each from the start of the step to a point further on, and where
    /// the network is asked for each.
    fn staged(&self, path: &Path<'_>, points: Vec<(At, NoiseLevel, Update)>) -> Vec<Stage> {
        let basis = self.coordinates.basis();
        let last = points.len().saturating_sub(1);
        // Where the state has been taken to.
        let mut reached = path.from();
        let mut stages = Vec::with_capacity(points.len());
        for (i, (at, level, update)) in points.into_iter().enumerate() {
            let stage = Stage::new(at, basis);
            if self.tau == 0.0 {
                stages.push(match i == last {
                    true => stage.with_commit(update),
                    false => stage.with_trial(update),
                });
                continue;
            }
            // The path of the noise is the state's; the predictions are added at each point anew.
            let mut walk = self.exponential(reached, level).update(&[], &[]);
            walk.scale_noise(self.noise);
            reached = level;
            stages.push(match i == last {
                true => stage.with_commit(walk.with_model(update.model)),
                false => stage
                    .with_commit(walk)
                    .with_trial(Update::new(1.0).with_model(update.model)),
            });
        }
        stages
    }

    /// The update of one order less from the predictions of a step of this order 2 or 3.
    pub(crate) fn embedded(&self, path: &Path<'_>) -> Result<Update, Error> {
        let (from, to) = (path.from(), path.to());
        let step = self.exponential(from, to);
        if self.memory() == 2 {
            let mut update = step.update(&[from], &step.moments(1, Slope::Exact));
            update.model.insert(0, 0.0);
            return Ok(update);
        }
        let first = path.level_at(from.log_snr().toward(to.log_snr(), 1.0 / 3.0))?;
        let mut update = step.update(&[first, from], &step.moments(2, Slope::Midpoint));
        update.model.insert(0, 0.0);
        Ok(update)
    }

    fn exponential(&self, from: NoiseLevel, to: NoiseLevel) -> Exponential {
        Exponential {
            coordinates: self.coordinates,
            from,
            to,
            tau: self.tau,
        }
    }

    /// Where the second evaluation of a step of order 2 lies, as a fraction in log-SNR.
    ///
    /// # Errors
    ///
    /// If the fraction is not 0.05 to 1.
    pub fn with_fraction(mut self, fraction: f64) -> Result<Self, Error> {
        if !(0.05..=1.0).contains(&fraction) {
            let what = "fraction of the second evaluation";
            return Err(Error::range(what, fraction, "0.05 to 1"));
        }
        self.fraction = fraction;
        Ok(self)
    }

    /// Integrates the line through both predictions of a step of order 2 exactly, as RES does.
    #[doc(alias("RES 2S", "refined exponential solver"))]
    #[must_use]
    pub fn with_exact_integrals(mut self) -> Self {
        self.slope = Slope::Exact;
        self
    }
}

impl ReverseStep for SingleStep {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        let last = self.orders.last().copied().unwrap_or(1);
        let order = self.orders.get(path.index()).copied().unwrap_or(last);
        super::check_descent(path, "tau", self.tau)?;
        if !(inner(from) && inner(to)) {
            return Ok(self.coordinates.end_stage(path, self.tau, self.noise));
        }
        let step = |to: NoiseLevel, nodes: &[NoiseLevel], slope| {
            let step = self.exponential(from, to);
            (to, step.update(nodes, &step.moments(nodes.len(), slope)))
        };
        let between = |fraction| {
            let snr = from.log_snr().toward(to.log_snr(), fraction);
            path.level_at(snr).map(|level| (At::LogSnr(snr), level))
        };
        let updates = match order {
            1 => vec![(At::From, step(to, &[from], Slope::Exact))],
            2 => {
                let (at, middle) = match self.fraction {
                    1.0 => (At::To, to),
                    fraction => between(fraction)?,
                };
                vec![
                    (At::From, step(middle, &[from], Slope::Exact)),
                    (at, step(to, &[middle, from], self.slope)),
                ]
            }
            _ => {
                let (at_1, first) = between(1.0 / 3.0)?;
                let (at_2, second) = between(2.0 / 3.0)?;
                let mut last = step(to, &[second, from], Slope::Exact);
                // The middle prediction has done its work with the second point.
                last.1.model.insert(1, 0.0);
                vec![
                    (At::From, step(first, &[from], Slope::Exact)),
                    (at_1, step(second, &[first, from], Slope::Exact)),
                    (at_2, last),
                ]
            }
        };
        let points = updates
            .into_iter()
            .map(|(at, (level, update))| (at, level, update));
        Ok(self.staged(path, points.collect()))
    }

    fn name(&self) -> &str {
        match (self.coordinates, self.orders.as_slice()) {
            (_, [2]) if self.tau > 0.0 => "SEEDS-2",
            (_, [3]) if self.tau > 0.0 => "SEEDS-3",
            (Coordinates::Data, [1]) => "DPM-Solver++ 1",
            (Coordinates::Data, [2]) => "DPM-Solver++ 2S",
            (Coordinates::Data, [3]) => "DPM-Solver++ 3S",
            (_, [1]) => "DPM-Solver-1",
            (_, [2]) => "DPM-Solver-2",
            (_, [3]) => "DPM-Solver-3",
            _ => "DPM-Solver-fast",
        }
    }

    fn memory(&self) -> usize {
        self.orders.iter().copied().max().unwrap_or(1)
    }

    /// With noise at most 2, on Gaussian data.
    fn order(&self) -> u32 {
        let most = if self.tau > 0.0 { 2 } else { 3 };
        self.orders.iter().copied().min().unwrap_or(1).min(most) as u32
    }
}
