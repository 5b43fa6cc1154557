//! Consistency training in continuous time.

use std::f64::consts::FRAC_PI_2;

use crate::{
    Error, NoiseLevel, Sigma, SigmaData, Time, forward::PerItem, state::State,
    training::combined::combined,
};

/// What a network of TrigFlow learns in continuous time: its own answer, moved along the tangent of the
/// consistency function.
///
/// Levels are `alpha = cos t`, `sigma = d sin t` with `d = sigma_data` and an angle `t` from 0 to `pi / 2`; the
/// network answers `F` and the consistency function is `f = cos(t) x - sin(t) d F(x / d, t)`, which is
/// [`trigflow`](crate::denoiser::trigflow). Along a path the answer is to be constant, and
///
/// ```text
/// g = cos(t) df/dt = -cos^2(t) (d F - dx/dt) - r cos(t) sin(t) (x + d dF/dt)
/// target = F + g / (|g| + c)
/// ```
///
/// $$g=-\cos^2t\thinspace\Big(\sigma_dF-\frac{\mathrm dx}{\mathrm dt}\Big)
///   -r\cos t\sin t\thinspace\Big(x+\sigma_d\frac{\mathrm dF}{\mathrm dt}\Big),\qquad
///   F+\frac{g}{\Vert g\Vert+c}$$
///
/// `dx/dt` is `cos(t) z - sin(t) x_0`, with `z = d eps`, where there is no teacher ([`path`](Self::path) has it), and
/// `d F` of a trained network where there is one. `dF/dt` is a Jacobian-vector product of yours: the network's
/// answer along `(dx/dt / d, 1)` of what it is shown and its angle. The loss is the mean squared distance of the
/// network's answer to the target, without a gradient through it, weighted by an
/// [`Uncertainty`](crate::training::Uncertainty).
///
/// [Source](crate::docs::papers#arxiv-2410.11081): Simplifying, Stabilizing and Scaling Continuous-Time Consistency Models,
/// Lu, Song, 2024, algorithm 1.
///
/// ```
/// use gaussian_diffusion::{SigmaData, Time, training::consistency::Tangent};
/// use ndarray::array;
/// let tangent = Tangent::new(SigmaData::EDM);
/// let (x0, eps, t) = (array![[0.3, -0.2]], array![[0.5, 1.0]], Time::new(0.7)?);
/// let (x, slope) = tangent.path(&x0, &eps, t)?;
/// // The answer for data that is a point: f = x0, and there is nothing to learn.
/// let exact = &slope / 0.5;
/// let change = -&x / 0.5;                                   // dF/dt along the path
/// let target = tangent.target(&x, &slope, &exact, &change, t)?;
/// assert!((target - exact).iter().all(|d: &f64| d.abs() < 1e-14));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("sCM", "sCT", "sCD", "tangent normalization"))]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tangent {
    data: SigmaData,
    warmed: f64,
    constant: f64,
    mean_square: bool,
}

impl Tangent {
    /// For data of this standard deviation, with `r = 1` and `c = 0.1`.
    pub const fn new(data: SigmaData) -> Self {
        Self {
            data,
            warmed: 1.0,
            constant: 0.1,
            mean_square: false,
        }
    }

