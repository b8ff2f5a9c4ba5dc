//! Definitions: `/v1/definitions…`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidings::{Definition, Error};

use crate::json::{Applied, DefinitionList, Object};
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
    let Object(list): Object<DefinitionList> = parse(&body, "a list of definitions", |body| {
        body["definitions"].as_array().is_none_or(|all| all.iter().all(has_named_fields))
    })?;
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
    let Object(definition): Object<Definition> = parse(&body, "a definition", has_named_fields)?;
    if definition.name != name {
        let why = format!("its address names {name:?}");
        return Err(Error::BadDefinition { name: definition.name, why }.into());
    }
    Ok(Json(door.peer.apply(vec![definition]).await?.into()))
}

/// `DELETE /v1/definitions/{name}`: its databases keep their data and cannot be opened.
pub(crate) async fn delete(
    State(door): State<Door>,
    Named(name): Named,
) -> Result<Json<Value>, Problem> {
    if door.peer.remove_definition(&name).await? {
        Ok(Json(serde_json::json!({ "removed": name })))
    } else {
        Err(absent(&name))
    }
}

fn parse<T: DeserializeOwned>(
    body: &[u8],
    what: &str,
    has_named_fields: impl Fn(&Value) -> bool,
) -> Result<T, Problem> {
    let wrong = |error: &dyn std::fmt::Display| {
        Problem::bad_argument(format!("the body is not {what} in JSON: {error}"))
    };
    let mut whole: Value = serde_json::from_slice(body).map_err(|error| wrong(&error))?;
    let parsed = serde_json::from_slice(body).or_else(|error| {
        // In the description 3.0 is a whole number, as it is in any JSON schema.
        make_whole(&mut whole);
        T::deserialize(&whole).map_err(|_| wrong(&error))
    })?;
    if !has_named_fields(&whole) {
        return Err(wrong(&"a definition and its `replication` are objects"));
    }
    Ok(parsed)
}

/// Whether a definition and what is in it are objects: see [`Object`].
fn has_named_fields(definition: &Value) -> bool {
    definition.is_object() && definition["replication"].is_object()
}

/// Writes numbers such as 3.0 without their fraction, of up to 9e15: above 2^53 they are not exact.
fn make_whole(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = |number: &f64| number.fract() == 0.0 && number.abs() <= 9e15;
            if let Some(float) = number.as_f64().filter(|float| number.is_f64() && whole(float)) {
                *number = (float as i64).into();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(make_whole),
        Value::Object(fields) => fields.values_mut().for_each(make_whole),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn absent(name: &str) -> Problem {
    Problem::not_found(format!("there is no definition named {name:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_have_a_fraction_of_zero() {
        let read = |copies: &str| -> Result<Definition, Problem> {
            let body = format!(
                r#"{{"name":"a","matcher":"a/*","replication":{{"min":1,"max":{copies}}}}}"#
            );
            let Object(definition) = parse(body.as_bytes(), "a definition", has_named_fields)?;
            Ok(definition)
        };
        assert_eq!(read("3.0").unwrap(), read("3").unwrap());
        for copies in ["3.5", "-3.0", "1e300", "\"3\""] {
            assert!(read(copies).is_err(), "{copies}");
        }
    }
}
