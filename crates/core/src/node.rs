//! One peer as a value: fed with [`Input`]s and calls, drained of [`Output`]s.
//!
//! A [`Node`] never waits, reads a clock, draws ambient randomness, or touches a socket. Its methods
//! fall into four groups:
//! - **inputs**: [`Node::handle`] with everything that arrives;
//! - **outputs**: [`Node::poll_output`] until it returns `None`, after every input and call;
//! - **time**: [`Node::poll_timeout`] says when to feed [`Input::Timer`];
//! - **calls** of the local user: [`Node::write`], [`Node::request`], [`Node::open`], … which return
//!   at once, or return [`Outcome::Later`] and answer by [`Output::Done`].
//!
//! Every error of the store is final: the node stops serving and says so by [`Output::Failed`].

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use crate::clock::{ClockGuard, HybridClock, Now};
use crate::definition::Definition;
use crate::directory::Directory;
use crate::error::Error;
use crate::ident::{DatabaseId, Epoch, PeerId};
use crate::membership::{Effect, Identity, Membership};
use crate::message::{Message, Reply};
use crate::name::Path;
use crate::planted::{Planted, planted};
use crate::record::Fingerprint;
use crate::registry::Registry;
use crate::replica::{Replica, State, Stored};
use crate::rows::{self, Interned, Prefix, Transaction};
use crate::stamp::{Dot, Millis, Time};
use crate::status::HolderState;
use crate::store::{Space, Store, StoreError, prefix_rows};
use crate::wire;

mod absent;
mod admit;
mod answer;
mod answered;
mod check;
mod clones;
mod collect;
mod commit;
mod compare;
mod define;
mod drain;
mod dropping;
mod event;
mod forward;
mod join;
mod late;
mod leave;
mod link;
mod local;
mod lost;
mod placement;
mod pull;
mod push;
mod rebalance;
mod removal;
mod repair;
mod report;
mod restored;
mod rounds;
mod scrub;
mod shares;
mod sums;
mod sweep;
mod sync;
mod trash;
mod watch;
mod work;

pub use event::Event;
use link::Link;
pub use local::{Outcome, Place, Submission};
pub use watch::Changes;

/// Everything that arrives from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The ordered stream to an authenticated peer is open.
    Connected(PeerId),
    /// It is gone; a later one is another stream.
    Disconnected(PeerId),
    /// Frames of that stream, in order.
    Frames(PeerId, Vec<Vec<u8>>),
    /// A probe packet.
    Probe(PeerId, Vec<u8>),
    /// Where this peer listens now.
    Addresses(Vec<String>),
    /// The store was synced after [`Output::Sync`] with this ticket came out.
    Synced(u64),
    /// The time that [`Node::poll_timeout`] named has come.
    Timer,
}

/// Everything that the driver does for the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a frame on the ordered stream; drop it when the queue is full.
    Send(PeerId, Vec<u8>),
    /// Send a probe packet; drop it when that is not possible.
    Probe(PeerId, Vec<u8>),
    /// Keep trying to connect to a peer.
    Dial(PeerId, Vec<String>),
    /// Sync the store, then feed [`Input::Synced`] with this ticket or a later one.
    Sync(u64),
    /// The answer to a call that returned [`Outcome::Later`].
    Done(u64, Result<Reply, Error>),
    /// Changes of a watched database: stored keys and records, in the order they won.
    Changed(DatabaseId, Arc<Changes>),
    /// Changes of a database that is watched at a holder, for the call with this token.
    ChangedElsewhere(u64, Result<Changes, Error>),
    /// A watched database came into being at other peers: the watch sees nothing of it.
    WatchLost(DatabaseId),
    /// Something a person may want to know.
    Event(Event),
    /// The store failed: the node stopped serving.
    Failed(Error),
}

