//! A tensor with one fault.

use std::ops::Range;

use gaussian_diffusion::{
    Error, State,
    state::{Assignment, Elements, InItself},
};
use ndarray::{Array2, Axis};

use super::error;

/// What a tensor does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Op {
    Fits,
    Combine,
    /// Without terms.
    Scale,
    CombineItems,
    /// With a list of another length.
    OwnLength,
    TermLength,
    /// With an own coefficient of 0 for the first item.
    Forget,
    /// With coefficients of items.
    SweepItems,
    /// Of several assignments: the first state, and the second.
    SweepFirst,
    SweepSecond,
    Sweep,
    Dot,
    Clamp,
    Exp,
    IsFinite,
    Shape,
    Numbers,
    OfNumbers,
    Multiply,
    BlendWeights,
    BlendBy,
    Blend,
    Above,
    Quantiles,
    Divide,
    Concatenated,
    ItemsAt,
    Spread,
}

/// What is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    Nothing,
    /// The last number of the result is this share too large.
    Off(Op, f64),
    /// This number of the result is the next one.
    Bit(Op, usize),
    /// The result is a number short.
    Loses(Op),
    /// The result is that of the first item for all.
    Mixes(Op),
    /// The result has its axes the other way round.
    Turns(Op),
    /// What is right is refused.
    Refuses(Op),
    /// What is wrong is taken, and nothing done.
    Takes(Op),
    /// What is refused has changed something.
    Spoils(Op),
    /// NaN stays where it should be gone.
    KeepsNan(Op),
    /// NaN is gone where it should stay.
    LosesNan(Op),
    /// Whatever it is asked, the answer is this.
    Says(Op, bool),
    /// It tells of a NaN that nobody watches for.
    Watches,
    /// Numbers are not kept within bounds.
    Unbounded,
    /// A bound counts whether it is to or not.
    AtBound,
}

use Fault::*;

/// An array with one fault.
#[derive(Debug, Clone)]
pub struct Faulty {
    pub x: Array2<f64>,
    pub fault: Fault,
}

/// The last number, or that of the first item.
fn last(op: Op, x: &mut Array2<f64>) -> Option<&mut f64> {
    match op {
        Op::Forget => x.row_mut(0).into_iter().last(),
        _ => x.iter_mut().last(),
    }
}

fn spoil(fault: Fault, op: Op, x: &mut Array2<f64>) {
    match fault {
        Off(of, share) if of == op => {
            if let Some(x) = last(op, x) {
                *x *= 1.0 + share;
            }
        }
        Bit(of, place) if of == op => {
            if let Some(x) = x.iter_mut().nth(place) {
                *x = x.next_up();
            }
        }
        Loses(of) if of == op => x.remove_index(Axis(1), 0),
        Mixes(of) if of == op => {
            let first = x.row(0).to_owned();
            x.rows_mut()
                .into_iter()
                .for_each(|mut row| row.assign(&first));
        }
        Turns(of) if of == op => {
            *x = x
                .clone()
                .into_shape_with_order((x.ncols(), x.nrows()))
                .unwrap()
        }
        _ => {}
    }
}

impl Faulty {
    pub fn new(x: &Array2<f64>, fault: Fault) -> Self {
        let x = x.clone();
        Self { x, fault }
    }

    /// What an operation makes of it, or what a fault in it makes of that.
    fn change(
        &mut self,
        op: Op,
        f: impl FnOnce(&mut Array2<f64>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (before, outcome) = (self.x.clone(), f(&mut self.x));
        match (self.fault, &outcome) {
            (Refuses(of), Ok(())) if of == op => return Err(error()),
            (Takes(of), Err(_)) if of == op => return Ok(()),
            (Spoils(of), Err(_)) if of == op => {
                if let Some(x) = last(op, &mut self.x) {
                    *x = x.next_up();
                }
            }
            (KeepsNan(of), Ok(())) if of == op => {
                let both = self.x.iter_mut().zip(&before);
                let bad = both.filter(|(_, before)| before.is_nan());
                bad.for_each(|(x, _)| *x = f64::NAN);
            }
            (LosesNan(of), Ok(())) if of == op => {
                self.x.mapv_inplace(|x| if x.is_nan() { 0.0 } else { x })
            }
            (fault, Ok(())) => spoil(fault, op, &mut self.x),
            _ => {}
        }
        outcome
    }

    /// What an operation makes anew.
    fn made(&self, op: Op, made: Result<Array2<f64>, Error>) -> Result<Self, Error> {
        let mut new = self.clone();
        new.change(op, |x| {
            *x = made?;
            Ok(())
        })?;
        Ok(new)
    }

    /// Numbers that an operation tells.
    fn told(&self, op: Op, told: Result<Vec<f64>, Error>) -> Result<Vec<f64>, Error> {
        match (self.fault, told) {
            (Refuses(of), Ok(_)) if of == op => Err(error()),
            (Takes(of), Err(_)) if of == op => Ok(Vec::new()),
            (Loses(of), Ok(mut told)) if of == op => {
                told.pop();
                Ok(told)
            }
            (_, told) => {
                // A column, so that a number is an item.
                let mut column =
                    Array2::from_shape_vec((told.as_ref().map_or(0, Vec::len), 1), told?).unwrap();
                spoil(self.fault, op, &mut column);
                Ok(column.into_raw_vec_and_offset().0)
            }
        }
    }
}

fn arrays<'a>(terms: &[(f64, &'a Faulty)]) -> Vec<(f64, &'a Array2<f64>)> {
    terms.iter().map(|(c, term)| (*c, &term.x)).collect()
}

impl State for Faulty {
    type Keeping = InItself;

    fn items(&self) -> usize {
        self.x.nrows()
    }

