//! Single keys and listings: `/v1/databases/{path}/keys…`.

use std::fmt::Display;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64URL_NOPAD;
use tidings::{Condition, Database, Error, Filter, ListOptions, Version, WriteOptions, limits};

use crate::acknowledge::{Acks, durability};
use crate::json::{Row, RowPage, Written};
use crate::moment;
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::{Door, read_body};
use crate::target::{KeyBytes, Named};

/// How long a read waits for a version that it asks for, unless the request says otherwise.
const BEHIND_TIMEOUT: Duration = Duration::from_secs(5);
/// The header that says from when on the entry is hidden, where there is such a moment.
pub(crate) const EXPIRES: HeaderName = HeaderName::from_static("tidings-expires");

/// `PUT`: the body is the value.
pub(crate) async fn put(
    State(door): State<Door>,
    Named(path): Named,
    KeyBytes(key): KeyBytes,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let value = read_body(&headers, body).await;
    let condition = condition(&headers)?;
    let database = door.database(&path, &query).await?;
    let options = WriteOptions { condition, ..write_options(&database, &query)? };
    check_key(&key)?;
    let value = match value {
        Err(problem) if problem.code == "body-too-large" => Err(Problem::from(
            // What was read is only known to be longer than the bound.
            Error::ValueLength { length: announced_length(&headers) },
        ))?,
        value => value?,
    };
    let version = database.put_with(key, Vec::from(value), &options).await?;
    Ok(written(version))
}

/// `DELETE`: also of what is absent.
pub(crate) async fn delete(
    State(door): State<Door>,
    Named(path): Named,
    KeyBytes(key): KeyBytes,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let condition = condition(&headers)?;
    let database = door.database(&path, &query).await?;
    let options = WriteOptions { condition, ..write_options(&database, &query)? };
    check_key(&key)?;
    Ok(written(database.delete_with(key, &options).await?))
}

/// `GET` and `HEAD`: the value as it was written, its version as the `ETag`, its expiry in a header.
pub(crate) async fn get(
    State(door): State<Door>,
    Named(path): Named,
    KeyBytes(key): KeyBytes,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let database = door.database(&path, &query).await?;
    check_key(&key)?;
    let timeout = query.duration("timeout")?.unwrap_or(BEHIND_TIMEOUT);
    let entry = match query.text("min_version")? {
        Some(version) => {
            let version = version.trim_matches('"').parse::<Version>();
            let version =
                version.map_err(|error| Problem::bad_argument(format!("min_version: {error}")))?;
            database.get_entry_since(&key, version, timeout).await?
        }
        None => database.get_entry(&key).await?,
    };
    let Some(entry) = entry else { return Err(absent(&path, &key)) };
    let tag = entity_tag(entry.version);
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| {
        known
            .to_str()
            .is_ok_and(|known| known.split(',').any(|one| one.trim() == tag || one.trim() == "*"))
    });
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/octet-stream")], entry.value).into_response()
    };
    set_entity_tag(&mut response, &tag);
    if let Some(expires) = entry.expires
        && let Ok(expires) = HeaderValue::try_from(moment::format(expires))
    {
        response.headers_mut().insert(EXPIRES, expires);
    }
    // A proxy or a browser may keep what it got, and must ask whether it is still current.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// `GET …/keys`: one page of keys with a prefix.
pub(crate) async fn list(
    State(door): State<Door>,
    Named(path): Named,
    query: Query,
) -> Result<Json<RowPage>, Problem> {
    let values = query.flag("values", false)?;
    let options = ListOptions {
        prefix: query.bytes("prefix").unwrap_or_default().to_vec(),
        limit: query.number("limit")?.unwrap_or(0).min(limits::PAGE_MAX),
        cursor: cursor(&query)?,
        reverse: query.flag("reverse", false)?,
        keys_only: !values,
        filter: filter(&query)?,
        budget: query.number("budget")?.unwrap_or(0),
    };
    let page = door.database(&path, &query).await?.list(&options).await?;
    let entries = page.entries.into_iter().map(|entry| {
        let row = Row::from(entry);
        Row { value: row.value.filter(|_| values), ..row }
    });
    Ok(Json(RowPage {
        entries: entries.collect(),
        truncated: page.cursor.is_some(),
        cursor: page.cursor.map(|cursor| BASE64URL_NOPAD.encode(&cursor)),
    }))
}

/// The cursor of a request, as an earlier page gave it.
pub(crate) fn cursor(query: &Query) -> Result<Option<Vec<u8>>, Problem> {
    let cursor = query.bytes("cursor").map(|text| BASE64URL_NOPAD.decode(text)).transpose();
    cursor.map_err(|_| {
        Problem::bad_argument("the cursor is not one that a listing returned; start again without")
    })
}

