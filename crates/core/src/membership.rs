//! Who is alive: SWIM, by foca, over a stream of its own.
//!
//! Das, Gupta, Motivala: "SWIM: Scalable Weakly-consistent Infection-style Process Group
//! Membership Protocol" (2002).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::num::{NonZeroU8, NonZeroUsize};
use core::time::Duration;

use bytes::{Buf, BufMut};
use foca::{Foca, Member, NoCustomBroadcast, Notification, PeriodicParams, Runtime, Timer};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::ident::PeerId;
use crate::limits::NAME_MAX;
use crate::wire;

/// Most bytes of a probe packet: with its envelope it fits the 8 KiB of the network. It travels in a
/// stream, so this is no MTU.
pub const PACKET_MAX: usize = (8 << 10) - 64;
/// Most addresses that a peer tells of itself.
pub const ADDRESSES_MAX: usize = 8;
/// Longest address, in bytes.
pub const ADDRESS_MAX: usize = 256;

/// By how much a peer that was thought dead raises its incarnation: a quarter of an hour of
/// milliseconds, so that a clock that is hours off is caught up with in a few steps.
const RENEWAL_STEP: u64 = 1 << 20;

/// A member of the cluster as it describes itself: one start of one peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The peer.
    pub peer: PeerId,
    /// Grows with every start and every change of what follows.
    pub incarnation: u64,
    /// A name for people.
    pub name: String,
    /// The failure domain; empty: none.
    pub zone: String,
    /// Share of the databases, in hundredths.
    pub weight: u32,
    /// Where it listens, as text.
    pub addresses: Vec<String>,
}

impl Identity {
    /// Whether it keeps to the bounds.
    pub fn is_sane(&self) -> bool {
        self.name.len() <= NAME_MAX
            && self.zone.len() <= NAME_MAX
            && self.addresses.len() <= ADDRESSES_MAX
            && self.addresses.iter().all(|address| address.len() <= ADDRESS_MAX)
    }
}

impl foca::Identity for Identity {
    type Addr = PeerId;

    fn renew(&self) -> Option<Self> {
        // A wide step: whoever comes back without its disk may be far below what others remember.
        let incarnation = self.incarnation.saturating_add(RENEWAL_STEP);
        Some(Self { incarnation, ..self.clone() })
    }

    fn addr(&self) -> PeerId {
        self.peer
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.incarnation > adversary.incarnation
    }
}

struct Codec;

#[derive(Debug, thiserror::Error)]
#[error("malformed membership packet")]
struct BadPacket;

impl Codec {
    fn put<T: Serialize>(item: &T, mut buffer: impl BufMut) -> Result<(), BadPacket> {
        let mut bytes = Vec::new();
        wire::append(&mut bytes, item);
        if buffer.remaining_mut() < bytes.len() {
            return Err(BadPacket);
        }
        buffer.put_slice(&bytes);
        Ok(())
    }

    fn take<T: serde::de::DeserializeOwned>(mut buffer: impl Buf) -> Result<T, BadPacket> {
        let mut rest = buffer.chunk();
        let before = rest.len();
        let item = wire::take(&mut rest).map_err(|_| BadPacket)?;
        let used = before - rest.len();
        buffer.advance(used);
        Ok(item)
    }
}

impl foca::Codec<Identity> for Codec {
    type Error = BadPacket;

    fn encode_header(
        &mut self,
        header: &foca::Header<Identity>,
        buffer: impl BufMut,
    ) -> Result<(), BadPacket> {
        Self::put(header, buffer)
    }

    fn decode_header(&mut self, buffer: impl Buf) -> Result<foca::Header<Identity>, BadPacket> {
        Self::take(buffer)
    }

    fn encode_member(
        &mut self,
        member: &Member<Identity>,
        buffer: impl BufMut,
    ) -> Result<(), BadPacket> {
        Self::put(member, buffer)
    }

    fn decode_member(&mut self, buffer: impl Buf) -> Result<Member<Identity>, BadPacket> {
        let member: Member<Identity> = Self::take(buffer)?;
        if member.id().is_sane() { Ok(member) } else { Err(BadPacket) }
    }
}

/// What the membership asks of the node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Send a probe packet.
    Send(PeerId, Vec<u8>),
    /// A member is up, or describes itself anew.
    Up(Identity),
    /// A member is down.
    Down(PeerId),
    /// This peer was taken for dead and has renewed its identity.
    Renewed,
}

#[derive(Default)]
struct Effects {
    out: VecDeque<Effect>,
    timers: Vec<(Timer<Identity>, Duration)>,
    /// Members that describe themselves anew: those that are down, too.
    renamed: Vec<Identity>,
}

impl Runtime<Identity> for &mut Effects {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        match notification {
            Notification::MemberUp(member) => self.out.push_back(Effect::Up(member.clone())),
            Notification::Rename(_, member) => self.renamed.push(member.clone()),
            Notification::Rejoin(_) => self.out.push_back(Effect::Renewed),
            Notification::MemberDown(member) => self.out.push_back(Effect::Down(member.peer)),
            _ => {}
        }
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.out.push_back(Effect::Send(to.peer, data.to_vec()));
    }

    fn submit_after(&mut self, event: Timer<Identity>, after: Duration) {
        self.timers.push((event, after));
    }
}

