//! One connection: reads what is there, answers it, writes the answers in one go.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use crate::door::Door;
use crate::parser::{Parser, Step};
use crate::reply::Output;
use crate::session::Session;

/// Bytes read at a time, unless a longer value is under way.
const READ_BYTES: usize = 16 << 10;
/// Most bytes read at a time: space is only taken as bytes come in, whatever lengths were announced.
const READ_BYTES_MAX: usize = 256 << 10;
/// Answers beyond this are written before the next request is looked at.
pub(crate) const ANSWER_BYTES: usize = 64 << 10;
/// Most bytes of a request that is not complete, of a client that has not said who it is; as in Redis.
const STRANGER_BYTES_MAX: usize = 16 << 10;
/// How long a client may take to read what it asked for.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);

/// A place among the connections of a door, until it is dropped.
pub(crate) struct Seat(Arc<Door>);

impl Seat {
    pub(crate) fn new(door: &Arc<Door>) -> Self {
        door.metrics.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(door))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is served.
pub(crate) struct Connection {
    _seat: Seat,
    stream: TcpStream,
    buffer: BytesMut,
    parser: Parser,
    session: Session,
    out: Output,
    /// Bytes taken from the budget of the door.
    held: usize,
}

impl Connection {
    /// Takes over a connection.
    ///
    /// # Errors
    /// When the socket is gone already.
    pub(crate) fn new(stream: TcpStream, seat: Seat) -> io::Result<Self> {
        // Answers are written whole; waiting to fill a packet would only delay them.
        stream.set_nodelay(true)?;
        let (client, local) = (stream.peer_addr()?, stream.local_addr()?);
        let session = Session::new(Arc::clone(&seat.0), client, local);
        let (buffer, parser, out) = (BytesMut::new(), Parser::default(), Output::default());
        Ok(Self { _seat: seat, stream, buffer, parser, session, out, held: 0 })
    }

    /// Serves until the client leaves, breaks the protocol or idles for too long, or the other end of
    /// `closing` is dropped.
    ///
    /// # Errors
    /// When the socket fails.
    pub(crate) async fn serve(
        mut self,
        mut closing: oneshot::Receiver<Infallible>,
    ) -> io::Result<()> {
        let mut active = Instant::now();
        let look = self.session.door.limits.request;
        let mut alarm = std::pin::pin!(sleep_until(active + look));
        loop {
            let missing = self.parser.wanted(self.buffer.len());
            self.buffer.reserve(missing.clamp(READ_BYTES, READ_BYTES_MAX));
            let watching = self.session.subscriptions.is_watching();
            tokio::select! {
                biased;
                read = self.stream.read_buf(&mut self.buffer) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    active = Instant::now();
                    if self.hold() {
                        self.answer().await?;
                        self.hold();
                    }
                }
                () = self.session.access.revoked(), if watching => {
                    tracing::info!(client = %self.session.client, "a token was revoked: its subscriber is let go");
                    self.session.closing = true;
                }
                goes_on = self.session.subscriptions.tell(&mut self.out), if watching => {
                    self.session.closing |= !goes_on;
                }
                () = &mut alarm => {
                    let now = Instant::now();
                    if self.patience().is_some_and(|patience| now - active >= patience) {
                        return Ok(());
                    }
                    // Looked at now and then: patience changes with every request.
                    alarm.as_mut().reset(now + look);
                }
                _ = &mut closing => return Ok(()),
            }
            self.flush_above(0).await?;
            if self.session.closing {
                // The client sees the end after the last answer, not a reset.
                let _ = self.stream.shutdown().await;
                return Ok(());
            }
        }
    }

    /// Takes what is kept of this client from the budget that all have. False: there is too much, and the
    /// connection ends.
    fn hold(&mut self) -> bool {
        let kept = self.buffer.len() + self.session.held();
        let held = if kept > READ_BYTES_MAX { kept } else { 0 };
        if held == self.held {
            return true;
        }
        let budget = &self.session.door.held;
        if budget.change(self.held, held) {
            self.held = held;
            return true;
        }
        self.out.error(&format!(
            "ERR the commands that the connections of this door have begun take more than {} bytes: try again once they are done",
            budget.most()
        ));
        self.session.closing = true;
        false
    }

    /// How long nothing may come from the client; `None`: for ever. Subscribers only listen, as in Redis.
    fn patience(&self) -> Option<Duration> {
        let limits = &self.session.door.limits;
        let stranger = self.session.access.is_stranger();
        if stranger || self.parser.is_amid() || !self.buffer.is_empty() {
            Some(limits.request)
        } else if self.session.subscriptions.count() > 0 {
            None
        } else {
            Some(limits.idle)
        }
    }

    /// Answers every request that is complete.
    async fn answer(&mut self) -> io::Result<()> {
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
                    {
                        self.flush_above(ANSWER_BYTES).await?;
                    }
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
            self.flush_above(ANSWER_BYTES).await?;
        }
        self.session.settle(&mut self.out).await;
        self.buffer.advance(at);
        if self.session.access.is_stranger() && self.buffer.len() > STRANGER_BYTES_MAX {
            self.out.error("ERR Protocol error: unauthenticated bulk length");
            self.session.closing = true;
        }
        if self.buffer.is_empty() && self.buffer.capacity() > READ_BYTES_MAX {
            self.buffer = BytesMut::new();
        }
        let errors = self.out.take_errors();
        if errors > 0 {
            self.session.door.metrics.errors.fetch_add(errors, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes what was answered, where it is more than so many bytes.
    async fn flush_above(&mut self, least: usize) -> io::Result<()> {
        let bytes = self.out.bytes();
        if bytes.len() <= least {
            return Ok(());
        }
        // Mostly there is room, and no clock is needed.
        let written = match self.stream.try_write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let rest = &bytes[written..];
        if !rest.is_empty() {
            timeout(WRITE_TIMEOUT, self.stream.write_all(rest)).await??;
        }
        self.out.clear();
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.session.door.held.change(self.held, 0);
    }
}
