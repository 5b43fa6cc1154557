//! Two hundred jobs, sixteen clients at a time: each gets the picture that it would get alone.

mod common;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use common::{Server, alone, bits, network, order, slow};
use server::{job::Order, progress::Progress};

const JOBS: usize = 200;
const CLIENTS: usize = 16;

/// Samplers of one and two evaluations a step, with and without noise, with and without memory.
const SAMPLERS: [&str; 8] = [
    "DPM++ 2M Karras",
    "Euler a",
    "DDIM",
    "Heun",
    "UniPC",
    "DPM++ 3M SDE Exponential",
    "ddpm",
    "DPM2 a",
];

fn orders() -> Vec<Order> {
    let order = |i: usize| order(SAMPLERS[i % SAMPLERS.len()], 2 + i % 5, i as u64);
    (0..JOBS).map(order).collect()
}

#[test]
fn every_picture_is_the_one_drawn_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(slow(Duration::ZERO), &folder.path().join("jobs.json"));
    let (orders, next, previews) = (orders(), AtomicUsize::new(0), AtomicUsize::new(0));
    let begin = Instant::now();
    let client = || {
        let mut drawn = Vec::new();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(order) = orders.get(i) else {
                return drawn;
            };
            let news = server.follow(server.order(order));
            previews.fetch_add(news.len() - 1, Ordering::Relaxed);
            match news.into_iter().last() {
                Some(Progress::Done { pixels }) => drawn.push((i, pixels)),
                last => panic!("{order:?} ended with {last:?}"),
            }
        }
    };
    let drawn: Vec<_> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    println!(
        "{JOBS} jobs by {CLIENTS} clients: {:.2?}, {previews:?} previews",
        begin.elapsed()
    );
    server.stop();

    assert_eq!(drawn.len(), JOBS);
    let network = network();
    for (i, pixels) in drawn {
        assert_eq!(
            bits(&pixels),
            bits(&alone(&network, &orders[i])),
            "{:?}",
            orders[i]
        );
    }
}
