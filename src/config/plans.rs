//! Grids, solvers, plans and starts of a configuration.

use ndarray::{Array, ShapeBuilder};

use super::{
    SchedulerConfig, Timestep,
    classes::Section,
    facts::{Argument, Start},
    grid::{Ask, Walk},
    schedule::Kind,
    words::Spacing,
};
use crate::{
    Error, Grid, Plan,
    grid::{Node, steps_of_strength, steps_of_strength_up},
    noise::NoiseSource,
    run::{start_like, start_of},
    solver::ReverseStep,
    state::{Real, State},
};

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
        self.named(n, self.class.walk(&self.ask(n)))
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
        let solver = self.class.solver_of(ask, &section)?;
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
        self.named(n, self.class.solver_of(&self.ask(n), &section))
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
    /// strength stands for, [`steps_of_strength`] and
    /// [`steps_of_strength_up`] say.
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
            if let Some(walk) = self
                .class
                .walk(&self.ask(n))
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

    /// The start of `n` steps that diffusers draws, as an array, on the scale of this crate's states: one draw of noise,
    /// [`start_std`](Self::start_std) times. For other states, [`start_like`](Self::start_like).
    ///
    /// With [`TorchCpu`](crate::noise::TorchCpu) a seed gives the start that it gives there, and the run after
    /// it the same sample.
    ///
    /// # Errors
    ///
    /// As [`grid`](Self::grid), and if the noise source refuses the shape or no memory can hold it.
    ///
    /// ```
    /// use gaussian_diffusion::{config::SchedulerConfig, noise::TorchCpu};
    /// use ndarray::Array4;
    /// let config = SchedulerConfig::from_json(
    ///     r#"{"_class_name": "EulerAncestralDiscreteScheduler", "beta_schedule": "scaled_linear",
    ///         "beta_start": 0.00085, "beta_end": 0.012, "timestep_spacing": "leading"}"#,
    /// )?;
    /// let mut noise = TorchCpu::new(42); // generator = torch.manual_seed(42)
    /// let start = config.start((1, 4, 8, 8), 20, &mut noise)?;
    /// let mut net = config.denoiser(|x: &Array4<f32>, _time: f64| Ok(x * 0.1));
    /// let x0 = config.plan(20)?.sample(start, &mut net, &mut noise)?;
    /// # assert_eq!(x0.dim(), (1, 4, 8, 8));
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("prepare_latents", "init_noise_sigma", "latents"))]
    pub fn start<A, Sh, N>(
        &self,
        shape: Sh,
        n: usize,
        noise: &mut N,
    ) -> Result<Array<A, Sh::Dim>, Error>
    where
        A: Real,
        Sh: ShapeBuilder,
        N: NoiseSource<Array<A, Sh::Dim>> + ?Sized,
    {
        start_of(shape, self.start_std(n)?, noise)
    }

    /// The same for a state of any type: in the shape of this one, whose numbers do not matter.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_like<V, N>(&self, like: &V, n: usize, noise: &mut N) -> Result<V, Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
    {
        start_like(like, self.start_std(n)?, noise)
    }

    /// Image to image: the sampler of the last of `n` steps that a strength stands for, and its start, which is
    /// this data noised to the first of them.
    ///
    /// A strength counts as in the pipelines of diffusers: the last `int(n strength)` steps, and for the classes
    /// of flow matching the last `n - int(n - n strength)`. Those that count otherwise have
    /// [`plan_tail`](Self::plan_tail) and [`Plan::noised`].
    ///
    /// # Errors
    ///
    /// As [`plan_tail`](Self::plan_tail); if the strength is not above 0 and up to 1, or too small for a step;
    /// and if the noise source refuses the shape.
    ///
    /// ```
    /// use gaussian_diffusion::{config::SchedulerConfig, noise::TorchCpu};
    /// use ndarray::Array4;
    /// let config = SchedulerConfig::from_json(r#"{"_class_name": "DPMSolverMultistepScheduler"}"#)?;
    /// let picture = Array4::<f32>::zeros((1, 4, 8, 8));
    /// let mut noise = TorchCpu::new(42);
    /// let (plan, start) = config.image_to_image(&picture, 0.6, 30, &mut noise)?;
    /// assert_eq!(plan.steps(), 18);
    /// let mut net = config.denoiser(|x: &Array4<f32>, _time: f64| Ok(x * 0.1));
    /// let edited = plan.sample(start, &mut net, &mut noise)?;
    /// # assert_eq!(edited.dim(), picture.dim());
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("img2img", "strength", "get_timesteps", "add_noise"))]
    pub fn image_to_image<V, N>(
        &self,
        data: &V,
        strength: f64,
        n: usize,
        noise: &mut N,
    ) -> Result<(Plan<Timestep>, V), Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
    {
        let steps = match &self.schedule.kind {
            Kind::Flow { .. } => steps_of_strength_up(n, strength),
            _ => steps_of_strength(n, strength),
        };
        let plan = self.plan_tail(n, self.named(n, steps)?)?;
        let start = plan.noised(data, noise)?;
        Ok((plan, start))
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
