//! How much an error counts at each noise level.

use std::sync::Arc;

use super::form::Form;
use crate::{
    Error, LogSnr, NoiseLevel, Parameterization, monomial::Monomial, schedule::ContinuousSchedule,
};

const WHAT: &str = "a loss weight";

/// A weight of the squared error, as a function of the signal-to-noise ratio.
///
/// A weight is stated once, for the error of `x_0`, and carried to what a network predicts by the
/// Jacobian of the conversion: the weighted loss is the same number whatever the network's terms.
///
/// ```text
/// x0 error = J * error,   J = Parameterization::to(X0).prediction,   w = w_x0 * J^2
/// ```
///
/// $$w_{x_0}\thinspace\lVert x_0-\hat x_0\rVert^2 = w_{x_0}J^2\thinspace\lVert p-\hat p\rVert^2$$
///
/// With `u = SNR`:
///
/// | weight | on the x0 error | on the noise error |
/// |---|---|---|
/// | [`uniform(Noise)`](Self::uniform) | `u` | 1 |
/// | [`uniform(X0)`](Self::uniform) | 1 | `1 / u` |
/// | [`truncated_snr`](Self::truncated_snr) | `max(u, 1)` | `max(1, 1 / u)` |
/// | [`min_snr`](Self::min_snr) | `min(u, gamma)` | `min(1, gamma / u)` |
/// | [`soft_min_snr`](Self::soft_min_snr) | `gamma u / (u + gamma)` | `gamma / (u + gamma)` |
/// | [`p2`](Self::p2) | `u / (k + u)^gamma` | `1 / (k + u)^gamma` |
/// | [`edm`](Self::edm) | `u + 1 / sigma_data^2` | `1 + 1 / (u sigma_data^2)` |
/// | [`sigmoid`](Self::sigmoid) | `e^b u / (u + e^b)` | `sigmoid(b - ln u)` |
/// | [`likelihood`](Self::likelihood) | `u / 2` | `1 / 2` |
/// | [`laplace`](Self::laplace) | `u e^(-abs(ln u - mu) / b) / 2b` | the density of Laplace |
/// | [`debiased`](Self::debiased) | `sqrt(u)` | `1 / sqrt(u)` |
/// | [`sigma_sqrt`](Self::sigma_sqrt), [`cosmap`](Self::cosmap) | of the flow's time | |
/// | [`of_log_snr`](Self::of_log_snr) | what you say | |
///
/// At the clean level and at zero SNR, weight and Jacobian are multiplied before their limit is
/// taken, so that a value is 0 or finite wherever the product is.
///
/// # Weights per unit of log-SNR
///
/// `sigmoid`, `likelihood` and `laplace` are densities over the log-SNR in their papers. For times
/// drawn uniformly they are multiplied by `-d logSNR / dt` of the schedule, which is
/// [`over_time`](Self::over_time).
///
/// ```
/// use gaussian_diffusion::{NoiseLevel, Parameterization::{Noise, Velocity, X0}, training::Weight};
/// let weight = Weight::min_snr(5.0)?;
/// let level = NoiseLevel::new(0.8, 0.6)?;              // SNR 16/9
/// assert!((weight.in_terms_of(X0, level)? - 16.0 / 9.0).abs() < 1e-14);
/// assert!((weight.in_terms_of(Noise, level)? - 1.0).abs() < 1e-14);
/// // Finite where the SNR is 0 and where it is infinite.
/// assert_eq!(weight.in_terms_of(Noise, NoiseLevel::NOISE)?, 1.0);
/// assert_eq!(weight.in_terms_of(Velocity, NoiseLevel::CLEAN)?, 0.0);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("loss_weight", "weighting_scheme", "snr_weighting"))]
#[derive(Debug, Clone)]
pub struct Weight {
    form: Form,
}

impl Weight {
    /// The same for every level, in these terms.
    ///
    /// `uniform(Noise)` is the simple loss of DDPM, and SNR on the x0 error.
    ///
    /// [Source](crate::docs::papers#arxiv-2006.11239): Denoising Diffusion Probabilistic Models, Ho, Jain, Abbeel, 2020.
    #[doc(alias("simple", "snr"))]
    pub const fn uniform(on: Parameterization) -> Self {
        Self {
            form: Form::Uniform(on),
        }
    }

