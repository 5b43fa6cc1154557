//! The variational bound in continuous time.

use std::fmt::Debug;

use ndarray::{Array, Dimension};

use super::{
    Decoder, Estimate, InNats, Nats,
    elements::{noised, per_item, prior, sum_items},
};
use crate::{
    Clock, Denoiser, Error, LogSnr, NoiseLevel, NoiseSchedule, Point, UpdateNoise, Variance,
    noise::NoiseSource,
    rand::{Rng, RngCore},
    schedule::ContinuousSchedule,
    state::{Real, State, item_len},
};

/// The bound of a diffusion model with infinitely many steps between two noise levels.
///
/// ```text
/// -log p(x_0) <= KL(q(x_T|x_0) || p(x_T)) + 1/2 integral E |eps - eps_predicted|^2 d log_snr
///                - E log p(x_0|z_0)
/// ```
///
/// $$-\log p(x_0)\le \mathrm{KL}(q(x_T|x_0)\thinspace\Vert\thinspace p(x_T))
///   +\tfrac12\int_{\ell_{\min}}^{\ell_{\max}}\mathbb E\thinspace\Vert\varepsilon-\hat\varepsilon\Vert^2\thinspace
///   \mathrm d\ell-\mathbb E\log p(x_0|z_0)$$
///
/// The integral runs over the log-SNR, so that its value does not depend on the schedule but through
/// its two ends. What does is the variance of an estimate: [`in_log_snr`](Self::in_log_snr) draws the
/// log-SNR evenly, [`in_time`](Self::in_time) draws the time of the schedule evenly and weighs by
/// `-d log_snr / dt = g^2 / sigma^2`.
///
/// `p(x_0 | z_0)` is the decoder's likelihood at mean `z_0 / alpha` and standard deviation `sigma / alpha` of
/// the cleanest level, which needs no network.
///
/// [Source](crate::docs::papers#arxiv-2107.00630): Variational Diffusion Models, Kingma, Salimans, Poole, Ho, 2021, equations
/// 11 to 18.
///
/// ```
/// use gaussian_diffusion::{GaussianMixture, LogSnr, SeededNoise, schedule::LogSnrLinear};
/// use gaussian_diffusion::likelihood::{Continuous, ContinuousBound};
/// use gaussian_diffusion::rand::{SeedableRng, rngs::StdRng};
/// let schedule = LogSnrLinear::new(LogSnr::new(-8.0)?, LogSnr::new(8.0)?)?;
/// let bound = ContinuousBound::in_log_snr(&schedule, Continuous)?;
/// let mut net = GaussianMixture::isotropic(&[(1.0, &[0.0][..], 1.0)])?;
/// let (mut noise, mut rng) = (SeededNoise::new(0), StdRng::seed_from_u64(0));
/// let terms = bound.estimate(&ndarray::array![[0.3]], &mut net, &mut noise, &mut rng, 50)?;
/// assert!(terms.prior[0].get() < 1e-3);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("VDM", "diffusion loss"))]
pub struct ContinuousBound<'s, S: NoiseSchedule + ?Sized, C> {
    schedule: &'s S,
    /// The noisiest and the cleanest time.
    ends: (S::Time, S::Time),
    sampling: Sampling<S>,
    decoder: C,
}

/// A time from a number in the unit interval, and the log-SNR per unit of that number.
type Sampling<S> = fn(
    &S,
    (<S as NoiseSchedule>::Time, <S as NoiseSchedule>::Time),
    f64,
) -> Result<(<S as NoiseSchedule>::Time, NoiseLevel, f64), Error>;

impl<S: NoiseSchedule + ?Sized, C: Debug> Debug for ContinuousBound<'_, S, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContinuousBound")
            .field("ends", &self.ends)
            .field("decoder", &self.decoder)
            .finish_non_exhaustive()
    }
}

