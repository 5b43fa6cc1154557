//! A run that is put away and taken up again.

use std::{fmt::Debug, marker::PhantomData, sync::Arc};

use super::{Run, lent::Lent, progress::Progress};
use crate::{
    Error, Plan,
    state::{Kept, State},
};

/// A run between two evaluations: its place, its state, the trial point where one is pending, the
/// predictions that later steps use, and the number of draws of noise it has made.
///
/// [`Run::save`] makes it and [`Plan::resume`] goes on from it, in another process with the same bits. With
/// the feature `serde` it is stored where its states can be; for a tensor type that cannot,
/// [`try_map`](Self::try_map) makes it one of numbers and back.
///
/// It holds what the run has beside its plan. Three things are the caller's and stored beside it: the plan
/// (or what it is made of; its [`fingerprint`](Plan::fingerprint) is checked), the source of noise, and
/// what the network [remembers](crate::Denoiser::memory).
///
/// | run between two steps of | states |
/// |---|--:|
/// | DDPM, DDIM, Euler a, Heun, DPM2, LCM | 1 |
/// | DPM++ 2M and its SDE forms | 2 |
/// | DPM++ 3M SDE | 3 |
/// | LMS, PLMS | 4 |
/// | UniPC of order 3 | 5 |
///
/// Within a step of Heun or DPM2 it has 3. In JSON a state of `f32` takes about 11 bytes a number: 362 kB
/// for DPM++ 2M on a latent of 4 x 64 x 64. Seeded noise takes 50 bytes, torch's on a CPU 7 kB.
///
#[cfg_attr(feature = "serde", doc = "```")]
#[cfg_attr(not(feature = "serde"), doc = "```ignore")]
/// use gaussian_diffusion::{Denoiser, Error, Plan, Point, Sampler, SavedRun, SeededNoise, Step};
/// use gaussian_diffusion::{predicts, schedule::Discrete};
/// use ndarray::Array2;
///
/// type Batch = Array2<f32>;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Job {
///     plan: Plan<Step>,
///     run: SavedRun<Batch>,
///     noise: SeededNoise,
///     memory: Vec<Option<Batch>>,
/// }
///
/// let mut net = predicts::noise(|x: &Batch, _: Point<Step>| x * 0.1);
/// let plan = Sampler::from_name("DPM++ 2M Karras")?.plan(&Discrete::stable_diffusion()?, 8)?;
/// let mut noise = SeededNoise::new(1);
/// let mut run = plan.start_from(plan.prior((1, 4), &mut noise)?, &mut noise)?;
/// for _ in 0..5 {
///     let Some((x, at)) = run.pending() else { break };
///     let answer = net.predict(x, at)?;
///     run.supply(answer, &mut noise)?;
/// }
/// let (run, memory) = (run.save()?, Denoiser::<_, Step>::memory(&mut net));
/// let job = Job { plan: plan.clone(), run, noise, memory };
/// let text = serde_json::to_string(&job).map_err(Error::network)?;
///
/// // Later, elsewhere.
/// let Job { plan, run, mut noise, memory } = serde_json::from_str(&text).map_err(Error::network)?;
/// let mut net = predicts::noise(|x: &Batch, _: Point<Step>| x * 0.1);
/// Denoiser::<_, Step>::set_memory(&mut net, memory)?;
/// let x0 = plan.resume(run)?.sample(&mut net, &mut noise)?;
/// # let mut noise = SeededNoise::new(1);
/// # let start = plan.prior((1, 4), &mut noise)?;
/// # assert_eq!(x0, plan.sample(start, &mut net, &mut noise)?);
/// # Ok::<(), Error>(())
/// ```
#[doc(alias("checkpoint", "state_dict", "resume", "pickle"))]
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(
        deny_unknown_fields,
        bound(
            serialize = "K: serde::Serialize",
            deserialize = "K: serde::Deserialize<'de>"
        )
    )
)]
pub struct SavedRun<V: State, K = Kept<V>> {
    /// The fingerprint of its plan.
    plan: u64,
    evaluations_done: usize,
    draws: u64,
    state: K,
    trial: Option<K>,
    predictions: Vec<K>,
    #[cfg_attr(feature = "serde", serde(skip))]
    of: PhantomData<fn() -> V>,
}

impl<V: State, K> SavedRun<V, K> {
    /// The [fingerprint](Plan::fingerprint) of its plan.
    pub fn plan(&self) -> u64 {
        self.plan
    }

    /// Number of evaluations done.
    pub fn evaluations_done(&self) -> usize {
        self.evaluations_done
    }

    /// Number of draws of noise made since the run began: a source that is not stored has to make as many
    /// before the run goes on.
    pub fn draws(&self) -> u64 {
        self.draws
    }

    /// What the network is shown next, or the result where the run has ended.
    pub fn shown(&self) -> &K {
        self.trial.as_ref().unwrap_or(&self.state)
    }

