//! One call of the network for all that is asked.

use digits::{data::PIXELS, network::Class};
use gaussian_diffusion::{Error, Prediction, Step};
use ndarray::{Array2, Axis, Slice};

use crate::{Pictures, job::Question};

/// A network: what it says of pictures, each with its time and its digit.
///
/// What it says of one must not depend on the others: then a job's picture does not depend on the other jobs.
pub trait Network:
    FnMut(&Pictures, &[Step], &[Class]) -> Result<Prediction<Pictures>, Error> + Send + 'static
{
}

impl<F> Network for F where
    F: FnMut(&Pictures, &[Step], &[Class]) -> Result<Prediction<Pictures>, Error> + Send + 'static
{
}

/// Pictures that the network is asked about.
#[derive(Debug, Default)]
pub struct Batch {
    pixels: Vec<f32>,
    times: Vec<Step>,
    digits: Vec<Class>,
}

impl Batch {
    /// How many.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub fn push(&mut self, question: Question<'_>) {
        self.pixels.extend(question.x);
        self.times.push(question.time);
        self.digits.push(question.digit);
    }

    /// Asks, and gives the answers one by one.
    pub fn ask(self, network: &mut impl Network) -> Result<Vec<Prediction<Pictures>>, Error> {
        let count = self.len();
        let x = Array2::from_shape_vec((count, PIXELS), self.pixels).map_err(Error::network)?;
        let answer = network(&x, &self.times, &self.digits)?;
        for found in [Some(&answer.value), answer.variance.as_ref()] {
            if let Some(found) = found.filter(|found| found.dim() != x.dim()) {
                return Err(Error::Shape {
                    what: "the answer of the network",
                    expected: x.shape().to_vec(),
                    found: found.shape().to_vec(),
                });
            }
        }
        let row = |all: &Pictures, i: usize| all.slice_axis(Axis(0), Slice::from(i..=i)).to_owned();
        let one = |i| {
            let one = Prediction::new(row(&answer.value, i), answer.parameterization);
            match &answer.variance {
                Some(variance) => one.with_variance(row(variance, i)),
                None => one,
            }
        };
        Ok((0..count).map(one).collect())
    }
}
