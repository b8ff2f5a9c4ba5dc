//! Who may speak: the one place where a connection is told from another by who uses it.
//!
//! A door without tokens listens on loopback only and asks for nothing, so that every program on this
//! machine may read and write everything. One with tokens answers nobody who has not sent one with `AUTH`
//! or `HELLO … AUTH`. What a command needs then is in [`need`], and [`Access`] says whether the token of
//! the connection has it. Tokens are hashed when they come in and never kept.

use std::sync::Arc;
use std::time::Instant;

use tidings_tokens::{LiveTokens, Scope, Subject, Token, Tokens};
use tokio::sync::watch;

use crate::command::{Command, Spec};
use crate::refusal::{Answer, Refusal};
use crate::session::Session;

/// The only user of a Redis without users, and a name that every token may go by.
const DEFAULT_USER: &str = "default";
/// Wrong tokens that one connection may send; then it is closed. A token cannot be guessed; this is for
/// programs that try the same wrong one without end.
const FAILURES_MAX: u32 = 10;

/// What Redis answers to who has not said who it is.
const NO_AUTH: Refusal = Refusal::new("NOAUTH Authentication required.");
/// The same for `HELLO`.
const NO_AUTH_HELLO: Refusal = Refusal::new(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
);
const WRONG: Refusal =
    Refusal::new("WRONGPASS invalid username-password pair or user is disabled.");

/// What a command needs where the door asks for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it is how a client says who it is, or leaves.
    Nothing,
    /// Any token: it is about the connection, or what every client may know.
    Token,
    /// The scope `read` for each database that it names, which it asks for by [`Access::may_read`].
    Named,
    /// A scope for the selected database.
    Selected(Scope),
}

/// What each command needs. `FLUSHDB` does what deleting all keys one by one does, and needs no more.
pub(crate) const fn need(command: Command) -> Need {
    match command {
        Command::Auth | Command::Hello | Command::Quit | Command::Reset => Need::Nothing,
        Command::Client
        | Command::Command
        | Command::Config
        | Command::Discard
        | Command::Echo
        | Command::Exec
        | Command::Info
        | Command::Multi
        | Command::Ping
        | Command::PUnsubscribe
        | Command::Unsubscribe
        | Command::Unwatch
        | Command::Watch => Need::Token,
        Command::PSubscribe | Command::Select | Command::Subscribe => Need::Named,
        Command::DbSize
        | Command::Exists
        | Command::ExpireTime
        | Command::Get
        | Command::GetRange
        | Command::Keys
        | Command::MGet
        | Command::PExpireTime
        | Command::PTtl
        | Command::RandomKey
        | Command::Scan
        | Command::StrLen
        | Command::Ttl
        | Command::Type
        | Command::Wait => Need::Selected(Scope::Read),
        Command::Append
        | Command::Decr
        | Command::DecrBy
        | Command::Del
        | Command::Expire
        | Command::ExpireAt
        | Command::FlushDb
        | Command::GetDel
        | Command::GetEx
        | Command::GetSet
        | Command::Incr
        | Command::IncrBy
        | Command::MSet
        | Command::MSetNx
        | Command::Persist
        | Command::PExpire
        | Command::PExpireAt
        | Command::PSetEx
        | Command::Set
        | Command::SetEx
        | Command::SetNx
        | Command::SetRange
        | Command::Unlink => Need::Selected(Scope::Write),
    }
}

/// What one connection may do.
#[derive(Debug)]
pub(crate) struct Access {
    /// The tokens that the door asks for; `None`: it asks for none.
    live: Option<watch::Receiver<Arc<Tokens>>>,
    /// The one that the client sent.
    token: Option<Arc<Token>>,
    /// The largest scope that was found to be allowed for the selected database, so that paths are not
    /// matched for each command.
    cleared: Option<Scope>,
    /// How many wrong ones it sent.
    failures: u32,
}

impl Access {
    /// That of a new connection.
    pub(crate) fn new(tokens: Option<&LiveTokens>) -> Self {
        let live = tokens.map(LiveTokens::changes);
        Self { live, token: None, cleared: None, failures: 0 }
    }

    /// What the client goes by in a list of clients.
    pub(crate) fn user(&self) -> &str {
        self.token.as_ref().map_or(DEFAULT_USER, |token| token.name())
    }

    /// Whether it has to say yet who it is.
    pub(crate) fn is_stranger(&self) -> bool {
        self.live.is_some() && self.token.is_none()
    }

