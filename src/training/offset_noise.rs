//! Noise with a common part in each channel.

use ndarray::{Array, Dimension};

use crate::{
    Error,
    noise::{Interval, NoiseSource, Scale},
    state::{Real, State},
};

/// A source of noise whose draws have, on top of another source's, one number common to all elements
/// of a channel: `z + strength * c`.
///
/// Channels are the second axis of an array, batch items the first. A network trained with it can
/// move the mean of an image, which noise that averages out does not ask of it. A draw takes two of
/// the inner source, and the marginal variance of an element is `1 + strength^2`.
///
/// $$\varepsilon_{b,c,\dots}=z_{b,c,\dots}+s\thinspace\zeta_{b,c}$$
///
/// [Source](crate::docs::papers#diffusion-with-offset-noise): Diffusion with Offset Noise, Guttenberg, 2023 (strength 0.1).
///
/// ```
/// use gaussian_diffusion::{ForwardProcess, SeededNoise, Time, schedule::Cosine, training::OffsetNoise};
/// use ndarray::Array4;
/// let x0 = Array4::<f32>::zeros((2, 3, 8, 8));
/// let mut noise = OffsetNoise::new(SeededNoise::new(0), 0.1)?;
/// let (xt, eps) = Cosine.draw_jump(&x0, Time::new(0.5)?, &mut noise)?;
/// # assert_eq!(xt.shape(), eps.shape());
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("noise_offset"))]
#[derive(Debug, Clone, PartialEq)]
pub struct OffsetNoise<N> {
    inner: N,
    strength: f64,
}

impl<N> OffsetNoise<N> {
    /// This noise, with a common part of this strength in each channel.
    ///
    /// # Errors
    ///
    /// If the strength is not in 0 to 10.
    pub fn new(inner: N, strength: f64) -> Result<Self, Error> {
        if !(0.0..=10.0).contains(&strength) {
            return Err(Error::range("strength", strength, "0 to 10"));
        }
        Ok(Self { inner, strength })
    }

    /// The source it is built on.
    pub fn into_inner(self) -> N {
        self.inner
    }
}

impl<A, D, N> NoiseSource<Array<A, D>> for OffsetNoise<N>
where
    A: Real,
    D: Dimension,
    N: NoiseSource<Array<A, D>>,
{
    fn add(
        &mut self,
        x: &mut Array<A, D>,
        scale: Scale<'_, Array<A, D>>,
        over: Option<Interval>,
    ) -> Result<(), Error> {
        if let Scale::PerElement(stds) = scale {
            x.fits(stds).map_err(|error| error.naming("noise scale"))?;
        }
        self.inner.add(x, scale, over)?;
        // Channels without elements have no offset, and may be more than memory holds.
        if x.is_empty() {
            return Ok(());
        }
        let mut channels = channels(x);
        self.inner
            .add(&mut channels, Scale::Same(self.strength), over)?;
        // A broadcast view is a State only once it is an array of its own.
        let offset = channels
            .broadcast(x.raw_dim())
            .ok_or_else(|| Error::Shape {
                what: "offset",
                expected: x.shape().to_vec(),
                found: channels.shape().to_vec(),
            })?
            .to_owned();
        match scale {
            Scale::Same(std) => x.combine(1.0, &[(std, &offset)]),
            Scale::PerItem(stds) => x.combine_items(&vec![1.0; stds.len()], &[(stds, &offset)]),
            Scale::PerElement(stds) => {
                let mut offset = offset;
                offset.zip_mut_with(stds, |offset, std| {
                    *offset = A::narrow(offset.widen() * std.widen());
                });
                x.combine(1.0, &[(1.0, &offset)])
            }
        }
    }

    fn discard(&mut self, like: &Array<A, D>) -> Result<(), Error> {
        self.inner.discard(like)?;
        match like.is_empty() {
            true => Ok(()),
            false => self.inner.discard(&channels(like)),
        }
    }
}

/// A place for one number for each channel.
fn channels<A: Real, D: Dimension>(x: &Array<A, D>) -> Array<A, D> {
    let mut shape = x.raw_dim();
    for axis in 2..x.ndim() {
        shape[axis] = 1;
    }
    Array::from_elem(shape, A::of(0.0))
}
