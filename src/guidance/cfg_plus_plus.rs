//! CFG++.

use super::{Predictors, Rule, guided::ask};
use crate::{
    Denoiser, Error, Parameterization, Point, Prediction, denoiser::memory_of, state::State,
};

/// CFG++: the guided data with the noise of the unconditional prediction,
/// `x_s = alpha_s x0_guided + sigma_s eps_u`.
///
/// $$x_s=\alpha_s\thinspace\hat x_0^{\thinspace\text{guided}}+\sigma_s\thinspace\hat\varepsilon_u$$
///
/// That is the unconditional DDIM step moved by `alpha_s (x0_guided - x0_u)`, and so it is defined
/// for every solver: the solver integrates the unconditional flow, and after each of its steps the
/// data in the state is displaced ([`Prediction::shift`]). The unconditional prediction is the last
/// one; the rule is of data, mostly [`Combination::classifier_free`](super::Combination::classifier_free)
/// with a scale of 0 to 1.
///
/// Programs have other ways to take the displacement with solvers of more than one prediction:
/// [`CfgPlusPlusStep`](crate::solver::CfgPlusPlusStep) has them, and the samplers named "dpmpp_2m_cfg_pp" and so
/// on, which take this guidance and no other.
///
/// [Source](crate::docs::papers#arxiv-2406.08070): CFG++: Manifold-constrained Classifier Free Guidance for Diffusion Models,
/// Chung, Kim, Park, Nam, Ye, 2024.
///
/// ```
/// use gaussian_diffusion::{Denoiser, NoiseLevel, Point, Step, predicts};
/// use gaussian_diffusion::guidance::{Combination, CfgPlusPlus};
/// use ndarray::{Array1, array};
/// let with_text = predicts::x0(|x: &Array1<f64>, _: Point<Step>| x * 2.0);
/// let without = predicts::x0(|x: &Array1<f64>, _: Point<Step>| x * 1.0);
/// let mut net = CfgPlusPlus::new((with_text, without), Combination::classifier_free(0.5)?);
/// let at = Point::new(Step::new(3), NoiseLevel::new(0.6, 0.8)?, NoiseLevel::CLEAN);
/// let answer = net.predict(&array![1.0], at)?;
/// assert_eq!((answer.value, answer.shift), (array![1.0], Some(array![0.5])));
///
/// // ComfyUI's way for the two-step solver, by its name.
/// use gaussian_diffusion::{Sampler, SeededNoise, schedule::Discrete};
/// let plan = Sampler::from_name("dpmpp_2m_cfg_pp karras")?.plan(&Discrete::stable_diffusion()?, 20)?;
/// let mut noise = SeededNoise::new(1);
/// let start = plan.prior((4,), &mut noise)?;
/// let x0 = plan.sample(start, &mut net, &mut noise)?;
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[doc(alias("CFG++", "cfg_pp"))]
#[derive(Debug, Clone)]
pub struct CfgPlusPlus<P, R> {
    predictors: P,
    rule: R,
}

impl<P, R> CfgPlusPlus<P, R> {
    /// These predictions, the unconditional one last, under this rule.
    pub fn new(predictors: P, rule: R) -> Self {
        Self { predictors, rule }
    }
}

impl<V, T, P, R> Denoiser<V, T> for CfgPlusPlus<P, R>
where
    V: State,
    T: Copy,
    P: Predictors<V, T>,
    R: Rule<V>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        if at.evaluation == 0 {
            Denoiser::<V, T>::begin(self);
        }
        let place = at.with_time(());
        let last = self.rule.count().saturating_sub(1);
        let needed = (0..=last)
            .map(|i| Ok(i == last || self.rule.needs(i, place)?))
            .collect::<Result<Vec<_>, Error>>()?;
        let terms = Some(Parameterization::X0);
        let answers = ask(&mut self.predictors, x, at, &needed, terms)?;
        let free = answers.predictions.get(last)?.clone();
        let data = self.rule.combine(answers.predictions, place)?;
        let mut shift = data.clone();
        shift.combine(1.0, &[(-1.0, &free)])?;
        let mut answer = Prediction::x0(free).with_shift(shift).with_data(data);
        answer.variance = answers.variance;
        Ok(answer)
    }

    memory_of!(predictors, rule);
}
