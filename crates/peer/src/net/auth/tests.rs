//! The handshake between two ends in memory, and against those that do not play by the rules.

use futures::{executor::block_on, future::join};
use pipe::pair;

use super::*;

/// A stream between two ends in memory, as `futures` traits.
mod pipe {
    use std::{
        collections::VecDeque,
        io,
        pin::Pin,
        sync::{Arc, Mutex},
        task::{Context, Poll, Waker},
    };

    use futures::{AsyncRead, AsyncWrite};

    #[derive(Default)]
    struct Pipe {
        bytes: VecDeque<u8>,
        closed: bool,
        reader: Option<Waker>,
    }

    pub(super) struct End {
        incoming: Arc<Mutex<Pipe>>,
        outgoing: Arc<Mutex<Pipe>>,
    }

    pub(super) fn pair() -> (End, End) {
        let (a, b): (Arc<Mutex<Pipe>>, Arc<Mutex<Pipe>>) = Default::default();
        (End { incoming: a.clone(), outgoing: b.clone() }, End { incoming: b, outgoing: a })
    }

    impl End {
        fn write(&self, change: impl FnOnce(&mut Pipe)) {
            let mut pipe = self.outgoing.lock().unwrap();
            change(&mut pipe);
            if let Some(reader) = pipe.reader.take() {
                reader.wake();
            }
        }
    }

    impl Drop for End {
        fn drop(&mut self) {
            self.write(|pipe| pipe.closed = true);
        }
    }

    impl AsyncRead for End {
        fn poll_read(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let mut pipe = self.incoming.lock().unwrap();
            if pipe.bytes.is_empty() && !pipe.closed {
                pipe.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            let count = buffer.len().min(pipe.bytes.len());
            for (to, from) in buffer.iter_mut().zip(pipe.bytes.drain(..count)) {
                *to = from;
            }
            Poll::Ready(Ok(count))
        }
    }

    impl AsyncWrite for End {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.write(|pipe| pipe.bytes.extend(bytes));
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.write(|pipe| pipe.closed = true);
            Poll::Ready(Ok(()))
        }
    }
}

type Outcome = Result<(), AuthenticationFailure>;

fn meet(dialer: Challenge<'_>, listener: Challenge<'_>) -> (Outcome, Outcome) {
    let (a, b) = pair();
    block_on(join(dialer.run(a), listener.run(b)))
}

fn challenge(key: &[u8; 32], role: Role, local: PeerId, remote: PeerId) -> Challenge<'_> {
    Challenge { key, role, local, remote }
}

/// Both sides accept each other exactly if their keys are equal.
#[test]
fn equal_keys_admit_and_others_do_not() {
    let (d, l) = (PeerId::random(), PeerId::random());
    let (one, two) = ([1; 32], [2; 32]);
    let ends = meet(challenge(&one, Role::Dialer, d, l), challenge(&one, Role::Listener, l, d));
    assert_eq!(ends, (Ok(()), Ok(())));
    let ends = meet(challenge(&one, Role::Dialer, d, l), challenge(&two, Role::Listener, l, d));
    let expected = (Err(AuthenticationFailure::Refused), Err(AuthenticationFailure::WrongSecret));
    assert_eq!(ends, expected);
}

/// A proof made for one pair of peers is worth nothing for another: someone between two
/// members, whose own `PeerId` both see, cannot pass their proofs on.
#[test]
fn a_relayed_handshake_fails() {
    let (d, l, middle) = (PeerId::random(), PeerId::random(), PeerId::random());
    let key = [1; 32];
    let (dialer, listener) =
        meet(challenge(&key, Role::Dialer, d, middle), challenge(&key, Role::Listener, l, middle));
    assert!(dialer.is_err());
    assert_eq!(listener, Err(AuthenticationFailure::WrongSecret));
}

/// Two dialers, as if one reflected the other's bytes, do not accept each other.
#[test]
fn a_reflected_handshake_fails() {
    let (d, l) = (PeerId::random(), PeerId::random());
    let key = [1; 32];
    let ends = meet(challenge(&key, Role::Dialer, d, l), challenge(&key, Role::Dialer, d, l));
    assert_eq!(ends.0, Err(AuthenticationFailure::WrongSecret));
    assert_eq!(ends.1, Err(AuthenticationFailure::WrongSecret));
}

/// The proofs depend on every part of the transcript.
#[test]
fn proofs_are_bound_to_the_whole_transcript() {
    let (d, l) = (PeerId::random(), PeerId::random());
    let proof = |key: [u8; 32], d, l, nonces: [u8; 2], role| {
        challenge(&key, Role::Dialer, d, l)
            .transcript(&[nonces[0]; 32], &[nonces[1]; 32])
            .proof(role)
    };
    let base = proof([1; 32], d, l, [3, 4], Role::Dialer);
    for other in [
        proof([2; 32], d, l, [3, 4], Role::Dialer),
        proof([1; 32], l, d, [3, 4], Role::Dialer),
        proof([1; 32], d, PeerId::random(), [3, 4], Role::Dialer),
        proof([1; 32], d, l, [5, 4], Role::Dialer),
        proof([1; 32], d, l, [3, 5], Role::Dialer),
        proof([1; 32], d, l, [4, 3], Role::Dialer),
        proof([1; 32], d, l, [3, 4], Role::Listener),
    ] {
        assert!(base != other);
    }
}

/// Bytes of another protocol are recognised by the first that differs.
#[test]
fn garbage_is_malformed_or_interrupted() {
    let key = [1; 32];
    let listen = |bytes: &[u8]| {
        let (mut here, there) = pair();
        let (l, d) = (PeerId::random(), PeerId::random());
        block_on(async {
            here.write_all(bytes).await.unwrap();
            here.close().await.unwrap();
            challenge(&key, Role::Listener, l, d).run(there).await
        })
    };
    assert_eq!(listen(b"\x13/multistream/1.0.0\n"), Err(AuthenticationFailure::Malformed));
    assert_eq!(listen(b"tidings/auth/02\n"), Err(AuthenticationFailure::Malformed));
    assert_eq!(listen(b"tidings/auth/01\nshort"), Err(AuthenticationFailure::Interrupted));
    assert_eq!(listen(b""), Err(AuthenticationFailure::Interrupted));
    let mut wrong = PREAMBLE.to_vec();
    wrong.extend([0; 64]);
    assert_eq!(listen(&wrong), Err(AuthenticationFailure::WrongSecret));
}
