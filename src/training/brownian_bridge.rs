//! Noisy paths between data and noise, or between data and data.

use crate::{
    Error, Time, forward::PerItem, noise::NoiseSource, state::State, training::combined::combined,
};

/// `x_t = (1 - t) x_0 + t x_1 + sigma sqrt(t (1 - t)) z`: a Brownian motion of rate `sigma` that is held at both
/// ends.
///
/// Time runs from the data, as in [`RectifiedFlow`](crate::schedule::RectifiedFlow), on which the trained
/// velocity is a prediction of the [flow](crate::Parameterization::Flow); the other end may be noise or data of
/// another kind. With pairs from an [`EntropicPlan`](super::coupling::EntropicPlan) of
/// [this](Self::regularization) regularization it is the Schrödinger bridge, with others a flow all the same.
///
/// ```text
/// velocity = x_1 - x_0 + sigma (1 - 2 t) / (2 sqrt(t (1 - t))) z
/// score    = -z / (sigma sqrt(t (1 - t)))
/// ```
///
/// $$x_t=(1-t)x_0+t\thinspace x_1+\sigma\sqrt{t(1-t)}\thinspace z,\qquad
///   u_t=x_1-x_0+\frac{\sigma(1-2t)}{2\sqrt{t(1-t)}}\thinspace z$$
///
/// A network of the velocity `u` and one of the score `s` together are the equation
/// `dx = (u - sigma^2 / 2 s) dt + sigma dW` with time running back to the data.
///
/// [Sources](crate::docs::papers#arxiv-2302.00482): Improving and Generalizing Flow-Based Generative Models with Minibatch Optimal
/// Transport, Tong et al., 2024; Simulation-Free Schrödinger Bridges via Score and Flow Matching, Tong et al., 2024.
///
/// ```
/// use gaussian_diffusion::{SeededNoise, Time, training::BrownianBridge};
/// use ndarray::array;
/// let bridge = BrownianBridge::new(0.5)?;
/// let (x0, x1) = (array![[0.0], [2.0]], array![[1.0], [-1.0]]);
/// let times = [Time::new(0.5)?, Time::new(0.9)?];
/// let (xt, z) = bridge.draw_jump(&x0, &x1, &times, &mut SeededNoise::new(0))?;
/// assert_eq!(xt, bridge.jump(&x0, &x1, &times, &z)?);
/// let velocity = bridge.velocity(&x0, &x1, &times, &z)?;
/// assert_eq!(velocity[[0, 0]], 1.0);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("SB-CFM", "SchrodingerBridgeConditionalFlowMatcher", "SF2M"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BrownianBridge {
    sigma: f64,
}

impl BrownianBridge {
    /// Of this rate.
    ///
    /// # Errors
    ///
    /// If `sigma` is not in 1e-6 to 1e6.
    pub fn new(sigma: f64) -> Result<Self, Error> {
        if !(1e-6..=1e6).contains(&sigma) {
            return Err(Error::range("sigma", sigma, "1e-6 to 1e6"));
        }
        Ok(Self { sigma })
    }

    /// `2 sigma^2`: that of the [`EntropicPlan`](super::coupling::EntropicPlan) of the Schrödinger bridge.
    pub fn regularization(self) -> f64 {
        2.0 * self.sigma * self.sigma
    }

    /// `x_t` between these ends, with a `z` of your own.
    ///
    /// # Errors
    ///
    /// If shapes differ, a time is not in 0 to 1, or there is not one for each item.
    pub fn jump<'t, V: State>(
        self,
        x0: &V,
        x1: &V,
        t: impl Into<PerItem<'t, Time>>,
        z: &V,
    ) -> Result<V, Error> {
        let of = |t: Time| {
            let t = t.unit()?;
            Ok((1.0 - t, [t, self.sigma * (t * (1.0 - t)).sqrt()]))
        };
        combined(x0, [("x_1", x1), ("z", z)], t, of)
    }

    /// The same with a `z` that is drawn; returns `(x_t, z)`.
    ///
    /// # Errors
    ///
    /// As [`jump`](Self::jump).
    pub fn draw_jump<'t, V, N>(
        self,
        x0: &V,
        x1: &V,
        t: impl Into<PerItem<'t, Time>>,
        noise: &mut N,
    ) -> Result<(V, V), Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
    {
        let mut z = x0.clone();
        noise.fill(&mut z)?;
        Ok((self.jump(x0, x1, t, &z)?, z))
    }

    /// `dx_t / dt` on the path: what a network of the flow should answer.
    ///
    /// # Errors
    ///
    /// As [`jump`](Self::jump), or at the times 0 and 1, where a path has no slope.
    pub fn velocity<'t, V: State>(
        self,
        x0: &V,
        x1: &V,
        t: impl Into<PerItem<'t, Time>>,
        z: &V,
    ) -> Result<V, Error> {
        let of = |t: Time| {
            let (t, root) = within("the velocity of a Brownian bridge", t)?;
            Ok((-1.0, [1.0, self.sigma * (0.5 - t) / root]))
        };
        combined(x0, [("x_1", x1), ("z", z)], t, of)
    }

    /// `-z / (sigma sqrt(t (1 - t)))`: what a network of the score should answer.
    ///
    /// # Errors
    ///
    /// As [`velocity`](Self::velocity).
    pub fn score<'t, V: State>(self, t: impl Into<PerItem<'t, Time>>, z: &V) -> Result<V, Error> {
        let of = |t: Time| {
            let (_, root) = within("the score of a Brownian bridge", t)?;
            Ok((-1.0 / (self.sigma * root), []))
        };
        combined(z, [], t, of)
    }
}

/// A time between the ends, and `sqrt(t (1 - t))`.
fn within(what: &'static str, t: Time) -> Result<(f64, f64), Error> {
    let t = t.unit()?;
    if t == 0.0 || t == 1.0 {
        let (alpha, sigma) = (1.0 - t, t);
        return Err(Error::Singular { what, alpha, sigma });
    }
    Ok((t, (t * (1.0 - t)).sqrt()))
}
