//! `cargo run --release -p server -- --weights out/weights.safetensors`.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc};

use clap::Parser;
use digits::{Outcome, network::Network, use_one_thread, weights::Weights};
use gaussian_diffusion::Error;
use server::{routes::routes, service::Service, store::Store};
use tokio::net::TcpListener;

/// Draws handwritten digits for whoever asks, and shows them forming at its address.
///
/// Its network is that of the digits example, which trains it: cargo run --release -p digits.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// Weights of the network
    #[arg(long, value_name = "FILE", default_value = "out/weights.safetensors")]
    weights: PathBuf,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// File that jobs are saved to when the server ends, and taken up from when it starts
    #[arg(long, value_name = "FILE", default_value = "jobs.json")]
    jobs: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> Outcome<()> {
    use_one_thread();
    let network = Network::new(Weights::load(&Network::of_diffusion(), &options.weights)?)?;
    let answer = move |x: &_, times: &_, digits: &_| {
        let answer = network.predict_in_blocks(x, times, digits);
        answer.map_err(Error::network)
    };
    let service = Arc::new(Service::start(answer, Store::new(options.jobs))?);
    let listener = TcpListener::bind(options.listen).await?;
    println!("http://{}", listener.local_addr()?);

    let ending = Arc::clone(&service);
    let end = async move {
        asked_to_end().await;
        // Streams of events end with the engine, and the server with them.
        let stopped = tokio::task::spawn_blocking(move || ending.stop()).await;
        if let Ok(Err(error)) = stopped {
            eprintln!("server: {error}");
        }
    };
    axum::serve(listener, routes(service))
        .with_graceful_shutdown(end)
        .await?;
    Ok(())
}

/// By Ctrl-C, or as services are ended.
async fn asked_to_end() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
