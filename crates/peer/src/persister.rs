//! The persister: a thread that syncs the store once for everyone who waits.

use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use tidings_core::error::Error;
use tidings_core::node::Input;
use tidings_core::store::Store as _;

use crate::Result;
use crate::shared::{Shared, lock};

/// How often the thread looks whether the peer is still there.
const LOOK: Duration = Duration::from_millis(500);

/// What the persister is to do, and its thread.
#[derive(Default)]
pub(crate) struct Persister {
    state: Mutex<State>,
    wake: Condvar,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct State {
    wanted: u64,
    done: u64,
    stop: bool,
}

impl Persister {
    /// Starts the thread of a peer.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<()> {
        let weak = Arc::downgrade(shared);
        let thread = std::thread::Builder::new()
            .name("tidings-sync".into())
            .spawn(move || run(&weak))
            .map_err(|error| Error::Start(format!("no thread for syncing the disk: {error}")))?;
        *lock(&shared.persister.thread) = Some(thread);
        Ok(())
    }

    /// Wants a sync; [`Input::Synced`] with this ticket says when it is done.
    pub(crate) fn want(&self, ticket: u64) {
        lock(&self.state).wanted = ticket;
        self.wake.notify_one();
    }

    /// Ends the thread.
    pub(crate) fn stop(&self) {
        lock(&self.state).stop = true;
        self.wake.notify_one();
    }

    /// Waits for the end of the thread, which has a handle of the store, and so of the data directory.
    pub(crate) fn join(&self) {
        if let Some(thread) = lock(&self.thread).take() {
            let _ = thread.join();
        }
    }
}

fn run(shared: &Weak<Shared>) {
    loop {
        let Some(strong) = shared.upgrade() else { return };
        let state = lock(&strong.persister.state);
        let wake = &strong.persister.wake;
        let idle = |state: &mut State| state.wanted <= state.done && !state.stop;
        let waited = wake.wait_timeout_while(state, LOOK, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.stop {
            return;
        }
        if state.wanted <= state.done {
            continue;
        }
        let ticket = state.wanted;
        state.done = ticket;
        drop(state);
        match strong.store.sync() {
            Ok(()) => strong.feed(Input::Synced(ticket)),
            Err(error) => {
                strong.fail(Error::from(error));
                return;
            }
        }
    }
}
