//! Samplers by the names that front ends give them: a solver and a grid.
//!
//! ```
//! use gaussian_diffusion::{Sampler, schedule::Discrete};
//! let sampler: Sampler = "DPM++ 2M Karras".parse()?;
//! let plan = sampler.plan(&Discrete::stable_diffusion()?, 20)?;
//! assert_eq!(plan.to_string(), "DPM-Solver++ 2M: 20 steps, 20 evaluations, log-SNR -5.36 to inf");
//! # Ok::<(), gaussian_diffusion::Error>(())
//! ```

mod grid_name;
mod names;
mod on_steps;
mod restart;
mod solver_name;
mod solvers;

use std::{fmt, str::FromStr};

use crate::{Clock, Error, Grid, NoiseSchedule, Plan, solver::DpmAdaptive};
use names::{LONGEST, Named, SEPARATORS, key, near, unknown};

pub use grid_name::GridName;
pub use solver_name::SolverName;

/// A sampler: a solver and a rule for its grid.
///
/// # Names
///
/// A name means what its program does, on every schedule that program has; the
/// [table of names](crate::docs::names) says where programs differ, and who is right. The names are those of
/// the WebUI, where a solver's name alone means the grid that version 1.8 gave it and "Karras" or
/// "Exponential" after it another one, and those of ComfyUI and stable-diffusion.cpp. Any grid may follow any
/// solver. Capitals do not matter, and words may be separated by spaces, `_` or `-`; of two names that are the
/// same but for that, the one with `_` is ComfyUI's: "DPM fast" draws noise, and "dpm_fast" does not.
/// "Automatic" is the grid of newer versions of the WebUI.
///
/// Names of the CFG++ family are for networks guided by [`CfgPlusPlus`](crate::guidance::CfgPlusPlus).
///
/// ```
/// use gaussian_diffusion::{Sampler, sampler::{GridName, SolverName}};
/// let sampler = Sampler::from_name("DPM++ 2M Karras")?;
/// assert_eq!(sampler, Sampler::new(SolverName::DpmPlusPlus2M, GridName::Karras));
/// assert_eq!(sampler, Sampler::new("dpmpp_2m".parse()?, "karras".parse()?));
/// assert_eq!(sampler.to_string(), "DPM++ 2M Karras");
/// assert_eq!(
///     Sampler::from_name("Eular a").unwrap_err().to_string(),
///     "sampler \"Eular a\" is unknown, nearest: Euler a, Euler, euler_ge"
/// );
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("KSampler", "sampling method"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sampler {
    solver: SolverName,
    grid: GridName,
}

/// Whether the steps of a sampler are known before it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It has a [`Plan`].
    Planned,
    /// It chooses each step by what it has seen, and has no plan: [`Sampler::adaptive`].
    Adaptive,
}

impl Sampler {
    /// Any solver on any grid.
    pub const fn new(solver: SolverName, grid: GridName) -> Self {
        Self { solver, grid }
    }

