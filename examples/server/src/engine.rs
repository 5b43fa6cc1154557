//! The loop that runs the jobs.

use std::{collections::VecDeque, mem, sync::Arc};

use digits::blocks::BLOCK;
use gaussian_diffusion::{Error, Prediction};
use tokio::sync::mpsc::{Receiver, error::TryRecvError};

use crate::{
    Pictures,
    batch::{Batch, Network},
    job::Job,
    progress::Progress,
    register::Register,
    store::{Store, Stored},
};

/// Pictures that the network is asked about in one call, at most.
pub const MOST_PICTURES: usize = BLOCK;

/// What the engine is told.
#[derive(Debug)]
pub enum Command {
    /// Runs this job.
    Start(u64, Box<Job>),
    /// Drops this one, if it is not over.
    Cancel(u64),
    /// Saves all jobs and ends.
    Stop,
}

/// Takes jobs at any time, and asks the network once for all that are at work.
#[derive(Debug)]
pub struct Engine<N> {
    network: N,
    /// The first ones are at work, the others wait.
    jobs: VecDeque<(u64, Job)>,
    commands: Receiver<Command>,
    register: Arc<Register>,
    store: Store,
}

impl<N: Network> Engine<N> {
    pub fn new(
        network: N,
        jobs: VecDeque<(u64, Job)>,
        commands: Receiver<Command>,
        register: Arc<Register>,
        store: Store,
    ) -> Self {
        Self {
            network,
            jobs,
            commands,
            register,
            store,
        }
    }

    /// Runs until it is told to stop, and saves what is left.
    pub fn run(mut self) -> Result<(), String> {
        while self.obey() {
            self.tick();
        }
        let saved = self.save();
        self.register.close();
        saved
    }

    /// Does all that it is told by now; whether it is to go on.
    fn obey(&mut self) -> bool {
        while let Some(command) = self.command() {
            match command {
                Command::Start(id, job) => self.jobs.push_back((id, *job)),
                Command::Cancel(id) => self.cancel(id),
                // What was told before nobody could tell any more is still done.
                Command::Stop if !self.commands.is_closed() => self.commands.close(),
                Command::Stop => return false,
            }
        }
        true
    }

    /// What it is told next, for which it waits if it has nothing else to do.
    fn command(&mut self) -> Option<Command> {
        if self.jobs.is_empty() {
            return Some(self.commands.blocking_recv().unwrap_or(Command::Stop));
        }
        match self.commands.try_recv() {
            Ok(command) => Some(command),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Command::Stop),
        }
    }

    fn cancel(&mut self, id: u64) {
        let before = self.jobs.len();
        self.jobs.retain(|(other, _)| *other != id);
        if self.jobs.len() < before {
            self.register.note([(id, Progress::Cancelled)]);
        }
    }

    /// Asks the network once.
    fn tick(&mut self) {
        let mut batch = Batch::default();
        let mut asked = Vec::new();
        for (_, job) in &self.jobs {
            let count = job.questions().count();
            if batch.len() + count > MOST_PICTURES {
                break;
            }
            job.questions().for_each(|question| batch.push(question));
            asked.push(count);
        }
        let answers = batch.ask(&mut self.network);

        let waiting = self.jobs.split_off(asked.len());
        let at_work = mem::replace(&mut self.jobs, waiting);
        let mut answers = answers.map(Vec::into_iter);
        let (mut news, mut going) = (Vec::new(), VecDeque::new());
        for ((id, mut job), count) in at_work.into_iter().zip(asked) {
            let own = match &mut answers {
                Ok(answers) => Ok(answers.by_ref().take(count).collect()),
                Err(error) => Err(error.to_string()),
            };
            let preview = own.and_then(|own| answer(&mut job, own));
            news.push((id, progress(&job, preview)));
            if news.last().is_some_and(|(_, progress)| !progress.is_over()) {
                going.push_back((id, job));
            }
        }
        going.append(&mut self.jobs);
        self.jobs = going;
        self.register.note(news);
    }

    fn save(&self) -> Result<(), String> {
        let saved = |(id, job): &(u64, Job)| Ok((*id, job.save()?));
        let jobs = self.jobs.iter().map(saved).collect::<Result<_, Error>>();
        self.store.save(&Stored {
            jobs: jobs.map_err(|error| error.to_string())?,
            over: self.register.over(),
        })
    }
}

fn answer(job: &mut Job, own: Vec<Prediction<Pictures>>) -> Result<Pictures, String> {
    job.answer(own).map_err(|error| error.to_string())
}

fn progress(job: &Job, preview: Result<Pictures, String>) -> Progress {
    let (done, of) = job.evaluations();
    match preview {
        Ok(preview) if done < of => Progress::Running {
            done,
            of,
            pixels: preview.iter().copied().collect(),
        },
        Ok(_) => Progress::Done {
            pixels: job.picture().iter().copied().collect(),
        },
        Err(error) => Progress::Failed { error },
    }
}
