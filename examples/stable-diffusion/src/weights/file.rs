//! Safetensors files: what they hold, and one tensor at a time.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt::Display,
    fs::File,
    io::{ErrorKind, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    rc::Rc,
};

use candle_core::{DType, Device, Tensor};
use safetensors::tensor::{Dtype, Metadata};

use super::LowRank;
use crate::Outcome;

/// Bytes of a header that nobody writes: a file of other content is refused before memory is asked for it.
const LONGEST_HEADER: u64 = 100 << 20;

/// Where a tensor is.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) file: Rc<Stored>,
    /// Its name in the file.
    pub(super) stored: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) start: u64,
    pub(super) transposed: bool,
    pub(super) added: Vec<LowRank>,
}

#[derive(Debug)]
pub(super) struct Stored {
    file: RefCell<File>,
    pub(super) path: PathBuf,
}

impl Entry {
    /// Its name here and in its file.
    pub(super) fn called(&self, name: &str) -> String {
        match name == self.stored {
            true => format!("{name:?}"),
            false => format!("{:?} ({name:?} of diffusers)", self.stored),
        }
    }

    /// The numbers, with what is added to them.
    pub(super) fn read(&self, name: &str) -> Outcome<Tensor> {
        let path = self.file.path.display();
        let dtype = match self.dtype {
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            other => {
                let name = self.called(name);
                return Err(format!(
                    "{path}: tensor {name} is of {other:?}, allowed: F16, BF16, F32, F64"
                )
                .into());
            }
        };
        let mut bytes = vec![0; self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8];
        let mut file = self.file.file.borrow_mut();
        file.seek(SeekFrom::Start(self.start))
            .and_then(|_| file.read_exact(&mut bytes))
            .map_err(|error| format!("{path}: tensor {}: {error}", self.called(name)))?;
        let mut stored = self.shape.clone();
        if self.transposed {
            stored.reverse();
        }
        let mut tensor =
            Tensor::from_raw_buffer(&bytes, dtype, &stored, &Device::Cpu)?.to_dtype(DType::F32)?;
        if self.transposed {
            tensor = tensor.t()?.contiguous()?;
        }
        for LowRank { up, down, scale } in &self.added {
            let change = up.flatten_from(1)?.matmul(&down.flatten_from(1)?)?;
            tensor = (tensor + (change * *scale)?.reshape(self.shape.as_slice())?)?;
        }
        Ok(tensor)
    }
}

/// Reads which tensors a file has, and gives its remarks.
pub(super) fn read_header(
    path: &Path,
    entries: &mut BTreeMap<String, Entry>,
) -> Outcome<BTreeMap<String, String>> {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    if ["ckpt", "pt", "pth", "bin", "pkl"]
        .iter()
        .any(|pickle| extension == *pickle)
    {
        return Err(refuse_pickle(path));
    }
    let shown = path.display();
    let damaged = |why: &dyn Display| format!("{shown} is no safetensors file, or damaged: {why}");
    let named = |error| format!("{shown}: {error}");
    let mut file = File::open(path).map_err(named)?;
    let length = file.metadata().map_err(named)?.len();
    let mut size = [0; 8];
    let is_short = |error: std::io::Error| match error.kind() {
        ErrorKind::UnexpectedEof => damaged(&format!("it has {length} bytes")),
        _ => named(error),
    };
    file.read_exact(&mut size).map_err(is_short)?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST_HEADER.min(length) {
        return Err(damaged(&format!("a header of {size} bytes in a file of {length}")).into());
    }
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header).map_err(is_short)?;
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|error| damaged(&error))?;
    let expected = 8 + size + metadata.data_len() as u64;
    if expected != length {
        let why = format!("it has {length} bytes, and its header describes {expected}");
        return Err(damaged(&why).into());
    }
    let stored = Rc::new(Stored {
        file: RefCell::new(file),
        path: path.to_owned(),
    });
    for (name, info) in metadata.tensors() {
        let entry = Entry {
            file: Rc::clone(&stored),
            stored: name.clone(),
            dtype: info.dtype,
            shape: info.shape.clone(),
            start: 8 + size + info.data_offsets.0 as u64,
            transposed: false,
            added: Vec::new(),
        };
        entries.insert(name, entry);
    }
    Ok(metadata
        .metadata()
        .iter()
        .flatten()
        .map(|(key, text)| (key.clone(), text.clone()))
        .collect())
}

pub(super) fn refuse_pickle(path: &Path) -> Box<dyn std::error::Error + Send + Sync> {
    format!(
        "{} is a pickle, which can run any program when it is read, and is not opened. Convert it where you \
         trust it: python -c \"import torch, safetensors.torch as s; m = torch.load('IN', weights_only=True); \
         s.save_file({{k: v.contiguous() for k, v in m.get('state_dict', m).items() if hasattr(v, 'shape')}}, \
         'OUT.safetensors')\"",
        path.display()
    )
    .into()
}
