//! Noised data that is a little noisier than the network is given.

use crate::{
    Error, ForwardProcess,
    forward::{PerItem, levels},
    noise::{NoiseSource, Scale},
    state::State,
};

/// Input perturbation: `x_t = alpha_t x_0 + sigma_t (eps + strength xi)` with the target of `eps`.
///
/// The extra noise stands for the errors a sampler accumulates, so that training inputs look like
/// those of sampling.
///
/// $$x_t=\alpha_tx_0+\sigma_t(\varepsilon+\gamma\thinspace\xi),\qquad \varepsilon,\xi\sim\mathcal N(0,I)$$
///
/// [Source](crate::docs::papers#arxiv-2301.11706): Input Perturbation Reduces Exposure Bias in Diffusion Models, Ning,
/// Sangineto, Porrello, Calderara, Cucchiara, 2023 (strength 0.1).
///
/// ```
/// use gaussian_diffusion::{ForwardProcess, SeededNoise, Parameterization, Time, schedule::Cosine};
/// use gaussian_diffusion::training::InputPerturbation;
/// use ndarray::Array2;
/// let (x0, t) = (Array2::<f64>::ones((4, 2)), Time::new(0.5)?);
/// let (xt, eps) = InputPerturbation::new(0.1)?.draw_jump(&Cosine, &x0, t, &mut SeededNoise::new(0))?;
/// let target = Cosine.target(Parameterization::Velocity, &x0, t, &eps)?;
/// # assert_ne!(xt, Cosine.jump(&x0, t, &eps)?);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputPerturbation {
    strength: f64,
}

impl InputPerturbation {
    /// With this ratio of extra noise to noise; 0.1 is the value of the paper.
    ///
    /// # Errors
    ///
    /// If the strength is not in 0 to 10.
    pub fn new(strength: f64) -> Result<Self, Error> {
        if !(0.0..=10.0).contains(&strength) {
            return Err(Error::range("strength", strength, "0 to 10"));
        }
        Ok(Self { strength })
    }

    /// [`ForwardProcess::draw_jump`] with the perturbed `x_t`; returns `(x_t, eps)`.
    ///
    /// Takes two draws of the source.
    ///
    /// # Errors
    ///
    /// As [`ForwardProcess::draw_jump`].
    pub fn draw_jump<'t, S, V, N>(
        self,
        schedule: &S,
        x0: &V,
        t: impl Into<PerItem<'t, S::Time>>,
        noise: &mut N,
    ) -> Result<(V, V), Error>
    where
        S: ForwardProcess + ?Sized,
        S::Time: 't,
        V: State,
        N: NoiseSource<V> + ?Sized,
    {
        let t = t.into();
        let extra: Vec<f64> = levels(schedule, t, x0.items())?
            .iter()
            .map(|level| self.strength * level.sigma())
            .collect();
        let (mut xt, eps) = schedule.draw_jump(x0, t, noise)?;
        noise.add(&mut xt, Scale::PerItem(&extra), None)?;
        Ok((xt, eps))
    }
}
