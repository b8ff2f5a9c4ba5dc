//! Which of several connections to one peer carries the streams.
//!
//! Two peers that dial each other at once, over TCP and QUIC, or after one of them restarted, may
//! hold several connections. The peer with the lower `PeerId` decides: it opens both streams on
//! one connection, and the other side uses whatever is opened, the latest winning. One connection
//! carries at most one session in its life; when the session ends, so does the connection.
//!
//! A further connection while a session is alive is either the surplus of a simultaneous dial, or
//! the sign of a peer that lost the old one without our noticing. So the session in use is
//! *challenged* for a sign of life: if it answers, the surplus is closed, otherwise the session
//! gives way.
//!
//! A surplus beside a session that answers, and that is not just beginning, comes from somebody who
//! knows nothing of that session: a second process under the same identity. It gets its turn, and
//! then the first one again. So both of them replicate, and the protocol above sees both and can tell
//! them so.
//!
//! This is a value without sockets: events go in, and [`Links::settle`] says what to do.

use std::time::Instant;

use libp2p::swarm::ConnectionId;

use super::limits::{CHALLENGE_TIMEOUT, OPEN_TIMEOUT, SPARE_CONNECTION_LIFETIME, TURN};

/// What the driver is to do about a peer's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Open the streams on this connection.
    Open(ConnectionId),
    /// Both streams are open on this connection: begin the session.
    Start(ConnectionId),
    /// Ask the session's peer for a sign of life.
    Challenge,
    /// End the session.
    Stop,
    /// Close this connection.
    Close(ConnectionId),
}

/// The connections of one peer.
pub(super) struct Links {
    /// Whether this side decides, having the lower `PeerId`.
    decides: bool,
    /// In the order in which they came, one whose streams opened moved to the end.
    all: Vec<Link>,
    session: Option<Session>,
}

struct Link {
    id: ConnectionId,
    state: LinkState,
    since: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LinkState {
    /// No streams.
    Spare,
    /// Streams are being opened by us.
    Opening,
    /// Streams are open.
    Open,
    /// On its way out.
    Closing,
}

struct Session {
    id: ConnectionId,
    since: Instant,
    challenged: Option<Instant>,
    stopping: bool,
}

impl Links {
    /// No connections to a peer, towards which this side decides or not.
    pub(super) fn new(decides: bool) -> Self {
        Self { decides, all: Vec::new(), session: None }
    }

    /// A connection was established.
    pub(super) fn established(&mut self, id: ConnectionId, now: Instant) {
        self.all.push(Link { id, state: LinkState::Spare, since: now });
    }

    /// Both streams are open on a connection.
    pub(super) fn opened(&mut self, id: ConnectionId) {
        if let Some(at) = self.all.iter().position(|link| link.id == id) {
            let mut link = self.all.remove(at);
            if link.state != LinkState::Closing {
                link.state = LinkState::Open;
            }
            self.all.push(link);
        }
    }

    /// A connection is gone.
    pub(super) fn closed(&mut self, id: ConnectionId) {
        self.all.retain(|link| link.id != id);
    }

    /// The session on this connection has ended, after its `disconnected`; the connection is
    /// about to be closed.
    pub(super) fn ended(&mut self, id: ConnectionId) {
        for link in self.all.iter_mut().filter(|link| link.id == id) {
            link.state = LinkState::Closing;
        }
        if self.session.as_ref().is_some_and(|session| session.id == id) {
            self.session = None;
        }
    }

    /// Whether there is nothing left to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.session.is_none()
    }

    /// Whether any connection is established.
    pub(super) fn is_connected(&self) -> bool {
        !self.all.is_empty()
    }

    /// Brings the connections in order. `heard` says when the session's peer was last heard.
    pub(super) fn settle(&mut self, now: Instant, heard: Option<Instant>) -> Vec<Action> {
        let mut actions = Vec::new();
        match &self.session {
            Some(_) => self.settle_beside_session(now, heard, &mut actions),
            None => self.settle_without_session(now, &mut actions),
        }
        self.close_where(&mut actions, |link| match link.state {
            LinkState::Opening => now >= link.since + OPEN_TIMEOUT,
            LinkState::Spare => now >= link.since + SPARE_CONNECTION_LIFETIME,
            LinkState::Open | LinkState::Closing => false,
        });
        actions
    }

