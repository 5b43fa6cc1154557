//! What is told of a job.

use serde::{Deserialize, Serialize};

use crate::job::Order;

/// How far a job has come. Pixels are row by row, in -1 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Progress {
    /// It has not been asked for yet.
    Waiting,
    /// So many evaluations of the network are done of so many, and this is what is expected to come of it.
    Running {
        done: usize,
        of: usize,
        pixels: Vec<f32>,
    },
    /// The picture.
    Done {
        pixels: Vec<f32>,
    },
    Cancelled,
    Failed {
        error: String,
    },
}

impl Progress {
    /// Whether nothing more comes.
    pub fn is_over(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running { .. })
    }
}

/// A job as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    pub id: u64,
    pub order: Order,
    pub progress: Progress,
}
