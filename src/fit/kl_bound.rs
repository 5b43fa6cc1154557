//! What steps cost by a bound on the divergence of what they draw.

use std::fmt::Debug;

use super::{StepErrors, lesson::data as as_data, regression::product};
use crate::{
    Denoiser, Error, Grid, Markov, NoiseLevel, Point,
    grid::Node,
    noise::{NoiseSource, Scale},
    state::{Keeping, Kept, State},
};

impl<T: Copy + Debug> StepErrors<T> {
    /// The parts of a bound on the divergence between the data and what first-order steps of the reverse
    /// equation draw, between the levels of a grid:
    ///
    /// ```text
    /// 1/2 * integral over the step of  E |D(x_u) - D(x_t)|^2  d SNR_u
    /// ```
    ///
    /// $$\tfrac12\int_t^s\mathbb E\thinspace|D(x_u)-D(x_t)|^2\thinspace\mathrm d\thinspace\mathrm{SNR}_u$$
    ///
    /// where `x_u` and `x_t` lie on one path of noise from the data. The network is asked once at every level
    /// of the grid, about all of the data; the ends of a lesson will do for data. As in the published tables
    /// the last level stands for the end: no step starts from it.
    ///
    /// # Errors
    ///
    /// If the grid goes up or has no signal or no noise at a node, or the network or the noise fails.
    pub fn kl_bound<V, D, N>(
        grid: &Grid<T>,
        data: &V,
        network: &mut D,
        noise: &mut N,
    ) -> Result<Self, Error>
    where
        V: State,
        D: Denoiser<V, T> + ?Sized,
        N: NoiseSource<Kept<V>> + ?Sized,
    {
        let nodes = grid.nodes().to_vec();
        let path = noised(&nodes, V::Keeping::keep(data.clone(), None).0, noise)?;
        network.begin();
        let mut answers = Vec::with_capacity(nodes.len());
        for (step, (node, x)) in nodes.iter().zip(&path).enumerate() {
            let to = nodes.get(step + 1).map_or(grid.end(), |next| next.level);
            let mut at = Point::new(node.time, node.level, to);
            (at.step, at.evaluation) = (step, step);
            let answer = match V::Keeping::as_shown(x) {
                Some(x) => network.predict(x, at)?,
                None => network.predict(&V::Keeping::round(x, None), at)?,
            };
            answers.push(as_data(answer, x, node.level)?);
        }
        let snr = |node: &Node<T>| node.level.log_snr().get().exp();
        let weights = vec![1.0 / data.items().max(1) as f64; data.items()];
        let mut costs = Vec::with_capacity(nodes.len());
        for (i, here) in answers.iter().enumerate() {
            let (mut sum, mut before, mut row) = (0.0, 0.0, Vec::new());
            for (j, there) in answers.iter().enumerate().skip(i + 1) {
                let mut off = there.clone();
                off.combine(1.0, &[(-1.0, here)])?;
                let square = product(&off, &off, &weights)?;
                sum += 0.25 * (before + square) * (snr(&nodes[j]) - snr(&nodes[j - 1]));
                before = square;
                row.push(sum);
            }
            costs.push(row);
        }
        Ok(Self {
            nodes: nodes
                .split_last()
                .map_or(Vec::new(), |(_, nodes)| nodes.to_vec()),
            end: grid.end(),
            costs,
        })
    }
}

/// One path of noise from the data through these levels.
fn noised<K, T, N>(nodes: &[Node<T>], data: K, noise: &mut N) -> Result<Vec<K>, Error>
where
    K: State,
    N: NoiseSource<K> + ?Sized,
{
    let (mut x, mut level) = (data, NoiseLevel::CLEAN);
    let mut path = Vec::with_capacity(nodes.len());
    for node in nodes.iter().rev() {
        if node.level.is_noise() || node.level.is_clean() {
            return Err(Error::Singular {
                what: "the bound of a step",
                alpha: node.level.alpha(),
                sigma: node.level.sigma(),
            });
        }
        let std = Markov.forward_std(node.level, level)?;
        x.combine(node.level.alpha() / level.alpha(), &[])?;
        noise.add(&mut x, Scale::Same(std), None)?;
        level = node.level;
        path.push(x.clone());
    }
    path.reverse();
    Ok(path)
}