    /// `max(SNR, 1)` on the x0 error.
    ///
    /// [Source](crate::docs::papers#arxiv-2202.00512): Progressive Distillation for Fast Sampling of Diffusion Models,
    /// Salimans, Ho, 2022.
    pub const fn truncated_snr() -> Self {
        Self {
            form: Form::TruncatedSnr,
        }
    }

    /// `min(SNR, gamma)` on the x0 error.
    ///
    /// # Errors
    ///
    /// If `gamma` is not in 1e-100 to 1e100.
    ///
    /// [Source](crate::docs::papers#arxiv-2303.09556): Efficient Diffusion Training via Min-SNR Weighting Strategy, Hang et
    /// al., 2023 (gamma 5).
    #[doc(alias("snr_gamma"))]
    pub fn min_snr(gamma: f64) -> Result<Self, Error> {
        let form = Form::MinSnr(positive("gamma", gamma)?);
        Ok(Self { form })
    }

    /// `gamma SNR / (SNR + gamma)` on the x0 error: [`min_snr`](Self::min_snr) without its corner.
    ///
    /// # Errors
    ///
    /// If `gamma` is not in 1e-100 to 1e100.
    ///
    /// [Source](crate::docs::papers#arxiv-2401.11605): Scalable High-Resolution Pixel-Space Image Synthesis with Hourglass
    /// Diffusion Transformers, Crowson, Baumann, Birch, Abraham, Kaplan, Shippole, 2024 (gamma 4).
    pub fn soft_min_snr(gamma: f64) -> Result<Self, Error> {
        let form = Form::SoftMinSnr(positive("gamma", gamma)?);
        Ok(Self { form })
    }

    /// `1 / sqrt(SNR)` on the noise error.
    ///
    /// The paper derives `1 / SNR`, which is [`uniform(X0)`](Self::uniform), and finds its range too wide for predictions of
    /// the noise. Training scripts cap the SNR for it at 1000 ([`of_log_snr`](Self::of_log_snr) has that as its example), and
    /// take `1 / (SNR + 1)` for predictions of the velocity, which is `uniform(X0)` again.
    ///
    /// [Source](crate::docs::papers#arxiv-2310.08442): Debias the Training of Diffusion Models, Yu, Shen, Huang, Li, Hou, Zhao, 2023.
    #[doc(alias("debiased_estimation_loss"))]
    pub const fn debiased() -> Self {
        Self {
            form: Form::Debiased,
        }
    }

    /// A function of the log-SNR, on the error in these terms.
    ///
    /// It is asked at finite log-SNRs, and at infinite ones for the clean level and zero SNR, where a weight of 0 is 0 in all
    /// terms.
    ///
    /// ```
    /// use gaussian_diffusion::{NoiseLevel, Parameterization::{Noise, Velocity, X0}, training::Weight};
    /// // The debiased weight with the SNR capped at 1000, as training scripts have it.
    /// let capped = Weight::of_log_snr(Noise, |log_snr| log_snr.get().exp().min(1000.0).sqrt().recip());
    /// let level = NoiseLevel::new(0.8, 0.6)?;
    /// assert!((capped.in_terms_of(Noise, level)? - 0.75).abs() < 1e-15);
    /// let plain = Weight::debiased().in_terms_of(Velocity, level)?;
    /// assert!((capped.in_terms_of(Velocity, level)? / plain - 1.0).abs() < 1e-14);
    /// // Any weight with a cap: that of EDM, at most 20 on the error of the data.
    /// let most = Weight::of_log_snr(X0, |log_snr| (log_snr.get().exp() + 4.0).min(20.0));
    /// assert_eq!(most.in_terms_of(X0, NoiseLevel::CLEAN)?, 20.0);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// None here; [`in_terms_of`](Self::in_terms_of) refuses a weight that is negative or no number.
    #[doc(alias("custom weight", "snr cap"))]
    pub fn of_log_snr(
        on: Parameterization,
        weight: impl Fn(LogSnr) -> f64 + Send + Sync + 'static,
    ) -> Self {
        let weight = Arc::new(weight);
        Self {
            form: Form::OfLogSnr { on, weight },
        }
    }