    fn settle_without_session(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if let Some(link) = self.all.iter().rfind(|link| link.state == LinkState::Open) {
            let id = link.id;
            self.session = Some(Session { id, since: now, challenged: None, stopping: false });
            actions.push(Action::Start(id));
            // Streams that were opened earlier belong to sessions the other side gave up.
            self.close_where(actions, |link| link.state == LinkState::Open && link.id != id);
        } else if self.decides
            && !self.all.iter().any(|link| link.state == LinkState::Opening)
            && let Some(link) = self.all.iter_mut().find(|link| link.state == LinkState::Spare)
        {
            link.state = LinkState::Opening;
            link.since = now;
            actions.push(Action::Open(link.id));
        }
    }

    fn settle_beside_session(
        &mut self,
        now: Instant,
        heard: Option<Instant>,
        actions: &mut Vec<Action>,
    ) {
        let Some(session) = &mut self.session else { return };
        let id = session.id;
        if session.stopping {
            return;
        }
        let lost = !self.all.iter().any(|link| link.id == id && link.state == LinkState::Open);
        let replaced = self.all.iter().any(|link| link.id != id && link.state == LinkState::Open);
        if lost || replaced {
            session.stopping = true;
            actions.push(Action::Stop);
            return;
        }
        if !self.decides || !self.all.iter().any(|link| link.state == LinkState::Spare) {
            session.challenged = None;
            return;
        }
        match session.challenged {
            None => {
                session.challenged = Some(now);
                actions.push(Action::Challenge);
            }
            Some(challenged) if heard.is_some_and(|heard| heard > challenged) => {
                if challenged >= session.since + TURN {
                    session.stopping = true;
                    actions.push(Action::Stop);
                    return;
                }
                session.challenged = None;
                self.close_where(actions, |link| {
                    link.state == LinkState::Spare && link.since <= challenged
                });
            }
            Some(challenged) if now >= challenged + CHALLENGE_TIMEOUT => {
                session.stopping = true;
                actions.push(Action::Stop);
            }
            Some(_) => {}
        }
    }

    fn close_where(&mut self, actions: &mut Vec<Action>, condition: impl Fn(&Link) -> bool) {
        for link in &mut self.all {
            if link.state != LinkState::Closing && condition(link) {
                link.state = LinkState::Closing;
                actions.push(Action::Close(link.id));
            }
        }
    }