    /// The same with `r`, the share of the second part, which grows from 0 to 1 in the first updates: 10,000
    /// in the paper.
    ///
    /// # Errors
    ///
    /// If the share is not in 0 to 1.
    pub fn with_warm_up(mut self, share: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::range("share", share, "0 to 1"));
        }
        self.warmed = share;
        Ok(self)
    }

    /// The same with another constant beside the norm.
    ///
    /// # Errors
    ///
    /// If it is not in 1e-12 to 1e12.
    pub fn with_constant(mut self, constant: f64) -> Result<Self, Error> {
        if !(1e-12..=1e12).contains(&constant) {
            return Err(Error::range("constant", constant, "1e-12 to 1e12"));
        }
        self.constant = constant;
        Ok(self)
    }

    /// The same with the root mean square of `g` for its norm, as in the training code of later models: the target
    /// is then as far for items of any size.
    #[must_use]
    pub const fn with_mean_square(mut self) -> Self {
        self.mean_square = true;
        self
    }

    /// The angle of a level with this ratio of noise to signal, `atan(sigma / sigma_data)`: the paper draws a
    /// [log-normal](crate::training::times::LogNormal) sigma.
    ///
    /// # Errors
    ///
    /// None for a [`Sigma`].
    pub fn angle(self, sigma: Sigma) -> Result<Time, Error> {
        Time::new((sigma.get() / self.data.get()).atan())
    }

    /// The level of an angle.
    ///
    /// # Errors
    ///
    /// If it is not in 0 to `pi / 2`.
    pub fn level(self, angle: Time) -> Result<NoiseLevel, Error> {
        let (cos, sin) = turn(angle)?;
        NoiseLevel::new(cos, self.data.get() * sin)
    }

    /// `x_t = cos(t) x_0 + d sin(t) eps`, and `dx_t/dt` on that path.
    ///
    /// # Errors
    ///
    /// If shapes differ, an angle is not in 0 to `pi / 2`, or there is not one for each item.
    pub fn path<'t, V: State>(
        self,
        x0: &V,
        eps: &V,
        t: impl Into<PerItem<'t, Time>>,
    ) -> Result<(V, V), Error> {
        let (t, d) = (t.into(), self.data.get());
        let state = |t| turn(t).map(|(cos, sin)| (cos, [d * sin]));
        let slope = |t| turn(t).map(|(cos, sin)| (-sin, [d * cos]));
        let x = combined(x0, [("eps", eps)], t, state)?;
        Ok((x, combined(x0, [("eps", eps)], t, slope)?))
    }

    /// `g`, before it is normalized.
    ///
    /// # Errors
    ///
    /// As [`path`](Self::path).
    pub fn tangent<'t, V: State>(
        self,
        x: &V,
        slope: &V,
        answer: &V,
        change: &V,
        t: impl Into<PerItem<'t, Time>>,
    ) -> Result<V, Error> {
        let d = self.data.get();
        let of = |t| {
            let (cos, sin) = turn(t)?;
            let second = -self.warmed * cos * sin;
            Ok((second, [cos * cos, -cos * cos * d, second * d]))
        };
        let others = [("dx/dt", slope), ("answer", answer), ("dF/dt", change)];
        combined(x, others, t, of)
    }

    /// What the network should answer: `F + g / (|g| + c)`.
    ///
    /// # Errors
    ///
    /// As [`path`](Self::path).
    pub fn target<'t, V: State>(
        self,
        x: &V,
        slope: &V,
        answer: &V,
        change: &V,
        t: impl Into<PerItem<'t, Time>>,
    ) -> Result<V, Error> {
        let tangent = self.tangent(x, slope, answer, change, t)?;
        let mut ones = tangent.clone();
        ones.combine(0.0, &[])?;
        ones.exp_affine(0.0, 0.0)?;
        let elements = ones.dot_items(&ones)?;
        let squares = tangent.dot_items(&tangent)?;
        let factor = |(square, elements): (f64, f64)| {
            let count = if self.mean_square {
                elements.max(1.0)
            } else {
                1.0
            };
            1.0 / ((square / count).sqrt() + self.constant)
        };
        let factors: Vec<f64> = squares.into_iter().zip(elements).map(factor).collect();
        let mut target = answer.clone();
        target.combine_items(&vec![1.0; factors.len()], &[(&factors, &tangent)])?;
        Ok(target)
    }
}

/// The cosine and the sine of an angle; at a quarter turn exactly 0 and 1.
fn turn(angle: Time) -> Result<(f64, f64), Error> {
    let t = angle.get();
    if !(0.0..=FRAC_PI_2).contains(&t) {
        return Err(Error::range("angle", t, "0 to pi / 2"));
    }
    Ok(((FRAC_PI_2 - t).sin(), t.sin()))
}