/// What a node is told once, at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// This peer.
    pub peer: PeerId,
    /// A name for people.
    pub name: String,
    /// The failure domain; empty: none.
    pub zone: String,
    /// Share of the databases, in hundredths; 100 is usual.
    pub weight: u32,
    /// Derived from the cluster secret; the same on every peer.
    pub cluster_key: [u8; 32],
    /// Whether other peers are expected: a database that this peer does not know is taken for new only
    /// once one of them was asked, or none was found for a while.
    pub expects_peers: bool,
    /// How far this peer's clock may be off its peers' median before its writes are refused, in
    /// milliseconds.
    pub max_clock_skew: Millis,
    /// How long a database may have fewer live holders than `min` before others are invited, in
    /// milliseconds.
    pub replacement_delay: Millis,
    /// How long a database must have more live holders than `max`, and no peer come or go, before a
    /// copy is given back, in milliseconds.
    pub stability_window: Millis,
    /// How long a peer must have been there before it is handed copies that it is preferred for, and how
    /// long the users of a peer must not have used a copy before it is handed over, in milliseconds; 0:
    /// copies stay where they are.
    pub rebalance_delay: Millis,
    /// How long the rows of a copy that was given back are kept, in milliseconds.
    pub trash: Millis,
    /// How old a tombstone must be before it is collected, in milliseconds: a holder that was away for
    /// less catches up with what it missed; one that was away for longer is compared with key by key.
    pub tombstone_grace: Millis,
    /// How long a holder may be away before it no longer counts as one, in milliseconds.
    pub holder_ttl: Millis,
    /// Pause between two looks for entries that have expired, in milliseconds.
    pub sweep_interval: Millis,
}

/// The usual [`Config::max_clock_skew`]: far beyond what NTP leaves, far below what a person
/// notices in the order of edits.
pub const MAX_CLOCK_SKEW: Millis = 10_000;
/// The usual [`Config::replacement_delay`]: a restart must not move data.
pub const REPLACEMENT_DELAY: Millis = 30_000;
/// The usual [`Config::stability_window`]: longer than it takes to catch up after a cut.
pub const STABILITY_WINDOW: Millis = 60_000;
/// The usual [`Config::rebalance_delay`]: whoever stays this long is no visitor.
pub const REBALANCE_DELAY: Millis = 10 * 60 * 1_000;
/// The usual [`Config::trash`]: time to notice a mistake.
pub const TRASH: Millis = 24 * 3_600 * 1_000;

/// The usual [`Config::tombstone_grace`]: a laptop that slept over the weekend is no stranger.
pub const TOMBSTONE_GRACE: Millis = 3 * 24 * 3_600 * 1_000;
/// The usual [`Config::holder_ttl`]: longer than a holiday would keep every delete for weeks.
pub const HOLDER_TTL: Millis = 7 * 24 * 3_600 * 1_000;
/// The usual [`Config::sweep_interval`]: what has expired is hidden at once, and only costs room.
pub const SWEEP_INTERVAL: Millis = 10 * 60 * 1_000;

/// A database that has a copy here.
#[derive(Debug)]
struct Held {
    replica: Replica,
    /// What the directory says of this peer; system databases are always active.
    role: HolderState,
    definition: Option<Arc<Definition>>,
    /// Monotonic time of the last change.
    touched: u64,
    /// Monotonic time when a user of this peer last used it, to within half a rebalancing delay.
    used: u64,
    /// Summaries in a row that differed while the database was busy.
    busy_rounds: u8,
    /// The digests, here and at a peer, that a pull back from it did not make equal.
    vain: Option<Box<(PeerId, u128, u128)>>,
}

/// One peer of the cluster, without its clocks, sockets and threads.
pub struct Node<S: Store> {
    config: Config,
    store: S,
    fingerprint: Fingerprint,
    random: ChaCha8Rng,
    epoch: Epoch,
    clock: HybridClock,
    guard: ClockGuard,
    clock_was_off: bool,
    clones: clones::Clones,
    failed: Option<Error>,
    membership: Membership,
    members: BTreeMap<PeerId, Identity>,
    /// Peers known from an earlier start, until they are met.
    remembered: BTreeMap<PeerId, Vec<String>>,
    /// Whether they changed since they were stored.
    remembered_anew: bool,
    links: BTreeMap<PeerId, Link>,
    /// Links whose frame is not empty.
    unsent: Vec<PeerId>,
    rounds: rounds::Rounds,
    sums: sums::Sums,
    /// Boxed: a node of the map has room for eleven, and most stand empty.
    held: BTreeMap<DatabaseId, Box<Held>>,
    next_prefix: Prefix,
    directory: Directory,
    registry: Registry,
    push: push::Pushes,
    pull: pull::Pulls<S::Snapshot>,
    forward: forward::Forwards,
    answered: answered::Answered,
    shares: shares::Shares,
    watch: watch::Watches,
    placement: placement::Placement,
    joins: join::Joins,
    syncs: Vec<sync::SyncWait>,
    losses: lost::Losses,
    collects: collect::Collects,
    sweeps: sweep::Sweeps,
    absences: absent::Absences,
    /// Whether what is learned of the directory comes from this peer's own disk.
    loading: bool,
    leaves: leave::Leaves,
    drain: drain::Drain,
    rebalance: rebalance::Rebalance,
    restored: restored::Restored,
    scrub: scrub::Scrubs,
    timers: Timers,
    started: Now,
    next_token: u64,
    outputs: VecDeque<Output>,
    counters: BTreeMap<&'static str, u64>,
}

