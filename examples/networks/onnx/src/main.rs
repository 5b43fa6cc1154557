//! `cargo run -p with-onnx`.

use ndarray::Axis;
use with_onnx::{MODEL, ort, sample, tract};

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    for (name, pictures) in [
        ("tract", sample(tract::network(MODEL)?, 1)?),
        ("ort", sample(ort::network(MODEL)?, 1)?),
    ] {
        let mean = |channel| pictures.index_axis(Axis(1), channel).mean();
        println!("{name}: mean of each channel {:?}", [0, 1, 2].map(mean));
    }
    Ok(())
}
