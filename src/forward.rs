//! The Gaussians of the process, on states: the forward transitions and the posterior.

mod posterior;
mod transition;

pub use crate::per_item::PerItem;
pub(crate) use crate::per_item::per_item;
pub use transition::Transition;

use crate::{
    Error, Markov, NoiseLevel, Parameterization, Posterior, Step,
    noise::{Interval, NoiseSource, Scale},
    schedule::{ContinuousSchedule, NoiseSchedule},
    state::{Assignment, State},
};

/// An isotropic Gaussian for every batch item.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Gaussian<V> {
    /// The mean.
    pub mean: V,
    /// The standard deviation of each item.
    pub std: Vec<f64>,
}

/// The forward process of a schedule: data to noise, at once, step by step, or from one level to
/// another.
///
/// Every [`NoiseSchedule`] has it. Times are one for the batch or one per item; noise is given, or
/// drawn and returned.
///
/// ```
/// use gaussian_diffusion::{ForwardProcess, SeededNoise, Step, schedule::Discrete};
/// use ndarray::Array2;
/// let schedule = Discrete::cosine(1000)?;
/// let x0 = Array2::<f32>::ones((3, 8));
/// let times = [Step::new(10), Step::new(500), Step::new(999)];
/// let (xt, eps) = schedule.draw_jump(&x0, &times, &mut SeededNoise::new(0))?;
/// assert_eq!(xt, schedule.jump(&x0, &times, &eps)?);
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
pub trait ForwardProcess: NoiseSchedule {
    /// `q(x_t | x_0)`: mean `alpha_t x_0`, standard deviation `sigma_t`.
    ///
    /// # Errors
    ///
    /// If a time is outside the schedule, or there is not one per item; so for all methods here.
    ///
    /// ```
    /// use gaussian_diffusion::{ForwardProcess, Time, schedule::RectifiedFlow};
    /// let q = RectifiedFlow.marginal(&ndarray::array![[4.0], [8.0]], Time::new(0.25)?)?;
    /// assert_eq!(q.mean, ndarray::array![[3.0], [6.0]]);
    /// assert_eq!(q.std, [0.25, 0.25]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("q_mean_variance", "marginal_prob"))]
    fn marginal<'t, V: State>(
        &self,
        x0: &V,
        t: impl Into<PerItem<'t, Self::Time>>,
    ) -> Result<Gaussian<V>, Error>
    where
        Self::Time: 't,
    {
        let levels = levels(self, t, x0.items())?;
        let mut mean = x0.clone();
        mean.combine_items(
            &levels.iter().map(|level| level.alpha()).collect::<Vec<_>>(),
            &[],
        )?;
        Ok(Gaussian {
            mean,
            std: levels.iter().map(|level| level.sigma()).collect(),
        })
    }

    /// `x_t = alpha_t x_0 + sigma_t eps`: noised data, with noise of your own.
    ///
    /// # Errors
    ///
    /// As [`marginal`](Self::marginal), or if `eps` has another shape.
    #[doc(alias("add_noise", "q_sample", "scale_noise", "perturb"))]
    fn jump<'t, V: State>(
        &self,
        x0: &V,
        t: impl Into<PerItem<'t, Self::Time>>,
        eps: &V,
    ) -> Result<V, Error>
    where
        Self::Time: 't,
    {
        self.target_of(x0, t, eps, |level| Ok((level.alpha(), level.sigma())))
    }

    /// The same with noise that is drawn; returns `(x_t, eps)`.
    ///
    /// # Errors
    ///
    /// As [`jump`](Self::jump).
    fn draw_jump<'t, V, N>(
        &self,
        x0: &V,
        t: impl Into<PerItem<'t, Self::Time>>,
        noise: &mut N,
    ) -> Result<(V, V), Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
        Self::Time: 't,
    {
        let (mut x_t, mut eps) = (x0.clone(), x0.clone());
        self.draw_jump_into(x0, t, noise, &mut x_t, &mut eps)?;
        Ok((x_t, eps))
    }

    /// The same into arrays that are there already, of the shape of `x_0`: a training loop that keeps
    /// them allocates a few numbers for each item and nothing of the size of the data.
    ///
    /// ```
    /// use gaussian_diffusion::{ForwardProcess, SeededNoise, Step, schedule::Discrete};
    /// use ndarray::Array2;
    /// let schedule = Discrete::cosine(1000)?;
    /// let x0 = Array2::<f32>::ones((2, 8));
    /// let (mut xt, mut eps) = (x0.clone(), x0.clone());
    /// let mut noise = SeededNoise::new(0);
    /// for times in [[Step::new(10), Step::new(500)], [Step::new(7), Step::new(999)]] {
    ///     schedule.draw_jump_into(&x0, &times, &mut noise, &mut xt, &mut eps)?;
    ///     assert_eq!(xt, schedule.jump(&x0, &times, &eps)?);
    /// }
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`jump`](Self::jump), or if an array has another shape.
    fn draw_jump_into<'t, V, N>(
        &self,
        x0: &V,
        t: impl Into<PerItem<'t, Self::Time>>,
        noise: &mut N,
        x_t: &mut V,
        eps: &mut V,
    ) -> Result<(), Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
        Self::Time: 't,
    {
        let levels = levels(self, t, x0.items())?;
        let alphas: Vec<_> = levels.iter().map(|level| level.alpha()).collect();
        let sigmas: Vec<_> = levels.iter().map(|level| level.sigma()).collect();
        let none = vec![0.0; alphas.len()];
        x0.fits(x_t).map_err(|error| error.naming("x_t"))?;
        x0.fits(eps).map_err(|error| error.naming("eps"))?;
        let fresh = Assignment::new(0, 0.0, &[]).with_noise(true);
        let lists = [&none[..], &alphas, &sigmas];
        let jump = Assignment::new(1, 0.0, &[(1.0, 2), (1.0, 0)]).with_items(&lists);
        let both = [fresh, jump].map(|assignment| assignment.watched(false));
        noise.sweep(&mut [eps, x_t], &[x0], &both, Scale::Same(1.0), None)?;
        Ok(())
    }

    /// `x_t` from `x_s`, the same data at the cleaner time `s`: `(alpha_t / alpha_s) x_s + std eps`.
    ///
    /// # Errors
    ///
    /// As [`jump`](Self::jump), or if `t` is not noisier than `s`.
    #[doc(alias("undo_step", "renoise"))]
    fn between<V: State>(
        &self,
        x_s: &V,
        s: Self::Time,
        t: Self::Time,
        eps: &V,
    ) -> Result<V, Error> {
        transit(
            x_s,
            Transition::between(self.level(s)?, self.level(t)?)?,
            eps,
        )
    }

    /// The same with noise that is drawn; returns `(x_t, eps)`.
    ///
    /// # Errors
    ///
    /// As [`between`](Self::between).
    fn draw_between<V, N>(
        &self,
        x_s: &V,
        s: Self::Time,
        t: Self::Time,
        noise: &mut N,
    ) -> Result<(V, V), Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
    {
        let over = Interval {
            from: self.level(s)?,
            to: self.level(t)?,
        };
        let eps = draw(x_s, Some(over), noise)?;
        Ok((self.between(x_s, s, t, &eps)?, eps))
    }

    /// One training step, `x_t = sqrt(1 - beta_t) x_{t-1} + sqrt(beta_t) eps`; before step 0 lies the
    /// data.
    ///
    /// # Errors
    ///
    /// As [`jump`](Self::jump), or if `t` is not a whole step.
    ///
    /// ```
    /// use gaussian_diffusion::{ForwardProcess, Step, schedule::Discrete};
    /// let schedule = Discrete::constant(10, 0.19)?;
    /// let x = schedule.step(&ndarray::array![1.0], Step::new(3), &ndarray::array![0.0])?;
    /// assert!((x[0] - 0.9_f64).abs() < 1e-15);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    fn step<V: State>(&self, x: &V, t: Step, eps: &V) -> Result<V, Error>
    where
        Self: NoiseSchedule<Time = Step>,
    {
        let (before, level) = neighbours(self, t)?;
        transit(x, Transition::between(before, level)?, eps)
    }

    /// The same with noise that is drawn; returns `(x_t, eps)`.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    fn draw_step<V, N>(&self, x: &V, t: Step, noise: &mut N) -> Result<(V, V), Error>
    where
        V: State,
        N: NoiseSource<V> + ?Sized,
        Self: NoiseSchedule<Time = Step>,
    {
        let (from, to) = neighbours(self, t)?;
        let eps = draw(x, Some(Interval { from, to }), noise)?;
        Ok((self.step(x, t, &eps)?, eps))
    }

    /// What a network should answer, in these terms, for `x_t` made of `x_0` and `eps`.
    ///
    /// # Errors
    ///
    /// As [`jump`](Self::jump); for the score, where there is no noise; for a mean, whose posterior
    /// belongs to one pair of levels, with a time per item
    /// ([`mean_target`](Self::mean_target) has that).
    ///
    /// ```
    /// use gaussian_diffusion::{ForwardProcess, Parameterization, Time, schedule::Cosine};
    /// use ndarray::array;
    /// let (x0, eps) = (array![[1.0], [1.0]], array![[3.0], [3.0]]);
    /// let v = Cosine.target(Parameterization::Velocity, &x0, &[Time::new(0.0)?, Time::new(1.0)?], &eps)?;
    /// assert_eq!(v, array![[3.0], [-1.0]]);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("get_velocity", "training_target"))]
    fn target<'t, V: State>(
        &self,
        parameterization: Parameterization,
        x0: &V,
        t: impl Into<PerItem<'t, Self::Time>>,
        eps: &V,
    ) -> Result<V, Error>
    where
        Self::Time: 't,
    {
        let t = t.into();
        if let (Parameterization::Mean(_), PerItem::Each(_)) = (parameterization, t) {
            return Err(Error::Missing {
                what: "one time for the batch",
                needed_by: "the target of a mean under one posterior",
            });
        }
        self.target_of(x0, t, eps, |level| parameterization.components(level))
    }

    /// The mean of `q(x_{t-1} | x_t, x_0)` for `x_t` made of `x_0` and `eps`: the target of a network
    /// that predicts it.
    ///
    /// # Errors
    ///
    /// As [`target`](Self::target), or if a time is not a whole step.
    fn mean_target<'t, V: State>(
        &self,
        x0: &V,
        t: impl Into<PerItem<'t, Step>>,
        eps: &V,
    ) -> Result<V, Error>
    where
        Self: NoiseSchedule<Time = Step>,
    {
        let t = t.into();
        let components = |t: Step| {
            let (before, level) = neighbours(self, t)?;
            Parameterization::Mean(Markov.coefficients(level, before)?).components(level)
        };
        weighted(x0, eps, &per_item(t, x0.items(), components)?)
    }

    /// `alpha' x_0 + sigma' eps`, the velocity of the path of this schedule: the target of a network of flow matching on it.
    ///
    /// # Errors
    ///
    /// As [`target`](Self::target), or where a rate has no value.
    ///
    /// ```
    /// use gaussian_diffusion::{ForwardProcess, Time, schedule::Cosine};
    /// use ndarray::array;
    /// let (x0, eps) = (array![[1.0], [1.0]], array![[3.0], [3.0]]);
    /// let v = Cosine.path_velocity(&x0, &[Time::new(0.0)?, Time::new(1.0)?], &eps)?;
    /// assert!((v[[0, 0]] / std::f64::consts::FRAC_PI_2 - 3.0_f64).abs() < 1e-15);
    /// # Ok::<(), gaussian_diffusion::Error>(())
    /// ```
    #[doc(alias("compute_conditional_flow", "ut", "OT-CFM"))]
    fn path_velocity<'t, V: State>(
        &self,
        x0: &V,
        t: impl Into<PerItem<'t, Self::Time>>,
        eps: &V,
    ) -> Result<V, Error>
    where
        Self: ContinuousSchedule,
        Self::Time: 't,
    {
        let rates = |t| {
            let rates = self.path_rates(t)?;
            Ok((rates.alpha, rates.sigma))
        };
        weighted(x0, eps, &per_item(t.into(), x0.items(), rates)?)
    }

    /// `c x_0 + d eps` with coefficients of each item's level.
    #[doc(hidden)]
    fn target_of<'t, V: State>(
        &self,
        x0: &V,
        t: impl Into<PerItem<'t, Self::Time>>,
        eps: &V,
        components: impl Fn(NoiseLevel) -> Result<(f64, f64), Error>,
    ) -> Result<V, Error>
    where
        Self::Time: 't,
    {
        let pairs = per_item(t.into(), x0.items(), |t| components(self.level(t)?))?;
        weighted(x0, eps, &pairs)
    }
}

