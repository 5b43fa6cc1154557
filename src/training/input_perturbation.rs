//! Noised data that is a little noisier than the network is given.

use std::{fmt, sync::Arc};

use crate::{
    Error, ForwardProcess, NoiseLevel,
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
#[derive(Clone)]
pub struct InputPerturbation {
    strength: Strength,
}

#[derive(Clone)]
enum Strength {
    Same(f64),
    OfLevel(Arc<dyn Fn(NoiseLevel) -> f64 + Send + Sync>),
}

impl fmt::Debug for InputPerturbation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.strength {
            Strength::Same(strength) => write!(f, "InputPerturbation({strength})"),
            Strength::OfLevel(_) => f.write_str("InputPerturbation(of level)"),
        }
    }
}

impl InputPerturbation {
    /// With this ratio of extra noise to noise; 0.1 is the value of the paper.
    ///
    /// # Errors
    ///
    /// If the strength is not in 0 to 10.
    pub fn new(strength: f64) -> Result<Self, Error> {
        let strength = Strength::Same(checked(strength)?);
        Ok(Self { strength })
    }

    /// With a ratio that depends on the noise level of the item.
    ///
    /// ```
    /// use gaussian_diffusion::{SeededNoise, Time, schedule::RectifiedFlow, training::InputPerturbation};
    /// use ndarray::Array2;
    /// // Strong where there is little noise, as the errors of a sampler are.
    /// let perturbed = InputPerturbation::of_level(|level| 0.2 * level.alpha());
    /// let times = [Time::new(0.2)?, Time::new(1.0)?];
    /// let (x, eps) = perturbed.draw_jump(&RectifiedFlow, &Array2::<f64>::zeros((2, 4)), &times, &mut SeededNoise::new(0))?;
    /// assert_eq!(x.row(1), eps.row(1));
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("gamma_t"))]
    pub fn of_level(strength: impl Fn(NoiseLevel) -> f64 + Send + Sync + 'static) -> Self {
        let strength = Strength::OfLevel(Arc::new(strength));
        Self { strength }
    }

    fn at(&self, level: NoiseLevel) -> Result<f64, Error> {
        match &self.strength {
            Strength::Same(strength) => Ok(*strength),
            Strength::OfLevel(strength) => checked(strength(level)),
        }
    }

    /// [`ForwardProcess::draw_jump`] with the perturbed `x_t`; returns `(x_t, eps)`.
    ///
    /// Takes two draws of the source.
    ///
    /// # Errors
    ///
    /// As [`ForwardProcess::draw_jump`], or if a strength is not in 0 to 10.
    pub fn draw_jump<'t, S, V, N>(
        &self,
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
            .map(|&level| Ok(self.at(level)? * level.sigma()))
            .collect::<Result<_, Error>>()?;
        let (mut xt, eps) = schedule.draw_jump(x0, t, noise)?;
        noise.add(&mut xt, Scale::PerItem(&extra), None)?;
        Ok((xt, eps))
    }
}

fn checked(strength: f64) -> Result<f64, Error> {
    if !(0.0..=10.0).contains(&strength) {
        return Err(Error::range("strength", strength, "0 to 10"));
    }
    Ok(strength)
}
