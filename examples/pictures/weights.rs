//! Loss weights of the error of the noise.

use gaussian_diffusion::{LogSnr, NoiseLevel, Parameterization, SigmaData, training::Weight};

use super::chart::{Axis, Chart, Curve, Outcome, Scale, Stroke};

pub fn picture() -> Outcome<String> {
    let weights = [
        ("simple loss: 1", Weight::uniform(Parameterization::Noise)),
        (
            "velocity: 1 + 1 / SNR",
            Weight::uniform(Parameterization::Velocity),
        ),
        ("min-SNR, gamma 5", Weight::min_snr(5.0)?),
        ("P2, k 1, gamma 1", Weight::p2(1.0, 1.0)?),
        ("EDM, sigma_data 0.5", Weight::edm(SigmaData::new(0.5)?)),
        ("sigmoid, bias -3", Weight::sigmoid(-3.0)?),
    ];
    let mut curves = Vec::new();
    for (i, (name, weight)) in weights.into_iter().enumerate() {
        let mut points = Vec::new();
        for tenth in -100..=100 {
            let snr = f64::from(tenth) / 10.0;
            let level = NoiseLevel::variance_preserving(LogSnr::new(snr)?)?;
            points.push((snr, weight.in_terms_of(Parameterization::Noise, level)?));
        }
        curves.push(Curve::new(name, i, Stroke::Line, points));
    }
    let chart = Chart {
        title: "How much an error of the noise counts".to_owned(),
        x: Axis::linear(
            "log-SNR: noise on the left, data on the right",
            -10.0,
            10.0,
            6,
        ),
        y: Axis::log("weight", Scale::Log10, 1e-3, 1e3),
        curves,
        left: 76,
    };
    chart.svg(400)
}
