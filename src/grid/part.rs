//! Parts of a run: its tail, its head, a start in the middle.

use std::{fmt::Debug, ops::Range};

use super::{Grid, Node};
use crate::{
    Error, NoiseLevel,
    schedule::{NoiseSchedule, network_time_at},
    time::check_steps,
};

impl<T: Copy + Debug> Grid<T> {
    /// The steps of this range, counted from the start of the run.
    ///
    /// A run on a part is one of its own. A solver that looks back starts with its lower orders again, and
    /// does in its last step what it does at an end; steps are counted from 0, and so are those of
    /// guidance intervals; a network that remembers forgets. Parts one after the other, with the same source
    /// of noise going on, are therefore the whole only for solvers without memory and networks likewise.
    /// To split a run between two networks, two jobs or two machines, stop it
    /// ([`Run::sample_observed`](crate::Run::sample_observed)) or store it ([`Run::save`](crate::Run::save)):
    /// that is right for all.
    ///
    /// # Errors
    ///
    /// If the range is empty or leads beyond the last step.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let grid = Grid::trailing(&Discrete::cosine(1000)?, 10)?;
    /// let middle = grid.part(2..5)?;
    /// assert_eq!(middle.len(), 3);
    /// assert_eq!(middle.end(), grid.nodes()[5].level);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn part(&self, steps: Range<usize>) -> Result<Self, Error> {
        let (first, last) = (steps.start as f64, steps.end as f64);
        if !(1..=self.len()).contains(&steps.end) {
            let allowed = format!("1 to {}, the steps of the grid", self.len());
            return Err(Error::range("end of the steps", last, allowed));
        }
        let Some(nodes) = self
            .nodes
            .get(steps.clone())
            .filter(|part| !part.is_empty())
        else {
            let allowed = format!("below {last}, the end of the steps");
            return Err(Error::range("start of the steps", first, allowed));
        };
        let end = self
            .nodes
            .get(steps.end)
            .map_or(self.end, |node| node.level);
        let nodes = nodes.to_vec();
        Ok(Self { nodes, end })
    }

    /// The last `n` steps: a run that starts in the middle, and there begins like any
    /// [`part`](Self::part).
    ///
    /// # Errors
    ///
    /// If `n` is 0 or above the number of steps.
    #[doc(alias("begin_index"))]
    pub fn tail(&self, n: usize) -> Result<Self, Error> {
        if !(1..=self.len()).contains(&n) {
            let allowed = format!("1 to {}, the steps of the grid", self.len());
            return Err(Error::range("number of steps", n as f64, allowed));
        }
        self.part(self.len() - n..self.len())
    }

    /// The last `floor(strength n)` of `n` steps: image-to-image as most pipelines of diffusers count.
    ///
    /// The run starts from an image brought to the level of the first node by
    /// [`jump`](crate::ForwardProcess::jump). Other counts: [`strength_up`](Self::strength_up) of its
    /// pipelines of flows, [`strength_and_one`](Self::strength_and_one) of the WebUI, and
    /// [`steps_for_strength`] of ComfyUI, which keeps the number of steps.
    ///
    /// # Errors
    ///
    /// If the strength is not above 0 and up to 1, or too small for one step.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Discrete};
    /// let grid = Grid::trailing(&Discrete::cosine(1000)?, 10)?;
    /// assert_eq!(grid.strength(0.75)?.len(), 7);
    /// assert_eq!(grid.strength_and_one(0.75)?.len(), 8);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("img2img", "denoise", "image-to-image"))]
    pub fn strength(&self, strength: f64) -> Result<Self, Error> {
        self.tail(steps_of_strength(self.len(), strength)?)
    }

    /// The last `n - floor(n - strength n)` of `n` steps: image-to-image as the pipelines of diffusers for
    /// flows count, those of Stable Diffusion 3, FLUX, Qwen-Image and others.
    ///
    /// # Errors
    ///
    /// If the strength is not above 0 and up to 1.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::RectifiedFlow};
    /// let grid = Grid::uniform_time(&RectifiedFlow, 10)?;
    /// assert_eq!(grid.strength(0.75)?.len(), 7);
    /// assert_eq!(grid.strength_up(0.75)?.len(), 8);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn strength_up(&self, strength: f64) -> Result<Self, Error> {
        self.tail(steps_of_strength_up(self.len(), strength)?)
    }

    /// The last `floor(min(strength, 0.999) n) + 1` of `n` steps: image-to-image as the WebUI counts.
    ///
    /// # Errors
    ///
    /// If the strength is not above 0 and up to 1.
    pub fn strength_and_one(&self, strength: f64) -> Result<Self, Error> {
        check_strength(strength)?;
        self.tail((strength.min(0.999) * self.len() as f64) as usize + 1)
    }

    /// A run that starts at this level: all nodes of less noise follow it. Beyond the ends of its clock
    /// the network is given the end.
    ///
    /// # Errors
    ///
    /// If the level is not noisier than the end.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, NoiseLevel, Sigma, schedule::Edm};
    /// let grid = Grid::karras(&Edm::default(), 5)?;
    /// let start = NoiseLevel::variance_exploding(Sigma::new(10.0)?)?;
    /// let short = grid.starting_at(&Edm::default(), start)?;
    /// assert_eq!(short.len(), 4);
    /// assert_eq!(short.nodes()[0].level.sigma(), 10.0);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn starting_at<S>(&self, schedule: &S, start: NoiseLevel) -> Result<Self, Error>
    where
        S: NoiseSchedule<Time = T> + ?Sized,
    {
        let first = Node {
            level: start,
            time: network_time_at(schedule, start.log_snr())?,
        };
        let later = self.nodes.iter().copied();
        let later = later.filter(|node| start.is_noisier_than(node.level));
        Self::new([first].into_iter().chain(later).collect(), self.end)
    }

    /// The run without its last step: it ends at the level of the last node, such as the smallest
    /// sigma of a curve.
    ///
    /// # Errors
    ///
    /// If there is only one step.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Edm};
    /// let grid = Grid::karras(&Edm::default(), 6)?.without_final_step()?;
    /// assert!(grid.len() == 5 && (grid.end().sigma() - 0.002).abs() < 1e-17);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("final_sigmas_type", "sigma_min"))]
    pub fn without_final_step(&self) -> Result<Self, Error> {
        self.check_two()?;
        self.part(0..self.len() - 1)
    }

    /// The run without its last node: the last but one of its levels, counting the end.
    ///
    /// # Errors
    ///
    /// If there is only one step.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, schedule::Edm};
    /// let grid = Grid::karras(&Edm::default(), 6)?.without_penultimate()?;
    /// assert!(grid.len() == 5 && grid.end().is_clean());
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("discard_next_to_last_sigma", "discard penultimate sigma"))]
    pub fn without_penultimate(mut self) -> Result<Self, Error> {
        self.check_two()?;
        self.nodes.pop();
        Ok(self)
    }

    fn check_two(&self) -> Result<(), Error> {
        if self.len() < 2 {
            return Err(Error::range("number of steps", 1.0, "2 or more"));
        }
        Ok(())
    }
}

