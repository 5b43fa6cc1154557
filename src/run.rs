//! The one loop, turned inside out.

use std::{collections::VecDeque, fmt::Debug};

use crate::{
    Edit, Error, NoiseLevel, Plan, Point, Prediction, Reached, Spread,
    noise::{NoiseSource, Scale},
    plan::PlannedStage,
    solver::Update,
    state::State,
};

/// One run of a plan: it asks, and is answered, until it has ended.
///
/// [`Plan::sample`] is a loop over this. Drive it yourself from a server, a user interface or an
/// asynchronous runtime; a run owns its state and nothing else, and plans are shared.
///
/// ```
/// use gaussian_diffusion::{Grid, Noise, Plan, Prediction, schedule::Discrete, solver::Ddim};
/// use ndarray::Array2;
/// let schedule = Discrete::cosine(1000)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 4)?, &Ddim::default())?;
/// let mut noise = Noise::seeded(1);
/// let start: Array2<f32> = plan.prior((2, 3), &mut noise)?;
/// let mut run = plan.start_from(start, &mut noise)?;
/// while let Some((x, at)) = run.pending() {
///     let answer = Prediction::noise(x.mapv(|x| 0.1 * x));
///     println!("step {} of {}, told {:?}", at.step, plan.steps(), at.time);
///     run.supply(answer, &mut noise)?;
/// }
/// assert_eq!(run.into_state().dim(), (2, 3));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Run<'p, V, T> {
    plan: &'p Plan<T>,
    state: V,
    /// Where the network is asked next, if not at the state.
    trial: Option<V>,
    /// Predictions in the basis of their stages, the newest first.
    history: VecDeque<V>,
    /// Evaluations done.
    done: usize,
}

impl<'p, V: State, T: Copy + Debug> Run<'p, V, T> {
    pub(crate) fn new<N>(plan: &'p Plan<T>, state: V, noise: &mut N) -> Result<Self, Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        if !state.is_finite() {
            return Err(Error::NotFinite {
                what: "the start of the run",
                step: 0,
            });
        }
        let mut run = Self {
            plan,
            state,
            trial: None,
            history: VecDeque::new(),
            done: 0,
        };
        run.renoise(noise)?;
        Ok(run)
    }

    /// What the network is asked next: a state and what to tell it; `None` when the run has ended.
    pub fn pending(&self) -> Option<(&V, Point<T>)> {
        let planned = self.planned()?;
        Some((self.trial.as_ref().unwrap_or(&self.state), planned.point))
    }

    /// Answers the pending question and takes the run to the next one.
    ///
    /// # Errors
    ///
    /// If none is pending; if the answer has another shape, a NaN or an infinity, or lacks a variance
    /// that the plan needs, or does not determine what the solver works with at this level. The run
    /// then stands where it stood and can be answered again, unless the noise source failed.
    pub fn supply<N>(&mut self, answer: Prediction<V>, noise: &mut N) -> Result<(), Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        let planned = self.planned().ok_or(Error::Finished)?;
        let (stage, point) = (&planned.stage, &planned.point);
        let Prediction {
            mut value,
            parameterization,
            variance,
            shift,
        } = answer;
        let extras = [variance.as_ref(), shift.as_ref()];
        if !(value.is_finite() && extras.into_iter().flatten().all(State::is_finite)) {
            return Err(Error::NotFinite {
                what: "the prediction of the network",
                step: point.step,
            });
        }
        let std = match &stage.commit {
            Some(commit) => deviation(commit.spread, variance, point.step)?,
            None => None,
        };
        let seen = self.trial.as_ref().unwrap_or(&self.state);
        let map = parameterization.to(stage.basis, point.level)?;
        if self.plan.memory() == 1 && self.trial.is_none() && stage.trial.is_none() {
            // The conversion joins the update, and the prediction is read once.
            if let Some(Update { state, model, .. }) = &stage.commit {
                let newest = model.first().copied().unwrap_or(0.0);
                let own = state + newest * map.state;
                self.state
                    .combine(own, &[(newest * map.prediction, &value)])?;
            }
            if let Some(commit) = &stage.commit {
                add_noise(&mut self.state, commit.spread, std.as_ref(), planned, noise)?;
            }
        } else {
            if parameterization != stage.basis {
                value.combine(map.prediction, &[(map.state, seen)])?;
            }
            self.history.push_front(value);
            let moved = self.advance(planned, std.as_ref(), noise);
            if moved.is_err() {
                self.history.pop_front();
            }
            self.trial = moved?;
            self.history.truncate(self.plan.memory());
        }
        self.done += 1;
        if let Some(shift) = &shift {
            self.shift(shift, point)?;
        }
        self.renoise(noise)
    }

    /// Changes what the network is shown next, or the result where the run has ended.
    ///
    /// Where that is the guess of a predictor-corrector, its correction gets the same change.
    ///
    /// # Errors
    ///
    /// If the edit fails or leaves a NaN or an infinity.
    pub fn edit<E: Edit<V> + ?Sized>(&mut self, edit: &mut E) -> Result<(), Error> {
        let end = self.plan.levels().last().copied();
        let next = self.planned().map(|planned| &planned.point);
        let reached = Reached {
            step: next.map_or(self.plan.steps(), |point| point.step),
            level: next.map_or(end.unwrap_or(NoiseLevel::CLEAN), |point| point.level),
        };
        self.change(|x| edit.edit(x, reached))?;
        let stands = self.trial.as_ref().unwrap_or(&self.state);
        if stands.is_finite() {
            return Ok(());
        }
        Err(Error::NotFinite {
            what: "the edited state",
            step: reached.step,
        })
    }

    /// Adds a displacement of the data to what the stage that asked at `point` has made.
    fn shift(&mut self, shift: &V, point: &Point<T>) -> Result<(), Error> {
        let next = self.planned().map(|planned| &planned.point);
        match (next.filter(|next| next.step == point.step), &mut self.trial) {
            // Within a step the commit adds its own.
            (Some(next), Some(trial)) => trial.combine(1.0, &[(next.level.alpha(), shift)]),
            (Some(next), None) => self.state.combine(1.0, &[(next.level.alpha(), shift)]),
            (None, _) => self.change(|x| x.combine(1.0, &[(point.to.alpha(), shift)])),
        }
    }

    fn change(&mut self, f: impl FnOnce(&mut V) -> Result<(), Error>) -> Result<(), Error> {
        let Some(trial) = &mut self.trial else {
            return f(&mut self.state);
        };
        let mut change = trial.clone();
        f(trial)?;
        change.combine(-1.0, &[(1.0, &*trial)])?;
        // The commit that follows starts from the state, and scales it.
        let commit = self.plan.stages().get(self.done);
        let scale = commit.and_then(|planned| Some(planned.stage.commit.as_ref()?.state));
        if let Some(scale) = scale.filter(|scale| *scale != 0.0) {
            self.state.combine(1.0, &[(scale.recip(), &change)])?;
        }
        Ok(())
    }

    /// The state as it stands.
    pub fn state(&self) -> &V {
        &self.state
    }

    /// Ends the run and gives the state.
    pub fn into_state(self) -> V {
        self.state
    }

    /// Number of evaluations done.
    pub fn evaluations_done(&self) -> usize {
        self.done
    }

    /// Number of predictions kept for later steps: never more than the memory of the plan.
    pub fn predictions_kept(&self) -> usize {
        self.history.len()
    }

    fn planned(&self) -> Option<&'p PlannedStage<T>> {
        self.plan.stages().get(self.done)
    }

    /// Applies the updates of a stage whose prediction is the newest of the history, and gives the
    /// point of the next evaluation.
    fn advance<N>(
        &mut self,
        planned: &PlannedStage<T>,
        std: Option<&V>,
        noise: &mut N,
    ) -> Result<Option<V>, Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        if let Some(commit) = &planned.stage.commit {
            update(&mut self.state, commit, &self.history)?;
            add_noise(&mut self.state, commit.spread, std, planned, noise)?;
        }
        let Some(next) = &planned.stage.trial else {
            return Ok(None);
        };
        let mut trial = self.state.clone();
        update(&mut trial, next, &self.history)?;
        add_noise(&mut trial, next.spread, None, planned, noise)?;
        Ok(Some(trial))
    }

    /// The noise before the next evaluation.
    fn renoise<N>(&mut self, noise: &mut N) -> Result<(), Error>
    where
        N: NoiseSource<V> + ?Sized,
    {
        let Some(planned) = self.planned() else {
            return Ok(());
        };
        if let Some(before) = &planned.stage.renoise {
            self.state.combine(before.state, &[])?;
            add_noise(&mut self.state, before.spread, None, planned, noise)?;
        }
        Ok(())
    }
}