/// What the keys of a request have to match: `glob` or `regex`.
pub(crate) fn filter(query: &Query) -> Result<Option<Filter>, Problem> {
    Ok(match (query.text("glob")?, query.text("regex")?) {
        (None, None) => None,
        (Some(glob), None) => Some(Filter::glob(glob)?),
        (None, Some(regex)) => Some(Filter::regex(regex)?),
        (Some(_), Some(_)) => {
            return Err(Problem::bad_argument("glob and regex together: give one of them"));
        }
    })
}

/// Reads what a write asks for: `durability`, `acks` (a number or `min`), `ttl`, `expires`,
/// `timeout`.
pub(crate) fn write_options(database: &Database, query: &Query) -> Result<WriteOptions, Problem> {
    let bad = |name, error: &dyn Display| Problem::bad_argument(format!("{name}: {error}"));
    let durability = query.text("durability")?.map(durability).transpose();
    let acks = query.text("acks")?.map(str::parse).transpose();
    let acks = acks.map_err(|error| bad("acks", &error))?.map(|acks| match acks {
        Acks::Of(number) => number.get(),
        Acks::Min => database.definition().replication.min,
    });
    Ok(WriteOptions {
        durability: durability.map_err(|error| bad("durability", &error))?,
        acks,
        timeout: query.duration("timeout")?,
        ttl: query.duration("ttl")?,
        expires: query.moment("expires")?,
        condition: None,
    })
}

/// Reads what a single write wants to be true of its key: `If-None-Match: *`, `If-Match: *`, or
/// `If-Match` with the version that a read or a write returned. What cannot be honoured is refused:
/// ignoring it would overwrite what the client meant to keep.
pub(crate) fn condition(headers: &HeaderMap) -> Result<Option<Condition>, Problem> {
    let text = |name: &HeaderName| {
        let text = headers.get(name).map(|value| value.to_str().unwrap_or("?"));
        text.map(str::trim)
    };
    let bad = |name, value: &str, wants| {
        Problem::bad_argument(format!("{name}: {value} is not understood here: write {wants}"))
    };
    let absent = match text(&header::IF_NONE_MATCH) {
        None => false,
        Some("*") => true,
        Some(other) => {
            return Err(bad(header::IF_NONE_MATCH, other, "*, for a key that is absent"));
        }
    };
    let there = match text(&header::IF_MATCH) {
        None => return Ok(absent.then_some(Condition::Absent)),
        Some("*") => Condition::Present,
        Some(tag) => {
            let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
            let version = version.and_then(|text| text.parse().ok());
            let wants = "one entity tag in quotes, as a read or a write returned it, or *";
            Condition::Version(version.ok_or_else(|| bad(header::IF_MATCH, tag, wants))?)
        }
    };
    if absent {
        let why = "no key is there, as If-Match wants, and absent, as If-None-Match: * wants";
        return Err(Error::ConditionFailed(why.into()).into());
    }
    Ok(Some(there))
}

/// Conditions are for single writes: ignoring one of a batch would overwrite what the client meant to keep.
pub(crate) fn refuse_conditions(headers: &HeaderMap) -> Result<(), Problem> {
    for name in [header::IF_MATCH, header::IF_NONE_MATCH] {
        if headers.contains_key(&name) {
            return Err(Problem::not_available(&format!("a write with the condition {name}")));
        }
    }
    Ok(())
}

/// The library checks keys too; asking here gives a read of an impossible key the same answer.
pub(crate) fn check_key(key: &[u8]) -> Result<(), Problem> {
    if key.is_empty() || key.len() > limits::KEY_MAX {
        return Err(Error::KeyLength { length: key.len() }.into());
    }
    Ok(())
}

/// A key that is asked for is not there.
pub(crate) fn absent(path: &str, key: &[u8]) -> Problem {
    let key = String::from_utf8_lossy(key);
    Problem::not_found(format!("the key {key:?} is not in the database {path:?}"))
}

fn announced_length(headers: &HeaderMap) -> usize {
    let length = headers.get(header::CONTENT_LENGTH);
    length.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(limits::VALUE_MAX + 1)
}

/// The answer to a single write.
pub(crate) fn written(version: Version) -> Response {
    tagged(version, &Written { version: version.to_string() })
}

/// A document about a single write, with its version as the `ETag`.
pub(crate) fn tagged(version: Version, document: &impl serde::Serialize) -> Response {
    let mut response = Json(document).into_response();
    set_entity_tag(&mut response, &entity_tag(version));
    response
}

fn entity_tag(version: Version) -> String {
    format!("\"{version}\"")
}

fn set_entity_tag(response: &mut Response, tag: &str) {
    if let Ok(value) = HeaderValue::from_str(tag) {
        response.headers_mut().insert(header::ETAG, value);
    }
}