/// The terms of the continuous bound for each item, in nats.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ContinuousTerms<L> {
    /// `KL(q(x_T|x_0) || p(x_T))`.
    pub prior: Vec<Nats>,
    /// The integral, from drawn times.
    pub diffusion: Vec<Estimate<Nats>>,
    /// `log p(x_0|z_0)` for one draw of `z_0`.
    pub reconstruction: Vec<L>,
}

impl<L: InNats> ContinuousTerms<L> {
    /// The lower bound of the log-likelihood of each item, with the standard error of the integral.
    pub fn total(&self) -> Vec<Estimate<L>> {
        let terms = self.prior.iter().zip(&self.diffusion);
        terms
            .zip(&self.reconstruction)
            .map(|((prior, diffusion), last)| diffusion.affine(-1.0, last.nats() - *prior))
            .collect()
    }
}

impl<'s, S: NoiseSchedule + ?Sized, C: Decoder> ContinuousBound<'s, S, C> {
    /// Between the ends of any schedule, with the log-SNR drawn evenly.
    ///
    /// # Errors
    ///
    /// If the log-SNR of an end is infinite: [`between`](Self::between) narrows them.
    pub fn in_log_snr(schedule: &'s S, decoder: C) -> Result<Self, Error> {
        let ends = schedule.ends();
        Self::build(schedule, ends, evenly_in_log_snr, decoder)
    }

    /// The same, from this noisiest to this cleanest time.
    ///
    /// # Errors
    ///
    /// As [`in_log_snr`](Self::in_log_snr), or if the first is not the noisier one.
    pub fn between(
        schedule: &'s S,
        noisiest: S::Time,
        cleanest: S::Time,
        decoder: C,
    ) -> Result<Self, Error> {
        Self::build(schedule, (noisiest, cleanest), evenly_in_log_snr, decoder)
    }

    /// The same, with the time of a continuous schedule drawn evenly.
    ///
    /// # Errors
    ///
    /// As [`between`](Self::between), or if the schedule's equation has no value at an end.
    pub fn in_time(
        schedule: &'s S,
        noisiest: S::Time,
        cleanest: S::Time,
        decoder: C,
    ) -> Result<Self, Error>
    where
        S: ContinuousSchedule,
        S::Time: Clock,
    {
        let bound = Self::build(schedule, (noisiest, cleanest), evenly_in_time, decoder)?;
        evenly_in_time(schedule, bound.ends, 0.0).and(evenly_in_time(schedule, bound.ends, 1.0))?;
        Ok(bound)
    }

    fn build(
        schedule: &'s S,
        ends: (S::Time, S::Time),
        sampling: Sampling<S>,
        decoder: C,
    ) -> Result<Self, Error> {
        let (low, high) = log_snrs(schedule, ends)?;
        for end in [low, high] {
            if !end.is_finite() {
                let allowed = "finite: narrow the ends of the schedule";
                return Err(Error::range("log-SNR of an end", end, allowed));
            }
        }
        if !(low < high) {
            return Err(Error::NotMonotone {
                what: "ends",
                index: 1,
                before: low,
                this: high,
            });
        }
        Ok(Self {
            schedule,
            ends,
            sampling,
            decoder,
        })
    }

