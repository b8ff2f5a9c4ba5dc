//! The key-value capability of [Tarmac](https://github.com/tarmac-project/tarmac): the requests, answers
//! and statuses of its `kvstore` callbacks, in JSON and in protobuf.
//!
//! What came of a request is the status in the body, and the HTTP status is the same, so that proxies and
//! metrics see it too. What the door itself refuses, such as a token or a body that is too large, is a
//! problem, as everywhere.

mod codec;
mod proto;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use tidings::{Database, Error, ListOptions, limits};

use crate::keys::write_options;
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::routes::{Door, read_body};
use crate::target::Named;
use codec::{Answer, Codec, Request, Status};

/// Most keys in one answer, and most bytes of them: it is built in memory, and Tarmac has no pages.
const KEYS_MAX: usize = 100_000;
const KEYS_BYTES_MAX: usize = 8 << 20;

/// `POST …/tarmac/get`.
pub(crate) async fn get(
    State(door): State<Door>,
    Named(path): Named,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let codec = Codec::of(&headers)?;
    let body = read_body(&headers, body).await?;
    let asked = async || {
        let key = codec.read(&body)?.key()?;
        let value = door.database(&path, &query).await?.get(key.as_bytes()).await?;
        value.ok_or_else(|| Status::not_found(&key))
    };
    Ok(match asked().await {
        Ok(data) => codec.answer(&Status::ok(), &Answer::Data(data)),
        Err(status) => codec.answer(&status, &Answer::Data(Vec::new())),
    })
}

/// `POST …/tarmac/set`.
pub(crate) async fn set(
    State(door): State<Door>,
    Named(path): Named,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    write(&door, &path, &query, &headers, body, |Request { key, data, .. }| {
        let key = codec::required_key(key)?;
        let data = data.ok_or_else(|| Status::bad("the data is missing; empty data is \"\""))?;
        Ok((key, Some(data)))
    })
    .await
}

/// `POST …/tarmac/delete`: also of what is absent.
pub(crate) async fn delete(
    State(door): State<Door>,
    Named(path): Named,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    write(&door, &path, &query, &headers, body, |request| Ok((request.key()?, None))).await
}

/// A key, and its new value; `None` deletes it.
type Edit = (String, Option<Vec<u8>>);

/// Writes what is `wanted` of a request.
async fn write(
    door: &Door,
    path: &str,
    query: &Query,
    headers: &HeaderMap,
    body: Body,
    wanted: fn(Request) -> Result<Edit, Status>,
) -> Result<Response, Problem> {
    let codec = Codec::of(headers)?;
    let body = read_body(headers, body).await?;
    let asked = async || -> Result<(), Status> {
        let (key, value) = wanted(codec.read(&body)?)?;
        let database = door.database(path, query).await?;
        let options = write_options(&database, query)?;
        match value {
            Some(value) => database.put_with(key, value, &options).await?,
            None => database.delete_with(key, &options).await?,
        };
        Ok(())
    };
    let status = asked().await.err().unwrap_or_else(Status::ok);
    Ok(codec.answer(&status, &Answer::Nothing))
}

/// `POST …/tarmac/keys`: all keys, in JSON unless the request is protobuf with `return_proto`.
pub(crate) async fn keys(
    State(door): State<Door>,
    Named(path): Named,
    query: Query,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let codec = Codec::of(&headers)?;
    let body = read_body(&headers, body).await?;
    let request = if body.is_empty() { Ok(Request::default()) } else { codec.read(&body) };
    let answered_in = match &request {
        Ok(Request { return_proto: false, .. }) => Codec::Json,
        _ => codec,
    };
    let asked = async || -> Result<(Status, Vec<String>), Status> {
        request?;
        let database = door.database(&path, &query).await?;
        let (keys, left_out) = all_keys(&database, KEYS_MAX).await?;
        Ok((left_out.map_or_else(Status::ok, Status::partial), keys))
    };
    let (status, keys) = asked().await.unwrap_or_else(|status| (status, Vec::new()));
    Ok(answered_in.answer(&status, &Answer::Keys(keys)))
}

/// The keys that Tarmac can name, `most` at most, and a sentence on those that are left out.
async fn all_keys(
    database: &Database,
    most: usize,
) -> Result<(Vec<String>, Option<String>), Error> {
    let (mut keys, mut bytes, mut unnamed) = (Vec::new(), 0, 0_usize);
    let mut options =
        ListOptions { keys_only: true, limit: limits::PAGE_MAX, ..ListOptions::default() };
    loop {
        let page = database.list(&options).await?;
        for entry in page.entries {
            let Ok(key) = String::from_utf8(entry.key) else {
                unnamed += 1;
                continue;
            };
            bytes += key.len();
            if keys.len() >= most || bytes > KEYS_BYTES_MAX {
                let why = format!(
                    "there are more than these {} keys; an answer has at most {most} keys and {KEYS_BYTES_MAX} bytes of \
                     them: list them page by page at …/keys",
                    keys.len()
                );
                return Ok((keys, Some(why)));
            }
            keys.push(key);
        }
        options.cursor = page.cursor;
        if options.cursor.is_none() {
            break;
        }
    }
    let why = (unnamed > 0).then(|| {
        format!("{unnamed} keys are not UTF-8, which Tarmac cannot name, and are left out: list them at …/keys")
    });
    Ok((keys, why))
}

impl Codec {
    /// The form of a request, by its content type.
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let Some(named) = headers.get(header::CONTENT_TYPE) else { return Ok(Self::Json) };
        let named = String::from_utf8_lossy(named.as_bytes()).to_ascii_lowercase();
        match named.split(';').next().unwrap_or_default().trim() {
            "application/json" => Ok(Self::Json),
            "application/protobuf"
            | "application/x-protobuf"
            | "application/vnd.google.protobuf" => Ok(Self::Proto),
            other => Err(Problem::new(
                Code::UnsupportedMediaType,
                format!(
                    "the content type {other:?} is not understood here: send application/json or application/protobuf"
                ),
            )),
        }
    }

    fn answer(self, status: &Status, answer: &Answer) -> Response {
        let media_type = match self {
            Self::Json => "application/json",
            Self::Proto => "application/protobuf",
        };
        let body = self.write(status, answer);
        (status.http(), [(header::CONTENT_TYPE, media_type)], body).into_response()
    }
}

#[cfg(test)]
mod tests;
