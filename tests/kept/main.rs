//! Runs that are left, stored and taken up again, and what remembers in them.

mod memory;
mod previews;
mod saved;
mod stopped;

use gaussian_diffusion::{
    Denoiser, Error, Point, Prediction, Sampler, Step, denoiser::SelfConditioned, state::Real,
};
use ndarray::Array2;

pub(crate) type Batch = Array2<f64>;

/// A network that is shown its last prediction, and says something else without one.
#[allow(clippy::type_complexity)]
pub(crate) fn conditioned<A: Real>(
    bias: f64,
) -> SelfConditioned<
    Array2<A>,
    impl FnMut(&Array2<A>, Option<&Array2<A>>, Point<Step>) -> Result<Prediction<Array2<A>>, Error>
    + Clone,
> {
    SelfConditioned::new(
        move |x: &Array2<A>, last: Option<&Array2<A>>, at: Point<Step>| {
            let here = 0.1 * at.level.sigma();
            let mut data = x.mapv(|x| A::of(0.3 * (x.get() + here).tanh() + bias));
            if let Some(last) = last {
                data.zip_mut_with(last, |x, last| *x = A::of(x.get() + 0.5 * last.get()));
            }
            Ok(Prediction::x0(data))
        },
    )
}

/// A network that displaces the data, as guidance by CFG++ does, where the sampler is of that family.
#[derive(Clone)]
pub(crate) struct Displacing<N> {
    network: N,
    displaces: bool,
}

pub(crate) fn fit_for<N>(sampler: &Sampler, network: N) -> Displacing<N> {
    let displaces = sampler.solver().needs_cfg_plus_plus();
    Displacing { network, displaces }
}

impl<A: Real, T, N: Denoiser<Array2<A>, T>> Denoiser<Array2<A>, T> for Displacing<N> {
    fn predict(&mut self, x: &Array2<A>, at: Point<T>) -> Result<Prediction<Array2<A>>, Error> {
        let answer = self.network.predict(x, at)?;
        Ok(match self.displaces {
            true => answer.with_shift(x.mapv(|x| A::of(0.01 * x.get()))),
            false => answer,
        })
    }

    fn begin(&mut self) {
        self.network.begin();
    }

    fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<Array2<A>>)) {
        self.network.visit_memory(visit);
    }
}

/// Numbers that are no round ones.
pub(crate) fn start<A: Real>(items: usize) -> Array2<A> {
    Array2::from_shape_fn((items, 3), |(i, j)| {
        A::of((1.0 + i as f64 + 0.7 * j as f64).sin())
    })
}

pub(crate) fn bits<A: Real>(x: &Array2<A>) -> Vec<u64> {
    x.iter().map(|x| x.get().to_bits()).collect()
}
