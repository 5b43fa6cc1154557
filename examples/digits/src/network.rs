//! The network, in candle: everything else here sees arrays of ndarray.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use candle_core::{Device, Result, Tensor, Var, safetensors};
use candle_nn::{Linear, Module};
use gaussian_diffusion::{
    Denoiser, Error, Noise, Point, Prediction, Step,
    noise::{NoiseSource, Scale},
};
use ndarray::Array2;

use crate::{
    Outcome,
    data::{CLASSES, PIXELS},
};

const WIDTH: usize = 256;
const BLOCKS: usize = 3;
/// Angles whose sine and cosine tell the network its time.
const ANGLES: usize = 32;
/// What the network is told besides the noisy digit: the time and the class.
const TOLD: usize = 2 * ANGLES + CLASSES;

/// A residual perceptron that predicts the velocity of a noisy digit, given its time and class.
#[derive(Debug)]
pub struct Network {
    variables: BTreeMap<String, Var>,
    enter: Linear,
    told: Linear,
    blocks: Vec<Block>,
    leave: Linear,
}

#[derive(Debug)]
struct Block {
    told: Linear,
    widen: Linear,
    back: Linear,
}

impl Network {
    /// Untrained. The weights come from the crate's noise, so that a seed fixes them.
    pub fn seeded(seed: u64) -> Outcome<Self> {
        let mut noise = Noise::seeded(seed);
        let mut tensors = HashMap::new();
        for (name, shape, std) in shapes() {
            let mut values = Array2::zeros(shape);
            noise.add(&mut values, Scale::Same(std), None)?;
            tensors.insert(name, tensor(&values)?);
        }
        Self::assemble(&tensors)
    }

    /// The weights of a file that [`save`](Self::save) wrote.
    pub fn load(path: &Path) -> Outcome<Self> {
        // Read rather than mapped: mapping is unsafe, and the file is small.
        let load = || -> Outcome<Self> {
            let bytes = std::fs::read(path)?;
            let tensors = safetensors::load_buffer(&bytes, &Device::Cpu)
                .map_err(|error| format!("no safetensors file: {}", first_line(&error)))?;
            Self::assemble(&tensors)
        };
        load().map_err(|error| format!("{}: {error}", path.display()).into())
    }

    pub fn save(&self, path: &Path) -> Outcome<()> {
        let tensors: HashMap<_, _> = self
            .variables
            .iter()
            .map(|(name, var)| (name.clone(), var.as_tensor().clone()))
            .collect();
        safetensors::save(&tensors, path)
            .map_err(|error| format!("{}: {}", path.display(), first_line(&error)).into())
    }

    fn assemble(tensors: &HashMap<String, Tensor>) -> Outcome<Self> {
        let mut variables = BTreeMap::new();
        for (name, shape, _) in shapes() {
            let tensor = tensors
                .get(&name)
                .ok_or_else(|| format!("no weights named {name:?}"))?;
            if tensor.dims() != [shape.0, shape.1] {
                let found = tensor.dims();
                return Err(format!("{name:?} has shape {found:?} instead of {shape:?}").into());
            }
            variables.insert(name, Var::from_tensor(tensor)?);
        }
        // Layers share the storage of their variables: what an optimizer sets, they see.
        let layer = |name: &str| -> Result<Linear> {
            let part = |part: &str| variables[&format!("{name}.{part}")].as_tensor().clone();
            Ok(Linear::new(part("weight"), Some(part("bias").squeeze(0)?)))
        };
        let block = |i: usize| -> Result<Block> {
            Ok(Block {
                told: layer(&format!("{i}.told"))?,
                widen: layer(&format!("{i}.widen"))?,
                back: layer(&format!("{i}.back"))?,
            })
        };
        Ok(Self {
            enter: layer("enter")?,
            told: layer("told")?,
            blocks: (0..BLOCKS).map(block).collect::<Result<_>>()?,
            leave: layer("leave")?,
            variables,
        })
    }

    /// What training changes.
    pub fn variables(&self) -> Vec<Var> {
        self.variables.values().cloned().collect()
    }

    pub fn parameters(&self) -> usize {
        self.variables.values().map(|var| var.elem_count()).sum()
    }

    /// The predicted velocity of each item, as a tensor that gradients flow through.
    pub fn forward(&self, x: &Array2<f32>, times: &[Step], labels: &[usize]) -> Result<Tensor> {
        let told = self.told.forward(&tensor(&told(times, labels))?)?.silu()?;
        let mut h = self.enter.forward(&tensor(x)?)?;
        for block in &self.blocks {
            let inner = (block.widen.forward(&normalized(&h)?)? + block.told.forward(&told)?)?;
            h = (h + block.back.forward(&inner.silu()?)?)?;
        }
        self.leave.forward(&normalized(&h)?.silu()?)
    }

    /// The same as an array.
    pub fn velocity(
        &self,
        x: &Array2<f32>,
        times: &[Step],
        labels: &[usize],
    ) -> Result<Array2<f32>> {
        array(&self.forward(x, times, labels)?)
    }

    /// The network as a denoiser that is asked for these classes, one for each item.
    pub fn asked_for<'a>(&'a self, labels: &'a [usize]) -> Asked<'a> {
        Asked {
            network: self,
            labels,
        }
    }
}

/// A network with the classes it is asked for.
#[derive(Debug)]
pub struct Asked<'a> {
    network: &'a Network,
    labels: &'a [usize],
}

