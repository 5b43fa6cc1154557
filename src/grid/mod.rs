//! Which noise levels a run visits.
//!
//! | grid | schedule | levels |
//! |---|---|---|
//! | [`Grid::every`] | steps | every training step |
//! | [`Grid::leading`], [`Grid::trailing`], [`Grid::linspace`] | steps | an even choice of training steps |
//! | [`Grid::uniform_time`] | any | even in time |
//! | [`Grid::uniform_log_snr`] | any | even in log-SNR |
//! | [`Grid::karras`] | any | even in `(sigma / alpha)^(1/7)` |
//! | [`Grid::quadratic_time`], [`Grid::sgm_uniform`] | any | even in the root of time; less the cleanest time |
//! | [`Grid::exponential`], [`Grid::polyexponential`] | any | even in `ln sigma`, or in a power of it |
//! | [`Grid::beta`], [`Grid::kl_optimal`] | any | quantiles of a beta distribution; even in `atan sigma` |
//! | [`Grid::align_your_steps`], [`Grid::gits`] | any | published tables |
//! | [`Grid::along`] | any | any [`SigmaCurve`]: [`VpCurve`], [`LinearQuadratic`], [`BongTangent`], [`LogitNormalCurve`], [`LaplaceCurve`], [`FlowCurve`], .. |
//! | [`Grid::ddim_uniform`], [`Grid::ddim_quadratic`], [`Grid::simple`], [`Grid::smoothstep`], [`Grid::beta_steps`], [`Grid::lcm`] | steps | other choices of training steps |
//! | [`Grid::at`], [`Grid::at_noise_to_signal`], [`Grid::at_log_snrs`] | any | a list of your own |
//!
//! Any of them can be [shifted](Grid::shifted) towards noise, [stretched](Grid::stretched), cut to a
//! [part](Grid::part) or the [strength](Grid::strength) of image-to-image, and
//! [end](Grid::ending_at) elsewhere.

mod align_your_steps;
mod beta;
mod bong_tangent;
mod curve;
mod ddim;
mod exponential;
mod flow_curve;
mod flow_shift;
mod gits;
mod gits_table;
mod karras;
mod kl_optimal;
mod laplace;
mod lcm;
mod linear_quadratic;
mod logit_normal;
mod part;
mod simple;
mod smoothstep;
mod strided;
mod table;
mod times;
mod uniform;
mod vp;

use std::fmt::Debug;

use crate::{Error, LogSnr, NoiseLevel, Step, error::Number, schedule::NoiseSchedule};

pub use align_your_steps::AlignYourSteps;
pub use beta::Beta;
pub use bong_tangent::BongTangent;
pub use curve::SigmaCurve;
pub use exponential::PolyExponential;
pub use flow_curve::FlowCurve;
pub use flow_shift::{DynamicShift, flux2_mu};
pub use karras::Karras;
pub use kl_optimal::KlOptimal;
pub use laplace::LaplaceCurve;
pub use linear_quadratic::LinearQuadratic;
pub use logit_normal::LogitNormalCurve;
pub use part::{steps_for_strength, steps_of_strength, steps_of_strength_up};
pub use vp::VpCurve;

/// A noise level of a run and what the network is given there.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Node<T> {
    /// The level.
    pub level: NoiseLevel,
    /// What the network is given. It never decides which level is meant.
    pub time: T,
}

/// The noise levels a run visits, from its start to its end.
///
/// A grid of `n` steps has `n` nodes, where a network can be asked, and an end. It is valid by
/// construction: there is a step, and the log-SNR strictly rises (strictly falls, for an
/// [inverted](Self::inverted) grid). A grid has exactly the number of steps asked for, or is an error.
///
/// ```
/// use gaussian_diffusion::{Grid, NoiseLevel, Step, schedule::Discrete};
/// let schedule = Discrete::cosine(1000)?;
/// let grid = Grid::trailing(&schedule, 4)?;
/// let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
/// assert_eq!(times, [999.0, 749.0, 499.0, 249.0]);
/// assert_eq!(grid.end(), NoiseLevel::CLEAN);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("timesteps", "sigmas", "set_timesteps", "spacing"))]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        try_from = "Written<T>",
        bound(deserialize = "T: serde::Deserialize<'de> + Copy + Debug")
    )
)]
pub struct Grid<T> {
    nodes: Vec<Node<T>>,
    end: NoiseLevel,
}

/// A grid as it is written: what is read is checked as what is constructed.
#[cfg(feature = "serde")]
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written<T> {
    nodes: Vec<Node<T>>,
    end: NoiseLevel,
}

#[cfg(feature = "serde")]
impl<T: Copy + Debug> TryFrom<Written<T>> for Grid<T> {
    type Error = Error;

    fn try_from(Written { nodes, end }: Written<T>) -> Result<Self, Error> {
        Self::new(nodes, end)
    }
}

