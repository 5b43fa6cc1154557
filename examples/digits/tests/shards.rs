//! Shards of a batch, each by a process, one of them killed and begun again: the bytes of one process.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use digits::{data::PIXELS, network::Network, weights::Weights};

const ITEMS: usize = 64;
const SHARDS: usize = 4;

/// A program that draws these items to this file.
fn part(weights: &Path, first: usize, end: usize, samples: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_digits"));
    command.arg("--weights").arg(weights);
    command.arg("--items").arg(format!("{first}..{end}"));
    command.arg("--samples").arg(samples);
    command.args(["--ddpm-steps", "12", "--guidance", "2"]);
    command.stderr(Stdio::inherit());
    command
}

#[test]
fn shards_of_a_batch_are_the_batch_byte_by_byte() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let weights = file("weights.safetensors");
    untrained().save(&weights).unwrap();

    // The second ends in the middle of a block of the network; the third is a single item, for which matrices are
    // multiplied in another way.
    let ends = [0, 16, 37, 38, ITEMS];
    let shard = |i: usize| part(&weights, ends[i], ends[i + 1], &file(&format!("{i}.f32")));

    let mut killed = shard(1).spawn().unwrap();
    thread::sleep(Duration::from_millis(50));
    killed.kill().unwrap();
    killed.wait().unwrap();
    // What has not ended has left nothing under its name.
    let left = fs::metadata(file("1.f32")).map_or(0, |file| file.len() as usize);
    assert!([0, (37 - 16) * PIXELS * 4].contains(&left), "{left} bytes");

    let mut all: Vec<_> = (0..SHARDS).map(|i| shard(i).spawn().unwrap()).collect();
    all.push(
        part(&weights, 0, ITEMS, &file("whole.f32"))
            .spawn()
            .unwrap(),
    );
    for process in &mut all {
        assert!(process.wait().unwrap().success());
    }
    let shards = (0..SHARDS).flat_map(|i| fs::read(file(&format!("{i}.f32"))).unwrap());
    let (shards, whole) = (
        shards.collect::<Vec<_>>(),
        fs::read(file("whole.f32")).unwrap(),
    );
    assert_eq!(whole.len(), ITEMS * PIXELS * 4);
    assert!(shards == whole);
    // Digits that differ, drawn by a network that says something.
    let digits: Vec<_> = whole.chunks(PIXELS * 4).collect();
    assert!((1..ITEMS).all(|i| digits[i] != digits[i - 1]));
}

/// Weights whose answers are not 0, as those are that training begins with.
fn untrained() -> Weights {
    let mut layers = Network::of_diffusion();
    for (_, _, _, gain) in &mut layers {
        *gain = gain.max(0.3);
    }
    Weights::seeded(&layers, 1).unwrap()
}

#[test]
fn a_part_needs_a_file_and_weights() {
    for lacking in [&["--items", "0..4"][..], &["--samples", "x.f32"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_digits"));
        let output = command.args(lacking).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
    }
}
