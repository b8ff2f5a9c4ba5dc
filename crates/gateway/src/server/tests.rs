//! Where a door listens, and what it does about clients that take more than their share.

use tidings::{Definition, Peer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use tidings_tokens::TokenFile;

#[tokio::test]
async fn only_free_loopback_addresses_are_bound() {
    let gateway = Gateway::bind("127.0.0.1:0", None).await.unwrap();
    let taken = gateway.address().to_string();
    assert!(matches!(Gateway::bind(&taken, None).await, Err(BindError::InUse { .. })));
    let error = Gateway::bind("0.0.0.0:0", None).await.unwrap_err();
    assert!(error.to_string().contains("without tokens"), "{error}");
    assert!(error.to_string().contains("--tokens FILE"), "{error}");
    assert!(matches!(Gateway::bind("7380", None).await, Err(BindError::BadAddress { .. })));
}

#[cfg(unix)]
#[tokio::test]
async fn with_tokens_any_address_is_bound() {
    let directory = tempfile::tempdir().unwrap();
    let file = TokenFile::new(directory.path().join("tokens"));
    file.change(|_| Ok(())).unwrap();
    let tokens = Arc::new(LiveTokens::open(file).unwrap());
    let gateway = Gateway::bind("0.0.0.0:0", Some(tokens)).await.unwrap();
    assert!(gateway.address().ip().is_unspecified());
}

/// A door with bounds of its own.
struct World {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    door: JoinHandle<()>,
}

impl World {
    async fn new(bounds: Bounds) -> Self {
        let definitions = vec![Definition::new("all", "**", 1, 1)];
        let peer = Peer::in_memory().definitions(definitions).start().await.unwrap();
        let database = peer.database("large").await.unwrap();
        database.put("k", vec![0; tidings::limits::VALUE_MAX]).await.unwrap();
        let mut gateway = Gateway::bind("127.0.0.1:0", None).await.unwrap();
        gateway.bounds = bounds;
        let address = gateway.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let door = tokio::spawn(gateway.serve(peer, async move {
            let _ = stopped.await;
        }));
        Self { address, stop, door }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn stop(self) {
        let _ = self.stop.send(());
        self.door.await.unwrap();
    }
}

const LIVE: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Reads until the answer to [`LIVE`] is there.
async fn alive(stream: &mut TcpStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"live\n") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "the connection ended");
    }
}

/// A client that begins a request and does not go on, and one that never asks again, lose their
/// connections; neither is told anything.
#[tokio::test]
async fn idle_and_slow_clients_lose_their_connections() {
    let bounds = Bounds { head_timeout: Duration::from_millis(50), ..Bounds::default() };
    let world = World::new(bounds).await;
    let mut slow = world.connect().await;
    slow.write_all(&LIVE[..20]).await.unwrap();
    let mut idle = world.connect().await;
    idle.write_all(LIVE).await.unwrap();
    alive(&mut idle).await;
    for stream in [&mut slow, &mut idle] {
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
    }
    world.stop().await;
}

/// With one connection allowed, the next one waits until the first is over, and is served then.
#[tokio::test]
async fn connections_beyond_the_bound_wait() {
    let world = World::new(Bounds { connections: 1, ..Bounds::default() }).await;
    let mut first = world.connect().await;
    first.write_all(LIVE).await.unwrap();
    alive(&mut first).await;
    let mut second = world.connect().await;
    second.write_all(LIVE).await.unwrap();
    for _ in 0..3 {
        first.write_all(LIVE).await.unwrap();
        alive(&mut first).await;
    }
    let mut byte = [0];
    let early = second.try_read(&mut byte).unwrap_err();
    assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
    drop(first);
    alive(&mut second).await;
    world.stop().await;
}

/// A client that asks for more than any buffer holds and reads nothing is dropped, so that the one
/// connection there is becomes free.
#[tokio::test]
async fn a_client_that_does_not_read_loses_its_connection() {
    let bounds =
        Bounds { connections: 1, write_timeout: Duration::from_millis(50), ..Bounds::default() };
    let world = World::new(bounds).await;
    let mut deaf = world.connect().await;
    let get = b"GET /v1/databases/large/keys/k HTTP/1.1\r\nHost: localhost\r\n\r\n";
    deaf.write_all(&get.repeat(8)).await.unwrap();
    let mut other = world.connect().await;
    other.write_all(LIVE).await.unwrap();
    alive(&mut other).await;
    drop(deaf);
    world.stop().await;
}

/// A head that is longer than any request needs is refused with the status for that.
#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let world = World::new(Bounds::default()).await;
    let mut stream = world.connect().await;
    let long = "x".repeat(HEAD_BYTES_MAX);
    let request = format!(
        "GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: {long}\r\n\r\n"
    );
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    world.stop().await;
}
