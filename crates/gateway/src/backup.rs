//! Backups: everything that the peer stores, as of one moment, as one stream with bounded memory.

use std::io::{self, Write};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tidings::Error;
use tidings::backup::BackupError;
use tokio::sync::mpsc;

use crate::problem::Problem;
use crate::routes::Door;

/// The media type of a backup.
pub(crate) const BACKUP: &str = "application/vnd.tidings.backup";

/// Parts that may wait for a client that takes them slowly. One is a block of rows, of 256 KiB or of one
/// row that is longer.
const PARTS_MAX: usize = 2;

type Part = Result<Bytes, BackupError>;

/// `GET /v1/backup`: see [`tidings::backup`]. One that fails on the way ends with a broken connection, and
/// lacks the end without which a backup is none.
pub(crate) async fn backup(State(door): State<Door>) -> Result<Response, Problem> {
    let (sender, mut parts) = mpsc::channel(PARTS_MAX);
    tokio::spawn(async move {
        let written = door.peer.backup(Pipe(sender.clone())).await;
        if let Err(error) = written {
            // A client that went away has heard enough.
            let _ = sender.send(Err(error)).await;
        }
    });
    // What fails at once is a problem, and not a broken connection.
    let first = match parts.recv().await {
        Some(Ok(first)) => first,
        Some(Err(error)) => return Err(problem(error).into()),
        None => return Err(Error::Internal("a backup without a beginning".into()).into()),
    };
    let stream = futures::stream::unfold((Some(Ok(first)), parts), async |(next, mut parts)| {
        let part: Part = match next {
            Some(part) => part,
            None => parts.recv().await?,
        };
        if let Err(error) = &part {
            tracing::error!(%error, "a backup failed on the way");
        }
        Some((part, (None, parts)))
    });
    Ok(([(header::CONTENT_TYPE, BACKUP)], Body::from_stream(stream)).into_response())
}

fn problem(error: BackupError) -> Error {
    match error {
        BackupError::Peer(error) => error,
        BackupError::Store(error) => error.into(),
        other => Error::Internal(other.to_string()),
    }
}

/// What a backup is written to: it waits until there is room.
struct Pipe(mpsc::Sender<Part>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes)));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
