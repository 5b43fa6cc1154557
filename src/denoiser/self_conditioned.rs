//! Networks that are shown their last prediction.

use super::{Denoiser, Point, Prediction};
use crate::{Error, Parameterization, state::State};

/// A network `(x, last, at)` that is also shown its last prediction of the data: `None` at its first
/// question of a run, which the paper feeds as zeros, and where the batch has another shape than before.
///
/// What it is shown is the x0 that it predicted itself, before adapters around it correct or guide it.
///
/// [Source](crate::docs::papers#arxiv-2208.04202): Analog Bits: Generating Discrete Data using Diffusion Models with
/// Self-Conditioning, Chen, Zhang, Hinton, 2023.
///
/// ```
/// use gaussian_diffusion::{Grid, SeededNoise, Plan, Point, Prediction, Step};
/// use gaussian_diffusion::{denoiser::SelfConditioned, schedule::Discrete, solver::Ddim};
/// use ndarray::Array2;
/// let mut net = SelfConditioned::new(|x: &Array2<f32>, last: Option<&Array2<f32>>, _: Point<Step>| {
///     let last = last.cloned().unwrap_or_else(|| Array2::zeros(x.dim()));
///     Ok(Prediction::x0(0.5 * last + 0.5))
/// });
/// let schedule = Discrete::cosine(1000)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 3)?, &Ddim::default())?;
/// let mut noise = SeededNoise::new(0);
/// for _ in 0..2 {
///     let x = plan.sample(plan.prior((1, 1), &mut noise)?, &mut net, &mut noise)?;
///     assert_eq!(x[[0, 0]], 0.875);
/// }
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("self_condition", "self-conditioning"))]
#[derive(Debug, Clone)]
pub struct SelfConditioned<V, F> {
    network: F,
    last: Option<V>,
}

impl<V, F> SelfConditioned<V, F> {
    /// This network.
    pub fn new<T>(network: F) -> Self
    where
        F: FnMut(&V, Option<&V>, Point<T>) -> Result<Prediction<V>, Error>,
    {
        let last = None;
        Self { network, last }
    }
}

impl<V, T, F> Denoiser<V, T> for SelfConditioned<V, F>
where
    V: State,
    F: FnMut(&V, Option<&V>, Point<T>) -> Result<Prediction<V>, Error>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        if at.evaluation == 0 || self.last.as_ref().is_some_and(|last| x.fits(last).is_err()) {
            self.last = None;
        }
        let level = at.level;
        let answer = (self.network)(x, self.last.as_ref(), at)?;
        // A prediction that does not determine the data here leaves nothing to show.
        let map = answer.parameterization.to(Parameterization::X0, level).ok();
        self.last = match map {
            None => None,
            Some(map) => {
                let mut x0 = answer.value.clone().widened_for(x);
                x0.combine(map.prediction, &[(map.state, x)])?;
                Some(x0)
            }
        };
        Ok(answer)
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
        visit(&mut self.last);
    }
}
