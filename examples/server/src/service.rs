//! What the server does, without the network protocol.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tokio::sync::mpsc::{Sender, channel};

use crate::{
    batch::Network,
    engine::{Command, Engine},
    job::{Job, Order},
    progress::{Progress, View},
    register::{MOST_JOBS, Register},
    store::Store,
};

/// Takes orders, and tells how far they are.
#[derive(Debug)]
pub struct Service {
    register: Arc<Register>,
    commands: Sender<Command>,
    engine: Mutex<Option<JoinHandle<Result<(), String>>>>,
}

/// Why an order is not taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    /// It asks for what there is not.
    Bad(String),
    /// There is no such job.
    Unknown(u64),
    /// There are too many jobs, or the server is about to end.
    Busy,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(why) => f.write_str(why),
            Self::Unknown(id) => write!(f, "there is no job {id}"),
            Self::Busy => f.write_str("busy, try again later"),
        }
    }
}

impl Service {
    /// Starts the engine, with the jobs that the store has.
    pub fn start(network: impl Network, store: Store) -> Result<Self, String> {
        let register = Arc::new(Register::default());
        let stored = store.load()?;
        for view in stored.over {
            register.restore(view);
        }
        let mut jobs = VecDeque::new();
        for (id, saved) in stored.jobs {
            let job = Job::resume(saved).map_err(|error| format!("job {id}: {error}"))?;
            let (order, progress) = (job.order().clone(), Progress::Waiting);
            register.restore(View {
                id,
                order,
                progress,
            });
            jobs.push_back((id, job));
        }
        // As many as there can be jobs, and as many who give up theirs.
        let (commands, told) = channel(2 * MOST_JOBS);
        let engine = Engine::new(network, jobs, told, Arc::clone(&register), store);
        Ok(Self {
            register,
            commands,
            engine: Mutex::new(Some(thread::spawn(|| engine.run()))),
        })
    }

    /// Takes an order, and gives its number.
    pub fn order(&self, order: Order) -> Result<u64, Refusal> {
        order.check().map_err(Refusal::Bad)?;
        let bad = |error: gaussian_diffusion::Error| Refusal::Bad(error.to_string());
        let job = Box::new(Job::new(order.clone()).map_err(bad)?);
        let id = self.register.add(order).ok_or(Refusal::Busy)?;
        let told = self.commands.try_send(Command::Start(id, job));
        told.map_err(|_| {
            self.register.note([(id, Progress::Cancelled)]);
            Refusal::Busy
        })?;
        Ok(id)
    }

    /// Drops a job, if it is not over.
    pub fn cancel(&self, id: u64) -> Result<(), Refusal> {
        self.job(id)?;
        let told = self.commands.try_send(Command::Cancel(id));
        told.map_err(|_| Refusal::Busy)
    }

    pub fn job(&self, id: u64) -> Result<View, Refusal> {
        self.register.get(id).ok_or(Refusal::Unknown(id))
    }

    pub fn jobs(&self) -> Vec<View> {
        self.register.since(0, None).1
    }

    pub fn register(&self) -> Arc<Register> {
        Arc::clone(&self.register)
    }

    /// Ends the engine after the question that it is at, with all jobs saved.
    pub fn stop(&self) -> Result<(), String> {
        let engine = self
            .engine
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(engine) = engine else { return Ok(()) };
        // An engine that has ended takes no commands.
        let _ = self.commands.blocking_send(Command::Stop);
        engine
            .join()
            .unwrap_or_else(|_| Err("the engine panicked".to_owned()))
    }
}