/// Deadlines in monotonic microseconds; `u64::MAX`: none.
#[derive(Debug)]
struct Timers {
    summary: u64,
    ping: u64,
    offers: u64,
    pulls: u64,
    calls: u64,
    placement: u64,
    relax: u64,
    scrub: u64,
    collect: u64,
    sweep: u64,
}

/// Most peers whose addresses are kept for the next start.
const REMEMBERED_MAX: usize = 1_000;

const NEVER: u64 = u64::MAX;
const MILLISECOND: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// Pause between two rounds of summaries: bounds how long a silent loss stays unnoticed.
const SUMMARY_EVERY: u64 = 2 * SECOND;
/// Pause between two rounds of clock and round-trip measurements.
const PING_EVERY: u64 = 5 * SECOND;

impl<S: Store> core::fmt::Debug for Node<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Node")
            .field("peer", &self.config.peer)
            .field("timers", &self.timers)
            .field("membership", &self.membership.next_timer())
            .finish_non_exhaustive()
    }
}

impl<S: Store> Node<S> {
    /// Starts a peer on its store under a new epoch, which is synced before anything uses it. `seed`
    /// must be fresh randomness: it makes the epoch.
    ///
    /// # Errors
    /// When the store fails or its rows are damaged.
    pub fn new(config: Config, store: S, seed: [u8; 32], now: Now) -> Result<Self, Error> {
        let mut random = ChaCha8Rng::from_seed(seed);
        let mut epoch = Epoch::new(random.next_u64(), config.peer);
        let mut membership_seed = [0; 32];
        random.fill_bytes(&mut membership_seed);

        let forward = forward::Forwards::new(random.next_u32());

        let cluster = Fingerprint::new(&config.cluster_key).short(b"cluster");
        let own: Option<OwnRow> = read_row(&store, &rows::peer_key("own"))?;
        if own.as_ref().is_some_and(|own| own.cluster != cluster) {
            return Err(Error::Start(
                "the data belongs to a cluster with another secret: give that secret, or start with an empty directory".into(),
            ));
        }
        if let Some(own) = own.as_ref().filter(|_| planted(Planted::EpochReused)) {
            epoch = own.epoch;
        }
        if planted(Planted::EpochFromClock) {
            epoch = Epoch::new(now.wall / 1_000, config.peer);
        }
        let own = own.unwrap_or(OwnRow { cluster, ..OwnRow::default() });
        let draining = read_row(&store, &rows::peer_key("drain"))?.unwrap_or(false);
        let incarnation = now.wall.max(own.incarnation.saturating_add(1 << 16));
        let identity = Identity {
            peer: config.peer,
            incarnation,
            name: config.name.clone(),
            zone: config.zone.clone(),
            weight: drain::weight(draining, config.weight),
            addresses: Vec::new(),
        };
        // Where peers were is a hint: a row that does not decode is no reason not to start.
        let remembered = read_row(&store, &rows::peer_key("peers")).ok().flatten();
        let mut remembered: BTreeMap<PeerId, Vec<String>> = remembered.unwrap_or_default();
        // In a directory that was copied from another peer's, this one is among them.
        remembered.remove(&config.peer);
        let clean = read_row(&store, &rows::peer_key("clean"))?;
        let mut reserved = clean.map_or(own.reserved, |at: Time| at);
        if planted(Planted::ReservationForgotten) {
            reserved = Time::default();
        }

        let mut node = Self {
            fingerprint: Fingerprint::new(&config.cluster_key),
            membership: Membership::new(identity, membership_seed),
            config,
            store,
            random,
            epoch,
            clock: HybridClock::new(reserved),
            guard: ClockGuard::default(),
            clock_was_off: false,
            clones: clones::Clones::default(),
            failed: None,
            members: BTreeMap::new(),
            remembered,
            remembered_anew: false,
            links: BTreeMap::new(),
            unsent: Vec::new(),
            rounds: rounds::Rounds::default(),
            sums: sums::Sums::default(),
            held: BTreeMap::new(),
            next_prefix: 0,
            directory: Directory::default(),
            registry: Registry::default(),
            push: push::Pushes::default(),
            pull: pull::Pulls::default(),
            forward,
            answered: answered::Answered::default(),
            shares: shares::Shares::default(),
            watch: watch::Watches::default(),
            placement: placement::Placement::default(),
            joins: join::Joins::default(),
            syncs: Vec::new(),
            losses: lost::Losses::default(),
            collects: collect::Collects::default(),
            sweeps: sweep::Sweeps::default(),
            absences: absent::Absences::default(),
            loading: true,
            leaves: leave::Leaves::default(),
            drain: drain::Drain::new(draining),
            rebalance: rebalance::Rebalance::default(),
            restored: restored::Restored::default(),
            scrub: scrub::Scrubs::default(),
            timers: Timers {
                summary: now.monotonic + SUMMARY_EVERY,
                ping: now.monotonic + PING_EVERY,
                offers: NEVER,
                pulls: NEVER,
                calls: NEVER,
                placement: now.monotonic + SECOND,
                relax: NEVER,
                scrub: NEVER,
                collect: NEVER,
                sweep: NEVER,
            },
            started: now,
            next_token: 0,
            outputs: VecDeque::new(),
            counters: BTreeMap::new(),
        };

        let mut transaction = Transaction::default();
        let own = OwnRow { cluster, incarnation, epoch, reserved };
        transaction.put(Space::Meta, rows::peer_key("own"), wire::encode(&own));
        transaction.remove(Space::Meta, rows::peer_key("clean"));
        node.store.commit(transaction.into_batch())?;
        node.store.sync()?;

        node.load(now)?;
        node.load_restored(now)?;
        node.load_absences(now);
        if clean.is_none() && !planted(Planted::ScrubSkipped) {
            node.scrub_everything(now);
        }
        node.settle(now)?;
        node.loading = false;
        for (peer, addresses) in node.remembered.clone() {
            node.leaves.peer_changed(peer, false, now);
            node.outputs.push_back(Output::Dial(peer, addresses));
        }
        Ok(node)
    }