/// How many of `n` steps a strength stands for, as most pipelines of diffusers count: `floor(strength n)`.
///
/// Products that miss a whole number by rounding alone are that number: 0.29 of 100 steps are 29, where
/// Python's `int(100 * 0.29)` is 28.
///
/// # Errors
///
/// If the strength is not above 0 and up to 1, or too small for one step.
///
/// ```
/// use gaussian_diffusion::grid::steps_of_strength;
/// assert_eq!(steps_of_strength(10, 0.75)?, 7);
/// assert_eq!(steps_of_strength(100, 0.29)?, 29);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("strength", "img2img"))]
pub fn steps_of_strength(n: usize, strength: f64) -> Result<usize, Error> {
    let product = product(n, strength)?;
    match product as usize {
        0 => {
            let allowed = format!("1 / {n} or more for one step of {n}");
            Err(Error::range("strength", strength, allowed))
        }
        steps => Ok(steps),
    }
}

/// How many of `n` steps a strength stands for, as the pipelines of diffusers for flows count:
/// `n - floor(n - strength n)`.
///
/// # Errors
///
/// If the strength is not above 0 and up to 1.
///
/// ```
/// use gaussian_diffusion::grid::steps_of_strength_up;
/// assert_eq!(steps_of_strength_up(10, 0.75)?, 8);
/// assert_eq!(steps_of_strength_up(100, 0.29)?, 29);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub fn steps_of_strength_up(n: usize, strength: f64) -> Result<usize, Error> {
    Ok(product(n, strength)?.ceil() as usize)
}

/// `strength n`, which rounding does not keep from being whole.
fn product(n: usize, strength: f64) -> Result<f64, Error> {
    check_steps(n)?;
    check_strength(strength)?;
    let product = n as f64 * strength;
    let whole = product.round();
    let is_whole = (product - whole).abs() <= 4.0 * f64::EPSILON * whole;
    Ok(if is_whole { whole } else { product })
}

/// The number of steps of the whole run of which `n` are a share of `strength`: `floor(n /
/// strength)`, and `n` for strengths above 0.9999.
///
/// ComfyUI runs the last `n` of them: [`Grid::tail`].
///
/// # Errors
///
/// If `n` is 0, or the strength is not in 1e-6 to 1.
///
/// ```
/// use gaussian_diffusion::{Grid, grid::steps_for_strength, schedule::Discrete};
/// let total = steps_for_strength(20, 0.6)?;
/// assert_eq!(total, 33);
/// let grid = Grid::trailing(&Discrete::cosine(1000)?, total)?.tail(20)?;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("denoise"))]
pub fn steps_for_strength(n: usize, strength: f64) -> Result<usize, Error> {
    check_steps(n)?;
    if !(1e-6..=1.0).contains(&strength) {
        return Err(Error::range("strength", strength, "1e-6 to 1"));
    }
    if strength > 0.9999 {
        return Ok(n);
    }
    Ok((n as f64 / strength) as usize)
}

pub(super) fn check_strength(strength: f64) -> Result<(), Error> {
    if !(strength > 0.0 && strength <= 1.0) {
        return Err(Error::range("strength", strength, "above 0 and up to 1"));
    }
    Ok(())
}
