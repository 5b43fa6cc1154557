//! `cargo run --release -p digits`.

use std::process::ExitCode;

use clap::Parser;
use digits::{options::Options, run};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("digits: {error}");
            ExitCode::FAILURE
        }
    }
}
