//! Every solver of the crate.
#![allow(dead_code)] // Each test takes what it needs.

use gaussian_diffusion::{
    ReverseStep, Variance,
    solver::{
        Ancestral, Churn, Consistency, Coordinates, Ddim, Ddpm, Descent, DpmSde, DpmSolver,
        DpmSolverV3, ErSde, EulerMaruyama, ExponentialAdams, HeunPlusPlus, Langevin,
        LinearMultistep, ModelStatistics, NodeBlocks, Pndm, RungeKutta, SaSolver, SingleStep,
        UniPc,
    },
};

pub type Solver = Box<dyn ReverseStep>;

/// Those of the probability flow that need nothing of the steps before.
pub fn single_steps() -> Vec<Solver> {
    let mut all: Vec<Solver> = vec![
        Box::new(Ddim::default()),
        Box::new(RungeKutta::dpm2()),
        Box::new(SingleStep::fast(20).unwrap()),
        Box::new(HeunPlusPlus),
    ];
    for c in [Coordinates::Noise, Coordinates::Flow, Coordinates::Data] {
        all.push(Box::new(RungeKutta::heun().with_coordinates(c)));
        all.push(Box::new(RungeKutta::midpoint().with_coordinates(c)));
        all.push(Box::new(ExponentialAdams::new(1, c).unwrap()));
    }
    for order in 1..=3 {
        all.push(Box::new(SingleStep::plus_plus(order).unwrap()));
        all.push(Box::new(
            SingleStep::new(order, Coordinates::Noise).unwrap(),
        ));
    }
    all.push(Box::new(DpmSolver::plus_plus(1).unwrap()));
    all.push(Box::new(DpmSolver::new(1, Coordinates::Noise).unwrap()));
    all.push(Box::new(NodeBlocks::plus_plus(1).unwrap()));
    all
}

/// Those of the probability flow that keep predictions, or a state within a block of steps.
pub fn multi_steps() -> Vec<Solver> {
    let mut all: Vec<Solver> = vec![
        Box::new(Pndm::plms()),
        Box::new(Pndm::runge_kutta()),
        Box::new(LinearMultistep::ipndm(4).unwrap()),
        Box::new(LinearMultistep::gradient_estimation(2.0).unwrap()),
        Box::new(UniPc::new(1).unwrap()),
        Box::new(UniPc::new(2).unwrap().without_corrector_at(vec![2, 3])),
        Box::new(SaSolver::new(1, 1).unwrap().with_tau(0.0).unwrap()),
        Box::new(SaSolver::new(3, 0).unwrap().with_tau(0.0).unwrap()),
        Box::new(SaSolver::new(3, 4).unwrap().with_tau(0.0).unwrap()),
        Box::new(
            SaSolver::new(3, 4)
                .unwrap()
                .with_tau(0.0)
                .unwrap()
                .with_second_evaluation(),
        ),
        Box::new(LinearMultistep::lms(4).unwrap().with_euler_to_data()),
        Box::new(LinearMultistep::deis_in_time(3).unwrap()),
    ];
    for order in 2..=3 {
        for c in [Coordinates::Noise, Coordinates::Flow, Coordinates::Data] {
            let lms = LinearMultistep::lms(order).unwrap();
            all.push(Box::new(lms.with_coordinates(c)));
            all.push(Box::new(ExponentialAdams::new(order, c).unwrap()));
        }
        all.push(Box::new(DpmSolver::plus_plus(order).unwrap()));
        all.push(Box::new(DpmSolver::new(order, Coordinates::Noise).unwrap()));
        all.push(Box::new(NodeBlocks::plus_plus(order).unwrap()));
        all.push(Box::new(
            NodeBlocks::new(order, Coordinates::Noise).unwrap(),
        ));
        all.push(Box::new(UniPc::new(order).unwrap()));
        all.push(Box::new(
            UniPc::new(order)
                .unwrap()
                .with_coordinates(Coordinates::Noise)
                .unwrap(),
        ));
    }
    all
}

/// Those that draw noise and need nothing of the steps before.
pub fn stochastic_single_steps() -> Vec<Solver> {
    vec![
        Box::new(Ddpm::default()),
        Box::new(Ddim::new(0.5).unwrap()),
        Box::new(Consistency::default()),
        Box::new(EulerMaruyama::new(1.0).unwrap()),
        Box::new(DpmSde::new(1.0).unwrap()),
        Box::new(Ancestral::new(Ddim::default(), 1.0).unwrap()),
        Box::new(Ancestral::new(RungeKutta::dpm2(), 1.0).unwrap()),
        Box::new(Ancestral::with_descent(RungeKutta::heun(), Descent::Flow(0.5)).unwrap()),
        Box::new(Churn::new(Ddim::default(), 5.0).unwrap()),
        Box::new(Churn::new(RungeKutta::heun(), 5.0).unwrap()),
        Box::new(SingleStep::plus_plus(2).unwrap().with_tau(1.0).unwrap()),
        Box::new(SingleStep::plus_plus(3).unwrap().with_tau(0.5).unwrap()),
        Box::new(SaSolver::new(1, 0).unwrap()),
        Box::new(Langevin::new(Ddim::default(), 0.1, 2).unwrap()),
    ]
}

/// Those that draw noise and keep predictions.
pub fn stochastic_multi_steps() -> Vec<Solver> {
    vec![
        Box::new(DpmSolver::plus_plus(2).unwrap().with_tau(1.0).unwrap()),
        Box::new(ErSde::new(3).unwrap()),
        Box::new(SaSolver::new(1, 1).unwrap()),
        Box::new(SaSolver::new(2, 0).unwrap()),
        Box::new(SaSolver::new(3, 3).unwrap()),
        Box::new(SaSolver::new(3, 4).unwrap().with_second_evaluation()),
        Box::new(
            SaSolver::new(3, 4)
                .unwrap()
                .with_lower_final_orders()
                .with_diffusers_rules(),
        ),
    ]
}

/// Those of the probability flow that are exact for other data than points: these follow points with their order.
pub fn exact_for_other_data() -> Vec<Solver> {
    let v = Variance::new(0.25).unwrap();
    let statistics = || ModelStatistics::rosenbrock(v).unwrap();
    let v3 = |order| DpmSolverV3::new(order, statistics()).unwrap();
    vec![
        Box::new(DpmSolverV3::reab(1).unwrap()),
        Box::new(DpmSolverV3::reab(3).unwrap()),
        Box::new(v3(2)),
        Box::new(v3(2).with_corrector()),
        Box::new(v3(3).with_corrector().with_lower_final_orders()),
        Box::new(v3(2).with_pseudo_corrector()),
        Box::new(v3(3).with_pseudo_slopes()),
    ]
}

/// The probability flow.
pub fn deterministic() -> Vec<Solver> {
    single_steps().into_iter().chain(multi_steps()).collect()
}

/// All of them.
pub fn every() -> Vec<Solver> {
    let noisy = stochastic_single_steps()
        .into_iter()
        .chain(stochastic_multi_steps());
    let flow = deterministic().into_iter().chain(exact_for_other_data());
    flow.chain(noisy).collect()
}
