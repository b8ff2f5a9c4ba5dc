//! One connected period of one peer: the tasks that move its frames and probes.
//!
//! A session begins with a greeting in both directions, calls `connected`, runs a reader and a
//! writer for each stream until one of them fails or the session is stopped, waits until all of
//! them are gone, and calls `disconnected`. So the sink sees everything of a period between its
//! two ends, and a slow sink slows the reader, and with it the peer, but not the probes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{
    AsyncReadExt, AsyncWriteExt,
    io::{ReadHalf, WriteHalf},
};
use libp2p::{Multiaddr, PeerId, swarm::Stream};
use tokio::{sync::Notify, task::JoinSet, time::timeout};

use super::{
    Shared, address,
    counters::count,
    framing::{self, FrameReader, Item, LENGTH_BYTES},
    limits::{
        DRAIN_TIMEOUT, FRAME_QUEUE_BYTES, KEEPALIVE_INTERVAL, MAX_FRAME_BYTES, MAX_HELLO_BYTES,
        MAX_PROBE_BYTES, OPEN_TIMEOUT, PROBE_QUEUE_BYTES, SILENCE_LIMIT, WRITE_BATCH_BYTES,
        WRITE_BUFFER_BYTES, WRITE_DIRECT_BYTES,
    },
    queue::{SendQueue, Taken},
    streams::Streams,
};

/// The shared side of a session: what senders and the driver touch.
pub(super) struct Session {
    pub(super) peer: PeerId,
    pub(super) frames: SendQueue,
    pub(super) probes: SendQueue,
    began: Instant,
    /// When the peer was last heard, in milliseconds after `began`.
    heard: AtomicU64,
    ping_wanted: AtomicBool,
    pong_wanted: AtomicBool,
    stop: Notify,
}

/// How the connection of a session came about.
pub(super) struct Origin {
    /// The remote end as this side sees it.
    pub(super) remote: Multiaddr,
    /// Whether this side dialed it, so that others can.
    pub(super) dialed: bool,
    /// Where this side listens.
    pub(super) listen: Vec<Multiaddr>,
}

impl Session {
    pub(super) fn new(peer: PeerId) -> Self {
        Self {
            peer,
            frames: SendQueue::new(FRAME_QUEUE_BYTES),
            probes: SendQueue::new(PROBE_QUEUE_BYTES),
            began: Instant::now(),
            heard: AtomicU64::new(0),
            ping_wanted: AtomicBool::new(false),
            pong_wanted: AtomicBool::new(false),
            stop: Notify::new(),
        }
    }

    /// When the peer was last heard; the session's beginning counts.
    pub(super) fn heard(&self) -> Instant {
        self.began + Duration::from_millis(self.heard.load(Ordering::Relaxed))
    }

    fn note_heard(&self) {
        let elapsed = self.began.elapsed().as_millis() as u64;
        self.heard.store(elapsed, Ordering::Relaxed);
    }

    /// Asks the peer for a sign of life.
    pub(super) fn ping(&self) {
        self.ping_wanted.store(true, Ordering::Release);
        self.probes.wake();
    }

    fn pong(&self) {
        self.pong_wanted.store(true, Ordering::Release);
        self.probes.wake();
    }

    /// Ends the session, after what is queued has been given a moment to leave.
    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }
}