impl Denoiser<Array2<f32>, Step> for Asked<'_> {
    fn predict(
        &mut self,
        x: &Array2<f32>,
        at: Point<Step>,
    ) -> std::result::Result<Prediction<Array2<f32>>, Error> {
        let times = vec![at.time; x.nrows()];
        let velocity = self.network.velocity(x, &times, self.labels);
        Ok(Prediction::velocity(velocity.map_err(Error::network)?))
    }
}

/// Every variable: its name, its shape and the deviation it starts with.
fn shapes() -> Vec<(String, (usize, usize), f64)> {
    // The prediction starts at 0, and a block as a small correction.
    let mut layers = vec![
        ("enter".to_owned(), PIXELS, WIDTH, 1.0),
        ("told".to_owned(), TOLD, WIDTH, 1.0),
        ("leave".to_owned(), WIDTH, PIXELS, 0.0),
    ];
    for i in 0..BLOCKS {
        layers.push((format!("{i}.told"), WIDTH, WIDTH, 1.0));
        layers.push((format!("{i}.widen"), WIDTH, WIDTH, 1.0));
        layers.push((format!("{i}.back"), WIDTH, WIDTH, 0.3));
    }
    let parts = |(name, inputs, outputs, gain): (String, usize, usize, f64)| {
        let std = gain / (inputs as f64).sqrt();
        [
            (format!("{name}.weight"), (outputs, inputs), std),
            (format!("{name}.bias"), (1, outputs), 0.0),
        ]
    };
    layers.into_iter().flat_map(parts).collect()
}

/// Sines and cosines of the time, from less than one to many turns over all steps, and a 1 at the
/// place of the class.
fn told(times: &[Step], labels: &[usize]) -> Array2<f32> {
    let mut told = Array2::zeros((times.len(), TOLD));
    for ((mut row, time), &label) in told.rows_mut().into_iter().zip(times).zip(labels) {
        for k in 0..ANGLES {
            let slowness = 10_000_f64.powf(k as f64 / ANGLES as f64);
            let (sin, cos) = (time.get() / slowness).sin_cos();
            row[2 * k] = sin as f32;
            row[2 * k + 1] = cos as f32;
        }
        row[2 * ANGLES + label] = 1.0;
    }
    told
}

/// Each row with mean square 1. The fused norm of candle-nn has no gradient.
fn normalized(h: &Tensor) -> Result<Tensor> {
    h.broadcast_div(&(h.sqr()?.mean_keepdim(1)? + 1e-6)?.sqrt()?)
}

/// From ndarray to candle.
pub fn tensor(array: &Array2<f32>) -> Result<Tensor> {
    Tensor::from_iter(array.iter().copied(), &Device::Cpu)?.reshape(array.dim())
}

/// From candle to ndarray.
fn array(tensor: &Tensor) -> Result<Array2<f32>> {
    let values = tensor.flatten_all()?.to_vec1()?;
    Array2::from_shape_vec(tensor.dims2()?, values).map_err(candle_core::Error::wrap)
}

/// Errors of candle may carry a backtrace in their text.
fn first_line(error: &candle_core::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("digits-{}-{name}.safetensors", std::process::id()))
    }

    /// Untrained, but not predicting 0.
    fn network(seed: u64) -> Network {
        let network = Network::seeded(seed).unwrap();
        let mut values = Array2::zeros((PIXELS, WIDTH));
        let mut noise = Noise::seeded(seed);
        noise.add(&mut values, Scale::Same(0.1), None).unwrap();
        let leave = &network.variables["leave.weight"];
        leave.set(&tensor(&values).unwrap()).unwrap();
        network
    }

    fn answer(network: &Network) -> Array2<f32> {
        let x = Array2::from_shape_fn((3, PIXELS), |(i, j)| (i as f32 - j as f32 / 60.0).sin());
        let times = [0, 500, 999].map(Step::new);
        network.velocity(&x, &times, &[1, 5, 9]).unwrap()
    }

    #[test]
    fn a_seed_fixes_the_weights() {
        assert_eq!(answer(&network(1)), answer(&network(1)));
        assert_ne!(answer(&network(1)), answer(&network(2)));
    }

    #[test]
    fn what_is_told_changes_the_answer() {
        let network = network(1);
        let x = Array2::ones((1, PIXELS));
        let ask = |step, label| network.velocity(&x, &[Step::new(step)], &[label]).unwrap();
        assert_ne!(ask(10, 3), ask(11, 3));
        assert_ne!(ask(10, 3), ask(10, 4));
    }

    #[test]
    fn saved_weights_predict_the_same() {
        let path = temporary("same");
        let network = network(3);
        network.save(&path).unwrap();
        let loaded = Network::load(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(answer(&network), answer(&loaded));
    }

    #[test]
    fn missing_damaged_and_foreign_weights_are_errors_of_one_line() {
        let path = temporary("damaged");
        let error = |path: &Path| {
            let error = Network::load(path).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
            error
        };
        error(&path);

        network(3).save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in [0, 4, 100, bytes.len() - 1] {
            std::fs::write(&path, &bytes[..length]).unwrap();
            assert!(error(&path).contains("no safetensors file"));
        }

        let foreign = HashMap::from([("x".to_owned(), tensor(&Array2::zeros((2, 2))).unwrap())]);
        safetensors::save(&foreign, &path).unwrap();
        assert!(error(&path).contains("no weights named"));
        std::fs::remove_file(&path).unwrap();
    }
}
