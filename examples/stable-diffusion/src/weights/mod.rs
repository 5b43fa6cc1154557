//! Tensors by name, read from safetensors files when they are asked for.

mod file;
mod random;
mod scope;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    rc::Rc,
};

use candle_core::{DType, Device, Tensor};

use crate::Outcome;
use file::{Entry, read_header, refuse_pickle};
use random::random;

pub use scope::Scope;

/// The tensors of one part of a model.
///
/// They keep the names of diffusers; files with other names are [renamed](Self::renamed). A tensor is read,
/// made `f32`, changed by what is [added](Self::add), and given the type that networks compute in.
#[derive(Debug, Clone)]
pub struct Weights {
    source: Source,
    /// For messages: the file or folder.
    path: PathBuf,
    /// What the file says beside its tensors.
    remarks: BTreeMap<String, String>,
    dtype: DType,
    device: Device,
    used: Rc<RefCell<BTreeSet<String>>>,
}

#[derive(Debug, Clone)]
enum Source {
    Files(BTreeMap<String, Entry>),
    /// Random numbers of this seed, of any name and shape.
    Random(u64),
}

/// `scale * up down`, what a LoRA adds to a weight.
#[derive(Debug, Clone)]
pub struct LowRank {
    pub up: Tensor,
    pub down: Tensor,
    pub scale: f64,
}

impl Weights {
    /// The tensors of a file, by the names they have there.
    pub fn open(path: &Path) -> Outcome<Self> {
        let mut entries = BTreeMap::new();
        let remarks = read_header(path, &mut entries)?;
        Ok(Self {
            remarks,
            ..Self::of(Source::Files(entries), path)
        })
    }

    /// The tensors of a part of a diffusers folder: one file, one in half precision, or several with an index.
    pub fn open_part(folder: &Path, stem: &str) -> Outcome<Self> {
        for name in [
            format!("{stem}.safetensors"),
            format!("{stem}.fp16.safetensors"),
        ] {
            let path = folder.join(name);
            if path.exists() {
                return Self::open(&path);
            }
        }
        let index = folder.join(format!("{stem}.safetensors.index.json"));
        if index.exists() {
            #[derive(serde::Deserialize)]
            struct Index {
                weight_map: BTreeMap<String, String>,
            }
            let Index { weight_map } = read_json(&index)?;
            let mut entries = BTreeMap::new();
            for name in weight_map.values().collect::<BTreeSet<_>>() {
                read_header(&folder.join(name), &mut entries)?;
            }
            return Ok(Self::of(Source::Files(entries), folder));
        }
        for name in ["bin", "ckpt"] {
            let path = folder.join(format!("{stem}.{name}"));
            if path.exists() {
                return Err(refuse_pickle(&path));
            }
        }
        Err(format!("{}: there is no {stem}.safetensors", folder.display()).into())
    }

    /// Random numbers of the size that keeps signals as large as they are, whatever is asked for.
    pub fn random(seed: u64) -> Self {
        Self::of(Source::Random(seed), Path::new("random weights"))
    }

    fn of(source: Source, path: &Path) -> Self {
        Self {
            source,
            path: path.to_owned(),
            remarks: BTreeMap::new(),
            dtype: DType::F32,
            device: Device::Cpu,
            used: Rc::default(),
        }
    }

    /// The same for networks that compute in this type, on this device.
    #[must_use]
    pub fn to(self, dtype: DType, device: &Device) -> Self {
        let device = device.clone();
        Self {
            dtype,
            device,
            ..self
        }
    }

    /// Those whose name has another one here, by that.
    #[must_use]
    pub fn renamed(&self, name: impl Fn(&str) -> Option<String>) -> Self {
        let source = match &self.source {
            Source::Files(entries) => {
                let all = entries.iter();
                let named = all.filter_map(|(old, entry)| Some((name(old)?, entry.clone())));
                Source::Files(named.collect())
            }
            Source::Random(seed) => Source::Random(*seed),
        };
        Self {
            source,
            used: Rc::default(),
            ..self.clone()
        }
    }

    /// Equal parts of a tensor along its first axis, by names of their own.
    pub fn split(&mut self, name: &str, parts: &[String]) -> Outcome<()> {
        let Source::Files(entries) = &mut self.source else {
            return Ok(());
        };
        let Some(whole) = entries.remove(name) else {
            return Ok(());
        };
        let rows = whole.shape.first().copied().unwrap_or(0);
        if rows % parts.len() != 0 {
            let (path, stored, count) = (whole.file.path.display(), whole.stored, parts.len());
            return Err(format!(
                "{path}: tensor {stored:?} has {rows} rows, a multiple of {count} is needed"
            )
            .into());
        }
        let mut shape = whole.shape.clone();
        shape[0] = rows / parts.len();
        let bytes = (shape.iter().product::<usize>() * whole.dtype.bitsize() / 8) as u64;
        for (i, part) in parts.iter().enumerate() {
            let entry = Entry {
                shape: shape.clone(),
                start: whole.start + i as u64 * bytes,
                ..whole.clone()
            };
            entries.insert(part.clone(), entry);
        }
        Ok(())
    }

