//! The shift of a flow that follows from the length of a sequence, model by model.

use super::keys::Keys;
use crate::{
    Error,
    grid::{DynamicShift, flux2_mu},
};

/// The length of a sequence, the number of tokens that a picture makes, and the family of models that
/// says how the shift `mu` of `use_dynamic_shifting` follows from it.
///
/// | | `mu` for the length `L` and `n` steps | with, where the file is silent |
/// |---|---|---|
/// | `Flux1` | the line from `(base_image_seq_len, base_shift)` to `(max_image_seq_len, max_shift)` | `(256, 0.5)`, `(4096, 1.15)` |
/// | `Ltx2` | the same | `(1024, 0.95)`, `(4096, 2.05)` |
/// | `CogView4` | `max_shift sqrt(L / base_image_seq_len) + base_shift` | 256, 0.25, 0.75 |
/// | `Flux2` | [`flux2_mu`](crate::grid::flux2_mu), of `L` and `n` | |
///
/// Stable Diffusion 3, Qwen-Image, Lumina 2 and most others follow the line of FLUX.1, with keys of their
/// own in their files.
///
/// ```
/// use gaussian_diffusion::config::{SchedulerConfig, SequenceLength};
/// let config = SchedulerConfig::from_json(
///     r#"{"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": true,
///         "base_shift": 0.25, "max_shift": 0.75}"#,
/// )?;
/// let config = config.with_options(|options| {
///     options.sequence = Some(SequenceLength::CogView4(4096));
/// });
/// let second = config.grid(2)?.nodes()[1].level.sigma();
/// let factor = (0.75 * 4.0 + 0.25_f64).exp();
/// assert!((second - factor * 0.001 / (1.0 + (factor - 1.0) * 0.001)).abs() < 1e-12);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("calculate_shift", "compute_empirical_mu", "image_seq_len"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum SequenceLength {
    /// FLUX.1, and most others.
    Flux1(usize),
    /// FLUX.2.
    Flux2(usize),
    /// CogView4 and GLM-Image.
    CogView4(usize),
    /// LTX-2.
    Ltx2(usize),
}

impl SequenceLength {
    /// The shift for `n` steps, with the keys that the file has.
    pub(super) fn mu(self, keys: &Keys, n: usize) -> Result<f64, Error> {
        let line = |own: DynamicShift| {
            let (base, max) = (
                (
                    keys.chosen("base_image_seq_len", own.base.0 as f64)?,
                    keys.chosen("base_shift", own.base.1)?,
                ),
                (
                    keys.chosen("max_image_seq_len", own.max.0 as f64)?,
                    keys.chosen("max_shift", own.max.1)?,
                ),
            );
            if base.0 == max.0 {
                let allowed = "another number than base_image_seq_len";
                return Err(keys.refuse("max_image_seq_len", allowed));
            }
            let slope = (max.1 - base.1) / (max.0 - base.0);
            Ok(move |length: usize| base.1 + (length as f64 - base.0) * slope)
        };
        Ok(match self {
            Self::Flux1(length) => line(DynamicShift::FLUX)?(length),
            Self::Ltx2(length) => line(DynamicShift::LTX_VIDEO)?(length),
            Self::Flux2(length) => flux2_mu(length, n),
            Self::CogView4(length) => {
                let base = keys.chosen("base_image_seq_len", 256.0)?;
                if !(base > 0.0) {
                    return Err(keys.refuse("base_image_seq_len", "above 0"));
                }
                let (slope, start) = (
                    keys.chosen("max_shift", 0.75)?,
                    keys.chosen("base_shift", 0.25)?,
                );
                (length as f64 / base).sqrt() * slope + start
            }
        })
    }
}
