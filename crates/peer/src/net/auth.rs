//! The secret handshake: both sides prove that they know the cluster key, before any other
//! protocol is spoken.
//!
//! It runs inside the transport, on the first stream of a connection that is already encrypted
//! and whose `PeerId`s are already proven. Until it succeeds the swarm does not know that the
//! connection exists, so no other protocol can be reached.
//!
//! ```text
//! dialer                                   listener
//!   preamble, nonce D (32 bytes)   ──►
//!                                  ◄──     preamble, nonce L
//!   proof("dialer")                ──►     checked; on a mismatch the connection ends here
//!                                  ◄──     proof("listener")
//!   accepted                       ──►
//! ```
//!
//! A proof is keyed BLAKE3 over a domain string, the role of its author, both `PeerId`s and both
//! nonces. The roles keep a proof from being reflected, the nonces from being replayed, and the
//! `PeerId`s from being relayed by someone between two members. The dialer proves first: a
//! stranger that dials learns nothing keyed by the secret. A stranger that is *dialed* learns one
//! proof, which is why the secret must not be guessable.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::PeerId;

/// Names the protocol and its version; another version does not get past it.
const PREAMBLE: &[u8; 16] = b"tidings/auth/01\n";
const DOMAIN: &[u8] = b"tidings cluster authentication 1";
const ACCEPTED: u8 = 0xA5;
const NONCE_BYTES: usize = 32;

/// Why a connection did not pass the secret handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationFailure {
    /// The other side's proof does not fit our secret.
    #[error("the other side does not know our cluster secret")]
    WrongSecret,
    /// The other side hung up on our proof: most likely its secret is another one.
    #[error("the other side refused our proof of the cluster secret")]
    Refused,
    /// The other side speaks another protocol, or another version of this one.
    #[error("the other side does not speak this version of the cluster handshake")]
    Malformed,
    /// The connection ended before the handshake did.
    #[error("the connection ended during the cluster handshake")]
    Interrupted,
    /// The handshake took longer than [`super::AUTHENTICATION_TIMEOUT`].
    #[error("the cluster handshake took too long")]
    TimedOut,
    /// This machine could not provide randomness.
    #[error("no randomness for the cluster handshake")]
    Randomness,
}

/// Which end of the connection a side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Dialer,
    Listener,
}

impl Role {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Dialer => b"dialer",
            Self::Listener => b"listener",
        }
    }
}

/// What one side knows when the handshake begins.
#[derive(Clone, Copy)]
pub(super) struct Challenge<'a> {
    pub(super) key: &'a [u8; 32],
    pub(super) role: Role,
    pub(super) local: PeerId,
    pub(super) remote: PeerId,
}

impl Challenge<'_> {
    /// Runs the handshake over `stream`; success means that both sides know the key.
    pub(super) async fn run<S>(self, stream: S) -> Result<(), AuthenticationFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| AuthenticationFailure::Randomness)?;
        self.run_with(stream, nonce).await
    }

    async fn run_with<S>(
        self,
        mut stream: S,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<(), AuthenticationFailure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self.role {
            Role::Dialer => {
                send_opening(&mut stream, &nonce).await?;
                let theirs = receive_opening(&mut stream).await?;
                let transcript = self.transcript(&nonce, &theirs);
                send(&mut stream, transcript.proof(Role::Dialer).as_bytes()).await?;
                let mut proof = [0; 32];
                // Whoever hangs up here has just seen our proof.
                stream.read_exact(&mut proof).await.map_err(|_| AuthenticationFailure::Refused)?;
                transcript.check(Role::Listener, proof)?;
                send(&mut stream, &[ACCEPTED]).await?;
            }
            Role::Listener => {
                let theirs = receive_opening(&mut stream).await?;
                send_opening(&mut stream, &nonce).await?;
                let transcript = self.transcript(&theirs, &nonce);
                let mut proof = [0; 32];
                stream.read_exact(&mut proof).await.map_err(interrupted)?;
                transcript.check(Role::Dialer, proof)?;
                send(&mut stream, transcript.proof(Role::Listener).as_bytes()).await?;
                let mut accepted = [0];
                stream
                    .read_exact(&mut accepted)
                    .await
                    .map_err(|_| AuthenticationFailure::Refused)?;
                if accepted != [ACCEPTED] {
                    return Err(AuthenticationFailure::Malformed);
                }
            }
        }
        // The handshake has succeeded; a stream that will not close in order changes nothing.
        let _ = stream.close().await;
        Ok(())
    }

    fn transcript(
        &self,
        dialer_nonce: &[u8; NONCE_BYTES],
        listener_nonce: &[u8; NONCE_BYTES],
    ) -> Transcript {
        let (dialer, listener) = match self.role {
            Role::Dialer => (self.local, self.remote),
            Role::Listener => (self.remote, self.local),
        };
        let mut hasher = blake3::Hasher::new_keyed(self.key);
        for part in [
            DOMAIN,
            &dialer.to_bytes(),
            &listener.to_bytes(),
            dialer_nonce.as_slice(),
            listener_nonce.as_slice(),
        ] {
            absorb(&mut hasher, part);
        }
        Transcript(hasher)
    }
}

/// Both sides' view of one handshake, keyed; a role turns it into that role's proof.
struct Transcript(blake3::Hasher);

impl Transcript {
    fn proof(&self, role: Role) -> blake3::Hash {
        let mut hasher = self.0.clone();
        absorb(&mut hasher, role.label());
        hasher.finalize()
    }

    fn check(&self, role: Role, proof: [u8; 32]) -> Result<(), AuthenticationFailure> {
        // `blake3::Hash` compares in constant time.
        if self.proof(role) == blake3::Hash::from_bytes(proof) {
            Ok(())
        } else {
            Err(AuthenticationFailure::WrongSecret)
        }
    }
}

/// Length-prefixed, so that no two lists of parts hash alike.
fn absorb(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

async fn send_opening<S: AsyncWrite + Unpin>(
    stream: &mut S,
    nonce: &[u8; NONCE_BYTES],
) -> Result<(), AuthenticationFailure> {
    let mut opening = PREAMBLE.to_vec();
    opening.extend_from_slice(nonce);
    send(stream, &opening).await
}

async fn receive_opening<S: AsyncRead + Unpin>(
    stream: &mut S,
) -> Result<[u8; NONCE_BYTES], AuthenticationFailure> {
    let mut preamble = [0; PREAMBLE.len()];
    let mut filled = 0;
    // Judged as it arrives: a stranger that sends less than a preamble and waits is told apart
    // from a slow peer.
    while filled < preamble.len() {
        let read = stream.read(&mut preamble[filled..]).await.map_err(interrupted)?;
        if read == 0 {
            return Err(AuthenticationFailure::Interrupted);
        }
        filled += read;
        if preamble[..filled] != PREAMBLE[..filled] {
            return Err(AuthenticationFailure::Malformed);
        }
    }
    let mut nonce = [0; NONCE_BYTES];
    stream.read_exact(&mut nonce).await.map_err(interrupted)?;
    Ok(nonce)
}

async fn send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    bytes: &[u8],
) -> Result<(), AuthenticationFailure> {
    stream.write_all(bytes).await.map_err(interrupted)?;
    stream.flush().await.map_err(interrupted)
}

fn interrupted(_: io::Error) -> AuthenticationFailure {
    AuthenticationFailure::Interrupted
}

#[cfg(test)]
mod tests;
