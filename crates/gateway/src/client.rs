//! The other end of the door: a small HTTP/1.1 client for the command line, tests and tools.
//!
//! It keeps idle connections and uses them again, so that many small requests do not each open one.
//! A request that met a connection closed in the meantime is sent once more on a new one, which is
//! safe, because hyper hands it back only when nothing of it left.

mod ask;
mod edits;
mod options;
mod reads;
mod stream;

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tidings::Definition;
use tidings::status::{DatabaseStatus, DrainStatus, NodeStatus};
use tokio::net::TcpStream;

use ask::{Ask, Target};
pub use options::{List, Scan, Since, Write};
pub use stream::{Changes, Parts, Rows};

use crate::json::{
    Applied, BatchWritten, DatabasePage, DefinitionList, Dropped, Operation, PeerList, Row, Written,
};
use crate::keys::EXPIRES;
use crate::moment;
use crate::problem::Problem;

/// The port when a URL names none.
pub const DEFAULT_PORT: u16 = 7380;
/// A peer on this machine answers a connect at once; one that does not within this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What went wrong, from the client's side.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be used.
    #[error("{url:?} is not the address of a peer: {why}; write http://127.0.0.1:7380")]
    BadUrl {
        /// The URL.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// The token cannot be sent.
    #[error(
        "the token cannot be sent: it has characters that no token has; write it as `tidings token new` printed it"
    )]
    BadToken,
    /// Nobody answers.
    #[error(
        "no peer answers at http://{authority}: {source}; start one with `tidings serve`, or name another with --http or TIDINGS_HTTP"
    )]
    Unreachable {
        /// Host and port.
        authority: String,
        /// The reason.
        source: io::Error,
    },
    /// The peer answered that it could not.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// The connection broke, or what answered is not a peer. What was asked for may have happened.
    #[error(
        "the peer at http://{authority} broke off: {why}; what was asked for may have happened"
    )]
    Broken {
        /// Host and port.
        authority: String,
        /// What happened.
        why: String,
    },
}

impl ClientError {
    /// The problem, when the peer sent one.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// A client of one peer.
#[derive(Debug)]
pub struct Client {
    authority: String,
    token: Option<HeaderValue>,
    /// The keyspace whose keys are meant; empty: the default one.
    keyspace: String,
    idle: Mutex<Vec<Sender>>,
}

impl Client {
    /// A client of the peer at `http://host:port` or `host:port`. Connects with the first request.
    ///
    /// # Errors
    /// [`ClientError::BadUrl`].
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let bad = |why| Err(ClientError::BadUrl { url: url.into(), why });
        let rest = match url.split_once("://") {
            None => url,
            Some(("http", rest)) => rest,
            Some(("https", _)) => return bad("this version speaks plain HTTP only"),
            Some(_) => return bad("only http is spoken"),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.is_empty() {
            return bad("it names no host");
        }
        if host.contains(|c: char| matches!(c, '/' | '?' | '#' | '@') || c.is_whitespace()) {
            return bad("it has more than a host and a port");
        }
        let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
        let authority = match port {
            Some(port) if port.parse::<u16>().is_ok() => host.to_owned(),
            Some(_) => return bad("its port is not a number below 65536"),
            None => format!("{host}:{DEFAULT_PORT}"),
        };
        let (keyspace, idle) = (String::new(), Mutex::new(Vec::new()));
        Ok(Self { authority, token: None, keyspace, idle })
    }

