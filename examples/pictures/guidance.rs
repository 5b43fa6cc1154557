//! Guidance: one class of two, at three scales.

use gaussian_diffusion::{
    GaussianMixture, Grid, Plan, SeededNoise,
    guidance::{Combination, Guided},
    schedule::Discrete,
    solver::Ddim,
};

use super::{
    SIDE,
    chart::Outcome,
    panels::{Row, rows},
    plane::{colour, density_panel, points_panel},
};

const POINTS: usize = 3000;

pub fn picture() -> Outcome<String> {
    let class = [
        (0.5, [-0.9, 0.5], [0.35, 0.1]),
        (0.5, [0.9, 0.5], [0.35, 0.1]),
    ];
    let other = [(1.0, [0.0, -0.6], [0.6, 0.25])];
    let all = [class.as_slice(), other.as_slice()].concat();
    let class = GaussianMixture::diagonal(&class)?;
    let all = GaussianMixture::diagonal(&all)?;
    let schedule = Discrete::cosine(1000)?;
    let plan = Plan::new(&schedule, &Grid::trailing(&schedule, 40)?, &Ddim::default())?;
    let clean = plan.levels()[plan.steps()];
    let mut panels = vec![
        density_panel(&all, clean, SIDE)?,
        density_panel(&class, clean, SIDE)?,
    ];
    let mut above = vec!["all data".to_owned(), "the class".to_owned()];
    for scale in [1.0, 3.0, 7.0] {
        let rule = Combination::classifier_free(scale)?;
        let mut network = Guided::new((class.clone(), all.clone()), rule);
        let mut noise = SeededNoise::new(1);
        let start = plan.prior((POINTS, 2), &mut noise)?;
        let end = plan.sample(start, &mut network, &mut noise)?;
        panels.push(points_panel(&end, SIDE));
        above.push(format!("scale {scale}"));
    }
    rows(
        "Guidance: away from the others, and less varied",
        colour,
        &[Row {
            above,
            panels,
            ..Row::default()
        }],
    )
}
