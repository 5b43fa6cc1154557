#![doc = include_str!("../../docs/configuration.md")]

mod betas;
mod defaults;
mod grid;
mod keys;
mod multistep;
mod network;
mod options;
mod schedule;
mod solver;

use crate::{Error, Grid, NonMarkovian, Parameterization, Plan, grid::Node, solver::ReverseStep};
use grid::Walk;
use keys::Keys;
use network::Network;
use schedule::Kind;

pub use network::{Answer, Clipping, Configured};
pub use options::{Jumps, Options};
pub use schedule::{Schedule, Timestep};

/// A diffusers scheduler read from its `scheduler_config.json`.
///
/// Every class has its own defaults for the keys that a file leaves out. A key without effect is
/// listed by [`ignored`](Self::ignored); a class or a value that is not supported is an error.
///
/// | classes (each followed by `Scheduler`) | network is given |
/// |---|---|
/// | `DDPM`, `DDPMParallel`, `DDIM`, `DDIMParallel`, `DDIMInverse`, `CogVideoXDDIM`, `CogVideoXDPM`, `UnCLIP`, `PNDM`, `RePaint` | a whole step |
/// | `EulerDiscrete`, `EulerAncestralDiscrete`, `HeunDiscrete`, `LMSDiscrete`, `KDPM2Discrete`, `KDPM2AncestralDiscrete`, `DPMSolverSDE` | a step, also fractional |
/// | `DPMSolverMultistep`, `DPMSolverMultistepInverse`, `DPMSolverSinglestep`, `UniPCMultistep`, `DEISMultistep`, `SASolver` | a whole step |
/// | `FlowMatchEulerDiscrete`, `FlowMatchHeunDiscrete`, `FlowMatchLCM`, `FlowMapEulerDiscrete`, `LTXEulerAncestralRF` | 1000 times the time |
/// | `MiniMaxH3` | one less the time |
/// | `EDMEuler`, `EDMDPMSolverMultistep`, `CosineDPMSolverMultistep` | `ln(sigma) / 4`; `(2 / pi) atan(sigma)` |
/// | `LCM`, `TCD`, `CMStochasticIterative`, `SCM` | a step; `250 ln(sigma)`; an angle |
/// | `IPNDM` | a fraction of a quarter turn |
/// | `ScoreSdeVe` | sigma |
/// | `DDPMWuerstchen` | a time from 0 to 1 |
///
/// ```
/// use gaussian_diffusion::{SeededNoise, config::SchedulerConfig};
/// use ndarray::Array2;
///
/// let config = SchedulerConfig::from_json(
///     r#"{"_class_name": "DPMSolverMultistepScheduler", "beta_start": 0.00085, "beta_end": 0.012,
///         "beta_schedule": "scaled_linear", "use_karras_sigmas": true}"#,
/// )?;
/// let plan = config.plan(20)?;
/// // A network that predicts no noise at all.
/// let mut net = config.denoiser(|x: &Array2<f32>, _time: f64| Ok(x * 0.0));
/// let mut noise = SeededNoise::new(0);
/// let x0 = plan.sample(plan.prior((2, 3), &mut noise)?, &mut net, &mut noise)?;
/// assert_eq!(x0.dim(), (2, 3));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("from_pretrained", "from_config", "scheduler_config.json"))]
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct SchedulerConfig {
    keys: Keys,
    schedule: Schedule,
    network: Network,
    clipping: Clipping,
    options: Options,
    ignored: Vec<String>,
}

/// A configuration as it is written: its file, with what the call and the reader know.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    scheduler: serde_json::Value,
    options: Options,
    ignored: Vec<String>,
}

impl From<SchedulerConfig> for Stored {
    fn from(config: SchedulerConfig) -> Self {
        Self {
            scheduler: config.keys.to_value(),
            options: config.options,
            ignored: config.ignored,
        }
    }
}

impl TryFrom<Stored> for SchedulerConfig {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self, Error> {
        let mut config = Self::from_json(&stored.scheduler.to_string())?;
        config.options = stored.options;
        config.ignored = stored.ignored;
        Ok(config)
    }
}

