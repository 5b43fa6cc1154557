//! Gaussian noise as an argument: seeded and counter-based, or from any generator.

mod brownian;
mod keyed;
mod none;
mod philox;
mod projected;
mod rng;
mod seeded;
mod torch;

use crate::{
    Error,
    state::{Assignment, Draw, Elements, State, one_by_one},
};

#[doc(inline)]
pub use crate::point::Interval;
pub use crate::state::Scale;
pub use brownian::BrownianPath;
pub use none::NoNoise;
pub use projected::ProjectedNoise;
pub use seeded::SeededNoise;
pub use torch::{TorchCpu, TorchCuda};

/// Where noise comes from: [`SeededNoise`], which is keyed by seed, item and draw, or any
/// [`rand::Rng`](crate::rand::Rng).
///
/// Every source of this crate fills every state that has [`Elements`]: arrays and, by way of the host, whatever can
/// be made of a slice. A deterministic sampler takes [`NoNoise`].
///
/// # Laws
///
/// One call is one draw of independent standard normals `z`, and `x <- x + scale * z`. The same
/// source in the same state adds the same.
///
/// ```
/// use gaussian_diffusion::{SeededNoise, noise::{NoiseSource, Scale}};
/// use ndarray::Array2;
/// let mut x = Array2::<f32>::zeros((2, 3));
/// SeededNoise::new(7).add(&mut x, Scale::Same(0.1), None)?;
/// let mut y = Array2::<f32>::zeros((1, 3));
/// SeededNoise::new(7).add(&mut y, Scale::Same(0.1), None)?;
/// assert_eq!(x.row(0), y.row(0));                 // an item does not depend on the batch
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("noise_sampler", "generator", "add_scaled"))]
pub trait NoiseSource<V> {
    /// `x <- x + scale * z`, with fresh `z ~ N(0, I)`.
    ///
    /// # Errors
    ///
    /// If the scale has another length or shape than `x`.
    fn add(&mut self, x: &mut V, scale: Scale<'_, V>, over: Option<Interval>) -> Result<(), Error>;

    /// `x <- z`.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    #[doc(alias("randn", "standard_normal"))]
    fn fill(&mut self, x: &mut V) -> Result<(), Error>
    where
        V: State,
    {
        let assignment = Assignment::new(0, 0.0, &[]).with_noise(true).watched(false);
        self.sweep(&mut [x], &[], &[assignment], Scale::Same(1.0), None)
            .map(|_| ())
    }

    /// A [sweep](State::sweep) with one draw of noise, added to the target of the noisy assignment: in
    /// the same pass over the elements where source and state can.
    ///
    /// # Errors
    ///
    /// As [`State::sweep`] and [`add`](Self::add), or if more than one assignment is noisy.
    fn sweep(
        &mut self,
        states: &mut [&mut V],
        fixed: &[&V],
        assignments: &[Assignment<'_>],
        scale: Scale<'_, V>,
        over: Option<Interval>,
    ) -> Result<bool, Error>
    where
        V: State,
    {
        noisy(assignments)?;
        one_by_one(states, fixed, assignments, |x| self.add(x, scale, over))
    }

    /// A draw for a state like this of which nothing is made.
    ///
    /// Programs whose seeds are followed make some ([`Stage::discards`](crate::solver::Stage::discards)).
    /// [`TorchCpu`] and [`TorchCuda`] go on by one draw; sources of this crate's own numbers, whose seeds are
    /// nowhere else's, stay as they are, which is the default.
    ///
    /// # Errors
    ///
    /// As [`add`](Self::add).
    fn discard(&mut self, like: &V) -> Result<(), Error> {
        let _ = like;
        Ok(())
    }
}

/// [`NoiseSource::add`] of a source that makes its numbers in sweeps.
macro_rules! add_in_a_sweep {
    () => {
        fn add(
            &mut self,
            x: &mut V,
            scale: Scale<'_, V>,
            over: Option<Interval>,
        ) -> Result<(), Error> {
            let one = $crate::noise::one();
            self.sweep(&mut [x], &[], &[one], scale, over).map(|_| ())
        }
    };
}
use add_in_a_sweep;

/// The assignment that only adds noise.
fn one() -> Assignment<'static> {
    Assignment::new(0, 1.0, &[]).with_noise(true).watched(false)
}

/// The target of the noisy assignment.
fn noisy(assignments: &[Assignment<'_>]) -> Result<Option<usize>, Error> {
    let mut targets = assignments.iter().filter(|c| c.noisy).map(|c| c.target);
    let target = targets.next();
    match targets.count() {
        0 => Ok(target),
        more => {
            let what = "number of noisy assignments of a sweep";
            Err(Error::range(what, 1.0 + more as f64, "0 or 1"))
        }
    }
}

/// A sweep with the numbers of a draw, in logical order whatever the layout.
fn sweep_drawn<V: Elements>(
    states: &mut [&mut V],
    fixed: &[&V],
    assignments: &[Assignment<'_>],
    scale: Scale<'_, V>,
    draw: &mut impl Draw,
) -> Result<bool, Error> {
    let Some((target, x)) = noisy(assignments)?.and_then(|i| Some((i, states.get(i)?))) else {
        return V::sweep(states, fixed, assignments);
    };
    match scale {
        Scale::PerItem(list) => Error::check_length("noise scales", x.items(), list.len())?,
        Scale::PerElement(std) => x.fits(std).map_err(|error| error.naming("noise scale"))?,
        _ => {}
    }
    V::sweep_drawn(states, fixed, assignments, scale, target, draw)
}
