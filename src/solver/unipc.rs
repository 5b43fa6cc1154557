//! UniPC: a predictor and a corrector from one evaluation a step.

use super::{
    At, Coordinates, Path, ReverseStep, Stage, Update,
    ending::Ending,
    exponential::{Exponential, Slope, inner},
};
use crate::{Error, NoiseLevel};

/// UniPC of orders 1 to 8, for the data or the noise.
///
/// Every node is reached twice: predicted with the polynomial through the predictions before it, and,
/// once the network has been asked there, corrected with the one through its own prediction too:
///
/// ```text
/// x_s = (sigma_s / sigma_t) x_t + sigma_s * integral of e^lambda p(lambda) d lambda
/// ```
///
/// $$x_s=\frac{\sigma_s}{\sigma_t}x_t+\sigma_s\int_{\lambda_t}^{\lambda_s}e^{\lambda}p(\lambda)\thinspace
///   \mathrm d\lambda$$
///
/// `p` has `order` predictions in the predictor and one more in the corrector. The integrals are
/// exact where the published equations determine them. Two places of one free coefficient take 1/2
/// times `B(h)`: the predictor of order 2 and the corrector of order 1, and there alone do the two
/// published choices of `B` differ: `e^h - 1` (bh2, here the default) and `h` (bh1).
///
/// Corrected, a step has one order more than its predictor; the last one is not corrected.
///
/// [Source](crate::docs::papers#arxiv-2302.04867): UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of
/// Diffusion Models, Zhao, Bai, Rao, Zhou, Lu, 2023.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::UniPc};
/// let schedule = Discrete::stable_diffusion()?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 10)?, &UniPc::new(2)?)?;
/// assert_eq!(plan.evaluations(), 10);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("UniPCMultistepScheduler", "uni_pc", "UniP", "UniC", "bh1", "bh2"))]
#[derive(Debug, Clone, PartialEq)]
pub struct UniPc {
    coordinates: Coordinates,
    order: usize,
    free: Slope,
    ending: Ending,
    uncorrected: Vec<usize>,
}

impl UniPc {
    /// For the data, with `B(h) = e^h - 1`.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 8.
    pub fn new(order: usize) -> Result<Self, Error> {
        super::check_order(order, 8)?;
        Ok(Self {
            coordinates: Coordinates::Data,
            order,
            free: Slope::Midpoint,
            ending: Ending::default(),
            uncorrected: Vec::new(),
        })
    }

    /// For the noise, or for the data, which is the default.
    ///
    /// # Errors
    ///
    /// If they are those of the flow.
    #[doc(alias("predict_x0"))]
    pub fn with_coordinates(mut self, coordinates: Coordinates) -> Result<Self, Error> {
        self.coordinates = super::check_noise_or_data(coordinates)?;
        Ok(self)
    }

    /// With `B(h) = h`.
    #[must_use]
    pub fn with_bh1(mut self) -> Self {
        self.free = Slope::Interval;
        self
    }

    super::options::ending! {
        /// Lowers the order to the number of steps left: the last has order 1, the one before it 2.
        lowers;
        /// Ends with an empty step after the last one: the network is asked at the level the run ends at,
        /// and the last step is corrected like the others.
        ///
        /// The empty step counts where orders are lowered. A run to the data has none.
        ///
        /// ```
        /// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::UniPc};
        /// let schedule = Discrete::stable_diffusion()?;
        /// let grid = Grid::karras(&schedule, 8)?.without_final_step()?;
        /// let plan = Plan::new(&schedule, &grid, &UniPc::new(2)?.with_empty_last_step())?;
        /// assert_eq!((plan.steps(), plan.evaluations()), (7, 8));
        /// # Ok::<(), gaussian_diffusion::Error>(())
        /// ```
        empty_step;
    }

    /// Leaves the results of these steps, counted from 0, as they were predicted.
    #[doc(alias("disable_corrector"))]
    #[must_use]
    pub fn without_corrector_at(mut self, steps: impl Into<Vec<usize>>) -> Self {
        self.uncorrected = steps.into();
        self
    }

    /// The order of the predictor of a step.
    fn order_of(&self, path: &Path<'_>, index: usize) -> usize {
        let most = self.ending.order(path, index, self.order);
        let known = |i: &usize| path.level(*i).is_some_and(inner);
        let visited = (0..=index).rev().take(most);
        visited.take_while(known).count()
    }

    fn update(
        &self,
        from: NoiseLevel,
        to: NoiseLevel,
        nodes: &[NoiseLevel],
        is_free: bool,
    ) -> Update {
        let step = Exponential {
            coordinates: self.coordinates,
            from,
            to,
            tau: 0.0,
        };
        let slope = if is_free { self.free } else { Slope::Exact };
        step.update(nodes, &step.moments(nodes.len(), slope))
    }

    /// Whether the result of a step is corrected by the evaluation after it.
    fn corrects(&self, path: &Path<'_>, index: usize) -> bool {
        let is_inner = |i: usize| path.level(i).is_some_and(inner);
        !self.ending.is_last(path, index)
            && !self.uncorrected.contains(&index)
            && is_inner(index)
            && is_inner(index + 1)
    }

    /// The correction of the step of this index, once the network has been asked where it ends.
    fn corrector(&self, path: &Path<'_>, index: usize) -> Option<Update> {
        let (from, to) = (path.level(index)?, path.level(index + 1)?);
        self.corrects(path, index).then(|| {
            let order = self.order_of(path, index);
            let reached = (0..index + 2).rev().take(order + 1);
            let nodes: Vec<_> = reached.filter_map(|i| path.level(i)).collect();
            self.update(from, to, &nodes, order == 1)
        })
    }

    fn predictor(&self, path: &Path<'_>) -> Update {
        let (from, to) = (path.from(), path.to());
        let nodes: Vec<_> = path
            .visited()
            .take(self.order_of(path, path.index()))
            .collect();
        self.update(from, to, &nodes, nodes.len() == 2)
    }
}

impl ReverseStep for UniPc {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (basis, predicted) = if inner(path.from()) && inner(path.to()) {
            (self.coordinates.basis(), self.predictor(path))
        } else {
            self.coordinates.straight(path.from(), path.to())
        };
        let stage = Stage::new(At::From, basis);
        let before = path.index().checked_sub(1);
        let corrected = before.and_then(|index| self.corrector(path, index));
        if !self.corrects(path, path.index()) {
            let whole = match corrected {
                Some(corrected) => corrected.then(&predicted),
                None => predicted,
            };
            return Ok(vec![stage.with_commit(whole)]);
        }
        let stage = stage.with_trial(predicted);
        let mut stages = vec![match corrected {
            Some(corrected) => stage.with_commit(corrected),
            None => stage,
        }];
        if path.index() + 1 == path.steps()
            && let Some(last) = self.corrector(path, path.index())
        {
            stages.push(Stage::new(At::To, basis).with_commit(last));
        }
        Ok(stages)
    }

    fn name(&self) -> &str {
        match self.order {
            1 => "UniPC-1",
            2 => "UniPC-2",
            3 => "UniPC-3",
            _ => "UniPC",
        }
    }

    fn memory(&self) -> usize {
        self.order + 1
    }

    fn order(&self) -> u32 {
        self.ending.order_of_runs(self.order + 1)
    }
}
