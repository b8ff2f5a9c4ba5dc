//! Accepting connections: where the door listens, how many it serves at once, and how it stops.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidings::Peer;
use tidings_tokens::LiveTokens;
use tidings_tokens::listen::{self, BindError, DoorName};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::connection::{Connection, Seat};
use crate::door::{Door, LIMITS, Limits, path_of};
use crate::metrics::Metrics;

/// Cores for each thread that serves connections: the store, the network and the clients need some, too.
const CORES_PER_THREAD: usize = 2;
/// How long commands may take to finish once the door closes.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failed accept: the usual reason is a lack of file descriptors, which takes a moment
/// to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What errors call this door.
const NAME: DoorName = DoorName { name: "Redis", flag: "--redis", example: "127.0.0.1:7379" };

/// A bound door that does not serve yet.
#[derive(Debug)]
pub struct RedisDoor {
    listener: TcpListener,
    address: SocketAddr,
    tokens: Option<Arc<LiveTokens>>,
    database: Option<String>,
    limits: Limits,
    metrics: Arc<Metrics>,
}

impl RedisDoor {
    /// Binds `host:port`; port 0 picks a free one. With `tokens` every connection needs one of them;
    /// without, the door asks for none, and only loopback addresses are allowed.
    ///
    /// # Errors
    /// [`BindError`], with the address and the reason.
    pub async fn bind(address: &str, tokens: Option<Arc<LiveTokens>>) -> Result<Self, BindError> {
        let (listener, bound) = listen::bind(NAME, address, tokens.as_deref()).await?;
        let metrics = Arc::new(Metrics::new());
        Ok(Self { listener, address: bound, tokens, database: None, limits: LIMITS, metrics })
    }

    /// The path of the database of a new connection, which is also database 0; `redis/0` without this.
    /// Whether a definition accepts it is found out by the commands.
    #[must_use]
    pub fn database(mut self, path: impl Into<String>) -> Self {
        self.database = Some(path.into());
        self
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it counts from now on.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Serves a peer until `shutdown` resolves, then lets running commands finish for a few seconds.
    pub async fn serve(self, peer: Peer, shutdown: impl Future<Output = ()> + Send) {
        let default = self.database.unwrap_or_else(|| path_of(0));
        if let Err(error) = peer.database(&default).await {
            tracing::warn!(%error, "the default database of the Redis door cannot be opened yet");
        }
        let (address, tokens, limits) = (self.address, self.tokens, self.limits);
        let door = Arc::new(Door::new(peer, address, tokens, default, limits, self.metrics));
        let mut threads = match Threads::start() {
            Ok(threads) => threads,
            Err(error) => {
                tracing::error!(%error, "the Redis door has no threads to run on");
                return;
            }
        };
        let mut tasks = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        // Dropped all at once, which every connection notices.
        let mut closing: Vec<oneshot::Sender<Infallible>> = Vec::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = tasks.join_next() => continue,
                () = &mut shutdown => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            door.metrics.connected.fetch_add(1, Ordering::Relaxed);
            if door.metrics.connections.load(Ordering::Relaxed) >= self.limits.connections {
                turn_away(&stream);
                continue;
            }
            let stream = match stream.into_std() {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::debug!(%error, "a connection ended at once");
                    continue;
                }
            };
            if closing.len() >= 2 * self.limits.connections {
                closing.retain(|sender| !sender.is_closed());
            }
            let (sender, receiver) = oneshot::channel();
            closing.push(sender);
            let seat = Seat::new(&door);
            let serve = async move {
                let connection = Connection::new(TcpStream::from_std(stream)?, seat)?;
                connection.serve(receiver).await
            };
            let logged = async move {
                if let Err(error) = serve.await {
                    tracing::debug!(%error, "a connection ended early");
                }
            };
            tasks.spawn_on(logged, threads.next());
        }
        drop(self.listener);
        drop(closing);
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSING_TIMEOUT, all).await.is_err() {
            tracing::warn!("commands still running after {CLOSING_TIMEOUT:?} were cut off");
        }
    }
}

/// Threads that serve connections, each by itself. What all of its connections ask for at one moment is
/// written with one commit, and nothing is handed from thread to thread on the way. They end with this.
struct Threads {
    each: Vec<(Handle, oneshot::Sender<Infallible>)>,
    last: usize,
}

impl Threads {
    fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let each = (0..cores.div_ceil(CORES_PER_THREAD)).map(|number| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let (sender, ended) = oneshot::channel();
            let thread = std::thread::Builder::new().name(format!("redis-{number}"));
            thread.spawn(move || runtime.block_on(async { drop(ended.await) }))?;
            Ok((handle, sender))
        });
        Ok(Self { each: each.collect::<io::Result<_>>()?, last: 0 })
    }

    /// The one for the next connection.
    fn next(&mut self) -> &Handle {
        self.last = (self.last + 1) % self.each.len();
        &self.each[self.last].0
    }
}

/// Says why, as far as the socket takes it without waiting.
fn turn_away(stream: &TcpStream) {
    let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
}

