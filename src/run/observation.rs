//! What somebody who looks on sees.

use crate::{Error, Parameterization, Point, Prediction, State};

/// One evaluation of a run, as an observer sees it.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a, V, T> {
    /// Where the run stands: its step, what the network was given, from which level to which.
    pub at: Point<T>,
    /// What the network was shown.
    pub x: &'a V,
    /// What it answered.
    pub prediction: &'a Prediction<V>,
}

impl<V: State, T> Observation<'_, V, T> {
    /// The data as predicted, and corrected where an adapter does so: a preview of the result.
    ///
    /// # Errors
    ///
    /// If the answer does not determine the data at this level.
    #[doc(alias("pred_original_sample", "denoised"))]
    pub fn x0(&self) -> Result<V, Error> {
        if let Some(data) = &self.prediction.data {
            return Ok(data.clone());
        }
        let prediction = self.prediction.clone();
        Ok(prediction
            .to(Parameterization::X0, self.x, self.at.level)?
            .value)
    }
}
