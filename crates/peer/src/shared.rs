//! What all handles of one peer share, and the driver's three arms: store, send, tell.
//!
//! The node is behind a mutex that is held for one call of it. Its outputs are carried out before the
//! mutex is released, so that frames leave in the order in which the node made them; none of that
//! waits for anything.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use libp2p::Multiaddr;
use tidings_core::clock::Now;
use tidings_core::error::Error;
use tidings_core::ident::PeerId;
use tidings_core::message::Reply;
use tidings_core::node::{Input, Node, Output};
use tokio::sync::{Notify, oneshot};

use crate::Result;
use crate::net::{Network, NetworkEvent, Sink};
use crate::persister::Persister;
use crate::store::AnyStore;
use crate::watch::Watches;
use crate::write::Queue;

/// Most events kept for a reader that does not fetch them; the oldest are dropped.
const EVENTS_MAX: usize = 1024;

/// Something that happened, for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether a person should look at it.
    pub alarm: bool,
    /// A sentence.
    pub text: String,
}

/// What all handles of one peer share.
pub(crate) struct Shared {
    node: Mutex<Node<AnyStore>>,
    /// How many copies here have stopped being complete: see `Node::copies_moved`.
    pub(crate) moved: AtomicU64,
    /// For reads, which do not take the node's mutex.
    pub(crate) store: AnyStore,
    network: OnceLock<Network>,
    born: Instant,
    /// The monotonic time for which the timer task is set.
    timer_at: AtomicU64,
    timer: Arc<Notify>,
    /// Calls that the node answers later, by token.
    calls: Mutex<HashMap<u64, oneshot::Sender<Result<Reply>>>>,
    pub(crate) watches: Mutex<Watches>,
    pub(crate) writes: Queue,
    pub(crate) writers: AtomicUsize,
    events: Mutex<VecDeque<Event>>,
    event: Notify,
    pub(crate) persister: Persister,
    failed: OnceLock<Error>,
    stopped: AtomicBool,
    ended: Notify,
}

