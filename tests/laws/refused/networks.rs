//! Denoisers, on one question and in runs.

use gaussian_diffusion::{
    Denoiser, Error, Grid, NoiseLevel, Parameterization, Plan, Point, Prediction, Step, Time, laws,
    schedule::RectifiedFlow, solver::Ddim,
};
use ndarray::{Array2, Axis, array};

use super::{VALID, error, refused};

type Answer = Result<Prediction<Array2<f64>>, Error>;

struct Net(fn(&Array2<f64>) -> Answer);

impl<T> Denoiser<Array2<f64>, T> for Net {
    fn predict(&mut self, x: &Array2<f64>, _: Point<T>) -> Answer {
        self.0(x)
    }
}

fn triple(x: &Array2<f64>) -> Answer {
    Ok(Prediction::x0(3.0 * x))
}

/// The same with another last number.
fn ending(x: &Array2<f64>, last: f64) -> Answer {
    let mut answer = triple(x)?;
    answer.value[[x.nrows() - 1, 1]] = last;
    Ok(answer)
}

/// The same with one number off where the batch is one of several items.
fn mixing(x: &Array2<f64>, item: usize, off: f64) -> Answer {
    let mut answer = triple(x)?;
    if x.nrows() > 1 {
        answer.value[[item, 1]] += off;
    }
    Ok(answer)
}

#[test]
fn answers() {
    let level = NoiseLevel::new(0.6, 0.8).unwrap();
    let x = array![[1.0, 1.0], [-1.0, 0.25], [0.75, 1.0]];
    let at = |level, net| {
        let at = Point::new(Step::new(3), level, NoiseLevel::CLEAN);
        laws::denoiser(&mut Net(net), &x, at, 1e-6)
    };
    let check = |net| at(level, net);
    check(triple).unwrap();

    let law = "the answer has the shape of the question";
    let narrow = |x: &Array2<f64>| Ok(Prediction::x0(x.select(Axis(1), &[0])));
    refused(check(narrow), law, "[3, 1] for [3, 2]");
    let alone = check(|x| match x.nrows() {
        1 => Ok(Prediction::x0(Array2::zeros((1, 0)))),
        _ => triple(x),
    });
    refused(alone, law, "[1, 0] for [1, 2]");

    let law = "the answer is finite";
    refused(check(|x| ending(x, f64::NAN)), law, "NaN");
    refused(check(|x| ending(x, f64::NEG_INFINITY)), law, "-inf");

    let undetermined = |x: &Array2<f64>| Ok(Prediction::noise(x.clone()));
    check(undetermined).unwrap();
    refused(
        at(NoiseLevel::NOISE, undetermined),
        VALID,
        "noise prediction",
    );

    // Of an answer of 3: 1e-6 of 4.
    let law = "items do not mix";
    check(|x| mixing(x, 0, 3.8e-6)).unwrap();
    check(|x| mixing(x, 2, -3.8e-6)).unwrap();
    refused(check(|x| mixing(x, 0, 4.2e-6)), law, "at (0,");
    refused(check(|x| mixing(x, 2, -4.2e-6)), law, "at (2,");

    refused(check(|_| Err(error())), VALID, "broken");
    let alone = check(|x| {
        if x.nrows() > 1 {
            triple(x)
        } else {
            Err(error())
        }
    });
    refused(alone, VALID, "broken");
}

/// What a denoiser does with what it remembers, the number of questions so far.
#[derive(Clone, Copy, PartialEq)]
enum Memory {
    /// Shows it.
    Shown,
    /// Never forgets it.
    Kept,
    /// Forgets it where a run begins, and does not show it.
    Hidden,
    /// Forgets it at the last question of a run, and does not show it.
    UntilTheEnd,
    /// Shows it, and does not take it back.
    Deaf,
    /// Shows it, and errs where it is to take it back.
    Refusing,
}

struct Counting(Memory, Option<Array2<f64>>);

impl Denoiser<Array2<f64>, Time> for Counting {
    fn predict(&mut self, x: &Array2<f64>, at: Point<Time>) -> Answer {
        let mut count = self.1.take().unwrap_or_else(|| Array2::zeros(x.dim()));
        let answer = 0.5 * x + &count;
        // The last number alone.
        count[[1, 2]] += 1e-15;
        self.1 = Some(count).filter(|_| self.0 != Memory::UntilTheEnd || at.evaluation < 2);
        Ok(Prediction::new(answer, Parameterization::X0))
    }

    fn begin(&mut self) {
        if !matches!(self.0, Memory::Kept | Memory::UntilTheEnd) {
            self.1 = None;
        }
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<Array2<f64>>)) {
        if matches!(self.0, Memory::Shown | Memory::Deaf | Memory::Refusing) {
            visit(&mut self.1);
        }
    }

    fn set_memory(&mut self, mut memory: Vec<Option<Array2<f64>>>) -> Result<(), Error> {
        match self.0 {
            Memory::Refusing => return Err(error()),
            Memory::Shown => self.1 = memory.pop().flatten(),
            _ => {}
        }
        Ok(())
    }
}

#[test]
fn runs_that_remember() {
    let grid = Grid::uniform_time(&RectifiedFlow, 3).unwrap();
    let plan = Plan::new(&RectifiedFlow, &grid, &Ddim::default()).unwrap();
    let start = array![[0.3, -1.0, 0.2], [1.5, 0.1, -0.4]];
    let check = |memory| laws::repeated_run(&plan, &start, &mut Counting(memory, None));
    check(Memory::Shown).unwrap();
    let again = "the same run gives the same bits again";
    let stored = "a stored run goes on with the same bits";
    let at = |cut| format!("element Some(5), after {cut} evaluations");
    refused(check(Memory::Kept), again, &at(0));
    refused(check(Memory::UntilTheEnd), again, &at(1));
    refused(check(Memory::Hidden), stored, &at(1));
    refused(check(Memory::Deaf), stored, &at(1));
    refused(check(Memory::Refusing), VALID, "broken");
    let err = laws::repeated_run(&plan, &start, &mut Net(|_| Err(error())));
    refused(err, VALID, "broken");
}