impl<S: NoiseSchedule + ?Sized> ForwardProcess for S {}

pub(crate) fn levels<'t, S: NoiseSchedule + ?Sized>(
    schedule: &S,
    t: impl Into<PerItem<'t, S::Time>>,
    items: usize,
) -> Result<Vec<NoiseLevel>, Error>
where
    S::Time: 't,
{
    per_item(t.into(), items, |t| schedule.level(t))
}

pub(crate) fn neighbours<S>(schedule: &S, t: Step) -> Result<(NoiseLevel, NoiseLevel), Error>
where
    S: NoiseSchedule<Time = Step> + ?Sized,
{
    let index = t
        .index()
        .ok_or_else(|| Error::range("step", t.get(), "a whole step below 2^53"))?;
    let before = match index {
        0 => NoiseLevel::CLEAN,
        _ => schedule.level(Step::new(index - 1))?,
    };
    Ok((before, schedule.level(t)?))
}

fn weighted<V: State>(x0: &V, eps: &V, pairs: &[(f64, f64)]) -> Result<V, Error> {
    let (clean, noise): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
    let mut x = x0.clone();
    x.combine_items(&clean, &[(&noise, eps)])
        .map_err(|error| error.naming("eps"))?;
    Ok(x)
}

fn transit<V: State>(x: &V, by: Transition, eps: &V) -> Result<V, Error> {
    let mut next = x.clone();
    next.combine(by.scale, &[(by.std, eps)])
        .map_err(|error| error.naming("eps"))?;
    Ok(next)
}

/// Standard normals in the shape of `x`.
fn draw<V, N>(x: &V, over: Option<Interval>, noise: &mut N) -> Result<V, Error>
where
    V: State,
    N: NoiseSource<V> + ?Sized,
{
    let mut eps = x.clone();
    let fresh = Assignment::new(0, 0.0, &[]).with_noise(true).watched(false);
    noise.sweep(&mut [&mut eps], &[], &[fresh], Scale::Same(1.0), over)?;
    Ok(eps)
}
