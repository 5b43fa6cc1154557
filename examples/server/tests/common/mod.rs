//! A server for tests, and a client.
#![allow(dead_code)] // Each test uses its part.

use std::{net::SocketAddr, path::Path, sync::Arc, thread, time::Duration};

use axum::Router;
use digits::{
    data::PIXELS,
    network::{Class, Network},
    weights::Weights,
};
use gaussian_diffusion::{
    Error, Point, Prediction, SeededNoise, Step,
    denoiser::{Clip, Corrected},
    guidance::{Combination, Guided},
    predicts,
};
use server::{
    Pictures, batch,
    job::Order,
    progress::{Progress, View},
    routes::routes,
    service::Service,
    store::Store,
};
use tokio::{net::TcpListener, runtime::Runtime};

/// The network of the digits, which nobody trained but which does not answer with 0, as the server asks it.
pub fn of_digits() -> impl batch::Network + Clone {
    let mut layers = Network::of_diffusion();
    for (_, _, _, gain) in &mut layers {
        *gain = gain.max(0.3);
    }
    let network = Network::new(Weights::seeded(&layers, 1).unwrap()).unwrap();
    let network = Arc::new(network);
    move |x: &Pictures, times: &[Step], digits: &[Class]| -> Answer {
        let answer = network.predict_in_blocks(x, times, digits);
        answer.map_err(Error::network)
    }
}

/// A few multiplications in its place, where there are many pictures.
pub fn small() -> impl batch::Network + Clone {
    |x: &Pictures, times: &[Step], digits: &[Class]| -> Answer {
        let mut answer = x.clone();
        let told = times.iter().zip(digits);
        for ((mut answer, x), (time, digit)) in
            answer.rows_mut().into_iter().zip(x.rows()).zip(told)
        {
            let told = time.get() as f32 / 1000.0 - digit.map_or(0.3, |digit| digit as f32 / 20.0);
            for (j, answer) in answer.iter_mut().enumerate() {
                let inner = x[j] - 0.7 * x[(j + 1) % PIXELS] + told;
                *answer = 1.5 * inner / (1.0 + inner.abs());
            }
        }
        Ok(Prediction::velocity(answer))
    }
}

type Answer = Result<Prediction<Pictures>, Error>;

/// The same network, taking its time.
pub fn slow(mut network: impl batch::Network, pause: Duration) -> impl batch::Network {
    move |x: &Pictures, times: &[Step], digits: &[Class]| {
        thread::sleep(pause);
        network(x, times, digits)
    }
}

pub fn order(sampler: &str, steps: usize, seed: u64) -> Order {
    let sampler = sampler.to_owned();
    let (digit, guidance) = (
        (!seed.is_multiple_of(4)).then_some(seed as usize % 10),
        1.0 + (seed % 3) as f64,
    );
    Order {
        sampler,
        steps,
        seed,
        digit,
        guidance,
    }
}

/// The picture of an order, drawn by itself in the crate's own loop.
pub fn alone(network: &(impl batch::Network + Clone), order: &Order) -> Vec<f32> {
    let plan = order.plan().unwrap();
    let mut noise = SeededNoise::new(order.seed);
    let start: Pictures = plan.prior((1, PIXELS), &mut noise).unwrap();
    let asked = |digit| {
        let mut network = network.clone();
        predicts::with(move |x: &Pictures, at: Point<Step>| network(x, &[at.time], &[digit]))
    };
    let rule = Combination::classifier_free(order.guidance).unwrap();
    let guided = Guided::new((asked(order.digit), asked(None)), rule);
    let mut denoiser = Corrected::new(guided, Clip::new(-1.0, 1.0).unwrap());
    let picture = plan.sample(start, &mut denoiser, &mut noise).unwrap();
    picture.iter().copied().collect()
}

pub fn bits(pixels: &[f32]) -> Vec<u32> {
    pixels.iter().map(|pixel| pixel.to_bits()).collect()
}

/// A server at work on an address of its own.
pub struct Server {
    pub address: SocketAddr,
    pub service: Arc<Service>,
    runtime: Runtime,
}

impl Server {
    pub fn start(network: impl batch::Network, jobs: &Path) -> Self {
        Self::with(network, jobs, |routes| routes)
    }

    pub fn with(
        network: impl batch::Network,
        jobs: &Path,
        more: impl FnOnce(Router) -> Router,
    ) -> Self {
        let service = Arc::new(Service::start(network, Store::new(jobs)).unwrap());
        let routes = more(routes(Arc::clone(&service)));
        let runtime = Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, routes).await });
        Self {
            address,
            service,
            runtime,
        }
    }

    pub fn stop(self) {
        self.service.stop().unwrap();
        self.runtime.shutdown_timeout(Duration::from_secs(5));
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The status and the text of an answer.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(self.url(path));
        let request = request
            .header("content-type", "application/json")
            .body(body.to_owned());
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let mut answer = agent.run(request.unwrap()).unwrap();
        (
            answer.status().as_u16(),
            answer.body_mut().read_to_string().unwrap(),
        )
    }

    pub fn order(&self, order: &Order) -> u64 {
        let (status, text) = self.ask("POST", "/jobs", &serde_json::to_string(order).unwrap());
        assert_eq!(status, 201, "{text}");
        let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
        answer["id"].as_u64().unwrap()
    }

    /// News of a job as they come, up to the last.
    pub fn follow(&self, id: u64) -> Vec<Progress> {
        use std::io::{BufRead, BufReader};
        let answer = ureq::get(self.url(&format!("/jobs/{id}/events")))
            .call()
            .unwrap();
        let mut news = Vec::new();
        for line in BufReader::new(answer.into_body().into_reader()).lines() {
            if let Some(data) = line.unwrap().strip_prefix("data: ") {
                let views: Vec<View> = serde_json::from_str(data).unwrap();
                assert!(views.iter().all(|view| view.id == id));
                news.extend(views.into_iter().map(|view| view.progress));
            }
        }
        news
    }
}
