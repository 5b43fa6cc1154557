//! States taken apart.

use crate::Error;

/// A linear way to take a state apart into bands and to put it together again.
///
/// A band is a state of any shape with the same batch items. [`LaplacianPyramid`] is one; implement it for
/// wavelets, or for a Fourier transform and a mask.
///
/// ```
/// use gaussian_diffusion::{Error, State, guidance::{Bands, Combination, InBands}};
/// use ndarray::{Array2, Axis};
///
/// /// What varies within an item, and its mean.
/// struct Mean;
///
/// impl Bands<Array2<f64>> for Mean {
///     fn split(&self, x: &Array2<f64>) -> Result<Vec<Array2<f64>>, Error> {
///         let mean = x.sum_axis(Axis(1)).insert_axis(Axis(1)) / x.ncols().max(1) as f64;
///         Ok(vec![x - &mean, mean])
///     }
///     fn join(&self, bands: &[Array2<f64>], _like: &Array2<f64>) -> Result<Array2<f64>, Error> {
///         Ok(&bands[0] + &bands[1])
///     }
/// }
///
/// // Guide the mean less: colours do not burn.
/// let rules = vec![Combination::classifier_free(8.0)?, Combination::classifier_free(2.0)?];
/// let rule = InBands::new(Mean, rules)?;
/// # let _ = rule;
/// # Ok::<(), Error>(())
/// ```
pub trait Bands<V> {
    /// The bands of a state, always as many.
    ///
    /// # Errors
    ///
    /// If a state of this shape has no such bands.
    fn split(&self, x: &V) -> Result<Vec<V>, Error>;

    /// The state that has these bands, in the shape of `like`.
    ///
    /// # Errors
    ///
    /// If these are not the bands of such a state.
    fn join(&self, bands: &[V], like: &V) -> Result<V, Error>;
}
