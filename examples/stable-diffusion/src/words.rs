//! New words for a text model, each of several vectors: textual inversion.
//!
//! Source: An Image is Worth One Word: Personalizing Text-to-Image Generation using Textual Inversion, Gal et
//! al., 2022.

use std::path::{Path, PathBuf};

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::{Outcome, weights::Weights};

/// A file of words, and the word for those that have no name in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WordFile {
    pub path: PathBuf,
    pub word: Option<String>,
}

/// A word and its vectors, one for each text model: (vector, width).
#[derive(Debug, Clone)]
pub struct Word {
    pub word: String,
    pub vectors: Vec<Tensor>,
}

impl WordFile {
    /// The words of the file, for text models of these widths.
    ///
    /// Of diffusers, a tensor by the word's name; of the WebUI, one called `emb_params`; of XL, `clip_l` and
    /// `clip_g`.
    pub fn read(&self, widths: &[usize]) -> Outcome<Vec<Word>> {
        let weights = Weights::open(&self.path)?;
        let names: Vec<String> = weights.names().map(|(name, _)| name.to_owned()).collect();
        let vectors = |name: &str, width: usize| vectors(&weights, name, width);
        if let [first, second] = widths {
            let [Some(large), Some(small)] =
                ["clip_g", "clip_l"].map(|name| names.iter().find(|n| *n == name))
            else {
                let path = self.path.display();
                return Err(format!(
                    "{path}: a word of XL has tensors \"clip_l\" and \"clip_g\", found: {names:?}"
                )
                .into());
            };
            let vectors = vec![vectors(small, *first)?, vectors(large, *second)?];
            return Ok(vec![self.called(None, vectors)]);
        }
        let width = widths.first().copied().unwrap_or_default();
        let own = |name: &str| name != "emb_params";
        names
            .iter()
            .map(|name| {
                let vectors = vec![vectors(name, width)?];
                Ok(self.called(Some(name).filter(|name| own(name)), vectors))
            })
            .collect()
    }

    /// A word by the name that was asked for, that of its tensor, or that of its file.
    fn called(&self, name: Option<&String>, vectors: Vec<Tensor>) -> Word {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let word = self.word.as_ref().or(name).cloned();
        Word {
            word: word.unwrap_or_else(|| stem.into_owned()),
            vectors,
        }
    }
}

fn vectors(weights: &Weights, name: &str, width: usize) -> Outcome<Tensor> {
    let tensor = weights.any(name)?;
    let path = weights.path().display();
    match tensor.dims() {
        [one] if *one == width => Ok(tensor.unsqueeze(0)?),
        [_, one] if *one == width => Ok(tensor),
        other => Err(format!(
            "{path}: tensor {name:?} has shape {other:?}, the text model needs [vectors, {width}]"
        )
        .into()),
    }
}

impl std::str::FromStr for WordFile {
    type Err = std::convert::Infallible;

    /// `FILE`, or `WORD=FILE`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (word, path) = match text.split_once('=') {
            Some((word, path)) => (Some(word.to_owned()), path),
            None => (None, text),
        };
        Ok(Self {
            path: Path::new(path).to_owned(),
            word,
        })
    }
}