fn update<V: State>(x: &mut V, update: &Update, history: &VecDeque<V>) -> Result<(), Error> {
    let terms: Vec<_> = update.model.iter().copied().zip(history).collect();
    x.combine(update.state, &terms)
}

/// The deviation of every element, where the network gives it.
fn deviation<V: State>(
    spread: Spread,
    variance: Option<V>,
    step: usize,
) -> Result<Option<V>, Error> {
    let (offset, scale) = match spread {
        Spread::Std(_) => return Ok(None),
        Spread::Learned => (0.0, 0.5),
        // Half of min + (max - min) (v + 1) / 2.
        Spread::LearnedRange { min, max } => (
            0.25 * (min.get() + max.get()),
            0.25 * (max.get() - min.get()),
        ),
    };
    let needed_by = "the learned variance of the sampler";
    let mut std = variance.ok_or(Error::Missing {
        what: "the variance of a prediction",
        needed_by,
    })?;
    std.exp_affine(offset, scale)?;
    if !std.is_finite() {
        return Err(Error::NotFinite {
            what: "the learned deviation",
            step,
        });
    }
    Ok(Some(std))
}

fn add_noise<V, T, N>(
    x: &mut V,
    spread: Spread,
    std: Option<&V>,
    planned: &PlannedStage<T>,
    noise: &mut N,
) -> Result<(), Error>
where
    N: NoiseSource<V> + ?Sized,
{
    let over = Some(planned.interval());
    match (spread, std) {
        (_, Some(std)) => noise.add(x, Scale::PerElement(std), over),
        (Spread::Std(0.0), None) => Ok(()),
        (Spread::Std(std), None) => noise.add(x, Scale::Same(std), over),
        (_, None) => Err(Error::Missing {
            what: "the variance of a prediction",
            needed_by: "noise outside the update of the state",
        }),
    }
}
