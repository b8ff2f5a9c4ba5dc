//! What changes entries that are there: increments, expiries, and deletes of every key with a prefix.

use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tidings::{WriteOptions, limits};

use crate::json::{Counted, Deleted};
use crate::keys::{
    absent, check_key, condition, refuse_conditions, tagged, write_options, written,
};
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::Door;
use crate::target::{KeyBytes, Named};

/// `POST …/incr?by=`: adds to a counter, 1 unless said otherwise.
pub(crate) async fn incr(
    State(door): State<Door>,
    Named(path): Named,
    KeyBytes(key): KeyBytes,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let condition = condition(&headers)?;
    let by = query.number("by")?.unwrap_or(1);
    let database = door.database(&path, &query).await?;
    let options = WriteOptions { condition, ..write_options(&database, &query)? };
    check_key(&key)?;
    let counted = database.incr_with(key, by, &options).await?;
    let document = Counted { value: counted.value, version: counted.version.to_string() };
    Ok(tagged(counted.version, &document))
}

/// `POST …/expire?ttl=` or `?expires=`: from when on an entry that is there is hidden.
pub(crate) async fn expire(
    State(door): State<Door>,
    Named(path): Named,
    KeyBytes(key): KeyBytes,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let expires = expiry(&query)?;
    change_expiry(&door, (&path, key), Some(expires), &query, &headers).await
}

/// `POST …/persist`: an entry that was to expire stays.
pub(crate) async fn persist(
    State(door): State<Door>,
    Named(path): Named,
    KeyBytes(key): KeyBytes,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    change_expiry(&door, (&path, key), None, &query, &headers).await
}

async fn change_expiry(
    door: &Door,
    (path, key): (&str, Vec<u8>),
    expires: Option<SystemTime>,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let condition = condition(headers)?;
    let database = door.database(path, query).await?;
    // The moment is an argument of its own, so that it is not one of the options of a put.
    let options = write_options(&database, query)?;
    let options = WriteOptions { condition, ttl: None, expires: None, ..options };
    check_key(&key)?;
    match database.expire_with(key.as_slice(), expires, &options).await? {
        Some(version) => Ok(written(version)),
        None => Err(absent(path, &key)),
    }
}

/// The moment that a request gives: `expires`, or else `ttl` from now, as for a put.
fn expiry(query: &Query) -> Result<SystemTime, Problem> {
    if let Some(expires) = query.moment("expires")? {
        return Ok(expires);
    }
    let Some(ttl) = query.duration("ttl")? else {
        return Err(Problem::bad_argument(
            "say when the entry expires: ttl=30s, or expires=2026-11-21T16:00:00.000Z; to let it stay, POST to …/persist",
        ));
    };
    let (millis, most) = (ttl.as_millis(), u128::from(limits::TTL_MAX));
    let expires = SystemTime::now().checked_add(ttl).filter(|_| (1..=most).contains(&millis));
    expires.ok_or_else(|| {
        Problem::bad_argument(format!("a time to live of {millis} ms: it is from 1 to {most} ms"))
    })
}

/// `DELETE …/keys?prefix=`: every key with a prefix. It has to be given, so that nobody deletes all by
/// leaving it out; an empty one means all.
pub(crate) async fn delete_prefix(
    State(door): State<Door>,
    Named(path): Named,
    query: Query,
    headers: HeaderMap,
) -> Result<Json<Deleted>, Problem> {
    refuse_conditions(&headers)?;
    let Some(prefix) = query.bytes("prefix") else {
        return Err(Problem::bad_argument(
            "say which keys to delete: prefix=user: for those that begin so, prefix= for all of the keyspace",
        ));
    };
    let database = door.database(&path, &query).await?;
    let options = write_options(&database, &query)?;
    let deleted = database.delete_prefix_with(prefix, &options).await?;
    Ok(Json(Deleted { deleted }))
}

#[cfg(test)]
mod tests;
