//! Where grids put their steps.

use gaussian_diffusion::{Error, Grid, Step, grid::AlignYourSteps, schedule::Discrete};

use super::chart::{Axis, Chart, Curve, Outcome, Scale, Stroke};

const STEPS: usize = 12;

type Rule = fn(&Discrete) -> Result<Grid<Step>, Error>;

/// From top to bottom.
const GRIDS: [(&str, Rule); 8] = [
    ("leading", |s| Grid::leading(s, STEPS, 1)),
    ("trailing", |s| Grid::trailing(s, STEPS)),
    ("even in time", |s| Grid::uniform_time(s, STEPS)),
    ("quadratic", |s| Grid::quadratic_time(s, STEPS)),
    ("beta", |s| Grid::beta_steps(s, STEPS, 0.6, 0.6)),
    ("even in log-SNR", |s| Grid::uniform_log_snr(s, STEPS)),
    ("Karras", |s| Grid::karras(s, STEPS)),
    ("align your steps", |s| {
        Grid::align_your_steps(s, STEPS, AlignYourSteps::StableDiffusion15)
    }),
];

pub fn picture() -> Outcome<String> {
    let schedule = Discrete::stable_diffusion()?;
    let mut curves = Vec::new();
    for (i, (_, rule)) in GRIDS.iter().enumerate() {
        let row = (GRIDS.len() - 1 - i) as f64;
        let nodes = rule(&schedule)?;
        let places = nodes.nodes().iter();
        let places = places
            .map(|node| (node.level.log_snr().get(), row))
            .collect();
        curves.push(Curve::new("", i % 2, Stroke::Dots, places));
    }
    let names = GRIDS
        .iter()
        .rev()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let chart = Chart {
        title: format!("Where {STEPS} steps ask the network (Stable Diffusion)"),
        x: Axis::linear(
            "log-SNR: noise on the left, data on the right",
            -6.0,
            8.0,
            8,
        ),
        y: Axis {
            label: "",
            from: -0.5,
            to: GRIDS.len() as f64 - 0.5,
            scale: Scale::Names(names),
            marks: GRIDS.len() + 1,
        },
        curves,
        left: 130,
    };
    chart.svg(360)
}
