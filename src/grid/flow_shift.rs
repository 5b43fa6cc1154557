//! The shift of flow models towards noise, and what it is for a picture of some size.

use std::fmt::Debug;

use super::{Grid, Node};
use crate::{
    Error, LogSnr, NoiseLevel, Time,
    schedule::{NoiseSchedule, network_time_at},
};

impl<T: Copy + Debug> Grid<T> {
    /// The grid with every noise-to-signal ratio `factor` times as large; the network is given the
    /// times of the schedule at the new levels.
    ///
    /// On a rectified flow this is the shift of Stable Diffusion 3 and, with `factor = exp(mu)`, the
    /// one of FLUX:
    ///
    /// $$\sigma^{\prime}=\frac{k\thinspace\sigma}{1+(k-1)\thinspace\sigma},\qquad
    ///   \log\mathrm{SNR}^{\prime}=\log\mathrm{SNR}-2\ln k$$
    ///
    /// A level without noise or without signal stays; beyond the ends of its clock the network is given the
    /// end. [`Shifted`](crate::schedule::Shifted) moves
    /// the schedule instead, for a network that is given the unshifted time.
    ///
    /// # Errors
    ///
    /// If the factor is not in 1e-6 to 1e6, or leads to where there is no level.
    ///
    /// [Source](crate::docs::papers#arxiv-2403.03206): Scaling Rectified Flow Transformers for High-Resolution Image
    /// Synthesis, Esser et al., 2024.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::RectifiedFlow};
    /// let grid = Grid::uniform_time(&RectifiedFlow, 4)?.shifted(&RectifiedFlow, 3.0)?;
    /// let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
    /// assert!((times[1] - 0.9).abs() < 1e-15 && (times[3] - 0.5).abs() < 1e-15);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("flow_shift", "time_shift"))]
    pub fn shifted<S>(&self, schedule: &S, factor: f64) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        if !(1e-6..=1e6).contains(&factor) {
            return Err(Error::range("shift factor", factor, "1e-6 to 1e6"));
        }
        let moved = |level: NoiseLevel| -> Result<(NoiseLevel, LogSnr), Error> {
            let snr = LogSnr::new(level.log_snr().get() - 2.0 * factor.ln())?;
            // A schedule need not know the data.
            let level = match level.is_clean() {
                true => level,
                false => schedule.level_at(snr)?,
            };
            Ok((level, snr))
        };
        let mut nodes = Vec::with_capacity(self.len());
        for node in &self.nodes {
            let (level, snr) = moved(node.level)?;
            let time = network_time_at(schedule, snr)?;
            nodes.push(Node { level, time });
        }
        Self::new(nodes, moved(self.end)?.0)
    }
}

impl Grid<Time> {
    /// The grid with its times stretched so that the last node is at the time `terminal`.
    ///
    /// $$1-t^{\prime}=(1-t)\thinspace\frac{1-t_{\mathrm{terminal}}}{1-t_{\mathrm{last}}}$$
    ///
    /// After a [shift](Self::shifted), where both are asked for. The step to the end stays.
    ///
    /// # Errors
    ///
    /// If `terminal` is not above 0 and below 1, the last node is at time 1, or a time leads beyond
    /// the schedule.
    ///
    /// [Source](crate::docs::papers#arxiv-2501.00103): LTX-Video, HaCohen et al., 2024.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Time, schedule::RectifiedFlow};
    /// let grid = Grid::uniform_time(&RectifiedFlow, 4)?;
    /// let grid = grid.stretched(&RectifiedFlow, Time::new(0.1)?)?;
    /// let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
    /// assert!(times[0] == 1.0 && (times[1] - 0.7).abs() < 1e-15 && (times[3] - 0.1).abs() < 1e-15);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("shift_terminal", "stretch_shift_to_terminal"))]
    pub fn stretched<S>(&self, schedule: &S, terminal: Time) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = Time> + ?Sized,
    {
        let terminal = terminal.get();
        if !(terminal > 0.0 && terminal < 1.0) {
            return Err(Error::range(
                "terminal time",
                terminal,
                "above 0 and below 1",
            ));
        }
        let mut done = Vec::with_capacity(self.len());
        for node in &self.nodes {
            done.push(1.0 - schedule.time_at(node.level.log_snr())?.get());
        }
        let last = done.last().copied().unwrap_or_default();
        if !(last > 0.0) {
            return Err(Error::range("last time", 1.0, "below 1"));
        }
        let time = |done: f64| Time::new(1.0 - done / last * (1.0 - terminal));
        let times: Result<Vec<_>, _> = done.into_iter().map(time).collect();
        Self::at(schedule, &times?)?.ending_at(self.end)
    }
}

/// The dynamic shift: its logarithm `mu` is linear in the length of the sequence, the number of
/// tokens a picture makes.
///
/// $$\mu(L)=\mu_0+(L-L_0)\frac{\mu_1-\mu_0}{L_1-L_0},\qquad k=e^{\mu}$$
///
/// [Source](crate::docs::papers#flux-1): FLUX.1, Black Forest Labs, 2024.
///
/// ```
/// use gaussian_diffusion::{Grid, grid::DynamicShift, schedule::RectifiedFlow};
/// let factor = DynamicShift::FLUX.factor(4096);
/// assert!((factor - 1.15_f64.exp()).abs() < 1e-12);
/// let grid = Grid::uniform_time(&RectifiedFlow, 20)?.shifted(&RectifiedFlow, factor)?;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("use_dynamic_shifting", "calculate_shift", "mu"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DynamicShift {
    /// Length and `mu` of a small picture.
    pub base: (usize, f64),
    /// Length and `mu` of a large one.
    pub max: (usize, f64),
}

impl DynamicShift {
    /// 0.5 at 256 tokens, 1.15 at 4096.
    pub const FLUX: Self = Self {
        base: (256, 0.5),
        max: (4096, 1.15),
    };
    /// 0.95 at 1024 tokens, 2.05 at 4096.
    pub const LTX_VIDEO: Self = Self {
        base: (1024, 0.95),
        max: (4096, 2.05),
    };

    /// `mu` for this length.
    pub fn mu(self, length: usize) -> f64 {
        let (from, to) = (self.base, self.max);
        let slope = (to.1 - from.1) / (to.0 as f64 - from.0 as f64);
        from.1 + (length as f64 - from.0 as f64) * slope
    }

    /// `exp(mu)`, for [`Grid::shifted`].
    pub fn factor(self, length: usize) -> f64 {
        self.mu(length).exp()
    }
}

/// The `mu` of FLUX.2, which was fitted in the length of the sequence and the number of steps:
/// linear in the steps between two lines in the length, for 10 and 200 steps.
///
/// Above 4300 tokens, the line for 200 steps alone.
///
/// [Source](crate::docs::papers#flux-2): FLUX.2, Black Forest Labs, 2025.
///
/// ```
/// use gaussian_diffusion::grid::flux2_mu;
/// assert!((flux2_mu(4096, 10) - (8.73809524e-5 * 4096.0 + 1.89833333)).abs() < 1e-12);
/// ```
#[doc(alias("compute_empirical_mu"))]
pub fn flux2_mu(length: usize, n: usize) -> f64 {
    let length = length as f64;
    let many = 0.00016927 * length + 0.45666666;
    if length > 4300.0 {
        return many;
    }
    let few = 8.73809524e-5 * length + 1.89833333;
    few + (many - few) * (n as f64 - 10.0) / 190.0
}
