//! Who may speak: the one place where a connection is told from another by who uses it.
//!
//! The door listens on loopback only and asks for nothing, so every program on this machine may read
//! and write everything. A user who proves who it is will do so here: `AUTH` and `HELLO … AUTH` come to
//! [`authenticate`], and every command asks [`may_run`] before anything else.

use crate::command::Spec;
use crate::refusal::Refusal;

/// The only user there is, as in a Redis without users.
const DEFAULT_USER: &[u8] = b"default";

/// Proves who uses the connection. Without a user it is `AUTH password`.
///
/// # Errors
/// What Redis answers where no password is set.
pub(crate) fn authenticate(user: Option<&[u8]>, _password: &[u8]) -> Result<(), Refusal> {
    match user {
        None => Err(Refusal::new(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        )),
        Some(DEFAULT_USER) => Ok(()),
        Some(_) => {
            Err(Refusal::new("WRONGPASS invalid username-password pair or user is disabled."))
        }
    }
}

/// Whether the connection may run a command.
///
/// # Errors
/// None as long as no password is set.
#[expect(clippy::unnecessary_wraps, reason = "refusing is what this place is for")]
pub(crate) fn may_run(_command: &Spec) -> Result<(), Refusal> {
    Ok(())
}
