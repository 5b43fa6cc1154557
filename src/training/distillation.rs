//! What a student is taught by what a teacher does.

use ndarray::{Array, Dimension};

use super::{combined::combined, loss::absolute_error};
use crate::{
    Error, NoiseLevel, Parameterization,
    forward::PerItem,
    state::{Real, State},
};

/// The answer, in these terms, with which one step of DDIM goes from `x_t` to `x_s`: the target of progressive
/// distillation, where `x_s` is what the teacher makes of two steps.
///
/// `x_s = alpha_s x_0 + sigma_s eps` and `x_t = alpha_t x_0 + sigma_t eps` are two equations for `x_0` and `eps`, and
/// the target is their combination in the [terms](Parameterization) of the student. It has a value from pure noise
/// on and to the data.
///
/// ```text
/// x_0 = (sigma_t x_s - sigma_s x_t) / (alpha_s sigma_t - alpha_t sigma_s)
/// eps = (alpha_s x_t - alpha_t x_s) / (alpha_s sigma_t - alpha_t sigma_s)
/// ```
///
/// $$\hat x_0=\frac{x_s-(\sigma_s/\sigma_t)\thinspace x_t}{\alpha_s-(\sigma_s/\sigma_t)\thinspace\alpha_t},\qquad
///   v=\alpha_t\hat\varepsilon-\sigma_t\hat x_0$$
///
/// The losses of the paper have the [weights](super::Weight) `truncated_snr` and `uniform(Velocity)`.
///
/// # Errors
///
/// If the shapes differ, there is not one level for each item, `s` is not cleaner than `t`, or the terms have no
/// value at `t`.
///
/// [Source](crate::docs::papers#arxiv-2202.00512): Progressive Distillation for Fast Sampling of Diffusion Models,
/// Salimans, Ho, 2022.
///
/// ```
/// use gaussian_diffusion::{Grid, NoiseLevel, Parameterization, Plan, Point, SeededNoise, Time, predicts};
/// use gaussian_diffusion::{schedule::Cosine, solver::Ddim, training::progressive_target};
/// use ndarray::{Array1, array};
/// let mut teacher = predicts::velocity(|x: &Array1<f64>, _: Point<Time>| x.mapv(f64::sin));
/// let grid = |steps| Grid::uniform_time(&Cosine, steps);
/// let (two, one) = (Plan::new(&Cosine, &grid(2)?, &Ddim::default())?, Plan::new(&Cosine, &grid(1)?, &Ddim::default())?);
/// let x_t = array![0.3, -1.0];
/// let x_s = two.sample(x_t.clone(), &mut teacher, &mut SeededNoise::new(0))?;
/// let target = progressive_target(Parameterization::Velocity, &x_t, NoiseLevel::NOISE, &x_s, NoiseLevel::CLEAN)?;
/// // A student that answers it comes to the same in one step.
/// let mut student = predicts::velocity(|_: &Array1<f64>, _: Point<Time>| target.clone());
/// let again = one.sample(x_t, &mut student, &mut SeededNoise::new(0))?;
/// assert!((again - x_s).iter().all(|d| d.abs() < 1e-15));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("progressive distillation", "ddim inversion target"))]
pub fn progressive_target<'t, V: State>(
    parameterization: Parameterization,
    x_t: &V,
    t: impl Into<PerItem<'t, NoiseLevel>>,
    x_s: &V,
    s: impl Into<PerItem<'t, NoiseLevel>>,
) -> Result<V, Error> {
    let items = x_t.items();
    let each = |levels| crate::forward::per_item(levels, items, Ok);
    let levels: Vec<_> = each(t.into())?.into_iter().zip(each(s.into())?).collect();
    let of = |(t, s): (NoiseLevel, NoiseLevel)| {
        if !(s.log_snr() > t.log_snr()) {
            let (before, this) = (t.log_snr().get(), s.log_snr().get());
            let (what, index) = ("step", 1);
            return Err(Error::NotMonotone {
                what,
                index,
                before,
                this,
            });
        }
        let (clean, noise) = parameterization.components(t)?;
        let determinant = s.alpha() * t.sigma() - t.alpha() * s.sigma();
        if !(determinant > 0.0) {
            let (what, alpha, sigma) = ("a step between levels so near", t.alpha(), t.sigma());
            return Err(Error::Singular { what, alpha, sigma });
        }
        let of_t = (noise * s.alpha() - clean * s.sigma()) / determinant;
        let of_s = (clean * t.sigma() - noise * t.alpha()) / determinant;
        Ok((of_t, [of_s]))
    };
    combined(x_t, [("x_s", x_s)], &levels, of)
}

/// `x - (fake - real) / mean |x - real|`: where a generator's `x`, an array, should have been, by
/// distribution matching.
///
/// `real` and `fake` are the data that two networks expect of `x` noised: the teacher, and one trained on what the
/// generator makes. Their difference is that of two scores. Half the squared distance of `x` to this target,
/// without a gradient through it, has the gradient of the divergence.
///
/// # Errors
///
/// If the shapes differ.
///
/// [Sources](crate::docs::papers#arxiv-2311.18828): One-step Diffusion with Distribution Matching Distillation, Yin, Gharbi, Zhang,
/// Shechtman, Durand, Freeman, Park, 2024; Improved Distribution Matching Distillation for Fast Image Synthesis,
/// Yin et al., 2024 (its code).
///
/// ```
/// use gaussian_diffusion::training::distribution_matching_target;
/// use ndarray::array;
/// let (x, real, fake) = (array![[1.0, 0.0]], array![[0.0, 1.0]], array![[1.0, 1.0]]);
/// assert_eq!(distribution_matching_target(&x, &real, &fake)?, array![[0.0, 0.0]]);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("DMD", "DMD2", "score distillation"))]
pub fn distribution_matching_target<A: Real, D: Dimension>(
    x: &Array<A, D>,
    real: &Array<A, D>,
    fake: &Array<A, D>,
) -> Result<Array<A, D>, Error> {
    let off = absolute_error(x, real).map_err(|error| error.naming("real"))?;
    // Where the teacher expects the very `x`, there is nothing to divide by and nothing to learn of it.
    let of = |off: f64| {
        let scale = if off > 0.0 { 1.0 / off } else { 0.0 };
        Ok((1.0, [scale, -scale]))
    };
    combined(x, [("real", real), ("fake", fake)], &off.to_vec(), of)
}
