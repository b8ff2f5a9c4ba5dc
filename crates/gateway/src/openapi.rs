//! The description of the interface, after OpenAPI 3.1: `docs/openapi.json`, served as it is.
//!
//! It is written by hand. The tests compare it with the table of endpoints, with the problem codes and
//! with real answers, in both directions.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// The document.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

/// `GET /openapi.json`.
pub(crate) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests;
