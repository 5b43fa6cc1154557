//! Starting a run from something, keeping parts of it, and going back.
//!
//! | to | use |
//! |---|---|
//! | change data, by strength or from a noise level | [`Grid::strength`](crate::Grid::strength), [`Grid::starting_at`](crate::Grid::starting_at), [`Plan::noised`](crate::Plan::noised) |
//! | keep known parts, by a mask of any softness | [`Inpaint`] between steps, or [`Known`] as a correction of the predicted data |
//! | go back and come down again (RePaint) | [`Plan::resampled`](crate::Plan::resampled) |
//! | find the noise of data | [`Grid::inverted`](crate::Grid::inverted), [`Inversion`] |
//! | move between two starts | [`slerp`], [`Plan::variation`](crate::Plan::variation) |
//! | anything else between steps | [`Edit`] |

mod inpaint;
mod inversion;
mod known;
mod slerp;
mod start;
#[cfg(feature = "serde")]
mod stored;

pub use crate::edit::{Edit, StepEnd};
pub use inpaint::Inpaint;
pub use inversion::Inversion;
pub use known::Known;
pub use slerp::slerp;
