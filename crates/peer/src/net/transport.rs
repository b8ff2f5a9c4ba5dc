//! From sockets to authenticated connections: TCP with Noise and Yamux, QUIC, and on both the
//! secret handshake, after which the swarm hears of a connection for the first time.

use std::{
    future::{Future, poll_fn},
    io,
    sync::Arc,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        ConnectedPoint,
        muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox},
        transport::Boxed,
        transport::timeout::TransportTimeout,
        upgrade::Version,
    },
    identity::Keypair,
    noise, quic, tcp, yamux,
};
use tokio::sync::mpsc;

use super::{
    auth::{AuthenticationFailure, Challenge, Role},
    limits::{
        AUTHENTICATION_TIMEOUT, CONNECT_TIMEOUT, MAX_STREAMS_PER_CONNECTION, QUIC_CONNECTION_BYTES,
        QUIC_STREAM_BYTES,
    },
};

/// A connection that did not pass the secret handshake.
#[derive(Debug)]
pub(super) struct Rejected {
    pub(super) peer: PeerId,
    pub(super) address: Multiaddr,
    pub(super) dialed: bool,
    pub(super) reason: AuthenticationFailure,
}

/// A transport whose connections have passed the secret handshake.
type Admitted = Boxed<(PeerId, StreamMuxerBox)>;

/// How many rejections may wait for the driver; beyond that they are still refused, only not
/// reported one by one.
const REJECTED_QUEUE: usize = 256;

/// What the transport needs of the driver to admit connections.
struct Gate {
    local: PeerId,
    key: [u8; 32],
    rejected: mpsc::Sender<Rejected>,
}

/// Builds the transport, and the channel on which it reports whom it turned away.
///
/// # Errors
/// When the keypair cannot sign for Noise.
pub(super) fn build(
    keypair: &Keypair,
    key: [u8; 32],
) -> Result<(Admitted, mpsc::Receiver<Rejected>), noise::Error> {
    let (rejected, rejections) = mpsc::channel(REJECTED_QUEUE);
    let gate = Arc::new(Gate { local: keypair.public().to_peer_id(), key, rejected });

    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(MAX_STREAMS_PER_CONNECTION as usize);
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keypair)?)
        .multiplex(yamux)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));

    let mut quic = quic::Config::new(keypair);
    quic.max_concurrent_stream_limit = MAX_STREAMS_PER_CONNECTION;
    quic.max_stream_data = QUIC_STREAM_BYTES;
    quic.max_connection_data = QUIC_CONNECTION_BYTES;
    let quic = quic::tokio::Transport::new(quic)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));

    let either = quic.or_transport(tcp).map(|either, _| either.into_inner());
    let gated = either.and_then(move |(peer, muxer), endpoint| admit(gate, peer, muxer, endpoint));
    Ok((TransportTimeout::new(gated.boxed(), CONNECT_TIMEOUT).boxed(), rejections))
}

/// Lets an encrypted connection through to the swarm if its peer knows the cluster key.
async fn admit(
    gate: Arc<Gate>,
    peer: PeerId,
    mut muxer: StreamMuxerBox,
    endpoint: ConnectedPoint,
) -> Result<(PeerId, StreamMuxerBox), AuthenticationFailure> {
    if peer == gate.local {
        // The swarm recognises, and closes, a connection to ourselves.
        return Ok((peer, muxer));
    }
    let handshake = shake_hands(&gate, peer, &mut muxer, &endpoint);
    let outcome = tokio::time::timeout(AUTHENTICATION_TIMEOUT, handshake)
        .await
        .unwrap_or(Err(AuthenticationFailure::TimedOut));
    match outcome {
        Ok(()) => Ok((peer, muxer)),
        Err(reason) => {
            let rejected = Rejected {
                peer,
                address: endpoint.get_remote_address().clone(),
                dialed: endpoint.is_dialer(),
                reason,
            };
            if gate.rejected.try_send(rejected).is_err() {
                tracing::debug!(%peer, %reason, "rejected, and too busy to report it");
            }
            Err(reason)
        }
    }
}

async fn shake_hands(
    gate: &Gate,
    peer: PeerId,
    muxer: &mut StreamMuxerBox,
    endpoint: &ConnectedPoint,
) -> Result<(), AuthenticationFailure> {
    let role = if endpoint.is_dialer() { Role::Dialer } else { Role::Listener };
    let stream = first_stream(muxer, role).await.map_err(|_| AuthenticationFailure::Interrupted)?;
    let challenge = Challenge { key: &gate.key, role, local: gate.local, remote: peer };
    while_driving(muxer, challenge.run(stream)).await
}

/// The stream of the handshake: the dialer opens it, the listener waits for it.
async fn first_stream(muxer: &mut StreamMuxerBox, role: Role) -> io::Result<SubstreamBox> {
    poll_fn(|context| {
        let stream = match role {
            Role::Dialer => muxer.poll_outbound_unpin(context),
            Role::Listener => muxer.poll_inbound_unpin(context),
        };
        if stream.is_pending()
            && let Poll::Ready(Err(error)) = drive(muxer, context)
        {
            return Poll::Ready(Err(error));
        }
        stream
    })
    .await
}

/// Runs `work` on a stream of `muxer`; a stream moves only while its muxer is polled.
async fn while_driving(
    muxer: &mut StreamMuxerBox,
    work: impl Future<Output = Result<(), AuthenticationFailure>>,
) -> Result<(), AuthenticationFailure> {
    let mut work = std::pin::pin!(work);
    let mut broken = false;
    poll_fn(|context| {
        // The muxer may fail with bytes already read that complete the work, so ask that first
        // and last.
        loop {
            if let Poll::Ready(outcome) = work.as_mut().poll(context) {
                return Poll::Ready(outcome);
            }
            if broken {
                return Poll::Ready(Err(AuthenticationFailure::Interrupted));
            }
            match drive(muxer, context) {
                Poll::Ready(Err(_)) => broken = true,
                _ => return Poll::Pending,
            }
        }
    })
    .await
}

/// Polls the muxer until it has nothing more to do.
fn drive(muxer: &mut StreamMuxerBox, context: &mut Context<'_>) -> Poll<io::Result<()>> {
    loop {
        match muxer.poll_unpin(context) {
            // A change of address before the handshake; the swarm will hear of the next one.
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        }
    }
}
