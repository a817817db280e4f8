//! `GET /api/v1/throughput`: how fast it went.

use axum::extract::State;
use serde::Deserialize;

use crate::manager::{Span, Throughput};

use super::super::App;
use super::super::answer::{Answer, Answered};
use super::super::extract::Query;

/// Which span.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ThroughputQuery {
    #[serde(default)]
    #[param(inline)]
    span: SpanWord,
}

/// The spans that are kept.
#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
enum SpanWord {
    #[default]
    #[serde(rename = "5m")]
    FiveMinutes,
    #[serde(rename = "1h")]
    Hour,
    #[serde(rename = "24h")]
    Day,
}

/// The steps of the span that ends now.
#[utoipa::path(get, path = "", params(ThroughputQuery), responses((status = 200, description = "Every step of the span", body = Throughput)))]
pub(in super::super) async fn show(
    State(app): State<App>,
    Query(query): Query<ThroughputQuery>,
) -> Answered<Throughput> {
    let span = match query.span {
        SpanWord::FiveMinutes => Span::FiveMinutes,
        SpanWord::Hour => Span::Hour,
        SpanWord::Day => Span::Day,
    };
    Ok(Answer::ok(app.manager.throughput(span).await?))
}
