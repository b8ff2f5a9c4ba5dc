//! The Redis protocol: any bytes, in pieces whose size the first byte says, to a connection without its
//! socket before a peer in memory.
//!
//! The parser finds the same requests whatever the pieces. Every answer is well-formed.

use std::cell::RefCell;
use std::time::Duration;

use tidings::{Definition, Peer};
use tidings_redis::fuzzing::{Talk, requests};
use tokio::runtime::{Builder, Runtime};

use super::resp;

/// A peer serves so many runs, then another takes its place, so that what runs leave behind has an end.
const RUNS: usize = 2_000;
/// No talk takes longer, on any machine.
const PATIENCE: Duration = Duration::from_secs(8);

/// A peer in memory and the runtime that drives it.
struct Served {
    runtime: Runtime,
    peer: Peer,
    runs: usize,
}

impl Served {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        // The first is that of a new connection; others are refused.
        let numbered = Definition::new("numbered", "redis/[0-3]", 1, 1);
        let builder = Peer::in_memory().definitions(vec![numbered]);
        let peer = runtime.block_on(builder.start()).expect("a peer in memory starts");
        Self { runtime, peer, runs: 0 }
    }
}

thread_local! {
    static SERVED: RefCell<Option<Served>> = const { RefCell::new(None) };
}

/// Takes any bytes.
pub fn run(bytes: &[u8]) {
    let Some((piece, rest)) = bytes.split_first() else { return };
    let piece = usize::from(*piece) + 1;
    let found = requests(rest, piece);
    assert_eq!(found, requests(rest, rest.len()), "in pieces of {piece}");
    if found.0.iter().any(|words| waits(words)) {
        return;
    }
    SERVED.with_borrow_mut(|served| {
        let mut old = served.take().filter(|served| served.runs < RUNS);
        let now = old.get_or_insert_with(Served::start);
        now.runs += 1;
        let talk = async { tokio::time::timeout(PATIENCE, talk(&now.peer, rest, piece)).await };
        now.runtime.block_on(talk).expect("an answer in time");
        *served = old;
    });
}

/// Whether a request may wait for other holders, of which there are none, for long.
fn waits(words: &[Vec<u8>]) -> bool {
    let waits = words.first().is_some_and(|name| name.eq_ignore_ascii_case(b"wait"));
    let short = words.get(2).is_some_and(|time| matches!(time.as_slice(), [b'1'..=b'9']));
    let nobody = words.get(1).is_some_and(|count| count == b"0");
    waits && !short && !nobody
}

async fn talk(peer: &Peer, bytes: &[u8], piece: usize) {
    let mut talk = Talk::new(peer.clone());
    for piece in bytes.chunks(piece) {
        let (answers, goes_on) = talk.feed(piece).await;
        resp::count(&answers);
        if !goes_on {
            break;
        }
    }
    // The next run begins with nothing to be seen.
    let mut talk = Talk::new(peer.clone());
    for number in 0..4 {
        let request = format!("SELECT {number}\r\nFLUSHDB\r\nKEYS *\r\n");
        let (answers, _) = talk.feed(request.as_bytes()).await;
        assert_eq!(answers, b"+OK\r\n+OK\r\n*0\r\n", "{}", answers.escape_ascii());
    }
}
