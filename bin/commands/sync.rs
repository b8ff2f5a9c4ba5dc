//! `tidings sync PATH`

use std::time::Duration;

use clap::Args;
use tidings_gateway::duration;

use super::Context;
use crate::exit::Failure;

/// Waits until the peer has everything that its reachable holders have now.
#[derive(Args, Debug)]
pub(crate) struct Sync {
    /// The path of the database.
    path: String,
    /// How long to wait.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration::parse)]
    timeout: Duration,
}

impl Sync {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        context.client()?.sync(&self.path, self.timeout).await?;
        Ok(())
    }
}
