//! Gaussian noise as an argument: seeded and counter-based, or from any generator.

mod brownian;
mod normal;
mod philox;
mod rng;
mod seeded;
mod torch;

use ndarray::{Array, Dimension};

use crate::{
    Error, NoiseLevel,
    state::{Real, State, for_each_item, item_view},
};

pub use brownian::BrownianPath;
pub use seeded::Noise;
pub use torch::{TorchCpu, TorchCuda};

/// How strong the noise is.
#[derive(Debug)]
pub enum Scale<'a, V> {
    /// One deviation for all.
    Same(f64),
    /// One deviation per batch item.
    PerItem(&'a [f64]),
    /// One deviation per element.
    PerElement(&'a V),
}

// Derived, these would ask the same of `V`.
impl<V> Clone for Scale<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Scale<'_, V> {}

/// The two noise levels a draw of a sampler lies between.
///
/// Independent noise ignores it. A source that draws increments of one path needs it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Interval {
    /// The level the step leaves.
    pub from: NoiseLevel,
    /// The level it reaches.
    pub to: NoiseLevel,
}

/// Where noise comes from: [`Noise`], which is keyed by seed, item and draw, or any
/// [`rand::Rng`](crate::rand::Rng).
///
/// # Laws
///
/// One call is one draw of independent standard normals `z`, and `x <- x + scale * z`. The same
/// source in the same state adds the same.
///
/// ```
/// use gaussian_diffusion::{Noise, noise::{NoiseSource, Scale}};
/// use ndarray::Array2;
/// let mut x = Array2::<f32>::zeros((2, 3));
/// Noise::seeded(7).add(&mut x, Scale::Same(0.1), None)?;
/// let mut y = Array2::<f32>::zeros((1, 3));
/// Noise::seeded(7).add(&mut y, Scale::Same(0.1), None)?;
/// assert_eq!(x.row(0), y.row(0));                 // an item does not depend on the batch
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("noise_sampler", "generator"))]
pub trait NoiseSource<V> {
    /// `x <- x + scale * z`, with fresh `z ~ N(0, I)`.
    ///
    /// # Errors
    ///
    /// If the scale has another length or shape than `x`.
    fn add(&mut self, x: &mut V, scale: Scale<'_, V>, over: Option<Interval>) -> Result<(), Error>;
}

/// Standard normals, item after item.
trait Stream {
    /// Goes to the first number of this batch item.
    fn begin(&mut self, item: usize);

    /// The next number.
    fn next(&mut self) -> f64;
}

/// `x <- x + scale * z` with the numbers of a stream, in logical order whatever the layout.
fn add_stream<A: Real, D: Dimension>(
    x: &mut Array<A, D>,
    scale: Scale<'_, Array<A, D>>,
    stream: &mut impl Stream,
) -> Result<(), Error> {
    let items = x.items();
    match scale {
        Scale::PerItem(list) if list.len() != items => {
            let found = list.len();
            return Err(Error::BatchLength {
                what: "noise scales",
                expected: items,
                found,
            });
        }
        Scale::PerElement(std) if std.shape() != x.shape() => {
            let (expected, found) = (x.shape().to_vec(), std.shape().to_vec());
            return Err(Error::Shape {
                what: "noise scale",
                expected,
                found,
            });
        }
        _ => {}
    }
    let elementwise = match scale {
        Scale::PerElement(std) => Some(std.view().into_dyn()),
        _ => None,
    };
    for_each_item(x, |i, mut item| {
        stream.begin(i);
        let one = match scale {
            Scale::Same(std) => std,
            Scale::PerItem(list) => list[i],
            Scale::PerElement(_) => 1.0,
        };
        let one = A::of(one);
        match &elementwise {
            Some(std) => {
                for (x, &std) in item.iter_mut().zip(item_view(std, i).iter()) {
                    *x = *x + std * A::of(stream.next());
                }
            }
            None => item
                .iter_mut()
                .for_each(|x| *x = *x + one * A::of(stream.next())),
        }
    });
    Ok(())
}