    /// `1 / (k + SNR)^gamma` on the noise error.
    ///
    /// # Errors
    ///
    /// If `k` is not in 1e-100 to 1e100, or `gamma` not in 0 to 10.
    ///
    /// [Source](crate::docs::papers#arxiv-2204.00227): Perception Prioritized Training of Diffusion Models, Choi, Lee, Shin,
    /// Kim, Kim, Yoon, 2022 (k 1, gamma 1).
    pub fn p2(k: f64, gamma: f64) -> Result<Self, Error> {
        if !(0.0..=10.0).contains(&gamma) {
            return Err(Error::range("gamma", gamma, "0 to 10"));
        }
        let k = positive("k", k)?;
        Ok(Self {
            form: Form::P2 { k, gamma },
        })
    }

    /// `(sigma^2 + sigma_data^2) / (sigma sigma_data)^2` on the x0 error, with `sigma` for
    /// `sigma / alpha`: uniform on the output of EDM's network.
    ///
    /// [Source](crate::docs::papers#arxiv-2206.00364): Elucidating the Design Space of Diffusion-Based Generative Models,
    /// Karras, Aittala, Aila, Laine, 2022.
    pub const fn edm(sigma_data: crate::SigmaData) -> Self {
        Self::uniform(Parameterization::Edm(sigma_data))
    }

    /// `sigmoid(bias - logSNR)` on the noise error per unit of log-SNR; on the x0 error
    /// `e^bias sigmoid(logSNR - bias)`.
    ///
    /// As a function of the level it is [`soft_min_snr`](Self::soft_min_snr) with `gamma = e^bias`.
    ///
    /// # Errors
    ///
    /// If `bias` is not in -200 to 200.
    ///
    /// [Sources](crate::docs::papers#arxiv-2303.00848): Understanding Diffusion Objectives as the ELBO with Simple Data
    /// Augmentation, Kingma, Gao, 2023; Simpler Diffusion (SiD2), Hoogeboom, Mensink, Heek, Lamerigts, Gao,
    /// Salimans, 2024.
    pub fn sigmoid(bias: f64) -> Result<Self, Error> {
        if !(-200.0..=200.0).contains(&bias) {
            return Err(Error::range("bias", bias, "-200 to 200"));
        }
        Self::soft_min_snr(bias.exp())
    }

    /// 1/2 on the noise error per unit of log-SNR: with [`over_time`](Self::over_time), the
    /// continuous-time variational bound in nats.
    ///
    /// On the x0 error that is half the rate at which the SNR falls; on the score, `g^2 / 2`.
    ///
    /// $$\tfrac12\int\mathrm{SNR}\thickspace\lVert x_0-\hat x_0\rVert^2\thinspace\mathrm d\log\mathrm{SNR}$$
    ///
    /// The bound sums over elements; an error averaged over them is to be multiplied by their number.
    ///
    /// [Sources](crate::docs::papers#arxiv-2107.00630): Variational Diffusion Models, Kingma, Salimans, Poole, Ho, 2021;
    /// Maximum Likelihood Training of Score-Based Diffusion Models, Song, Durkan, Murray, Ermon, 2021.
    #[doc(alias("VDM", "likelihood_weighting", "vlb"))]
    pub const fn likelihood() -> Self {
        Self {
            form: Form::Likelihood,
        }
    }

    /// `exp(-|logSNR - mean| / scale) / (2 scale)` on the noise error per unit of log-SNR.
    ///
    /// # Errors
    ///
    /// If `mean` is not in -50 to 50, or `scale` not in 0.1 to 100.
    ///
    /// [Source](crate::docs::papers#arxiv-2407.03297): Improved Noise Schedule for Diffusion Training, Hang, Gu, 2024 (mean 0,
    /// scale 0.5).
    pub fn laplace(mean: f64, scale: f64) -> Result<Self, Error> {
        if !(-50.0..=50.0).contains(&mean) {
            return Err(Error::range("mean", mean, "-50 to 50"));
        }
        if !(0.1..=100.0).contains(&scale) {
            return Err(Error::range("scale", scale, "0.1 to 100"));
        }
        Ok(Self {
            form: Form::Laplace { mean, scale },
        })
    }

