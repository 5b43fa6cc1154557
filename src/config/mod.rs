#![doc = include_str!("../../docs/links.md")]
#![doc = include_str!("../../docs/configuration.md")]

mod betas;
mod classes;
mod defaults;
mod facts;
mod file;
mod grid;
mod keys;
mod network;
mod options;
mod plans;
mod schedule;
mod sequence;
mod table;
mod words;

use crate::{Error, Parameterization};
use classes::Class;
use grid::Ask;
use keys::{Keys, STEPS};
use network::Network;

pub use network::{Answer, Clipping, Configured};
pub use options::{Jumps, Options};
pub use schedule::{Schedule, Timestep};
pub use sequence::SequenceLength;

/// The classes that are supported, by their names in diffusers.
///
/// ```
/// assert!(gaussian_diffusion::config::classes().any(|name| name == "DDIMScheduler"));
/// ```
pub fn classes() -> impl Iterator<Item = &'static str> {
    classes::ALL.iter().map(|class| class.facts.name)
}

/// A diffusers scheduler read from its `scheduler_config.json`.
///
/// Every class has its own defaults for the keys that a file leaves out. A key without effect is
/// listed by [`ignored`](Self::ignored), an option without effect by
/// [`ignored_options`](Self::ignored_options); a class or a value that is not supported is an error that
/// names class and key. The [table of the classes](self#the-classes) says what each gives its network.
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
    class: &'static Class,
    keys: Keys,
    schedule: Schedule,
    network: Network,
    clipping: Clipping,
    options: Options,
    ignored: Vec<String>,
}

/// A configuration as it is written: its file, with what the call knows.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    scheduler: serde_json::Value,
    options: Options,
}

impl From<SchedulerConfig> for Stored {
    fn from(config: SchedulerConfig) -> Self {
        Self {
            scheduler: config.keys.to_value(),
            options: config.options,
        }
    }
}

impl TryFrom<Stored> for SchedulerConfig {
    type Error = Error;

    fn try_from(stored: Stored) -> Result<Self, Error> {
        let mut config = Self::from_json(&stored.scheduler.to_string())?;
        config.options = stored.options;
        Ok(config)
    }
}

