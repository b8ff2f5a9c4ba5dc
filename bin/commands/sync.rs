//! `tidings sync PATH`

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
    #[arg(long, value_name = "DURATION", default_value = "30s")]
    timeout: String,
}

impl Sync {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let timeout = duration::parse(&self.timeout)
            .map_err(|error| Failure::usage(format!("--timeout: {error}")))?;
        context.client()?.sync(&self.path, timeout).await?;
        Ok(())
    }
}
