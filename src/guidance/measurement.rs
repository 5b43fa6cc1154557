//! What is known of the data from outside: `y = A x_0 + noise`.

use ndarray::{Array2, ArrayView2};

use crate::{
    Error,
    state::{Real, State},
};

/// A map from data to measurements and its transposed derivative; each batch item by itself.
///
/// A matrix ([`ndarray::Array2`], whose rows are measurements) is one, for data that is an array of one row per item.
///
/// ```
/// use gaussian_diffusion::{Error, guidance::Operator};
/// use ndarray::Array1;
///
/// /// The square of every number.
/// struct Square;
///
/// impl Operator<Array1<f64>> for Square {
///     fn apply(&self, x: &Array1<f64>) -> Result<Array1<f64>, Error> {
///         Ok(x * x)
///     }
///     fn transposed(&self, at: &Array1<f64>, y: &Array1<f64>) -> Result<Array1<f64>, Error> {
///         Ok(2.0 * at * y)
///     }
/// }
/// ```
pub trait Operator<V> {
    /// `A(x)`.
    ///
    /// # Errors
    ///
    /// The operator's own.
    fn apply(&self, x: &V) -> Result<V, Error>;

    /// `(dA/dx)^T y` at `at`; for a linear operator `A^T y`, wherever.
    ///
    /// # Errors
    ///
    /// The operator's own.
    fn transposed(&self, at: &V, y: &V) -> Result<V, Error>;
}

impl<A: Real> Operator<Array2<A>> for Array2<f64> {
    fn apply(&self, x: &Array2<A>) -> Result<Array2<A>, Error> {
        product(x, self.t())
    }

    fn transposed(&self, _at: &Array2<A>, y: &Array2<A>) -> Result<Array2<A>, Error> {
        product(y, self.view())
    }
}

fn product<A: Real>(x: &Array2<A>, matrix: ArrayView2<'_, f64>) -> Result<Array2<A>, Error> {
    if x.ncols() != matrix.nrows() {
        return Err(Error::Shape {
            what: "what a matrix is applied to",
            expected: vec![x.nrows(), matrix.nrows()],
            found: x.shape().to_vec(),
        });
    }
    // What nothing makes of nothing would be as large as its other axes.
    if matrix.is_empty() {
        return Err(Error::Missing {
            what: "a matrix with elements",
            needed_by: "a measurement by it",
        });
    }
    Ok(x.mapv(Real::get).dot(&matrix).mapv(A::of))
}

/// A measurement of the data, `y = A x_0 + std n` with `n ~ N(0, I)`, one `y` for every item.
#[derive(Debug, Clone)]
pub struct Measurement<O, V> {
    operator: O,
    value: V,
    std: f64,
}

impl<O, V> Measurement<O, V> {
    /// The value that this operator gave, with Gaussian noise of this standard deviation.
    ///
    /// # Errors
    ///
    /// If the standard deviation of the noise is negative or not finite.
    pub fn new(operator: O, value: V, std: f64) -> Result<Self, Error> {
        if !(std >= 0.0 && std.is_finite()) {
            let allowed = "a finite number from 0 on";
            return Err(Error::range("deviation of the measurement", std, allowed));
        }
        Ok(Self {
            operator,
            value,
            std,
        })
    }

    pub(super) fn variance(&self) -> f64 {
        self.std * self.std
    }

    pub(super) fn operator(&self) -> &O {
        &self.operator
    }
}

impl<V: State, O: Operator<V>> Measurement<O, V> {
    /// `y - A(x)`.
    pub(super) fn residual(&self, x: &V) -> Result<V, Error> {
        let mut residual = self.operator.apply(x)?;
        residual.combine(-1.0, &[(1.0, &self.value)])?;
        Ok(residual)
    }
}
