//! Every solver against the laws, and its order.
#![cfg(feature = "laws")]

use gaussian_diffusion::{
    ReverseStep, laws,
    solver::{
        Ancestral, Churn, Consistency, Coordinates, Ddim, Ddpm, Descent, DpmSde, DpmSolver, ErSde,
        ExponentialAdams, LinearMultistep, NodeBlocks, Pndm, RungeKutta, SaSolver, SingleStep,
        UniPc,
    },
};

fn probability_flow() -> Vec<Box<dyn ReverseStep>> {
    let mut all: Vec<Box<dyn ReverseStep>> = vec![
        Box::new(Ddim::default()),
        Box::new(Pndm::plms()),
        Box::new(Pndm::runge_kutta()),
        Box::new(RungeKutta::dpm2()),
        Box::new(LinearMultistep::ipndm(4).unwrap()),
        Box::new(LinearMultistep::gradient_estimation(2.0).unwrap()),
    ];
    for c in [Coordinates::Ratio, Coordinates::Flow, Coordinates::Data] {
        all.push(Box::new(RungeKutta::heun().in_coordinates(c)));
        all.push(Box::new(RungeKutta::midpoint().in_coordinates(c)));
        all.push(Box::new(
            RungeKutta::at_fraction(2.0 / 3.0)
                .unwrap()
                .in_coordinates(c),
        ));
        for order in 1..=4 {
            all.push(Box::new(
                LinearMultistep::lms(order).unwrap().in_coordinates(c),
            ));
            all.push(Box::new(ExponentialAdams::new(order, c).unwrap()));
        }
    }
    for order in 1..=3 {
        all.push(Box::new(DpmSolver::plus_plus(order).unwrap()));
        all.push(Box::new(DpmSolver::plus_plus(order).unwrap().heun()));
        all.push(Box::new(DpmSolver::noise(order).unwrap()));
        all.push(Box::new(DpmSolver::noise(order).unwrap().heun()));
        all.push(Box::new(SingleStep::plus_plus(order).unwrap()));
        all.push(Box::new(SingleStep::plus_plus(order).unwrap().exact()));
        all.push(Box::new(SingleStep::noise(order).unwrap()));
        all.push(Box::new(NodeBlocks::plus_plus(order).unwrap()));
        all.push(Box::new(NodeBlocks::noise(order).unwrap()));
        all.push(Box::new(UniPc::new(order).unwrap()));
        all.push(Box::new(UniPc::new(order).unwrap().bh1()));
        all.push(Box::new(UniPc::new(order).unwrap().of_noise()));
        all.push(Box::new(
            SaSolver::new(order, order).unwrap().with_tau(0.0).unwrap(),
        ));
    }
    all
}

fn stochastic() -> Vec<Box<dyn ReverseStep>> {
    let mut all: Vec<Box<dyn ReverseStep>> = vec![
        Box::new(Ddpm::default()),
        Box::new(Ddim::new(0.5).unwrap()),
        Box::new(Consistency::default()),
        Box::new(DpmSde::new(1.0).unwrap()),
        Box::new(DpmSde::new(0.4).unwrap()),
        Box::new(Ancestral::new(Ddim::default(), 1.0).unwrap()),
        Box::new(Ancestral::new(RungeKutta::dpm2(), 1.0).unwrap()),
        Box::new(Ancestral::new(SingleStep::plus_plus(2).unwrap(), 0.7).unwrap()),
        Box::new(Ancestral::with_descent(RungeKutta::heun(), Descent::Flow(0.5)).unwrap()),
        Box::new(Churn::new(Ddim::default(), 5.0).unwrap()),
        Box::new(Churn::new(RungeKutta::heun(), 5.0).unwrap()),
    ];
    for order in 1..=3 {
        all.push(Box::new(
            DpmSolver::plus_plus(order).unwrap().with_eta(1.0).unwrap(),
        ));
        all.push(Box::new(SaSolver::new(order, order).unwrap()));
        all.push(Box::new(ErSde::new(order).unwrap()));
        all.push(Box::new(
            SingleStep::plus_plus(order).unwrap().with_eta(1.0).unwrap(),
        ));
        all.push(Box::new(
            SingleStep::plus_plus(order).unwrap().with_eta(0.5).unwrap(),
        ));
    }
    all.push(Box::new(SaSolver::new(2, 0).unwrap()));
    all
}

#[test]
fn laws_hold() {
    for solver in probability_flow().iter().chain(&stochastic()) {
        println!(
            "{}: {:?}",
            solver.name(),
            laws::reverse_step(solver).err().map(|e| e.to_string())
        );
    }
}
