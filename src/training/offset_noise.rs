//! Noise with a common part in each channel.

use crate::{
    Error,
    noise::{Interval, NoiseSource, Scale},
    state::{Elements, add_scaled},
};

/// A source of noise whose draws have, on top of another source's, one number common to all elements
/// of a channel: `z + strength * c`.
///
/// Channels are the second axis of a state, batch items the first. A network trained with it can
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

impl<V: Elements, N: NoiseSource<V>> NoiseSource<V> for OffsetNoise<N> {
    fn add(&mut self, x: &mut V, scale: Scale<'_, V>, over: Option<Interval>) -> Result<(), Error> {
        if let Scale::PerElement(stds) = scale {
            x.fits(stds).map_err(|error| error.naming("noise scale"))?;
        }
        self.inner.add(x, scale, over)?;
        let shape = x.shape();
        // Channels without elements have no offset, and may be more than memory holds.
        if shape.contains(&0) {
            return Ok(());
        }
        let mut offset = channels(x, &shape)?;
        self.inner
            .add(&mut offset, Scale::Same(self.strength), over)?;
        add_scaled(x, scale, &offset.spread(&shape)?)
    }
    fn discard(&mut self, like: &V) -> Result<(), Error> {
        self.inner.discard(like)?;
        let shape = like.shape();
        match shape.contains(&0) {
            true => Ok(()),
            false => self.inner.discard(&channels(like, &shape)?),
        }
    }
}

/// A place for one number for each channel.
fn channels<V: Elements>(x: &V, shape: &[usize]) -> Result<V, Error> {
    let axes = shape.iter().enumerate();
    let each: Vec<_> = axes.map(|(i, n)| if i < 2 { *n } else { 1 }).collect();
    x.of_numbers(&each, &vec![0.0; each.iter().product()])
}
