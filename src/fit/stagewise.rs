//! A plan fitted stage by stage.

use std::fmt::{self, Debug};

use super::{
    Fit, StateCoefficient,
    lesson::{Lesson, distances},
    regression::{Regression, product},
    suited,
    walk::{Counted, Walk},
};
use crate::{
    Denoiser, Error, NoiseLevel, Plan,
    plan::PlannedStage,
    solver::Update,
    state::{Kept, State},
};

/// A difference to the lesson that is less of what it is made of than this is rounding.
const ROUNDING: f64 = 1e-12;

/// A fitted plan and how it was come by.
///
/// The distances are those of [`Lesson::distance`]: from the lesson's ends, or its states where the plan ends.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Fitted<T> {
    /// The plan: the fitted one, or the base where that is nearer.
    pub plan: Plan<T>,
    /// Mean distance of the base.
    pub before: f64,
    /// Mean distance of the plan.
    pub after: f64,
    /// Whether the plan is the base: no fit came nearer to the ends of the lesson.
    pub kept_base: bool,
    /// How often the network was asked, each time about all starts, beside the lesson.
    pub evaluations: usize,
    /// The largest condition of a system that was solved, of columns made equally long. Above `1e4`, its
    /// inverse square being the ridge, the ridge decides.
    pub condition: f64,
}

impl<T: Copy + Debug> fmt::Display for Fitted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.plan.name())?;
        match self.kept_base {
            true => write!(f, "the base is kept, {:.3e} from the lesson", self.before)?,
            false => write!(
                f,
                "{:.3e} from the lesson, {:.3e} before",
                self.after, self.before
            )?,
        }
        write!(
            f,
            ", {} evaluations, condition {:.1e}",
            self.evaluations, self.condition
        )
    }
}

/// A student that has gone its way.
#[derive(Clone)]
pub(super) struct Student<V: State, T> {
    pub plan: Plan<T>,
    pub walk: Walk<V>,
    pub condition: f64,
}

impl<V: State, T: Copy + Debug> Student<V, T> {
    /// One that goes by a plan as it is.
    pub(super) fn of<D>(
        plan: &Plan<T>,
        lesson: &Lesson<V, T>,
        network: &mut D,
    ) -> Result<Self, Error>
    where
        D: Denoiser<V, T> + ?Sized,
    {
        Ok(Self {
            walk: Walk::of(plan, lesson.state_at(plan.start())?, network)?,
            plan: plan.clone(),
            condition: 1.0,
        })
    }

    /// The mean distance from where it was to come to.
    fn distance(&self, lesson: &Lesson<V, T>) -> Result<f64, Error> {
        let target = lesson.state_at(self.plan.end())?;
        Ok(lesson.mean(&distances(self.walk.last()?, &target)?))
    }
}

impl<T: Copy + Debug> Fitted<T> {
    /// The better of a base and a fit.
    pub(super) fn better<V: State>(
        base: Student<V, T>,
        student: Student<V, T>,
        lesson: &Lesson<V, T>,
        evaluations: usize,
    ) -> Result<Self, Error> {
        let (before, after) = (base.distance(lesson)?, student.distance(lesson)?);
        // A NaN is not nearer.
        let kept_base = !(after < before);
        Ok(Self {
            plan: if kept_base { base.plan } else { student.plan },
            before,
            after: if kept_base { before } else { after },
            kept_base,
            evaluations,
            condition: student.condition,
        })
    }
}

impl Fit {
    /// Fits the updates of a plan to a lesson, from the first to the last.
    ///
    /// # Errors
    ///
    /// If the base draws noise, has trial points or several evaluations a step, or does not take predictions
    /// of the data; if it leads outside the lesson; or if the network fails.
    pub fn plan<V, T, D>(
        &self,
        base: &Plan<T>,
        lesson: &Lesson<V, T>,
        network: &mut D,
    ) -> Result<Fitted<T>, Error>
    where
        V: State,
        T: Copy + Debug,
        D: Denoiser<V, T> + ?Sized,
    {
        suited::as_base(base)?;
        let mut network = Counted::new(network);
        let own = Student::of(base, lesson, &mut network)?;
        let student = self.student(base, lesson, &mut network)?;
        Fitted::better(own, student, lesson, network.evaluations)
    }

