//! Names of samplers, solvers, grids and respacings, and the plans they stand for.

#![no_main]

use std::fmt::Display;

use arbitrary::{Arbitrary, Result, Unstructured};
use gaussian_diffusion::{
    Error, Sampler,
    sampler::{GridName, SolverName},
    schedule::{Discrete, Edm, RectifiedFlow, Respacing},
};
use gaussian_diffusion_fuzz::Count;
use libfuzzer_sys::fuzz_target;

/// Any text, or known names with other signs between them and other letters in them.
fn name(u: &mut Unstructured<'_>) -> Result<String> {
    if u.ratio(1, 4)? {
        return Ok(<&str>::arbitrary(u)?.to_owned());
    }
    let solvers: Vec<_> = SolverName::all().collect();
    let grids: Vec<_> = GridName::all().collect();
    let solver = *u.choose(&solvers)?;
    let spelling = *u.choose(solver.aliases()).unwrap_or(&solver.name());
    let grid = *u.choose(&grids)?;
    let between = *u.choose(&["", " ", "_", "-", "  ", " ++", "\u{130}"])?;
    let mut name = match u.int_in_range(0..=3)? {
        0 => spelling.to_owned(),
        1 => grid.name().to_owned(),
        2 => format!("{spelling}{between}automatic"),
        _ => format!("{spelling}{between}{}", grid.name()),
    };
    for _ in 0..u.int_in_range(0..=3)? {
        let place = u.choose_index(name.len().max(1))?;
        if name.is_char_boundary(place) {
            match u.int_in_range(0..=2)? {
                0 => name.insert(place, char::arbitrary(u)?),
                1 => name.truncate(place),
                _ => name = name.to_uppercase(),
            }
        }
    }
    Ok(name)
}

fn refused<T>(made: core::result::Result<T, Error>, name: &str) -> Option<T> {
    made.inspect_err(|error| assert!(error.to_string().len() < 400 + 8 * name.len()))
        .ok()
}

fn back<T: Display + std::str::FromStr + PartialEq>(read: &T) {
    assert!(
        read.to_string().parse().ok().as_ref() == Some(read),
        "{read}"
    );
}

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    let (kind, Count(n)) = (u.int_in_range(0..=8)?, Count::arbitrary(u)?);
    let n = if n > 100 { n } else { n % 24 };
    let name = name(u)?;
    let sampler = match kind {
        0 => {
            let _ = Respacing::parse(&name, n);
            return Ok(());
        }
        1 => refused(name.parse::<SolverName>(), &name)
            .inspect(back)
            .map(|solver| Sampler::new(solver, solver.automatic_grid())),
        2 => refused(name.parse::<GridName>(), &name)
            .inspect(back)
            .map(|grid| Sampler::new(SolverName::Euler, grid)),
        _ => refused(name.parse::<Sampler>(), &name).inspect(back),
    };
    let Some(sampler) = sampler else {
        return Ok(());
    };
    let _ = match u.int_in_range(0..=3)? {
        0 => refused(sampler.plan(&RectifiedFlow, n), "").map(|plan| plan.to_string()),
        1 => refused(sampler.plan(&Edm::default(), n), "").map(|plan| plan.to_string()),
        _ => {
            let schedule = Discrete::constant(50, 0.1).expect("a schedule");
            refused(sampler.plan(&schedule, n), "").map(|plan| plan.to_string())
        }
    };
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let _ = run(&mut Unstructured::new(data));
});
