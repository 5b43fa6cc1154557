//! Names of samplers, solvers, grids and respacings, and the plans they stand for.

#![no_main]

use gaussian_diffusion::{
    Sampler,
    sampler::{GridName, SolverName},
    schedule::{Discrete, Edm, RectifiedFlow, Respacing},
};
use gaussian_diffusion_fuzz::Count;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Count, Count, &str)| {
    let (Count(n), Count(total), name) = input;
    let _ = Respacing::parse(name, total);
    for sampler in [
        name.parse::<Sampler>().ok(),
        name.parse::<SolverName>()
            .ok()
            .map(|solver| Sampler::new(solver, solver.automatic_grid())),
        name.parse::<GridName>()
            .ok()
            .map(|grid| Sampler::new(SolverName::Euler, grid)),
    ]
    .into_iter()
    .flatten()
    {
        assert_eq!(sampler.to_string().parse::<Sampler>().ok(), Some(sampler));
        let schedule = Discrete::constant(50, 0.1).expect("a schedule");
        let plans = [
            sampler.plan(&schedule, n).map(|plan| plan.to_string()),
            sampler.plan(&RectifiedFlow, n).map(|plan| plan.to_string()),
            sampler
                .plan(&Edm::default(), n)
                .map(|plan| plan.to_string()),
        ];
        for error in plans.into_iter().filter_map(Result::err) {
            assert!(error.to_string().len() < 400);
        }
    }
});