/// Takes a lock whose data cannot be left half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(node: Node<AnyStore>, store: AnyStore, born: Instant) -> Arc<Self> {
        Arc::new(Self {
            node: Mutex::new(node),
            moved: AtomicU64::new(0),
            store,
            network: OnceLock::new(),
            born,
            timer_at: AtomicU64::new(0),
            timer: Arc::default(),
            calls: Mutex::default(),
            watches: Mutex::default(),
            writes: Queue::new(),
            writers: AtomicUsize::new(0),
            events: Mutex::default(),
            event: Notify::new(),
            persister: Persister::default(),
            failed: OnceLock::new(),
            stopped: AtomicBool::new(false),
            ended: Notify::new(),
        })
    }

    /// Begins to drive the node: network, timer, persister.
    ///
    /// # Errors
    /// When the persister's thread cannot be started.
    pub(crate) fn run(self: &Arc<Self>, network: Network) -> Result<()> {
        let _ = self.network.set(network);
        let weak = Arc::downgrade(self);
        tokio::spawn(run_timer(weak));
        Persister::start(self)?;
        self.with(|_, _| ())
    }

    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.get()
    }

    /// Both clocks.
    pub(crate) fn now(&self) -> Now {
        now(self.born)
    }

    /// Why nothing is served any more.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(error) = self.failed.get() {
            return Err(error.clone());
        }
        if self.stopped.load(Ordering::Acquire) {
            return Err(Error::Closed("the peer".into()));
        }
        Ok(())
    }

    /// Calls the node and carries out what it says.
    pub(crate) fn with<R>(&self, call: impl FnOnce(&mut Node<AnyStore>, Now) -> R) -> Result<R> {
        let Ok(mut node) = self.node.lock() else {
            let error = Error::Internal("the protocol panicked; the peer stopped serving".into());
            self.fail(error.clone());
            return Err(error);
        };
        // Under the mutex: what is asked after the end would wait for an answer for ever.
        self.check()?;
        let result = call(&mut node, self.now());
        self.moved.store(node.copies_moved(), Ordering::Release);
        while let Some(output) = node.poll_output() {
            self.carry_out(output);
        }
        let at = node.poll_timeout();
        drop(node);
        if at < self.timer_at.load(Ordering::Acquire) {
            self.timer.notify_one();
        }
        Ok(result)
    }

    /// Feeds an input, unless the peer has stopped.
    pub(crate) fn feed(&self, input: Input) {
        if self.check().is_ok() {
            let _ = self.with(|node, now| node.handle(input, now));
        }
    }

    /// Waits for the answer to a call that the node answers later. It is made under the node's mutex,
    /// so that the answer cannot come first.
    pub(crate) fn expect(&self, token: u64) -> oneshot::Receiver<Result<Reply>> {
        let (sender, receiver) = oneshot::channel();
        self.expect_with(token, sender);
        receiver
    }

    pub(crate) fn expect_with(&self, token: u64, sender: oneshot::Sender<Result<Reply>>) {
        lock(&self.calls).insert(token, sender);
    }

    fn carry_out(&self, output: Output) {
        match output {
            Output::Send(peer, frame) => {
                if let (Some(network), Some(peer)) = (self.network(), to_libp2p(peer)) {
                    network.send(&peer, frame);
                }
            }
            Output::Probe(peer, packet) => {
                if let (Some(network), Some(peer)) = (self.network(), to_libp2p(peer)) {
                    network.send_probe(&peer, packet);
                }
            }
            Output::Dial(peer, addresses) => {
                if let (Some(network), Some(peer)) = (self.network(), to_libp2p(peer)) {
                    let addresses: Vec<Multiaddr> =
                        addresses.iter().filter_map(|address| address.parse().ok()).collect();
                    network.dial(peer, addresses);
                }
            }
            Output::Sync(ticket) => {
                self.persister.want(ticket);
            }
            Output::Done(token, result) => {
                if let Some(call) = lock(&self.calls).remove(&token) {
                    // Nobody waits any more: the caller gave up.
                    let _ = call.send(result);
                }
            }
            Output::Changed(id, changes) => lock(&self.watches).changed(id, &changes),
            Output::ChangedElsewhere(token, changes) => {
                lock(&self.watches).changed_elsewhere(token, changes);
            }
            Output::WatchLost(id) => lock(&self.watches).lost(id),
            Output::Event(event) => {
                self.tell(Event { alarm: event.is_alarm(), text: event.to_string() });
            }
            Output::Failed(error) => self.fail(error),
        }
    }

    pub(crate) fn tell(&self, event: Event) {
        let mut events = lock(&self.events);
        if events.len() >= EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(event);
        drop(events);
        self.event.notify_one();
    }

    /// The next event; `None` after the peer stopped.
    pub(crate) async fn next_event(&self) -> Option<Event> {
        loop {
            let woken = self.event.notified();
            if let Some(event) = lock(&self.events).pop_front() {
                return Some(event);
            }
            if self.check().is_err() {
                return None;
            }
            woken.await;
        }
    }

    /// Stops serving for good: nothing of what was asked after this happens.
    pub(crate) fn fail(&self, error: Error) {
        tracing::error!("{error}");
        let _ = self.failed.set(error);
        self.end();
    }

    fn end(&self) {
        self.persister.stop();
        self.timer.notify_one();
        self.event.notify_waiters();
        self.ended.notify_waiters();
        lock(&self.calls).clear();
        lock(&self.watches).close();
    }

    /// Resolves when the peer has failed, with why.
    pub(crate) async fn failed(&self) -> Error {
        loop {
            let ended = self.ended.notified();
            match self.check() {
                Err(error) => return error,
                Ok(()) => ended.await,
            }
        }
    }

    /// Stops cleanly.
    ///
    /// # Errors
    /// When the store fails.
    pub(crate) async fn shutdown(self: &Arc<Self>) -> Result<()> {
        if self.stopped.load(Ordering::Acquire) {
            return Ok(());
        }
        let result = self.with(|node, now| {
            let result = node.stop(now);
            self.stopped.store(true, Ordering::Release);
            result
        })?;
        if let Some(network) = self.network() {
            network.shutdown().await;
        }
        self.end();
        let shared = Arc::clone(self);
        let last = move || {
            shared.persister.join();
            tidings_core::store::Store::sync(&shared.store)
        };
        let synced = tokio::task::spawn_blocking(last)
            .await
            .map_err(|error| Error::Internal(format!("syncing at the end: {error}")))?;
        result?;
        synced.map_err(Error::from)
    }
}

/// Both clocks, the monotonic one since `born`.
pub(crate) fn now(born: Instant) -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { monotonic: born.elapsed().as_micros() as u64, wall: wall.as_millis() as u64 }
}

/// The libp2p form of a peer id.
pub(crate) fn to_libp2p(peer: PeerId) -> Option<libp2p::PeerId> {
    libp2p::PeerId::from_bytes(&peer.to_multihash_bytes()).ok()
}

/// The core's form of a peer id; `None` unless it is an Ed25519 one.
pub(crate) fn from_libp2p(peer: libp2p::PeerId) -> Option<PeerId> {
    PeerId::from_multihash_bytes(&peer.to_bytes())
}