    /// `1 / s^2` on the error in these terms, where `s = sigma / (alpha + sigma)` is the time of the
    /// rectified flow.
    ///
    /// Training scripts apply it to the x0 error, where it is uniform on the flow, or to the flow
    /// error; which is yours to say.
    ///
    /// [Source](crate::docs::papers#arxiv-2403.03206): Scaling Rectified Flow Transformers for High-Resolution Image
    /// Synthesis, Esser et al., 2024 (its public training code).
    pub const fn sigma_sqrt(on: Parameterization) -> Self {
        Self {
            form: Form::SigmaSqrt(on),
        }
    }

    /// `2 / (pi (1 - 2 s + 2 s^2))` on the error in these terms, where `s = sigma / (alpha + sigma)`
    /// is the time of the rectified flow.
    ///
    /// On the flow error, it is what drawing times from the paper's density amounts to.
    ///
    /// [Source](crate::docs::papers#arxiv-2403.03206): Scaling Rectified Flow Transformers for High-Resolution Image
    /// Synthesis, Esser et al., 2024.
    pub const fn cosmap(on: Parameterization) -> Self {
        Self {
            form: Form::CosMap(on),
        }
    }

    /// The weight of the error in these terms.
    ///
    /// # Errors
    ///
    /// [`Error::Singular`] where it is infinite, such as the weight of a noise error at zero SNR that
    /// is not 0 on the x0 error. If a function of yours is negative or NaN.
    pub fn in_terms_of(
        &self,
        parameterization: Parameterization,
        level: NoiseLevel,
    ) -> Result<f64, Error> {
        self.monomial(parameterization, level)?.value(level, WHAT)
    }

    /// The weights of a batch, one per level.
    ///
    /// # Errors
    ///
    /// As [`in_terms_of`](Self::in_terms_of).
    pub fn each(
        &self,
        parameterization: Parameterization,
        levels: &[NoiseLevel],
    ) -> Result<Vec<f64>, Error> {
        levels
            .iter()
            .map(|&level| self.in_terms_of(parameterization, level))
            .collect()
    }

    /// The weight times `-d logSNR / dt`: of an error at a time drawn uniformly, for a weight that is
    /// a density over the log-SNR.
    ///
    /// $$w\cdot\frac{g^2}{\sigma^2},\qquad g^2=-\sigma^2\thinspace\frac{\mathrm d\log\mathrm{SNR}}{\mathrm dt}$$
    ///
    /// # Errors
    ///
    /// As [`in_terms_of`](Self::in_terms_of), or where the schedule's equation has no value.
    ///
    /// ```
    /// use gaussian_diffusion::{Parameterization::{Noise, Score}, Time, schedule::VpLinear, training::Weight};
    /// let schedule = VpLinear::new(0.1, 20.0)?;
    /// // Likelihood weighting of the score is g^2 / 2, at the clean end too.
    /// let weight = Weight::likelihood().over_time(Score, &schedule, Time::new(0.0)?)?;
    /// assert!((weight - 0.05).abs() < 1e-15);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    pub fn over_time<S: ContinuousSchedule + ?Sized>(
        &self,
        parameterization: Parameterization,
        schedule: &S,
        t: S::Time,
    ) -> Result<f64, Error> {
        let level = schedule.level(t)?;
        let diffusion = schedule.sde(t)?.diffusion;
        let rate = Monomial::new(diffusion, 0.0, -1.0).squared();
        let weight = self.monomial(parameterization, level)?;
        weight.times(rate).value(level, WHAT)
    }

    fn monomial(
        &self,
        parameterization: Parameterization,
        level: NoiseLevel,
    ) -> Result<Monomial, Error> {
        let jacobian = parameterization.x0_jacobian(level);
        Ok(self.form.on_x0(level)?.times(jacobian.squared()))
    }
}

fn positive(what: &'static str, value: f64) -> Result<f64, Error> {
    if !(1e-100..=1e100).contains(&value) {
        return Err(Error::range(what, value, "1e-100 to 1e100"));
    }
    Ok(value)
}