    /// Takes a matrix for its transpose.
    pub fn transpose(&mut self, name: &str) {
        if let Source::Files(entries) = &mut self.source
            && let Some(entry) = entries.get_mut(name)
        {
            entry.transposed = true;
            entry.shape.reverse();
        }
    }

    /// Adds a product of low rank to a weight, whenever it is read.
    pub fn add(&mut self, name: &str, change: LowRank) -> Outcome<()> {
        let path = self.path.display();
        let Source::Files(entries) = &mut self.source else {
            return Ok(());
        };
        let Some(entry) = entries.get_mut(name) else {
            return Err(format!("{path}: there is no tensor {name:?} to add to").into());
        };
        let (up, down) = (change.up.dims(), change.down.dims());
        let rank = down.first();
        let makes: Vec<_> = up
            .iter()
            .take(1)
            .chain(down.iter().skip(1))
            .copied()
            .collect();
        let is_flat = up.iter().skip(2).all(|side| *side == 1);
        if up.get(1) != rank || !is_flat || !same(&makes, &entry.shape) {
            let shape = &entry.shape;
            return Err(format!(
                "lora_up of shape {up:?} and lora_down of shape {down:?} make no change of {name:?}, \
                 which has shape {shape:?}"
            )
            .into());
        }
        entry.added.push(change);
        Ok(())
    }

    /// Names and shapes, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = (&str, &[usize])> {
        let entries = match &self.source {
            Source::Files(entries) => Some(entries),
            Source::Random(_) => None,
        };
        let all = entries.into_iter().flatten();
        all.map(|(name, entry)| (name.as_str(), entry.shape.as_slice()))
    }

    /// Whether there is a tensor of this name.
    pub fn has(&self, name: &str) -> bool {
        match &self.source {
            Source::Files(entries) => entries.contains_key(name),
            Source::Random(_) => true,
        }
    }

    /// What the file says under this key, beside its tensors.
    pub fn remark(&self, key: &str) -> Option<&str> {
        self.remarks.get(key).map(String::as_str)
    }

    /// The file or folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Refuses tensors that nobody has asked for: a configuration of another model.
    pub fn check_all_used(&self) -> Outcome<()> {
        let used = self.used.borrow();
        let mut unused = self.names().filter(|(name, _)| !used.contains(*name));
        let Some((name, shape)) = unused.next() else {
            return Ok(());
        };
        let (path, more) = (self.path.display(), unused.count());
        Err(format!(
            "{path}: the configuration has no place for tensor {name:?} of shape {shape:?}, nor for {more} others"
        )
        .into())
    }

    /// The tensor of this name, which must have this shape but for ones at its end.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Outcome<Tensor> {
        let tensor = match &self.source {
            Source::Files(entries) => {
                let path = self.path.display();
                let entry = entries.get(name).ok_or_else(|| {
                    format!("{path}: tensor {name:?} of shape {shape:?} is missing")
                })?;
                if !same(&entry.shape, shape) {
                    let (path, stored) = (entry.file.path.display(), entry.called(name));
                    let found = &entry.shape;
                    return Err(format!(
                        "{path}: tensor {stored} has shape {found:?}, the configuration needs {shape:?}"
                    )
                    .into());
                }
                self.used.borrow_mut().insert(name.to_owned());
                entry.read(name)?.reshape(shape)?
            }
            Source::Random(seed) => random(*seed, name, shape)?,
        };
        // One type and one device: a tensor that has them is passed on.
        Ok(tensor.to_dtype(self.dtype)?.to_device(&self.device)?)
    }

    /// The tensor with whatever shape it has, in `f32` on the CPU.
    pub fn any(&self, name: &str) -> Outcome<Tensor> {
        let shape = self
            .names()
            .find(|(other, _)| *other == name)
            .map(|(_, shape)| shape.to_vec());
        let plain = self.clone().to(DType::F32, &Device::Cpu);
        plain.tensor(name, &shape.unwrap_or_default())
    }

    /// The place where the names of a network begin.
    pub fn root(&self) -> Scope<'_> {
        Scope {
            weights: self,
            prefix: String::new(),
        }
    }
}

/// Whether shapes are the same but for ones at the end: of a 1x1 convolution and a matrix.
fn same(a: &[usize], b: &[usize]) -> bool {
    let trimmed = |shape: &[usize]| {
        let ones = shape.iter().rev().take_while(|side| **side == 1).count();
        shape[..shape.len() - ones].to_vec()
    };
    trimmed(a) == trimmed(b)
}

/// Reads a JSON file.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Outcome<T> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    Ok(serde_json::from_str(&text).map_err(|error| format!("{shown}: {error}"))?)
}