    /// When [`Links::settle`] must be called again even if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let timeouts = self.all.iter().filter_map(|link| match link.state {
            LinkState::Opening => Some(link.since + OPEN_TIMEOUT),
            LinkState::Spare => Some(link.since + SPARE_CONNECTION_LIFETIME),
            LinkState::Open | LinkState::Closing => None,
        });
        let challenge = self
            .session
            .as_ref()
            .filter(|session| !session.stopping)
            .and_then(|session| session.challenged)
            .map(|challenged| challenged + CHALLENGE_TIMEOUT);
        timeouts.chain(challenge).min()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(n: usize) -> ConnectionId {
        ConnectionId::new_unchecked(n)
    }

    /// The deciding side opens one connection, closes the surplus once the session has answered,
    /// and closes nothing while it has not.
    #[test]
    fn the_surplus_closes_when_the_session_answers() {
        let now = Instant::now();
        let mut links = Links::new(true);
        links.established(id(1), now);
        assert_eq!(links.settle(now, None), [Action::Open(id(1))]);
        links.established(id(2), now);
        assert_eq!(links.settle(now, None), []);
        links.opened(id(1));
        assert_eq!(links.settle(now, None), [Action::Start(id(1))]);
        assert_eq!(links.settle(now, Some(now)), [Action::Challenge]);
        let later = now + Duration::from_millis(1);
        assert_eq!(links.settle(later, Some(now)), []);
        assert_eq!(links.settle(later, Some(later)), [Action::Close(id(2))]);
        assert_eq!(links.settle(later, Some(later)), []);
        links.closed(id(2));
        assert_eq!(links.deadline(), None);
    }

    /// A session that answers gives way, too, once it has had its turn: the connection beside it is
    /// that of another process. It closes what comes beside it before.
    #[test]
    fn processes_with_one_identity_take_turns() {
        let mut now = Instant::now();
        let mut links = Links::new(true);
        let mut first = id(1);
        links.established(first, now);
        links.settle(now, None);
        links.opened(first);
        links.settle(now, None);
        for round in 1..4 {
            let (early, second) = (id(round * 2), id(round * 2 + 1));
            for (surplus, after) in [(early, TURN / 2), (second, TURN)] {
                now += after;
                links.established(surplus, now);
                assert_eq!(links.settle(now, None), [Action::Challenge]);
                now += Duration::from_millis(1);
                let expected = if surplus == early { Action::Close(early) } else { Action::Stop };
                assert_eq!(links.settle(now, Some(now)), [expected]);
                links.closed(early);
            }
            links.ended(first);
            assert_eq!(links.settle(now, None), [Action::Open(second)]);
            links.closed(first);
            links.opened(second);
            assert_eq!(links.settle(now, None), [Action::Start(second)]);
            first = second;
        }
    }

    /// A session that does not answer gives way to the newer connection.
    #[test]
    fn a_dead_session_gives_way() {
        let now = Instant::now();
        let mut links = Links::new(true);
        links.established(id(1), now);
        links.settle(now, None);
        links.opened(id(1));
        links.settle(now, None);
        links.established(id(2), now);
        assert_eq!(links.settle(now, Some(now)), [Action::Challenge]);
        let late = links.deadline().unwrap();
        assert_eq!(late, now + CHALLENGE_TIMEOUT);
        assert_eq!(links.settle(late, Some(now)), [Action::Stop]);
        assert_eq!(links.settle(late, Some(now)), []);
        links.ended(id(1));
        assert_eq!(links.settle(late, None), [Action::Open(id(2))]);
    }

    /// The other side follows: the latest streams win, after the old session has ended.
    #[test]
    fn the_following_side_uses_what_is_opened_last() {
        let now = Instant::now();
        let mut links = Links::new(false);
        links.established(id(1), now);
        links.established(id(2), now);
        assert_eq!(links.settle(now, None), []);
        links.opened(id(2));
        assert_eq!(links.settle(now, None), [Action::Start(id(2))]);
        links.opened(id(1));
        assert_eq!(links.settle(now, Some(now)), [Action::Stop]);
        links.ended(id(2));
        links.closed(id(2));
        assert_eq!(links.settle(now, None), [Action::Start(id(1))]);
    }

    /// Whatever happens, in any order, at most one session runs, and every end of a session is
    /// followed by the use of another connection if there is one.
    #[test]
    fn random_histories_keep_one_session() {
        let mut random = 1_u64;
        let mut next = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % bound
        };
        for decides in [true, false] {
            let mut now = Instant::now();
            let mut links = Links::new(decides);
            let mut running: Option<ConnectionId> = None;
            for step in 0..20_000 {
                now += Duration::from_millis(next(1500));
                let connection = id(next(6) as usize);
                let known = links.all.iter().any(|link| link.id == connection);
                match next(4) {
                    0 if !known && links.session.as_ref().is_none_or(|s| s.id != connection) => {
                        links.established(connection, now);
                    }
                    1 => links.opened(connection),
                    2 => links.closed(connection),
                    _ => {
                        if let Some(ended) = running.take() {
                            links.ended(ended);
                        }
                    }
                }
                let heard = (next(2) == 0).then_some(now);
                for action in links.settle(now, heard) {
                    match action {
                        Action::Start(connection) => {
                            assert_eq!(running.replace(connection), None, "step {step}");
                        }
                        Action::Stop | Action::Challenge => assert!(running.is_some()),
                        Action::Open(_) => assert!(decides && running.is_none()),
                        Action::Close(connection) => links.closed(connection),
                    }
                }
            }
        }
    }
}