    /// Reads back every copy, then what the system databases say.
    fn load(&mut self, now: Now) -> Result<(), StoreError> {
        for row in prefix_rows(&self.store, Space::Meta, b"d") {
            let (key, bytes) = row?;
            let damaged = || StoreError::corrupt("the row that interns a database");
            let id = DatabaseId(key[1..].try_into().map_err(|_| damaged())?);
            let Interned { prefix, path } = wire::decode(&bytes).map_err(|_| damaged())?;
            let stored = Stored::read(prefix, |key| self.store.get(Space::Meta, key))?;
            if stored.state.generation > 0 {
                self.directory.raise(id, stored.state.generation);
            }
            let replica = Replica::new(id, prefix, path.into(), stored);
            self.next_prefix = self.next_prefix.max(prefix.checked_add(1).ok_or_else(damaged)?);
            self.hold(replica, HolderState::Joining, now);
        }
        for row in prefix_rows(&self.store, Space::Meta, b"x") {
            let (key, _) = row?;
            let prefix = key[1..].try_into().map(Prefix::from_be_bytes);
            let prefix = prefix.map_err(|_| StoreError::corrupt("the row of an unlinked copy"))?;
            self.leaves.unlinked.insert(prefix);
        }
        let reserved: Option<Prefix> = read_row(&self.store, &rows::peer_key("prefix"))?;
        self.next_prefix = self.next_prefix.max(reserved.unwrap_or(0));
        for path in Directory::system_paths() {
            let id = self.database_id(&path);
            if !self.held.contains_key(&id) {
                let replica = self.intern(id, &path)?;
                self.hold(replica, HolderState::Active, now);
            }
            if let Some(held) = self.held.get_mut(&id) {
                held.role = HolderState::Active;
            }
            self.directory.add_system(id, &path);
        }
        let system: Vec<DatabaseId> = self.directory.system_ids().collect();
        for id in system {
            let Some(held) = self.held.get(&id) else { continue };
            let prefix = held.replica.prefix.to_be_bytes();
            for row in prefix_rows(&self.store, Space::Data, &prefix) {
                let (key, bytes) = row?;
                let record = crate::replica::decode_record(&bytes)?;
                self.learn_system(id, &key[4..], &record, now);
            }
        }
        Ok(())
    }

