//! `tidings drain`

use std::time::Duration;

use clap::Args;
use tidings::status::DrainStatus;

use super::Context;
use crate::exit::Failure;
use crate::output;

/// How often the peer is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Hands over everything that the peer holds, so that it can go for good.
///
/// The peer takes no copies any more, others are invited in its place, and each of its copies is given back
/// once as many others as the definition's `min` durably have all of it. It serves meanwhile and
/// afterwards. This waits until nothing is left; when it is interrupted, or the peer is restarted, the
/// draining goes on.
#[derive(Args, Debug)]
pub(crate) struct Drain {
    /// Begin, and do not wait.
    #[arg(long, conflicts_with = "cancel")]
    no_wait: bool,
    /// Stop draining: the peer takes copies again.
    #[arg(long)]
    cancel: bool,
}

impl Drain {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let mut status = client.drain(!self.cancel).await?;
        if self.cancel {
            eprintln!("it drains no more; copies here: {}", output::count(status.copies));
            return Ok(());
        }
        let total = status.copies;
        let bar = output::bar(Some(total), "{bar:40} {pos} of {len} copies  {msg}");
        let mut told = String::new();
        while status.copies > 0 && !self.no_wait {
            if !status.draining {
                bar.finish_and_clear();
                return Err(Failure::refused("somebody ended the draining"));
            }
            let copies = status.copies;
            bar.set_length(total.max(copies));
            bar.set_position(total.saturating_sub(copies));
            let why = status.why().join("; ");
            if !why.is_empty() && why != told && !output::on_terminal() {
                eprintln!("{}", left(&status));
                told.clone_from(&why);
            }
            bar.set_message(why);
            tokio::time::sleep(ASK_EVERY).await;
            status = client.drain_status().await?;
        }
        bar.finish_and_clear();
        if status.copies > 0 {
            eprintln!("draining; {}", left(&status));
        } else {
            eprintln!(
                "copies handed over: {}; nothing is left: the peer can be stopped",
                output::count(total)
            );
        }
        Ok(())
    }
}

/// How many copies are left, and why.
fn left(status: &DrainStatus) -> String {
    let copies = format!("copies left: {}", output::count(status.copies));
    [vec![copies], status.why()].concat().join("; ")
}