impl<T: Copy + Debug> Grid<T> {
    /// A grid of these nodes and this end.
    ///
    /// # Errors
    ///
    /// If there is no node, or the log-SNR does not go strictly one way.
    pub fn new(nodes: Vec<Node<T>>, end: NoiseLevel) -> Result<Self, Error> {
        let levels: Vec<_> = nodes.iter().map(|node| node.level).chain([end]).collect();
        let (Some(&first), true) = (levels.first(), levels.len() > 1) else {
            return Err(Error::range("number of steps", 0.0, "1 or more"));
        };
        let cleaner = first.is_noisier_than(levels[1]);
        for (index, pair) in levels.windows(2).enumerate() {
            let ordered = match cleaner {
                true => pair[0].is_noisier_than(pair[1]),
                false => pair[1].is_noisier_than(pair[0]),
            };
            if !ordered {
                return Err(Error::NotMonotone {
                    what: "grid",
                    index: index + 1,
                    before: pair[0].log_snr().get(),
                    this: pair[1].log_snr().get(),
                });
            }
        }
        Ok(Self { nodes, end })
    }

    /// The levels at these times of the schedule, in this order, and then the data.
    ///
    /// A last time whose level is clean is the end itself, and not a node.
    ///
    /// # Errors
    ///
    /// If a time is outside the schedule, or the levels do not go strictly one way.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Step, schedule::Discrete};
    /// let schedule = Discrete::cosine(1000)?;
    /// let grid = Grid::at(&schedule, &[900, 400, 50].map(Step::new))?;
    /// assert_eq!(grid.len(), 3);
    /// assert!(Grid::at(&schedule, &[400, 900].map(Step::new)).is_err());
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn at<S>(schedule: &S, times: &[T]) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        let mut nodes = Vec::with_capacity(times.len());
        for &time in times {
            nodes.push(Node {
                level: schedule.level(time)?,
                time: schedule.network_time(time),
            });
        }
        Self::ending_clean(nodes)
    }

    /// The levels of these log-SNRs, in this order, and then the data.
    ///
    /// # Errors
    ///
    /// As [`at`](Self::at).
    pub fn at_log_snrs<S>(schedule: &S, log_snrs: &[LogSnr]) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        let mut nodes = Vec::with_capacity(log_snrs.len());
        for &snr in log_snrs {
            let time = schedule.network_time(schedule.time_at(snr)?);
            nodes.push(Node {
                level: schedule.level_at(snr)?,
                time,
            });
        }
        Self::ending_clean(nodes)
    }

    fn ending_clean(mut nodes: Vec<Node<T>>) -> Result<Self, Error> {
        if nodes.last().is_some_and(|node| node.level.is_clean()) {
            nodes.pop();
        }
        Self::new(nodes, NoiseLevel::CLEAN)
    }

    /// The same nodes with another end, such as the first training step instead of the data.
    ///
    /// # Errors
    ///
    /// If the end is not beyond the last node.
    #[doc(alias("final_sigmas_type", "set_alpha_to_one", "final_alpha_cumprod"))]
    pub fn ending_at(self, end: NoiseLevel) -> Result<Self, Error> {
        Self::new(self.nodes, end)
    }

    /// The grid walked the other way, from its end to its start.
    ///
    /// At the end itself, which has no time of its own, the network is given that of the last node.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let grid = Grid::leading(&Discrete::cosine(100)?, 4, 0)?.inverted();
    /// let times: Vec<_> = grid.nodes().iter().map(|node| node.time.get()).collect();
    /// assert_eq!(times, [0.0, 0.0, 25.0, 50.0]);
    /// assert!(grid.nodes()[0].level.is_clean());
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("DDIMInverseScheduler", "inversion", "ddim_reverse_sample"))]
    #[must_use]
    pub fn inverted(&self) -> Self {
        let mut nodes: Vec<_> = self.nodes.iter().rev().copied().collect();
        let mut end = self.end;
        // Each level moves one place: the old end becomes the first node.
        let mut last = nodes.first().map(|node| node.time);
        for node in &mut nodes {
            std::mem::swap(&mut node.level, &mut end);
            if let Some(time) = last.replace(node.time) {
                node.time = time;
            }
        }
        Self { nodes, end }
    }

    /// Number of steps.
    #[doc(alias("num_inference_steps"))]
    #[allow(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The levels where the network may be asked, from the start on.
    pub fn nodes(&self) -> &[Node<T>] {
        &self.nodes
    }

    /// The level the last step reaches.
    pub fn end(&self) -> NoiseLevel {
        self.end
    }

    /// All levels, the end included: one more than steps.
    pub fn levels(&self) -> impl Iterator<Item = NoiseLevel> {
        self.nodes.iter().map(|node| node.level).chain([self.end])
    }
}

/// The levels at these falling steps, refused with the number of steps if one comes twice.
fn at_distinct<S>(schedule: &S, steps: Vec<Step>) -> Result<Grid<Step>, Error>
where
    S: NoiseSchedule<Time = Step> + ?Sized,
{
    if let Some(twice) = steps.windows(2).find(|pair| pair[0] == pair[1]) {
        let allowed = format!("few enough that step {} comes once", Number(twice[0].get()));
        return Err(Error::range("number of steps", steps.len() as f64, allowed));
    }
    Grid::at(schedule, &steps)
}