/// Most timers that may wait: foca keeps a handful per member.
const TIMERS_MAX: usize = 100_000;

/// How many of the peers that it meets a peer asks for the other members.
const ANNOUNCES_MAX: usize = 64;

/// The membership of one peer.
pub(crate) struct Membership {
    foca: Foca<Identity, Codec, ChaCha8Rng, NoCustomBroadcast>,
    effects: Effects,
    /// By due time in monotonic microseconds, then order of submission.
    timers: BTreeMap<(u64, u64), Timer<Identity>>,
    submitted: u64,
    /// Peers that were asked for the other members.
    announced: usize,
}

impl core::fmt::Debug for Membership {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Membership")
            .field("members", &self.foca.num_members())
            .finish_non_exhaustive()
    }
}

impl Membership {
    pub(crate) fn new(identity: Identity, seed: [u8; 32]) -> Self {
        let count = NonZeroUsize::MIN;
        let config = foca::Config {
            probe_period: Duration::from_secs(1),
            probe_rtt: Duration::from_millis(400),
            num_indirect_probes: count.saturating_add(2),
            max_transmissions: NonZeroU8::MIN.saturating_add(9),
            suspect_to_down_after: Duration::from_secs(3),
            remove_down_after: Duration::from_hours(24).into(),
            max_packet_size: count.saturating_add(PACKET_MAX - 1),
            notify_down_members: true,
            periodic_announce: Some(PeriodicParams {
                frequency: Duration::from_secs(30),
                num_members: count,
            }),
            periodic_announce_to_down_members: Some(PeriodicParams {
                frequency: Duration::from_secs(10),
                num_members: count.saturating_add(1),
            }),
            periodic_gossip: Some(PeriodicParams {
                frequency: Duration::from_secs(1),
                num_members: count.saturating_add(1),
            }),
        };
        let foca = Foca::new(identity, config, ChaCha8Rng::from_seed(seed), Codec);
        Self {
            foca,
            effects: Effects::default(),
            timers: BTreeMap::new(),
            submitted: 0,
            announced: 0,
        }
    }

    pub(crate) fn identity(&self) -> &Identity {
        self.foca.identity()
    }

    /// The latest incarnation known of a peer, alive or down.
    pub(crate) fn incarnation_of(&self, peer: PeerId) -> Option<u64> {
        let known = self.foca.iter_membership_state().map(Member::id);
        known.filter(|identity| identity.peer == peer).map(|identity| identity.incarnation).max()
    }

    /// Describes this peer anew.
    pub(crate) fn change_identity(&mut self, identity: Identity, now: u64) {
        // Refused only when the identity is the same, which changes nothing.
        let _ = self.foca.change_identity(identity, &mut self.effects);
        self.arm(now);
    }

    /// A peer said hello: it is alive. `known`: that is known already.
    pub(crate) fn met(&mut self, identity: Identity, known: bool, now: u64) {
        let before = self.effects.out.len();
        let alive = core::iter::once(Member::alive(identity.clone()));
        let _ = self.foca.apply_many(alive, true, &mut self.effects);
        let is_up = |effect: &Effect| matches!(effect, Effect::Up(up) if *up == identity);
        let up = known || self.effects.out.iter().skip(before).any(is_up);
        // Where it was thought down, the answer to this makes it renew its identity. It also tells of
        // other members: as many as fit a packet, so that asking each of many peers is of no use.
        if !up || self.announced < ANNOUNCES_MAX {
            self.announced += 1;
            let _ = self.foca.announce(identity, &mut self.effects);
        }
        self.arm(now);
    }

    /// A packet arrived. False: it was malformed.
    pub(crate) fn receive(&mut self, packet: &[u8], now: u64) -> bool {
        let result = self.foca.handle_data(packet, &mut self.effects);
        self.arm(now);
        !matches!(result, Err(foca::Error::Decode(_) | foca::Error::MalformedPacket))
    }

    /// Says good bye to everyone.
    pub(crate) fn leave(&mut self, now: u64) {
        let _ = self.foca.leave_cluster(&mut self.effects);
        self.arm(now);
    }

    pub(crate) fn next_timer(&self) -> Option<u64> {
        self.timers.first_key_value().map(|((at, _), _)| *at)
    }

    pub(crate) fn fire(&mut self, now: u64) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            // A late timer is an error to foca where the member is long gone: nothing to do.
            let _ = self.foca.handle_timer(entry.remove(), &mut self.effects);
            self.arm(now);
        }
    }

    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.out.pop_front()
    }

    fn arm(&mut self, now: u64) {
        // A change of identity leaves foca unconnected, without timers, until it hears of a member
        // again; where all peers change theirs at once, nobody would ever probe again.
        let _ = self.foca.apply_many(core::iter::empty(), false, &mut self.effects);
        for identity in core::mem::take(&mut self.effects.renamed) {
            // One that is down stays down under its new name, and nobody would say so again.
            if self.foca.iter_members().any(|member| *member.id() == identity) {
                self.effects.out.push_back(Effect::Up(identity));
            }
        }
        for (timer, after) in self.effects.timers.drain(..) {
            if self.timers.len() < TIMERS_MAX {
                self.submitted += 1;
                let at = now.saturating_add(after.as_micros() as u64);
                self.timers.insert((at, self.submitted), timer);
            }
        }
    }
}
