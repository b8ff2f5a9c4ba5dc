//! A peer in memory with a door, and a client that compares bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidings::{Definition, Peer};
use tidings_redis::RedisDoor;
use tidings_tokens::{LiveTokens, Scope, TokenFile};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long an answer may take before a test gives up on it.
const DEADLINE: Duration = Duration::from_secs(20);

/// A door and the peer behind it.
pub(crate) struct Door {
    pub(crate) peer: Peer,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Door {
    /// A peer alone, whose definitions are `redis/*`, `data/**`, `brief/*` with a time to live of an hour,
    /// and `small/*` of at most 1,000 bytes.
    pub(crate) async fn start() -> Self {
        Self::of(peer().await, None, None).await
    }

    /// The same, with a door that asks for tokens.
    pub(crate) async fn guarded() -> (Self, Guard) {
        let directory = tempfile::tempdir().unwrap();
        let file = TokenFile::new(directory.path().join("tokens"));
        file.change(|_| Ok(())).unwrap();
        let live = Arc::new(LiveTokens::open(file.clone()).unwrap());
        let door = Self::of(peer().await, None, Some(Arc::clone(&live))).await;
        (door, Guard { file, live, _directory: directory })
    }

    /// A door to a peer.
    pub(crate) async fn of(
        peer: Peer,
        database: Option<&str>,
        tokens: Option<Arc<LiveTokens>>,
    ) -> Self {
        let mut door = RedisDoor::bind("127.0.0.1:0", tokens).await.unwrap();
        if let Some(path) = database {
            door = door.database(path);
        }
        let address = door.address();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(door.serve(peer.clone(), async {
            let _ = stopped.await;
        }));
        Self { peer, address, stop, serving }
    }

    /// A new connection.
    pub(crate) async fn client(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap() }
    }

    /// A new connection that speaks RESP3.
    pub(crate) async fn client3(&self) -> Client {
        let mut client = self.client().await;
        client.send(b"HELLO 3\r\n").await;
        client.skip_past(b"modules\r\n*0\r\n").await;
        client
    }

    /// Closes the door.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        timeout(DEADLINE, self.serving).await.unwrap().unwrap();
        self.peer.shutdown().await.unwrap();
    }
}

async fn peer() -> Peer {
    let brief = Definition { ttl: Some(3_600_000), ..Definition::new("brief", "brief/*", 1, 1) };
    let small = Definition { size: Some(1000), ..Definition::new("small", "small/*", 1, 1) };
    let redis = Definition::new("redis", "redis/*", 1, 3);
    let data = Definition::new("data", "data/**", 1, 3);
    Peer::in_memory().definitions(vec![redis, data, brief, small]).start().await.unwrap()
}

/// The tokens of a door.
pub(crate) struct Guard {
    file: TokenFile,
    live: Arc<LiveTokens>,
    _directory: TempDir,
}

impl Guard {
    /// Makes a token, which the door knows from now on.
    pub(crate) fn token(&self, name: &str, scope: Scope, paths: &[&str]) -> String {
        let token = self.file.change(|tokens| tokens.add(name, scope, paths)).unwrap();
        assert!(self.live.refresh().unwrap());
        token
    }

    /// Revokes one, which the door has not known any more since.
    pub(crate) fn revoke(&self, name: &str) {
        assert!(self.file.change(|tokens| Ok(tokens.revoke(name))).unwrap());
        assert!(self.live.refresh().unwrap());
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(DEADLINE, self.stream.write_all(bytes)).await.unwrap().unwrap();
    }

    /// Reads as many bytes as are expected, and compares them.
    #[track_caller]
    pub(crate) fn answers(&mut self, expected: impl AsRef<[u8]>) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        async move {
            let expected = expected.as_ref();
            let mut got = Vec::new();
            while got.len() < expected.len() {
                let mut part = vec![0; expected.len() - got.len()];
                let read = timeout(DEADLINE, self.stream.read(&mut part)).await;
                let read = read.map_or(0, Result::unwrap);
                got.extend_from_slice(&part[..read]);
                if read == 0 || !expected.starts_with(&got) {
                    break;
                }
            }
            let shown = |bytes: &[u8]| bytes.escape_ascii().to_string().replace(r"\r\n", " ");
            assert_eq!(shown(&got), shown(expected), "{place}");
        }
    }

    /// Sends lines one by one, and compares each answer. For who is not let in, which [`Self::all`] needs.
    #[track_caller]
    pub(crate) fn each(&mut self, lines: &[(&str, &str)]) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        let lines: Vec<(String, String)> =
            lines.iter().map(|(line, answer)| ((*line).to_owned(), (*answer).to_owned())).collect();
        async move {
            for (line, expected) in lines {
                self.send(format!("{line}\r\n").as_bytes()).await;
                let got = self.read_past(b"\r\n").await;
                assert_eq!(String::from_utf8_lossy(&got), expected, "{line} at {place}");
            }
        }
    }

    /// Sends lines one by one, compares each answer, and makes sure that nothing came beside them. An
    /// answer `:~100` is 100, or less by what may pass between two commands.
    #[track_caller]
    pub(crate) fn all(&mut self, lines: &[(&str, &str)]) -> impl Future<Output = ()> {
        let place = std::panic::Location::caller();
        let lines: Vec<(String, String)> =
            lines.iter().map(|(line, answer)| ((*line).to_owned(), (*answer).to_owned())).collect();
        async move {
            for (line, expected) in lines {
                self.send(format!("{line}\r\nECHO end\r\n").as_bytes()).await;
                let end = b"$3\r\nend\r\n";
                let got = self.read_past(end).await;
                let got = String::from_utf8_lossy(&got[..got.len() - end.len()]).into_owned();
                if let Some(most) = expected.strip_prefix(":~") {
                    let number = |text: &str| text.trim_end().parse::<i64>().ok();
                    let (most, got) = (number(most).unwrap(), number(&got[1..]));
                    assert!(got.is_some_and(|got| (most - 60..=most).contains(&got)), "{line}");
                } else {
                    assert_eq!(got, expected, "{line} at {place}");
                }
            }
        }
    }

    /// Reads up to and with these bytes.
    pub(crate) async fn read_past(&mut self, end: &[u8]) -> Vec<u8> {
        let mut got = Vec::new();
        while !got.ends_with(end) {
            let byte = timeout(DEADLINE, self.stream.read_u8()).await;
            let Ok(Ok(byte)) = byte else {
                panic!("{:?} did not come after {:?}", end.escape_ascii(), got.escape_ascii());
            };
            got.push(byte);
        }
        got
    }

    pub(crate) async fn skip_past(&mut self, end: &[u8]) {
        self.read_past(end).await;
    }

    /// Waits until the door closes the connection; gives what came before.
    pub(crate) async fn closed(mut self) -> Vec<u8> {
        let mut got = Vec::new();
        let read = timeout(DEADLINE, self.stream.read_to_end(&mut got)).await;
        // A door that closes with bytes unread resets the connection: closed all the same.
        let _ = read.unwrap();
        got
    }
}

/// A request as programs send it.
pub(crate) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
