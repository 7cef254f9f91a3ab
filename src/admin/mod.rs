//! Operators' listener: metrics, health, status. Plain HTTP, no secrets, nothing about single users.

mod health;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::edge;
use crate::metrics::Metrics;

pub use health::Health;

/// What the operators' listener answers from.
#[derive(Debug, Clone)]
struct Admin {
    metrics: Arc<Metrics>,
    health: Health,
}

/// The pages of the operators' listener.
#[must_use]
pub fn service(metrics: Arc<Metrics>, health: Health) -> Operators {
    let router = Router::new()
        .route("/metrics", get(exposition))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .with_state(Admin { metrics, health });
    Operators { router }
}

/// Serves operators.
#[derive(Debug, Clone)]
pub struct Operators {
    router: Router,
}

impl edge::Service for Operators {
    type Body = axum::body::Body;

    async fn call(
        &self,
        _connection: &Arc<edge::Connection>,
        request: http::Request<edge::RequestBody>,
    ) -> http::Response<axum::body::Body> {
        let mut router = self.router.clone();
        match tower_service::Service::call(&mut router, request.map(axum::body::Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Encoding thousands of series takes milliseconds, so it does not run on a thread that serves connections.
async fn exposition(State(admin): State<Admin>) -> Response {
    let encoded = tokio::task::spawn_blocking(move || admin.metrics.encode()).await;
    match encoded {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(admin): State<Admin>) -> Response {
    let report = admin.health.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(report)).into_response()
}