    /// All terms for an array, the integral from this many drawn times, the same for all items.
    ///
    /// # Errors
    ///
    /// If there are 0 draws; if the network fails or answers with another shape, a NaN, or something
    /// that does not determine the data; if the decoder refuses the data.
    pub fn estimate<A, D, N, Z, R>(
        &self,
        x_0: &Array<A, D>,
        network: &mut N,
        noise: &mut Z,
        rng: &mut R,
        draws: usize,
    ) -> Result<ContinuousTerms<C::Likelihood>, Error>
    where
        A: Real,
        D: Dimension,
        N: Denoiser<Array<A, D>, S::Time> + ?Sized,
        Z: NoiseSource<Array<A, D>> + ?Sized,
        R: RngCore + ?Sized,
    {
        if draws == 0 {
            return Err(Error::range("number of draws", 0.0, "1 or more"));
        }
        let prior = prior(x_0, self.schedule.level(self.ends.0)?)?;
        let clean = self.schedule.level(self.ends.1)?;
        let mut terms: Vec<Vec<Nats>> = vec![Vec::new(); prior.len()];
        for draw in 0..draws {
            let (time, level, span) = (self.sampling)(self.schedule, self.ends, rng.random())?;
            let point = Point {
                step: draw,
                ..Point::new(self.schedule.network_time(time), level, clean)
            };
            let x_t = noised(x_0, level, noise)?;
            let prediction = network.predict(&x_t, point)?;
            // |eps - eps_predicted|^2 is the SNR times the squared error of x_0.
            let weight = 0.5 * span * level.log_snr().get().exp();
            let error = per_item(
                x_0,
                &x_t,
                &prediction,
                level,
                UpdateNoise::NONE,
                draw,
                |e| Ok(weight * (e.x_0 - e.predicted).powi(2)),
            )?;
            for (list, error) in terms.iter_mut().zip(error) {
                list.push(Nats::of(error));
            }
        }
        let diffusion = terms.iter().map(|list| Estimate::of(list));
        Ok(ContinuousTerms {
            prior,
            diffusion: diffusion.collect::<Result<_, _>>()?,
            reconstruction: self.reconstruction(x_0, clean, noise)?,
        })
    }

    fn reconstruction<A, D, Z>(
        &self,
        x_0: &Array<A, D>,
        level: NoiseLevel,
        noise: &mut Z,
    ) -> Result<Vec<C::Likelihood>, Error>
    where
        A: Real,
        D: Dimension,
        Z: NoiseSource<Array<A, D>> + ?Sized,
    {
        let z_0 = noised(x_0, level, noise)?;
        let variance = Variance::of_std(level.noise_to_signal()).ln();
        let mut elements = x_0.iter().zip(&z_0);
        let sums = sum_items(x_0.items(), item_len(x_0), |_| {
            let Some((x, z)) = elements.next() else {
                return Ok(0.0);
            };
            let mean = z.get() / level.alpha();
            Ok(self.decoder.log_likelihood(x.get(), mean, variance)?.get())
        })?;
        let likelihood = |sum| C::Likelihood::of_nats(Nats::of(sum));
        Ok(sums.into_iter().map(likelihood).collect())
    }
}

fn log_snrs<S: NoiseSchedule + ?Sized>(
    schedule: &S,
    (noisiest, cleanest): (S::Time, S::Time),
) -> Result<(f64, f64), Error> {
    let at = |t| Ok::<_, Error>(schedule.level(t)?.log_snr().get());
    Ok((at(noisiest)?, at(cleanest)?))
}

fn evenly_in_log_snr<S: NoiseSchedule + ?Sized>(
    schedule: &S,
    ends: (S::Time, S::Time),
    fraction: f64,
) -> Result<(S::Time, NoiseLevel, f64), Error> {
    let (low, high) = log_snrs(schedule, ends)?;
    let snr = LogSnr::new(low + (high - low) * fraction)?;
    Ok((schedule.time_at(snr)?, schedule.level_at(snr)?, high - low))
}

fn evenly_in_time<S>(
    schedule: &S,
    (noisiest, cleanest): (S::Time, S::Time),
    fraction: f64,
) -> Result<(S::Time, NoiseLevel, f64), Error>
where
    S: ContinuousSchedule + ?Sized,
    S::Time: Clock,
{
    let time = noisiest.toward(cleanest, fraction);
    let level = schedule.level(time)?;
    // g^2 = -sigma^2 d log_snr / dt.
    let rate = (schedule.sde(time)?.diffusion / level.sigma()).powi(2);
    let span = (noisiest.reading() - cleanest.reading()).abs();
    Ok((time, level, rate * span))
}
