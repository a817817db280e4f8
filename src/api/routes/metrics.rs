//! `GET /metrics`: counters and gauges for Prometheus and those who read its text.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::metrics::CONTENT_TYPE;

use super::super::App;
use super::super::problem::Problem;

/// The text.
pub(in super::super) async fn handle(State(app): State<App>) -> Result<impl IntoResponse, Problem> {
    app.manager.metrics().listening(app.streams.listeners());
    let text = app.manager.metrics_text().await?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
