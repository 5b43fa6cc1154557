//! DPM++ SDE: a stochastic step with one evaluation inside.

use super::{At, Path, ReverseStep, Stage, Update, exponential::inner};
use crate::{Error, NonMarkovian, Parameterization, Posterior, UpdateNoise};

/// DPM++ SDE of k-diffusion: the step of the [`NonMarkovian`] posterior with a prediction from inside.
///
/// With the posterior of DDIM's eta, at a fraction `r` of the step in log-SNR:
///
/// ```text
/// x_r = posterior step t -> r with m_0 and noise of its own
/// x_s = posterior step t -> s with (1 - 1/(2r)) m_0 + 1/(2r) m_r
/// ```
///
/// $$x_s=q_\text{state}\thinspace x_t+q_\text{clean}\Big(\big(1-\tfrac1{2r}\big)m_0+\tfrac1{2r}m_r\Big)
///   +q_\text{std}\thinspace z$$
///
/// The two noises are those of two intervals that overlap: independent ones, or increments of one
/// path if the [`NoiseSource`](crate::noise::NoiseSource) draws such. A step to or from an infinite
/// log-SNR is one posterior step. Weak order 1.
///
/// [Source](crate::docs::papers#k-diffusion): the code of k-diffusion, Crowson, 2022; DPM-Solver++, Lu et al., 2022.
///
/// ```
/// use gaussian_diffusion::{Grid, Plan, schedule::Edm, solver::DpmSde};
/// let schedule = Edm::default();
/// let plan = Plan::new(&schedule, &Grid::karras(&schedule, 10)?, &DpmSde::new(1.0)?)?;
/// assert_eq!(plan.evaluations(), 19);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("dpmpp_sde", "DPMSolverSDEScheduler", "DPM++ SDE", "sample_dpmpp_sde"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DpmSde {
    posterior: NonMarkovian,
    fraction: f64,
    noise: f64,
}

impl DpmSde {
    /// With DDIM's eta and the evaluation half of the way.
    ///
    /// # Errors
    ///
    /// If eta is not 0 to 1.
    pub fn new(eta: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&eta) {
            return Err(Error::range("eta", eta, "0 to 1"));
        }
        Ok(Self {
            posterior: NonMarkovian::new(eta)?,
            fraction: 0.5,
            noise: 1.0,
        })
    }

    /// Where the second evaluation lies, as a fraction in log-SNR.
    ///
    /// # Errors
    ///
    /// If the fraction is not 0.05 to 0.95.
    #[doc(alias("r"))]
    pub fn with_fraction(mut self, fraction: f64) -> Result<Self, Error> {
        if !(0.05..=0.95).contains(&fraction) {
            let what = "fraction of the second evaluation";
            return Err(Error::range(what, fraction, "0.05 to 0.95"));
        }
        self.fraction = fraction;
        Ok(self)
    }

    super::options::noise_factor!();
}

impl ReverseStep for DpmSde {
    fn stages(&self, path: &Path<'_>) -> Result<Vec<Stage>, Error> {
        let (from, to) = (path.from(), path.to());
        let whole = self.posterior.coefficients(from, to)?;
        let noise = |std| UpdateNoise::Std(self.noise * std);
        if !(inner(from) && inner(to)) {
            return Ok(vec![Stage::from_posterior(whole, to, noise(whole.std))]);
        }
        let snr = from.log_snr().toward(to.log_snr(), self.fraction);
        let part = self.posterior.coefficients(from, path.level_at(snr)?)?;
        let trial = Update::new(part.state)
            .with_model([part.clean])
            .with_noise(noise(part.std));
        let newest = 0.5 / self.fraction;
        let commit = Update::new(whole.state)
            .with_model([newest, 1.0 - newest].map(|w| w * whole.clean))
            .with_noise(noise(whole.std));
        Ok(vec![
            Stage::new(At::From, Parameterization::X0).with_trial(trial),
            Stage::new(At::LogSnr(snr), Parameterization::X0).with_commit(commit),
        ])
    }

    fn name(&self) -> &str {
        "DPM++ SDE"
    }

    fn memory(&self) -> usize {
        2
    }
}
