//! Between two noises.

use crate::{Error, state::State};

/// Spherical interpolation of two states, item by item: `a` at `t = 0`, `b` at `t = 1`.
///
/// `(sin((1 - t) w) a + sin(t w) b) / sin w` with the angle `w` between the two. Unlike the straight
/// line it passes through states of the norm that noise has. Where the two point the same way, or
/// exactly opposite ways, or one is 0, it is the straight line.
///
/// $$\frac{\sin((1-t)\omega)}{\sin\omega}\thinspace a+\frac{\sin(t\omega)}{\sin\omega}\thinspace b$$
///
/// [Source](crate::docs::papers#animating-rotation-with-quaternion-curves): Animating Rotation with Quaternion Curves, Shoemake, 1985; for latents,
/// Denoising Diffusion Implicit Models, Song, Meng, Ermon, 2020, section 5.3.
///
/// # Errors
///
/// If the shapes differ or `t` is not finite.
///
/// ```
/// use gaussian_diffusion::editing::slerp;
/// use ndarray::array;
/// let half = slerp(&array![[2.0, 0.0]], &array![[0.0, 2.0]], 0.5)?;
/// assert!((half[[0, 0]] - 2.0_f64.sqrt()).abs() < 1e-15);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("spherical interpolation"))]
pub fn slerp<V: State>(a: &V, b: &V, t: f64) -> Result<V, Error> {
    if !t.is_finite() {
        return Err(Error::range("interpolation", t, "a finite number"));
    }
    let norms = |v: &V| -> Result<Vec<f64>, Error> {
        Ok(v.dot_items(v)?.into_iter().map(f64::sqrt).collect())
    };
    let inverse = |norm: f64| if norm > 0.0 { norm.recip() } else { 0.0 };
    let of_a: Vec<_> = norms(a)?.into_iter().map(inverse).collect();
    let of_b: Vec<_> = norms(b)?.into_iter().map(inverse).collect();
    let minus: Vec<_> = of_b.iter().map(|c| -c).collect();
    // The angle from the chords of the unit vectors, which is accurate at both ends.
    let (mut sum, mut difference) = (a.clone(), a.clone());
    sum.combine_items(&of_a, &[(&of_b, b)])?;
    difference.combine_items(&of_a, &[(&minus, b)])?;
    let (sums, differences) = (norms(&sum)?, norms(&difference)?);
    let weights = sums.iter().zip(&differences).map(|(sum, difference)| {
        let angle = 2.0 * difference.atan2(*sum);
        let sine = angle.sin();
        if sine > 1e-9 {
            (((1.0 - t) * angle).sin() / sine, (t * angle).sin() / sine)
        } else {
            (1.0 - t, t)
        }
    });
    let zero = |c: &f64| *c == 0.0;
    let (own, other): (Vec<_>, Vec<_>) = weights
        .zip(of_a.iter().zip(&of_b))
        .map(|(weights, (a, b))| {
            if zero(a) || zero(b) {
                (1.0 - t, t)
            } else {
                weights
            }
        })
        .unzip();
    let mut x = a.clone();
    x.combine_items(&own, &[(&other, b)])?;
    Ok(x)
}
