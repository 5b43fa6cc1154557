//! A controller of step lengths.

/// The controller of the step length, in half log-SNR.
pub(super) struct Controller {
    pub(super) length: f64,
    exponents: [f64; 3],
    safety: f64,
    /// Inverse errors, the newest first.
    inverse: Option<[f64; 3]>,
}

impl Controller {
    /// With the gains `p, i, d`, for errors of this order.
    pub(super) fn new(first: f64, [p, i, d]: [f64; 3], order: f64, safety: f64) -> Self {
        Self {
            length: first,
            exponents: [(p + i + d) / order, -(p + 2.0 * d) / order, d / order],
            safety,
            inverse: None,
        }
    }

    /// Takes the error of a step, sets the next length, and says whether the step is accepted.
    pub(super) fn propose(&mut self, error: f64) -> bool {
        // An error of 0 lets the step grow as much as any small one.
        let newest = 1.0 / (error + 1e-8);
        let mut inverse = self.inverse.unwrap_or([newest; 3]);
        inverse[0] = newest;
        let factor: f64 = inverse
            .iter()
            .zip(self.exponents)
            .map(|(e, b)| e.powf(b))
            .product();
        let factor = 1.0 + (factor - 1.0).atan();
        let accepted = factor >= self.safety;
        if accepted {
            inverse = [inverse[0], inverse[0], inverse[1]];
        }
        self.inverse = Some(inverse);
        self.length *= factor;
        accepted
    }
}
