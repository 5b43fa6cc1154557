//! Coordinates in which the flow of a point of data is a straight line.

use super::{At, Path, Stage, Update};
use crate::{Error, LogSnr, NoiseLevel, Parameterization, Sigma, UpdateNoise};

/// A change of variables for the probability flow: `x / scale` against a clock, so that its slope
/// `d(x / scale) / d(clock)` is a prediction.
///
/// | | scale | clock | slope |
/// |---|---|---|---|
/// | `Noise` | alpha | sigma / alpha | noise |
/// | `Flow` | alpha + sigma | sigma / (alpha + sigma) | eps - x_0 |
/// | `Data` | sigma | alpha / sigma | x_0 |
///
/// If the data is one point, the slope does not change along the way, and one Euler step is exact in
/// each. For other data the same method in other coordinates is another sampler: Heun's of EDM is in
/// `Noise`, that of flow matching in `Flow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Coordinates {
    /// `sigma / alpha` and the noise, as in k-diffusion and EDM.
    #[default]
    Noise,
    /// The time of the rectified flow, and its velocity.
    Flow,
    /// `alpha / sigma` and the data.
    Data,
}

impl Coordinates {
    /// The parameterization of the slope.
    pub const fn basis(self) -> Parameterization {
        match self {
            Self::Noise => Parameterization::Noise,
            Self::Flow => Parameterization::Flow,
            Self::Data => Parameterization::X0,
        }
    }

    /// Those whose slope this is.
    pub(crate) fn of_basis(basis: Parameterization) -> Option<Self> {
        let mut all = [Self::Noise, Self::Flow, Self::Data].into_iter();
        all.find(|own| own.basis() == basis)
    }

    /// What the state is divided by.
    pub fn scale(self, level: NoiseLevel) -> f64 {
        match self {
            Self::Noise => level.alpha(),
            Self::Flow => level.alpha() + level.sigma(),
            Self::Data => level.sigma(),
        }
    }

    /// The clock.
    pub fn clock(self, level: NoiseLevel) -> f64 {
        match self {
            Self::Noise => level.noise_to_signal(),
            Self::Flow => level.sigma() / self.scale(level),
            Self::Data => level.alpha() / level.sigma(),
        }
    }

    /// How far the clock goes from one level to another, with the digits of a short way.
    pub(super) fn distance(self, from: NoiseLevel, to: NoiseLevel) -> f64 {
        self.way(from, to) / self.scale(to)
    }

    /// What a prediction that does not change adds to the state on the way: `scale_s (u_s - u_t)`.
    ///
    /// Only the scale of the start is divided by, so that any level can be reached.
    pub(super) fn way(self, from: NoiseLevel, to: NoiseLevel) -> f64 {
        let area = to.area_above(from) / self.scale(from);
        match self {
            Self::Noise | Self::Flow => -area,
            Self::Data => area,
        }
    }

    /// Euler's step, exact for a point of data, and the predictions it takes: those of these
    /// coordinates, or of others where these have no scale.
    pub(super) fn straight(self, from: NoiseLevel, to: NoiseLevel) -> (Parameterization, Update) {
        let own = match self {
            Self::Noise if from.is_noise() => Self::Data,
            Self::Data if from.is_clean() => Self::Noise,
            own => own,
        };
        let update = Update::new(own.scale(to) / own.scale(from)).with_model([own.way(from, to)]);
        (own.basis(), update)
    }

    /// That step as the only stage.
    pub(super) fn straight_stage(self, path: &Path<'_>) -> Vec<Stage> {
        let (basis, update) = self.straight(path.from(), path.to());
        vec![Stage::new(At::From, basis).with_commit(update)]
    }

    /// The only stage of a step to or from an infinite log-SNR: the straight one, or with noise the
    /// limit of the reverse equation, which keeps nothing of the state.
    pub(super) fn end_stage(self, path: &Path<'_>, tau: f64, noise: f64) -> Vec<Stage> {
        if tau == 0.0 {
            return self.straight_stage(path);
        }
        let to = path.to();
        let update = Update::new(0.0)
            .with_model([to.alpha()])
            .with_noise(UpdateNoise::Std(noise * to.sigma()));
        vec![Stage::new(At::From, Parameterization::X0).with_commit(update)]
    }

    /// The log-SNR at a reading of the clock.
    pub(crate) fn log_snr(self, clock: f64) -> Result<LogSnr, Error> {
        let ratio = match self {
            Self::Noise => clock,
            Self::Flow => clock / (1.0 - clock),
            Self::Data => clock.recip(),
        };
        Ok(LogSnr::from_sigma(Sigma::new(ratio)?))
    }

    /// Whether the clock has a value at this level.
    pub(super) fn reaches(self, level: NoiseLevel) -> bool {
        match self {
            Self::Noise => !level.is_noise(),
            Self::Flow => true,
            Self::Data => !level.is_clean(),
        }
    }
}
