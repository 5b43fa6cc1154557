//! What is computed before any array is there.

use std::hint::black_box;

use gaussian_diffusion::{Grid, Plan, schedule::Discrete, solver::DpmSolver};

use crate::{Fallible, Row, timed};

/// A table of 1000 steps and 50 Karras nodes.
pub fn grid() -> Fallible<Row> {
    Ok(timed(|| {
        let schedule = Discrete::stable_diffusion()?;
        black_box(Grid::karras(&schedule, black_box(50))?);
        Ok(())
    }))
}

/// With the coefficients of every step, which diffusers computes in its steps.
pub fn plan() -> Fallible<Row> {
    Ok(timed(|| {
        let schedule = Discrete::stable_diffusion()?;
        let grid = Grid::karras(&schedule, black_box(50))?;
        black_box(Plan::new(&schedule, &grid, &DpmSolver::plus_plus(2)?)?);
        Ok(())
    }))
}
