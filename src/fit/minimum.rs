//! The method of Levenberg and Marquardt where the residuals are states.

use super::{lesson::Lesson, regression::Regression};
use crate::{
    Error,
    state::{Kept, State},
};

/// The least and the most a step is damped.
const DAMPING: (f64, f64) = (1e-8, 1e3);
/// Starts nearer than this share of the mean distance count no more than others at it.
const NEAREST: f64 = 0.1;

/// What is to be brought near the ends of a lesson.
pub(super) trait Problem<V: State, T> {
    /// Parameters with the run they give.
    type Point;

    /// Where that run ends.
    fn end<'a>(&self, at: &'a Self::Point) -> Result<&'a Kept<V>, Error>;

    /// How the end changes with every parameter.
    fn slopes(&mut self, at: &Self::Point) -> Result<Vec<Kept<V>>, Error>;

    /// The point with the parameters changed by so much.
    fn moved(&mut self, at: &Self::Point, by: &[f64]) -> Result<Self::Point, Error>;

    /// Questions asked so far, and of the next slopes and the next move.
    fn questions(&self) -> (usize, usize, usize);
}

/// Moves a point while that brings its end nearer and the next round keeps to the limit of questions, and gives
/// it with the largest condition of a round.
///
/// The slopes are made orthogonal and decomposed once a round, so that other dampings cost a move only.
pub(super) fn approach<V, T, P>(
    problem: &mut P,
    mut point: P::Point,
    lesson: &Lesson<V, T>,
    robust: bool,
    limit: usize,
) -> Result<(P::Point, f64), Error>
where
    V: State,
    T: Copy + std::fmt::Debug,
    P: Problem<V, T>,
{
    let (mut damping, mut condition) = (1e-3, 1.0_f64);
    let mut distances = lesson.distances(problem.end(&point)?)?;
    loop {
        let (asked, slopes, a_move) = problem.questions();
        if asked + slopes + a_move > limit {
            return Ok((point, condition));
        }
        let mut missing = lesson.end().clone();
        missing.combine(1.0, &[(-1.0, problem.end(&point)?)])?;
        let weights = weights(lesson, &distances, robust);
        let round = Regression::new(problem.slopes(&point)?, &missing, &weights)?;
        condition = condition.max(round.condition());
        let error = objective(lesson, &distances, robust);
        let found = loop {
            let (asked, _, a_move) = problem.questions();
            if damping > DAMPING.1 || asked + a_move > limit {
                break None;
            }
            let trial = problem.moved(&point, &round.solve(damping))?;
            let off = lesson.distances(problem.end(&trial)?)?;
            if objective(lesson, &off, robust) < error {
                damping = (0.1 * damping).max(DAMPING.0);
                break Some((trial, off));
            }
            damping *= 10.0;
        };
        let Some((nearer, off)) = found else {
            return Ok((point, condition));
        };
        let gain = 1.0 - objective(lesson, &off, robust) / error;
        (point, distances) = (nearer, off);
        if gain < 1e-4 {
            return Ok((point, condition));
        }
    }
}

/// The mean distance, or the mean square.
fn objective<V: State, T: Copy + std::fmt::Debug>(
    lesson: &Lesson<V, T>,
    distances: &[f64],
    robust: bool,
) -> f64 {
    match robust {
        true => lesson.mean(distances),
        false => lesson.mean(&distances.iter().map(|d| d * d).collect::<Vec<_>>()),
    }
}

/// Weights under which the squares of the distances change as the objective does.
fn weights<V: State, T: Copy + std::fmt::Debug>(
    lesson: &Lesson<V, T>,
    distances: &[f64],
    robust: bool,
) -> Vec<f64> {
    let own = lesson.weights();
    if !robust {
        return own.to_vec();
    }
    let least = NEAREST * lesson.mean(distances);
    let each = own.iter().zip(distances);
    each.map(|(w, d)| {
        if d.max(least) > 0.0 {
            w / d.max(least)
        } else {
            *w
        }
    })
    .collect()
}