    /// The same client, which sends a token with every request.
    ///
    /// # Errors
    /// [`ClientError::BadToken`], when it has characters that no header can have.
    pub fn with_token(self, token: &str) -> Result<Self, ClientError> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::BadToken);
        }
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        let mut value = value.map_err(|_| ClientError::BadToken)?;
        value.set_sensitive(true);
        Ok(Self { token: Some(value), ..self })
    }

    /// The same client, whose keys are those of a keyspace. The default one has no name.
    #[must_use]
    pub fn with_keyspace(self, name: impl Into<String>) -> Self {
        Self { keyspace: name.into(), ..self }
    }

    /// What is asked of the keys of a database.
    fn keys(&self, path: &str, segments: &[&[u8]]) -> Target {
        let target = Target::database(path);
        let target = segments.iter().fold(target, |target, segment| target.segment(segment));
        target.query("keyspace", Some(&self.keyspace).filter(|name| !name.is_empty()))
    }

    /// Sets a key.
    pub async fn put(
        &self,
        path: &str,
        key: &[u8],
        value: impl Into<Bytes>,
        write: &Write,
    ) -> Result<Written, ClientError> {
        let target = self.keys(path, &[b"keys", key]).write(write).0;
        let ask = Ask::new(Method::PUT, target).with("application/octet-stream", value);
        self.json(ask.on(write)).await
    }

    /// The value of a key with its expiry and its version, or `None` when there is none.
    pub async fn get(
        &self,
        path: &str,
        key: &[u8],
        since: &Since,
    ) -> Result<Option<Row>, ClientError> {
        let target = self.keys(path, &[b"keys", key]);
        let target = target
            .query("min_version", since.min_version.map(|version| version.to_string()))
            .query("timeout", since.timeout.map(crate::duration::format));
        let answer = present(self.whole(Ask::get(target.0)).await)?;
        Ok(answer.map(|(headers, body)| Row { value: Some(body.into()), ..about(key, &headers) }))
    }

    /// The expiry and the version of a key, without its value; `None` when there is none.
    pub async fn look(&self, path: &str, key: &[u8]) -> Result<Option<Row>, ClientError> {
        let mut ask = Ask::get(self.keys(path, &[b"keys", key]).0);
        // Whoever has any version is told which one there is, and, other than with `HEAD`, what went wrong.
        ask.condition = Some((header::IF_NONE_MATCH, "*".into()));
        Ok(present(self.whole(ask).await)?.map(|(headers, _)| about(key, &headers)))
    }

    /// Deletes a key, also an absent one.
    pub async fn delete(
        &self,
        path: &str,
        key: &[u8],
        write: &Write,
    ) -> Result<Written, ClientError> {
        let target = self.keys(path, &[b"keys", key]).write(write).0;
        self.json(Ask::new(Method::DELETE, target).on(write)).await
    }

    /// Applies several writes together.
    pub async fn batch(
        &self,
        path: &str,
        operations: &[Operation],
        write: &Write,
    ) -> Result<BatchWritten, ClientError> {
        let mut body = Vec::new();
        for operation in operations {
            // Writing JSON of these types to memory cannot fail.
            let _ = serde_json::to_writer(&mut body, operation);
            body.push(b'\n');
        }
        self.batch_lines(path, body, write, true).await
    }

    /// Applies a batch that is NDJSON already, with or without versions in the answer.
    pub async fn batch_lines(
        &self,
        path: &str,
        lines: impl Into<Bytes>,
        write: &Write,
        versions: bool,
    ) -> Result<BatchWritten, ClientError> {
        let target = self
            .keys(path, &[b"batch"])
            .write(write)
            .query("versions", (!versions).then_some("false"));
        self.json(Ask::new(Method::POST, target.0).with("application/x-ndjson", lines)).await
    }

    /// Changes of keys with a prefix, from the moment this returns, or since a token.
    pub async fn watch(
        &self,
        path: &str,
        prefix: &[u8],
        after: Option<&str>,
    ) -> Result<Changes, ClientError> {
        let target = self
            .keys(path, &[b"watch"])
            .query("prefix", Some(prefix).filter(|prefix| !prefix.is_empty()))
            .query("after", after);
        Changes::begin(self.stream(Ask::get(target.0)).await?.lines()).await
    }

    /// The status of a database.
    pub async fn database_status(&self, path: &str) -> Result<DatabaseStatus, ClientError> {
        self.json(Ask::get(Target::database(path).push("status").0)).await
    }

    /// Waits until the peer has what the reachable holders have.
    pub async fn sync(&self, path: &str, timeout: Duration) -> Result<(), ClientError> {
        let timeout = crate::duration::format(timeout);
        let target = Target::database(path).push("sync").query("timeout", Some(timeout));
        let _: serde_json::Value = self.json(Ask::new(Method::POST, target.0)).await?;
        Ok(())
    }

    /// One page of the databases of the cluster, after the one that gave `cursor`.
    pub async fn databases(&self, cursor: Option<&str>) -> Result<DatabasePage, ClientError> {
        let target = Target("/v1/databases".into()).query("cursor", cursor);
        self.json(Ask::get(target.0)).await
    }

    /// Drops a database, for good.
    pub async fn drop_database(&self, path: &str) -> Result<Dropped, ClientError> {
        self.json(Ask::new(Method::DELETE, Target::database(path).0)).await
    }

    /// The definitions of the cluster.
    pub async fn definitions(&self) -> Result<Vec<Definition>, ClientError> {
        let list: DefinitionList = self.json(Ask::get("/v1/definitions".into())).await?;
        Ok(list.definitions)
    }

    /// Creates or changes definitions; all of them or none.
    pub async fn apply(&self, definitions: Vec<Definition>) -> Result<Applied, ClientError> {
        let body = serde_json::to_vec(&DefinitionList { definitions }).unwrap_or_default();
        let ask = Ask::new(Method::POST, "/v1/definitions".into());
        self.json(ask.with("application/json", body)).await
    }

    /// How far the peer is with handing over everything.
    pub async fn drain_status(&self) -> Result<DrainStatus, ClientError> {
        self.json(Ask::get("/v1/drain".into())).await
    }

    /// Begins to hand over everything that the peer holds, or ends that.
    pub async fn drain(&self, on: bool) -> Result<DrainStatus, ClientError> {
        let method = if on { Method::PUT } else { Method::DELETE };
        self.json(Ask::new(method, "/v1/drain".into())).await
    }

    /// A backup of everything that the peer stores, as it comes.
    pub async fn backup(&self) -> Result<Parts, ClientError> {
        self.stream(Ask::get("/v1/backup".into())).await
    }

    /// The other peers.
    pub async fn peers(&self) -> Result<PeerList, ClientError> {
        self.json(Ask::get("/v1/peers".into())).await
    }

    /// The peer itself.
    pub async fn status(&self) -> Result<NodeStatus, ClientError> {
        self.json(Ask::get("/v1/status".into())).await
    }

    async fn json<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, ClientError> {
        let (_, body) = self.whole(ask).await?;
        serde_json::from_slice(&body)
            .map_err(|error| self.broken(format!("its answer is not understood: {error}")))
    }

    /// Sends a request and reads the whole answer, then keeps the connection for the next one.
    async fn whole(&self, ask: Ask) -> Result<(HeaderMap, Bytes), ClientError> {
        let (sender, status, headers, body) = self.send(ask).await?;
        let body = body.collect().await.map_err(|error| self.broken(error.to_string()))?.to_bytes();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        let good = status.is_success() || status == StatusCode::NOT_MODIFIED;
        if good { Ok((headers, body)) } else { Err(self.refused(status, &body)) }
    }

    /// Sends a request and hands out the body of a good answer as it comes.
    async fn stream(&self, ask: Ask) -> Result<Parts, ClientError> {
        let (sender, status, _, body) = self.send(ask).await?;
        if status.is_success() {
            return Ok(Parts::new(self.authority.clone(), sender, body));
        }
        let body = body.collect().await.map_err(|error| self.broken(error.to_string()))?.to_bytes();
        Err(self.refused(status, &body))
    }

    async fn send(
        &self,
        ask: Ask,
    ) -> Result<(Sender, StatusCode, HeaderMap, Incoming), ClientError> {
        let mut request = Request::builder()
            .method(ask.method)
            .uri(ask.target)
            .header(header::HOST, &self.authority);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, token);
        }
        if let Some((name, value)) = &ask.condition {
            request = request.header(name, value);
        }
        if let Some(media_type) = ask.media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        let mut request = request
            .body(Full::new(ask.body))
            .map_err(|error| self.broken(format!("the request cannot be written: {error}")))?;
        loop {
            let (mut sender, reused) = match self.take_idle() {
                Some(sender) => (sender, true),
                None => (self.connect().await?, false),
            };
            if let Err(error) = sender.ready().await {
                if reused {
                    continue;
                }
                return Err(self.broken(error.to_string()));
            }
            match sender.try_send_request(request).await {
                Ok(response) => {
                    let (parts, body) = response.into_parts();
                    return Ok((sender, parts.status, parts.headers, body));
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) if reused => request = unsent,
                    _ => return Err(self.broken(error.into_error().to_string())),
                },
            }
        }
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    async fn connect(&self) -> Result<Sender, ClientError> {
        let unreachable =
            |source| ClientError::Unreachable { authority: self.authority.clone(), source };
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(&self.authority))
            .await
            .map_err(|_| unreachable(io::ErrorKind::TimedOut.into()))?
            .map_err(unreachable)?;
        let _ = stream.set_nodelay(true);
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(io::Error::other(error)))?;
        // The connection ends by itself when its sender is dropped; its errors reach the requests.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => problem.into(),
            Err(_) => self.broken(format!("it answered {status} without saying why")),
        }
    }

    fn broken(&self, why: String) -> ClientError {
        ClientError::Broken { authority: self.authority.clone(), why }
    }
}

/// What is told of an entry beside its value.
fn about(key: &[u8], headers: &HeaderMap) -> Row {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let version = text(header::ETAG).unwrap_or_default().trim_matches('"').to_owned();
    let expires = text(EXPIRES).and_then(|text| moment::parse(text).ok());
    Row { key: key.to_vec(), value: None, expires, version: Some(version) }
}

/// An answer, or `None` where it says that what was asked for by name is absent.
fn present<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClientError::Problem(problem)) if problem.code == "not-found" => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
