//! The weights of the network: tensors by name, saved and loaded.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use candle_core::{Device, Result, Tensor, Var, safetensors};
use candle_nn::Linear;
use gaussian_diffusion::{
    SeededNoise,
    noise::{NoiseSource, Scale},
};
use ndarray::Array2;

use crate::Outcome;

/// A layer: its name, its numbers of inputs and outputs, and how large its outputs are at first.
pub type Layer = (String, usize, usize, f64);

/// Variables by name.
#[derive(Debug)]
pub struct Weights(BTreeMap<String, Var>);

impl Weights {
    /// Untrained. They come from the crate's noise, so that a seed fixes them.
    pub fn seeded(layers: &[Layer], seed: u64) -> Outcome<Self> {
        let mut noise = SeededNoise::new(seed);
        let mut tensors = HashMap::new();
        for (name, shape, std) in shapes(layers) {
            let mut values = Array2::zeros(shape);
            noise.add(&mut values, Scale::Same(std), None)?;
            tensors.insert(name, tensor(&values)?);
        }
        Self::of(layers, &tensors)
    }

    /// Those of a file that [`save`](Self::save) wrote.
    pub fn load(layers: &[Layer], path: &Path) -> Outcome<Self> {
        // Read rather than mapped: mapping is unsafe, and the file is small.
        let load = || -> Outcome<Self> {
            let bytes = std::fs::read(path)?;
            let tensors = safetensors::load_buffer(&bytes, &Device::Cpu)
                .map_err(|error| format!("no safetensors file: {}", first_line(&error)))?;
            Self::of(layers, &tensors)
        };
        load().map_err(|error| format!("{}: {error}", path.display()).into())
    }

    pub fn save(&self, path: &Path) -> Outcome<()> {
        let named = |(name, var): (&String, &Var)| (name.clone(), var.as_tensor().clone());
        let tensors: HashMap<_, _> = self.0.iter().map(named).collect();
        safetensors::save(&tensors, path)
            .map_err(|error| format!("{}: {}", path.display(), first_line(&error)).into())
    }

    fn of(layers: &[Layer], tensors: &HashMap<String, Tensor>) -> Outcome<Self> {
        let mut variables = BTreeMap::new();
        for (name, shape, _) in shapes(layers) {
            let tensor = tensors
                .get(&name)
                .ok_or_else(|| format!("no weights named {name:?}"))?;
            if tensor.dims() != [shape.0, shape.1] {
                let found = tensor.dims();
                return Err(format!("{name:?} has shape {found:?} instead of {shape:?}").into());
            }
            variables.insert(name, Var::from_tensor(tensor)?);
        }
        Ok(Self(variables))
    }

    /// The layer of this name. It shares the storage of its variables: what an optimizer sets, it sees.
    pub fn layer(&self, name: &str) -> Result<Linear> {
        let part = |part: &str| self.0[&format!("{name}.{part}")].as_tensor().clone();
        Ok(Linear::new(part("weight"), Some(part("bias").squeeze(0)?)))
    }

    pub fn variables(&self) -> Vec<Var> {
        self.0.values().cloned().collect()
    }

    pub fn count(&self) -> usize {
        self.0.values().map(|var| var.elem_count()).sum()
    }

    /// The values of all variables.
    pub fn values(&self) -> Result<Vec<Array2<f32>>> {
        self.0.values().map(|var| array(var)).collect()
    }

    /// Puts other values in their place, in the order of [`values`](Self::values).
    pub fn set<'v>(&self, values: impl IntoIterator<Item = &'v Array2<f32>>) -> Result<()> {
        let pairs = self.0.values().zip(values);
        pairs
            .into_iter()
            .try_for_each(|(var, value)| var.set(&tensor(value)?))
    }
}

/// Every variable: its name, its shape and the deviation it starts with.
fn shapes(layers: &[Layer]) -> impl Iterator<Item = (String, (usize, usize), f64)> {
    layers.iter().flat_map(|(name, inputs, outputs, gain)| {
        let std = gain / (*inputs as f64).sqrt();
        [
            (format!("{name}.weight"), (*outputs, *inputs), std),
            (format!("{name}.bias"), (1, *outputs), 0.0),
        ]
    })
}

/// From ndarray to candle.
pub fn tensor(array: &Array2<f32>) -> Result<Tensor> {
    Tensor::from_iter(array.iter().copied(), &Device::Cpu)?.reshape(array.dim())
}

/// From candle to ndarray.
pub fn array(tensor: &Tensor) -> Result<Array2<f32>> {
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

    fn layers() -> Vec<Layer> {
        vec![("a".to_owned(), 5, 3, 1.0), ("b".to_owned(), 3, 2, 0.5)]
    }

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("digits-{}-{name}.safetensors", std::process::id()))
    }

    #[test]
    fn a_seed_fixes_the_values() {
        let values = |seed| Weights::seeded(&layers(), seed).unwrap().values().unwrap();
        assert_eq!(values(1), values(1));
        assert_ne!(values(1), values(2));
    }

    #[test]
    fn values_are_saved_loaded_and_set() {
        let path = temporary("same");
        let weights = Weights::seeded(&layers(), 3).unwrap();
        weights.save(&path).unwrap();
        let loaded = Weights::load(&layers(), &path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let values = weights.values().unwrap();
        assert_eq!(loaded.values().unwrap(), values);

        let doubled: Vec<_> = values.iter().map(|value| value * 2.0).collect();
        weights.set(&doubled).unwrap();
        assert_eq!(weights.values().unwrap(), doubled);
    }

    #[test]
    fn missing_damaged_and_foreign_weights_are_errors_of_one_line() {
        let path = temporary("damaged");
        let error = |path: &Path| {
            let error = Weights::load(&layers(), path).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
            error
        };
        error(&path);

        Weights::seeded(&layers(), 3).unwrap().save(&path).unwrap();
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