/// Lives as long as the session.
pub(super) async fn run(
    shared: Arc<Shared>,
    session: Arc<Session>,
    streams: Streams,
    origin: Origin,
) {
    let peer = session.peer;
    let (frames_in, mut frames_out) = streams.frames.split();
    let mut frames_in = FrameReader::new(frames_in, MAX_FRAME_BYTES, false);
    let greeting = greet(&mut frames_in, &mut frames_out, &origin.listen);
    let greeted = tokio::select! {
        greeted = timeout(OPEN_TIMEOUT, greeting) => greeted,
        () = session.stop.notified() => return,
    };
    let (claimed, early) = match greeted {
        Ok(Ok(greeting)) => greeting,
        Ok(Err(error)) => return tracing::debug!(%peer, %error, "the greeting failed"),
        Err(_) => return tracing::debug!(%peer, "the greeting took too long"),
    };
    let seen_from_loopback = address::host(&origin.remote).is_some_and(|host| host.is_loopback());
    let known_good = origin.dialed.then(|| address::split_peer(origin.remote).0);
    let addresses = address::usable(known_good, claimed, seen_from_loopback);

    session.note_heard();
    count(&shared.counters.sessions);
    shared.targets().succeeded(peer, Instant::now());
    shared.insert_session(&session);
    shared.sink.connected(peer, addresses);

    let (probes_in, probes_out) = streams.probes.split();
    let probes_in = FrameReader::new(probes_in, MAX_PROBE_BYTES, true);
    let mut tasks: JoinSet<io::Result<()>> = JoinSet::new();
    tasks.spawn(read_frames(shared.clone(), session.clone(), frames_in, early));
    tasks.spawn(read_probes(shared.clone(), session.clone(), probes_in));
    tasks.spawn(write_probes(shared.clone(), session.clone(), probes_out));
    let mut frame_writer = JoinSet::new();
    frame_writer.spawn(write_frames(shared.clone(), session.clone(), frames_out));

    let ended = tokio::select! {
        ended = tasks.join_next() => ended,
        ended = frame_writer.join_next() => ended,
        () = session.stop.notified() => {
            session.frames.close();
            // When the peer ends its side it has read everything. Whether or not that was in
            // time, the session is over.
            let drained = async {
                frame_writer.join_next().await;
                tasks.join_next().await;
            };
            let _ = timeout(DRAIN_TIMEOUT, drained).await;
            None
        }
    };
    match ended {
        Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "the session failed"),
        Some(Err(error)) if error.is_panic() => tracing::error!(%peer, "a session task panicked"),
        _ => tracing::debug!(%peer, "the session ended"),
    }
    session.frames.close();
    session.probes.close();
    shared.remove_session(&session);
    tasks.shutdown().await;
    frame_writer.shutdown().await;
    shared.sink.disconnected(peer);
}

/// Tells the peer where we listen and hears where it does; frames that came right behind its
/// greeting are returned with it.
async fn greet(
    reader: &mut FrameReader<ReadHalf<Stream>>,
    writer: &mut WriteHalf<Stream>,
    listen: &[Multiaddr],
) -> io::Result<(Vec<Multiaddr>, Vec<Item>)> {
    let mut hello = Vec::new();
    framing::append(&mut hello, &framing::encode_hello(listen));
    writer.write_all(&hello).await?;
    writer.flush().await?;
    let mut items = Vec::new();
    if reader.read_batch(&mut items).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let claimed = match items.remove(0) {
        Item::Frame(hello) if hello.len() <= MAX_HELLO_BYTES => framing::decode_hello(&hello),
        _ => None,
    };
    let claimed = claimed
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a malformed greeting"))?;
    Ok((claimed, items))
}

/// Delivers data frames to the sink, as many at a time as have arrived.
async fn read_frames(
    shared: Arc<Shared>,
    session: Arc<Session>,
    mut reader: FrameReader<ReadHalf<Stream>>,
    mut items: Vec<Item>,
) -> io::Result<()> {
    loop {
        let frames: Vec<Vec<u8>> = items
            .drain(..)
            .filter_map(|item| match item {
                Item::Frame(frame) => Some(frame),
                Item::Ping | Item::Pong => None,
            })
            .collect();
        if !frames.is_empty() {
            let bytes: usize = frames.iter().map(|frame| frame.len() + LENGTH_BYTES).sum();
            shared.counters.frames_received.add(frames.len(), bytes);
            shared.sink.frames(session.peer, frames);
        }
        if reader.read_batch(&mut items).await? == 0 {
            return Ok(());
        }
        session.note_heard();
    }
}

