//! The map of `/v1`: which address is served by which module.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post, put};
use http_body_util::BodyExt as _;
use tidings::{Peer, limits};
use tokio::sync::watch as signal;

use crate::problem::Problem;
use crate::{batch, cluster, definitions, guard, health, keys, scan, watch};

/// Largest request body: one value of the largest size, or a batch of the largest size in JSON (whose
/// escapes make it several times larger than its bytes), and some slack.
pub(crate) const BODY_MAX: usize = limits::VALUE_MAX + (64 << 10);
/// How far a body that is too large is read on, so that its sender gets to see the answer: a client
/// that is still writing when the connection closes sees only a reset.
const BODY_DRAIN_MAX: usize = 4 * BODY_MAX;
/// A body that is not complete after this long is given up.
const BODY_TIMEOUT: Duration = Duration::from_mins(2);

/// What every handler works with.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// The peer behind the door.
    pub(crate) peer: Peer,
    /// True once the door closes: streams end themselves.
    pub(crate) closing: signal::Receiver<bool>,
}

/// The whole interface over a peer.
pub(crate) fn router(peer: Peer, closing: signal::Receiver<bool>) -> Router {
    let key = put(keys::put).get(keys::get).delete(keys::delete);
    Router::new()
        .route("/v1/databases", get(cluster::databases))
        .route("/v1/databases/{path}", axum::routing::delete(cluster::drop_database))
        .route("/v1/databases/{path}/keys", get(keys::list))
        // Without this one an empty key would be an unknown address, and not a key that is too short.
        .route("/v1/databases/{path}/keys/", key.clone())
        .route("/v1/databases/{path}/keys/{key}", key)
        .route("/v1/databases/{path}/keys/{key}/incr", post(keys::incr))
        .route("/v1/databases/{path}/scan", get(scan::scan))
        .route("/v1/databases/{path}/batch", post(batch::batch))
        .route("/v1/databases/{path}/watch", get(watch::watch))
        .route("/v1/databases/{path}/status", get(cluster::database_status))
        .route("/v1/databases/{path}/sync", post(cluster::sync))
        .route("/v1/definitions", get(definitions::list).post(definitions::apply))
        .route(
            "/v1/definitions/{name}",
            get(definitions::get).put(definitions::put).delete(definitions::delete),
        )
        .route("/v1/peers", get(cluster::peers))
        .route("/v1/status", get(cluster::status))
        .route("/v1/drain", get(cluster::drain_status).put(cluster::drain).delete(cluster::undrain))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(unknown_address)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn(guard::check))
        .layer(from_fn(log))
        .with_state(Door { peer, closing })
}

async fn unknown_address(request: Request) -> Problem {
    let detail =
        format!("there is nothing at {:?}; the interface is under /v1", request.uri().path());
    Problem::new(StatusCode::NOT_FOUND, "no-endpoint", detail)
}

async fn unknown_method(request: Request) -> Problem {
    let detail = format!("{} is not offered at {:?}", request.method(), request.uri().path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

/// Logs what was asked and how it ended; never a body, and no query either, since a `start` or a
/// `prefix` may be somebody's data.
async fn log(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    tracing::debug!(%method, path, status = response.status().as_u16(), "request");
    response
}

/// Reads a body of at most [`BODY_MAX`] bytes.
pub(crate) async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIMEOUT, collect(headers, body)).await {
        Ok(result) => result,
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "timed-out",
            format!("the body was not complete after {} s", BODY_TIMEOUT.as_secs()),
        )),
    }
}

async fn collect(headers: &HeaderMap, mut body: Body) -> Result<Bytes, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or(0);
    if announced > BODY_DRAIN_MAX {
        return Err(Problem::body_too_large(BODY_MAX));
    }
    let mut bytes = Vec::with_capacity(announced.min(BODY_MAX));
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::bad_argument(format!("the body could not be read to its end: {error}"))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        total += data.len();
        if total > BODY_DRAIN_MAX {
            break;
        }
        if total <= BODY_MAX {
            bytes.extend_from_slice(&data);
        }
    }
    if total > BODY_MAX { Err(Problem::body_too_large(BODY_MAX)) } else { Ok(bytes.into()) }
}
