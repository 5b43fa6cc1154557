//! All jobs by number, and who waits for news of them.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{
    job::Order,
    progress::{Progress, View},
};

/// Jobs that may be waiting or running, and jobs that are over and remembered.
pub const MOST_JOBS: usize = 1000;

/// What is known of all jobs. The engine notes it, clients read it.
#[derive(Debug)]
pub struct Register {
    entries: Mutex<Entries>,
    /// Counts the changes; nothing once there will be no more.
    changes: watch::Sender<Option<u64>>,
}

#[derive(Debug, Default)]
struct Entries {
    next: u64,
    changes: u64,
    jobs: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    order: Order,
    progress: Progress,
    /// The number of its last change.
    changed: u64,
}

impl Default for Register {
    fn default() -> Self {
        Self {
            entries: Mutex::default(),
            changes: watch::Sender::new(Some(0)),
        }
    }
}

impl Register {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new job; nothing if there are too many.
    pub fn add(&self, order: Order) -> Option<u64> {
        let mut entries = self.entries();
        let busy = entries.jobs.values().filter(|job| !job.progress.is_over());
        if busy.count() >= MOST_JOBS {
            return None;
        }
        let id = entries.next;
        entries.put(id, order, Progress::Waiting);
        self.tell(&entries);
        Some(id)
    }

    /// A job of an earlier time.
    pub fn restore(&self, view: View) {
        let mut entries = self.entries();
        entries.put(view.id, view.order, view.progress);
        self.tell(&entries);
    }

    /// Notes how far these have come.
    pub fn note(&self, news: impl IntoIterator<Item = (u64, Progress)>) {
        let mut entries = self.entries();
        for (id, progress) in news {
            entries.changes += 1;
            let changed = entries.changes;
            if let Some(entry) = entries.jobs.get_mut(&id) {
                (entry.progress, entry.changed) = (progress, changed);
            }
        }
        entries.forget();
        self.tell(&entries);
    }

    fn tell(&self, entries: &Entries) {
        self.changes.send_if_modified(|changes| {
            let open = changes.is_some();
            *changes = changes.map(|_| entries.changes);
            open
        });
    }

    /// There will be no more news.
    pub fn close(&self) {
        self.changes.send_replace(None);
    }

    /// Told of every change; nothing is the last.
    pub fn watch(&self) -> watch::Receiver<Option<u64>> {
        self.changes.subscribe()
    }

    pub fn get(&self, id: u64) -> Option<View> {
        self.entries().jobs.get(&id).map(|entry| entry.view(id))
    }

    /// The jobs that changed after so many changes, or this one if it did; and the number of changes now.
    pub fn since(&self, changes: u64, only: Option<u64>) -> (u64, Vec<View>) {
        let entries = self.entries();
        let jobs = entries
            .jobs
            .iter()
            .filter(|(id, entry)| entry.changed > changes && only.is_none_or(|only| only == **id));
        let views = jobs.map(|(id, entry)| entry.view(*id)).collect();
        (entries.changes, views)
    }

    /// The jobs that are over.
    pub fn over(&self) -> Vec<View> {
        let (_, all) = self.since(0, None);
        all.into_iter()
            .filter(|view| view.progress.is_over())
            .collect()
    }
}

impl Entries {
    fn put(&mut self, id: u64, order: Order, progress: Progress) {
        self.next = self.next.max(id.saturating_add(1));
        self.changes += 1;
        let changed = self.changes;
        self.jobs.insert(
            id,
            Entry {
                order,
                progress,
                changed,
            },
        );
    }

    /// Forgets the oldest that are over, beyond those that are remembered.
    fn forget(&mut self) {
        let over = self.jobs.iter().filter(|(_, job)| job.progress.is_over());
        let over: Vec<u64> = over.map(|(id, _)| *id).collect();
        for id in over.iter().take(over.len().saturating_sub(MOST_JOBS)) {
            self.jobs.remove(id);
        }
    }
}

impl Entry {
    fn view(&self, id: u64) -> View {
        View {
            id,
            order: self.order.clone(),
            progress: self.progress.clone(),
        }
    }
}
