//! Boundary conditions of consistency models.

use super::preconditioning::Coefficients;
use crate::{Error, NoiseLevel, Sigma, SigmaData};

/// The boundary condition of a consistency model: at `sigma_min` it is the identity.
///
/// With `s = sigma / alpha`, `m = sigma_min` and `d = sigma_data`:
/// `c_skip = d^2 / ((s - m)^2 + d^2)`, `c_out = (s - m) d / hypot(s, d)`, `c_in = 1 / hypot(s, d)`,
/// time `250 ln s`.
///
/// $$f(x)=\frac{d^2}{(s-m)^2+d^2}\thinspace x+\frac{(s-m)\thinspace d}{\sqrt{s^2+d^2}}\thinspace F\Big(\frac{x}{\sqrt{s^2+d^2}}\Big)$$
///
/// # Errors
///
/// Where there is no noise or no signal.
///
/// [Source](crate::docs::papers#arxiv-2303.01469): Consistency Models, Song, Dhariwal, Chen, Sutskever, 2023.
///
/// ```
/// use gaussian_diffusion::{NoiseLevel, Sigma, SigmaData, denoiser::consistency_model};
/// let min = Sigma::new(0.002)?;
/// let c = consistency_model(NoiseLevel::variance_exploding(min)?, min, SigmaData::EDM)?;
/// assert_eq!((c.skip, c.out), (1.0, 0.0));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias(
    "CMStochasticIterativeScheduler",
    "get_scalings_for_boundary_condition"
))]
pub fn consistency_model(
    level: NoiseLevel,
    min: Sigma,
    data: SigmaData,
) -> Result<Coefficients, Error> {
    let (s, d) = (level.noise_to_signal(), data.get());
    if !(s > 0.0 && s.is_finite()) {
        return Err(Error::Singular {
            what: "a consistency model",
            alpha: level.alpha(),
            sigma: level.sigma(),
        });
    }
    let (above, norm) = (s - min.get(), s.hypot(d));
    Ok(Coefficients {
        skip: (d / above.hypot(d)).powi(2) / level.alpha(),
        out: above * d / norm,
        input: 1.0 / (norm * level.alpha()),
        conditioning: 250.0 * s.ln(),
    })
}

/// The boundary condition of latent consistency models: at step 0 they are the identity.
///
/// With `u = scaling * t` and `d = 1/2`, `x0' = d^2 / (u^2 + d^2) x + u / hypot(u, d) x0`: the pair of
/// the two coefficients.
///
/// $$f(x)=\frac{d^2}{u^2+d^2}\thinspace x+\frac{u}{\sqrt{u^2+d^2}}\thinspace\hat x_0$$
///
/// [Source](crate::docs::papers#arxiv-2310.04378): Latent Consistency Models, Luo, Tan, Huang, Li, Zhao, 2023.
///
/// ```
/// use gaussian_diffusion::denoiser::latent_consistency;
/// assert_eq!(latent_consistency(0.0, 10.0), (1.0, 0.0));
/// let (skip, out) = latent_consistency(999.0, 10.0);
/// assert!(skip < 1e-8 && (out - 1.0).abs() < 1e-8);
/// ```
#[doc(alias("LCMScheduler", "timestep_scaling"))]
pub fn latent_consistency(step: f64, scaling: f64) -> (f64, f64) {
    let (u, d) = (step * scaling, 0.5_f64);
    let norm = u.hypot(d);
    ((d / norm).powi(2), u / norm)
}

/// TrigFlow, the parameterization of continuous-time consistency models (sCM).
///
/// On levels `alpha = cos t`, `sigma = d sin t`, with `d = sigma_data`:
/// `x0 = cos(t) x - d sin(t) F(x / d, t)`.
///
/// $$f(x)=\cos(t)\thinspace x-\sin(t)\thinspace\sigma_d\thinspace F\Big(\frac{x}{\sigma_d},t\Big)$$
///
/// [Source](crate::docs::papers#arxiv-2410.11081): Simplifying, Stabilizing and Scaling Continuous-Time Consistency Models,
/// Lu, Song, 2024.
///
/// ```
/// use gaussian_diffusion::{NoiseLevel, SigmaData, denoiser::trigflow};
/// let c = trigflow(NoiseLevel::new(0.8, 0.3)?, SigmaData::EDM);
/// assert!((c.skip - 0.8).abs() < 1e-15 && (c.out + 0.3).abs() < 1e-15 && c.input == 2.0);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("SCMScheduler", "sCM"))]
pub fn trigflow(level: NoiseLevel, data: SigmaData) -> Coefficients {
    let d = data.get();
    // On levels of another scale, x is brought to that of the turn.
    let scale = level.alpha().hypot(level.sigma() / d);
    let (cos, sin) = (level.alpha() / scale, level.sigma() / d / scale);
    Coefficients {
        skip: cos / scale,
        out: -sin * d,
        input: 1.0 / (d * scale),
        conditioning: sin.atan2(cos),
    }
}
