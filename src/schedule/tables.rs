//! The published tables of betas.
//!
//! `i` counts the steps from 0 to `T - 1`.

use std::f64::consts::FRAC_PI_2;

use super::{Discrete, discrete::BETAS};
use crate::{Error, error::Number, time::check_steps};

/// The values of these steps, if there are neither too few nor too many of them.
fn tabulated(steps: usize, value: impl Fn(usize) -> f64) -> Result<Vec<f64>, Error> {
    check_steps(steps)?;
    Ok((0..steps).map(value).collect())
}

/// The `i`th of `count` numbers from `first` to `last`; the first alone where there is one.
fn linspace(count: usize, first: f64, last: f64) -> impl Fn(usize) -> f64 {
    let intervals = count.saturating_sub(1).max(1);
    move |i| {
        if i == intervals {
            last
        } else {
            first + (last - first) * (i as f64 / intervals as f64)
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `ln(sigmoid(x))`.
fn ln_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

fn check_beta(what: &'static str, beta: f64) -> Result<(), Error> {
    if (1e-300..1.0).contains(&beta) {
        return Ok(());
    }
    Err(Error::range(what, beta, BETAS))
}

impl Discrete {
    /// The schedule of the DDPM paper for any number of steps: linear betas from 1e-4 to 0.02 at
    /// 1000 steps, scaled by `1000 / T` for others, so that the noise at the end stays.
    ///
    /// # Errors
    ///
    /// If there are too few steps (20 or fewer) for the scaled betas to stay below 1.
    ///
    /// [Source](crate::docs::papers#arxiv-2006.11239): Ho, Jain, Abbeel, 2020; the scaling is Improved DDPM's, Nichol,
    /// Dhariwal, 2021.
    ///
    /// ```
    /// use gaussian_diffusion::{Step, schedule::Discrete};
    /// assert_eq!(Discrete::ddpm(1000)?.beta(Step::new(999))?, 0.02);
    /// assert_eq!(Discrete::ddpm(100)?.beta(Step::new(99))?, 0.2);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("linear"))]
    pub fn ddpm(steps: usize) -> Result<Self, Error> {
        let scale = 1000.0 / steps as f64;
        let beta = linspace(steps, 1e-4, 0.02);
        Self::build(tabulated(steps, |i| scale * beta(i))?, false)
    }

    /// Betas linear from `first` to `last`, both included.
    ///
    /// # Errors
    ///
    /// If there are no steps or more than 2^24, or a beta is not strictly between 0 and 1; so for all
    /// tables here.
    pub fn linear(steps: usize, first: f64, last: f64) -> Result<Self, Error> {
        Self::build(tabulated(steps, linspace(steps, first, last))?, false)
    }

    /// Roots of the betas linear from `sqrt(first)` to `sqrt(last)`.
    ///
    /// # Errors
    ///
    /// As [`linear`](Self::linear).
    ///
    /// [Source](crate::docs::papers#arxiv-2112.10752): High-Resolution Image Synthesis with Latent Diffusion Models, Rombach,
    /// Blattmann, Lorenz, Esser, Ommer, 2022 (`first = 0.00085`, `last = 0.012`); "quad" in the DDPM code.
    #[doc(alias("quadratic", "quad"))]
    pub fn scaled_linear(steps: usize, first: f64, last: f64) -> Result<Self, Error> {
        check_beta("first beta", first)?;
        check_beta("last beta", last)?;
        let root = linspace(steps, first.sqrt(), last.sqrt());
        Self::build(tabulated(steps, |i| root(i).powi(2))?, false)
    }

    /// The schedule of Stable Diffusion 1, 2 and XL:
    /// [`scaled_linear`](Self::scaled_linear) from 0.00085 to 0.012 in 1000 steps.
    ///
    /// # Errors
    ///
    /// None in practice.
    pub fn stable_diffusion() -> Result<Self, Error> {
        Self::scaled_linear(1000, 0.00085, 0.012)
    }

    /// The cosine schedule with its published constants: offset 0.008, betas capped at 0.999.
    ///
    /// # Errors
    ///
    /// If there are no steps.
    #[doc(alias("squaredcos_cap_v2"))]
    pub fn cosine(steps: usize) -> Result<Self, Error> {
        Self::cosine_with(steps, 0.008, 0.999)
    }

    /// `alpha_bar_i = f((i + 1) / T) / f(0)` with `f(u) = cos^2((u + offset) / (1 + offset) pi / 2)`,
    /// betas capped.
    ///
    /// $$\bar\alpha(u)=\frac{f(u)}{f(0)},\qquad
    ///   f(u)=\cos^2\Big(\frac{u+s}{1+s}\cdot\frac{\pi}{2}\Big)$$
    ///
    /// The cap is needed: at `u = 1` the cosine is 0.
    ///
    /// # Errors
    ///
    /// If the offset is not in 0 to 1, or the cap is not strictly between 0 and 1.
    ///
    /// [Source](crate::docs::papers#arxiv-2102.09672): Improved Denoising Diffusion Probabilistic Models, Nichol, Dhariwal,
    /// 2021, equation 17.
    pub fn cosine_with(steps: usize, offset: f64, max_beta: f64) -> Result<Self, Error> {
        check_beta("max beta", max_beta)?;
        if !(0.0..=1.0).contains(&offset) {
            return Err(Error::range("offset", offset, "0 to 1"));
        }
        // Angles are counted from the zero of the cosine, where digits are needed, and the beta is
        // 1 - cos^2 b / cos^2 a = sin(b - a) sin(b + a) / cos^2 a, which does not cancel.
        let count = steps as f64;
        let unit = FRAC_PI_2 / (1.0 + offset) / count;
        let beta = |i: usize| {
            let (from, to) = ((count - i as f64) * unit, (count - (i + 1) as f64) * unit);
            (unit.sin() * (from + to).sin() / from.sin().powi(2)).min(max_beta)
        };
        Self::build(tabulated(steps, beta)?, false)
    }

    /// Betas on a sigmoid of the line from -6 to 6, from near `first` to near `last`.
    ///
    /// `beta_i = first + (last - first) / (1 + exp(-z_i))`.
    ///
    /// # Errors
    ///
    /// As [`linear`](Self::linear).
    ///
    /// [Source](crate::docs::papers#arxiv-2203.02923): GeoDiff, Xu et al., 2022.
    #[doc(alias("GeoDiff"))]
    pub fn sigmoid(steps: usize, first: f64, last: f64) -> Result<Self, Error> {
        let place = linspace(steps, -6.0, 6.0);
        let beta = |i| first + (last - first) * sigmoid(place(i));
        Self::build(tabulated(steps, beta)?, false)
    }

    /// The sigmoid schedule in `alpha_bar`, with its published constants: from -3 to 3, temperature
    /// 1, betas capped at 0.999.
    ///
    /// # Errors
    ///
    /// If there are no steps.
    #[doc(alias("Jabri"))]
    pub fn sigmoid_alpha_bar(steps: usize) -> Result<Self, Error> {
        Self::sigmoid_alpha_bar_with(steps, -3.0, 3.0, 1.0)
    }

    /// `alpha_bar(u)` falls from 1 to 0 on the piece from `start` to `end` of a sigmoid of this
    /// temperature; betas capped at 0.999.
    ///
    /// `alpha_bar(u) = (S(end) - S(u)) / (S(end) - S(start))` with
    /// `S(u) = sigmoid((start + u (end - start)) / temperature)`.
    ///
    /// # Errors
    ///
    /// If `start` is not below `end`, or the temperature is not positive.
    ///
    /// [Source](crate::docs::papers#arxiv-2212.11972): Scalable Adaptive Computation for Iterative Generation, Jabri, Fleet,
    /// Chen, 2023; On the Importance of Noise Scheduling for Diffusion Models, Chen, 2023.
    pub fn sigmoid_alpha_bar_with(
        steps: usize,
        start: f64,
        end: f64,
        temperature: f64,
    ) -> Result<Self, Error> {
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(Error::range(
                "temperature",
                temperature,
                "a finite number above 0",
            ));
        }
        if !start.is_finite() {
            return Err(Error::range("start", start, "a finite number"));
        }
        if !(start < end && end.is_finite()) {
            return Err(Error::range(
                "end",
                end,
                format!("a finite number above start = {}", Number(start)),
            ));
        }
        // S(b) - S(a) = sinh((b - a) / 2) / (2 cosh(a / 2) cosh(b / 2)), and the end cancels in a
        // ratio of two such differences.
        let at = |u: f64| (start + u * (end - start)) / temperature;
        let last = at(1.0);
        let difference = |a: f64, b: f64| (0.5 * (b - a)).sinh() / (0.5 * a).cosh();
        let beta = |i: usize| {
            let (from, to) = (
                at(i as f64 / steps as f64),
                at((i + 1) as f64 / steps as f64),
            );
            let step = difference(from, to) / (0.5 * to).cosh();
            (step / (difference(from, last) / (0.5 * last).cosh())).min(0.999)
        };
        Self::build(tabulated(steps, beta)?, false)
    }

    /// The same beta at every step.
    ///
    /// # Errors
    ///
    /// As [`linear`](Self::linear).
    pub fn constant(steps: usize, beta: f64) -> Result<Self, Error> {
        Self::build(tabulated(steps, |_| beta)?, false)
    }

    /// Betas linear from `first` to `last` over the first `fraction` of the steps, then `last`.
    ///
    /// # Errors
    ///
    /// If the fraction is not in 0 to 1, or as [`linear`](Self::linear).
    ///
    /// [Source](crate::docs::papers#arxiv-2006.11239): "warmup10" and "warmup50" in the code of Ho, Jain, Abbeel, 2020.
    pub fn warm_up(steps: usize, first: f64, last: f64, fraction: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&fraction) {
            return Err(Error::range("fraction", fraction, "0 to 1"));
        }
        let rise = (steps as f64 * fraction) as usize;
        let rising = linspace(rise, first, last);
        let beta = |i| if i < rise { rising(i) } else { last };
        Self::build(tabulated(steps, beta)?, false)
    }

    /// `beta_i = 1 / (T - i)`: every step forgets the same amount of the data, and the last one all
    /// that is left.
    ///
    /// # Errors
    ///
    /// If there are no steps.
    ///
    /// [Source](crate::docs::papers#arxiv-1503.03585): Deep Unsupervised Learning using Nonequilibrium Thermodynamics,
    /// Sohl-Dickstein, Weiss, Maheswaranathan, Ganguli, 2015; "jsd" in the DDPM code.
    #[doc(alias("jsd"))]
    pub fn harmonic(steps: usize) -> Result<Self, Error> {
        Self::build(tabulated(steps, |i| 1.0 / (steps - i) as f64)?, true)
    }

    /// `alpha_bar(u) = exp(-rate u)`: the same beta at every step, capped at 0.999.
    ///
    /// # Errors
    ///
    /// If the rate is not positive.
    ///
    /// Source: `exp` in the diffusers library, with rate 12.
    #[doc(alias("exp"))]
    pub fn exponential(steps: usize, rate: f64) -> Result<Self, Error> {
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(Error::range("rate", rate, "a finite number above 0"));
        }
        Self::constant(steps, (-(-rate / steps as f64).exp_m1()).min(0.999))
    }

    /// Log-SNRs in a Laplace distribution: most steps where the SNR is near `exp(location)`.
    ///
    /// `log_snr(u) = location - scale sgn(1/2 - u) ln(1 - 2 |1/2 - u| + 1e-6)` on variance-preserving
    /// levels, with `sgn(0) = 1`; betas from the ratios over a grid `u = i / T`, capped at 0.999.
    ///
    /// # Errors
    ///
    /// If the location is not finite or the scale is not positive.
    ///
    /// [Source](crate::docs::papers#arxiv-2407.03297): Improved Noise Schedule for Diffusion Training, Hang, Gu, 2024
    /// (location 0, scale 0.5).
    pub fn laplace(steps: usize, location: f64, scale: f64) -> Result<Self, Error> {
        if !location.is_finite() {
            return Err(Error::range("location", location, "a finite number"));
        }
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(Error::range("scale", scale, "a finite number above 0"));
        }
        let ln_alpha_bar = |i: usize| {
            let v = 0.5 - i as f64 / steps as f64;
            let tail = (1.0 - 2.0 * v.abs() + 1e-6).ln();
            ln_sigmoid(location + scale * if v >= 0.0 { -tail } else { tail })
        };
        let beta = |i| (-(ln_alpha_bar(i + 1) - ln_alpha_bar(i)).exp_m1()).min(0.999);
        Self::build(tabulated(steps, beta)?, false)
    }
}