    fn hold(&mut self, replica: Replica, role: HolderState, now: Now) {
        let (touched, used, definition) = (now.monotonic, now.monotonic, None);
        self.losses.note(&replica);
        // Tombstones of an earlier life may be old enough already.
        self.collects.note(&replica, now.monotonic.saturating_add(SECOND));
        self.sweeps.note(&replica, now.monotonic.saturating_add(SECOND));
        let held = Held { replica, role, definition, touched, used, busy_rounds: 0, vain: None };
        self.sums.changed(held.replica.id);
        self.held.insert(held.replica.id, Box::new(held));
    }

    /// Gives a database its local number, in a commit of its own.
    fn intern(&mut self, id: DatabaseId, path: &str) -> Result<Replica, StoreError> {
        let prefix = self.next_prefix;
        let next = prefix.checked_add(1);
        let next = next.ok_or_else(|| StoreError::corrupt("no local number of a database is left"));
        self.next_prefix = self.fatal(next)?;
        let mut transaction = Transaction::default();
        let row = Interned { prefix, path: path.to_string() };
        transaction.put(Space::Meta, rows::intern_key(id), wire::encode(&row));
        let generation = self.directory.generation(id);
        let mut state = State { generation, ..State::default() };
        // Nothing of it is in this generation. What a client carries along as the version of a write to
        // this one must not be one of a write to the one before.
        let issued = self.leaves.issued_before(id, generation);
        state.progress.vector.raise(self.epoch, issued);
        let mut replica = Replica::new(id, prefix, path.into(), state.into());
        replica.stage(&mut transaction, &self.fingerprint);
        self.commit(transaction)?;
        Ok(replica)
    }

    /// Feeds one input. Drain [`Node::poll_output`] afterwards.
    pub fn handle(&mut self, input: Input, now: Now) {
        if self.failed.is_some() {
            return;
        }
        let result = match input {
            Input::Connected(peer) => self.connected(peer, now),
            Input::Disconnected(peer) => self.disconnected(peer, now),
            Input::Frames(peer, frames) => self.receive(peer, frames, now),
            Input::Probe(peer, packet) => {
                self.probed(peer, &packet, now);
                Ok(())
            }
            Input::Addresses(addresses) => {
                self.listen_on(addresses, now);
                Ok(())
            }
            Input::Synced(ticket) => {
                self.synced(ticket);
                Ok(())
            }
            Input::Timer => self.fire(now),
        };
        self.finish(result, now);
    }

    /// The next thing for the driver to do; `None` when there is nothing left.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to feed [`Input::Timer`], in monotonic microseconds; `u64::MAX` once the node has stopped.
    pub fn poll_timeout(&self) -> u64 {
        if self.failed.is_some() {
            return NEVER;
        }
        let timers = &self.timers;
        [
            timers.summary,
            timers.ping,
            timers.offers,
            timers.pulls,
            timers.calls,
            timers.placement,
            timers.relax,
            timers.scrub,
            timers.collect,
            timers.sweep,
            self.membership.next_timer().unwrap_or(NEVER),
        ]
        .into_iter()
        .min()
        .unwrap_or(NEVER)
    }

    /// Why the node stopped serving, if it did: its store failed, or [`Node::stop`] was called.
    pub fn failure(&self) -> Option<&Error> {
        self.failed.as_ref()
    }

    /// Ends every input and call: membership effects, deferred work, frames.
    fn finish(&mut self, result: Result<(), StoreError>, now: Now) {
        let result = result.and_then(|()| self.settle(now));
        if let Err(error) = result {
            self.fail(error);
        }
        self.flush_links();
    }

    fn settle(&mut self, now: Now) -> Result<(), StoreError> {
        loop {
            if let Some(effect) = self.membership.next_effect() {
                self.membership_effect(effect, now);
            } else if !self.placement_step(now)? {
                return Ok(());
            }
        }
    }

    fn fail(&mut self, error: StoreError) {
        let error = Error::from(error);
        if self.failed.is_none() {
            self.failed = Some(error.clone());
            self.outputs.push_back(Output::Failed(error));
        }
    }

