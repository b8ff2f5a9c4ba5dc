//! What the fuzz targets reach in here: the reader of frames and of greetings, fed from memory.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::executor::block_on;
use futures::{AsyncRead, io};

use super::framing::{FrameReader, Item, decode_hello};
use super::limits::{MAX_FRAME_BYTES, MAX_PROBE_BYTES};

/// Bytes that arrive in pieces of at most so many.
struct Pieces<'a> {
    rest: &'a [u8],
    piece: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let length = self.rest.len().min(into.len()).min(self.piece);
        let (now, later) = self.rest.split_at(length);
        into[..length].copy_from_slice(now);
        self.rest = later;
        Poll::Ready(Ok(length))
    }
}

/// The frames of a stream that arrives in pieces, and whether it ended where it may. A sign of life on a
/// stream of probes is `None`.
pub fn frames(bytes: &[u8], piece: usize, probes: bool) -> (Vec<Option<Vec<u8>>>, bool) {
    let largest = if probes { MAX_PROBE_BYTES } else { MAX_FRAME_BYTES };
    let stream = Pieces { rest: bytes, piece: piece.max(1) };
    let mut reader = FrameReader::new(stream, largest, probes);
    let (mut frames, mut items) = (Vec::new(), Vec::new());
    loop {
        let read = block_on(reader.read_batch(&mut items));
        frames.extend(items.drain(..).map(|item| match item {
            Item::Frame(frame) => Some(frame),
            Item::Ping | Item::Pong => None,
        }));
        match read {
            Ok(0) => return (frames, true),
            Ok(_) => {}
            Err(_) => return (frames, false),
        }
    }
}

/// How many addresses a greeting tells; `None`: it is malformed.
pub fn greeting(bytes: &[u8]) -> Option<usize> {
    decode_hello(bytes).map(|addresses| addresses.len())
}
