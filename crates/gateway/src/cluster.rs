//! What the cluster says about itself: databases, peers, statuses, and being up to date.

use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use tidings::limits;
use tidings::status::{DatabaseStatus, DrainStatus, NodeStatus};

use crate::guard::Caller;
use crate::json::{DatabasePage, Dropped, PeerList};
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::Door;
use crate::target::Named;

/// How long a sync waits unless the request says otherwise.
const SYNC_TIMEOUT: Duration = Duration::from_secs(30);

/// `GET /v1/databases?limit=&cursor=`: those that the caller's token is for. The cursor is the last path
/// of the page.
pub(crate) async fn databases(
    State(door): State<Door>,
    Extension(caller): Extension<Caller>,
    query: Query,
) -> Result<Json<DatabasePage>, Problem> {
    let limit = match query.number::<usize>("limit")? {
        None | Some(0) => limits::PAGE_MAX,
        Some(limit) => limit.min(limits::PAGE_MAX),
    };
    let mut databases = Vec::new();
    let mut after = query.text("cursor")?.map(ToOwned::to_owned);
    // One more than asked for tells whether anything follows.
    while databases.len() <= limit {
        let wanted = limit + 1 - databases.len();
        let mut page = door.peer.databases(after.as_deref(), wanted)?;
        let whole = page.len() == wanted;
        after = page.last().map(|last| last.path.clone());
        page.retain(|database| caller.may_see(&database.path));
        databases.append(&mut page);
        if !whole {
            break;
        }
    }
    let truncated = databases.len() > limit;
    databases.truncate(limit);
    let cursor = databases.last().filter(|_| truncated).map(|last| last.path.clone());
    Ok(Json(DatabasePage { databases, truncated, cursor }))
}

/// `GET /v1/databases/{path}/status`.
pub(crate) async fn database_status(
    State(door): State<Door>,
    Named(path): Named,
) -> Result<Json<DatabaseStatus>, Problem> {
    Ok(Json(door.peer.database_status(&path).await?))
}

/// `DELETE /v1/databases/{path}`: drops it, for good.
pub(crate) async fn drop_database(
    State(door): State<Door>,
    Named(path): Named,
) -> Result<Json<Dropped>, Problem> {
    if door.peer.drop_database(&path).await? {
        Ok(Json(Dropped { dropped: true }))
    } else {
        Err(Problem::not_found(format!("there is no database {path:?}: nobody has written to it")))
    }
}

/// `POST /v1/databases/{path}/sync?timeout=`: answers once this peer has what its holders have.
pub(crate) async fn sync(
    State(door): State<Door>,
    Named(path): Named,
    query: Query,
) -> Result<Json<serde_json::Value>, Problem> {
    let timeout = query.duration("timeout")?.unwrap_or(SYNC_TIMEOUT);
    door.peer.database(&path).await?.sync(timeout).await?;
    Ok(Json(serde_json::json!({ "synced": true })))
}

/// `GET /v1/peers`.
pub(crate) async fn peers(State(door): State<Door>) -> Result<Json<PeerList>, Problem> {
    Ok(Json(PeerList { peers: door.peer.peers() }))
}

/// `GET /v1/status`.
pub(crate) async fn status(State(door): State<Door>) -> Result<Json<NodeStatus>, Problem> {
    Ok(Json(door.peer.status()))
}

/// `GET /v1/drain`: how far this peer is with handing over everything.
pub(crate) async fn drain_status(State(door): State<Door>) -> Result<Json<DrainStatus>, Problem> {
    Ok(Json(door.peer.drain_status()?))
}

/// `PUT /v1/drain`: begins it.
pub(crate) async fn drain(state: State<Door>) -> Result<Json<DrainStatus>, Problem> {
    state.peer.drain(true)?;
    drain_status(state).await
}

/// `DELETE /v1/drain`: ends it.
pub(crate) async fn undrain(state: State<Door>) -> Result<Json<DrainStatus>, Problem> {
    state.peer.drain(false)?;
    drain_status(state).await
}