    /// Passes a result of the store on. An error stops the node here and now: what was staged is in
    /// memory already, so nothing may be told of it on the way out.
    fn fatal<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.fail(error.clone());
        }
        result
    }

    /// Commits, unless the node has stopped: a call inside this input may have failed, and what it staged
    /// is in memory.
    fn commit(&mut self, transaction: Transaction) -> Result<(), StoreError> {
        if let Some(error) = &self.failed {
            return Err(StoreError::Stopped(error.to_string().into()));
        }
        let result = self.store.commit(transaction.into_batch());
        self.fatal(result)
    }

    fn sync_store(&mut self) -> Result<(), StoreError> {
        let result = self.store.sync();
        self.fatal(result)
    }

    fn fire(&mut self, now: Now) -> Result<(), StoreError> {
        let at = now.monotonic;
        self.membership.fire(at);
        if self.timers.summary <= at {
            self.timers.summary = at + SUMMARY_EVERY;
            self.send_summaries();
            self.confirm_watches();
        }
        if self.timers.ping <= at {
            self.timers.ping = at + PING_EVERY;
            self.send_pings(now);
        }
        if self.timers.offers <= at {
            self.send_offers(now);
        }
        if self.timers.pulls <= at {
            self.expire_pulls(now)?;
        }
        if self.timers.calls <= at {
            self.expire_calls(now);
        }
        if self.timers.placement <= at {
            self.timers.placement = at + SECOND;
            self.clones.tick(now);
            self.store_remembered()?;
            self.placement_tick(now)?;
            self.review_gaps(now)?;
            self.leave_tick(now)?;
            self.absence_tick(now)?;
            self.collect_tick(now);
            self.sweep_tick(now);
        }
        if self.timers.relax <= at {
            self.relax(now);
        }
        if self.timers.scrub <= at {
            self.scrub_step(now)?;
        }
        if self.timers.collect <= at {
            self.collect_step(now)?;
        }
        if self.timers.sweep <= at {
            self.sweep_step(now)?;
        }
        Ok(())
    }

    /// Stops cleanly: the next start needs no check and continues from the exact clock. The driver
    /// drains the outputs, sends what they say, and syncs the store; every later call is refused
    /// and every later input is ignored.
    ///
    /// # Errors
    /// When the store fails.
    pub fn stop(&mut self, now: Now) -> Result<(), Error> {
        match &self.failed {
            Some(Error::Closed(_)) => return Ok(()),
            Some(error) => return Err(error.clone()),
            None => {}
        }
        let mut transaction = Transaction::default();
        transaction.put(Space::Meta, rows::peer_key("clean"), wire::encode(&self.clock.last()));
        self.store_remembered()?;
        self.commit(transaction)?;
        self.membership.leave(now.monotonic);
        self.broadcast(&Message::Bye);
        self.finish(Ok(()), now);
        // A stamp issued from now on would be above what the clean row says, and so be issued again.
        self.failed = Some(Error::Closed("the peer".into()));
        Ok(())
    }

    fn membership_effect(&mut self, effect: Effect, now: Now) {
        match effect {
            Effect::Send(peer, packet) => {
                self.outputs.push_back(Output::Probe(peer, link::probe_packet(&packet)));
            }
            Effect::Up(identity) if identity.peer == self.config.peer => {}
            Effect::Up(identity) => {
                let peer = identity.peer;
                if !self.links.contains_key(&peer) && !identity.addresses.is_empty() {
                    self.outputs.push_back(Output::Dial(peer, identity.addresses.clone()));
                }
                let known = self.members.insert(peer, identity.clone());
                if known.as_ref().is_some_and(|known| known.weight != identity.weight) {
                    self.review_all();
                }
                if known.is_none() {
                    self.note_acquaintance(peer);
                    self.event(Event::PeerUp(peer, identity.name.clone()));
                    self.member_changed(peer, true, now);
                }
                if self.remembered.get(&peer) != Some(&identity.addresses)
                    && !identity.addresses.is_empty()
                {
                    let is_member = |peer: &&PeerId| self.members.contains_key(*peer);
                    if self.remembered.len() >= REMEMBERED_MAX
                        && let Some(&older) = self.remembered.keys().find(|peer| !is_member(peer))
                    {
                        self.remembered.remove(&older);
                    }
                    self.remembered.insert(peer, identity.addresses);
                    self.remembered_anew = true;
                }
            }
            // Whoever is connected need not wait until a probe carries it there.
            Effect::Renewed => self.broadcast_hello(),
            Effect::Down(peer) => {
                if let Some(identity) = self.members.remove(&peer) {
                    self.note_acquaintance(peer);
                    self.event(Event::PeerDown(peer));
                    self.member_changed(peer, false, now);
                    if identity.weight == drain::DRAINING {
                        // It was to go for good: nobody waits for it.
                        self.leaves.retired(peer);
                        self.remembered_anew |= self.remembered.remove(&peer).is_some();
                    }
                }
            }
        }
    }

    /// Stores where the peers are that were met: all in one row, so once for all that are met within
    /// a second.
    fn store_remembered(&mut self) -> Result<(), StoreError> {
        if !core::mem::take(&mut self.remembered_anew) {
            return Ok(());
        }
        let mut transaction = Transaction::default();
        transaction.put(Space::Meta, rows::peer_key("peers"), wire::encode(&self.remembered));
        self.commit(transaction)
    }

    fn listen_on(&mut self, addresses: Vec<String>, now: Now) {
        let mut addresses = addresses;
        addresses.retain(|address| address.len() <= crate::membership::ADDRESS_MAX);
        addresses.truncate(crate::membership::ADDRESSES_MAX);
        if self.membership.identity().addresses != addresses {
            self.describe_anew(|identity| identity.addresses = addresses, now);
        }
    }

    /// Changes what this peer tells of itself, under the next incarnation.
    fn describe_anew(&mut self, change: impl FnOnce(&mut Identity), now: Now) {
        let mut identity = self.membership.identity().clone();
        change(&mut identity);
        identity.incarnation += 1;
        self.membership.change_identity(identity, now.monotonic);
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn count(&mut self, name: &'static str, by: u64) {
        let counter = self.counters.entry(name).or_default();
        *counter = counter.saturating_add(by);
    }

    /// The id of a path in this cluster: never of its definition.
    pub fn database_id(&self, path: &str) -> DatabaseId {
        database_id(&self.config.cluster_key, path)
    }

    /// The definition that accepts a path.
    fn definition_of(&self, path: &str) -> Option<&Arc<Definition>> {
        Path::any(path).ok().and_then(|path| self.registry.resolve(&path))
    }

    /// This peer.
    pub fn peer(&self) -> PeerId {
        self.config.peer
    }

    /// The live epoch of this peer.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// A copy held here, for tests and checkers to look at.
    pub fn replica(&self, id: DatabaseId) -> Option<&Replica> {
        self.held.get(&id).map(|held| &held.replica)
    }

    /// The databases with a copy here, the system databases included, and what this peer takes
    /// itself to be for each.
    pub fn copies(&self) -> impl Iterator<Item = (DatabaseId, HolderState)> {
        self.held.iter().map(|(id, held)| (*id, held.role))
    }

    /// Whether the copy here reflects a write: what it wrote is here, or something newer, or a delete.
    pub fn reflects(&self, id: DatabaseId, dot: Dot) -> bool {
        self.held.get(&id).is_some_and(|held| held.replica.covers(dot))
    }

    /// What this peer knows of who holds what.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Counters since this start, by name.
    pub fn counters(&self) -> &BTreeMap<&'static str, u64> {
        &self.counters
    }

    /// The store, for reads that do not need the node.
    pub fn store(&self) -> &S {
        &self.store
    }
}