    fn fits(&self, other: &Self) -> Result<(), Error> {
        self.clone().change(Op::Fits, |x| State::fits(x, &other.x))
    }

    fn combine(&mut self, own: f64, terms: &[(f64, &Self)]) -> Result<(), Error> {
        let op = match terms {
            [] => Op::Scale,
            _ => Op::Combine,
        };
        self.change(op, |x| x.combine(own, &arrays(terms)))
    }

    fn combine_items(&mut self, own: &[f64], terms: &[(&[f64], &Self)]) -> Result<(), Error> {
        let terms: Vec<_> = terms.iter().map(|(c, term)| (*c, &term.x)).collect();
        let fits = |list: &[f64]| list.len() == self.items();
        let op = match (fits(own), terms.iter().all(|(list, _)| fits(list))) {
            (false, _) => Op::OwnLength,
            (_, false) => Op::TermLength,
            _ if own[0] == 0.0 => Op::Forget,
            _ => Op::CombineItems,
        };
        self.change(op, |x| x.combine_items(own, &terms))
    }

    fn sweep(
        states: &mut [&mut Self],
        fixed: &[&Self],
        assignments: &[Assignment<'_>],
    ) -> Result<bool, Error> {
        let fixed: Vec<_> = fixed.iter().map(|x| &x.x).collect();
        let fault = states[0].fault;
        let finite = states[0].x.iter().all(|x| x.is_finite());
        let mut arrays: Vec<_> = states.iter().map(|state| state.x.clone()).collect();
        let mut changing: Vec<_> = arrays.iter_mut().collect();
        let mut said = State::sweep(&mut changing, &fixed, assignments);
        let ops: &[Op] = match (assignments[0].items, assignments.len()) {
            (Some(_), _) => &[Op::SweepItems],
            (None, 1) => &[Op::Sweep],
            _ => &[Op::SweepFirst, Op::SweepSecond],
        };
        for ((state, array), op) in states.iter_mut().zip(arrays).zip(ops) {
            let outcome = said.as_ref().map(|_| ()).map_err(|_| error());
            let changed = state.change(*op, |x| {
                outcome?;
                *x = array;
                Ok(())
            });
            said = changed.map(|()| said.unwrap_or(true));
        }
        match fault {
            Says(Op::Sweep, answer) => said.map(|_| answer),
            Watches => said.map(|_| finite),
            _ => said,
        }
    }

    fn dot_items(&self, other: &Self) -> Result<Vec<f64>, Error> {
        self.told(Op::Dot, self.x.dot_items(&other.x))
    }

    fn clamp(&mut self, low: f64, high: f64) -> Result<(), Error> {
        self.change(Op::Clamp, |x| x.clamp(low, high))
    }

    fn exp_affine(&mut self, offset: f64, scale: f64) -> Result<(), Error> {
        self.change(Op::Exp, |x| x.exp_affine(offset, scale))
    }

    fn is_finite(&self) -> bool {
        match self.fault {
            Says(Op::IsFinite, answer) => answer,
            _ => State::is_finite(&self.x),
        }
    }
}

impl Elements for Faulty {
    fn shape(&self) -> Vec<usize> {
        let shape = self.x.shape().to_vec();
        match self.fault {
            Loses(Op::Shape) => vec![shape[0], shape[1] - 1],
            _ => shape,
        }
    }

    fn numbers(&self) -> Result<Vec<f64>, Error> {
        self.told(Op::Numbers, self.x.numbers())
    }

    fn of_numbers(&self, shape: &[usize], numbers: &[f64]) -> Result<Self, Error> {
        let mut new = self.made(Op::OfNumbers, self.x.of_numbers(shape, numbers))?;
        // What is made has the fault that what it is made by has not.
        if let Refuses(Op::Fits) = self.fault {
            new.fault = self.fault;
        }
        Ok(new)
    }

    fn multiply(&mut self, by: &Self) -> Result<(), Error> {
        self.change(Op::Multiply, |x| x.multiply(&by.x))
    }

    fn blend(&mut self, weights: &Self, by: &Self) -> Result<(), Error> {
        let op = match (weights.x.dim() == self.x.dim(), by.x.dim() == self.x.dim()) {
            (false, _) => Op::BlendWeights,
            (_, false) => Op::BlendBy,
            _ => Op::Blend,
        };
        self.change(op, |x| x.blend(&weights.x, &by.x))
    }

    fn above(&self, bound: f64, or_at: bool) -> Result<Self, Error> {
        let or_at = or_at || self.fault == AtBound;
        self.made(Op::Above, self.x.above(bound, or_at))
    }

    fn quantiles(&self, ratio: f64) -> Result<Vec<f64>, Error> {
        self.told(Op::Quantiles, self.x.quantiles(ratio))
    }

    fn divide_within(&mut self, sizes: &[f64]) -> Result<(), Error> {
        let unbounded = self.fault == Unbounded;
        self.change(Op::Divide, |x| {
            match unbounded && sizes.len() == x.nrows() {
                true => {
                    let inverse: Vec<_> = sizes.iter().map(|size| 1.0 / size).collect();
                    x.combine_items(&inverse, &[])
                }
                false => x.divide_within(sizes),
            }
        })
    }

    fn concatenated(parts: &[&Self]) -> Result<Self, Error> {
        let arrays: Vec<_> = parts.iter().map(|part| &part.x).collect();
        parts[0].made(Op::Concatenated, Elements::concatenated(&arrays))
    }

    fn items_at(&self, places: Range<usize>) -> Result<Self, Error> {
        self.made(Op::ItemsAt, self.x.items_at(places))
    }

    fn spread(&self, shape: &[usize]) -> Result<Self, Error> {
        self.made(Op::Spread, self.x.spread(shape))
    }
}
