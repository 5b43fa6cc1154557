//! `cargo run -p with-candle`: pictures of a network that nobody trained.

use candle_core::{DType, Device};
use candle_nn::{VarBuilder, VarMap};
use with_candle::{sample, unet::UNet};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let weights = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
    let net = UNet::new(11, weights)?;
    let pictures = sample(&net, &[3, 1, 4], 10, 7.5)?;
    println!("{:?}, mean {:?}", pictures.dim(), pictures.mean());
    Ok(())
}