    /// The sampler of this name, which is that of a solver or of a solver and a grid.
    ///
    /// # Errors
    ///
    /// If the name is unknown, with the nearest ones.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        if let Some(solver) = SolverName::named(name) {
            return Ok(Self::new(solver, solver.default_grid()));
        }
        let written = name.trim_start_matches(SEPARATORS);
        let places = written.match_indices(SEPARATORS);
        for (place, separator) in places.take_while(|(place, _)| *place <= LONGEST) {
            let (head, tail) = (&written[..place], &written[place + separator.len()..]);
            let Some(solver) = SolverName::named(head) else {
                continue;
            };
            if key(tail) == "automatic" {
                return Ok(Self::new(solver, solver.automatic_grid()));
            }
            if let Some(grid) = GridName::named(tail) {
                return Ok(Self::new(solver, grid));
            }
        }
        let alone = SolverName::spellings()
            .map(|(solver, name)| (Self::new(solver, solver.default_grid()), name.to_owned()));
        let grids = near::<GridName>(name, true);
        let solvers = near::<SolverName>(name, false).into_iter();
        let pairs = solvers.flat_map(|(solver, first)| {
            let pair = move |(grid, second)| (Self::new(solver, grid), format!("{first} {second}"));
            grids.iter().copied().map(pair)
        });
        Err(unknown("sampler", name, alone.chain(pairs)))
    }

    /// The samplers that front ends list: the thirty of the WebUI, and every other solver on its own grid.
    ///
    /// ```
    /// use gaussian_diffusion::Sampler;
    /// let names: Vec<_> = Sampler::all().map(|sampler| sampler.to_string()).collect();
    /// assert_eq!((&*names[0], &*names[29]), ("Euler a", "DPM++ 3M SDE Exponential"));
    /// ```
    pub fn all() -> impl Iterator<Item = Self> {
        use SolverName as N;
        let alone = |solver: N| Self::new(solver, solver.default_grid());
        let karras = [
            N::Lms,
            N::Dpm2,
            N::Dpm2Ancestral,
            N::DpmPlusPlus2SAncestral,
            N::DpmPlusPlus2M,
            N::DpmPlusPlusSde,
            N::DpmPlusPlus2MSde,
            N::DpmPlusPlus2MSdeHeun,
            N::DpmPlusPlus3MSde,
        ];
        let exponential = [
            N::DpmPlusPlus2MSde,
            N::DpmPlusPlus2MSdeHeun,
            N::DpmPlusPlus3MSde,
        ];
        // The WebUI's solvers come first.
        let count = 18;
        (N::all().take(count).map(alone))
            .chain(karras.map(|solver| Self::new(solver, GridName::Karras)))
            .chain(exponential.map(|solver| Self::new(solver, GridName::Exponential)))
            .chain(N::all().skip(count).map(alone))
    }

    /// Its solver.
    pub const fn solver(self) -> SolverName {
        self.solver
    }

    /// The rule of its grid.
    pub const fn grid_rule(self) -> GridName {
        self.grid
    }

    /// Whether it has a plan.
    pub fn kind(self) -> Kind {
        match self.solver {
            SolverName::DpmAdaptive | SolverName::DpmAdaptiveOde => Kind::Adaptive,
            _ => Kind::Planned,
        }
    }

    /// The solver of a sampler that has no plan, of order 3: "DPM adaptive" with eta 1, as the WebUI runs it,
    /// "dpm_adaptive" without noise, as ComfyUI does.
    ///
    /// # Errors
    ///
    /// If the sampler is [`Kind::Planned`].
    ///
    /// ```
    /// use gaussian_diffusion::{Sampler, solver::DpmAdaptive};
    /// let solver = Sampler::from_name("DPM adaptive")?.adaptive()?;
    /// assert_eq!(solver, DpmAdaptive::new(3)?.with_eta(1.0, 1.0)?);
    /// assert_eq!(Sampler::from_name("dpm_adaptive")?.adaptive()?, DpmAdaptive::new(3)?);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn adaptive(self) -> Result<DpmAdaptive, Error> {
        match self.solver {
            SolverName::DpmAdaptive => DpmAdaptive::new(3)?.with_eta(1.0, 1.0),
            SolverName::DpmAdaptiveOde => DpmAdaptive::new(3),
            _ => Err(Error::Missing {
                what: "a choice of steps by error",
                needed_by: "an adaptive run",
            }),
        }
    }

    /// The levels of a run of `n` steps, without restarts.
    ///
    /// # Errors
    ///
    /// As [`GridName::grid`].
    pub fn grid<S>(self, schedule: &S, n: usize) -> Result<Grid<S::Time>, Error>
    where
        S: NoiseSchedule<Time: Clock> + ?Sized,
    {
        crate::time::check_steps(n)?;
        let listed = n + usize::from(self.solver.discards_penultimate());
        let listed = match self.solver {
            // Of its rule it takes the ends.
            SolverName::DpmFast | SolverName::DpmFastOde => listed.max(2),
            _ => listed,
        };
        let listed = self.grid.grid(schedule, listed)?;
        self.solver.grid(schedule, listed, n)
    }

    /// The plan of a run of `n` steps.
    ///
    /// # Errors
    ///
    /// If the sampler is [`Kind::Adaptive`]; as [`GridName::grid`], [`SolverName::solver`] and
    /// [`Plan::new`].
    ///
    /// ```
    /// use gaussian_diffusion::{Sampler, schedule::RectifiedFlow};
    /// let plan = Sampler::from_name("euler sgm_uniform")?.plan(&RectifiedFlow, 4)?;
    /// // ComfyUI goes from 1 to the first of 1000 steps, 0.001.
    /// assert!((plan.levels()[1].sigma() - 0.75025).abs() < 1e-15);
    /// let error = Sampler::from_name("DPM adaptive")?.plan(&RectifiedFlow, 4).unwrap_err();
    /// assert_eq!(error.to_string(), "a fixed number of steps is missing, a plan of DPM adaptive needs it");
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn plan<S>(self, schedule: &S, n: usize) -> Result<Plan<S::Time>, Error>
    where
        S: NoiseSchedule<Time: Clock> + ?Sized,
    {
        let grid = self.grid(schedule, n)?;
        let solver = self.solver.solver(schedule, &grid, n)?;
        if self.solver == SolverName::Restart {
            return restart::plan(schedule, grid, &solver);
        }
        Plan::new(schedule, &grid, &solver)
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.solver)?;
        if self.grid != self.solver.default_grid() {
            write!(f, " {}", self.grid)?;
        }
        Ok(())
    }
}

impl FromStr for Sampler {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::from_name(name)
    }
}