    /// The student's run, each of its updates fitted when it comes to it.
    pub(super) fn student<V, T, D>(
        &self,
        base: &Plan<T>,
        lesson: &Lesson<V, T>,
        network: &mut D,
    ) -> Result<Student<V, T>, Error>
    where
        V: State,
        T: Copy + Debug,
        D: Denoiser<V, T> + ?Sized,
    {
        network.begin();
        let mut walk = Walk::new(lesson.state_at(base.start())?);
        let (mut condition, mut commits) = (1.0_f64, Vec::with_capacity(base.steps()));
        for planned in base.stages() {
            walk.ask(base.name(), planned, network)?;
            let target = lesson.state_at(planned.point.to)?;
            let (update, of_stage) = self.update(planned, &walk, &target, lesson.weights())?;
            condition = condition.max(of_stage);
            let next = walk.updated(&update)?;
            walk.push(next);
            commits.push(update);
        }
        Ok(Student {
            plan: base.with_commits(format!("{}, fitted", base.name()), commits)?,
            walk,
            condition,
        })
    }

    /// The update nearest to the target, and the condition of its system.
    fn update<V: State, T>(
        &self,
        planned: &PlannedStage<T>,
        walk: &Walk<V>,
        target: &Kept<V>,
        weights: &[f64],
    ) -> Result<(Update, f64), Error> {
        let own = planned.stage.commit.clone().unwrap_or(Update::new(1.0));
        let features = walk.features(planned.point.evaluation, self.memory)?;
        let (from, to) = (planned.point.from, planned.point.to);
        let start = self.start(own, from, to);
        let mut missing = target.clone();
        missing.combine(1.0, &[(-1.0, &walk.updated(&start)?)])?;
        let size = product(target, target, weights)?;
        if product(&missing, &missing, weights)? <= ROUNDING * ROUNDING * size {
            return Ok((start, 1.0));
        }
        let directions = self.directions(features.len() - 1);
        let columns = directions
            .iter()
            .map(|direction| along(direction, &features));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let regression = Regression::new(columns, &missing, weights)?;
        let mut update = start;
        for (by, direction) in regression.solve(self.ridge).into_iter().zip(&directions) {
            add(&mut update, by, direction);
        }
        Ok((update, regression.condition()))
    }

    /// The base's update, made one that a point of data obeys where all are to be.
    fn start(&self, mut own: Update, from: NoiseLevel, to: NoiseLevel) -> Update {
        if self.state == StateCoefficient::Consistent {
            own.state = to.sigma() / from.sigma();
            let missing = to.alpha() - own.state * from.alpha() - own.model.iter().sum::<f64>();
            match own.model.first_mut() {
                Some(newest) => *newest += missing,
                None => own.model.push(missing),
            }
        }
        own
    }

    /// The changes of an update that are free, each as its part of the state and of so many predictions.
    pub(super) fn directions(&self, predictions: usize) -> Vec<Vec<f64>> {
        let count = self.memory.min(predictions);
        let unit = |slot: usize| {
            let mut direction = vec![0.0; slot + 1];
            direction[slot] = 1.0;
            direction
        };
        match self.state {
            StateCoefficient::Free => (0..=count).map(unit).collect(),
            StateCoefficient::Fixed => (1..=count).map(unit).collect(),
            StateCoefficient::Consistent => {
                let against_newest = |slot| {
                    let mut direction = unit(slot);
                    direction[1] = -1.0;
                    direction
                };
                (2..=count).map(against_newest).collect()
            }
        }
    }
}

/// What a change of an update along this direction adds to its result.
pub(super) fn along<K: State>(direction: &[f64], features: &[&K]) -> Result<K, Error> {
    let first = features.first().ok_or(Error::Finished)?;
    let mut sum = (*first).clone();
    let terms: Vec<_> = direction
        .iter()
        .copied()
        .zip(features.iter().copied())
        .skip(1)
        .collect();
    sum.combine(direction.first().copied().unwrap_or(0.0), &terms)?;
    Ok(sum)
}

/// Changes an update along a direction.
pub(super) fn add(update: &mut Update, by: f64, direction: &[f64]) {
    if by == 0.0 {
        return;
    }
    if let Some((state, model)) = direction.split_first() {
        update.state += by * state;
        let longer = update.model.len().max(model.len());
        update.model.resize(longer, 0.0);
        for (own, part) in update.model.iter_mut().zip(model) {
            *own += by * part;
        }
    }
}
