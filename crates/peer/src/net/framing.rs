//! Bytes of a stream to frames and back: a little-endian `u32` length, then the frame.
//!
//! A length is checked against the stream's bound before anything is allocated for it. The
//! largest lengths are not lengths but signs of life (see [`PING`], [`PONG`]), understood on
//! probe streams only.

use std::io;

use futures::{AsyncRead, AsyncReadExt};
use libp2p::Multiaddr;

use super::limits::{MAX_ADDRESSES_PER_PEER, MAX_HELLO_BYTES, READ_BUFFER_BYTES};

/// Bytes of a length.
pub(super) const LENGTH_BYTES: usize = 4;

/// In place of a length on a probe stream: answer with [`PONG`].
pub(super) const PING: u32 = u32::MAX - 1;

/// In place of a length on a probe stream: still here.
pub(super) const PONG: u32 = u32::MAX;

/// What a reader finds on a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    Frame(Vec<u8>),
    Ping,
    Pong,
}

/// Appends one frame with its length to `buffer`.
pub(super) fn append(buffer: &mut Vec<u8>, frame: &[u8]) {
    append_length(buffer, frame.len());
    buffer.extend_from_slice(frame);
}

/// Appends the length of a frame that is written on its own.
pub(super) fn append_length(buffer: &mut Vec<u8>, length: usize) {
    buffer.extend_from_slice(&(length as u32).to_le_bytes());
}

/// Reads frames from a stream through one fixed buffer.
pub(super) struct FrameReader<R> {
    stream: R,
    largest: usize,
    signs_of_life: bool,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader of frames of at most `largest` bytes; `signs_of_life` says whether [`PING`] and
    /// [`PONG`] may come between them.
    pub(super) fn new(stream: R, largest: usize, signs_of_life: bool) -> Self {
        Self {
            stream,
            largest,
            signs_of_life,
            buffer: vec![0; READ_BUFFER_BYTES.min(largest + LENGTH_BYTES)],
            start: 0,
            end: 0,
        }
    }

    /// Waits for at least one item, then adds everything that has already arrived to `items`.
    /// Returns how many bytes of the stream they took, or 0 at its end.
    ///
    /// # Errors
    /// When the stream fails, ends within a frame, or announces a frame above the bound.
    pub(super) async fn read_batch(&mut self, items: &mut Vec<Item>) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            while let Some(length) = self.length()? {
                match length {
                    Length::Sign(item) => {
                        self.start += LENGTH_BYTES;
                        taken += LENGTH_BYTES;
                        items.push(item);
                    }
                    Length::Frame(length) => {
                        let buffered = self.end - self.start - LENGTH_BYTES;
                        if buffered >= length {
                            let from = self.start + LENGTH_BYTES;
                            items.push(Item::Frame(self.buffer[from..from + length].to_vec()));
                            self.start = from + length;
                            taken += LENGTH_BYTES + length;
                        } else if length + LENGTH_BYTES > self.buffer.len() && items.is_empty() {
                            items.push(Item::Frame(self.read_large(length).await?));
                            return Ok(taken + LENGTH_BYTES + length);
                        } else {
                            break;
                        }
                    }
                }
            }
            if !items.is_empty() {
                return Ok(taken);
            }
            if !self.fill().await? {
                return Ok(0);
            }
        }
    }

    /// The length at the front of the buffer, checked; `None` until it has arrived.
    fn length(&self) -> io::Result<Option<Length>> {
        let Some(bytes) = self.buffer[self.start..self.end].first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        match u32::from_le_bytes(*bytes) {
            PING if self.signs_of_life => Ok(Some(Length::Sign(Item::Ping))),
            PONG if self.signs_of_life => Ok(Some(Length::Sign(Item::Pong))),
            length if length as usize <= self.largest => Ok(Some(Length::Frame(length as usize))),
            length => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a frame of {length} bytes, at most {} are allowed", self.largest),
            )),
        }
    }

    /// Reads a frame that is larger than the buffer, the buffered part of it included.
    async fn read_large(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; length];
        let from = self.start + LENGTH_BYTES;
        let buffered = self.end - from;
        frame[..buffered].copy_from_slice(&self.buffer[from..self.end]);
        self.start = 0;
        self.end = 0;
        self.stream.read_exact(&mut frame[buffered..]).await?;
        Ok(frame)
    }

    /// Reads once into the free part of the buffer; `false` at the end of the stream.
    async fn fill(&mut self) -> io::Result<bool> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let read = self.stream.read(&mut self.buffer[self.end..]).await?;
        self.end += read;
        match (read, self.end) {
            (0, 0) => Ok(false),
            (0, _) => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(true),
        }
    }
}

enum Length {
    Frame(usize),
    Sign(Item),
}

