//! The method of Levenberg and Marquardt where the residuals are states.

use std::fmt::Debug;

use super::{
    lesson::{Lesson, distances},
    regression::Regression,
};
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

/// What an end is to come near to, and what near means.
pub(super) struct Aim<'a, V: State, T> {
    pub target: &'a Kept<V>,
    pub lesson: &'a Lesson<V, T>,
    /// By the mean distance, not by the mean square.
    pub robust: bool,
}

impl<V: State, T: Copy + Debug> Aim<'_, V, T> {
    fn objective(&self, distances: &[f64]) -> f64 {
        match self.robust {
            true => self.lesson.mean(distances),
            false => {
                let squares: Vec<_> = distances.iter().map(|d| d * d).collect();
                self.lesson.mean(&squares)
            }
        }
    }

    /// Weights under which the squares of the distances change as the objective does.
    fn weights(&self, distances: &[f64]) -> Vec<f64> {
        let own = self.lesson.weights();
        if !self.robust {
            return own.to_vec();
        }
        let least = NEAREST * self.lesson.mean(distances);
        let weight = |(w, d): (&f64, &f64)| match d.max(least) {
            far if far > 0.0 => w / far,
            _ => *w,
        };
        own.iter().zip(distances).map(weight).collect()
    }
}

/// Moves a point while that brings its end nearer and the next round keeps to the limit of questions, and gives
/// it with the largest condition of a round.
///
/// The slopes are made orthogonal and decomposed once a round, so that other dampings cost a move only.
pub(super) fn approach<V, T, P>(
    problem: &mut P,
    mut point: P::Point,
    aim: &Aim<V, T>,
    limit: usize,
) -> Result<(P::Point, f64), Error>
where
    V: State,
    T: Copy + Debug,
    P: Problem<V, T>,
{
    let (mut damping, mut condition) = (1e-3, 1.0_f64);
    let mut off = distances(problem.end(&point)?, aim.target)?;
    loop {
        let (asked, slopes, a_move) = problem.questions();
        if asked + slopes + a_move > limit {
            return Ok((point, condition));
        }
        let mut missing = aim.target.clone();
        missing.combine(1.0, &[(-1.0, problem.end(&point)?)])?;
        let round = Regression::new(problem.slopes(&point)?, &missing, &aim.weights(&off))?;
        condition = condition.max(round.condition());
        let error = aim.objective(&off);
        let found = loop {
            let (asked, _, a_move) = problem.questions();
            if damping > DAMPING.1 || asked + a_move > limit {
                break None;
            }
            let trial = problem.moved(&point, &round.solve(damping))?;
            let there = distances(problem.end(&trial)?, aim.target)?;
            if aim.objective(&there) < error {
                damping = (0.1 * damping).max(DAMPING.0);
                break Some((trial, there));
            }
            damping *= 10.0;
        };
        let Some((nearer, there)) = found else {
            return Ok((point, condition));
        };
        let gain = 1.0 - aim.objective(&there) / error;
        (point, off) = (nearer, there);
        if gain < 1e-4 {
            return Ok((point, condition));
        }
    }
}
