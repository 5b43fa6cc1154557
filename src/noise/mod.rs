//! Gaussian noise as an argument: seeded and counter-based, or from any generator.

mod brownian;
mod keyed;
mod philox;
mod rng;
mod seeded;
mod torch;

use std::ops::Range;

use ndarray::{Array, Dimension};

use crate::{
    Error,
    state::{
        Assignment, NOISE_BLOCK, NoiseBlocks, Real, State, Wide, item_len, one_by_one, sweep_with,
    },
};

#[doc(inline)]
pub use crate::point::Interval;
pub use brownian::BrownianPath;
pub use seeded::SeededNoise;
pub use torch::{TorchCpu, TorchCuda};

/// How strong the noise is.
#[derive(Debug)]
pub enum Scale<'a, V> {
    /// One standard deviation for all.
    Same(f64),
    /// One standard deviation per batch item.
    PerItem(&'a [f64]),
    /// One standard deviation per element.
    PerElement(&'a V),
}

// Derived, these would ask the same of `V`.
impl<V> Clone for Scale<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Scale<'_, V> {}

/// Where noise comes from: [`SeededNoise`], which is keyed by seed, item and draw, or any
/// [`rand::Rng`](crate::rand::Rng).
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
        let assignment = Assignment::new(0, 0.0, &[]).with_noise(true);
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

/// [`NoiseSource::add`] of a source for arrays that makes its numbers in sweeps.
macro_rules! add_in_a_sweep {
    () => {
        fn add(
            &mut self,
            x: &mut Array<A, D>,
            scale: Scale<'_, Array<A, D>>,
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
    Assignment::new(0, 1.0, &[]).with_noise(true)
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

/// Standard normals for the elements of a batch, in their order.
#[cfg_attr(
    not(feature = "rayon"),
    allow(dead_code, reason = "only threads split a sweep")
)]
trait Stream<W: Wide> {
    /// A copy for another thread, where the numbers do not depend on those before them.
    type Part: Stream<W> + Send;

    /// Where the block of numbers that begins at `start` ends.
    fn end(&self, start: usize) -> usize;

    /// The last place up to `at` where a block may begin.
    fn begin(&self, at: usize) -> usize;

    /// The numbers at these places, which are a block or the beginning of one, as the first of `z`.
    fn fill(&mut self, places: Range<usize>, z: &mut [W; NOISE_BLOCK]);

    /// The copy for another thread.
    fn part(&self) -> Option<Self::Part>;
}

/// A [`Scale`] for elements in order.
enum Deviation<'a, A> {
    Same(f64),
    PerItem(&'a [f64], usize),
    PerElement(&'a [A]),
}

impl<A> Clone for Deviation<'_, A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Deviation<'_, A> {}

/// The numbers of a stream with their standard deviations.
struct Scaled<'a, A, S> {
    stream: S,
    deviation: Deviation<'a, A>,
}

impl<'a, A: Real, S: Stream<A::Wide>> NoiseBlocks<A::Wide> for Scaled<'a, A, S> {
    type Part = Scaled<'a, A, S::Part>;

    fn end(&self, start: usize) -> usize {
        self.stream.end(start)
    }

    fn begin(&self, at: usize) -> usize {
        self.stream.begin(at)
    }

    fn fill(&mut self, places: Range<usize>, z: &mut [A::Wide; NOISE_BLOCK]) -> Option<f64> {
        self.stream.fill(places.clone(), z);
        match self.deviation {
            Deviation::Same(std) => return Some(std),
            Deviation::PerItem(stds, length) => {
                for (place, z) in places.zip(z) {
                    let std = stds.get(place / length).copied().unwrap_or_default();
                    *z = A::Wide::of(std) * *z;
                }
            }
            Deviation::PerElement(stds) => {
                let stds = stds.get(places).unwrap_or_default();
                z.iter_mut()
                    .zip(stds)
                    .for_each(|(z, std)| *z = std.widen() * *z);
            }
        }
        Some(1.0)
    }

    fn part(&self) -> Option<Self::Part> {
        Some(Scaled {
            stream: self.stream.part()?,
            deviation: self.deviation,
        })
    }
}

/// A sweep over arrays with the numbers of a stream, in logical order whatever the layout.
fn sweep_stream<A: Real, D: Dimension, S: Stream<A::Wide>>(
    states: &mut [&mut Array<A, D>],
    fixed: &[&Array<A, D>],
    assignments: &[Assignment<'_>],
    scale: Scale<'_, Array<A, D>>,
    stream: impl FnOnce(&Array<A, D>) -> Result<S, Error>,
) -> Result<bool, Error> {
    let target = noisy(assignments)?.and_then(|target| states.get(target));
    let Some(x) = target else {
        return State::sweep(states, fixed, assignments);
    };
    let stream = stream(x)?;
    match scale {
        Scale::PerItem(list) if list.len() != x.items() => {
            return Err(Error::BatchLength {
                what: "noise scales",
                expected: x.items(),
                found: list.len(),
            });
        }
        Scale::PerElement(std) if std.shape() != x.shape() => {
            return Err(Error::Shape {
                what: "noise scale",
                expected: x.shape().to_vec(),
                found: std.shape().to_vec(),
            });
        }
        _ => {}
    }
    let ordered;
    let deviation = match scale {
        Scale::Same(std) => Deviation::Same(std),
        Scale::PerItem(list) => Deviation::PerItem(list, item_len(x).max(1)),
        Scale::PerElement(std) => {
            ordered = std.as_standard_layout();
            Deviation::PerElement(ordered.as_slice().unwrap_or_default())
        }
    };
    let mut noise = Scaled { stream, deviation };
    sweep_with(states, fixed, assignments, true, &mut noise)
}
