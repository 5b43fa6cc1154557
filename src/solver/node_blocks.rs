//! DPM-Solver and DPM-Solver++ with the nodes of the grid inside the step.

use super::{
    At, Coordinates, Path, ReverseStep, Stage, Update,
    ending::Ending,
    exponential::{Exponential, Slope, inner},
};
use crate::{Error, NoiseLevel};

/// Single-step DPM-Solver and DPM-Solver++ whose inner evaluations are nodes of the grid: blocks of
/// up to three nodes, each made from the state at its start.
///
/// The formulas are those of [`SingleStep`](super::SingleStep) with the fractions that the nodes have;
/// each inner node is reached with the order of its place in the block, the block's end with the full
/// one. One evaluation a node, as diffusers counts its steps. Order 3 is that of steps whose lengths change smoothly:
/// elsewhere the nodes are not at the thirds that the formula asks for, and it has order 2.
///
/// [Sources](crate::docs::papers#arxiv-2206.00927): as [`SingleStep`](super::SingleStep).
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::NodeBlocks};
/// let schedule = Discrete::stable_diffusion()?;
/// let grid = Grid::trailing(&schedule, 12)?;
/// let plan = Plan::new(&schedule, &grid, &NodeBlocks::plus_plus(3)?)?;
/// assert_eq!(plan.evaluations(), 12);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("DPMSolverSinglestepScheduler", "singlestep"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeBlocks {
    coordinates: Coordinates,
    order: usize,
    slope: Slope,
    tau: f64,
    ending: Ending,
    /// Steps of the list before those of the run.
    before: usize,
    exact_inside: bool,
}

impl NodeBlocks {
    /// For the data, as DPM-Solver++.
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 3.
    pub fn plus_plus(order: usize) -> Result<Self, Error> {
        Self::new(order, Coordinates::Data)
    }

    /// For predictions of the noise (DPM-Solver) or of the data (DPM-Solver++).
    ///
    /// # Errors
    ///
    /// If the order is not 1 to 3, or the coordinates are those of the flow.
    pub fn new(order: usize, coordinates: Coordinates) -> Result<Self, Error> {
        super::check_noise_or_data(coordinates)?;
        super::check_order(order, 3)?;
        Ok(Self {
            coordinates,
            order,
            slope: Slope::Midpoint,
            tau: 0.0,
            ending: Ending::default(),
            before: 0,
            exact_inside: false,
        })
    }

    /// Heun's rule: the polynomial through all predictions of a block, integrated exactly.
    #[doc(alias("solver_type"))]
    #[must_use]
    pub fn with_exact_integrals(mut self) -> Self {
        self.slope = Slope::Exact;
        self
    }

    /// Reaches the third node of a block by the line through both predictions, integrated exactly, as the authors of
    /// DPM-Solver do and [`SingleStep`](super::SingleStep) does; diffusers reaches it as if it were an end.
    ///
    /// With this and [lower final orders](Self::with_lower_final_orders) for order 3, on a grid even in time or in its
    /// root, it is the single-step DPM-Solver of their code, whose points inside a step are even in time as well.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, Plan, schedule::VpLinear, solver::{Coordinates, NodeBlocks}};
    /// let schedule = VpLinear::new(0.1, 20.0)?;
    /// let solver = NodeBlocks::new(3, Coordinates::Noise)?.with_lower_final_orders().with_exact_inner_nodes();
    /// let plan = Plan::new(&schedule, &Grid::uniform_time(&schedule, 15)?, &solver)?;
    /// assert_eq!(plan.evaluations(), 15);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("time_uniform", "singlestep"))]
    #[must_use]
    pub fn with_exact_inner_nodes(mut self) -> Self {
        self.exact_inside = true;
        self
    }

    super::options::tau_of_data! {
        /// The reverse stochastic equation, for the data; `tau = 1` reverses the forward process.
        ///
        /// Every node of a block is reached from its start with noise of its own, which is not that of one
        /// path, as it is in [`SingleStep`](super::SingleStep): the law converges with order 1.
        ///
        /// # Errors
        ///
        /// If tau is not 0 to 3, or the solver is one for the noise.
        #[doc(alias("sde-dpmsolver++"))]
    }

