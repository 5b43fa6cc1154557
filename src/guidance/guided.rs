//! A rule and its predictions as a denoiser.

use super::{Predictions, Predictors, Rule};
use crate::{
    Denoiser, Error, Parameterization, Point, Prediction, denoiser::memory_of, state::State,
};

/// Several predictions made one by a rule: a denoiser.
///
/// The rule works in the terms of the first prediction, or those of [`with_parameterization`](Self::with_parameterization).
/// A variance is that of the first prediction that was asked for.
///
/// ```
/// use gaussian_diffusion::{Grid, SeededNoise, Parameterization, Plan, Point, Step, predicts};
/// use gaussian_diffusion::{guidance::{Combination, Guided}, schedule::Discrete, solver::Ddim};
/// use ndarray::Array2;
/// let with_text = predicts::noise(|x: &Array2<f32>, _: Point<Step>| x * 0.9);
/// let without = predicts::noise(|x: &Array2<f32>, _: Point<Step>| x * 0.8);
/// let rule = Combination::classifier_free(7.5)?;
/// let mut net = Guided::new((with_text, without), rule).with_parameterization(Parameterization::X0);
/// let schedule = Discrete::cosine(1000)?;
/// let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 8)?, &Ddim::default())?;
/// let mut noise = SeededNoise::new(1);
/// let x0 = plan.sample(plan.prior((2, 3), &mut noise)?, &mut net, &mut noise)?;
/// # assert_eq!(x0.dim(), (2, 3));
/// # Ok::<(), gaussian_diffusion::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Guided<P, R> {
    predictors: P,
    rule: R,
    terms: Option<Parameterization>,
}

impl<P, R> Guided<P, R> {
    /// These predictions, the conditional one first, under this rule.
    ///
    /// That there are as many as the rule is made for is checked where they are asked.
    pub fn new(predictors: P, rule: R) -> Self {
        Self {
            predictors,
            rule,
            terms: None,
        }
    }

    /// The rule works in these terms.
    #[must_use]
    pub fn with_parameterization(self, terms: Parameterization) -> Self {
        Self {
            terms: Some(terms),
            ..self
        }
    }
}

/// What was predictions, all in the same terms, and the first answer that was given, without its value.
pub(super) struct Answers<V> {
    pub(super) predictions: Predictions<V>,
    pub(super) terms: Parameterization,
    pub(super) variance: Option<V>,
    pub(super) shift: Option<V>,
}

pub(super) fn ask<V, T, P>(
    predictors: &mut P,
    x: &V,
    at: Point<T>,
    needed: &[bool],
    terms: Option<Parameterization>,
) -> Result<Answers<V>, Error>
where
    V: State,
    T: Copy,
    P: Predictors<V, T>,
{
    if predictors.count() != needed.len() {
        let found = predictors.count() as f64;
        let allowed = format!("{} for this rule", needed.len());
        return Err(Error::range("number of predictions", found, allowed));
    }
    let answers = predictors.predict(x, at, needed)?;
    let first = answers.iter().flatten().next();
    let terms = terms.or(first.map(|first| first.parameterization));
    let terms = terms.unwrap_or(Parameterization::X0);
    let (mut variance, mut shift) = (None, None);
    let mut predictions = Vec::with_capacity(answers.len());
    for answer in answers {
        let Some(answer) = answer else {
            predictions.push(None);
            continue;
        };
        let answer = answer.to(terms, x, at.level)?;
        variance = variance.or(answer.variance);
        shift = shift.or(answer.shift);
        predictions.push(Some(answer.value));
    }
    let predictions = Predictions::new(predictions);
    Ok(Answers {
        predictions,
        terms,
        variance,
        shift,
    })
}

impl<V, T, P, R> Denoiser<V, T> for Guided<P, R>
where
    V: State,
    T: Copy,
    P: Predictors<V, T>,
    R: Rule<V>,
{
    fn predict(&mut self, x: &V, at: Point<T>) -> Result<Prediction<V>, Error> {
        if at.evaluation == 0 {
            // The first question of a run may reach neither the rule nor every network.
            Denoiser::<V, T>::begin(self);
        }
        let place = at.with_time(());
        let needed = (0..self.rule.count())
            .map(|i| self.rule.needs(i, place))
            .collect::<Result<Vec<_>, _>>()?;
        let answers = ask(&mut self.predictors, x, at, &needed, self.terms)?;
        let value = self.rule.combine(answers.predictions, place)?;
        let mut guided = Prediction::new(value, answers.terms);
        guided.variance = answers.variance;
        guided.shift = answers.shift;
        Ok(guided)
    }

    memory_of!(predictors, rule);
}
