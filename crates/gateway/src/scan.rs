//! Scans: every entry of a byte range as NDJSON, streamed with bounded memory.

use std::ops::Bound;
use std::pin::Pin;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::{FutureExt as _, Stream, StreamExt as _};
use tidings::{Entry, Error, ScanOptions};

use crate::json::Row;
use crate::keys::filter;
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::Door;
use crate::target::Named;

/// The media type of one JSON document per line.
pub(crate) const NDJSON: &str = "application/x-ndjson";
/// Rows are gathered until a chunk has this many bytes, since a write to the socket for every row of
/// 100 bytes would cost more than the row.
const CHUNK_BYTES: usize = 64 << 10;

type Entries = Pin<Box<dyn Stream<Item = Result<Entry, Error>> + Send>>;

/// `GET …/scan?start=&end=&glob=&regex=`: rows from `start`, included, to `end`, excluded.
///
/// A scan that fails on the way ends with a line `{"error": problem}` and a broken connection, so that
/// a part never looks like the whole.
pub(crate) async fn scan(
    State(door): State<Door>,
    Named(path): Named,
    query: Query,
) -> Result<Response, Problem> {
    let start = bound(query.bytes("start"), Bound::Included);
    let end = bound(query.bytes("end"), Bound::Excluded);
    let options = ScanOptions { filter: filter(&query)?, ..ScanOptions::default() };
    let database = door.database(&path, &query).await?;
    let entries: Entries = Box::pin(database.scan_with(start, end, &options));
    let chunks = futures::stream::unfold(Progress::Reading(entries), next_chunk);
    Ok(([(header::CONTENT_TYPE, NDJSON)], Body::from_stream(chunks)).into_response())
}

fn bound(bytes: Option<&[u8]>, kind: fn(Vec<u8>) -> Bound<Vec<u8>>) -> Bound<Vec<u8>> {
    match bytes {
        None | Some([]) => Bound::Unbounded,
        Some(bytes) => kind(bytes.to_vec()),
    }
}

enum Progress {
    Reading(Entries),
    Failed(Error),
    Done,
}

async fn next_chunk(state: Progress) -> Option<(Result<Bytes, Error>, Progress)> {
    let mut entries = match state {
        Progress::Reading(entries) => entries,
        Progress::Failed(error) => return Some((Err(error), Progress::Done)),
        Progress::Done => return None,
    };
    let mut chunk = Vec::new();
    let mut next = entries.next().await;
    loop {
        match next {
            Some(Ok(entry)) => push_line(&mut chunk, &Row::from(entry)),
            Some(Err(error)) => {
                push_line(&mut chunk, &serde_json::json!({"error": Problem::from(error.clone())}));
                return Some((Ok(chunk.into()), Progress::Failed(error)));
            }
            None if chunk.is_empty() => return None,
            None => return Some((Ok(chunk.into()), Progress::Done)),
        }
        if chunk.len() >= CHUNK_BYTES {
            return Some((Ok(chunk.into()), Progress::Reading(entries)));
        }
        // Only what is there already: a slow source must not hold back what it gave.
        match entries.next().now_or_never() {
            Some(ready) => next = ready,
            None => return Some((Ok(chunk.into()), Progress::Reading(entries))),
        }
    }
}

fn push_line(chunk: &mut Vec<u8>, row: &impl serde::Serialize) {
    // Writing JSON of these types to memory cannot fail.
    let _ = serde_json::to_writer(&mut *chunk, row);
    chunk.push(b'\n');
}
