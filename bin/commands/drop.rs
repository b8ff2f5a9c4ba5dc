//! `tidings drop`

use clap::Args;

use super::Context;
use super::asking::agrees;
use crate::exit::Failure;

/// Drops a database: all of it, on every peer, for good.
///
/// Peers that are away remove their copies when they are back. What they accept before they hear of
/// it is dropped with the rest. The next write begins the database anew; its definition stays. There is no
/// way back: `tidings export` first, if in doubt. Exits with 1 if there is no such database.
#[derive(Args, Debug)]
pub(crate) struct Drop {
    /// The database.
    path: String,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
}

impl Drop {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { path, yes } = self;
        let question = format!("drop {path:?} and everything in it, on every peer, for good?");
        let unasked = format!(
            "{path:?} would be dropped for good, and nobody is there to ask; say --yes to drop it"
        );
        if !yes && !agrees(&question, &unasked)? {
            return Err(Failure::refused("nothing was dropped"));
        }
        context.client()?.drop_database(&path).await?;
        eprintln!("dropped {path:?}");
        Ok(())
    }
}
