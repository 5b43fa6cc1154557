//! Grids, solvers and plans of a configuration.

use super::{
    SchedulerConfig, Timestep,
    classes::{Argument, Section, Start},
    grid::{self, Ask, Walk},
    schedule::Kind,
    words::Spacing,
};
use crate::{Error, Grid, Plan, grid::Node, solver::ReverseStep};

impl SchedulerConfig {
    /// The grid of `n` steps.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if the class has none with so many steps, or an option it needs is
    /// missing.
    #[doc(alias("set_timesteps"))]
    pub fn grid(&self, n: usize) -> Result<Grid<Timestep>, Error> {
        Ok(self.walk(n)?.grid)
    }

    pub(super) fn ask(&self, n: usize) -> Ask<'_> {
        Ask {
            keys: &self.keys,
            schedule: &self.schedule,
            options: &self.options,
            n,
        }
    }

    fn walk(&self, n: usize) -> Result<Walk<Timestep>, Error> {
        self.named(n, grid::walk(&self.ask(n)))
    }

    /// An error of `n` steps, with the class: of a key or an argument, if it names one.
    pub(super) fn named<T>(&self, n: usize, part: Result<T, Error>) -> Result<T, Error> {
        part.map_err(|error| match error {
            Error::Configuration { .. } => error,
            Error::OutOfRange {
                what: what @ "eta",
                value,
                allowed,
            } => self.keys.error(what, format!("{value:?}"), allowed),
            other => {
                let allowed = format!("a number for which not: {other}");
                self.keys.refuse_steps(n, allowed)
            }
        })
    }

    /// The plan on the steps of a grid, of a list that has so many before them.
    pub(super) fn plan_of(
        &self,
        ask: &Ask<'_>,
        grid: &Grid<Timestep>,
        empty_step: bool,
        before: usize,
    ) -> Result<Plan<Timestep>, Error> {
        let section = Section {
            grid,
            empty_step,
            before,
        };
        let solver = (self.keys.class.solver)(ask, &section)?;
        let plan = Plan::new(&self.schedule, grid, &solver)?;
        match self.keys.class.reads(Argument::Jumps) {
            true => ask.options.jumps.apply(&plan),
            false => Ok(plan),
        }
    }

    /// The solver of `n` steps, for [`grid(n)`](Self::grid) alone: see
    /// [`solver_for`](Self::solver_for).
    ///
    /// # Errors
    ///
    /// As [`grid`](Self::grid), and if an option is out of range.
    pub fn solver(&self, n: usize) -> Result<Box<dyn ReverseStep>, Error> {
        let walk = self.walk(n)?;
        self.solver_of(n, &walk)
    }

    /// The solver for this grid: some depend on its levels, others on the number of its steps.
    ///
    /// # Errors
    ///
    /// As [`plan_on`](Self::plan_on).
    pub fn solver_for(&self, grid: &Grid<Timestep>) -> Result<Box<dyn ReverseStep>, Error> {
        let (n, walk) = self.walk_on(grid)?;
        self.solver_of(n, &walk)
    }

    fn solver_of(&self, n: usize, walk: &Walk<Timestep>) -> Result<Box<dyn ReverseStep>, Error> {
        let section = Section {
            grid: &walk.grid,
            empty_step: walk.empty_step,
            before: 0,
        };
        self.named(n, (self.keys.class.solver)(&self.ask(n), &section))
    }

    /// The sampler of `n` steps.
    ///
    /// # Errors
    ///
    /// As [`grid`](Self::grid), and if an option is out of range.
    pub fn plan(&self, n: usize) -> Result<Plan<Timestep>, Error> {
        let walk = self.walk(n)?;
        let plan = self.plan_of(&self.ask(n), &walk.grid, walk.empty_step, 0);
        self.named(n, plan)
    }

    /// The sampler of the last `steps` of `n` steps: image to image, as diffusers runs it.
    ///
    /// The run starts from data brought to the level of the first of them. What counts the steps of a run
    /// counts all `n`: lower orders at the end, the blocks of single-step solvers, churn. How many steps a
    /// strength stands for, [`steps_of_strength`](crate::grid::steps_of_strength) and
    /// [`steps_of_strength_up`](crate::grid::steps_of_strength_up) say.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan); if `steps` is not 1 to `n`; for a part of PNDM with `skip_prk_steps: false`,
    /// whose start takes the first steps.
    ///
    /// ```
    /// use gaussian_diffusion::{config::SchedulerConfig, grid::steps_of_strength};
    /// let config = SchedulerConfig::from_json(r#"{"_class_name": "DPMSolverMultistepScheduler"}"#)?;
    /// let plan = config.plan_tail(20, steps_of_strength(20, 0.6)?)?;
    /// assert_eq!(plan.steps(), 12);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("strength", "img2img", "set_begin_index"))]
    pub fn plan_tail(&self, n: usize, steps: usize) -> Result<Plan<Timestep>, Error> {
        if steps == n {
            return self.plan(n);
        }
        let walk = self.walk(n)?;
        if !self
            .keys
            .get("skip_prk_steps")
            .is_none_or(|skips| skips == true)
        {
            let allowed = "true for a part of the steps";
            return Err(self.keys.refuse("skip_prk_steps", allowed));
        }
        // Steps of the list that no grid has.
        let empty = n.saturating_sub(walk.grid.len());
        let least = empty + 1;
        if !(least..=n).contains(&steps) {
            let allowed = format!("{least} to {n}, of {n} steps");
            return Err(self.keys.refuse_steps(steps, allowed));
        }
        let grid = walk.grid.tail(steps - empty)?;
        let plan = self.plan_of(&self.ask(n), &grid, walk.empty_step, n - steps);
        self.named(n, plan)
    }

    /// The sampler on a grid of one's own, or on a part of one of these.
    ///
    /// A grid that [`grid`](Self::grid) gives is run as [`plan`](Self::plan) runs it. Of any other, the
    /// steps are those of the grid and its end is the end of the run, whatever the file says of both; what
    /// counts steps counts these. [`plan_tail`](Self::plan_tail) counts those before them, too.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`] if a solver does not fit the grid: PNDM with `skip_prk_steps: false`, whose
    /// start needs the middles of steps, noise that would be added upwards.
    ///
    /// ```
    /// use gaussian_diffusion::{Grid, config::{SchedulerConfig, Timestep}};
    /// let config = SchedulerConfig::from_json(r#"{"_class_name": "TCDScheduler"}"#)?;
    /// let times = [999.0, 699.0, 399.0, 99.0].map(Timestep);
    /// let plan = config.plan_on(&Grid::at(config.schedule(), &times)?)?;
    /// assert_eq!(plan.steps(), 4);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn plan_on(&self, grid: &Grid<Timestep>) -> Result<Plan<Timestep>, Error> {
        let (n, walk) = self.walk_on(grid)?;
        let plan = self.plan_of(&self.ask(n), &walk.grid, walk.empty_step, 0);
        self.named(n, plan)
    }

    /// The walk that a grid is: the class's own, if it is that, with the number of its steps.
    fn walk_on(&self, grid: &Grid<Timestep>) -> Result<(usize, Walk<Timestep>), Error> {
        let len = grid.len();
        // The list may have had an empty step, and the start of PNDM three middles.
        let counts = [
            Some(len),
            Some(len + 1),
            len.checked_sub(3),
            len.checked_sub(2),
        ];
        for n in counts.into_iter().flatten().filter(|n| *n > 0) {
            if let Some(walk) = grid::walk(&self.ask(n))
                .ok()
                .filter(|walk| walk.grid == *grid)
            {
                return Ok((n, walk));
            }
        }
        if !self
            .keys
            .get("skip_prk_steps")
            .is_none_or(|skips| skips == true)
        {
            let allowed = "true on a grid of one's own, of whose steps no middles are known";
            return Err(self.keys.refuse("skip_prk_steps", allowed));
        }
        Ok((len, Walk::of(grid.clone())))
    }

    /// The standard deviation of the start that diffusers draws, on the scale of this crate's states.
    ///
    /// It differs from [`Plan::prior_std`] where a class starts at `sigma` instead of
    /// `sqrt(1 + sigma^2)`.
    ///
    /// # Errors
    ///
    /// As [`grid`](Self::grid).
    #[doc(alias("init_noise_sigma"))]
    pub fn start_std(&self, n: usize) -> Result<f64, Error> {
        let grid = self.grid(n)?;
        let level = grid
            .nodes()
            .first()
            .map_or(grid.end(), |node: &Node<_>| node.level);
        let is_sigma = match self.keys.class.start {
            Start::Root => false,
            Start::Sigma => true,
            Start::SigmaUnlessLeading => self.keys.spacing()? != Spacing::Leading,
        };
        Ok(match &self.schedule.kind {
            Kind::Flow { .. } => 1.0,
            _ if is_sigma => level.sigma(),
            _ => level.alpha().hypot(level.sigma()),
        })
    }
}