/// Delivers probes to the sink, and answers signs of life.
async fn read_probes(
    shared: Arc<Shared>,
    session: Arc<Session>,
    mut reader: FrameReader<ReadHalf<Stream>>,
) -> io::Result<()> {
    let mut items = Vec::new();
    loop {
        let bytes = reader.read_batch(&mut items).await?;
        if bytes == 0 {
            return Ok(());
        }
        session.note_heard();
        for item in items.drain(..) {
            match item {
                Item::Frame(packet) => {
                    shared.counters.probes_received.add(1, packet.len() + LENGTH_BYTES);
                    shared.sink.probe(session.peer, packet);
                }
                Item::Ping => session.pong(),
                Item::Pong => {}
            }
        }
    }
}

/// Writes queued frames, several small ones at a time.
async fn write_frames(
    shared: Arc<Shared>,
    session: Arc<Session>,
    mut stream: WriteHalf<Stream>,
) -> io::Result<()> {
    let mut batch = Vec::new();
    let mut buffer = Vec::with_capacity(WRITE_BUFFER_BYTES + WRITE_DIRECT_BYTES);
    loop {
        let cost = match session.frames.take(&mut batch, WRITE_BATCH_BYTES) {
            Taken::Frames(cost) => cost,
            Taken::Nothing => {
                session.frames.changed().await;
                continue;
            }
            Taken::Closed => return stream.close().await,
        };
        let frames = batch.len();
        let bytes: usize = batch.iter().map(|frame| frame.len() + LENGTH_BYTES).sum();
        for frame in batch.drain(..) {
            if frame.len() >= WRITE_DIRECT_BYTES {
                framing::append_length(&mut buffer, frame.len());
                stream.write_all(&buffer).await?;
                buffer.clear();
                stream.write_all(&frame).await?;
            } else {
                framing::append(&mut buffer, &frame);
                if buffer.len() >= WRITE_BUFFER_BYTES {
                    stream.write_all(&buffer).await?;
                    buffer.clear();
                }
            }
        }
        if !buffer.is_empty() {
            stream.write_all(&buffer).await?;
            buffer.clear();
        }
        stream.flush().await?;
        shared.counters.frames_sent.add(frames, bytes);
        session.frames.release(cost);
    }
}

/// Writes probes and signs of life, and gives up on a peer that has been silent for too long.
async fn write_probes(
    shared: Arc<Shared>,
    session: Arc<Session>,
    mut stream: WriteHalf<Stream>,
) -> io::Result<()> {
    let mut batch = Vec::new();
    let mut buffer = Vec::new();
    loop {
        let taken = session.probes.take(&mut batch, WRITE_BUFFER_BYTES);
        if session.ping_wanted.swap(false, Ordering::Acquire) {
            buffer.extend_from_slice(&framing::PING.to_le_bytes());
        }
        if session.pong_wanted.swap(false, Ordering::Acquire) {
            buffer.extend_from_slice(&framing::PONG.to_le_bytes());
        }
        for packet in batch.drain(..) {
            shared.counters.probes_sent.add(1, packet.len() + LENGTH_BYTES);
            framing::append(&mut buffer, &packet);
        }
        if !buffer.is_empty() {
            let written = async {
                stream.write_all(&buffer).await?;
                stream.flush().await
            };
            timeout(SILENCE_LIMIT, written).await.map_err(|_| silent())??;
            buffer.clear();
        }
        match taken {
            Taken::Frames(cost) => session.probes.release(cost),
            Taken::Closed => return stream.close().await,
            Taken::Nothing => {
                let silence = session.heard().elapsed();
                if silence >= SILENCE_LIMIT {
                    return Err(silent());
                }
                if timeout(KEEPALIVE_INTERVAL, session.probes.changed()).await.is_err()
                    && session.heard().elapsed() >= KEEPALIVE_INTERVAL
                {
                    session.ping_wanted.store(true, Ordering::Release);
                }
            }
        }
    }
}

fn silent() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("not heard for {} seconds", SILENCE_LIMIT.as_secs()),
    )
}
