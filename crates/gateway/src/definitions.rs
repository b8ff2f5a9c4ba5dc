//! Definitions: `/v1/definitions…`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::de::DeserializeOwned;
use tidings::Definition;

use crate::json::{Applied, DefinitionList};
use crate::problem::Problem;
use crate::routes::{Door, read_body};
use crate::target::Named;

/// `GET /v1/definitions`.
pub(crate) async fn list(State(door): State<Door>) -> Result<Json<DefinitionList>, Problem> {
    Ok(Json(DefinitionList { definitions: door.peer.definitions()? }))
}

/// `POST /v1/definitions`: creates or changes several, all of them or none.
pub(crate) async fn apply(
    State(door): State<Door>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Applied>, Problem> {
    let body = read_body(&headers, body).await?;
    let list: DefinitionList = parse(&body, "a list of definitions")?;
    Ok(Json(door.peer.apply(list.definitions).await?.into()))
}

/// `GET /v1/definitions/{name}`.
pub(crate) async fn get(
    State(door): State<Door>,
    Named(name): Named,
) -> Result<Json<Definition>, Problem> {
    let found = door.peer.definitions()?.into_iter().find(|definition| definition.name == name);
    found.map(Json).ok_or_else(|| absent(&name))
}

/// `PUT /v1/definitions/{name}`: creates or changes one.
pub(crate) async fn put(
    State(door): State<Door>,
    Named(name): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Applied>, Problem> {
    let body = read_body(&headers, body).await?;
    let definition: Definition = parse(&body, "a definition")?;
    if definition.name != name {
        return Err(Problem::bad_argument(format!(
            "the definition is named {:?} and its address names {name:?}",
            definition.name
        )));
    }
    Ok(Json(door.peer.apply(vec![definition]).await?.into()))
}

/// `DELETE /v1/definitions/{name}`: its databases keep their data and cannot be opened.
pub(crate) async fn delete(
    State(door): State<Door>,
    Named(name): Named,
) -> Result<Json<serde_json::Value>, Problem> {
    if door.peer.remove_definition(&name).await? {
        Ok(Json(serde_json::json!({ "removed": name })))
    } else {
        Err(absent(&name))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_argument(format!("the body is not {what} in JSON: {error}")))
}

fn absent(name: &str) -> Problem {
    Problem::not_found(format!("there is no definition named {name:?}"))
}