    /// Forgets who it is.
    pub(crate) fn forget(&mut self) {
        self.token = None;
        self.cleared = None;
    }

    /// Another database is selected.
    pub(crate) fn moved(&mut self) {
        self.cleared = None;
    }

    /// Looks whether the tokens were changed. True: that of the connection was revoked, or is not what it
    /// was, and is forgotten. Costs a look at a number where nothing was changed.
    pub(crate) fn refresh(&mut self) -> bool {
        let Some(live) = &mut self.live else { return false };
        if !live.has_changed().unwrap_or(false) {
            return false;
        }
        let tokens = Arc::clone(&live.borrow_and_update());
        let revoked = self.token.as_ref().is_some_and(|token| !tokens.still_has(token));
        if revoked {
            self.forget();
        }
        revoked
    }

    /// Resolves once the token of the connection is revoked; never where there is none.
    pub(crate) async fn revoked(&mut self) {
        if let (Some(live), Some(token)) = (&mut self.live, &self.token)
            && live.wait_for(|tokens| !tokens.still_has(token)).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }

    /// Whether a command may run on the selected database; `None`: that is not known yet.
    ///
    /// # Errors
    /// As Redis answers, with what would be needed.
    pub(crate) fn may(&mut self, spec: &Spec, path: Option<&str>) -> Answer {
        if self.live.is_none() {
            return Ok(());
        }
        let need = need(spec.command);
        if need == Need::Nothing {
            return Ok(());
        }
        let token = self.token.as_ref().ok_or(NO_AUTH)?;
        if let (Need::Selected(scope), Some(path)) = (need, path)
            && self.cleared < Some(scope)
        {
            check(token, spec.name, scope, path)?;
            self.cleared = Some(scope);
        }
        Ok(())
    }

    /// Whether a command may read the database with this path.
    ///
    /// # Errors
    /// As Redis answers, with what would be needed.
    pub(crate) fn may_read(&self, command: &str, path: &str) -> Answer {
        if self.live.is_none() {
            return Ok(());
        }
        check(self.token.as_ref().ok_or(NO_AUTH)?, command, Scope::Read, path)
    }

    /// Whether `HELLO` may answer.
    ///
    /// # Errors
    /// As Redis answers who has not said who it is.
    pub(crate) fn may_greet(&self) -> Answer {
        if self.is_stranger() { Err(NO_AUTH_HELLO) } else { Ok(()) }
    }
}

fn check(token: &Token, command: &str, scope: Scope, path: &str) -> Answer {
    token.check(scope, Subject::Database(path)).map_err(|denied| {
        format!("NOPERM this user has no permissions to run the '{command}' command: {denied}")
            .into()
    })
}

/// Proves who uses the connection. Without a user it is `AUTH token`; else the user is `default`, or the
/// name of the token.
///
/// # Errors
/// What Redis answers to a wrong password, or where no password is set. Who the client was it stays.
pub(crate) fn authenticate(session: &mut Session, user: Option<&[u8]>, secret: &[u8]) -> Answer {
    let Some(live) = &session.access.live else { return without_tokens(user) };
    // Not marked as seen: that is for whoever looks whether the token before was revoked.
    let tokens = Arc::clone(&live.borrow());
    let goes_by = |token: &Arc<Token>| {
        user.is_none_or(|user| user == DEFAULT_USER.as_bytes() || user == token.name().as_bytes())
    };
    let found = std::str::from_utf8(secret).ok().and_then(|text| tokens.find(text));
    let Some(token) = found.filter(goes_by) else {
        return Err(failed(session));
    };
    if session.subscriptions.count() > 0 && session.access.user() != token.name() {
        return Err(Refusal::new(
            "ERR a connection that listens cannot become another user: unsubscribe first",
        ));
    }
    session.access.token = Some(token);
    session.access.cleared = None;
    Ok(())
}

/// Counts a wrong token, and closes the connection after too many.
fn failed(session: &mut Session) -> Refusal {
    session.access.failures += 1;
    session.closing |= session.access.failures >= FAILURES_MAX;
    if let Some(count) = session.door.wrong_tokens.due(Instant::now()) {
        tracing::warn!(client = %session.client, count, "a wrong token came to the Redis door");
    }
    WRONG
}

fn without_tokens(user: Option<&[u8]>) -> Answer {
    match user {
        None => Err(Refusal::new(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        )),
        Some(user) if user == DEFAULT_USER.as_bytes() => Ok(()),
        Some(_) => Err(WRONG),
    }
}

#[cfg(test)]
mod tests;