/// The first frame on a frame stream: where its author listens.
pub(super) fn encode_hello(addresses: &[Multiaddr]) -> Vec<u8> {
    let mut hello = Vec::new();
    for address in addresses.iter().take(MAX_ADDRESSES_PER_PEER) {
        let bytes = address.as_ref();
        let Ok(length) = u16::try_from(bytes.len()) else { continue };
        if hello.len() + 2 + bytes.len() > MAX_HELLO_BYTES {
            break;
        }
        hello.extend_from_slice(&length.to_le_bytes());
        hello.extend_from_slice(bytes);
    }
    hello
}

/// Reads what [`encode_hello`] wrote; `None` if it is malformed. An address of a kind that this
/// version does not know is left out.
pub(super) fn decode_hello(mut hello: &[u8]) -> Option<Vec<Multiaddr>> {
    let mut addresses = Vec::new();
    while let Some((length, rest)) = hello.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length));
        let (bytes, rest) = rest.split_at_checked(length)?;
        if let Ok(address) = Multiaddr::try_from(bytes.to_vec())
            && addresses.len() < MAX_ADDRESSES_PER_PEER
        {
            addresses.push(address);
        }
        hello = rest;
    }
    hello.is_empty().then_some(addresses)
}

#[cfg(test)]
mod tests {
    use futures::{executor::block_on, io::Cursor};

    use super::*;

    fn read_all(bytes: Vec<u8>, largest: usize, signs: bool) -> io::Result<Vec<Item>> {
        let mut reader = FrameReader::new(Cursor::new(bytes), largest, signs);
        let mut all = Vec::new();
        block_on(async {
            loop {
                let mut items = Vec::new();
                if reader.read_batch(&mut items).await? == 0 {
                    return Ok(all);
                }
                all.append(&mut items);
            }
        })
    }

    /// Frames of all sizes around the buffer's come back as they were written.
    #[test]
    fn frames_survive_the_stream() {
        let sizes = [0, 1, 3, 100, READ_BUFFER_BYTES - 5, READ_BUFFER_BYTES - 4];
        let larger = [READ_BUFFER_BYTES - 3, READ_BUFFER_BYTES, 3 * READ_BUFFER_BYTES + 1, 0, 7];
        let frames: Vec<Vec<u8>> = sizes
            .iter()
            .chain(&larger)
            .cycle()
            .take(60)
            .enumerate()
            .map(|(n, size)| vec![n as u8; *size])
            .collect();
        let mut bytes = Vec::new();
        for frame in &frames {
            append(&mut bytes, frame);
        }
        let items = read_all(bytes, 1 << 20, false).unwrap();
        assert!(items == frames.into_iter().map(Item::Frame).collect::<Vec<_>>());
    }

    /// A length above the bound, a sign of life among frames, and an end within a frame are
    /// errors; nothing is allocated for them.
    #[test]
    fn hostile_lengths_are_refused() {
        for length in [1025, u32::MAX / 2, PING, PONG] {
            let error = read_all(length.to_le_bytes().to_vec(), 1024, false).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
        for bytes in [&[1][..], &[4, 0, 0, 0], &[4, 0, 0, 0, 1, 2, 3]] {
            let error = read_all(bytes.to_vec(), 1024, false).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
        let large = [&900_000_u32.to_le_bytes()[..], &vec![1; 70_000]].concat();
        assert!(read_all(large, 1 << 20, false).is_err());
    }

    /// Signs of life are told from packets on a probe stream.
    #[test]
    fn signs_of_life_are_understood_between_packets() {
        let mut bytes = PING.to_le_bytes().to_vec();
        append(&mut bytes, b"packet");
        bytes.extend(PONG.to_le_bytes());
        let items = read_all(bytes, 1024, true).unwrap();
        assert_eq!(items, [Item::Ping, Item::Frame(b"packet".to_vec()), Item::Pong]);
    }

    /// A greeting carries its addresses; one that is cut anywhere is malformed or shorter, and
    /// never more.
    #[test]
    fn greetings_survive_and_hostile_ones_do_not_panic() {
        let addresses: Vec<Multiaddr> =
            (0..20).map(|port| format!("/ip4/10.0.0.1/tcp/{port}").parse().unwrap()).collect();
        let hello = encode_hello(&addresses);
        assert!(hello.len() <= MAX_HELLO_BYTES);
        assert_eq!(decode_hello(&hello).unwrap(), addresses[..MAX_ADDRESSES_PER_PEER]);
        for cut in 0..hello.len() {
            let _ = decode_hello(&hello[..cut]);
        }
        assert_eq!(decode_hello(&[200, 0, 1]), None);
        // Not a multiaddr: left out.
        assert_eq!(decode_hello(&[2, 0, 0xFF, 0xFF]), Some(vec![]));
    }
}
