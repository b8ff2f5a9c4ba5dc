//! Answers that go on: rows of a scan, changes of a watch, a backup, with bounded memory.

use axum::body::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::Deserialize;

use super::{ClientError, Sender};
use crate::json::{Operation, Row};
use crate::problem::Problem;

/// Longest line: a value of the largest size whose every byte became a six-byte JSON escape, its key,
/// and some slack.
const LINE_MAX: usize = 6 * (tidings::limits::VALUE_MAX + tidings::limits::KEY_MAX) + 4096;

/// The parts of a body as they come.
#[derive(Debug)]
pub struct Parts {
    authority: String,
    // Dropping it would close the connection.
    _sender: Sender,
    body: Incoming,
}

impl Parts {
    pub(super) fn new(authority: String, sender: Sender, body: Incoming) -> Self {
        Self { authority, _sender: sender, body }
    }

    /// The next part; `None` after the last. A body that breaks off is an error, so that a part is never
    /// taken for the whole.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        match self.body.frame().await {
            None => Ok(None),
            Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
            Some(Err(error)) => Err(self.broken(error.to_string())),
        }
    }

    /// The same body, line by line.
    pub(super) fn lines(self) -> Lines {
        Lines { parts: self, chunk: Bytes::new(), partial: Vec::new(), ended: false }
    }

    fn broken(&self, why: String) -> ClientError {
        ClientError::Broken { authority: self.authority.clone(), why }
    }
}

/// The lines of a body as it comes.
#[derive(Debug)]
pub(super) struct Lines {
    parts: Parts,
    chunk: Bytes,
    partial: Vec<u8>,
    ended: bool,
}

impl Lines {
    /// The next line without its end; `None` after the last.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            if let Some(end) = self.chunk.iter().position(|byte| *byte == b'\n') {
                let mut line = std::mem::take(&mut self.partial);
                line.extend_from_slice(&self.chunk.split_to(end));
                let _ = self.chunk.split_to(1);
                return Ok(Some(line));
            }
            self.partial.extend_from_slice(&std::mem::take(&mut self.chunk));
            if self.partial.len() > LINE_MAX {
                return Err(self.broken(format!("a line has more than {LINE_MAX} bytes")));
            }
            if self.ended {
                let rest = std::mem::take(&mut self.partial);
                return Ok((!rest.is_empty()).then_some(rest));
            }
            match self.parts.next().await? {
                None => self.ended = true,
                Some(part) => self.chunk = part,
            }
        }
    }

    fn broken(&self, why: String) -> ClientError {
        self.parts.broken(why)
    }
}

/// The rows of a scan.
#[derive(Debug)]
pub struct Rows {
    lines: Lines,
}

impl Rows {
    pub(super) fn new(lines: Lines) -> Self {
        Self { lines }
    }

    /// The next row; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Row>, ClientError> {
        #[derive(Deserialize)]
        struct Failed {
            error: Problem,
        }
        let Some(line) = self.lines.next().await? else { return Ok(None) };
        match serde_json::from_slice(&line) {
            Ok(row) => Ok(Some(row)),
            Err(error) => match serde_json::from_slice(&line) {
                Ok(Failed { error }) => Err(error.into()),
                Err(_) => Err(self.lines.broken(format!("a row is not understood: {error}"))),
            },
        }
    }
}

/// The changes of a watch.
#[derive(Debug)]
pub struct Changes {
    lines: Lines,
    token: String,
}

impl Changes {
    /// Waits for the event that says that the watch has begun.
    pub(super) async fn begin(lines: Lines) -> Result<Self, ClientError> {
        let mut changes = Self { lines, token: String::new() };
        match changes.event().await? {
            Some((name, _)) if name == "ready" => Ok(changes),
            other => Err(changes.lines.broken(format!("the watch began with {other:?}"))),
        }
    }

    /// What has been told: another watch goes on from there.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The next change; `None` when the peer closes.
    pub async fn next(&mut self) -> Result<Option<Operation>, ClientError> {
        let Some((name, data)) = self.event().await? else { return Ok(None) };
        let misread = |why: &dyn std::fmt::Display| {
            self.lines.broken(format!("an event {name:?} is not understood: {why}"))
        };
        match name.as_str() {
            "change" => serde_json::from_str(&data).map(Some).map_err(|error| misread(&error)),
            "error" => match serde_json::from_str::<Problem>(&data) {
                Ok(problem) => Err(problem.into()),
                Err(error) => Err(misread(&error)),
            },
            _ => Err(misread(&"it has an unknown name")),
        }
    }

    /// The next event's name and data. Comments, which keep the connection alive, are skipped.
    async fn event(&mut self) -> Result<Option<(String, String)>, ClientError> {
        let (mut name, mut data) = (String::new(), String::new());
        while let Some(line) = self.lines.next().await? {
            let line = String::from_utf8_lossy(&line);
            if line.is_empty() {
                if !name.is_empty() {
                    return Ok(Some((name, data)));
                }
            } else if let Some(text) = line.strip_prefix("event:") {
                text.trim().clone_into(&mut name);
            } else if let Some(text) = line.strip_prefix("id:") {
                text.trim().clone_into(&mut self.token);
            } else if let Some(text) = line.strip_prefix("data:") {
                data.push_str(text.strip_prefix(' ').unwrap_or(text));
            }
        }
        Ok(None)
    }
}