#[cfg(test)]
mod tests {
    use tidings_tokens::TokenFile;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn only_free_loopback_addresses_are_bound() {
        let door = RedisDoor::bind("127.0.0.1:0", None).await.unwrap();
        let taken = door.address().to_string();
        assert!(matches!(RedisDoor::bind(&taken, None).await, Err(BindError::InUse { .. })));
        let error = RedisDoor::bind("0.0.0.0:0", None).await.unwrap_err();
        assert!(error.to_string().contains("without tokens"), "{error}");
        assert!(error.to_string().contains("--tokens FILE"), "{error}");
        assert!(matches!(RedisDoor::bind("7379", None).await, Err(BindError::BadAddress { .. })));
    }

    /// A list of no tokens.
    fn tokens() -> Arc<LiveTokens> {
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::new(directory.path().join("tokens"));
        file.change(|_| Ok(())).unwrap();
        Arc::new(LiveTokens::open(file).unwrap())
    }

    #[tokio::test]
    async fn with_tokens_any_address_is_bound() {
        let door = RedisDoor::bind("0.0.0.0:0", Some(tokens())).await.unwrap();
        assert!(door.address().ip().is_unspecified());
    }

    /// Who does not say who it is has as long as a request, and not as long as a connection may idle.
    #[tokio::test]
    async fn silent_strangers_end() {
        let peer = Peer::in_memory().start().await.unwrap();
        let mut door = RedisDoor::bind("127.0.0.1:0", Some(tokens())).await.unwrap();
        door.limits.request = Duration::from_millis(20);
        let address = door.address();
        let serving = tokio::spawn(door.serve(peer.clone(), std::future::pending()));
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut told = Vec::new();
        let end = silent.read_to_end(&mut told);
        assert_eq!(tokio::time::timeout(Duration::from_secs(20), end).await.unwrap().unwrap(), 0);
        serving.abort();
        peer.shutdown().await.unwrap();
    }

    /// One connection more than there may be is told so, and has its turn when another one ends.
    #[tokio::test]
    async fn there_are_so_many_connections() {
        let peer = Peer::in_memory().start().await.unwrap();
        let mut door = RedisDoor::bind("127.0.0.1:0", None).await.unwrap();
        door.limits.connections = 2;
        let address = door.address();
        let serving = tokio::spawn(door.serve(peer.clone(), std::future::pending()));
        let connect = async || {
            let mut client = TcpStream::connect(address).await.unwrap();
            // One that is turned away is closed, perhaps before this is sent.
            let _ = client.write_all(b"PING\r\n").await;
            let mut answer = [0; 7];
            let whole = client.read_exact(&mut answer).await.is_ok();
            (whole && answer == *b"+PONG\r\n").then_some(client)
        };
        let (one, other) = (connect().await, connect().await);
        assert!(one.is_some() && other.is_some());
        let mut more = TcpStream::connect(address).await.unwrap();
        let mut told = String::new();
        more.read_to_string(&mut told).await.unwrap();
        assert_eq!(told, "-ERR max number of clients reached\r\n");
        drop(one);
        // The door counts it out a moment after it was closed.
        tokio::time::timeout(Duration::from_secs(20), async { while connect().await.is_none() {} })
            .await
            .unwrap();
        serving.abort();
        peer.shutdown().await.unwrap();
    }

    /// Who is silent is let go, with a request begun or without; who listens is not.
    #[tokio::test]
    async fn silent_connections_end() {
        let any = tidings::Definition::new("any", "**", 1, 1);
        let peer = Peer::in_memory().definitions(vec![any]).start().await.unwrap();
        let mut door = RedisDoor::bind("127.0.0.1:0", None).await.unwrap();
        door.limits.request = Duration::from_millis(20);
        door.limits.idle = Duration::from_millis(60);
        let address = door.address();
        let serving = tokio::spawn(door.serve(peer.clone(), std::future::pending()));
        let deadline = Duration::from_secs(20);
        let send = async |request: &str| {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(request.as_bytes()).await.unwrap();
            client
        };
        let mut listener = send("SUBSCRIBE __keyevent@0__:set\r\n").await;
        let mut confirmed = [0; 48];
        listener.read_exact(&mut confirmed).await.unwrap();
        for request in ["", "*1\r\n$4\r\nPI", "PI", "*1\r\n"] {
            let mut silent = send(request).await;
            let mut told = Vec::new();
            let end = silent.read_to_end(&mut told);
            assert_eq!(tokio::time::timeout(deadline, end).await.unwrap().unwrap(), 0);
        }
        peer.database("redis/0").await.unwrap().put("k", "v").await.unwrap();
        let mut message = [0; 49];
        let told = listener.read_exact(&mut message);
        tokio::time::timeout(deadline, told).await.unwrap().unwrap();
        assert!(message.ends_with(b"$1\r\nk\r\n"), "{}", message.escape_ascii());
        serving.abort();
        peer.shutdown().await.unwrap();
    }
}
