//! `tidings demo`: three peers, one of them killed, and everything still there.
//!
//! Everything that is printed was measured from outside: the peers are processes of their own, asked
//! over the same HTTP door that anybody can use.

mod show;
mod story;

use std::time::Duration;

use clap::Args;
use tidings_gateway::duration;

use crate::exit::Failure;
use crate::signals;

/// Starts three peers on this machine and shows what they do.
///
/// They find each other, get data, lose one of them, and must not lose a write. Ends with an error, and says which, if anything did not hold. Everything is in a temporary directory
/// and is gone afterwards.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Leave the peers running at the end, until interrupted.
    #[arg(long)]
    keep: bool,
    /// How long to wait for the peers to find each other by mDNS before they are given addresses.
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = duration::parse)]
    patience: Duration,
}

impl Demo {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let stop = signals::stop(false)
            .map_err(|error| Failure::internal(format!("no signals can be heard: {error}")))?;
        let mut stop = std::pin::pin!(stop);
        // Whichever arm is dropped takes its processes with it.
        let told = tokio::select! {
            told = story::tell(self.patience) => told?,
            why = &mut stop => return Err(Failure::interrupted(why)),
        };
        if self.keep {
            show::running(&told.processes, &told.cluster);
            stop.await;
        } else {
            show::farewell(&told.processes);
        }
        told.end().await
    }
}
