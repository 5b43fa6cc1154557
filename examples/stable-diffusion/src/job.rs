//! Runs in files, to be gone on with.

use std::{
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    Outcome,
    model::ModelFiles,
    pipeline::{Request, Saved},
    weights::read_json,
};

/// A run that was left, and what it was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    pub files: ModelFiles,
    pub request: Request,
    pub out: PathBuf,
    pub saved: Saved,
}

impl Job {
    pub fn open(path: &Path) -> Outcome<Self> {
        read_json(path)
    }

    /// Writes the file, in whose place there is always a whole one.
    pub fn save(&self, path: &Path) -> Outcome<()> {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let new = path.with_extension("new");
        let file = File::create(&new).map_err(failed)?;
        serde_json::to_writer(BufWriter::new(file), self)?;
        Ok(fs::rename(&new, path).map_err(failed)?)
    }
}