async fn run_timer(shared: Weak<Shared>) {
    let Some(timer) = shared.upgrade().map(|shared| shared.timer.clone()) else { return };
    loop {
        let Some(strong) = shared.upgrade() else { return };
        if strong.check().is_err() {
            // A failed peer must not look alive to the others.
            if let Some(network) = strong.network().cloned() {
                drop(strong);
                network.shutdown().await;
            }
            return;
        }
        let called = strong.with(|node, now| {
            if node.poll_timeout() <= now.monotonic {
                node.handle(Input::Timer, now);
            }
            let at = node.poll_timeout();
            strong.timer_at.store(at, Ordering::Release);
            at
        });
        let at = called.unwrap_or(0);
        let now = strong.now().monotonic;
        drop(strong);
        let pause = Duration::from_micros(at.saturating_sub(now).clamp(500, 1_000_000));
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = timer.notified() => {}
        }
    }
}

/// The network's view of the peer: everything that arrives becomes an input of the node.
pub(crate) struct Arrivals(pub(crate) OnceLock<Weak<Shared>>);

impl Arrivals {
    fn feed(&self, peer: libp2p::PeerId, input: impl FnOnce(PeerId) -> Input) {
        if let (Some(peer), Some(shared)) = (from_libp2p(peer), self.shared()) {
            shared.feed(input(peer));
        }
    }

    fn shared(&self) -> Option<Arc<Shared>> {
        self.0.get().and_then(Weak::upgrade)
    }
}

impl Sink for Arrivals {
    fn connected(&self, peer: libp2p::PeerId, _addresses: Vec<Multiaddr>) {
        self.feed(peer, Input::Connected);
    }

    fn disconnected(&self, peer: libp2p::PeerId) {
        self.feed(peer, Input::Disconnected);
    }

    fn frames(&self, peer: libp2p::PeerId, frames: Vec<Vec<u8>>) {
        self.feed(peer, |peer| Input::Frames(peer, frames));
    }

    fn probe(&self, peer: libp2p::PeerId, packet: Vec<u8>) {
        self.feed(peer, |peer| Input::Probe(peer, packet));
    }

    fn event(&self, event: NetworkEvent) {
        let Some(shared) = self.shared() else { return };
        let alarm = |text: String| shared.tell(Event { alarm: true, text });
        match event {
            NetworkEvent::Listening { address } => {
                tracing::info!("listening on {address}");
                shared.tell_addresses();
            }
            NetworkEvent::StoppedListening { address } => {
                tracing::info!("no longer listening on {address}");
                shared.tell_addresses();
            }
            NetworkEvent::ListenFailed { address, reason } => {
                alarm(format!("listening on {address} failed: {reason}"));
            }
            NetworkEvent::AuthenticationFailed { peer, address, reason, .. } => {
                alarm(format!("peer {peer} at {address} did not pass the handshake: {reason}"));
            }
            NetworkEvent::ConnectionRefused { address, reason } => {
                tracing::debug!("a connection from {address} was refused: {reason}");
            }
            NetworkEvent::Discovered { peer, address } => {
                tracing::debug!("mDNS says that {peer} is at {address}");
            }
            NetworkEvent::DiscoveryUnavailable { reason } => {
                alarm(format!("mDNS is not available, peers must be named: {reason}"));
            }
            _ => {}
        }
    }
}

impl Shared {
    /// Tells the node where this peer listens: addresses others can use first.
    pub(crate) fn tell_addresses(&self) {
        let Some(network) = self.network() else { return };
        let mut addresses: Vec<String> =
            network.listen_addresses().iter().map(ToString::to_string).collect();
        addresses.sort_by_key(|address| is_loopback(address));
        self.feed(Input::Addresses(addresses));
    }
}

/// Whether only this machine can use an address.
pub(crate) fn is_loopback(address: &str) -> bool {
    address.starts_with("/ip4/127.") || address.starts_with("/ip6/::1/")
}

impl Shared {
    /// Asks a holder for something; the answer comes by `sender`. Returns the token of the call.
    pub(crate) fn request(
        &self,
        path: &tidings_core::name::Path,
        operation: tidings_core::message::Operation,
        timeout: u64,
        sender: oneshot::Sender<Result<Reply>>,
    ) -> Result<u64> {
        self.request_and(path, operation, timeout, sender, |token| token)
    }

    /// Like `request`, and does something with the token before the answer can come.
    pub(crate) fn request_and<R>(
        &self,
        path: &tidings_core::name::Path,
        operation: tidings_core::message::Operation,
        timeout: u64,
        sender: oneshot::Sender<Result<Reply>>,
        then: impl FnOnce(u64) -> R,
    ) -> Result<R> {
        self.with(|node, now| {
            let token = node.request(path, operation, timeout, now);
            self.expect_with(token, sender);
            then(token)
        })
    }

    /// Waits until this peer has what its reachable holders have; the answer comes by `sender`.
    pub(crate) fn sync(
        &self,
        path: &tidings_core::name::Path,
        timeout: u64,
        sender: oneshot::Sender<Result<Reply>>,
    ) -> Result<u64> {
        self.with(|node, now| {
            let token = node.sync(path, timeout, now);
            self.expect_with(token, sender);
            token
        })
    }
}
