//! The interface as a whole: what every request passes, and what is shared by the modules that serve them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use http_body_util::BodyExt as _;
use tidings::{Database, Peer};
use tokio::sync::watch as signal;

use crate::bounds::{BODY_DRAIN_MAX, BODY_MAX, BODY_TIMEOUT};
use crate::endpoint::Endpoint;
use crate::metrics::{Beside, Counts};
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::{duration, endpoint, guard};
use tidings_tokens::LiveTokens;

/// What every handler works with.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    /// The peer behind the door.
    pub(crate) peer: Peer,
    /// The tokens that it asks for; `None`: it asks for none.
    pub(crate) tokens: Option<Arc<LiveTokens>>,
    /// What it counts.
    pub(crate) counts: Arc<Counts>,
    /// What others add to the metrics.
    pub(crate) beside: Option<Beside>,
    /// True once the door closes: streams end themselves.
    pub(crate) closing: signal::Receiver<bool>,
}

impl Door {
    /// The database of a request, with the keys of the keyspace that it names.
    pub(crate) async fn database(&self, path: &str, query: &Query) -> Result<Database, Problem> {
        let database = self.peer.database(path).await?;
        match query.text("keyspace")? {
            None => Ok(database),
            Some(name) => Ok(database.keyspace(name)?),
        }
    }
}

/// The whole interface over a peer.
pub(crate) fn router(door: Door) -> Router {
    endpoint::router()
        .fallback(unknown_address)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state(door.clone(), guard::check))
        .layer(from_fn_with_state(Arc::clone(&door.counts), note))
        .with_state(door)
}

async fn unknown_address(request: Request) -> Problem {
    let detail =
        format!("there is nothing at {:?}; the interface is under /v1", request.uri().path());
    Problem::new(Code::NoEndpoint, detail)
}

async fn unknown_method(request: Request) -> Problem {
    let detail = format!("{} is not offered at {:?}", request.method(), request.uri().path());
    Problem::new(Code::MethodNotAllowed, detail)
}

/// Counts and logs what was asked and how it ended; never a body, and no query either, since a `start` or a
/// `prefix` may be somebody's data.
async fn note(State(counts): State<Arc<Counts>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let endpoint = response.extensions().get::<&'static Endpoint>().copied();
    counts.answered(endpoint, response.status(), began.elapsed());
    tracing::debug!(%method, path, status = response.status().as_u16(), "request");
    response
}

/// Reads a body of at most [`BODY_MAX`] bytes, which has [`BODY_TIMEOUT`] to come.
pub(crate) async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    read_within(BODY_TIMEOUT, headers, body).await
}

async fn read_within(timeout: Duration, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(timeout, collect(headers, body)).await {
        Ok(result) => result,
        Err(_) => Err(Problem::new(
            Code::RequestTimeout,
            format!(
                "the body was not complete after {}; send it at once, or in parts",
                duration::format(timeout)
            ),
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

#[cfg(test)]
pub(crate) mod tests;
