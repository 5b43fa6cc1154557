//! Steering a run: several predictions made one, and measurements obeyed.
//!
//! | rule | source | made by |
//! |---|---|---|
//! | classifier-free guidance | Ho, Salimans, 2022 | [`Combination::classifier_free`] |
//! | several conditions, image and text | Liu et al., 2022; Brooks et al., 2023 | [`Combination::composed`], [`Combination::image_and_text`] |
//! | autoguidance, perturbed attention, skipped layers | Karras et al., 2024; Ahn et al., 2024 | [`Combination::classifier_free`], [`Combination::perturbed`] |
//! | within an interval, by a schedule | Kynkäänniemi et al., 2024 | [`Within`], [`Strength`] |
//! | rescaled | Lin et al., 2024 | [`Rescaled`] |
//! | projected (APG) | Sadat et al., 2024 | [`Projected`] |
//! | CFG-zero* | Fan et al., 2025 | [`CfgZeroStar`] |
//! | tangential damping (TCFG) | Kwon et al., 2025 | [`TangentialCfg`] |
//! | magnitude-aware (MAMBO-G) | Zhu et al., 2025 | [`MagnitudeAwareCfg`] |
//! | in bands of frequencies (FDG) | Sadat et al., 2025 | [`InBands`] |
//! | perpendicular negatives (Perp-Neg) | Armandpour et al., 2023 | [`PerpNeg`] |
//! | Mahiro | ComfyUI | [`Mahiro`] |
//! | epsilon scaling | Ning et al., 2024 | [`EpsilonScaling`] |
//! | CFG++ | Chung et al., 2024 | [`CfgPlusPlus`] |
//! | classifier guidance | Dhariwal, Nichol, 2021 | [`Classifier`] |
//! | DPS, PiGDM and MMPS, DiffPIR | see there | [`Dps`], [`GaussianPosterior`], [`DiffPir`] |
//!
//! A rule is a [`Rule`]; [`Guided`] asks for the predictions it needs, and only those, and is a
//! [`Denoiser`](crate::Denoiser) like any other: on every schedule, with every solver. The
//! predictions are those of two or more denoisers, or of one that is asked for all of them
//! [`Together`].
//!
//! The scale is that of most programs: 1 is the conditional prediction, 0 the unconditional one,
//! above 1 extrapolates. Ho and Salimans write `1 + w` for it.
//!
//! ```
//! use gaussian_diffusion::{Denoiser, GaussianMixture, NoiseLevel, Point, Step};
//! use gaussian_diffusion::guidance::{Combination, Guided};
//! use ndarray::array;
//! let class = GaussianMixture::isotropic(&[(1.0, &[1.0][..], 0.04)])?;
//! let all = GaussianMixture::isotropic(&[(0.5, &[-1.0][..], 0.04), (0.5, &[1.0][..], 0.04)])?;
//! let mut net = Guided::new((class.clone(), all.clone()), Combination::classifier_free(3.0)?);
//! let (x, level) = (array![[0.2_f64]], NoiseLevel::new(0.6, 0.8)?);
//! let found = net.predict(&x, Point::new(Step::new(0), level, NoiseLevel::CLEAN))?.value[[0, 0]];
//! let (c, u) = (class.posterior_mean(&[0.2], level)?[0], all.posterior_mean(&[0.2], level)?[0]);
//! assert!((found - (u + 3.0 * (c - u))).abs() < 1e-15);
//! # Ok::<(), gaussian_diffusion::Error>(())
//! ```

mod bands;
mod cfg_plus_plus;
mod cfg_zero_star;
mod classifier;
mod combination;
mod diff_pir;
mod dps;
mod epsilon_scaling;
mod gaussian_posterior;
mod gram;
mod guided;
mod in_bands;
mod krylov;
mod laplacian_pyramid;
mod magnitude_aware_cfg;
mod mahiro;
mod measurement;
mod perp_neg;
mod predictors;
mod projected;
mod rescaled;
mod rule;
mod strength;
mod tangential_cfg;
mod within;

pub use bands::Bands;
pub use cfg_plus_plus::CfgPlusPlus;
pub use cfg_zero_star::CfgZeroStar;
pub use classifier::{Classifier, MeanClassifier};
pub use combination::Combination;
pub use diff_pir::DiffPir;
pub use dps::Dps;
pub use epsilon_scaling::EpsilonScaling;
pub use gaussian_posterior::GaussianPosterior;
pub use guided::Guided;
pub use in_bands::InBands;
pub use laplacian_pyramid::LaplacianPyramid;
pub use magnitude_aware_cfg::MagnitudeAwareCfg;
pub use mahiro::Mahiro;
pub use measurement::{Measurement, Operator};
pub use perp_neg::PerpNeg;
pub use predictors::{Predictors, Together};
pub use projected::Projected;
pub use rescaled::Rescaled;
pub use rule::{Predictions, Rule};
pub use strength::Strength;
pub use tangential_cfg::TangentialCfg;
pub use within::{GuidanceInterval, Within};
