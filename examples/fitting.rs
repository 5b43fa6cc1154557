//! scratch
#[path = "shared/ruler.rs"]
mod ruler;
use gaussian_diffusion::{fit::*, schedule::*, solver::*, *};
use ndarray::Array2;
use ruler::*;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut ruler = Ruler::new(256, 10)?;
    let schedule = Discrete::stable_diffusion()?;
    let mut net = ruler.network();
    let steps = 100;
    let g = Grid::uniform_log_snr(&schedule, steps)?;
    let fine = Plan::new(&schedule, &g, &ExponentialAdams::new(3, Coordinates::Data)?)?;
    let (e, _) = ruler.error(&fine, false)?;
    println!("lesson plan error {e:.5}");
    for n in [4, 5, 6, 8, 10] {
        let mut best = (f64::INFINITY, String::new());
        for solver in sampler::SolverName::all() {
            for grid in sampler::GridName::all() {
                let s = Sampler::new(solver, grid);
                if s.kind() != sampler::Kind::Planned || solver.needs_cfg_plus_plus() {
                    continue;
                }
                if let Some(p) = within(s, &schedule, n) {
                    if draws(&p) {
                        continue;
                    }
                    if let Ok((e, _)) = ruler.error(&p, false) {
                        if e < best.0 {
                            best = (e, s.to_string());
                        }
                    }
                }
            }
        }
        println!("{n}: best named {best:?}");
    }
    let exact = ruler.exact()[0].clone();
    for items in [32, 64, 128, 256] { for seed in [77, 78] {
      let starts: Array2<f64> = fine.prior((items, 2), &mut SeededNoise::new(seed))?;
      let lesson = Lesson::new(&fine, starts, &mut net)?;
      let ddim = StepErrors::along(&lesson, &Ddim::default())?;
      for n in [5] {
        for m in [2, 3] {
        for (name, grid) in [("even", ddim.even_grid(n)?), ("sum", ddim.grid(n)?)] {
            let fit = Fit::default().with_memory(m)?;
            let base = Plan::new(&schedule, &grid, &DpmSolver::plus_plus(2)?)?;
            let r = Refinement::default().with_evaluations(6000);
            let f = fit.plan(&base, &lesson, &mut net)?;
            let a = r.nodes(&fit, &schedule, &grid, &DpmSolver::plus_plus(2)?, &lesson, &mut net)?;
            let b = r.coefficients(&fit, &a.plan, &lesson, &mut net)?;
            let c = r.coefficients(&fit, &f.plan, &lesson, &mut net)?;
            let mut line = format!("{items} {seed} m{m} {name}");
            for p in [&f, &a, &b, &c] {
                let (e, end) = ruler.error(&p.plan, false)?;
                let mut off: Vec<f64> = end.rows().into_iter().zip(exact.rows()).map(|(a,b)| (a[0]-b[0]).hypot(a[1]-b[1])).collect();
                off.sort_by(f64::total_cmp);
                line += &format!(" | {e:.4} ({:.4}, {}) median {:.4} top {:.2} {:.2} {:.2}", p.after, p.evaluations, off[128], off[255], off[254], off[253]);
            }
            println!("{line}");
        }}
      }
    }}
    Ok(())
}
