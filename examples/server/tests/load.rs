//! Two hundred jobs, sixteen clients at a time: each gets the picture that it would get alone.

mod common;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use common::{Server, alone, bits, of_digits, order, small};
use server::{batch::Network, job::Order, progress::Progress};

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

#[test]
fn every_picture_is_the_one_drawn_alone() {
    load(small(), 2);
}

/// `cargo test --release -p server --test load -- --ignored --nocapture`
#[test]
#[ignore = "takes a minute where the matrices are not optimised"]
fn so_is_every_picture_of_the_network_of_the_digits() {
    load(of_digits(), 20);
}

/// From so many steps on.
fn load(network: impl Network + Clone, steps: usize) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(network.clone(), &folder.path().join("jobs.json"));
    let order = |i: usize| order(SAMPLERS[i % SAMPLERS.len()], steps + i % 5, i as u64);
    let orders: Vec<Order> = (0..JOBS).map(order).collect();
    let (next, previews) = (AtomicUsize::new(0), AtomicUsize::new(0));
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
    let together = begin.elapsed();
    server.stop();

    assert_eq!(drawn.len(), JOBS);
    let begin = Instant::now();
    for (i, pixels) in drawn {
        let alone = alone(&network, &orders[i]);
        assert_eq!(bits(&pixels), bits(&alone), "{:?}", orders[i]);
    }
    println!(
        "{JOBS} jobs by {CLIENTS} clients at a time: {together:.2?}, {previews:?} previews seen; one after the \
         other without a server: {:.2?}",
        begin.elapsed()
    );
}
