//! A mixture in the plane on its way to noise and back.

use gaussian_diffusion::{
    ForwardProcess, Grid, Plan, SeededNoise,
    rand::{SeedableRng, rngs::StdRng},
    schedule::Discrete,
    solver::{Ddim, Ddpm},
};
use ndarray::Array2;

use super::{
    SIDE,
    chart::Outcome,
    panels::{Row, rows},
    plane::{colour, density_panel, petals, points_panel, states},
};

const POINTS: usize = 3000;
const STEPS: usize = 60;
/// Which levels of a run are shown, counted in steps from its start.
const SHOWN: [usize; 6] = [60, 56, 51, 44, 32, 0];

pub fn picture() -> Outcome<String> {
    let mut mixture = petals(7)?;
    let schedule = Discrete::cosine(1000)?;
    let grid = Grid::trailing(&schedule, STEPS)?;
    let mut noise = SeededNoise::new(1);
    let data = mixture.sample(POINTS, &mut StdRng::seed_from_u64(2));
    let ddpm = Plan::new(&schedule, &grid, &Ddpm::default())?;
    let ddim = Plan::new(&schedule, &grid, &Ddim::default())?;
    let start: Array2<f64> = ddpm.prior((POINTS, 2), &mut noise)?;
    let drawn = states(&ddpm, &mut mixture, start.clone(), &mut noise)?;
    let flowed = states(&ddim, &mut mixture, start, &mut noise)?;

    let mut panels = [const { Vec::new() }; 4];
    let mut above = Vec::new();
    for index in SHOWN {
        let level = ddpm.levels()[index];
        let forward = match grid.nodes().get(index) {
            Some(node) => schedule.draw_jump(&data, node.time, &mut noise)?.0,
            None => data.clone(),
        };
        above.push(format!("sigma {:.2}", level.sigma()));
        panels[0].push(density_panel(&mixture, level, SIDE)?);
        for (row, x) in panels[1..]
            .iter_mut()
            .zip([&forward, &drawn[index], &flowed[index]])
        {
            row.push(points_panel(x, SIDE));
        }
    }
    let names = ["density", "forward", "DDPM", "DDIM"];
    let row = |(name, panels): (&str, Vec<_>)| Row {
        name: name.to_owned(),
        above: std::mem::take(&mut above),
        panels,
        ..Row::default()
    };
    rows(
        "Data to noise (forward), and back again (DDPM, DDIM)",
        colour,
        &names.into_iter().zip(panels).map(row).collect::<Vec<_>>(),
    )
}
