//! What the handles, the driver and the sessions share.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use libp2p::{Multiaddr, PeerId};
use tokio::sync::Notify;

use super::{
    NetworkCounters, NetworkEvent, Sink,
    counters::{Counters, count},
    session::Session,
    targets::Targets,
};

/// Shared state; every lock in it is held for one short call and never across an await.
pub(super) struct Shared {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) counters: Counters,
    /// Wakes the driver.
    pub(super) changed: Notify,
    stopping: AtomicBool,
    targets: Mutex<Targets>,
    listening: Mutex<Vec<Multiaddr>>,
    sessions: RwLock<HashMap<PeerId, Arc<Session>>>,
}

impl Shared {
    pub(super) fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink,
            counters: Counters::default(),
            changed: Notify::new(),
            stopping: AtomicBool::new(false),
            targets: Mutex::default(),
            listening: Mutex::default(),
            sessions: RwLock::default(),
        }
    }

    /// Tells the driver to shut down.
    pub(super) fn begin_shutdown(&self) {
        self.stopping.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn targets(&self) -> MutexGuard<'_, Targets> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- listening

    pub(super) fn listening(&self, address: Multiaddr) {
        let mut listening = self.listening_addresses();
        if !listening.contains(&address) {
            listening.push(address.clone());
            drop(listening);
            self.sink.event(NetworkEvent::Listening { address });
        }
    }

    pub(super) fn not_listening(&self, address: &Multiaddr) {
        self.listening_addresses().retain(|known| known != address);
        self.sink.event(NetworkEvent::StoppedListening { address: address.clone() });
    }

    pub(super) fn listen_addresses(&self) -> Vec<Multiaddr> {
        self.listening_addresses().clone()
    }

    fn listening_addresses(&self) -> MutexGuard<'_, Vec<Multiaddr>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ---- sessions

    pub(super) fn insert_session(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(session.peer, session.clone());
    }

    pub(super) fn remove_session(&self, session: &Arc<Session>) {
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        if sessions.get(&session.peer).is_some_and(|known| Arc::ptr_eq(known, session)) {
            sessions.remove(&session.peer);
        }
    }

    /// Pushes to a peer's session; counts what was not accepted.
    pub(super) fn send(
        &self,
        peer: &PeerId,
        fits: bool,
        push: impl FnOnce(&Session) -> bool,
    ) -> bool {
        let sent = fits && {
            let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
            sessions.get(peer).is_some_and(|session| push(session))
        };
        if !sent {
            count(&self.counters.dropped_sends);
        }
        sent
    }

    pub(super) fn connected_peers(&self) -> Vec<PeerId> {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        sessions.keys().copied().collect()
    }

    pub(super) fn counters(&self) -> NetworkCounters {
        let sessions = self.sessions.read().unwrap_or_else(PoisonError::into_inner);
        self.counters.snapshot(sessions.len())
    }
}
