//! The swarm's part of a session: opening the two streams of a connection, and handing them over.
//!
//! [`Behaviour`] is told on which connection to open streams (see [`super::pairing`]); the
//! [`Handler`] of each connection accepts at most one stream of each kind in the connection's
//! life and reports when it has both.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    future::{Ready, ready},
    net::IpAddr,
    task::{Context, Poll},
};

use libp2p::{
    InboundUpgrade, Multiaddr, OutboundUpgrade, PeerId, StreamProtocol,
    core::{Endpoint, UpgradeInfo, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
        NetworkBehaviour, NotifyHandler, Stream, SubstreamProtocol, THandler, THandlerInEvent,
        THandlerOutEvent, ToSwarm,
        handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound},
    },
};

use super::{
    address,
    limits::{MAX_PENDING_INCOMING_PER_HOST, OPEN_TIMEOUT},
};

/// Carries data frames, in order.
const FRAMES_PROTOCOL: StreamProtocol = StreamProtocol::new("/tidings/frames/1");

/// Carries membership probes, so that they never queue behind data.
const PROBES_PROTOCOL: StreamProtocol = StreamProtocol::new("/tidings/probes/1");

/// Both streams of a session.
#[derive(Debug)]
pub(super) struct Streams {
    pub(super) frames: Stream,
    pub(super) probes: Stream,
}

/// What became of the streams of a connection.
#[derive(Debug)]
pub(super) enum Event {
    /// Both are open.
    Opened { peer: PeerId, connection: ConnectionId, streams: Box<Streams> },
    /// They could not be opened.
    Failed { peer: PeerId, connection: ConnectionId },
}

/// More connections from one host wait for admission than are allowed.
#[derive(Debug, thiserror::Error)]
#[error("at most {MAX_PENDING_INCOMING_PER_HOST} connections of one host may wait for admission")]
pub(super) struct HostLimit;

/// Opens and collects streams, and bounds unauthenticated connections per host.
#[derive(Default)]
pub(super) struct Behaviour {
    queue: VecDeque<ToSwarm<Event, Open>>,
    pending: HashMap<ConnectionId, IpAddr>,
}

impl Behaviour {
    /// Opens both streams on a connection.
    pub(super) fn open(&mut self, peer_id: PeerId, connection: ConnectionId) {
        self.queue.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event: Open,
        });
    }
}

/// The order to open the streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open;

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let Some(host) = address::host(remote).filter(|host| !host.is_loopback()) else {
            return Ok(());
        };
        if self.pending.values().filter(|other| **other == host).count()
            >= MAX_PENDING_INCOMING_PER_HOST
        {
            return Err(ConnectionDenied::new(HostLimit));
        }
        self.pending.insert(connection, host);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.pending.remove(&connection);
        Ok(Handler::default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::default())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ListenFailure(failure) = event {
            self.pending.remove(&failure.connection_id);
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.queue.push_back(ToSwarm::GenerateEvent(match event {
            Some(streams) => Event::Opened { peer, connection, streams },
            None => Event::Failed { peer, connection },
        }));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // The swarm polls again after every call that can fill the queue.
        self.queue.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Collects the two streams of one connection.
#[derive(Default)]
pub(super) struct Handler {
    frames: Slot,
    probes: Slot,
    requests: VecDeque<StreamProtocol>,
    reports: VecDeque<Option<Box<Streams>>>,
}

/// The one stream of a kind that a connection has in its life.
#[derive(Default)]
enum Slot {
    #[default]
    Empty,
    Open(Stream),
    Used,
}

impl Slot {
    fn take(&mut self) -> Option<Stream> {
        match std::mem::replace(self, Self::Used) {
            Self::Open(stream) => Some(stream),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Handler {
    fn negotiated(&mut self, stream: Stream, protocol: &StreamProtocol) {
        let slot = if *protocol == FRAMES_PROTOCOL { &mut self.frames } else { &mut self.probes };
        if !matches!(slot, Slot::Empty) {
            // A second stream of a kind is dropped, and so reset.
            return;
        }
        *slot = Slot::Open(stream);
        if matches!((&self.frames, &self.probes), (Slot::Open(_), Slot::Open(_)))
            && let (Some(frames), Some(probes)) = (self.frames.take(), self.probes.take())
        {
            self.reports.push_back(Some(Box::new(Streams { frames, probes })));
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Option<Box<Streams>>;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade> {
        // Always both: identify tells the other side of every change.
        SubstreamProtocol::new(Upgrade(vec![FRAMES_PROTOCOL, PROBES_PROTOCOL]), ())
    }

    fn connection_keep_alive(&self) -> bool {
        // The driver closes what it does not need.
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Upgrade, (), Self::ToBehaviour>> {
        // Everything that fills these queues is followed by a poll.
        if let Some(report) = self.reports.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        if let Some(protocol) = self.requests.pop_front() {
            let protocol = SubstreamProtocol::new(Upgrade(vec![protocol]), ());
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: protocol.with_timeout(OPEN_TIMEOUT),
            });
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, Open: Open) {
        self.requests.extend([FRAMES_PROTOCOL, PROBES_PROTOCOL]);
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            })
            | ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, protocol),
                ..
            }) => self.negotiated(stream, &protocol),
            ConnectionEvent::DialUpgradeError(_) => self.reports.push_back(None),
            _ => {}
        }
    }
}

/// Agrees on a protocol and hands over the stream as it is.
pub(super) struct Upgrade(Vec<StreamProtocol>);

impl UpgradeInfo for Upgrade {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, stream: Stream, protocol: StreamProtocol) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}