impl SchedulerConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// [`Error::Parse`] if the text is no JSON object with a class; [`Error::Configuration`] for a
    /// class, key or value that is not supported; whatever the parts refuse.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let (keys, mut ignored) = Keys::read(text)?;
        let schedule = Schedule::read(&keys)?;
        let network = Network::read(&keys)?;
        let clipping = network::clipping(&keys)?;
        if !matches!(keys.word("timestep_type")?, "" | "discrete" | "continuous") {
            return Err(keys.refuse("timestep_type", "discrete or continuous"));
        }
        let curved = keys.flag("use_karras_sigmas")?
            || keys.flag("use_exponential_sigmas")?
            || keys.flag("use_beta_sigmas")?;
        let bounds_curves = ["EulerDiscreteScheduler", "UniPCMultistepScheduler"];
        if !curved && bounds_curves.contains(&keys.class.as_str()) {
            for key in ["sigma_min", "sigma_max"] {
                if !keys.get(key).is_null() {
                    ignored.push(key.to_owned());
                }
            }
        }
        let config = Self {
            keys,
            schedule,
            network,
            clipping,
            options: Options::default(),
            ignored,
        };
        // Whatever a value may be refused for is refused here.
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Error> {
        match self.walk(2) {
            Err(error @ Error::Configuration { .. }) => Err(error),
            // What is missing may be given later, and other numbers of steps may fit.
            Err(_) => Ok(()),
            Ok(walk) => self.solver_on(&walk, 2).map(|_| ()),
        }
    }

    /// The same with arguments of the call.
    #[must_use]
    pub fn with_options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// The class.
    pub fn class(&self) -> &str {
        &self.keys.class
    }

    /// The keys of the file that are unknown or have no effect on this class.
    ///
    /// Keys that the value of another one makes idle, like the shift of a flow with dynamic shifting,
    /// are not among them.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The noise schedule, on the clock of what the network is given.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// What the network's answer stands for.
    ///
    /// That of EDM's classes may have another sign, and consistency models have a boundary condition:
    /// [`denoiser`](Self::denoiser) knows.
    pub fn prediction(&self) -> Parameterization {
        self.network.parameterization()
    }

    /// What is to be done with the predicted data.
    pub fn clipping(&self) -> Clipping {
        self.clipping
    }

    /// The grid of `n` steps.
    ///
    /// # Errors
    ///
    /// If the class has none with so many steps, or an option it needs is missing.
    #[doc(alias("set_timesteps"))]
    pub fn grid(&self, n: usize) -> Result<Grid<Timestep>, Error> {
        Ok(self.walk(n)?.grid)
    }

    fn walk(&self, n: usize) -> Result<Walk<Timestep>, Error> {
        grid::grid(&self.keys, &self.schedule, &self.options, n)
    }

    fn solver_on(&self, walk: &Walk<Timestep>, n: usize) -> Result<Box<dyn ReverseStep>, Error> {
        solver::solver(&self.keys, &self.schedule, walk, &self.options, n)
    }

    /// The solver of `n` steps.
    ///
    /// # Errors
    ///
    /// As [`grid`](Self::grid), and if an option is out of range.
    pub fn solver(&self, n: usize) -> Result<Box<dyn ReverseStep>, Error> {
        self.solver_on(&self.walk(n)?, n)
    }

    /// The sampler of `n` steps.
    ///
    /// # Errors
    ///
    /// As [`grid`](Self::grid), [`solver`](Self::solver) and [`Plan::new`].
    pub fn plan(&self, n: usize) -> Result<Plan<Timestep>, Error> {
        let walk = self.walk(n)?;
        let solver = self.solver_on(&walk, n)?;
        let plan = Plan::new(&self.schedule, &walk.grid, &solver)?;
        match self.class() {
            "RePaintScheduler" => self.options.jumps.apply(&plan),
            _ => Ok(plan),
        }
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
        let class = self.class();
        let is_sigma = matches!(grid::Family::of(class), grid::Family::Sigma { .. })
            && self.keys.word("timestep_spacing")? != "leading"
            || class.starts_with("CM")
            || matches!(class, "SCMScheduler" | "ScoreSdeVeScheduler");
        Ok(match &self.schedule.kind {
            Kind::Flow { .. } => 1.0,
            _ if is_sigma => level.sigma(),
            _ => level.alpha().hypot(level.sigma()),
        })
    }

    /// A raw network as a denoiser: scaled input, the time it is given, parameterization and clipping as the
    /// configuration has them.
    ///
    /// The closure gets what the network is shown and given, and answers its raw output. For tensors
    /// that are not arrays, the parts of it are [`prediction`](Self::prediction) and
    /// [`clipping`](Self::clipping).
    pub fn denoiser<V, F>(
        &self,
        mut network: F,
    ) -> Configured<impl FnMut(&V, f64) -> Answer<V> + use<V, F>>
    where
        F: FnMut(&V, f64) -> Result<V, Error>,
    {
        self.denoiser_with_variance(move |x: &V, time| Ok((network(x, time)?, None)))
    }

    /// The same for a network that also says something of the variance.
    pub fn denoiser_with_variance<V, F>(&self, network: F) -> Configured<F>
    where
        F: FnMut(&V, f64) -> Answer<V>,
    {
        let keeping = match self.class() {
            "DDIMScheduler" | "DDIMParallelScheduler" => {
                NonMarkovian::new(self.options.eta.unwrap_or(0.0)).ok()
            }
            "DDIMInverseScheduler" => Some(NonMarkovian::DETERMINISTIC),
            "RePaintScheduler" => self.keys.number("eta").and_then(NonMarkovian::new).ok(),
            _ => None,
        };
        Configured {
            network: self.network,
            clipping: self.clipping,
            keeping,
            raw: network,
        }
    }

    /// The configuration with all its keys, as JSON that [`from_json`](Self::from_json) reads.
    #[doc(alias("save_config", "to_json_string"))]
    pub fn to_json(&self) -> String {
        self.keys.to_value().to_string()
    }
}
