//! Keeping what a mask does not cover.

use gaussian_diffusion::{
    Error,
    editing::{Edit, StepEnd},
};
use ndarray::Zip;
use serde::{Deserialize, Serialize};

use crate::seeds::Batch;

/// After every step the known part is put back, with the noise of the start; at the end without any.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Paste {
    pub known: Batch,
    /// 1 where the picture is painted over.
    pub mask: Batch,
    pub noise: Batch,
}

impl Edit<Batch> for Paste {
    fn edit(&mut self, x: &mut Batch, at: StepEnd) -> Result<(), Error> {
        if at.step == 0 {
            return Ok(());
        }
        let (alpha, sigma) = match at.step == at.steps {
            true => (1.0, 0.0),
            false => (at.level.alpha() as f32, at.level.sigma() as f32),
        };
        Zip::from(x)
            .and(&self.known)
            .and(&self.mask)
            .and(&self.noise)
            .for_each(|x, known, mask, noise| {
                *x = (1.0 - mask) * (alpha * known + sigma * noise) + mask * *x;
            });
        Ok(())
    }
}