impl SchedulerConfig {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// [`Error::Parse`] if the text is no JSON object with a class; [`Error::Configuration`], which names
    /// class and key, for a class, key or value that is not supported.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let file = file::object(text)?;
        let class = Class::of(file::class(&file)?)?;
        Self::of(class, Keys::of(&class.facts, file), Options::default())
    }

    fn of(class: &'static Class, keys: Keys, options: Options) -> Result<Self, Error> {
        for &(key, allowed) in class.facts.refused {
            keys.unset(key, allowed)?;
        }
        for &key in class.facts.idle {
            keys.refuse_null(key)?;
        }
        let config = Self {
            class,
            schedule: Schedule::of(&keys, class.schedule)?,
            network: (class.network)(&keys)?,
            clipping: network::clipping(&keys)?,
            ignored: keys.ignored()?,
            keys,
            options,
        };
        // Whatever a value may be refused for is refused here.
        config.check()?;
        Ok(config)
    }

    /// Makes plans until a number of steps fits. If none does, it is the file that does not.
    fn check(&self) -> Result<(), Error> {
        // What is missing may be given later.
        let is_shifted = self.keys.flag("use_dynamic_shifting")?;
        let options = Options {
            mu: is_shifted.then_some(1.0),
            ..Options::default()
        };
        let mut refused = Ok(());
        for n in [10, 50, 2, 1] {
            let ask = Ask {
                options: &options,
                ..self.ask(n)
            };
            let walk = self.class.walk(&ask);
            let plan = walk.and_then(|walk| self.plan_of(&ask, &walk.grid, walk.empty_step, 0));
            match self.named(n, plan) {
                Ok(_) => return Ok(()),
                Err(error @ Error::Configuration { key, .. }) if key != STEPS => {
                    refused = refused.and(Err(error));
                }
                Err(_) => {}
            }
        }
        refused
    }

    /// The same with another value of a key, as if the file had it.
    ///
    /// Where the key belongs to another class, it is kept and listed by [`ignored`](Self::ignored).
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json), and if the value is nothing that JSON can hold.
    ///
    /// ```
    /// use gaussian_diffusion::config::SchedulerConfig;
    /// let plain = SchedulerConfig::from_json(r#"{"_class_name": "EulerDiscreteScheduler"}"#)?;
    /// let karras = plain.with_key("use_karras_sigmas", true)?.with_key("sigma_min", 0.1)?;
    /// let last = karras.grid(8)?.nodes()[7].level.noise_to_signal();
    /// assert!((last - 0.1).abs() < 1e-12);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("from_config"))]
    pub fn with_key(self, key: &str, value: impl serde::Serialize) -> Result<Self, Error> {
        self.with_keys(std::collections::BTreeMap::from([(key, value)]))
    }

    /// The same with other values of several keys, which are checked together: a map, a struct or a JSON
    /// object. A value of `_class_name` changes the class.
    ///
    /// # Errors
    ///
    /// As [`with_key`](Self::with_key), and if this is no object.
    ///
    /// ```
    /// use gaussian_diffusion::config::SchedulerConfig;
    /// let saved = SchedulerConfig::from_json(
    ///     r#"{"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": true}"#,
    /// )?;
    /// let changed = saved.with_keys(serde_json::json!({
    ///     "use_karras_sigmas": false,
    ///     "use_beta_sigmas": true,
    /// }))?;
    /// assert_eq!(changed.plan(12)?.steps(), 12);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("from_config"))]
    pub fn with_keys(self, values: impl serde::Serialize) -> Result<Self, Error> {
        let refused = |text| Error::Parse {
            what: "keys",
            text,
            allowed: "what JSON has as an object",
        };
        let values = serde_json::to_value(values).map_err(|error| refused(error.to_string()))?;
        let serde_json::Value::Object(values) = values else {
            return Err(refused(file::brief(&values)));
        };
        let (mut class, mut keys) = (self.class, self.keys);
        for (key, value) in values {
            match (key.as_str(), &value) {
                ("_class_name", serde_json::Value::String(name)) => class = Class::of(name)?,
                ("_class_name", other) => return Err(refused(file::brief(other))),
                _ => keys = keys.with(&key, value),
            }
        }
        Self::of(class, keys.of_class(&class.facts), self.options)
    }

    /// The same file read as that of another class: what the file says, over the defaults of that class.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json).
    ///
    /// ```
    /// use gaussian_diffusion::config::SchedulerConfig;
    /// let pndm = SchedulerConfig::from_json(
    ///     r#"{"_class_name": "PNDMScheduler", "beta_end": 0.012, "skip_prk_steps": true}"#,
    /// )?;
    /// let euler = pndm.with_class("EulerDiscreteScheduler")?;
    /// assert_eq!(euler.ignored(), ["skip_prk_steps"]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("from_config"))]
    pub fn with_class(self, name: &str) -> Result<Self, Error> {
        let class = Class::of(name)?;
        Self::of(class, self.keys.of_class(&class.facts), self.options)
    }

    /// The same with arguments of the call.
    #[must_use]
    pub fn with_options(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self
    }

    /// The class.
    pub fn class(&self) -> &str {
        self.class.facts.name
    }

    /// What the class gives its network beside the state, in words.
    pub fn network_time(&self) -> &'static str {
        self.class.facts.network_time
    }

    /// The keys of the file that are unknown or have no effect on this class.
    ///
    /// Keys that the value of another one makes idle, like the shift of a flow with dynamic shifting,
    /// are not among them, but for `sigma_min` and `sigma_max` without a curve that reads them.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The options that are set and have no effect on this class: `eta` on a class without one, `mu`
    /// without `use_dynamic_shifting`.
    ///
    /// Sigmas and timesteps are more than idle there: a grid with them is an error.
    ///
    /// ```
    /// use gaussian_diffusion::config::SchedulerConfig;
    /// let euler = SchedulerConfig::from_json(r#"{"_class_name": "EulerDiscreteScheduler"}"#)?;
    /// let euler = euler.with_options(|options| options.eta = Some(1.0));
    /// assert_eq!(euler.ignored_options(), ["eta"]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn ignored_options(&self) -> Vec<&'static str> {
        // The keys that this asks for were read.
        self.options.ignored(&self.keys).unwrap_or_default()
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

    /// A raw network as a denoiser: scaled input, the time it is given, parameterization and clipping as the
    /// configuration has them.
    ///
    /// The closure gets what the network is shown and given, and answers its raw output: an array, or any other
    /// state that has [`Elements`](crate::state::Elements).
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
        let keeping = (self.class.keeps_noise)(&self.ask(1)).ok().flatten();
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
