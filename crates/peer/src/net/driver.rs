//! The one task that owns the swarm.
//!
//! It decides nothing about frames: those go from the sender straight to the writer of a session.
//! Here connections come and go, and for each change the two values that hold the rules,
//! [`Links`](super::pairing::Links) and [`Targets`](super::targets::Targets), are told and asked.

mod dialing;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{
    PeerId, Swarm, connection_limits,
    core::{ConnectedPoint, transport::ListenerId},
    identify, mdns,
    swarm::{ConnectionId, ListenError, NetworkBehaviour, SwarmEvent, behaviour::toggle::Toggle},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep_until, timeout},
};

use super::{
    NetworkEvent, Shared, address,
    limits::SHUTDOWN_TIMEOUT,
    listen,
    pairing::{Action, Links},
    session::{self, Origin, Session},
    streams::{self, Streams},
    targets::Dial,
    transport::Rejected,
};

use dialing::{PendingDial, jitter};

/// The protocols of an authenticated connection, and the limits on connections.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) identify: identify::Behaviour,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) streams: streams::Behaviour,
}

/// How long the driver sleeps when nothing at all is due.
const IDLE: Duration = Duration::from_hours(1);

/// The state of the task.
pub(super) struct Driver {
    pub(super) swarm: Swarm<Behaviour>,
    shared: Arc<Shared>,
    listeners: Vec<ListenerId>,
    rejections: mpsc::Receiver<Rejected>,
    /// Dropped last, to say that the network is down.
    finished: watch::Sender<bool>,
    peers: HashMap<PeerId, Peer>,
    /// What a pending outgoing connection is aimed at.
    dials: HashMap<ConnectionId, PendingDial>,
    lookups: JoinSet<Dial>,
    sessions: JoinSet<()>,
}

struct Peer {
    links: Links,
    endpoints: HashMap<ConnectionId, ConnectedPoint>,
    opened: HashMap<ConnectionId, Streams>,
    session: Option<ActiveSession>,
}

struct ActiveSession {
    connection: ConnectionId,
    session: Arc<Session>,
    task: tokio::task::Id,
}

