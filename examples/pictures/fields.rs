//! One draw of a Gaussian field, and what each method makes of the same randomness in few evaluations.

use nalgebra::{DVector, SymmetricEigen};
use ndarray::Array2;

use gaussian_diffusion::{
    SeededNoise, Variance,
    noise::{NoiseSource, Scale},
    plan::{Affine, Moments},
};

use super::{
    SIDE,
    chart::Outcome,
    losses::{Autoregression, Diffusion, covariance, random_orders},
    panels::{Row, rows},
    plane::{Panel, colour},
};

const PIXELS: usize = 20;
const LENGTH: f64 = 10.0;
const EVALUATIONS: usize = 8;
const END: f64 = 5.5;
/// What is shown brightest and darkest.
const REACH: f64 = 2.5;

/// Draws groups of so many pixels, each from the exact distribution given those before it, with the
/// randomness of `data`: one pixel at a time gives `data` back.
fn drawn_in_groups(
    autoregression: &Autoregression,
    data: &DVector<f64>,
    size: usize,
) -> Option<DVector<f64>> {
    let factor = autoregression.factor();
    let noise = factor.solve_lower_triangular(data)?;
    let mut inner = noise.clone();
    for first in (0..noise.len()).step_by(size) {
        let count = size.min(noise.len() - first);
        let block = factor.view((first, first), (count, count)).clone_owned();
        let mut alone = noise.rows(first, count).clone_owned();
        for (value, row) in alone.iter_mut().zip(block.row_iter()) {
            *value *= row.norm();
        }
        inner
            .rows_mut(first, count)
            .copy_from(&block.solve_lower_triangular(&alone)?);
    }
    Some(factor * inner)
}

fn panel(values: &DVector<f64>) -> Panel {
    let scale = SIDE / PIXELS;
    Panel::from_shape_fn((SIDE, SIDE), |(y, x)| {
        let value = values[y / scale * PIXELS + x / scale];
        0.5 + 0.5 * value / REACH
    })
}

pub fn picture() -> Outcome<String> {
    let count = PIXELS * PIXELS;
    let covariance = covariance(PIXELS, LENGTH);
    let SymmetricEigen {
        eigenvectors,
        eigenvalues,
    } = SymmetricEigen::new(covariance.clone());
    let mut white = Array2::<f64>::zeros((1, count));
    SeededNoise::new(5).add(&mut white, Scale::Same(1.0), None)?;
    let along = eigenvectors.tr_mul(&DVector::from_iterator(count, white.iter().copied()));
    // The draw whose variances along the eigenvectors are these.
    let draw = |variances: &DVector<f64>| {
        &eigenvectors * along.zip_map(variances, |noise, variance| noise * variance.sqrt())
    };
    let data = draw(&eigenvalues);

    let in_groups = |order: &[usize], size: usize| {
        let autoregression = Autoregression::new(&covariance, order)?;
        let ordered = DVector::from_iterator(count, order.iter().map(|&pixel| data[pixel]));
        let drawn = drawn_in_groups(&autoregression, &ordered, size)?;
        let mut values = DVector::zeros(count);
        order
            .iter()
            .zip(drawn.iter())
            .for_each(|(&pixel, value)| values[pixel] = *value);
        Some(values)
    };
    let raster: Vec<_> = (0..count).collect();
    let random = random_orders(1, count)?.remove(0);
    let size = count.div_ceil(EVALUATIONS);
    let groups = [
        ("all at once", in_groups(&raster, count)),
        ("raster order", in_groups(&raster, size)),
        ("random order", in_groups(&random, size)),
    ];
    let mut upper = vec![("data", panel(&data))];
    for (name, drawn) in groups {
        upper.push((name, panel(&drawn.ok_or("no covariance")?)));
    }
    let mut lower = vec![("the mean", panel(&DVector::zeros(count)))];
    for sampler in Diffusion::ALL {
        let plan = sampler.plan(EVALUATIONS, END)?;
        let start = Moments {
            mean: 0.0,
            variance: plan.prior_std().powi(2),
        };
        let mut variances = DVector::zeros(count);
        for (end, eigenvalue) in variances.iter_mut().zip(eigenvalues.iter()) {
            let data = Variance::new(*eigenvalue)?;
            *end = plan
                .carry(start, |level| Affine::of_gaussian(0.0, data, level))?
                .variance;
        }
        lower.push((sampler.name(), panel(&draw(&variances))));
    }
    let row = |cells: Vec<(&str, Panel)>| {
        let (above, panels) = cells
            .into_iter()
            .map(|(name, panel)| (name.to_owned(), panel))
            .unzip();
        Row {
            above,
            panels,
            ..Row::default()
        }
    };
    rows(
        &format!("A field of {PIXELS}x{PIXELS} pixels, drawn in {EVALUATIONS} evaluations"),
        colour,
        &[row(upper), row(lower)],
    )
}

#[test]
fn groups_of_one_give_the_data_back_and_all_at_once_its_marginals() {
    let covariance = covariance(3, 2.0);
    let autoregression = Autoregression::new(&covariance, &(0..9).collect::<Vec<_>>()).unwrap();
    let factor = autoregression.factor();
    let mut variances = DVector::zeros(9);
    for i in 0..9 {
        let data = factor.column(i).clone_owned();
        let same = drawn_in_groups(&autoregression, &data, 1).unwrap();
        assert!((same - &data).amax() < 1e-14);
        // Independent pixels: each is moved by its own noise alone.
        let alone = drawn_in_groups(&autoregression, &data, 9).unwrap();
        variances += alone.component_mul(&alone);
        assert!((alone[i].abs() - alone.norm()).abs() < 1e-14);
    }
    assert!((variances - DVector::from_element(9, 1.0)).amax() < 1e-14);
}
