//! Shapes of arrays that are refused.

use ndarray::{Array, Dimension};

use crate::Error;

/// Refuses two arrays of different shapes.
pub(super) fn check_shape<A, B, D: Dimension>(
    this: &Array<A, D>,
    other: &Array<B, D>,
) -> Result<(), Error> {
    if this.shape() == other.shape() {
        return Ok(());
    }
    Err(Error::Shape {
        what: "array",
        expected: this.shape().to_vec(),
        found: other.shape().to_vec(),
    })
}

/// Refuses a shape that no array can have.
pub(crate) fn check_size<A>(shape: &[usize]) -> Result<(), Error> {
    let most = isize::MAX as usize / size_of::<A>();
    // Axes beside one of length 0 have to be countable, too.
    let mut counted = shape.iter().filter(|length| **length > 0);
    let elements = counted.try_fold(1_usize, |all, length| all.checked_mul(*length));
    if elements.is_some_and(|elements| elements <= most) {
        return Ok(());
    }
    let lengths = shape.iter().filter(|length| **length > 0);
    let elements = lengths.map(|length| *length as f64).product();
    let allowed = format!("up to {most}");
    Err(Error::range("product of the axes", elements, allowed))
}