impl Driver {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        shared: Arc<Shared>,
        listeners: Vec<ListenerId>,
        rejections: mpsc::Receiver<Rejected>,
        finished: watch::Sender<bool>,
    ) -> Self {
        Self {
            swarm,
            shared,
            listeners,
            rejections,
            finished,
            peers: HashMap::new(),
            dials: HashMap::new(),
            lookups: JoinSet::new(),
            sessions: JoinSet::new(),
        }
    }

    /// Runs until the network is shut down; first comes what happened while it was bound.
    pub(super) async fn run(mut self, meanwhile: Vec<SwarmEvent<BehaviourEvent>>) {
        for event in meanwhile {
            self.on_swarm_event(event);
        }
        loop {
            self.dial_what_is_due();
            let wake = self.next_deadline();
            tokio::select! {
                event = self.swarm.select_next_some() => self.on_swarm_event(event),
                Some(rejected) = self.rejections.recv() => self.on_rejected(rejected),
                Some(ended) = self.sessions.join_next_with_id() => {
                    self.on_session_ended(match ended {
                        Ok((task, ())) => task,
                        Err(error) => error.id(),
                    });
                }
                Some(looked_up) = self.lookups.join_next() => match looked_up {
                    Ok(dial) => self.dial(dial),
                    Err(error) => tracing::error!(%error, "a name lookup failed"),
                },
                () = self.shared.changed.notified() => {}
                () = sleep_until(wake.into()) => {}
            }
            if self.shared.is_stopping() {
                break;
            }
            self.settle_overdue();
        }
        self.shut_down().await;
    }

    fn next_deadline(&self) -> Instant {
        let links = self.peers.values().filter_map(|peer| peer.links.deadline());
        // Without room no dial is made, and a finished dial wakes the loop.
        let dials = if self.room_for_dials() > 0 { self.shared.targets().next_due() } else { None };
        links.chain(dials).min().unwrap_or_else(|| Instant::now() + IDLE)
    }

    fn settle_overdue(&mut self) {
        let now = Instant::now();
        let overdue: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.links.deadline().is_some_and(|deadline| deadline <= now))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in overdue {
            self.settle(peer);
        }
    }

    // ---- events of the swarm

    fn on_swarm_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, cause, .. } => {
                tracing::debug!(peer = %peer_id, ?cause, "a connection closed");
                self.on_closed(peer_id, connection_id);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
                self.on_dial_error(connection_id, &error);
            }
            SwarmEvent::IncomingConnectionError { send_back_addr, error, .. } => {
                if let ListenError::Denied { cause } = &error {
                    self.on_denied(send_back_addr, cause);
                } else {
                    tracing::debug!(address = %send_back_addr, %error, "no connection came in");
                }
            }
            SwarmEvent::NewListenAddr { address, .. } => self.shared.listening(address),
            SwarmEvent::ExpiredListenAddr { address, .. } => self.shared.not_listening(&address),
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                let reason = reason.err().map_or_else(|| "closed".into(), |e| e.to_string());
                for address in addresses {
                    self.shared.not_listening(&address);
                    let reason = reason.clone();
                    self.shared.sink.event(NetworkEvent::ListenFailed { address, reason });
                }
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener reported an error");
            }
            _ => {}
        }
    }

    fn on_behaviour_event(&mut self, event: BehaviourEvent) {
        let now = Instant::now();
        match event {
            BehaviourEvent::Streams(streams::Event::Opened { peer, connection, streams }) => {
                if let Some(state) = self.peers.get_mut(&peer)
                    && state.endpoints.contains_key(&connection)
                {
                    state.opened.insert(connection, *streams);
                    state.links.opened(connection);
                    self.settle(peer);
                }
            }
            BehaviourEvent::Streams(streams::Event::Failed { peer, connection }) => {
                tracing::debug!(%peer, "the streams of a connection did not open");
                self.swarm.close_connection(connection);
            }
            BehaviourEvent::Identify(identify::Event::Received {
                peer_id,
                connection_id,
                info,
            }) => self.on_identified(peer_id, connection_id, info),
            BehaviourEvent::Mdns(mdns::Event::Discovered(discovered)) => {
                for (peer, address) in discovered {
                    if self.shared.targets().hint(peer, address.clone(), now) {
                        self.shared.sink.event(NetworkEvent::Discovered { peer, address });
                    }
                }
            }
            BehaviourEvent::Mdns(mdns::Event::Expired(expired)) => {
                for (peer, address) in expired {
                    self.shared.targets().hint_expired(peer, address);
                }
            }
            BehaviourEvent::Identify(_) => {}
            BehaviourEvent::Limits(never) => match never {},
        }
    }

    fn on_identified(&mut self, peer: PeerId, connection: ConnectionId, info: identify::Info) {
        let Some(endpoint) =
            self.peers.get(&peer).and_then(|state| state.endpoints.get(&connection))
        else {
            return;
        };
        let remote = endpoint.get_remote_address();
        let from_loopback = address::host(remote).is_some_and(|host| host.is_loopback());
        let known_good = endpoint.is_dialer().then(|| address::split_peer(remote.clone()).0);
        let addresses = address::usable(known_good, info.listen_addrs, from_loopback);
        let agent = info.agent_version;
        self.shared.sink.event(NetworkEvent::Identified { peer, agent, addresses });
    }

    // ---- connections and sessions

    fn on_established(&mut self, peer: PeerId, id: ConnectionId, endpoint: ConnectedPoint) {
        let mut targets = self.shared.targets();
        if let Some(dial) = self.dials.remove(&id) {
            targets.answered(&dial.target, peer, endpoint.get_remote_address());
        }
        targets.connected(peer);
        drop(targets);
        let decides = *self.swarm.local_peer_id() < peer;
        let state = self.peers.entry(peer).or_insert_with(|| Peer::new(decides));
        state.links.established(id, Instant::now());
        state.endpoints.insert(id, endpoint);
        self.settle(peer);
    }

    fn on_closed(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.links.closed(id);
        state.endpoints.remove(&id);
        state.opened.remove(&id);
        if !state.links.is_connected() {
            self.shared.targets().disconnected(peer, Instant::now(), jitter());
        }
        self.settle(peer);
    }

    fn on_session_ended(&mut self, task: tokio::task::Id) {
        let ended = self.peers.iter_mut().find_map(|(peer, state)| {
            let session = state.session.take_if(|session| session.task == task)?;
            state.links.ended(session.connection);
            Some((*peer, session))
        });
        if let Some((peer, ActiveSession { connection, session, .. })) = ended {
            // Already done, unless the task panicked.
            self.shared.remove_session(&session);
            self.swarm.close_connection(connection);
            self.settle(peer);
        }
    }

    /// Does what the rules for several connections to one peer ask for.
    fn settle(&mut self, peer: PeerId) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        let heard = state.session.as_ref().map(|active| active.session.heard());
        for action in state.links.settle(Instant::now(), heard) {
            match action {
                Action::Open(connection) => {
                    self.swarm.behaviour_mut().streams.open(peer, connection);
                }
                Action::Start(connection) => {
                    let (Some(streams), Some(endpoint)) =
                        (state.opened.remove(&connection), state.endpoints.get(&connection))
                    else {
                        // A connection whose streams are open always has both.
                        tracing::error!(%peer, "no streams on a connection that opened them");
                        state.links.ended(connection);
                        self.swarm.close_connection(connection);
                        continue;
                    };
                    let session = Arc::new(Session::new(peer));
                    let origin = Origin {
                        remote: endpoint.get_remote_address().clone(),
                        dialed: endpoint.is_dialer(),
                        listen: self.shared.listen_addresses(),
                    };
                    let task = self.sessions.spawn(session::run(
                        self.shared.clone(),
                        session.clone(),
                        streams,
                        origin,
                    ));
                    state.session = Some(ActiveSession { connection, session, task: task.id() });
                }
                Action::Challenge => {
                    if let Some(active) = &state.session {
                        active.session.ping();
                    }
                }
                Action::Stop => {
                    if let Some(active) = &state.session {
                        active.session.stop();
                    }
                }
                Action::Close(connection) => {
                    self.swarm.close_connection(connection);
                }
            }
        }
        if state.links.is_empty() {
            self.peers.remove(&peer);
        }
    }

    // ---- the end

    /// Ends the sessions, then the connections, and waits for both for a moment.
    async fn shut_down(mut self) {
        for active in self.peers.values().filter_map(|peer| peer.session.as_ref()) {
            active.session.stop();
        }
        let orderly = async {
            // The swarm must run on, or the sessions could not write their last frames.
            while !self.sessions.is_empty() {
                tokio::select! {
                    _ = self.sessions.join_next() => {}
                    _ = self.swarm.select_next_some() => {}
                }
            }
            // Not earlier: the QUIC listener takes its connections with it.
            for listener in self.listeners.drain(..) {
                self.swarm.remove_listener(listener);
            }
            let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
            for peer in connected {
                // Already gone is as good.
                let _ = self.swarm.disconnect_peer_id(peer);
            }
            while self.swarm.network_info().num_peers() > 0 {
                self.swarm.select_next_some().await;
            }
        };
        if timeout(SHUTDOWN_TIMEOUT, orderly).await.is_err() {
            tracing::debug!("some connections did not close in time");
            self.sessions.shutdown().await;
        }
        drop(self.swarm);
        listen::until_released(&self.shared.listen_addresses()).await;
        let _ = self.finished.send(true);
    }
}

impl Peer {
    fn new(decides: bool) -> Self {
        Self {
            links: Links::new(decides),
            endpoints: HashMap::new(),
            opened: HashMap::new(),
            session: None,
        }
    }
}