/// The id of a path: a keyed hash of the length-prefixed path, so of the cluster too.
pub fn database_id(cluster_key: &[u8; 32], path: &str) -> DatabaseId {
    let mut bytes = b"tidings database v1".to_vec();
    bytes.extend_from_slice(&(path.len() as u64).to_le_bytes());
    bytes.extend_from_slice(path.as_bytes());
    let hash = blake3::keyed_hash(cluster_key, &bytes);
    let mut id = [0; 16];
    id.copy_from_slice(&hash.as_bytes()[..16]);
    DatabaseId(id)
}

/// The row of the peer itself.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct OwnRow {
    /// Which secret the data was written under.
    pub(crate) cluster: u64,
    pub(crate) incarnation: u64,
    pub(crate) epoch: Epoch,
    pub(crate) reserved: Time,
}

pub(crate) fn read_row<T: serde::de::DeserializeOwned>(
    store: &impl crate::store::Read,
    key: &[u8],
) -> Result<Option<T>, StoreError> {
    store
        .get(Space::Meta, key)?
        .map(|bytes| {
            wire::decode(&bytes).map_err(|error| {
                StoreError::corrupt(alloc::format!(
                    "the row {:?}: {error}",
                    String::from_utf8_lossy(key)
                ))
            })
        })
        .transpose()
}
