//! What the fuzz targets reach in here: a connection without its socket, and the parser alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures::FutureExt as _;
use tidings::Peer;

use crate::door::{Door, LIMITS, path_of};
use crate::metrics::Metrics;
use crate::parser::{Parser, Step};
use crate::reply::Output;
use crate::session::Session;

/// A connection without its socket: what comes in is answered as a connection answers it.
pub struct Talk {
    session: Session,
    parser: Parser,
    buffer: Vec<u8>,
    out: Output,
}

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Talk").field("buffered", &self.buffer.len()).finish_non_exhaustive()
    }
}

impl Talk {
    /// A new connection to a peer.
    pub fn new(peer: Peer) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 7379));
        let metrics = Arc::new(Metrics::new());
        let door = Arc::new(Door::new(peer, address, None, path_of(0), LIMITS, metrics));
        let session = Session::new(door, address, address);
        let (parser, buffer, out) = (Parser::default(), Vec::new(), Output::default());
        Self { session, parser, buffer, out }
    }

    /// Takes bytes in and gives the answers to what is complete; false: the connection ends.
    pub async fn feed(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        while !self.session.closing {
            match self.parser.next(&self.buffer[at..]) {
                Ok(Step::More) => break,
                Ok(Step::Skip(length)) => at += length,
                Ok(Step::Request(length)) => {
                    let arguments = self.parser.arguments(&self.buffer[at..]);
                    at += length;
                    let more = self.buffer.len() > at;
                    self.session.execute(arguments, more, &mut self.out).await;
                    while self.session.running.is_some()
                        && self.session.run_next(&mut self.out).await
                    {}
                }
                Ok(Step::TooLarge(length, why)) => {
                    self.session.too_large(why, &mut self.out).await;
                    at += length;
                }
                Err(error) => {
                    self.session.settle(&mut self.out).await;
                    self.out.error(&error.text());
                    self.session.closing = true;
                }
            }
        }
        self.session.settle(&mut self.out).await;
        self.buffer.drain(..at);
        if self.session.subscriptions.is_watching() {
            let told = self.session.subscriptions.tell(&mut self.out).now_or_never();
            self.session.closing |= told == Some(false);
        }
        let answers = self.out.bytes().to_vec();
        self.out.clear();
        (answers, !self.session.closing)
    }
}

/// The words of every request in the bytes, which arrive in pieces of so many, what was refused as too
/// large, and how it ended.
pub fn requests(bytes: &[u8], piece: usize) -> (Vec<Vec<Vec<u8>>>, Option<String>) {
    let (mut parser, mut found) = (Parser::default(), Vec::new());
    let (mut at, mut upto) = (0, 0);
    while upto < bytes.len() {
        upto = bytes.len().min(upto + piece.max(1));
        loop {
            let buffer = &bytes[at..upto];
            match parser.next(buffer) {
                Ok(Step::More) => break,
                Ok(Step::Skip(length)) => at += length,
                Ok(Step::Request(length)) => {
                    found.push(parser.arguments(buffer).iter().map(<[u8]>::to_vec).collect());
                    at += length;
                }
                Ok(Step::TooLarge(length, why)) => {
                    found.push(vec![why.text().into_bytes()]);
                    at += length;
                }
                Err(error) => return (found, Some(error.text())),
            }
        }
    }
    (found, None)
}