    /// All that is kept: the state, the trial point if there is one, the predictions.
    pub fn states(&self) -> impl Iterator<Item = &K> {
        [&self.state]
            .into_iter()
            .chain(&self.trial)
            .chain(&self.predictions)
    }

    /// The same run with every state made another type, such as the numbers of a tensor, or the tensor of
    /// the numbers.
    ///
    /// # Errors
    ///
    /// The first that the function gives.
    pub fn try_map<W, E>(self, f: impl FnMut(K) -> Result<W, E>) -> Result<SavedRun<V, W>, E> {
        let mut f = f;
        Ok(SavedRun {
            plan: self.plan,
            evaluations_done: self.evaluations_done,
            draws: self.draws,
            state: f(self.state)?,
            trial: self.trial.map(&mut f).transpose()?,
            predictions: self
                .predictions
                .into_iter()
                .map(f)
                .collect::<Result<_, _>>()?,
            of: PhantomData,
        })
    }
}

impl<V: State, T: Copy + Debug> Run<'_, V, T> {
    /// The run as a value to be stored; it goes on itself all the same.
    ///
    /// # Errors
    ///
    /// If the run was lost by an error of [`advance`](Self::advance).
    #[doc(alias("checkpoint", "suspend"))]
    pub fn save(&self) -> Result<SavedRun<V>, Error> {
        let Progress {
            state,
            trial,
            at_trial,
            history,
            done,
            draws,
            lost,
            ..
        } = &self.progress;
        if *lost {
            return Err(Error::Missing {
                what: "the state of a run that was lost by an error",
                needed_by: "a saved run",
            });
        }
        let used = self.plan.looks_back(*done);
        Ok(SavedRun {
            plan: self.plan.fingerprint(),
            evaluations_done: *done,
            draws: *draws,
            state: state.clone(),
            trial: trial.clone().filter(|_| *at_trial),
            predictions: history.iter().take(used).cloned().collect(),
            of: PhantomData,
        })
    }
}

impl<T: Copy + Debug> Plan<T> {
    /// A run of this plan that was saved: it goes on with the same bits.
    ///
    /// # Errors
    ///
    /// If it is a run of another plan, or one that no run of this plan could have left: of another number
    /// of predictions, of states of several shapes, or with a NaN or an infinity.
    pub fn resume<V: State>(&self, saved: SavedRun<V>) -> Result<Run<'_, V, T>, Error> {
        Ok(Run::at(Lent::Borrowed(self), self.progress(saved)?))
    }

    /// The same, which shares the plan and borrows nothing: see [`start_shared`](Self::start_shared).
    ///
    /// # Errors
    ///
    /// As [`resume`](Self::resume).
    pub fn resume_shared<V: State>(
        self: &Arc<Self>,
        saved: SavedRun<V>,
    ) -> Result<Run<'static, V, T>, Error> {
        let progress = self.progress(saved)?;
        Ok(Run::at(Lent::Shared(Arc::clone(self)), progress))
    }

    fn progress<V: State>(&self, saved: SavedRun<V>) -> Result<Progress<Kept<V>>, Error> {
        let own = self.fingerprint();
        if saved.plan != own {
            return Err(Error::OtherPlan {
                expected: own,
                found: saved.plan,
            });
        }
        let (done, count) = (saved.evaluations_done, self.evaluations());
        if done > count {
            let allowed = format!("0 to {count}, those of the plan");
            return Err(Error::range(
                "evaluations of a saved run",
                done as f64,
                allowed,
            ));
        }
        let (found, used) = (saved.predictions.len(), self.looks_back(done));
        if found != used {
            let what = "number of predictions of a saved run";
            let allowed = format!("{used} after {done} evaluations");
            return Err(Error::range(what, found as f64, allowed));
        }
        let last = done.checked_sub(1).and_then(|last| self.stages().get(last));
        let has_trial = last.is_some_and(|planned| planned.stage.trial.is_some());
        if has_trial != saved.trial.is_some() {
            let (found, allowed) = (saved.trial.is_some(), has_trial);
            return Err(Error::range(
                "number of trial points of a saved run",
                f64::from(found),
                format!("{} after {done} evaluations", u8::from(allowed)),
            ));
        }
        let step = self
            .stages()
            .get(done)
            .map_or(self.steps(), |next| next.point.step);
        for state in saved.states() {
            saved
                .state
                .fits(state)
                .map_err(|error| error.naming("a state of a saved run"))?;
            if !state.is_finite() {
                let what = "a state of a saved run";
                return Err(Error::NotFinite { what, step });
            }
        }
        let mut progress = Progress::at_start(self, saved.state)?;
        progress.history.extend(saved.predictions);
        progress.at_trial = saved.trial.is_some();
        progress.trial = saved.trial;
        (progress.done, progress.draws) = (done, saved.draws);
        Ok(progress)
    }
}