    super::options::ending! {
        /// Cuts the last block, if it is full, so that the run ends with a step of order 1.
        lowers;
        /// Ends with an empty step after the last one: it has a place in the last block, and where that is
        /// not the first, the end is reached again with what the network says there.
        ///
        /// A run to the data has none.
        empty_step;
    }

    /// Takes the run for the rest of a list, of which so many steps come first: its blocks are those of
    /// the list, and one that is cut keeps what is left of its order.
    #[doc(alias("begin_index", "img2img"))]
    #[must_use]
    pub fn after_steps(mut self, before: usize) -> Self {
        self.before = before;
        self
    }

    /// The place in its block of every step of a run, from 1.
    ///
    /// Order 3 ends as `.. 3 1 2 1`, `.. 3 1` or `.. 3 1 2`; order 2 as `.. 2 1 1` or `.. 2 1`. There
    /// is nothing between an infinite log-SNR and the node next to it.
    fn places(self, path: &Path<'_>) -> Vec<usize> {
        let (own, order) = (self.ending.steps(path), self.order);
        let steps = self.before.saturating_add(own);
        let alone = usize::from(path.level(0).is_some_and(|level| !inner(level)));
        let mut places = vec![1; alone];
        let first = self.before.saturating_add(alone);
        places.extend((first..steps).map(|i| (i - alone) % order + 1));
        let cut = self.ending.lowers && (steps - alone).is_multiple_of(order);
        if let Some(last) = places.last_mut()
            && (cut || !inner(path.end()))
        {
            *last = 1;
        }
        for (i, place) in places.iter_mut().enumerate().take(order) {
            *place = (*place).min(i + 1);
        }
        places
    }

    /// The step of a block from its oldest node, with the predictions at these, the newest first.
    fn update(&self, to: NoiseLevel, nodes: &[NoiseLevel], slope: Slope) -> Update {
        let step = Exponential {
            coordinates: self.coordinates,
            from: nodes.last().copied().unwrap_or(to),
            to,
            tau: self.tau,
        };
        match (nodes, slope) {
            // Of three the middle one is left out, as in SingleStep.
            ([newest, _, oldest], Slope::Midpoint) => {
                let moments = step.moments(2, Slope::Exact);
                let mut update = step.update(&[*newest, *oldest], &moments);
                update.model.insert(1, 0.0);
                update
            }
            (nodes, slope) => step.update(nodes, &step.moments(nodes.len(), slope)),
        }
    }
}

impl ReverseStep for NodeBlocks {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        super::check_descent(path, "tau", self.tau)?;
        if !(inner(path.from()) && inner(path.to())) {
            return Ok(self.coordinates.end_stage(path, self.tau, 1.0));
        }
        let places = self.places(path);
        let place = |i: usize| places.get(i).copied().unwrap_or(1);
        let basis = self.coordinates.basis();
        let nodes: Vec<_> = path.visited().take(place(path.index())).collect();
        let stage = Stage::new(At::From, basis);
        let next = place(path.index() + 1);
        let slope = match next == 3 && self.exact_inside {
            true => Slope::Exact,
            false => self.slope,
        };
        let update = self.update(path.to(), &nodes, slope);
        if next == 1 {
            return Ok(vec![stage.with_commit(update)]);
        }
        let mut stages = vec![stage.with_trial(update)];
        if path.index() + 1 == path.steps() {
            let nodes: Vec<_> = [path.to()].into_iter().chain(path.visited()).collect();
            let nodes = nodes.get(..next).unwrap_or_default();
            let again = self.update(path.to(), nodes, self.slope);
            stages.push(Stage::new(At::To, basis).with_commit(again));
        }
        Ok(stages)
    }

    fn name(&self) -> &str {
        match (self.coordinates, self.tau == 0.0) {
            (Coordinates::Data, true) => "DPM-Solver++ in blocks",
            (Coordinates::Data, false) => "SDE-DPM-Solver++ in blocks",
            _ => "DPM-Solver in blocks",
        }
    }

    fn memory(&self) -> usize {
        self.order
    }

    fn order(&self) -> u32 {
        match self.tau == 0.0 {
            true => self.ending.order_of_runs(self.order),
            false => 1,
        }
    }

    /// At most 2: three nodes give the third order where they are a third of their block apart.
    fn order_on_uneven_steps(&self) -> u32 {
        self.order().min(2)
    }
}
