//! News of jobs as server-sent events.

use std::{convert::Infallible, sync::Arc};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt, stream};

use crate::{progress::View, register::Register};

/// The jobs that there are, and from then on those that change: of all, or of one until it is over.
///
/// Whoever is slow misses previews, never the last word.
pub fn events(
    register: Arc<Register>,
    only: Option<u64>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let told = changes(register, only).map(|views| {
        let event = Event::default().json_data(views);
        Ok(event.unwrap_or_else(|error| Event::default().comment(error.to_string())))
    });
    Sse::new(told).keep_alive(KeepAlive::default())
}

/// The same as lists.
pub fn changes(register: Arc<Register>, only: Option<u64>) -> impl Stream<Item = Vec<View>> {
    let start = (register.watch(), register, 0, false);
    stream::unfold(start, move |(mut watch, register, seen, over)| async move {
        if over {
            return None;
        }
        loop {
            // Looked at before the jobs, so that a change between the two is seen next time.
            let open = watch.borrow_and_update().is_some();
            let (now, views) = register.since(seen, only);
            if !views.is_empty() {
                let over = only.is_some() && views.iter().all(|view| view.progress.is_over());
                return Some((views, (watch, register, now, over)));
            }
            if !open {
                return None;
            }
            watch.changed().await.ok()?;
        }
    })
}
