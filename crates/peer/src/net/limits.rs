//! Every bound and every duration of the network driver, each with its reason.

use std::time::Duration;

/// The largest frame that is sent or accepted, in bytes.
///
/// Larger things travel in chunks, so that one database never keeps the others of a peer pair
/// waiting; a length above this is refused before a byte is allocated for it.
pub const MAX_FRAME_BYTES: usize = 1024 * 1024;

/// The largest probe packet that is sent or accepted, in bytes: a membership message with its
/// piggybacked updates, never data.
pub const MAX_PROBE_BYTES: usize = 8 * 1024;

/// How many bytes of frames may wait for one peer.
///
/// About half a second of a gigabit link, and several of the largest messages (a value of 8 MiB in
/// fragments) at once; what does not fit is dropped, and pulled later by the protocol above.
pub const FRAME_QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// How many bytes of probes may wait for one peer: an old probe is worth nothing.
pub const PROBE_QUEUE_BYTES: usize = 64 * 1024;

/// What a queued frame costs beside its bytes (its vector and its place in the queue), so that a
/// flood of empty frames is bounded too.
pub const QUEUED_OVERHEAD_BYTES: usize = 32;

/// How many bytes of small frames are copied together into one write.
pub(super) const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// A frame from this size on is written as it is: copying it would cost more than a second write.
pub(super) const WRITE_DIRECT_BYTES: usize = 16 * 1024;

/// How many bytes a writer takes from its queue at a time.
pub(super) const WRITE_BATCH_BYTES: usize = 512 * 1024;

/// How many bytes a reader asks of a stream at a time, and so the bound of a batch of small
/// frames.
pub(super) const READ_BUFFER_BYTES: usize = 64 * 1024;

/// The largest greeting on a new stream: [`MAX_ADDRESSES_PER_PEER`] addresses of ordinary length.
pub(super) const MAX_HELLO_BYTES: usize = 4 * 1024;

/// How many addresses of one peer are kept: some interfaces, TCP and QUIC each.
pub const MAX_ADDRESSES_PER_PEER: usize = 16;

/// How many peers learned by mDNS alone are remembered. Anyone on the link can invent them.
pub(super) const MAX_HINTED_PEERS: usize = 1024;

/// How many connections may be on their way in, unauthenticated.
///
/// Each costs a socket, a key exchange and at worst the receive windows of its few streams; two
/// hundred peers that start at once get in after a second try.
pub const MAX_PENDING_INCOMING: u32 = 64;

/// How many of those may come from one remote host (loopback is exempt), so that one stranger
/// cannot use up all of them.
pub const MAX_PENDING_INCOMING_PER_HOST: usize = 16;

/// How many dials are under way at once.
pub const MAX_PENDING_OUTGOING: u32 = 32;

/// How many authenticated connections one peer may have: one in use, one of a simultaneous dial,
/// and those of a predecessor that is not yet known to be dead.
pub const MAX_CONNECTIONS_PER_PEER: u32 = 4;

/// How many authenticated connections there may be: a full mesh of a few hundred peers, spares
/// included.
pub const MAX_CONNECTIONS: u32 = 1024;

/// How many streams one connection may carry: frames, probes, identify in both directions, and
/// some slack. It bounds what a stranger can make us buffer before the handshake fails.
pub(super) const MAX_STREAMS_PER_CONNECTION: u32 = 12;

/// How many unread bytes one QUIC stream and one QUIC connection may hold; 2 MiB carry 200 MB/s
/// over a round trip of 10 ms.
pub(super) const QUIC_STREAM_BYTES: u32 = 2 * 1024 * 1024;
/// See [`QUIC_STREAM_BYTES`].
pub(super) const QUIC_CONNECTION_BYTES: u32 = 4 * 1024 * 1024;

/// How many addresses of one peer are tried at the same time.
pub(super) const DIAL_CONCURRENCY: std::num::NonZeroU8 = match std::num::NonZeroU8::new(4) {
    Some(factor) => factor,
    None => std::num::NonZeroU8::MIN,
};

/// How long encryption, multiplexing and the secret handshake may take together.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(8);

/// How long the secret handshake may take: two round trips.
pub const AUTHENTICATION_TIMEOUT: Duration = Duration::from_secs(4);

/// How long opening the streams, and greeting on them, may take.
pub(super) const OPEN_TIMEOUT: Duration = Duration::from_secs(8);

/// A connection without streams is closed after this time, by either side.
pub(super) const SPARE_CONNECTION_LIFETIME: Duration = Duration::from_secs(20);

/// How long the connection in use has to answer when the same peer turns up on another one.
pub(super) const CHALLENGE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a session lasts before another connection of a peer that is alive takes its place, and
/// before it counts as one that lasted.
///
/// Two processes under one identity take turns at every other peer, and must be told of each other
/// several times in the 30 s for which they refuse writes. One process that dials twice at once does
/// so earlier; where that takes longer, it costs one session.
pub(super) const TURN: Duration = Duration::from_secs(3);

/// A peer not heard for this long is asked for a sign of life.
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);

/// A peer not heard for this long is disconnected. Membership above notices earlier; this is what
/// makes the transport let go of a link that died without a word.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(15);

/// How long a session that is told to stop may take to write what is queued.
pub(super) const DRAIN_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a shutdown waits for connections to close in order.
pub(super) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a shutdown waits for its UDP ports to be free again. A QUIC endpoint keeps its socket
/// for a few round trips, many if the network has just been broken.
pub(super) const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the start waits for the addresses of wildcard listeners to show up.
pub(super) const LISTEN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long after one address of a wildcard listener the start waits for another: a peer that says where
/// it listens says all of it, not the loopback alone.
pub(super) const LISTEN_QUIET: Duration = Duration::from_millis(50);

/// The first pause between two attempts to reach a peer.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(250);

/// The longest pause between two attempts to reach a peer.
pub const BACKOFF_LONGEST: Duration = Duration::from_secs(30);

/// The pause after an address failed the secret handshake: asking again does not change a secret.
pub const BACKOFF_AUTHENTICATION: Duration = Duration::from_mins(1);

/// How often mDNS asks again once it has had an answer. A newcomer asks at once; this is for lost
/// questions, and for links that come up late. Every peer answers every question, so the traffic
/// grows with the square of the peers on a link: a hundred packets a second for twenty of them.
pub(super) const MDNS_QUERY_INTERVAL: Duration = Duration::from_secs(4);

/// How long an answer of mDNS is believed.
pub(super) const MDNS_LIFETIME: Duration = Duration::from_mins(2);
