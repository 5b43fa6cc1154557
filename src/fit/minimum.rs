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

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::{Grid, Plan, Time, fit::Lesson, predicts, schedule::Cosine, solver::Ddim};

    fn lesson(weights: &[f64]) -> Lesson<Array2<f64>, Time> {
        let plan = Plan::new(
            &Cosine,
            &Grid::uniform_time(&Cosine, 2).unwrap(),
            &Ddim::default(),
        );
        let mut network = predicts::x0(|x: &Array2<f64>, _: crate::Point<Time>| x.clone());
        let start = Array2::ones((weights.len(), 1));
        let lesson = Lesson::new(&plan.unwrap(), start, &mut network).unwrap();
        lesson.with_weights(weights).unwrap()
    }

    /// A number that goes only this share of the way it is sent; slopes cost 2 questions and a move 3.
    struct Slow {
        share: f64,
        asked: usize,
        /// Of each move, how far it was to go for every 1 that it was sent.
        dampings: Vec<f64>,
    }

    impl Problem<Array2<f64>, Time> for Slow {
        type Point = Array2<f64>;

        fn end<'a>(&self, at: &'a Self::Point) -> Result<&'a Array2<f64>, Error> {
            Ok(at)
        }

        fn slopes(&mut self, _: &Self::Point) -> Result<Vec<Array2<f64>>, Error> {
            self.asked += 2;
            Ok(vec![array![[1.0]]])
        }

        fn moved(&mut self, at: &Self::Point, by: &[f64]) -> Result<Self::Point, Error> {
            self.asked += 3;
            self.dampings.push((2.0 - at[[0, 0]]) / by[0] - 1.0);
            Ok(at + self.share * by[0])
        }

        fn questions(&self) -> (usize, usize, usize) {
            (self.asked, 2, 3)
        }
    }

    /// From 0 towards 2: where it comes to, and the damping of every move.
    fn moves(share: f64, limit: usize) -> (f64, Vec<f64>) {
        let (lesson, target) = (lesson(&[1.0]), array![[2.0]]);
        let aim = Aim {
            target: &target,
            lesson: &lesson,
            robust: false,
        };
        let mut problem = Slow {
            share,
            asked: 0,
            dampings: Vec::new(),
        };
        let (point, condition) = approach(&mut problem, array![[0.0]], &aim, limit).unwrap();
        assert_eq!(condition, 1.0);
        (point[[0, 0]], problem.dampings)
    }

    #[test]
    fn a_move_that_is_nearer_is_damped_less_and_one_in_vain_more() {
        let near = |found: &[f64], powers: &[i32]| {
            let wanted: Vec<f64> = powers.iter().map(|power| 10_f64.powi(*power)).collect();
            assert_eq!(found.len(), wanted.len(), "{found:?}");
            for (found, wanted) in found.iter().zip(wanted) {
                assert!(
                    (found - wanted).abs() < 1e-12 * (1.0 + wanted),
                    "{found} {wanted}"
                );
            }
        };
        // Ten rounds of five questions.
        for limit in [50, 54] {
            near(
                &moves(0.5, limit).1,
                &[-3, -4, -5, -6, -7, -8, -8, -8, -8, -8],
            );
        }
        assert_eq!(moves(0.5, 49).1.len(), 9);
        assert_eq!(moves(0.5, 4), (0.0, vec![]));
        // One round, up to the greatest damping or the limit.
        near(&moves(0.0, 1000).1, &[-3, -2, -1, 0, 1, 2, 3]);
        near(&moves(0.0, 14).1, &[-3, -2, -1, 0]);
        near(&moves(0.0, 13).1, &[-3, -2, -1]);
        // The square falls by twice the share: by less than 1e-4 of it is the last time.
        let (end, dampings) = moves(4e-5, 1000);
        assert!((end - 8e-5 / 1.001).abs() < 1e-18 && dampings.len() == 1);
        assert!(moves(6e-5, 1000).1.len() > 1);
    }

    #[test]
    fn distances_count_by_their_mean_or_their_mean_square() {
        let (lesson, target) = (lesson(&[1.0, 2.0, 1.0]), Array2::zeros((3, 1)));
        let aim = |robust| Aim {
            target: &target,
            lesson: &lesson,
            robust,
        };
        let distances = [1.0, 3.0, 0.0];
        assert_eq!(aim(true).objective(&distances), 7.0 / 4.0);
        assert_eq!(aim(false).objective(&distances), 19.0 / 4.0);
        assert_eq!(aim(false).weights(&distances), [1.0, 2.0, 1.0]);
        // One that is nearer than a tenth of the mean counts as that.
        let found = aim(true).weights(&distances);
        for (found, wanted) in found.iter().zip([1.0, 2.0 / 3.0, 40.0 / 7.0]) {
            assert!((found - wanted).abs() < 1e-14, "{found} {wanted}");
        }
        assert_eq!(aim(true).weights(&[0.0; 3]), [1.0, 2.0, 1.0]);
    }
}
