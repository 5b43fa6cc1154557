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
        let mut state = state;
        renoise(&mut state, plan.stages().first(), noise)?;
        Ok(Self {
            plan,
            state,
            trial: None,
            history: VecDeque::new(),
            done: 0,
        })
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
    /// that the plan needs, or does not determine what the solver works with at this level; or if the
    /// noise source fails. The run then stands where it stood and can be answered again.
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
        if let Some(shift) = &shift {
            // Refused now, if of another shape, while nothing has changed.
            shift
                .clone()
                .combine(0.0, &[(1.0, &self.state)])
                .map_err(|error| error.turned().naming("the shift of a prediction"))?;
        }
        let std = match &stage.commit {
            Some(commit) => deviation(commit.spread, variance, &self.state, point.step)?,
            None => None,
        };
        let map = parameterization.to(stage.basis, point.level)?;
        let misshapen = |error: Error| error.naming("the prediction of the network");
        let next = self.plan.stages().get(self.done + 1);
        if self.plan.memory() == 1 && self.trial.is_none() && stage.trial.is_none() {
            // The conversion joins the update, and the prediction is read once.
            let step = |state: &mut V| {
                if let Some(commit) = &stage.commit {
                    let newest = commit.model.first().copied().unwrap_or(0.0);
                    let own = commit.state + newest * map.state;
                    let newest = [(newest * map.prediction, &value)];
                    state.combine(own, &newest).map_err(misshapen)?;
                    add_noise(state, commit.spread, std.as_ref(), planned, noise)?;
                }
                renoise(state, next, noise)
            };
            change(&mut self.state, planned.draws(next), step)?;
        } else {
            if parameterization != stage.basis {
                let seen = self.trial.as_ref().unwrap_or(&self.state);
                value
                    .combine(map.prediction, &[(map.state, seen)])
                    .map_err(|error| misshapen(error.turned()))?;
            }
            self.history.push_front(value);
            let history = &self.history;
            let mut trial = None;
            let step = |state: &mut V| {
                if let Some(commit) = &stage.commit {
                    update(state, commit, history).map_err(misshapen)?;
                    add_noise(state, commit.spread, std.as_ref(), planned, noise)?;
                }
                if let Some(to_next) = &stage.trial {
                    let mut x = state.clone();
                    update(&mut x, to_next, history).map_err(misshapen)?;
                    add_noise(&mut x, to_next.spread, None, planned, noise)?;
                    trial = Some(x);
                }
                renoise(state, next, noise)
            };
            let changed = change(&mut self.state, planned.draws(next), step);
            if changed.is_err() {
                self.history.pop_front();
            }
            changed?;
            self.trial = trial;
            self.history.truncate(self.plan.memory());
        }
        self.done += 1;
        if let Some(shift) = &shift {
            self.shift(shift, point)?;
        }
        Ok(())
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

    /// Adds a displacement of the data, if the stage that asked at `point` has ended its step.
    fn shift(&mut self, shift: &V, point: &Point<T>) -> Result<(), Error> {
        let next = self.planned().map(|planned| &planned.point);
        if next.is_some_and(|next| next.step == point.step) {
            // A slope taken at a displaced point would be one of another equation.
            return Ok(());
        }
        let alpha = next.map_or(point.to.alpha(), |next| next.level.alpha());
        self.change(|x| x.combine(1.0, &[(alpha, shift)]))
    }

    fn change(&mut self, f: impl FnOnce(&mut V) -> Result<(), Error>) -> Result<(), Error> {
        let Some(trial) = &mut self.trial else {
            return f(&mut self.state);
        };
        let mut change = trial.clone();
        f(trial)?;
        change.combine(-1.0, &[(1.0, &*trial)])?;
        // What the state would have to be for this to be its trial.
        let last = self.done.checked_sub(1);
        let last = last.and_then(|i| self.plan.stages().get(i));
        let scale = last.and_then(|planned| Some(planned.stage.trial.as_ref()?.state));
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

    /// The predictions kept for later steps, the newest first, each in the basis of its stage.
    pub fn predictions(&self) -> impl Iterator<Item = &V> {
        self.history.iter()
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
}

/// Changes the state, or leaves it as it was where that fails.
///
/// A combination is refused before anything is changed; what can fail later, and so needs a copy, is
/// a source of noise.
fn change<V: State>(
    state: &mut V,
    draws: bool,
    step: impl FnOnce(&mut V) -> Result<(), Error>,
) -> Result<(), Error> {
    if !draws {
        return step(state);
    }
    let mut changed = state.clone();
    step(&mut changed)?;
    *state = changed;
    Ok(())
}

/// The noise before the evaluation of a stage.
fn renoise<V, T, N>(
    state: &mut V,
    planned: Option<&PlannedStage<T>>,
    noise: &mut N,
) -> Result<(), Error>
where
    V: State,
    N: NoiseSource<V> + ?Sized,
{
    let Some(planned) = planned else {
        return Ok(());
    };
    if let Some(before) = &planned.stage.renoise {
        state.combine(before.state, &[])?;
        // This noise is no part of the way down, whose increments it must not share.
        if let Spread::Std(std) = before.spread
            && before.spread.draws()
        {
            noise.add(state, Scale::Same(std), None)?;
        }
    }
    Ok(())
}

fn update<V: State>(x: &mut V, update: &Update, history: &VecDeque<V>) -> Result<(), Error> {
    let terms: Vec<_> = update.model.iter().copied().zip(history).collect();
    x.combine(update.state, &terms)
}

/// The deviation of every element, where the network gives it, in the shape of the state.
fn deviation<V: State>(
    spread: Spread,
    variance: Option<V>,
    state: &V,
    step: usize,
) -> Result<Option<V>, Error> {
    if matches!(spread, Spread::Std(_)) {
        return Ok(None);
    }
    let (offset, scale) = spread.log_variance_map();
    let needed_by = "the learned variance of the sampler";
    let variance = variance.ok_or(Error::Missing {
        what: "the variance of a prediction",
        needed_by,
    })?;
    let mut std = state.clone();
    std.combine(0.0, &[(1.0, &variance)])
        .map_err(|error| error.naming("the variance of a prediction"))?;
    std.exp_affine(0.5 * offset, 0.5 * scale)?;
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
    // Noise that leads nowhere, such as a corrector's, is no part of the way down.
    let over = (planned.over.from != planned.over.to).then_some(planned.over);
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
