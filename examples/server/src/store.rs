//! Where jobs are while no server runs.

use std::{
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::{job::SavedJob, progress::View};

/// A file of jobs.
#[derive(Debug)]
pub struct Store(PathBuf);

/// What it holds.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Those that go on, the next one first.
    pub jobs: Vec<(u64, SavedJob)>,
    /// Those that are over.
    pub over: Vec<View>,
}

impl Store {
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self(file.into())
    }

    /// What was saved; nothing, if there is no file.
    pub fn load(&self) -> Result<Stored, String> {
        if !self.0.exists() {
            return Ok(Stored::default());
        }
        let text = fs::read(&self.0).map_err(|error| self.says(error))?;
        serde_json::from_slice(&text).map_err(|error| self.says(error))
    }

    /// Writes a file in whole, or leaves the one that is there.
    pub fn save(&self, stored: &Stored) -> Result<(), String> {
        let folder = self
            .0
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
            .map_err(|error| self.says(error))?;
        let mut to = BufWriter::new(&mut file);
        serde_json::to_writer(&mut to, stored).map_err(|error| self.says(error))?;
        to.flush().map_err(|error| self.says(error))?;
        drop(to);
        file.as_file()
            .sync_all()
            .map_err(|error| self.says(error))?;
        file.persist(&self.0).map_err(|error| self.says(error))?;
        Ok(())
    }

    fn says(&self, error: impl ToString) -> String {
        format!("{}: {}", self.0.display(), error.to_string())
    }
}
