//! All measures of drawn digits, beside the held-out ones.

use ndarray::Array2;

use crate::{
    data::Digits,
    measure::{Fit, Neighbours, diversity, told_apart},
};

/// Real digits, to which drawn ones are compared.
#[derive(Debug)]
pub struct Judge<'a> {
    pub held_out: &'a Digits,
    truth: Fit,
    known: Neighbours<'a>,
}

/// How good some digits are.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// Distance to the held-out digits, of Gaussians fitted to the pixels.
    pub frechet: f64,
    /// Percent whose nearest other, among these and the held-out digits, is of their own kind.
    pub apart: f64,
    /// Percent that have the class asked for.
    pub class: f64,
    /// Mean distance of two digits asked of the same class.
    pub diversity: f64,
    /// Mean distance to the nearest digit trained on.
    pub nearest: f64,
}

impl<'a> Judge<'a> {
    pub fn new(trained_on: &'a Digits, held_out: &'a Digits) -> Self {
        Self {
            held_out,
            truth: Fit::of(&held_out.pixels),
            known: Neighbours(trained_on),
        }
    }

    /// The first two depend on how many digits there are.
    pub fn quality(&self, pixels: &Array2<f32>, asked: &[usize]) -> Quality {
        Quality {
            frechet: Fit::of(pixels).frechet(&self.truth),
            apart: 100.0 * told_apart(pixels, &self.held_out.pixels),
            class: 100.0 * self.known.accuracy(pixels, asked),
            diversity: diversity(pixels, asked),
            nearest: self.known.mean_distance(pixels),
        }
    }
}
