//! The service over HTTP.
//!
//! | | |
//! |---|---|
//! | `GET /` | a page to draw with |
//! | `GET /samplers` | names of samplers |
//! | `POST /jobs` | an [`Order`]; gives its number |
//! | `GET /jobs`, `GET /jobs/7` | all jobs, one job |
//! | `DELETE /jobs/7` | cancels it |
//! | `GET /events`, `GET /jobs/7/events` | news of all jobs, of one: lists of [`View`] |

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use gaussian_diffusion::{Sampler, sampler::Kind};
use serde_json::{Value, json};

use crate::{
    events::events,
    job::Order,
    progress::View,
    service::{Refusal, Service},
};

type Shared = State<Arc<Service>>;

/// Bytes of an order, at most.
const MOST_BYTES: usize = 4096;

pub fn routes(service: Arc<Service>) -> Router {
    let all = |State(service): Shared| async move { events(service.register(), None) };
    Router::new()
        .route("/", get(async || Html(include_str!("page.html"))))
        .route("/samplers", get(samplers))
        .route("/jobs", get(jobs).post(order))
        .route("/jobs/{id}", get(job).delete(cancel))
        .route("/jobs/{id}/events", get(job_events))
        .route("/events", get(all))
        .layer(DefaultBodyLimit::max(MOST_BYTES))
        .with_state(service)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

/// Those whose steps are known before they run, and whose guidance is the usual one.
async fn samplers() -> Json<Vec<String>> {
    let planned = Sampler::all().filter(|sampler| sampler.kind() == Kind::Planned);
    let names = planned.map(|sampler| sampler.to_string());
    Json(
        names
            .filter(|name| !name.to_lowercase().contains("cfg"))
            .collect(),
    )
}

async fn order(
    State(service): Shared,
    Json(order): Json<Order>,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let id = service.order(order)?;
    Ok((StatusCode::CREATED, Json(json!({ "id": id }))))
}

async fn jobs(State(service): Shared) -> Json<Vec<View>> {
    Json(service.jobs())
}

async fn job(State(service): Shared, Path(id): Path<u64>) -> Result<Json<View>, Refusal> {
    Ok(Json(service.job(id)?))
}

async fn cancel(State(service): Shared, Path(id): Path<u64>) -> Result<StatusCode, Refusal> {
    service.cancel(id)?;
    Ok(StatusCode::ACCEPTED)
}

async fn job_events(
    State(service): Shared,
    Path(id): Path<u64>,
) -> Result<impl IntoResponse, Refusal> {
    service.job(id)?;
    Ok(events(service.register(), Some(id)))
}
